//! Dates, instants and intervals.

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int32Type, Int64Type, IntervalYearMonthType,
    TimestampMicrosecondType,
};
use chrono_tz::Tz;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};

use super::{Operator, combine, different_types, is_interval, is_moment, sql};
use crate::cast::number::div_half_up;
use crate::cast::{CastMode, cast_array};
use crate::coercion::common_type;
use crate::datetime::calendar::{Date, MICROS_PER_DAY, local_micros};
use crate::datetime::zone::Zone;
use crate::error::spark_error;
use crate::function::{Arg, Call, Invocation, Resolved};
use crate::types::{
    DAY_TIME_INTERVAL, YEAR_MONTH_INTERVAL, is_float, is_integral, is_numeric, is_timestamp, sql_name, timestamp,
};

/// The operator, if one of the operands is a date, an instant or an interval and the other can be combined with it.
pub(super) fn resolve(call: &Call<'_>, operator: Operator, tolerant: bool) -> Result<Option<Resolved>> {
    use DataType::{Date32, Duration, Interval, Null, Utf8};
    let (left, right) = (call.data_type(0), call.data_type(1));
    if !(is_moment(left) || is_interval(left) || is_moment(right) || is_interval(right)) {
        return Ok(None);
    }
    let zone = call.settings.time_zone;
    Ok(Some(match (operator, left, right) {
        (Operator::Add, Date32, Duration(_) | Interval(_) | Null) => date_and_interval(call, 0, 1, false, tolerant),
        (Operator::Add, Duration(_) | Interval(_) | Null, Date32) => date_and_interval(call, 1, 0, false, tolerant),
        (Operator::Subtract, Date32, Duration(_) | Interval(_)) => date_and_interval(call, 0, 1, true, tolerant),
        (Operator::Add, Date32, _) => date_and_days(call, 0, 1, false, tolerant)?,
        (Operator::Add, _, Date32) => date_and_days(call, 1, 0, false, tolerant)?,
        (Operator::Subtract, Date32, right) if is_integral(right) => date_and_days(call, 0, 1, true, tolerant)?,
        (Operator::Subtract, Date32 | Utf8 | Null, Date32) | (Operator::Subtract, Date32, Utf8 | Null) => between_dates(tolerant),
        (Operator::Subtract, left, right) if is_moment(left) && (is_moment(right) || matches!(right, Utf8 | Null)) => {
            between_instants(left, right, zone, tolerant)
        }
        (Operator::Subtract, Utf8 | Null, right) if is_moment(right) => between_instants(left, right, zone, tolerant),
        (Operator::Add, moment, interval) if is_timestamp(moment) && (is_interval(interval) || interval == &Null) => {
            instant_and_interval(moment, interval, (0, 1), false, zone, tolerant)
        }
        (Operator::Add, interval, moment) if is_timestamp(moment) && (is_interval(interval) || interval == &Null) => {
            instant_and_interval(moment, interval, (1, 0), false, zone, tolerant)
        }
        (Operator::Subtract, moment, interval) if is_timestamp(moment) && is_interval(interval) => {
            instant_and_interval(moment, interval, (0, 1), true, zone, tolerant)
        }
        (Operator::Add, Utf8, interval) if is_interval(interval) => text_and_interval(call, (0, 1), false, tolerant),
        (Operator::Add, interval, Utf8) if is_interval(interval) => text_and_interval(call, (1, 0), false, tolerant),
        (Operator::Subtract, Utf8, Duration(_)) => text_and_interval(call, (0, 1), true, tolerant),
        (Operator::Add | Operator::Subtract, left, right) if is_interval(left) && (left == right || right == &Null) => {
            intervals(operator, left, tolerant)
        }
        (Operator::Add | Operator::Subtract, Null, right) if is_interval(right) => intervals(operator, right, tolerant),
        (Operator::DivideWhole, left, right) if is_interval(left) && (left == right || right == &Null) => {
            intervals(operator, left, tolerant)
        }
        (Operator::DivideWhole, Null, right) if is_interval(right) => intervals(operator, right, tolerant),
        (Operator::Multiply, left, right) if is_interval(left) => scaled(call, operator, (0, 1), right, tolerant)?,
        (Operator::Multiply, left, right) if is_interval(right) => scaled(call, operator, (1, 0), left, tolerant)?,
        (Operator::Divide, left, right) if is_interval(left) => scaled(call, operator, (0, 1), right, tolerant)?,
        (Operator::Add, left, right) if is_interval(left) || is_interval(right) => {
            let other = usize::from(is_interval(left));
            return Err(call.unexpected_type(other, "the \"(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)\" type"));
        }
        (Operator::Subtract, left, right) if is_interval(left) && is_moment(right) => {
            return Err(call.unexpected_type(0, &format!("the \"{}\" type", sql_name(right))));
        }
        (_, Utf8, other) | (_, other, Utf8) if is_interval(other) => return Err(different_types(call, left, right)),
        // Text takes the other's type, and then it is the operator that doesn't take that; see the caller.
        (_, Utf8 | Null, _) | (_, _, Utf8 | Null) => return Ok(None),
        _ if left == right => return Ok(None),
        _ => return Err(different_types(call, left, right)),
    }))
}

