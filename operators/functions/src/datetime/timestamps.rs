//! Functions of instants and wall clocks.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{
    DataType, Decimal128Type, DecimalType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use datafusion::error::{DataFusionError, Result};

use super::calendar::{
    Date, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, local_micros, overflow, show_local, time_of_day,
};
use super::columns::{Memo, any_timestamp, build, number, texts, unary, values};
use super::dates::{DateUnit, date_add as add_days, date_diff as days_between, out_of_bounds};
use super::fields::clock;
use super::zone::Zone;
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::{TIMESTAMP_NTZ, is_integral, timestamp};

/// What a timestamp can be cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// A unit that no time zone changes, in microseconds.
    Micros(i64),
    /// A unit of the clock, in microseconds.
    Clock(i64),
    Date(DateUnit),
}

impl Cut {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "MICROSECOND" => Cut::Micros(1),
            "MILLISECOND" => Cut::Micros(1_000),
            "SECOND" => Cut::Micros(MICROS_PER_SECOND),
            "MINUTE" => Cut::Clock(MICROS_PER_MINUTE),
            "HOUR" => Cut::Clock(MICROS_PER_HOUR),
            "DAY" | "DD" => Cut::Clock(MICROS_PER_DAY),
            _ => Cut::Date(DateUnit::parse(name)?),
        })
    }

    fn cut(self, instant: i64, zone: Zone) -> Result<i64> {
        match self {
            Cut::Micros(unit) => Ok(instant.saturating_sub(instant.rem_euclid(unit))),
            Cut::Clock(unit) => {
                let local = zone.to_local(instant);
                zone.instant_near(local.saturating_sub(local.rem_euclid(unit)), instant).ok_or_else(overflow)
            }
            Cut::Date(unit) => {
                let days = unit.start(zone.to_local(instant).div_euclid(MICROS_PER_DAY));
                Ok(zone.to_instant(local_micros(days, 0)?))
            }
        }
    }
}

/// `date_trunc(unit, timestamp)`: null for a unit it doesn't know.
pub(super) fn date_trunc(call: &Call<'_>) -> Result<Resolved> {
    let args = vec![call.coerce(0, &DataType::Utf8)?, call.coerce(1, &timestamp())?];
    let zone = Zone::from(call.settings.time_zone);
    let kernel = move |invocation: &Invocation<'_>| {
        let (units, instants) = (texts(invocation, 0)?, values::<TimestampMicrosecondType>(invocation, 1)?);
        let mut memo = Memo::new();
        build::<TimestampMicrosecondType>(invocation, &timestamp(), |row| {
            let (Some(unit), Some(instant)) = (units.get(row), instants.get(row)) else { return Ok(None) };
            let cut = *memo.get(unit, |name| Ok(Cut::parse(&name.to_uppercase())))?;
            cut.map(|cut| cut.cut(instant, zone)).transpose()
        })
    };
    Ok(Resolved::new(args, timestamp(), kernel))
}

/// The count of `per` microseconds in an instant, rounded down.
fn unix(call: &Call<'_>, per: i64) -> Result<Resolved> {
    let argument = match call.data_type(0) {
        own @ DataType::Timestamp(_, _) => own.clone(),
        DataType::Null => timestamp(),
        _ => return Err(call.unexpected_type(0, "the \"(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)\" type")),
    };
    let kernel = move |invocation: &Invocation<'_>| {
        unary::<TimestampMicrosecondType, Int64Type>(invocation, &DataType::Int64, |instant| Ok(Some(instant.div_euclid(per))))
    };
    Ok(Resolved::new(vec![argument], DataType::Int64, kernel))
}

pub(super) fn unix_seconds(call: &Call<'_>) -> Result<Resolved> {
    unix(call, MICROS_PER_SECOND)
}

pub(super) fn unix_millis(call: &Call<'_>) -> Result<Resolved> {
    unix(call, 1_000)
}

pub(super) fn unix_micros(call: &Call<'_>) -> Result<Resolved> {
    unix(call, 1)
}

