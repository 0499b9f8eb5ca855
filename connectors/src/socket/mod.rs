//! Lines from a TCP server, as a source.
//!
//! ```text
//! server ─► connection (a thread) ─► LineBuffer (bounded) ─► SocketReader (in the tasks)
//!                                        ▲ commit drops lines
//! ```

mod buffer;
mod connection;

use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{
    Error, Offset, OffsetRange, ReadLimit, Result, Source, SourceContext, SourceOutput, SourceReader, SourceSupplier, Split,
    TARGET_BATCH_ROWS,
};

use buffer::{Line, LineBuffer};

/// How many bytes of lines wait in memory until the connection is no longer read.
const BUFFER_BYTES: usize = 64 << 20;

/// Reads lines of UTF-8 text from a TCP server: Spark's `socket` source, for trying things out.
///
/// Rows have a column `value`, and with [`include_timestamp`](Self::include_timestamp) a `timestamp` of their arrival. **It is not
/// fault tolerant**: a server does not send its lines again. When a query starts again from its checkpoint, an epoch that has to
/// be repeated has no rows (a warning is logged, so that the query can go on), and new lines follow after it.
///
/// While lines are not processed fast enough the connection is not read, so that the server has to wait. When the server closes
/// the connection the source is finished; a last line without a newline counts.
///
/// ```
/// use tidegate_connectors::SocketSource;
/// use tidegate_runtime::SourceSupplier;
///
/// let source = SocketSource::new("localhost", 9999); // try it with: nc -lk 9999
/// assert!(!source.is_replayable());
/// ```
#[derive(Debug, Clone)]
pub struct SocketSource {
    host: String,
    port: u16,
    include_timestamp: bool,
}

impl SocketSource {
    /// Lines from the server at this address.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        SocketSource { host: host.into(), port, include_timestamp: false }
    }

    /// Whether rows have a second column, the time at which the line arrived (they have not).
    #[must_use]
    pub fn include_timestamp(mut self, include: bool) -> Self {
        self.include_timestamp = include;
        self
    }
}

impl SourceSupplier for SocketSource {
    fn schema(&self) -> Result<SchemaRef> {
        let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let mut fields = vec![Field::new("value", DataType::Utf8, true)];
        fields.extend(self.include_timestamp.then(|| Field::new("timestamp", timestamp, true)));
        Ok(Arc::new(Schema::new(fields)))
    }

    fn supply(&self) -> Result<Box<dyn Source>> {
        let buffer = Arc::new(LineBuffer::new(BUFFER_BYTES));
        let schema = self.schema()?;
        Ok(Box::new(SocketLines { config: self.clone(), schema, buffer, stream: None, parallelism: 1, frozen: None }))
    }

    fn is_replayable(&self) -> bool {
        false
    }

    fn describe(&self) -> String {
        format!("socket {}:{}, for tests", self.host, self.port)
    }
}

struct SocketLines {
    config: SocketSource,
    schema: SchemaRef,
    buffer: Arc<LineBuffer>,
    /// Held to end the connection's thread.
    stream: Option<TcpStream>,
    parallelism: usize,
    /// Where the stream ends for this run, once it is frozen.
    frozen: Option<u64>,
}

impl Source for SocketLines {
    fn open(&mut self, context: SourceContext) -> Result<()> {
        self.parallelism = context.parallelism.max(1);
        let first = context.offset.as_ref().map_or(Ok(0), Offset::decode)?;
        self.buffer.start_at(first);
        let stream = connection::connect(&self.config.host, self.config.port)?;
        self.stream = Some(connection::start_reading(stream, Arc::clone(&self.buffer), context.notifier)?);
        Ok(())
    }

    fn latest_offset(&mut self, from: Option<&Offset>, _limit: ReadLimit) -> Result<Option<Offset>> {
        let from: u64 = from.map_or(Ok(0), Offset::decode)?;
        let end = self.buffer.end(&self.config.host, self.config.port)?.min(self.frozen.unwrap_or(u64::MAX));
        if end > from { Offset::encode(&end).map(Some) } else { Ok(None) }
    }

    fn splits(&mut self, range: &OffsetRange) -> Result<Vec<Split>> {
        let start: u64 = range.start.as_ref().map_or(Ok(0), Offset::decode)?;
        let (wanted, held) = (start..range.end.decode()?, self.buffer.held());
        if wanted.start < held.start {
            let lost = held.start.min(wanted.end) - wanted.start;
            tracing::warn!(lines = lost, source = self.config.describe(), "lines of an epoch that is repeated are lost");
        }
        cut(wanted.start.max(held.start)..wanted.end, self.parallelism).map(|part| Split::encode(&part)).collect()
    }

    fn reader(&mut self, _subtask: usize) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(SocketReader { schema: Arc::clone(&self.schema), buffer: Arc::clone(&self.buffer) }))
    }

    fn commit(&mut self, end: &Offset) -> Result<()> {
        self.buffer.drop_before(end.decode()?);
        Ok(())
    }

    fn freeze(&mut self) -> Result<()> {
        self.frozen = Some(self.buffer.held().end);
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.frozen.is_some() || self.buffer.is_ended()
    }
}

impl Drop for SocketLines {
    fn drop(&mut self) {
        // Either of the two wakes the thread, wherever it waits.
        self.buffer.close();
        if let Some(stream) = self.stream.take()
            && let Err(error) = stream.shutdown(Shutdown::Both)
        {
            tracing::debug!(%error, "the connection was closed already");
        }
    }
}

/// Cuts a range into at most `parts` parts of around the same size.
fn cut(range: Range<u64>, parts: usize) -> impl Iterator<Item = (u64, u64)> {
    let size = range.end.saturating_sub(range.start).div_ceil(parts as u64).max(1);
    let end = range.end;
    range.step_by(usize::try_from(size).unwrap_or(usize::MAX)).map(move |start| (start, end.min(start + size)))
}

struct SocketReader {
    schema: SchemaRef,
    buffer: Arc<LineBuffer>,
}

impl SourceReader for SocketReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let (start, end): (u64, u64) = split.decode()?;
        for at in (start..end).step_by(TARGET_BATCH_ROWS) {
            let wanted = at..end.min(at + TARGET_BATCH_ROWS as u64);
            let lines = self.buffer.copy(wanted.clone());
            if lines.len() as u64 != wanted.end - wanted.start {
                return Err(Error::SourceDataLoss(format!("lines {} to {} of the socket are gone", wanted.start, wanted.end)));
            }
            out.emit(rows(&self.schema, &lines)?)?;
        }
        Ok(())
    }
}

fn rows(schema: &SchemaRef, lines: &[Line]) -> Result<RecordBatch> {
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(lines.iter().map(|line| &line.text)));
    let times = || TimestampMicrosecondArray::from_iter_values(lines.iter().map(|line| line.arrived)).with_timezone("UTC");
    let columns = std::iter::once(values).chain((schema.fields().len() > 1).then(|| Arc::new(times()) as ArrayRef));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect())?)
}

#[cfg(test)]
mod tests;
