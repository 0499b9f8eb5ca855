//! How this family's kernels read their arguments and build their results.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use std::sync::Arc;

use crate::function::{Call, Invocation};
use crate::types::{is_integral, is_numeric};

/// An argument of primitive type, without repeating a scalar.
pub(super) struct Values<T: ArrowPrimitiveType> {
    array: PrimitiveArray<T>,
    repeated: bool,
}

impl<T: ArrowPrimitiveType> Values<T> {
    pub(super) fn get(&self, row: usize) -> Option<T::Native> {
        let row = if self.repeated { 0 } else { row };
        self.array.is_valid(row).then(|| self.array.value(row))
    }
}

/// An argument of type `string`, without repeating a scalar.
pub(super) struct Texts {
    array: StringArray,
    repeated: bool,
}

impl Texts {
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        let row = if self.repeated { 0 } else { row };
        self.array.is_valid(row).then(|| self.array.value(row))
    }
}

fn unrepeated(invocation: &Invocation<'_>, index: usize) -> Result<(ArrayRef, bool)> {
    match invocation.scalar(index) {
        Some(value) => Ok((value.to_array_of_size(1)?, true)),
        None => Ok((invocation.array(index)?, false)),
    }
}

pub(super) fn values<T: ArrowPrimitiveType>(invocation: &Invocation<'_>, index: usize) -> Result<Values<T>> {
    let (array, repeated) = unrepeated(invocation, index)?;
    let array = array.as_primitive_opt::<T>().ok_or_else(|| unpromised(&array))?.clone();
    Ok(Values { array, repeated })
}

pub(super) fn texts(invocation: &Invocation<'_>, index: usize) -> Result<Texts> {
    let (array, repeated) = unrepeated(invocation, index)?;
    let array = array.as_string_opt::<i32>().ok_or_else(|| unpromised(&array))?.clone();
    Ok(Texts { array, repeated })
}

fn unpromised(array: &ArrayRef) -> DataFusionError {
    DataFusionError::Internal(format!("an argument has the type {}, which wasn't asked for", array.data_type()))
}

/// What a text means, worked out again only when the text changes: it is nearly always the same for all rows.
pub(super) struct Memo<T> {
    last: Option<(String, T)>,
}

impl<T> Memo<T> {
    pub(super) fn new() -> Self {
        Memo { last: None }
    }

    pub(super) fn get(&mut self, text: &str, read: impl FnOnce(&str) -> Result<T>) -> Result<&T> {
        if self.last.as_ref().is_none_or(|(last, _)| last != text) {
            self.last = Some((text.to_owned(), read(text)?));
        }
        let (_, value) = self.last.as_ref().ok_or_else(|| DataFusionError::Internal("nothing was read".to_owned()))?;
        Ok(value)
    }
}

/// One value for each row, of a type that is stored as `T`.
pub(super) fn build<T: ArrowPrimitiveType>(
    invocation: &Invocation<'_>,
    data_type: &DataType,
    row: impl FnMut(usize) -> Result<Option<T::Native>>,
) -> Result<ArrayRef> {
    let array = (0..invocation.rows).map(row).collect::<Result<PrimitiveArray<T>>>()?;
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

/// The same from one argument that is stored as `A`; null where it is null.
pub(super) fn unary<A: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    invocation: &Invocation<'_>,
    data_type: &DataType,
    convert: impl Fn(A::Native) -> Result<Option<T::Native>>,
) -> Result<ArrayRef> {
    let argument = values::<A>(invocation, 0)?;
    build::<T>(invocation, data_type, |row| argument.get(row).map_or(Ok(None), &convert))
}

/// The same from two arguments; null where one is null.
pub(super) fn binary<A: ArrowPrimitiveType, B: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    invocation: &Invocation<'_>,
    data_type: &DataType,
    convert: impl Fn(A::Native, B::Native) -> Result<Option<T::Native>>,
) -> Result<ArrayRef> {
    let (left, right) = (values::<A>(invocation, 0)?, values::<B>(invocation, 1)?);
    build::<T>(invocation, data_type, |row| match (left.get(row), right.get(row)) {
        (Some(left), Some(right)) => convert(left, right),
        _ => Ok(None),
    })
}

/// `target`, a numeric type, for an argument that is any number or text: those Spark casts wherever one numeric type is wanted.
pub(super) fn number(call: &Call<'_>, index: usize, target: DataType) -> Result<DataType> {
    match call.data_type(index) {
        DataType::Utf8 | DataType::Null => Ok(target),
        other if is_numeric(other) => Ok(target),
        _ => call.coerce(index, &target),
    }
}

/// `int`, for an argument that must not be wider than that.
pub(super) fn small_int(call: &Call<'_>, index: usize) -> Result<DataType> {
    match call.data_type(index) {
        DataType::Utf8 | DataType::Null => Ok(DataType::Int32),
        other if is_integral(other) && other != &DataType::Int64 => Ok(DataType::Int32),
        _ => Err(call.unexpected_type(index, "the (\"INT\" or \"SMALLINT\" or \"TINYINT\") type")),
    }
}

/// The type of an argument that may be either kind of timestamp: text, dates and untyped nulls become `timestamp`.
pub(super) fn any_timestamp(call: &Call<'_>, index: usize) -> Result<DataType> {
    match call.data_type(index) {
        own @ DataType::Timestamp(_, _) => Ok(own.clone()),
        DataType::Utf8 | DataType::Date32 | DataType::Null => Ok(crate::types::timestamp()),
        _ => Err(call.unexpected_type(index, "the \"(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)\" type")),
    }
}
