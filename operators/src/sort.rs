//! The rows of an epoch in order.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{SortOptions, concat_batches, interleave_record_batch, is_null, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_row::{RowConverter, Rows, SortField};
use datafusion::physical_expr::PhysicalExpr;
use tidegate_runtime::state::canonical_keys;
use tidegate_runtime::{Operator, OperatorContext, OperatorSupplier, Port, Result, TARGET_BATCH_ROWS};

use crate::expressions::evaluate_all;
use crate::output::single_input;

/// Where only the first rows are asked for, the others are dropped whenever there are so many more of them.
const SURPLUS_ROWS: usize = 8 * TARGET_BATCH_ROWS;

/// What rows are sorted by.
#[derive(Debug, Clone)]
pub struct SortKey {
    /// Of each row.
    pub expr: Arc<dyn PhysicalExpr>,
    /// Whether the greatest comes first.
    pub descending: bool,
    /// Whether nulls come first, whatever the direction.
    pub nulls_first: bool,
}

/// Collects the rows of an epoch and gives them in order at its end. NaN is greater than any number, `-0.0` equals `0.0`; rows with
/// equal keys stay in the order in which they came.
///
/// It is one task: its input has to be exchanged by no columns.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::record_batch::RecordBatch;
/// use datafusion::physical_expr::expressions::Column;
/// use tidegate_operators::{Sort, SortKey};
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let numbers = |numbers: Vec<i64>| Arc::new(Int64Array::from(numbers)) as ArrayRef;
/// let batch = RecordBatch::try_from_iter([("n", numbers(vec![1, 3, 2]))])?;
/// let greatest = SortKey { expr: Arc::new(Column::new("n", 0)), descending: true, nulls_first: false };
/// let mut task = OperatorHarness::new(&Sort::new(vec![greatest]).slice(0, Some(2)), &[batch.schema()])?;
/// task.process(0, batch)?;
/// assert_eq!(task.end_epoch()?[0].column(0), &numbers(vec![3, 2]));
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sort {
    keys: Vec<SortKey>,
    skip: usize,
    fetch: Option<usize>,
}

impl Sort {
    /// Sorts by these keys, the first of them first.
    pub fn new(keys: Vec<SortKey>) -> Self {
        Sort { keys, skip: 0, fetch: None }
    }

    /// Leaves out the first `skip` rows and gives `fetch` rows at most.
    #[must_use]
    pub fn slice(mut self, skip: usize, fetch: Option<usize>) -> Self {
        (self.skip, self.fetch) = (skip, fetch);
        self
    }
}

impl OperatorSupplier for Sort {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        single_input("sort", inputs).map(Arc::clone)
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(SortTask { sort: self.clone(), collected: None }))
    }

    fn describe(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        let fetch = self.fetch.map(|fetch| format!(", rows {} to {}", self.skip, self.skip.saturating_add(fetch)));
        format!("sort by {}{}", keys.join(", "), fetch.unwrap_or_default())
    }
}

impl fmt::Display for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.descending { "desc" } else { "asc" };
        write!(f, "{} {direction} nulls {}", self.expr, if self.nulls_first { "first" } else { "last" })
    }
}

struct SortTask {
    sort: Sort,
    /// The rows of the epoch.
    collected: Option<Collected>,
}

struct Collected {
    batches: Vec<RecordBatch>,
    rows: usize,
    converter: RowConverter,
    /// The keys of all rows.
    keys: Rows,
}

impl Collected {
    fn new(keys: &[SortKey], columns: &[ArrayRef]) -> Result<Self> {
        let field = |(key, column): (&SortKey, &ArrayRef)| {
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            if !column.data_type().is_nested() {
                return vec![SortField::new_with_options(column.data_type().clone(), options)];
            }
            // Inside of a value a null is the least there is, wherever the nulls of the column go: these are sorted on their own.
            let null = SortOptions { descending: key.nulls_first, nulls_first: true };
            let value = SortOptions { descending: key.descending, nulls_first: !key.descending };
            vec![
                SortField::new_with_options(DataType::Boolean, null),
                SortField::new_with_options(column.data_type().clone(), value),
            ]
        };
        let converter = RowConverter::new(keys.iter().zip(columns).flat_map(field).collect())?;
        Ok(Collected { batches: Vec::new(), rows: 0, keys: converter.empty_rows(0, 0), converter })
    }

    fn add(&mut self, columns: &[ArrayRef], batch: RecordBatch) -> Result<()> {
        let mut keys = Vec::with_capacity(columns.len());
        for column in canonical_keys(columns)? {
            if column.data_type().is_nested() {
                keys.push(Arc::new(is_null(&column)?) as ArrayRef);
            }
            keys.push(column);
        }
        self.converter.append(&mut self.keys, &keys)?;
        self.rows += batch.num_rows();
        self.batches.push(batch);
        Ok(())
    }

