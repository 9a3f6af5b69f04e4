//! Devices that disappear, captures, faults.

use std::{cell::Cell, fs, io, rc::Rc, time::Duration};

use hemi_net::{
    Caps, Device, Gone, RxFrame, TxQueue,
    device::Fault,
    sim::{Faults, LinkConfig},
};
use hemi_net_transport::{UserTransport, sim};
use hemi_queue::{
    Pool, Reactor, Uri, Wakeup,
    time::Instant,
    transport::{Endpoint, SocketOptions, Transport},
};

use super::rig::Rig;

/// A device that can be unplugged.
struct Pluggable {
    device: Box<dyn Device>,
    gone: Rc<Cell<bool>>,
}

impl Pluggable {
    fn check(&self) -> Result<(), Gone> {
        let source = io::Error::from_raw_os_error(libc::ENODEV);
        if self.gone.get() { Err(Gone { name: "eth7".into(), source }) } else { Ok(()) }
    }
}

impl Device for Pluggable {
    fn caps(&self) -> Caps {
        self.device.caps()
    }
    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        self.check()?;
        self.device.rx_burst(now, max, frames)
    }
    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        self.check()?;
        self.device.tx_burst(now, frames)
    }
    fn wakeup(&self) -> Wakeup {
        self.device.wakeup()
    }
    fn deadline(&self) -> Option<Instant> {
        self.device.deadline()
    }
}

#[test]
fn a_device_that_disappears_gives_every_queue_an_error() {
    let gone = Rc::new(Cell::new(false));
    let plug = Rc::clone(&gone);
    let rig = Rig::with("latency=1ms", move |device| Box::new(Pluggable { device, gone: plug }));
    let (client, _server) = rig.pair(&SocketOptions::default());
    let any = Endpoint::Ip("10.0.0.2:0".parse().unwrap());
    let options = SocketOptions::default();
    let listener = rig.client.listen(&any, &options).unwrap();
    let datagrams = rig.client.bind(&any, &options).unwrap();
    let closing = rig.pair(&options).0;
    closing.start_push("never arrives".into()).unwrap();
    closing.close();
    gone.set(true);
    rig.turn();
    let texts = [
        rig.until(|cx| client.poll_pop(cx)).map(drop).unwrap_err(),
        rig.until(|cx| client.poll_ready(cx)).unwrap_err(),
        client.start_push("x".into()).unwrap_err().error,
        client.shutdown().unwrap_err(),
        rig.until(|cx| closing.poll_closed(cx)).unwrap_err(),
        rig.until(|cx| listener.poll_accept(cx)).map(drop).unwrap_err(),
        rig.until(|cx| datagrams.poll_pop_from(cx)).map(drop).unwrap_err(),
        datagrams.start_push_to("x".into(), Some(&any)).unwrap_err().error,
        rig.client.connect(&any, &options).map(drop).unwrap_err(),
        rig.client.listen(&any, &options).map(drop).unwrap_err(),
    ];
    for e in texts {
        assert!(
            e.to_string().contains("eth7, which is gone") && e.raw_os_error() == Some(libc::ENODEV),
            "{e}"
        );
    }
    client.close();
    drop((listener, datagrams));
    rig.client.shutdown();
    assert!(rig.client.is_quiet() && rig.client.deadline().is_none());
}

#[test]
fn unknown_parameters_are_refused_with_all_that_are_known() {
    let pool = Pool::new().unwrap();
    let uri: Uri = "sim:?ip=10.0.0.1/24&speed=9".parse().unwrap();
    let device = sim::open(&uri, &pool, 1).unwrap();
    let why = UserTransport::open("sim", &uri, device, &pool, 1).map(drop).unwrap_err().to_string();
    for known in ["burst", "cc", "gw", "ip", "loss", "mac", "mtu", "pcap", "rto_min", "time_wait", "trace"] {
        assert!(why.contains(&format!("{known},")) || why.ends_with(known), "{known}: {why}");
    }
}

