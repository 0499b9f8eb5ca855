//! Arrays with elements added, taken away, or moved.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringBuilder};
use arrow::compute::is_not_null;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::error::Result;

use super::access::index_of_zero;
use super::arguments::{any_int, array_argument, array_or_null, different_element, orderable, small_int, text, tightest};
use super::lists::{Lists, MAX_ELEMENTS, Picker, nulls_of};
use super::order::comparator;
use crate::coercion::can_cast_implicitly;
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::{element_type, list, sql_name};

pub(super) fn slice(call: &Call<'_>) -> Result<Resolved> {
    let element = array_or_null(call, 0)?;
    let args = vec![list(element.clone()), any_int(call, 1)?, any_int(call, 2)?];
    let kernel = move |invocation: &Invocation<'_>| {
        let (array, starts, lengths) = (invocation.array(0)?, invocation.array(1)?, invocation.array(2)?);
        let nulls = nulls_of(&[&array, &starts, &lengths]);
        let lists = Lists::of(&array)?;
        let (starts, lengths) = (starts.as_primitive::<Int32Type>(), lengths.as_primitive::<Int32Type>());
        let mut picker = Picker::new(vec![Arc::clone(&lists.values)], &element);
        for row in 0..lists.len() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                picker.end_null();
                continue;
            }
            let (start, length, range) = (i64::from(starts.value(row)), lengths.value(row), lists.range(row));
            if start == 0 {
                return Err(bad_slice("START", "start", "a positive or a negative value for `start`, but got 0"));
            }
            let Ok(length) = usize::try_from(length) else {
                return Err(bad_slice("LENGTH", "length", &format!("`length` greater than or equal to 0, but got {length}")));
            };
            let start = if start > 0 { start - 1 } else { start + range.len() as i64 };
            // A start before the first element gives nothing, not the elements that the slice would reach.
            let start = usize::try_from(start).unwrap_or(range.len());
            picker.pick_all(0, range.skip(start).take(length));
            picker.end();
        }
        picker.finish()?.into_list()
    };
    Ok(Resolved::new(args.clone(), args[0].clone(), kernel).fallible())
}

fn bad_slice(condition: &str, parameter: &str, expected: &str) -> datafusion::error::DataFusionError {
    let message = format!("The value of parameter(s) `{parameter}` in `slice` is invalid: Expects {expected}.");
    spark_error(format!("INVALID_PARAMETER_VALUE.{condition}"), message)
}

/// The element type of an array and of a value that is to become an element.
fn with_element(call: &Call<'_>, value: usize) -> Result<DataType> {
    let own = element_type(call.data_type(0)).ok_or_else(|| different_element(call, value))?;
    tightest(own, call.data_type(value)).ok_or_else(|| different_element(call, value))
}

pub(super) fn append(call: &Call<'_>) -> Result<Resolved> {
    add(call, true)
}

pub(super) fn prepend(call: &Call<'_>) -> Result<Resolved> {
    add(call, false)
}

fn add(call: &Call<'_>, last: bool) -> Result<Resolved> {
    array_argument(call, 0)?;
    let element = with_element(call, 1)?;
    let args = vec![list(element.clone()), element.clone()];
    let kernel = move |invocation: &Invocation<'_>| {
        let (lists, values) = (Lists::of(&invocation.array(0)?)?, invocation.array(1)?);
        let mut picker = Picker::new(vec![Arc::clone(&lists.values), values], &element);
        for row in 0..lists.len() {
            if lists.is_null(row) {
                picker.end_null();
                continue;
            }
            if !last {
                picker.pick(1, row);
            }
            picker.pick_all(0, lists.range(row));
            if last {
                picker.pick(1, row);
            }
            picker.end();
        }
        picker.finish()?.into_list()
    };
    Ok(Resolved::new(args.clone(), args[0].clone(), kernel))
}

pub(super) fn insert(call: &Call<'_>) -> Result<Resolved> {
    let element = with_element(call, 2)?;
    let args = vec![list(element.clone()), small_int(call, 1)?, element.clone()];
    let kernel = move |invocation: &Invocation<'_>| {
        let (lists, positions, values) = (Lists::of(&invocation.array(0)?)?, invocation.array(1)?, invocation.array(2)?);
        let positions = positions.as_primitive::<Int32Type>();
        let mut picker = Picker::new(vec![Arc::clone(&lists.values), values], &element);
        for row in 0..lists.len() {
            if lists.is_null(row) || positions.is_null(row) {
                picker.end_null();
                continue;
            }
            let (position, range) = (i64::from(positions.value(row)), lists.range(row));
            let size = range.len() as i64;
            if position == 0 {
                return Err(index_of_zero());
            }
            let needed = (size + 1).max(position.abs());
            if needed > MAX_ELEMENTS as i64 {
                return Err(too_long_after_insert(needed));
            }
            // How far from the start it is; negative: so many nulls come between it and the elements.
            let at = if position > 0 { position - 1 } else { size + 1 + position };
            let before = at.clamp(0, size) as usize;
            picker.pick_all(0, range.clone().take(before));
            (size..at).for_each(|_| picker.pick_null());
            picker.pick(1, row);
            (at..0).for_each(|_| picker.pick_null());
            picker.pick_all(0, range.skip(before));
            picker.end();
        }
        picker.finish()?.into_list()
    };
    Ok(Resolved::new(args.clone(), args[0].clone(), kernel).fallible())
}

