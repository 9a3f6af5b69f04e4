//! The portable suite on every transport that this build has.

use hemi_tests::{suite::World, transport_suite};

transport_suite!(mem_simulated, World::simulated("mem:?latency=50us&jitter=20us", 1));
transport_suite!(mem_bytes_simulated, World::simulated("mem:?stream=bytes&mss=1460&latency=20us", 2));
transport_suite!(mem, World::real("mem:"));
transport_suite!(kernel_uring, World::real("kernel:?backend=uring"));
transport_suite!(kernel_epoll, World::real("kernel:?backend=epoll"));
transport_suite!(kernel_poll, World::real("kernel:?backend=poll"));
