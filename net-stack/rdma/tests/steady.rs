//! In steady state a connection allocates nothing: not for an echoed unit, not for one that is read, not for bulk.

use std::{cell::RefCell, rc::Rc};

use hemi_meter::{Counting, Steady};
use hemi_queue::{AllocError, Buf, BufMut, Pool, Sga, time::Instant};
use hemi_rdma::{Config, Connection, Data, Hello, Keys, Memory, Popped, ReceiveBudget, Verb, WorkId};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A device in safe code, which allocates nothing itself: what is sent is known by number, what is read stays as it is.
struct Wire {
    pool: Pool,
    receives: RefCell<Vec<BufMut>>,
}

impl Memory for Wire {
    fn keys(&self, _: &Buf) -> Option<Keys> {
        Some(Keys { local: 1, remote: 2 })
    }
    fn alloc(&self, len: usize) -> Result<(BufMut, Keys), AllocError> {
        Ok((self.pool.try_alloc(len.min(self.pool.largest()))?, Keys { local: 1, remote: 2 }))
    }
}

struct End {
    conn: Connection,
    budget: Rc<ReceiveBudget>,
    wire: Wire,
}

/// A work request as it goes over the wire.
#[derive(Clone, Copy)]
enum Message {
    Send { imm: u32, len: usize, control: [u8; 64] },
    Other,
}

const BUFFER: usize = 16 << 10;

impl End {
    fn new(conn: Connection, budget: Rc<ReceiveBudget>, pool: &Pool) -> Self {
        let wire = Wire { pool: pool.clone(), receives: RefCell::new(Vec::with_capacity(64)) };
        Self { conn, budget, wire }
    }

    fn post_receives(&self) {
        while self.budget.wanted() > 0 {
            self.wire.receives.borrow_mut().push(self.wire.pool.try_alloc(BUFFER).expect("memory"));
            self.budget.posted(1);
        }
    }

    /// Everything there is to send, carried out.
    fn deliver(&mut self, to: &mut Self, now: Instant) {
        let mut batch = [(WorkId(0), false, Message::Other); 32];
        loop {
            let mut n = 0;
            while n < batch.len() {
                let Some(work) = self.conn.next_work(&self.wire) else { break };
                let message = match (work.verb, work.data) {
                    (Verb::Send { imm }, Data::Control(bytes)) => {
                        let mut control = [0; 64];
                        control[..bytes.len()].copy_from_slice(bytes);
                        Message::Send { imm, len: bytes.len(), control }
                    }
                    (Verb::Send { imm }, Data::Gather(sges)) => {
                        let len = sges.iter().map(|sge| sge.length as usize).sum();
                        Message::Send { imm, len, control: [0; 64] }
                    }
                    _ => Message::Other,
                };
                batch[n] = (work.id, work.signalled, message);
                n += 1;
            }
            if n == 0 {
                return;
            }
            self.conn.posted();
            for (id, signalled, message) in &batch[..n] {
                if let Message::Send { imm, len, control } = message {
                    let mut data = to.wire.receives.borrow_mut().pop().expect("credits");
                    data.put(&control[..(*len).min(64)]);
                    data.set_len(*len);
                    to.conn.received(Some(*imm), data.freeze(), now);
                    to.post_receives();
                }
                if *signalled {
                    self.conn.completed(*id, Ok(()), now);
                }
            }
        }
    }
}

fn pair(config: Config) -> (End, End, Pool) {
    let pool = Pool::new().expect("memory");
    let (here, there) = (ReceiveBudget::new(64), ReceiveBudget::new(64));
    let mut a = End::new(Connection::connecting(0, config, &here).expect("room"), here, &pool);
    a.post_receives();
    let hello = Hello::parse(&a.conn.hello()).expect("ours");
    let mut b = End::new(Connection::accepting(0, config, &there, hello).expect("room"), there, &pool);
    b.post_receives();
    let reply = b.conn.hello();
    a.conn.established(Some(&reply), Instant::ZERO);
    b.conn.established(None, Instant::ZERO);
    (a, b, pool)
}

fn pop(end: &mut End) -> Option<Sga> {
    match end.conn.pop().expect("no failure") {
        Popped::Unit(unit) => Some(unit),
        _ => None,
    }
}

fn echo(config: Config, len: usize, window: usize) {
    let (mut a, mut b, pool) = pair(config);
    let mut unit = pool.try_alloc(len.min(pool.largest())).expect("memory");
    unit.set_len(len);
    let unit = Sga::from(unit);
    let mut steady = Steady::over(window);
    let now = Instant::ZERO;
    let verdict = loop {
        a.conn.push(unit.clone()).map_err(|(refusal, _)| refusal).expect("room");
        let request = loop {
            a.deliver(&mut b, now);
            if let Some(unit) = pop(&mut b) {
                break unit;
            }
            b.deliver(&mut a, now);
        };
        assert_eq!(request.len(), len);
        b.conn.push(request).map_err(|(refusal, _)| refusal).expect("room");
        let reply = loop {
            b.deliver(&mut a, now);
            if let Some(unit) = pop(&mut a) {
                break unit;
            }
            a.deliver(&mut b, now);
        };
        assert_eq!(reply.len(), len);
        if let Some(verdict) = steady.operation() {
            break verdict;
        }
    };
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn an_echoed_small_unit_allocates_nothing() {
    echo(Config::default(), 64, 500);
}

#[test]
fn an_echoed_unit_of_a_receive_buffer_allocates_nothing() {
    echo(Config::default(), 8 << 10, 500);
}

#[test]
fn an_echoed_unit_that_is_read_allocates_nothing() {
    echo(Config::default(), 64 << 10, 200);
}

#[test]
fn bulk_allocates_nothing() {
    let (mut a, mut b, pool) = pair(Config { reads: 0, ..Config::default() });
    let mut unit = pool.try_alloc(60_000).expect("memory");
    unit.set_len(60_000);
    let unit = Sga::from(unit);
    let now = Instant::ZERO;
    let mut steady = Steady::over(200);
    let verdict = loop {
        // A unit of four pieces has four buffers; two units of two have no more than lie in place.
        let mut half = unit.clone();
        half.truncate(30_000);
        a.conn.push(half.clone()).map_err(|(refusal, _)| refusal).expect("room");
        a.conn.push(half).map_err(|(refusal, _)| refusal).expect("room");
        let mut got = 0;
        while got < 60_000 {
            a.deliver(&mut b, now);
            got += pop(&mut b).map_or(0, |unit| unit.len());
            b.deliver(&mut a, now);
        }
        if let Some(verdict) = steady.operation() {
            break verdict;
        }
    };
    assert!(verdict.is_clean(), "{verdict}");
}
