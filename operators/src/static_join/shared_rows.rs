//! The rows of the build side, read once for all tasks of a run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Epoch, Error, Result};

use super::StaticJoin;
use crate::expressions::batch_of;

/// The build side as the epochs see it, for one task: all tasks see the same.
pub(super) struct SharedRows {
    task: usize,
    versions: Arc<Mutex<Versions>>,
}

struct Versions {
    /// From which epoch on the rows were these, oldest first.
    known: Vec<(Epoch, Option<u64>, Arc<RecordBatch>)>,
    /// The newest epoch that has asked.
    newest: Option<Epoch>,
    /// The newest epoch that each task has ended.
    ended: Vec<Option<Epoch>>,
}

impl SharedRows {
    /// For so many tasks.
    pub(super) fn of_tasks(tasks: usize) -> impl Iterator<Item = SharedRows> {
        let versions = Versions { known: Vec::new(), newest: None, ended: vec![None; tasks] };
        let versions = Arc::new(Mutex::new(versions));
        (0..tasks).map(move |task| SharedRows { task, versions: Arc::clone(&versions) })
    }

    /// The rows for an epoch: whoever asks first decides.
    pub(super) fn of_epoch(&self, epoch: Epoch, join: &StaticJoin) -> Result<Arc<RecordBatch>> {
        let mut versions = self.lock();
        if versions.newest.is_some_and(|newest| epoch <= newest) {
            let known = versions.known.iter().rev().find(|(from, ..)| *from <= epoch);
            let gone =
                || Error::Protocol(format!("the static rows of epoch {epoch} were given up before all tasks had ended it"));
            return known.map(|(_, _, rows)| Arc::clone(rows)).ok_or_else(gone);
        }
        // Asked before the rows are read: a change in between is seen by the next epoch.
        let version = join.build.version()?;
        let rows = match versions.known.last() {
            Some((_, known, rows)) if *known == version => Arc::clone(rows),
            _ => {
                let rows = Arc::new(read(join)?);
                versions.known.push((epoch, version, Arc::clone(&rows)));
                rows
            }
        };
        versions.newest = Some(epoch);
        Ok(rows)
    }

    /// The task has ended an epoch: what no task needs any more is given up.
    pub(super) fn end(&self, epoch: Epoch) {
        let mut versions = self.lock();
        if let Some(ended) = versions.ended.get_mut(self.task) {
            *ended = Some(epoch);
        }
        let Some(all) = versions.ended.iter().copied().min().flatten() else { return };
        while versions.known.get(1).is_some_and(|(from, ..)| *from <= all.next()) {
            versions.known.remove(0);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Versions> {
        // A task that panicked while it read has added nothing.
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(join: &StaticJoin) -> Result<RecordBatch> {
    let schema = &join.build_schema;
    let batches = join.build.rows()?.into_iter().map(|b| batch_of("join", schema, b.columns().to_vec(), b.num_rows()));
    Ok(concat_batches(schema, &batches.collect::<Result<Vec<_>>>()?)?)
}
