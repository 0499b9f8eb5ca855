//! Columns that are filled value by value and can be cut back: what a decoder builds.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, ListArray, MapArray, NullArray, PrimitiveArray, StringArray,
    StructArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use datafusion::error::{DataFusionError, Result};

use crate::types::map_types;

/// Values of a fixed width.
#[derive(Debug)]
pub(crate) struct Flat<T> {
    values: Vec<T>,
    valid: Vec<bool>,
}

impl<T: Default> Flat<T> {
    fn new() -> Self {
        Flat { values: Vec::new(), valid: Vec::new() }
    }

    pub(crate) fn push(&mut self, value: Option<T>) {
        self.valid.push(value.is_some());
        self.values.push(value.unwrap_or_default());
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.valid.truncate(len);
    }

    fn finish<P: ArrowPrimitiveType<Native = T>>(self) -> PrimitiveArray<P>
    where
        T: ArrowNativeType,
    {
        PrimitiveArray::new(ScalarBuffer::from(self.values), Some(NullBuffer::from(self.valid)))
    }
}

/// Values that are bytes.
#[derive(Debug)]
pub(crate) struct Bytes {
    bytes: Vec<u8>,
    ends: Vec<i32>,
    valid: Vec<bool>,
}

impl Bytes {
    pub(crate) fn push(&mut self, value: Option<&[u8]>) {
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.ends.push(self.bytes.len() as i32);
        self.valid.push(value.is_some());
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len + 1);
        self.valid.truncate(len);
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    fn parts(self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        (OffsetBuffer::new(ScalarBuffer::from(self.ends)), Buffer::from_vec(self.bytes), Some(NullBuffer::from(self.valid)))
    }
}

/// Where the lists of a column end among their elements.
#[derive(Debug)]
pub(crate) struct Ends {
    ends: Vec<i32>,
    valid: Vec<bool>,
}

impl Ends {
    fn new() -> Self {
        Ends { ends: vec![0], valid: Vec::new() }
    }

    /// Ends a list, or a null, after this many elements.
    pub(crate) fn push(&mut self, end: usize, valid: bool) {
        self.ends.push(end as i32);
        self.valid.push(valid);
    }

    fn truncate(&mut self, len: usize) -> usize {
        self.ends.truncate(len + 1);
        self.valid.truncate(len);
        self.ends.last().map_or(0, |end| *end as usize)
    }

    fn parts(self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        (OffsetBuffer::new(ScalarBuffer::from(self.ends)), Some(NullBuffer::from(self.valid)))
    }
}

/// A column of one of Spark's types.
#[derive(Debug)]
pub(crate) enum Column {
    Null(usize),
    Boolean(Flat<bool>),
    Byte(Flat<i8>),
    Short(Flat<i16>),
    Int(Flat<i32>),
    Long(Flat<i64>),
    Float(Flat<f32>),
    Double(Flat<f64>),
    Decimal(Flat<i128>, u8, i8),
    Date(Flat<i32>),
    Timestamp(Flat<i64>),
    TimestampNtz(Flat<i64>),
    Text(Bytes),
    Binary(Bytes),
    List(Box<Column>, Ends),
    /// Keys, values and the ends of the maps.
    Map(Box<(Column, Column)>, Ends),
    Struct(Vec<Column>, Vec<bool>),
}

