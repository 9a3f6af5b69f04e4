//! [`ShmDevice`]: the interface, with a link or without.

use std::time::Duration;

use hemi_net::{Caps, Device, Gone, RxFrame, RxPool, TxQueue};
use hemi_queue::{Error, Pool, Progress, Result, Wakeup, time::Instant};

use crate::{
    control::{Hello, Meeting, Seat},
    link::Link,
    params::Params,
    ring::Broken,
    stats::Stats,
};

/// Between two looks, while nothing is received, whether the other side still lives.
const LOOK: Duration = Duration::from_millis(1);
/// How long frames wait for a peer that is not there (yet) before they are thrown away as by a cable that is not plugged in:
/// long enough for the other side to be started right after this one.
const HOLD: Duration = Duration::from_secs(1);
/// The largest TCP frame that goes through uncut.
const TSO: u32 = 60 << 10;

/// One side of a shared-memory interface.
pub(crate) struct ShmDevice {
    params: Params,
    caps: Caps,
    room: RxPool,
    meeting: Meeting,
    link: Option<Link>,
    stats: Stats,
    /// When to look at the sockets next even though nothing hints at them.
    look_at: Instant,
    /// Since when there is no link.
    down_since: Option<Instant>,
}

impl ShmDevice {
    pub(crate) fn open(params: Params, pool: &Pool) -> Result<Self> {
        let io = |source| Error::io("open", &params, source);
        let seat = Seat::take(&params.path, params.role).map_err(io)?;
        let mac = params.mac_of(seat.role);
        let ours =
            Hello { mac, full_checksums: params.full_checksums, ring: params.ring, pid: std::process::id() };
        let offload = !params.full_checksums;
        let caps = Caps { mac, mtu: params.mtu, tx_checksum: offload, tso: if offload { TSO } else { 0 } };
        Ok(Self {
            caps,
            room: RxPool::new(pool.clone()),
            meeting: Meeting::new(seat, ours).map_err(io)?,
            link: None,
            stats: Stats::default(),
            look_at: Instant::ZERO,
            down_since: None,
            params,
        })
    }

    /// What is not needed for a frame: find the other side, or notice that it is gone.
    #[cold]
    #[inline(never)]
    fn look(&mut self, now: Instant) -> Result<(), Gone> {
        self.look_at = now + LOOK;
        if let Some(link) = &self.link {
            if link.is_over() {
                tracing::info!(device = %self.params, "the other side is gone");
                self.cut(now);
            }
            return Ok(());
        }
        self.down_since.get_or_insert(now);
        let met = self.meeting.poll(now).map_err(|source| Gone { name: self.params.to_string(), source })?;
        if let Some(met) = met {
            tracing::info!(device = %self.params, peer = %met.theirs.mac, pid = met.theirs.pid, "the other side is there");
            self.link = Some(Link::new(met, self.meeting.role()));
            self.stats.links += 1;
            self.down_since = None;
        }
        Ok(())
    }

    /// End the link and wait for a new one.
    #[cold]
    fn cut(&mut self, now: Instant) {
        self.link = None;
        self.meeting.restart();
        self.down_since = Some(now);
        self.look_at = now;
    }

    #[cold]
    fn broken(&mut self, now: Instant, why: Broken) {
        self.stats.broken += 1;
        tracing::warn!(device = %self.params, %why, "the shared memory is damaged; beginning a new link");
        self.cut(now);
    }
}

impl Device for ShmDevice {
    fn caps(&self) -> Caps {
        self.caps
    }

