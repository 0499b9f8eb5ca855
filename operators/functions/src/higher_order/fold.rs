//! `aggregate`: an array's elements merged one by one into a value.

use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::compute::{interleave, take};
use arrow::datatypes::DataType;
use datafusion::error::Result;

use super::{Captures, LambdaResolver, unexpected_result};
use crate::array::arguments::array_argument;
use crate::array::lists::{Lists, take_or_null};
use crate::cast::{CastMode, cast_array};
use crate::function::{Call, Resolved};
use crate::types::{list, map_types};

pub(super) fn aggregate(call: &Call<'_>, lambdas: &mut dyn LambdaResolver) -> Result<Resolved> {
    let element = array_argument(call, 0)?;
    let zero = call.data_type(1).clone();
    let merge = lambdas.resolve(2, &[zero.clone(), element.clone()])?;
    if merge.returns != DataType::Null && !same_but_for_names(&merge.returns, &zero) {
        return Err(unexpected_result(call, 2, &zero, &merge.returns));
    }
    let has_finish = lambdas.parameters(3).is_some();
    let finish = if has_finish { Some(lambdas.resolve(3, std::slice::from_ref(&zero))?) } else { None };
    let returns = finish.as_ref().map_or(&zero, |finish| &finish.returns).clone();
    let fallible = merge.fallible || finish.as_ref().is_some_and(|finish| finish.fallible);
    let (args, settings) = (vec![list(element), zero.clone()], *call.settings);
    let resolved = Resolved::new(args, returns, move |invocation| {
        let lists = Lists::of(&invocation.array(0)?)?;
        let captures = Captures::after(invocation, 2);
        // One step for each position, over the rows that have an element there. A row's value is left where its last step put it.
        let mut steps = vec![invocation.array(1)?];
        let mut places: Vec<(usize, usize)> = (0..lists.len()).map(|row| (0, row)).collect();
        let mut rows: Vec<u32> = (0..lists.len() as u32).filter(|row| lists.size(*row as usize) > 0).collect();
        for position in 0.. {
            if rows.is_empty() {
                break;
            }
            let before = UInt32Array::from_iter_values(rows.iter().map(|row| places[*row as usize].1 as u32));
            let state = take(&steps[position], &before, None)?;
            let elements = rows.iter().map(|row| (lists.range(*row as usize).start + position) as u32);
            let elements = take(&lists.values, &UInt32Array::from_iter_values(elements), None)?;
            let captured = captures.at(&UInt32Array::from(rows.clone()))?;
            let merged = merge.call(&[state, elements], &captured, rows.len())?;
            steps.push(if merged.data_type() == &DataType::Null {
                new_null_array(&zero, merged.len())
            } else {
                cast_array(&merged, &zero, CastMode::Ansi, &settings)?
            });
            rows.iter().enumerate().for_each(|(index, row)| places[*row as usize] = (position + 1, index));
            rows.retain(|row| lists.size(*row as usize) > position + 1);
        }
        // Of no array there is no value, and nothing to finish.
        let present: Vec<u32> = (0..lists.len() as u32).filter(|row| !lists.is_null(*row as usize)).collect();
        let picks: Vec<(usize, usize)> = present.iter().map(|row| places[*row as usize]).collect();
        let mut values: ArrayRef = interleave(&steps.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>(), &picks)?;
        if let Some(finish) = &finish {
            values = finish.call(&[values], &captures.at(&UInt32Array::from(present.clone()))?, present.len())?;
        }
        if present.len() == lists.len() {
            return Ok(values);
        }
        let mut next = 0..present.len() as u32;
        let spread = (0..lists.len()).map(|row| if lists.is_null(row) { None } else { next.next() });
        take_or_null(&values, &spread.collect())
    });
    Ok(if fallible { resolved.fallible() } else { resolved })
}

/// Whether two types differ at most in the names of fields.
fn same_but_for_names(left: &DataType, right: &DataType) -> bool {
    match (left, right) {
        (DataType::List(l), DataType::List(r)) => same_but_for_names(l.data_type(), r.data_type()),
        (DataType::Map(_, _), DataType::Map(_, _)) => match (map_types(left), map_types(right)) {
            (Some((lk, lv)), Some((rk, rv))) => same_but_for_names(lk, rk) && same_but_for_names(lv, rv),
            _ => false,
        },
        (DataType::Struct(l), DataType::Struct(r)) => {
            l.len() == r.len() && l.iter().zip(r).all(|(l, r)| same_but_for_names(l.data_type(), r.data_type()))
        }
        _ => left == right,
    }
}
