//! Mathematical functions.

mod bits;
mod random;
mod rounding;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, Float64Array, Int64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType};
use datafusion::error::{DataFusionError, Result};

use crate::function::{Arity, Call, Function, Invocation, Resolved};
use crate::types::{DAY_TIME_INTERVAL, YEAR_MONTH_INTERVAL, is_numeric};

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    one(&["sqrt"], |call| double(call, f64::sqrt)),
    one(&["cbrt"], |call| double(call, f64::cbrt)),
    one(&["exp"], |call| double(call, f64::exp)),
    one(&["expm1"], |call| double(call, f64::exp_m1)),
    one(&["ln"], |call| logarithm(call, 0.0, f64::ln)),
    one(&["log10"], |call| logarithm(call, 0.0, f64::log10)),
    one(&["log2"], |call| logarithm(call, 0.0, |x| x.ln() / std::f64::consts::LN_2)),
    one(&["log1p"], |call| logarithm(call, -1.0, f64::ln_1p)),
    one(&["sin"], |call| double(call, f64::sin)),
    one(&["cos"], |call| double(call, f64::cos)),
    one(&["tan"], |call| double(call, f64::tan)),
    one(&["cot"], |call| double(call, |x| 1.0 / x.tan())),
    one(&["sec"], |call| double(call, |x| 1.0 / x.cos())),
    one(&["csc"], |call| double(call, |x| 1.0 / x.sin())),
    one(&["asin"], |call| double(call, f64::asin)),
    one(&["acos"], |call| double(call, f64::acos)),
    one(&["atan"], |call| double(call, f64::atan)),
    one(&["sinh"], |call| double(call, f64::sinh)),
    one(&["cosh"], |call| double(call, f64::cosh)),
    one(&["tanh"], |call| double(call, f64::tanh)),
    one(&["asinh"], |call| double(call, f64::asinh)),
    one(&["acosh"], |call| double(call, f64::acosh)),
    one(&["atanh"], |call| double(call, f64::atanh)),
    one(&["degrees"], |call| double(call, f64::to_degrees)),
    one(&["radians"], |call| double(call, f64::to_radians)),
    one(&["rint"], |call| double(call, f64::round_ties_even)),
    one(&["sign", "signum"], sign),
    one(&["factorial"], factorial),
    two(&["pow", "power"], |call| doubles(call, |x, y| Some(power(x, y)))),
    // Zeros lose their sign first.
    two(&["atan2"], |call| doubles(call, |y, x| Some((y + 0.0).atan2(x + 0.0)))),
    two(&["hypot"], |call| doubles(call, |x, y| Some(x.hypot(y)))),
    Function { names: &["log"], arity: Arity::between(1, 2), resolve: log },
    Function { names: &["e"], arity: Arity::exactly(0), resolve: |_| constant(std::f64::consts::E) },
    Function { names: &["pi"], arity: Arity::exactly(0), resolve: |_| constant(std::f64::consts::PI) },
    Function { names: &["width_bucket"], arity: Arity::exactly(4), resolve: width_bucket },
    Function { names: &["ceil", "ceiling"], arity: Arity::between(1, 2), resolve: rounding::ceil },
    Function { names: &["floor"], arity: Arity::between(1, 2), resolve: rounding::floor },
    Function { names: &["round"], arity: Arity::between(1, 2), resolve: rounding::round },
    Function { names: &["bround"], arity: Arity::between(1, 2), resolve: rounding::bround },
    one(&["bin"], bits::bin),
    Function { names: &["conv"], arity: Arity::exactly(3), resolve: bits::conv },
    one(&["bit_count"], bits::bit_count),
    two(&["bit_get", "getbit"], bits::bit_get),
    Function { names: &["rand", "random"], arity: Arity::between(0, 1), resolve: random::rand },
    Function { names: &["randn"], arity: Arity::between(0, 1), resolve: random::randn },
    Function { names: &["uniform"], arity: Arity::between(2, 3), resolve: random::uniform },
];

const fn one(names: &'static [&'static str], resolve: fn(&Call<'_>) -> Result<Resolved>) -> Function {
    Function { names, arity: Arity::exactly(1), resolve }
}

const fn two(names: &'static [&'static str], resolve: fn(&Call<'_>) -> Result<Resolved>) -> Function {
    Function { names, arity: Arity::exactly(2), resolve }
}

/// As [`Call::coerce`]; numbers are also narrowed, as Spark does: a value that doesn't fit is an error of the cast.
fn number(call: &Call<'_>, index: usize, target: &DataType) -> Result<DataType> {
    if is_numeric(call.data_type(index)) && is_numeric(target) {
        return Ok(target.clone());
    }
    call.coerce(index, target)
}

/// Argument `index` as an array of its concrete type.
fn primitive<T: ArrowPrimitiveType>(invocation: &Invocation<'_>, index: usize) -> Result<PrimitiveArray<T>> {
    let array = invocation.array(index)?;
    let found = array.as_any().downcast_ref::<PrimitiveArray<T>>().cloned();
    found.ok_or_else(|| DataFusionError::Internal(format!("argument {index} is {}, not {}", array.data_type(), T::DATA_TYPE)))
}

fn double(call: &Call<'_>, f: fn(f64) -> f64) -> Result<Resolved> {
    let args = vec![number(call, 0, &DataType::Float64)?];
    Ok(Resolved::new(args, DataType::Float64, move |invocation| {
        Ok(Arc::new(primitive::<Float64Type>(invocation, 0)?.unary::<_, Float64Type>(f)))
    }))
}