    #[inline]
    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        if let Some(link) = &mut self.link {
            match link.receive(max, self.caps.tx_checksum, &mut self.room, &mut self.stats, frames) {
                Ok(0) => {}
                Ok(n) => return Ok(n),
                Err(why) => self.broken(now, why),
            }
        }
        if now >= self.look_at {
            self.look(now)?;
        }
        Ok(0)
    }

    #[inline]
    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        let Some(link) = &mut self.link else {
            let since = *self.down_since.get_or_insert(now);
            if now < since + HOLD {
                return Ok(0);
            }
            let n = frames.len();
            (0..n).for_each(|_| frames.discard());
            self.stats.tx_no_carrier += n as u64;
            return Ok(n);
        };
        link.send(frames, &mut self.stats).or_else(|why| {
            self.broken(now, why);
            Ok(0)
        })
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Fd(self.meeting.fd())
    }

    /// Only of a side that has to look for the other by itself.
    fn deadline(&self) -> Option<Instant> {
        if self.link.is_some() { None } else { self.meeting.deadline() }
    }

    fn prepare_park(&mut self) -> Progress {
        self.link.as_mut().map_or(Progress::Idle, Link::prepare_park)
    }

    fn unpark(&mut self) {
        if let Some(link) = &self.link {
            link.unpark();
        }
        self.look_at = Instant::ZERO;
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        self.stats.each(each);
    }

    fn describe(&self) -> String {
        let Caps { mac, mtu, .. } = self.caps;
        let checksums =
            if self.caps.tx_checksum { "checksums and segmentation offloaded" } else { "full checksums" };
        let peer = match &self.link {
            Some(link) => format!("linked to {} of process {}", link.theirs().mac, link.theirs().pid),
            None => "no peer".to_owned(),
        };
        format!("{} side {}, {mac}, mtu {mtu}, {checksums}, {peer}", self.params, self.meeting.role())
    }
}

impl Drop for ShmDevice {
    /// The other side may look at what we sent last before it notices that we are gone: nothing to do but to leave. The link goes
    /// first, the seat last.
    fn drop(&mut self) {
        self.link = None;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    //! A hostile peer, seen from the device.

    use hemi_net::TxFrame;
    use hemi_queue::{Sga, Uri};
    use proptest::prelude::*;

    use super::*;

    fn pair() -> [ShmDevice; 2] {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hemi-shm-device-{}-{n}", std::process::id()));
        let uri: Uri = format!("shm:{}", path.display()).parse().unwrap();
        let params = Params::take(&uri).unwrap();
        let pool = Pool::new().unwrap();
        [(); 2].map(|()| ShmDevice::open(params.clone(), &pool).unwrap())
    }

    fn send(device: &mut ShmDevice, now: Instant, len: usize) {
        let mut queue = TxQueue::new(1);
        let mut frame = TxFrame::new(Sga::from(vec![5; len]));
        frame.head_mut(54).fill(6);
        queue.push(frame);
        device.tx_burst(now, &mut queue).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_the_peer_writes_the_next_link_works(
            scribbles in prop::collection::vec((any::<bool>(), any::<u32>(), any::<u8>(), 1_usize..3000), 1..200)
        ) {
            let mut devices = pair();
            let (mut now, mut got) = (Instant::ZERO, Vec::new());
            let turn = |now: &mut Instant, devices: &mut [ShmDevice; 2], got: &mut Vec<RxFrame>| {
                *now += Duration::from_millis(2);
                for device in devices {
                    device.rx_burst(*now, 64, got).unwrap();
                    // An answer either way; what was armed is what a sleeper arms.
                    let _ = device.prepare_park();
                    device.unpark();
                }
            };
            for (near, at, byte, len) in scribbles {
                turn(&mut now, &mut devices, &mut got);
                if let Some(link) = &devices[0].link {
                    link.scribble(if near { (at % 8192) as usize } else { at as usize }, byte);
                }
                for device in &mut devices {
                    send(device, now, len);
                }
                turn(&mut now, &mut devices, &mut got);
                prop_assert!(got.iter().all(|frame| !frame.bytes.is_empty()));
                got.clear();
            }
            // The survivors of all that cut what they have, and meet anew.
            for device in &mut devices {
                device.cut(now);
            }
            for _ in 0..200 {
                turn(&mut now, &mut devices, &mut got);
            }
            got.clear();
            let [a, b] = &mut devices;
            prop_assert!(a.link.is_some() && b.link.is_some(), "{} {}", a.describe(), b.describe());
            send(a, now, 1000);
            prop_assert_eq!(b.rx_burst(now, 64, &mut got).unwrap(), 1);
            prop_assert_eq!(got[0].bytes.len(), 1054);
        }
    }
}
