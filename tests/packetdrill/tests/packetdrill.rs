//! Drives the shared object as packetdrill does: `dlopen`, `packetdrill_interface_init`, then scripts in packetdrill's language.
//!
//! packetdrill itself is in no Debian release; `runner/` plays the part of its language that these scripts need. All scripts in
//! `scripts/` must pass but `must-fail.pkt`, which must fail where it says.

mod runner;

use std::{fs, path::PathBuf};

use runner::Library;

fn scripts() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut all: Vec<_> = fs::read_dir(folder)
        .expect("the scripts' folder")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            (
                path.file_stem().expect("a name").to_string_lossy().into_owned(),
                fs::read_to_string(path).expect("text"),
            )
        })
        .collect();
    all.sort();
    all
}

/// Scripts that must pass: over IPv4 and IPv6, for nothing in them depends on which.
#[test]
fn scripts_pass() {
    let library = Library::open();
    let mut failures = Vec::new();
    let mut passed = 0;
    for (name, text) in scripts().into_iter().filter(|(name, _)| name != "must-fail") {
        for v6 in [false, true] {
            if v6 && text.contains("icmp") {
                continue; // the quoted packet is IPv4's
            }
            match library.play(&text, v6) {
                Ok(()) => passed += 1,
                Err(error) => failures.push(format!("{name} (IPv{}): {error}", if v6 { 6 } else { 4 })),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(passed >= 12, "only {passed} scripts were found");
}

/// The script that expects a wrong acknowledgement number fails, there and for that reason.
#[test]
fn the_script_that_must_fail_does() {
    let (_, text) = scripts().into_iter().find(|(name, _)| name == "must-fail").expect("it is there");
    let error = Library::open().play(&text, false).expect_err("it must fail");
    let line = text.lines().position(|l| l.contains("ack 1002")).expect("the wrong line") + 1;
    assert!(error.starts_with(&format!("line {line}:")) && error.contains("ack"), "{error}");
}

/// A world that has nothing left to do says so by an empty packet, and a call that can never end by an error: neither hangs.
#[test]
fn what_can_never_happen_is_an_error() {
    let library = Library::open();
    let error = library.play("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n+0 accept(3, ..., ...) = 4\n", false);
    assert!(error.as_ref().is_err_and(|e| e.starts_with("line 4:")), "{error:?}");
    let error = library.play("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n+0 > . 1:1(0) ack 1\n", false);
    assert!(error.as_ref().is_err_and(|e| e.contains("nothing")), "{error:?}");
}

/// Arguments that no kernel would take are errors, as there.
#[test]
fn bad_arguments_are_errors() {
    let library = Library::open();
    library
        .play(
            "0 socket(AF_UNIX, SOCK_STREAM, 0) = -1 EAFNOSUPPORT\n\
             +0 listen(9, 1) = -1 EBADF\n\
             +0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n\
             +0 read(3, ..., 100) = -1 ENOTCONN\n\
             +0 write(3, ..., 100) = -1 EPIPE\n\
             +0 setsockopt(3, SOL_TCP, 9999, [1], 4) = -1 ENOPROTOOPT\n\
             +0 shutdown(3, SHUT_WR) = -1 ENOTCONN\n\
             +0 close(3) = 0\n\
             +0 close(3) = -1 EBADF\n",
            false,
        )
        .expect("the errors that are expected");
}
