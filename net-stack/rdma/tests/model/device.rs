//! A device with reliable-connected queue pairs, and the driver that runs connections on it.
//!
//! What a real one guarantees, it does: work requests are carried out in order and once, completions come in order, one for each
//! that is signalled or fails, a failed queue pair flushes. When it does so is the dice's. What a real one punishes, it
//! finds: a receiver that is not ready, memory that is not registered, a send queue that overflows.
//!
//! It reaches into memory by address, as devices do: this file has the model's `unsafe`.

use std::{cell::Cell, collections::VecDeque, rc::Rc};

use hemi_queue::{AllocError, Buf, BufMut, Pool, time::Instant};
use hemi_rdma::{
    Config, Connection, Data, Keys, Memory, ReceiveBudget, RegionDescriptor, Rights, Sge, Status, Verb,
    WorkId,
};

/// The state of a queue pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    Error,
}

/// A posted work request.
#[derive(Debug)]
struct Posted {
    id: WorkId,
    verb: Verb,
    inline: Option<Vec<u8>>,
    gather: Vec<Sge>,
    signalled: bool,
}

/// A completion.
#[derive(Debug)]
pub enum Cqe {
    Ended {
        qp: usize,
        id: WorkId,
        result: Result<(), Status>,
        /// Memory that the device may write to until it says so.
        targets: Vec<Sge>,
    },
    Received {
        qp: usize,
        imm: Option<u32>,
        data: BufMut,
    },
}

/// A queue pair, and its connection.
pub struct Qp {
    pub conn: Connection,
    pub state: State,
    depth: usize,
    send_queue: VecDeque<Posted>,
    /// Completions that the driver cannot see yet.
    hidden: VecDeque<Cqe>,
    /// Work requests that no polled completion has told of.
    outstanding: VecDeque<WorkId>,
    /// The connection manager has a word for the driver, after everything that arrived.
    pub disconnect_notice: bool,
}

/// A device and its driver, of one process.
pub struct Device {
    pub pool: Pool,
    pub budget: Rc<ReceiveBudget>,
    receives: VecDeque<BufMut>,
    buffer: usize,
    pub qps: Vec<Qp>,
    cq: VecDeque<Cqe>,
    /// No memory is to be had.
    pub drained: Cell<bool>,
    /// Memory that peers may reach into.
    pub exposed: Option<(RegionDescriptor, BufMut)>,
    /// What the device has carried out, in words, while somebody wants to know.
    pub trace: Option<Vec<String>>,
    works: Vec<Posted>,
}

/// What the device knows of memory: the regions of one pool.
struct Registered<'d> {
    pool: &'d Pool,
    drained: bool,
}

/// The region of `pool` that the range is in.
fn region_of(pool: &Pool, address: u64, len: u64) -> Option<u32> {
    let mut found = None;
    pool.regions(|id, region| {
        let base = region.base().as_ptr().expose_provenance() as u64;
        if address >= base && address + len <= base + region.len() as u64 {
            found = Some(id.0);
        }
    });
    found
}

fn keys(region: u32) -> Keys {
    Keys { local: 1000 + region, remote: 2000 + region }
}

impl Memory for Registered<'_> {
    fn keys(&self, buf: &Buf) -> Option<Keys> {
        region_of(self.pool, buf.as_ptr().expose_provenance() as u64, buf.len() as u64).map(keys)
    }

    fn alloc(&self, len: usize) -> Result<(BufMut, Keys), AllocError> {
        if self.drained {
            return Err(AllocError::Drained { limit: 0 });
        }
        let mut buf = self.pool.try_alloc(len.min(self.pool.largest()))?;
        let at = buf.as_mut_ptr().expose_provenance() as u64;
        let region = region_of(self.pool, at, buf.capacity() as u64).expect("of this pool");
        Ok((buf, keys(region)))
    }
}

