//! Where io_uring is forbidden, as in many containers, epoll takes over by itself.

use std::{thread, time::Duration};

use hemi_park::{Backend, Park, ParkConfig};

const CHILD: &str = "HEMI_PARK_FORBIDDEN";

/// Refuse `io_uring_setup` with EPERM from now on, as a container's seccomp profile does.
fn forbid_io_uring() {
    let rule = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        rule(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the system call's number
        rule(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        rule(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        rule(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program is a local that the call copies.
    let r = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter)
    };
    assert_eq!(r, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn epoll_takes_over() {
    if std::env::var_os(CHILD).is_none() {
        // The filter cannot be taken off again: in a process of its own.
        let out = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "epoll_takes_over", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        return;
    }
    forbid_io_uring();
    let park = Park::new(&ParkConfig::default()).unwrap();
    assert_eq!(park.backend(), Backend::Epoll);
    let forced = ParkConfig { backend: Some(Backend::Uring), ..ParkConfig::default() };
    let e = Park::new(&forced).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(libc::EPERM), "{e}");
    let unparker = park.unparker();
    let waker = thread::spawn(move || unparker.unpark());
    park.park(Some(Duration::from_secs(600)), || true);
    waker.join().unwrap();
}
