//! A query: a topology that runs on a checkpoint, and the handle on it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use crate::actor::{Command, Launch, QueryActor, launch};
use crate::checkpoint::CheckpointOptions;
use crate::coordinator::{RestartStrategy, RunSettings, WatermarkPolicy, WatermarkReport};
use crate::error::{Error, Result};
use crate::metrics::{TaskMetrics, TaskMetricsSnapshot};
use crate::progress::EpochProgress;
use crate::registry;
use crate::time::{Clock, SystemClock, Trigger};
use crate::topology::Topology;
use crate::types::{QueryId, RunId, TaskId};

/// How many committed epochs [`QueryHandle::recent_progress`] remembers.
const RECENT_PROGRESS: usize = 100;

/// A query that is to be started.
///
/// ```no_run
/// # fn topology() -> tidegate_runtime::Topology { unimplemented!() }
/// use std::time::Duration;
/// use tidegate_runtime::{Query, Trigger};
///
/// let query = Query::new(topology())
///     .checkpoint("/var/lib/app/word-count")
///     .trigger(Trigger::ProcessingTime(Duration::from_secs(1)))
///     .start()?;
/// query.await_termination(None)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Query {
    name: String,
    topology: Topology,
    checkpoint: Option<PathBuf>,
    checkpoint_options: CheckpointOptions,
    trigger: Trigger,
    restart: RestartStrategy,
    stop_timeout: Duration,
    max_epochs_in_flight: usize,
    watermark_policy: WatermarkPolicy,
    idle_after: Option<Duration>,
    keep_event_times: bool,
    clock: Arc<dyn Clock>,
}

impl Query {
    /// A query over this topology, named after it, with the default trigger and a checkpoint that does not outlive it.
    pub fn new(topology: Topology) -> Self {
        Query {
            name: topology.name().to_owned(),
            topology,
            checkpoint: None,
            checkpoint_options: CheckpointOptions::default(),
            trigger: Trigger::default(),
            restart: RestartStrategy::None,
            stop_timeout: Duration::from_secs(30),
            max_epochs_in_flight: 1,
            watermark_policy: WatermarkPolicy::default(),
            idle_after: None,
            keep_event_times: false,
            clock: Arc::new(SystemClock),
        }
    }

    /// The name shown in logs and progress.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The directory that makes the query recoverable. It is created if it does not exist; if it exists, the query goes on where
    /// it stopped. Without one, a temporary directory is used and removed at the end.
    pub fn checkpoint(mut self, directory: impl Into<PathBuf>) -> Self {
        self.checkpoint = Some(directory.into());
        self
    }

    /// How the checkpoint is kept.
    pub fn checkpoint_options(mut self, options: CheckpointOptions) -> Self {
        self.checkpoint_options = options;
        self
    }