fn from_count(call: &Call<'_>, unit: &'static str, micros: i64) -> Result<Resolved> {
    let own = call.data_type(0);
    if !is_integral(own) && own != &DataType::Null {
        return Err(call.unexpected_type(0, "the \"INTEGRAL\" type"));
    }
    let kernel = move |invocation: &Invocation<'_>| {
        unary::<Int64Type, TimestampMicrosecondType>(invocation, &timestamp(), |count| {
            count.checked_mul(micros).map(Some).ok_or_else(|| not_countable(&format!("{count}L"), unit))
        })
    };
    Ok(Resolved::new(vec![DataType::Int64], timestamp(), kernel).fallible())
}

fn not_countable(count: &str, unit: &str) -> DataFusionError {
    datetime_overflow(&format!("create a TIMESTAMP from {count} {unit} since the epoch"))
}

fn datetime_overflow(operation: &str) -> DataFusionError {
    spark_error("DATETIME_OVERFLOW", format!("Datetime operation overflow: {operation}."))
}

pub(super) fn timestamp_micros(call: &Call<'_>) -> Result<Resolved> {
    from_count(call, "microseconds", 1)
}

pub(super) fn timestamp_millis(call: &Call<'_>) -> Result<Resolved> {
    from_count(call, "milliseconds", 1_000)
}

/// `timestamp_seconds(n)`: also of numbers with a fraction.
pub(super) fn timestamp_seconds(call: &Call<'_>) -> Result<Resolved> {
    match call.data_type(0) {
        DataType::Float32 => {
            let kernel = |invocation: &Invocation<'_>| {
                unary::<Float32Type, TimestampMicrosecondType>(invocation, &timestamp(), |seconds| Ok(of_float(seconds.into())))
            };
            Ok(Resolved::new(vec![DataType::Float32], timestamp(), kernel))
        }
        DataType::Float64 => {
            let kernel = |invocation: &Invocation<'_>| {
                unary::<Float64Type, TimestampMicrosecondType>(invocation, &timestamp(), |seconds| Ok(of_float(seconds)))
            };
            Ok(Resolved::new(vec![DataType::Float64], timestamp(), kernel))
        }
        own @ DataType::Decimal128(_, scale) => {
            let scale = *scale;
            let kernel = move |invocation: &Invocation<'_>| {
                unary::<Decimal128Type, TimestampMicrosecondType>(invocation, &timestamp(), |unscaled| {
                    of_decimal(unscaled, scale).map(Some)
                })
            };
            Ok(Resolved::new(vec![own.clone()], timestamp(), kernel).fallible())
        }
        own if is_integral(own) || own == &DataType::Null => from_count(call, "seconds", MICROS_PER_SECOND),
        _ => Err(call.unexpected_type(0, "the \"NUMERIC\" type")),
    }
}

/// Casting to an integer saturates, as in Java.
fn of_float(seconds: f64) -> Option<i64> {
    seconds.is_finite().then_some((seconds * MICROS_PER_SECOND as f64) as i64)
}

fn of_decimal(unscaled: i128, scale: i8) -> Result<i64> {
    let micros = if scale <= 6 {
        unscaled.checked_mul(10_i128.pow(u32::from((6 - scale) as u8)))
    } else {
        let divisor = 10_i128.pow(u32::from((scale - 6) as u8));
        if unscaled % divisor != 0 {
            return Err(DataFusionError::Execution("Rounding necessary".to_owned()));
        }
        Some(unscaled / divisor)
    };
    micros.and_then(|micros| i64::try_from(micros).ok()).ok_or_else(|| {
        let text = Decimal128Type::format_decimal(unscaled, 38, scale);
        not_countable(&format!("{text}BD"), "seconds")
    })
}

/// Which kind of timestamp is made, and whether bad fields give null.
#[derive(Debug, Clone, Copy)]
struct Make {
    ntz: bool,
    tolerant: bool,
}

