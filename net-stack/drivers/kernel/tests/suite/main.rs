//! The transport suite: everything on every backend, against plain std sockets.

mod datagrams;
mod rig;
mod streams;
mod trouble;
mod uri;
