//! Parts of strings and binaries, and what repeats or fills them.

use arrow::array::ArrayRef;
use arrow::datatypes::{BinaryType, DataType, Utf8Type};
use datafusion::error::{DataFusionError, Result};

use super::columns::{Out, Sequence, build, int, ints, sequences, text, text_or_binary, texts, try_build};
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};

/// A function of a string or a binary, with a kernel for each.
macro_rules! of_either {
    ($args:expr, $kernel:ident) => {{
        let args: Vec<DataType> = $args;
        match args.first() {
            Some(DataType::Binary) => Resolved::new(args, DataType::Binary, $kernel::<BinaryType>),
            _ => Resolved::new(args, DataType::Utf8, $kernel::<Utf8Type>),
        }
    }};
}

pub(super) fn substring(call: &Call<'_>) -> Result<Resolved> {
    let mut args = vec![text_or_binary(call, 0)?];
    for index in 1..call.len() {
        args.push(int(call, index)?);
    }
    Ok(of_either!(args, substring_kernel))
}

pub(super) fn left(call: &Call<'_>) -> Result<Resolved> {
    Ok(of_either!(vec![text_or_binary(call, 0)?, int(call, 1)?], left_kernel))
}

pub(super) fn right(call: &Call<'_>) -> Result<Resolved> {
    // Unlike `left`, it is one of strings only.
    let kernel = |invocation: &Invocation<'_>| {
        let (values, lengths) = (texts(invocation, 0)?, ints(invocation, 1)?);
        build(invocation.rows, |row, out: &mut String| {
            let (value, length) = (values.get(row)?, lengths.get(row)?);
            if length > 0 {
                out.push_str(slice::<Utf8Type>(value, -i64::from(length), i64::MAX));
            }
            Some(())
        })
    };
    Ok(Resolved::new(vec![text(call, 0)?, int(call, 1)?], DataType::Utf8, kernel))
}

pub(super) fn overlay(call: &Call<'_>) -> Result<Resolved> {
    let mut args = vec![text_or_binary(call, 0)?, text_or_binary(call, 1)?];
    let is_void = |index: usize| call.data_type(index) == &DataType::Null;
    if is_void(0) || is_void(1) {
        let typed = usize::from(is_void(0));
        args = vec![args[typed].clone(); 2];
    }
    if args[0] != args[1] {
        let names = args.iter().map(|own| format!("\"{}\"", crate::types::sql_name(own))).collect::<Vec<_>>().join(" or ");
        return Err(differing(call, &names));
    }
    for index in 2..call.len() {
        args.push(int(call, index)?);
    }
    Ok(of_either!(args, overlay_kernel))
}

/// The error for arguments that should be of one type.
pub(super) fn differing(call: &Call<'_>, names: &str) -> DataFusionError {
    spark_error(
        "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
        format!(
            "Cannot resolve \"{}\" due to data type mismatch: Input to `{}` should all be the same type, but it's ({names}).",
            call.sql(),
            call.name
        ),
    )
}

pub(super) fn lpad(call: &Call<'_>) -> Result<Resolved> {
    Ok(of_either!(pad_args(call)?, lpad_kernel).fallible())
}

pub(super) fn rpad(call: &Call<'_>) -> Result<Resolved> {
    Ok(of_either!(pad_args(call)?, rpad_kernel).fallible())
}

fn pad_args(call: &Call<'_>) -> Result<Vec<DataType>> {
    let is_binary = |index: usize| call.len() <= index || call.data_type(index) == &DataType::Binary;
    let own = if is_binary(0) && is_binary(2) { DataType::Binary } else { text(call, 0)? };
    let mut args = vec![own.clone(), int(call, 1)?];
    if call.len() == 3 {
        args.push(call.coerce(2, &own)?);
    }
    Ok(args)
}

pub(super) fn repeat(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let (values, times) = (texts(invocation, 0)?, ints(invocation, 1)?);
        try_build(invocation.rows, |row, out: &mut String| {
            let (Some(value), Some(times)) = (values.get(row), times.get(row)) else { return Ok(None) };
            fill::<Utf8Type>(out, value, Utf8Type::count(value).saturating_mul(usize::try_from(times).unwrap_or(0)))?;
            Ok(Some(()))
        })
    };
    Ok(Resolved::new(vec![text(call, 0)?, int(call, 1)?], DataType::Utf8, kernel).fallible())
}