fn read_memory(sge: Sge) -> Vec<u8> {
    let at = std::ptr::with_exposed_provenance::<u8>(sge.address as usize);
    // SAFETY: the connection says that these bytes stay where they are until the work request has completed; that they are in a
    // registered region (or were given for an inline copy) was checked, so they are mapped and initialised.
    unsafe { std::slice::from_raw_parts(at, sge.length as usize) }.to_vec()
}

fn write_memory(address: u64, bytes: &[u8]) {
    let at = std::ptr::with_exposed_provenance_mut::<u8>(address as usize);
    // SAFETY: a target of a READ, or exposed memory: in a registered region, and nobody's to read or write until the work
    // request has completed.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
}

impl Device {
    pub fn new(pool: Pool, capacity: u32, buffer: usize) -> Self {
        Self {
            pool,
            budget: ReceiveBudget::new(capacity),
            receives: VecDeque::new(),
            buffer,
            qps: Vec::new(),
            cq: VecDeque::new(),
            drained: Cell::new(false),
            exposed: None,
            trace: None,
            works: Vec::new(),
        }
    }

    pub fn add(&mut self, conn: Connection, config: &Config) {
        self.qps.push(Qp {
            conn,
            state: State::Ready,
            depth: config.send_depth.into(),
            send_queue: VecDeque::new(),
            hidden: VecDeque::new(),
            outstanding: VecDeque::new(),
            disconnect_notice: false,
        });
    }

    /// Let peers reach `len` bytes.
    pub fn expose(&mut self, len: usize, rights: Rights) -> RegionDescriptor {
        let mut buf = self.pool.try_alloc(len).expect("memory");
        buf.set_len(len);
        buf.fill(0);
        let address = buf.as_mut_ptr().expose_provenance() as u64;
        let region = RegionDescriptor { address, length: len as u64, key: 77, rights };
        self.exposed = Some((region, buf));
        region
    }

    /// Work requests of queue pair `at` that no polled completion has told of, oldest first.
    pub fn posted(&self, at: usize) -> Vec<WorkId> {
        self.qps[at].outstanding.iter().copied().collect()
    }

    /// Buffers that the device has for receiving.
    pub fn receives(&self) -> usize {
        self.receives.len()
    }

    pub fn post_receives(&mut self) {
        while self.budget.wanted() > 0 && !self.drained.get() {
            let Ok(buf) = self.pool.try_alloc(self.buffer) else { break };
            self.receives.push_back(buf);
            self.budget.posted(1);
        }
    }

    /// The driver's turn: some completions, receive buffers, then what connections want to send.
    pub fn drive(&mut self, most: usize, now: Instant) -> bool {
        let mut busy = false;
        for _ in 0..most {
            let Some(cqe) = self.cq.pop_front() else { break };
            busy = true;
            self.dispatch(cqe, now);
        }
        self.post_receives();
        let relieved = self.budget.take_relieved();
        for at in 0..self.qps.len() {
            let qp = &mut self.qps[at];
            let last_word = qp.disconnect_notice && qp.hidden.is_empty();
            if last_word && !self.cq.iter().any(|cqe| cqe.qp() == at) {
                qp.disconnect_notice = false;
                qp.conn.disconnected();
                busy = true;
            }
            if qp.conn.deadline().is_some_and(|at| at <= now) {
                qp.conn.on_time(now);
                busy = true;
            }
            if qp.conn.has_work() || relieved || qp.conn.is_starved() {
                busy |= self.pump(at);
            }
        }
        busy
    }

    fn dispatch(&mut self, cqe: Cqe, now: Instant) {
        match cqe {
            Cqe::Ended { qp, id, result, .. } => {
                let qp = &mut self.qps[qp];
                while qp.outstanding.pop_front().is_some_and(|before| before != id) {}
                qp.conn.completed(id, result, now);
            }
            Cqe::Received { qp, imm, data } => self.qps[qp].conn.received(imm, data.freeze(), now),
        }
    }