fn finish(resolved: Resolved, tolerant: bool) -> Resolved {
    if tolerant { resolved } else { resolved.fallible() }
}

/// Runs `combine` with the operands in the order of `order`.
fn ordered<A: ArrowPrimitiveType, B: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    invocation: &Invocation<'_>,
    order: (usize, usize),
    returns: &DataType,
    tolerant: bool,
    one: impl Fn(A::Native, B::Native) -> Option<O::Native>,
    error: impl Fn() -> DataFusionError,
) -> Result<ArrayRef> {
    let args = [invocation.args[order.0].clone(), invocation.args[order.1].clone()];
    combine::<A, B, O>(&Invocation { args: &args, rows: invocation.rows }, returns, tolerant, one, |_, _| error())
}

fn in_order<T>(order: (usize, usize), first: T, second: T) -> Vec<T> {
    if order.0 == 0 { vec![first, second] } else { vec![second, first] }
}

fn datetime_overflow() -> DataFusionError {
    spark_error("DATETIME_OVERFLOW", "Datetime operation overflow: the result is out of the range of its type.")
}

fn interval_overflow(tolerant_name: Option<&str>) -> DataFusionError {
    match tolerant_name {
        Some(name) => spark_error(
            "INTERVAL_ARITHMETIC_OVERFLOW.WITH_SUGGESTION",
            format!(
                "Integer overflow while operating with intervals. Use `{name}` to tolerate overflow and return NULL instead."
            ),
        ),
        None => spark_error(
            "INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION",
            "Integer overflow while operating with intervals. Try devising appropriate values for the interval parameters.",
        ),
    }
}

/// Whether an interval is written in days alone: then a date plus it stays a date.
///
/// The type doesn't say it: all of Spark's day-time intervals are one type here. A difference of two dates isn't recognised.
fn in_days(arg: &Arg) -> bool {
    let whole = match arg.literal {
        Some(ScalarValue::DurationMicrosecond(Some(micros))) => micros % MICROS_PER_DAY == 0,
        _ => false,
    };
    let sql = arg.sql.trim_end().to_ascii_uppercase();
    whole && (sql.ends_with("DAY") || sql.ends_with("DAYS")) && !sql.contains(" TO ")
}

fn date_and_interval(call: &Call<'_>, date: usize, interval: usize, minus: bool, tolerant: bool) -> Resolved {
    let order = (date, interval);
    let sign = if minus { -1 } else { 1 };
    match call.data_type(interval) {
        DataType::Interval(_) => {
            let one = move |days: i32, months: i32| {
                i32::try_from(Date::from_days(i64::from(days)).plus_months(sign * i64::from(months)).days()).ok()
            };
            let kernel = move |invocation: &Invocation<'_>| {
                ordered::<Date32Type, IntervalYearMonthType, Date32Type>(
                    invocation,
                    order,
                    &DataType::Date32,
                    tolerant,
                    one,
                    datetime_overflow,
                )
            };
            finish(Resolved::new(in_order(order, DataType::Date32, YEAR_MONTH_INTERVAL), DataType::Date32, kernel), tolerant)
        }
        DataType::Duration(_) if call.args.get(interval).is_some_and(in_days) => {
            let one = move |days: i32, micros: i64| i32::try_from(i64::from(days) + sign * (micros / MICROS_PER_DAY)).ok();
            let kernel = move |invocation: &Invocation<'_>| {
                ordered::<Date32Type, DurationMicrosecondType, Date32Type>(
                    invocation,
                    order,
                    &DataType::Date32,
                    tolerant,
                    one,
                    datetime_overflow,
                )
            };
            finish(Resolved::new(in_order(order, DataType::Date32, DAY_TIME_INTERVAL), DataType::Date32, kernel), tolerant)
        }
        other => instant_and_interval(&timestamp(), other, order, minus, call.settings.time_zone, tolerant),
    }
}

