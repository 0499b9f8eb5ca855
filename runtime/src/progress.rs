//! What an epoch did: reported when it is committed.

use std::time::Duration;

use crate::metrics::TaskMetricsSnapshot;
use crate::source::Offset;
use crate::types::{Epoch, NodeId, QueryId, RunId, TaskId, Watermark};

/// A committed epoch's figures. Spark calls it `StreamingQueryProgress`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EpochProgress {
    /// The query.
    pub query: QueryId,
    /// The run of the query that committed the epoch.
    pub run: RunId,
    /// The epoch.
    pub epoch: Epoch,
    /// Wall-clock time of its trigger, in milliseconds since 1970-01-01 UTC.
    pub trigger_time_ms: i64,
    /// Rows that the sources read.
    pub input_rows: u64,
    /// Rows that the sinks committed; rows of a replayed epoch that a sink had already are not counted again.
    pub output_rows: u64,
    /// Rows that operators dropped because they came after the watermark had passed them.
    pub late_rows: u64,
    /// The watermark that the epoch ran with; `None` when no operator reports one.
    pub watermark: Option<Watermark>,
    /// The watermark of epochs that are planned after it.
    pub next_watermark: Option<Watermark>,
    /// Where the time went.
    pub durations: EpochDurations,
    /// Each source's part.
    pub sources: Vec<SourceProgress>,
    /// Each task's part: the counters' growth in the epoch, and the state as it stood at its end.
    pub tasks: Vec<(TaskId, TaskMetricsSnapshot)>,
}

/// How long the steps of an epoch took.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct EpochDurations {
    /// Asking the sources how far their input reaches.
    pub planning: Duration,
    /// Writing the offset log.
    pub offset_log: Duration,
    /// From the sources' start to the last acknowledgement: reading, processing, snapshots, staging.
    pub run: Duration,
    /// Committing the sinks.
    pub sink_commit: Duration,
    /// Writing the commit log.
    pub commit_log: Duration,
    /// From the trigger to the commit.
    pub total: Duration,
}

/// A source's part in an epoch.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SourceProgress {
    /// The source's name.
    pub node: NodeId,
    /// Where the epoch started in its input; `None`: at the beginning.
    pub start: Option<Offset>,
    /// Where it ended; `None`: the source has given nothing yet.
    pub end: Option<Offset>,
    /// How far its input reached when progress was made; `None`: the source does not say.
    pub latest: Option<Offset>,
    /// Rows read.
    pub rows: u64,
    /// Figures of its own, by name: how far it is behind, and the like.
    pub metrics: Vec<(String, String)>,
}
