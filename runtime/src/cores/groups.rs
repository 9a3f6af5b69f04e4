//! [`Groups`]: the stacks of one program's cores that have the same addresses, by the name of their transport.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use hemi_net::cores::{Bell, Group, Seat};

use crate::context::Core;

/// One group for each user-level transport of a program on several cores.
#[derive(Debug)]
pub(crate) struct Groups {
    seed: u64,
    by_name: Mutex<BTreeMap<String, Arc<Group>>>,
}

impl Groups {
    /// None yet; their keys come from the program's seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, by_name: Mutex::default() }
    }

    /// The seat of `core` in the group called `name`; `None` when it was taken, or there are more cores than a group can have.
    pub(crate) fn seat(&self, name: &str, core: &Core) -> Option<Seat> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Group::new(core.cores, self.seed ^ by_name_seed(name));
        let group = Arc::clone(by_name.entry(name.to_owned()).or_insert_with(make));
        let bell = core.park.as_ref().map(|park| {
            let unparker = park.unparker();
            Arc::new(move || unparker.unpark()) as Bell
        });
        group.seat(core.core_index, bell)
    }
}

/// Two transports of one program do not have the same key.
fn by_name_seed(name: &str) -> u64 {
    name.bytes().fold(0, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