fn too_long_after_insert(count: i64) -> datafusion::error::DataFusionError {
    spark_error(
        "COLLECTION_SIZE_LIMIT_EXCEEDED.FUNCTION",
        format!(
            "Can't create array with {count} elements which exceeding the array size limit {MAX_ELEMENTS}, unsuccessful try to create \
             arrays in the function `array_insert`."
        ),
    )
}

pub(super) fn remove(call: &Call<'_>) -> Result<Resolved> {
    let element = with_element(call, 1)?;
    orderable(call, &element)?;
    let args = vec![list(element.clone()), element];
    let kernel = |invocation: &Invocation<'_>| {
        let (array, values) = (invocation.array(0)?, invocation.array(1)?);
        let nulls = nulls_of(&[&array, &values]);
        let lists = Lists::of(&array)?;
        let (compare, element_nulls) = (comparator(&lists.values, &values)?, lists.values.logical_nulls());
        let keeps = |index: usize, row: usize| {
            element_nulls.as_ref().is_some_and(|nulls| nulls.is_null(index)) || compare(index, row).is_ne()
        };
        let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let mask = (0..lists.len()).flat_map(|row| lists.range(row).map(move |index| (row, index)));
        let mask: Vec<bool> = mask.map(|(row, index)| !is_null(row) && keeps(index, row)).collect();
        let kept = lists.filter(&BooleanArray::from(mask))?;
        Lists { nulls: nulls.clone(), ..kept }.into_list()
    };
    Ok(Resolved::new(args.clone(), args[0].clone(), kernel))
}

pub(super) fn compact(call: &Call<'_>) -> Result<Resolved> {
    let arg = list(array_or_null(call, 0)?);
    let kernel = |invocation: &Invocation<'_>| {
        let lists = Lists::of(&invocation.array(0)?)?;
        let mask = is_not_null(&lists.values)?;
        lists.filter(&mask)?.into_list()
    };
    Ok(Resolved::new(vec![arg.clone()], arg, kernel))
}

pub(super) fn reverse(call: &Call<'_>) -> Result<Resolved> {
    let arg = list(array_or_null(call, 0)?);
    let kernel = |invocation: &Invocation<'_>| Lists::of(&invocation.array(0)?)?.reordered(|indices| indices.reverse());
    Ok(Resolved::new(vec![arg.clone()], arg, kernel))
}

pub(super) fn shuffle(call: &Call<'_>) -> Result<Resolved> {
    let arg = list(array_or_null(call, 0)?);
    let mut args = vec![arg.clone()];
    let mut seed = None;
    if call.len() == 2 {
        seed = call.literal_int(1);
        let given = call.data_type(1);
        if seed.is_none() && given != &DataType::Null {
            let message = format!(
                "The value of parameter(s) `seed` in `shuffle` is invalid: expects a long literal, but got \"{}\".",
                call.args[1].sql
            );
            return Err(spark_error("INVALID_PARAMETER_VALUE.LONG", message));
        }
        args.push(given.clone());
    }
    let kernel = move |invocation: &Invocation<'_>| {
        let mut state = seed.map_or_else(|| RandomState::new().build_hasher().finish(), |seed| seed as u64);
        Lists::of(&invocation.array(0)?)?.reordered(|indices| {
            for last in (1..indices.len()).rev() {
                indices.swap(last, (next_random(&mut state) % (last as u64 + 1)) as usize);
            }
        })
    };
    Ok(Resolved::new(args, arg, kernel).volatile())
}

/// The next number of the sequence SplitMix64.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

pub(super) fn join(call: &Call<'_>) -> Result<Resolved> {
    let strings = list(DataType::Utf8);
    if !can_cast_implicitly(call.data_type(0), &strings) {
        return Err(call.unexpected_type(0, &format!("the \"{}\" type", sql_name(&strings))));
    }
    let mut args = vec![strings];
    for index in 1..call.len() {
        args.push(text(call, index)?);
    }
    let kernel = |invocation: &Invocation<'_>| -> Result<ArrayRef> {
        let columns = (0..invocation.args.len()).map(|index| invocation.array(index)).collect::<Result<Vec<_>>>()?;
        let nulls = nulls_of(&columns.iter().collect::<Vec<_>>());
        let lists = Lists::of(&columns[0])?;
        let (words, delimiters) = (lists.values.as_string::<i32>(), columns[1].as_string::<i32>());
        let replacements = columns.get(2).map(|column| column.as_string::<i32>());
        let mut joined = StringBuilder::with_capacity(lists.len(), words.value_data().len());
        let mut text = String::new();
        for row in 0..lists.len() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                joined.append_null();
                continue;
            }
            text.clear();
            let mut first = true;
            for index in lists.range(row) {
                let word = match replacements {
                    _ if words.is_valid(index) => words.value(index),
                    Some(replacements) => replacements.value(row),
                    None => continue,
                };
                if !first {
                    text.push_str(delimiters.value(row));
                }
                first = false;
                text.push_str(word);
            }
            joined.append_value(&text);
        }
        Ok(Arc::new(joined.finish()))
    };
    Ok(Resolved::new(args, DataType::Utf8, kernel))
}
