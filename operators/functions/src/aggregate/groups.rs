//! How an aggregate is written here, and what makes a DataFusion function of it.
//!
//! An [`Aggregate`] computes with *cells*: one cell is the state of one group. It is stateless itself; DataFusion's accumulator of one
//! group holds one cell, its accumulator of many groups a vector of them. So both run the same code, and `state` and `evaluate` leave
//! the cells as they are: an accumulator can be looked at and then go on.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, UInt64Array};
use arrow::compute::{concat, filter};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

use super::ResolvedAggregate;
use super::distinct::{self, Distinct};
use crate::function::Call;

/// An aggregate resolved for the types of its arguments.
///
/// `groups` names the cell of each row; every index is below `cells.len()`. Arrays are of exactly the resolved types.
pub(super) trait Aggregate: Send + Sync + 'static {
    /// The state of one group.
    type Cell: Clone + Default + Send + Sync;

    /// Whether cells keep values of the input, so that they grow with it.
    const GROWS: bool = false;

    /// Adds rows.
    fn update(&self, cells: &mut [Self::Cell], args: &[ArrayRef], groups: &[usize]) -> Result<()>;

    /// Adds states that [`state`](Self::state) gave, as if their rows came after those that the cells have seen.
    fn merge(&self, cells: &mut [Self::Cell], states: &[ArrayRef], groups: &[usize]) -> Result<()>;

    /// The cells as columns.
    fn state(&self, cells: &[Self::Cell]) -> Result<Vec<ArrayRef>>;

    /// The results of the cells.
    fn evaluate(&self, cells: &[Self::Cell]) -> Result<ArrayRef>;
}

/// Names and types of the columns of a state.
pub(super) type StateTypes = Vec<(&'static str, DataType)>;

/// Makes a DataFusion function of an aggregate.
pub(super) fn resolved<A: Aggregate>(
    call: &Call<'_>,
    args: Vec<DataType>,
    returns: DataType,
    state: StateTypes,
    aggregate: A,
) -> ResolvedAggregate {
    let literals = call.args.iter().map(|arg| arg.literal.clone()).collect();
    let signature = Signature::user_defined(Volatility::Immutable);
    let maker = Arc::new(Shared(Arc::new(aggregate)));
    let udaf = SparkAggregate {
        name: call.name.to_owned(),
        literals,
        args: args.clone(),
        returns: returns.clone(),
        state,
        signature,
        maker,
    };
    ResolvedAggregate { args, returns, udaf: AggregateUDF::new_from_impl(udaf) }
}

/// Calls `f` with the cell and the value of each row that has one.
pub(super) fn each<T: ArrowPrimitiveType, C>(
    cells: &mut [C],
    values: &PrimitiveArray<T>,
    groups: &[usize],
    mut f: impl FnMut(&mut C, T::Native) -> Result<()>,
) -> Result<()> {
    if values.null_count() == 0 {
        for (value, group) in values.values().iter().zip(groups) {
            f(&mut cells[*group], *value)?;
        }
        return Ok(());
    }
    for (value, group) in values.iter().zip(groups) {
        if let Some(value) = value {
            f(&mut cells[*group], value)?;
        }
    }
    Ok(())
}

/// An array as its concrete type.
pub(super) fn downcast<T: Array + 'static>(array: &ArrayRef) -> Result<&T> {
    array.as_any().downcast_ref::<T>().ok_or_else(|| {
        DataFusionError::Internal(format!("aggregate over {}: got {}", std::any::type_name::<T>(), array.data_type()))
    })
}

/// Column `index` of the arguments or of a state.
pub(super) fn column<T: Array + 'static>(columns: &[ArrayRef], index: usize) -> Result<&T> {
    let missing = || DataFusionError::Internal(format!("aggregate: column {index} is missing"));
    downcast(columns.get(index).ok_or_else(missing)?)
}

/// Hands out accumulators of an aggregate whose type is forgotten.
trait Maker: Send + Sync {
    fn one(&self) -> Box<dyn Accumulator>;
    fn many(&self) -> Box<dyn GroupsAccumulator>;
    /// Over the distinct rows of arguments of these types.
    fn distinct(&self, args: &[DataType]) -> Result<Arc<dyn Maker>>;
}

struct Shared<A>(Arc<A>);

