//! The runtime of Tidegate: queries as graphs of actors that pass epoch-tagged record batches, with exactly-once checkpoints.
//!
//! It knows Arrow and knows no SQL. Its modules, each of which uses only those above it:
//!
//! | module | what it is |
//! | --- | --- |
//! | `types`, `error`, `message` | the vocabulary |
//! | `time` | clock and triggers |
//! | [`state`] | keyed state tables, key groups, the pinned hash |
//! | `edge` | bounded channels, exchange, barrier alignment |
//! | `source`, `operator`, `sink` | the traits that users implement |
//! | `topology` | names → checked graph → text |
//! | `checkpoint` | offset log, commit log, incremental snapshots in sled and segment files; the life of an epoch in prose |
//! | `task` | the loops on the tasks' threads |
//! | `coordinator` | the coordinator's decisions: planning, tracking, committing |
//! | `actor` | the actors that carry them out; the only module that knows actix |
//! | `query`, `registry` | starting, watching and stopping a query |
//!
//! # The path of a batch
//!
//! [`SourceReader::read`] → `Output::batch` → `Router::route` → channel → `InputGate::next_event` → `OperatorTask::run` →
//! [`Operator::process`] → … → `SinkTask::run` → [`SinkWriter::write`].
//!
//! # The path of a barrier
//!
//! `EpochDriver::begin` → `SourceTask::run_epoch` → `Output::barrier` → `InputGate::next_event` → [`Operator::end_epoch`] →
//! [`state::StateStore::snapshot`] → `SnapshotThread::write`, [`SinkWriter::stage`] → `EpochTracker::ack` →
//! `EpochDriver::commit_next` → [`Sink::commit`] → `Checkpoint::commit`.

mod actor;
mod checkpoint;
mod coordinator;
mod edge;
mod error;
pub mod failpoint;
mod message;
mod metrics;
mod operator;
mod progress;
mod query;
mod registry;
mod sink;
mod source;
pub mod state;
mod task;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
mod time;
mod topology;
mod types;

pub use checkpoint::CheckpointOptions;
pub use coordinator::{EpochStamp, RestartStrategy, TaskEventTime, WatermarkInput, WatermarkPolicy, WatermarkReport};
pub use edge::Exchange;
pub use error::{BoxError, Error, Result};
pub use message::TARGET_BATCH_ROWS;
pub use metrics::TaskMetricsSnapshot;
pub use operator::{Operator, OperatorContext, OperatorSupplier};
pub use progress::{EpochDurations, EpochProgress, SourceProgress};
pub use query::{Query, QueryError, QueryHandle, QueryState, QueryTotals};
pub use registry::{queries, query};
pub use sink::{LastCommitted, Sink, SinkContext, SinkSupplier, SinkWriter, Staged};
pub use source::{
    JournalEntry, Notifier, Offset, OffsetRange, ReadLimit, Source, SourceContext, SourceOutput, SourceReader, SourceSupplier,
    Split, Wake,
};
pub use time::{Clock, SystemClock, Trigger};
pub use topology::{Input, SinkHandle, Stream, Topology, TopologyBuilder};
pub use types::{Epoch, EpochInfo, NodeId, Port, QueryId, RunId, TaskId, Watermark};
