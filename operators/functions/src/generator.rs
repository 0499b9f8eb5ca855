//! Functions that give several rows for one: `explode(xs)`, `stack(2, a, b)`.
//!
//! As an expression each gives an array of structs: one struct for each row, whose fields are the columns. What makes rows of them is
//! the query layer; so is what an `outer` variant adds, a row of nulls where there is none.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};

use crate::error::spark_error;
use crate::function::{Arity, Call, Function, Invocation, Resolved};
use crate::json::JSON_TUPLE;
use crate::types::{element, element_type, list, map_types, sql_name, structure};

/// All generators.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["explode", "explode_outer"], arity: Arity::exactly(1), resolve: explode },
    Function { names: &["posexplode", "posexplode_outer"], arity: Arity::exactly(1), resolve: posexplode },
    Function { names: &["inline", "inline_outer"], arity: Arity::exactly(1), resolve: inline },
    Function { names: &["stack"], arity: Arity::at_least(2), resolve: stack },
    JSON_TUPLE,
];

fn explode(call: &Call<'_>) -> Result<Resolved> {
    exploded(call, false)
}

fn posexplode(call: &Call<'_>) -> Result<Resolved> {
    exploded(call, true)
}

fn exploded(call: &Call<'_>, with_position: bool) -> Result<Resolved> {
    let source = call.data_type(0);
    let mut columns = if with_position { vec![("pos", DataType::Int32)] } else { Vec::new() };
    match (element_type(source), map_types(source)) {
        (Some(element), _) => columns.push(("col", element.clone())),
        (_, Some((key, value))) => columns.extend([("key", key.clone()), ("value", value.clone())]),
        _ => return Err(call.unexpected_type(0, "the (\"ARRAY\" or \"MAP\") type")),
    }
    let row = structure(columns);
    Ok(Resolved::new(vec![source.clone()], list(row.clone()), move |invocation| {
        let source = invocation.array(0)?;
        let (ends, nulls, mut columns) = collection(&source);
        if with_position {
            columns.insert(0, positions(&ends, columns.first().map_or(0, |column| column.len())));
        }
        rows(&row, columns, ends, nulls)
    }))
}

/// Where an array's or a map's parts end, where it is null, and its parts.
fn collection(source: &ArrayRef) -> (OffsetBuffer<i32>, Option<NullBuffer>, Vec<ArrayRef>) {
    match source.as_map_opt() {
        Some(maps) => (maps.offsets().clone(), maps.nulls().cloned(), vec![Arc::clone(maps.keys()), Arc::clone(maps.values())]),
        None => {
            let lists = source.as_list::<i32>();
            (lists.offsets().clone(), lists.nulls().cloned(), vec![Arc::clone(lists.values())])
        }
    }
}

/// The place of each part in its array or map.
fn positions(ends: &OffsetBuffer<i32>, len: usize) -> ArrayRef {
    let mut positions = vec![0; len];
    for (start, end) in ends.iter().zip(ends.iter().skip(1)) {
        for (position, slot) in positions.iter_mut().take(*end as usize).skip(*start as usize).enumerate() {
            *slot = position as i32;
        }
    }
    Arc::new(Int32Array::from(positions))
}

fn rows(row: &DataType, columns: Vec<ArrayRef>, ends: OffsetBuffer<i32>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let DataType::Struct(fields) = row else { return Err(DataFusionError::Internal(format!("{row} is no row"))) };
    let rows = StructArray::try_new(fields.clone(), columns, None)?;
    Ok(Arc::new(ListArray::try_new(element(row.clone()), ends, Arc::new(rows), nulls)?))
}

fn inline(call: &Call<'_>) -> Result<Resolved> {
    let source = call.data_type(0);
    if !matches!(element_type(source), Some(DataType::Struct(_))) {
        return Err(call.unexpected_type(0, "the \"ARRAY<STRUCT>\" type"));
    }
    Ok(Resolved::new(vec![source.clone()], source.clone(), |invocation| invocation.array(0)))
}

/// `stack(n, v1, v2, …)`: the values in `n` rows.
fn stack(call: &Call<'_>) -> Result<Resolved> {
    if call.data_type(0) != &DataType::Int32 {
        return Err(call.unexpected_type(0, "the \"INT\" type"));
    }
    if call.args[0].literal.is_none() {
        return Err(call.not_foldable(0));
    }
    let count = call.literal_int(0).unwrap_or(0);
    let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else {
        return Err(spark_error(
            "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE",
            format!(
                "Cannot resolve \"{}\" due to data type mismatch: The `n` must be between (0, 2147483647] (current value = {count}).",
                call.sql()
            ),
        ));
    };
    let width = (call.len() - 1).div_ceil(count);
    let types = (0..width).map(|column| column_type(call, column, width)).collect::<Result<Vec<_>>>()?;
    let args = std::iter::once(DataType::Int32).chain((0..call.len() - 1).map(|arg| types[arg % width].clone())).collect();
    let row = structure(types.iter().enumerate().map(|(column, own)| (format!("col{column}"), own.clone())));
    Ok(Resolved::new(args, list(row.clone()), move |invocation| {
        let columns = (0..width).map(|column| stacked(invocation, column, count, &types)).collect::<Result<Vec<_>>>()?;
        rows(&row, columns, OffsetBuffer::from_lengths(std::iter::repeat_n(count, invocation.rows)), None)
    }))
}

