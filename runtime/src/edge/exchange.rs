//! Which of an edge's targets a row goes to.

use arrow::array::UInt32Array;
use arrow::compute::{BatchCoalescer, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use crate::error::Result;
use crate::message::TARGET_BATCH_ROWS;
use crate::state::{KEY_GROUPS, KeyGroup, hash_columns};

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
    /// The target of each key group: a look-up costs less than the division, row by row.
    owners: Vec<usize>,
    gathered: Vec<BatchCoalescer>,
    hashes: Vec<u64>,
    rows: Vec<Vec<u32>>,
}

impl Router {
    /// A router to `targets` tasks by the columns with these numbers.
    pub(crate) fn hash(columns: Vec<usize>, schema: &SchemaRef, targets: usize) -> Self {
        if targets == 1 {
            return Router::Single;
        }
        // A piece of a fair size goes out as it is: gathering copies it, which costs more than a batch more.
        let gather = || BatchCoalescer::new(SchemaRef::clone(schema), TARGET_BATCH_ROWS);
        let gathered = (0..targets).map(|_| gather().with_biggest_coalesce_batch_size(Some(TARGET_BATCH_ROWS / 4))).collect();
        let owners = (0..KEY_GROUPS).map(|group| KeyGroup(group).owner(targets)).collect();
        Router::Hash(HashRouter { columns, owners, gathered, hashes: Vec::new(), rows: vec![Vec::new(); targets] })
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
            let indices = UInt32Array::from(rows);
            self.gathered[target].push_batch(take_record_batch(batch, &indices)?)?;
            // The buffer goes back, so that a steady flow allocates none.
            if let Ok(mut rows) = indices.into_parts().1.into_inner().into_vec::<u32>() {
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
        let keys: Vec<_> = self.columns.iter().map(|&c| std::sync::Arc::clone(batch.column(c))).collect();
        hash_columns(&keys, batch.num_rows(), &mut self.hashes)?;
        for (row, &hash) in self.hashes.iter().enumerate() {
            self.rows[self.owners[usize::from(KeyGroup::of_hash(hash).0)]].push(row as u32);
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn batch(keys: &[Option<String>], first: i64) -> RecordBatch {
        let numbers = Int64Array::from_iter_values(first..first + keys.len() as i64);
        let keys: ArrayRef = Arc::new(StringArray::from(keys.to_vec()));
        RecordBatch::try_from_iter([("key", keys), ("n", Arc::new(numbers) as ArrayRef)]).unwrap()
    }

    fn numbers(batch: &RecordBatch) -> Vec<i64> {
        batch.column(1).as_primitive::<Int64Type>().values().to_vec()
    }

    proptest! {
        /// A hash exchange loses no row, keeps the order within a target, sends equal keys to one target, and to the owner of
        /// their key group.
        #[test]
        fn hash_exchange_is_a_stable_partition(
            batches in prop::collection::vec(prop::collection::vec(prop::option::of("[a-e]{0,3}"), 1..40), 1..6),
            targets in 1usize..6,
        ) {
            let mut sent: Vec<Vec<i64>> = vec![Vec::new(); targets];
            let mut keys_at: Vec<Vec<Option<String>>> = vec![Vec::new(); targets];
            let schema = batch(&batches[0], 0).schema();
            let mut router = Router::hash(vec![0], &schema, targets);
            let mut send = |target: usize, batch: RecordBatch| {
                sent[target].extend(numbers(&batch));
                keys_at[target].extend(batch.column(0).as_string::<i32>().iter().map(|key| key.map(str::to_owned)));
                Ok(())
            };
            let mut first = 0;
            for keys in &batches {
                router.route(batch(keys, first), targets, &mut send).unwrap();
                first += keys.len() as i64;
            }
            router.flush(&mut send).unwrap();
            let mut all: Vec<i64> = sent.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..first).collect::<Vec<_>>());
            prop_assert!(sent.iter().all(|rows| rows.is_sorted()));
            for (target, keys) in keys_at.iter().enumerate() {
                for key in keys {
                    let column: ArrayRef = Arc::new(StringArray::from(vec![key.clone()]));
                    let mut hash = Vec::new();
                    hash_columns(&[column], 1, &mut hash).unwrap();
                    prop_assert_eq!(KeyGroup::of_hash(hash[0]).owner(targets), target);
                }
            }
        }
    }

    #[test]
    fn rebalance_takes_turns_and_broadcast_copies() {
        let rows = batch(&[None], 0);
        let mut order = Vec::new();
        let mut rebalance = Router::Rebalance { next: 2 };
        for _ in 0..4 {
            rebalance
                .route(rows.clone(), 3, &mut |target, _| {
                    order.push(target);
                    Ok(())
                })
                .unwrap();
        }
        Router::Broadcast
            .route(rows, 3, &mut |target, _| {
                order.push(target);
                Ok(())
            })
            .unwrap();
        assert_eq!(order, [2, 0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn pieces_are_gathered_to_full_batches() {
        let keys: Vec<Option<String>> = (0..1000).map(|n| Some(n.to_string())).collect();
        let mut router = Router::hash(vec![0], &batch(&keys, 0).schema(), 2);
        let mut sizes = Vec::new();
        for _ in 0..40 {
            router
                .route(batch(&keys, 0), 2, &mut |_, batch| {
                    sizes.push(batch.num_rows());
                    Ok(())
                })
                .unwrap();
        }
        assert!(!sizes.is_empty() && sizes.iter().all(|&rows| rows == TARGET_BATCH_ROWS), "{sizes:?}");
    }
}