impl Column {
    /// An empty column; `None` for a type that has no column.
    pub(crate) fn new(data_type: &DataType) -> Option<Column> {
        let bytes = || Bytes { bytes: Vec::new(), ends: vec![0], valid: Vec::new() };
        Some(match data_type {
            DataType::Null => Column::Null(0),
            DataType::Boolean => Column::Boolean(Flat::new()),
            DataType::Int8 => Column::Byte(Flat::new()),
            DataType::Int16 => Column::Short(Flat::new()),
            DataType::Int32 => Column::Int(Flat::new()),
            DataType::Int64 => Column::Long(Flat::new()),
            DataType::Float32 => Column::Float(Flat::new()),
            DataType::Float64 => Column::Double(Flat::new()),
            DataType::Decimal128(precision, scale) => Column::Decimal(Flat::new(), *precision, *scale),
            DataType::Date32 => Column::Date(Flat::new()),
            DataType::Timestamp(_, Some(_)) => Column::Timestamp(Flat::new()),
            DataType::Timestamp(_, None) => Column::TimestampNtz(Flat::new()),
            DataType::Utf8 => Column::Text(bytes()),
            DataType::Binary => Column::Binary(bytes()),
            DataType::List(field) => Column::List(Box::new(Column::new(field.data_type())?), Ends::new()),
            DataType::Map(_, _) => {
                let (key, value) = map_types(data_type)?;
                Column::Map(Box::new((Column::new(key)?, Column::new(value)?)), Ends::new())
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|field| Column::new(field.data_type())).collect::<Option<_>>()?;
                Column::Struct(columns, Vec::new())
            }
            _ => return None,
        })
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Column::Null(len) => *len,
            Column::Boolean(flat) => flat.valid.len(),
            Column::Byte(flat) => flat.valid.len(),
            Column::Short(flat) => flat.valid.len(),
            Column::Int(flat) | Column::Date(flat) => flat.valid.len(),
            Column::Long(flat) | Column::Timestamp(flat) | Column::TimestampNtz(flat) => flat.valid.len(),
            Column::Float(flat) => flat.valid.len(),
            Column::Double(flat) => flat.valid.len(),
            Column::Decimal(flat, _, _) => flat.valid.len(),
            Column::Text(bytes) | Column::Binary(bytes) => bytes.valid.len(),
            Column::List(_, ends) | Column::Map(_, ends) => ends.valid.len(),
            Column::Struct(_, valid) => valid.len(),
        }
    }

    pub(crate) fn push_null(&mut self) {
        match self {
            Column::Null(len) => *len += 1,
            Column::Boolean(flat) => flat.push(None),
            Column::Byte(flat) => flat.push(None),
            Column::Short(flat) => flat.push(None),
            Column::Int(flat) | Column::Date(flat) => flat.push(None),
            Column::Long(flat) | Column::Timestamp(flat) | Column::TimestampNtz(flat) => flat.push(None),
            Column::Float(flat) => flat.push(None),
            Column::Double(flat) => flat.push(None),
            Column::Decimal(flat, _, _) => flat.push(None),
            Column::Text(bytes) | Column::Binary(bytes) => bytes.push(None),
            Column::List(elements, ends) => ends.push(elements.len(), false),
            Column::Map(entries, ends) => ends.push(entries.0.len(), false),
            Column::Struct(columns, valid) => {
                columns.iter_mut().for_each(Column::push_null);
                valid.push(false);
            }
        }
    }

    /// Forgets the values from this one on.
    pub(crate) fn truncate(&mut self, len: usize) {
        match self {
            Column::Null(own) => *own = len.min(*own),
            Column::Boolean(flat) => flat.truncate(len),
            Column::Byte(flat) => flat.truncate(len),
            Column::Short(flat) => flat.truncate(len),
            Column::Int(flat) | Column::Date(flat) => flat.truncate(len),
            Column::Long(flat) | Column::Timestamp(flat) | Column::TimestampNtz(flat) => flat.truncate(len),
            Column::Float(flat) => flat.truncate(len),
            Column::Double(flat) => flat.truncate(len),
            Column::Decimal(flat, _, _) => flat.truncate(len),
            Column::Text(bytes) | Column::Binary(bytes) => bytes.truncate(len),
            Column::List(elements, ends) => elements.truncate(ends.truncate(len)),
            Column::Map(entries, ends) => {
                let end = ends.truncate(len);
                entries.0.truncate(end);
                entries.1.truncate(end);
            }
            Column::Struct(columns, valid) => {
                columns.iter_mut().for_each(|column| column.truncate(len));
                valid.truncate(len);
            }
        }
    }

    /// The array of the type that the column was made for.
    pub(crate) fn finish(self, data_type: &DataType) -> Result<ArrayRef> {
        let mismatch = || DataFusionError::Internal(format!("a column is not of type {data_type}"));
        Ok(match (self, data_type) {
            (Column::Null(len), _) => Arc::new(NullArray::new(len)),
            (Column::Boolean(flat), _) => {
                Arc::new(BooleanArray::new(BooleanBuffer::from(flat.values), Some(NullBuffer::from(flat.valid))))
            }
            (Column::Byte(flat), _) => Arc::new(flat.finish::<Int8Type>()),
            (Column::Short(flat), _) => Arc::new(flat.finish::<Int16Type>()),
            (Column::Int(flat), _) => Arc::new(flat.finish::<Int32Type>()),
            (Column::Long(flat), _) => Arc::new(flat.finish::<Int64Type>()),
            (Column::Float(flat), _) => Arc::new(flat.finish::<Float32Type>()),
            (Column::Double(flat), _) => Arc::new(flat.finish::<Float64Type>()),
            (Column::Decimal(flat, precision, scale), _) => {
                let array = Decimal128Array::new(ScalarBuffer::from(flat.values), Some(NullBuffer::from(flat.valid)));
                Arc::new(array.with_precision_and_scale(precision, scale)?)
            }
            (Column::Date(flat), _) => Arc::new(flat.finish::<Date32Type>()),
            (Column::Timestamp(flat), _) => Arc::new(flat.finish::<TimestampMicrosecondType>().with_timezone("UTC")),
            (Column::TimestampNtz(flat), _) => Arc::new(flat.finish::<TimestampMicrosecondType>()),
            (Column::Text(bytes), _) => {
                let (ends, bytes, valid) = bytes.parts();
                Arc::new(StringArray::try_new(ends, bytes, valid)?)
            }
            (Column::Binary(bytes), _) => {
                let (ends, bytes, valid) = bytes.parts();
                Arc::new(BinaryArray::try_new(ends, bytes, valid)?)
            }
            (Column::List(elements, ends), DataType::List(field)) => {
                let (ends, valid) = ends.parts();
                Arc::new(ListArray::try_new(Arc::clone(field), ends, elements.finish(field.data_type())?, valid)?)
            }
            (Column::Map(entries, ends), DataType::Map(field, sorted)) => {
                let DataType::Struct(fields) = field.data_type() else { return Err(mismatch()) };
                let (key, value) = map_types(data_type).ok_or_else(mismatch)?;
                let (ends, valid) = ends.parts();
                let entries = vec![entries.0.finish(key)?, entries.1.finish(value)?];
                let entries = StructArray::try_new(fields.clone(), entries, None)?;
                Arc::new(MapArray::try_new(Arc::clone(field), ends, entries, valid, *sorted)?)
            }
            (Column::Struct(columns, valid), DataType::Struct(fields)) => {
                let (len, valid) = (valid.len(), Some(NullBuffer::from(valid)));
                let arrays = columns.into_iter().zip(fields).map(|(column, field)| column.finish(field.data_type()));
                Arc::new(StructArray::try_new_with_length(fields.clone(), arrays.collect::<Result<_>>()?, valid, len)?)
            }
            _ => return Err(mismatch()),
        })
    }
}
