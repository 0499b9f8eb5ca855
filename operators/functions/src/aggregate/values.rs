//! Values of any type as bytes that cells can keep, and lists of them as columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow_row::{RowConverter, Rows, SortField};
use datafusion::error::{DataFusionError, Result};

use crate::types::{element, list};

/// A value of any type, as bytes.
pub(super) type Bytes = Box<[u8]>;

/// Turns values of a type into bytes and back. The bytes of two values compare as Spark compares the values, if they went through
/// [`normalised`].
#[derive(Debug)]
pub(super) struct Codec {
    converter: RowConverter,
    data_type: DataType,
    null: Bytes,
}

impl Codec {
    pub(super) fn new(data_type: &DataType) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        let null = converter.convert_columns(&[new_null_array(data_type, 1)])?.row(0).data().into();
        Ok(Codec { converter, data_type: data_type.clone(), null })
    }

    pub(super) fn encode(&self, values: &ArrayRef) -> Result<Rows> {
        Ok(self.converter.convert_columns(&[Arc::clone(values)])?)
    }

    /// The values of encoded rows; `None` is null.
    pub(super) fn decode<'a>(&'a self, rows: impl IntoIterator<Item = Option<&'a [u8]>>) -> Result<ArrayRef> {
        let parser = self.converter.parser();
        let rows = rows.into_iter().map(|row| parser.parse(row.unwrap_or(&self.null)));
        let column = self.converter.convert_rows(rows)?.pop();
        let column = column.ok_or_else(|| DataFusionError::Internal("a row without a column".to_owned()))?;
        if column.data_type() == &self.data_type { Ok(column) } else { Ok(arrow::compute::cast(&column, &self.data_type)?) }
    }

    /// A list of values for each cell.
    pub(super) fn lists<'a, R>(&'a self, cells: impl IntoIterator<Item = R>) -> Result<ArrayRef>
    where
        R: IntoIterator<Item = &'a [u8]>,
    {
        let (mut rows, mut lengths) = (Vec::new(), Vec::new());
        for cell in cells {
            let before = rows.len();
            rows.extend(cell.into_iter().map(Some));
            lengths.push(rows.len() - before);
        }
        list_of(self.decode(rows)?, lengths, None)
    }
}

/// A list column of these values, cut by lengths.
pub(super) fn list_of(values: ArrayRef, lengths: Vec<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let field = element(values.data_type().clone());
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, nulls)?))
}

fn has_float(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(field) | DataType::Map(field, _) => has_float(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_float(field.data_type())),
        _ => false,
    }
}

/// The values with those that Spark takes for equal made the same: `-0.0` and `0.0`, and all kinds of NaN.
pub(super) fn normalised(values: &ArrayRef) -> Result<ArrayRef> {
    if !has_float(values.data_type()) {
        return Ok(Arc::clone(values));
    }
    Ok(match values.data_type() {
        DataType::Float32 => {
            let one = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(values.as_primitive::<Float32Type>().unary::<_, Float32Type>(one))
        }
        DataType::Float64 => {
            let one = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(values.as_primitive::<Float64Type>().unary::<_, Float64Type>(one))
        }
        DataType::List(field) => {
            let lists = values.as_list::<i32>();
            let inner = normalised(lists.values())?;
            Arc::new(ListArray::try_new(Arc::clone(field), lists.offsets().clone(), inner, lists.nulls().cloned())?)
        }
        DataType::Struct(fields) => {
            let rows = values.as_struct();
            let columns = rows.columns().iter().map(normalised).collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, rows.nulls().cloned(), rows.len())?)
        }
        // Maps aren't compared.
        _ => Arc::clone(values),
    })
}

/// The type of a state column that has a list of such values.
pub(super) fn list_type(data_type: &DataType) -> DataType {
    list(data_type.clone())
}

/// The first and the end row of each list, with null as no rows.
pub(super) fn ranges(lists: &ListArray) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let offsets = lists.value_offsets();
    (0..lists.len()).map(move |row| {
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        if lists.is_null(row) { range.start..range.start } else { range }
    })
}
