//! The server functions of hemi's examples.
//!
//! Each example in this folder parses its options and calls a function of this library, so that tests run the same
//! function over kernel sockets and, with `mem:` and virtual time, in deterministic simulation.
//!
//! | example | function | shows |
//! |---|---|---|
//! | `hello` | (whole in its file) | a server in twenty lines |
//! | `echo` | [`echo::serve`] | TCP and UDP at once, cores, shutdown |
//! | `chat` | [`chat::serve`] | [`MergeSet`](hemi::algebra::MergeSet), [`Lines`](hemi::framing::Lines), slow clients |
//! | `relay` | [`relay::serve`] | [`qconnect`](hemi::algebra::qconnect()) both ways, two transports in one program |
//! | `pipeline` | [`pipeline::readings`] | [`filter_by`](hemi::algebra::filter_by), [`sort_within`](hemi::algebra::sort_within()), [`map`](hemi::algebra::map()) |
//! | `kv` | [`kv::serve`] | [`RespServer`](hemi::framing::resp::RespServer): a store that `redis-cli` can talk to |
//! | `logserver` | [`logserver::serve`], [`prove::prove`] | [`LogQueue`](hemi::LogQueue): a broker that loses nothing it acknowledged |
//! | `logcat` | [`logcat::dump`] | reading a log, also a damaged one |
//! | `stacktop` | [`stacktop::draw`] | the inside of a running stack ([`hemi::net::stats`]), live in a terminal |
//! | `wordcount-udp` | [`wordcount::serve`] | datagrams, state, answers |

pub mod chat;
pub mod cli;
pub mod echo;
pub mod kv;
pub mod logcat;
pub mod logserver;
pub mod pipeline;
pub mod prove;
pub mod relay;
pub mod stacktop;
pub mod testbed;
pub mod wordcount;
