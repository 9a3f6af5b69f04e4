//! Whose a packet is.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{Directory, Fact, Parcel, Protocol, Steering, fact::LIMIT};

/// What a stack knows of the others that share its addresses.
pub(crate) struct Cores {
    index: usize,
    all: u64,
    /// What all of them know and nobody else.
    pub(crate) secret: [u64; 2],
    steering: Arc<Steering>,
    pub(crate) directory: Arc<Directory>,
    /// Packets of the others' flows, and whose they are.
    pub(crate) parcels: VecDeque<(usize, Parcel)>,
    /// What the others should know.
    pub(crate) facts: VecDeque<Fact>,
}

/// Where a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Here,
    /// To this core; the cores that have seen it, as bits.
    There(usize, u64),
}

impl Cores {
    pub(crate) fn new(
        index: usize,
        count: usize,
        secret: [u64; 2],
        steering: Arc<Steering>,
        directory: Arc<Directory>,
    ) -> Self {
        let all = (1 << count.min(Steering::CORES)) - 1;
        Self { index, all, secret, steering, directory, parcels: VecDeque::new(), facts: VecDeque::new() }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn count(&self) -> usize {
        self.all.count_ones() as usize
    }

    /// The core of the rule; another one once that has ended.
    #[inline]
    fn home(&self, remote: SocketAddr, local: SocketAddr) -> usize {
        self.alive(self.steering.core_of(remote, local))
    }

    #[inline]
    fn alive(&self, core: usize) -> usize {
        let ended = self.directory.ended();
        if ended >> core & 1 == 0 { core } else { nth(self.all & !ended, core).unwrap_or(self.index) }
    }

    /// The core that puts fragments from `src` to `dst` together, if it is not this one.
    pub(crate) fn assembles_elsewhere(&self, src: IpAddr, dst: IpAddr) -> Option<usize> {
        let core = self.alive(self.steering.core_of_fragments(src, dst));
        (core != self.index).then_some(core)
    }

    /// Whether a connection that this core opens can be from `local`: the rule gives it to this core, and nobody listens there.
    pub(crate) fn may_open(&self, remote: SocketAddr, local: SocketAddr) -> bool {
        !self.directory.is_claimed(Protocol::Tcp, local.port()) && self.home(remote, local) == self.index
    }

    /// A connection of this core's has a local port that the application has chosen, whatever the rule says.
    pub(crate) fn will_live_here(&self, remote: SocketAddr, local: SocketAddr) {
        if self.home(remote, local) != self.index {
            self.directory.mix(local.port());
        }
    }

    /// The core that takes a datagram, or a new connection: that of the rule, if it has bound the port or nobody has; else one of those
    /// that have.
    fn choice(&self, protocol: Protocol, home: usize, remote: SocketAddr, local: SocketAddr) -> usize {
        let bound = self.directory.cores(protocol, local);
        if bound == 0 || bound >> home & 1 == 1 {
            return home;
        }
        // Not by the core of the rule: that has few values.
        nth(bound, self.steering.hash_of(remote, local) as usize >> 8).unwrap_or(home)
    }

    /// Where a datagram goes.
    pub(crate) fn place_datagram(&self, remote: SocketAddr, local: SocketAddr) -> Place {
        let choice = self.choice(Protocol::Udp, self.home(remote, local), remote, local);
        if choice == self.index { Place::Here } else { Place::There(choice, 0) }
    }

    /// Where a segment goes that has been at the cores `visited`. `knows`: whether a connection here is the one it is for.
    ///
    /// Connections live elsewhere than the rule says when not all cores listen, and stay there when that changes. Nobody
    /// keeps a list of those: the segment is handed round until somebody knows it, and answered by the core that would take
    /// a new connection when nobody does. What is known is taken by `Tcp::on_predicted` before anyone asks here, wherever the device delivers it.
    #[inline]
    pub(crate) fn place_segment(
        &self,
        remote: SocketAddr,
        local: SocketAddr,
        visited: u64,
        knows: impl FnOnce() -> bool,
    ) -> Place {
        let home = self.home(remote, local);
        let choice = self.choice(Protocol::Tcp, home, remote, local);
        if choice != home && !self.directory.is_mixed(local.port()) {
            self.directory.mix(local.port());
        }
        if self.directory.is_mixed(local.port()) {
            return self.find(choice, home, visited, knows);
        }
        if choice == self.index { Place::Here } else { Place::There(choice, 0) }
    }

    #[cold]
    fn find(&self, choice: usize, home: usize, visited: u64, knows: impl FnOnce() -> bool) -> Place {
        let here = choice == self.index;
        let seen = visited | 1 << self.index;
        let left = self.all & !seen & !self.directory.ended();
        if (here && left == 0) || knows() {
            return Place::Here;
        }
        let next = if left >> choice & 1 == 1 {
            choice
        } else if left >> home & 1 == 1 {
            home
        } else if left != 0 {
            left.trailing_zeros() as usize
        } else {
            choice
        };
        Place::There(next, seen)
    }

    /// Tell the others, if there is room: they ask for themselves what they have not heard.
    pub(crate) fn tell(&mut self, fact: Fact) {
        if self.facts.len() < LIMIT {
            self.facts.push_back(fact);
        }
    }
}

/// The number of one of the bits of `mask`, chosen by `n`.
fn nth(mask: u64, n: usize) -> Option<usize> {
    let count = mask.count_ones() as usize;
    let mut rest = mask;
    for _ in 0..n.checked_rem(count)? {
        rest &= rest - 1;
    }
    Some(rest.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 2], n))
    }

    const PORT: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 80);

    fn world(count: usize) -> (Vec<Cores>, Arc<Directory>) {
        let (rule, directory) = (Arc::new(Steering::random(count, 1)), Arc::new(Directory::new()));
        let core = |i| Cores::new(i, count, [0; 2], Arc::clone(&rule), Arc::clone(&directory));
        ((0..count).map(core).collect(), directory)
    }

    fn listen(directory: &Directory, core: usize) {
        directory.claim(Protocol::Tcp, PORT, false, core, true, ((1, 2), 0)).expect("free");
    }

    /// Follow a segment until somebody takes it, who is given with the number of times that it changed hands.
    fn follow(cores: &[Cores], start: usize, from: SocketAddr, lives: Option<usize>) -> (usize, usize) {
        let (mut core, mut visited) = (start, 0);
        for hands in 0..20 {
            match cores[core].place_segment(from, PORT, visited, || lives == Some(core)) {
                Place::Here => return (core, hands),
                Place::There(next, seen) => {
                    assert_ne!(next, core);
                    (core, visited) = (next, seen);
                }
            }
        }
        panic!("nobody takes it");
    }

    #[test]
    fn every_core_gives_a_flow_to_the_same_one_at_once() {
        let (cores, directory) = world(5);
        for listeners in 0..2 {
            for port in 1..200 {
                let home = cores[0].home(at(port), PORT);
                for start in 0..5 {
                    assert_eq!(follow(&cores, start, at(port), None), (home, usize::from(start != home)));
                }
            }
            if listeners == 0 {
                (0..5).for_each(|core| listen(&directory, core));
            }
        }
        assert!(!directory.is_mixed(80));
    }

    #[test]
    fn those_who_listen_share_the_connections() {
        let (cores, directory) = world(8);
        listen(&directory, 3);
        listen(&directory, 6);
        let mut taken = [0; 8];
        for port in 1..400 {
            // A SYN too: its connection may be there already, on a core that no longer listens.
            let (core, hands) = follow(&cores, usize::from(port) % 8, at(port), None);
            assert!(hands <= 8, "{hands}");
            taken[core] += 1;
            // Later segments find it, also after others have begun to listen.
            assert_eq!(follow(&cores, 0, at(port), Some(core)).0, core);
        }
        assert!(taken[3] > 50 && taken[6] > 50 && taken[3] + taken[6] == 399, "{taken:?}");
    }

    #[test]
    fn a_connection_is_found_wherever_it_lives_and_a_stray_is_answered_once() {
        let (cores, directory) = world(4);
        listen(&directory, 0);
        let strangers: Vec<_> = (1..50).filter(|port| cores[0].home(at(*port), PORT) != 0).collect();
        assert_eq!(follow(&cores, 2, at(strangers[0]), None).0, 0);
        (1..4).for_each(|core| listen(&directory, core));
        for port in strangers {
            for start in 0..4 {
                for lives in 0..4 {
                    assert_eq!(follow(&cores, start, at(port), Some(lives)).0, lives);
                }
                let (answered, hands) = follow(&cores, start, at(port), None);
                assert_eq!(answered, cores[0].home(at(port), PORT));
                assert!(hands <= 5);
            }
        }
    }

    #[test]
    fn a_core_that_has_ended_gets_nothing() {
        let (cores, directory) = world(3);
        directory.leave(1);
        for port in 1..100 {
            assert_ne!(follow(&cores, 0, at(port), None).0, 1);
            assert_ne!(cores[0].place_datagram(at(port), PORT), Place::There(1, 0));
        }
    }
}
