//! Each key once.

use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use tidegate_runtime::state::TableSpec;
use tidegate_runtime::{Error, Operator, OperatorContext, OperatorSupplier, Port, Result, Watermark};

use crate::event_time::{EventTimeKind, after, micros};
use crate::expressions::batch_of;
use crate::output::{Gathered, gathered_like, single_input};

/// The name of the state table.
const TABLE: &str = "keys";
/// The type of the column that says when a key is forgotten.
const EXPIRES: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Passes on the first row of each key and drops those that come later, over all epochs.
///
/// Without an event time the keys are kept for ever. With one, rows are late and are dropped when the watermark had passed their
/// event time in the epoch before; and keys are forgotten when the watermark passes the event time, if it is one of the key's
/// columns, or, [within the watermark](Deduplicate::within_watermark), a time after the event time of their first row.
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
    event_time: Option<usize>,
    /// For how long after its event time a key is remembered, in microseconds.
    within: Option<i64>,
    /// How far the rows stay behind the query's watermark, in microseconds.
    lag_micros: i64,
}

impl Deduplicate {
    /// By the columns with these numbers.
    pub fn new(keys: Vec<usize>) -> Self {
        Deduplicate { keys, event_time: None, within: None, lag_micros: 0 }
    }

    /// With the event time in this column, one of the keys or not: a timestamp, or a window, which counts with its end.
    #[must_use]
    pub fn event_time(mut self, column: usize) -> Self {
        self.event_time = Some(column);
        self
    }

    /// How far the rows stay behind the query's watermark, in microseconds: what a join has held back comes late.
    #[must_use]
    pub fn lag(mut self, micros: i64) -> Self {
        self.lag_micros = micros;
        self
    }

    /// Remembers a key until the watermark has come to the event time of its first row plus this delay, that of the watermark, in
    /// microseconds. Rows of the key that come meanwhile don't renew it. The first row is the one that comes first; if it has no
    /// event time, it counts as of 1970.
    #[must_use]
    pub fn within_watermark(mut self, delay_micros: i64) -> Self {
        self.within = Some(delay_micros);
        self
    }

    /// What tells when a key may be forgotten, if anything does.
    fn forget(&self) -> Forget {
        match (self.within, self.event_time.and_then(|time| self.keys.iter().position(|&key| key == time))) {
            (Some(delay), _) => Forget::AfterFirst(delay),
            (None, Some(key)) => Forget::ByKey(key),
            (None, None) => Forget::Never,
        }
    }

    fn key_schema(&self, input: &Schema) -> Result<Schema> {
        input.project(&self.keys).map_err(|error| Error::InvalidArgument(format!("deduplicate: {error}")))
    }
}

impl OperatorSupplier for Deduplicate {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let input = single_input("deduplicate", inputs)?;
        self.key_schema(input)?;
        if let Some(number) = self.event_time {
            let column = input.fields().get(number);
            if column.and_then(|column| EventTimeKind::of(column.data_type())).is_none() {
                return Err(Error::InvalidArgument(format!("deduplicate: column {number} is no event time: {column:?}")));
            }
        } else if self.within.is_some() {
            return Err(Error::InvalidArgument("deduplicate within the watermark: there is no event time".to_owned()));
        }
        Ok(Arc::clone(input))
    }

    fn state(&self, inputs: &[SchemaRef]) -> Result<Vec<TableSpec>> {
        let keys = self.key_schema(single_input("deduplicate", inputs)?)?;
        let keys = keys.fields().iter().enumerate().map(|(number, key)| (format!("key.{number}"), key.data_type().clone()));
        let expires = self.within.map(|_| ("expires", EXPIRES));
        Ok(vec![TableSpec::new(TABLE, keys, expires)?])
    }

    // As in Spark, also where no key is forgotten: the next rows are then judged by the newest watermark.
    fn needs_watermark_epochs(&self) -> bool {
        self.event_time.is_some()
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(DeduplicateTask {
            keys: self.keys.clone(),
            event_time: self.event_time,
            forget: self.forget(),
            lag_micros: self.lag_micros,
            output: None,
        }))
    }

    fn describe(&self) -> String {
        format!("deduplicate by columns {:?}", self.keys)
    }
}

/// When a key is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forget {
    Never,
    /// When the watermark has come to its column with this number.
    ByKey(usize),
    /// When the watermark has come so many microseconds further than the event time of its first row.
    AfterFirst(i64),
}

struct DeduplicateTask {
    keys: Vec<usize>,
    event_time: Option<usize>,
    forget: Forget,
    lag_micros: i64,
    output: Option<Gathered>,
}

impl DeduplicateTask {
    /// The watermark of rows that stay behind the query's.
    fn lagging(&self, watermark: Watermark) -> Watermark {
        Watermark::from_micros(watermark.micros().saturating_sub(self.lag_micros))
    }

    /// The rows that are not late.
    fn in_time(&self, batch: RecordBatch, context: &OperatorContext<'_>) -> Result<RecordBatch> {
        let (Some(column), Some(watermark)) = (self.event_time, context.epoch()?.late_watermark) else { return Ok(batch) };
        let Some(keep) = after(&micros(batch.column(column))?, self.lagging(watermark)) else { return Ok(batch) };
        context.count_late(batch.num_rows() - keep.true_count());
        Ok(filter_record_batch(&batch, &keep)?)
    }

