//! The ring's memory as a hostile kernel would leave it.

use super::*;

const SLOT: usize = 2048;

/// A ring over memory of our own, and that memory, to play the kernel.
struct Played {
    ring: RxRing,
    memory: NonNull<u8>,
}

impl Played {
    fn new(slots: usize) -> Self {
        let memory = Mapping::anonymous(slots * SLOT).unwrap();
        Self { memory: memory.base(), ring: RxRing::new(memory, SLOT, slots) }
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.ring.memory.len());
        // SAFETY: within the mapping, which the ring keeps.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.memory.add(at).as_ptr(), bytes.len()) };
    }

    fn header(&self, slot: usize, status: u32, len: u32, snaplen: u32, mac: u16) {
        let at = slot * SLOT;
        self.write(at + 4, &len.to_ne_bytes());
        self.write(at + 8, &snaplen.to_ne_bytes());
        self.write(at + 12, &mac.to_ne_bytes());
        self.write(at + 24, &0x0123_u16.to_ne_bytes());
        self.write(at + 26, &0x88a8_u16.to_ne_bytes());
        self.write(at, &status.to_ne_bytes());
    }
}

const USER: u32 = libc::TP_STATUS_USER;

#[test]
fn slots_come_in_order_and_go_back() {
    let mut played = Played::new(3);
    for round in 0..5_u8 {
        for slot in 0..3_u8 {
            assert!(played.ring.filled().is_none());
            let at = usize::from(slot) * SLOT;
            played.write(at + 76, &[round, slot, 7]);
            played.header(slot.into(), USER, 3, 3, 76);
            assert!(played.ring.is_filled());
            let filled = played.ring.filled().unwrap().unwrap();
            assert_eq!((filled.stored, filled.len, filled.queued, filled.vlan), (3, 3, false, None));
            let mut out = [0; 8];
            assert_eq!(filled.copy(0, &mut out), 3);
            assert_eq!(out, [round, slot, 7, 0, 0, 0, 0, 0]);
            assert_eq!(filled.copy(2, &mut out[..]), 1);
            assert_eq!(filled.copy(usize::MAX, &mut out), 0);
            assert_eq!(filled.copy(0, &mut out[..2]), 2);
            played.ring.release();
        }
    }
}

#[test]
fn offsets_outside_of_the_slot_are_bad() {
    let mut played = Played::new(2);
    let least = (size_of::<tpacket2_hdr>() + VnetHeader::LEN) as u16;
    for (snaplen, mac, good) in [
        (0, least, true),
        (1, least - 1, false),
        (0, 0, false),
        (SLOT as u32 - u32::from(least), least, true),
        (SLOT as u32 - u32::from(least) + 1, least, false),
        (0, SLOT as u16, true),
        (1, SLOT as u16, false),
        (u32::MAX, least, false),
        (u32::MAX, u16::MAX, false),
        (0, u16::MAX, false),
    ] {
        let slot = played.ring.next;
        played.header(slot, USER, u32::MAX, snaplen, mac);
        let filled = played.ring.filled().unwrap();
        assert_eq!(filled.is_ok(), good, "{snaplen} bytes at {mac}");
        if let Ok(filled) = filled {
            let mut out = vec![0xff; 4096];
            assert_eq!(filled.copy(0, &mut out), snaplen as usize);
            assert_eq!(filled.len, u32::MAX as usize);
        }
        played.ring.release();
    }
}

#[test]
fn what_the_status_says_is_understood() {
    let mut played = Played::new(1);
    let mut with = |status| {
        played.header(0, USER | status, 100, 60, 90);
        let filled = played.ring.filled().unwrap().unwrap();
        let answer = (filled.queued, filled.checksum_good, filled.vlan);
        played.ring.release();
        answer
    };
    assert_eq!(with(0), (false, false, None));
    assert_eq!(with(libc::TP_STATUS_COPY), (true, false, None));
    assert_eq!(with(libc::TP_STATUS_CSUMNOTREADY), (false, true, None));
    assert_eq!(with(libc::TP_STATUS_CSUM_VALID), (false, true, None));
    assert_eq!(with(libc::TP_STATUS_VLAN_VALID).2, Some([0x81, 0, 1, 0x23]));
    let both = libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID;
    assert_eq!(with(both).2, Some([0x88, 0xa8, 1, 0x23]));
}

#[test]
fn random_contents_are_survived() {
    let mut played = Played::new(4);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let (mut good, mut bad) = (0, 0);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..32).map(|_| random() as u8).collect();
        let slot = played.ring.next;
        played.write(slot * SLOT, &bytes);
        // Lengths and offsets near the limits, where mistakes would be.
        played.write(slot * SLOT + 8, &(random() % 2100).to_ne_bytes());
        played.write(slot * SLOT + 12, &((random() % 2100) as u16).to_ne_bytes());
        played.write(slot * SLOT, &(random() | USER).to_ne_bytes());
        match played.ring.filled() {
            Some(Ok(filled)) => {
                good += 1;
                let mut out = [0; 2048];
                assert_eq!(filled.copy(0, &mut out), filled.stored);
                assert!(filled.stored <= SLOT);
            }
            Some(Err(BadSlot { .. })) => bad += 1,
            None => unreachable!("the slot is ours"),
        }
        played.ring.release();
    }
    assert!(good > 1000 && bad > 1000, "{good} {bad}");
}

#[test]
fn frames_in_the_sockets_queue_go_with_their_slots() {
    let mut played = Played::new(4);
    played.header(0, USER, 100, 60, 90);
    played.header(1, USER | libc::TP_STATUS_COPY, 5000, 60, 90);
    played.header(2, USER | libc::TP_STATUS_COPY, 5000, 60, 0); // a bad one
    assert_eq!(played.ring.filled().unwrap().map(|filled| filled.queued), Ok(false));
    let mut skipped = 0;
    played.ring.discard_all(|| skipped += 1);
    assert_eq!((skipped, played.ring.next), (2, 3));
    played.header(3, USER | libc::TP_STATUS_COPY, 5000, u32::MAX, 90);
    assert_eq!(played.ring.filled().unwrap().map(drop), Err(BadSlot { queued: true }));
}
