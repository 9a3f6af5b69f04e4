//! The queue types.
//!
//! | type | a queue of | on |
//! |---|---|---|
//! | [`Queue`](memory::Queue) | anything | the program's own memory |
//! | [`Listener`], [`Conn`] | connections; units ([`Sga`](hemi_queue::Sga)) | every transport |
//! | [`TcpListener`], [`TcpQueue`] | connections; bytes ([`Buf`](hemi_queue::Buf)) | transports with TCP |
//! | [`UdpQueue`] | datagrams | transports with UDP |
//! | [`RdmaQueue`] | units, and the peer's memory | `rdma:` |
//! | [`UnixListener`], [`UnixQueue`], [`UnixDatagram`] | connections; bytes; datagrams | transports with Unix sockets |
//!
//! How they are cut: a socket of a transport (`hemi_queue::transport`) ► an object that makes units of it (`stream.rs`,
//! `datagram.rs`, `accept.rs`) ► a handle that registers the object under a descriptor (`crate::names`) ► one of these
//! types, which adds nothing but its name and its addresses. They are opened through [`Options`].
//!
//! Dropping a queue closes it in the background: what was pushed still goes out.
//!
//! An echo server for any TCP client:
//!
//! ```no_run
//! use hemi::{Pop, Push, TcpListener, spawn};
//!
//! #[hemi::main] // or Runtime::builder().net("dpdk:0000:3b:00.1?ip=10.0.0.2/24")
//! async fn main() -> hemi::Result<()> {
//!     let mut listener = TcpListener::bind("0.0.0.0:7000").await?; // or Listener: units, on any transport
//!     while let Some(mut conn) = listener.pop().await? {
//!         // a listener is a queue of queues; EMFILE and the like are retried inside
//!         spawn(async move {
//!             while let Some(buf) = conn.pop().await? {
//!                 conn.push(buf).await?; // the same memory, never copied
//!             }
//!             conn.close().await
//!         });
//!     }
//!     Ok(())
//! }
//! ```

pub(crate) mod accept;
mod conn;
pub(crate) mod datagram;
mod handle;
mod listener;
pub mod memory;
mod open;
mod options;
mod rdma;
mod split;
pub(crate) mod stream;
mod tcp;
mod udp;
mod unix;
mod unix_datagram;

use std::net::SocketAddr;

pub use conn::Conn;
pub use handle::StreamQueue;
use hemi_queue::{Error, Result, transport::Endpoint};
pub use listener::Listener;
pub use options::Options;
pub use rdma::{ExportedRegion, RdmaQueue, RegionError, RemoteRegion, Rights};
pub use split::{PopHalf, PushHalf};
pub use tcp::{TcpListener, TcpQueue};
pub use udp::UdpQueue;
pub use unix::{UnixListener, UnixQueue};
pub use unix_datagram::UnixDatagram;

/// The address of an IP socket.
fn ip_of(at: &Endpoint) -> Result<SocketAddr> {
    at.ip().ok_or_else(|| Error::wrong_kind("address", "this end has no IP address"))
}
