//! Columns that grow value by value, and can take values back: a record that turns out to be broken leaves nothing behind.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, MapArray, NullBufferBuilder,
    PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use tidegate_runtime::Result;

use super::forms::TextForm;
use super::scalars;

/// A column of one of the types that files can have.
#[derive(Debug)]
pub(crate) enum Column {
    Boolean(Booleans),
    Int8(Numbers<Int8Type>),
    Int16(Numbers<Int16Type>),
    Int32(Numbers<Int32Type>),
    Int64(Numbers<Int64Type>),
    Float32(Numbers<Float32Type>),
    Float64(Numbers<Float64Type>),
    Decimal(Numbers<Decimal128Type>, u8, i8),
    Utf8(Texts),
    Binary(Texts),
    Date(Numbers<Date32Type>),
    /// An instant.
    Timestamp(Numbers<TimestampMicrosecondType>),
    /// A time by the wall clock.
    TimestampNtz(Numbers<TimestampMicrosecondType>),
    List(Box<Lists>),
    Map(Box<Maps>),
    Struct(Structs),
}

/// Calls the same method of whatever holds the values.
macro_rules! each {
    ($column:expr, $values:ident => $call:expr) => {
        match $column {
            Column::Boolean($values) => $call,
            Column::Int8($values) => $call,
            Column::Int16($values) => $call,
            Column::Int32($values) => $call,
            Column::Int64($values) => $call,
            Column::Float32($values) => $call,
            Column::Float64($values) => $call,
            Column::Decimal($values, _, _) => $call,
            Column::Utf8($values) | Column::Binary($values) => $call,
            Column::Date($values) => $call,
            Column::Timestamp($values) | Column::TimestampNtz($values) => $call,
            Column::List($values) => $call,
            Column::Map($values) => $call,
            Column::Struct($values) => $call,
        }
    };
}

impl Column {
    /// Whether there is a column for this type.
    pub(crate) fn can_hold(data_type: &DataType) -> bool {
        Column::new(data_type).is_some()
    }

    /// An empty column; `None` if files can't have the type.
    #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow's types are many and grow; all but these are refused")]
    pub(crate) fn new(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Column::Boolean(Booleans::new()),
            DataType::Int8 => Column::Int8(Numbers::new(data_type)),
            DataType::Int16 => Column::Int16(Numbers::new(data_type)),
            DataType::Int32 => Column::Int32(Numbers::new(data_type)),
            DataType::Int64 => Column::Int64(Numbers::new(data_type)),
            DataType::Float32 => Column::Float32(Numbers::new(data_type)),
            DataType::Float64 => Column::Float64(Numbers::new(data_type)),
            DataType::Decimal128(precision, scale) => Column::Decimal(Numbers::new(data_type), *precision, *scale),
            DataType::Utf8 => Column::Utf8(Texts::new(true)),
            DataType::Binary => Column::Binary(Texts::new(false)),
            DataType::Date32 => Column::Date(Numbers::new(data_type)),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Column::Timestamp(Numbers::new(data_type)),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Column::TimestampNtz(Numbers::new(data_type)),
            DataType::List(item) => Column::List(Box::new(Lists::new(item)?)),
            DataType::Map(entries, false) => Column::Map(Box::new(Maps::new(entries)?)),
            DataType::Struct(fields) => Column::Struct(Structs::new(fields)?),
            _ => return None,
        })
    }

    /// How many values, nulls included.
    pub(crate) fn len(&self) -> usize {
        each!(self, values => values.valid.len())
    }

    /// Takes back all values but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        if self.len() > len {
            each!(self, values => values.truncate(len));
        }
    }

    /// Adds a null.
    pub(crate) fn push_null(&mut self) {
        each!(self, values => values.push_null());
    }

    /// Adds the value that `text` stands for in a CSV file, or null and `false` if it stands for none.
    pub(crate) fn push_text(&mut self, text: &[u8]) -> bool {
        let known = match self {
            Column::Boolean(values) => boolean(text).map(|value| values.push(value)),
            Column::Int8(values) => values.push_integer(scalars::integer(text)),
            Column::Int16(values) => values.push_integer(scalars::integer(text)),
            Column::Int32(values) => values.push_integer(scalars::integer(text)),
            Column::Int64(values) => values.push_integer(scalars::integer(text)),
            Column::Float32(values) => {
                special(text).map(|v| v as f32).or_else(|| scalars::java_float(text)).map(|v| values.push(v))
            }
            Column::Float64(values) => special(text).or_else(|| scalars::java_float(text)).map(|v| values.push(v)),
            Column::Decimal(values, precision, scale) => {
                scalars::decimal(text, *precision, *scale).map(|value| values.push(value))
            }
            Column::Utf8(values) | Column::Binary(values) => {
                values.push(text);
                Some(())
            }
            Column::Date(values) => values.push_form(text, scalars::date),
            Column::Timestamp(values) => values.push_form(text, scalars::instant),
            Column::TimestampNtz(values) => values.push_form(text, scalars::wall_clock),
            Column::List(_) | Column::Map(_) | Column::Struct(_) => None,
        };
        if known.is_none() {
            self.push_null();
        }
        known.is_some()
    }

    /// All values as an array; the column is empty then.
    pub(crate) fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        each!(self, values => values.take())
    }
}

fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        text if text.eq_ignore_ascii_case(b"true") => Some(true),
        text if text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

fn special(text: &[u8]) -> Option<f64> {
    match text {
        b"NaN" => Some(f64::NAN),
        b"Inf" | b"Infinity" | b"+Infinity" => Some(f64::INFINITY),
        b"-Inf" | b"-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Which values are not null; costs nothing as long as all are.
fn validity() -> NullBufferBuilder {
    NullBufferBuilder::new(0)
}

#[derive(Debug)]
pub(crate) struct Booleans {
    values: BooleanBufferBuilder,
    valid: NullBufferBuilder,
}

impl Booleans {
    fn new() -> Self {
        Booleans { values: BooleanBufferBuilder::new(0), valid: validity() }
    }

    pub(crate) fn push(&mut self, value: bool) {
        self.values.append(value);
        self.valid.append_non_null();
    }

    fn push_null(&mut self) {
        self.values.append(false);
        self.valid.append_null();
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.valid.truncate(len);
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(BooleanArray::new(self.values.finish(), self.valid.finish())))
    }
}

#[derive(Debug)]
pub(crate) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    valid: NullBufferBuilder,
    data_type: DataType,
    /// How dates and times are written, if not as usual.
    pub(super) form: Option<TextForm>,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn new(data_type: &DataType) -> Self {
        Numbers { values: Vec::new(), valid: validity(), data_type: data_type.clone(), form: None }
    }

    pub(crate) fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.valid.append_non_null();
    }

    /// Adds the number if there is one and the type can hold it.
    pub(crate) fn push_integer(&mut self, value: Option<i64>) -> Option<()>
    where
        T::Native: TryFrom<i64>,
    {
        self.push(T::Native::try_from(value?).ok()?);
        Some(())
    }

    /// Adds the date or time that `text` stands for, in the form of the column if it has one.
    pub(crate) fn push_form(&mut self, text: &[u8], usual: impl FnOnce(&[u8]) -> Option<T::Native>) -> Option<()>
    where
        T::Native: TryFrom<i64>,
    {
        let by_form = |form: &TextForm| T::Native::try_from(form.parse(text)?).ok();
        let value = match &self.form {
            None => usual(text),
            Some(form) if form.comes_after_usual() => usual(text).or_else(|| by_form(form)),
            Some(form) => by_form(form),
        };
        self.push(value?);
        Some(())
    }

    fn push_null(&mut self) {
        self.values.push(T::Native::default());
        self.valid.append_null();
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.valid.truncate(len);
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        // The next batch is likely as large as this one.
        let next = Vec::with_capacity(self.values.len());
        let values = std::mem::replace(&mut self.values, next);
        let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(values), self.valid.finish())?;
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }
}

/// Values of any length, text or not.
#[derive(Debug)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    /// Where each value begins, and where the last one ends.
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
    is_text: bool,
}

impl Texts {
    pub(crate) fn new(is_text: bool) -> Self {
        Texts { bytes: Vec::new(), offsets: vec![0], valid: validity(), is_text }
    }

    pub(crate) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.close();
    }

    /// Adds the value that `write` appends.
    pub(crate) fn push_with<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let len = self.bytes.len();
        let written = write(&mut self.bytes);
        match written {
            Ok(()) => self.close(),
            Err(_) => self.bytes.truncate(len),
        }
        written
    }

    fn close(&mut self) {
        // Fits: a batch is made of at most 8 MiB of text and one line, which is not longer than 1 GiB.
        self.offsets.push(self.bytes.len() as i32);
        self.valid.append_non_null();
    }

    pub(crate) fn push_null(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
        self.valid.append_null();
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.bytes.truncate(self.offsets.last().map_or(0, |end| *end as usize));
        self.valid.truncate(len);
    }

    pub(crate) fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let next = Vec::with_capacity(self.bytes.len());
        let bytes = std::mem::replace(&mut self.bytes, next);
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let (bytes, nulls) = (Buffer::from_vec(bytes), self.valid.finish());
        Ok(if self.is_text {
            Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
        } else {
            Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
        })
    }
}

#[derive(Debug)]
pub(crate) struct Lists {
    pub(crate) items: Column,
    field: FieldRef,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

impl Lists {
    fn new(field: &FieldRef) -> Option<Self> {
        let items = Column::new(field.data_type())?;
        Some(Lists { items, field: Arc::clone(field), offsets: vec![0], valid: validity() })
    }

    /// Makes a value of the items that were added since the last one.
    pub(crate) fn close(&mut self) {
        self.offsets.push(self.items.len() as i32);
        self.valid.append_non_null();
    }

