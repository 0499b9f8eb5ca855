//! The rows of the build side, read once for all tasks of a run.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Epoch, Result};

use super::StaticJoin;
use crate::expressions::batch_of;

/// How many versions are remembered for tasks that are some epochs behind.
const REMEMBERED: usize = 8;

/// The build side as the epochs see it. Clones share it.
#[derive(Clone, Default)]
pub(super) struct SharedRows(Arc<Mutex<Versions>>);

#[derive(Default)]
struct Versions {
    /// From which epoch on the rows were these, oldest first.
    known: Vec<(Epoch, Option<u64>, Arc<RecordBatch>)>,
    /// The newest epoch that has asked.
    newest: Option<Epoch>,
}

impl SharedRows {
    /// The rows for an epoch: whoever asks first decides.
    pub(super) fn of_epoch(&self, epoch: Epoch, join: &StaticJoin) -> Result<Arc<RecordBatch>> {
        // A task that panicked while it read has added nothing.
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if versions.newest.is_some_and(|newest| epoch <= newest) {
            let before = versions.known.iter().rev().find(|(from, ..)| *from <= epoch).or_else(|| versions.known.first());
            if let Some((_, _, rows)) = before {
                return Ok(Arc::clone(rows));
            }
        }
        // Asked before the rows are read: a change in between is seen by the next epoch.
        let version = join.build.version()?;
        let rows = match versions.known.last() {
            Some((_, known, rows)) if *known == version => Arc::clone(rows),
            _ => {
                let rows = Arc::new(read(join)?);
                if versions.known.len() == REMEMBERED {
                    versions.known.remove(0);
                }
                versions.known.push((epoch, version, Arc::clone(&rows)));
                rows
            }
        };
        versions.newest = Some(epoch);
        Ok(rows)
    }
}

fn read(join: &StaticJoin) -> Result<RecordBatch> {
    let schema = &join.build_schema;
    let batches = join.build.rows()?.into_iter().map(|b| batch_of("join", schema, b.columns().to_vec(), b.num_rows()));
    Ok(concat_batches(schema, &batches.collect::<Result<Vec<_>>>()?)?)
}
