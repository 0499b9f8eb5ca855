//! Casts between any two types, and how values are written as text.
//!
//! - this file: which casts there are, which of them can fail, and the way through nested types;
//! - `number`: between numbers, booleans, instants and intervals as numbers;
//! - [`parse`]: text to numbers, booleans and intervals;
//! - [`time`]: text to dates and instants, time zones;
//! - [`text`]: everything to text; `java_float`: digits of floating-point numbers.

mod java_float;
pub(crate) use java_float::{write_f32, write_f64};
pub(crate) mod number;
pub mod parse;
pub mod text;
pub mod time;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, BooleanBuilder, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray, UInt32Array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Date32Type, Field, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result};

use crate::error::spark_error;
use crate::function::{Invocation, Resolved, Settings};
use crate::types::{is_decimal, is_float, is_integral, is_numeric, is_timestamp, map_types, sql_name};
pub use text::{Writer, format_value};

/// What a cast does with a value that the target type can't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CastMode {
    /// It fails, with Spark's error condition: `CAST`.
    Ansi,
    /// It gives null: `TRY_CAST`.
    Try,
}

/// The cast of one type to another, as a function of one argument.
///
/// # Errors
/// `DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION` when Spark has no cast between the two.
pub fn cast(from: &DataType, to: &DataType, mode: CastMode, settings: &Settings) -> Result<Resolved> {
    if !can_cast(from, to, mode) {
        return Err(no_such_cast(from, to));
    }
    let (target, settings) = (to.clone(), *settings);
    let kernel = move |invocation: &Invocation<'_>| cast_array(&invocation.array(0)?, &target, mode, &settings);
    let resolved = Resolved::new(vec![from.clone()], to.clone(), kernel);
    Ok(if mode == CastMode::Ansi && can_fail(from, to) { resolved.fallible() } else { resolved })
}

/// Whether Spark has a cast between the two types.
pub fn can_cast(from: &DataType, to: &DataType, mode: CastMode) -> bool {
    use DataType::{Binary, Boolean, Date32, Duration, Interval, List, Map, Null, Struct, Timestamp, Utf8};
    match (from, to) {
        _ if from == to => true,
        (Null, _) => true,
        (_, Null) => false,
        (List(from), List(to)) => can_cast(from.data_type(), to.data_type(), mode),
        (Struct(from), Struct(to)) => {
            from.len() == to.len() && from.iter().zip(to).all(|(from, to)| can_cast(from.data_type(), to.data_type(), mode))
        }
        (Map(_, _), Map(_, _)) => match (map_types(from), map_types(to)) {
            // A key can't be null, which is what a failed cast would make of it.
            (Some((from_key, from_value)), Some((to_key, to_value))) => {
                can_cast(from_key, to_key, mode)
                    && can_cast(from_value, to_value, mode)
                    && !(mode == CastMode::Try && can_fail(from_key, to_key))
            }
            _ => false,
        },
        (_, Utf8) => true,
        (Utf8, Boolean | Binary | Date32 | Timestamp(_, _) | Duration(_) | Interval(_)) => true,
        (Utf8, to) => is_numeric(to),
        (from, Boolean) => is_numeric(from),
        (Boolean, to) => is_numeric(to),
        (from, to) if is_numeric(from) && is_numeric(to) => true,
        (from, Timestamp(_, Some(_))) if is_numeric(from) => true,
        (Timestamp(_, Some(_)), to) if is_numeric(to) => true,
        (Date32 | Timestamp(_, _), Date32 | Timestamp(_, _)) => true,
        (from, Duration(_) | Interval(_)) => is_integral(from) || is_decimal(from),
        (Duration(_) | Interval(_), to) => is_integral(to) || is_decimal(to),
        _ => false,
    }
}

/// Whether some value of `from` can't become a value of `to`.
pub fn can_fail(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        _ if from == to => false,
        (DataType::Null, _) | (_, DataType::Utf8) | (_, DataType::Boolean | DataType::Binary) if from != &DataType::Utf8 => false,
        (DataType::List(from), DataType::List(to)) => can_fail(from.data_type(), to.data_type()),
        (DataType::Struct(from), DataType::Struct(to)) => {
            from.iter().zip(to).any(|(from, to)| can_fail(from.data_type(), to.data_type()))
        }
        (DataType::Map(_, _), DataType::Map(_, _)) => match (map_types(from), map_types(to)) {
            (Some((fk, fv)), Some((tk, tv))) => can_fail(fk, tk) || can_fail(fv, tv),
            _ => true,
        },
        (DataType::Utf8, to) => !matches!(to, DataType::Binary),
        (from, to) if is_timestamp(from) || from == &DataType::Date32 => {
            !(is_timestamp(to) || to == &DataType::Date32 || is_float(to) || to == &DataType::Int64)
        }
        (_, to) if is_float(to) => false,
        (from, to) if is_timestamp(to) => is_float(from),
        (DataType::Boolean, DataType::Decimal128(p, s)) => i16::from(*p) - i16::from(*s) < 1,
        (DataType::Boolean, _) => false,
        (from, to) if is_numeric(from) && is_numeric(to) => number::narrows(from, to),
        _ => true,
    }
}