pub(super) fn space(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let times = ints(invocation, 0)?;
        try_build(invocation.rows, |row, out: &mut String| {
            let Some(times) = times.get(row) else { return Ok(None) };
            fill::<Utf8Type>(out, " ", usize::try_from(times).unwrap_or(0))?;
            Ok(Some(()))
        })
    };
    Ok(Resolved::new(vec![int(call, 0)?], DataType::Utf8, kernel).fallible())
}

pub(super) fn reverse(call: &Call<'_>) -> Result<Resolved> {
    if matches!(call.data_type(0), DataType::List(_)) {
        return crate::array::reverse(call);
    }
    let own = text_or_binary(call, 0).map_err(|_| call.unexpected_type(0, "the (\"STRING\" or \"BINARY\" or \"ARRAY\") type"))?;
    if own == DataType::Binary {
        let kernel = |invocation: &Invocation<'_>| {
            let values = sequences::<BinaryType>(invocation, 0)?;
            build(invocation.rows, |row, out: &mut Vec<u8>| {
                out.extend(values.get(row)?.iter().rev());
                Some(())
            })
        };
        return Ok(Resolved::new(vec![own], DataType::Binary, kernel));
    }
    let kernel = |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            out.extend(values.get(row)?.chars().rev());
            Some(())
        })
    };
    Ok(Resolved::new(vec![own], DataType::Utf8, kernel))
}

pub(super) fn split_part(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let (values, delimiters, parts) = (texts(invocation, 0)?, texts(invocation, 1)?, ints(invocation, 2)?);
        try_build(invocation.rows, |row, out: &mut String| {
            let (Some(value), Some(delimiter), Some(part)) = (values.get(row), delimiters.get(row), parts.get(row)) else {
                return Ok(None);
            };
            out.push_str(nth_part(value, delimiter, part)?);
            Ok(Some(()))
        })
    };
    Ok(Resolved::new(vec![text(call, 0)?, text(call, 1)?, int(call, 2)?], DataType::Utf8, kernel).fallible())
}

pub(super) fn substring_index(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let (values, delimiters, counts) = (texts(invocation, 0)?, texts(invocation, 1)?, ints(invocation, 2)?);
        build(invocation.rows, |row, out: &mut String| {
            out.push_str(until_delimiter(values.get(row)?, delimiters.get(row)?, counts.get(row)?));
            Some(())
        })
    };
    Ok(Resolved::new(vec![text(call, 0)?, text(call, 1)?, int(call, 2)?], DataType::Utf8, kernel))
}

/// SQL's substring: positions count from 1, or from the end if negative, and 0 is the same as 1. What lies before the start counts
/// for the length.
pub(super) fn slice<T: Sequence>(value: &T::Native, position: i64, length: i64) -> &T::Native {
    let start = match position {
        0 => 0,
        1.. => position - 1,
        _ => T::count(value) as i64 + position,
    };
    let end = start.saturating_add(length);
    if end <= start || end <= 0 {
        return T::part(value, 0, 0);
    }
    let from = T::offset(value, start.max(0) as usize);
    let rest = T::part(value, from, AsRef::<[u8]>::as_ref(value).len());
    T::part(rest, 0, T::offset(rest, usize::try_from(end - start.max(0)).unwrap_or(usize::MAX)))
}

fn substring_kernel<T: Sequence>(invocation: &Invocation<'_>) -> Result<ArrayRef> {
    let (values, positions) = (sequences::<T>(invocation, 0)?, ints(invocation, 1)?);
    let lengths = (invocation.args.len() > 2).then(|| ints(invocation, 2)).transpose()?;
    build(invocation.rows, |row, out: &mut T::Out| {
        let length = match &lengths {
            Some(lengths) => i64::from(lengths.get(row)?),
            None => i64::MAX,
        };
        T::push(out, slice::<T>(values.get(row)?, i64::from(positions.get(row)?), length));
        Some(())
    })
}

fn left_kernel<T: Sequence>(invocation: &Invocation<'_>) -> Result<ArrayRef> {
    let (values, lengths) = (sequences::<T>(invocation, 0)?, ints(invocation, 1)?);
    build(invocation.rows, |row, out: &mut T::Out| {
        T::push(out, slice::<T>(values.get(row)?, 1, i64::from(lengths.get(row)?)));
        Some(())
    })
}