fn one<A: Aggregate>(aggregate: &Arc<A>) -> Box<dyn Accumulator> {
    Box::new(One { aggregate: Arc::clone(aggregate), cell: [A::Cell::default()], zeros: Vec::new(), kept: 0 })
}

fn many<A: Aggregate>(aggregate: &Arc<A>) -> Box<dyn GroupsAccumulator> {
    Box::new(Many { aggregate: Arc::clone(aggregate), cells: Vec::new(), kept: 0 })
}

impl<A: Aggregate> Maker for Shared<A> {
    fn one(&self) -> Box<dyn Accumulator> {
        one(&self.0)
    }

    fn many(&self) -> Box<dyn GroupsAccumulator> {
        many(&self.0)
    }

    fn distinct(&self, args: &[DataType]) -> Result<Arc<dyn Maker>> {
        Ok(Arc::new(SharedDistinct(Arc::new(Distinct::new(Arc::clone(&self.0), args)?))))
    }
}

/// `Distinct` under [`Maker`]: a type of its own, or `distinct` would nest types without end.
struct SharedDistinct<A>(Arc<Distinct<A>>);

impl<A: Aggregate> Maker for SharedDistinct<A> {
    fn one(&self) -> Box<dyn Accumulator> {
        one(&self.0)
    }

    fn many(&self) -> Box<dyn GroupsAccumulator> {
        many(&self.0)
    }

    fn distinct(&self, _args: &[DataType]) -> Result<Arc<dyn Maker>> {
        Ok(Arc::new(SharedDistinct(Arc::clone(&self.0))))
    }
}

/// How much the rows of arrays take, about.
fn kept_bytes<A: Aggregate>(arrays: &[ArrayRef]) -> usize {
    let of = |array: &ArrayRef| array.to_data().get_slice_memory_size().unwrap_or(0);
    if A::GROWS { arrays.iter().map(of).sum() } else { 0 }
}

/// The accumulator of one group.
struct One<A: Aggregate> {
    aggregate: Arc<A>,
    cell: [A::Cell; 1],
    /// The group of each row of a batch.
    zeros: Vec<usize>,
    /// How many bytes of input the cell has seen, if it keeps it.
    kept: usize,
}

impl<A: Aggregate> fmt::Debug for One<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("One").finish_non_exhaustive()
    }
}

impl<A: Aggregate> One<A> {
    /// Makes `zeros` cover the rows of a batch; gives their number.
    fn begin(&mut self, columns: &[ArrayRef]) -> usize {
        let rows = columns.first().map_or(0, |array| array.len());
        self.kept += kept_bytes::<A>(columns);
        self.zeros.resize(self.zeros.len().max(rows), 0);
        rows
    }
}

impl<A: Aggregate> Accumulator for One<A> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = self.begin(values);
        self.aggregate.update(&mut self.cell, values, &self.zeros[..rows])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = self.begin(states);
        self.aggregate.merge(&mut self.cell, states, &self.zeros[..rows])
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.aggregate.state(&self.cell)?.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.aggregate.evaluate(&self.cell)?, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.zeros.capacity() * size_of::<usize>() + self.kept
    }
}

/// The accumulator of many groups.
struct Many<A: Aggregate> {
    aggregate: Arc<A>,
    cells: Vec<A::Cell>,
    kept: usize,
}

impl<A: Aggregate> Many<A> {
    fn resize(&mut self, groups: usize) {
        if self.cells.len() < groups {
            self.cells.resize_with(groups, A::Cell::default);
        }
    }

    fn count(&self, emit_to: EmitTo) -> usize {
        match emit_to {
            EmitTo::All => self.cells.len(),
            EmitTo::First(n) => n.min(self.cells.len()),
        }
    }

    fn forget(&mut self, first: usize) {
        let before = self.cells.len();
        if first == before {
            self.cells = Vec::new();
        } else {
            self.cells.drain(..first);
        }
        // What the remaining cells keep isn't known without looking at each: their share.
        self.kept = self.kept.checked_div(before).map_or(0, |share| share * self.cells.len());
    }
}

