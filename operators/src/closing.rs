//! Keys that the watermark shows to be final: which ones they are, without looking at the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_row::{RowConverter, SortField};
use tidegate_runtime::{Result, TARGET_BATCH_ROWS, Watermark};

/// The keys of a state table by the time at which they are final. It is as large as the table's keys, in memory only, and made from
/// the table when a task starts.
pub(crate) struct Closing {
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
    pub(crate) fn new(schema: &SchemaRef) -> Result<Self> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Closing { converter: RowConverter::new(fields)?, schema: Arc::clone(schema), keys: BTreeMap::new() })
    }

    /// Adds keys that are new to the table, with the time in microseconds at which each is final; null: never.
    pub(crate) fn add(&mut self, times: &Int64Array, keys: &[ArrayRef]) -> Result<()> {
        let rows = self.converter.convert_columns(keys)?;
        let mut timed: Vec<(i64, u32)> = times.iter().zip(0..).filter_map(|(time, row)| Some((time?, row))).collect();
        // One look-up for each time; keys of the same time stay in their order.
        timed.sort_by_key(|(time, _)| *time);
        for same in timed.chunk_by(|one, other| one.0 == other.0) {
            let [(time, _), ..] = same else { continue };
            let keys = self.keys.entry(*time).or_default();
            same.iter().for_each(|(_, row)| keys.push(rows.row(*row as usize).data()));
        }
        Ok(())
    }

    /// Takes out the keys that are final, earliest first, in batches of the usual size.
    pub(crate) fn close(&mut self, watermark: Watermark) -> Result<Vec<RecordBatch>> {
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
