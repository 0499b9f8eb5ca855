//! The runtime of Tidegate (being written).

mod checkpoint;
mod edge;
mod error;
pub mod failpoint;
mod message;
mod metrics;
mod operator;
mod sink;
mod source;
pub mod state;
#[cfg(feature = "testkit")]
pub mod testkit;
mod types;

pub use edge::{Cancel, CancelGuard, EDGE_CAPACITY, Exchange, GateEvent, InputGate, Output, OutputEdge, cancel_pair};
pub use error::{BoxError, Error, ErrorKind, Result};
pub use message::{Barrier, EpochBatch, Message, TARGET_BATCH_ROWS};
pub use metrics::{TaskMetrics, TaskMetricsSnapshot};
pub use operator::{Operator, OperatorContext, OperatorSupplier};
pub use sink::{LastCommitted, Sink, SinkContext, SinkSupplier, SinkWriter, Staged};
pub use source::{
    JournalEntry, Notifier, Offset, OffsetRange, ReadLimit, Source, SourceContext, SourceOutput, SourceReader, SourceSupplier,
    Split, Wake,
};
pub use types::{Epoch, EpochInfo, NodeId, Port, QueryId, RunId, TaskId, Watermark};
