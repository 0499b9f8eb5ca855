//! Rows in and out of queries.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tidegate::connectors::{MemorySink, MemoryStream};
use tidegate::{DataFrame, OutputMode, Session, StreamingQuery};

/// A column of strings.
pub(crate) fn strings<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// A column of numbers.
pub(crate) fn numbers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// A batch of nullable columns.
pub(crate) fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// Rows as text, sorted: what can be compared whatever the order.
pub(crate) fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = lines(batches);
    lines.sort_unstable();
    lines
}

/// Rows as text.
pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    lines
}

/// Runs a query over what its sources have, to its end.
pub(crate) fn run(frame: &DataFrame, mode: OutputMode, sink: &MemorySink, checkpoint: &Path) -> tidegate::Result<StreamingQuery> {
    let writer = frame.write_stream().output_mode(mode).sink(sink.clone()).checkpoint(checkpoint);
    let query = writer.available_now().start()?;
    query.await_termination(None)?;
    Ok(query)
}

/// A session with a stream under a name.
pub(crate) fn session_with(name: &str, stream: &MemoryStream, parallelism: usize) -> Session {
    let session = Session::builder().parallelism(parallelism).build().unwrap();
    let frame = session.read_stream_from(name, stream.clone()).unwrap();
    frame.create_or_replace_temp_view(name).unwrap();
    session
}
