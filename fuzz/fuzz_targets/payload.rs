#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| meetmind_media::hostile::payload(bytes));
