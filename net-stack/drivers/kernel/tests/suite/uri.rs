//! What the URI says, and what is said of a bad one.

use std::rc::Rc;

use hemi_kernel::{Backend, Kernel};
use hemi_park::{Park, ParkConfig};
use hemi_queue::{Pool, Result, transport::Transport};

fn open(uri: &str, park: Option<hemi_park::Backend>) -> Result<Rc<Kernel>> {
    let park = Park::new(&ParkConfig { backend: park, ..ParkConfig::default() })?;
    Kernel::open(&uri.parse()?, &Pool::new()?, &park)
}

#[track_caller]
fn refusal(uri: &str) -> String {
    open(uri, None).map(drop).unwrap_err().to_string()
}

#[test]
fn bad_parameters_are_told_what_is_known() {
    let e = refusal("kernel:?backnd=epoll");
    assert!(e.contains("backnd") && e.contains("backend"), "{e}");
    let e = refusal("kernel:?backend=kqueue");
    assert!(e.contains("`uring`, `epoll` or `poll`"), "{e}");
    let e = refusal("kernel:eth0");
    assert!(e.contains("takes no path"), "{e}");
}

#[test]
fn without_io_uring_it_is_epoll_unless_io_uring_was_asked_for() {
    let k = open("kernel:", Some(hemi_park::Backend::Epoll)).unwrap();
    assert_eq!(k.backend(), Backend::Epoll);
    let e = open("kernel:?backend=uring", Some(hemi_park::Backend::Epoll)).map(drop).unwrap_err().to_string();
    assert!(e.contains("use backend=epoll"), "{e}");
}

#[test]
fn the_forced_backend_is_taken_and_described() {
    for (uri, backend) in [("kernel:?backend=epoll", Backend::Epoll), ("kernel:?backend=poll", Backend::Poll)]
    {
        let k = open(uri, None).unwrap();
        assert_eq!(k.backend(), backend);
        assert!(k.describe().contains(&backend.to_string()), "{}", k.describe());
        assert_eq!(k.scheme(), "kernel");
        assert!(k.caps().tcp && k.caps().udp && k.caps().unix && k.caps().acked);
    }
}
