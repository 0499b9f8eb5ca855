//! Joins two streams, each of which waits for the other.
//!
//! Rows of both sides are kept in the state until the watermark shows that no match can come any more. At the end of an epoch its new
//! rows are joined with each other and with the kept rows of the other side, so that every pair is met once, whatever the order in
//! which the rows came. The cost of an epoch follows its rows, their matches and what is removed, not what is kept.
//!
//! ```text
//! new left × new right,   new left × kept right,   kept left × new right   ─► residual condition ─► pairs
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `new_rows.rs` | the new rows of a side, by key |
//! | `kept_rows.rs` | which rows of a side are in the state, by key and by when they can be removed; no columns |
//! | `trial.rs` | pairs of row numbers, tried a batch at a time |
//! | `task.rs` | an epoch |
//!
//! # What a row becomes
//!
//! 1. One whose event time is not after `late_watermark` is dropped and counted, whether or not that column is a key.
//! 2. One that fails its side's [`condition`](JoinSide::condition) has no match: of an outer side it is given at once, with nulls.
//! 3. One with a null key matches nothing, unless null equals null in it ([`StreamJoin::null_equal`]). Of an outer side it waits like
//!    the others; otherwise it is dropped. (Spark's full outer join pairs null keys, which its other joins don't: not copied.)
//! 4. It is joined, and kept until [`RemoveWhen`] is true for the epoch's watermark. Then one of an outer side that has never had a
//!    match is given with nulls. A left row of a semi join is given with its first match, and gone.
//! 5. A row without a time is neither late nor ever removed, as in Spark: of an outer side it never comes out alone.
//!
//! # What a planner gives
//!
//! Both inputs are exchanged by their keys, in the same order and of the same types. The conditions of the join are dealt out: equalities
//! to the [`keys`](JoinSide::keys), what concerns one side only to its [`condition`](JoinSide::condition), all else, bounds of time
//! included, to the [`residual`](StreamJoin::residual). When rows can be removed follows from the same conditions:
//!
//! * An event time among the keys: the column of *that key* on both sides, whether or not it is an event time there; offset zero.
//! * A bound `own > other - k` to the other side's event time: the own event time column, offset `k`; if it may be reached (`>=`), Spark
//!   waits a millisecond longer. A test that is to be exclusive has an offset one microsecond greater.
//!
//! A side without a rule is kept for ever.

mod kept_rows;
mod new_rows;
mod task;
mod trial;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use tidegate_runtime::state::TableSpec;
use tidegate_runtime::{Error, Operator, OperatorSupplier, Result};

use self::task::JoinTask;

const NAME: &str = "stream join";
const TABLES: [&str; 2] = ["left", "right"];

/// Which rows a [`StreamJoin`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamJoinKind {
    /// The pairs that match.
    Inner,
    /// These, and left rows that never found a match, with nulls.
    Left,
    /// The pairs, and right rows that never found a match.
    Right,
    /// The pairs, and the rows of both sides that never found a match.
    Full,
    /// Left rows, each once, when the first match comes.
    LeftSemi,
}

impl StreamJoinKind {
    /// Whether rows of a side are given without a match.
    fn is_outer(self, side: usize) -> bool {
        match self {
            StreamJoinKind::Full => true,
            StreamJoinKind::Left => side == 0,
            StreamJoinKind::Right => side == 1,
            StreamJoinKind::Inner | StreamJoinKind::LeftSemi => false,
        }
    }

    /// Whether a row of a side is done with once it has a match.
    fn ends_with_a_match(self, side: usize) -> bool {
        self == StreamJoinKind::LeftSemi && side == 0
    }
}

/// One side of a [`StreamJoin`].
#[derive(Debug, Clone, Default)]
pub struct JoinSide {
    /// The numbers of the key columns, in the order in which both sides compare them.
    pub keys: Vec<usize>,
    /// How many of the first columns are part of the output; key columns after them are only compared.
    pub columns: usize,
    /// What a row must fulfil to have a match at all.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    /// The event time column, by which rows are late: a timestamp, or a window, which counts with its end.
    pub event_time: Option<usize>,
    /// How far the side's rows stay behind the query's watermark, in microseconds: what another join has held back comes late.
    pub lag_micros: i64,
    /// When a kept row can be removed; never, if not set.
    pub remove: Option<RemoveWhen>,
}

/// A row can be removed when the time in a column plus an offset is not after the watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoveWhen {
    /// The column: a timestamp, or a window, which counts with its end.
    pub column: usize,
    /// In microseconds.
    pub offset_micros: i64,
}

