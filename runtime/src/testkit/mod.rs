//! Test doubles for authors of connectors and operators, behind the feature `testkit`.

mod clock;
mod operator_harness;
mod test_sink;
mod test_source;

pub use clock::ManualClock;
pub use operator_harness::OperatorHarness;
pub use test_sink::{SinkCall, TestSink};
pub use test_source::{Step, TestSource};
