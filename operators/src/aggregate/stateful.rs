//! The part of an aggregation that remembers: one row of states for each key.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate_runtime::state::{KeyGroup, StateStore, TableSpec, hash_columns, relabel_columns};
use tidegate_runtime::{EpochInfo, Operator, OperatorContext, OperatorSupplier, Port, Result, TARGET_BATCH_ROWS};

use super::accumulators::{Accumulators, Calls};
use super::{AggregateInput, AggregateSpec, not_open};
use crate::event_time::EventTime;
use crate::expressions::batch_of;
use crate::groups::Groups;
use crate::output::single_input;

/// The name of the state table.
const TABLE: &str = "groups";
const NAME: &str = "aggregate";

/// Which keys an epoch gives, and which are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateEmit {
    /// The keys that had rows in the epoch, with their new values: Spark's update mode. With an event time, final keys are removed.
    Changed(Option<EventTime>),
    /// All keys, in every epoch: Spark's complete mode. Nothing is ever removed.
    All,
    /// Each key once, when it is final, and removed then: Spark's append mode.
    Closed(EventTime),
}

impl AggregateEmit {
    /// The event time among the keys, if it decides what is final and what is late.
    pub fn event_time(self) -> Option<EventTime> {
        match self {
            AggregateEmit::Changed(event_time) => event_time,
            AggregateEmit::Closed(event_time) => Some(event_time),
            AggregateEmit::All => None,
        }
    }
}

/// Aggregates by key over all epochs.
///
/// The input has to be exchanged by the key columns, in their order. Null is a key like any other; so is NaN, and `-0.0` is `0.0`.
/// Without keys there is one group, which is given in every epoch, also when it never had a row.
///
/// With an event time among the keys, a row whose key was final in the epoch before is late: it is dropped and counted.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
/// use arrow::datatypes::{DataType, Field, Int64Type};
/// use arrow::record_batch::RecordBatch;
/// use datafusion::functions_aggregate::sum::sum_udaf;
/// use datafusion::physical_expr::aggregate::AggregateExprBuilder;
/// use datafusion::physical_expr::expressions::Column;
/// use tidegate_operators::{AggregateCall, AggregateEmit, AggregateInput, AggregateSpec, StatefulAggregate};
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let names: ArrayRef = Arc::new(StringArray::from(vec!["high", "low", "high"]));
/// let levels: ArrayRef = Arc::new(Int64Array::from(vec![3, 1, 4]));
/// let rows = RecordBatch::try_from_iter([("name", names), ("level", levels)])?;
/// let sum = AggregateExprBuilder::new(sum_udaf(), vec![Arc::new(Column::new("level", 1))]);
/// let sum = sum.schema(rows.schema()).alias("sum(level)").build()?;
/// let spec = AggregateSpec {
///     keys: vec![(Arc::new(Column::new("name", 0)), Field::new("name", DataType::Utf8, true))],
///     aggregates: vec![AggregateCall { expr: Arc::new(sum), filter: None, output: "total".to_owned() }],
/// };
/// let aggregate = StatefulAggregate::new(spec, AggregateInput::Rows, AggregateEmit::Changed(None));
/// let mut task = OperatorHarness::new(&aggregate, &[rows.schema()])?;
/// task.process(0, rows.clone())?;
/// task.end_epoch()?;
/// task.process(0, rows.slice(0, 1))?;
/// let changed = task.end_epoch()?.remove(0);
/// assert_eq!(changed.column(0).as_string::<i32>().value(0), "high");
/// assert_eq!(changed.column(1).as_primitive::<Int64Type>().value(0), 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StatefulAggregate {
    spec: AggregateSpec,
    input: AggregateInput,
    emit: AggregateEmit,
    name: String,
}

impl StatefulAggregate {
    /// This aggregation of such an input.
    pub fn new(spec: AggregateSpec, input: AggregateInput, emit: AggregateEmit) -> Self {
        StatefulAggregate { spec, input, emit, name: NAME.to_owned() }
    }

    /// Calls it by this name in descriptions and errors.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Key columns and state columns as the table has them: the keys by number, so that it does not matter how a query calls them.
    fn table(&self) -> Result<TableSpec> {
        let column = |field: Field| (field.name().clone(), field.data_type().clone());
        let keys = self.spec.keys.iter().enumerate().map(|(number, (_, key))| (format!("key.{number}"), key.data_type().clone()));
        TableSpec::new(TABLE, keys, self.spec.state_fields()?.into_iter().flatten().map(column))
    }
}

