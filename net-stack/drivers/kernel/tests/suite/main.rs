//! The transport suite: everything on every backend, against plain std sockets.

mod rig;
mod streams;
