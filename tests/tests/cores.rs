//! Programs on several cores: one address, one port, and every core at work.

#[path = "cores/kernel.rs"]
mod kernel;
#[path = "cores/netns.rs"]
mod netns;
#[path = "cores/program.rs"]
mod program;
#[path = "cores/shm.rs"]
mod shm;
#[path = "cores/worlds.rs"]
mod worlds;