    /// When epochs start.
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.trigger = trigger;
        self
    }

    /// What happens after a failure.
    pub fn restart(mut self, strategy: RestartStrategy) -> Self {
        self.restart = strategy;
        self
    }

    /// How long tasks may take to drain, and again to cancel, before they are given up. 30 seconds, if not set.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.stop_timeout = timeout;
        self
    }

    /// How many epochs may be under way at a time: 1, if not set, as in Spark's micro-batch mode. With more, sources read the next
    /// epoch while the one before it is snapshotted and committed. An epoch has the watermark that is known when it is planned: with
    /// more than one, that of an epoch some way back, so results come later and fewer rows are late.
    pub fn max_epochs_in_flight(mut self, epochs: usize) -> Self {
        self.max_epochs_in_flight = epochs.max(1);
        self
    }

    /// Which watermark the query has when several operators report one: the least, if not set. A query that goes on from a
    /// checkpoint keeps the policy that it has there.
    pub fn watermark_policy(mut self, policy: WatermarkPolicy) -> Self {
        self.watermark_policy = policy;
        self
    }

    /// After which time without rows an input does not hold the watermark back any more: never, if not set, as in Spark. An input is
    /// what one operator that reports event time gets. When all inputs are idle, nothing is waited for: the watermark goes to the
    /// greatest that any of them has come to. An input that has rows again counts again, and those that are behind are late.
    pub fn idle_after(mut self, timeout: Option<Duration>) -> Self {
        self.idle_after = timeout;
        self
    }

    /// Whether a new start goes on with what each operator had reported of event time in the starts before: no, if not set.
    ///
    /// The watermark itself is always kept. But with several inputs and the policy [`Min`](WatermarkPolicy::Min), it does not move
    /// in a new start before all inputs have had rows again: so it is in Spark, which forgets what it came from. With this, an input
    /// counts with what it had before. A restart after a failure always goes on as if there had been none.
    pub fn keep_event_times(mut self, keep: bool) -> Self {
        self.keep_event_times = keep;
        self
    }

    /// The clock that epochs are stamped with.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Starts the query on threads of its own and returns.
    ///
    /// It goes on when the handle is dropped: [`queries`](crate::queries) finds it again.
    ///
    /// # Errors
    /// When the checkpoint is locked, damaged or another topology's, and when a source or sink can't be opened. Then nothing runs.
    pub fn start(self) -> Result<QueryHandle> {
        let (path, temporary) = match self.checkpoint {
            Some(path) => (path, None),
            None => {
                let directory = tempfile::Builder::new().prefix("tidegate-").tempdir();
                let directory = directory.map_err(Error::io("create a temporary checkpoint in", std::env::temp_dir()))?;
                (directory.path().to_path_buf(), Some(directory))
            }
        };
        let shared = Arc::new(QueryShared::new(self.name, self.topology.clone(), Arc::clone(&self.clock), temporary));
        let settings = RunSettings {
            topology: self.topology,
            checkpoint: path,
            checkpoint_options: self.checkpoint_options,
            clock: self.clock,
            max_epochs_in_flight: self.max_epochs_in_flight,
            watermark_policy: self.watermark_policy,
            idle_after: self.idle_after,
            keep_event_times: self.keep_event_times,
        };
        let actor = launch(Launch {
            settings,
            trigger: self.trigger,
            restart: self.restart,
            stop_timeout: self.stop_timeout,
            shared: Arc::clone(&shared),
        })?;
        let handle = QueryHandle { commands: Arc::new(actor.sender()), shared };
        handle.shared.attach(actor);
        registry::add(&handle);
        Ok(handle)
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("name", &self.name)
            .field("checkpoint", &self.checkpoint)
            .field("trigger", &self.trigger)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}

/// What a query is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryState {
    /// Being set up.
    Starting,
    /// Waiting for input or processing it.
    Running,
    /// Failed, and waiting to be restarted.
    Restarting,
    /// Ended in good order.
    Stopped,
    /// Ended by a failure.
    Failed,
}

/// What a query has committed since it was started in this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryTotals {
    /// Epochs.
    pub epochs: u64,
    /// Rows that the sources read in them.
    pub input_rows: u64,
    /// Rows that the sinks committed in them.
    pub output_rows: u64,
}

/// Why a query failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("[STREAM_FAILED] query {name} [id = {id}, runId = {run}] failed: {cause}")]
pub struct QueryError {
    /// The query's name.
    pub name: String,
    /// The query's id.
    pub id: String,
    /// The id of the run that failed.
    pub run: String,
    /// The root cause, with the task and epoch where they are known.
    #[source]
    pub cause: Arc<Error>,
}

/// A running or ended query. Clones are handles on the same query.
#[derive(Clone)]
pub struct QueryHandle {
    shared: Arc<QueryShared>,
    commands: Arc<dyn Fn(Command) + Send + Sync>,
}

impl QueryHandle {
    /// The id, the same over all restarts from the same checkpoint.
    pub fn id(&self) -> QueryId {
        self.shared.lock().id
    }

