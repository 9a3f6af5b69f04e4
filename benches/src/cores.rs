//! Which core does what.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::error::Error;

/// The two cores of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Cores {
    /// Where the echo server runs.
    pub server: usize,
    /// Where the client runs.
    pub client: usize,
}

impl Cores {
    /// The cores asked for; where none is, the first two that this process may use.
    pub fn choose(server: Option<usize>, client: Option<usize>) -> Result<Self, Error> {
        let allowed = allowed();
        let mut free = allowed.iter().copied().filter(|cpu| Some(*cpu) != server && Some(*cpu) != client);
        let mut next = || free.next().ok_or_else(|| Error::TooFewCores { allowed: allowed.clone() });
        let cores =
            Self { server: server.map_or_else(&mut next, Ok)?, client: client.map_or_else(&mut next, Ok)? };
        if cores.server == cores.client {
            return Err(Error::SameCore(cores.server));
        }
        Ok(cores)
    }
}

/// Binds the calling thread to one core; threads it starts later inherit that.
pub fn pin(cpu: usize) -> Result<(), Error> {
    let mut set = CpuSet::new();
    // A set holds a fixed number of cores, and refuses by panicking.
    let possible = cpu < CpuSet::MAX_CPU;
    if possible {
        set.set(cpu);
    }
    sched_setaffinity(None, &set).map_err(|errno| Error::Pin {
        cpu,
        allowed: allowed(),
        source: errno.into(),
    })
}

/// The cores this thread may use.
pub fn allowed() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_does_not_exist_is_refused_with_those_that_do() {
        std::thread::spawn(|| {
            for cpu in [CpuSet::MAX_CPU - 1, CpuSet::MAX_CPU, usize::MAX] {
                let error = pin(cpu).expect_err("no machine has that many");
                assert!(matches!(error, Error::Pin { allowed, .. } if !allowed.is_empty()));
            }
        })
        .join()
        .expect("the thread ends");
    }

    #[test]
    fn server_and_client_never_share() {
        assert!(matches!(Cores::choose(Some(0), Some(0)), Err(Error::SameCore(0))));
        if let Ok(cores) = Cores::choose(None, None) {
            assert_ne!(cores.server, cores.client);
            let swapped = Cores::choose(Some(cores.client), None).expect("the other is free");
            assert_ne!(swapped.client, cores.client);
        }
    }

    #[test]
    fn pinning_leaves_one_core() {
        std::thread::spawn(|| {
            let first = allowed()[0];
            pin(first).expect("it was allowed");
            assert_eq!(allowed(), [first]);
        })
        .join()
        .expect("the thread ends");
    }
}
