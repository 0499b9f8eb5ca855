//! Edges between tasks: bounded channels, the routing of rows to them, and the alignment of barriers where they meet.
//!
//! `Output::batch` → `Router::route` → channel → `InputGate::next_event`. Nothing else buffers rows between two tasks.

mod exchange;
mod gate;
mod output;

pub use exchange::Exchange;
pub(crate) use exchange::Router;
pub use gate::{GateEvent, InputGate};
pub use output::{Cancel, CancelGuard, Output, OutputEdge, cancel_pair};

/// How many messages an edge holds before its producer has to wait. With fewer, the two threads wake each other more often.
pub const EDGE_CAPACITY: usize = 32;
