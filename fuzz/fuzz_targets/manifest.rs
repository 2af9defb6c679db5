#![no_main]
#[path = "../harness.rs"]
#[expect(dead_code, reason = "each target runs one of its functions")]
mod harness;

libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::manifest(data));
