//! rdma-core from Rust: the C types, their numbers, and the functions, loaded at run time.
//!
//! A thin layer of our own because the default build must need rustc and gcc alone: what is published either links
//! `libibverbs` at build time (`ibverbs-sys`), or builds a C library with cmake and bindgen (`rdma-mummy-sys`).
//! The data path needs no symbols at all: post and poll are inline functions in C that call through the context.
//!
//! What is deliberately left out: everything that a reliable connection does not use (datagrams, multicast, memory windows, the
//! extended verbs).
#![allow(non_camel_case_types, clippy::struct_field_names)] // the names are C's

mod consts;
#[cfg(test)]
mod layout;
mod load;
mod types;

pub(crate) use consts::*;
pub(crate) use load::{LoadError, Rdma, text_of};
pub(crate) use types::*;
