//! The vocabulary in types: one newtype for every number or name that could be mistaken for another.

use std::fmt;
use std::sync::Arc;

/// The number of an epoch, counted from zero over the life of a checkpoint. Spark calls it the batch id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// The first epoch of a new checkpoint.
    pub const FIRST: Epoch = Epoch(0);

    /// The epoch with this number.
    pub const fn new(number: u64) -> Self {
        Epoch(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Epoch(self.0 + 1)
    }

    /// The epoch before this one; `None` before the first.
    pub const fn previous(self) -> Option<Self> {
        match self.0 {
            0 => None,
            n => Some(Epoch(n - 1)),
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Event time, in microseconds since 1970-01-01 UTC, up to which a query considers its input complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Watermark(i64);

impl Watermark {
    /// 1970-01-01T00:00:00Z: the watermark of a query that has seen no event time.
    pub const ZERO: Watermark = Watermark(0);

    /// The watermark at this instant, in microseconds since 1970-01-01 UTC.
    pub const fn from_micros(micros: i64) -> Self {
        Watermark(micros)
    }

    /// Microseconds since 1970-01-01 UTC.
    pub const fn micros(self) -> i64 {
        self.0
    }
}

/// What is fixed for the whole of an epoch, logged before it runs and the same on every replay of it.
///
/// It travels with every batch and barrier, so that an operator may ask for it at any moment and no task holds a
/// "current epoch" of its own that could drift when epochs overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochInfo {
    /// The epoch's number.
    pub epoch: Epoch,
    /// Wall-clock time of the trigger in milliseconds since 1970-01-01 UTC: what `current_timestamp` gives in this epoch.
    pub trigger_time_ms: i64,
    /// The event-time watermark of this epoch, which evicts state at its end; `None` when no operator of the query reports one.
    pub watermark: Option<Watermark>,
    /// The watermark of the epoch before, by which rows are judged to be late; `None` when no operator of the query reports one.
    pub late_watermark: Option<Watermark>,
}

/// The stable name of a source, operator or sink in its topology. State and offsets are addressed by it, never by
/// position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The node with this name.
    pub fn new(name: impl AsRef<str>) -> Self {
        NodeId(Arc::from(name.as_ref()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One parallel instance of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The node that the task is an instance of.
    pub node: NodeId,
    /// Its number among the node's tasks, counted from zero.
    pub subtask: usize,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.subtask)
    }
}

/// The number of an operator's or sink's input, in the order in which the topology names its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub usize);

/// The identity of a query: made with its checkpoint, the same over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueryId(uuid::Uuid);

impl QueryId {
    /// A new random id.
    pub fn random() -> Self {
        QueryId(uuid::Uuid::new_v4())
    }

    /// The id that [`Display`](fmt::Display) writes as this text; `None` if it is not a UUID.
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::parse_str(text).ok().map(QueryId)
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of one run of a query: new at every start and restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunId(uuid::Uuid);

impl RunId {
    /// A new random id.
    pub fn random() -> Self {
        RunId(uuid::Uuid::new_v4())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
