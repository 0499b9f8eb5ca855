//! `round`, `bround`, `ceil` and `floor`.

use std::sync::Arc;

use arrow::array::{ArrowPrimitiveType, PrimitiveArray, new_null_array};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, DecimalType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type,
};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};

use super::{number, primitive};
use crate::error::spark_error;
use crate::function::{Call, Resolved};
use crate::types::{is_float, is_integral};

/// Which neighbour a number is rounded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    HalfUp,
    HalfEven,
    Ceiling,
    Floor,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::HalfUp => "half up",
            Mode::HalfEven => "half even",
            Mode::Ceiling => "ceiling",
            Mode::Floor => "floor",
        }
    }
}

/// The quotient of a number and a power of ten, rounded.
fn divide(value: i128, digits: u32, mode: Mode) -> i128 {
    let Some(divisor) = 10_i128.checked_pow(digits) else {
        // The divisor is more than twice any value.
        return match mode {
            Mode::Ceiling => i128::from(value > 0),
            Mode::Floor => -i128::from(value < 0),
            Mode::HalfUp | Mode::HalfEven => 0,
        };
    };
    let (quotient, rest) = (value / divisor, value % divisor);
    let half = rest.unsigned_abs().cmp(&(divisor.unsigned_abs() - rest.unsigned_abs()));
    let away = match mode {
        Mode::HalfUp => half.is_ge() && rest != 0,
        Mode::HalfEven => half.is_gt() || half.is_eq() && quotient % 2 != 0,
        Mode::Ceiling => rest > 0,
        Mode::Floor => rest < 0,
    };
    if away { quotient + value.signum() } else { quotient }
}

fn overflow(message: &str) -> DataFusionError {
    let hint = "If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.";
    spark_error("ARITHMETIC_OVERFLOW", format!("{message} {hint}"))
}

pub(super) fn round(call: &Call<'_>) -> Result<Resolved> {
    round_with(call, Mode::HalfUp)
}

pub(super) fn bround(call: &Call<'_>) -> Result<Resolved> {
    round_with(call, Mode::HalfEven)
}

fn round_with(call: &Call<'_>, mode: Mode) -> Result<Resolved> {
    let scale = match call.args.get(1).map(|arg| &arg.literal) {
        None => Some(0),
        Some(None) => {
            let sql = &call.args[1].sql;
            return Err(spark_error(
                "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT",
                format!(
                    "Cannot resolve \"{}\" due to data type mismatch: the input `scale` should be a foldable \"INT\" expression; \
                     however, got \"{sql}\".",
                    call.sql()
                ),
            ));
        }
        Some(Some(value)) if value.is_null() => None,
        Some(Some(value)) => {
            number(call, 1, &DataType::Int32)?;
            match value.cast_to(&DataType::Int32)? {
                ScalarValue::Int32(scale) => scale,
                _ => None,
            }
        }
    };
    let own = match call.data_type(0) {
        from if is_integral(from) || is_float(from) || matches!(from, DataType::Decimal128(_, _)) => from.clone(),
        DataType::Utf8 | DataType::Null => DataType::Float64,
        _ => return Err(call.unexpected_type(0, "the \"NUMERIC\" type")),
    };
    let mut resolved = match (&own, scale) {
        (DataType::Decimal128(precision, own_scale), _) => {
            decimal(&own, rounded_type(*precision, *own_scale, scale.unwrap_or(0)), scale, mode)
        }
        (_, None) => nothing(own.clone(), own.clone()),
        (DataType::Int8, Some(scale)) => integer::<Int8Type>(scale, mode),
        (DataType::Int16, Some(scale)) => integer::<Int16Type>(scale, mode),
        (DataType::Int32, Some(scale)) => integer::<Int32Type>(scale, mode),
        (DataType::Int64, Some(scale)) => integer::<Int64Type>(scale, mode),
        (DataType::Float32, Some(scale)) => Resolved::new(vec![own.clone()], own, move |invocation| {
            let one =
                |value: f32| if value.is_finite() { round_text(&format!("{value:e}"), scale, mode).parse() } else { Ok(value) };
            Ok(Arc::new(primitive::<Float32Type>(invocation, 0)?.unary::<_, Float32Type>(|value| one(value).unwrap_or(value))))
        }),
        (_, Some(scale)) => Resolved::new(vec![own.clone()], own, move |invocation| {
            let one =
                |value: f64| if value.is_finite() { round_text(&format!("{value:e}"), scale, mode).parse() } else { Ok(value) };
            Ok(Arc::new(primitive::<Float64Type>(invocation, 0)?.unary::<_, Float64Type>(|value| one(value).unwrap_or(value))))
        }),
    };
    if call.len() == 2 {
        // The scale has been taken in: as it comes is good enough.
        resolved.args.push(call.data_type(1).clone());
    }
    Ok(resolved)
}