impl OperatorSupplier for StatefulAggregate {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let input = single_input(&self.name, inputs)?;
        self.spec.check_input(&self.name, self.input, input)?;
        if let Some(event_time) = self.emit.event_time() {
            event_time.check(&Arc::new(Schema::new(self.spec.key_fields().collect::<Vec<_>>())))?;
        }
        Ok(self.spec.output_schema())
    }

    fn state(&self, _inputs: &[SchemaRef]) -> Result<Vec<TableSpec>> {
        Ok(vec![self.table()?])
    }

    fn needs_watermark_epochs(&self) -> bool {
        self.emit.event_time().is_some()
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(StatefulTask { aggregate: self.clone(), open: None, rows: Vec::new() }))
    }

    fn describe(&self) -> String {
        format!("{}: {}", self.name, self.spec.describe())
    }
}

impl fmt::Debug for StatefulAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, input, emit, name } = self;
        f.debug_struct("StatefulAggregate")
            .field("name", name)
            .field("spec", spec)
            .field("input", input)
            .field("emit", emit)
            .finish()
    }
}

struct StatefulTask {
    aggregate: StatefulAggregate,
    open: Option<Open>,
    /// The group of each row of the batch at hand.
    rows: Vec<usize>,
}

/// What is known once the state is open.
struct Open {
    calls: Calls,
    groups: Groups,
    accumulators: Accumulators,
    keys: SchemaRef,
    values: SchemaRef,
    output: SchemaRef,
    /// Whether the group of no keys belongs to this task, which has to give it even when it never had a row.
    owns_global_group: bool,
}

impl Open {
    fn new(aggregate: &StatefulAggregate, store: &mut dyn StateStore) -> Result<Self> {
        let (keys, values) = (Arc::clone(store.spec().keys()), Arc::clone(store.spec().values()));
        let calls = Calls::new(&aggregate.spec)?;
        if let Some(event_time) = aggregate.emit.event_time() {
            store.set_deadlines(&mut |rows| event_time.final_times(rows.columns()))?;
        }
        Ok(Open {
            groups: Groups::new(&keys)?,
            accumulators: calls.accumulators()?,
            output: aggregate.spec.output_schema(),
            owns_global_group: keys.fields().is_empty() && store.groups().contains(global_group()?),
            calls,
            keys,
            values,
        })
    }

    /// Aggregates a batch.
    fn update(
        &mut self,
        aggregate: &StatefulAggregate,
        batch: RecordBatch,
        rows: &mut Vec<usize>,
        context: &OperatorContext<'_>,
    ) -> Result<()> {
        let keys = aggregate.spec.keys_of(aggregate.input, &batch)?;
        let Some((batch, keys)) = in_time(aggregate.emit, batch, keys, context)? else { return Ok(()) };
        self.groups.assign(&keys, batch.num_rows(), rows)?;
        match aggregate.input {
            AggregateInput::Rows => self.accumulators.update(&self.calls, &batch, rows, self.groups.len()),
            AggregateInput::States => {
                self.accumulators.merge(&self.calls, &batch.columns()[keys.len()..], rows, self.groups.len())
            }
        }
    }