impl<A: Aggregate> GroupsAccumulator for Many<A> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let Some(chosen) = opt_filter else {
            self.kept += kept_bytes::<A>(values);
            return self.aggregate.update(&mut self.cells, values, group_indices);
        };
        let values = values.iter().map(|array| filter(array, chosen)).collect::<Result<Vec<_>, _>>()?;
        let groups: Vec<usize> =
            group_indices.iter().zip(chosen).filter_map(|(group, chosen)| (chosen == Some(true)).then_some(*group)).collect();
        self.kept += kept_bytes::<A>(&values);
        self.aggregate.update(&mut self.cells, &values, &groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let first = self.count(emit_to);
        let results = self.aggregate.evaluate(&self.cells[..first])?;
        self.forget(first);
        Ok(results)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let first = self.count(emit_to);
        let states = self.aggregate.state(&self.cells[..first])?;
        self.forget(first);
        Ok(states)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.resize(total_num_groups);
        self.kept += kept_bytes::<A>(values);
        self.aggregate.merge(&mut self.cells, values, group_indices)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let mut alone = Many { aggregate: Arc::clone(&self.aggregate), cells: Vec::new(), kept: 0 };
        let groups: Vec<usize> = (0..rows).collect();
        alone.update_batch(values, &groups, opt_filter, rows)?;
        alone.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.cells.capacity() * size_of::<A::Cell>() + self.kept
    }
}

/// An aggregate under DataFusion's trait.
struct SparkAggregate {
    name: String,
    literals: Vec<Option<ScalarValue>>,
    args: Vec<DataType>,
    returns: DataType,
    state: StateTypes,
    signature: Signature,
    maker: Arc<dyn Maker>,
}

impl SparkAggregate {
    fn maker(&self, args: &AccumulatorArgs<'_>) -> Result<Arc<dyn Maker>> {
        if args.is_distinct { self.maker.distinct(&self.args) } else { Ok(Arc::clone(&self.maker)) }
    }
}

impl fmt::Debug for SparkAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SparkAggregate").field("name", &self.name).field("args", &self.args).finish_non_exhaustive()
    }
}

impl PartialEq for SparkAggregate {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.literals, &self.args, &self.returns) == (&other.name, &other.literals, &other.args, &other.returns)
    }
}

impl Eq for SparkAggregate {}

impl Hash for SparkAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.literals, &self.args, &self.returns).hash(state);
    }
}

/// The aggregate of a frame that moves over the rows: they are kept, and computed anew for every frame.
struct Sliding {
    maker: Arc<dyn Maker>,
    /// The columns of the rows in the frame.
    rows: Vec<ArrayRef>,
}

impl fmt::Debug for Sliding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sliding").field("rows", &self.rows.first().map_or(0, |column| column.len())).finish_non_exhaustive()
    }
}

impl Sliding {
    fn whole(&self) -> Result<Box<dyn Accumulator>> {
        let mut whole = self.maker.one();
        if !self.rows.is_empty() {
            whole.update_batch(&self.rows)?;
        }
        Ok(whole)
    }
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows = match self.rows.is_empty() {
            true => values.to_vec(),
            false => {
                let columns = self.rows.iter().zip(values);
                columns.map(|(kept, new)| concat(&[kept.as_ref(), new.as_ref()])).collect::<Result<_, _>>()?
            }
        };
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let gone = values.first().map_or(0, |column| column.len());
        let rest = |column: &ArrayRef| column.slice(gone.min(column.len()), column.len().saturating_sub(gone));
        self.rows = self.rows.iter().map(rest).collect();
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.whole()?.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.whole()?.state()
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        Err(DataFusionError::Internal("the aggregate of a frame has no states to merge".to_owned()))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.rows.iter().map(|column| column.get_array_memory_size()).sum::<usize>()
    }
}

impl AggregateUDFImpl for SparkAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, _arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.args.clone())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field =
            |name: &str, data_type: &DataType| Arc::new(Field::new(format_state_name(args.name, name), data_type.clone(), true));
        if args.is_distinct {
            return Ok(vec![field("distinct", &distinct::state_type(&self.args))]);
        }
        Ok(self.state.iter().map(|(name, data_type)| field(name, data_type)).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(self.maker(&args)?.one())
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(self.maker(&args)?.many())
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sliding { maker: self.maker(&args)?, rows: Vec::new() }))
    }

    fn default_value(&self, _data_type: &DataType) -> Result<ScalarValue> {
        self.maker.one().evaluate()
    }
}

/// Row numbers, for `take`.
pub(super) fn row_numbers(rows: impl IntoIterator<Item = usize>) -> UInt64Array {
    rows.into_iter().map(|row| row as u64).collect::<Vec<_>>().into()
}