/// Always null.
fn nothing(arg: DataType, returns: DataType) -> Resolved {
    let data_type = returns.clone();
    Resolved::new(vec![arg], returns, move |invocation| Ok(new_null_array(&data_type, invocation.rows)))
}

fn integer<T: ArrowPrimitiveType<Native: Into<i64> + TryFrom<i128>>>(scale: i32, mode: Mode) -> Resolved {
    Resolved::new(vec![T::DATA_TYPE], T::DATA_TYPE, move |invocation| {
        let values = primitive::<T>(invocation, 0)?;
        if scale >= 0 {
            return Ok(Arc::new(values));
        }
        let digits = scale.unsigned_abs();
        let one = |value: T::Native| {
            let rounded = divide(i128::from(value.into()), digits, mode);
            let rounded =
                if rounded == 0 { Some(0) } else { 10_i128.checked_pow(digits).and_then(|unit| rounded.checked_mul(unit)) };
            rounded.and_then(|rounded| T::Native::try_from(rounded).ok()).ok_or_else(|| overflow("Overflow."))
        };
        Ok(Arc::new(values.try_unary::<_, T, DataFusionError>(one)?))
    })
    .fallible()
}

/// Rounds the shortest decimal text of a number, `d.ddde±x`: what is a half in decimal rounds as one.
fn round_text(text: &str, scale: i32, mode: Mode) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
    let kept = exponent + 1 + i64::from(scale);
    if kept >= digits.len() as i64 {
        // Zero has no sign in decimal.
        return if digits.iter().all(|digit| *digit == 0) { "0".to_owned() } else { text.to_owned() };
    }
    let (head, tail) = digits.split_at(kept.max(0) as usize);
    let first = if kept < 0 { 0 } else { tail.first().copied().unwrap_or(0) };
    let more = kept < 0 || tail.iter().skip(1).any(|digit| *digit != 0);
    let up = match mode {
        Mode::HalfEven => first > 5 || first == 5 && (more || head.last().is_some_and(|digit| digit % 2 == 1)),
        _ => first >= 5,
    };
    // At most 17 digits.
    let value = head.iter().fold(0_u64, |value, digit| value * 10 + u64::from(*digit)) + u64::from(up);
    if value == 0 { "0".to_owned() } else { format!("{sign}{value}e{}", -i64::from(scale)) }
}

/// The type of a decimal rounded to `scale` digits.
fn rounded_type(precision: u8, own: i8, scale: i32) -> (u8, i8) {
    let whole = i32::from(precision) - i32::from(own) + 1;
    let most = i32::from(DECIMAL128_MAX_PRECISION);
    if scale < 0 {
        return (whole.max(scale.saturating_neg().saturating_add(1)).min(most) as u8, 0);
    }
    let scale = scale.min(i32::from(own));
    ((whole + scale).min(most) as u8, scale as i8)
}

