//! Steps without an actor of their own: they run on the thread of the source before them, or of the sink after them.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use tidegate_operators::Steps;
use tidegate_runtime::{
    EpochInfo, LastCommitted, OffsetRange, ReadLimit, Sink, SinkContext, SinkSupplier, SinkWriter, Source, SourceContext,
    SourceOutput, SourceReader, SourceSupplier, Split, Staged, TARGET_BATCH_ROWS, Wake,
};

use super::steps::PlannedStep;
use crate::error::Result;

/// What is done to each batch.
pub(crate) type MapBatch = dyn Fn(RecordBatch, EpochInfo) -> tidegate_runtime::Result<Vec<RecordBatch>> + Send + Sync;

/// A source whose batches go through a function before they leave its task.
pub(crate) struct MappedSource {
    pub(crate) inner: Arc<dyn SourceSupplier>,
    pub(crate) schema: SchemaRef,
    pub(crate) map: Arc<MapBatch>,
    /// What the function does, for descriptions.
    pub(crate) does: Option<String>,
}

impl SourceSupplier for MappedSource {
    fn schema(&self) -> tidegate_runtime::Result<SchemaRef> {
        Ok(Arc::clone(&self.schema))
    }

    fn supply(&self) -> tidegate_runtime::Result<Box<dyn Source>> {
        Ok(Box::new(Mapped { inner: self.inner.supply()?, schema: Arc::clone(&self.schema), map: Arc::clone(&self.map) }))
    }

    fn is_replayable(&self) -> bool {
        self.inner.is_replayable()
    }

    fn describe(&self) -> String {
        match &self.does {
            Some(does) => format!("{} > {does}", self.inner.describe()),
            None => self.inner.describe(),
        }
    }
}

struct Mapped {
    inner: Box<dyn Source>,
    schema: SchemaRef,
    map: Arc<MapBatch>,
}

impl Source for Mapped {
    fn open(&mut self, context: SourceContext) -> tidegate_runtime::Result<()> {
        self.inner.open(context)
    }

    fn latest_offset(
        &mut self,
        from: Option<&tidegate_runtime::Offset>,
        limit: ReadLimit,
    ) -> tidegate_runtime::Result<Option<tidegate_runtime::Offset>> {
        self.inner.latest_offset(from, limit)
    }

    fn journal(&mut self, range: &OffsetRange) -> tidegate_runtime::Result<Option<Vec<u8>>> {
        self.inner.journal(range)
    }

    fn splits(&mut self, range: &OffsetRange) -> tidegate_runtime::Result<Vec<Split>> {
        self.inner.splits(range)
    }

    fn reader(&mut self, subtask: usize) -> tidegate_runtime::Result<Box<dyn SourceReader>> {
        let (schema, map) = (Arc::clone(&self.schema), Arc::clone(&self.map));
        Ok(Box::new(MappedReader { inner: self.inner.reader(subtask)?, schema, map }))
    }

    fn commit(&mut self, end: &tidegate_runtime::Offset) -> tidegate_runtime::Result<()> {
        self.inner.commit(end)
    }

    fn freeze(&mut self) -> tidegate_runtime::Result<()> {
        self.inner.freeze()
    }

    fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    fn wake(&self) -> Wake {
        self.inner.wake()
    }

    fn reported_latest(&self) -> Option<tidegate_runtime::Offset> {
        self.inner.reported_latest()
    }

    fn metrics(&self, end: &tidegate_runtime::Offset) -> Vec<(String, String)> {
        self.inner.metrics(end)
    }
}

struct MappedReader {
    inner: Box<dyn SourceReader>,
    schema: SchemaRef,
    map: Arc<MapBatch>,
}

impl SourceReader for MappedReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> tidegate_runtime::Result<()> {
        let (map, epoch) = (Arc::clone(&self.map), out.epoch());
        let mut gathered = Gathered::new(&self.schema);
        let mut read = 0;
        let mut emit = |batch: RecordBatch| {
            read += batch.num_rows();
            let batches = map(batch, epoch)?.into_iter().filter(|batch| batch.num_rows() > 0);
            batches.into_iter().try_for_each(|batch| gathered.push(batch, out))
        };
        self.inner.read(split, &mut SourceOutput::new(epoch, &mut emit))?;
        out.count_read(read);
        gathered.finish(out)
    }
}

/// Gathers what a filter leaves of batches to batches of the usual size.
struct Gathered {
    /// `None` for rows without columns, which can't be gathered.
    coalescer: Option<BatchCoalescer>,
}

impl Gathered {
    fn new(schema: &SchemaRef) -> Self {
        let coalescer = || {
            BatchCoalescer::new(Arc::clone(schema), TARGET_BATCH_ROWS)
                .with_biggest_coalesce_batch_size(Some(TARGET_BATCH_ROWS / 2))
        };
        Gathered { coalescer: (!schema.fields().is_empty()).then(coalescer) }
    }

