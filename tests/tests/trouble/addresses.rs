//! Addresses that cannot be had: the error names the address and the cure.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::Command,
};

use hemi::{Error, Runtime, TcpListener, TcpQueue, UdpQueue, UnixDatagram, UnixListener, UnixQueue};
use hemi_tests::{foreign::fresh_path, kernels};

/// What the operating system said, and that the text for people says what to do.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: hemi::Result<T>, errno: rustix::io::Errno, about: &str, cure: &str) {
    let error = result.expect_err("it must be refused");
    assert!(matches!(error, Error::Io(_)), "{error:?}");
    assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()), "{error}");
    let text = error.to_string();
    assert!(text.contains(about) && text.contains(cure), "does not help: {text}");
    assert!(std::error::Error::source(&error).is_some(), "the cause is kept");
}

#[test]
fn in_use() {
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            use rustix::io::Errno;
            let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let at = tcp.local_addr().unwrap();
            refused(TcpListener::bind(at).await, Errno::ADDRINUSE, &at.to_string(), "another port");
            drop(tcp);
            TcpListener::bind(at).await?; // what was refused left nothing behind

            let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let at = udp.local_addr().unwrap();
            refused(UdpQueue::bind(at).await, Errno::ADDRINUSE, &at.to_string(), "another port");

            let path = fresh_path("used");
            let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let name = path.to_str().unwrap();
            refused(UnixListener::bind(&path), Errno::ADDRINUSE, name, "");
            refused(UnixDatagram::bind(&path), Errno::ADDRINUSE, name, "");
            drop(unix);
            // Nobody listens any more, but the file is there.
            refused(UnixQueue::connect(&path).await, Errno::CONNREFUSED, name, "nobody listens");
            fs::remove_file(&path).unwrap();
            refused(UnixQueue::connect(&path).await, Errno::NOENT, name, "");
            Ok(())
        });
    });
}

#[test]
fn of_another_machine() {
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let at = "203.0.113.7:0"; // RFC 5737: for documentation, nobody has it
            let errno = rustix::io::Errno::ADDRNOTAVAIL;
            refused(TcpListener::bind(at).await, errno, "203.0.113.7", "does not have that address");
            refused(UdpQueue::bind(at).await, errno, "203.0.113.7", "does not have that address");
            Ok(())
        });
    });
}

#[test]
fn where_nobody_listens() {
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let errno = rustix::io::Errno::CONNREFUSED;
            refused(TcpQueue::connect(gone).await, errno, &gone.to_string(), "start the server");
            Ok(())
        });
    });
}

#[test]
fn without_permission() {
    if hemi_tests::alone::is_alone() {
        return as_a_plain_user();
    }
    if !rustix::process::geteuid().is_root() {
        return as_a_plain_user();
    }
    // Root may do everything. This program again, as nobody, from where nobody may read it.
    let program = std::env::temp_dir().join(format!("hemi-nobody-{}", std::process::id()));
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command: Command = hemi_tests::alone::command_of(hemi_tests::test_name!(), &program);
    let output = command.uid(65_534).gid(65_534).current_dir("/").output();
    fs::remove_file(&program).unwrap();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "as nobody: {said}");
    if said.contains("SKIPPED IN PART") {
        hemi_skip::skip_part!("ports below 1024", "everybody may bind them here");
    }
}

fn as_a_plain_user() {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let ports = first.map_or(1024, |first| first.trim().parse().unwrap_or(1024)) > 7;
    if !ports {
        hemi_skip::skip_part!("ports below 1024", "everybody may bind them here");
    }
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let errno = rustix::io::Errno::ACCESS;
            if ports {
                refused(TcpListener::bind("127.0.0.1:7").await, errno, "127.0.0.1:7", "need privileges");
                refused(UdpQueue::bind("127.0.0.1:7").await, errno, "127.0.0.1:7", "need privileges");
            }
            refused(UnixListener::bind("/hemi.sock"), errno, "/hemi.sock", "not permitted");
            refused(UnixDatagram::bind("/hemi.sock"), errno, "/hemi.sock", "not permitted");
            TcpListener::bind("127.0.0.1:0").await?; // and the runtime goes on
            Ok(())
        });
    });
}