fn date_and_days(call: &Call<'_>, date: usize, days: usize, minus: bool, tolerant: bool) -> Result<Resolved> {
    if !matches!(call.data_type(days), DataType::Int8 | DataType::Int16 | DataType::Int32) {
        let name = if minus { "date_sub" } else { "date_add" };
        let args: Vec<Arg> = [date, days].iter().filter_map(|index| call.args.get(*index).cloned()).collect();
        let call = Call { name, args: &args, settings: call.settings };
        return Err(call.unexpected_type(1, r#"the ("INT" or "SMALLINT" or "TINYINT") type"#));
    }
    let order = (date, days);
    let one = move |date: i32, days: i32| if minus { date.checked_sub(days) } else { date.checked_add(days) };
    let kernel = move |invocation: &Invocation<'_>| {
        ordered::<Date32Type, Int32Type, Date32Type>(invocation, order, &DataType::Date32, tolerant, one, datetime_overflow)
    };
    Ok(finish(Resolved::new(in_order(order, DataType::Date32, DataType::Int32), DataType::Date32, kernel), tolerant))
}

fn between_dates(tolerant: bool) -> Resolved {
    let one = |end: i32, start: i32| (i64::from(end) - i64::from(start)).checked_mul(MICROS_PER_DAY);
    let kernel = move |invocation: &Invocation<'_>| {
        ordered::<Date32Type, Date32Type, DurationMicrosecondType>(invocation, (0, 1), &DAY_TIME_INTERVAL, tolerant, one, || {
            interval_overflow(None)
        })
    };
    finish(Resolved::new(vec![DataType::Date32, DataType::Date32], DAY_TIME_INTERVAL, kernel), tolerant)
}

/// The difference of what clocks show, as in Spark: a day on which they are changed has 24 hours.
fn between_instants(left: &DataType, right: &DataType, zone: Tz, tolerant: bool) -> Resolved {
    let common = match (left, right) {
        (DataType::Utf8 | DataType::Null, other) | (other, DataType::Utf8 | DataType::Null) => other.clone(),
        _ => common_type(left, right).unwrap_or_else(timestamp),
    };
    let zone = zone_of(&common, zone);
    let one = move |end: i64, start: i64| zone.to_local(end).checked_sub(zone.to_local(start));
    let kernel = move |invocation: &Invocation<'_>| {
        type T = TimestampMicrosecondType;
        ordered::<T, T, DurationMicrosecondType>(invocation, (0, 1), &DAY_TIME_INTERVAL, tolerant, one, || {
            interval_overflow(None)
        })
    };
    finish(Resolved::new(vec![common.clone(), common], DAY_TIME_INTERVAL, kernel), tolerant)
}

/// The zone whose clocks a type's values are moved by.
fn zone_of(moment: &DataType, zone: Tz) -> Zone {
    if matches!(moment, DataType::Timestamp(_, Some(_))) { Zone::from(zone) } else { Zone::UTC }
}

/// An instant moved by an interval: whole days and months by the zone's calendar, what is less by the clock.
fn move_by(interval: &DataType, minus: bool, zone: Zone) -> impl Fn(i64, i64) -> Option<i64> + Copy + use<> {
    let months = matches!(interval, DataType::Interval(_));
    move |instant: i64, interval: i64| {
        let interval = if minus { interval.checked_neg()? } else { interval };
        if months {
            let local = zone.to_local(instant);
            let day = Date::from_days(local.div_euclid(MICROS_PER_DAY)).plus_months(interval).days();
            let local = local_micros(day, local.rem_euclid(MICROS_PER_DAY)).ok()?;
            return zone.instant_near(local, instant);
        }
        if zone == Zone::UTC {
            return instant.checked_add(interval);
        }
        let (days, rest) = (interval / MICROS_PER_DAY, interval % MICROS_PER_DAY);
        let moved = if days == 0 {
            instant
        } else {
            zone.instant_near(zone.to_local(instant).checked_add(days * MICROS_PER_DAY)?, instant)?
        };
        moved.checked_add(rest)
    }
}

