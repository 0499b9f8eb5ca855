//! Aggregates that fold values two by two: sums, extremes and bits of fixed-width values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};

use super::groups::{Aggregate, StateTypes, column, each};

/// Folds values with a function that may have no result: what then happens is the [`Overflow`]'s.
pub(super) struct Fold<T: ArrowPrimitiveType, F> {
    pub(super) data_type: DataType,
    pub(super) fold: F,
    pub(super) overflow: Overflow,
    pub(super) marker: std::marker::PhantomData<fn() -> T>,
}

/// What a fold without a result does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Overflow {
    /// It is an error.
    Fails(fn() -> DataFusionError),
    /// The group's result is null, whatever follows.
    GivesNull,
    /// There is always a result.
    Never,
}

/// The folded value of a group.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Folded<V> {
    value: Option<V>,
    overflowed: bool,
}

impl<T: ArrowPrimitiveType, F: Fn(T::Native, T::Native) -> Option<T::Native> + Send + Sync + 'static> Fold<T, F> {
    pub(super) fn new(data_type: &DataType, overflow: Overflow, fold: F) -> Self {
        Fold { data_type: data_type.clone(), fold, overflow, marker: std::marker::PhantomData }
    }

    /// The columns of the state.
    pub(super) fn state_types(&self) -> StateTypes {
        let mut types = vec![("value", self.data_type.clone())];
        if matches!(self.overflow, Overflow::GivesNull) {
            types.push(("overflowed", DataType::Boolean));
        }
        types
    }

    fn add(&self, cell: &mut Folded<T::Native>, value: T::Native) -> Result<()> {
        let Some(old) = cell.value else {
            cell.value = Some(value);
            return Ok(());
        };
        match (self.fold)(old, value) {
            Some(new) => cell.value = Some(new),
            None => match self.overflow {
                Overflow::Fails(error) => return Err(error()),
                Overflow::GivesNull | Overflow::Never => cell.overflowed = true,
            },
        }
        Ok(())
    }

    fn values(&self, cells: &[Folded<T::Native>]) -> ArrayRef {
        let values = cells.iter().map(|cell| if cell.overflowed { None } else { cell.value });
        Arc::new(values.collect::<PrimitiveArray<T>>().with_data_type(self.data_type.clone()))
    }
}

impl<T: ArrowPrimitiveType, F: Fn(T::Native, T::Native) -> Option<T::Native> + Send + Sync + 'static> Aggregate for Fold<T, F> {
    type Cell = Folded<T::Native>;

    fn update(&self, cells: &mut [Self::Cell], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        each(cells, column::<PrimitiveArray<T>>(args, 0)?, groups, |cell, value| self.add(cell, value))
    }

    fn merge(&self, cells: &mut [Self::Cell], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        self.update(cells, states, groups)?;
        if matches!(self.overflow, Overflow::GivesNull) {
            let overflowed: &BooleanArray = column(states, 1)?;
            for (overflowed, group) in overflowed.iter().zip(groups) {
                cells[*group].overflowed |= overflowed == Some(true);
            }
        }
        Ok(())
    }

    fn state(&self, cells: &[Self::Cell]) -> Result<Vec<ArrayRef>> {
        let mut columns = vec![self.values(cells)];
        if matches!(self.overflow, Overflow::GivesNull) {
            let overflowed: BooleanArray = cells.iter().map(|cell| Some(cell.overflowed)).collect();
            columns.push(Arc::new(overflowed));
        }
        Ok(columns)
    }

    fn evaluate(&self, cells: &[Self::Cell]) -> Result<ArrayRef> {
        Ok(self.values(cells))
    }
}

/// Folds booleans.
pub(super) struct FoldBoolean(pub(super) fn(bool, bool) -> bool);

impl Aggregate for FoldBoolean {
    type Cell = Option<bool>;

    fn update(&self, cells: &mut [Option<bool>], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let values: &BooleanArray = column(args, 0)?;
        for (value, group) in values.iter().zip(groups) {
            let Some(value) = value else { continue };
            let cell = &mut cells[*group];
            *cell = Some(cell.map_or(value, |old| (self.0)(old, value)));
        }
        Ok(())
    }

    fn merge(&self, cells: &mut [Option<bool>], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        self.update(cells, states, groups)
    }

    fn state(&self, cells: &[Option<bool>]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(cells)?])
    }

    fn evaluate(&self, cells: &[Option<bool>]) -> Result<ArrayRef> {
        Ok(Arc::new(cells.iter().copied().collect::<BooleanArray>()))
    }
}

/// How many rows count.
pub(super) struct Count {
    /// Whether a row counts where its argument is true, rather than where no argument is null.
    pub(super) of_true: bool,
}

