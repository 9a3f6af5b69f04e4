//! What a user-level transport promises its queues, in virtual time, down to the frames.

mod device;
mod ends;
mod rig;
mod sockets;
mod stats;
