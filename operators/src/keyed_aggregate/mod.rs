//! Counts and sums by key, over all epochs.
//!
//! Within an epoch the rows are aggregated in plain vectors: [`Groups`] numbers the distinct keys, and the [`Accumulators`] have their
//! values for each number. At the end of the epoch the touched keys are read from the state, merged and written back, all of them
//! once. So the state is asked once for each key and epoch, not once for each row.

mod accumulator;
mod task;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidegate_runtime::state::TableSpec;
use tidegate_runtime::{Error, Operator, OperatorSupplier, Result};

use self::accumulator::{Accumulator, Accumulators, Sum, sum_type};
use self::task::AggregateTask;
use crate::groups::Groups;
use crate::output::{column_index, single_input};

/// The name of the state table.
const TABLE: &str = "groups";

/// Which groups an epoch gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Emit {
    /// Those that had rows in the epoch, with their new values: Spark's update mode.
    #[default]
    Changed,
    /// All groups, in every epoch: Spark's complete mode.
    All,
}

/// Counts and sums by key, over everything since the query's first epoch.
///
/// The input has to be exchanged by the key columns, in their order. Null is a key like any other; so is NaN, and `-0.0` is `0.0`.
/// Without key columns there is one group.
///
/// The output has the epoch number if asked for, the key columns, and the aggregates in the order in which they were added.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, AsArray, StringArray};
/// use arrow::datatypes::Int64Type;
/// use arrow::record_batch::RecordBatch;
/// use tidegate_operators::KeyedAggregate;
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let words = |words: Vec<&str>| RecordBatch::try_from_iter([("word", Arc::new(StringArray::from(words)) as ArrayRef)]);
/// let count = KeyedAggregate::new(["word"]).count("count");
/// let mut task = OperatorHarness::new(&count, &[words(vec![])?.schema()])?;
/// task.process(0, words(vec!["high", "tide", "tide"])?)?;
/// task.end_epoch()?;
/// task.process(0, words(vec!["tide"])?)?;
/// let changed = task.end_epoch()?.remove(0);
/// assert_eq!(changed.column(0).as_string::<i32>().value(0), "tide");
/// assert_eq!(changed.column(1).as_primitive::<Int64Type>().value(0), 3);
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeyedAggregate {
    keys: Vec<String>,
    aggregates: Vec<Aggregate>,
    emit: Emit,
    epoch_column: Option<String>,
}

/// One output column.
#[derive(Debug, Clone)]
struct Aggregate {
    function: Function,
    output: String,
}

#[derive(Debug, Clone)]
enum Function {
    Count,
    CountOf(String),
    Sum(String),
}

impl KeyedAggregate {
    /// Groups by these columns.
    pub fn new(keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let keys = keys.into_iter().map(Into::into).collect();
        KeyedAggregate { keys, aggregates: Vec::new(), emit: Emit::default(), epoch_column: None }
    }

    /// Adds a column with the number of rows.
    #[must_use]
    pub fn count(self, output: impl Into<String>) -> Self {
        self.with(Function::Count, output)
    }

    /// Adds a column with the number of rows in which `column` is not null.
    #[must_use]
    pub fn count_of(self, column: impl Into<String>, output: impl Into<String>) -> Self {
        self.with(Function::CountOf(column.into()), output)
    }

    /// Adds a column with the sum of `column`, as `Int64` for signed integers and as `Float64` for floats. Nulls are ignored; the sum
    /// is null when there is nothing else. A sum that does not fit fails the query.
    #[must_use]
    pub fn sum(self, column: impl Into<String>, output: impl Into<String>) -> Self {
        self.with(Function::Sum(column.into()), output)
    }

    /// Chooses which groups an epoch gives.
    #[must_use]
    pub fn emit(mut self, emit: Emit) -> Self {
        self.emit = emit;
        self
    }

    /// Puts the number of the epoch (`Int64`) before the other columns.
    #[must_use]
    pub fn epoch_column(mut self, name: impl Into<String>) -> Self {
        self.epoch_column = Some(name.into());
        self
    }

