//! Casts between numbers, booleans, and instants and intervals as numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::CastOptions;
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalYearMonthType, TimestampMicrosecondType,
};
use datafusion::error::{DataFusionError, Result};

use super::java_float::Digits;
use super::text::{decimal_text, literal};
use super::{CastMode, decimal_out_of_range, invalid_input, overflow, with_type};
use crate::coercion::decimal_for_integral;
use crate::function::Settings;
use crate::types::{is_decimal, is_float, is_integral};

/// Ten to this power; 38 is the greatest that fits.
pub(crate) fn power(exponent: u32) -> i128 {
    10_i128.checked_pow(exponent).unwrap_or(i128::MAX)
}

/// The value, if it has no more digits than this.
pub(crate) fn fits(value: i128, precision: u8) -> Option<i128> {
    (value.unsigned_abs() < power(u32::from(precision)).unsigned_abs()).then_some(value)
}

/// Divides, rounding half away from zero.
pub(crate) fn div_half_up(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value / divisor, value % divisor);
    let up = rest.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2);
    if up { quotient + value.signum() * divisor.signum() } else { quotient }
}

/// A decimal's unscaled value at another scale, rounded half up; `None` if it has more digits than `precision`.
pub(crate) fn rescale(value: i128, from: i8, to: i8, precision: u8) -> Option<i128> {
    let value = match to - from {
        0 => value,
        up @ 1.. => value.checked_mul(power(u32::from(up.unsigned_abs())))?,
        down if down < -38 => 0,
        down => div_half_up(value, power(u32::from(down.unsigned_abs()))),
    };
    fits(value, precision)
}

/// Whether some number of the one type is none of the other.
pub(super) fn narrows(from: &DataType, to: &DataType) -> bool {
    match (decimal_for_integral(from), decimal_for_integral(to)) {
        // The greatest `bigint` has 19 digits of which the first isn't always a 9.
        (Some(_), Some(_)) if is_integral(from) && is_integral(to) => width(from) > width(to),
        (Some((p, s)), Some((tp, ts))) if is_decimal(to) => {
            let p = if from == &DataType::Int64 { 19 } else { p };
            // Rounding may carry into one more digit.
            i16::from(p) - i16::from(s) + i16::from(s > ts) > i16::from(tp) - i16::from(ts)
        }
        (Some((p, s)), Some(_)) => {
            let safe = match to {
                DataType::Int8 => 2,
                DataType::Int16 => 4,
                DataType::Int32 => 9,
                _ => 18,
            };
            i16::from(p) - i16::from(s) > safe
        }
        _ => is_float(from) && !is_float(to),
    }
}

fn width(integral: &DataType) -> usize {
    integral.primitive_width().unwrap_or_default()
}

/// Casts each value with `one`, whose `None` is a value that doesn't fit.
fn each<I: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    values: &PrimitiveArray<I>,
    to: &DataType,
    mode: CastMode,
    one: impl Fn(I::Native) -> Option<O::Native>,
    error: impl Fn(I::Native) -> DataFusionError,
) -> Result<ArrayRef> {
    let values: PrimitiveArray<O> = match mode {
        CastMode::Try => values.unary_opt(one),
        CastMode::Ansi => values.try_unary(|value| one(value).ok_or_else(|| error(value)))?,
    };
    Ok(Arc::new(values.with_data_type(to.clone())))
}

/// Runs the body with `$type` standing for the Arrow type of an integer type.
macro_rules! with_integral {
    ($data_type:expr, $type:ident => $body:expr) => {
        match $data_type {
            DataType::Int8 => {
                type $type = Int8Type;
                $body
            }
            DataType::Int16 => {
                type $type = Int16Type;
                $body
            }
            DataType::Int32 => {
                type $type = Int32Type;
                $body
            }
            _ => {
                type $type = Int64Type;
                $body
            }
        }
    };
}

