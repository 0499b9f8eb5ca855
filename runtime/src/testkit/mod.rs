//! Test doubles for authors of connectors and operators, behind the feature `testkit`.

mod operator_harness;

pub use operator_harness::OperatorHarness;