/// Casts an array.
///
/// # Errors
/// In [`CastMode::Ansi`], when a value can't be cast.
pub fn cast_array(values: &ArrayRef, to: &DataType, mode: CastMode, settings: &Settings) -> Result<ArrayRef> {
    use DataType::{Binary, Boolean, Date32, Duration, Interval, List, Map, Null, Struct, Timestamp, Utf8};
    let from = values.data_type();
    match (from, to) {
        _ if from == to => Ok(Arc::clone(values)),
        (Null, _) => Ok(new_null_array(to, values.len())),
        (List(_), List(field)) => cast_list(values.as_list(), field, mode, settings),
        (Map(_, _), Map(field, _)) => cast_map(values.as_map(), field, mode, settings),
        (Struct(_), Struct(fields)) => {
            let values = values.as_struct();
            let columns = values.columns().iter().zip(fields).map(|(column, field)| {
                let column = hide(column, values.nulls(), field.data_type())?;
                cast_array(&column, field.data_type(), mode, settings)
            });
            let columns = columns.collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, values.nulls().cloned(), values.len())?))
        }
        (Utf8, Binary) => Ok(Arc::new(BinaryArray::from(values.as_string::<i32>().clone()))),
        (_, Utf8) => text::to_strings(values, settings),
        (Utf8, Boolean) => {
            let strings = values.as_string::<i32>();
            let mut out = BooleanBuilder::with_capacity(strings.len());
            for text in strings {
                out.append_option(match text.map(|text| (text, parse::boolean(text))) {
                    Some((text, None)) if mode == CastMode::Ansi => return Err(malformed(text, to)),
                    Some((_, value)) => value,
                    None => None,
                });
            }
            Ok(Arc::new(out.finish()))
        }
        (Utf8, Date32) => from_text::<Date32Type>(values, to, mode, time::parse_date),
        (Utf8, Timestamp(_, Some(_))) => {
            let zone = settings.time_zone;
            let parsed = from_text::<TimestampMicrosecondType>(values, to, mode, |text| time::parse_timestamp(text, zone))?;
            Ok(with_type::<TimestampMicrosecondType>(&parsed, to))
        }
        (Utf8, Timestamp(_, None)) => from_text::<TimestampMicrosecondType>(values, to, mode, time::parse_timestamp_ntz),
        (Utf8, Duration(_) | Interval(_)) => parse::intervals(values.as_string(), to, mode),
        (Utf8, _) => parse::numbers(values.as_string(), to, mode),
        (Date32 | Timestamp(_, _), Date32 | Timestamp(_, _)) => Ok(time::between(values, to, settings.time_zone)),
        _ if can_cast(from, to, mode) => number::cast_numbers(values, to, mode, settings),
        _ => Err(no_such_cast(from, to)),
    }
}

/// The same values under another type of the same layout: a decimal's precision, a timestamp's zone.
fn with_type<T: ArrowPrimitiveType>(values: &ArrayRef, to: &DataType) -> ArrayRef {
    Arc::new(values.as_primitive::<T>().clone().with_data_type(to.clone()))
}

/// Casts each text with `one`; `None` of it is a text that doesn't fit.
fn from_text<T: ArrowPrimitiveType>(
    values: &ArrayRef,
    to: &DataType,
    mode: CastMode,
    one: impl Fn(&str) -> Option<T::Native>,
) -> Result<ArrayRef> {
    text_to_primitive::<T>(values.as_string(), mode, one, |text| malformed(text, to))
}

fn text_to_primitive<T: ArrowPrimitiveType>(
    values: &StringArray,
    mode: CastMode,
    one: impl Fn(&str) -> Option<T::Native>,
    error: impl Fn(&str) -> DataFusionError,
) -> Result<ArrayRef> {
    let mut out = PrimitiveArray::<T>::builder(values.len());
    for text in values {
        out.append_option(match text.map(|text| (text, one(text))) {
            Some((text, None)) if mode == CastMode::Ansi => return Err(error(text)),
            Some((_, value)) => value,
            None => None,
        });
    }
    Ok(Arc::new(out.finish()))
}

/// `column` with its values under a null parent made null, so that they are not cast, where a cast could fail.
fn hide(column: &ArrayRef, parent: Option<&NullBuffer>, to: &DataType) -> Result<ArrayRef> {
    match parent {
        Some(nulls) if nulls.null_count() > 0 && can_fail(column.data_type(), to) => {
            let hidden = BooleanArray::new(!nulls.inner(), None);
            Ok(arrow::compute::nullif(column, &hidden)?)
        }
        _ => Ok(Arc::clone(column)),
    }
}

