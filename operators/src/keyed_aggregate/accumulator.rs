//! What is computed for each group: within the epoch in plain vectors by group number, and merged into the state at its end.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float64Type, Int64Type};
use tidegate_runtime::{Error, Result};

/// One aggregate, over the groups of the epoch.
#[derive(Debug)]
pub(super) enum Accumulator {
    /// How many rows.
    Count(Vec<i64>),
    /// How many rows in which the input is not null.
    CountOf(Vec<i64>),
    /// The sum of an integer input.
    SumInt64(Sums<Int64Type>),
    /// The sum of a float input.
    SumFloat64(Sums<Float64Type>),
}

impl Accumulator {
    /// Adds a batch: the group of each row, how many groups there are by now, and the input column.
    pub(super) fn update(&mut self, rows: &[u32], groups: usize, input: Option<&ArrayRef>) -> Result<()> {
        match self {
            Accumulator::Count(counts) => count(counts, rows, groups),
            Accumulator::CountOf(counts) => count_of(counts, rows, groups, input),
            Accumulator::SumInt64(sums) => return sums.update(rows, groups, input),
            Accumulator::SumFloat64(sums) => return sums.update(rows, groups, input),
        }
        Ok(())
    }

    /// Makes room for groups without rows.
    pub(super) fn touch(&mut self, groups: usize) {
        match self {
            Accumulator::Count(counts) | Accumulator::CountOf(counts) => grow(counts, groups, 0),
            Accumulator::SumInt64(sums) => sums.touch(groups),
            Accumulator::SumFloat64(sums) => sums.touch(groups),
        }
    }

    /// The new state of the groups in `range`, whose old state is `stored` (null for a new group).
    pub(super) fn merge(&self, range: Range<usize>, stored: &ArrayRef) -> Result<ArrayRef> {
        match self {
            Accumulator::Count(counts) | Accumulator::CountOf(counts) => {
                let stored = stored.as_primitive::<Int64Type>().iter();
                let merged = stored.zip(&counts[range]).map(|(stored, count)| stored.unwrap_or(0) + count);
                Ok(Arc::new(PrimitiveArray::<Int64Type>::from_iter_values(merged)))
            }
            Accumulator::SumInt64(sums) => sums.merge(range, stored),
            Accumulator::SumFloat64(sums) => sums.merge(range, stored),
        }
    }

    /// Forgets the epoch.
    pub(super) fn clear(&mut self) {
        match self {
            Accumulator::Count(counts) | Accumulator::CountOf(counts) => counts.clear(),
            Accumulator::SumInt64(sums) => sums.clear(),
            Accumulator::SumFloat64(sums) => sums.clear(),
        }
    }
}

fn grow<T: Copy>(values: &mut Vec<T>, groups: usize, value: T) {
    values.resize(groups.max(values.len()), value);
}

fn count(counts: &mut Vec<i64>, rows: &[u32], groups: usize) {
    counts.resize(groups, 0);
    rows.iter().for_each(|&group| counts[group as usize] += 1);
}

fn count_of(counts: &mut Vec<i64>, rows: &[u32], groups: usize, input: Option<&ArrayRef>) {
    match input.and_then(|input| input.logical_nulls()).filter(|nulls| nulls.null_count() > 0) {
        None => count(counts, rows, groups),
        Some(nulls) => {
            counts.resize(groups, 0);
            rows.iter().zip(nulls.iter()).for_each(|(&group, valid)| counts[group as usize] += i64::from(valid));
        }
    }
}

/// A type that can be summed.
pub(super) trait Summand: ArrowPrimitiveType {
    /// The sum, and whether it does not fit.
    fn add(left: Self::Native, right: Self::Native) -> (Self::Native, bool);
}

impl Summand for Int64Type {
    #[inline]
    fn add(left: i64, right: i64) -> (i64, bool) {
        left.overflowing_add(right)
    }
}

impl Summand for Float64Type {
    #[inline]
    fn add(left: f64, right: f64) -> (f64, bool) {
        (left + right, false)
    }
}