    /// The first rows in order, by number.
    fn order(&self, first: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.rows as u32).collect();
        // By number last, so that the order of equal rows is kept.
        let compare =
            |&a: &u32, &b: &u32| -> Ordering { self.keys.row(a as usize).cmp(&self.keys.row(b as usize)).then(a.cmp(&b)) };
        if first < order.len() {
            if first > 0 {
                order.select_nth_unstable_by(first - 1, compare);
            }
            order.truncate(first);
        }
        order.sort_unstable_by(compare);
        order
    }

    /// Keeps the first rows only, still in the order in which they came.
    fn truncate(&mut self, first: usize) -> Result<()> {
        let mut kept = self.order(first);
        kept.sort_unstable();
        let Some(schema) = self.batches.first().map(RecordBatch::schema) else { return Ok(()) };
        let all = concat_batches(&schema, &self.batches)?;
        let mut keys = self.converter.empty_rows(kept.len(), 0);
        kept.iter().for_each(|&row| keys.push(self.keys.row(row as usize)));
        (self.rows, self.keys) = (kept.len(), keys);
        self.batches = vec![take_record_batch(&all, &UInt32Array::from(kept))?];
        Ok(())
    }

    /// Gives the rows from `skip` to `end`, in order.
    fn emit(&self, skip: usize, end: usize, context: &mut OperatorContext<'_>) -> Result<()> {
        let mut places = Vec::with_capacity(self.rows);
        for (number, batch) in self.batches.iter().enumerate() {
            places.extend((0..batch.num_rows()).map(|row| (number, row)));
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let order: Vec<(usize, usize)> = self.order(end).into_iter().skip(skip).map(|row| places[row as usize]).collect();
        order.chunks(TARGET_BATCH_ROWS).try_for_each(|piece| context.emit(interleave_record_batch(&batches, piece)?))
    }
}

impl Operator for SortTask {
    fn process(&mut self, _port: Port, batch: RecordBatch, _context: &mut OperatorContext<'_>) -> Result<()> {
        let SortTask { sort, collected } = self;
        let columns = evaluate_all(sort.keys.iter().map(|key| &key.expr), &batch)?;
        let collected = match collected {
            Some(collected) => collected,
            none => none.insert(Collected::new(&sort.keys, &columns)?),
        };
        collected.add(&columns, batch)?;
        match sort.fetch.map(|fetch| sort.skip.saturating_add(fetch)) {
            Some(first) if collected.rows >= first.saturating_mul(2).saturating_add(SURPLUS_ROWS) => collected.truncate(first),
            _ => Ok(()),
        }
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let Some(collected) = self.collected.take() else { return Ok(()) };
        let end = self.sort.fetch.map_or(usize::MAX, |fetch| self.sort.skip.saturating_add(fetch));
        collected.emit(self.sort.skip, end, context)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int32Array, ListArray};
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::testing::*;

    fn key(index: usize, descending: bool, nulls_first: bool) -> SortKey {
        SortKey { expr: column("c", index), descending, nulls_first }
    }

    #[test]
    fn nan_is_the_greatest_and_equal_rows_keep_their_order() {
        let floats: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(0.0), None, Some(f64::NAN), Some(-0.0), Some(-1.5), Some(-f64::NAN)]));
        let rows = batch(vec![("f", floats), ("n", ints((0..6).map(Some)))]);
        let order = |sort: Sort| -> Vec<String> {
            let made = run_once(&sort, &pieces(&rows, 2));
            lines(&made).iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
        };
        assert_eq!(order(Sort::new(vec![key(0, false, true)])), ["1", "4", "0", "3", "2", "5"]);
        assert_eq!(order(Sort::new(vec![key(0, true, false)])), ["2", "5", "0", "3", "4", "1"]);
        assert_eq!(order(Sort::new(vec![key(0, true, true), key(1, true, true)])), ["1", "5", "2", "3", "0", "4"]);
        assert_eq!(order(Sort::new(vec![key(0, false, false)]).slice(1, Some(3))), ["0", "3", "2"]);
        assert_eq!(order(Sort::new(vec![key(0, false, false)]).slice(5, Some(9))), ["1"]);
        assert!(order(Sort::new(vec![key(0, false, false)]).slice(0, Some(0))).is_empty());
    }

    #[test]
    fn a_null_in_a_list_is_the_least_whatever_happens_to_null_lists() {
        let lists = vec![Some(vec![Some(1)]), None, Some(vec![None]), Some(vec![]), Some(vec![Some(1), None])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
        let rows = batch(vec![("l", lists), ("n", Arc::new(Int32Array::from_iter_values(0..5)))]);
        let order = |descending, nulls_first| -> String {
            let made = run_once(&Sort::new(vec![key(0, descending, nulls_first)]), std::slice::from_ref(&rows));
            lines(&made).iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
        };
        assert_eq!(order(false, true), "13204");
        assert_eq!(order(false, false), "32041");
        assert_eq!(order(true, false), "40231");
        assert_eq!(order(true, true), "14023");
    }

    #[test]
    fn the_first_rows_of_many() {
        let many = 300_000_i64;
        let rows = batch(vec![("c", ints((0..many).map(|n| Some((n * 7_919) % many))))]);
        let made = run_once(&Sort::new(vec![key(0, false, true)]).slice(2, Some(10_000)), &pieces(&rows, 5_000));
        assert_eq!(made.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [TARGET_BATCH_ROWS, 10_000 - TARGET_BATCH_ROWS]);
        assert_eq!(lines(&made), (2..10_002).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
