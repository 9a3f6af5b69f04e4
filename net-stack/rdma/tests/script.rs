//! One connection, as a story: calls, what goes over the wire, what comes of it.

mod model;

use std::time::Duration;

use hemi_queue::{Buf, Sga};
use hemi_rdma::{
    Config, Connection, Failure, MIN_WINDOW, Operation, Outcome, Popped, PushRefusal, ReceiveBudget, Refusal,
    RegionError, Rights, Status,
};
use model::{Duo, transmit};

/// Receive buffers of 256 bytes, as few as may be; everything larger is read.
fn small() -> Config {
    Config {
        buffer: 256,
        window: MIN_WINDOW,
        send_depth: 64,
        max_sge: 4,
        inline: 64,
        reads: 4,
        rendezvous_from: 257,
        largest_unit: 100_000,
        ..Config::default()
    }
}

fn duo() -> Duo {
    Duo::new(small(), small())
}

#[test]
fn a_small_unit_is_one_send_and_is_let_go_at_once() {
    let mut duo = duo();
    duo.push(0, duo.unit(0, 64, 7));
    assert_eq!(duo.held(0), 1);
    duo.devices[0].drive(1, duo.now);
    assert_eq!(duo.held(0), 0, "inline: the device has its copy");
    duo.turn(0);
    assert_eq!(duo.trace(0), ["Data 64 inline"]);
    duo.turn(1);
    assert_eq!(duo.pop(1), Some(vec![7; 64]));
    duo.settle();
    assert_eq!((duo.trace(0), duo.trace(1)), (vec![], vec![]), "no credits for one unit alone");
}

#[test]
fn a_unit_that_fits_a_buffer_is_held_until_its_completion() {
    let mut duo = duo();
    duo.push(0, duo.parts(0, 200, 90, 7));
    duo.devices[0].drive(1, duo.now);
    assert_eq!(duo.held(0), 3, "free-protection: the device reads them");
    duo.turn(0);
    assert_eq!(duo.trace(0), ["Data 200 signalled"]);
    duo.settle();
    assert_eq!((duo.held(0), duo.pop(1)), (0, Some(vec![7; 200])));
}

#[test]
fn a_large_unit_is_read_by_the_peer_and_held_until_it_was() {
    let mut duo = duo();
    duo.push(0, duo.parts(0, 3000, 2048, 9));
    duo.turn(0);
    assert_eq!(duo.trace(0), ["Announce 32 inline"]);
    assert!(duo.held(0) == 2 && duo.client().is_flushed() && !duo.client().is_acked());
    duo.turn(1);
    // Two segments, two buffers of 2048 bytes there: the first segment fills the first.
    assert_eq!(duo.trace(1), ["READ 2048", "READ 952 signalled"]);
    assert_eq!(duo.held(0), 2);
    duo.turn(1);
    assert_eq!(duo.trace(1), ["Done 4 inline"]);
    duo.turn(0);
    assert_eq!((duo.held(0), duo.pop(1)), (0, Some(vec![9; 3000])));
    duo.settle();
    assert!(duo.client().stats().copied_bytes == 0 && duo.server().stats().reads == 2);
}

#[test]
fn many_small_parts_are_read_into_few_buffers() {
    let mut duo = duo();
    duo.push(0, duo.parts(0, 1000, 60, 3));
    duo.settle();
    let trace = duo.trace(0);
    assert_eq!(
        trace[..2],
        ["Announce 256 more", "Announce 16 inline signalled"],
        "16 segments fit a receive buffer"
    );
    assert_eq!(duo.trace(1).iter().filter(|line| line.starts_with("READ")).count(), 17);
    match duo.server().pop() {
        Ok(Popped::Unit(unit)) => assert_eq!((unit.to_vec(), unit.parts()), (vec![3; 1000], 2)),
        other => panic!("{other:?}"),
    }
    assert_eq!(duo.held(0), 0);
}