    fn with(mut self, function: Function, output: impl Into<String>) -> Self {
        self.aggregates.push(Aggregate { function, output: output.into() });
        self
    }

    fn key_fields(&self, input: &Schema) -> Result<Vec<Field>> {
        let field = |key: &String| {
            let data_type = input.field(column_index("keyed aggregate", input, key)?).data_type();
            if matches!(data_type, DataType::Dictionary(_, _) | DataType::RunEndEncoded(_, _)) {
                let message = format!("keyed aggregate: key column {key} is {data_type}: cast it to its values' type before");
                return Err(Error::InvalidArgument(message));
            }
            Ok(Field::new(key, data_type.clone(), true))
        };
        self.keys.iter().map(field).collect()
    }

    fn aggregate_fields(&self, input: &Schema) -> Result<Vec<Field>> {
        self.aggregates.iter().map(|aggregate| Ok(Field::new(&aggregate.output, aggregate.data_type(input)?, true))).collect()
    }
}

impl Aggregate {
    /// The input column, if it has one.
    fn input(&self) -> Option<&str> {
        match &self.function {
            Function::Count => None,
            Function::CountOf(column) | Function::Sum(column) => Some(column),
        }
    }

    fn data_type(&self, input: &Schema) -> Result<DataType> {
        let Some(column) = self.input() else { return Ok(DataType::Int64) };
        let given = input.field(column_index("keyed aggregate", input, column)?).data_type();
        match &self.function {
            Function::Count | Function::CountOf(_) => Ok(DataType::Int64),
            Function::Sum(_) => sum_type(given).ok_or_else(|| {
                Error::InvalidArgument(format!(
                    "keyed aggregate: {self} needs a column of signed integers or floats, it is {given}"
                ))
            }),
        }
    }

    /// The accumulator whose result has this type.
    fn accumulator(&self, result: &DataType) -> Accumulator {
        match (&self.function, result) {
            (Function::Count, _) => Accumulator::Count,
            (Function::CountOf(_), _) => Accumulator::CountOf,
            (Function::Sum(_), DataType::Float64) => Accumulator::SumFloat64(Sum::new(self.to_string())),
            (Function::Sum(_), _) => Accumulator::SumInt64(Sum::new(self.to_string())),
        }
    }
}

impl std::fmt::Display for Aggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.function {
            Function::Count => f.write_str("count(1)"),
            Function::CountOf(column) => write!(f, "count({column})"),
            Function::Sum(column) => write!(f, "sum({column})"),
        }
    }
}

impl OperatorSupplier for KeyedAggregate {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let input = single_input("keyed aggregate", inputs)?;
        let epoch = self.epoch_column.iter().map(|name| Field::new(name, DataType::Int64, true));
        let fields: Vec<Field> = epoch.chain(self.key_fields(input)?).chain(self.aggregate_fields(input)?).collect();
        let mut names = HashSet::new();
        match fields.iter().find(|field| !names.insert(field.name())) {
            None => Ok(Arc::new(Schema::new(fields))),
            Some(twice) => {
                Err(Error::InvalidArgument(format!("keyed aggregate: two output columns have the name {}", twice.name())))
            }
        }
    }

    fn state(&self, inputs: &[SchemaRef]) -> Result<Vec<TableSpec>> {
        let input = single_input("keyed aggregate", inputs)?;
        let column = |field: Field| (field.name().clone(), field.data_type().clone());
        let (keys, values) = (self.key_fields(input)?, self.aggregate_fields(input)?);
        Ok(vec![TableSpec::new(TABLE, keys.into_iter().map(column), values.into_iter().map(column))?])
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(AggregateTask::new(self.clone())))
    }

    fn describe(&self) -> String {
        let aggregates: Vec<String> = self.aggregates.iter().map(ToString::to_string).collect();
        format!("{} by ({})", aggregates.join(", "), self.keys.join(", "))
    }
}

#[cfg(test)]
mod tests;
