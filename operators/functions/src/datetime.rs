//! Dates, timestamps and intervals.

use crate::function::Function;

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[];
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}
pub fn parse_interval(_text: &str) -> datafusion::error::Result<Interval> {
    Err(crate::spark_error("X", ""))
}
pub fn parse_interval_literal(
    _text: &str,
    _from: &str,
    _to: Option<&str>,
) -> datafusion::error::Result<datafusion::common::ScalarValue> {
    Err(crate::spark_error("X", ""))
}
