//! What is found in strings, and what it is replaced by.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use arrow::datatypes::{BinaryType, DataType, Int32Type, Utf8Type};
use datafusion::error::Result;
use memchr::memmem;

use super::columns::{Sequence, all_text, booleans, build, int, ints, numbers, sequences, text, texts};
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};

/// `instr(value, wanted[, start[, occurrence]])`: a start below zero counts from the end, and searches towards the beginning.
pub(super) fn instr(call: &Call<'_>) -> Result<Resolved> {
    if call.len() > 2 {
        return instr_from(call);
    }
    let kernel = |invocation: &Invocation<'_>| {
        let (values, wanted) = (texts(invocation, 0)?, texts(invocation, 1)?);
        numbers::<Int32Type>(invocation.rows, |row| Some(place(values.get(row)?, wanted.get(row)?, 1)))
    };
    Ok(Resolved::new(all_text(call)?, DataType::Int32, kernel))
}

fn instr_from(call: &Call<'_>) -> Result<Resolved> {
    let mut args = vec![text(call, 0)?, text(call, 1)?];
    for index in 2..call.len() {
        args.push(int(call, index)?);
    }
    let kernel = |invocation: &Invocation<'_>| {
        let (values, wanted, starts) = (texts(invocation, 0)?, texts(invocation, 1)?, ints(invocation, 2)?);
        let occurrences = (invocation.args.len() > 3).then(|| ints(invocation, 3)).transpose()?;
        let occurrence = |row: usize| occurrences.as_ref().map_or(Some(1), |own| own.get(row));
        let refused = (0..invocation.rows).filter_map(occurrence).find(|own| *own < 1);
        if let Some(own) = refused {
            let message = format!(
                "The value of parameter(s) `occurrence` in `instr` is invalid: expects a positive integer, but got {own}."
            );
            return Err(spark_error("INVALID_PARAMETER_VALUE.OCCURRENCE", message));
        }
        numbers::<Int32Type>(invocation.rows, |row| {
            let (value, wanted) = (values.get(row)?, wanted.get(row)?);
            Some(occurrence_of(value, wanted, starts.get(row)?, occurrence(row)?))
        })
    };
    Ok(Resolved::new(args, DataType::Int32, kernel).fallible())
}

/// Where `wanted` is the n-th time; places may overlap.
fn occurrence_of(value: &str, wanted: &str, start: i32, n: i32) -> i32 {
    if start == 0 {
        return 0;
    }
    if wanted.is_empty() {
        return 1;
    }
    let places = value.char_indices().zip(1..).filter(|((at, _), _)| value[*at..].starts_with(wanted)).map(|(_, place)| place);
    let n = usize::try_from(n).unwrap_or(1) - 1;
    let found = if start > 0 {
        places.filter(|place| *place >= start).nth(n)
    } else {
        let last = i32::try_from(value.chars().count()).unwrap_or(i32::MAX).saturating_add(start).saturating_add(1);
        let before: Vec<i32> = places.take_while(|place| *place <= last).collect();
        before.into_iter().rev().nth(n)
    };
    found.unwrap_or(0)
}

pub(super) fn locate(call: &Call<'_>) -> Result<Resolved> {
    let mut args = vec![text(call, 0)?, text(call, 1)?];
    if call.len() > 2 {
        args.push(int(call, 2)?);
    }
    let kernel = |invocation: &Invocation<'_>| {
        let (wanted, values) = (texts(invocation, 0)?, texts(invocation, 1)?);
        let starts = (invocation.args.len() > 2).then(|| ints(invocation, 2)).transpose()?;
        numbers::<Int32Type>(invocation.rows, |row| {
            let start = match &starts {
                // Nowhere to start is nothing found, whatever the rest.
                Some(starts) => starts.get(row).unwrap_or(0),
                None => 1,
            };
            if start < 1 { Some(0) } else { Some(place(values.get(row)?, wanted.get(row)?, start as usize)) }
        })
    };
    Ok(Resolved::new(args, DataType::Int32, kernel))
}

/// Where `wanted` is, from position `start` on, counting characters from 1; 0 if nowhere.
fn place(value: &str, wanted: &str, start: usize) -> i32 {
    if wanted.is_empty() {
        return 1;
    }
    let from = Utf8Type::offset(value, start - 1);
    let found = value.get(from..).and_then(|rest| rest.find(wanted));
    found.and_then(|at| value.get(..from + at)).map_or(0, |before| before.chars().count() as i32 + 1)
}

