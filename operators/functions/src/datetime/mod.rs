//! Dates, timestamps and intervals.
//!
//! - `calendar`: days and dates; `zone`: instants and wall clocks;
//! - `fields`, `dates`, `timestamps`, `interval`: the functions;
//! - `text`: those that read and write by a `pattern`, with `parse` and `format`;
//! - `columns`: how the kernels of this family read their arguments.

pub(crate) mod calendar;
mod columns;
mod dates;
mod fields;
mod format;
mod in_files;
mod interval;
mod parse;
pub(crate) mod pattern;
mod text;
mod timestamps;
pub(crate) mod zone;

pub use in_files::{TimeReader, TimeWriter, UsualReader};
pub use interval::{Interval, parse_interval, parse_interval_literal};

use datafusion::error::Result;

use crate::function::{Arity, Call, Function, Resolved};

const fn function(names: &'static [&'static str], arity: Arity, resolve: fn(&Call<'_>) -> Result<Resolved>) -> Function {
    Function { names, arity, resolve }
}

const NONE: Arity = Arity::exactly(0);
const ONE: Arity = Arity::exactly(1);
const TWO: Arity = Arity::exactly(2);
const ONE_OR_TWO: Arity = Arity::between(1, 2);
const TWO_OR_THREE: Arity = Arity::between(2, 3);

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    function(&["year"], ONE, fields::year),
    function(&["quarter"], ONE, fields::quarter),
    function(&["month"], ONE, fields::month),
    function(&["weekofyear"], ONE, fields::week_of_year),
    function(&["day", "dayofmonth"], ONE, fields::day),
    function(&["dayofyear"], ONE, fields::day_of_year),
    function(&["dayofweek"], ONE, fields::day_of_week),
    function(&["weekday"], ONE, fields::week_day),
    function(&["hour"], ONE, fields::hour),
    function(&["minute"], ONE, fields::minute),
    function(&["second"], ONE, fields::second),
    function(&["extract", "date_part", "datepart"], TWO, fields::extract),
    function(&["dayname"], ONE, fields::day_name),
    function(&["monthname"], ONE, fields::month_name),
    function(&["date_sub"], TWO, dates::date_sub),
    function(&["add_months"], TWO, dates::add_months),
    function(&["months_between"], TWO_OR_THREE, dates::months_between),
    function(&["last_day"], ONE, dates::last_day),
    function(&["next_day"], TWO, dates::next_day),
    function(&["trunc"], TWO, dates::trunc),
    function(&["make_date"], Arity::exactly(3), dates::make_date),
    function(&["unix_date"], ONE, dates::unix_date),
    function(&["date_from_unix_date"], ONE, dates::date_from_unix_date),
    function(&["date_add", "dateadd"], TWO_OR_THREE, timestamps::timestamp_add),
    function(&["timestampadd"], Arity::exactly(3), timestamps::timestamp_add),
    function(&["datediff", "date_diff"], TWO_OR_THREE, timestamps::timestamp_diff),
    function(&["timestampdiff"], Arity::exactly(3), timestamps::timestamp_diff),
    function(&["date_trunc"], TWO, timestamps::date_trunc),
    function(&["unix_seconds"], ONE, timestamps::unix_seconds),
    function(&["unix_millis"], ONE, timestamps::unix_millis),
    function(&["unix_micros"], ONE, timestamps::unix_micros),
    function(&["timestamp_seconds"], ONE, timestamps::timestamp_seconds),
    function(&["timestamp_millis"], ONE, timestamps::timestamp_millis),
    function(&["timestamp_micros"], ONE, timestamps::timestamp_micros),
    function(&["make_timestamp", "make_timestamp_ltz"], Arity::between(6, 7), timestamps::make_timestamp),
    function(&["make_timestamp_ntz"], Arity::exactly(6), timestamps::make_timestamp_ntz),
    function(&["try_make_timestamp", "try_make_timestamp_ltz"], Arity::between(6, 7), timestamps::try_make_timestamp),
    function(&["try_make_timestamp_ntz"], Arity::exactly(6), timestamps::try_make_timestamp_ntz),
    function(&["from_utc_timestamp"], TWO, timestamps::from_utc_timestamp),
    function(&["to_utc_timestamp"], TWO, timestamps::to_utc_timestamp),
    function(&["convert_timezone"], TWO_OR_THREE, timestamps::convert_timezone),
    function(&["current_timezone"], NONE, timestamps::current_timezone),
    function(&["date_format"], TWO, text::date_format),
    function(&["from_unixtime"], ONE_OR_TWO, text::from_unixtime),
    function(&["to_date"], ONE_OR_TWO, text::to_date),
    function(&["try_to_date"], ONE_OR_TWO, text::try_to_date),
    function(&["to_timestamp", "to_timestamp_ltz"], ONE_OR_TWO, text::to_timestamp),
    function(&["try_to_timestamp"], ONE_OR_TWO, text::try_to_timestamp),
    function(&["to_timestamp_ntz"], ONE_OR_TWO, text::to_timestamp_ntz),
    function(&["unix_timestamp", "to_unix_timestamp"], ONE_OR_TWO, text::unix_timestamp),
    function(&["date"], ONE, text::date),
    function(&["make_dt_interval"], Arity::between(0, 4), interval::make_dt_interval),
    function(&["make_ym_interval"], Arity::between(0, 2), interval::make_ym_interval),
];

#[cfg(test)]
mod tests;
