//! Nowhere, as a sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Epoch, EpochInfo, LastCommitted, Result, Sink, SinkSupplier, SinkWriter, Staged};

/// Drops rows and counts them: Spark's `noop` sink, to measure all but the output.
///
/// Clones share their count.
///
/// ```
/// use tidegate_connectors::NoopSink;
///
/// let sink = NoopSink::new();
/// let counter = sink.clone(); // `sink` goes to a query
/// assert_eq!(counter.rows(), 0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct NoopSink {
    rows: Arc<AtomicU64>,
}

impl NoopSink {
    /// A sink that has seen no rows.
    pub fn new() -> Self {
        NoopSink::default()
    }

    /// How many rows the committed epochs had; after a failure an epoch may count twice.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
}

impl SinkSupplier for NoopSink {
    fn supply(&self) -> Result<Box<dyn Sink>> {
        Ok(Box::new(NoopCommitter { sink: self.clone() }))
    }

    fn describe(&self) -> String {
        "noop".to_owned()
    }
}

struct NoopCommitter {
    sink: NoopSink,
}

impl Sink for NoopCommitter {
    fn last_committed(&mut self) -> Result<LastCommitted> {
        Ok(LastCommitted::Untracked)
    }

    fn writer(&mut self, _subtask: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(NoopWriter { rows: 0 }))
    }

    fn commit(&mut self, _epoch: Epoch, staged: Vec<Staged>) -> Result<()> {
        self.sink.rows.fetch_add(staged.iter().map(|staged| staged.rows).sum(), Ordering::Relaxed);
        Ok(())
    }
}

struct NoopWriter {
    /// The open epoch's rows.
    rows: u64,
}

impl SinkWriter for NoopWriter {
    fn write(&mut self, _epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn stage(&mut self, _epoch: EpochInfo) -> Result<Staged> {
        Staged::encode(std::mem::take(&mut self.rows), &())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::info;
    use arrow::array::{ArrayRef, Int64Array};

    #[test]
    fn counts_committed_rows() {
        let config = NoopSink::new();
        let mut sink = config.supply().unwrap();
        let mut writer = sink.writer(0).unwrap();
        let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]).unwrap();
        writer.write(info(0), rows).unwrap();
        let staged = vec![writer.stage(info(0)).unwrap(), writer.stage(info(0)).unwrap()];
        assert_eq!(config.rows(), 0);
        sink.commit(Epoch::FIRST, staged).unwrap();
        assert_eq!(config.rows(), 2);
    }
}
