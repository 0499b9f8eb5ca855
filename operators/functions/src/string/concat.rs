//! Several strings made one, and one chosen of several.

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray};
use arrow::datatypes::{BinaryType, DataType, Utf8Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use super::columns::{Column, Sequence, all_text, build, int, ints, sequences, text, texts, try_build};
use super::slices::differing;
use crate::coercion::can_cast_implicitly;
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::{is_nested, list, sql_name};

pub(super) fn concat(call: &Call<'_>) -> Result<Resolved> {
    const REQUIRED: &str = "the (\"STRING\" or \"BINARY\" or \"ARRAY\") type";
    let types = || call.args.iter().map(|arg| &arg.data_type);
    if let Some(index) = types().position(|own| is_nested(own) && !matches!(own, DataType::List(_))) {
        return Err(call.unexpected_type(index, REQUIRED));
    }
    let is_list = |own: &DataType| matches!(own, DataType::List(_));
    if types().any(is_list) && types().all(|own| is_list(own) || own == &DataType::Null) {
        return crate::array::concat(call);
    }
    if types().any(is_list) {
        let own = types().map(|own| if is_nested(own) { sql_name(own) } else { "STRING".to_owned() });
        return Err(differing(call, &own.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ")));
    }
    if !call.is_empty() && types().all(|own| own == &DataType::Binary) {
        return Ok(Resolved::new(vec![DataType::Binary; call.len()], DataType::Binary, concat_kernel::<BinaryType>));
    }
    Ok(Resolved::new(all_text(call)?, DataType::Utf8, concat_kernel::<Utf8Type>))
}

fn concat_kernel<T: Sequence>(invocation: &Invocation<'_>) -> Result<ArrayRef> {
    let parts = (0..invocation.args.len()).map(|index| sequences::<T>(invocation, index)).collect::<Result<Vec<_>>>()?;
    build(invocation.rows, |row, out: &mut T::Out| {
        parts.iter().try_for_each(|part| part.get(row).map(|value| T::push(out, value)))
    })
}

/// An argument of `concat_ws`.
enum Words<'a> {
    One(Column<&'a StringArray>),
    /// An array in each row, or one array for all rows.
    Many {
        arrays: &'a ListArray,
        constant: bool,
    },
}

pub(super) fn concat_ws(call: &Call<'_>) -> Result<Resolved> {
    let mut args = vec![text(call, 0)?];
    for index in 1..call.len() {
        let array = list(DataType::Utf8);
        let fits = |target: &DataType| can_cast_implicitly(call.data_type(index), target);
        args.push(match call.data_type(index) {
            DataType::List(_) if fits(&array) => array,
            own if !is_nested(own) && fits(&DataType::Utf8) => DataType::Utf8,
            _ => return Err(call.unexpected_type(index, "the (\"ARRAY<STRING>\" or \"STRING\") type")),
        });
    }
    Ok(Resolved::new(args, DataType::Utf8, concat_ws_kernel))
}

fn words<'a>(invocation: &'a Invocation<'_>, index: usize) -> Result<Words<'a>> {
    match invocation.args.get(index) {
        Some(ColumnarValue::Array(array)) if matches!(array.data_type(), DataType::List(_)) => {
            Ok(Words::Many { arrays: array.as_list(), constant: false })
        }
        Some(ColumnarValue::Scalar(ScalarValue::List(array))) => Ok(Words::Many { arrays: array.as_ref(), constant: true }),
        _ => texts(invocation, index).map(Words::One),
    }
}

fn concat_ws_kernel(invocation: &Invocation<'_>) -> Result<ArrayRef> {
    let separators = texts(invocation, 0)?;
    let arguments = (1..invocation.args.len()).map(|index| words(invocation, index)).collect::<Result<Vec<_>>>()?;
    build(invocation.rows, |row, out: &mut String| {
        let separator = separators.get(row)?;
        let mut first = true;
        let mut add = |word: &str| {
            if !first {
                out.push_str(separator);
            }
            first = false;
            out.push_str(word);
        };
        for argument in &arguments {
            match argument {
                Words::One(column) => column.get(row).into_iter().for_each(&mut add),
                Words::Many { arrays, constant } => {
                    let row = if *constant { 0 } else { row };
                    if arrays.is_valid(row) {
                        arrays.value(row).as_string::<i32>().iter().flatten().for_each(&mut add);
                    }
                }
            }
        }
        Some(())
    })
}

pub(super) fn elt(call: &Call<'_>) -> Result<Resolved> {
    let types = || call.args.iter().skip(1).map(|arg| &arg.data_type);
    if types().any(is_nested) {
        let of = |names: Vec<String>| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
        let (given, own) = (call.args.iter().skip(1).map(|arg| arg.sql.clone()).collect(), types().map(sql_name).collect());
        return Err(spark_error(
            "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
            format!(
                "Cannot resolve \"{}\" due to data type mismatch: The second... parameter requires the \"STRING\" or \"BINARY\" type, \
                 however {} has the type {}.",
                call.sql(),
                of(given),
                of(own)
            ),
        ));
    }
    let common = if types().all(|own| own == &DataType::Binary) { DataType::Binary } else { DataType::Utf8 };
    let mut args = vec![int(call, 0)?];
    args.extend(vec![common.clone(); call.len() - 1]);
    Ok(match common {
        DataType::Binary => Resolved::new(args, common, elt_kernel::<BinaryType>),
        _ => Resolved::new(args, common, elt_kernel::<Utf8Type>),
    }
    .fallible())
}

fn elt_kernel<T: Sequence>(invocation: &Invocation<'_>) -> Result<ArrayRef> {
    let indexes = ints(invocation, 0)?;
    let choices = (1..invocation.args.len()).map(|index| sequences::<T>(invocation, index)).collect::<Result<Vec<_>>>()?;
    try_build(invocation.rows, |row, out: &mut T::Out| {
        let Some(index) = indexes.get(row) else { return Ok(None) };
        let choice = usize::try_from(index).ok().and_then(|index| choices.get(index.checked_sub(1)?));
        let choice = choice.ok_or_else(|| out_of_bounds(index, choices.len()))?;
        Ok(choice.get(row).map(|value| T::push(out, value)))
    })
}

fn out_of_bounds(index: i32, len: usize) -> DataFusionError {
    spark_error(
        "INVALID_ARRAY_INDEX",
        format!(
            "The index {index} is out of bounds. The array has {len} elements. Use the SQL function `get()` to tolerate accessing element \
             at invalid index and return NULL instead."
        ),
    )
}
