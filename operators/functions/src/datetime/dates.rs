//! Functions of whole days.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int32Type, TimestampMicrosecondType};
use datafusion::error::Result;

use super::calendar::{Date, MICROS_PER_DAY, date32, days_in_month, weekday};
use super::columns::{Memo, binary, build, number, small_int, texts, unary, values};
use super::zone::Zone;
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::timestamp;

const DATE: DataType = DataType::Date32;

fn plus_days(call: &Call<'_>, add: fn(i32, i32) -> i32) -> Result<Resolved> {
    let args = vec![call.coerce(0, &DATE)?, small_int(call, 1)?];
    // Days wrap around, as in Spark.
    let kernel = move |invocation: &Invocation<'_>| {
        binary::<Date32Type, Int32Type, Date32Type>(invocation, &DATE, |days, count| Ok(Some(add(days, count))))
    };
    Ok(Resolved::new(args, DATE, kernel))
}

pub(super) fn date_add(call: &Call<'_>) -> Result<Resolved> {
    plus_days(call, i32::wrapping_add)
}

pub(super) fn date_sub(call: &Call<'_>) -> Result<Resolved> {
    plus_days(call, i32::wrapping_sub)
}

pub(super) fn date_diff(call: &Call<'_>) -> Result<Resolved> {
    let args = vec![call.coerce(0, &DATE)?, call.coerce(1, &DATE)?];
    let kernel = |invocation: &Invocation<'_>| {
        binary::<Date32Type, Date32Type, Int32Type>(invocation, &DataType::Int32, |end, start| Ok(Some(end.wrapping_sub(start))))
    };
    Ok(Resolved::new(args, DataType::Int32, kernel))
}

pub(super) fn add_months(call: &Call<'_>) -> Result<Resolved> {
    let args = vec![call.coerce(0, &DATE)?, number(call, 1, DataType::Int32)?];
    let kernel = |invocation: &Invocation<'_>| {
        binary::<Date32Type, Int32Type, Date32Type>(invocation, &DATE, |days, months| {
            date32(Date::from_days(i64::from(days)).plus_months(i64::from(months)).days()).map(Some)
        })
    };
    Ok(Resolved::new(args, DATE, kernel).fallible())
}

pub(super) fn last_day(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        unary::<Date32Type, Date32Type>(invocation, &DATE, |days| {
            let date = Date::from_days(i64::from(days));
            date32(Date { day: days_in_month(date.year, date.month), ..date }.days()).map(Some)
        })
    };
    Ok(Resolved::new(vec![call.coerce(0, &DATE)?], DATE, kernel))
}

/// Monday is 0.
fn read_weekday(name: &str) -> Result<i64> {
    let day = match name.to_uppercase().as_str() {
        "MO" | "MON" | "MONDAY" => 0,
        "TU" | "TUE" | "TUESDAY" => 1,
        "WE" | "WED" | "WEDNESDAY" => 2,
        "TH" | "THU" | "THURSDAY" => 3,
        "FR" | "FRI" | "FRIDAY" => 4,
        "SA" | "SAT" | "SATURDAY" => 5,
        "SU" | "SUN" | "SUNDAY" => 6,
        _ => return Err(spark_error("ILLEGAL_DAY_OF_WEEK", format!("Illegal input for day of week: {name}."))),
    };
    Ok(day)
}

pub(super) fn next_day(call: &Call<'_>) -> Result<Resolved> {
    let args = vec![call.coerce(0, &DATE)?, call.coerce(1, &DataType::Utf8)?];
    let kernel = |invocation: &Invocation<'_>| {
        let (days, names) = (values::<Date32Type>(invocation, 0)?, texts(invocation, 1)?);
        let mut memo = Memo::new();
        build::<Date32Type>(invocation, &DATE, |row| {
            let (Some(days), Some(name)) = (days.get(row), names.get(row)) else { return Ok(None) };
            let wanted = *memo.get(name, read_weekday)?;
            let ahead = (wanted - weekday(i64::from(days)) - 1).rem_euclid(7) + 1;
            Ok(Some(days.wrapping_add(ahead as i32)))
        })
    };
    Ok(Resolved::new(args, DATE, kernel).fallible())
}

/// What a date can be cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateUnit {
    Week,
    Month,
    Quarter,
    Year,
}

impl DateUnit {
    /// The unit of this name in capitals.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "WEEK" => Some(DateUnit::Week),
            "MON" | "MONTH" | "MM" => Some(DateUnit::Month),
            "QUARTER" => Some(DateUnit::Quarter),
            "YEAR" | "YYYY" | "YY" => Some(DateUnit::Year),
            _ => None,
        }
    }

    /// Its first day.
    pub(super) fn start(self, days: i64) -> i64 {
        let date = Date::from_days(days);
        match self {
            DateUnit::Week => days - weekday(days),
            DateUnit::Month => Date { day: 1, ..date }.days(),
            DateUnit::Quarter => Date { month: (date.quarter() - 1) * 3 + 1, day: 1, ..date }.days(),
            DateUnit::Year => Date { month: 1, day: 1, ..date }.days(),
        }
    }
}