pub(super) fn startswith(call: &Call<'_>) -> Result<Resolved> {
    relation(call, |value, part| value.starts_with(part))
}

pub(super) fn endswith(call: &Call<'_>) -> Result<Resolved> {
    relation(call, |value, part| value.ends_with(part))
}

pub(super) fn contains(call: &Call<'_>) -> Result<Resolved> {
    relation(call, |value, part| memmem::find(value, part).is_some())
}

fn relation(call: &Call<'_>, holds: fn(&[u8], &[u8]) -> bool) -> Result<Resolved> {
    let is_binary = |index: usize| call.data_type(index) == &DataType::Binary;
    if is_binary(0) && is_binary(1) {
        let kernel = move |invocation: &Invocation<'_>| related::<BinaryType>(invocation, holds);
        return Ok(Resolved::new(vec![DataType::Binary; 2], DataType::Boolean, kernel));
    }
    let kernel = move |invocation: &Invocation<'_>| related::<Utf8Type>(invocation, holds);
    Ok(Resolved::new(all_text(call)?, DataType::Boolean, kernel))
}

fn related<T: Sequence>(invocation: &Invocation<'_>, holds: fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef> {
    let (values, parts) = (sequences::<T>(invocation, 0)?, sequences::<T>(invocation, 1)?);
    booleans(invocation.rows, |row| Some(holds(values.get(row)?.as_ref(), parts.get(row)?.as_ref())))
}

pub(super) fn find_in_set(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let (wanted, sets) = (texts(invocation, 0)?, texts(invocation, 1)?);
        numbers::<Int32Type>(invocation.rows, |row| {
            let (wanted, set) = (wanted.get(row)?, sets.get(row)?);
            Some(set.split(',').position(|own| own == wanted).map_or(0, |at| at as i32 + 1))
        })
    };
    Ok(Resolved::new(all_text(call)?, DataType::Int32, kernel))
}

pub(super) fn replace(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let (values, wanted) = (texts(invocation, 0)?, texts(invocation, 1)?);
        let replacements = (invocation.args.len() > 2).then(|| texts(invocation, 2)).transpose()?;
        build(invocation.rows, |row, out: &mut String| {
            let replacement = match &replacements {
                Some(replacements) => replacements.get(row)?,
                None => "",
            };
            replace_all(values.get(row)?, wanted.get(row)?, replacement, out);
            Some(())
        })
    };
    Ok(Resolved::new(all_text(call)?, DataType::Utf8, kernel))
}

fn replace_all(value: &str, wanted: &str, replacement: &str, out: &mut String) {
    if wanted.is_empty() {
        out.push_str(value);
        return;
    }
    for (index, part) in value.split(wanted).enumerate() {
        if index > 0 {
            out.push_str(replacement);
        }
        out.push_str(part);
    }
}

pub(super) fn translate(call: &Call<'_>) -> Result<Resolved> {
    let literals = call.literal_str(1).zip(call.literal_str(2));
    let prepared = literals.map(|(from, to)| mapping(from, to));
    let kernel = move |invocation: &Invocation<'_>| {
        let (values, from, to) = (texts(invocation, 0)?, texts(invocation, 1)?, texts(invocation, 2)?);
        build(invocation.rows, |row, out: &mut String| {
            let value = values.get(row)?;
            match &prepared {
                Some(map) => out.extend(value.chars().filter_map(|c| map.get(&c).copied().unwrap_or(Some(c)))),
                None => {
                    let map = mapping(from.get(row)?, to.get(row)?);
                    out.extend(value.chars().filter_map(|c| map.get(&c).copied().unwrap_or(Some(c))));
                }
            }
            Some(())
        })
    };
    Ok(Resolved::new(all_text(call)?, DataType::Utf8, kernel))
}

/// What each character becomes, `None` if it is removed; the first mention counts.
fn mapping(from: &str, to: &str) -> HashMap<char, Option<char>> {
    let mut to = to.chars();
    let mut map = HashMap::new();
    for c in from.chars() {
        let target = to.next();
        map.entry(c).or_insert(target);
    }
    map
}