/// `make_timestamp(year, month, day, hour, minute, second[, zone])`.
fn make(call: &Call<'_>, kind: Make) -> Result<Resolved> {
    let mut args = (0..5).map(|index| number(call, index, DataType::Int32)).collect::<Result<Vec<_>>>()?;
    args.push(number(call, 5, DataType::Decimal128(16, 6))?);
    if call.len() == 7 {
        args.push(call.coerce(6, &DataType::Utf8)?);
    }
    let session = if kind.ntz { Zone::UTC } else { call.settings.time_zone.into() };
    let returns = if kind.ntz { TIMESTAMP_NTZ } else { timestamp() };
    let promised = returns.clone();
    let kernel = move |invocation: &Invocation<'_>| {
        let fields = (0..5).map(|index| values::<Int32Type>(invocation, index)).collect::<Result<Vec<_>>>()?;
        let seconds = values::<Decimal128Type>(invocation, 5)?;
        let zones = if invocation.args.len() == 7 { Some(texts(invocation, 6)?) } else { None };
        let mut memo = Memo::new();
        build::<TimestampMicrosecondType>(invocation, &promised, |row| {
            let fields = fields.iter().map(|values| values.get(row).map(i64::from)).collect::<Option<Vec<i64>>>();
            let (Some(fields), Some(seconds)) = (fields, seconds.get(row)) else { return Ok(None) };
            let zone = match &zones {
                None => session,
                Some(zones) => match zones.get(row) {
                    None => return Ok(None),
                    Some(id) => *memo.get(id, Zone::parse)?,
                },
            };
            match wall_clock(&fields, seconds) {
                Ok((days, time)) => Ok(Some(zone.to_instant(local_micros(days, time)?))),
                Err(_) if kind.tolerant => Ok(None),
                Err(error) => Err(error),
            }
        })
    };
    Ok(Resolved::new(args, returns, kernel).fallible())
}

/// Days, and microseconds from midnight. `fields` are year, month, day, hour and minute; `seconds` are in millionths.
fn wall_clock(fields: &[i64], seconds: i128) -> Result<(i64, i64)> {
    let &[year, month, day, hour, minute] = fields else {
        return Err(DataFusionError::Internal(format!("{} fields of a timestamp", fields.len())));
    };
    let second = i64::try_from(seconds.div_euclid(1_000_000)).unwrap_or(i64::MAX);
    let micros = seconds.rem_euclid(1_000_000) as i64;
    if second == 60 && micros != 0 {
        let value = Decimal128Type::format_decimal(seconds, 38, 6);
        return Err(spark_error(
            "INVALID_FRACTION_OF_SECOND",
            format!(
                "Valid range for seconds is [0, 60] (inclusive), but the provided value is {}. To avoid this error, use \
                 `try_make_timestamp`, which returns NULL on error.",
                value.trim_end_matches('0').trim_end_matches('.')
            ),
        ));
    }
    // A 60th second is the first of the next minute.
    let (second, carried) = if second == 60 { (0, MICROS_PER_MINUTE) } else { (second, 0) };
    let date = Date::of(year, month, day).map_err(out_of_bounds)?;
    let time = time_of_day(hour, minute, second, micros).map_err(out_of_bounds)?;
    Ok((date.days(), time + carried))
}

pub(super) fn make_timestamp(call: &Call<'_>) -> Result<Resolved> {
    make(call, Make { ntz: false, tolerant: false })
}

pub(super) fn make_timestamp_ntz(call: &Call<'_>) -> Result<Resolved> {
    make(call, Make { ntz: true, tolerant: false })
}

pub(super) fn try_make_timestamp(call: &Call<'_>) -> Result<Resolved> {
    make(call, Make { ntz: false, tolerant: true })
}

pub(super) fn try_make_timestamp_ntz(call: &Call<'_>) -> Result<Resolved> {
    make(call, Make { ntz: true, tolerant: true })
}

/// A unit of `timestampadd` and `timestampdiff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Micros(i64),
    Months(i64),
}

