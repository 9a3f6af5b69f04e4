//! A SYN that brings data, or asks for a cookie (RFC 7413 section 4.2.2).

use hemi_queue::time::Instant;

use super::half_open::{HalfOpen, Offer};
use crate::{
    ip::Net,
    tcp::{
        ConnId, ListenerId, Tcp,
        conn::{Agreed, Connection, Cx, Segment},
        demux::{Target, Tuple},
        fast_open::Check,
        signals::Signal,
    },
    wire::{FastOpen, Seq},
};

/// What a SYN came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tcp) enum Opening {
    /// It has opened a connection.
    Done,
    /// An ordinary handshake; its SYN-ACK has this option.
    Ordinary(Option<FastOpen>),
}

impl Tcp {
    /// A SYN for a listener, with an option or data: `opening` is the listener, our sequence number and timestamp offset, and what we tell of ourselves.
    ///
    /// RFC 7413 section 4.2.2 on the server, in our words: without a cookie that is good, or beyond the limit of pending requests, the SYN's data is not taken and
    /// only the SYN is acknowledged; a SYN-ACK that refuses a cookie has a new one.
    #[cold]
    pub(in crate::tcp) fn open_by_syn(
        &mut self,
        hash: u32,
        tuple: &Tuple,
        opening: (u32, (Seq, u32), Offer),
        seg: &Segment,
        net: &mut Net,
        now: Instant,
    ) -> Opening {
        let (slot, (iss, offset), offer) = opening;
        let generation = self.listeners.slab.generation(slot);
        let Some(listener) = self.listeners.slab.get_mut(slot) else { return Opening::Ordinary(None) };
        let limit = listener.options.fast_open_backlog.unwrap_or(self.config.fast_open);
        if limit == 0 {
            return Opening::Ordinary(None);
        }
        let experiments = self.config.fast_open_experimental;
        let option = seg.options.fast_open.filter(|option| experiments || !option.experimental);
        let cookieless = listener.options.fast_open_cookieless && !seg.payload.is_empty();
        let (keys, own) = (self.secrets.fast_open, listener.options.fast_open_key.as_ref());
        let (client, server) = (tuple.remote, tuple.local);
        let given = option.and_then(|option| option.cookie);
        let check = given.and_then(|cookie| keys.check(own, &cookie, client, server, now));
        let reply = |cookie| option.map(|option| FastOpen { cookie: Some(cookie), ..option });
        let (verified, answer) = match (option, check) {
            (_, Some(Check::Good)) => (true, None),
            (_, Some(Check::Stale(new))) => (true, reply(new)),
            _ if cookieless => (false, None),
            (Some(_), Some(Check::Bad(new))) => {
                net.counters.tcp_fast_open_bad_cookies += 1;
                return Opening::Ordinary(reply(new));
            }
            (Some(_), None) => {
                return Opening::Ordinary(keys.cookie(own, client, server, now).and_then(reply));
            }
            (None, _) => return Opening::Ordinary(None),
        };
        let conns = &self.conns;
        let is_pending =
            |id: ConnId| conns.named(id.slot, id.generation).is_some_and(|conn| conn.is_fast_open_pending());
        if listener.ready.len() >= listener.backlog || !listener.fast_open.has_room(limit, now, is_pending) {
            net.counters.tcp_fast_open_overflows += 1;
            return Opening::Ordinary(None);
        }
        let mut conn = self.spare.pop().unwrap_or_else(Connection::blank);
        let mut cx =
            Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        let entry = HalfOpen::new(*tuple, (slot, generation), iss, offset, offer, seg, &cx);
        // RFC 7323 section 2.2: the window in a SYN is never scaled.
        let window = u32::from(seg.header.window);
        let agreed = Agreed { window, rtt: None, ..entry.agreed(seg, now, false) };
        conn.open_by_syn(tuple, &agreed, &listener.options, verified, seg.payload.clone(), &mut cx);
        conn.send_fast_syn_ack(answer, &mut cx);
        let (conn_slot, conn_generation) = self.conns.insert(conn);
        let id = ConnId { slot: conn_slot, generation: conn_generation };
        listener.ready.push_back(id);
        listener.fast_open.add(id);
        if !listener.signalled {
            listener.signalled = true;
            self.events.push_back(Signal::Listener(ListenerId { slot, generation }));
        }
        self.demux.insert(hash, Target::Connection(conn_slot));
        self.settle(conn_slot, net, now);
        Opening::Done
    }

    /// A connection that its SYN had opened is over before anything more was heard of its client.
    #[cold]
    pub(in crate::tcp) fn forget_fast_open(&mut self, slot: u32, tuple: &Tuple, now: Instant) {
        let id = ConnId { slot, generation: self.conns.generation(slot) };
        let listener = self.listeners.find(tuple.local, tuple.local_port);
        if let Some(listener) = listener.and_then(|listener| self.listeners.slab.get_mut(listener)) {
            listener.fast_open.ended(id, now);
        }
    }
}
