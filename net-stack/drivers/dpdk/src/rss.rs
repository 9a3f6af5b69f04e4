//! Receive-side scaling: the stack's rule, told to a port that can be told.
//!
//! A port hashes as `hemi_net::cores::Steering` does (Toeplitz over addresses and ports as received) once it has the key, and picks the queue by its
//! indirection table (RETA). Where one of the two cannot be set, or ports are not hashed, flows land anywhere, and the stack passes them on.

use dpdk_sys as sys;
use hemi_net::cores::{Steered, Steering};

/// Entries of a table per group that is set at a time.
const GROUP: usize = sys::RTE_ETH_RETA_GROUP_SIZE as usize;

/// Bytes of a key, where a driver does not say.
const KEY: u8 = 40;

/// What a port says of its scaling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scaling {
    /// Entries of its table; 0: it has none that can be set.
    pub(crate) entries: u16,
    /// Bytes of its key.
    pub(crate) key: u8,
    /// What it was configured to hash.
    pub(crate) types: u64,
}

impl Scaling {
    pub(crate) fn of(info: &sys::rte_eth_dev_info, types: u64) -> Self {
        // Drivers that say nothing take keys of 40 bytes, as all did before they were asked (`struct rte_eth_rss_conf`).
        let key = if info.hash_key_size == 0 { KEY } else { info.hash_key_size };
        Self { entries: info.reta_size, key, types }
    }

    /// The key and the table, if the port has room for them: its table is as long as the rule's or longer, or repeats it.
    fn told(self, rule: &Steering) -> Option<(Vec<u8>, Vec<sys::rte_eth_rss_reta_entry64>)> {
        let (entries, table, key) = (usize::from(self.entries), rule.table(), rule.key());
        let repeats = entries.is_power_of_two()
            && table.iter().enumerate().all(|(n, core)| table[n % entries] == *core);
        // Longer keys are for longer input.
        let room = usize::from(self.key) >= key.len();
        if !repeats || !room || !entries.is_multiple_of(GROUP) {
            return None;
        }
        let mut padded = key.to_vec();
        padded.resize(self.key.into(), 0);
        let mut groups =
            vec![sys::rte_eth_rss_reta_entry64 { mask: u64::MAX, reta: [0; GROUP] }; entries / GROUP];
        for n in 0..entries {
            groups[n / GROUP].reta[n % GROUP] = table[n % table.len()].into();
        }
        Some((padded, groups))
    }
}

/// Tell a port the rule.
pub(crate) fn steer(port: u16, scaling: Scaling, rule: &Steering) -> Steered {
    let Some((mut key, mut groups)) = scaling.told(rule) else { return Steered::Unknown };
    let mut hash =
        sys::rte_eth_rss_conf { rss_key: key.as_mut_ptr(), rss_key_len: scaling.key, rss_hf: scaling.types };
    // SAFETY: an open port; the key and the table are locals of the lengths that the port has told.
    let (hashes, table) = unsafe {
        (
            sys::rte_eth_dev_rss_hash_update(port, &raw mut hash),
            sys::rte_eth_dev_rss_reta_update(port, groups.as_mut_ptr(), scaling.entries),
        )
    };
    // SAFETY: no arguments.
    let ports = unsafe { sys::hemi_dpdk_rss_ports() };
    if hashes < 0 || table < 0 || scaling.types & ports != ports {
        tracing::info!(
            "RSS key: {hashes}, table: {table}, hashing {:#x}: some flows are passed on in software",
            scaling.types
        );
        return Steered::Unknown;
    }
    Steered::Exactly
}

#[cfg(test)]
mod tests {
    use hemi_net::DeviceQueue;
    use hemi_queue::Uri;

    use super::*;

    /// What a port has been told, as it says itself.
    fn answer(port: u16, scaling: Scaling) -> (Vec<u8>, Vec<u16>) {
        let mut key = vec![0; scaling.key.into()];
        let groups = usize::from(scaling.entries) / GROUP;
        let mut table = vec![sys::rte_eth_rss_reta_entry64 { mask: u64::MAX, reta: [0; GROUP] }; groups];
        let mut hash =
            sys::rte_eth_rss_conf { rss_key: key.as_mut_ptr(), rss_key_len: scaling.key, rss_hf: 0 };
        // SAFETY: as in `steer`.
        unsafe {
            assert_eq!(sys::rte_eth_dev_rss_hash_conf_get(port, &raw mut hash), 0);
            assert_eq!(sys::rte_eth_dev_rss_reta_query(port, table.as_mut_ptr(), scaling.entries), 0);
        }
        (key, table.iter().flat_map(|group| group.reta).collect())
    }

    #[test]
    fn a_port_with_rss_is_told_key_and_table() {
        // Of the virtual devices of 22.11 this one keeps what it is told.
        let uri: Uri = "dpdk:net_null44".parse().unwrap();
        let open = |index| crate::open_queue(&uri, DeviceQueue { index, of: 3 }).unwrap();
        let ((port, _first), _second, _third) = (open(0), open(1), open(2));
        let scaling = port.offers.scaling;
        assert_eq!((scaling.entries, scaling.key), (128, 40));
        for seed in 0..3 {
            let rule = Steering::random(3, seed);
            assert!(matches!(steer(port.id, scaling, &rule), Steered::Exactly));
            let (key, table) = answer(port.id, scaling);
            assert_eq!(key, rule.key());
            assert!(table.iter().copied().eq(rule.table().iter().map(|&core| core.into())));
        }
    }

    #[test]
    fn what_a_port_has_no_room_for_is_not_told() {
        let told = |entries, key, cores| {
            Scaling { entries, key, types: 0 }.told(&Steering::random(cores, 1)).map(|(key, groups)| {
                (key.len(), groups.iter().flat_map(|group| group.reta).collect::<Vec<_>>())
            })
        };
        assert_eq!(told(0, 40, 2), None, "no table");
        assert_eq!(told(128, 16, 2), None, "a short key");
        assert_eq!(told(192, 40, 2), None, "no power of two");
        assert_eq!(told(64, 40, 3), None, "three cores do not repeat in it");
        let two = told(64, 40, 2).unwrap();
        assert_eq!((two.0, two.1.len(), two.1[63]), (40, 64, 1));
        let long = told(512, 52, 3).unwrap();
        assert_eq!((long.0, long.1.len(), long.1[129]), (52, 512, long.1[1]));
    }
}
