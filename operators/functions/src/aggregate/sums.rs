//! `count`, `sum`, `avg` and those like them.

use std::marker::PhantomData;

use arrow::datatypes::{
    ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, DecimalType, DurationMicrosecondType, Float64Type,
    Int64Type, IntervalUnit, IntervalYearMonthType, i256,
};
use datafusion::error::{DataFusionError, Result};

use super::ResolvedAggregate;
use super::fold::{Count, Fold, Mean, Overflow};
use super::groups::resolved;
use crate::error::spark_error;
use crate::function::Call;
use crate::types::{DAY_TIME_INTERVAL, YEAR_MONTH_INTERVAL, is_float, is_integral};

/// `count(*)`, `count(a, b)`: rows, or rows without a null.
pub(super) fn count(call: &Call<'_>) -> Result<ResolvedAggregate> {
    let args = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    Ok(resolved(call, args, DataType::Int64, vec![("count", DataType::Int64)], Count { of_true: false }))
}

pub(super) fn count_if(call: &Call<'_>) -> Result<ResolvedAggregate> {
    let args = vec![call.coerce(0, &DataType::Boolean)?];
    Ok(resolved(call, args, DataType::Int64, vec![("count", DataType::Int64)], Count { of_true: true }))
}

/// 10^38: the first number that no decimal holds.
const DECIMAL_END: i128 = 10_i128.pow(DECIMAL128_MAX_PRECISION as u32);

fn add_decimals(left: i128, right: i128) -> Option<i128> {
    left.checked_add(right).filter(|sum| sum.unsigned_abs() < DECIMAL_END.unsigned_abs())
}

fn overflow(message: &str) -> DataFusionError {
    let hint = "If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.";
    spark_error("ARITHMETIC_OVERFLOW", format!("{message} to tolerate overflow and return NULL instead. {hint}"))
}

fn bigint_overflow() -> DataFusionError {
    overflow("overflow. Use 'try_add'")
}

fn decimal_sum_overflow() -> DataFusionError {
    overflow("Overflow in sum of decimals. Use 'try_sum'")
}

fn decimal_avg_overflow() -> DataFusionError {
    overflow("Overflow in sum of decimals. Use 'try_avg'")
}

fn interval_overflow() -> DataFusionError {
    spark_error(
        "INTERVAL_ARITHMETIC_OVERFLOW.WITH_SUGGESTION",
        "Integer overflow while operating with intervals. Use `try_add` to tolerate overflow and return NULL instead.",
    )
}

const REQUIRED: &str = "the \"NUMERIC\" or \"ANSI INTERVAL\" type";

pub(super) fn sum(call: &Call<'_>) -> Result<ResolvedAggregate> {
    sum_with(call, Overflow::Fails)
}

pub(super) fn try_sum(call: &Call<'_>) -> Result<ResolvedAggregate> {
    sum_with(call, |_| Overflow::GivesNull)
}

fn sum_with(call: &Call<'_>, on: fn(fn() -> DataFusionError) -> Overflow) -> Result<ResolvedAggregate> {
    match call.data_type(0) {
        from if is_integral(from) => Ok(folded::<Int64Type, _>(call, DataType::Int64, on(bigint_overflow), i64::checked_add)),
        from if is_float(from) || matches!(from, DataType::Utf8 | DataType::Null) => {
            Ok(folded::<Float64Type, _>(call, DataType::Float64, Overflow::Never, |a, b| Some(a + b)))
        }
        DataType::Decimal128(precision, scale) => {
            let sum = DataType::Decimal128((precision + 10).min(DECIMAL128_MAX_PRECISION), *scale);
            Ok(folded::<Decimal128Type, _>(call, sum, on(decimal_sum_overflow), add_decimals))
        }
        DataType::Duration(_) => {
            Ok(folded::<DurationMicrosecondType, _>(call, DAY_TIME_INTERVAL, on(interval_overflow), i64::checked_add))
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            Ok(folded::<IntervalYearMonthType, _>(call, YEAR_MONTH_INTERVAL, on(interval_overflow), i32::checked_add))
        }
        _ => Err(call.unexpected_type(0, REQUIRED)),
    }
}