/// Sums by group. A group whose inputs were all null has none.
#[derive(Debug)]
pub(super) struct Sums<T: Summand> {
    /// For messages: `sum(amount)`.
    name: String,
    totals: Vec<T::Native>,
    /// Which groups have an input that is not null. Not kept while no input is null: then all have.
    seen: Option<Vec<bool>>,
}

impl<T: Summand> Sums<T> {
    /// No sums yet.
    pub(super) fn new(name: String) -> Self {
        Sums { name, totals: Vec::new(), seen: None }
    }

    fn update(&mut self, rows: &[u32], groups: usize, input: Option<&ArrayRef>) -> Result<()> {
        let input = input.ok_or_else(|| Error::Protocol(format!("{} has no input column", self.name)))?;
        let input = if input.data_type() == &T::DATA_TYPE { Arc::clone(input) } else { cast(input, &T::DATA_TYPE)? };
        let input = input.as_primitive::<T>();
        let known = self.totals.len();
        self.totals.resize(groups, T::Native::ZERO);
        let overflow = match input.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => self.add_all(rows, input.values()),
            Some(nulls) => {
                self.seen.get_or_insert_with(|| vec![true; known]);
                self.add_valid(rows, input.values(), nulls)
            }
        };
        if overflow { Err(self.overflow()) } else { Ok(()) }
    }

    fn add_all(&mut self, rows: &[u32], values: &[T::Native]) -> bool {
        if let Some(seen) = &mut self.seen {
            seen.resize(self.totals.len(), false);
            rows.iter().for_each(|&group| seen[group as usize] = true);
        }
        // One flag for the batch rather than a branch for each row.
        let mut overflow = false;
        for (&group, &value) in rows.iter().zip(values) {
            let total = &mut self.totals[group as usize];
            let (sum, overflows) = T::add(*total, value);
            *total = sum;
            overflow |= overflows;
        }
        overflow
    }

    fn add_valid(&mut self, rows: &[u32], values: &[T::Native], nulls: &NullBuffer) -> bool {
        let Sums { totals, seen, .. } = self;
        let seen = seen.get_or_insert_default();
        seen.resize(totals.len(), false);
        let mut overflow = false;
        for ((&group, &value), _) in rows.iter().zip(values).zip(nulls.iter()).filter(|(_, valid)| *valid) {
            let (sum, overflows) = T::add(totals[group as usize], value);
            totals[group as usize] = sum;
            seen[group as usize] = true;
            overflow |= overflows;
        }
        overflow
    }

    fn touch(&mut self, groups: usize) {
        let known = self.totals.len();
        grow(&mut self.totals, groups, T::Native::ZERO);
        grow(self.seen.get_or_insert_with(|| vec![true; known]), groups, false);
    }

    fn merge(&self, range: Range<usize>, stored: &ArrayRef) -> Result<ArrayRef> {
        let mut overflow = false;
        let mut add = |stored: Option<T::Native>, group: usize| {
            let total = self.seen.as_ref().is_none_or(|seen| seen[group]).then(|| self.totals[group]);
            let (Some(left), Some(right)) = (stored, total) else { return stored.or(total) };
            let (sum, overflows) = T::add(left, right);
            overflow |= overflows;
            Some(sum)
        };
        let stored = stored.as_primitive::<T>().iter();
        let merged: PrimitiveArray<T> = stored.zip(range).map(|(stored, group)| add(stored, group)).collect();
        if overflow { Err(self.overflow()) } else { Ok(Arc::new(merged)) }
    }

    fn clear(&mut self) {
        self.totals.clear();
        self.seen = None;
    }

    fn overflow(&self) -> Error {
        let (name, data_type) = (&self.name, T::DATA_TYPE);
        Error::InvalidArgument(format!("[ARITHMETIC_OVERFLOW] {name}: a sum does not fit into {data_type}"))
    }
}

/// The type of the sum of a column; `None` where there is none.
pub(super) fn sum_type(input: &DataType) -> Option<DataType> {
    if input.is_signed_integer() {
        Some(DataType::Int64)
    } else if matches!(input, DataType::Float32 | DataType::Float64) {
        Some(DataType::Float64)
    } else {
        None
    }
}
