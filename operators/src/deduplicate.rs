//! Each key once.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::{filter_record_batch, not, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate_runtime::state::TableSpec;
use tidegate_runtime::{Error, Operator, OperatorContext, OperatorSupplier, Port, Result};

use crate::expressions::batch_of;
use crate::groups::Groups;
use crate::output::{Gathered, gathered_like, single_input};

/// The name of the state table.
const TABLE: &str = "keys";

/// Passes on the first row of each key and drops those that come later, over all epochs. The keys are kept for ever.
///
/// The input has to be exchanged by the key columns, in their order. Null is a key like any other; so is NaN, and `-0.0` is `0.0`.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::record_batch::RecordBatch;
/// use tidegate_operators::Deduplicate;
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let numbers = |numbers: Vec<i64>| Arc::new(Int64Array::from(numbers)) as ArrayRef;
/// let batch = |n| RecordBatch::try_from_iter([("n", numbers(n))]);
/// let mut task = OperatorHarness::new(&Deduplicate::new(vec![0]), &[batch(vec![])?.schema()])?;
/// task.process(0, batch(vec![1, 2, 1])?)?;
/// assert_eq!(task.end_epoch()?[0].column(0), &numbers(vec![1, 2]));
/// task.process(0, batch(vec![2, 3])?)?;
/// assert_eq!(task.end_epoch()?[0].column(0), &numbers(vec![3]));
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Deduplicate {
    keys: Vec<usize>,
}

impl Deduplicate {
    /// By the columns with these numbers.
    pub fn new(keys: Vec<usize>) -> Self {
        Deduplicate { keys }
    }

    fn key_schema(&self, input: &Schema) -> Result<Schema> {
        input.project(&self.keys).map_err(|error| Error::InvalidArgument(format!("deduplicate: {error}")))
    }
}

impl OperatorSupplier for Deduplicate {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let input = single_input("deduplicate", inputs)?;
        self.key_schema(input)?;
        Ok(Arc::clone(input))
    }

    fn state(&self, inputs: &[SchemaRef]) -> Result<Vec<TableSpec>> {
        let keys = self.key_schema(single_input("deduplicate", inputs)?)?;
        let keys = keys.fields().iter().enumerate().map(|(number, key)| (format!("key.{number}"), key.data_type().clone()));
        // What tells when a key may be forgotten will be a value here.
        let values: [(&str, DataType); 0] = [];
        Ok(vec![TableSpec::new(TABLE, keys, values)?])
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(DeduplicateTask { keys: self.keys.clone(), groups: None, numbers: Vec::new(), output: None }))
    }

    fn describe(&self) -> String {
        format!("deduplicate by columns {:?}", self.keys)
    }
}

struct DeduplicateTask {
    keys: Vec<usize>,
    /// The keys of the batch at hand.
    groups: Option<Groups>,
    numbers: Vec<usize>,
    output: Option<Gathered>,
}

impl DeduplicateTask {
    /// The first row of each key of the batch.
    fn firsts(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let groups = match &mut self.groups {
            Some(groups) => groups,
            none => none.insert(Groups::new(&batch.schema().project(&self.keys)?)?),
        };
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(batch.column(key))).collect();
        groups.assign(&keys, batch.num_rows(), &mut self.numbers)?;
        let distinct = groups.len();
        groups.take()?;
        if distinct == batch.num_rows() {
            return Ok(batch.clone());
        }
        // Groups are numbered in the order in which they come: a new one has the number of those before it.
        let mut known = 0;
        let is_first = |group: usize| {
            let first = group == known;
            known += usize::from(first);
            first
        };
        let firsts: Vec<bool> = self.numbers.iter().copied().map(is_first).collect();
        let rows = (0_u32..).zip(firsts).filter(|(_, first)| *first).map(|(row, _)| row);
        Ok(take_record_batch(batch, &UInt32Array::from_iter_values(rows))?)
    }
}

impl Operator for DeduplicateTask {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let firsts = self.firsts(&batch)?;
        let store = context.state(TABLE)?;
        let (key_schema, value_schema) = (Arc::clone(store.spec().keys()), Arc::clone(store.spec().values()));
        let keys_of = |rows: &RecordBatch| {
            let keys = self.keys.iter().map(|&key| Arc::clone(rows.column(key))).collect();
            batch_of("deduplicate", &key_schema, keys, rows.num_rows())
        };
        let found: BooleanArray = store.get(&keys_of(&firsts)?)?.found;
        let new = if found.true_count() == 0 { firsts } else { filter_record_batch(&firsts, &not(&found)?)? };
        if new.num_rows() == 0 {
            return Ok(());
        }
        store.put(&keys_of(&new)?, &batch_of("deduplicate", &value_schema, Vec::new(), new.num_rows())?)?;
        gathered_like(&mut self.output, batch.schema_ref()).push(new, context)
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.output.as_mut().map_or(Ok(()), |output| output.flush(context))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;

    use super::*;
    use crate::testing::*;

    #[test]
    fn the_first_row_of_a_key_passes_once_and_for_all() {
        let rows = |keys: Vec<Option<&str>>, from: i64| {
            let numbers = ints((from..from + keys.len() as i64).map(Some));
            batch(vec![("k", strings(keys)), ("n", numbers)])
        };
        let deduplicate = Deduplicate::new(vec![0]);
        let mut tasks = Tasks::new(&deduplicate, rows(vec![], 0).schema(), 1, 1);
        let first = [rows(vec![Some("a"), None, Some("a")], 0), rows(vec![Some("b"), Some("a"), None], 3)];
        assert_eq!(lines(&tasks.run(epoch(0, None, None), &first)), ["a 0", "null 1", "b 3"]);
        tasks.restart(3);
        assert_eq!(sorted(&tasks.run(epoch(1, None, None), &[rows(vec![None, Some("c"), Some("b"), Some("c")], 6)])), ["c 7"]);
        tasks.restart(1);
        assert!(tasks.run(epoch(2, None, None), &[rows(vec![Some("c"), None], 10)]).is_empty());
    }

    #[test]
    fn any_columns_may_be_the_key() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, f64::NAN]));
        let rows = batch(vec![("n", ints((0..4).map(Some))), ("w", windows(vec![Some(0), Some(0), None, None])), ("f", floats)]);
        let made = run_once(&Deduplicate::new(vec![2, 1]), std::slice::from_ref(&rows));
        assert_eq!(made[0].column(0), &ints([Some(0), Some(2)]));
        assert_eq!(run_once(&Deduplicate::new(vec![]), &[rows])[0].num_rows(), 1);
    }
}
