//! The fields of dates, timestamps and intervals.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, new_null_array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Int8Type, Int32Type, IntervalYearMonthType,
    TimestampMicrosecondType,
};
use datafusion::error::Result;

use super::calendar::{
    Date, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, MONTHS, WEEKDAYS, iso_week, weekday,
};
use super::columns::{any_timestamp, unary, values};
use super::zone::Zone;
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::{DAY_TIME_INTERVAL, YEAR_MONTH_INTERVAL};

/// Seconds with their fraction.
const SECONDS: DataType = DataType::Decimal128(8, 6);

/// A field of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DateField {
    Year,
    YearOfWeek,
    Quarter,
    Month,
    Week,
    Day,
    DayOfYear,
    /// From Sunday, which is 1.
    DayOfWeek,
    /// From Monday, which is 1.
    DayOfWeekIso,
    /// From Monday, which is 0.
    Weekday,
}

impl DateField {
    fn of(self, days: i32) -> i32 {
        let days = i64::from(days);
        let value = match self {
            DateField::Year => Date::from_days(days).year,
            DateField::YearOfWeek => iso_week(days).0,
            DateField::Quarter => Date::from_days(days).quarter(),
            DateField::Month => Date::from_days(days).month,
            DateField::Week => iso_week(days).1,
            DateField::Day => Date::from_days(days).day,
            DateField::DayOfYear => Date::from_days(days).day_of_year(),
            DateField::DayOfWeek => (weekday(days) + 1) % 7 + 1,
            DateField::DayOfWeekIso => weekday(days) + 1,
            DateField::Weekday => weekday(days),
        };
        // A year of a date in 32 bits fits easily.
        value as i32
    }
}

/// A field of a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimeField {
    Hour,
    Minute,
    /// Without its fraction.
    WholeSecond,
}

impl TimeField {
    fn of(self, local: i64) -> i32 {
        let time = local.rem_euclid(MICROS_PER_DAY);
        let value = match self {
            TimeField::Hour => time / MICROS_PER_HOUR,
            TimeField::Minute => time / MICROS_PER_MINUTE % 60,
            TimeField::WholeSecond => time / MICROS_PER_SECOND % 60,
        };
        value as i32
    }
}

fn of_date(call: &Call<'_>, index: usize, field: DateField) -> Result<Resolved> {
    let mut args: Vec<DataType> = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    args[index] = call.coerce(index, &DataType::Date32)?;
    let kernel = move |invocation: &Invocation<'_>| {
        unary::<Date32Type, Int32Type>(&only(invocation, index), &DataType::Int32, |days| Ok(Some(field.of(days))))
    };
    Ok(Resolved::new(args, DataType::Int32, kernel))
}

/// The clock on which a timestamp of this type shows its fields.
pub(super) fn clock(call: &Call<'_>, data_type: &DataType) -> Zone {
    match data_type {
        DataType::Timestamp(_, Some(_)) => call.settings.time_zone.into(),
        _ => Zone::UTC,
    }
}

fn of_time(call: &Call<'_>, index: usize, field: TimeField) -> Result<Resolved> {
    let mut args: Vec<DataType> = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    args[index] = any_timestamp(call, index)?;
    let zone = clock(call, &args[index]);
    let kernel = move |invocation: &Invocation<'_>| {
        unary::<TimestampMicrosecondType, Int32Type>(&only(invocation, index), &DataType::Int32, |instant| {
            Ok(Some(field.of(zone.to_local(instant))))
        })
    };
    Ok(Resolved::new(args, DataType::Int32, kernel))
}

fn fraction_of_minute(call: &Call<'_>, index: usize) -> Result<Resolved> {
    let mut args: Vec<DataType> = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    args[index] = any_timestamp(call, index)?;
    let zone = clock(call, &args[index]);
    let kernel = move |invocation: &Invocation<'_>| {
        unary::<TimestampMicrosecondType, Decimal128Type>(&only(invocation, index), &SECONDS, |instant| {
            Ok(Some(i128::from(zone.to_local(instant).rem_euclid(MICROS_PER_MINUTE))))
        })
    };
    Ok(Resolved::new(args, SECONDS, kernel))
}

