//! Dates and timestamps from text and to text, by patterns.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimestampMicrosecondType};
use datafusion::error::Result;

use super::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND, date32, local_micros};
use super::columns::{Memo, build, number, texts, unary, values};
use super::pattern::Pattern;
use super::zone::Zone;
use crate::cast::{CastMode, cast_array};
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::{TIMESTAMP_NTZ, is_numeric, is_timestamp, timestamp};

/// The pattern where none is given.
const DEFAULT: &str = "yyyy-MM-dd HH:mm:ss";

/// `date_format(timestamp, pattern)`.
pub(super) fn date_format(call: &Call<'_>) -> Result<Resolved> {
    let args = vec![call.coerce(0, &timestamp())?, call.coerce(1, &DataType::Utf8)?];
    let zone = call.settings.time_zone;
    let kernel = move |invocation: &Invocation<'_>| {
        let instants = values::<TimestampMicrosecondType>(invocation, 0)?;
        written(invocation, zone, |row| instants.get(row))
    };
    Ok(fallible_unless_good(call, Resolved::new(args, DataType::Utf8, kernel)))
}

/// `from_unixtime(seconds[, pattern])`.
pub(super) fn from_unixtime(call: &Call<'_>) -> Result<Resolved> {
    let mut args = vec![number(call, 0, DataType::Int64)?];
    if call.len() == 2 {
        args.push(call.coerce(1, &DataType::Utf8)?);
    }
    let zone = call.settings.time_zone;
    let kernel = move |invocation: &Invocation<'_>| {
        let seconds = values::<Int64Type>(invocation, 0)?;
        // Out of range it wraps around, as in Spark.
        written(invocation, zone, |row| seconds.get(row).map(|seconds| seconds.wrapping_mul(MICROS_PER_SECOND)))
    };
    Ok(fallible_unless_good(call, Resolved::new(args, DataType::Utf8, kernel)))
}

fn fallible_unless_good(call: &Call<'_>, resolved: Resolved) -> Resolved {
    let good = match call.literal_str(1) {
        Some(pattern) => Pattern::to_format(pattern).is_ok(),
        None => call.len() == 1,
    };
    if good { resolved } else { resolved.fallible() }
}

