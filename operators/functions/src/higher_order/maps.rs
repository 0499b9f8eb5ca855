//! Functions that call a lambda for each entry of a map.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::interleave;
use datafusion::error::Result;

use super::{Captures, Lambda, LambdaResolver, predicate};
use crate::array::arguments::{map_argument, mismatch, wider_without_text};
use crate::array::lists::{Lists, nulls_of, take_or_null};
use crate::array::order::encoded;
use crate::function::{Call, Invocation, Resolved};
use crate::map::{check_key, map_of, one_zero, parts, unchecked_map};
use crate::types::{map, sql_name};

/// A function's first argument, a map, and what the lambda gives for each of its entries.
fn for_each(lambda: &Lambda, invocation: &Invocation<'_>) -> Result<(Lists, ArrayRef)> {
    let lists = Lists::of(&invocation.array(0)?)?;
    let (keys, values) = parts(&lists);
    let results = lambda.call(&[keys, values], &Captures::after(invocation, 1).at(&lists.rows())?, lists.values.len())?;
    Ok((lists, results))
}

pub(super) fn filter(call: &Call<'_>, lambdas: &mut dyn LambdaResolver) -> Result<Resolved> {
    let (key, value) = map_argument(call, 0)?;
    let lambda = predicate(call, lambdas, 1, &[key.clone(), value.clone()])?;
    let (body, arg) = (lambda.clone(), map(key, value));
    Ok(lambda.mark(Resolved::new(vec![arg.clone()], arg, move |invocation| {
        let (lists, results) = for_each(&body, invocation)?;
        let kept = lists.filter(results.as_boolean())?;
        let (keys, values) = parts(&kept);
        unchecked_map(keys, values, kept.offsets, kept.nulls)
    })))
}

pub(super) fn transform_values(call: &Call<'_>, lambdas: &mut dyn LambdaResolver) -> Result<Resolved> {
    let (key, value) = map_argument(call, 0)?;
    let lambda = lambdas.resolve(1, &[key.clone(), value.clone()])?;
    let (body, returns) = (lambda.clone(), map(key.clone(), lambda.returns.clone()));
    Ok(lambda.mark(Resolved::new(vec![map(key, value)], returns, move |invocation| {
        let (lists, results) = for_each(&body, invocation)?;
        let (keys, _) = parts(&lists);
        unchecked_map(keys, results, lists.offsets, lists.nulls)
    })))
}

pub(super) fn transform_keys(call: &Call<'_>, lambdas: &mut dyn LambdaResolver) -> Result<Resolved> {
    let (key, value) = map_argument(call, 0)?;
    let lambda = lambdas.resolve(1, &[key.clone(), value.clone()])?;
    check_key(call, &lambda.returns)?;
    let returns = map(lambda.returns.clone(), value.clone());
    let kernel = move |invocation: &Invocation<'_>| {
        let (lists, results) = for_each(&lambda, invocation)?;
        let (_, values) = parts(&lists);
        map_of(results, values, lists.offsets, lists.nulls)
    };
    Ok(Resolved::new(vec![map(key, value)], returns, kernel).fallible())
}

pub(super) fn zip_with(call: &Call<'_>, lambdas: &mut dyn LambdaResolver) -> Result<Resolved> {
    let ((left_key, left), (right_key, right)) = (map_argument(call, 0)?, map_argument(call, 1)?);
    let key = wider_without_text(&left_key, &right_key).ok_or_else(|| {
        let (left, right) = (sql_name(&left_key), sql_name(&right_key));
        let wanted = "two maps with compatible key types";
        let message = format!("Input to the `map_zip_with` should have been {wanted}, but it's [\"{left}\", \"{right}\"].");
        mismatch(call, "MAP_ZIP_WITH_DIFF_TYPES", message)
    })?;
    let lambda = lambdas.resolve(2, &[key.clone(), left.clone(), right.clone()])?;
    let (body, returns) = (lambda.clone(), map(key.clone(), lambda.returns.clone()));
    let args = vec![map(key.clone(), left), map(key, right)];
    Ok(lambda.mark(Resolved::new(args, returns, move |invocation| {
        let arrays = [invocation.array(0)?, invocation.array(1)?];
        let nulls = nulls_of(&[&arrays[0], &arrays[1]]);
        let maps = [Lists::of(&arrays[0])?, Lists::of(&arrays[1])?];
        let ((left_keys, left_values), (right_keys, right_values)) = (parts(&maps[0]), parts(&maps[1]));
        let [left_rows, right_rows] = encoded([&left_keys, &right_keys])?;
        // For each key of either map: where it is in the one and in the other.
        let (mut places, mut rows, mut lengths) = (Vec::<[Option<u32>; 2]>::new(), Vec::new(), Vec::new());
        for row in 0..invocation.rows {
            let first = places.len();
            if !nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                let mut known = HashMap::new();
                for index in maps[0].range(row) {
                    known.insert(left_rows.row(index), places.len());
                    places.push([Some(index as u32), None]);
                }
                for index in maps[1].range(row) {
                    match known.get(&right_rows.row(index)) {
                        Some(place) => places[*place][1] = Some(index as u32),
                        None => places.push([None, Some(index as u32)]),
                    }
                }
            }
            lengths.push(places.len() - first);
            rows.resize(places.len(), row as u32);
        }
        let side = |values: &ArrayRef, index: usize| -> Result<ArrayRef> {
            take_or_null(values, &places.iter().map(|place| place[index]).collect())
        };
        let key_of = |place: &[Option<u32>; 2]| match place {
            [Some(index), _] => (0, *index as usize),
            [None, index] => (1, index.unwrap_or(0) as usize),
        };
        let keys = interleave(&[&left_keys as &dyn Array, &right_keys], &places.iter().map(key_of).collect::<Vec<_>>())?;
        let keys = one_zero(&keys)?;
        let parameters = [Arc::clone(&keys), side(&left_values, 0)?, side(&right_values, 1)?];
        let captures = Captures::after(invocation, 2).at(&UInt32Array::from(rows))?;
        let results = body.call(&parameters, &captures, keys.len())?;
        unchecked_map(keys, results, OffsetBuffer::from_lengths(lengths), nulls)
    })))
}
