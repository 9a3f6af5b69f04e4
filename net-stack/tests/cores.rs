//! Several cores with the same addresses, in virtual time: a client, and a server that is one stack on each core.

#[path = "cores/world.rs"]
mod world;

#[path = "cores/facts.rs"]
mod facts;
#[path = "cores/listeners.rs"]
mod listeners;
#[path = "cores/traffic.rs"]
mod traffic;
