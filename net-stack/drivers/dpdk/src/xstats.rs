//! A driver's own statistics.

use dpdk_sys as sys;

/// Those that are not zero, each as a name and a value.
pub(crate) fn each(port: u16, each: &mut dyn FnMut(&str, u64)) {
    // SAFETY: a null list of no entries asks for the number.
    let count = unsafe { sys::rte_eth_xstats_get_names(port, std::ptr::null_mut(), 0) };
    let Ok(count) = usize::try_from(count) else { return };
    let mut names = vec![sys::rte_eth_xstat_name { name: [0; 64] }; count];
    let mut values = vec![sys::rte_eth_xstat::default(); count];
    // SAFETY: the lists have as many entries as is said.
    let (named, valued) = unsafe {
        (
            sys::rte_eth_xstats_get_names(port, names.as_mut_ptr(), count as u32),
            sys::rte_eth_xstats_get(port, values.as_mut_ptr(), count as u32),
        )
    };
    let got = usize::try_from(valued.min(named)).unwrap_or(0).min(count);
    for stat in values[..got].iter().filter(|stat| stat.value > 0) {
        let Some(name) = names.get(stat.id as usize) else { continue };
        let name = name.name.map(|c| c as u8);
        let name = name.split(|&c| c == 0).next().unwrap_or_default();
        each(&String::from_utf8_lossy(name), stat.value);
    }
}
