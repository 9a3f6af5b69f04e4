//! hemi's transport beside perftest on the same device, in turns: half of a 64-byte round trip by `ib_send_lat`, 64 KiB one after the
//! other by `ib_send_bw`. To be run where there is a device, such as the guest (`benches/README.md` has the command).
//!
//! `beside_perftest DEVICE ADDRESS [ROUNDS [MESSAGES]]`

use std::{
    env,
    error::Error,
    process::{Child, Command, Stdio},
    rc::Rc,
    sync::mpsc,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant as Clock},
};

use hemi_queue::{
    Pool, Reactor, Sga,
    time::Instant,
    transport::{Endpoint, SocketOptions, StreamSocket, Transport},
};
use hemi_verbs::Verbs;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const SMALL: usize = 64;
const LARGE: usize = 64 << 10;

/// A transport and the loop that drives it: busy, as perftest is.
struct Driven {
    verbs: Rc<Verbs>,
    start: Clock,
}

impl Driven {
    fn open(device: &str, address: &str) -> Outcome<(Self, Pool)> {
        let pool = Pool::new()?;
        let uri = format!("rdma:{device}?ip={address}&buffer=64K&rendezvous=65537").parse()?;
        Ok((Self { verbs: Verbs::open(&uri, &pool)?, start: Clock::now() }, pool))
    }

    fn until<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<hemi_queue::Result<T>>) -> Outcome<T> {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(done) = poll(&mut cx) {
                return Ok(done?);
            }
            self.verbs.poll(Instant::from_nanos(self.start.elapsed().as_nanos() as u64));
        }
    }

    fn pop(&self, stream: &Rc<dyn StreamSocket>) -> Outcome<Option<Sga>> {
        self.until(|cx| stream.poll_pop(cx))
    }

    fn push(&self, stream: &Rc<dyn StreamSocket>, unit: Sga) -> Outcome<()> {
        self.until(|cx| stream.poll_ready(cx))?;
        stream.start_push(unit).map_err(|refused| refused.error)?;
        Ok(())
    }
}

/// Echoes small units, and counts large ones: the last of them has a first byte that is not 0.
fn serve(device: &str, address: &str, told: &mpsc::Sender<Endpoint>) -> Outcome<()> {
    let (driven, _) = Driven::open(device, address)?;
    let at = Endpoint::Ip(format!("{address}:0").parse()?);
    let listener = driven.verbs.listen(&at, &SocketOptions::default())?;
    told.send(listener.local_addr()?)?;
    let Some(stream) = driven.until(|cx| listener.poll_accept(cx))? else { return Ok(()) };
    while let Some(unit) = driven.pop(&stream)? {
        let last = unit.first().is_some_and(|b| b[0] != 0);
        if unit.len() < LARGE || last {
            driven.push(&stream, unit)?;
        }
    }
    stream.close();
    driven.until(|cx| stream.poll_closed(cx))
}

/// Half of the median round trip, in microseconds; MiB per second.
fn hemi(device: &str, address: &str, messages: usize) -> Outcome<(f64, f64)> {
    let (told, at) = mpsc::channel();
    let names = (device.to_owned(), address.to_owned());
    let server = thread::spawn(move || serve(&names.0, &names.1, &told));
    let (driven, pool) = Driven::open(device, address)?;
    let stream = driven.verbs.connect(&at.recv()?, &SocketOptions::default())?;
    driven.until(|cx| stream.poll_connected(cx))?;
    let unit = |len, first| -> Outcome<Sga> {
        let mut buf = pool.try_alloc(len)?;
        buf.set_len(len);
        buf[0] = first;
        Ok(buf.into())
    };
    let small = unit(SMALL, 0)?;
    let mut trips = Vec::with_capacity(messages);
    for _ in 0..messages {
        let begin = Clock::now();
        driven.push(&stream, small.clone())?;
        driven.pop(&stream)?.ok_or("the server ended")?;
        trips.push(begin.elapsed());
    }
    trips.sort();
    let count = (messages / 5).max(10);
    let (large, last) = (unit(LARGE, 0)?, unit(LARGE, 1)?);
    let begin = Clock::now();
    for _ in 1..count {
        driven.push(&stream, large.clone())?;
    }
    driven.push(&stream, last)?;
    driven.pop(&stream)?.ok_or("the server ended")?;
    let rate = (count * LARGE) as f64 / 1_048_576.0 / begin.elapsed().as_secs_f64();
    stream.close();
    driven.until(|cx| stream.poll_closed(cx))?;
    server.join().map_err(|_| "the server panicked")??;
    Ok((trips[messages / 2].as_secs_f64() * 1e6 / 2.0, rate))
}

fn start(program: &str, words: &[&str]) -> Outcome<Child> {
    Ok(Command::new(program).args(words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?)
}

/// Column `column` of what a perftest program says about messages of `size` bytes.
fn perftest(
    program: &str,
    device: &str,
    address: &str,
    size: usize,
    messages: usize,
    column: usize,
) -> Outcome<f64> {
    let (size, messages) = (size.to_string(), messages.to_string());
    let mut words = vec!["-d", device, "-x", "1", "-F", "-s", &size, "-n", &messages];
    if program == "ib_send_lat" {
        words.extend(["-I", "64"]);
    }
    let mut server = start(program, &words)?;
    thread::sleep(Duration::from_secs(2));
    let client = start(program, &[&words[..], &[address]].concat())?.wait_with_output()?;
    server.wait()?;
    let said = String::from_utf8_lossy(&client.stdout);
    let line = said.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
    let row = line.into_iter().find(|row| row.first() == Some(&&*size));
    let value = row.and_then(|row| row.get(column).and_then(|word| word.parse().ok()));
    Ok(value.ok_or_else(|| format!("{program} said:\n{said}"))?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Outcome<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [device, address, rest @ ..] = &words[..] else {
        return Err("beside_perftest DEVICE ADDRESS [ROUNDS [MESSAGES]]".into());
    };
    let number = |at: usize, usual| rest.get(at).and_then(|n| n.parse().ok()).unwrap_or(usual);
    let (rounds, messages) = (number(0, 5), number(1, 500));
    let (mut latency, mut bandwidth) = (Vec::new(), Vec::new());
    println!(
        "| round | ib_send_lat µs | hemi µs | ib_send_bw MB/s | hemi MiB/s |\n|---|---:|---:|---:|---:|"
    );
    for round in 1..=rounds {
        // t_typical; BW average.
        let floor = perftest("ib_send_lat", device, address, SMALL, messages, 4)?;
        let (half, rate) = hemi(device, address, messages)?;
        let wire = perftest("ib_send_bw", device, address, LARGE, (messages / 5).max(10), 3)?;
        println!("| {round} | {floor:.1} | {half:.1} | {wire:.1} | {rate:.1} |");
        latency.push(half / floor);
        bandwidth.push(rate / wire);
    }
    println!("\nhalf round trip, hemi / ib_send_lat, median of {rounds}: {:.3}", median(latency));
    println!("64 KiB streamed, hemi / ib_send_bw, median of {rounds}: {:.3}", median(bandwidth));
    Ok(())
}
