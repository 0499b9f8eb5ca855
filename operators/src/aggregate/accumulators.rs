//! DataFusion's accumulators, and how states are merged and evaluated with them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::{concat, filter};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use tidegate_runtime::{Error, Result};

use super::{AggregateCall, AggregateSpec};
use crate::expressions::{Chosen, choose, evaluate_all, failed};

/// The aggregates of a [`AggregateSpec`], ready to make accumulators.
pub(super) struct Calls(Vec<Call>);

struct Call {
    expr: Arc<AggregateFunctionExpr>,
    /// The arguments, then what the function orders its input by.
    inputs: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// How many state columns it has.
    states: usize,
}

/// One accumulator for each aggregate, over the same groups.
pub(super) struct Accumulators(Vec<Box<dyn GroupsAccumulator>>);

impl Calls {
    pub(super) fn new(spec: &AggregateSpec) -> Result<Self> {
        let call = |(call, states): (&AggregateCall, Vec<_>)| {
            let ordering = call.expr.order_bys().iter().map(|order| Arc::clone(&order.expr));
            let inputs = call.expr.expressions().into_iter().chain(ordering).collect();
            Call { expr: Arc::clone(&call.expr), inputs, filter: call.filter.clone(), states: states.len() }
        };
        Ok(Calls(spec.aggregates.iter().zip(spec.state_fields()?).map(call).collect()))
    }

    /// Whether a row can be made a state at little cost.
    pub(super) fn convert_cheaply(&self) -> bool {
        self.0.iter().all(|call| call.expr.groups_accumulator_supported())
    }

    pub(super) fn accumulators(&self) -> Result<Accumulators> {
        self.0.iter().map(|call| accumulator(&call.expr)).collect::<Result<_>>().map(Accumulators)
    }

    /// The states, one for each row, that are made of the rows themselves.
    pub(super) fn convert(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let states = self.0.iter().map(|call| {
            let (inputs, keep) = call.inputs(batch)?;
            accumulator(&call.expr)?.convert_to_state(&inputs, keep.as_ref()).map_err(failed)
        });
        Ok(states.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// The states of one group that no row belongs to.
    pub(super) fn empty_states(&self) -> Result<Vec<ArrayRef>> {
        let mut states = Vec::new();
        for call in &self.0 {
            // A groups accumulator takes it for granted that each of its groups has a row.
            for state in call.expr.create_accumulator().and_then(|mut own| own.state()).map_err(failed)? {
                states.push(state.to_array().map_err(failed)?);
            }
        }
        Ok(states)
    }

    /// Merges the `new` states of some groups with the `stored` ones of those that were `found`.
    pub(super) fn merge(&self, stored: &[ArrayRef], found: &BooleanArray, new: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        if found.true_count() == 0 {
            return Ok(new.to_vec());
        }
        // One call that touches every group: an accumulator may take it for granted that no group of a call is without a value, and
        // then takes a group that an earlier call only made room for as one that has a value. The stored states go first, for the
        // sake of functions to which the order matters.
        let groups: Vec<usize> = found.values().set_indices().chain(0..found.len()).collect();
        let both = |(stored, new): (&ArrayRef, &ArrayRef)| -> Result<ArrayRef> {
            let stored = if found.true_count() == found.len() { Arc::clone(stored) } else { filter(stored, found)? };
            Ok(concat(&[&stored, new])?)
        };
        let states = stored.iter().zip(new).map(both).collect::<Result<Vec<_>>>()?;
        let mut merged = self.accumulators()?;
        merged.merge(self, &states, &groups, found.len())?;
        merged.take_states(self)
    }

    /// The values of the aggregates, from their states.
    pub(super) fn evaluate(&self, states: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let Some(rows) = states.first().map(Array::len) else { return Ok(Vec::new()) };
        let groups: Vec<usize> = (0..rows).collect();
        let mut accumulators = self.accumulators()?;
        accumulators.merge(self, states, &groups, rows)?;
        accumulators.0.iter_mut().map(|own| own.evaluate(EmitTo::All).map_err(failed)).collect()
    }

    /// The state columns of each call, from those of all.
    fn split<'a>(&self, states: &'a [ArrayRef]) -> Result<Vec<&'a [ArrayRef]>> {
        let mut rest = states;
        let mut split = |call: &Call| {
            let (own, others) = rest.split_at_checked(call.states)?;
            rest = others;
            Some(own)
        };
        let split = self.0.iter().map(&mut split).collect::<Option<Vec<_>>>();
        split.ok_or_else(|| Error::InvalidArgument(format!("an aggregate was given {} state columns, too few", states.len())))
    }
}

impl Call {
    /// The input columns, and which rows count. The inputs of the other rows are null: to compute them might fail.
    fn inputs(&self, batch: &RecordBatch) -> Result<(Vec<ArrayRef>, Option<BooleanArray>)> {
        let keep = match self.filter.as_ref().map(|filter| choose(filter, batch)).transpose()? {
            None | Some(Chosen::All) => return Ok((evaluate_all(&self.inputs, batch)?, None)),
            Some(Chosen::Some(keep)) => keep,
            Some(Chosen::None) => BooleanArray::from(vec![false; batch.num_rows()]),
        };
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| {
            expr.evaluate_selection(batch, &keep).and_then(|value| value.into_array_of_size(batch.num_rows())).map_err(failed)
        };
        Ok((self.inputs.iter().map(evaluate).collect::<Result<_>>()?, Some(keep)))
    }
}

impl Accumulators {
    /// Adds the rows of a batch to their groups.
    pub(super) fn update(&mut self, calls: &Calls, batch: &RecordBatch, groups: &[usize], total: usize) -> Result<()> {
        for (own, call) in self.0.iter_mut().zip(&calls.0) {
            let (inputs, keep) = call.inputs(batch)?;
            own.update_batch(&inputs, groups, keep.as_ref(), total).map_err(failed)?;
        }
        Ok(())
    }

    /// Merges states into their groups. Groups that are new must each have a state among them.
    pub(super) fn merge(&mut self, calls: &Calls, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        for (own, states) in self.0.iter_mut().zip(calls.split(states)?) {
            own.merge_batch(states, groups, total).map_err(failed)?;
        }
        Ok(())
    }

    /// The states of all groups. After that the accumulators have no groups.
    pub(super) fn take_states(&mut self, calls: &Calls) -> Result<Vec<ArrayRef>> {
        let mut states = Vec::new();
        for (own, call) in self.0.iter_mut().zip(&calls.0) {
            let exported = own.state(EmitTo::All).map_err(failed)?;
            if exported.len() != call.states {
                let (name, declared, given) = (call.expr.name(), call.states, exported.len());
                return Err(Error::InvalidArgument(format!("{name} declared {declared} state columns and gave {given}")));
            }
            states.extend(exported);
        }
        Ok(states)
    }

    /// The memory that they take.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|own| own.size()).sum()
    }
}

fn accumulator(expr: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    if expr.groups_accumulator_supported() {
        return expr.create_groups_accumulator().map_err(failed);
    }
    let expr = Arc::clone(expr);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || expr.create_accumulator())))
}