/// What a device behind a bad link does to a transfer: nothing, in the end.
#[test]
fn a_bad_link_in_front_of_any_device_harms_nothing() {
    let link = LinkConfig {
        delay: Duration::from_millis(3),
        rate: 20_000_000,
        queue: 40_000,
        faults: Faults {
            loss: 0.03,
            burst: 1,
            duplicate: 0.02,
            reorder: 0.03,
            reorder_by: Duration::from_millis(4),
            corrupt: 0.02,
            jitter: Duration::from_micros(300),
        },
        ..LinkConfig::default()
    };
    let pool = Pool::new().unwrap();
    let rig = Rig::with("latency=1ms", |device| Box::new(Fault::new(device, link, pool, 5)));
    let (client, server) = rig.pair(&SocketOptions::default());
    let noise: Vec<u8> = (0..1_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    client.start_push(noise.clone().into()).unwrap();
    client.shutdown().unwrap();
    let mut got = Vec::new();
    while let Some(unit) = rig.pop(&server).unwrap() {
        got.extend(unit.to_vec());
    }
    assert!(got == noise, "{} bytes of {}", got.len(), noise.len());
    let snapshot = rig.client.snapshot();
    for what in ["fault_tx_lost", "fault_tx_duplicated", "fault_tx_corrupted", "fault_rx_lost"] {
        let count = snapshot.device.iter().find(|(name, _)| name == what).unwrap().1;
        assert!(count > 0, "{what}: none");
    }
    assert!(rig.server.snapshot().counters.drop_tcp_bad_checksum > 0);
}

/// RFC 8899: packets that vanish without a word are found out, and smaller ones are sent.
#[test]
fn a_black_hole_for_large_packets_is_found() {
    let link = LinkConfig { path_mtu: 1200, ..LinkConfig::default() };
    let pool = Pool::new().unwrap();
    let rig = Rig::with("latency=1ms", |device| Box::new(Fault::new(device, link, pool, 5)));
    let (client, server) = rig.pair(&SocketOptions::default());
    client.start_push(vec![4; 100_000].into()).unwrap();
    client.close();
    assert_eq!(rig.pop_all(&server).0, 100_000);
}

/// Fields of the blocks of a pcapng file: type and body.
fn blocks(file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (mut at, mut all) = (0, Vec::new());
    while at < file.len() {
        let len = word(at + 4) as usize;
        assert_eq!(word(at + len - 4) as usize, len, "the length stands at both ends");
        all.push((word(at), file[at + 8..at + len - 4].to_vec()));
        at += len;
    }
    all
}

#[test]
fn captures_are_the_same_for_the_same_seed_and_hold_every_frame() {
    let run = |name: &str| {
        let path =
            |host| std::env::temp_dir().join(format!("hemi-{}-{name}-{host}.pcapng", std::process::id()));
        let bad = "latency=1ms&loss=5%&dup=2%&corrupt=1%";
        let rig = Rig::with(&format!("{bad}&pcap={}", path("@").display()), |d| d);
        let (client, server) = rig.pair(&SocketOptions::default());
        client.start_push(vec![5; 200_000].into()).unwrap();
        client.close();
        assert_eq!(rig.pop_all(&server).0, 200_000);
        rig.sleep(Duration::from_secs(5));
        let frames = rig.client.snapshot().counters.tx_frames;
        drop((client, server, rig));
        let file = fs::read(path("2")).unwrap();
        for host in ["1", "2"] {
            fs::remove_file(path(host)).unwrap();
        }
        (file, frames)
    };
    let (one, frames) = run("one");
    let (other, _) = run("other");
    assert!(one == other, "the same seed gives another capture");
    let blocks = blocks(&one);
    assert_eq!((blocks[0].0, blocks[1].0), (0x0a0d_0d0a, 1));
    let sent = blocks.iter().filter(|(kind, body)| *kind == 6 && body[body.len() - 8] == 2).count();
    assert_eq!(sent as u64, frames);
}

/// With the programs that people look at captures with.
mod peers_wire {
    use std::{path::Path, process::Command};

    use super::*;

    /// What `program` prints of a capture.
    fn look(program: &Path, capture: &Path, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).arg(capture).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {error}", program.display());
        String::from_utf8(output.stdout).unwrap()
    }

    /// On a clean link, Wireshark's analysis finds nothing to complain of: no malformed packet, no bad checksum, nothing sent
    /// twice, nothing out of order.
    #[test]
    fn wireshark_finds_no_fault_with_what_we_send() {
        let tshark = hemi_skip::program!("tshark", "tshark");
        let capinfos = hemi_skip::program!("capinfos", "tshark");
        let file = |host: &str| {
            std::env::temp_dir().join(format!("hemi-{}-clean-{host}.pcapng", std::process::id()))
        };
        let rig = Rig::with(&format!("latency=1ms&rate=1G&pcap={}", file("@").display()), |d| d);
        let options = SocketOptions::default();
        for ip in ["10.0.0.1", "fd00::1"] {
            let at = Endpoint::Ip((ip.parse::<std::net::IpAddr>().unwrap(), 0).into());
            let listener = rig.server.listen(&at, &options).unwrap();
            let client = rig.client.connect(&listener.local_addr().unwrap(), &options).unwrap();
            let server = rig.until(|cx| listener.poll_accept(cx)).unwrap().unwrap();
            client.start_push(vec![6; 300_000].into()).unwrap();
            server.start_push(vec![7; 30_000].into()).unwrap();
            client.shutdown().unwrap();
            assert_eq!(rig.pop_all(&server).0, 300_000);
            server.close();
            assert_eq!(rig.pop_all(&client).0, 30_000);
            client.close();
            // Fragments, too.
            let to = rig.server.bind(&at, &options).unwrap();
            let from = rig.client.bind(&Endpoint::Ip(([0; 8], 0).into()), &options).unwrap();
            from.start_push_to(vec![8; 5000].into(), Some(&to.local_addr().unwrap())).unwrap();
            assert_eq!(rig.until(|cx| to.poll_pop_from(cx)).unwrap().unwrap().0.len(), 5000);
            rig.sleep(Duration::from_secs(2));
        }
        drop(rig);
        let capture = file("2");
        let about = look(&capinfos, &capture, &["-t", "-E", "-c"]);
        assert!(about.contains("pcapng") && about.contains("Ethernet"), "{about}");
        let checks = ["ip", "tcp", "udp"].map(|p| format!("{p}.check_checksum:TRUE"));
        let wrong = "_ws.malformed || _ws.expert.severity >= 6291456 || tcp.analysis.retransmission \
             || tcp.analysis.out_of_order || tcp.analysis.lost_segment || tcp.checksum.status == 0 \
             || ip.checksum.status == 0 || udp.checksum.status == 0";
        let complaints = look(
            &tshark,
            &capture,
            &["-o", &checks[0], "-o", &checks[1], "-o", &checks[2], "-Y", wrong, "-r"],
        );
        assert_eq!(complaints, "");
        let good = look(&tshark, &capture, &["-o", &checks[1], "-Y", "tcp.checksum.status == 1", "-r"]);
        assert!(good.lines().count() > 400, "tshark has looked at {} segments", good.lines().count());
        for host in ["1", "2"] {
            fs::remove_file(file(host)).unwrap();
        }
    }
}
