//! How values of any type compare: NaN equals NaN and is greater than every number, `-0.0` equals `0.0`, nulls come first within
//! nested values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, Float32Array, Float64Array, ListArray, StructArray, make_comparator,
};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow_row::{RowConverter, Rows, SortField};
use datafusion::error::Result;

/// The same values with one NaN and one zero, so that equal values have equal bits.
pub(crate) fn normalised(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Float32 => {
            let one = |value: f32| if value.is_nan() { f32::NAN } else { value + 0.0 };
            let values: Float32Array = values.as_primitive::<Float32Type>().unary(one);
            Arc::new(values)
        }
        DataType::Float64 => {
            let one = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
            let values: Float64Array = values.as_primitive::<Float64Type>().unary(one);
            Arc::new(values)
        }
        data_type if !has_floats(data_type) => Arc::clone(values),
        DataType::List(field) => {
            let list = values.as_list::<i32>();
            let elements = normalised(list.values())?;
            Arc::new(ListArray::try_new(Arc::clone(field), list.offsets().clone(), elements, list.nulls().cloned())?)
        }
        DataType::Struct(fields) => {
            let columns = values.as_struct().columns().iter().map(normalised).collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, values.nulls().cloned())?)
        }
        _ => Arc::clone(values),
    })
}

fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(field) => has_floats(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        _ => false,
    }
}

/// Compares values of the one array with values of the other.
pub(crate) fn comparator(left: &ArrayRef, right: &ArrayRef) -> Result<DynComparator> {
    Ok(make_comparator(&normalised(left)?, &normalised(right)?, SortOptions { descending: false, nulls_first: true })?)
}

/// The values of some arrays of one type, encoded so that their bytes compare as the values do.
pub(crate) fn encoded<const N: usize>(arrays: [&ArrayRef; N]) -> Result<[Rows; N]> {
    let mut rows = Vec::with_capacity(N);
    if let Some(first) = arrays.first() {
        let converter = RowConverter::new(vec![SortField::new(first.data_type().clone())])?;
        for array in arrays {
            rows.push(converter.convert_columns(&[normalised(array)?])?);
        }
    }
    rows.try_into().map_err(|_| datafusion::error::DataFusionError::Internal("as many rows as arrays".to_owned()))
}

/// Whether values of this type can be compared: those with a map in them can't.
pub(crate) fn is_orderable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(_, _) => false,
        DataType::List(field) => is_orderable(field.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_orderable(field.data_type())),
        _ => true,
    }
}
