//! Running streaming queries.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_runtime::{EpochProgress, QueryHandle, QueryState, WatermarkReport};

use crate::error::{Error, Result};

/// A running or ended streaming query. Clones are handles on the same query; dropping them does not stop it.
#[derive(Debug, Clone)]
pub struct StreamingQuery {
    handle: QueryHandle,
}

impl StreamingQuery {
    pub(crate) fn new(handle: QueryHandle) -> Self {
        StreamingQuery { handle }
    }

    /// The id, the same over all restarts from the same checkpoint.
    pub fn id(&self) -> String {
        self.handle.id().to_string()
    }

    /// The id of the current run, or the last one.
    pub fn run_id(&self) -> String {
        self.handle.run_id().to_string()
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Whether it has not ended.
    pub fn is_active(&self) -> bool {
        self.handle.is_active()
    }

    /// What it is doing.
    pub fn state(&self) -> QueryState {
        self.handle.state()
    }

    /// Why it failed; `None` while it runs and after a good end.
    pub fn exception(&self) -> Option<Error> {
        self.handle.exception().map(Error::from)
    }

    /// Waits until it has ended, at most for `timeout`; says whether it has.
    ///
    /// # Errors
    /// The failure that ended it: `STREAM_FAILED`, with the cause.
    pub fn await_termination(&self, timeout: Option<Duration>) -> Result<bool> {
        Ok(self.handle.await_termination(timeout)?)
    }

    /// Waits until everything that the sources have is committed. For tests: while input keeps coming, this may wait for ever.
    ///
    /// # Errors
    /// When the query fails meanwhile.
    pub fn process_all_available(&self) -> Result<()> {
        Ok(self.handle.process_all_available()?)
    }

    /// Finishes the epoch that is under way, ends the query and waits for its end.
    ///
    /// # Errors
    /// The failure that ended the query, if it was not this stop.
    pub fn stop(&self) -> Result<()> {
        Ok(self.handle.stop()?)
    }

    /// The newest committed epoch's figures; `None` before the first.
    pub fn last_progress(&self) -> Option<EpochProgress> {
        self.handle.last_progress()
    }

    /// The figures of up to 100 newest committed epochs, oldest first.
    pub fn recent_progress(&self) -> Vec<EpochProgress> {
        self.handle.recent_progress()
    }

    /// What runs: actors, edges, state.
    pub fn explain(&self) -> String {
        self.handle.topology().describe()
    }

    /// Where the watermark is after the newest committed epoch, and which source holds it there since when: print it.
    ///
    /// ```
    /// use tidegate::Session;
    ///
    /// let session = Session::builder().build()?;
    /// let (_, events) = session.memory_stream("ts TIMESTAMP")?;
    /// let query = events.with_watermark("ts", "10 seconds").write_stream().format("noop").start()?;
    /// assert!(query.explain_watermark().to_string().contains("no row with a time yet"));
    /// query.stop()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn explain_watermark(&self) -> WatermarkReport {
        self.handle.watermarks()
    }

    /// The runtime's own handle, with all it knows.
    pub fn handle(&self) -> &QueryHandle {
        &self.handle
    }
}

/// The streaming queries of a session.
#[derive(Debug, Default)]
pub struct StreamingQueryManager {
    queries: Mutex<Vec<StreamingQuery>>,
}

impl StreamingQueryManager {
    /// Those that have not ended.
    pub fn active(&self) -> Vec<StreamingQuery> {
        let mut queries = self.lock();
        queries.retain(StreamingQuery::is_active);
        queries.clone()
    }

    /// The query with this id, if it has not ended.
    pub fn get(&self, id: &str) -> Option<StreamingQuery> {
        self.active().into_iter().find(|query| query.id() == id)
    }

    /// Ends all of them in good order.
    ///
    /// # Errors
    /// The first failure; the others are stopped all the same.
    pub fn stop_all(&self) -> Result<()> {
        let results: Vec<Result<()>> = self.active().iter().map(StreamingQuery::stop).collect();
        results.into_iter().collect()
    }

    pub(crate) fn is_active(&self, name: &str) -> bool {
        self.active().iter().any(|query| query.name() == name)
    }

    pub(crate) fn add(&self, query: &StreamingQuery) {
        let mut queries = self.lock();
        queries.retain(StreamingQuery::is_active);
        queries.push(query.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<StreamingQuery>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
