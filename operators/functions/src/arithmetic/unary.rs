//! Signs: `-x`, `+x`, `abs(x)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalYearMonthType,
};
use datafusion::error::{DataFusionError, Result};

use super::number::Whole;
use super::{each, is_interval};
use crate::cast::number::{fits, power};
use crate::cast::text::decimal_text;
use crate::error::spark_error;
use crate::function::{Call, Resolved};
use crate::types::is_numeric;

const SIGNED: &str = r#"the ("NUMERIC" or "INTERVAL DAY TO SECOND" or "INTERVAL YEAR TO MONTH" or "INTERVAL") type"#;
const SIZED: &str = r#"the ("NUMERIC" or "INTERVAL DAY TO SECOND" or "INTERVAL YEAR TO MONTH") type"#;

fn operand(call: &Call<'_>, wanted: &str) -> Result<DataType> {
    match call.data_type(0) {
        DataType::Null | DataType::Utf8 => Ok(DataType::Float64),
        own if is_numeric(own) || is_interval(own) => Ok(own.clone()),
        _ => Err(call.unexpected_type(0, wanted)),
    }
}

pub(super) fn positive(call: &Call<'_>) -> Result<Resolved> {
    let operand = operand(call, SIGNED)?;
    Ok(Resolved::new(vec![operand.clone()], operand, |invocation| invocation.array(0)))
}

pub(super) fn negative(call: &Call<'_>) -> Result<Resolved> {
    Ok(resolve(operand(call, SIGNED)?, false))
}

pub(super) fn abs(call: &Call<'_>) -> Result<Resolved> {
    Ok(resolve(operand(call, SIZED)?, true))
}

fn resolve(operand: DataType, absolute: bool) -> Resolved {
    let exact = match operand {
        DataType::Float32 | DataType::Float64 => true,
        DataType::Decimal128(precision, _) => precision <= CONTEXT,
        _ => false,
    };
    let returns = operand.clone();
    let resolved =
        Resolved::new(vec![operand.clone()], operand, move |invocation| signed(&invocation.array(0)?, &returns, absolute));
    if exact { resolved } else { resolved.fallible() }
}

fn signed(values: &ArrayRef, returns: &DataType, absolute: bool) -> Result<ArrayRef> {
    match returns {
        DataType::Int8 => whole::<Int8Type>(values, absolute, overflow),
        DataType::Int16 => whole::<Int16Type>(values, absolute, overflow),
        DataType::Int32 => whole::<Int32Type>(values, absolute, overflow),
        DataType::Int64 => whole::<Int64Type>(values, absolute, overflow),
        DataType::Duration(_) => whole::<DurationMicrosecondType>(values, absolute, interval_overflow),
        DataType::Interval(_) => whole::<IntervalYearMonthType>(values, absolute, interval_overflow),
        DataType::Float32 => {
            let values = values.as_primitive::<Float32Type>();
            Ok(Arc::new(values.unary::<_, Float32Type>(|value| if absolute { value.abs() } else { -value })))
        }
        DataType::Decimal128(precision, scale) => {
            let values = values.as_primitive::<Decimal128Type>();
            let one = |value: i128| if absolute && value >= 0 { Some(value) } else { negated(value, *precision) };
            let error = |value: i128| {
                spark_error(
                    "NUMERIC_VALUE_OUT_OF_RANGE.WITHOUT_SUGGESTION",
                    format!(
                        "The negative of {}, with {CONTEXT} digits, cannot be represented as Decimal({precision}, {scale}).",
                        decimal_text(value, *scale)
                    ),
                )
            };
            let values = each::<_, Decimal128Type>(values, false, one, error)?;
            Ok(Arc::new(values.with_data_type(returns.clone())))
        }
        _ => {
            let values = values.as_primitive::<Float64Type>();
            Ok(Arc::new(values.unary::<_, Float64Type>(|value| if absolute { value.abs() } else { -value })))
        }
    }
}

/// How many digits Spark keeps when it negates a decimal: those of IEEE's decimal128, with its rounding to even.
const CONTEXT: u8 = 34;

fn negated(value: i128, precision: u8) -> Option<i128> {
    let digits = value.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
    let Some(extra @ 1..) = digits.checked_sub(u32::from(CONTEXT)) else { return Some(-value) };
    let unit = power(extra);
    let (kept, rest) = (value / unit, (value % unit).abs());
    let up = rest > unit / 2 || (rest == unit / 2 && kept % 2 != 0);
    let kept = if up { kept + value.signum() } else { kept };
    fits(-kept.checked_mul(unit)?, precision)
}

fn whole<T: ArrowPrimitiveType>(values: &ArrayRef, absolute: bool, error: fn() -> DataFusionError) -> Result<ArrayRef>
where
    T::Native: Whole,
{
    let one = |value: T::Native| if absolute { value.absolute() } else { value.negate() };
    let result = each::<T, T>(values.as_primitive(), false, one, |_| error())?;
    Ok(Arc::new(result.with_data_type(values.data_type().clone())))
}

fn overflow() -> DataFusionError {
    spark_error("ARITHMETIC_OVERFLOW", "overflow.")
}

fn interval_overflow() -> DataFusionError {
    spark_error(
        "INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION",
        "Integer overflow while operating with intervals. Try devising appropriate values for the interval parameters.",
    )
}
