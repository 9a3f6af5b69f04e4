//! The kernel's refusals: too many open files, no permission.
//!
//! A limit of open files is of the whole process, so that test runs itself again in a process of its own, under `ulimit`.

use std::{
    cell::Cell,
    net::TcpStream,
    process::{Command, Stdio},
    rc::Rc,
    time::Duration,
};

use hemi::{Pop, Push, Runtime, TcpListener, spawn, time::sleep};

const CHILD: &str = "HEMI_TEST_FEW_FILES";
const BACKENDS: [&str; 3] = ["uring", "epoll", "poll"];

/// A listener that meets "too many open files" counts it, survives, serves those it has, and accepts again when files
/// are closed.
#[test]
fn a_listener_survives_too_many_open_files() {
    if let Ok(uri) = std::env::var(CHILD) {
        return few_files(&uri);
    }
    let me = std::env::current_exe().unwrap();
    for backend in BACKENDS {
        let uri = format!("kernel:?backend={backend}");
        if let Err(e) = Runtime::builder().net(uri.as_str()).build() {
            hemi_skip::skip_part!(backend, "{e}");
            continue;
        }
        let output = Command::new("sh")
            .args(["-c", "ulimit -n 80 && exec \"$0\" \"$@\""])
            .arg(&me)
            .args(["--exact", "a_listener_survives_too_many_open_files", "--nocapture", "--test-threads=1"])
            .env(CHILD, &uri)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{uri}: {}\n{text}", String::from_utf8_lossy(&output.stdout));
    }
}

/// In the child, which may have 80 files.
fn few_files(uri: &str) {
    let runtime = Runtime::builder().net(uri).build().unwrap();
    runtime
        .block_on(async {
            let mut listener = TcpListener::bind("127.0.0.1:0").await?;
            let at = listener.local_addr()?;
            // Both ends live in this process, so the limit is met half-way; files kept aside are given back later.
            let mut aside: Vec<std::fs::File> =
                (0..20).filter_map(|_| std::fs::File::open("/dev/null").ok()).collect();
            assert_eq!(aside.len(), 20);
            let mut clients = Vec::new();
            while let Ok(client) = TcpStream::connect(at) {
                clients.push(client); // the kernel completes these without us
                assert!(clients.len() < 80);
            }
            assert!(clients.len() > 20, "{} clients", clients.len());
            // Not one file is left: every accept fails until some are closed.
            let told = Rc::new(Cell::new(0));
            let tell = Rc::clone(&told);
            spawn(async move {
                let mut held = Vec::new();
                while let Some(mut conn) = listener.pop().await? {
                    assert!(listener.transient_failures() > 0, "the failures were not counted");
                    conn.push("served").await?;
                    held.push(conn);
                    tell.set(held.len());
                }
                Ok::<(), hemi::Error>(())
            });
            sleep(Duration::from_millis(100)).await;
            assert_eq!(told.get(), 0, "accepted without a file to accept into");
            aside.clear();
            hemi_tests::until("connections are accepted after files were closed", || told.get() >= 15).await;
            Ok(())
        })
        .unwrap_or_else(|e: hemi::Error| panic!("{e}"));
}

/// A port that only root may bind: the error says so. Root itself is put into a user namespace without rights, where
/// the system lets it.
#[test]
fn a_privileged_port_is_refused_with_the_cure() {
    const CHILD: &str = "HEMI_TEST_NO_RIGHTS";
    if std::env::var_os(CHILD).is_some() {
        let runtime = Runtime::builder().net("kernel:").build().unwrap();
        let error = runtime.block_on(async { TcpListener::bind("127.0.0.1:81").await.unwrap_err() });
        let text = error.to_string();
        assert!(text.contains("127.0.0.1:81") && text.contains("below 1024"), "{text}");
        return;
    }
    let ports = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if ports.trim().parse::<u16>().is_ok_and(|first| first <= 81) {
        hemi_skip::skip!(
            "this system lets anybody bind port 81 (ip_unprivileged_port_start = {})",
            ports.trim()
        );
    }
    let setpriv = hemi_skip::program!("setpriv", "util-linux");
    let output = Command::new(setpriv)
        .args(["--reuid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_privileged_port_is_refused_with_the_cure", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    if text.starts_with("setpriv:") {
        hemi_skip::skip!("setpriv cannot drop rights here: {}", text.trim());
    }
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stdout));
}
