//! Reaching into each other's memory.

use std::{future::Future as _, pin::pin};

use hemi_queue::{Error, Result};
use hemi_rdma::{Outcome, RegionDescriptor, RegionError, Rights};
use hemi_verbs::{OneSidedOp, RdmaSocket};

use super::rig::{CLEAN, LOSSY, Rig, pattern};

fn outcome(rig: &Rig, operation: Result<OneSidedOp>) -> Result<Outcome> {
    let mut operation = pin!(operation?);
    rig.until(|cx| operation.as_mut().poll(cx))
}

fn refused(operation: Result<OneSidedOp>) -> RegionError {
    let Err(Error::Other(cause)) = operation else { panic!("it must be refused before it is posted") };
    *cause.downcast_ref::<RegionError>().unwrap()
}

/// The bytes are there before the unit that tells of them, also where packets are lost.
#[test]
fn writes_are_in_order_with_units() {
    hemi_guest::needs!(Rdma);
    let rig = Rig::new(LOSSY);
    let (server, client) = rig.pair();
    let (server_side, side) = (RdmaSocket::of(&*server).unwrap(), RdmaSocket::of(&*client).unwrap());
    let ours = server_side.export(100_000, Rights::WRITE).unwrap();
    rig.push(&server, ours.descriptor().encode().to_vec()).unwrap();
    let told = RegionDescriptor::parse(&rig.pop(&client).unwrap().unwrap().to_vec()).unwrap();
    for n in 0..20 {
        let data = pattern(n, 1 + n as usize * 200);
        let writing = side.write_at(&told, n, data.clone()).unwrap();
        rig.push(&client, "written").unwrap();
        assert!(rig.pop(&server).unwrap().unwrap() == *b"written");
        let mut seen = vec![0; data.len()];
        ours.read(n as usize, &mut seen).unwrap();
        assert!(seen == data, "{n}: the unit came before the bytes");
        assert!(matches!(outcome(&rig, Ok(writing)).unwrap(), Outcome::Written));
    }
}

#[test]
fn reads_writes_and_words() {
    hemi_guest::needs!(Rdma);
    let rig = Rig::new(CLEAN);
    let (server, client) = rig.pair();
    let (server_side, side) = (RdmaSocket::of(&*server).unwrap(), RdmaSocket::of(&*client).unwrap());
    let ours = server_side.export(100_000, Rights::ALL).unwrap();
    rig.push(&server, ours.descriptor().encode().to_vec()).unwrap();
    let told = RegionDescriptor::parse(&rig.pop(&client).unwrap().unwrap().to_vec()).unwrap();
    assert_eq!(told, ours.descriptor());

    // Written there, and a unit that is pushed after it arrives after it.
    let data = pattern(1, 60_000);
    let writing = side.write_at(&told, 1000, data.clone()).unwrap();
    rig.push(&client, "written").unwrap();
    assert!(rig.pop(&server).unwrap().unwrap() == *b"written");
    let mut seen = vec![0; data.len()];
    ours.read(1000, &mut seen).unwrap();
    assert!(seen == data, "the unit came before the bytes");
    assert!(matches!(outcome(&rig, Ok(writing)).unwrap(), Outcome::Written));

    ours.write(99_000, &data[..1000]).unwrap();
    let Outcome::Read(read) = outcome(&rig, side.read_at(&told, 98_999, 1001)).unwrap() else {
        panic!("a read")
    };
    assert!(read.len() == 1001 && read.to_vec()[1..] == data[..1000]);

    for n in 0..3 {
        let before = outcome(&rig, side.fetch_add(&told, 8, 5)).unwrap();
        assert!(matches!(before, Outcome::Word(word) if word == 5 * n), "{before:?}");
    }
    assert!(matches!(outcome(&rig, side.compare_swap(&told, 8, 14, 99)).unwrap(), Outcome::Word(15)));
    assert_eq!(ours.word(8).unwrap(), 15, "it was not 14");
    assert!(matches!(outcome(&rig, side.compare_swap(&told, 8, 15, 99)).unwrap(), Outcome::Word(15)));
    assert_eq!(ours.word(8).unwrap(), 99);

    // Checked here, before anything is posted: the connection goes on.
    assert!(matches!(refused(side.read_at(&told, 99_999, 2)), RegionError::Outside { .. }));
    assert!(matches!(refused(side.fetch_add(&told, 4, 1)), RegionError::Unaligned { offset: 4 }));
    let readable = RegionDescriptor { rights: Rights::READ, ..told };
    assert!(matches!(refused(side.write_at(&readable, 0, "x")), RegionError::Rights { .. }));
    drop(side.read_at(&told, 0, 10).unwrap());
    rig.push(&client, "goes on").unwrap();
    assert!(rig.pop(&server).unwrap().unwrap() == *b"goes on");

    // Withdrawn: the peer's device refuses, and that is the end of this connection only.
    drop(ours);
    let e = outcome(&rig, side.read_at(&told, 0, 10)).unwrap_err().to_string();
    assert!(e.contains("IBV_WC_REM_ACCESS_ERR") && e.contains("RDMA READ"), "{e}");
    let (other_server, other) = rig.pair();
    rig.push(&other, "untouched").unwrap();
    assert!(rig.pop(&other_server).unwrap().unwrap() == *b"untouched");
}
