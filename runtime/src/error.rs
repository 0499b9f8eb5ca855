//! What can go wrong, by the operation that failed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::types::{Epoch, TaskId};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error of a user's own code.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// An error of the runtime or of code that it runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The topology can't run. Holds every problem found, not the first.
    #[error("the topology has {} problem(s):{}", problems.len(), bullets(problems))]
    InvalidTopology {
        /// One sentence for each problem, naming the nodes.
        problems: Vec<String>,
    },

    /// A task of the query failed: the root cause of a failed run.
    #[error("task {task} failed{}: {cause}", epoch.map(|e| format!(" in epoch {e}")).unwrap_or_default())]
    Task {
        /// The task that failed first.
        task: TaskId,
        /// The epoch that was open in it, if one was.
        epoch: Option<Epoch>,
        /// Why.
        #[source]
        cause: Box<Error>,
    },

    /// The coordinator's part of an epoch failed: planning, committing, or the logs.
    #[error("{step} failed{}: {cause}", epoch.map(|e| format!(" in epoch {e}")).unwrap_or_default())]
    Epoch {
        /// What was being done, for instance "committing sink out".
        step: String,
        /// The epoch, if one was planned.
        epoch: Option<Epoch>,
        /// Why.
        #[source]
        cause: Box<Error>,
    },

    /// Code that the runtime called panicked.
    #[error("panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },

    /// An error of a source, operator or sink.
    #[error("{0}")]
    User(#[source] BoxError),

    /// An option or argument that can't be used.
    #[error("{0}")]
    InvalidArgument(String),

    /// An Arrow kernel or conversion failed.
    #[error("{0}")]
    Arrow(#[from] arrow::error::ArrowError),

    /// An operation on a file or directory failed.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was tried, for instance "create".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },

    /// The connection to another system failed.
    #[error("can't {action} {endpoint}: {source}")]
    Connection {
        /// What was tried, for instance "connect to".
        action: &'static str,
        /// The address.
        endpoint: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },

    /// A source no longer has data that the checkpoint says it must read again.
    #[error("[STREAM_FAILED_DATA_LOSS] {0}")]
    SourceDataLoss(String),

    /// Another query, in this process or another, runs on the checkpoint.
    #[error(
        "[CONCURRENT_STREAM_LOG_UPDATE] the checkpoint {} is in use by {owner}; a checkpoint belongs to one query at a time: stop \
         that query, or give this one a checkpoint of its own",
        path.display()
    )]
    CheckpointLocked {
        /// The checkpoint directory.
        path: PathBuf,
        /// Who holds it, as far as it is known.
        owner: String,
    },

    /// The checkpoint does not pass its own checks. Nothing was changed in it.
    #[error(
        "the checkpoint {} is damaged: {what}; restore it from a copy, or start with a new checkpoint directory (which reads the \
         sources from their beginning)",
        path.display()
    )]
    CheckpointDamaged {
        /// The checkpoint directory, or the file in it.
        path: PathBuf,
        /// What was found.
        what: String,
    },

    /// The checkpoint was written by a newer release.
    #[error(
        "the checkpoint {} has format version {found}, this release reads versions up to {supported}; use the release that wrote it \
         or a newer one",
        path.display()
    )]
    CheckpointVersion {
        /// The checkpoint directory, or the file in it.
        path: PathBuf,
        /// The version found.
        found: u16,
        /// The newest version that this release reads.
        supported: u16,
    },

    /// The checkpoint was written by another topology.
    #[error(
        "[STREAMING_CHECKPOINT_MISMATCH] the checkpoint {} was written by another topology:{}\nrun the topology that wrote it, or give this one a checkpoint of its own",
        path.display(), bullets(differences)
    )]
    CheckpointMismatch {
        /// The checkpoint directory.
        path: PathBuf,
        /// One sentence for each difference.
        differences: Vec<String>,
    },

    /// A sink's own record of what it committed contradicts the checkpoint.
    #[error("sink {sink} and the checkpoint {} don't belong together: {what}", path.display())]
    SinkMismatch {
        /// The sink's name.
        sink: String,
        /// The checkpoint directory.
        path: PathBuf,
        /// What was found.
        what: String,
    },

    /// Another run of the query has taken over the sink: this one must not write to it any more.
    #[error(
        "[CONCURRENT_STREAM_LOG_UPDATE] {0}: another run of this query has been started since and writes to the sink; a query on a \
         checkpoint runs once at a time"
    )]
    SinkFenced(String),

    /// A batch, barrier or acknowledgement came where the epoch protocol does not allow it: a defect of the runtime.
    #[error("epoch protocol violated: {0}")]
    Protocol(String),

    /// The wait was ended because the query is being cancelled.
    #[error("cancelled")]
    Cancelled,

    /// The task at the other end of an edge went away without saying that it ended.
    #[error("a neighbouring task is gone")]
    PeerGone,

    /// Tasks did not end in time; their threads are left behind.
    #[error("the query did not stop within {timeout:?}; still running: {}", tasks.join(", "))]
    StopTimeout {
        /// How long was waited.
        timeout: Duration,
        /// The tasks that did not end.
        tasks: Vec<String>,
    },

    /// A fail point fired (tests only).
    #[error("fail point {0} fired")]
    Injected(String),
}

