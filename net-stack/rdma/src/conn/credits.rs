//! [`Credits`]: who may send how many messages, in both directions.

use std::rc::Rc;

use crate::{ReceiveBudget, Violation, header::Header, header::Kind};

/// Credits that units leave to control messages.
const RESERVE: u16 = 4;

/// The account of both directions. All counts of messages are modulo 2¹⁶; no window is near half of that.
///
/// ```text
///   sending:    sent ───── left ─────► may_send                    told by the peer
///   receiving:  received ─ the peer's ─► announced ─ ► granted     told to the peer, promised by the budget
///               window = (granted − received) + idle + with units that nobody has popped
/// ```
#[derive(Debug)]
pub(super) struct Credits {
    budget: Rc<ReceiveBudget>,
    sent: u16,
    may_send: u16,
    peer_window: u16,
    window: u16,
    received: u16,
    announced: u16,
    granted: u16,
    /// Free, and not promised.
    idle: u16,
    /// Free, and not announced.
    untold: u16,
    /// So many of them are to be announced by a message for nothing else.
    owe_at: u16,
    ended: bool,
}

impl Credits {
    /// With a `window` that was reserved of `budget`.
    pub(super) fn new(budget: Rc<ReceiveBudget>, window: u16) -> Self {
        Self {
            budget,
            sent: 0,
            may_send: 0,
            peer_window: 0,
            window,
            received: 0,
            announced: 0,
            granted: 0,
            idle: window,
            untold: window,
            owe_at: (window - RESERVE).div_ceil(2),
            ended: false,
        }
    }

    pub(super) fn window(&self) -> u16 {
        self.window
    }

    /// The credits that the peer begins with.
    pub(super) fn first(&mut self) -> u16 {
        self.promise();
        self.announced = self.granted;
        self.untold = self.idle;
        self.granted.wrapping_sub(self.received)
    }

    /// The peer's window, and how many credits this end begins with.
    pub(super) fn begin(&mut self, window: u16, credits: u16) {
        self.peer_window = window;
        self.may_send = credits;
    }

    #[inline]
    pub(super) fn left(&self) -> u16 {
        self.may_send.wrapping_sub(self.sent)
    }

    /// Whether a unit may be sent.
    #[inline]
    pub(super) fn allow_unit(&self) -> bool {
        self.left() > RESERVE
    }

    /// Whether a control message may be sent: the last credit is for one that raises the peer's limit.
    pub(super) fn allow_control(&mut self) -> bool {
        match self.left() {
            0 => false,
            1 => self.raises(),
            _ => true,
        }
    }

    /// Whether a message for nothing but credits should be sent, and may.
    pub(super) fn allow_grant(&mut self) -> bool {
        self.owes() && self.left() > 0 && self.raises()
    }

    /// Whether the peer waits for credits, or soon will.
    #[inline]
    pub(super) fn owes(&self) -> bool {
        // A message that goes anyway tells of one.
        self.untold >= 2
            && (self.untold >= self.owe_at || self.announced.wrapping_sub(self.received) <= RESERVE / 2)
    }

    fn raises(&mut self) -> bool {
        self.promise();
        self.granted != self.announced
    }

    #[inline]
    fn promise(&mut self) {
        if self.idle > 0 {
            let got = self.budget.promise(self.idle);
            self.idle -= got;
            self.granted = self.granted.wrapping_add(got);
        }
    }

    /// The header of the message that is sent now.
    #[inline]
    pub(super) fn send(&mut self, kind: Kind, more: bool) -> u32 {
        self.promise();
        self.announced = self.granted;
        self.untold = self.idle;
        let sequence = self.sent as u8;
        self.sent = self.sent.wrapping_add(1);
        Header { kind, more, sequence, limit: self.announced }.encode()
    }

    /// A message arrived.
    #[inline]
    pub(super) fn arrived(&mut self, header: Header) -> Result<(), Violation> {
        if self.received == self.announced {
            self.budget.lost(1);
            return Err(Violation::NoCredit);
        }
        self.budget.used();
        let wanted = self.received as u8;
        self.received = self.received.wrapping_add(1);
        if header.sequence != wanted {
            return Err(Violation::Sequence { got: header.sequence, wanted });
        }
        let raised = header.limit.wrapping_sub(self.may_send);
        let granted = header.limit.wrapping_sub(self.sent);
        if raised > self.peer_window || granted > self.peer_window {
            return Err(Violation::Limit { granted, window: self.peer_window });
        }
        self.may_send = header.limit;
        Ok(())
    }