fn instant_and_interval(
    moment: &DataType,
    interval: &DataType,
    order: (usize, usize),
    minus: bool,
    zone: Tz,
    tolerant: bool,
) -> Resolved {
    let returns = moment.clone();
    let one = move_by(interval, minus, zone_of(moment, zone));
    let interval = if matches!(interval, DataType::Interval(_)) { YEAR_MONTH_INTERVAL } else { DAY_TIME_INTERVAL };
    let args = in_order(order, moment.clone(), interval.clone());
    let kernel = move |invocation: &Invocation<'_>| moved(invocation, order, &returns, &interval, tolerant, one);
    finish(Resolved::new(args, moment.clone(), kernel), tolerant)
}

fn moved(
    invocation: &Invocation<'_>,
    order: (usize, usize),
    returns: &DataType,
    interval: &DataType,
    tolerant: bool,
    one: impl Fn(i64, i64) -> Option<i64>,
) -> Result<ArrayRef> {
    type T = TimestampMicrosecondType;
    if interval == &YEAR_MONTH_INTERVAL {
        let one = |instant: i64, months: i32| one(instant, i64::from(months));
        return ordered::<T, IntervalYearMonthType, T>(invocation, order, returns, tolerant, one, datetime_overflow);
    }
    ordered::<T, DurationMicrosecondType, T>(invocation, order, returns, tolerant, one, datetime_overflow)
}

/// A text is read as an instant, and the result is text again.
fn text_and_interval(call: &Call<'_>, order: (usize, usize), minus: bool, tolerant: bool) -> Resolved {
    let settings = *call.settings;
    let interval = call.data_type(order.1).clone();
    let one = move_by(&interval, minus, Zone::from(settings.time_zone));
    let args = in_order(order, timestamp(), interval.clone());
    let kernel = move |invocation: &Invocation<'_>| {
        let moved = moved(invocation, order, &timestamp(), &interval, tolerant, one)?;
        cast_array(&moved, &DataType::Utf8, CastMode::Ansi, &settings)
    };
    finish(Resolved::new(args, DataType::Utf8, kernel), tolerant)
}

/// Two intervals of one type.
fn intervals(operator: Operator, interval: &DataType, tolerant: bool) -> Resolved {
    let returns = if operator == Operator::DivideWhole { DataType::Int64 } else { interval.clone() };
    let (result, own) = (returns.clone(), interval.clone());
    let name = if operator == Operator::Add { "try_add" } else { "try_subtract" };
    let kernel = move |invocation: &Invocation<'_>| {
        type D = DurationMicrosecondType;
        type Y = IntervalYearMonthType;
        let error = || interval_overflow(Some(name));
        let months = own == YEAR_MONTH_INTERVAL;
        match operator {
            Operator::Add if months => ordered::<Y, Y, Y>(invocation, (0, 1), &result, tolerant, i32::checked_add, error),
            Operator::Add => ordered::<D, D, D>(invocation, (0, 1), &result, tolerant, i64::checked_add, error),
            Operator::Subtract if months => ordered::<Y, Y, Y>(invocation, (0, 1), &result, tolerant, i32::checked_sub, error),
            Operator::Subtract => ordered::<D, D, D>(invocation, (0, 1), &result, tolerant, i64::checked_sub, error),
            _ if months => {
                let one = |left: i32, right: i32| i64::from(left).checked_div(i64::from(right));
                ordered::<Y, Y, Int64Type>(invocation, (0, 1), &result, tolerant, one, || operator.by_zero())
            }
            _ => combine::<D, D, Int64Type>(invocation, &result, tolerant, i64::checked_div, |_, right| {
                if right == 0 { operator.by_zero() } else { interval_overflow(None) }
            }),
        }
    };
    finish(Resolved::new(vec![interval.clone(), interval.clone()], returns, kernel), tolerant)
}

