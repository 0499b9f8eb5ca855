//! Percentiles, over the values and how often each came. The approximate ones are exact too: an accuracy is checked, and exceeded.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, ListArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, IntervalUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;

use super::ResolvedAggregate;
use super::groups::{Aggregate, column, downcast, resolved};
use super::values::{list_of, list_type, ranges};
use crate::error::spark_error;
use crate::function::Call;
use crate::types::{is_numeric, is_timestamp, list};

/// How a percentile is read off the sorted values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// Between the two nearest values, in proportion.
    Continuous,
    /// The first value with enough others before it.
    Discrete,
}

/// Percentiles of one column, each value of which may count several times.
struct Percentiles {
    fractions: Vec<f64>,
    /// Whether the result is an array.
    many: bool,
    method: Method,
    descending: bool,
    /// The type of one result.
    element: DataType,
    /// Whether the third argument says how often a value counts.
    weighted: bool,
}

/// `percentile(value, fraction or array of fractions, frequency)`.
pub(super) fn percentile(call: &Call<'_>) -> Result<ResolvedAggregate> {
    let (fractions, many) = fractions(call, 1)?;
    let weighted = call.len() > 2;
    exact(call, Percentiles { fractions, many, weighted, ..Percentiles::new(Method::Continuous) })
}

pub(super) fn median(call: &Call<'_>) -> Result<ResolvedAggregate> {
    exact(call, Percentiles { fractions: vec![0.5], ..Percentiles::new(Method::Continuous) })
}

/// `percentile_cont(fraction) WITHIN GROUP (ORDER BY value)`, called as (value, fraction, whether descending).
pub(super) fn percentile_cont(call: &Call<'_>) -> Result<ResolvedAggregate> {
    within_group(call, Method::Continuous)
}

pub(super) fn percentile_disc(call: &Call<'_>) -> Result<ResolvedAggregate> {
    within_group(call, Method::Discrete)
}

fn within_group(call: &Call<'_>, method: Method) -> Result<ResolvedAggregate> {
    let (fractions, many) = fractions(call, 1)?;
    let descending = matches!(call.literal(2), Some(ScalarValue::Boolean(Some(true))));
    exact(call, Percentiles { fractions, many, descending, ..Percentiles::new(method) })
}

fn exact(call: &Call<'_>, kind: Percentiles) -> Result<ResolvedAggregate> {
    let input = match call.data_type(0) {
        interval @ (DataType::Duration(_) | DataType::Interval(IntervalUnit::YearMonth)) => interval.clone(),
        from if is_numeric(from) || matches!(from, DataType::Utf8 | DataType::Null) => DataType::Float64,
        _ => {
            let required = "the ((\"NUMERIC\" or \"INTERVAL DAY TO SECOND\" or \"INTERVAL YEAR TO MONTH\") or \"TIME\") type";
            return Err(call.unexpected_type(0, required));
        }
    };
    let mut args = vec![input.clone()];
    if kind.weighted {
        args.extend([call.data_type(1).clone(), call.coerce(2, &DataType::Int64)?]);
    }
    Ok(resolve(call, args, Percentiles { element: input, ..kind }))
}

/// `percentile_approx(value, fraction or array of fractions, accuracy)`.
pub(super) fn percentile_approx(call: &Call<'_>) -> Result<ResolvedAggregate> {
    let input = match call.data_type(0) {
        from if is_numeric(from) || is_timestamp(from) => from.clone(),
        from @ (DataType::Date32 | DataType::Duration(_) | DataType::Interval(IntervalUnit::YearMonth)) => from.clone(),
        DataType::Utf8 | DataType::Null => DataType::Float64,
        _ => {
            let required = "the (\"NUMERIC\" or \"DATE\" or \"TIMESTAMP\" or \"TIMESTAMP_NTZ\" or \"INTERVAL YEAR TO MONTH\" or \
                            \"INTERVAL DAY TO SECOND\" or \"TIME\") type";
            return Err(call.unexpected_type(0, required));
        }
    };
    let (fractions, many) = fractions(call, 1)?;
    match (call.args.get(2), call.literal_int(2)) {
        (None, _) => {}
        (Some(arg), None) if arg.literal.is_none() => return Err(call.not_foldable(2)),
        (Some(_), None) => return Err(call.unexpected_type(2, "the \"INTEGRAL\" type")),
        (Some(_), Some(accuracy)) if accuracy > 0 && accuracy <= i64::from(i32::MAX) => {}
        (Some(_), Some(accuracy)) => {
            let message = format!("The accuracy must be between (0, 2147483647] (current value = {accuracy}L).");
            return Err(mismatch(call, "VALUE_OUT_OF_RANGE", &message));
        }
    }
    let kind = Percentiles { fractions, many, ..Percentiles::new(Method::Discrete) };
    Ok(resolve(call, vec![input.clone()], Percentiles { element: input, ..kind }))
}