    fn push(&mut self, batch: RecordBatch, out: &mut SourceOutput<'_>) -> tidegate_runtime::Result<()> {
        let Some(coalescer) = &mut self.coalescer else { return out.emit(batch) };
        coalescer.push_batch(batch)?;
        while let Some(full) = coalescer.next_completed_batch() {
            out.emit(full)?;
        }
        Ok(())
    }

    fn finish(mut self, out: &mut SourceOutput<'_>) -> tidegate_runtime::Result<()> {
        let Some(coalescer) = &mut self.coalescer else { return Ok(()) };
        coalescer.finish_buffered_batch()?;
        while let Some(rest) = coalescer.next_completed_batch() {
            out.emit(rest)?;
        }
        Ok(())
    }
}

/// A sink whose rows go through a function on its own tasks.
pub(crate) struct MappedSink {
    pub(crate) inner: Arc<dyn SinkSupplier>,
    /// The columns after the function.
    pub(crate) schema: SchemaRef,
    pub(crate) map: Arc<MapBatch>,
    /// What the function does, for descriptions.
    pub(crate) does: Option<String>,
}

impl SinkSupplier for MappedSink {
    fn check_input(&self, _schema: &SchemaRef) -> tidegate_runtime::Result<()> {
        self.inner.check_input(&self.schema)
    }

    fn supply(&self) -> tidegate_runtime::Result<Box<dyn Sink>> {
        Ok(Box::new(MappedCommitter {
            inner: self.inner.supply()?,
            schema: Arc::clone(&self.schema),
            map: Arc::clone(&self.map),
        }))
    }

    fn describe(&self) -> String {
        match &self.does {
            Some(does) => format!("{does} > {}", self.inner.describe()),
            None => self.inner.describe(),
        }
    }
}

struct MappedCommitter {
    inner: Box<dyn Sink>,
    schema: SchemaRef,
    map: Arc<MapBatch>,
}

impl Sink for MappedCommitter {
    fn open(&mut self, context: SinkContext) -> tidegate_runtime::Result<()> {
        self.inner.open(SinkContext { schema: Arc::clone(&self.schema), ..context })
    }

    fn last_committed(&mut self) -> tidegate_runtime::Result<LastCommitted> {
        self.inner.last_committed()
    }

    fn writer(&mut self, subtask: usize) -> tidegate_runtime::Result<Box<dyn SinkWriter>> {
        Ok(Box::new(MappedWriter { inner: self.inner.writer(subtask)?, map: Arc::clone(&self.map) }))
    }

    fn commit(&mut self, epoch: tidegate_runtime::Epoch, staged: Vec<Staged>) -> tidegate_runtime::Result<()> {
        self.inner.commit(epoch, staged)
    }

    fn close(&mut self) -> tidegate_runtime::Result<()> {
        self.inner.close()
    }
}

struct MappedWriter {
    inner: Box<dyn SinkWriter>,
    map: Arc<MapBatch>,
}

impl SinkWriter for MappedWriter {
    fn write(&mut self, epoch: EpochInfo, batch: RecordBatch) -> tidegate_runtime::Result<()> {
        let batches = (self.map)(batch, epoch)?;
        batches.into_iter().filter(|batch| batch.num_rows() > 0).try_for_each(|batch| self.inner.write(epoch, batch))
    }

    fn stage(&mut self, epoch: EpochInfo) -> tidegate_runtime::Result<Staged> {
        self.inner.stage(epoch)
    }
}

/// Steps as a function of a batch, and what they do in words.
pub(crate) fn chained(given: SchemaRef, steps: Vec<PlannedStep>) -> Result<(Arc<MapBatch>, String)> {
    let built = built(&given, &steps, 0)?;
    let does = built.to_string();
    if !steps.iter().any(PlannedStep::depends_on_time) {
        return Ok((Arc::new(move |batch, _| built.apply(batch)), does));
    }
    // Made anew for each epoch's time; tasks of one epoch share what is made.
    let newest: Mutex<Option<(i64, Arc<Steps>)>> = Mutex::new(None);
    let map = move |batch: RecordBatch, info: EpochInfo| {
        let time = info.trigger_time_ms;
        let known = newest.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|(own, _)| *own == time);
        let steps = match known {
            Some((_, steps)) => steps,
            None => {
                let steps = Arc::new(self::built(&given, &steps, time).map_err(tidegate_runtime::Error::user)?);
                *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some((time, Arc::clone(&steps)));
                steps
            }
        };
        steps.apply(batch)
    };
    Ok((Arc::new(map), does))
}

fn built(given: &SchemaRef, steps: &[PlannedStep], time_ms: i64) -> Result<Steps> {
    let steps = steps.iter().map(|step| step.build(time_ms)).collect::<Result<Vec<_>>>()?;
    Ok(Steps::new(Arc::clone(given), steps))
}