/// Casts between all types whose values are numbers; a pair that isn't allowed doesn't come here.
pub(super) fn cast_numbers(values: &ArrayRef, to: &DataType, mode: CastMode, settings: &Settings) -> Result<ArrayRef> {
    let from = values.data_type();
    match (from, to) {
        (DataType::Boolean, _) => from_boolean(values.as_boolean(), to, mode, settings),
        (_, DataType::Boolean) => to_boolean(values),
        (DataType::Decimal128(_, _), _) => from_decimal(values, to, mode, settings),
        (DataType::Float32, DataType::Float64) | (DataType::Float64, DataType::Float32) => Ok(arrow::compute::cast(values, to)?),
        (DataType::Float32, _) => from_double(values, &arrow::compute::cast(values, &DataType::Float64)?, to, mode),
        (DataType::Float64, _) => from_double(values, values, to, mode),
        (DataType::Timestamp(_, _), _) => from_timestamp(values, to, mode, settings),
        (DataType::Duration(_), _) => from_day_time(values, to, mode, settings),
        (DataType::Interval(_), _) => {
            let months = values.as_primitive::<IntervalYearMonthType>().reinterpret_cast::<Int32Type>();
            let error = |row| overflow(&literal(values, row, settings), from, to);
            from_integral(&(Arc::new(months) as ArrayRef), to, mode, settings, &error)
        }
        _ => from_integral(values, to, mode, settings, &|row| overflow(&literal(values, row, settings), from, to)),
    }
}

fn from_boolean(values: &BooleanArray, to: &DataType, mode: CastMode, settings: &Settings) -> Result<ArrayRef> {
    let bits: PrimitiveArray<Int8Type> = values.iter().map(|value| value.map(i8::from)).collect();
    cast_or_same(&(Arc::new(bits) as ArrayRef), to, mode, settings)
}

fn cast_or_same(values: &ArrayRef, to: &DataType, mode: CastMode, settings: &Settings) -> Result<ArrayRef> {
    if values.data_type() == to { Ok(Arc::clone(values)) } else { cast_numbers(values, to, mode, settings) }
}

fn to_boolean(values: &ArrayRef) -> Result<ArrayRef> {
    let booleans = match values.data_type() {
        DataType::Float32 => BooleanArray::from_unary(values.as_primitive::<Float32Type>(), |value| value != 0.0),
        DataType::Float64 => BooleanArray::from_unary(values.as_primitive::<Float64Type>(), |value| value != 0.0),
        DataType::Decimal128(_, _) => BooleanArray::from_unary(values.as_primitive::<Decimal128Type>(), |value| value != 0),
        integral => with_integral!(integral, T => BooleanArray::from_unary(values.as_primitive::<T>(), |value| value != 0)),
    };
    Ok(Arc::new(booleans))
}

fn from_integral(
    values: &ArrayRef,
    to: &DataType,
    mode: CastMode,
    settings: &Settings,
    too_large: &dyn Fn(usize) -> DataFusionError,
) -> Result<ArrayRef> {
    match to {
        _ if is_integral(to) || is_float(to) => {
            let cast = arrow::compute::cast_with_options(values, to, &CastOptions { safe: true, ..Default::default() })?;
            match first_lost(values, &cast) {
                Some(row) if mode == CastMode::Ansi => Err(too_large(row)),
                _ => Ok(cast),
            }
        }
        DataType::Decimal128(precision, scale) => {
            let (p, s) = (*precision, *scale);
            with_integral!(values.data_type(), T => each::<T, Decimal128Type>(
                values.as_primitive(), to, mode, |value| rescale(i128::from(value), 0, s, p),
                |value| decimal_out_of_range(&value.to_string(), p, s),
            ))
        }
        DataType::Timestamp(_, _) => {
            let seconds = arrow::compute::cast(values, &DataType::Int64)?;
            let micros =
                seconds.as_primitive::<Int64Type>().unary::<_, TimestampMicrosecondType>(|s| s.saturating_mul(1_000_000));
            Ok(Arc::new(micros.with_data_type(to.clone())))
        }
        _ => {
            let wide = arrow::compute::cast(values, &DataType::Int64)?;
            let wide = wide.as_primitive::<Int64Type>();
            let interval: ArrayRef = match to {
                DataType::Duration(_) => {
                    Arc::new(wide.unary_opt::<_, DurationMicrosecondType>(|seconds| seconds.checked_mul(1_000_000)))
                }
                _ => Arc::new(wide.unary_opt::<_, IntervalYearMonthType>(|months| i32::try_from(months).ok())),
            };
            match first_lost(values, &interval) {
                Some(row) if mode == CastMode::Ansi => Err(overflow(&literal(values, row, settings), values.data_type(), to)),
                _ => Ok(interval),
            }
        }
    }
}

/// The first row that was a value and isn't any more.
fn first_lost(before: &ArrayRef, after: &ArrayRef) -> Option<usize> {
    if before.null_count() == after.null_count() {
        return None;
    }
    (0..before.len()).find(|row| before.is_valid(*row) && after.is_null(*row))
}

