//! What must hold for any bytes that an RDMA peer sends.

use std::rc::Rc;

use hemi_queue::{AllocError, Buf, BufMut, Pool, time::Instant};
use hemi_rdma::{
    Config, Connection, Hello, Keys, Memory, Popped, ReceiveBudget, Refusal, RegionDescriptor, Rights, Verb,
};

/// Private data, refusals, region descriptors: nothing panics, and what is understood is written back.
pub fn parsers(data: &[u8]) {
    if let Ok(hello) = Hello::parse(data) {
        assert_eq!(Hello::parse(&hello.encode()), Ok(hello));
    }
    if let Some(refusal) = Refusal::parse(data) {
        assert!(!refusal.to_string().is_empty());
        assert_eq!(Refusal::parse(&refusal.encode()), Some(refusal));
    }
    if let Ok(region) = RegionDescriptor::parse(data) {
        assert_eq!(region.encode()[..], *data);
        let [offset, length] = [8, 16].map(|at| data.get(at..at + 8).map_or(0, |b| u64::from(b[7])));
        if let Ok(remote) = region.at(offset, length, Rights::NONE) {
            assert!(remote.address - region.address + length <= region.length);
        }
    }
}

struct Registered(Pool);

impl Memory for Registered {
    fn keys(&self, _: &Buf) -> Option<Keys> {
        Some(Keys { local: 1, remote: 2 })
    }
    fn alloc(&self, len: usize) -> Result<(BufMut, Keys), AllocError> {
        Ok((self.0.try_alloc(len.min(self.0.largest()))?, Keys { local: 1, remote: 2 }))
    }
}

/// Messages of any kind to a connection that also does what it wants itself: it never panics, holds no more than it may, and in the
/// end holds nothing.
///
/// For each message: a unit that this end pushes, or 0; what else it does; four bytes of header; one of length; the payload.
pub fn connection(data: &[u8]) {
    thread_local! {
        static POOL: Pool = Pool::new().expect("memory");
    }
    let memory = Registered(POOL.with(Pool::clone));
    let before = memory.0.stats().in_use;
    let budget = ReceiveBudget::new(16);
    let config = Config {
        buffer: 256,
        window: 8,
        send_depth: 16,
        rendezvous_from: 200,
        largest_unit: 20_000,
        recv_limit: 10_000,
        ..Config::default()
    };
    let hello = Hello { window: 8, credits: 8, buffer: 256, rendezvous_from: 300, largest_unit: 1 << 20 };
    let mut conn = Connection::accepting(7, config, &budget, hello).expect("room");
    budget.posted(budget.wanted());
    conn.hello();
    let now = Instant::from_nanos(1);
    conn.established(None, now);
    let (mut rest, mut count) = (data, 0_u8);
    while let Some((message, after)) = next(rest) {
        rest = after;
        let [pushed, popping, mut imm @ .., length] = message.header;
        if imm[1] != 0xff {
            // Mostly in order, so that what is behind a change is looked at too.
            imm[1] = count;
        }
        count = count.wrapping_add(1);
        if pushed > 0 {
            drop(conn.push(vec![pushed; usize::from(pushed) * 8].into()));
        }
        let mut buf = memory.0.try_alloc(256).expect("memory");
        buf.put(&message.payload[..usize::from(length).min(message.payload.len())]);
        conn.received(Some(u32::from_be_bytes(imm)), buf.freeze(), now);
        if popping & 1 == 1 {
            while let Ok(Popped::Unit(unit)) = conn.pop() {
                assert!(unit.len() <= 20_000);
            }
        }
        if popping & 2 == 2 {
            conn.finish();
        }
        if popping & 0xfc == 0xfc {
            conn.close(now);
        }
        drive(&mut conn, &memory, &budget, now);
        // A window, the unit that arrives, the limit and one read more; each may keep up to four times its bytes.
        let held = memory.0.stats().in_use - before;
        assert!(held < 200, "{held} buffers");
    }
    conn.destroyed();
    assert!(conn.is_quiet() && budget.now_promised() == 0);
    drop(conn);
    assert_eq!(memory.0.stats().in_use, before);
    assert_eq!(Rc::strong_count(&budget), 1);
}

/// Post, and complete at once.
fn drive(conn: &mut Connection, memory: &Registered, budget: &ReceiveBudget, now: Instant) {
    budget.posted(budget.wanted());
    let mut ids = Vec::new();
    while let Some(work) = conn.next_work(memory) {
        if let Verb::Read(remote) = work.verb {
            assert!(remote.address.checked_add(1).is_some());
        }
        ids.push(work.id);
        if ids.len() == 15 {
            break;
        }
    }
    conn.posted();
    for id in ids {
        conn.completed(id, Ok(()), now);
    }
    if conn.wants_disconnect() {
        conn.stopped();
    }
}

struct Message<'d> {
    header: [u8; 7],
    payload: &'d [u8],
}

fn next(data: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let (header, rest) = data.split_first_chunk::<7>()?;
    let length = usize::from(header[6]).min(rest.len());
    let (payload, after) = rest.split_at(length);
    Some((Message { header: *header, payload }, after))
}
