//! A stream joined with rows that are all there.
//!
//! The build side is read when the first rows come, and again at the first rows of an epoch if it has changed; its rows are numbered by
//! key. All tasks see the same rows in an epoch. A batch of the stream gives pairs of row numbers, never more than
//! a batch of them at a time: only these are gathered into columns, tested and given on.

mod build_side;
mod shared_rows;
mod task;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::physical_expr::PhysicalExpr;
use tidegate_runtime::{Error, Operator, OperatorSupplier, Result};

use self::shared_rows::SharedRows;
use self::task::JoinTask;
use crate::output::single_input;

/// A join's build side.
pub trait BuildTable: Send + Sync {
    /// A number that changes when the rows do; `None` if they are the same for ever. Asked in each epoch that has rows of the stream.
    ///
    /// # Errors
    /// When it can't be found out: the query fails.
    fn version(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// All rows.
    ///
    /// # Errors
    /// When they can't be read: the query fails.
    fn rows(&self) -> Result<Vec<RecordBatch>>;
}

/// Rows that never change.
impl BuildTable for Vec<RecordBatch> {
    fn rows(&self) -> Result<Vec<RecordBatch>> {
        Ok(self.clone())
    }
}

/// Which rows a [`StaticJoin`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StaticJoinKind {
    /// The pairs that match.
    Inner,
    /// These, and each row of the stream without a match, with nulls.
    StreamOuter,
    /// The rows of the stream that have a match.
    StreamSemi,
    /// The rows of the stream that have none.
    StreamAnti,
    /// The rows of the stream whose keys are `NOT IN` the build side: those for which no row of it could be a match if nulls were
    /// known. A null among the build side's keys leaves nothing, unless it is excluded by other keys or the residual condition.
    NullAwareAnti,
}

impl StaticJoinKind {
    /// Whether the build side's columns are part of the output.
    fn gives_pairs(self) -> bool {
        matches!(self, StaticJoinKind::Inner | StaticJoinKind::StreamOuter)
    }
}

/// Joins a stream with rows that are all there, by equal keys, another condition, or both. Without keys every pair is tried.
///
/// When the build side changes, the next epoch is joined with what it has become, as in Spark; an epoch that is run again after a
/// restart of the process is joined with the rows of then.
///
/// NaN equals NaN and `-0.0` equals `0.0`, as in Spark. The order of the stream's rows is kept, except that rows without a match come
/// after the pairs of their batch where there is a residual condition.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, StringArray};
/// use arrow::record_batch::RecordBatch;
/// use datafusion::physical_expr::expressions::Column;
/// use tidegate_operators::{StaticJoin, StaticJoinKind};
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let strings = |strings: Vec<&str>| Arc::new(StringArray::from(strings)) as ArrayRef;
/// let names = RecordBatch::try_from_iter([("code", strings(vec!["d", "k"])), ("name", strings(vec!["Delft", "Kiel"]))])?;
/// let join = StaticJoin {
///     build_schema: names.schema(),
///     build: Arc::new(vec![names]),
///     stream_keys: vec![Arc::new(Column::new("port", 0))],
///     build_keys: vec![Arc::new(Column::new("code", 0))],
///     null_equal: vec![false],
///     residual: None,
///     join: StaticJoinKind::Inner,
///     build_first: false,
/// };
/// let ships = RecordBatch::try_from_iter([("port", strings(vec!["k", "x", "k"]))])?;
/// let mut task = OperatorHarness::new(&join, &[ships.schema()])?;
/// task.process(0, ships)?;
/// assert_eq!(task.end_epoch()?[0].column(2), &strings(vec!["Kiel", "Kiel"]));
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct StaticJoin {
    /// The build side.
    pub build: Arc<dyn BuildTable>,
    /// The build side's columns.
    pub build_schema: SchemaRef,
    /// The keys of a row of the stream.
    pub stream_keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Those of a row of the build side, of the same types.
    pub build_keys: Vec<Arc<dyn PhysicalExpr>>,
    /// For each key whether null equals null (`<=>`).
    pub null_equal: Vec<bool>,
    /// What else a pair must fulfil: over the stream's columns, then the build side's.
    pub residual: Option<Arc<dyn PhysicalExpr>>,
    /// Which rows it gives.
    pub join: StaticJoinKind,
    /// Whether the build side's columns come first in the output.
    pub build_first: bool,
}

impl StaticJoin {
    /// The columns of a pair: the stream's and the build side's.
    fn pair_schema(&self, stream: &Schema) -> SchemaRef {
        let build = self.build_schema.fields().iter().map(|field| self.build_field(field));
        Arc::new(Schema::new(stream.fields().iter().map(Arc::clone).chain(build).collect::<Vec<_>>()))
    }

    fn build_field(&self, field: &Arc<Field>) -> Arc<Field> {
        match self.join {
            StaticJoinKind::StreamOuter => Arc::new(field.as_ref().clone().with_nullable(true)),
            _ => Arc::clone(field),
        }
    }

    fn joined_schema(&self, stream: &SchemaRef) -> SchemaRef {
        if !self.join.gives_pairs() {
            return Arc::clone(stream);
        }
        let pair = self.pair_schema(stream);
        let (stream, build) = pair.fields().split_at(stream.fields().len());
        let (first, second) = if self.build_first { (build, stream) } else { (stream, build) };
        Arc::new(Schema::new([first, second].concat()))
    }
}

impl OperatorSupplier for StaticJoin {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let input = single_input("join", inputs)?;
        let (stream, build, nulls) = (self.stream_keys.len(), self.build_keys.len(), self.null_equal.len());
        if stream != build || stream != nulls {
            return Err(Error::InvalidArgument(format!(
                "join: {stream} keys of the stream, {build} of the build side, {nulls} rules for nulls"
            )));
        }
        Ok(self.joined_schema(input))
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        let made = self.supply_all(1)?.pop();
        made.ok_or_else(|| Error::Protocol("a join was not made".to_owned()))
    }

    fn supply_all(&self, parallelism: usize) -> Result<Vec<Box<dyn Operator>>> {
        let task = |rows| Box::new(JoinTask::new(self.clone(), rows)) as Box<dyn Operator>;
        Ok(SharedRows::of_tasks(parallelism).map(task).collect())
    }

    fn describe(&self) -> String {
        let keys = self.stream_keys.iter().zip(&self.build_keys).map(|(stream, build)| format!("{stream} = {build}"));
        let residual = self.residual.iter().map(ToString::to_string);
        format!("{:?} join on {}", self.join, keys.chain(residual).collect::<Vec<_>>().join(" AND "))
    }
}

impl fmt::Debug for StaticJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticJoin").field("join", &self.describe()).field("build", &self.build_schema).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