/// The one type of a column's values, of which some may be untyped nulls.
fn column_type(call: &Call<'_>, column: usize, width: usize) -> Result<DataType> {
    let mut common = (column + 1, &DataType::Null);
    for arg in (column + 1..call.len()).step_by(width) {
        let own = call.data_type(arg);
        if common.1 == &DataType::Null {
            common = (arg, own);
        } else if own != &DataType::Null && own != common.1 {
            return Err(spark_error(
                "DATATYPE_MISMATCH.STACK_COLUMN_DIFF_TYPES",
                format!(
                    "Cannot resolve \"{}\" due to data type mismatch: The data type of the column ({column}) do not have the same type: \
                     \"{}\" ({}) <> \"{}\" ({arg}).",
                    call.sql(),
                    sql_name(common.1),
                    common.0,
                    sql_name(own)
                ),
            ));
        }
    }
    Ok(common.1.clone())
}

/// One column: for each row of the input its `count` values.
fn stacked(invocation: &Invocation<'_>, column: usize, count: usize, types: &[DataType]) -> Result<ArrayRef> {
    let values = (0..count).map(|row| {
        let arg = 1 + row * types.len() + column;
        if arg < invocation.args.len() { invocation.array(arg) } else { Ok(new_null_array(&types[column], invocation.rows)) }
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    let order: Vec<(usize, usize)> = (0..invocation.rows).flat_map(|row| (0..count).map(move |value| (value, row))).collect();
    Ok(interleave(&values, &order)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::{Arg, Settings};
    use arrow::util::display::array_value_to_string;
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::ColumnarValue;

    /// A generator's result for literal arguments, or its error's condition.
    fn generate(name: &str, args: &[ScalarValue]) -> std::result::Result<String, String> {
        let function = crate::registry::generator(name).unwrap();
        let described: Vec<Arg> = args
            .iter()
            .map(|value| Arg { data_type: value.data_type(), literal: Some(value.clone()), sql: value.to_string() })
            .collect();
        let call = Call { name, args: &described, settings: &Settings::default() };
        let condition = |error: DataFusionError| {
            crate::error::SparkError::find(&error).map(|found| found.condition.clone()).unwrap_or_default()
        };
        let resolved = (function.resolve)(&call).map_err(condition)?;
        let cast = |(value, to): (&ScalarValue, &DataType)| ColumnarValue::Scalar(value.cast_to(to).unwrap());
        let values: Vec<ColumnarValue> = args.iter().zip(&resolved.args).map(cast).collect();
        let result = (resolved.kernel)(&Invocation { args: &values, rows: 1 }).unwrap();
        assert_eq!(result.data_type(), &resolved.returns);
        Ok(array_value_to_string(&result, 0).unwrap())
    }

    fn ints(values: &[Option<i32>]) -> ScalarValue {
        let values: Vec<ScalarValue> = values.iter().map(|value| ScalarValue::Int32(*value)).collect();
        ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Int32))
    }

    #[test]
    fn arrays_are_rows() {
        assert_eq!(generate("explode", &[ints(&[Some(7), None])]).unwrap(), "[{col: 7}, {col: }]");
        assert_eq!(generate("posexplode", &[ints(&[Some(7), Some(8)])]).unwrap(), "[{pos: 0, col: 7}, {pos: 1, col: 8}]");
        assert_eq!(generate("explode_outer", &[ints(&[])]).unwrap(), "[]");
        let wrong = generate("explode", &[ScalarValue::Int32(Some(1))]);
        assert_eq!(wrong.unwrap_err(), "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE");
        let wrong = generate("inline", &[ints(&[])]);
        assert_eq!(wrong.unwrap_err(), "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE");
    }

    #[test]
    fn stacks() {
        let (int, text) = (|n| ScalarValue::Int32(Some(n)), |t: &str| ScalarValue::Utf8(Some(t.to_owned())));
        let full = generate("stack", &[int(2), int(1), text("a"), int(2), text("b")]);
        assert_eq!(full.unwrap(), "[{col0: 1, col1: a}, {col0: 2, col1: b}]");
        assert_eq!(generate("stack", &[int(2), int(1), text("a"), int(2)]).unwrap(), "[{col0: 1, col1: a}, {col0: 2, col1: }]");
        assert_eq!(generate("stack", &[int(2), ScalarValue::Null, int(2)]).unwrap(), "[{col0: }, {col0: 2}]");
        for (args, condition) in [
            (vec![int(2), int(1), text("a")], "DATATYPE_MISMATCH.STACK_COLUMN_DIFF_TYPES"),
            (vec![int(0), int(1)], "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE"),
            (vec![text("2"), int(1)], "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ] {
            assert_eq!(generate("stack", &args).unwrap_err(), condition);
        }
    }
}
