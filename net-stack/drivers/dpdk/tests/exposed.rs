//! A port that would give a stranger memory in which data is handed up: refused before the stranger is called. (A process of its own:
//! what is exposed once stays so.)
#![cfg(feature = "dpdk")]

use std::os::unix::net::UnixListener;

use hemi_net::{Device, DeviceQueue};
use hemi_queue::{Pool, Result};

fn open(uri: &str, pool: &Pool) -> Result<Box<dyn Device>> {
    hemi_dpdk::open(&uri.parse()?, pool, DeviceQueue::ONLY)
}

#[test]
fn a_stranger_is_not_called_while_data_is_handed_up() {
    if hemi_dpdk::VERSION.is_none() {
        return;
    }
    let path = std::env::temp_dir().join(format!("hemi-stranger-{}.sock", std::process::id()));
    let stranger = UnixListener::bind(&path).unwrap();
    stranger.set_nonblocking(true).unwrap();
    let uri = format!("dpdk:net_virtio_user20,path={}", path.display());
    let pool = Pool::new().unwrap();
    let private = open("dpdk:net_null40", &pool).unwrap();
    let says = open(&uri, &pool).err().unwrap().to_string();
    assert!(says.contains("peer=trusted"), "{says}");
    let called = stranger.accept().map(|_| ()).unwrap_err();
    assert_eq!(called.kind(), std::io::ErrorKind::WouldBlock);
    drop(private);
    drop(stranger);
    std::fs::remove_file(&path).unwrap();
    // Now it may, but nobody is there.
    let says = open(&uri, &pool).err().unwrap().to_string();
    assert!(says.contains("cannot find net_virtio_user20"), "{says}");
}
