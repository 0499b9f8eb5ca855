//! The runtime as a user of topologies sees it: life cycle, failures, recovery, bad topologies.

mod failures;
mod lifecycle;
mod recovery;
mod support;
mod topologies;