/// Rounds a decimal; a scale of `None` gives null.
fn decimal(own: &DataType, (precision, returned): (u8, i8), scale: Option<i32>, mode: Mode) -> Resolved {
    let returns = DataType::Decimal128(precision, returned);
    let (&DataType::Decimal128(_, own_scale), Some(scale)) = (own, scale) else { return nothing(own.clone(), returns) };
    let data_type = returns.clone();
    let digits = (i32::from(own_scale).saturating_sub(scale)).max(0) as u32;
    let zeros = scale.min(0).unsigned_abs();
    let one = move |value: i128| {
        let rounded = divide(value, digits, mode);
        let rounded = if rounded == 0 { Some(0) } else { 10_i128.checked_pow(zeros).and_then(|unit| rounded.checked_mul(unit)) };
        let fits = |rounded: &i128| rounded.unsigned_abs() < 10_u128.pow(u32::from(precision));
        rounded.filter(fits).ok_or_else(|| {
            let value = Decimal128Type::format_decimal(value, DECIMAL128_MAX_PRECISION, own_scale);
            spark_error(
                "NUMERIC_VALUE_OUT_OF_RANGE.WITHOUT_SUGGESTION",
                format!("The {value} rounded {} cannot be represented as Decimal({precision}, {returned}).", mode.name()),
            )
        })
    };
    let resolved = Resolved::new(vec![own.clone()], returns, move |invocation| {
        let values = primitive::<Decimal128Type>(invocation, 0)?;
        let rounded: PrimitiveArray<Decimal128Type> = values.try_unary::<_, Decimal128Type, DataFusionError>(one)?;
        Ok(Arc::new(rounded.with_data_type(data_type.clone())))
    });
    resolved.fallible()
}

pub(super) fn ceil(call: &Call<'_>) -> Result<Resolved> {
    whole(call, Mode::Ceiling, f64::ceil)
}

pub(super) fn floor(call: &Call<'_>) -> Result<Resolved> {
    whole(call, Mode::Floor, f64::floor)
}

fn whole(call: &Call<'_>, mode: Mode, f: fn(f64) -> f64) -> Result<Resolved> {
    if call.len() == 2 {
        return to_scale(call, mode);
    }
    match call.data_type(0) {
        DataType::Decimal128(precision, scale) => {
            // Only where there is a fraction can the whole part grow.
            let carry = i32::from(*scale != 0);
            let precision = (i32::from(*precision) - i32::from(*scale) + carry).min(i32::from(DECIMAL128_MAX_PRECISION));
            Ok(decimal(call.data_type(0), (precision as u8, 0), Some(0), mode))
        }
        from if is_integral(from) => Ok(Resolved::new(vec![DataType::Int64], DataType::Int64, |invocation| invocation.array(0))),
        from if is_float(from) || matches!(from, DataType::Utf8 | DataType::Null) => {
            let resolved = Resolved::new(vec![DataType::Float64], DataType::Int64, move |invocation| {
                let one = |value: f64| {
                    let whole = f(value);
                    // 2^63 is the first double that is too great.
                    let fits = whole.is_nan() || (-(2_f64.powi(63))..2_f64.powi(63)).contains(&whole);
                    if fits { Ok(whole as i64) } else { Err(overflow("overflow.")) }
                };
                let values = primitive::<Float64Type>(invocation, 0)?;
                Ok(Arc::new(values.try_unary::<_, Int64Type, DataFusionError>(one)?))
            });
            Ok(resolved.fallible())
        }
        _ => Err(call.unexpected_type(0, "the (\"DOUBLE\" or \"DECIMAL\" or \"BIGINT\") type")),
    }
}

/// `ceil(value, scale)`: always a decimal.
fn to_scale(call: &Call<'_>, mode: Mode) -> Result<Resolved> {
    let scale = match call.args[1].literal {
        Some(ScalarValue::Int32(Some(scale))) => scale,
        Some(ScalarValue::Int8(Some(scale))) => i32::from(scale),
        Some(ScalarValue::Int16(Some(scale))) => i32::from(scale),
        _ => {
            return Err(spark_error(
                "NON_FOLDABLE_ARGUMENT",
                format!(
                    "The function `{}` requires the parameter `scale` to be a foldable expression of the type \"INT\", but the actual \
                     argument is a non-foldable.",
                    call.name
                ),
            ));
        }
    };
    let (precision, own) = match call.data_type(0) {
        DataType::Decimal128(precision, own) => (*precision, *own),
        DataType::Int8 => (3, 0),
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        DataType::Int64 => (20, 0),
        DataType::Float32 => (14, 7),
        DataType::Float64 => (30, 15),
        DataType::Utf8 | DataType::Null => (38, 18),
        _ => return Err(call.unexpected_type(0, "the \"DECIMAL\" type")),
    };
    let mut resolved = decimal(&DataType::Decimal128(precision, own), rounded_type(precision, own, scale), Some(scale), mode);
    resolved.args.push(call.data_type(1).clone());
    Ok(resolved)
}
