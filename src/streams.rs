//! Running streaming queries.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_runtime::{EpochProgress, QueryHandle, QueryId, QueryState, WatermarkReport};

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
///
/// It knows them by their ids: what a query holds, such as a closure with a clone of the session, is free when the query has ended.
#[derive(Debug, Default)]
pub struct StreamingQueryManager {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    started: Vec<QueryId>,
    /// The names of queries that are being started.
    starting: BTreeSet<String>,
}

impl StreamingQueryManager {
    /// Those that have not ended.
    pub fn active(&self) -> Vec<StreamingQuery> {
        let mut known = self.lock();
        let mut active = Vec::new();
        known.started.retain(|id| {
            let handle = tidegate_runtime::query(*id);
            active.extend(handle.map(StreamingQuery::new));
            active.last().is_some_and(|query| query.handle.id() == *id)
        });
        active
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

    /// Runs `start` with the name taken, so that no other query gets it meanwhile, and remembers the query.
    pub(crate) fn start(&self, name: Option<&str>, start: impl FnOnce() -> Result<StreamingQuery>) -> Result<StreamingQuery> {
        let _taken = name.map(|name| self.take(name)).transpose()?;
        let query = start()?;
        let (id, mut known) = (query.handle.id(), self.lock());
        if !known.started.contains(&id) {
            known.started.push(id);
        }
        drop(known);
        Ok(query)
    }

    fn take(&self, name: &str) -> Result<TakenName<'_>> {
        let refused = || {
            let message =
                format!("Cannot start query with name {name} as a query with that name is already active in this session.");
            Error::analysis("QUERY_NAME_ALREADY_ACTIVE", message)
        };
        if !self.lock().starting.insert(name.to_owned()) {
            return Err(refused());
        }
        // Asked with the name taken: a query that was being started before is among the active ones by now.
        let taken = TakenName { manager: self, name: name.to_owned() };
        if self.active().iter().any(|query| query.name() == name) { Err(refused()) } else { Ok(taken) }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that is given back when the query has been started, or has not.
struct TakenName<'a> {
    manager: &'a StreamingQueryManager,
    name: String,
}

impl Drop for TakenName<'_> {
    fn drop(&mut self) {
        self.manager.lock().starting.remove(&self.name);
    }
}