    /// The id of the current run, or the last one.
    pub fn run_id(&self) -> RunId {
        self.shared.lock().run
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What runs.
    pub fn topology(&self) -> &Topology {
        &self.shared.topology
    }

    /// Whether this is a handle on the query with this state.
    pub(crate) fn is(&self, shared: &QueryShared) -> bool {
        std::ptr::eq(&*self.shared, shared)
    }

    /// What it is doing.
    pub fn state(&self) -> QueryState {
        self.shared.lock().state
    }

    /// Whether it has not ended.
    pub fn is_active(&self) -> bool {
        !self.state().is_over()
    }

    /// The newest committed epoch's figures; `None` before the first.
    pub fn last_progress(&self) -> Option<EpochProgress> {
        self.shared.lock().progress.back().cloned()
    }

    /// The figures of up to 100 newest committed epochs, oldest first.
    pub fn recent_progress(&self) -> Vec<EpochProgress> {
        self.shared.lock().progress.iter().cloned().collect()
    }

    /// What was committed since the query was started, over all its runs.
    pub fn totals(&self) -> QueryTotals {
        self.shared.lock().totals
    }

    /// Every task's counters, as they stand.
    pub fn metrics(&self) -> Vec<(TaskId, TaskMetricsSnapshot)> {
        self.shared.lock().tasks.iter().map(|(task, metrics)| (task.clone(), metrics.read())).collect()
    }

    /// Where the watermark is after the newest committed epoch, and which input holds it there.
    pub fn watermarks(&self) -> WatermarkReport {
        let report = self.shared.lock().watermarks.clone();
        WatermarkReport { as_of_ms: self.shared.clock.now_ms(), ..report }
    }

    /// Why it failed; `None` while it runs and after a good end.
    pub fn exception(&self) -> Option<QueryError> {
        self.shared.lock().error.clone()
    }

    /// Waits until everything that the sources have is committed, without waiting for the trigger's interval. For tests: while
    /// input keeps coming, this may wait for ever. If the query is stopped meanwhile, not everything may be committed.
    ///
    /// Don't call it from a source, operator or sink of this query: they would wait for themselves.
    ///
    /// # Errors
    /// When the query fails meanwhile.
    pub fn process_all_available(&self) -> Result<(), QueryError> {
        if self.shared.is_own_thread() {
            return Ok(());
        }
        let (waiter, idle) = bounded::<Infallible>(0);
        (self.commands)(Command::AwaitIdle(waiter));
        // It ends by the drop of the sender: nothing is left to do, or the query has ended.
        if let Ok(never) = idle.recv() {
            match never {}
        }
        self.exception().map_or(Ok(()), Err)
    }

    /// Waits until the query has ended, at most for `timeout`; says whether it has. The threads of its tasks are gone then.
    ///
    /// The query's own sources and sinks can't wait for it: called by their planning and committing halves, this and all that is
    /// built on it returns at once.
    ///
    /// # Errors
    /// The failure that ended the query.
    pub fn await_termination(&self, timeout: Option<Duration>) -> Result<bool, QueryError> {
        if self.shared.is_own_thread() || !self.shared.wait_for_end(timeout) {
            return Ok(false);
        }
        self.shared.join();
        self.exception().map_or(Ok(true), Err)
    }

    /// Finishes the epochs that are under way, ends the query and waits for its end.
    ///
    /// # Errors
    /// The failure that ended the query, if it was not this stop.
    pub fn stop(&self) -> Result<(), QueryError> {
        (self.commands)(Command::Stop);
        self.await_termination(None).map(|_ended| ())
    }

    /// Ends the query now and waits for its end. What is not committed is run again at the next start.
    ///
    /// # Errors
    /// The failure that ended the query, if it was not this cancel.
    pub fn cancel(&self) -> Result<(), QueryError> {
        (self.commands)(Command::Cancel);
        self.await_termination(None).map(|_ended| ())
    }
}

impl fmt::Debug for QueryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.shared.lock();
        f.debug_struct("QueryHandle")
            .field("name", &self.shared.name)
            .field("id", &inner.id)
            .field("state", &inner.state)
            .finish_non_exhaustive()
    }
}

impl QueryState {
    fn is_over(self) -> bool {
        matches!(self, QueryState::Stopped | QueryState::Failed)
    }
}

/// What the coordinator and all handles share.
pub(crate) struct QueryShared {
    name: String,
    topology: Topology,
    clock: Arc<dyn Clock>,
    inner: Mutex<QueryInner>,
    /// Signalled when the query has ended.
    ended: Condvar,
    /// Taken by the first who waits for the end; the others wait at the lock until the thread is joined.
    actor: Mutex<Option<QueryActor>>,
}