fn cast_list(values: &ListArray, field: &Arc<Field>, mode: CastMode, settings: &Settings) -> Result<ArrayRef> {
    let values = compact(values, field.data_type())?;
    let (first, length) = (values.value_offsets()[0], values.value_offsets()[values.len()] - values.value_offsets()[0]);
    let elements = values.values().slice(first as usize, length as usize);
    let elements = cast_array(&elements, field.data_type(), mode, settings)?;
    let offsets = OffsetBuffer::from_lengths(values.offsets().lengths());
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, elements, values.nulls().cloned())?))
}

/// The same lists without elements under null lists, which must not be cast, where a cast could fail.
fn compact(values: &ListArray, to: &DataType) -> Result<ListArray> {
    let hidden = || (0..values.len()).any(|row| values.is_null(row) && values.value_length(row) > 0);
    if values.null_count() > 0 && can_fail(&values.value_type(), to) && hidden() {
        let rows: UInt32Array = (0..values.len() as u32).map(|row| values.is_valid(row as usize).then_some(row)).collect();
        return Ok(arrow::compute::take(values, &rows, None)?.as_list().clone());
    }
    Ok(values.clone())
}

fn cast_map(values: &MapArray, field: &Arc<Field>, mode: CastMode, settings: &Settings) -> Result<ArrayRef> {
    let DataType::Struct(fields) = field.data_type() else {
        return Err(DataFusionError::Internal(format!("entries of a map: {field}")));
    };
    let (first, length) = (values.value_offsets()[0], values.value_offsets()[values.len()] - values.value_offsets()[0]);
    let columns = [values.keys(), values.values()]
        .into_iter()
        .zip(fields)
        .map(|(column, field)| cast_array(&column.slice(first as usize, length as usize), field.data_type(), mode, settings));
    let entries = StructArray::try_new(fields.clone(), columns.collect::<Result<Vec<_>>>()?, None)?;
    let offsets = OffsetBuffer::from_lengths(values.offsets().lengths());
    Ok(Arc::new(MapArray::try_new(Arc::clone(field), offsets, entries, values.nulls().cloned(), false)?))
}

/// The error for types between which there is no cast.
fn no_such_cast(from: &DataType, to: &DataType) -> DataFusionError {
    let advice = match (from, to) {
        (DataType::Boolean, to) if is_timestamp(to) => ".CAST_WITH_CONF_SUGGESTION",
        (from, DataType::Binary) if is_integral(from) => ".CAST_WITH_CONF_SUGGESTION",
        (DataType::Date32 | DataType::Timestamp(_, Some(_)), DataType::Boolean) => ".CAST_WITH_CONF_SUGGESTION",
        (DataType::Date32, to) if is_numeric(to) => ".CAST_WITH_FUNC_SUGGESTION",
        (from, DataType::Date32) if is_numeric(from) => ".CAST_WITH_FUNC_SUGGESTION",
        _ => ".CAST_WITHOUT_SUGGESTION",
    };
    spark_error(
        format!("DATATYPE_MISMATCH{advice}"),
        format!("Cannot resolve the cast due to data type mismatch: cannot cast \"{}\" to \"{}\".", sql_name(from), sql_name(to)),
    )
}

/// The error for a text that is no value of the type.
pub(crate) fn malformed(text: &str, to: &DataType) -> DataFusionError {
    invalid_input(&format!("'{text}'"), &DataType::Utf8, to)
}

/// The error for a value, written as a literal, that is no value of the type.
fn invalid_input(literal: &str, from: &DataType, to: &DataType) -> DataFusionError {
    spark_error(
        "CAST_INVALID_INPUT",
        format!(
            "The value {literal} of the type \"{}\" cannot be cast to \"{}\" because it is malformed. Correct the value as per the \
             syntax, or change its target type. Use `try_cast` to tolerate malformed input and return NULL instead.",
            sql_name(from),
            sql_name(to)
        ),
    )
}

/// The error for a value, written as a literal, that is too large for the type.
fn overflow(literal: &str, from: &DataType, to: &DataType) -> DataFusionError {
    spark_error(
        "CAST_OVERFLOW",
        format!(
            "The value {literal} of the type \"{}\" cannot be cast to \"{}\" due to an overflow. Use `try_cast` to tolerate overflow \
             and return NULL instead.",
            sql_name(from),
            sql_name(to)
        ),
    )
}

/// The error for a number with more digits than the decimal type has.
pub(crate) fn decimal_out_of_range(value: &str, precision: u8, scale: i8) -> DataFusionError {
    spark_error(
        "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
        format!("{value} cannot be represented as Decimal({precision}, {scale})."),
    )
}

#[cfg(test)]
mod tests;