fn folded<T, F>(call: &Call<'_>, data_type: DataType, overflow: Overflow, fold: F) -> ResolvedAggregate
where
    T: ArrowPrimitiveType,
    F: Fn(T::Native, T::Native) -> Option<T::Native> + Send + Sync + 'static,
{
    let fold = Fold::<T, F>::new(&data_type, overflow, fold);
    resolved(call, vec![summand(call, &data_type)], data_type, fold.state_types(), fold)
}

/// The type that the argument of a sum is cast to. A decimal needs no cast: the sum's type has the same scale.
fn summand(call: &Call<'_>, sum_type: &DataType) -> DataType {
    match call.data_type(0) {
        decimal @ DataType::Decimal128(_, _) => decimal.clone(),
        _ => sum_type.clone(),
    }
}

pub(super) fn avg(call: &Call<'_>) -> Result<ResolvedAggregate> {
    avg_with(call, false)
}

pub(super) fn try_avg(call: &Call<'_>) -> Result<ResolvedAggregate> {
    avg_with(call, true)
}

fn avg_with(call: &Call<'_>, try_: bool) -> Result<ResolvedAggregate> {
    let on = |error: fn() -> DataFusionError| if try_ { Overflow::GivesNull } else { Overflow::Fails(error) };
    match call.data_type(0) {
        from if is_integral(from) || is_float(from) || matches!(from, DataType::Utf8 | DataType::Null) => {
            let (add, finish) = (|a: f64, b: f64| Some(a + b), |sum: f64, count: i64| Ok(Some(sum / count as f64)));
            Ok(mean::<Float64Type, Float64Type, _, _>(call, [DataType::Float64, DataType::Float64], Overflow::Never, add, finish))
        }
        DataType::Decimal128(precision, scale) => {
            let most = DECIMAL128_MAX_PRECISION;
            let sum = DataType::Decimal128((precision + 10).min(most), *scale);
            let (precision, scale, sum_scale) = ((precision + 4).min(most), (scale + 4).min(most as i8), *scale);
            let finish = move |sum: i128, count: i64| match divide(sum, sum_scale, count, precision, scale) {
                None if try_ => Ok(None),
                None => Err(out_of_range(sum, sum_scale, count, precision, scale)),
                quotient => Ok(quotient),
            };
            let types = [sum, DataType::Decimal128(precision, scale)];
            Ok(mean::<Decimal128Type, Decimal128Type, _, _>(call, types, on(decimal_avg_overflow), add_decimals, finish))
        }
        DataType::Duration(_) => {
            let finish = |sum: i64, count: i64| Ok(i64::try_from(half_up(i128::from(sum), i128::from(count))).ok());
            let types = [DAY_TIME_INTERVAL, DAY_TIME_INTERVAL];
            Ok(mean::<DurationMicrosecondType, DurationMicrosecondType, _, _>(
                call,
                types,
                on(interval_overflow),
                i64::checked_add,
                finish,
            ))
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            let finish = |sum: i32, count: i64| Ok(i32::try_from(half_up(i128::from(sum), i128::from(count))).ok());
            let types = [YEAR_MONTH_INTERVAL, YEAR_MONTH_INTERVAL];
            Ok(mean::<IntervalYearMonthType, IntervalYearMonthType, _, _>(
                call,
                types,
                on(interval_overflow),
                i32::checked_add,
                finish,
            ))
        }
        _ => Err(call.unexpected_type(0, REQUIRED)),
    }
}

fn mean<S, R, A, E>(
    call: &Call<'_>,
    [sum_type, returns]: [DataType; 2],
    overflow: Overflow,
    add: A,
    finish: E,
) -> ResolvedAggregate
where
    S: ArrowPrimitiveType,
    R: ArrowPrimitiveType,
    A: Fn(S::Native, S::Native) -> Option<S::Native> + Send + Sync + 'static,
    E: Fn(S::Native, i64) -> Result<Option<R::Native>> + Send + Sync + 'static,
{
    let args = vec![summand(call, &sum_type)];
    let state = vec![("sum", sum_type.clone()), ("count", DataType::Int64)];
    let mean = Mean::<S, R, A, E> { sum_type, returns: returns.clone(), add, overflow, finish, marker: PhantomData };
    resolved(call, args, returns, state, mean)
}

/// The quotient, rounded to the nearest whole number, halves away from zero.
fn half_up(dividend: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    if rest.unsigned_abs() * 2 >= divisor.unsigned_abs() { quotient + dividend.signum() * divisor.signum() } else { quotient }
}

/// A decimal divided by a count, at another scale; `None` if it has more digits than `precision`.
fn divide(sum: i128, sum_scale: i8, count: i64, precision: u8, scale: i8) -> Option<i128> {
    let shift = i256::from_i128(10).checked_pow((scale - sum_scale).max(0) as u32)?;
    let dividend = i256::from_i128(sum).checked_mul(shift)?;
    let divisor = i256::from_i128(i128::from(count));
    let quotient = dividend.checked_div(divisor)?.to_i128()?;
    let rest = dividend.checked_rem(divisor)?.to_i128()?;
    let up = rest.unsigned_abs() * 2 >= i128::from(count).unsigned_abs();
    let quotient = if up { quotient.checked_add(sum.signum())? } else { quotient };
    (quotient.unsigned_abs() < 10_u128.pow(u32::from(precision))).then_some(quotient)
}

fn out_of_range(sum: i128, sum_scale: i8, count: i64, precision: u8, scale: i8) -> DataFusionError {
    let mean = Decimal128Type::format_decimal(sum / i128::from(count), DECIMAL128_MAX_PRECISION, sum_scale);
    spark_error(
        "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
        format!(
            "{mean} cannot be represented as Decimal({precision}, {scale}). If necessary set \"spark.sql.ansi.enabled\" to \"false\" \
             to bypass this error, and return NULL instead."
        ),
    )
}