    /// Merges the epoch into the state, in pieces of the usual size, and gives each piece to `emit`.
    fn merge(
        &mut self,
        event_time: Option<EventTime>,
        context: &mut OperatorContext<'_>,
        mut emit: impl FnMut(&Open, &RecordBatch, &RecordBatch, &mut OperatorContext<'_>) -> Result<()>,
    ) -> Result<()> {
        let states = self.take_states()?;
        let groups = self.groups.len();
        let keys = batch_of(NAME, &self.keys, self.groups.take()?, groups)?;
        for start in (0..groups).step_by(TARGET_BATCH_ROWS) {
            let rows = TARGET_BATCH_ROWS.min(groups - start);
            let keys = keys.slice(start, rows);
            let new: Vec<ArrayRef> = states.iter().map(|state| state.slice(start, rows)).collect();
            let deadlines = event_time.map(|event_time| event_time.final_times(keys.columns())).transpose()?;
            let mut merged = RecordBatch::new_empty(Arc::clone(&self.values));
            context.state(TABLE)?.update(&keys, deadlines.as_ref(), &mut |stored| {
                let states = self.calls.merge(stored.values.columns(), &stored.found, &new)?;
                merged = batch_of(NAME, &self.values, states, rows)?;
                Ok(merged.clone())
            })?;
            emit(self, &keys, &merged, context)?;
        }
        self.accumulators = self.calls.accumulators()?;
        Ok(())
    }

    /// The states of the epoch's groups, of the owner's global group in any case.
    fn take_states(&mut self) -> Result<Vec<ArrayRef>> {
        if self.owns_global_group && self.groups.len() == 0 {
            self.groups.touch_global();
            return relabel_columns(&self.values, self.calls.empty_states()?);
        }
        if self.groups.len() == 0 {
            return Ok(Vec::new());
        }
        relabel_columns(&self.values, self.accumulators.take_states(&self.calls)?)
    }

    /// Gives rows with the values that these states stand for.
    fn emit(&self, keys: &[ArrayRef], states: &[ArrayRef], rows: usize, context: &mut OperatorContext<'_>) -> Result<()> {
        let values = self.calls.evaluate(states)?;
        let columns = keys.iter().map(Arc::clone).chain(values).collect();
        context.emit(batch_of(NAME, &self.output, columns, rows)?)
    }

    /// Removes the keys that are final, and gives them.
    fn close(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let Some(watermark) = context.epoch()?.watermark else { return Ok(()) };
        loop {
            let closed = context.state(TABLE)?.take_due(watermark.micros(), TARGET_BATCH_ROWS)?;
            if closed.num_rows() == 0 {
                return Ok(());
            }
            let (keys, states) = closed.columns().split_at(self.keys.fields().len());
            self.emit(keys, states, closed.num_rows(), context)?;
        }
    }

    fn emit_all(&self, context: &mut OperatorContext<'_>) -> Result<()> {
        // Collected first: the state can't be read while rows are sent.
        let batches = context.state(TABLE)?.scan(TARGET_BATCH_ROWS).collect::<Result<Vec<_>>>()?;
        batches.iter().try_for_each(|rows| {
            let (keys, states) = rows.columns().split_at(self.keys.fields().len());
            self.emit(keys, states, rows.num_rows(), context)
        })
    }
}

impl Operator for StatefulTask {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.open = Some(Open::new(&self.aggregate, context.state(TABLE)?)?);
        Ok(())
    }

    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let StatefulTask { aggregate, open, rows } = self;
        open.as_mut().ok_or_else(not_open)?.update(aggregate, batch, rows, context)
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let (open, emit) = (self.open.as_mut().ok_or_else(not_open)?, self.aggregate.emit);
        match emit {
            AggregateEmit::Changed(event_time) => {
                open.merge(event_time, context, |open, keys, states, context| {
                    open.emit(keys.columns(), states.columns(), keys.num_rows(), context)
                })?;
                if let (Some(_), Some(watermark)) = (event_time, context.epoch()?.watermark) {
                    context.state(TABLE)?.remove_due(watermark.micros());
                }
                Ok(())
            }
            AggregateEmit::All => {
                open.merge(None, context, |_, _, _, _| Ok(()))?;
                open.emit_all(context)
            }
            AggregateEmit::Closed(event_time) => {
                open.merge(Some(event_time), context, |_, _, _, _| Ok(()))?;
                open.close(context)
            }
        }
    }
}

/// The rows that are not late, with their keys.
fn in_time(
    emit: AggregateEmit,
    batch: RecordBatch,
    keys: Vec<ArrayRef>,
    context: &OperatorContext<'_>,
) -> Result<Option<(RecordBatch, Vec<ArrayRef>)>> {
    let EpochInfo { late_watermark, .. } = context.epoch()?;
    let (Some(event_time), Some(watermark)) = (emit.event_time(), late_watermark) else { return Ok(Some((batch, keys))) };
    let Some(keep): Option<BooleanArray> = event_time.open_keys(&keys, watermark)? else { return Ok(Some((batch, keys))) };
    context.count_late(batch.num_rows() - keep.true_count());
    if keep.true_count() == 0 {
        return Ok(None);
    }
    let keys = keys.iter().map(|key| filter(key, &keep)).collect::<Result<Vec<_>, _>>()?;
    Ok(Some((filter_record_batch(&batch, &keep)?, keys)))
}

/// The key group of the only group that there is without keys.
fn global_group() -> Result<KeyGroup> {
    let mut hashes = Vec::new();
    hash_columns(&[], 1, &mut hashes)?;
    Ok(KeyGroup::of_hash(hashes.iter().copied().sum()))
}
