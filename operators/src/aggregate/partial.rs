//! The part of an aggregation that comes before the exchange: it makes less of many rows.

use std::fmt;

use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Operator, OperatorContext, OperatorSupplier, Port, Result, TARGET_BATCH_ROWS};

use super::accumulators::{Accumulators, Calls};
use super::{AggregateInput, AggregateSpec};
use crate::expressions::batch_of;
use crate::groups::Groups;
use crate::output::{Gathered, single_input};

/// So many groups are given on before the end of the epoch: the memory of a task is bounded, and its hash table stays fast.
const MAX_GROUPS: usize = 1 << 17;
/// So many bytes of accumulators are given on, however few groups they are of.
const MAX_BYTES: usize = 128 << 20;
/// After so many rows it shows whether it is worth while to aggregate them.
const PROBE_ROWS: usize = 1 << 16;
/// It is not where the groups are more than this part of the rows.
const WORTHLESS: f64 = 0.8;

/// Aggregates the rows of an epoch that its task sees, and gives for each key the states of the aggregates: what
/// [`StatefulAggregate`](super::StatefulAggregate) merges. Where most keys have one row only, it makes the rows states as they are
/// until the end of the epoch.
///
/// Given states, it makes fewer of them.
#[derive(Clone)]
pub struct PartialAggregate {
    spec: AggregateSpec,
    input: AggregateInput,
    name: String,
}

impl PartialAggregate {
    /// The first part of this aggregation, of such an input.
    pub fn new(spec: AggregateSpec, input: AggregateInput) -> Self {
        PartialAggregate { spec, input, name: "partial aggregate".to_owned() }
    }

    /// Calls it by this name in descriptions and errors.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl OperatorSupplier for PartialAggregate {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let (input, output) = (single_input(&self.name, inputs)?, self.spec.partial_schema()?);
        self.spec.check_input(&self.name, self.input, input)?;
        Ok(output)
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        let (schema, calls) = (self.spec.partial_schema()?, Calls::new(&self.spec)?);
        let keys = Schema::new(self.spec.key_fields().collect::<Vec<_>>());
        Ok(Box::new(PartialTask {
            groups: Groups::new(&keys)?,
            accumulators: calls.accumulators()?,
            output: Gathered::new(&schema),
            calls,
            spec: self.spec.clone(),
            input: self.input,
            rows: Vec::new(),
            seen: 0,
            batches: 0,
            worthless: false,
        }))
    }

    fn describe(&self) -> String {
        format!("{}: {}", self.name, self.spec.describe())
    }
}

impl fmt::Debug for PartialAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, input, name } = self;
        f.debug_struct("PartialAggregate").field("name", name).field("spec", spec).field("input", input).finish()
    }
}

struct PartialTask {
    spec: AggregateSpec,
    input: AggregateInput,
    calls: Calls,
    groups: Groups,
    accumulators: Accumulators,
    /// The group of each row of the batch at hand.
    rows: Vec<usize>,
    /// The rows that the groups were made of.
    seen: usize,
    /// The batches of these, for what is not done with each.
    batches: usize,
    /// Whether it was found in this epoch that aggregating gains nothing.
    worthless: bool,
    output: Gathered,
}

impl PartialTask {
    fn emit(&mut self, keys: Vec<ArrayRef>, states: Vec<ArrayRef>, rows: usize, context: &mut OperatorContext<'_>) -> Result<()> {
        let columns = keys.into_iter().chain(states).collect();
        let made = batch_of("partial aggregate", self.output.schema(), columns, rows)?;
        for start in (0..rows).step_by(TARGET_BATCH_ROWS) {
            self.output.push(made.slice(start, TARGET_BATCH_ROWS.min(rows - start)), context)?;
        }
        Ok(())
    }

    /// Gives the groups on, and starts anew.
    fn flush(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let groups = self.groups.len();
        (self.seen, self.batches) = (0, 0);
        if groups == 0 {
            return Ok(());
        }
        let states = self.accumulators.take_states(&self.calls)?;
        // New ones, as the old keep the room that they had.
        self.accumulators = self.calls.accumulators()?;
        let keys = self.groups.take()?;
        self.emit(keys, states, groups, context)
    }

    /// Whether the accumulators have grown too large; not asked with every batch, as some have to count.
    fn is_large(&self) -> bool {
        self.groups.len() >= MAX_GROUPS || (self.batches.is_multiple_of(16) && self.accumulators.bytes() >= MAX_BYTES)
    }
}

impl Operator for PartialTask {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        let rows = batch.num_rows();
        let keys = self.spec.keys_of(self.input, &batch)?;
        let states = &batch.columns()[batch.num_columns().min(keys.len())..];
        if self.worthless {
            let states = match self.input {
                AggregateInput::Rows => self.calls.convert(&batch)?,
                AggregateInput::States => states.to_vec(),
            };
            return self.emit(keys, states, rows, context);
        }
        self.groups.assign(&keys, rows, &mut self.rows)?;
        match self.input {
            AggregateInput::Rows => self.accumulators.update(&self.calls, &batch, &self.rows, self.groups.len())?,
            AggregateInput::States => self.accumulators.merge(&self.calls, states, &self.rows, self.groups.len())?,
        }
        let probed = self.seen < PROBE_ROWS && self.seen + rows >= PROBE_ROWS;
        self.seen += rows;
        self.batches += 1;
        let cheap = self.input == AggregateInput::States || self.calls.convert_cheaply();
        if probed && self.groups.len() as f64 > WORTHLESS * self.seen as f64 && cheap {
            self.worthless = true;
            return self.flush(context);
        }
        if self.is_large() { self.flush(context) } else { Ok(()) }
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.flush(context)?;
        self.worthless = false;
        self.output.flush(context)
    }
}
