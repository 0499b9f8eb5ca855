//! What is computed for each group: within the epoch in one plain vector, and merged into the state at its end.
//!
//! The values of one group lie side by side. A batch is added one aggregate at a time, in tight loops without calls; the first of
//! them brings the groups' memory into the cache, and the others find it there. With a million groups that is most of the time.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float64Type, Int64Type};
use tidegate_runtime::{Error, Result};

/// All aggregates of the groups of the epoch.
#[derive(Debug)]
pub(super) struct Accumulators {
    functions: Vec<Accumulator>,
    /// One value for each group and function: those of one group side by side.
    values: Vec<i64>,
    groups: usize,
}

/// One aggregate.
#[derive(Debug)]
pub(super) enum Accumulator {
    /// How many rows.
    Count,
    /// How many rows in which the input is not null.
    CountOf,
    /// The sum of an integer input.
    SumInt64(Sum),
    /// The sum of a float input, whose bits are the value.
    SumFloat64(Sum),
}

/// What a sum knows beside the sums of the groups.
#[derive(Debug)]
pub(super) struct Sum {
    /// For messages: `sum(amount)`.
    name: String,
    /// Which groups have an input that is not null. Not kept while no input is null: then all have.
    seen: Option<Vec<bool>>,
}

impl Sum {
    /// A sum of this name.
    pub(super) fn new(name: String) -> Self {
        Sum { name, seen: None }
    }
}

impl Accumulators {
    /// No groups yet.
    pub(super) fn new(functions: Vec<Accumulator>) -> Self {
        Accumulators { functions, values: Vec::new(), groups: 0 }
    }

    /// Makes room for `groups` groups.
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups * self.functions.len(), 0);
        self.groups = groups;
    }

    /// Makes room for groups that have no rows: their count is 0 and they have no sum.
    pub(super) fn touch(&mut self, groups: usize) {
        let known = self.groups;
        self.resize(groups);
        for function in &mut self.functions {
            if let Accumulator::SumInt64(sum) | Accumulator::SumFloat64(sum) = function {
                sum.seen(known).resize(groups, false);
            }
        }
    }

    /// Adds a batch: how many groups there are by now, the group of each row, and the functions' input columns.
    pub(super) fn update(&mut self, groups: usize, rows: &[u32], inputs: &[Option<ArrayRef>]) -> Result<()> {
        let (stride, known) = (self.functions.len(), self.groups);
        self.resize(groups);
        for (offset, (function, input)) in self.functions.iter_mut().zip(inputs).enumerate() {
            let cells = Cells { values: &mut self.values, stride, offset };
            function.update(cells, known..groups, rows, input.as_ref())?;
        }
        Ok(())
    }

    /// The new state columns of the groups in `range`, whose old ones are `stored` (null for a new group).
    pub(super) fn merge(&self, range: &Range<usize>, stored: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let stride = self.functions.len();
        let merge = |(offset, (function, stored)): (usize, (&Accumulator, &ArrayRef))| {
            let values = range.clone().map(|group| self.values[group * stride + offset]);
            function.merge(values, range.start, stored)
        };
        self.functions.iter().zip(stored).enumerate().map(merge).collect()
    }

    /// Forgets the epoch.
    pub(super) fn clear(&mut self) {
        self.resize(0);
        for function in &mut self.functions {
            if let Accumulator::SumInt64(sum) | Accumulator::SumFloat64(sum) = function {
                sum.seen = None;
            }
        }
    }
}

/// The values of one function.
struct Cells<'a> {
    values: &'a mut [i64],
    stride: usize,
    offset: usize,
}

impl Cells<'_> {
    #[inline]
    fn at(&mut self, group: u32) -> &mut i64 {
        &mut self.values[group as usize * self.stride + self.offset]
    }
}

impl Accumulator {
    /// Adds a batch with which the groups in `new` came.
    fn update(&mut self, cells: Cells<'_>, new: Range<usize>, rows: &[u32], input: Option<&ArrayRef>) -> Result<()> {
        match self {
            Accumulator::Count => count(cells, rows),
            Accumulator::CountOf => count_of(cells, rows, input),
            Accumulator::SumInt64(sum) => return sum.update::<Int64Type>(cells, new, rows, input),
            Accumulator::SumFloat64(sum) => return sum.update::<Float64Type>(cells, new, rows, input),
        }
        Ok(())
    }

    fn merge(&self, values: impl Iterator<Item = i64>, first: usize, stored: &ArrayRef) -> Result<ArrayRef> {
        match self {
            Accumulator::Count | Accumulator::CountOf => {
                let stored = stored.as_primitive::<Int64Type>().iter();
                let merged = stored.zip(values).map(|(stored, count)| stored.unwrap_or(0) + count);
                Ok(Arc::new(PrimitiveArray::<Int64Type>::from_iter_values(merged)))
            }
            Accumulator::SumInt64(sum) => sum.merge::<Int64Type>(values, first, stored),
            Accumulator::SumFloat64(sum) => sum.merge::<Float64Type>(values, first, stored),
        }
    }
}

