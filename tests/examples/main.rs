//! The examples that are libraries of themselves, run as tests.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may"
)]

#[path = "../../examples/custom_operator.rs"]
#[allow(dead_code, reason = "its main is the example's")]
mod custom_operator;

/// The result of a user's operator does not depend on its parallelism.
#[test]
fn a_custom_operator_judges_by_the_limits_of_the_epoch() {
    for parallelism in [1, 2, 3] {
        let alarms = custom_operator::alarms(parallelism).unwrap();
        let alarms: Vec<(&str, i64)> = alarms.iter().map(|(sensor, reading)| (sensor.as_str(), *reading)).collect();
        assert_eq!(alarms, [("boiler", 97), ("pump", 6), ("boiler", 85)], "parallelism {parallelism}");
    }
}
