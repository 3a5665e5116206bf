//! The sources of the configuration: see the property of this name in `storage_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| storage_properties::configuration(data));