/// `trunc(date, unit)`: null for a unit it doesn't know.
pub(super) fn trunc(call: &Call<'_>) -> Result<Resolved> {
    let args = vec![call.coerce(0, &DATE)?, call.coerce(1, &DataType::Utf8)?];
    let kernel = |invocation: &Invocation<'_>| {
        let (days, units) = (values::<Date32Type>(invocation, 0)?, texts(invocation, 1)?);
        let mut memo = Memo::new();
        build::<Date32Type>(invocation, &DATE, |row| {
            let (Some(days), Some(unit)) = (days.get(row), units.get(row)) else { return Ok(None) };
            let unit = *memo.get(unit, |name| Ok(DateUnit::parse(&name.to_uppercase())))?;
            unit.map(|unit| date32(unit.start(i64::from(days)))).transpose()
        })
    };
    Ok(Resolved::new(args, DATE, kernel))
}

pub(super) fn make_date(call: &Call<'_>) -> Result<Resolved> {
    let args = (0..3).map(|index| number(call, index, DataType::Int32)).collect::<Result<Vec<_>>>()?;
    let kernel = |invocation: &Invocation<'_>| {
        let (years, months) = (values::<Int32Type>(invocation, 0)?, values::<Int32Type>(invocation, 1)?);
        let days = values::<Int32Type>(invocation, 2)?;
        build::<Date32Type>(invocation, &DATE, |row| {
            let (Some(year), Some(month), Some(day)) = (years.get(row), months.get(row), days.get(row)) else { return Ok(None) };
            let date = Date::of(year.into(), month.into(), day.into()).map_err(out_of_bounds)?;
            date32(date.days()).map(Some)
        })
    };
    Ok(Resolved::new(args, DATE, kernel).fallible())
}

pub(super) fn out_of_bounds(message: String) -> datafusion::error::DataFusionError {
    spark_error("DATETIME_FIELD_OUT_OF_BOUNDS.WITHOUT_SUGGESTION", format!("{message}. "))
}

/// `unix_date(date)`: its days; takes nothing but a date.
pub(super) fn unix_date(call: &Call<'_>) -> Result<Resolved> {
    if !matches!(call.data_type(0), DataType::Date32 | DataType::Null) {
        return Err(call.unexpected_type(0, "the \"DATE\" type"));
    }
    let kernel =
        |invocation: &Invocation<'_>| unary::<Date32Type, Int32Type>(invocation, &DataType::Int32, |days| Ok(Some(days)));
    Ok(Resolved::new(vec![DATE], DataType::Int32, kernel))
}

pub(super) fn date_from_unix_date(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| unary::<Int32Type, Date32Type>(invocation, &DATE, |days| Ok(Some(days)));
    Ok(Resolved::new(vec![number(call, 0, DataType::Int32)?], DATE, kernel))
}

/// `months_between(end, start[, round])`: a month of 31 days where the days of the month differ.
pub(super) fn months_between(call: &Call<'_>) -> Result<Resolved> {
    let mut args = vec![call.coerce(0, &timestamp())?, call.coerce(1, &timestamp())?];
    if call.len() == 3 {
        args.push(call.coerce(2, &DataType::Boolean)?);
    }
    let zone = Zone::from(call.settings.time_zone);
    let kernel = move |invocation: &Invocation<'_>| {
        let (ends, starts) =
            (values::<TimestampMicrosecondType>(invocation, 0)?, values::<TimestampMicrosecondType>(invocation, 1)?);
        let rounds = if invocation.args.len() == 3 { Some(invocation.array(2)?) } else { None };
        let round = |row| match rounds.as_ref().and_then(|rounds| rounds.as_boolean_opt()) {
            Some(rounds) => rounds.is_valid(row).then(|| rounds.value(row)),
            None => Some(true),
        };
        build::<Float64Type>(invocation, &DataType::Float64, |row| {
            let (Some(end), Some(start), Some(round)) = (ends.get(row), starts.get(row), round(row)) else { return Ok(None) };
            let months = months_apart(zone.to_local(end), zone.to_local(start));
            Ok(Some(if round { (months * 1e8 + 0.5).floor() / 1e8 } else { months }))
        })
    };
    Ok(Resolved::new(args, DataType::Float64, kernel))
}

fn months_apart(end: i64, start: i64) -> f64 {
    let split = |local: i64| {
        let date = Date::from_days(local.div_euclid(MICROS_PER_DAY));
        (date, date.year * 12 + date.month, date.day == days_in_month(date.year, date.month))
    };
    let ((end_date, end_month, end_last), (start_date, start_month, start_last)) = (split(end), split(start));
    let months = (end_month - start_month) as f64;
    if end_date.day == start_date.day || (end_last && start_last) {
        return months;
    }
    let seconds = |local: i64| local.rem_euclid(MICROS_PER_DAY) / 1_000_000;
    let rest = (end_date.day - start_date.day) * 86_400 + seconds(end) - seconds(start);
    months + rest as f64 / (31.0 * 86_400.0)
}
