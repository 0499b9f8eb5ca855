//! Functions that call a lambda for each element of an array.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use datafusion::error::Result;

use super::{Captures, Lambda, LambdaResolver, predicate};
use crate::array::arguments::array_argument;
use crate::array::lists::{Lists, list_of, nulls_of, take_or_null};
use crate::function::{Call, Invocation, Resolved};
use crate::types::list;

/// The parameters of a lambda that takes an element and, if it wants to, its index.
fn element_and_index(element: &DataType, lambdas: &dyn LambdaResolver) -> Vec<DataType> {
    match lambdas.parameters(1) {
        Some(2) => vec![element.clone(), DataType::Int32],
        _ => vec![element.clone()],
    }
}

/// What the lambda gives for each element of the function's first argument, its only value.
fn for_each(lambda: &Lambda, with_index: bool, invocation: &Invocation<'_>) -> Result<(Lists, ArrayRef)> {
    let lists = Lists::of(&invocation.array(0)?)?;
    let mut parameters = vec![Arc::clone(&lists.values)];
    if with_index {
        parameters.push(Arc::new(Int32Array::from_iter_values(lists.positions())));
    }
    let results = lambda.call(&parameters, &Captures::after(invocation, 1).at(&lists.rows())?, lists.values.len())?;
    Ok((lists, results))
}

pub(super) fn transform(call: &Call<'_>, lambdas: &mut dyn LambdaResolver) -> Result<Resolved> {
    let element = array_argument(call, 0)?;
    let parameters = element_and_index(&element, lambdas);
    let lambda = lambdas.resolve(1, &parameters)?;
    let (body, returns, with_index) = (lambda.clone(), list(lambda.returns.clone()), parameters.len() == 2);
    Ok(lambda.mark(Resolved::new(vec![list(element)], returns, move |invocation| {
        let (lists, results) = for_each(&body, with_index, invocation)?;
        lists.with_values(results)
    })))
}

pub(super) fn filter(call: &Call<'_>, lambdas: &mut dyn LambdaResolver) -> Result<Resolved> {
    let element = array_argument(call, 0)?;
    let parameters = element_and_index(&element, lambdas);
    let lambda = predicate(call, lambdas, 1, &parameters)?;
    let (body, arg, with_index) = (lambda.clone(), list(element), parameters.len() == 2);
    Ok(lambda.mark(Resolved::new(vec![arg.clone()], arg, move |invocation| {
        let (lists, results) = for_each(&body, with_index, invocation)?;
        lists.filter(results.as_boolean())?.into_list()
    })))
}

pub(super) fn exists(call: &Call<'_>, lambdas: &mut dyn LambdaResolver) -> Result<Resolved> {
    quantified(call, lambdas, true)
}

pub(super) fn forall(call: &Call<'_>, lambdas: &mut dyn LambdaResolver) -> Result<Resolved> {
    quantified(call, lambdas, false)
}

/// Whether any element gives `decisive`: then that is the result; otherwise null if any gave null, and the opposite if none did.
fn quantified(call: &Call<'_>, lambdas: &mut dyn LambdaResolver, decisive: bool) -> Result<Resolved> {
    let element = array_argument(call, 0)?;
    let lambda = predicate(call, lambdas, 1, std::slice::from_ref(&element))?;
    let body = lambda.clone();
    Ok(lambda.mark(Resolved::new(vec![list(element)], DataType::Boolean, move |invocation| {
        let (lists, results) = for_each(&body, false, invocation)?;
        let results = results.as_boolean();
        let one = |row: usize| {
            let known = |index: usize| results.is_valid(index);
            if lists.is_null(row) {
                None
            } else if lists.range(row).any(|index| known(index) && results.value(index) == decisive) {
                Some(decisive)
            } else {
                lists.range(row).all(known).then_some(!decisive)
            }
        };
        Ok(Arc::new((0..lists.len()).map(one).collect::<BooleanArray>()))
    })))
}

pub(super) fn zip_with(call: &Call<'_>, lambdas: &mut dyn LambdaResolver) -> Result<Resolved> {
    let (left, right) = (array_argument(call, 0)?, array_argument(call, 1)?);
    let lambda = lambdas.resolve(2, &[left.clone(), right.clone()])?;
    let (body, returns) = (lambda.clone(), list(lambda.returns.clone()));
    Ok(lambda.mark(Resolved::new(vec![list(left), list(right)], returns, move |invocation| {
        let arrays = [invocation.array(0)?, invocation.array(1)?];
        let nulls = nulls_of(&[&arrays[0], &arrays[1]]);
        let lists = [Lists::of(&arrays[0])?, Lists::of(&arrays[1])?];
        let longest = |row: usize| match &nulls {
            Some(nulls) if nulls.is_null(row) => 0,
            _ => lists[0].size(row).max(lists[1].size(row)),
        };
        let offsets = OffsetBuffer::from_lengths((0..invocation.rows).map(longest));
        let places = || (0..invocation.rows).flat_map(|row| (0..longest(row)).map(move |index| (row, index)));
        // Beyond its end an array gives nulls.
        let side = |lists: &Lists| -> Result<ArrayRef> {
            let at = |(row, index)| (index < lists.size(row)).then(|| (lists.range(row).start + index) as u32);
            take_or_null(&lists.values, &places().map(at).collect())
        };
        let parameters = [side(&lists[0])?, side(&lists[1])?];
        let rows = UInt32Array::from_iter_values(places().map(|(row, _)| row as u32));
        let results = body.call(&parameters, &Captures::after(invocation, 2).at(&rows)?, rows.len())?;
        list_of(results, offsets, nulls)
    })))
}