fn overlay_kernel<T: Sequence>(invocation: &Invocation<'_>) -> Result<ArrayRef> {
    let (values, replacements) = (sequences::<T>(invocation, 0)?, sequences::<T>(invocation, 1)?);
    let positions = ints(invocation, 2)?;
    let lengths = (invocation.args.len() > 3).then(|| ints(invocation, 3)).transpose()?;
    build(invocation.rows, |row, out: &mut T::Out| {
        let (value, replacement, position) = (values.get(row)?, replacements.get(row)?, i64::from(positions.get(row)?));
        let length = match &lengths {
            Some(lengths) => i64::from(lengths.get(row)?),
            None => -1,
        };
        let length = if length < 0 { T::count(replacement) as i64 } else { length };
        T::push(out, slice::<T>(value, 1, position - 1));
        T::push(out, replacement);
        T::push(out, slice::<T>(value, position + length, i64::MAX));
        Some(())
    })
}

fn lpad_kernel<T: Sequence>(invocation: &Invocation<'_>) -> Result<ArrayRef> {
    pad::<T>(invocation, true)
}

fn rpad_kernel<T: Sequence>(invocation: &Invocation<'_>) -> Result<ArrayRef> {
    pad::<T>(invocation, false)
}

fn pad<T: Sequence>(invocation: &Invocation<'_>, on_the_left: bool) -> Result<ArrayRef> {
    let (values, lengths) = (sequences::<T>(invocation, 0)?, ints(invocation, 1)?);
    let pads = (invocation.args.len() > 2).then(|| sequences::<T>(invocation, 2)).transpose()?;
    let default = T::default_pad();
    try_build(invocation.rows, |row, out: &mut T::Out| {
        let pad = match &pads {
            Some(pads) => pads.get(row),
            None => Some(default),
        };
        let (Some(value), Some(length), Some(pad)) = (values.get(row), lengths.get(row), pad) else { return Ok(None) };
        let length = usize::try_from(length).unwrap_or(0);
        let missing = length.saturating_sub(T::count(value));
        if missing == 0 {
            T::push(out, T::part(value, 0, T::offset(value, length)));
            return Ok(Some(()));
        }
        if on_the_left {
            fill::<T>(out, pad, missing)?;
        }
        T::push(out, value);
        if !on_the_left {
            fill::<T>(out, pad, missing)?;
        }
        Ok(Some(()))
    })
}

/// Writes `pad` again and again until `units` characters or bytes are written; nothing if there is nothing to write.
fn fill<T: Sequence>(out: &mut T::Out, pad: &T::Native, units: usize) -> Result<()> {
    let (size, count) = (AsRef::<[u8]>::as_ref(pad).len(), T::count(pad));
    if count == 0 {
        return Ok(());
    }
    // Before anything is written: a length that can't be held should not take memory first.
    super::columns::to_offset(out.size().saturating_add((units / count).saturating_mul(size)))?;
    for _ in 0..units / count {
        T::push(out, pad);
    }
    T::push(out, T::part(pad, 0, T::offset(pad, units % count)));
    Ok(())
}

fn nth_part<'a>(value: &'a str, delimiter: &str, part: i32) -> Result<&'a str> {
    let index = part.unsigned_abs() as usize;
    let found = match part {
        0 => {
            let message = "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).";
            return Err(spark_error("INVALID_INDEX_OF_ZERO", message));
        }
        1 | -1 if delimiter.is_empty() => Some(value),
        _ if delimiter.is_empty() => None,
        1.. => value.split(delimiter).nth(index - 1),
        _ => {
            // Delimiters are found from the left, also where they overlap.
            let parts: Vec<&str> = value.split(delimiter).collect();
            parts.len().checked_sub(index).and_then(|at| parts.get(at).copied())
        }
    };
    Ok(found.unwrap_or_default())
}

/// The text before the `count`th delimiter, or after it from the right. Delimiters may overlap.
fn until_delimiter<'a>(value: &'a str, delimiter: &str, count: i32) -> &'a str {
    if delimiter.is_empty() || count == 0 {
        return "";
    }
    let (bytes, delimiter) = (value.as_bytes(), delimiter.as_bytes());
    let wanted = count.unsigned_abs() as usize - 1;
    if let ([single], true) = (delimiter, count > 0) {
        let end = memchr::memchr_iter(*single, bytes).nth(wanted);
        return end.and_then(|end| value.get(..end)).unwrap_or(value);
    }
    let mut starts = (0..=bytes.len().saturating_sub(delimiter.len())).filter(|at| bytes[*at..].starts_with(delimiter));
    if count > 0 {
        starts.nth(wanted).and_then(|end| value.get(..end)).unwrap_or(value)
    } else {
        starts.nth_back(wanted).and_then(|start| value.get(start + delimiter.len()..)).unwrap_or(value)
    }
}
