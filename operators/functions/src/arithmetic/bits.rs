//! Bitwise operators and shifts.

use std::sync::Arc;

use arrow::array::{ArrowPrimitiveType, AsArray};
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::error::Result;

use super::{combine, different_types, wrong_type};
use crate::coercion::common_type;
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::{is_integral, is_numeric};

/// A bitwise operator of two operands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operator {
    And,
    Or,
    Xor,
}

/// Where bits are moved.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shift {
    Left,
    Right,
    RightUnsigned,
}

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

pub(super) fn not(call: &Call<'_>) -> Result<Resolved> {
    let operand = match call.data_type(0) {
        DataType::Null => DataType::Int32,
        own if is_integral(own) => own.clone(),
        _ => return Err(call.unexpected_type(0, "the \"INTEGRAL\" type")),
    };
    let own = operand.clone();
    Ok(Resolved::new(vec![operand.clone()], operand, move |invocation| {
        let values = invocation.array(0)?;
        Ok(with_integral!(own, T => Arc::new(values.as_primitive::<T>().unary::<_, T>(|value| !value))))
    }))
}

pub(super) fn binary(call: &Call<'_>, operator: Operator) -> Result<Resolved> {
    let (left, right) = (call.data_type(0), call.data_type(1));
    let number = |own: &DataType| is_integral(own) || matches!(own, DataType::Utf8 | DataType::Null);
    let common = match (left, right) {
        (DataType::Null, DataType::Null) => DataType::Int32,
        _ if number(left) && number(right) => common_type(left, right).unwrap_or(DataType::Int64),
        _ if left == right => left.clone(),
        _ => return Err(different_types(call, left, right)),
    };
    if !is_integral(&common) {
        return Err(wrong_type(call, "\"INTEGRAL\"", &common));
    }
    let own = common.clone();
    Ok(Resolved::new(vec![common.clone(), common.clone()], common, move |invocation| {
        with_integral!(own, T => {
            // Nothing fails.
            let error = |_, _| spark_error("ARITHMETIC_OVERFLOW", "overflow.");
            match operator {
                Operator::And => combine::<T, T, T>(invocation, &own, false, |l, r| Some(l & r), error),
                Operator::Or => combine::<T, T, T>(invocation, &own, false, |l, r| Some(l | r), error),
                Operator::Xor => combine::<T, T, T>(invocation, &own, false, |l, r| Some(l ^ r), error),
            }
        })
    }))
}

pub(super) fn shift(call: &Call<'_>, shift: Shift) -> Result<Resolved> {
    let own = |index: usize| call.data_type(index);
    let value = match own(0) {
        DataType::Int64 => DataType::Int64,
        other if is_numeric(other) || matches!(other, DataType::Null | DataType::Utf8) => DataType::Int32,
        _ => return Err(call.unexpected_type(0, r#"the ("INT" or "BIGINT") type"#)),
    };
    if !(is_numeric(own(1)) || matches!(own(1), DataType::Null | DataType::Utf8)) {
        return Err(call.unexpected_type(1, r#"the "INT" type"#));
    }
    let args = vec![value.clone(), DataType::Int32];
    Ok(if value == DataType::Int64 {
        Resolved::new(args, value, move |invocation| match shift {
            Shift::Left => shifted::<Int64Type>(invocation, |value, by| value.wrapping_shl(by)),
            Shift::Right => shifted::<Int64Type>(invocation, |value, by| value.wrapping_shr(by)),
            Shift::RightUnsigned => shifted::<Int64Type>(invocation, |value, by| (value as u64).wrapping_shr(by) as i64),
        })
    } else {
        Resolved::new(args, value, move |invocation| match shift {
            Shift::Left => shifted::<Int32Type>(invocation, |value, by| value.wrapping_shl(by)),
            Shift::Right => shifted::<Int32Type>(invocation, |value, by| value.wrapping_shr(by)),
            Shift::RightUnsigned => shifted::<Int32Type>(invocation, |value, by| (value as u32).wrapping_shr(by) as i32),
        })
    })
}

/// As in Java, only the lowest bits of the distance count.
fn shifted<T: ArrowPrimitiveType>(
    invocation: &Invocation<'_>,
    one: impl Fn(T::Native, u32) -> T::Native,
) -> Result<arrow::array::ArrayRef> {
    let error = |_, _| spark_error("ARITHMETIC_OVERFLOW", "overflow.");
    combine::<T, Int32Type, T>(invocation, &T::DATA_TYPE, false, |value, by| Some(one(value, by as u32)), error)
}
