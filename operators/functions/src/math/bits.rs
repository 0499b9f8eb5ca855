//! Numbers as digits: bits, and text in any base.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, Int8Array, Int32Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::error::{DataFusionError, Result};

use super::{number, primitive};
use crate::error::spark_error;
use crate::function::{Call, Resolved};
use crate::types::is_integral;

pub(super) fn bin(call: &Call<'_>) -> Result<Resolved> {
    let args = vec![number(call, 0, &DataType::Int64)?];
    Ok(Resolved::new(args, DataType::Utf8, |invocation| {
        let values = primitive::<Int64Type>(invocation, 0)?;
        Ok(Arc::new(values.iter().map(|value| value.map(|value| format!("{value:b}"))).collect::<StringArray>()))
    }))
}

pub(super) fn bit_count(call: &Call<'_>) -> Result<Resolved> {
    let arg = match call.data_type(0) {
        DataType::Boolean => DataType::Boolean,
        from if is_integral(from) || from == &DataType::Null => DataType::Int64,
        _ => return Err(call.unexpected_type(0, "the (\"INTEGRAL\" or \"BOOLEAN\") type")),
    };
    Ok(Resolved::new(vec![arg], DataType::Int32, |invocation| {
        let values = invocation.array(0)?;
        if let Some(values) = values.as_any().downcast_ref::<BooleanArray>() {
            return Ok(Arc::new(values.iter().map(|value| value.map(i32::from)).collect::<Int32Array>()));
        }
        let values = primitive::<Int64Type>(invocation, 0)?;
        Ok(Arc::new(values.unary::<_, Int32Type>(|value| value.count_ones() as i32)))
    }))
}

pub(super) fn bit_get(call: &Call<'_>) -> Result<Resolved> {
    let (own, bits) = match call.data_type(0) {
        DataType::Int8 => (DataType::Int8, 8),
        DataType::Int16 => (DataType::Int16, 16),
        DataType::Int32 | DataType::Null => (DataType::Int32, 32),
        DataType::Int64 => (DataType::Int64, 64),
        _ => return Err(call.unexpected_type(0, "the \"INTEGRAL\" type")),
    };
    let (args, name) = (vec![own, number(call, 1, &DataType::Int32)?], call.name.to_owned());
    let resolved = Resolved::new(args, DataType::Int8, move |invocation| {
        let values = cast(&invocation.array(0)?, &DataType::Int64)?;
        let values = values.as_any().downcast_ref::<arrow::array::Int64Array>();
        let values = values.ok_or_else(|| DataFusionError::Internal("an integer that isn't one".to_owned()))?;
        let positions = primitive::<Int32Type>(invocation, 1)?;
        let one = |(value, position): (Option<i64>, Option<i32>)| match (value, position) {
            (Some(_), Some(position)) if !(0..bits).contains(&position) => Err(spark_error(
                "INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE",
                format!(
                    "The value of parameter(s) `pos` in `{name}` is invalid: expects an integer value in [0, {bits}), but got \
                     {position}."
                ),
            )),
            (Some(value), Some(position)) => Ok(Some(((value >> position) & 1) as i8)),
            _ => Ok(None),
        };
        Ok(Arc::new(values.iter().zip(&positions).map(one).collect::<Result<Int8Array>>()?))
    });
    Ok(resolved.fallible())
}

/// `conv(digits, from base, to base)`; a negative target base makes the result signed.
pub(super) fn conv(call: &Call<'_>) -> Result<Resolved> {
    let args = vec![call.coerce(0, &DataType::Utf8)?, number(call, 1, &DataType::Int32)?, number(call, 2, &DataType::Int32)?];
    let resolved = Resolved::new(args, DataType::Utf8, |invocation| {
        let digits = invocation.array(0)?;
        let digits = digits.as_any().downcast_ref::<StringArray>();
        let digits = digits.ok_or_else(|| DataFusionError::Internal("a string that isn't one".to_owned()))?;
        let (from, to) = (primitive::<Int32Type>(invocation, 1)?, primitive::<Int32Type>(invocation, 2)?);
        let rows = digits.iter().zip(&from).zip(&to);
        let one = |((digits, from), to): ((Option<&str>, Option<i32>), Option<i32>)| match (digits, from, to) {
            (Some(digits), Some(from), Some(to)) => convert(digits, from, to),
            _ => Ok(None),
        };
        Ok(Arc::new(rows.map(one).collect::<Result<StringArray>>()?))
    });
    Ok(resolved.fallible())
}

fn convert(digits: &str, from: i32, to: i32) -> Result<Option<String>> {
    let digits = digits.trim_matches(' ');
    let base = to.unsigned_abs();
    if digits.is_empty() || !(2..=36).contains(&from) || !(2..=36).contains(&base) {
        return Ok(None);
    }
    let (mut negative, digits) = digits.strip_prefix('-').map_or((false, digits), |rest| (true, rest));
    let mut value = 0_u64;
    // What isn't a digit ends the number.
    for digit in digits.chars().map_while(|digit| digit.to_digit(from as u32)) {
        let next = value.checked_mul(from as u64).and_then(|value| value.checked_add(u64::from(digit)));
        value = next.ok_or_else(|| {
            let hint = "If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.";
            spark_error("ARITHMETIC_OVERFLOW", format!("Overflow in function conv(). {hint}"))
        })?;
    }
    let high = value > i64::MAX as u64;
    if negative && to > 0 {
        value = if high { u64::MAX } else { value.wrapping_neg() };
    } else if to < 0 && high {
        value = value.wrapping_neg();
        negative = true;
    }
    let mut text = Vec::new();
    while value > 0 || text.is_empty() {
        let digit = char::from_digit((value % u64::from(base)) as u32, base).unwrap_or('0');
        text.push(digit.to_ascii_uppercase());
        value /= u64::from(base);
    }
    if negative && to < 0 {
        text.push('-');
    }
    Ok(Some(text.into_iter().rev().collect()))
}
