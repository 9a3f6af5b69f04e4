//! Devices, memory and ports that fail.

use std::{process::Command, task::Poll, time::Duration};

use hemi_queue::{
    Error, Pool, PoolConfig,
    transport::{Endpoint, SocketOptions, Transport},
};
use hemi_verbs::{Verbs, VerbsError};

use super::rig::{CLEAN, Rig, pattern};

fn refused(uri: &str) -> String {
    let Err(error) = Verbs::open(&uri.parse().unwrap(), &Pool::new().unwrap()) else {
        panic!("{uri} was opened")
    };
    assert!(matches!(&error, Error::Other(e) if e.is::<VerbsError>()), "{error:?}");
    error.to_string()
}

#[test]
fn no_device_and_no_gid_say_what_there_is() {
    hemi_guest::needs!(Rdma);
    let text = refused("rdma:mlx5_0?ip=10.77.0.1");
    assert!(
        text.contains("no device `mlx5_0`") && text.contains("rxe0") && text.contains("rdma link add"),
        "{text}"
    );
    let text = refused("rdma:rxe0?ip=10.99.0.1");
    assert!(text.contains("no RoCE v2 GID for 10.99.0.1") && text.contains("10.77.0.1"), "{text}");
    let text = refused("rdma:?ip=10.99.0.1");
    assert!(text.contains("10.99.0.1"), "{text}");
}

#[test]
fn nobody_listens_and_nobody_is_there() {
    hemi_guest::needs!(Rdma);
    let connect = |rig: &Rig, to: &str, most| {
        let mut options = SocketOptions::default();
        options.connect_timeout = most;
        let client = rig.client.connect(&Endpoint::Ip(to.parse().unwrap()), &options).unwrap();
        rig.until(|cx| client.poll_connected(cx)).unwrap_err()
    };
    let rig = Rig::new(CLEAN);
    let e = connect(&rig, "10.77.0.1:9", None);
    assert_eq!(e.raw_os_error(), Some(libc::ECONNREFUSED), "{e}");
    assert!(e.to_string().contains("10.77.0.1:9"), "{e}");
    // An address that is nobody's, behind an interface that asks nobody whose it is.
    let e = connect(&rig, "10.77.0.99:9", Some(Duration::from_secs(2)));
    assert!(matches!(e, Error::TimedOut("connect")), "{e}");
    rig.until_empty();
    // And one that does: nobody answers.
    let rig = Rig::new(("rdma:rxe1?ip=10.78.0.1", "rdma:rxe1?ip=10.78.0.1"));
    let e = connect(&rig, "10.78.0.99:9", None).to_string();
    assert!(e.contains("resolve 10.78.0.99:9: RDMA_CM_EVENT_ADDR_ERROR"), "{e}");
    rig.until_empty();
}

#[test]
fn a_device_with_the_wrong_address_says_which_is_right() {
    hemi_guest::needs!(Rdma);
    let rig = Rig::new(("rdma:rxe1?ip=10.78.0.1", "rdma:rxe0"));
    let listener = rig.listen();
    let mut options = SocketOptions::default();
    options.bind_to = Some("10.78.0.2:0".parse().unwrap());
    let client = rig.client.connect(&listener.local_addr().unwrap(), &options).unwrap();
    let e = rig.until(|cx| client.poll_connected(cx)).unwrap_err().to_string();
    assert!(e.contains("rxe2") && e.contains("rxe0"), "{e}");
    rig.until_empty();
}

/// Runs `work` with a locked-memory limit of `bytes`, without the right to go beyond it.
fn with_limit(bytes: u64, work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        // Limits are the process's, rights the thread's: the other tests' memory is locked already or locked with the right.
        let limit = |bytes| libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
        scope.spawn(move || {
            // SAFETY: plain numbers.
            unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit(bytes)) };
            drop_rights();
            work();
        });
    });
    // SAFETY: plain numbers.
    unsafe {
        libc::setrlimit(
            libc::RLIMIT_MEMLOCK,
            &libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY },
        )
    };
}