#[test]
fn memory_that_the_device_does_not_know_is_copied_and_counted() {
    let mut duo = duo();
    duo.push(0, vec![5; 600]);
    duo.settle();
    assert_eq!(duo.trace(0), ["Data 256 more", "Data 256 more", "Data 88 signalled"]);
    assert_eq!((duo.pop(1), duo.client().stats().copied_bytes), (Some(vec![5; 600]), 600));
    duo.push(0, vec![6; 64]);
    duo.settle();
    assert_eq!(
        (duo.pop(1), duo.client().stats().copied_bytes),
        (Some(vec![6; 64]), 600),
        "inline needs no key"
    );
}

#[test]
fn an_end_that_reads_nothing_gets_pieces() {
    let mut duo = Duo::new(small(), Config { reads: 0, ..small() });
    duo.push(0, duo.unit(0, 600, 5));
    duo.settle();
    assert_eq!(duo.trace(0), ["Data 256 more", "Data 256 more", "Data 88 signalled"]);
    assert_eq!((duo.pop(1), duo.client().stats().copied_bytes), (Some(vec![5; 600]), 0));
}

#[test]
fn what_waits_for_memory_goes_on_when_there_is_some() {
    let mut duo = duo();
    duo.devices[0].drained.set(true);
    duo.push(0, vec![5; 100]);
    duo.settle();
    assert!(duo.client().is_starved() && !duo.client().is_flushed());
    duo.devices[0].drained.set(false);
    duo.settle();
    assert_eq!(duo.pop(1), Some(vec![5; 100]));
}

#[test]
fn empty_units_and_empty_parts_are_units_too() {
    let mut duo = duo();
    duo.push(0, Sga::new());
    duo.push(0, Buf::new());
    duo.push(0, duo.unit(0, 1, 1));
    duo.settle();
    assert_eq!(
        [duo.pop(1), duo.pop(1), duo.pop(1), duo.pop(1)],
        [Some(vec![]), Some(vec![]), Some(vec![1]), None]
    );
}

#[test]
fn who_does_not_pop_holds_up_units_and_nothing_else() {
    let mut duo = duo();
    for n in 0..20 {
        duo.push(0, duo.unit(0, 64, n));
    }
    duo.settle();
    assert_eq!(duo.trace(0).len(), 4, "a window of eight less the reserve of four");
    assert_eq!(duo.client().stats().out_of_credit, 1);

    // The other way a unit that has to be read, and reported: the reserve serves that.
    for _ in 0..5 {
        duo.push(1, duo.unit(1, 2000, 9));
        duo.settle();
        assert_eq!((duo.pop(0), duo.held(1) - 4), (Some(vec![9; 2000]), 0), "four units wait at the server");
    }
    assert!(duo.trace(0).iter().all(|line| !line.starts_with("Data")), "{:?}", duo.trace(0));

    let mut popped = Vec::new();
    while let Some(unit) = duo.pop(1) {
        popped.push(unit[0]);
        duo.settle();
    }
    assert_eq!(popped, (0..20).collect::<Vec<_>>());
}

#[test]
fn one_way_traffic_is_granted_in_time() {
    let mut duo = duo();
    for n in 0..100 {
        duo.push(0, duo.unit(0, 10, n));
        duo.settle();
        assert_eq!(duo.pop(1), Some(vec![n; 10]));
    }
    duo.settle();
    let grants = duo.trace(1).len();
    assert!((30..=50).contains(&grants), "{grants} grants for 100 units, of a window that lets two pass");
    assert_eq!(duo.client().stats().out_of_credit, 0, "and no unit ever waits");
}

#[test]
fn an_echo_needs_no_grants() {
    let mut duo = duo();
    for n in 0..100 {
        duo.push(0, duo.unit(0, 10, n));
        duo.settle();
        let unit = duo.pop(1).expect("the request");
        duo.push(1, unit);
        duo.settle();
        assert_eq!(duo.pop(0), Some(vec![n; 10]));
    }
    assert_eq!(
        (duo.client().stats().grants, duo.server().stats().grants),
        (0, 0),
        "each message brings credits"
    );
}

