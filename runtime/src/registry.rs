//! The queries that run in this process.

use std::sync::LazyLock;

use dashmap::DashMap;

use crate::query::{QueryHandle, QueryShared};
use crate::types::QueryId;

/// Read by anyone at any time, written when a query starts or ends. No guard is held across a call into anything else.
static QUERIES: LazyLock<DashMap<QueryId, QueryHandle>> = LazyLock::new(DashMap::new);

/// Handles on all queries of this process that have not ended, in no particular order.
pub fn queries() -> Vec<QueryHandle> {
    QUERIES.iter().map(|entry| entry.value().clone()).collect()
}

/// The query with this id, if it runs in this process.
pub fn query(id: QueryId) -> Option<QueryHandle> {
    QUERIES.get(&id).map(|entry| entry.value().clone())
}

pub(crate) fn add(handle: &QueryHandle) {
    let id = handle.id();
    QUERIES.insert(id, handle.clone());
    // It may have ended before it was added.
    QUERIES.remove_if(&id, |_, handle| !handle.is_active());
}

/// Removes a query that has ended; a later one on the same checkpoint, which has the same id, stays.
pub(crate) fn remove(id: QueryId, ended: &QueryShared) {
    QUERIES.remove_if(&id, |_, handle| handle.is(ended));
}