fn written(invocation: &Invocation<'_>, zone: chrono_tz::Tz, instant: impl Fn(usize) -> Option<i64>) -> Result<ArrayRef> {
    let patterns = if invocation.args.len() == 2 { Some(texts(invocation, 1)?) } else { None };
    let mut memo = Memo::new();
    let mut builder = StringBuilder::with_capacity(invocation.rows, invocation.rows * DEFAULT.len());
    let mut text = String::new();
    for row in 0..invocation.rows {
        let pattern = patterns.as_ref().map_or(Some(DEFAULT), |patterns| patterns.get(row));
        match (instant(row), pattern) {
            (Some(instant), Some(pattern)) => {
                text.clear();
                memo.get(pattern, Pattern::to_format)?.write(instant, zone, &mut text);
                builder.append_value(&text);
            }
            _ => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// What a function that reads text makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parse {
    returns: DataType,
    mode: CastMode,
    /// What tolerates bad text.
    instead: &'static str,
}

impl Parse {
    fn new(returns: DataType, mode: CastMode) -> Self {
        let instead = if returns == DataType::Date32 { "try_to_date" } else { "try_to_timestamp" };
        Parse { returns, mode, instead }
    }

    /// One text, as microseconds: of an instant, or of a wall clock for a timestamp without zone.
    fn read(&self, text: &str, pattern: &Pattern, session: Zone) -> Result<Option<i64>> {
        match pattern.read(text) {
            Ok(reading) => {
                let local = local_micros(reading.days, reading.time)?;
                let ntz = self.returns == TIMESTAMP_NTZ;
                Ok(Some(if ntz { local } else { reading.zone.unwrap_or(session).to_instant(local) }))
            }
            Err(_) if self.mode == CastMode::Try => Ok(None),
            Err(message) => Err(spark_error(
                "CANNOT_PARSE_TIMESTAMP",
                format!("{message}. Use `{}` to tolerate invalid input string and return NULL instead.", self.instead),
            )),
        }
    }

    /// The function: of text by a pattern; of anything else, or without a pattern, a cast.
    fn resolve(self, call: &Call<'_>) -> Result<Resolved> {
        let own = call.data_type(0);
        let date_like = own == &DataType::Date32 || is_timestamp(own);
        // Without a pattern a number is an instant too.
        let instant = call.len() == 1 && self.returns == timestamp() && is_numeric(own);
        if call.len() == 1 || date_like {
            let from = match own {
                DataType::Null => DataType::Utf8,
                own if date_like || instant => own.clone(),
                _ => call.coerce(0, &DataType::Utf8)?,
            };
            let mut args = vec![from];
            if call.len() == 2 {
                args.push(call.coerce(1, &DataType::Utf8)?);
            }
            let (returns, settings) = (self.returns.clone(), *call.settings);
            let kernel =
                move |invocation: &Invocation<'_>| cast_array(&invocation.array(0)?, &self.returns, self.mode, &settings);
            return Ok(Resolved::new(args, returns, kernel).fallible());
        }
        let args = vec![call.coerce(0, &DataType::Utf8)?, call.coerce(1, &DataType::Utf8)?];
        let session = Zone::from(call.settings.time_zone);
        let returns = self.returns.clone();
        let kernel = move |invocation: &Invocation<'_>| {
            let (values, patterns) = (texts(invocation, 0)?, texts(invocation, 1)?);
            let mut memo = Memo::new();
            let mut read = |row| match (values.get(row), patterns.get(row)) {
                (Some(text), Some(pattern)) => self.read(text, memo.get(pattern, Pattern::to_parse)?, session),
                _ => Ok(None),
            };
            if self.returns != DataType::Date32 {
                return build::<TimestampMicrosecondType>(invocation, &self.returns, read);
            }
            build::<Date32Type>(invocation, &DataType::Date32, |row| {
                read(row)?.map(|instant| date32(session.to_local(instant).div_euclid(MICROS_PER_DAY))).transpose()
            })
        };
        Ok(Resolved::new(args, returns, kernel).fallible())
    }
}

pub(super) fn to_date(call: &Call<'_>) -> Result<Resolved> {
    Parse::new(DataType::Date32, CastMode::Ansi).resolve(call)
}

pub(super) fn try_to_date(call: &Call<'_>) -> Result<Resolved> {
    Parse::new(DataType::Date32, CastMode::Try).resolve(call)
}

pub(super) fn to_timestamp(call: &Call<'_>) -> Result<Resolved> {
    Parse::new(timestamp(), CastMode::Ansi).resolve(call)
}

pub(super) fn try_to_timestamp(call: &Call<'_>) -> Result<Resolved> {
    Parse::new(timestamp(), CastMode::Try).resolve(call)
}

pub(super) fn to_timestamp_ntz(call: &Call<'_>) -> Result<Resolved> {
    Parse::new(TIMESTAMP_NTZ, CastMode::Ansi).resolve(call)
}

/// `date(value)`: the cast.
pub(super) fn date(call: &Call<'_>) -> Result<Resolved> {
    crate::cast::cast(call.data_type(0), &DataType::Date32, CastMode::Ansi, call.settings).map(Resolved::fallible)
}

/// `unix_timestamp(value[, pattern])`: whole seconds, cut towards 1970.
pub(super) fn unix_timestamp(call: &Call<'_>) -> Result<Resolved> {
    let own = call.data_type(0).clone();
    let mut args = vec![if own == DataType::Null { DataType::Utf8 } else { own.clone() }];
    if call.len() == 2 {
        args.push(call.coerce(1, &DataType::Utf8)?);
    }
    let session = Zone::from(call.settings.time_zone);
    match own {
        DataType::Date32 => {
            let kernel = move |invocation: &Invocation<'_>| {
                unary::<Date32Type, Int64Type>(invocation, &DataType::Int64, |days| {
                    Ok(Some(session.to_instant(local_micros(i64::from(days), 0)?) / MICROS_PER_SECOND))
                })
            };
            Ok(Resolved::new(args, DataType::Int64, kernel).fallible())
        }
        DataType::Timestamp(_, _) => {
            let kernel = |invocation: &Invocation<'_>| {
                unary::<TimestampMicrosecondType, Int64Type>(invocation, &DataType::Int64, |instant| {
                    Ok(Some(instant / MICROS_PER_SECOND))
                })
            };
            Ok(Resolved::new(args, DataType::Int64, kernel))
        }
        DataType::Utf8 | DataType::Null => {
            let parse = Parse::new(timestamp(), CastMode::Ansi);
            let kernel = move |invocation: &Invocation<'_>| {
                let values = texts(invocation, 0)?;
                let patterns = if invocation.args.len() == 2 { Some(texts(invocation, 1)?) } else { None };
                let mut memo = Memo::new();
                build::<Int64Type>(invocation, &DataType::Int64, |row| {
                    let pattern = patterns.as_ref().map_or(Some(DEFAULT), |patterns| patterns.get(row));
                    let (Some(text), Some(pattern)) = (values.get(row), pattern) else { return Ok(None) };
                    let instant = parse.read(text, memo.get(pattern, Pattern::to_parse)?, session)?;
                    Ok(instant.map(|instant| instant / MICROS_PER_SECOND))
                })
            };
            Ok(Resolved::new(args, DataType::Int64, kernel).fallible())
        }
        _ => Err(call.unexpected_type(0, "the (\"STRING\" or \"DATE\" or \"TIMESTAMP\" or \"TIMESTAMP_NTZ\") type")),
    }
}
