//! The rows of a batch as one committed epoch of a streaming sink: the same, whole or not at all.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidegate_runtime::{Epoch, EpochInfo, LastCommitted, NodeId, QueryId, SinkContext, SinkSupplier};

use crate::dataframe::{DataFrame, now_ms};
use crate::error::Result;

/// As whom a batch writes.
pub(crate) struct Identity {
    pub(crate) query: QueryId,
    pub(crate) node: NodeId,
}

impl Identity {
    /// One that nobody has had.
    pub(crate) fn new(sink: &str) -> Self {
        Identity { query: QueryId::random(), node: NodeId::new(sink) }
    }

    /// Whether it is that of a sink of this name.
    pub(crate) fn is(&self, sink: &str) -> bool {
        self.node.as_str() == sink
    }
}

/// The rows of a frame, computed.
pub(crate) struct BatchRows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl BatchRows {
    pub(crate) fn of(frame: &DataFrame) -> Result<Self> {
        Ok(BatchRows { batches: frame.collect()?, schema: frame.schema()? })
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Gives them to a sink, as the epoch after those that it has, but none before `first`.
    pub(crate) fn write(&self, supplier: &dyn SinkSupplier, writer: Identity, first: Epoch) -> Result<()> {
        supplier.check_input(&self.schema)?;
        let mut sink = supplier.supply()?;
        sink.open(SinkContext {
            node: writer.node,
            query: writer.query,
            schema: SchemaRef::clone(&self.schema),
            parallelism: 1,
            committed: None,
        })?;
        let epoch = match sink.last_committed()? {
            LastCommitted::Epoch(last) => last.next().max(first),
            LastCommitted::Nothing | LastCommitted::Untracked => first,
        };
        let info = EpochInfo { epoch, trigger_time_ms: now_ms(), watermark: None, late_watermark: None };
        let mut task = sink.writer(0)?;
        for batch in self.batches.iter().filter(|batch| batch.num_rows() > 0) {
            task.write(info, batch.clone())?;
        }
        let staged = task.stage(info)?;
        sink.commit(epoch, vec![staged])?;
        Ok(sink.close()?)
    }
}
