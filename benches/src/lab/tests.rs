//! Whole experiments, brief ones.

use super::*;
use crate::client;
use crate::contestants::{Failure, epoll::Epoll, floor::Floor};
use crate::scenario::{Pace, Transport};

fn brief(transport: Transport) -> Scenario {
    let (warm_up, measure) = (Duration::from_millis(5), Duration::from_millis(30));
    Scenario { transport, size: 64, connections: 1, depth: 1, pace: Pace::Closed, warm_up, measure }
}

fn lab(subjects: Vec<Subject>) -> Option<Lab> {
    let Ok(cores) = Cores::choose(None, None) else {
        eprintln!("SKIPPED: hemi_bench::lab: two cores are needed");
        return None;
    };
    Some(Lab { subjects, rounds: 3, cores, drive: client::drive })
}

#[test]
fn contestants_take_turns_and_are_compared_with_the_floor() {
    let ours: Vec<Subject> = vec![Subject::Ours(Box::new(Epoll)), Subject::Ours(Box::new(Floor))];
    let Some(lab) = lab(ours) else { return };
    let mut order = Vec::new();
    let experiment = lab.run(&brief(Transport::Tcp), &mut |name| order.push(name.to_owned())).expect("runs");
    assert_eq!(order, ["epoll", "floor", "epoll", "floor", "epoll", "floor"]);
    assert_eq!(experiment.floor, Some(1));
    for entry in &experiment.entries {
        assert_eq!(entry.samples.len(), 3);
        assert!(entry.merged.count() > 0);
        assert!(experiment.ratio(entry, 50.0).expect("there is a floor") > 0.0);
    }
    let floor = &experiment.entries[1];
    assert!((experiment.ratio(floor, 50.0).expect("of itself") - 1.0).abs() < 1e-9);
}

#[test]
fn somebody_elses_server_can_be_driven() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut message = [0; 64];
        while let Ok((n, client)) = socket.recv_from(&mut message) {
            if socket.send_to(&message[..n], client).is_err() {
                break;
            }
        }
    });
    let Some(lab) = lab(vec![Subject::Peer(address)]) else { return };
    let experiment = lab.run(&brief(Transport::Udp), &mut |_| {}).expect("runs");
    assert!(experiment.entries[0].merged.count() > 0);
    assert_eq!(experiment.ratio(&experiment.entries[0], 50.0), None);
}

struct Broken;

impl Contestant for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn about(&self) -> &'static str {
        "fails before it listens"
    }

    fn serves(&self, transport: Transport) -> bool {
        transport == Transport::Tcp
    }

    fn serve(
        &self,
        _: Transport,
        _: SocketAddr,
        _: &mut dyn FnMut(SocketAddr),
        _: &Stop,
    ) -> Result<(), Failure> {
        Err("out of luck".into())
    }
}

#[test]
fn a_server_that_fails_says_why() {
    let Some(lab) = lab(vec![Subject::Ours(Box::new(Broken))]) else { return };
    let error = lab.run(&brief(Transport::Tcp), &mut |_| {}).expect_err("it never listens");
    assert!(error.chain().contains("out of luck"), "{}", error.chain());
    assert_eq!(lab.samples(&[brief(Transport::Tcp), brief(Transport::Udp)]), 3);
}