impl Unit {
    fn parse(call: &Call<'_>, adds: bool) -> Result<(Self, String)> {
        let text = call.literal_str(0).ok_or_else(|| call.not_foldable(0))?;
        let name = text.to_uppercase();
        let unit = match name.as_str() {
            "MICROSECOND" => Unit::Micros(1),
            "MILLISECOND" => Unit::Micros(1_000),
            "SECOND" => Unit::Micros(MICROS_PER_SECOND),
            "MINUTE" => Unit::Micros(MICROS_PER_MINUTE),
            "HOUR" => Unit::Micros(MICROS_PER_HOUR),
            "DAY" => Unit::Micros(MICROS_PER_DAY),
            "DAYOFYEAR" if adds => Unit::Micros(MICROS_PER_DAY),
            "WEEK" => Unit::Micros(7 * MICROS_PER_DAY),
            "MONTH" => Unit::Months(1),
            "QUARTER" => Unit::Months(3),
            "YEAR" => Unit::Months(12),
            _ => {
                return Err(spark_error(
                    "INVALID_PARAMETER_VALUE.DATETIME_UNIT",
                    format!(
                        "The value of parameter(s) `unit` in `{}` is invalid: expects one of the units without quotes YEAR, QUARTER, \
                         MONTH, WEEK, DAY, DAYOFYEAR, HOUR, MINUTE, SECOND, MILLISECOND, MICROSECOND, but got the string literal \
                         '{text}'.",
                        call.name.to_uppercase()
                    ),
                ));
            }
        };
        Ok((unit, name))
    }

    /// In calendar days and, from there, hours of elapsed time: a day across a change of the clock is not 24 hours.
    fn add(self, count: i64, instant: i64, zone: Zone) -> Option<i64> {
        let local = zone.to_local(instant);
        let time = local.rem_euclid(MICROS_PER_DAY);
        match self {
            Unit::Micros(unit) => {
                let added = count.checked_mul(unit)?;
                let (days, rest) = (added / MICROS_PER_DAY, added % MICROS_PER_DAY);
                let moved = local.checked_add(days.checked_mul(MICROS_PER_DAY)?)?;
                let moved = if days == 0 { instant } else { zone.instant_near(moved, instant)? };
                moved.checked_add(rest)
            }
            Unit::Months(unit) => {
                let months = i64::from(i32::try_from(count.checked_mul(unit)?).ok()?);
                let date = Date::from_days(local.div_euclid(MICROS_PER_DAY)).plus_months(months);
                zone.instant_near(local_micros(date.days(), time).ok()?, instant)
            }
        }
    }

    /// Full units from one wall clock to another.
    fn between(self, start: i64, end: i64) -> i64 {
        match self {
            Unit::Micros(unit) => end.saturating_sub(start) / unit,
            Unit::Months(unit) => {
                let (day, time) = (|local: i64| local.div_euclid(MICROS_PER_DAY), |local: i64| local.rem_euclid(MICROS_PER_DAY));
                // As Java: the last day counts only if its time of day has been reached; then months and days of dates.
                let last = match day(end).cmp(&day(start)) {
                    Ordering::Greater => day(end) - i64::from(time(end) < time(start)),
                    Ordering::Less => day(end) + i64::from(time(end) > time(start)),
                    Ordering::Equal => day(end),
                };
                let (from, to) = (Date::from_days(day(start)), Date::from_days(last));
                let months = ((to.year - from.year) * 12 + to.month - from.month) * 32 + to.day - from.day;
                months / 32 / unit
            }
        }
    }
}

/// `timestampadd(unit, count, timestamp)`; also `date_add` with a unit.
pub(super) fn timestamp_add(call: &Call<'_>) -> Result<Resolved> {
    if call.len() == 2 {
        return add_days(call);
    }
    let (unit, name) = Unit::parse(call, true)?;
    let own = any_timestamp(call, 2)?;
    let zone = clock(call, &own);
    let returns = own.clone();
    let kernel = move |invocation: &Invocation<'_>| {
        let (counts, instants) = (values::<Int64Type>(invocation, 1)?, values::<TimestampMicrosecondType>(invocation, 2)?);
        build::<TimestampMicrosecondType>(invocation, &returns, |row| {
            let (Some(count), Some(instant)) = (counts.get(row), instants.get(row)) else { return Ok(None) };
            unit.add(count, instant, zone).map(Some).ok_or_else(|| {
                let place = show_local(zone.to_local(instant));
                datetime_overflow(&format!("add {count}L {name} to TIMESTAMP '{place}'"))
            })
        })
    };
    Ok(Resolved::new(vec![DataType::Utf8, number(call, 1, DataType::Int64)?, own.clone()], own, kernel).fallible())
}