/// The invocation with argument `index` alone.
fn only<'a>(invocation: &Invocation<'a>, index: usize) -> Invocation<'a> {
    Invocation { args: invocation.args.get(index..=index).unwrap_or_default(), rows: invocation.rows }
}

pub(super) fn year(call: &Call<'_>) -> Result<Resolved> {
    of_date(call, 0, DateField::Year)
}

pub(super) fn quarter(call: &Call<'_>) -> Result<Resolved> {
    of_date(call, 0, DateField::Quarter)
}

pub(super) fn month(call: &Call<'_>) -> Result<Resolved> {
    of_date(call, 0, DateField::Month)
}

pub(super) fn week_of_year(call: &Call<'_>) -> Result<Resolved> {
    of_date(call, 0, DateField::Week)
}

pub(super) fn day(call: &Call<'_>) -> Result<Resolved> {
    of_date(call, 0, DateField::Day)
}

pub(super) fn day_of_year(call: &Call<'_>) -> Result<Resolved> {
    of_date(call, 0, DateField::DayOfYear)
}

pub(super) fn day_of_week(call: &Call<'_>) -> Result<Resolved> {
    of_date(call, 0, DateField::DayOfWeek)
}

pub(super) fn week_day(call: &Call<'_>) -> Result<Resolved> {
    of_date(call, 0, DateField::Weekday)
}

pub(super) fn hour(call: &Call<'_>) -> Result<Resolved> {
    of_time(call, 0, TimeField::Hour)
}

pub(super) fn minute(call: &Call<'_>) -> Result<Resolved> {
    of_time(call, 0, TimeField::Minute)
}

pub(super) fn second(call: &Call<'_>) -> Result<Resolved> {
    of_time(call, 0, TimeField::WholeSecond)
}

fn name_of(call: &Call<'_>, name: fn(i64) -> &'static str) -> Result<Resolved> {
    let kernel = move |invocation: &Invocation<'_>| {
        let days = values::<Date32Type>(invocation, 0)?;
        let short = |row| days.get(row).and_then(|days| name(i64::from(days)).get(..3));
        let names: StringArray = (0..invocation.rows).map(short).collect();
        Ok(Arc::new(names) as ArrayRef)
    };
    Ok(Resolved::new(vec![call.coerce(0, &DataType::Date32)?], DataType::Utf8, kernel))
}

pub(super) fn day_name(call: &Call<'_>) -> Result<Resolved> {
    name_of(call, |days| WEEKDAYS.get(weekday(days) as usize).copied().unwrap_or_default())
}

pub(super) fn month_name(call: &Call<'_>) -> Result<Resolved> {
    name_of(call, |days| MONTHS.get(Date::from_days(days).month as usize - 1).copied().unwrap_or_default())
}

/// `extract(field, source)`, `date_part(field, source)`: the field is a literal.
pub(super) fn extract(call: &Call<'_>) -> Result<Resolved> {
    let Some(field) = call.literal_str(0) else {
        if call.data_type(0) == &DataType::Null || call.args[0].literal.is_some() {
            let args = call.args.iter().map(|arg| arg.data_type.clone()).collect();
            let nulls = |invocation: &Invocation<'_>| Ok(new_null_array(&DataType::Float64, invocation.rows));
            return Ok(Resolved::new(args, DataType::Float64, nulls));
        }
        return Err(spark_error(
            "NON_FOLDABLE_ARGUMENT",
            format!(
                "The function `{}` requires the parameter `field` to be a foldable expression of the type \"STRING\", but the actual \
                 argument is a non-foldable.",
                call.name
            ),
        ));
    };
    let name = field.to_uppercase();
    let found = match call.data_type(1) {
        DataType::Duration(_) => of_day_time_interval(&name),
        DataType::Interval(_) => of_year_month_interval(&name),
        _ => of_instant(call, &name).transpose()?,
    };
    found.ok_or_else(|| {
        spark_error("INVALID_EXTRACT_FIELD", format!("Cannot extract `{field}` from \"{}\".", call.args[1].sql.replace('"', "")))
    })
}