/// Null at `limit` and below.
fn logarithm(call: &Call<'_>, limit: f64, f: fn(f64) -> f64) -> Result<Resolved> {
    let args = vec![number(call, 0, &DataType::Float64)?];
    Ok(Resolved::new(args, DataType::Float64, move |invocation| {
        let positive = |x: f64| if x <= limit { None } else { Some(f(x)) };
        Ok(Arc::new(primitive::<Float64Type>(invocation, 0)?.unary_opt::<_, Float64Type>(positive)))
    }))
}

fn doubles(call: &Call<'_>, f: fn(f64, f64) -> Option<f64>) -> Result<Resolved> {
    let args = vec![number(call, 0, &DataType::Float64)?, number(call, 1, &DataType::Float64)?];
    Ok(Resolved::new(args, DataType::Float64, move |invocation| {
        let (left, right) = (primitive::<Float64Type>(invocation, 0)?, primitive::<Float64Type>(invocation, 1)?);
        let pairs = left.iter().zip(&right);
        Ok(Arc::new(pairs.map(|(left, right)| f(left?, right?)).collect::<Float64Array>()))
    }))
}

/// Unlike C's, a power of one to NaN or infinity is NaN.
fn power(x: f64, y: f64) -> f64 {
    if y.is_nan() || (x.abs() == 1.0 && y.is_infinite()) { f64::NAN } else { x.powf(y) }
}

fn log(call: &Call<'_>) -> Result<Resolved> {
    if call.len() == 1 {
        return logarithm(call, 0.0, f64::ln);
    }
    doubles(call, |base, x| (base > 0.0 && x > 0.0 || base.is_nan() || x.is_nan()).then(|| x.ln() / base.ln()))
}

fn constant(value: f64) -> Result<Resolved> {
    Ok(Resolved::new(Vec::new(), DataType::Float64, move |invocation| {
        Ok(Arc::new(Float64Array::from_value(value, invocation.rows)))
    }))
}

fn sign(call: &Call<'_>) -> Result<Resolved> {
    let arg = match call.data_type(0) {
        interval @ (DataType::Duration(_) | DataType::Interval(IntervalUnit::YearMonth)) => interval.clone(),
        _ => number(call, 0, &DataType::Float64).map_err(|_| {
            call.unexpected_type(0, "the (\"DOUBLE\" or \"INTERVAL YEAR TO MONTH\" or \"INTERVAL DAY TO SECOND\") type")
        })?,
    };
    let of = |x: f64| if x == 0.0 { x } else { x.signum() };
    Ok(Resolved::new(vec![arg], DataType::Float64, move |invocation| {
        Ok(Arc::new(as_doubles(&invocation.array(0)?)?.unary::<_, Float64Type>(of)))
    }))
}

/// Numbers or intervals as doubles.
fn as_doubles(values: &ArrayRef) -> Result<Float64Array> {
    let numbers: ArrayRef = match values.data_type() {
        DataType::Interval(_) => {
            let months = values.as_any().downcast_ref::<PrimitiveArray<IntervalYearMonthType>>();
            let months = months.ok_or_else(|| DataFusionError::Internal("an interval that isn't of months".to_owned()))?;
            Arc::new(months.unary::<_, Int64Type>(i64::from))
        }
        DataType::Duration(_) => cast(values, &DataType::Int64)?,
        _ => Arc::clone(values),
    };
    let doubles = cast(&numbers, &DataType::Float64)?;
    let doubles = doubles.as_any().downcast_ref::<Float64Array>().cloned();
    doubles.ok_or_else(|| DataFusionError::Internal("a cast to double that gave something else".to_owned()))
}

fn factorial(call: &Call<'_>) -> Result<Resolved> {
    let args = vec![number(call, 0, &DataType::Int32)?];
    let of = |n: i32| (0..=20).contains(&n).then(|| (1..=i64::from(n)).product());
    Ok(Resolved::new(args, DataType::Int64, move |invocation| {
        Ok(Arc::new(primitive::<Int32Type>(invocation, 0)?.unary_opt::<_, Int64Type>(of)))
    }))
}

/// `width_bucket(value, min, max, buckets)`, over doubles or intervals.
fn width_bucket(call: &Call<'_>) -> Result<Resolved> {
    let bound = match call.data_type(0) {
        DataType::Duration(_) => DAY_TIME_INTERVAL,
        DataType::Interval(IntervalUnit::YearMonth) => YEAR_MONTH_INTERVAL,
        _ => DataType::Float64,
    };
    let mut args = (0..3).map(|index| number(call, index, &bound)).collect::<Result<Vec<_>>>()?;
    args.push(number(call, 3, &DataType::Int64)?);
    Ok(Resolved::new(args, DataType::Int64, |invocation| {
        let bounds = (0..3).map(|index| as_doubles(&invocation.array(index)?)).collect::<Result<Vec<_>>>()?;
        let buckets = primitive::<Int64Type>(invocation, 3)?;
        let at = |index: usize, row: usize| bounds.get(index).filter(|own| own.is_valid(row)).map(|own| own.value(row));
        let rows = buckets.iter().enumerate();
        let one = |(row, buckets): (usize, Option<i64>)| bucket(at(0, row)?, at(1, row)?, at(2, row)?, buckets?);
        Ok(Arc::new(rows.map(one).collect::<Int64Array>()))
    }))
}

fn bucket(value: f64, min: f64, max: f64, buckets: i64) -> Option<i64> {
    if buckets <= 0 || buckets == i64::MAX || value.is_nan() || !min.is_finite() || !max.is_finite() || min == max {
        return None;
    }
    let (below, above) = if min < max { (value < min, value >= max) } else { (value > min, value <= max) };
    Some(match (below, above) {
        (true, _) => 0,
        (_, true) => buckets + 1,
        _ => (buckets as f64 * (value - min) / (max - min)) as i64 + 1,
    })
}