/// `timestampdiff(unit, start, end)`; also `date_diff` with a unit.
pub(super) fn timestamp_diff(call: &Call<'_>) -> Result<Resolved> {
    if call.len() == 2 {
        return days_between(call);
    }
    let (unit, _) = Unit::parse(call, false)?;
    let zone = Zone::from(call.settings.time_zone);
    let args = vec![DataType::Utf8, call.coerce(1, &timestamp())?, call.coerce(2, &timestamp())?];
    let kernel = move |invocation: &Invocation<'_>| {
        let (starts, ends) =
            (values::<TimestampMicrosecondType>(invocation, 1)?, values::<TimestampMicrosecondType>(invocation, 2)?);
        build::<Int64Type>(invocation, &DataType::Int64, |row| match (starts.get(row), ends.get(row)) {
            (Some(start), Some(end)) => Ok(Some(unit.between(zone.to_local(start), zone.to_local(end)))),
            _ => Ok(None),
        })
    };
    Ok(Resolved::new(args, DataType::Int64, kernel))
}

/// A timestamp moved by a time zone that is its second argument.
fn shift(call: &Call<'_>, by: fn(i64, Zone) -> i64) -> Result<Resolved> {
    let args = vec![call.coerce(0, &timestamp())?, call.coerce(1, &DataType::Utf8)?];
    let kernel = move |invocation: &Invocation<'_>| {
        let (instants, zones) = (values::<TimestampMicrosecondType>(invocation, 0)?, texts(invocation, 1)?);
        let mut memo = Memo::new();
        build::<TimestampMicrosecondType>(invocation, &timestamp(), |row| {
            let (Some(instant), Some(id)) = (instants.get(row), zones.get(row)) else { return Ok(None) };
            Ok(Some(by(instant, *memo.get(id, Zone::parse)?)))
        })
    };
    Ok(Resolved::new(args, timestamp(), kernel).fallible())
}

pub(super) fn from_utc_timestamp(call: &Call<'_>) -> Result<Resolved> {
    shift(call, |instant, zone| zone.to_local(instant))
}

pub(super) fn to_utc_timestamp(call: &Call<'_>) -> Result<Resolved> {
    shift(call, |local, zone| zone.to_instant(local))
}

/// `convert_timezone([source, ]target, timestamp_ntz)`.
pub(super) fn convert_timezone(call: &Call<'_>) -> Result<Resolved> {
    let last = call.len() - 1;
    let mut args = (0..last).map(|index| call.coerce(index, &DataType::Utf8)).collect::<Result<Vec<_>>>()?;
    args.push(call.coerce(last, &TIMESTAMP_NTZ)?);
    let session = Zone::from(call.settings.time_zone);
    let kernel = move |invocation: &Invocation<'_>| {
        let sources = if last == 2 { Some(texts(invocation, 0)?) } else { None };
        let (targets, locals) = (texts(invocation, last - 1)?, values::<TimestampMicrosecondType>(invocation, last)?);
        let (mut source_memo, mut target_memo) = (Memo::new(), Memo::new());
        build::<TimestampMicrosecondType>(invocation, &TIMESTAMP_NTZ, |row| {
            let (Some(target), Some(local)) = (targets.get(row), locals.get(row)) else { return Ok(None) };
            let source = match &sources {
                None => session,
                Some(sources) => match sources.get(row) {
                    None => return Ok(None),
                    Some(id) => *source_memo.get(id, Zone::parse)?,
                },
            };
            let target = *target_memo.get(target, Zone::parse)?;
            Ok(Some(target.to_local(source.to_instant(local))))
        })
    };
    Ok(Resolved::new(args, TIMESTAMP_NTZ, kernel).fallible())
}

pub(super) fn current_timezone(call: &Call<'_>) -> Result<Resolved> {
    let name = call.settings.time_zone.name();
    let kernel = move |invocation: &Invocation<'_>| {
        let names = StringArray::from_iter_values(std::iter::repeat_n(name, invocation.rows));
        Ok(Arc::new(names) as ArrayRef)
    };
    Ok(Resolved::new(vec![], DataType::Utf8, kernel))
}
