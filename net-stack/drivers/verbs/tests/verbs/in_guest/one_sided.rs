//! One-sided access, over a real device.

use std::rc::Rc;

use hemi_queue::{Error, Result, transport::StreamSocket};
use hemi_rdma::{OneSided, Outcome, RegionDescriptor, Rights};
use hemi_verbs::QueuePair;

use super::rig::{CLEAN, LOSSY, Rig, pattern};

fn queue_pair(stream: &Rc<dyn StreamSocket>) -> &QueuePair {
    stream.special().and_then(|any| any.downcast_ref()).expect("of rdma:")
}

fn outcome(rig: &Rig, stream: &Rc<dyn StreamSocket>, name: Result<OneSided>) -> Result<Outcome> {
    let name = name?;
    rig.until(|cx| queue_pair(stream).poll_outcome(name, cx))
}

#[test]
fn a_peer_reads_writes_and_counts_in_exposed_memory() {
    hemi_guest::needs!(Rdma);
    for link in [CLEAN, LOSSY] {
        let rig = Rig::new(link);
        let (server, client) = rig.pair();
        let exposed = queue_pair(&server).expose(300_000, Rights::ALL).unwrap();
        let data = pattern(1, 300_000);
        exposed.write(0, &data).unwrap();

        // The capability travels as a unit.
        rig.push(&server, exposed.descriptor().encode().to_vec()).unwrap();
        let told = rig.pop(&client).unwrap().expect("the descriptor");
        let region = RegionDescriptor::parse(&told.to_vec()).unwrap();
        let qp = queue_pair(&client);

        let read = outcome(&rig, &client, qp.begin_read(&region, 3, 299_990)).unwrap();
        assert!(read == Outcome::Read(data[3..299_993].to_vec().into()), "what is there");
        let written = outcome(&rig, &client, qp.begin_write(&region, 1001, vec![9; 100_000].into()));
        assert_eq!(written.unwrap(), Outcome::Written);
        let mut there = vec![0; 100_002];
        exposed.read(1000, &mut there).unwrap();
        assert!(there[1..100_001].iter().all(|&b| b == 9));
        assert_eq!((there[0], there[100_001]), (data[1000], data[101_001]));

        exposed.write(64, &5_u64.to_ne_bytes()).unwrap();
        let added = outcome(&rig, &client, qp.begin_fetch_add(&region, 64, 7)).unwrap();
        assert_eq!((added, exposed.load(64)), (Outcome::Word(5), Ok(12)));
        let swapped = outcome(&rig, &client, qp.begin_compare_swap(&region, 64, 12, 1)).unwrap();
        let kept = outcome(&rig, &client, qp.begin_compare_swap(&region, 64, 12, 2)).unwrap();
        assert_eq!((swapped, kept, exposed.load(64)), (Outcome::Word(12), Outcome::Word(1), Ok(1)));

        // A unit that is pushed after a write tells of bytes that are there.
        let write = qp.begin_write(&region, 0, vec![77; 16 << 10].into());
        rig.push(&client, "look").unwrap();
        assert!(rig.pop(&server).unwrap().expect("told") == *b"look");
        let mut there = vec![0; 16 << 10];
        exposed.read(0, &mut there).unwrap();
        assert!(there.iter().all(|&b| b == 77));
        assert_eq!(outcome(&rig, &client, write).unwrap(), Outcome::Written);
    }
}

#[test]
fn what_is_not_allowed_is_refused_here_or_ends_the_connection() {
    hemi_guest::needs!(Rdma);
    let rig = Rig::new(CLEAN);
    let (server, client) = rig.pair();
    let (bystander, other) = rig.pair();
    let exposed = queue_pair(&server).expose(4096, Rights::READ).unwrap();
    let region = exposed.descriptor();
    let qp = queue_pair(&client);
    let refused = |name: Result<OneSided>| name.unwrap_err().to_string();
    assert!(refused(qp.begin_read(&region, 4000, 97)).contains("outside of the region of 4096 bytes"));
    assert!(refused(qp.begin_write(&region, 0, "no".into())).contains("allows {\"read\"}"));
    assert!(refused(qp.begin_fetch_add(&region, 0, 1)).contains("atomic"));
    rig.push(&client, "nothing happened").unwrap();
    assert!(rig.pop(&server).unwrap().is_some());

    // One that lies about its rights is found by the device, and pays with the connection.
    let lie = RegionDescriptor { rights: Rights::ALL, ..region };
    let error = outcome(&rig, &client, qp.begin_write(&lie, 0, "no".into())).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("RDMA WRITE") && text.contains("IBV_WC_REM_ACCESS_ERR"), "{text}");
    assert!(matches!(rig.pop(&client), Err(Error::Other(_))));
    rig.push(&other, "still here").unwrap();
    assert!(rig.pop(&bystander).unwrap().expect("a unit") == *b"still here");

    // Withdrawn.
    let key = queue_pair(&bystander).expose(4096, Rights::READ).unwrap();
    let region = key.descriptor();
    drop(key);
    let error = outcome(&rig, &other, queue_pair(&other).begin_read(&region, 0, 8)).unwrap_err();
    assert!(error.to_string().contains("IBV_WC_REM_ACCESS_ERR"), "{error}");
}
