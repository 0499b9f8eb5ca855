//! The query layer as its users see it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test may")]

mod batch_equals_stream;
mod batch_files;
mod bounded_state;
mod event_time;
mod failures;
mod files;
mod late_rows;
mod metadata;
mod plans;
mod sessions;
mod spark_files;
mod static_tables;
mod support;
mod tables;
