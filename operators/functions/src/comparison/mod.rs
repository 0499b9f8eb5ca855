//! Comparisons: `=`, `<`, `<=>`, `IN`, `greatest`, and the order of values.
//!
//! Floating-point numbers compare as in Spark: NaN equals NaN and is greater than all others, `-0.0` equals `0.0`. Within arrays and
//! structs nulls are equal to each other and less than all values.

mod member;

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::make_comparator;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Datum, ListArray, MapArray, NullArray, PrimitiveArray, Scalar,
    StructArray,
};
use arrow::compute::kernels::cmp;
use arrow::compute::{SortOptions, kernels::zip::zip};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use crate::arithmetic::different_types;
use crate::coercion::{common_type, common_type_of};
use crate::error::spark_error;
use crate::function::{Arity, Call, Function, Invocation, Resolved};
use crate::types::{is_nested, map_types, sql_name};

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["=", "=="], arity: Arity::exactly(2), resolve: |call| binary(call, Comparison::Equal) },
    Function { names: &["<>", "!="], arity: Arity::exactly(2), resolve: |call| binary(call, Comparison::NotEqual) },
    Function { names: &["<"], arity: Arity::exactly(2), resolve: |call| binary(call, Comparison::Less) },
    Function { names: &["<="], arity: Arity::exactly(2), resolve: |call| binary(call, Comparison::LessOrEqual) },
    Function { names: &[">"], arity: Arity::exactly(2), resolve: |call| binary(call, Comparison::Greater) },
    Function { names: &[">="], arity: Arity::exactly(2), resolve: |call| binary(call, Comparison::GreaterOrEqual) },
    Function { names: &["<=>", "equal_null"], arity: Arity::exactly(2), resolve: |call| binary(call, Comparison::Same) },
    Function { names: &["in"], arity: Arity::at_least(2), resolve: member::resolve },
    Function { names: &["greatest"], arity: Arity::at_least(2), resolve: |call| extreme(call, Comparison::Greater) },
    Function { names: &["least"], arity: Arity::at_least(2), resolve: |call| extreme(call, Comparison::Less) },
];

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<=>`: null equals null, and is no other value.
    Same,
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal | Comparison::Same => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// Whether values of the type have an order; maps have none.
pub fn is_orderable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(_, _) => false,
        DataType::List(element) => is_orderable(element.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_orderable(field.data_type())),
        _ => true,
    }
}

/// The error for a type whose values have no order.
pub(crate) fn no_order(call: &Call<'_>, data_type: &DataType) -> DataFusionError {
    spark_error(
        "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE",
        format!(
            "Cannot resolve \"{}\" due to data type mismatch: The `{}` does not support ordering on type \"{}\".",
            call.sql(),
            call.name,
            sql_name(data_type)
        ),
    )
}

/// The error for arguments that have no type in common.
pub(crate) fn no_common_type(call: &Call<'_>) -> DataFusionError {
    let types: Vec<String> = call.args.iter().map(|arg| format!("\"{}\"", sql_name(&arg.data_type))).collect();
    spark_error(
        "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
        format!(
            "Cannot resolve \"{}\" due to data type mismatch: Input to `{}` should all be the same type, but it's [{}].",
            call.sql(),
            call.name,
            types.join(", ")
        ),
    )
}

/// Whether the types mix text with something else: within arrays, maps and structs text isn't cast.
fn mixes_text(left: &DataType, right: &DataType) -> bool {
    match (left, right) {
        (DataType::Null, _) | (_, DataType::Null) => false,
        (DataType::List(left), DataType::List(right)) => mixes_text(left.data_type(), right.data_type()),
        (DataType::Struct(left), DataType::Struct(right)) => {
            left.iter().zip(right).any(|(left, right)| mixes_text(left.data_type(), right.data_type()))
        }
        (DataType::Map(_, _), DataType::Map(_, _)) => match (map_types(left), map_types(right)) {
            (Some((lk, lv)), Some((rk, rv))) => mixes_text(lk, rk) || mixes_text(lv, rv),
            _ => false,
        },
        _ => (left == &DataType::Utf8) != (right == &DataType::Utf8),
    }
}

/// Whether the types differ in names of fields only.
fn same_but_names(left: &DataType, right: &DataType) -> bool {
    match (left, right) {
        (DataType::List(left), DataType::List(right)) => same_but_names(left.data_type(), right.data_type()),
        (DataType::Struct(left), DataType::Struct(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| same_but_names(left.data_type(), right.data_type()))
        }
        _ => left == right,
    }
}

fn binary(call: &Call<'_>, comparison: Comparison) -> Result<Resolved> {
    let (left, right) = (call.data_type(0), call.data_type(1));
    let common = common_type(left, right)
        .filter(|_| !(is_nested(left) && mixes_text(left, right)))
        .or_else(|| same_but_names(left, right).then(|| left.clone()))
        .ok_or_else(|| different_types(call, left, right))?;
    if !is_orderable(&common) {
        return Err(no_order(call, &common));
    }
    // Two untyped nulls.
    let common = if common == DataType::Null { DataType::Boolean } else { common };
    Ok(Resolved::new(vec![common.clone(), common], DataType::Boolean, move |invocation| {
        let (left, right) = (Side::new(invocation, 0)?, Side::new(invocation, 1)?);
        let result = compare_sides(&left, &right, comparison, invocation.rows)?;
        Ok(Arc::new(result))
    }))
}

/// An argument: one value a row, or one for all of them.
struct Side {
    values: ArrayRef,
    scalar: bool,
}

impl Side {
    fn new(invocation: &Invocation<'_>, index: usize) -> Result<Self> {
        Ok(match &invocation.args[index] {
            ColumnarValue::Array(values) => Side { values: normal(values), scalar: false },
            ColumnarValue::Scalar(value) => Side { values: normal(&value.to_array()?), scalar: true },
        })
    }

    fn datum(&self) -> Box<dyn Datum> {
        if self.scalar { Box::new(Scalar::new(Arc::clone(&self.values))) } else { Box::new(Arc::clone(&self.values)) }
    }
}

fn compare_sides(left: &Side, right: &Side, comparison: Comparison, rows: usize) -> Result<BooleanArray> {
    if is_nested(left.values.data_type()) {
        let compare = ordered(&left.values, &right.values)?;
        let at = |side: &Side, row: usize| if side.scalar { 0 } else { row };
        let mut out = BooleanBuilder::with_capacity(rows);
        for row in 0..rows {
            let (l, r) = (at(left, row), at(right, row));
            let null = left.values.is_null(l) || right.values.is_null(r);
            let known = !null || comparison == Comparison::Same;
            out.append_option(known.then(|| comparison.holds(compare(l, r))));
        }
        return Ok(out.finish());
    }
    let kernel = match comparison {
        Comparison::Equal => cmp::eq,
        Comparison::NotEqual => cmp::neq,
        Comparison::Less => cmp::lt,
        Comparison::LessOrEqual => cmp::lt_eq,
        Comparison::Greater => cmp::gt,
        Comparison::GreaterOrEqual => cmp::gt_eq,
        Comparison::Same => cmp::not_distinct,
    };
    Ok(kernel(left.datum().as_ref(), right.datum().as_ref())?)
}

/// Compares two arrays of one type row by row.
///
/// # Errors
/// When the arrays are not of one type and length.
pub fn compare_columns(left: &ArrayRef, right: &ArrayRef, comparison: Comparison) -> Result<BooleanArray> {
    let side = |values: &ArrayRef| Side { values: normal(values), scalar: false };
    if left.len() != right.len() || left.data_type() != right.data_type() {
        return Err(DataFusionError::Internal(format!(
            "{} of {} and {} of {}",
            left.len(),
            left.data_type(),
            right.len(),
            right.data_type()
        )));
    }
    compare_sides(&side(left), &side(right), comparison, left.len())
}

/// Compares rows: the one of the left array with the other of the right one.
pub type Comparator = Box<dyn Fn(usize, usize) -> Ordering + Send + Sync>;

/// The order of the values of two arrays of one type, with nulls first.
///
/// # Errors
/// When the types differ or have no order.
pub fn comparator(left: &ArrayRef, right: &ArrayRef) -> Result<Comparator> {
    ordered(&normal(left), &normal(right))
}

/// As [`comparator`], for arrays that are [`normal`].
fn ordered(left: &ArrayRef, right: &ArrayRef) -> Result<Comparator> {
    if left.data_type() == &DataType::Null {
        return Ok(Box::new(|_, _| Ordering::Equal));
    }
    Ok(make_comparator(left.as_ref(), right.as_ref(), SortOptions { descending: false, nulls_first: true })?)
}

/// The same values with one NaN and one zero, for which Arrow's total order is Spark's.
pub fn normal(values: &ArrayRef) -> ArrayRef {
    if !has_floats(values.data_type()) {
        return Arc::clone(values);
    }
    match values.data_type() {
        DataType::Float32 => normal_floats::<Float32Type>(values, |value| if value.is_nan() { f32::NAN } else { value + 0.0 }),
        DataType::Float64 => normal_floats::<Float64Type>(values, |value| if value.is_nan() { f64::NAN } else { value + 0.0 }),
        DataType::List(field) => {
            let list = values.as_list::<i32>();
            let elements = normal(list.values());
            Arc::new(ListArray::new(Arc::clone(field), list.offsets().clone(), elements, list.nulls().cloned()))
        }
        DataType::Struct(fields) => {
            let columns = values.as_struct().columns().iter().map(normal).collect();
            Arc::new(StructArray::new(fields.clone(), columns, values.nulls().cloned()))
        }
        DataType::Map(field, sorted) => {
            let map = values.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = normal(&entries).as_struct().clone();
            Arc::new(MapArray::new(Arc::clone(field), map.offsets().clone(), entries, map.nulls().cloned(), *sorted))
        }
        _ => Arc::clone(values),
    }
}

fn normal_floats<T: ArrowPrimitiveType>(values: &ArrayRef, one: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let values: PrimitiveArray<T> = values.as_primitive::<T>().unary(one);
    Arc::new(values)
}

fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(field) | DataType::Map(field, _) => has_floats(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        _ => false,
    }
}

/// `greatest` and `least`: nulls are skipped, of equal values the first is taken.
fn extreme(call: &Call<'_>, better: Comparison) -> Result<Resolved> {
    let types = || call.args.iter().map(|arg| &arg.data_type);
    let first = types().find(|own| **own != DataType::Null).unwrap_or(&DataType::Null);
    let common =
        common_type_of(types()).filter(|_| !types().any(|own| mixes_text(first, own))).ok_or_else(|| no_common_type(call))?;
    if !is_orderable(&common) {
        return Err(no_order(call, &common));
    }
    if common == DataType::Null {
        return Ok(Resolved::new(vec![common; call.len()], DataType::Null, |invocation| {
            Ok(Arc::new(NullArray::new(invocation.rows)))
        }));
    }
    Ok(Resolved::new(vec![common.clone(); call.len()], common, move |invocation| {
        let mut best = invocation.array(0)?;
        for index in 1..invocation.args.len() {
            let next = invocation.array(index)?;
            let better = compare_columns(&next, &best, better)?;
            let taken = (0..best.len())
                .map(|row| Some(next.is_valid(row) && (best.is_null(row) || (better.is_valid(row) && better.value(row)))));
            let taken: BooleanArray = taken.collect();
            best = zip(&taken, &next, &best)?;
        }
        Ok(best)
    }))
}

#[cfg(test)]
mod tests;