    /// Post what the connection has to send.
    fn pump(&mut self, at: usize) -> bool {
        let qp = &mut self.qps[at];
        let memory = Registered { pool: &self.pool, drained: self.drained.get() };
        while let Some(work) = qp.conn.next_work(&memory) {
            assert_eq!(work.id.tag() as usize, at);
            let (inline, gather) = match work.data {
                Data::Control(bytes) => (Some(bytes.to_vec()), Vec::new()),
                Data::Gather(sges) => (None, sges.to_vec()),
            };
            self.works.push(Posted {
                id: work.id,
                verb: work.verb,
                inline,
                gather,
                signalled: work.signalled,
            });
            if work.inline && self.works.last().is_some_and(|w| w.inline.is_none()) {
                let posted = self.works.last_mut().expect("just pushed");
                posted.inline = Some(Vec::new());
            }
        }
        let busy = !self.works.is_empty();
        for mut work in self.works.drain(..) {
            if let Some(copy) = &mut work.inline {
                for sge in work.gather.drain(..) {
                    copy.extend(read_memory(sge));
                }
            }
            qp.outstanding.push_back(work.id);
            assert!(qp.outstanding.len() <= qp.depth, "the send queue overflows");
            qp.send_queue.push_back(work);
        }
        qp.conn.posted();
        if qp.state == State::Error {
            self.flush(at);
        }
        busy
    }

    /// A failed queue pair ends everything that is posted to it.
    pub fn flush(&mut self, at: usize) {
        let qp = &mut self.qps[at];
        qp.state = State::Error;
        for work in qp.send_queue.drain(..) {
            let targets = if matches!(work.verb, Verb::Read(_)) { work.gather } else { Vec::new() };
            let result = Err(Status::Flushed);
            qp.hidden.push_back(Cqe::Ended { qp: at, id: work.id, result, targets });
        }
    }

    /// Let the driver see some completions.
    pub fn complete(&mut self, at: usize, most: usize) -> bool {
        let qp = &mut self.qps[at];
        let n = most.min(qp.hidden.len());
        for cqe in qp.hidden.drain(..n) {
            if let Cqe::Ended { targets, .. } = &cqe {
                // What is flushed may have been carried out in part.
                for sge in targets {
                    write_memory(sge.address, &vec![0xee; sge.length as usize]);
                }
            }
            self.cq.push_back(cqe);
        }
        n > 0
    }

    fn local(&self, work: &Posted) -> Result<Vec<u8>, Status> {
        if let Some(copy) = &work.inline {
            return Ok(copy.clone());
        }
        let mut bytes = Vec::new();
        for &sge in &work.gather {
            let region = region_of(&self.pool, sge.address, sge.length.into());
            if region.map(|r| keys(r).local) != Some(sge.key) {
                return Err(Status::LocalProtection);
            }
            bytes.extend(read_memory(sge));
        }
        Ok(bytes)
    }

    /// A peer reaches into this device's memory.
    fn reach(&self, remote: hemi_rdma::Remote, len: u64, rights: Rights) -> Result<(), Status> {
        if len == 0 {
            return Ok(());
        }
        if let Some((region, _)) = &self.exposed
            && remote.key == region.key
        {
            let offset = remote.address.wrapping_sub(region.address);
            return region.at(offset, len, rights).map(drop).map_err(|_| Status::RemoteAccess);
        }
        let region = region_of(&self.pool, remote.address, len);
        let allowed = rights == Rights::READ && region.map(|r| keys(r).remote) == Some(remote.key);
        if allowed { Ok(()) } else { Err(Status::RemoteAccess) }
    }
}

impl Cqe {
    fn qp(&self) -> usize {
        match self {
            Self::Ended { qp, .. } | Self::Received { qp, .. } => *qp,
        }
    }
}