fn resolve(call: &Call<'_>, args: Vec<DataType>, kind: Percentiles) -> ResolvedAggregate {
    let returns = if kind.many { list(kind.element.clone()) } else { kind.element.clone() };
    let state = vec![("values", list_type(&DataType::Float64)), ("counts", list_type(&DataType::Int64))];
    resolved(call, args, returns, state, kind)
}

fn mismatch(call: &Call<'_>, condition: &str, message: &str) -> datafusion::error::DataFusionError {
    let message = format!("Cannot resolve \"{}\" due to data type mismatch: {message}", call.sql());
    spark_error(format!("DATATYPE_MISMATCH.{condition}"), message)
}

/// The fractions of a literal argument, and whether it is an array.
fn fractions(call: &Call<'_>, index: usize) -> Result<(Vec<f64>, bool)> {
    let Some(literal) = call.args.get(index).and_then(|arg| arg.literal.as_ref()) else { return Err(call.not_foldable(index)) };
    if literal.is_null() {
        return Err(mismatch(call, "UNEXPECTED_NULL", "The percentage must not be null."));
    }
    let (values, many) = match literal {
        ScalarValue::List(array) => (array.value(0), true),
        _ => (literal.to_array()?, false),
    };
    let allowed = match values.data_type() {
        DataType::Utf8 => !many,
        DataType::Null => values.is_empty(),
        other => is_numeric(other),
    };
    if !allowed || values.null_count() > 0 {
        return Err(call.unexpected_type(index, if many { "the \"ARRAY<DOUBLE>\" type" } else { "the \"DOUBLE\" type" }));
    }
    let values = cast(&values, &DataType::Float64)?;
    let values: Vec<f64> = downcast::<Float64Array>(&values)?.iter().flatten().collect();
    match values.iter().find(|fraction| !(0.0..=1.0).contains(*fraction)) {
        Some(wrong) => {
            let message = format!("The percentage must be between [0.0, 1.0] (current value = {wrong:?}D).");
            Err(mismatch(call, "VALUE_OUT_OF_RANGE", &message))
        }
        None => Ok((values, many)),
    }
}

/// How often each value came, in ascending order.
#[derive(Debug, Clone, Default)]
struct Counted {
    counts: BTreeMap<i64, i64>,
    total: i64,
}

/// A number that orders as the double does, with NaN greatest.
fn to_order(value: f64) -> i64 {
    let bits = if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() } as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn from_order(order: i64) -> f64 {
    f64::from_bits((order ^ (((order >> 63) as u64) >> 1) as i64) as u64)
}

impl Counted {
    fn add(&mut self, value: f64, count: i64) {
        if count > 0 {
            *self.counts.entry(to_order(value)).or_default() += count;
            self.total += count;
        }
    }

    /// The values with the number of values up to and with each.
    fn cumulated(&self, descending: bool) -> Vec<(f64, i64)> {
        let mut sum = 0;
        let mut add = |(value, count): (&i64, &i64)| {
            sum += count;
            (from_order(*value), sum)
        };
        if descending { self.counts.iter().rev().map(&mut add).collect() } else { self.counts.iter().map(&mut add).collect() }
    }
}

/// The value with this rank (from 1).
fn ranked(values: &[(f64, i64)], rank: i64) -> f64 {
    let index = values.partition_point(|(_, sum)| *sum < rank);
    values.get(index).or(values.last()).map_or(f64::NAN, |(value, _)| *value)
}

impl Percentiles {
    fn new(method: Method) -> Self {
        Percentiles { fractions: Vec::new(), many: false, method, descending: false, element: DataType::Float64, weighted: false }
    }

