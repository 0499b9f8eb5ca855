//! Exactly-once with real processes and real files: a child process counts words from files to files, is killed or made to fail, and
//! is started again on the same checkpoint until it is done. What it committed must be what the naive twin gives.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may"
)]

mod batches;
mod child;
mod compaction;
mod damage;
mod faults;
mod kills;
mod objects;
mod scene;
mod tables;
