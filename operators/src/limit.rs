//! The first rows: of each epoch, or of all of them together.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tidegate_runtime::state::TableSpec;
use tidegate_runtime::{Operator, OperatorContext, OperatorSupplier, Port, Result};

use crate::expressions::batch_of;
use crate::output::single_input;

/// The name of the state table.
const TABLE: &str = "count";

/// Passes on the first rows of each epoch.
///
/// It is one task: its input has to be exchanged by no columns.
#[derive(Debug, Clone, Copy)]
pub struct EpochLimit {
    skip: usize,
    fetch: Option<usize>,
}

impl EpochLimit {
    /// Leaves out the first `skip` rows and passes on `fetch` rows at most.
    pub fn new(skip: usize, fetch: Option<usize>) -> Self {
        EpochLimit { skip, fetch }
    }
}

impl OperatorSupplier for EpochLimit {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        single_input("limit", inputs).map(Arc::clone)
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(EpochLimitTask { limit: *self, seen: 0 }))
    }

    fn describe(&self) -> String {
        let fetch = self.fetch.map_or("all".to_owned(), |fetch| fetch.to_string());
        format!("{fetch} rows of each epoch after the first {}", self.skip)
    }
}

struct EpochLimitTask {
    limit: EpochLimit,
    /// The rows of the epoch so far.
    seen: usize,
}

impl Operator for EpochLimitTask {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let end = self.limit.fetch.map_or(usize::MAX, |fetch| self.limit.skip.saturating_add(fetch));
        let within = |row: usize| row.saturating_sub(self.seen).min(batch.num_rows());
        let (start, end) = (within(self.limit.skip), within(end));
        self.seen = self.seen.saturating_add(batch.num_rows());
        context.emit(batch.slice(start, end.saturating_sub(start)))
    }

    fn end_epoch(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        self.seen = 0;
        Ok(())
    }
}

/// Passes on the first rows since the query's first epoch.
///
/// It is one task: its input has to be exchanged by no columns.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::record_batch::RecordBatch;
/// use tidegate_operators::Limit;
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let numbers = |numbers: Vec<i64>| Arc::new(Int64Array::from(numbers)) as ArrayRef;
/// let batch = RecordBatch::try_from_iter([("n", numbers(vec![1, 2]))])?;
/// let mut task = OperatorHarness::new(&Limit::new(3), &[batch.schema()])?;
/// let mut epoch = || -> tidegate_runtime::Result<usize> {
///     task.process(0, batch.clone())?;
///     Ok(task.end_epoch()?.iter().map(RecordBatch::num_rows).sum())
/// };
/// assert_eq!([epoch()?, epoch()?, epoch()?], [2, 1, 0]);
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    rows: usize,
}

impl Limit {
    /// Passes on `rows` rows.
    pub fn new(rows: usize) -> Self {
        Limit { rows }
    }
}

impl OperatorSupplier for Limit {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        single_input("limit", inputs).map(Arc::clone)
    }

    fn state(&self, _inputs: &[SchemaRef]) -> Result<Vec<TableSpec>> {
        let keys: [(&str, DataType); 0] = [];
        Ok(vec![TableSpec::new(TABLE, keys, [("rows", DataType::Int64)])?])
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(LimitTask { rows: self.rows, passed: 0, changed: false }))
    }

    fn describe(&self) -> String {
        format!("the first {} rows", self.rows)
    }
}

struct LimitTask {
    rows: usize,
    /// How many rows have been passed on since the first epoch.
    passed: usize,
    changed: bool,
}

impl Operator for LimitTask {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let stored = context.state(TABLE)?.get(&no_key()?)?.values;
        let passed = stored.column(0).as_primitive::<Int64Type>();
        self.passed = if passed.is_valid(0) { usize::try_from(passed.value(0)).unwrap_or(0) } else { 0 };
        Ok(())
    }

    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let rows = batch.num_rows().min(self.rows.saturating_sub(self.passed));
        self.passed += rows;
        self.changed |= rows > 0;
        context.emit(batch.slice(0, rows))
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        if std::mem::take(&mut self.changed) {
            let store = context.state(TABLE)?;
            let passed = Int64Array::from(vec![self.passed as i64]);
            let values = batch_of("limit", &Arc::clone(store.spec().values()), vec![Arc::new(passed)], 1)?;
            store.put(&no_key()?, &values)?;
        }
        Ok(())
    }
}

/// The key of a table of one row.
fn no_key() -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    fn rows(numbers: std::ops::Range<i64>) -> RecordBatch {
        batch(vec![("n", ints(numbers.map(Some)))])
    }

    #[test]
    fn a_limit_counts_over_epochs_and_restarts() {
        let limit = Limit::new(5);
        let mut tasks = Tasks::new(&limit, rows(0..0).schema(), 0, 1);
        assert_eq!(lines(&tasks.run(epoch(0, None, None), &[rows(0..2), rows(2..3)])), ["0", "1", "2"]);
        tasks.restart(1);
        assert_eq!(lines(&tasks.run(epoch(1, None, None), &[rows(3..9)])), ["3", "4"]);
        tasks.restart(1);
        assert!(tasks.run(epoch(2, None, None), &[rows(9..12)]).is_empty());
    }

    #[test]
    fn an_epochs_limit_starts_anew() {
        let limit = EpochLimit::new(1, Some(3));
        let mut tasks = Tasks::new(&limit, rows(0..0).schema(), 0, 1);
        for number in 0..2 {
            let made = tasks.run(epoch(number, None, None), &[rows(0..3), rows(3..9), rows(9..12)]);
            assert_eq!(lines(&made), ["1", "2", "3"]);
        }
        assert_eq!(lines(&run_once(&EpochLimit::new(4, None), &[rows(0..3), rows(3..6)])), ["4", "5"]);
    }
}