impl Error {
    /// An error of the caller's own, from any error type or message.
    ///
    /// ```
    /// let error = tidegate_runtime::Error::user("the price is negative");
    /// assert_eq!(error.to_string(), "the price is negative");
    /// ```
    pub fn user(error: impl Into<BoxError>) -> Self {
        Error::User(error.into())
    }

    /// A failed operation on a file: `Error::io("create", path)` suits `map_err`.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { action, path, source }
    }

    /// The damage `what` found in `path`.
    pub fn damaged(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Error::CheckpointDamaged { path: path.as_ref().to_path_buf(), what: what.into() }
    }

    /// Whether starting the query again can help: a restart strategy stops at an error for which it can't.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Task { cause, .. } | Error::Epoch { cause, .. } => cause.is_retryable(),
            Error::InvalidTopology { .. }
            | Error::InvalidArgument(_)
            | Error::CheckpointMismatch { .. }
            | Error::SinkMismatch { .. }
            | Error::SinkFenced(_)
            | Error::CheckpointLocked { .. }
            | Error::CheckpointDamaged { .. }
            | Error::CheckpointVersion { .. }
            | Error::SourceDataLoss(_)
            | Error::StopTimeout { .. } => false,
            Error::User(_)
            | Error::Panicked { .. }
            | Error::Arrow(_)
            | Error::Io { .. }
            | Error::Connection { .. }
            | Error::Protocol(_)
            | Error::Cancelled
            | Error::PeerGone
            | Error::Injected(_) => true,
        }
    }

    /// How likely this is the root cause among the errors that one failure sets off in all tasks: the higher, the likelier.
    ///
    /// The exit that arrives first is often a neighbour's [`PeerGone`](Error::PeerGone).
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Error::Task { cause, .. } | Error::Epoch { cause, .. } => cause.rank(),
            Error::Cancelled => 0,
            Error::PeerGone => 1,
            Error::StopTimeout { .. } => 2,
            Error::Protocol(_) => 3,
            Error::Panicked { .. }
            | Error::User(_)
            | Error::InvalidTopology { .. }
            | Error::InvalidArgument(_)
            | Error::Arrow(_)
            | Error::Io { .. }
            | Error::Connection { .. }
            | Error::SourceDataLoss(_)
            | Error::CheckpointLocked { .. }
            | Error::CheckpointDamaged { .. }
            | Error::CheckpointVersion { .. }
            | Error::CheckpointMismatch { .. }
            | Error::SinkMismatch { .. }
            | Error::SinkFenced(_)
            | Error::Injected(_) => 4,
        }
    }
}

/// Runs code that is not ours (a user's operator, a source, a sink, a library that may panic on damage) and turns a panic into
/// [`Error::Panicked`].
///
/// What `call` borrows must not be used again after a panic, other than to drop it.
pub(crate) fn catch_panic<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a value that is not text".to_owned());
        // The drop of a user's payload might panic once more, and nothing would catch that.
        std::mem::forget(payload);
        Err(Error::Panicked { message })
    })
}

fn bullets(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  - {line}")).collect()
}