impl Aggregate for Count {
    type Cell = i64;

    fn update(&self, cells: &mut [i64], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        if self.of_true {
            let values: &BooleanArray = column(args, 0)?;
            for (value, group) in values.iter().zip(groups) {
                cells[*group] += i64::from(value == Some(true));
            }
            return Ok(());
        }
        let nulls = args.iter().filter_map(|array| array.logical_nulls());
        match nulls.reduce(|all, next| arrow::buffer::NullBuffer::new(all.inner() & next.inner())) {
            Some(nulls) => groups.iter().zip(&nulls).for_each(|(group, valid)| cells[*group] += i64::from(valid)),
            None => groups.iter().for_each(|group| cells[*group] += 1),
        }
        Ok(())
    }

    fn merge(&self, cells: &mut [i64], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        each(cells, column::<PrimitiveArray<arrow::datatypes::Int64Type>>(states, 0)?, groups, |cell, count| {
            *cell += count;
            Ok(())
        })
    }

    fn state(&self, cells: &[i64]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(cells)?])
    }

    fn evaluate(&self, cells: &[i64]) -> Result<ArrayRef> {
        Ok(Arc::new(PrimitiveArray::<arrow::datatypes::Int64Type>::from(cells.to_vec())))
    }
}

/// Sums and counts values; the result is what `finish` makes of both.
pub(super) struct Mean<S: ArrowPrimitiveType, R: ArrowPrimitiveType, A, E> {
    pub(super) sum_type: DataType,
    pub(super) returns: DataType,
    pub(super) add: A,
    pub(super) overflow: Overflow,
    pub(super) finish: E,
    pub(super) marker: std::marker::PhantomData<fn() -> (S, R)>,
}

/// The sum, if it didn't overflow, and the count of a group.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SumAndCount<V> {
    sum: Option<V>,
    count: i64,
}

impl<S, R, A, E> Mean<S, R, A, E>
where
    S: ArrowPrimitiveType,
    R: ArrowPrimitiveType,
    A: Fn(S::Native, S::Native) -> Option<S::Native> + Send + Sync + 'static,
    E: Fn(S::Native, i64) -> Result<Option<R::Native>> + Send + Sync + 'static,
{
    fn add(&self, cell: &mut SumAndCount<S::Native>, sum: Option<S::Native>, count: i64) -> Result<()> {
        cell.sum = match (cell.sum, sum) {
            (_, sum) if cell.count == 0 => sum,
            (Some(old), Some(sum)) => match ((self.add)(old, sum), self.overflow) {
                (None, Overflow::Fails(error)) => return Err(error()),
                (sum, _) => sum,
            },
            _ => None,
        };
        cell.count += count;
        Ok(())
    }
}

impl<S, R, A, E> Aggregate for Mean<S, R, A, E>
where
    S: ArrowPrimitiveType,
    R: ArrowPrimitiveType,
    A: Fn(S::Native, S::Native) -> Option<S::Native> + Send + Sync + 'static,
    E: Fn(S::Native, i64) -> Result<Option<R::Native>> + Send + Sync + 'static,
{
    type Cell = SumAndCount<S::Native>;

    fn update(&self, cells: &mut [Self::Cell], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        each(cells, column::<PrimitiveArray<S>>(args, 0)?, groups, |cell, value| self.add(cell, Some(value), 1))
    }

    fn merge(&self, cells: &mut [Self::Cell], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let sums: &PrimitiveArray<S> = column(states, 0)?;
        let counts: &PrimitiveArray<arrow::datatypes::Int64Type> = column(states, 1)?;
        for ((sum, count), group) in sums.iter().zip(counts).zip(groups) {
            match count {
                Some(count) if count > 0 => self.add(&mut cells[*group], sum, count)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn state(&self, cells: &[Self::Cell]) -> Result<Vec<ArrayRef>> {
        let sums: PrimitiveArray<S> = cells.iter().map(|cell| cell.sum).collect();
        let counts: PrimitiveArray<arrow::datatypes::Int64Type> = cells.iter().map(|cell| Some(cell.count)).collect();
        Ok(vec![Arc::new(sums.with_data_type(self.sum_type.clone())), Arc::new(counts)])
    }

    fn evaluate(&self, cells: &[Self::Cell]) -> Result<ArrayRef> {
        let one = |cell: &Self::Cell| cell.sum.map_or(Ok(None), |sum| (self.finish)(sum, cell.count));
        let means = cells.iter().map(one).collect::<Result<PrimitiveArray<R>>>()?;
        Ok(Arc::new(means.with_data_type(self.returns.clone())))
    }
}