/// Truncates, if the result fits.
macro_rules! truncate {
    ($value:expr, $native:ty) => {{
        let value: f64 = $value;
        let inside = value.floor() <= <$native>::MAX as f64 && value.ceil() >= <$native>::MIN as f64;
        inside.then_some(value as $native)
    }};
}

/// Casts `doubles`; `values` are what they were before, for messages.
fn from_double(values: &ArrayRef, doubles: &ArrayRef, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let (from, doubles) = (values.data_type(), doubles.as_primitive::<Float64Type>());
    let text = |value: f64| {
        let mut out = String::new();
        match from {
            DataType::Float32 => super::java_float::write_f32(&mut out, value as f32),
            _ => {
                super::java_float::write_f64(&mut out, value);
                out.push_str(if value.is_finite() { "D" } else { "" });
            }
        }
        out
    };
    let error = |value: f64| overflow(&text(value), from, to);
    match to {
        DataType::Int8 => each::<_, Int8Type>(doubles, to, mode, |value| truncate!(value, i8), error),
        DataType::Int16 => each::<_, Int16Type>(doubles, to, mode, |value| truncate!(value, i16), error),
        DataType::Int32 => each::<_, Int32Type>(doubles, to, mode, |value| truncate!(value, i32), error),
        DataType::Int64 => each::<_, Int64Type>(doubles, to, mode, |value| truncate!(value, i64), error),
        DataType::Timestamp(_, _) => {
            let micros = |seconds: f64| truncate!(seconds * 1e6, i64);
            let error = |seconds: f64| {
                let mut text = String::new();
                if seconds.is_finite() {
                    super::java_float::write_f64(&mut text, seconds * 1e6);
                    return overflow(&format!("{text}D"), &DataType::Float64, &DataType::Int64);
                }
                super::java_float::write_f64(&mut text, seconds);
                invalid_input(&text, &DataType::Float64, to)
            };
            each::<_, TimestampMicrosecondType>(doubles, to, mode, micros, error)
        }
        DataType::Decimal128(precision, scale) => {
            let (p, s) = (*precision, *scale);
            // Infinities and not-a-number are null in any mode.
            let finite = doubles.unary_opt::<_, Float64Type>(|value| value.is_finite().then_some(value));
            let error = |value: f64| decimal_out_of_range(&plain(value), p, s);
            each::<_, Decimal128Type>(&finite, to, mode, |value| double_to_decimal(value, p, s), error)
        }
        _ => Err(DataFusionError::Internal(format!("{from} to {to}"))),
    }
}

/// A finite `double` as a decimal of the digits that Java writes for it.
pub(crate) fn double_to_decimal(value: f64, precision: u8, scale: i8) -> Option<i128> {
    if value == 0.0 {
        return Some(0);
    }
    let Digits { digits, exponent } = Digits::of_f64(value.abs());
    let wanted = exponent + i32::from(scale);
    if wanted > 38 {
        return None;
    }
    if wanted < 0 {
        return Some(0);
    }
    let digit = |digit: &u8| i128::from(digit - b'0');
    let mut unscaled = digits.iter().take(wanted as usize).map(digit).fold(0, |value, digit| value * 10 + digit);
    unscaled *= power((wanted as u32).saturating_sub(digits.len() as u32));
    unscaled += i128::from(digits.get(wanted as usize).is_some_and(|digit| *digit >= b'5'));
    fits(if value < 0.0 { -unscaled } else { unscaled }, precision)
}

/// A finite `double` in plain notation.
fn plain(value: f64) -> String {
    let Digits { digits, exponent } = Digits::of_f64(value.abs());
    let digits = String::from_utf8(digits).unwrap_or_default();
    let sign = if value < 0.0 { "-" } else { "" };
    match usize::try_from(exponent) {
        Ok(whole) if whole >= digits.len() => format!("{sign}{digits:0<whole$}"),
        Ok(whole) if whole > 0 => format!("{sign}{}.{}", &digits[..whole], &digits[whole..]),
        _ => format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize)),
    }
}

