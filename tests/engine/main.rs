//! The runtime as a user of topologies sees it: life cycle, failures, recovery, bad topologies.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may"
)]

mod failures;
mod lifecycle;
mod recovery;
mod support;
mod topologies;
