//! Misuse that must not compile: free-protection and write-protection cost nothing because the compiler gives them.

use std::process::Command;

/// The compiler whose messages the `.stderr` files hold; others word them differently.
const RECORDED_WITH: &str = "rustc 1.95.";

#[test]
fn misuse_does_not_compile() {
    let version = Command::new("rustc").arg("--version").output().map(|out| out.stdout).unwrap_or_default();
    if !version.starts_with(RECORDED_WITH.as_bytes()) {
        hemi_skip::skip!("compiler messages are recorded for {RECORDED_WITH}x only");
    }
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
