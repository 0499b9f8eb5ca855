//! Arithmetic: operators and their `try_` forms, with ANSI overflow checks and decimal precision.
//!
//! - this file: which operator has which types;
//! - `number`: integers and floating-point numbers; `decimal`: decimals; `moment`: dates, instants and intervals;
//! - `unary`: signs; `bits`: bitwise operators and shifts.

mod bits;
mod decimal;
mod moment;
mod number;
mod unary;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use crate::coercion::common_type;
use crate::error::spark_error;
use crate::function::{Arity, Call, Function, Invocation, Resolved};
use crate::types::{is_decimal, is_float, is_integral, is_numeric, is_timestamp, sql_name};

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["+"], arity: Arity::between(1, 2), resolve: |call| binary_or(call, Operator::Add, unary::positive) },
    Function { names: &["-"], arity: Arity::between(1, 2), resolve: |call| binary_or(call, Operator::Subtract, unary::negative) },
    Function { names: &["*"], arity: Arity::exactly(2), resolve: |call| binary(call, Operator::Multiply, false) },
    Function { names: &["/"], arity: Arity::exactly(2), resolve: |call| binary(call, Operator::Divide, false) },
    Function { names: &["div"], arity: Arity::exactly(2), resolve: |call| binary(call, Operator::DivideWhole, false) },
    Function { names: &["%", "mod"], arity: Arity::exactly(2), resolve: |call| binary(call, Operator::Remainder, false) },
    Function { names: &["pmod"], arity: Arity::exactly(2), resolve: |call| binary(call, Operator::PositiveRemainder, false) },
    Function { names: &["try_add"], arity: Arity::exactly(2), resolve: |call| binary(call, Operator::Add, true) },
    Function { names: &["try_subtract"], arity: Arity::exactly(2), resolve: |call| binary(call, Operator::Subtract, true) },
    Function { names: &["try_multiply"], arity: Arity::exactly(2), resolve: |call| binary(call, Operator::Multiply, true) },
    Function { names: &["try_divide"], arity: Arity::exactly(2), resolve: |call| binary(call, Operator::Divide, true) },
    Function { names: &["try_mod"], arity: Arity::exactly(2), resolve: |call| binary(call, Operator::Remainder, true) },
    Function { names: &["negative"], arity: Arity::exactly(1), resolve: unary::negative },
    Function { names: &["positive"], arity: Arity::exactly(1), resolve: unary::positive },
    Function { names: &["abs"], arity: Arity::exactly(1), resolve: unary::abs },
    Function { names: &["~"], arity: Arity::exactly(1), resolve: bits::not },
    Function { names: &["&"], arity: Arity::exactly(2), resolve: |call| bits::binary(call, bits::Operator::And) },
    Function { names: &["|"], arity: Arity::exactly(2), resolve: |call| bits::binary(call, bits::Operator::Or) },
    Function { names: &["^"], arity: Arity::exactly(2), resolve: |call| bits::binary(call, bits::Operator::Xor) },
    Function { names: &["shiftleft", "<<"], arity: Arity::exactly(2), resolve: |call| bits::shift(call, bits::Shift::Left) },
    Function { names: &["shiftright", ">>"], arity: Arity::exactly(2), resolve: |call| bits::shift(call, bits::Shift::Right) },
    Function {
        names: &["shiftrightunsigned", ">>>"],
        arity: Arity::exactly(2),
        resolve: |call| bits::shift(call, bits::Shift::RightUnsigned),
    },
];

/// An operator of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    /// `div`.
    DivideWhole,
    Remainder,
    /// `pmod`.
    PositiveRemainder,
}

impl Operator {
    /// Which types it takes, as messages name them.
    fn wants(self) -> &'static str {
        match self {
            Operator::Add | Operator::Subtract => {
                r#"("NUMERIC" or "INTERVAL DAY TO SECOND" or "INTERVAL YEAR TO MONTH" or "INTERVAL")"#
            }
            Operator::Multiply | Operator::Remainder | Operator::PositiveRemainder => r#""NUMERIC""#,
            Operator::Divide => r#"("DOUBLE" or "DECIMAL")"#,
            Operator::DivideWhole => r#"("BIGINT" or "DECIMAL" or "INTERVAL YEAR TO MONTH" or "INTERVAL DAY TO SECOND")"#,
        }
    }

    fn divides(self) -> bool {
        !matches!(self, Operator::Add | Operator::Subtract | Operator::Multiply)
    }

    /// The error for a divisor of zero.
    fn by_zero(self) -> DataFusionError {
        match self {
            Operator::Remainder | Operator::PositiveRemainder => spark_error(
                "REMAINDER_BY_ZERO",
                "Remainder by zero. Use `try_mod` to tolerate divisor being 0 and return NULL instead.",
            ),
            _ => spark_error(
                "DIVIDE_BY_ZERO",
                "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead.",
            ),
        }
    }
}

