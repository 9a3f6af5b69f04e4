#![no_main]

#[path = "../src/storage.rs"]
#[allow(dead_code)]
mod storage;

libfuzzer_sys::fuzz_target!(|data: &[u8]| storage::log(data));