#[test]
fn a_unit_in_pieces_needs_no_window_of_its_size_but_room() {
    let config = Config { reads: 0, recv_limit: 600, ..small() };
    let mut duo = Duo::new(config, config);
    duo.push(0, vec![1; 10_000]);
    duo.push(0, vec![2; 10_000]);
    duo.settle();
    // The first is whole; of the second only what the window holds is there, because nobody pops.
    let sent = duo.trace(0).len();
    assert!((40..=44).contains(&sent), "{sent} pieces of 256 bytes");
    assert!(duo.held(1) <= 44, "{} buffers", duo.held(1));
    assert_eq!(duo.pop(1), Some(vec![1; 10_000]));
    duo.settle();
    assert_eq!(duo.pop(1), Some(vec![2; 10_000]));
}

#[test]
fn what_nobody_pops_is_not_read() {
    let mut duo = Duo::new(small(), Config { recv_limit: 5000, ..small() });
    for n in 0..4 {
        duo.push(0, duo.unit(0, 2048, n));
    }
    duo.settle();
    assert_eq!(duo.server().stats().reads, 3, "two are 4096 bytes, below the limit; the third is above");
    assert_eq!(duo.pop(1), Some(vec![0; 2048]));
    duo.settle();
    assert_eq!(duo.server().stats().reads, 4);
}

#[test]
fn a_push_is_bounded_and_refused_for_a_reason() {
    let mut duo = Duo::new(Config { send_limit: 100, ..small() }, Config { largest_unit: 5000, ..small() });
    let refusal = |duo: &mut Duo, len: usize| duo.client().push(vec![1; len].into()).map_err(|(why, _)| why);
    assert_eq!(refusal(&mut duo, 5001), Err(PushRefusal::UnitTooLarge { got: 5001, limit: 5000 }));
    assert_eq!(refusal(&mut duo, 150), Ok(()));
    assert!(!duo.client().is_ready());
    assert_eq!(refusal(&mut duo, 50), Ok(()));
    assert_eq!(refusal(&mut duo, 1), Err(PushRefusal::Busy));
    duo.settle();
    assert!(duo.client().is_ready());
    duo.client().finish();
    assert_eq!(refusal(&mut duo, 1), Err(PushRefusal::Closed));
}

#[test]
fn a_limit_below_the_receive_buffer_is_a_limit_too() {
    let mut duo = Duo::new(small(), Config { largest_unit: 100, ..small() });
    duo.push(0, duo.unit(0, 100, 1));
    duo.settle();
    assert_eq!(duo.pop(1), Some(vec![1; 100]));
    let refused = duo.client().push(vec![1; 101].into()).map_err(|(why, _)| why);
    assert_eq!(refused, Err(PushRefusal::UnitTooLarge { got: 101, limit: 100 }));
}

#[test]
fn keep_alive_asks_and_is_answered() {
    let mut duo = duo();
    duo.client().set_keep_alive(Some(Duration::from_millis(10)));
    duo.pass(Duration::from_millis(10));
    let now = duo.now;
    assert_eq!(duo.client().deadline(), Some(now));
    duo.client().on_time(now);
    assert_eq!(duo.client().deadline(), Some(now + Duration::from_millis(10)), "for the answer");
    duo.pass(Duration::from_millis(9));
    duo.settle();
    assert_eq!(duo.trace(0), ["WRITE 0 signalled"], "it is wanted, and goes out when it can");
    let now = duo.now;
    assert_eq!(duo.client().deadline(), Some(now + Duration::from_millis(10)));
    duo.pass(Duration::from_millis(10));
    duo.settle();
    assert_eq!((duo.trace(0).len(), duo.client().failure()), (1, None), "asked and answered again");
}

/// Its device takes the probe and retries for ever, and the word of the disconnect was lost: what happens in soft-RoCE.
#[test]
fn a_peer_that_gives_no_sign_of_life_is_given_up_whatever_the_device_does() {
    let mut duo = duo();
    duo.client().set_keep_alive(Some(Duration::from_millis(10)));
    duo.pass(Duration::from_millis(10));
    let now = duo.now;
    duo.devices[0].drive(1000, now);
    assert!(!duo.client().has_work(), "posted, and nothing comes of it");
    duo.pass(Duration::from_millis(9));
    let now = duo.now;
    duo.client().on_time(now);
    assert_eq!(duo.client().failure(), None);
    duo.pass(Duration::from_millis(1));
    let now = duo.now;
    duo.client().on_time(now);
    assert_eq!(duo.client().failure(), Some(&Failure::NoAnswer));
    assert!(duo.client().wants_disconnect());
    // Long asleep, it is asked before it is given up.
    let mut duo = self::duo();
    duo.client().set_keep_alive(Some(Duration::from_millis(10)));
    duo.pass(Duration::from_secs(1));
    duo.settle();
    assert_eq!((duo.trace(0).len(), duo.client().failure()), (1, None));
}