fn binary_or(call: &Call<'_>, operator: Operator, unary: fn(&Call<'_>) -> Result<Resolved>) -> Result<Resolved> {
    if call.len() == 1 { unary(call) } else { binary(call, operator, false) }
}

/// Finds the types of an operator of two operands. With `tolerant`, what would fail is null.
fn binary(call: &Call<'_>, operator: Operator, tolerant: bool) -> Result<Resolved> {
    if let Some(resolved) = moment::resolve(call, operator, tolerant)? {
        return Ok(resolved);
    }
    let (left, right) = numeric_operands(call, operator)?;
    let resolved = match (&left, &right) {
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => {
            decimal::resolve(operator, (*p1, *s1), (*p2, *s2), tolerant)
        }
        _ => number::resolve(operator, &left, tolerant),
    };
    let safe_divisor = operator.divides() && operator != Operator::DivideWhole && !is_decimal(&left) && !zero_literal(call);
    Ok(if safe_divisor { Resolved { fallible: false, ..resolved } } else { resolved })
}

/// Whether the divisor is zero, or may be.
fn zero_literal(call: &Call<'_>) -> bool {
    use datafusion::common::ScalarValue::{Float32, Float64};
    match call.literal(1) {
        Some(Float64(Some(value))) => *value == 0.0,
        Some(Float32(Some(value))) => *value == 0.0,
        _ => call.literal_int(1).is_none_or(|value| value == 0),
    }
}

/// What the operands have to be cast to: both to one type, or to a decimal each.
fn numeric_operands(call: &Call<'_>, operator: Operator) -> Result<(DataType, DataType)> {
    let (left, right) = (call.data_type(0), call.data_type(1));
    let usable = |own: &DataType| is_numeric(own) || matches!(own, DataType::Null | DataType::Utf8);
    let both_text = |one: &DataType, other: &DataType| one == &DataType::Utf8 && matches!(other, DataType::Utf8 | DataType::Null);
    if left == right && !usable(left) || both_text(left, right) || both_text(right, left) {
        let wrong = if left == &DataType::Null { right } else { left };
        return Err(wrong_type(call, operator.wants(), wrong));
    }
    if !usable(left) || !usable(right) {
        // A text takes the other's type, which is then the wrong one.
        return Err(match (left, right) {
            (DataType::Utf8 | DataType::Null, other) | (other, DataType::Utf8 | DataType::Null) => {
                wrong_type(call, operator.wants(), other)
            }
            _ => different_types(call, left, right),
        });
    }
    // A literal integer next to a decimal has the digits that it is written with.
    let own = |index: usize, other: &DataType| match call.literal_int(index) {
        Some(value) if is_decimal(other) && is_integral(call.data_type(index)) => {
            DataType::Decimal128(value.unsigned_abs().checked_ilog10().map_or(1, |log| log as u8 + 1), 0)
        }
        _ => call.data_type(index).clone(),
    };
    let (left, right) = (own(0, right), own(1, left));
    let decimal = |own: &DataType| match own {
        DataType::Int8 => Some(DataType::Decimal128(3, 0)),
        DataType::Int16 => Some(DataType::Decimal128(5, 0)),
        DataType::Int32 => Some(DataType::Decimal128(10, 0)),
        DataType::Int64 => Some(DataType::Decimal128(20, 0)),
        DataType::Decimal128(_, _) => Some(own.clone()),
        _ => None,
    };
    let whole = operator == Operator::DivideWhole;
    if is_decimal(&left) || is_decimal(&right) {
        match (&left, &right) {
            (DataType::Null, other) | (other, DataType::Null) => return Ok((other.clone(), other.clone())),
            (left, right) => {
                if let (Some(left), Some(right)) = (decimal(left), decimal(right)) {
                    return Ok((left, right));
                }
            }
        }
    }
    let common = match (&left, &right) {
        (DataType::Null, DataType::Null) if whole => DataType::Int64,
        (DataType::Null, DataType::Null) => DataType::Float64,
        (left, right) => common_type(left, right).unwrap_or(DataType::Float64),
    };
    let common = match operator {
        Operator::Divide => DataType::Float64,
        Operator::DivideWhole if is_float(&common) => {
            return Err(if left == right {
                wrong_type(call, operator.wants(), &left)
            } else {
                different_types(call, &left, &right)
            });
        }
        Operator::DivideWhole => DataType::Int64,
        _ => common,
    };
    Ok((common.clone(), common))
}