struct QueryInner {
    id: QueryId,
    run: RunId,
    state: QueryState,
    error: Option<QueryError>,
    progress: VecDeque<EpochProgress>,
    totals: QueryTotals,
    tasks: Vec<(TaskId, Arc<TaskMetrics>)>,
    watermarks: WatermarkReport,
    /// The coordinator's thread.
    thread: Option<ThreadId>,
    /// The checkpoint of a query that has no other; removed at the end.
    temporary: Option<tempfile::TempDir>,
}

impl QueryShared {
    fn new(name: String, topology: Topology, clock: Arc<dyn Clock>, temporary: Option<tempfile::TempDir>) -> Self {
        let inner = QueryInner {
            id: QueryId::random(),
            run: RunId::random(),
            state: QueryState::Starting,
            error: None,
            progress: VecDeque::new(),
            totals: QueryTotals::default(),
            tasks: Vec::new(),
            watermarks: WatermarkReport::default(),
            thread: None,
            temporary,
        };
        QueryShared { name, topology, clock, inner: Mutex::new(inner), ended: Condvar::new(), actor: Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, QueryInner> {
        // Nothing panics while it holds the lock; if something did, the fields are still each whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attach(&self, actor: QueryActor) {
        *self.actor.lock().unwrap_or_else(PoisonError::into_inner) = Some(actor);
    }

    /// A run was assembled, on the coordinator's thread.
    pub(crate) fn run_started(
        &self,
        id: QueryId,
        run: RunId,
        tasks: Vec<(TaskId, Arc<TaskMetrics>)>,
        watermarks: WatermarkReport,
    ) {
        let mut inner = self.lock();
        inner.thread = Some(std::thread::current().id());
        inner.id = id;
        inner.run = run;
        inner.tasks = tasks;
        inner.watermarks = watermarks;
    }

    fn is_own_thread(&self) -> bool {
        self.lock().thread == Some(std::thread::current().id())
    }

    /// The span of the current run, or the last one.
    pub(crate) fn span(&self) -> tracing::Span {
        let inner = self.lock();
        tracing::info_span!("query", id = %inner.id, run = %inner.run, name = %self.name)
    }

    pub(crate) fn set_state(&self, state: QueryState) {
        self.lock().state = state;
    }

    pub(crate) fn committed(&self, progress: EpochProgress, watermarks: WatermarkReport) {
        tracing::debug!(query = %self.name, epoch = %progress.epoch, rows = progress.input_rows, "epoch committed");
        let mut inner = self.lock();
        inner.watermarks = watermarks;
        inner.totals.epochs += 1;
        inner.totals.input_rows += progress.input_rows;
        inner.totals.output_rows += progress.output_rows;
        if inner.progress.len() == RECENT_PROGRESS {
            inner.progress.pop_front();
        }
        inner.progress.push_back(progress);
    }

    /// Called once, when nothing of the query runs any more but the coordinator's own thread.
    pub(crate) fn ended(&self, cause: Option<Error>) {
        let mut inner = self.lock();
        inner.error = cause.map(|cause| QueryError {
            name: self.name.clone(),
            id: inner.id.to_string(),
            run: inner.run.to_string(),
            cause: Arc::new(cause),
        });
        inner.state = if inner.error.is_some() { QueryState::Failed } else { QueryState::Stopped };
        inner.temporary = None;
        let (id, error) = (inner.id, inner.error.clone());
        drop(inner);
        registry::remove(id, self);
        self.ended.notify_all();
        // Last: a subscriber is not our code.
        match error {
            Some(error) => tracing::error!(%error, "query failed"),
            None => tracing::info!(query = %self.name, "query ended"),
        }
    }

    fn wait_for_end(&self, timeout: Option<Duration>) -> bool {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut inner = self.lock();
        while !inner.state.is_over() {
            inner = match deadline {
                None => self.ended.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    self.ended.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }

    fn join(&self) {
        let mut actor = self.actor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(actor) = actor.take() {
            actor.join();
        }
    }
}