#[test]
fn acked_is_asked_for_with_an_empty_write() {
    let mut duo = duo();
    duo.push(0, duo.unit(0, 10, 1));
    duo.settle();
    assert!(duo.client().is_flushed() && !duo.client().is_acked(), "nobody has told");
    duo.settle();
    assert_eq!(duo.trace(0), ["Data 10 inline", "WRITE 0 signalled"]);
    assert!(duo.client().is_acked());
}

#[test]
fn a_half_close_lets_the_other_direction_go_on() {
    let mut duo = duo();
    duo.push(0, duo.unit(0, 10, 1));
    duo.client().finish();
    duo.settle();
    assert_eq!(duo.trace(0), ["Data 10 inline", "Finish 0"]);
    assert_eq!(duo.pop(1), Some(vec![1; 10]));
    assert!(duo.is_at_end(1));
    duo.push(1, duo.parts(1, 3000, 1000, 2));
    duo.server().finish();
    duo.settle();
    assert_eq!(duo.pop(0), Some(vec![2; 3000]));
    assert!(duo.is_at_end(0));
}

#[test]
fn what_was_accepted_before_a_close_arrives() {
    let mut duo = duo();
    for n in 0..10 {
        duo.push(0, duo.unit(0, if n % 2 == 0 { 10 } else { 2000 }, n));
    }
    let now = duo.now;
    duo.client().close(now);
    let mut got = Vec::new();
    for _ in 0..20 {
        duo.settle();
        if let Ok(Popped::Unit(unit)) = duo.server().pop() {
            got.push(unit.to_vec()[0]);
        }
    }
    assert_eq!(got, (0..10).collect::<Vec<_>>());
    assert!(duo.is_at_end(1), "an end, not an error");
    assert_eq!(duo.trace(1).last().map(String::as_str), Some("Close 0 signalled"), "the answer");
    assert!(duo.client().is_quiet() && duo.server().is_quiet());
    assert_eq!(duo.client().failure(), None);
    assert_eq!(duo.server().failure(), None);
    assert_eq!((duo.held(0), duo.held(1)), (0, 0));
    for device in &duo.devices {
        assert_eq!(device.budget.now_promised(), 0);
    }
    assert!(matches!(duo.server().push(Sga::new()), Err((PushRefusal::Failed(Failure::ClosedByPeer), _))));
    assert!(matches!(duo.client().pop(), Err(Failure::Aborted)));
}

#[test]
fn a_close_cancels_what_was_announced_and_not_read() {
    let mut duo = duo();
    for n in 0..3 {
        duo.push(1, duo.unit(1, 2000, n));
    }
    duo.turn(1);
    assert_eq!((duo.trace(1).len(), duo.held(1)), (3, 3));
    let now = duo.now;
    duo.client().close(now);
    duo.settle();
    assert_eq!(duo.client().stats().reads, 0, "nobody wants them");
    assert_eq!(duo.trace(0)[..2], ["Done 4 inline", "Close 0 signalled"]);
    assert_eq!((duo.held(0), duo.held(1)), (0, 0));
    assert!(duo.client().is_quiet() && duo.server().is_quiet());
}

#[test]
fn a_close_waits_so_long_and_no_longer() {
    let mut duo = duo();
    let now = duo.now;
    duo.client().set_close_limit(Some(Duration::from_secs(2)));
    duo.client().close(now);
    duo.turn(0); // and the server does not get to run
    assert_eq!(duo.client().deadline(), Some(now + Duration::from_secs(2)));
    duo.pass(Duration::from_secs(2));
    duo.turn(0);
    assert_eq!(duo.client().failure(), Some(&Failure::CloseTimedOut));
    duo.turn(0);
    assert!(duo.client().is_quiet());
    duo.settle();
    assert!(duo.is_at_end(1), "it had said Close");
}