    /// A message arrived of which nothing is to be known.
    pub(super) fn lost(&self) {
        self.budget.lost(1);
    }

    /// `n` messages' receive buffers are free again.
    #[inline]
    pub(super) fn give_back(&mut self, n: u16) {
        self.idle += n;
        self.untold += n;
    }

    /// The queue pair receives no more.
    pub(super) fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.budget.withdraw(self.granted.wrapping_sub(self.received));
            self.budget.unreserve(self.window);
        }
    }
}

impl Drop for Credits {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MIN_WINDOW;

    fn end(window: u16) -> (Credits, Rc<ReceiveBudget>) {
        let budget = ReceiveBudget::new(window.into());
        let window = budget.reserve(window).expect("room");
        budget.posted(window.into());
        (Credits::new(Rc::clone(&budget), window), budget)
    }

    fn header(imm: u32) -> Header {
        Header::parse(imm).expect("ours")
    }

    #[test]
    fn units_leave_a_reserve_and_the_last_credit_raises() {
        let ((mut a, at_a), (mut b, at_b)) = (end(MIN_WINDOW), end(MIN_WINDOW));
        let (of_a, of_b) = (a.first(), b.first());
        a.begin(8, of_b);
        b.begin(8, of_a);
        for _ in 0..4 {
            assert!(a.allow_unit());
            b.arrived(header(a.send(Kind::Data, false))).expect("within credits");
        }
        assert!(!a.allow_unit(), "four are left, for control messages");
        for _ in 0..3 {
            assert!(a.allow_control());
            b.arrived(header(a.send(Kind::Done, false))).expect("within credits");
            b.give_back(1);
            at_b.posted(1);
        }
        assert_eq!((a.left(), a.allow_control()), (1, false));
        assert!(b.owes() && b.allow_grant(), "the peer is down to its reserve, and three buffers are free");
        a.arrived(header(b.send(Kind::Grant, false))).expect("within credits");
        assert_eq!((a.left(), b.owes()), (4, false));
        // Down to one credit again, with something to grant: that may use it.
        for _ in 0..3 {
            b.arrived(header(a.send(Kind::Done, false))).expect("within credits");
        }
        a.give_back(1);
        at_a.posted(1);
        assert!(a.allow_control());
        b.arrived(header(a.send(Kind::Done, false))).expect("within credits");
        assert_eq!((a.left(), b.left()), (0, 8));
    }

    #[test]
    fn who_lies_is_found_out() {
        let lie = |change: fn(&mut Header)| {
            let (mut b, budget) = end(8);
            b.first();
            b.begin(8, 8);
            let mut lie = Header { kind: Kind::Grant, more: false, sequence: 0, limit: 8 };
            change(&mut lie);
            let result = b.arrived(lie);
            drop(b);
            assert_eq!((budget.now_promised(), budget.now_posted()), (0, 7));
            result
        };
        assert_eq!(lie(|_| ()), Ok(()));
        assert_eq!(lie(|h| h.sequence = 1), Err(Violation::Sequence { got: 1, wanted: 0 }));
        assert_eq!(lie(|h| h.limit = 9), Err(Violation::Limit { granted: 9, window: 8 }));
        assert_eq!(lie(|h| h.limit = 7), Err(Violation::Limit { granted: 7, window: 8 }));
        let (mut b, _) = end(8);
        b.first();
        b.begin(8, 8);
        for sequence in 0..8 {
            assert_eq!(b.arrived(Header { kind: Kind::Grant, more: false, sequence, limit: 8 }), Ok(()));
        }
        let one_more = Header { kind: Kind::Grant, more: false, sequence: 8, limit: 8 };
        assert_eq!(b.arrived(one_more), Err(Violation::NoCredit));
    }

    #[test]
    fn what_is_not_posted_is_not_granted() {
        let budget = ReceiveBudget::new(16);
        let window = budget.reserve(16).expect("room");
        let mut credits = Credits::new(Rc::clone(&budget), window);
        assert_eq!(credits.first(), 0);
        credits.begin(8, 8);
        assert!(credits.owes() && !credits.allow_grant(), "nothing is posted");
        budget.posted(3);
        assert!(budget.take_relieved() && credits.allow_grant());
        assert_eq!(header(credits.send(Kind::Grant, false)).limit, 3);
    }
}