/// Carry out the oldest work request of queue pair `at` of `from`, whose peer is that of `to` (`None`: it is gone).
pub fn transmit(from: &mut Device, to: Option<&mut Device>, at: usize) -> bool {
    if from.qps[at].state == State::Error {
        return false;
    }
    let Some(work) = from.qps[at].send_queue.pop_front() else { return false };
    let result = match to {
        Some(to) if to.qps[at].state == State::Ready => carry_out(from, to, at, &work),
        _ => Err(Status::RetryExceeded),
    };
    let failed = result.is_err();
    if let Some(trace) = &mut from.trace {
        trace.push(describe(&work, result));
    }
    if failed || work.signalled {
        from.qps[at].hidden.push_back(Cqe::Ended { qp: at, id: work.id, result, targets: Vec::new() });
    }
    if failed {
        from.flush(at);
    }
    true
}

/// A work request as a line of a trace.
fn describe(work: &Posted, result: Result<(), Status>) -> String {
    let inline = work.inline.as_ref().map(Vec::len);
    let bytes = inline.unwrap_or_else(|| work.gather.iter().map(|sge| sge.length as usize).sum());
    let mut line = match work.verb {
        Verb::Send { imm } => {
            let kind = ["?", "Data", "Announce", "Done", "Grant", "Finish", "Close"][(imm >> 28) as usize];
            let more = if imm & 1 << 27 != 0 { " more" } else { "" };
            format!("{kind} {bytes}{more}")
        }
        Verb::Read(_) => format!("READ {bytes}"),
        Verb::Write(_) => format!("WRITE {bytes}"),
        Verb::FetchAdd { .. } => "FETCH_ADD".to_owned(),
        Verb::CompareSwap { .. } => "COMPARE_SWAP".to_owned(),
    };
    if inline.is_some() && bytes > 0 {
        line += " inline";
    }
    if work.signalled {
        line += " signalled";
    }
    match result {
        Ok(()) => line,
        Err(status) => format!("{line}: {}", status.name()),
    }
}

fn carry_out(from: &Device, to: &mut Device, at: usize, work: &Posted) -> Result<(), Status> {
    match work.verb {
        Verb::Send { imm } => {
            let bytes = from.local(work)?;
            let mut data = to.receives.pop_front().expect("the receiver is not ready: credits are wrong");
            if bytes.len() > data.capacity().min(to.buffer) {
                to.budget.lost(1);
                to.flush(at);
                return Err(Status::RemoteInvalidRequest);
            }
            data.put(&bytes);
            to.qps[at].hidden.push_back(Cqe::Received { qp: at, imm: Some(imm), data });
        }
        Verb::Write(remote) => {
            let bytes = from.local(work)?;
            to.reach(remote, bytes.len() as u64, Rights::WRITE)?;
            write_memory(remote.address, &bytes);
        }
        Verb::Read(remote) => {
            let mut address = remote.address;
            for &sge in &work.gather {
                to.reach(hemi_rdma::Remote { address, ..remote }, sge.length.into(), Rights::READ)?;
                from.local(work)?;
                let bytes = read_memory(Sge { address, length: sge.length, key: 0 });
                write_memory(sge.address, &bytes);
                address += u64::from(sge.length);
            }
        }
        Verb::FetchAdd { remote, add } => atomic(to, remote, work, |old| old.wrapping_add(add))?,
        Verb::CompareSwap { remote, expect, swap } => {
            atomic(to, remote, work, |old| if old == expect { swap } else { old })?;
        }
    }
    Ok(())
}

fn atomic(
    to: &Device,
    remote: hemi_rdma::Remote,
    work: &Posted,
    change: impl Fn(u64) -> u64,
) -> Result<(), Status> {
    to.reach(remote, 8, Rights::ATOMIC)?;
    let old = read_memory(Sge { address: remote.address, length: 8, key: 0 });
    write_memory(work.gather[0].address, &old);
    let old = u64::from_ne_bytes(old.try_into().expect("eight bytes"));
    write_memory(remote.address, &change(old).to_ne_bytes());
    Ok(())
}
