//! A plain user, in a user namespace where he may administer a network of his own.

use std::process::Command;

use super::{HOST, KERNEL, OURS, station};

/// In the environment of the process that `unshare -Urn` starts.
const INSIDE: &str = "HEMI_TAP_INSIDE";

fn inside() {
    let mut station = station(&format!("tap:hemi0?{HOST}"));
    hemi_netns::suite::accepts_and_transfers(&mut station, OURS[0].parse().unwrap(), 1 << 20);
    hemi_netns::suite::connects_and_transfers(&mut station, KERNEL[0].parse().unwrap(), 1 << 20);
}

#[test]
fn in_a_user_namespace_no_root_is_needed() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let unshare = hemi_skip::program!("unshare", "util-linux");
    let open = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    if let Err(e) = open {
        hemi_skip::skip!("/dev/net/tun cannot be opened by this user: {e}");
    }
    if !Command::new(&unshare).args(["-Urn", "true"]).status().is_ok_and(|status| status.success()) {
        hemi_skip::skip!("no user namespaces here");
    }
    let here = std::env::current_exe().unwrap();
    let said = Command::new(unshare)
        .arg("-Urn")
        .arg(here)
        .args(["--exact", "netns::plain_user::in_a_user_namespace_no_root_is_needed"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && text.contains("1 passed"), "{text}");
}
