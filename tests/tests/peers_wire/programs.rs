//! The other examples, through their own binaries, with plain kernel clients.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    process::{Output, Stdio},
};

use hemi_tests::{
    foreign::{self, connect},
    kernels::HANG,
};
use rustix::process::Signal;

use super::program::{Program, command};

/// A client that speaks in lines.
struct Guest {
    writer: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Guest {
    fn at(server: SocketAddr) -> Self {
        let writer = connect(server);
        let lines = BufReader::new(writer.try_clone().unwrap());
        Self { writer, lines }
    }

    fn says(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    #[track_caller]
    fn hears(&mut self, expected: &str) {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected);
    }
}

fn client_of(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(HANG)).unwrap();
    socket.connect(server).unwrap();
    socket
}

/// An example that ends by itself.
fn run(example: &str, arguments: &[&str]) -> Output {
    command(example).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn ends_well(program: Program) {
    let (said, status) = program.stop(Signal::TERM);
    assert!(status.success(), "{status}: {said:?}");
}

#[test]
fn chat() {
    let mut program = Program::start("chat", &["--tcp", "127.0.0.1:0"]);
    let at = program.listening("tcp");
    let mut a = Guest::at(at); // guests are numbered as they connect
    let mut b = Guest::at(at);
    a.hears("* guest 2 is here");
    b.says("hello");
    a.hears("guest 2: hello");
    a.says("hello yourself");
    b.hears("guest 1: hello yourself");
    drop(a);
    b.hears("* guest 1 has left");
    ends_well(program);
}

#[test]
fn relay_to_echo() {
    let mut echo = Program::start("echo", &["--tcp", "127.0.0.1:0"]);
    let target = echo.listening("tcp").to_string();
    let mut relay = Program::start("relay", &["--tcp", "127.0.0.1:0", "--to", &target]);
    let peer = connect(relay.listening("tcp"));
    let mut writer = peer.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        foreign::write_pattern(&mut writer, 1 << 20).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(foreign::read_pattern(&peer).unwrap(), 1 << 20, "both ends pass through");
    writing.join().unwrap();
    ends_well(relay);
    let (said, status) = echo.stop(Signal::INT);
    assert!(status.success() && said[0].starts_with("1 connections, "), "{said:?}");
}

#[test]
fn stacktop_sees_the_connections_of_both_stacks() {
    let place = std::env::temp_dir().join(format!("hemi-stacktop-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    let place = place.to_str().unwrap();
    let net = |role: &str, n: u8| format!("shm:{place}/nic?role={role}&ip=10.0.0.{n}/24&stats={place}/stats");
    let mut echo = Program::start("echo", &["--net", &net("a", 1), "--tcp", "10.0.0.1:7000"]);
    echo.listening("tcp");
    let to = ["--to", "10.0.0.1:7000", "--to-net", &net("b", 2)];
    let mut relay = Program::start("relay", &[&["--tcp", "127.0.0.1:0"][..], &to].concat());
    let mut guest = Guest::at(relay.listening("tcp"));
    guest.says("hello");
    guest.hears("hello");
    let seen = run("stacktop", &["--once", &format!("{place}/stats")]);
    let said = String::from_utf8(seen.stdout).unwrap();
    assert!(seen.status.success(), "{said} {}", String::from_utf8_lossy(&seen.stderr));
    let connections: Vec<_> = said.lines().filter(|line| line.starts_with("ESTAB ")).collect();
    let [server, client] = connections[..] else { panic!("one connection at each end: {said}") };
    assert!(server.contains(" 10.0.0.1:7000 10.0.0.2:") && client.contains(" 10.0.0.1:7000 cubic"), "{said}");
    assert!(said.contains("tcp_passive_opens 1\n") && said.contains("tcp_active_opens 1\n"), "{said}");
    ends_well(relay);
    echo.stop(Signal::INT);
    let gone = run("stacktop", &["--once", &format!("{place}/stats")]);
    assert!(!gone.status.success() && String::from_utf8_lossy(&gone.stderr).contains("stats="));
    std::fs::remove_dir_all(place).unwrap();
}

#[test]
fn kv() {
    let mut program = Program::start("kv", &["--tcp", "127.0.0.1:0"]);
    let mut client = Guest::at(program.listening("tcp"));
    for (request, reply) in [("PING", "+PONG"), ("SET k 41", "+OK"), ("INCR k", ":42"), ("DBSIZE", ":1")] {
        client.says(request);
        client.hears(reply);
    }
    // As redis-cli sends it.
    client.writer.write_all(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n").unwrap();
    client.hears("$2");
    client.hears("42");
    client.says("QUIT");
    client.hears("+OK");
    assert_eq!(client.lines.read_to_end(&mut Vec::new()).unwrap(), 0, "it hangs up");
    ends_well(program);
}

#[test]
fn pipeline() {
    // Holds readings for long enough that the order does not depend on the machine.
    let mut program = Program::start("pipeline", &["--udp", "127.0.0.1:0", "--hold", "2000"]);
    let sensor = client_of(program.listening("udp"));
    let reading = |kind: u8, sequence: u32, value: i32| {
        [&[kind][..], &sequence.to_be_bytes(), &value.to_be_bytes()].concat()
    };
    for unit in [reading(1, 2, 20), reading(2, 0, 5), reading(1, 1, -10), vec![1, 2, 3], reading(1, 0, 7)] {
        sensor.send(&unit).unwrap();
    }
    for expected in ["kind 1 reading 0 = 7", "kind 1 reading 1 = -10", "kind 1 reading 2 = 20"] {
        assert_eq!(program.line().as_deref(), Some(expected));
    }
    ends_well(program);
}

#[test]
fn wordcount_udp() {
    let mut program = Program::start("wordcount-udp", &["--udp", "127.0.0.1:0"]);
    let client = client_of(program.listening("udp"));
    for (text, answer) in
        [("To be, or not to be", "6 words, 4 different\n"), ("?", "2 be\n2 to\n1 not\n1 or\n")]
    {
        client.send(text.as_bytes()).unwrap();
        let mut got = [0; 2000];
        let len = foreign::recv(&client, &mut got);
        assert_eq!(String::from_utf8_lossy(&got[..len]), answer);
    }
    ends_well(program);
}

/// Several cores share the addresses (`SO_REUSEPORT`), and what they served is told together.
#[test]
fn echo_on_two_cores() {
    // Several cores need a port by its number. Somebody may take one that was free just now: then another.
    let (program, at) = (0..50)
        .find_map(|_| {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
            let mut program = Program::start("echo", &["--cores", "2", "--tcp", &free]);
            let line = program.line()?;
            let at: SocketAddr = line.strip_prefix("listening tcp ")?.parse().unwrap();
            Some((program, at))
        })
        .expect("a port that stays free");
    let mut clients: Vec<_> = (0..64).map(|_| connect(at)).collect();
    for client in &mut clients {
        client.write_all(b"which core?").unwrap();
    }
    for client in &mut clients {
        let mut answer = [0; 11];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"which core?");
    }
    drop(clients);
    let (said, status) = program.stop(Signal::INT);
    assert!(status.success(), "{status}");
    let last = said.last().expect("a closing line");
    assert!(last.starts_with("64 connections, ") && last.ends_with(&format!(" {} bytes", 64 * 11)), "{last}");
}

/// Bad arguments end with a reason, and help says what there is.
#[test]
fn say_what_is_wrong() {
    for (example, wrong, reason) in [
        ("echo", &["--net", "nonsense:"][..], "nonsense"),
        ("echo", &["--tcp", "203.0.113.7:1"], "203.0.113.7:1"),
        ("relay", &["--to", "127.0.0.1:port", "--tcp"], "--tcp"),
        ("latency", &["--role", "bystander"], "bystander"),
        ("latency", &["--sizes", "many"], "many"),
    ] {
        let output = run(example, wrong);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{example} {wrong:?}: {said}");
    }
    for example in ["echo", "chat", "relay", "pipeline", "kv", "wordcount-udp", "latency", "stacktop"] {
        let output = run(example, &["--help"]);
        assert!(output.status.success(), "{example} --help");
        assert!(String::from_utf8_lossy(&output.stdout).contains("--net"), "{example} --help");
    }
}