/// The call in SQL's notation.
fn sql(call: &Call<'_>) -> String {
    match call.args {
        [left, right] if !call.name.starts_with(|c: char| c.is_alphabetic()) || call.name == "div" => {
            format!("({} {} {})", left.sql, call.name, right.sql)
        }
        _ => call.sql(),
    }
}

/// The error for operands that have no type in common.
pub(crate) fn different_types(call: &Call<'_>, left: &DataType, right: &DataType) -> DataFusionError {
    spark_error(
        "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
        format!(
            "Cannot resolve \"{}\" due to data type mismatch: the left and right operands of the binary operator have incompatible \
             types (\"{}\" and \"{}\").",
            sql(call),
            sql_name(left),
            sql_name(right)
        ),
    )
}

/// The error for operands of a type that the operator doesn't take.
fn wrong_type(call: &Call<'_>, wanted: &str, found: &DataType) -> DataFusionError {
    spark_error(
        "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE",
        format!(
            "Cannot resolve \"{}\" due to data type mismatch: the binary operator requires the input type {wanted}, not \"{}\".",
            sql(call),
            sql_name(found)
        ),
    )
}

/// Whether it is `interval day to second`, `interval year to month`.
fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Duration(_) | DataType::Interval(_))
}

/// Whether it is a point in time.
fn is_moment(data_type: &DataType) -> bool {
    data_type == &DataType::Date32 || is_timestamp(data_type)
}

/// Computes each pair of values with `one`. Its `None` is a failure: null if `tolerant`, otherwise what `error` makes of the pair.
fn combine<A: ArrowPrimitiveType, B: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    invocation: &Invocation<'_>,
    returns: &DataType,
    tolerant: bool,
    one: impl Fn(A::Native, B::Native) -> Option<O::Native>,
    error: impl Fn(A::Native, B::Native) -> DataFusionError,
) -> Result<ArrayRef> {
    let (left, right) = (values(invocation, 0)?, values(invocation, 1)?);
    let (left, right) = (left.as_primitive::<A>(), right.as_primitive::<B>());
    // A scalar comes as an array of one value.
    let (rows, scalar_left, scalar_right) = (invocation.rows, is_scalar(invocation, 0), is_scalar(invocation, 1));
    if (scalar_left && left.is_null(0)) || (scalar_right && right.is_null(0)) {
        return Ok(new_null_array(returns, rows));
    }
    let result: PrimitiveArray<O> = if scalar_right {
        let right = right.value(0);
        each(left, tolerant, |left| one(left, right), |left| error(left, right))?
    } else if scalar_left {
        let left = left.value(0);
        each(right, tolerant, |right| one(left, right), |right| error(left, right))?
    } else {
        zip(left, right, tolerant, one, error)?
    };
    Ok(Arc::new(result.with_data_type(returns.clone())))
}

/// Computes each value with `one`; failures as in [`combine`].
fn each<I: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    values: &PrimitiveArray<I>,
    tolerant: bool,
    one: impl Fn(I::Native) -> Option<O::Native>,
    error: impl Fn(I::Native) -> DataFusionError,
) -> Result<PrimitiveArray<O>> {
    if tolerant { Ok(values.unary_opt(one)) } else { values.try_unary(|value| one(value).ok_or_else(|| error(value))) }
}

fn is_scalar(invocation: &Invocation<'_>, index: usize) -> bool {
    matches!(invocation.args[index], ColumnarValue::Scalar(_))
}

/// An argument's values: one for a scalar.
fn values(invocation: &Invocation<'_>, index: usize) -> Result<ArrayRef> {
    match &invocation.args[index] {
        ColumnarValue::Array(array) => Ok(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => scalar.to_array(),
    }
}

fn zip<A: ArrowPrimitiveType, B: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    left: &PrimitiveArray<A>,
    right: &PrimitiveArray<B>,
    tolerant: bool,
    one: impl Fn(A::Native, B::Native) -> Option<O::Native>,
    error: impl Fn(A::Native, B::Native) -> DataFusionError,
) -> Result<PrimitiveArray<O>> {
    if tolerant {
        return Ok(left.iter().zip(right).map(|(left, right)| one(left?, right?)).collect());
    }
    let pairs = left.values().iter().zip(right.values().iter());
    let nulls = NullBuffer::union(left.nulls(), right.nulls());
    let mut result = Vec::with_capacity(left.len());
    for (row, (left, right)) in pairs.enumerate() {
        result.push(match one(*left, *right) {
            Some(value) => value,
            // What is under a null is no value.
            None if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) => O::default_value(),
            None => return Err(error(*left, *right)),
        });
    }
    Ok(PrimitiveArray::new(result.into(), nulls))
}

#[cfg(test)]
pub(crate) mod tests;
