//! How kernels of strings read their arguments and build their results.

use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{ArrayAccessor, ArrayRef, AsArray, BinaryArray, BooleanArray, GenericByteArray, PrimitiveArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, BinaryType, ByteArrayType, DataType, Int32Type, Int64Type, Utf8Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use crate::function::{Call, Invocation};
use crate::types::is_numeric;

/// An argument: one value for all rows, or one for each.
pub(crate) enum Column<A: ArrayAccessor> {
    One(Option<A::Item>),
    Each(A),
}

impl<A: ArrayAccessor<Item: Copy>> Column<A> {
    /// The value in a row; `None` if it is null.
    pub(crate) fn get(&self, row: usize) -> Option<A::Item> {
        match self {
            Column::One(value) => *value,
            Column::Each(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

fn column<'a, A: ArrayAccessor>(
    invocation: &'a Invocation<'_>,
    index: usize,
    one: impl FnOnce(&'a ScalarValue) -> Option<A::Item>,
    each: impl FnOnce(&'a ArrayRef) -> Option<A>,
) -> Result<Column<A>> {
    let found = match invocation.args.get(index) {
        Some(ColumnarValue::Scalar(value)) => Some(Column::One(one(value))),
        Some(ColumnarValue::Array(array)) => each(array).map(Column::Each),
        None => None,
    };
    found.ok_or_else(|| DataFusionError::Internal(format!("argument {index} is not of the type that was asked for")))
}

/// Argument `index`, which is a `string` or a `binary`.
pub(crate) fn sequences<'a, T: Sequence>(
    invocation: &'a Invocation<'_>,
    index: usize,
) -> Result<Column<&'a GenericByteArray<T>>> {
    column(invocation, index, T::of_scalar, |array| array.as_bytes_opt::<T>())
}

/// Argument `index`, which is a `string`.
pub(crate) fn texts<'a>(invocation: &'a Invocation<'_>, index: usize) -> Result<Column<&'a StringArray>> {
    sequences::<Utf8Type>(invocation, index)
}

/// Argument `index`, which is a `binary`.
pub(crate) fn binaries<'a>(invocation: &'a Invocation<'_>, index: usize) -> Result<Column<&'a BinaryArray>> {
    sequences::<BinaryType>(invocation, index)
}

/// Argument `index`, which is an `int`.
pub(crate) fn ints<'a>(invocation: &'a Invocation<'_>, index: usize) -> Result<Column<&'a PrimitiveArray<Int32Type>>> {
    let one = |value: &ScalarValue| if let ScalarValue::Int32(value) = value { *value } else { None };
    column(invocation, index, one, |array| array.as_primitive_opt())
}

/// Argument `index`, which is a `bigint`.
pub(crate) fn longs<'a>(invocation: &'a Invocation<'_>, index: usize) -> Result<Column<&'a PrimitiveArray<Int64Type>>> {
    let one = |value: &ScalarValue| if let ScalarValue::Int64(value) = value { *value } else { None };
    column(invocation, index, one, |array| array.as_primitive_opt())
}

/// What `string` and `binary` share: the one is counted in characters, the other in bytes.
pub(crate) trait Sequence: ByteArrayType<Offset = i32> {
    /// What rows are written to.
    type Out: Out<Type = Self>;

    /// The value of a scalar of this type.
    fn of_scalar(value: &ScalarValue) -> Option<&Self::Native>;

    /// How many characters or bytes there are.
    fn count(value: &Self::Native) -> usize;

    /// Where in bytes unit `index` starts; the end if there are fewer.
    fn offset(value: &Self::Native, index: usize) -> usize;

    /// From one offset in bytes to another.
    fn part(value: &Self::Native, from: usize, to: usize) -> &Self::Native;

    /// What a value is filled up with if nothing is said: spaces, or zeros.
    fn default_pad() -> &'static Self::Native;

    /// Writes the value.
    fn push(out: &mut Self::Out, value: &Self::Native);
}

impl Sequence for Utf8Type {
    type Out = String;

    fn of_scalar(value: &ScalarValue) -> Option<&str> {
        if let ScalarValue::Utf8(value) = value { value.as_deref() } else { None }
    }

    fn count(value: &str) -> usize {
        value.chars().count()
    }

    fn offset(value: &str, index: usize) -> usize {
        if index >= value.len() {
            return value.len();
        }
        if value.is_ascii() {
            return index;
        }
        value.char_indices().nth(index).map_or(value.len(), |(at, _)| at)
    }

    fn part(value: &str, from: usize, to: usize) -> &str {
        value.get(from..to).unwrap_or_default()
    }

    fn default_pad() -> &'static str {
        " "
    }

    fn push(out: &mut String, value: &str) {
        out.push_str(value);
    }
}

impl Sequence for BinaryType {
    type Out = Vec<u8>;

    fn of_scalar(value: &ScalarValue) -> Option<&[u8]> {
        if let ScalarValue::Binary(value) = value { value.as_deref() } else { None }
    }

    fn count(value: &[u8]) -> usize {
        value.len()
    }

    fn offset(value: &[u8], index: usize) -> usize {
        index.min(value.len())
    }

    fn part(value: &[u8], from: usize, to: usize) -> &[u8] {
        value.get(from..to).unwrap_or_default()
    }

    fn default_pad() -> &'static [u8] {
        &[0]
    }

    fn push(out: &mut Vec<u8>, value: &[u8]) {
        out.extend_from_slice(value);
    }
}

/// The bytes of a column's rows, one after the other.
pub(crate) trait Out: Default {
    /// The type of the column.
    type Type: ByteArrayType<Offset = i32>;

    /// How many bytes there are.
    fn size(&self) -> usize;

    /// Forgets what comes after `size`.
    fn cut(&mut self, size: usize);

    /// All bytes.
    fn into_buffer(self) -> Buffer;
}

impl Out for String {
    type Type = Utf8Type;

    fn size(&self) -> usize {
        self.len()
    }

    fn cut(&mut self, size: usize) {
        self.truncate(size);
    }

    fn into_buffer(self) -> Buffer {
        Buffer::from_vec(self.into_bytes())
    }
}

impl Out for Vec<u8> {
    type Type = BinaryType;

    fn size(&self) -> usize {
        self.len()
    }

    fn cut(&mut self, size: usize) {
        self.truncate(size);
    }

    fn into_buffer(self) -> Buffer {
        Buffer::from_vec(self)
    }
}

/// A size as an offset of Arrow.
///
/// # Errors
/// When a batch of strings is larger than 2 GiB.
pub(crate) fn to_offset(size: usize) -> Result<i32> {
    i32::try_from(size).map_err(|_| DataFusionError::ResourcesExhausted("the strings of one batch exceed 2 GiB".to_owned()))
}

/// A column of strings or binaries, written row by row: `write` appends a row, or returns `None` for null.
pub(crate) fn try_build<B: Out>(rows: usize, mut write: impl FnMut(usize, &mut B) -> Result<Option<()>>) -> Result<ArrayRef> {
    let (mut out, mut offsets, mut nulls) = (B::default(), Vec::with_capacity(rows + 1), NullBufferBuilder::new(rows));
    offsets.push(0);
    for row in 0..rows {
        let start = out.size();
        let written = write(row, &mut out)?.is_some();
        if !written {
            out.cut(start);
        }
        nulls.append(written);
        offsets.push(to_offset(out.size())?);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(GenericByteArray::<B::Type>::try_new(offsets, out.into_buffer(), nulls.finish())?))
}

/// [`try_build`] for what never fails.
pub(crate) fn build<B: Out>(rows: usize, mut write: impl FnMut(usize, &mut B) -> Option<()>) -> Result<ArrayRef> {
    try_build(rows, |row, out| Ok(write(row, out)))
}

/// A column of numbers.
pub(crate) fn numbers<T: ArrowPrimitiveType>(rows: usize, value: impl FnMut(usize) -> Option<T::Native>) -> Result<ArrayRef> {
    Ok(Arc::new((0..rows).map(value).collect::<PrimitiveArray<T>>()))
}

/// A column of booleans.
pub(crate) fn booleans(rows: usize, value: impl FnMut(usize) -> Option<bool>) -> Result<ArrayRef> {
    Ok(Arc::new((0..rows).map(value).collect::<BooleanArray>()))
}

/// `string`, if argument `index` is cast to it by itself.
pub(crate) fn text(call: &Call<'_>, index: usize) -> Result<DataType> {
    call.coerce(index, &DataType::Utf8)
}

/// `string` for each argument.
pub(crate) fn all_text(call: &Call<'_>) -> Result<Vec<DataType>> {
    (0..call.len()).map(|index| text(call, index)).collect()
}

/// `string`, if argument `index` is one: a few functions cast nothing.
pub(crate) fn exactly_text(call: &Call<'_>, index: usize) -> Result<DataType> {
    match call.data_type(index) {
        DataType::Utf8 | DataType::Null => Ok(DataType::Utf8),
        _ => Err(call.unexpected_type(index, "the \"STRING\" type")),
    }
}

fn number(call: &Call<'_>, index: usize, target: DataType, name: &str) -> Result<DataType> {
    match call.data_type(index) {
        // Numbers of any type are narrowed: a value that doesn't fit is an error of the cast.
        own if is_numeric(own) || matches!(own, DataType::Utf8 | DataType::Null) => Ok(target),
        _ => Err(call.unexpected_type(index, &format!("the \"{name}\" type"))),
    }
}

/// `int`, if argument `index` is cast to it by itself.
pub(crate) fn int(call: &Call<'_>, index: usize) -> Result<DataType> {
    number(call, index, DataType::Int32, "INT")
}

/// `bigint`, if argument `index` is cast to it by itself.
pub(crate) fn long(call: &Call<'_>, index: usize) -> Result<DataType> {
    number(call, index, DataType::Int64, "BIGINT")
}

/// `binary`, if argument `index` is cast to it by itself.
pub(crate) fn binary(call: &Call<'_>, index: usize) -> Result<DataType> {
    call.coerce(index, &DataType::Binary)
}

/// `binary`, if argument `index` is one, else `string`.
pub(crate) fn text_or_binary(call: &Call<'_>, index: usize) -> Result<DataType> {
    match call.data_type(index) {
        DataType::Binary => Ok(DataType::Binary),
        _ => text(call, index).map_err(|_| call.unexpected_type(index, "the (\"STRING\" or \"BINARY\") type")),
    }
}
