#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate_connectors::fuzz::parquet_pages(bytes));