fn count(mut cells: Cells<'_>, rows: &[u32]) {
    rows.iter().for_each(|&group| *cells.at(group) += 1);
}

fn count_of(mut cells: Cells<'_>, rows: &[u32], input: Option<&ArrayRef>) {
    match input.and_then(|input| input.logical_nulls()).filter(|nulls| nulls.null_count() > 0) {
        None => count(cells, rows),
        Some(nulls) => rows.iter().zip(nulls.iter()).for_each(|(&group, valid)| *cells.at(group) += i64::from(valid)),
    }
}

/// A type that can be summed in 64 bits.
trait Summand: ArrowPrimitiveType {
    fn of_bits(bits: i64) -> Self::Native;

    /// The sum as bits, and whether it does not fit.
    fn add(left: Self::Native, right: Self::Native) -> (i64, bool);
}

impl Summand for Int64Type {
    #[inline]
    fn of_bits(bits: i64) -> i64 {
        bits
    }

    #[inline]
    fn add(left: i64, right: i64) -> (i64, bool) {
        left.overflowing_add(right)
    }
}

impl Summand for Float64Type {
    #[inline]
    fn of_bits(bits: i64) -> f64 {
        f64::from_bits(bits as u64)
    }

    #[inline]
    fn add(left: f64, right: f64) -> (i64, bool) {
        ((left + right).to_bits() as i64, false)
    }
}

/// Adds a value to a sum; says whether it does not fit.
#[inline]
fn add_to<T: Summand>(cell: &mut i64, value: T::Native) -> bool {
    let (sum, overflows) = T::add(T::of_bits(*cell), value);
    *cell = sum;
    overflows
}

impl Sum {
    fn update<T: Summand>(&mut self, cells: Cells<'_>, new: Range<usize>, rows: &[u32], input: Option<&ArrayRef>) -> Result<()> {
        let input = input.ok_or_else(|| Error::Protocol(format!("{} has no input column", self.name)))?;
        let input = if input.data_type() == &T::DATA_TYPE { Arc::clone(input) } else { cast(input, &T::DATA_TYPE)? };
        let input = input.as_primitive::<T>();
        let overflow = match input.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                if let Some(seen) = &mut self.seen {
                    seen.resize(new.end, false);
                    rows.iter().for_each(|&group| seen[group as usize] = true);
                }
                add_all::<T>(cells, rows, input.values())
            }
            Some(nulls) => {
                let seen = self.seen(new.start);
                seen.resize(new.end, false);
                add_valid::<T>(cells, seen, rows, input.values(), nulls)
            }
        };
        if overflow { Err(self.overflow(&T::DATA_TYPE)) } else { Ok(()) }
    }

    /// Starts to keep which groups have an input: so far, all `known` ones.
    fn seen(&mut self, known: usize) -> &mut Vec<bool> {
        self.seen.get_or_insert_with(|| vec![true; known])
    }

    fn merge<T: Summand>(&self, values: impl Iterator<Item = i64>, first: usize, stored: &ArrayRef) -> Result<ArrayRef> {
        let mut overflow = false;
        let mut add = |stored: Option<T::Native>, bits: i64, group: usize| {
            let new = self.seen.as_ref().is_none_or(|seen| seen[group]).then(|| T::of_bits(bits));
            let (Some(left), Some(right)) = (stored, new) else { return stored.or(new) };
            let (sum, overflows) = T::add(left, right);
            overflow |= overflows;
            Some(T::of_bits(sum))
        };
        let rows = stored.as_primitive::<T>().iter().zip(values).zip(first..);
        let merged: PrimitiveArray<T> = rows.map(|((stored, bits), group)| add(stored, bits, group)).collect();
        if overflow { Err(self.overflow(&T::DATA_TYPE)) } else { Ok(Arc::new(merged)) }
    }

    fn overflow(&self, data_type: &DataType) -> Error {
        Error::InvalidArgument(format!("[ARITHMETIC_OVERFLOW] {}: a sum does not fit into {data_type}", self.name))
    }
}

/// Adds values; says whether a sum does not fit, with one flag for the batch rather than a branch for each row.
fn add_all<T: Summand>(mut cells: Cells<'_>, rows: &[u32], values: &[T::Native]) -> bool {
    rows.iter().zip(values).fold(false, |overflow, (&group, &value)| overflow | add_to::<T>(cells.at(group), value))
}

/// Adds the values that are not null, and notes their groups.
fn add_valid<T: Summand>(
    mut cells: Cells<'_>,
    seen: &mut [bool],
    rows: &[u32],
    values: &[T::Native],
    nulls: &NullBuffer,
) -> bool {
    let valid = rows.iter().zip(values).zip(nulls.iter()).filter(|(_, valid)| *valid);
    valid.fold(false, |overflow, ((&group, &value), _)| {
        seen[group as usize] = true;
        overflow | add_to::<T>(cells.at(group), value)
    })
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
