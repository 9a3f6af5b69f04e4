//! Duplicate address detection before an address is used (RFC 4862 section 5.4, RFC 5227 section 2.1), for those who ask for it.
//!
//! Until it is over the addresses of a family are *tentative*: nothing is sent from them but the question whether somebody has them, what comes
//! for them is dropped, and what the application sends waits for its neighbour as it does otherwise. One answer, or the same question from
//! another station, ends it: the stack can't have the address, and says so to everybody above it.

use std::net::{IpAddr, Ipv4Addr};

use hemi_queue::time::Instant;

use crate::{ip::Net, timer::Timer, wire::MacAddr};

use super::cache::SECOND;

/// RFC 4862 section 5.1: DupAddrDetectTransmits, default 1; RFC 4861 section 10: RETRANS_TIMER, 1 s.
const V6_QUESTIONS: u8 = 1;
/// RFC 5227 section 1.1: PROBE_NUM 3; PROBE_MIN 1 s to PROBE_MAX 2 s between them; ANNOUNCE_WAIT 2 s.
const V4_QUESTIONS: u8 = 3;

/// Another station has an address that we were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The address.
    pub address: IpAddr,
    /// Who has it, or wants it too, if that was told.
    pub station: Option<MacAddr>,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "duplicate address detection: {} is in use by ", self.address)?;
        match self.station {
            Some(mac) => write!(f, "the station {mac}")?,
            None => f.write_str("another station")?,
        }
        f.write_str("; choose another `ip=`, or take it all the same with `dad=0`")
    }
}

/// The questions of one family.
#[derive(Clone, Copy, Debug)]
struct Round {
    left: u8,
    due: Instant,
}

/// Detection that is under way.
#[derive(Debug, Default)]
pub(crate) struct Detection {
    v4: Option<Round>,
    v6: Option<Round>,
    /// Another core asks; we only wait.
    silent: bool,
    conflict: Option<Conflict>,
}

impl Detection {
    fn is_tentative(&self, v4: bool) -> bool {
        if v4 { self.v4.is_some() } else { self.v6.is_some() }
    }

    /// What was found.
    pub(crate) fn conflict(&self) -> Option<Conflict> {
        self.conflict
    }
}

impl Net {
    /// Begin: all addresses are tentative. `silent`: another core asks.
    pub(crate) fn detect_duplicates(&mut self, silent: bool, now: Instant) {
        let has = |v4: bool| self.addresses.iter().any(|c| c.address.is_ipv4() == v4);
        // RFC 4862 section 5.4.2: the first message SHOULD be delayed by a random time of up to MAX_RTR_SOLICITATION_DELAY [when it] may be sent
        // by many nodes at once; we are started one by one.
        let begin = |questions: u8, there: bool| there.then_some(Round { left: questions, due: now });
        let (v4, v6) = (begin(V4_QUESTIONS, has(true)), begin(V6_QUESTIONS, has(false)));
        self.detection = Some(Box::new(Detection { v4, v6, silent, conflict: None }));
        self.detection_timer(now);
    }

    /// Whether an address of this family must not be used yet.
    #[inline]
    pub(crate) fn is_tentative(&self, v4: bool) -> bool {
        self.detection.as_ref().is_some_and(|detection| detection.is_tentative(v4))
    }

    /// The timer fired: ask again, or begin to use the addresses.
    #[cold]
    pub(crate) fn detection_timer(&mut self, now: Instant) {
        // After a conflict they stay tentative for ever.
        let Some(mut detection) = self.detection.take_if(|detection| detection.conflict.is_none()) else {
            return;
        };
        let silent = detection.silent;
        for (v4, round) in [(true, &mut detection.v4), (false, &mut detection.v6)] {
            let Some(Round { left, due }) = round else { continue };
            if *due > now {
                continue;
            }
            if *left == 0 {
                *round = None;
                continue;
            }
            *left -= 1;
            *due = now
                + if !v4 {
                    SECOND
                } else if *left == 0 || silent {
                    // Who only waits waits as long as the one who asks may.
                    2 * SECOND
                } else {
                    SECOND + self.random_second()
                };
            self.timers.insert(*due, Timer::Detection);
            if !silent {
                self.ask_for_duplicates(v4);
            }
        }
        let over = detection.v4.is_none() && detection.v6.is_none();
        let usable = [!detection.is_tentative(true), !detection.is_tentative(false)];
        self.detection = (!over).then_some(detection);
        for (v4, usable) in [true, false].into_iter().zip(usable) {
            if usable {
                self.ask_what_waited(v4, now);
            }
        }
    }

    fn random_second(&mut self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.rng.below(1_000_000_000))
    }

    fn ask_for_duplicates(&mut self, v4: bool) {
        let ours: Vec<IpAddr> = self.addresses.iter().map(|c| c.address).collect();
        for ip in ours {
            match ip {
                // RFC 5227 section 2.1.1: an ARP Probe: an ARP Request with the 'sender IP address' field set to all zeroes.
                IpAddr::V4(ip) if v4 => self.send_arp_request(ip, Ipv4Addr::UNSPECIFIED, None),
                IpAddr::V6(ip) if !v4 => self.send_duplicate_solicitation(ip),
                _ => {}
            }
        }
    }

    /// Another station has, or asks for, a tentative address of ours.
    #[cold]
    pub(super) fn found_duplicate(&mut self, address: IpAddr, station: Option<MacAddr>) {
        self.counters.neighbor_conflicts += 1;
        tracing::warn!(target: "hemi::net", %address, ?station, "another station has our address");
        if let Some(detection) = &mut self.detection {
            detection.conflict.get_or_insert(Conflict { address, station });
        }
    }
}