/// An interval times or by a number.
fn scaled(call: &Call<'_>, operator: Operator, order: (usize, usize), number: &DataType, tolerant: bool) -> Result<Resolved> {
    let number = match number {
        DataType::Utf8 => DataType::Float64,
        own if is_float(own) => DataType::Float64,
        own if is_integral(own) || own == &DataType::Null => DataType::Int64,
        own if is_numeric(own) => own.clone(),
        _ => {
            let (sql, arg) = (sql(call), &call.args[order.1]);
            return Err(spark_error(
                "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
                format!(
                    "Cannot resolve \"{sql}\" due to data type mismatch: The second parameter requires the \"NUMERIC\" type, however \
                     \"{}\" has the type \"{}\".",
                    arg.sql,
                    sql_name(&arg.data_type)
                ),
            ));
        }
    };
    let interval = call.data_type(order.0).clone();
    let args = in_order(order, interval.clone(), number.clone());
    let own = interval.clone();
    let kernel = move |invocation: &Invocation<'_>| match &own {
        DataType::Interval(_) => {
            let limits = (i64::from(i32::MIN), i64::from(i32::MAX));
            scale::<IntervalYearMonthType>(invocation, operator, order, &own, &number, tolerant, limits, i64::from, |v| v as i32)
        }
        _ => {
            let limits = (i64::MIN, i64::MAX);
            scale::<DurationMicrosecondType>(invocation, operator, order, &own, &number, tolerant, limits, |v| v, |v| v)
        }
    };
    Ok(finish(Resolved::new(args, interval, kernel), tolerant))
}

#[allow(clippy::too_many_arguments, reason = "one function for two widths of intervals and three kinds of numbers")]
fn scale<T: ArrowPrimitiveType>(
    invocation: &Invocation<'_>,
    operator: Operator,
    order: (usize, usize),
    returns: &DataType,
    number: &DataType,
    tolerant: bool,
    (least, greatest): (i64, i64),
    widen: impl Fn(T::Native) -> i64,
    narrow: impl Fn(i64) -> T::Native,
) -> Result<ArrayRef> {
    let divides = operator == Operator::Divide;
    let inside = |value: i128| (i128::from(least)..=i128::from(greatest)).contains(&value).then(|| narrow(value as i64));
    let args = [invocation.args[order.0].clone(), invocation.args[order.1].clone()];
    let invocation = Invocation { args: &args, rows: invocation.rows };
    let error = |zero: bool| {
        if divides && zero {
            return spark_error(
                "INTERVAL_DIVIDED_BY_ZERO",
                "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead.",
            );
        }
        interval_overflow((!divides).then_some("try_multiply"))
    };
    match number {
        DataType::Int64 => combine::<T, Int64Type, T>(
            &invocation,
            returns,
            tolerant,
            |interval, by| {
                let (interval, by) = (i128::from(widen(interval)), i128::from(by));
                if !divides {
                    inside(interval * by)
                } else if by == 0 {
                    None
                } else {
                    inside(div_half_up(interval, by))
                }
            },
            |_, by| error(by == 0),
        ),
        DataType::Decimal128(_, scale) => {
            let one = 10_i128.pow(scale.unsigned_abs().into());
            combine::<T, Decimal128Type, T>(
                &invocation,
                returns,
                tolerant,
                |interval, by| {
                    let interval = i128::from(widen(interval));
                    match divides {
                        true if by == 0 => None,
                        true => inside(div_half_up(interval.checked_mul(one)?, by)),
                        false => inside(div_half_up(interval.checked_mul(by)?, one)),
                    }
                },
                |_, by| error(by == 0),
            )
        }
        _ => combine::<T, Float64Type, T>(
            &invocation,
            returns,
            tolerant,
            |interval, by| {
                let interval = widen(interval) as f64;
                if divides && by == 0.0 {
                    return None;
                }
                let value = if divides { interval / by } else { interval * by }.round();
                // The greatest `bigint` isn't a double: the next one is.
                let fits = value >= least as f64 && value < greatest as f64 + 1.0;
                fits.then(|| narrow(value as i64))
            },
            |_, by| error(by == 0.0),
        ),
    }
}
