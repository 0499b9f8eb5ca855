//! Which of an edge's targets a row goes to.

use arrow::array::UInt64Array;
use arrow::compute::{BatchCoalescer, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use crate::error::Result;
use crate::message::TARGET_BATCH_ROWS;
use crate::state::{KeyGroup, hash_columns};

/// How the rows of one node are dealt to the tasks of the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// Task *i* to task *i*; both nodes have the same parallelism.
    Forward,
    /// By the key group of these columns, so that equal keys meet in one task. No columns: all rows in one task.
    Hash(Vec<String>),
    /// Every row to every task.
    Broadcast,
    /// Batch by batch in turn.
    Rebalance,
}

impl std::fmt::Display for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exchange::Forward => f.write_str("forward"),
            Exchange::Hash(columns) => write!(f, "hash({})", columns.join(", ")),
            Exchange::Broadcast => f.write_str("broadcast"),
            Exchange::Rebalance => f.write_str("rebalance"),
        }
    }
}

/// An exchange at work in one producer task. Gives batches together with the number of their target.
#[derive(Debug)]
pub(crate) enum Router {
    /// Everything to the only target.
    Single,
    /// Everything to every target.
    Broadcast,
    /// To the next target.
    Rebalance { next: usize },
    /// To the owner of the row's key group.
    Hash(HashRouter),
}

/// Splits batches by key group and gathers the pieces, so that batches stay at their target size behind the exchange.
#[derive(Debug)]
pub(crate) struct HashRouter {
    columns: Vec<usize>,
    gathered: Vec<BatchCoalescer>,
    hashes: Vec<u64>,
    rows: Vec<Vec<u64>>,
}

impl Router {
    /// A router to `targets` tasks by the columns with these numbers.
    pub(crate) fn hash(columns: Vec<usize>, schema: &SchemaRef, targets: usize) -> Self {
        if targets == 1 {
            return Router::Single;
        }
        let gathered = (0..targets).map(|_| BatchCoalescer::new(SchemaRef::clone(schema), TARGET_BATCH_ROWS)).collect();
        Router::Hash(HashRouter { columns, gathered, hashes: Vec::new(), rows: vec![Vec::new(); targets] })
    }

    /// Routes one batch: calls `send` with each target and its rows.
    pub(crate) fn route(
        &mut self,
        batch: RecordBatch,
        targets: usize,
        send: &mut dyn FnMut(usize, RecordBatch) -> Result<()>,
    ) -> Result<()> {
        match self {
            Router::Single => send(0, batch),
            Router::Broadcast => (0..targets).try_for_each(|target| send(target, batch.clone())),
            Router::Rebalance { next } => {
                let target = *next % targets;
                *next = target + 1;
                send(target, batch)
            }
            Router::Hash(router) => router.route(&batch, send),
        }
    }

    /// Sends what was gathered: at the end of an epoch.
    pub(crate) fn flush(&mut self, send: &mut dyn FnMut(usize, RecordBatch) -> Result<()>) -> Result<()> {
        match self {
            Router::Hash(router) => router.flush(send),
            Router::Single | Router::Broadcast | Router::Rebalance { .. } => Ok(()),
        }
    }
}

impl HashRouter {
    fn route(&mut self, batch: &RecordBatch, send: &mut dyn FnMut(usize, RecordBatch) -> Result<()>) -> Result<()> {
        self.split(batch)?;
        for target in 0..self.rows.len() {
            let rows = std::mem::take(&mut self.rows[target]);
            if rows.is_empty() {
                continue;
            }
            let indices = UInt64Array::from(rows);
            self.gathered[target].push_batch(take_record_batch(batch, &indices)?)?;
            // The buffer goes back, so that a steady flow allocates none.
            if let Ok(mut rows) = indices.into_parts().1.into_inner().into_vec::<u64>() {
                rows.clear();
                self.rows[target] = rows;
            }
            while let Some(full) = self.gathered[target].next_completed_batch() {
                send(target, full)?;
            }
        }
        Ok(())
    }

    /// Fills `rows` with the numbers of each target's rows.
    fn split(&mut self, batch: &RecordBatch) -> Result<()> {
        let targets = self.rows.len();
        let keys: Vec<_> = self.columns.iter().map(|&c| std::sync::Arc::clone(batch.column(c))).collect();
        hash_columns(&keys, batch.num_rows(), &mut self.hashes)?;
        for (row, &hash) in self.hashes.iter().enumerate() {
            self.rows[KeyGroup::of_hash(hash).owner(targets)].push(row as u64);
        }
        Ok(())
    }

    fn flush(&mut self, send: &mut dyn FnMut(usize, RecordBatch) -> Result<()>) -> Result<()> {
        for (target, gathered) in self.gathered.iter_mut().enumerate() {
            gathered.finish_buffered_batch()?;
            while let Some(rest) = gathered.next_completed_batch() {
                send(target, rest)?;
            }
        }
        Ok(())
    }
}
