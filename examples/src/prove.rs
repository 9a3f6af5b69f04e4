//! The proof that `logserver` loses nothing: it is killed under load, again and again, and what it acknowledged is looked for.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    rc::Rc,
    time::Duration,
};

use futures::future::join_all;
use hemi::{
    Conn, Error, Lsn, Pop, Push, Result, Sga, spawn,
    time::{sleep, timeout},
};

use crate::logserver::{Reply, Request};

/// Connections that append at a time, and how many appends each has in flight.
const CONNECTIONS: u64 = 8;
const WINDOW: usize = 16;
/// How long anything may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// How often the server was killed.
    pub kills: u32,
    /// Appends that it had acknowledged.
    pub acknowledged: u64,
    /// Records found at the end: those, and some that it had no time to acknowledge.
    pub found: u64,
}

/// A server in a process of its own; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub at: String,
}

impl Server {
    /// Start `program` on the log at `uri`, and wait until it listens.
    pub fn start(program: &Path, uri: &str) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(["serve", "--tcp", "127.0.0.1:0", "--log", uri])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        for line in BufReader::new(out).lines() {
            if let Some(at) = line?.strip_prefix("listening tcp ") {
                return Ok(Self { child, at: at.to_owned() });
            }
        }
        let status = child.wait()?;
        Err(io::Error::other(format!("the server did not start: {status}")))
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The payload of append `n` of connection `connection`.
fn payload(connection: u64, n: u64) -> Vec<u8> {
    let len = 24 + (n * 2_654_435_761 % 1500) as usize;
    let mut unit = vec![(n ^ connection) as u8; len];
    unit[..8].copy_from_slice(&connection.to_le_bytes());
    unit[8..16].copy_from_slice(&n.to_le_bytes());
    unit
}

/// What was acknowledged so far, and where each connection goes on.
#[derive(Default)]
struct Book {
    /// By LSN: connection and number.
    acknowledged: RefCell<BTreeMap<u64, (u64, u64)>>,
    next: RefCell<BTreeMap<u64, u64>>,
}

impl Book {
    fn next(&self, connection: u64) -> u64 {
        let mut next = self.next.borrow_mut();
        let n = next.entry(connection).or_default();
        *n += 1;
        *n
    }
}

/// Kill the server at `program` `kills` times under load, each time within `life`; after every restart, look for everything
/// that was acknowledged. `told` hears of the progress.
pub async fn prove(
    program: &Path,
    uri: &str,
    kills: u32,
    life: Duration,
    mut told: impl FnMut(&Proof),
) -> std::result::Result<Proof, Box<dyn std::error::Error>> {
    let book = Rc::new(Book::default());
    let mut proof = Proof::default();
    loop {
        let server = Server::start(program, uri)?;
        proof.found = timeout(PATIENCE, check(&server.at, &book)).await.map_err(|_| "the check hung")??;
        proof.acknowledged = book.acknowledged.borrow().len() as u64;
        told(&proof);
        if proof.kills == kills {
            return Ok(proof);
        }
        let over = Rc::new(Cell::new(false));
        let load: Vec<_> = (0..CONNECTIONS)
            .map(|n| spawn(append(server.at.clone(), n, Rc::clone(&book), Rc::clone(&over))))
            .collect();
        // Every other life is counted from its first acknowledgement: where starting takes longer than a life, all would end before it.
        if proof.kills % 2 == 1 {
            let more = || book.acknowledged.borrow().len() as u64 > proof.acknowledged;
            timeout(PATIENCE, until(more)).await.map_err(|_| "nothing is acknowledged")?;
        }
        // A life of any length, so that every moment of the server's work is met.
        sleep(life.mul_f64((hemi::rand::below(1000) + 1) as f64 / 1000.0)).await;
        server.kill()?;
        over.set(true);
        timeout(PATIENCE, join_all(load)).await.map_err(|_| "the load hung")?;
        proof.kills += 1;
    }
}

/// Wait until it holds.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Append, with a window, until the server is gone.
async fn append(at: String, connection: u64, book: Rc<Book>, over: Rc<Cell<bool>>) {
    let Ok(mut conn) = Conn::connect(at).await else { return };
    let mut waiting = std::collections::VecDeque::new();
    while !over.get() {
        while waiting.len() < WINDOW {
            let n = book.next(connection);
            let request = Request::Append(payload(connection, n).into());
            if conn.push(request.encode()).await.is_err() {
                return;
            }
            waiting.push_back(n);
        }
        match conn.pop().await {
            Ok(Some(unit)) => {
                let (Some(Reply::Appended(lsn)), Some(n)) = (Reply::decode(unit), waiting.pop_front()) else {
                    return;
                };
                book.acknowledged.borrow_mut().insert(lsn.0, (connection, n));
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// Read the whole log and compare. Returns how many records there are.
async fn check(at: &str, book: &Book) -> std::result::Result<u64, Box<dyn std::error::Error>> {
    let mut conn = Conn::connect(at.to_owned()).await?;
    conn.push(Request::Info.encode()).await?;
    let Some(Reply::Span(head, tail)) = reply(&mut conn).await? else { return Err("no answer".into()) };
    let last = book.acknowledged.borrow().last_key_value().map_or(0, |(lsn, _)| lsn + 1);
    if tail.0 < last {
        return Err(format!("record {} was acknowledged, the log ends at {tail}", last - 1).into());
    }
    conn.push(Request::Subscribe(head).encode()).await?;
    let mut newest = BTreeMap::<u64, u64>::new();
    for lsn in head.0..tail.0 {
        let Some(Reply::Record(record)) = reply(&mut conn).await? else { return Err("no record".into()) };
        let unit = record.unit.to_vec();
        let number = |at: usize| unit.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        let (Some(connection), Some(n)) = (number(0), number(8)) else { return Err("a short record".into()) };
        if record.lsn != Lsn(lsn) || unit != payload(connection, n) {
            return Err(format!("record {lsn} is not what was appended").into());
        }
        if book.acknowledged.borrow().get(&lsn).is_some_and(|acked| *acked != (connection, n)) {
            return Err(format!("record {lsn} was acknowledged for another append").into());
        }
        // In the order in which each connection sent them, and once.
        if newest.insert(connection, n).is_some_and(|before| before >= n) {
            return Err(format!("record {lsn} is out of order or there twice").into());
        }
    }
    Ok(tail.0 - head.0)
}

async fn reply(conn: &mut Conn) -> Result<Option<Reply>> {
    let unit: Option<Sga> = conn.pop().await?;
    match unit.map(Reply::decode) {
        Some(None) => Err(Error::malformed("logserver", "no reply is like that")),
        Some(reply) => Ok(reply),
        None => Ok(None),
    }
}
