//! One parallel instance of a [`KeyedAggregate`].

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tidegate_runtime::state::{KeyGroup, StateStore, TableSpec, hash_columns};
use tidegate_runtime::{Error, Operator, OperatorContext, Port, Result, TARGET_BATCH_ROWS};

use super::{Accumulators, Emit, Groups, KeyedAggregate, TABLE};
use crate::output::column_index;

pub(super) struct AggregateTask {
    aggregate: KeyedAggregate,
    /// What the key and value columns are: known once the state is open.
    open: Option<Open>,
    /// The group of each row of the batch at hand.
    rows: Vec<u32>,
}

/// What is known once the state is open.
struct Open {
    groups: Groups,
    accumulators: Accumulators,
    spec: TableSpec,
    output: SchemaRef,
    /// Whether the group of no key columns belongs to this task, which has to give it even when it never had a row.
    owns_global_group: bool,
}

impl AggregateTask {
    pub(super) fn new(aggregate: KeyedAggregate) -> Self {
        AggregateTask { aggregate, open: None, rows: Vec::new() }
    }
}

impl Open {
    fn new(aggregate: &KeyedAggregate, store: &dyn StateStore) -> Result<Self> {
        let spec = store.spec().clone();
        let types = spec.values().fields().iter().map(|field| field.data_type());
        let functions = aggregate.aggregates.iter().zip(types).map(|(own, data_type)| own.accumulator(data_type));
        Ok(Open {
            groups: Groups::new(spec.keys())?,
            accumulators: Accumulators::new(functions.collect()),
            output: output_schema(aggregate.epoch_column.as_deref(), &spec),
            owns_global_group: spec.keys().fields().is_empty() && store.groups().contains(global_group()?),
            spec,
        })
    }

    /// Aggregates a batch.
    fn update(&mut self, aggregate: &KeyedAggregate, batch: &RecordBatch, rows: &mut Vec<u32>) -> Result<()> {
        let index = |name: &str| column_index("keyed aggregate", batch.schema_ref(), name);
        let column = |name: &str| index(name).map(|index| Arc::clone(batch.column(index)));
        let keys = aggregate.keys.iter().map(|key| column(key)).collect::<Result<Vec<_>>>()?;
        self.groups.assign(&keys, batch.num_rows(), rows)?;
        let inputs = aggregate.aggregates.iter().map(|own| own.input().map(column).transpose());
        self.accumulators.update(self.groups.len(), rows, &inputs.collect::<Result<Vec<_>>>()?)
    }

    /// Merges the epoch into the state, in pieces of the usual size; gives the new rows to `emit`.
    fn merge(
        &mut self,
        context: &mut OperatorContext<'_>,
        mut emit: impl FnMut(&mut OperatorContext<'_>, &RecordBatch, &RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let rows = self.groups.len();
        let keys = batch(self.spec.keys(), self.groups.take()?, rows)?;
        for start in (0..rows).step_by(TARGET_BATCH_ROWS) {
            let range = start..rows.min(start + TARGET_BATCH_ROWS);
            let keys = keys.slice(start, range.len());
            let mut values = RecordBatch::new_empty(Arc::clone(self.spec.values()));
            context.state(TABLE)?.update(&keys, None, &mut |stored| {
                values = self.merged(range.clone(), &stored.values)?;
                Ok(values.clone())
            })?;
            emit(context, &keys, &values)?;
        }
        self.accumulators.clear();
        Ok(())
    }

    fn merged(&self, range: Range<usize>, stored: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.accumulators.merge(&range, stored.columns())?;
        batch(self.spec.values(), columns, range.len())
    }

    /// Gives the groups that had rows in the epoch.
    fn emit_changed(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let output = Arc::clone(&self.output);
        self.merge(context, |context, keys, values| {
            let columns: Vec<ArrayRef> = keys.columns().iter().chain(values.columns()).map(Arc::clone).collect();
            emit(context, &output, &columns, keys.num_rows())
        })
    }

    /// Gives all groups.
    fn emit_all(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        if self.owns_global_group {
            // Even without rows, as a global aggregate in SQL: the count is 0 and the sum is null.
            self.groups.touch_global();
            self.accumulators.touch(1);
        }
        self.merge(context, |_, _, _| Ok(()))?;
        // Collected first: the state can't be read while rows are sent.
        let batches = context.state(TABLE)?.scan(TARGET_BATCH_ROWS).collect::<Result<Vec<_>>>()?;
        batches.iter().try_for_each(|rows| emit(context, &self.output, rows.columns(), rows.num_rows()))
    }
}

impl Operator for AggregateTask {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.open = Some(Open::new(&self.aggregate, context.state(TABLE)?)?);
        Ok(())
    }

    fn process(&mut self, _port: Port, batch: RecordBatch, _context: &mut OperatorContext<'_>) -> Result<()> {
        let AggregateTask { aggregate, open, rows } = self;
        open.as_mut().ok_or_else(not_open)?.update(aggregate, &batch, rows)
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let open = self.open.as_mut().ok_or_else(not_open)?;
        match self.aggregate.emit {
            Emit::Changed => open.emit_changed(context),
            Emit::All => open.emit_all(context),
        }
    }
}

fn not_open() -> Error {
    Error::Protocol("an operator was used before it was opened".to_owned())
}

/// The key group of the only group that there is without key columns.
fn global_group() -> Result<KeyGroup> {
    let mut hashes = Vec::new();
    hash_columns(&[], 1, &mut hashes)?;
    Ok(KeyGroup::of_hash(hashes.iter().copied().sum()))
}

fn output_schema(epoch_column: Option<&str>, spec: &TableSpec) -> SchemaRef {
    let epoch = epoch_column.map(|name| Arc::new(Field::new(name, DataType::Int64, true)));
    let columns = spec.keys().fields().iter().chain(spec.values().fields()).map(Arc::clone);
    Arc::new(Schema::new(epoch.into_iter().chain(columns).collect::<Vec<_>>()))
}

/// Emits key and value columns, after the epoch's number if the output has it.
fn emit(context: &mut OperatorContext<'_>, output: &SchemaRef, columns: &[ArrayRef], rows: usize) -> Result<()> {
    let epoch = context.epoch()?.epoch.number() as i64;
    let has_epoch = columns.len() < output.fields().len();
    let epoch = has_epoch.then(|| Arc::new(Int64Array::from_value(epoch, rows)) as ArrayRef);
    context.emit(batch(output, epoch.into_iter().chain(columns.iter().map(Arc::clone)).collect(), rows)?)
}

/// A batch that knows its number of rows even without columns.
fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
