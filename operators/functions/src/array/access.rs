//! What is in an array, and where.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, UInt32Array};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::error::{DataFusionError, Result};

use super::arguments::{
    any_int, array_argument, array_or_null, different_element, is_index, is_storable, map_and_key, map_argument, null_type,
    orderable, small_int, tightest, wider_without_text,
};
use super::lists::{Lists, take_or_null};
use super::order::comparator;
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::map::lookup;
use crate::structs;
use crate::types::{list, sql_name};

pub(super) fn size(call: &Call<'_>) -> Result<Resolved> {
    match call.data_type(0) {
        DataType::Null | DataType::List(_) | DataType::Map(_, _) => sizes(call),
        _ => Err(call.unexpected_type(0, "the (\"ARRAY\" or \"MAP\") type")),
    }
}

pub(super) fn array_size(call: &Call<'_>) -> Result<Resolved> {
    array_or_null(call, 0)?;
    sizes(call)
}

fn sizes(call: &Call<'_>) -> Result<Resolved> {
    let arg = call.data_type(0);
    let arg = if arg == &DataType::Null { list(DataType::Null) } else { arg.clone() };
    let kernel = |invocation: &Invocation<'_>| -> Result<ArrayRef> {
        let array = invocation.array(0)?;
        let offsets = match array.data_type() {
            DataType::Map(_, _) => array.as_map().offsets(),
            _ => array.as_list::<i32>().offsets(),
        };
        let sizes = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
        Ok(Arc::new(Int32Array::new(sizes.into(), array.nulls().cloned())))
    };
    Ok(Resolved::new(vec![arg], DataType::Int32, kernel))
}

/// The elements of arrays that `at` chooses: from a row's size and its index, which element, if any.
fn elements(array: &ArrayRef, indices: &ArrayRef, at: impl Fn(usize, i64) -> Result<Option<usize>>) -> Result<ArrayRef> {
    let lists = Lists::of(array)?;
    let index_of = |row: usize| match indices.data_type() {
        DataType::Int32 => i64::from(indices.as_primitive::<Int32Type>().value(row)),
        // As Spark does, an index too large for an int is cut to one.
        _ => i64::from(indices.as_primitive::<Int64Type>().value(row) as i32),
    };
    let choose = |row: usize| {
        if lists.is_null(row) || indices.is_null(row) {
            return Ok(None);
        }
        Ok(at(lists.size(row), index_of(row))?.map(|index| (lists.range(row).start + index) as u32))
    };
    let chosen = (0..lists.len()).map(choose).collect::<Result<UInt32Array>>()?;
    take_or_null(&lists.values, &chosen)
}

/// A function of an array and an index.
fn indexed(
    element: DataType,
    index: DataType,
    at: impl Fn(usize, i64) -> Result<Option<usize>> + Send + Sync + 'static,
) -> Resolved {
    Resolved::new(vec![list(element.clone()), index], element, move |invocation| {
        elements(&invocation.array(0)?, &invocation.array(1)?, &at)
    })
}

/// The element at a zero-based index, if there is one.
fn inside(size: usize, index: i64) -> Option<usize> {
    usize::try_from(index).ok().filter(|index| *index < size)
}

pub(super) fn get(call: &Call<'_>) -> Result<Resolved> {
    let element = array_argument(call, 0)?;
    Ok(indexed(element, any_int(call, 1)?, |size, index| Ok(inside(size, index))))
}

/// `xs[i]` and `m[k]`; also `s['field']`.
pub(super) fn subscript(call: &Call<'_>) -> Result<Resolved> {
    match call.data_type(0) {
        DataType::List(field) => {
            if !is_index(call.data_type(1)) {
                return Err(call.unexpected_type(1, "the \"INTEGRAL\" type"));
            }
            let index = if call.data_type(1) == &DataType::Int64 { DataType::Int64 } else { DataType::Int32 };
            let at = |size, index| match inside(size, index) {
                None => Err(spark_error(
                    "INVALID_ARRAY_INDEX",
                    format!(
                        "The index {index} is out of bounds. The array has {size} elements. Use the SQL function `get()` to tolerate \
                         accessing element at invalid index and return NULL instead."
                    ),
                )),
                found => Ok(found),
            };
            Ok(indexed(field.data_type().clone(), index, at).fallible())
        }
        DataType::Map(_, _) => {
            let (key, value) = map_argument(call, 0)?;
            if !is_storable(call.data_type(1), &key) {
                return Err(call.unexpected_type(1, &format!("the \"{}\" type", sql_name(&key))));
            }
            Ok(lookup(key, value))
        }
        DataType::Struct(_) => structs::field(call),
        other => {
            let message = format!(
                "Can't extract a value from \"{}\". Need a complex type [STRUCT, ARRAY, MAP] but got \"{}\".",
                call.args[0].sql,
                sql_name(other)
            );
            Err(spark_error("INVALID_EXTRACT_BASE_FIELD_TYPE", message))
        }
    }
}