/// What is late is not lost: a slow peer, or a slow wire, gets all that was accepted, however long that takes.
#[test]
fn a_close_waits_for_as_long_as_it_gets_on() {
    let mut duo = Duo::new(Config { close_timeout: Duration::from_secs(2), ..small() }, small());
    for n in 0..12 {
        duo.push(0, duo.unit(0, 200, n));
    }
    let now = duo.now;
    duo.client().close(now);
    for n in 0..12 {
        duo.settle();
        assert_eq!(duo.pop(1), Some(vec![n; 200]));
        duo.pass(Duration::from_millis(900));
    }
    duo.settle();
    assert_eq!(duo.client().failure(), None);
    assert!(duo.client().is_quiet() && duo.is_at_end(1));

    // The peer's device answers probes, and nobody there pops: that gets nowhere.
    let config =
        Config { close_timeout: Duration::from_secs(5), keep_alive: Some(Duration::from_secs(1)), ..small() };
    let mut duo = Duo::new(config, small());
    for n in 0..12 {
        duo.push(0, duo.unit(0, 200, n));
    }
    let now = duo.now;
    duo.client().close(now);
    for _ in 0..12 {
        duo.settle();
        duo.pass(Duration::from_secs(1));
    }
    duo.settle();
    assert_eq!(duo.client().failure(), Some(&Failure::CloseTimedOut));
}

#[test]
fn an_abort_is_a_reset_for_the_peer_after_what_had_arrived() {
    let mut duo = duo();
    duo.push(0, duo.unit(0, 10, 1));
    duo.turn(0);
    duo.client().abort();
    duo.settle();
    assert_eq!(duo.pop(1), Some(vec![1; 10]));
    assert_eq!(duo.server().pop().map(drop), Err(Failure::Disconnected));
    assert!(matches!(Failure::Disconnected.error("pop", "peer"), hemi_queue::Error::Reset));
    assert!(duo.client().is_quiet() && duo.server().is_quiet());
}

