//! Arrays of arrays and maps, taken apart and put together.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, UInt32Array, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{interleave, take};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};

use crate::error::spark_error;
use crate::types::element;

/// The greatest number of elements that Spark lets an array have.
pub(crate) const MAX_ELEMENTS: usize = 2_147_483_632;

/// The rows of an array or map column, with exactly the elements that rows have: none before, between or after them, and none
/// under a null row.
#[derive(Debug, Clone)]
pub(crate) struct Lists {
    /// The elements of all rows; of a map, its entries.
    pub(crate) values: ArrayRef,
    /// Where each row's elements are: it starts at zero and ends at the last element.
    pub(crate) offsets: OffsetBuffer<i32>,
    /// Which rows are null.
    pub(crate) nulls: Option<NullBuffer>,
}

impl Lists {
    /// Takes an array or map column apart.
    pub(crate) fn of(array: &ArrayRef) -> Result<Lists> {
        let (values, offsets): (ArrayRef, _) = match array.data_type() {
            DataType::List(_) => (Arc::clone(array.as_list::<i32>().values()), array.as_list::<i32>().offsets()),
            DataType::Map(_, _) => (Arc::new(array.as_map().entries().clone()), array.as_map().offsets()),
            other => return Err(DataFusionError::Internal(format!("{other} is neither an array nor a map"))),
        };
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
        let hidden = |nulls: &NullBuffer| (0..array.len()).any(|row| nulls.is_null(row) && offsets[row] < offsets[row + 1]);
        if nulls.as_ref().is_some_and(hidden) {
            let lengths =
                (0..array.len()).map(|row| if array.is_null(row) { 0 } else { (offsets[row + 1] - offsets[row]) as usize });
            let kept = (0..array.len()).filter(|row| !array.is_null(*row)).flat_map(|row| offsets[row]..offsets[row + 1]);
            let indices = UInt32Array::from_iter_values(kept.map(|index| index as u32));
            return Ok(Lists { values: take(&values, &indices, None)?, offsets: OffsetBuffer::from_lengths(lengths), nulls });
        }
        let values = values.slice(first as usize, (last - first) as usize);
        let offsets = if first == 0 {
            offsets.clone()
        } else {
            OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect::<ScalarBuffer<i32>>())
        };
        Ok(Lists { values, offsets, nulls })
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Where the row's elements are.
    pub(crate) fn range(&self, row: usize) -> Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    /// How many elements a row has.
    pub(crate) fn size(&self, row: usize) -> usize {
        self.range(row).len()
    }

    /// For each element, its row.
    pub(crate) fn rows(&self) -> UInt32Array {
        UInt32Array::from_iter_values((0..self.len()).flat_map(|row| self.range(row).map(move |_| row as u32)))
    }

    /// For each element, its number in its row, from zero.
    pub(crate) fn positions(&self) -> impl Iterator<Item = i32> + '_ {
        (0..self.len()).flat_map(|row| 0..self.size(row) as i32)
    }

    /// The same rows with other elements, as many.
    pub(crate) fn with_values(&self, values: ArrayRef) -> Result<ArrayRef> {
        list_of(values, self.offsets.clone(), self.nulls.clone())
    }

    /// The elements for which the mask is true.
    pub(crate) fn filter(&self, mask: &BooleanArray) -> Result<Lists> {
        let keeps = |index: usize| mask.is_valid(index) && mask.value(index);
        let lengths = (0..self.len()).map(|row| self.range(row).filter(|index| keeps(*index)).count());
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Lists { values: arrow::compute::filter(&self.values, mask)?, offsets, nulls: self.nulls.clone() })
    }

    /// Each row's elements in the order that `order` puts their indices in.
    pub(crate) fn reordered(&self, mut order: impl FnMut(&mut [u32])) -> Result<ArrayRef> {
        let mut indices: Vec<u32> = (0..self.values.len() as u32).collect();
        (0..self.len()).for_each(|row| order(&mut indices[self.range(row)]));
        self.with_values(take(&self.values, &UInt32Array::from(indices), None)?)
    }

    pub(crate) fn into_list(self) -> Result<ArrayRef> {
        list_of(self.values, self.offsets, self.nulls)
    }
}

/// An array column of these elements.
pub(crate) fn list_of(values: ArrayRef, offsets: OffsetBuffer<i32>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    Ok(Arc::new(ListArray::try_new(element(values.data_type().clone()), offsets, values, nulls)?))
}

/// The values at some indices, and null where there is no index.
pub(crate) fn take_or_null(values: &ArrayRef, indices: &UInt32Array) -> Result<ArrayRef> {
    // Of nothing, not every kernel gives a null.
    if values.is_empty() { Ok(new_null_array(values.data_type(), indices.len())) } else { Ok(take(values, indices, None)?) }
}

/// The rows where any of the arrays is null.
pub(crate) fn nulls_of(arrays: &[&ArrayRef]) -> Option<NullBuffer> {
    arrays.iter().fold(None, |nulls, array| NullBuffer::union(nulls.as_ref(), array.logical_nulls().as_ref()))
}

/// Builds an array column by picking elements from others.
pub(crate) struct Picker {
    sources: Vec<ArrayRef>,
    picks: Vec<(usize, usize)>,
    ends: Vec<usize>,
    valid: Vec<bool>,
}

impl Picker {
    /// From these arrays, all of the same type.
    pub(crate) fn new(mut sources: Vec<ArrayRef>, data_type: &DataType) -> Self {
        // The last source is what an element that nobody has is picked from.
        sources.push(new_null_array(data_type, 1));
        Picker { sources, picks: Vec::new(), ends: vec![0], valid: Vec::new() }
    }

    /// Adds an element of a source to the row.
    pub(crate) fn pick(&mut self, source: usize, index: usize) {
        self.picks.push((source, index));
    }

    /// Adds elements of a source.
    pub(crate) fn pick_all(&mut self, source: usize, indices: impl IntoIterator<Item = usize>) {
        self.picks.extend(indices.into_iter().map(|index| (source, index)));
    }

    /// Adds a null.
    pub(crate) fn pick_null(&mut self) {
        self.picks.push((self.sources.len() - 1, 0));
    }

    /// Ends a row.
    pub(crate) fn end(&mut self) {
        self.ends.push(self.picks.len());
        self.valid.push(true);
    }

    /// Makes the row null.
    pub(crate) fn end_null(&mut self) {
        self.ends.push(self.picks.len());
        self.valid.push(false);
    }

    /// The rows.
    pub(crate) fn finish(self) -> Result<Lists> {
        if self.picks.len() > i32::MAX as usize {
            return Err(too_many_elements(self.picks.len()));
        }
        let sources: Vec<&dyn Array> = self.sources.iter().map(AsRef::as_ref).collect();
        let values = interleave(&sources, &self.picks)?;
        let offsets = OffsetBuffer::new(self.ends.iter().map(|end| *end as i32).collect::<ScalarBuffer<i32>>());
        let nulls = Some(NullBuffer::new(BooleanBuffer::from(self.valid))).filter(|nulls| nulls.null_count() > 0);
        Ok(Lists { values, offsets, nulls })
    }
}

/// The error for a column whose arrays have more elements in all than one column can hold.
pub(crate) fn too_many_elements(count: usize) -> DataFusionError {
    spark_error(
        "COLLECTION_SIZE_LIMIT_EXCEEDED.FUNCTION",
        format!("Can't create array with {count} elements which exceeding the array size limit {MAX_ELEMENTS}."),
    )
}