fn from_decimal(values: &ArrayRef, to: &DataType, mode: CastMode, settings: &Settings) -> Result<ArrayRef> {
    let from = values.data_type();
    let DataType::Decimal128(_, scale) = *from else {
        return Err(DataFusionError::Internal(format!("a decimal: {from}")));
    };
    let decimals = values.as_primitive::<Decimal128Type>();
    let error = |value: i128| overflow(&format!("{}BD", decimal_text(value, scale)), from, to);
    let divisor = power(u32::from(scale.unsigned_abs()));
    match to {
        DataType::Decimal128(p, s) if !narrows(from, to) && *s == scale => {
            Ok(with_type::<Decimal128Type>(values, &DataType::Decimal128(*p, *s)))
        }
        DataType::Decimal128(p, s) => each::<_, Decimal128Type>(
            decimals,
            to,
            mode,
            |value| rescale(value, scale, *s, *p),
            |value| decimal_out_of_range(&decimal_text(value, scale), *p, *s),
        ),
        DataType::Float64 => Ok(Arc::new(decimals.unary::<_, Float64Type>(|value| decimal_to_f64(value, scale)))),
        DataType::Float32 => {
            // Rounded once, from the digits: not through a double.
            let one = |value: i128| decimal_text(value, scale).parse().unwrap_or(f32::NAN);
            Ok(Arc::new(decimals.unary::<_, Float32Type>(one)))
        }
        DataType::Timestamp(_, _) => {
            // As in Java, bits beyond 64 are lost.
            let micros = |value: i128| {
                if scale <= 6 { value.wrapping_mul(power(6 - scale as u32)) } else { value / power(scale as u32 - 6) }
            };
            let micros = decimals.unary::<_, TimestampMicrosecondType>(|value| micros(value) as i64);
            Ok(Arc::new(micros.with_data_type(to.clone())))
        }
        DataType::Duration(_) => {
            let micros = |value: i128| rescale(value, scale, 6, 38).and_then(|micros| i64::try_from(micros).ok());
            each::<_, DurationMicrosecondType>(decimals, to, mode, micros, error)
        }
        DataType::Interval(_) => {
            let months = |value: i128| rescale(value, scale, 0, 38).and_then(|months| i32::try_from(months).ok());
            each::<_, IntervalYearMonthType>(decimals, to, mode, months, error)
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            with_integral!(to, T => each::<_, T>(
                decimals, to, mode, |value| <T as ArrowPrimitiveType>::Native::try_from(value / divisor).ok(), error,
            ))
        }
        _ => cast_or_same(values, to, mode, settings),
    }
}

/// The nearest `double`.
pub(crate) fn decimal_to_f64(value: i128, scale: i8) -> f64 {
    // Both exact, so that the quotient is rounded once.
    if value.unsigned_abs() < 1 << 53 && scale <= 22 {
        return value as f64 / 10_f64.powi(i32::from(scale));
    }
    decimal_text(value, scale).parse().unwrap_or(f64::NAN)
}

fn from_timestamp(values: &ArrayRef, to: &DataType, mode: CastMode, settings: &Settings) -> Result<ArrayRef> {
    let (from, micros) = (values.data_type(), values.as_primitive::<TimestampMicrosecondType>());
    match to {
        DataType::Float64 => Ok(Arc::new(micros.unary::<_, Float64Type>(|micros| micros as f64 / 1e6))),
        DataType::Float32 => Ok(Arc::new(micros.unary::<_, Float32Type>(|micros| (micros as f64 / 1e6) as f32))),
        DataType::Decimal128(p, s) => each::<_, Decimal128Type>(
            micros,
            to,
            mode,
            |micros| rescale(i128::from(micros), 6, *s, *p),
            |micros| decimal_out_of_range(&decimal_text(i128::from(micros), 6), *p, *s),
        ),
        _ => {
            let seconds: ArrayRef = Arc::new(micros.unary::<_, Int64Type>(|micros| micros.div_euclid(1_000_000)));
            if seconds.data_type() == to {
                return Ok(seconds);
            }
            from_integral(&seconds, to, mode, settings, &|row| overflow(&literal(values, row, settings), from, to))
        }
    }
}

fn from_day_time(values: &ArrayRef, to: &DataType, mode: CastMode, settings: &Settings) -> Result<ArrayRef> {
    let (from, micros) = (values.data_type(), values.as_primitive::<DurationMicrosecondType>());
    if let DataType::Decimal128(p, s) = to {
        let one = |micros: i64| rescale(i128::from(micros), 6, *s, *p);
        let error = |micros: i64| decimal_out_of_range(&decimal_text(i128::from(micros), 6), *p, *s);
        return each::<_, Decimal128Type>(micros, to, mode, one, error);
    }
    let seconds: ArrayRef = Arc::new(micros.unary::<_, Int64Type>(|micros| micros / 1_000_000));
    if seconds.data_type() == to {
        return Ok(seconds);
    }
    from_integral(&seconds, to, mode, settings, &|row| overflow(&literal(values, row, settings), from, to))
}