    fn percentile(&self, values: &[(f64, i64)], total: i64, fraction: f64) -> f64 {
        if self.method == Method::Discrete {
            return ranked(values, ((total as f64 * fraction).ceil() as i64).max(1));
        }
        let position = (total - 1) as f64 * fraction;
        let (lower, higher) = (position.floor(), position.ceil());
        let (low, high) = (ranked(values, lower as i64 + 1), ranked(values, higher as i64 + 1));
        if lower == higher || low == high { low } else { (higher - position) * low + (position - lower) * high }
    }

    /// Doubles as the type of the result.
    fn elements(&self, values: Float64Array) -> Result<ArrayRef> {
        let values: ArrayRef = Arc::new(values);
        Ok(match &self.element {
            DataType::Date32 | DataType::Interval(_) => cast(&cast(&values, &DataType::Int32)?, &self.element)?,
            DataType::Duration(_) | DataType::Timestamp(_, _) => cast(&cast(&values, &DataType::Int64)?, &self.element)?,
            element => cast(&values, element)?,
        })
    }
}

/// Values of any type that has percentiles, as doubles.
fn to_doubles(values: &ArrayRef) -> Result<ArrayRef> {
    let whole = match values.data_type() {
        DataType::Date32 => cast(values, &DataType::Int32)?,
        DataType::Interval(_) => {
            let months = downcast::<arrow::array::IntervalYearMonthArray>(values)?;
            Arc::new(months.unary::<_, Int64Type>(i64::from))
        }
        DataType::Duration(_) | DataType::Timestamp(_, _) => cast(values, &DataType::Int64)?,
        _ => Arc::clone(values),
    };
    Ok(cast(&whole, &DataType::Float64)?)
}

impl Aggregate for Percentiles {
    type Cell = Counted;
    const GROWS: bool = true;

    fn update(&self, cells: &mut [Counted], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let values = to_doubles(&args[0])?;
        let values: &Float64Array = downcast(&values)?;
        let counts = if self.weighted { Some(column::<Int64Array>(args, 2)?) } else { None };
        for (row, group) in groups.iter().enumerate() {
            let count = counts.map_or(1, |counts| if counts.is_null(row) { 0 } else { counts.value(row) });
            if values.is_null(row) {
                continue;
            }
            if count < 0 {
                return Err(spark_error(
                    "NEGATIVE_VALUES_IN_FREQUENCY_EXPRESSION",
                    format!("Found the negative value in the frequency: {count}L, but expected a positive integral value."),
                ));
            }
            cells[*group].add(values.value(row), count);
        }
        Ok(())
    }

    fn merge(&self, cells: &mut [Counted], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (values, counts): (&ListArray, &ListArray) = (column(states, 0)?, column(states, 1)?);
        let (numbers, weights) = (downcast::<Float64Array>(values.values())?, downcast::<Int64Array>(counts.values())?);
        for ((values, counts), group) in ranges(values).zip(ranges(counts)).zip(groups) {
            let cell = &mut cells[*group];
            values.zip(counts).for_each(|(value, count)| cell.add(numbers.value(value), weights.value(count)));
        }
        Ok(())
    }

    fn state(&self, cells: &[Counted]) -> Result<Vec<ArrayRef>> {
        let all = || cells.iter().flat_map(|cell| &cell.counts);
        let values = Float64Array::from_iter_values(all().map(|(value, _)| from_order(*value)));
        let counts = Int64Array::from_iter_values(all().map(|(_, count)| *count));
        let lengths: Vec<usize> = cells.iter().map(|cell| cell.counts.len()).collect();
        Ok(vec![list_of(Arc::new(values), lengths.clone(), None)?, list_of(Arc::new(counts), lengths, None)?])
    }

    fn evaluate(&self, cells: &[Counted]) -> Result<ArrayRef> {
        let mut builder = arrow::array::PrimitiveBuilder::<Float64Type>::new();
        let mut valid = Vec::new();
        for cell in cells {
            let values = cell.cumulated(self.descending);
            valid.push(!values.is_empty() && !self.fractions.is_empty());
            for fraction in &self.fractions {
                match values.is_empty() {
                    false => builder.append_value(self.percentile(&values, cell.total, *fraction)),
                    true => builder.append_null(),
                }
            }
        }
        let elements = self.elements(builder.finish())?;
        if !self.many {
            return Ok(elements);
        }
        list_of(elements, vec![self.fractions.len(); cells.len()], Some(NullBuffer::from(valid)))
    }
}
