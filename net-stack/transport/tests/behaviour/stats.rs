//! `stats=PATH`: what a viewer in another process sees.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Read},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use hemi_net_transport::stats::Sample;
use hemi_queue::transport::SocketOptions;

use crate::rig::Rig;

/// A path of the test's own, whose file is gone before and after.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("hemi-stats-{}-{name}", std::process::id())))
    }

    fn rig(&self) -> Rig {
        Rig::with(&format!("latency=1ms&stats={}-@", self.0.display()), |device| device)
    }

    fn of(&self, host: u8) -> PathBuf {
        PathBuf::from(format!("{}-{host}", self.0.display()))
    }
}

fn look(place: &Place, host: u8) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(place.of(host)).expect("somebody listens");
    stream.set_nonblocking(true).unwrap();
    BufReader::new(stream)
}

fn next(viewer: &mut BufReader<UnixStream>) -> Sample {
    let mut line = String::new();
    viewer.read_line(&mut line).expect("a sample has been sent");
    serde_json::from_str(&line).expect("it is one")
}

const BEAT: Duration = Duration::from_millis(250);

#[test]
fn a_viewer_sees_connections_and_counters_four_times_a_second() {
    let place = Place::new("sees");
    let rig = place.rig();
    let (client, _server) = rig.pair(&SocketOptions::default());
    let mut viewer = look(&place, 2);
    rig.sleep(BEAT);
    let first = next(&mut viewer);
    assert_eq!((first.version, first.pid, first.total), (Sample::VERSION, std::process::id(), 1));
    assert_eq!(first.states.get("ESTAB"), Some(&1), "{:?}", first.states);
    let row = &first.connections[0];
    assert_eq!(Some(row.remote), client.peer_addr().unwrap().ip());
    assert!(row.srtt.is_some_and(|us| us >= 2000.0), "a round trip takes 2 ms: {row:?}");
    let count = |sample: &Sample, name: &str| {
        sample.counters.iter().find(|(n, _)| n == name).map(|(_, value)| *value).expect("it is counted")
    };
    client.start_push(rig.pool.copy_from(&[1; 100]).unwrap()).unwrap();
    rig.sleep(BEAT);
    let second = next(&mut viewer);
    assert_eq!(second.at - first.at, BEAT.as_nanos() as u64);
    assert_eq!(count(&second, "tcp_segments_sent"), count(&first, "tcp_segments_sent") + 1);
}

#[test]
fn a_viewer_that_does_not_read_misses_samples_and_nobody_waits_for_it() {
    let place = Place::new("lazy");
    let rig = place.rig();
    let (mut lazy, mut eager) = (look(&place, 1), look(&place, 1));
    let mut seen = 0;
    for _ in 0..400 {
        rig.sleep(BEAT);
        next(&mut eager);
        seen += 1;
    }
    let mut all = Vec::new();
    let ended = lazy.read_to_end(&mut all).expect_err("it is still connected");
    assert_eq!(ended.kind(), ErrorKind::WouldBlock);
    let got = all.split(|&byte| byte == b'\n').count() - 1;
    assert!((1..seen).contains(&got), "{got} of {seen}: whole samples, as many as fit");
    let line = all.split(|&byte| byte == b'\n').next().unwrap();
    assert!(serde_json::from_slice::<Sample>(line).is_ok());
}

#[test]
fn a_path_in_use_gets_a_number_and_a_left_behind_socket_is_replaced() {
    let place = Place::new("taken");
    let (first, second) = (place.rig(), place.rig());
    let numbered = PathBuf::from(format!("{}.1", place.of(1).display()));
    assert!(place.of(1).exists() && numbered.exists());
    drop((first, second));
    assert!(!place.of(1).exists() && !numbered.exists(), "the files go with the stacks");
    drop(std::os::unix::net::UnixListener::bind(place.of(1)).unwrap()); // leaves its file, as a killed process does
    let again = place.rig();
    assert!(!PathBuf::from(format!("{}.lock", place.of(1).display())).exists());
    again.sleep(BEAT);
    assert!(UnixStream::connect(place.of(1)).is_ok());
}

#[test]
fn a_socket_that_another_one_has_put_in_its_place_stays() {
    let place = Place::new("replaced");
    let rig = place.rig();
    fs::remove_file(place.of(1)).unwrap();
    let other = std::os::unix::net::UnixListener::bind(place.of(1)).unwrap();
    drop(rig);
    assert!(UnixStream::connect(place.of(1)).is_ok());
    drop(other);
    fs::remove_file(place.of(1)).unwrap();
}

/// Whose owner is too busy to let anybody in: connecting to it would wait.
#[test]
fn a_socket_with_a_full_backlog_is_taken_and_nobody_waits_for_it() {
    let place = Place::new("full");
    let busy = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None);
    let (busy, at) = (busy.unwrap(), rustix::net::SocketAddrUnix::new(place.of(1)).unwrap());
    rustix::net::bind(&busy, &at).unwrap();
    rustix::net::listen(&busy, 0).unwrap();
    let _waits = UnixStream::connect(place.of(1)).unwrap();
    let rig = place.rig(); // takes the next name
    assert!(PathBuf::from(format!("{}.1", place.of(1).display())).exists());
    drop(rig);
    assert!(place.of(1).exists());
    fs::remove_file(place.of(1)).unwrap();
}

#[test]
fn a_file_that_is_not_a_socket_is_left_alone() {
    let place = Place::new("file");
    fs::write(place.of(1), "precious").unwrap();
    let rig = place.rig(); // takes the next name
    assert_eq!(fs::read_to_string(place.of(1)).unwrap(), "precious");
    drop(rig);
    fs::remove_file(place.of(1)).unwrap();
}
