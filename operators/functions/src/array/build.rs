//! Arrays made of values and of other arrays.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, UInt32Array, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::error::Result;

use super::arguments::{array_or_null, common_type_of, different_types};
use super::lists::{Lists, MAX_ELEMENTS, Picker, list_of, nulls_of, take_or_null, too_many_elements};
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::structs::plain_name;
use crate::types::{element_type, list, structure};

pub(super) fn array(call: &Call<'_>) -> Result<Resolved> {
    let types: Vec<DataType> = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    let element = common_type_of(&types).ok_or_else(|| different_types(call))?;
    let (args, returns, width) = (vec![element.clone(); call.len()], list(element.clone()), call.len());
    Ok(Resolved::new(args, returns, move |invocation| {
        let columns = (0..width).map(|index| invocation.array(index)).collect::<Result<Vec<_>>>()?;
        let picks: Vec<_> = (0..invocation.rows).flat_map(|row| (0..width).map(move |column| (column, row))).collect();
        let values = if width == 0 {
            new_null_array(&element, 0)
        } else {
            interleave(&columns.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>(), &picks)?
        };
        list_of(values, OffsetBuffer::from_repeated_length(width, invocation.rows), None)
    }))
}

pub(super) fn repeat(call: &Call<'_>) -> Result<Resolved> {
    if !matches!(call.data_type(1), DataType::Int32 | DataType::Null) {
        return Err(call.unexpected_type(1, "the \"INT\" type"));
    }
    let element = call.data_type(0).clone();
    let kernel = |invocation: &Invocation<'_>| {
        let (values, counts) = (invocation.array(0)?, invocation.array(1)?);
        let counts = counts.as_primitive::<Int32Type>();
        let mut lengths = Vec::with_capacity(invocation.rows);
        let mut total = 0;
        for row in 0..invocation.rows {
            let length = if counts.is_null(row) { 0 } else { counts.value(row).max(0) as usize };
            total += length;
            if length > MAX_ELEMENTS || total > MAX_ELEMENTS {
                return Err(too_long("array_repeat", length as u128));
            }
            lengths.push(length);
        }
        let rows = lengths.iter().enumerate().flat_map(|(row, length)| std::iter::repeat_n(row as u32, *length));
        let values = take(&values, &UInt32Array::from_iter_values(rows), None)?;
        list_of(values, OffsetBuffer::from_lengths(lengths), counts.nulls().cloned())
    };
    Ok(Resolved::new(vec![element.clone(), DataType::Int32], list(element), kernel).fallible())
}

/// The error for a count that gives more elements than an array can have.
pub(super) fn too_long(function: &str, count: u128) -> datafusion::error::DataFusionError {
    spark_error(
        "COLLECTION_SIZE_LIMIT_EXCEEDED.PARAMETER",
        format!(
            "Can't create array with {count} elements which exceeding the array size limit {MAX_ELEMENTS}, the value of parameter(s) \
             `count` in the function `{function}` is invalid."
        ),
    )
}

pub(super) fn concat(call: &Call<'_>) -> Result<Resolved> {
    let types: Vec<DataType> = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    let common = common_type_of(&types).filter(|_| types.iter().all(|own| matches!(own, DataType::List(_))));
    let common = common.ok_or_else(|| different_types(call))?;
    let element = element_type(&common).cloned().unwrap_or(DataType::Null);
    let width = call.len();
    let kernel = move |invocation: &Invocation<'_>| {
        let columns = (0..width).map(|index| invocation.array(index)).collect::<Result<Vec<_>>>()?;
        let lists = columns.iter().map(Lists::of).collect::<Result<Vec<_>>>()?;
        let mut picker = Picker::new(lists.iter().map(|list| Arc::clone(&list.values)).collect(), &element);
        for row in 0..invocation.rows {
            if lists.iter().any(|list| list.is_null(row)) {
                picker.end_null();
                continue;
            }
            lists.iter().enumerate().for_each(|(source, list)| picker.pick_all(source, list.range(row)));
            picker.end();
        }
        picker.finish()?.into_list()
    };
    Ok(Resolved::new(vec![common.clone(); width], common, kernel))
}

pub(super) fn flatten(call: &Call<'_>) -> Result<Resolved> {
    let inner = element_type(call.data_type(0)).filter(|inner| matches!(inner, DataType::List(_))).cloned();
    let inner = inner.ok_or_else(|| call.unexpected_type(0, "the \"ARRAY\" of \"ARRAY\" type"))?;
    let kernel = |invocation: &Invocation<'_>| {
        let outer = Lists::of(&invocation.array(0)?)?;
        let inner = Lists::of(&outer.values)?;
        // An array with a null in it is null: then none of its other elements may remain.
        let whole = |row: usize| !outer.is_null(row) && !outer.range(row).any(|list| inner.is_null(list));
        let valid: Vec<bool> = (0..outer.len()).map(whole).collect();
        let lengths = (0..outer.len()).map(|row| match valid[row] {
            true => outer.range(row).map(|list| inner.size(list)).sum(),
            false => 0,
        });
        let offsets = OffsetBuffer::from_lengths(lengths);
        let values = if (0..outer.len()).all(|row| valid[row] || outer.size(row) == 0) {
            Arc::clone(&inner.values)
        } else {
            let kept =
                (0..outer.len()).filter(|row| valid[*row]).flat_map(|row| outer.range(row)).flat_map(|list| inner.range(list));
            take(&inner.values, &UInt32Array::from_iter_values(kept.map(|index| index as u32)), None)?
        };
        list_of(values, offsets, Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0))
    };
    Ok(Resolved::new(vec![list(inner.clone())], inner, kernel))
}

pub(super) fn zip(call: &Call<'_>) -> Result<Resolved> {
    let elements = (0..call.len()).map(|index| array_or_null(call, index)).collect::<Result<Vec<_>>>()?;
    let names = call.args.iter().enumerate().map(|(index, arg)| plain_name(arg).unwrap_or_else(|| index.to_string()));
    let entry = structure(names.zip(elements.iter().cloned()).collect::<Vec<_>>());
    let DataType::Struct(fields) = entry.clone() else { return Err(different_types(call)) };
    let args: Vec<DataType> = elements.iter().cloned().map(list).collect();
    let kernel = move |invocation: &Invocation<'_>| {
        let columns = (0..elements.len()).map(|index| invocation.array(index)).collect::<Result<Vec<_>>>()?;
        let nulls = nulls_of(&columns.iter().collect::<Vec<_>>());
        let lists = columns.iter().map(Lists::of).collect::<Result<Vec<_>>>()?;
        let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let longest = |row: usize| lists.iter().map(|list| list.size(row)).max().unwrap_or(0);
        let lengths: Vec<usize> = (0..invocation.rows).map(|row| if is_null(row) { 0 } else { longest(row) }).collect();
        let total: usize = lengths.iter().sum();
        if total > MAX_ELEMENTS {
            return Err(too_many_elements(total));
        }
        let column = |list: &Lists| -> Result<ArrayRef> {
            let at = |row: usize, index: usize| (index < list.size(row)).then(|| (list.range(row).start + index) as u32);
            let indices = lengths.iter().enumerate().flat_map(|(row, length)| (0..*length).map(move |index| at(row, index)));
            take_or_null(&list.values, &indices.collect())
        };
        let columns = lists.iter().map(column).collect::<Result<Vec<_>>>()?;
        let entries = StructArray::try_new_with_length(fields.clone(), columns, None, total)?;
        list_of(Arc::new(entries), OffsetBuffer::from_lengths(lengths), nulls)
    };
    Ok(Resolved::new(args, list(entry), kernel))
}
