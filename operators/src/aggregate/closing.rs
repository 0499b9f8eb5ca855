//! Keys that the watermark shows to be final: which ones they are, without looking at the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow_row::{RowConverter, SortField};
use tidegate_runtime::{Error, Result, TARGET_BATCH_ROWS, Watermark};

/// Which key column tells when a key is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventTime {
    /// The number of the key column.
    pub column: usize,
    /// What it holds.
    pub kind: EventTimeKind,
}

/// What an event time column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventTimeKind {
    /// A `struct<start, end>`: final when the end is not after the watermark.
    WindowEnd,
    /// A timestamp: final when it is not after the watermark.
    Instant,
}

impl EventTime {
    /// Checks that the column is one.
    pub(super) fn check(self, keys: &SchemaRef) -> Result<()> {
        let data_type = keys.fields().get(self.column).map(|field| field.data_type());
        let time = match (self.kind, data_type) {
            (EventTimeKind::WindowEnd, Some(DataType::Struct(fields))) => fields.get(1).map(|end| end.data_type()),
            (EventTimeKind::WindowEnd, _) => None,
            (EventTimeKind::Instant, data_type) => data_type,
        };
        match time {
            Some(DataType::Timestamp(_, _)) => Ok(()),
            _ => Err(Error::InvalidArgument(format!("key column {} is no event time: {data_type:?}", self.column))),
        }
    }

    /// When each key is final, in microseconds; null for one that never is.
    pub(super) fn final_times(self, keys: &[ArrayRef]) -> Result<Int64Array> {
        let missing = || Error::Protocol(format!("there is no key column {}", self.column));
        let column = keys.get(self.column).ok_or_else(missing)?;
        let (time, outer) = match self.kind {
            EventTimeKind::Instant => (column, None),
            EventTimeKind::WindowEnd => {
                let window = column.as_struct_opt().ok_or_else(missing)?;
                (window.columns().get(1).ok_or_else(missing)?, window.nulls())
            }
        };
        let time = match time.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, _) => cast(time, &DataType::Int64)?,
            _ => cast(&cast(time, &DataType::Timestamp(TimeUnit::Microsecond, None))?, &DataType::Int64)?,
        };
        let time = time.as_primitive::<Int64Type>();
        Ok(Int64Array::new(time.values().clone(), NullBuffer::union(time.nulls(), outer)))
    }

    /// Which keys are not final yet; `None` when all are not.
    pub(super) fn open_keys(self, keys: &[ArrayRef], watermark: Watermark) -> Result<Option<BooleanArray>> {
        let times = self.final_times(keys)?;
        let is_final = |time: Option<i64>| time.is_some_and(|time| time <= watermark.micros());
        if !times.iter().any(is_final) {
            return Ok(None);
        }
        Ok(Some(times.iter().map(|time| Some(!is_final(time))).collect()))
    }
}

/// The keys of a state table by the time at which they are final. It is as large as the table's keys, in memory only, and made from
/// the table when a task starts.
pub(super) struct Closing {
    event_time: EventTime,
    converter: RowConverter,
    schema: SchemaRef,
    keys: BTreeMap<i64, KeyBytes>,
}

/// Some keys as row bytes, one after the other.
#[derive(Debug, Default)]
struct KeyBytes {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeyBytes {
    fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }
}

impl Closing {
    /// No keys yet, which have the columns of `schema`.
    pub(super) fn new(event_time: EventTime, schema: &SchemaRef) -> Result<Self> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Closing { event_time, converter: RowConverter::new(fields)?, schema: Arc::clone(schema), keys: BTreeMap::new() })
    }

    /// Adds keys that are new to the table.
    pub(super) fn add(&mut self, keys: &[ArrayRef]) -> Result<()> {
        let times = self.event_time.final_times(keys)?;
        let rows = self.converter.convert_columns(keys)?;
        for (time, key) in times.iter().zip(rows.iter()) {
            if let Some(time) = time {
                self.keys.entry(time).or_default().push(key.as_ref());
            }
        }
        Ok(())
    }

    /// Takes out the keys that are final, earliest first, in batches of the usual size.
    pub(super) fn close(&mut self, watermark: Watermark) -> Result<Vec<RecordBatch>> {
        let mut closed = Vec::new();
        while let Some(entry) = self.keys.first_entry()
            && *entry.key() <= watermark.micros()
        {
            closed.push(entry.remove());
        }
        let parser = self.converter.parser();
        let mut rows = closed.iter().flat_map(KeyBytes::iter).map(|key| parser.parse(key)).peekable();
        let mut batches = Vec::new();
        while rows.peek().is_some() {
            let columns = self.converter.convert_rows(rows.by_ref().take(TARGET_BATCH_ROWS))?;
            batches.push(RecordBatch::try_new(Arc::clone(&self.schema), columns)?);
        }
        Ok(batches)
    }
}