pub(super) fn element_at(call: &Call<'_>) -> Result<Resolved> {
    one_based(call, |size, index| {
        spark_error(
            "INVALID_ARRAY_INDEX_IN_ELEMENT_AT",
            format!(
                "The index {index} is out of bounds. The array has {size} elements. Use `try_element_at` to tolerate accessing element \
                 at invalid index and return NULL instead."
            ),
        )
    })
}

pub(super) fn try_element_at(call: &Call<'_>) -> Result<Resolved> {
    match call.data_type(0) {
        DataType::List(field) => {
            let at = |size, index| signed(size, index);
            Ok(indexed(field.data_type().clone(), small_int(call, 1)?, at).fallible())
        }
        _ => one_based(call, |_, _| index_of_zero()),
    }
}

fn one_based(call: &Call<'_>, outside: fn(usize, i64) -> DataFusionError) -> Result<Resolved> {
    match call.data_type(0) {
        DataType::List(field) => {
            let at = move |size, index| match signed(size, index)? {
                None => Err(outside(size, index)),
                found => Ok(found),
            };
            Ok(indexed(field.data_type().clone(), small_int(call, 1)?, at).fallible())
        }
        DataType::Map(_, _) => {
            let (key, value) = map_and_key(call)?;
            Ok(lookup(key, value))
        }
        _ => Err(call.unexpected_type(0, "the (\"ARRAY\" or \"MAP\") type")),
    }
}

/// The element at an index that counts from one, or from the end if it is negative.
fn signed(size: usize, index: i64) -> Result<Option<usize>> {
    match index {
        0 => Err(index_of_zero()),
        1.. => Ok(inside(size, index - 1)),
        _ => Ok(inside(size, size as i64 + index)),
    }
}

/// The error for an index of zero where indices count from one.
pub(super) fn index_of_zero() -> DataFusionError {
    spark_error(
        "INVALID_INDEX_OF_ZERO",
        "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).",
    )
}

pub(super) fn contains(call: &Call<'_>) -> Result<Resolved> {
    if call.args.iter().any(|arg| arg.data_type == DataType::Null) {
        return Err(null_type(call));
    }
    let own = array_argument(call, 0)?;
    let element = wider_without_text(&own, call.data_type(1)).ok_or_else(|| different_element(call, 1))?;
    orderable(call, &element)?;
    let kernel = |invocation: &Invocation<'_>| -> Result<ArrayRef> {
        let (lists, values) = (Lists::of(&invocation.array(0)?)?, invocation.array(1)?);
        let nulls = lists.values.logical_nulls();
        let positions = first_positions(&lists, &values)?;
        // A null among the elements may be the value.
        let unknown = |row: usize| nulls.as_ref().is_some_and(|nulls| lists.range(row).any(|index| nulls.is_null(index)));
        let found = positions.into_iter().enumerate().map(|(row, position)| match position? {
            0 if unknown(row) => None,
            position => Some(position > 0),
        });
        Ok(Arc::new(found.collect::<BooleanArray>()))
    };
    Ok(Resolved::new(vec![list(element.clone()), element], DataType::Boolean, kernel))
}

pub(super) fn position(call: &Call<'_>) -> Result<Resolved> {
    if call.data_type(0) == &DataType::Null {
        return Err(null_type(call));
    }
    let own = array_argument(call, 0)?;
    let element = tightest(&own, call.data_type(1)).ok_or_else(|| different_element(call, 1))?;
    orderable(call, &element)?;
    let kernel = |invocation: &Invocation<'_>| -> Result<ArrayRef> {
        let positions = first_positions(&Lists::of(&invocation.array(0)?)?, &invocation.array(1)?)?;
        Ok(Arc::new(positions.into_iter().collect::<Int64Array>()))
    };
    Ok(Resolved::new(vec![list(element.clone()), element], DataType::Int64, kernel))
}

/// For each row, which of its elements (from one) is the row's value first; zero if none is, null if either is null.
fn first_positions(lists: &Lists, values: &ArrayRef) -> Result<Vec<Option<i64>>> {
    let (compare, nulls) = (comparator(&lists.values, values)?, values.logical_nulls());
    let element_nulls = lists.values.logical_nulls();
    let find = |row: usize| {
        if lists.is_null(row) || nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        let is_value = |index| !element_nulls.as_ref().is_some_and(|nulls| nulls.is_null(index)) && compare(index, row).is_eq();
        Some(lists.range(row).position(is_value).map_or(0, |position| position as i64 + 1))
    };
    Ok((0..lists.len()).map(find).collect())
}