#[test]
fn a_dead_peer_is_found_by_keep_alive() {
    let mut duo = duo();
    duo.client().set_keep_alive(Some(Duration::from_millis(10)));
    duo.pass(Duration::from_millis(9));
    duo.settle();
    assert_eq!(duo.trace(0), Vec::<String>::new());
    duo.pass(Duration::from_millis(1));
    duo.settle();
    assert_eq!(duo.trace(0), ["WRITE 0 signalled"]);
    assert!(duo.client().failure().is_none());

    duo.devices[1].flush(0); // its process is gone, and nobody tells
    duo.pass(Duration::from_millis(10));
    duo.turn(0);
    duo.turn(0);
    assert_eq!(duo.trace(0)[0], "WRITE 0 signalled: IBV_WC_RETRY_EXC_ERR");
    let failure = Failure::Work { operation: Operation::Probe, status: Status::RetryExceeded };
    assert_eq!(duo.client().failure(), Some(&failure));
    let text = failure.error("pop", "10.0.0.1:7000").to_string();
    for part in ["pop", "10.0.0.1:7000", "keep-alive", "IBV_WC_RETRY_EXC_ERR"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_failure_ends_everything_and_releases_every_buffer() {
    let mut duo = duo();
    let now = duo.now;
    for _ in 0..6 {
        duo.push(0, duo.unit(0, 200, 1));
    }
    duo.push(0, duo.unit(0, 2000, 1));
    duo.devices[0].drive(0, now);
    let [a, b] = &mut duo.devices;
    transmit(a, Some(b), 0);
    duo.devices[0].flush(0);
    assert_eq!(duo.held(0), 7);
    duo.settle();
    assert_eq!(duo.client().failure(), Some(&Failure::Disconnected), "flushed, and nobody said why");
    assert_eq!((duo.held(0), duo.client().is_quiet()), (0, true));
    assert!(matches!(duo.client().push(Sga::new()), Err((PushRefusal::Failed(Failure::Disconnected), _))));
    assert!(duo.client().take_changes().state());
}

#[test]
fn a_buffer_that_is_being_read_into_stays_until_the_device_says_so() {
    let mut duo = duo();
    duo.push(0, duo.parts(0, 1000, 300, 3));
    duo.turn(0);
    let now = duo.now;
    duo.devices[1].drive(10, now); // the READs are posted: four segments into one buffer
    assert_eq!(duo.held(1), 2, "the buffer, and the announcement");
    let server = duo.server();
    server.fail(Failure::Device { what: "the port is down", errno: 0 });
    server.stopped();
    assert_eq!(duo.held(1), 1, "only the buffer");
    duo.devices[1].flush(0);
    duo.devices[1].complete(0, 3);
    duo.devices[1].drive(10, now);
    assert_eq!(duo.held(1), 1);
    duo.settle();
    assert!(duo.held(1) == 0 && duo.server().is_quiet());
}

#[test]
fn a_buffer_of_the_next_announcement_stays_when_the_one_before_it_is_cancelled() {
    let mut duo = Duo::new(small(), Config { reads: 2, ..small() });
    duo.push(0, duo.unit(0, 2000, 1));
    duo.push(0, duo.parts(0, 1200, 300, 2));
    duo.turn(0);
    let now = duo.now;
    duo.devices[1].drive(10, now); // a READ of each is posted
    assert_eq!(duo.server().stats().reads, 2);
    duo.server().close(now);
    let before = duo.held(1);
    let sequence = duo.devices[1].posted(0)[0];
    duo.server().completed(sequence, Ok(()), now);
    assert_eq!(
        duo.held(1),
        before - 2,
        "the first's buffer and list; the second's buffer is being read into"
    );
    duo.settle();
    assert!(duo.held(1) == 0 && duo.held(0) == 0);
    assert!(duo.client().is_quiet() && duo.server().is_quiet());
}

#[test]
fn what_is_announced_and_posted_is_flushed_and_says_so() {
    let mut duo = Duo::new(Config { send_limit: 1000, ..small() }, small());
    duo.push(0, duo.unit(0, 2000, 1));
    duo.client().take_changes();
    let now = duo.now;
    duo.devices[0].drive(10, now);
    assert!(duo.client().is_flushed() && !duo.client().is_ready());
    assert!(duo.client().take_changes().writable());
}

#[test]
fn announced_memory_stays_until_the_queue_pair_is_stopped() {
    let mut duo = duo();
    duo.push(0, duo.unit(0, 2000, 3));
    duo.turn(0);
    duo.client().fail(Failure::Device { what: "the port is down", errno: 0 });
    assert_eq!(duo.held(0), 1, "the peer may be reading it");
    duo.client().stopped();
    assert_eq!(duo.held(0), 0);
    duo.client().destroyed();
    assert!(duo.client().is_quiet());
}

#[test]
fn a_peer_of_another_version_is_refused_in_both_directions() {
    let mut duo = Duo::meeting(small(), small());
    let mut reply = duo.server().hello();
    reply[4] = 2;
    let now = duo.now;
    duo.client().established(Some(&reply), now);
    let failure = Failure::Incompatible(Refusal::Version { theirs: 2 });
    assert_eq!(duo.client().failure(), Some(&failure));
    assert!(failure.to_string().contains("different versions of the protocol (2 and not 1)"));
    assert!(duo.client().wants_disconnect());
    duo.client().stopped();
    assert!(duo.client().is_quiet());
}

#[test]
fn the_first_message_may_come_before_the_connection_managers_word() {
    let mut duo = Duo::meeting(small(), small());
    let reply = duo.server().hello();
    let now = duo.now;
    duo.client().established(Some(&reply), now);
    duo.push(0, duo.unit(0, 10, 1));
    duo.turn(0);
    assert!(!duo.server().is_established());
    duo.turn(1);
    assert!(duo.server().is_established());
    assert_eq!(duo.pop(1), Some(vec![1; 10]));
}

#[test]
fn connections_share_a_receive_queue_and_no_more_than_there_is() {
    let budget = ReceiveBudget::new(20);
    let first = Connection::connecting(0, small(), &budget).expect("8 of 20");
    let second = Connection::connecting(1, small(), &budget).expect("16 of 20");
    let third = Connection::connecting(2, small(), &budget).map(drop);
    assert_eq!(third, Err(Refusal::NoBuffers));
    assert_eq!(budget.wanted(), 16);
    drop(first);
    assert!(Connection::connecting(2, small(), &budget).is_ok());
    drop(second);
    assert_eq!((budget.wanted(), budget.now_promised()), (0, 0));
}

#[test]
fn one_sided_operations_reach_into_the_peers_memory_in_order_with_units() {
    let mut duo = duo();
    let region = duo.devices[1].expose(1000, Rights::ALL);
    duo.push(0, duo.unit(0, 10, 1));
    let written = duo.client().write_at(&region, 100, vec![8; 300].into()).expect("allowed");
    duo.push(0, duo.unit(0, 10, 2));
    let read = duo.client().read_at(&region, 90, 20).expect("allowed");
    let added = duo.client().fetch_add(&region, 8, 5).expect("allowed");
    let swapped = duo.client().compare_swap(&region, 8, 5, 9).expect("allowed");
    let kept = duo.client().compare_swap(&region, 8, 5, 1).expect("allowed");
    duo.settle();
    assert_eq!(
        duo.trace(0),
        [
            "Data 10 inline",
            "WRITE 300 signalled",
            "Data 10 inline",
            "READ 20 signalled",
            "FETCH_ADD signalled",
            "COMPARE_SWAP signalled",
            "COMPARE_SWAP signalled"
        ]
    );
    assert!(duo.client().take_changes().done());
    let done: Vec<_> = std::iter::from_fn(|| duo.client().next_done()).collect();
    let expected = [[0; 10], [8; 10]].concat();
    let outcomes = [
        (written, Ok(Outcome::Written)),
        (read, Ok(Outcome::Read(expected.into()))),
        (added, Ok(Outcome::Word(0))),
        (swapped, Ok(Outcome::Word(5))),
        (kept, Ok(Outcome::Word(9))),
    ];
    assert_eq!(done, outcomes);
    drop((done, outcomes));
    let parts = duo.parts(0, 900, 100, 1);
    let long = duo.client().write_at(&region, 0, parts).expect("allowed");
    duo.settle();
    assert_eq!(duo.trace(0), ["WRITE 400", "WRITE 400", "WRITE 100 signalled"], "four elements at a time");
    assert_eq!(duo.client().next_done(), Some((long, Ok(Outcome::Written))));
    assert_eq!(duo.held(0), 0);
}

#[test]
fn one_sided_operations_are_checked_before_they_are_posted() {
    let mut duo = duo();
    let region = duo.devices[1].expose(1000, Rights::READ);
    let client = duo.client();
    assert!(matches!(client.read_at(&region, 900, 101), Err(RegionError::Outside { .. })));
    assert!(matches!(client.write_at(&region, 0, vec![1].into()), Err(RegionError::Rights { .. })));
    assert!(matches!(client.fetch_add(&region, 0, 1), Err(RegionError::Rights { .. })));
    let busy = (0..1000).find_map(|_| client.read_at(&region, 0, 1).err());
    assert_eq!(busy, Some(RegionError::Busy { limit: 256 }));
    duo.settle();
    assert_eq!(std::iter::from_fn(|| duo.client().next_done()).count(), 256);
}

#[test]
fn a_region_that_was_withdrawn_ends_the_connection_and_says_so() {
    let mut duo = duo();
    let region = duo.devices[1].expose(1000, Rights::ALL);
    duo.devices[1].exposed = None;
    let lost = duo.client().write_at(&region, 0, vec![1; 100].into()).expect("not known here");
    let after = duo.client().read_at(&region, 0, 10).expect("not known here");
    duo.settle();
    let failure = Failure::Work { operation: Operation::Write, status: Status::RemoteAccess };
    let done: Vec<_> = std::iter::from_fn(|| duo.client().next_done()).collect();
    assert_eq!(done, [(lost, Err(failure.clone())), (after, Err(failure.clone()))]);
    assert_eq!((duo.held(0), duo.client().failure()), (0, Some(&failure)));
    assert!(duo.client().is_quiet());
}
