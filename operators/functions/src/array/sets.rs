//! Arrays as sets: each value once, in the order in which they come first.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use arrow_row::Row;
use datafusion::error::Result;

use super::arguments::{array_or_null, both_arrays, orderable};
use super::lists::{Lists, Picker, nulls_of};
use super::order::{encoded, normalised};
use crate::function::{Call, Invocation, Resolved};
use crate::types::list;

pub(super) fn distinct(call: &Call<'_>) -> Result<Resolved> {
    let element = array_or_null(call, 0)?;
    orderable(call, &element)?;
    let arg = list(element.clone());
    let kernel = move |invocation: &Invocation<'_>| {
        let lists = Lists::of(&invocation.array(0)?)?;
        let [rows] = encoded([&lists.values])?;
        let mut picker = Picker::new(vec![normalised(&lists.values)?], &element);
        let mut seen = HashSet::new();
        for row in 0..lists.len() {
            if lists.is_null(row) {
                picker.end_null();
                continue;
            }
            seen.clear();
            picker.pick_all(0, lists.range(row).filter(|index| seen.insert(rows.row(*index))));
            picker.end();
        }
        picker.finish()?.into_list()
    };
    Ok(Resolved::new(vec![arg.clone()], arg, kernel))
}

pub(super) fn union(call: &Call<'_>) -> Result<Resolved> {
    set(call, |_, _| true)
}

pub(super) fn intersect(call: &Call<'_>) -> Result<Resolved> {
    set(call, |state, right| !right && state == Some(State::OnlyRight))
}

pub(super) fn except(call: &Call<'_>) -> Result<Resolved> {
    set(call, |state, right| !right && state.is_none())
}

/// What is known of a value when it is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is in the right array, and wasn't chosen yet.
    OnlyRight,
    /// It was met before.
    Met,
}

/// A function of two sets. `choose` says whether a value is part of the result, from what is known of it and whether it was met in
/// the right array. The left array's values come first.
fn set(call: &Call<'_>, choose: fn(Option<State>, bool) -> bool) -> Result<Resolved> {
    let element = both_arrays(call)?;
    orderable(call, &element)?;
    let arg = list(element.clone());
    let kernel = move |invocation: &Invocation<'_>| {
        let (left, right) = (invocation.array(0)?, invocation.array(1)?);
        let nulls = nulls_of(&[&left, &right]);
        let (left, right) = (Lists::of(&left)?, Lists::of(&right)?);
        let [left_rows, right_rows] = encoded([&left.values, &right.values])?;
        let mut picker = Picker::new(vec![normalised(&left.values)?, normalised(&right.values)?], &element);
        let mut states: HashMap<Row<'_>, State> = HashMap::new();
        for row in 0..left.len() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                picker.end_null();
                continue;
            }
            states.clear();
            states.extend(right.range(row).map(|index| (right_rows.row(index), State::OnlyRight)));
            let left_values = left.range(row).map(|index| (0, index, left_rows.row(index)));
            for (source, index, value) in left_values.chain(right.range(row).map(|index| (1, index, right_rows.row(index)))) {
                let state = states.insert(value, State::Met);
                let is_new = state != Some(State::Met);
                if is_new && choose(state, source == 1) {
                    picker.pick(source, index);
                }
            }
            picker.end();
        }
        picker.finish()?.into_list()
    };
    Ok(Resolved::new(vec![arg.clone(), arg.clone()], arg, kernel))
}

pub(super) fn overlap(call: &Call<'_>) -> Result<Resolved> {
    let element = both_arrays(call)?;
    orderable(call, &element)?;
    let arg = list(element);
    let kernel = |invocation: &Invocation<'_>| -> Result<ArrayRef> {
        let (left, right) = (invocation.array(0)?, invocation.array(1)?);
        let nulls = nulls_of(&[&left, &right]);
        let (left, right) = (Lists::of(&left)?, Lists::of(&right)?);
        let [left_rows, right_rows] = encoded([&left.values, &right.values])?;
        let (left_nulls, right_nulls) = (left.values.logical_nulls(), right.values.logical_nulls());
        let is_null =
            |nulls: &Option<arrow::buffer::NullBuffer>, at: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(at));
        let mut seen = HashSet::new();
        let mut one = |row: usize| {
            if is_null(&nulls, row) {
                return None;
            }
            seen.clear();
            seen.extend(left.range(row).filter(|index| !is_null(&left_nulls, *index)).map(|index| left_rows.row(index)));
            let found = right.range(row).any(|index| !is_null(&right_nulls, index) && seen.contains(&right_rows.row(index)));
            // A null may equal anything that the other array has.
            let unknown = !left.range(row).is_empty()
                && !right.range(row).is_empty()
                && (left.range(row).any(|index| is_null(&left_nulls, index))
                    || right.range(row).any(|index| is_null(&right_nulls, index)));
            if !found && unknown { None } else { Some(found) }
        };
        Ok(Arc::new((0..left.len()).map(&mut one).collect::<BooleanArray>()))
    };
    Ok(Resolved::new(vec![arg.clone(), arg], DataType::Boolean, kernel))
}