fn of_instant(call: &Call<'_>, name: &str) -> Option<Result<Resolved>> {
    let field = match name {
        "YEAR" | "Y" | "YEARS" | "YR" | "YRS" => DateField::Year,
        "YEAROFWEEK" => DateField::YearOfWeek,
        "QUARTER" | "QTR" => DateField::Quarter,
        "MONTH" | "MON" | "MONS" | "MONTHS" => DateField::Month,
        "WEEK" | "W" | "WEEKS" => DateField::Week,
        "DAY" | "D" | "DAYS" => DateField::Day,
        "DAYOFWEEK" | "DOW" => DateField::DayOfWeek,
        "DAYOFWEEK_ISO" | "DOW_ISO" => DateField::DayOfWeekIso,
        "DOY" => DateField::DayOfYear,
        _ => {
            return match name {
                "HOUR" | "H" | "HOURS" | "HR" | "HRS" => Some(of_time(call, 1, TimeField::Hour)),
                "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES" => Some(of_time(call, 1, TimeField::Minute)),
                "SECOND" | "S" | "SEC" | "SECONDS" | "SECS" => Some(fraction_of_minute(call, 1)),
                _ => None,
            };
        }
    };
    Some(of_date(call, 1, field))
}

fn of_day_time_interval(name: &str) -> Option<Resolved> {
    let (unit, modulus) = match name {
        "DAY" | "D" | "DAYS" => {
            let kernel = |invocation: &Invocation<'_>| {
                unary::<DurationMicrosecondType, Int32Type>(&only(invocation, 1), &DataType::Int32, |micros| {
                    Ok(Some((micros / MICROS_PER_DAY) as i32))
                })
            };
            return Some(Resolved::new(vec![DataType::Utf8, DAY_TIME_INTERVAL], DataType::Int32, kernel));
        }
        "SECOND" | "S" | "SEC" | "SECONDS" | "SECS" => {
            let kernel = |invocation: &Invocation<'_>| {
                unary::<DurationMicrosecondType, Decimal128Type>(&only(invocation, 1), &SECONDS, |micros| {
                    Ok(Some(i128::from(micros % MICROS_PER_MINUTE)))
                })
            };
            return Some(Resolved::new(vec![DataType::Utf8, DAY_TIME_INTERVAL], SECONDS, kernel));
        }
        "HOUR" | "H" | "HOURS" | "HR" | "HRS" => (MICROS_PER_HOUR, 24),
        "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES" => (MICROS_PER_MINUTE, 60),
        _ => return None,
    };
    let kernel = move |invocation: &Invocation<'_>| {
        unary::<DurationMicrosecondType, Int8Type>(&only(invocation, 1), &DataType::Int8, |micros| {
            Ok(Some((micros / unit % modulus) as i8))
        })
    };
    Some(Resolved::new(vec![DataType::Utf8, DAY_TIME_INTERVAL], DataType::Int8, kernel))
}

fn of_year_month_interval(name: &str) -> Option<Resolved> {
    let args = vec![DataType::Utf8, YEAR_MONTH_INTERVAL];
    match name {
        "YEAR" | "Y" | "YEARS" | "YR" | "YRS" => {
            let kernel = |invocation: &Invocation<'_>| {
                unary::<IntervalYearMonthType, Int32Type>(&only(invocation, 1), &DataType::Int32, |months| Ok(Some(months / 12)))
            };
            Some(Resolved::new(args, DataType::Int32, kernel))
        }
        "MONTH" | "MON" | "MONS" | "MONTHS" => {
            let kernel = |invocation: &Invocation<'_>| {
                unary::<IntervalYearMonthType, Int8Type>(&only(invocation, 1), &DataType::Int8, |months| {
                    Ok(Some((months % 12) as i8))
                })
            };
            Some(Resolved::new(args, DataType::Int8, kernel))
        }
        _ => None,
    }
}