    /// When the keys of these new rows are forgotten; `None` if they never are.
    fn expiry(&self, rows: &RecordBatch) -> Result<Option<Int64Array>> {
        let column = match (self.forget, self.event_time) {
            (Forget::ByKey(key), _) => self.keys.get(key).copied(),
            (Forget::AfterFirst(_), column) => column,
            (Forget::Never, _) => None,
        };
        let Some(column) = column else { return Ok(None) };
        let times = micros(rows.column(column))?;
        Ok(Some(match self.forget {
            Forget::AfterFirst(delay) => times.iter().map(|time| Some(time.unwrap_or(0).saturating_add(delay))).collect(),
            Forget::ByKey(_) | Forget::Never => times,
        }))
    }
}

impl Operator for DeduplicateTask {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        if self.forget == Forget::Never {
            return Ok(());
        }
        let (keys, forget) = (self.keys.len(), self.forget);
        context.state(TABLE)?.set_deadlines(&mut |rows| {
            let time = match forget {
                Forget::ByKey(key) => rows.columns().get(key),
                Forget::AfterFirst(_) | Forget::Never => rows.columns().get(keys),
            };
            micros(time.ok_or_else(|| Error::Protocol("deduplicate: the state has no event time".to_owned()))?)
        })
    }

    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let batch = self.in_time(batch, context)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let store = context.state(TABLE)?;
        let keys = self.keys.iter().map(|&key| Arc::clone(batch.column(key))).collect();
        let keys = batch_of("deduplicate", store.spec().keys(), keys, batch.num_rows())?;
        let expiry = self.expiry(&batch)?;
        let values = match (&expiry, self.forget) {
            (Some(times), Forget::AfterFirst(_)) => vec![cast(times, &EXPIRES)?],
            _ => Vec::new(),
        };
        let values = batch_of("deduplicate", store.spec().values(), values, batch.num_rows())?;
        let new = store.insert(&keys, &values, expiry.as_ref())?;
        if new.true_count() == 0 {
            return Ok(());
        }
        let rows = filter_record_batch(&batch, &new)?;
        gathered_like(&mut self.output, batch.schema_ref()).push(rows, context)
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let watermark = context.epoch()?.watermark.map(|watermark| self.lagging(watermark));
        if let (Some(watermark), true) = (watermark, self.forget != Forget::Never) {
            context.state(TABLE)?.remove_due(watermark.micros());
        }
        self.output.as_mut().map_or(Ok(()), |output| output.flush(context))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{ArrayRef, AsArray, Float64Array};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

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

    /// Rows `key time number`, in this order; the numbers go up from `from`.
    fn timed(rows: &[(&str, Option<i64>)], from: i64) -> RecordBatch {
        let keys = strings(rows.iter().map(|(key, _)| Some(*key)).collect());
        let numbers = ints((from..).take(rows.len()).map(Some));
        batch(vec![("k", keys), ("t", times(rows.iter().map(|(_, time)| *time).collect())), ("n", numbers)])
    }

    /// The numbers of the rows that pass.
    fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
        let numbers = batches.iter().flat_map(|batch| batch.column(2).as_primitive::<Int64Type>().values().to_vec());
        let mut numbers: Vec<i64> = numbers.collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn a_key_with_the_event_time_is_forgotten_when_the_watermark_has_passed_it() {
        let deduplicate = Deduplicate::new(vec![0, 1]).event_time(1);
        assert!(deduplicate.needs_watermark_epochs());
        let mut tasks = Tasks::new(&deduplicate, timed(&[], 0).schema(), 2, 1);
        let rows = [("a", Some(10)), ("a", Some(10)), ("a", Some(11)), ("a", None), ("b", None), ("b", None)];
        assert_eq!(numbers(&tasks.run(epoch(0, Some(0), Some(0)), &[timed(&rows, 0)])), [0, 2, 3, 4]);
        assert_eq!((tasks.state_rows(), tasks.late_rows()), (4, 0));
        tasks.restart(2);
        // The key at the watermark goes; a row at the one before is late, also one whose key was there; without a time none is late.
        assert!(tasks.run(epoch(1, Some(0), Some(10)), &[]).is_empty());
        assert_eq!(tasks.state_rows(), 3);
        let rows = [("a", Some(10)), ("c", Some(9)), ("a", Some(11)), ("c", Some(11)), ("a", None)];
        assert_eq!(numbers(&tasks.run(epoch(2, Some(10), Some(10)), &[timed(&rows, 10)])), [13]);
        assert_eq!((tasks.state_rows(), tasks.late_rows()), (4, 2));
        // Judged by the watermark before, removed by this one: the row passes, and its key is not kept.
        assert_eq!(numbers(&tasks.run(epoch(3, Some(10), Some(50)), &[timed(&[("d", Some(20))], 20)])), [20]);
        assert_eq!(tasks.state_rows(), 2, "those without a time stay for ever");
    }

    #[test]
    fn a_key_without_the_event_time_is_kept_but_late_rows_are_dropped() {
        let deduplicate = Deduplicate::new(vec![0]).event_time(1);
        assert!(deduplicate.needs_watermark_epochs(), "the next rows are judged by the newest watermark");
        let mut tasks = Tasks::new(&deduplicate, timed(&[], 0).schema(), 1, 1);
        assert_eq!(numbers(&tasks.run(epoch(0, Some(0), Some(0)), &[timed(&[("a", Some(10))], 0)])), [0]);
        let rows = [("a", Some(60)), ("b", Some(50)), ("c", Some(51)), ("d", None)];
        assert_eq!(numbers(&tasks.run(epoch(1, Some(50), Some(50)), &[timed(&rows, 10)])), [12, 13]);
        assert_eq!((tasks.state_rows(), tasks.late_rows()), (3, 1));
    }

    #[test]
    fn within_the_watermark_a_key_is_kept_for_the_delay_after_its_first_row() {
        let deduplicate = Deduplicate::new(vec![0]).event_time(1).within_watermark(10);
        assert!(deduplicate.needs_watermark_epochs());
        let mut tasks = Tasks::new(&deduplicate, timed(&[], 0).schema(), 1, 2);
        let rows = [("a", Some(20)), ("a", Some(5)), ("a", Some(25)), ("b", None)];
        assert_eq!(numbers(&tasks.run(epoch(0, Some(0), Some(0)), &[timed(&rows, 0)])), [0, 3]);
        // Not renewed by what comes later, not shortened by what is earlier. Without a time it is 1970.
        assert_eq!(
            numbers(&tasks.run(epoch(1, Some(0), Some(29)), &[timed(&[("a", Some(28)), ("b", Some(40))], 10)])),
            [] as [i64; 0]
        );
        assert_eq!(tasks.state_rows(), 1);
        tasks.restart(1);
        assert_eq!(numbers(&tasks.run(epoch(2, Some(29), Some(30)), &[timed(&[("a", Some(29)), ("b", Some(31))], 20)])), [21]);
        assert_eq!((tasks.state_rows(), tasks.late_rows()), (1, 1));
        assert_eq!(numbers(&tasks.run(epoch(3, Some(30), Some(30)), &[timed(&[("a", Some(31))], 30)])), [30]);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let schema = timed(&[], 0).schema();
        let refused = |deduplicate: Deduplicate| deduplicate.output_schema(&[Arc::clone(&schema)]).unwrap_err().to_string();
        assert!(refused(Deduplicate::new(vec![0]).event_time(2)).contains("column 2 is no event time"));
        assert!(refused(Deduplicate::new(vec![0]).within_watermark(5)).contains("there is no event time"));
        assert!(refused(Deduplicate::new(vec![7])).contains("deduplicate"));
    }

    proptest! {
        /// Against the plain definition, row by row, with restarts at any parallelism.
        #[test]
        fn it_does_what_the_definition_says(
            within in prop::option::of(0i64..8),
            keyed in any::<bool>(),
            epochs in prop::collection::vec((prop::collection::vec((0u8..4, prop::option::weighted(0.9, 0i64..30)), 0..12), 0i64..6, prop::option::of(1usize..4)), 1..8),
        ) {
            let keys = if keyed { vec![0, 1] } else { vec![0] };
            let mut deduplicate = Deduplicate::new(keys.clone()).event_time(1);
            if let Some(delay) = within {
                deduplicate = deduplicate.within_watermark(delay);
            }
            let mut tasks = Tasks::new(&deduplicate, timed(&[], 0).schema(), keys.len(), 1);
            let mut kept: BTreeMap<(u8, Option<i64>), Option<i64>> = BTreeMap::new();
            let (mut late, mut watermark, mut number) = (0, 0, 0);
            for (step, (rows, moves, restart)) in (0..).zip(&epochs) {
                if let Some(parallelism) = restart {
                    tasks.restart(*parallelism);
                }
                let names = ["a", "b", "c", "d"];
                let given: Vec<_> = rows.iter().map(|(key, time)| (names[usize::from(*key)], *time)).collect();
                let made = tasks.run(epoch(step, Some(late), Some(watermark)), &pieces(&timed(&given, number), 5));
                let mut expected = Vec::new();
                for ((key, time), number) in rows.iter().zip(number..) {
                    if time.is_some_and(|time| time <= late) {
                        continue;
                    }
                    let expires = match within {
                        Some(delay) => Some(time.unwrap_or(0) + delay),
                        None => time.filter(|_| keyed),
                    };
                    if let std::collections::btree_map::Entry::Vacant(entry) = kept.entry((*key, time.filter(|_| keyed))) {
                        entry.insert(expires);
                        expected.push(number);
                    }
                }
                kept.retain(|_, expires| expires.is_none_or(|expires| expires > watermark));
                prop_assert_eq!(numbers(&made), expected);
                prop_assert_eq!(tasks.state_rows(), kept.len());
                number += rows.len() as i64;
                (late, watermark) = (watermark, watermark + moves);
            }
        }
    }
}
