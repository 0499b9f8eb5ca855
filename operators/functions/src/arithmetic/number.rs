//! Integers and floating-point numbers.

use std::fmt::Display;

use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};

use super::{Operator, combine};
use crate::error::spark_error;
use crate::function::Resolved;

/// The operator for operands that are both of one type.
pub(super) fn resolve(operator: Operator, operands: &DataType, tolerant: bool) -> Resolved {
    match operands {
        DataType::Int8 => integral::<Int8Type>(operator, operands, tolerant),
        DataType::Int16 => integral::<Int16Type>(operator, operands, tolerant),
        DataType::Int32 => integral::<Int32Type>(operator, operands, tolerant),
        DataType::Int64 => integral::<Int64Type>(operator, operands, tolerant),
        DataType::Float32 => float::<Float32Type>(operator, operands, tolerant),
        _ => float::<Float64Type>(operator, &DataType::Float64, tolerant),
    }
}

/// What the operators need of an integer.
pub(super) trait Whole: Copy + PartialEq + Display {
    const ZERO: Self;
    /// Whether it is computed as a `smallint`, so that an overflow names its operands.
    const SMALL: bool;
    fn add(self, other: Self) -> Option<Self>;
    fn subtract(self, other: Self) -> Option<Self>;
    fn multiply(self, other: Self) -> Option<Self>;
    fn divide(self, other: Self) -> Option<Self>;
    fn remainder(self, other: Self) -> Option<Self>;
    fn positive_remainder(self, other: Self) -> Option<Self>;
    fn negate(self) -> Option<Self>;
    fn absolute(self) -> Option<Self>;
}

macro_rules! whole {
    ($native:ty, $small:literal) => {
        impl Whole for $native {
            const ZERO: Self = 0;
            const SMALL: bool = $small;

            fn add(self, other: Self) -> Option<Self> {
                self.checked_add(other)
            }

            fn subtract(self, other: Self) -> Option<Self> {
                self.checked_sub(other)
            }

            fn multiply(self, other: Self) -> Option<Self> {
                self.checked_mul(other)
            }

            fn divide(self, other: Self) -> Option<Self> {
                self.checked_div(other)
            }

            fn remainder(self, other: Self) -> Option<Self> {
                (other != 0).then(|| self.wrapping_rem(other))
            }

            fn positive_remainder(self, other: Self) -> Option<Self> {
                let rest = self.remainder(other)?;
                Some(if rest < 0 { rest.wrapping_add(other).wrapping_rem(other) } else { rest })
            }

            fn negate(self) -> Option<Self> {
                self.checked_neg()
            }

            fn absolute(self) -> Option<Self> {
                self.checked_abs()
            }
        }
    };
}

whole!(i8, true);
whole!(i16, true);
whole!(i32, false);
whole!(i64, false);

fn integral<T>(operator: Operator, operands: &DataType, tolerant: bool) -> Resolved
where
    T: arrow::datatypes::ArrowPrimitiveType,
    T::Native: Whole,
{
    type One<N> = fn(N, N) -> Option<N>;
    let one: One<T::Native> = match operator {
        Operator::Add => Whole::add,
        Operator::Subtract => Whole::subtract,
        Operator::Multiply => Whole::multiply,
        Operator::Divide | Operator::DivideWhole => Whole::divide,
        Operator::Remainder => Whole::remainder,
        Operator::PositiveRemainder => Whole::positive_remainder,
    };
    let returns = operands.clone();
    let error = move |left: T::Native, right: T::Native| {
        let (sign, tolerant) = match operator {
            Operator::Add => ("+", "try_add"),
            Operator::Subtract => ("-", "try_subtract"),
            Operator::Multiply => ("*", "try_multiply"),
            _ if right == T::Native::ZERO => return operator.by_zero(),
            _ => {
                return spark_error(
                    "ARITHMETIC_OVERFLOW",
                    "Overflow in integral divide. Use 'try_divide' to tolerate overflow and return NULL instead.",
                );
            }
        };
        if T::Native::SMALL {
            return spark_error(
                "BINARY_ARITHMETIC_OVERFLOW",
                format!("{left}S {sign} {right}S caused overflow. Use `{tolerant}` to ignore overflow problem and return NULL."),
            );
        }
        spark_error("ARITHMETIC_OVERFLOW", format!("overflow. Use '{tolerant}' to tolerate overflow and return NULL instead."))
    };
    // The common ones are written out, so that each is compiled for its operator.
    let kernel = move |invocation: &crate::function::Invocation<'_>| match operator {
        Operator::Add => combine::<T, T, T>(invocation, &returns, tolerant, Whole::add, error),
        Operator::Subtract => combine::<T, T, T>(invocation, &returns, tolerant, Whole::subtract, error),
        Operator::Multiply => combine::<T, T, T>(invocation, &returns, tolerant, Whole::multiply, error),
        _ => combine::<T, T, T>(invocation, &returns, tolerant, one, error),
    };
    let resolved = Resolved::new(vec![operands.clone(), operands.clone()], operands.clone(), kernel);
    if tolerant { resolved } else { resolved.fallible() }
}

/// What the operators need of a floating-point number.
trait Float:
    Copy
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Rem<Output = Self>
    + From<i8>
{
}

impl Float for f32 {}
impl Float for f64 {}

fn float<T>(operator: Operator, operands: &DataType, tolerant: bool) -> Resolved
where
    T: arrow::datatypes::ArrowPrimitiveType,
    T::Native: Float,
{
    let zero = T::Native::from(0);
    let returns = operands.clone();
    let error = move |_, _| operator.by_zero();
    let kernel = move |invocation: &crate::function::Invocation<'_>| match operator {
        Operator::Add => combine::<T, T, T>(invocation, &returns, tolerant, |l, r| Some(l + r), error),
        Operator::Subtract => combine::<T, T, T>(invocation, &returns, tolerant, |l, r| Some(l - r), error),
        Operator::Multiply => combine::<T, T, T>(invocation, &returns, tolerant, |l, r| Some(l * r), error),
        Operator::Divide | Operator::DivideWhole => {
            combine::<T, T, T>(invocation, &returns, tolerant, |l, r| (r != zero).then(|| l / r), error)
        }
        Operator::Remainder => combine::<T, T, T>(invocation, &returns, tolerant, |l, r| (r != zero).then(|| l % r), error),
        Operator::PositiveRemainder => {
            let positive = |l: T::Native, r: T::Native| {
                let rest = l % r;
                (r != zero).then(|| if rest < zero { (rest + r) % r } else { rest })
            };
            combine::<T, T, T>(invocation, &returns, tolerant, positive, error)
        }
    };
    let resolved = Resolved::new(vec![operands.clone(), operands.clone()], operands.clone(), kernel);
    if tolerant || !operator.divides() { resolved } else { resolved.fallible() }
}
