//! The order of an array's elements.

use std::cmp::Ordering;

use arrow::array::Array;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;

use super::arguments::{array_argument, array_or_null, mismatch, orderable};
use super::lists::{Lists, take_or_null};
use super::order::encoded;
use crate::function::{Call, Invocation, Resolved};
use crate::types::list;

pub(super) fn max(call: &Call<'_>) -> Result<Resolved> {
    extreme(call, Ordering::Greater)
}

pub(super) fn min(call: &Call<'_>) -> Result<Resolved> {
    extreme(call, Ordering::Less)
}

/// The first element that no other is better than; nulls don't count.
fn extreme(call: &Call<'_>, better: Ordering) -> Result<Resolved> {
    let element = array_or_null(call, 0)?;
    orderable(call, &element)?;
    let kernel = move |invocation: &Invocation<'_>| {
        let lists = Lists::of(&invocation.array(0)?)?;
        let [rows] = encoded([&lists.values])?;
        let nulls = lists.values.logical_nulls();
        let best = |row: usize| {
            let indices = lists.range(row).filter(|index| !nulls.as_ref().is_some_and(|nulls| nulls.is_null(*index)));
            let best = indices.reduce(|best, next| if rows.row(next).cmp(&rows.row(best)) == better { next } else { best });
            best.map(|index| index as u32)
        };
        take_or_null(&lists.values, &(0..lists.len()).map(best).collect())
    };
    Ok(Resolved::new(vec![list(element.clone())], element, kernel))
}

pub(super) fn sort_array(call: &Call<'_>) -> Result<Resolved> {
    let element = array_or_null(call, 0)?;
    let arg = list(element.clone());
    if !super::order::is_orderable(&element) {
        return orderable(call, &arg).map(|()| sorted(vec![arg], Some(true), true));
    }
    let mut args = vec![arg];
    let mut ascending = Some(true);
    if call.len() == 2 {
        if !matches!(call.data_type(1), DataType::Boolean | DataType::Null) {
            return Err(call.unexpected_type(1, "the \"BOOLEAN\" type"));
        }
        ascending = match &call.args[1].literal {
            Some(ScalarValue::Boolean(value)) => *value,
            Some(_) => None,
            None => {
                let wanted = "the input `ascendingOrder` should be a foldable \"BOOLEAN\" expression";
                let message = format!("{wanted}; however, got \"{}\".", call.args[1].sql);
                return Err(mismatch(call, "NON_FOLDABLE_INPUT", message));
            }
        };
        args.push(DataType::Boolean);
    }
    Ok(sorted(args, ascending, true))
}

/// `array_sort` without a comparator.
pub(super) fn array_sort(call: &Call<'_>) -> Result<Resolved> {
    let element = array_argument(call, 0)?;
    orderable(call, &element)?;
    Ok(sorted(vec![list(element)], Some(true), false))
}

/// Sorts the first argument; `None` gives nulls.
fn sorted(args: Vec<DataType>, ascending: Option<bool>, nulls_first: bool) -> Resolved {
    let returns = args[0].clone();
    Resolved::new(args, returns, move |invocation| {
        let array = invocation.array(0)?;
        let Some(ascending) = ascending else {
            return Ok(arrow::array::new_null_array(array.data_type(), array.len()));
        };
        let lists = Lists::of(&array)?;
        let [rows] = encoded([&lists.values])?;
        let nulls = lists.values.logical_nulls();
        let is_null = |index: u32| nulls.as_ref().is_some_and(|nulls| nulls.is_null(index as usize));
        let rank = |index: u32| is_null(index) != nulls_first;
        let compare = |left: &u32, right: &u32| {
            let values = || rows.row(*left as usize).cmp(&rows.row(*right as usize));
            rank(*left).cmp(&rank(*right)).then_with(values)
        };
        lists.reordered(|indices| match ascending {
            true => indices.sort_by(compare),
            false => indices.sort_by(|left, right| compare(right, left)),
        })
    })
}
