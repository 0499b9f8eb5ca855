//! Which types the functions of collections take, and their errors for others.

use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};

use super::order::is_orderable;
use crate::coercion::{can_cast_implicitly, common_type, decimal_for_integral};
use crate::error::spark_error;
use crate::function::Call;
use crate::types::{element_type, is_decimal, is_float, is_integral, is_numeric, list, map, map_types, sql_name, structure};

/// `Cannot resolve … due to data type mismatch: …`
pub(crate) fn mismatch(call: &Call<'_>, condition: &str, message: impl AsRef<str>) -> DataFusionError {
    spark_error(
        format!("DATATYPE_MISMATCH.{condition}"),
        format!("Cannot resolve \"{}\" due to data type mismatch: {}", call.sql(), message.as_ref()),
    )
}

/// The element type of argument `index`, an array.
pub(crate) fn array_argument(call: &Call<'_>, index: usize) -> Result<DataType> {
    element_type(call.data_type(index)).cloned().ok_or_else(|| call.unexpected_type(index, "the \"ARRAY\" type"))
}

/// The same, where an untyped NULL stands for an array of `void`.
pub(crate) fn array_or_null(call: &Call<'_>, index: usize) -> Result<DataType> {
    if call.data_type(index) == &DataType::Null { Ok(DataType::Null) } else { array_argument(call, index) }
}

/// The key and value types of argument `index`, a map.
pub(crate) fn map_argument(call: &Call<'_>, index: usize) -> Result<(DataType, DataType)> {
    let (key, value) = map_types(call.data_type(index)).ok_or_else(|| call.unexpected_type(index, "the \"MAP\" type"))?;
    Ok((key.clone(), value.clone()))
}

/// The same, where an untyped NULL stands for a map of `void`.
pub(crate) fn map_or_null(call: &Call<'_>, index: usize) -> Result<(DataType, DataType)> {
    match call.data_type(index) {
        DataType::Null => Ok((DataType::Null, DataType::Null)),
        _ => map_argument(call, index),
    }
}

/// Refuses types that have no order.
pub(crate) fn orderable(call: &Call<'_>, data_type: &DataType) -> Result<()> {
    if is_orderable(data_type) {
        return Ok(());
    }
    let (name, data_type) = (call.name, sql_name(data_type));
    Err(mismatch(call, "INVALID_ORDERING_TYPE", format!("The `{name}` does not support ordering on type \"{data_type}\".")))
}

/// An argument that must be an `int` or a smaller integer.
pub(crate) fn small_int(call: &Call<'_>, index: usize) -> Result<DataType> {
    match call.data_type(index) {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => Ok(DataType::Int32),
        _ => Err(call.unexpected_type(index, "the \"INT\" type")),
    }
}

/// An argument that is cast to `int`, whatever number or text it is.
pub(crate) fn any_int(call: &Call<'_>, index: usize) -> Result<DataType> {
    let own = call.data_type(index);
    if is_numeric(own) { Ok(DataType::Int32) } else { call.coerce(index, &DataType::Int32) }
}

/// An argument that must be text: no number is cast to it here.
pub(crate) fn text(call: &Call<'_>, index: usize) -> Result<DataType> {
    match call.data_type(index) {
        DataType::Utf8 | DataType::Null => Ok(DataType::Utf8),
        _ => Err(call.unexpected_type(index, "the \"STRING\" type")),
    }
}

/// The type that holds both without a cast that could lose anything: narrower than [`common_type`].
pub(crate) fn tightest(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left, right) {
        _ if left == right => Some(left.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::Utf8, _) | (_, DataType::Utf8) => None,
        _ if is_numeric(left) && is_numeric(right) => tightest_number(left, right),
        (DataType::List(l), DataType::List(r)) => tightest(l.data_type(), r.data_type()).map(list),
        (DataType::Map(_, _), DataType::Map(_, _)) => {
            let ((lk, lv), (rk, rv)) = (map_types(left)?, map_types(right)?);
            Some(map(tightest(lk, rk)?, tightest(lv, rv)?))
        }
        (DataType::Struct(l), DataType::Struct(r)) if l.len() == r.len() => {
            let fields = l.iter().zip(r).map(|(l, r)| {
                let same = l.name().eq_ignore_ascii_case(r.name());
                same.then(|| Some((l.name().clone(), tightest(l.data_type(), r.data_type())?)))?
            });
            fields.collect::<Option<Vec<_>>>().map(structure)
        }
        _ => common_type(left, right),
    }
}

fn tightest_number(left: &DataType, right: &DataType) -> Option<DataType> {
    if is_decimal(left) || is_decimal(right) {
        let ((p1, s1), (p2, s2)) = (decimal_for_integral(left)?, decimal_for_integral(right)?);
        let holds = |(p, s): (u8, i8), (q, t): (u8, i8)| s >= t && i16::from(p) - i16::from(s) >= i16::from(q) - i16::from(t);
        return match (left, right) {
            (DataType::Decimal128(_, _), DataType::Decimal128(_, _)) => None,
            (DataType::Decimal128(_, _), _) => holds((p1, s1), (p2, s2)).then(|| left.clone()),
            _ => holds((p2, s2), (p1, s1)).then(|| right.clone()),
        };
    }
    if is_float(left) || is_float(right) {
        let double = left == &DataType::Float64 || right == &DataType::Float64;
        return Some(if double { DataType::Float64 } else { DataType::Float32 });
    }
    common_type(left, right)
}