/// Joins two streams, the left one at port 0 and the right one at port 1, both exchanged by their keys.
///
/// NaN equals NaN and `-0.0` equals `0.0`, as in Spark. A row of the output has the left columns, then the right ones.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
/// use arrow::record_batch::RecordBatch;
/// use tidegate_operators::{JoinSide, RemoveWhen, StreamJoin, StreamJoinKind};
/// use tidegate_runtime::Watermark;
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let rows = |keys: Vec<i64>, times: Vec<i64>| {
///     let keys: ArrayRef = Arc::new(Int64Array::from(keys));
///     RecordBatch::try_from_iter([("k", keys), ("t", Arc::new(TimestampMicrosecondArray::from(times)) as ArrayRef)])
/// };
/// // A match may be up to ten microseconds away.
/// let remove = Some(RemoveWhen { column: 1, offset_micros: 10 });
/// let side = JoinSide { keys: vec![0], columns: 2, event_time: Some(1), remove, ..JoinSide::default() };
/// let sides = [side.clone(), side];
/// let join = StreamJoin { join: StreamJoinKind::Left, sides, null_equal: vec![false], residual: None };
/// let schema = rows(vec![], vec![])?.schema();
/// let mut task = OperatorHarness::new(&join, &[schema.clone(), schema])?;
///
/// task.process(0, rows(vec![1, 2], vec![100, 101])?)?;
/// assert!(task.end_epoch()?.is_empty()); // both wait
/// task.process(1, rows(vec![1], vec![105])?)?;
/// assert_eq!(task.end_epoch()?[0].num_rows(), 1); // a pair
/// task.set_watermarks(Watermark::ZERO, Watermark::from_micros(111));
/// assert_eq!(task.end_epoch()?[0].num_rows(), 1); // 2, alone
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct StreamJoin {
    /// Which rows it gives.
    pub join: StreamJoinKind,
    /// The left and the right side.
    pub sides: [JoinSide; 2],
    /// For each key whether null equals null.
    pub null_equal: Vec<bool>,
    /// What else a pair must fulfil: over the output columns of the left side, then those of the right.
    pub residual: Option<Arc<dyn PhysicalExpr>>,
}

impl StreamJoin {
    fn table(&self, side: usize, input: &Schema) -> Result<TableSpec> {
        let own = &self.sides[side];
        let key = |(number, column): (usize, &usize)| (format!("key.{number}"), input.field(*column).data_type().clone());
        let keys = own.keys.iter().enumerate().map(key).chain([("row".to_owned(), DataType::Int64)]);
        let columns = input.fields().iter().take(own.columns).enumerate();
        let values = columns.map(|(number, field)| (format!("column.{number}"), field.data_type().clone()));
        let values = values.chain([("matched".to_owned(), DataType::Boolean)]);
        Ok(TableSpec::new(TABLES[side], keys, values)?.grouped_by_first(own.keys.len()))
    }

    fn check(&self, inputs: &[SchemaRef]) -> Result<()> {
        let wrong = |what: String| Err(Error::InvalidArgument(format!("{NAME}: {what}")));
        let [left, right] = inputs else { return wrong(format!("it takes two inputs, it was given {}", inputs.len())) };
        let ([own, other], nulls) = (&self.sides, self.null_equal.len());
        let (left_keys, right_keys) = (own.keys.len(), other.keys.len());
        if left_keys != right_keys || left_keys != nulls || nulls == 0 {
            return wrong(format!("{left_keys} keys of the left side, {right_keys} of the right one, {nulls} rules for nulls"));
        }
        for (side, input) in self.sides.iter().zip([left, right]) {
            let columns = side.keys.iter().chain(&side.event_time).chain(side.remove.iter().map(|remove| &remove.column));
            let last = columns.map(|column| column + 1).max().unwrap_or(0).max(side.columns);
            if last > input.fields().len() {
                return wrong(format!("there is no column {} in an input of {}", last - 1, input.fields().len()));
            }
            if let Some(column) = side.remove.map(|remove| remove.column)
                && column >= side.columns
                && !side.keys.contains(&column)
            {
                return wrong(format!("column {column} says when rows can be removed and is not kept with them"));
            }
        }
        Ok(())
    }
}

impl OperatorSupplier for StreamJoin {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        self.check(inputs)?;
        let given = if self.join == StreamJoinKind::LeftSemi { 1 } else { 2 };
        let fields = inputs.iter().zip(&self.sides).take(given).flat_map(|(input, side)| {
            input.fields().iter().take(side.columns).map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
        });
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    fn state(&self, inputs: &[SchemaRef]) -> Result<Vec<TableSpec>> {
        self.check(inputs)?;
        inputs.iter().enumerate().map(|(side, input)| self.table(side, input)).collect()
    }

    fn needs_watermark_epochs(&self) -> bool {
        self.sides.iter().any(|side| side.remove.is_some() || side.event_time.is_some())
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(JoinTask::new(self.clone())))
    }

    fn describe(&self) -> String {
        let removed = |side: usize| if self.sides[side].remove.is_some() { "bounded by the watermark" } else { "kept for ever" };
        format!("{NAME} {:?}: left rows {}, right rows {}", self.join, removed(0), removed(1))
    }
}

impl fmt::Debug for StreamJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamJoin").field("join", &self.join).field("sides", &self.sides).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
