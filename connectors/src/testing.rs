//! What the tests of several connectors need.

use arrow::array::AsArray;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{
    Epoch, EpochInfo, JournalEntry, NodeId, Notifier, Offset, OffsetRange, QueryId, Result, SinkContext, Source, SourceContext,
    SourceOutput,
};

pub(crate) fn info(epoch: u64) -> EpochInfo {
    EpochInfo { epoch: Epoch::new(epoch), trigger_time_ms: 0, watermark: None, late_watermark: None }
}

pub(crate) fn source_context(offset: Option<Offset>, journal: Vec<JournalEntry>) -> SourceContext {
    SourceContext {
        node: NodeId::new("in"),
        query: QueryId::random(),
        parallelism: 2,
        offset,
        journal,
        notifier: Notifier::ignored(),
    }
}

pub(crate) fn sink_context(query: QueryId, schema: SchemaRef, committed: Option<u64>) -> SinkContext {
    SinkContext { node: NodeId::new("out"), query, schema, parallelism: 2, committed: committed.map(Epoch::new) }
}

/// Reads a range as the tasks would, one split after the other.
pub(crate) fn read(source: &mut dyn Source, range: &OffsetRange) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    let splits = source.splits(range)?;
    let mut reader = source.reader(0)?;
    let mut emit = |batch| {
        batches.push(batch);
        Ok(())
    };
    for split in &splits {
        reader.read(split, &mut SourceOutput::new(info(0), &mut emit))?;
    }
    Ok(batches)
}

/// The strings of the first column.
pub(crate) fn strings(batches: &[RecordBatch]) -> Vec<String> {
    let column =
        |batch: &RecordBatch| batch.column(0).as_string::<i32>().iter().map(|v| v.unwrap().to_owned()).collect::<Vec<_>>();
    batches.iter().flat_map(column).collect()
}