/// This thread's effective capabilities, gone: CAP_IPC_LOCK would let it lock anything.
fn drop_rights() {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let header = Header { version: 0x2008_0522, pid: 0 };
    let none = [0_u32; 6];
    // SAFETY: a header of version 3, and two sets of three words.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    assert_eq!(done, 0);
}

#[test]
fn a_locked_memory_limit_means_copies_or_an_error_that_says_how_to_raise_it() {
    hemi_guest::needs!(Rdma);
    with_limit(64 << 10, || {
        let text = refused("rdma:rxe0?ip=10.77.0.1");
        assert!(text.contains("64 KiB") && text.contains("ulimit -l") && text.contains("recv="), "{text}");
    });
    // Room for the receive buffers (128 of 4 KiB, twice) and the queues, not for the pool's regions of 2 MiB.
    with_limit(2 << 20, || {
        let uri = "rdma:rxe0?ip=10.77.0.1&buffer=4K&cq=1024&recv=128";
        let rig = Rig::new((uri, uri));
        let (server, client) = rig.pair();
        for n in [10, 1000, 4000, 50_000] {
            let mut unit = rig.pool.try_alloc(n).unwrap();
            unit.put(&pattern(n as u64, n));
            rig.push(&client, unit.freeze()).unwrap();
            assert!(rig.pop(&server).unwrap().unwrap() == pattern(n as u64, n)[..], "{n} bytes");
        }
    });
}

#[test]
fn a_drained_pool_stops_receiving_and_loses_nothing() {
    hemi_guest::needs!(Rdma);
    let uri = "rdma:rxe0?ip=10.77.0.1&recv=256";
    let rig = Rig::with(&PoolConfig { limit: 8 << 20, ..PoolConfig::default() }, uri, uri);
    let (server, client) = rig.pair();
    // The application keeps what it pops, more than there are receive buffers of our own.
    let mut kept = Vec::new();
    let mut pushed = 0;
    for _ in 0..1500 {
        if client.start_push(pattern(pushed, 1000).into()).is_ok() {
            pushed += 1;
        }
        rig.turn();
        let waker = rig.waker();
        let mut cx = std::task::Context::from_waker(&waker);
        while let Poll::Ready(unit) = server.poll_pop(&mut cx) {
            kept.push(unit.unwrap().unwrap());
        }
    }
    assert!(rig.pool.stats().drained > 0, "{} units did not drain the pool", kept.len());
    // It lets go, and everything comes.
    let mut n = 0;
    for unit in kept.drain(..) {
        assert!(unit == pattern(n, 1000)[..], "unit {n}");
        n += 1;
    }
    while n < pushed {
        assert!(rig.pop(&server).unwrap().unwrap() == pattern(n, 1000)[..], "unit {n}");
        n += 1;
    }
}

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().unwrap();
    assert!(status.success(), "ip {words}");
}

#[test]
fn a_port_that_goes_down_and_up_again_loses_nothing() {
    hemi_guest::needs!(Rdma);
    // A device of its own: the others' tests go on.
    ip("link add hemi-port type dummy");
    ip("addr add 10.79.0.1/24 dev hemi-port");
    ip("link set hemi-port up");
    let rdma =
        Command::new("rdma").args(["link", "add", "rxe9", "type", "rxe", "netdev", "hemi-port"]).status();
    assert!(rdma.unwrap().success());
    let uri = "rdma:rxe9?ip=10.79.0.1";
    let rig = {
        let start = std::time::Instant::now();
        while Verbs::open(&uri.parse().unwrap(), &Pool::new().unwrap()).is_err() {
            assert!(start.elapsed().as_secs() < 60, "no GID");
            std::thread::sleep(Duration::from_millis(50));
        }
        Rig::new((uri, uri))
    };
    let (server, client) = rig.pair();
    rig.push(&client, "before").unwrap();
    assert!(rig.pop(&server).unwrap().unwrap() == *b"before");
    ip("link set hemi-port down");
    rig.until_true(|| rig.client.describe().contains("port down"));
    ip("link set hemi-port up");
    ip("addr replace 10.79.0.1/24 dev hemi-port");
    rig.until_true(|| !rig.client.describe().contains("port down"));
    // The interface stays: rxe keeps a count of it for longer than the guest lives.
}
