#![no_main]

#[path = "../src/rdma.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::connection(data));
