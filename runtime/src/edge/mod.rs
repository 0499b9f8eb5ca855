//! Edges between tasks: bounded channels, the routing of rows to them, and the alignment of barriers where they meet.
//!
//! `Output::batch` → `Router::route` → channel → `InputGate::next_event`. Nothing else buffers rows between two tasks.

mod channel;
mod exchange;
mod gate;
mod output;

pub(crate) use channel::{EdgeReceiver, EdgeSender, edge};
pub use exchange::Exchange;
pub(crate) use exchange::Router;
pub(crate) use gate::{GateEvent, InputGate};
pub(crate) use output::{Cancel, CancelGuard, Output, OutputEdge, cancel_pair};

/// How many messages an edge holds before its producer has to wait.
pub(crate) const EDGE_CAPACITY: usize = 32;