/// The common type of two types, where text isn't turned into something else, nor something else into text.
pub(crate) fn wider_without_text(left: &DataType, right: &DataType) -> Option<DataType> {
    tightest(left, right).or_else(|| if mixes_text(left, right) { None } else { common_type(left, right) })
}

fn mixes_text(left: &DataType, right: &DataType) -> bool {
    match (left, right) {
        (DataType::Null, _) | (_, DataType::Null) => false,
        (DataType::List(l), DataType::List(r)) => mixes_text(l.data_type(), r.data_type()),
        (DataType::Struct(l), DataType::Struct(r)) => l.iter().zip(r).any(|(l, r)| mixes_text(l.data_type(), r.data_type())),
        (DataType::Map(_, _), DataType::Map(_, _)) => match (map_types(left), map_types(right)) {
            (Some((lk, lv)), Some((rk, rv))) => mixes_text(lk, rk) || mixes_text(lv, rv),
            _ => false,
        },
        _ => (left == &DataType::Utf8) != (right == &DataType::Utf8),
    }
}

/// The common type of many, in which no map's keys are cast from or to text: such a cast could make them null.
pub(crate) fn common_type_of(types: &[DataType]) -> Option<DataType> {
    let keys_mix = |l: &DataType, r: &DataType| match (map_types(l), map_types(r)) {
        (Some((l, _)), Some((r, _))) => mixes_text(l, r),
        _ => false,
    };
    let mixed = types.iter().enumerate().any(|(at, left)| types[..at].iter().any(|right| keys_mix(left, right)));
    if mixed { None } else { crate::coercion::common_type_of(types) }
}

/// The error for arguments that should have one type.
pub(crate) fn different_types(call: &Call<'_>) -> DataFusionError {
    let types: Vec<String> = call.args.iter().map(|arg| format!("\"{}\"", sql_name(&arg.data_type))).collect();
    let name = call.name;
    let message = format!("Input to `{name}` should all be the same type, but it's ({}).", types.join(" or "));
    mismatch(call, "DATA_DIFF_TYPES", message)
}

/// The error for an array and a value that is no element of it.
pub(crate) fn different_element(call: &Call<'_>, value: usize) -> DataFusionError {
    let (name, own, other) = (call.name, sql_name(call.data_type(0)), sql_name(call.data_type(value)));
    let wanted = "\"ARRAY\" followed by a value with same element type";
    let message = format!("Input to `{name}` should have been {wanted}, but it's [\"{own}\", \"{other}\"].");
    mismatch(call, "ARRAY_FUNCTION_DIFF_TYPES", message)
}

/// The error for a map and a value that is no key of it.
pub(crate) fn different_key(call: &Call<'_>) -> DataFusionError {
    let (name, own, other) = (call.name, sql_name(call.data_type(0)), sql_name(call.data_type(1)));
    let wanted = "\"MAP\" followed by a value with same key type";
    let message = format!("Input to `{name}` should have been {wanted}, but it's [\"{own}\", \"{other}\"].");
    mismatch(call, "MAP_FUNCTION_DIFF_TYPES", message)
}

/// The error for an untyped NULL.
pub(crate) fn null_type(call: &Call<'_>) -> DataFusionError {
    mismatch(call, "NULL_TYPE", format!("Null typed values cannot be used as arguments of `{}`.", call.name))
}

/// The element type that two arrays are cast to.
pub(crate) fn both_arrays(call: &Call<'_>) -> Result<DataType> {
    let (left, right) = (call.data_type(0), call.data_type(1));
    let common = element_type(left).zip(element_type(right)).and_then(|(left, right)| tightest(left, right));
    common.ok_or_else(|| {
        let (name, left, right) = (call.name, sql_name(left), sql_name(right));
        let wanted = "two \"ARRAY\" with same element type";
        let message = format!("Input to function `{name}` should have been {wanted}, but it's [\"{left}\", \"{right}\"].");
        mismatch(call, "BINARY_ARRAY_DIFF_TYPES", message)
    })
}

/// The map key type that argument 1 is looked up as, and the map's value type.
pub(crate) fn map_and_key(call: &Call<'_>) -> Result<(DataType, DataType)> {
    let found = map_types(call.data_type(0)).and_then(|(key, value)| Some((tightest(key, call.data_type(1))?, value.clone())));
    let (key, value) = found.filter(|(key, _)| is_orderable(key)).ok_or_else(|| different_key(call))?;
    Ok((key, value))
}

/// Whether Spark stores a value of the one type as the other without being asked: any number as any number.
pub(crate) fn is_storable(from: &DataType, to: &DataType) -> bool {
    (is_numeric(from) && is_numeric(to)) || can_cast_implicitly(from, to)
}

/// Whether an index has this type.
pub(crate) fn is_index(data_type: &DataType) -> bool {
    is_integral(data_type) || data_type == &DataType::Null
}
