//! Columns that hold event time: a timestamp, or a window, which stands for its end.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};
use tidegate_runtime::{Error, Result, Watermark};

/// Which key column tells when a key is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventTime {
    /// The number of the key column.
    pub column: usize,
    /// What it holds.
    pub kind: EventTimeKind,
    /// How far the rows stay behind the query's watermark, in microseconds: what a join has held back comes late.
    pub lag_micros: i64,
}

/// What an event time column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventTimeKind {
    /// A `struct<start, end>`: final when the end is not after the watermark.
    WindowEnd,
    /// A timestamp: final when it is not after the watermark.
    Instant,
}

impl EventTimeKind {
    /// The kind of a column of this type; `None` when it is no event time.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Timestamp(_, _) => Some(EventTimeKind::Instant),
            DataType::Struct(fields) => {
                let end = fields.get(1).map(|end| end.data_type());
                matches!(end, Some(DataType::Timestamp(_, _))).then_some(EventTimeKind::WindowEnd)
            }
            _ => None,
        }
    }
}

impl EventTime {
    /// Checks that the column is one.
    pub(crate) fn check(self, keys: &SchemaRef) -> Result<()> {
        let data_type = keys.fields().get(self.column).map(|field| field.data_type());
        match data_type.and_then(EventTimeKind::of) {
            Some(kind) if kind == self.kind => Ok(()),
            _ => Err(Error::InvalidArgument(format!("key column {} is no event time: {data_type:?}", self.column))),
        }
    }

    /// When each key is final, in microseconds; null for one that never is.
    pub(crate) fn final_times(self, keys: &[ArrayRef]) -> Result<Int64Array> {
        let column = keys.get(self.column).ok_or_else(|| Error::Protocol(format!("there is no key column {}", self.column)))?;
        let times = micros(column)?;
        Ok(if self.lag_micros == 0 { times } else { times.unary(|time: i64| time.saturating_add(self.lag_micros)) })
    }

    /// Which keys are not final yet; `None` when all are not.
    pub(crate) fn open_keys(self, keys: &[ArrayRef], watermark: Watermark) -> Result<Option<BooleanArray>> {
        Ok(after(&self.final_times(keys)?, watermark))
    }
}

/// The event time of each row, in microseconds; of a window, its end.
///
/// # Errors
/// When the column is no event time.
pub(crate) fn micros(column: &ArrayRef) -> Result<Int64Array> {
    let (time, outer) = match (EventTimeKind::of(column.data_type()), column.as_struct_opt()) {
        (Some(EventTimeKind::Instant), _) => (Some(column), None),
        (Some(EventTimeKind::WindowEnd), Some(window)) => (window.columns().get(1), window.nulls()),
        _ => (None, None),
    };
    let time = time.ok_or_else(|| Error::InvalidArgument(format!("a column of type {} is no event time", column.data_type())))?;
    let time = match time.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => cast(time, &DataType::Int64)?,
        _ => cast(&cast(time, &DataType::Timestamp(TimeUnit::Microsecond, None))?, &DataType::Int64)?,
    };
    let time = time.as_primitive::<Int64Type>();
    Ok(Int64Array::new(time.values().clone(), NullBuffer::union(time.nulls(), outer)))
}

/// Which times the watermark has not passed, those that are null among them; `None` when it has passed none.
pub(crate) fn after(times: &Int64Array, watermark: Watermark) -> Option<BooleanArray> {
    let is_passed = |time: Option<i64>| time.is_some_and(|time| time <= watermark.micros());
    times.iter().any(is_passed).then(|| times.iter().map(|time| Some(!is_passed(time))).collect())
}
