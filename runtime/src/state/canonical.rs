//! Columns in the one form in which they are compared: equal keys have equal bytes, and types differ in what matters only.

#![allow(clippy::wildcard_enum_match_arm, reason = "most of Arrow's types are neither floats nor nested")]

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, make_array};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Float16Type, Float32Type, Float64Type, Schema};

use crate::error::{Error, Result};

type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// Key columns with the values that are one key made equal: `-0.0` becomes `0.0`, and every NaN the same NaN, also inside of
/// lists and structs. A column without floats is passed on as it is.
///
/// # Errors
/// When a nested column can't be rebuilt.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Float64Array};
/// use tidegate_runtime::state::canonical_keys;
///
/// let zero: ArrayRef = Arc::new(Float64Array::from(vec![-0.0]));
/// let positive: ArrayRef = Arc::new(Float64Array::from(vec![0.0]));
/// assert_eq!(canonical_keys(&[zero])?, [positive]);
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
pub fn canonical_keys(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    columns.iter().map(fold_floats).collect()
}

/// Columns with exactly the types of `schema`, whose nested fields may be named otherwise or say otherwise whether they can be null.
/// Nothing is copied.
///
/// # Errors
/// When the number of columns differs, or a column holds other values than the schema's.
pub fn relabel_columns(schema: &Schema, columns: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
    if columns.len() != schema.fields().len() {
        let (expected, given) = (schema.fields().len(), columns.len());
        return Err(Error::InvalidArgument(format!("{expected} columns were expected and {given} given")));
    }
    let fit = |(column, field): (ArrayRef, &Arc<Field>)| {
        if column.data_type() == field.data_type() {
            return Ok(column);
        }
        if same_values(column.data_type(), field.data_type()) {
            return relabel(&column, field.data_type());
        }
        let (name, expected, given) = (field.name(), field.data_type(), column.data_type());
        Err(Error::InvalidArgument(format!("column {name} is {given} and should be {expected}")))
    };
    columns.into_iter().zip(schema.fields()).map(fit).collect()
}

/// One column of [`canonical_keys`].
pub(super) fn fold_floats(column: &ArrayRef) -> Result<ArrayRef> {
    if !has_floats(column.data_type()) {
        return Ok(Arc::clone(column));
    }
    Ok(match column.data_type() {
        // Adding zero turns -0.0 into 0.0.
        DataType::Float16 => unary::<Float16Type>(column, |v| if v.is_nan() { Half::NAN } else { v + Half::ZERO }),
        DataType::Float32 => unary::<Float32Type>(column, |v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
        DataType::Float64 => unary::<Float64Type>(column, |v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
        _ => {
            let data = column.to_data();
            let children = data.child_data().iter().map(|child| Ok(fold_floats(&make_array(child.clone()))?.to_data()));
            let children = children.collect::<Result<Vec<ArrayData>>>()?;
            make_array(data.into_builder().child_data(children).build()?)
        }
    })
}

fn unary<T: ArrowPrimitiveType>(column: &ArrayRef, fold: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    Arc::new(column.as_primitive::<T>().unary::<_, T>(fold))
}

/// Whether the values of the type hold floats anywhere.
pub(super) fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => has_floats(values),
        other => other.is_floating() || children(other).iter().any(|field| has_floats(field.data_type())),
    }
}

/// Whether two types hold the same values: nested names, metadata and nullability don't matter.
pub(super) fn same_values(left: &DataType, right: &DataType) -> bool {
    let (left_fields, right_fields) = (children(left), children(right));
    if left_fields.is_empty() || right_fields.is_empty() {
        return left == right;
    }
    let same_kind = match (left, right) {
        (DataType::FixedSizeList(_, left), DataType::FixedSizeList(_, right)) => left == right,
        _ => std::mem::discriminant(left) == std::mem::discriminant(right),
    };
    same_kind
        && left_fields.len() == right_fields.len()
        && left_fields.iter().zip(right_fields.iter()).all(|(l, r)| same_values(l.data_type(), r.data_type()))
}

/// The column with the nested names and nullability of `target`, which holds the [same values](same_values).
pub(super) fn relabel(column: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if column.data_type() == target {
        return Ok(Arc::clone(column));
    }
    Ok(make_array(relabel_data(column.to_data(), target)?))
}

fn relabel_data(data: ArrayData, target: &DataType) -> Result<ArrayData> {
    let fields = children(target);
    let columns = data.child_data().iter().zip(fields.iter());
    let columns = columns.map(|(child, field)| relabel_data(child.clone(), field.data_type())).collect::<Result<Vec<_>>>()?;
    Ok(data.into_builder().data_type(target.clone()).child_data(columns).build()?)
}

/// The fields that a nested type consists of; none for the others.
pub(super) fn children(data_type: &DataType) -> &[Arc<Field>] {
    match data_type {
        DataType::Struct(fields) => fields,
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) | DataType::Map(field, _) => {
            std::slice::from_ref(field)
        }
        _ => &[],
    }
}
