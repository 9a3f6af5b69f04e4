//! The portable suite on every transport that this build has.

use std::sync::atomic::{AtomicU32, Ordering};

use hemi_tests::{suite::World, transport_suite};

transport_suite!(mem_simulated, World::simulated("mem:?latency=50us&jitter=20us", 1));
transport_suite!(mem_bytes_simulated, World::simulated("mem:?stream=bytes&mss=1460&latency=20us", 2));
transport_suite!(
    sim,
    World::simulated_pair(
        "sim:suite?ip=10.77.0.1/24&latency=20us",
        "sim:suite?ip=10.77.0.2/24&latency=20us",
        3
    )
);
transport_suite!(sim_itself, World::simulated("sim:?ip=10.77.0.1/24", 4));
transport_suite!(sim_real_time, World::real_pair("sim:suite?ip=fd00::1/64", "sim:suite?ip=fd00::2/64"));
transport_suite!(mem, World::real("mem:"));
transport_suite!(kernel_uring, World::real("kernel:?backend=uring"));
transport_suite!(kernel_epoll, World::real("kernel:?backend=epoll"));
transport_suite!(kernel_poll, World::real("kernel:?backend=poll"));
transport_suite!(shm, shm());

/// Two hosts on a link in shared memory of its own.
fn shm() -> Result<World, String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("suite-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    World::real_pair(&format!("shm:{name}?ip=10.77.0.1/24"), &format!("shm:{name}?ip=10.77.0.2/24"))
}