    pub(crate) fn push_null(&mut self) {
        self.reopen();
        self.offsets.push(self.items.len() as i32);
        self.valid.append_null();
    }

    /// Takes back the items since the last value.
    fn reopen(&mut self) {
        self.items.truncate(self.offsets.last().map_or(0, |end| *end as usize));
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.valid.truncate(len);
        self.reopen();
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, vec![0])));
        Ok(Arc::new(ListArray::try_new(Arc::clone(&self.field), offsets, self.items.take()?, self.valid.finish())?))
    }
}

#[derive(Debug)]
pub(crate) struct Maps {
    pub(crate) keys: Texts,
    pub(crate) values: Column,
    entries: FieldRef,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

impl Maps {
    fn new(entries: &FieldRef) -> Option<Self> {
        let DataType::Struct(fields) = entries.data_type() else { return None };
        let [key, value] = fields.iter().as_slice() else { return None };
        let values = Column::new(value.data_type())?;
        let keys = (*key.data_type() == DataType::Utf8).then(|| Texts::new(true))?;
        Some(Maps { keys, values, entries: Arc::clone(entries), offsets: vec![0], valid: validity() })
    }

    /// Makes a value of the entries that were added since the last one.
    pub(crate) fn close(&mut self) {
        self.offsets.push(self.values.len() as i32);
        self.valid.append_non_null();
    }

    pub(crate) fn push_null(&mut self) {
        self.reopen();
        self.offsets.push(self.values.len() as i32);
        self.valid.append_null();
    }

    fn reopen(&mut self) {
        let len = self.offsets.last().map_or(0, |end| *end as usize);
        self.keys.truncate(len);
        self.values.truncate(len);
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.valid.truncate(len);
        self.reopen();
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, vec![0])));
        let DataType::Struct(fields) = self.entries.data_type() else {
            return Err(ArrowError::SchemaError("the entries of a map are a struct".to_owned()));
        };
        let entries = StructArray::try_new(fields.clone(), vec![self.keys.take()?, self.values.take()?], None)?;
        Ok(Arc::new(MapArray::try_new(Arc::clone(&self.entries), offsets, entries, self.valid.finish(), false)?))
    }
}

/// Named columns of one length.
#[derive(Debug)]
pub(crate) struct Structs {
    pub(crate) columns: Vec<Column>,
    fields: Fields,
    indexes: HashMap<Box<[u8]>, usize>,
    /// The names of the object before, in its order: the next one likely has the same.
    order: Vec<(Box<[u8]>, Option<usize>)>,
    valid: NullBufferBuilder,
}

impl Structs {
    pub(crate) fn new(fields: &Fields) -> Option<Self> {
        let columns = fields.iter().map(|field| Column::new(field.data_type())).collect::<Option<Vec<_>>>()?;
        let names = fields.iter().map(|field| field.name().as_bytes().into());
        let indexes = names.zip(0..).collect();
        Some(Structs { columns, fields: fields.clone(), indexes, order: Vec::new(), valid: validity() })
    }

    pub(crate) fn len(&self) -> usize {
        self.valid.len()
    }

    /// The column of this name; `position` counts the names of the object, known or not.
    pub(crate) fn index_of(&mut self, name: &[u8], position: usize) -> Option<usize> {
        /// An object with more names is looked up name by name.
        const MOST_REMEMBERED: usize = 1_024;
        match self.order.get_mut(position) {
            Some((known, index)) if **known == *name => *index,
            Some(other) => {
                let index = self.indexes.get(name).copied();
                *other = (name.into(), index);
                index
            }
            None => {
                let index = self.indexes.get(name).copied();
                if position < MOST_REMEMBERED {
                    self.order.push((name.into(), index));
                }
                index
            }
        }
    }

    /// Makes a row of the values that were added since the last one; columns that got none get null.
    pub(crate) fn close(&mut self) {
        let row = self.len();
        self.columns.iter_mut().filter(|column| column.len() == row).for_each(Column::push_null);
        self.valid.append_non_null();
    }

    fn push_null(&mut self) {
        let row = self.len();
        for column in &mut self.columns {
            column.truncate(row);
            column.push_null();
        }
        self.valid.append_null();
    }

    /// Takes back all rows but the first `len`, and the values of an open one.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(len));
        self.valid.truncate(len);
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let (len, nulls) = (self.len(), self.valid.finish());
        let columns = self.take_columns()?;
        let array = match columns.is_empty() {
            true => StructArray::try_new_with_length(self.fields.clone(), columns, nulls, len)?,
            false => StructArray::try_new(self.fields.clone(), columns, nulls)?,
        };
        Ok(Arc::new(array))
    }

    /// The rows, column by column; there are none then.
    pub(crate) fn take_columns(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.valid.truncate(0);
        self.columns.iter_mut().map(Column::take).collect()
    }
}
