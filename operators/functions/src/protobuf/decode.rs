//! From Protobuf's bytes to columns.
//!
//! A message's fields come in any order and more than once, so its bytes are looked through first: what was found of each field is
//! kept as parts of the message, which then go to the columns one field after the other. Nothing else is copied, and nothing is
//! allocated for a length that is not there.

use prost_reflect::Value;

use super::shape::{FieldShape, Many, MessageShape, Shape, is_closed};
use crate::json::column::Column;
use crate::message::{self, Malformed, Read, malformed};

/// How deep groups that are passed over may be nested.
const MAX_NESTING: usize = 100;

/// A value as it is in a message.
#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    /// What is between the start of a group and its end.
    Group(&'a [u8]),
}

/// Reads numbers of any length, and what they are numbers of.
pub(super) struct Varint<'a> {
    rest: &'a [u8],
}

impl<'a> Varint<'a> {
    /// What follows the place of the message in its file, as serializers of schema registries write it; it must be this place.
    pub(super) fn strip_place(message: &'a [u8], place: &[i64]) -> Read<&'a [u8]> {
        let mut cursor = Varint { rest: message };
        let zigzag = |number: u64| (number >> 1) as i64 ^ -((number & 1) as i64);
        let count = zigzag(cursor.varint()?);
        let mut found = vec![0];
        if count != 0 {
            found.clear();
            for _ in 0..count.clamp(0, 1_000) {
                found.push(zigzag(cursor.varint()?));
            }
        }
        match found == place {
            true => Ok(cursor.rest),
            false => malformed(format!("it is of the type at {found:?} of the registry's schema, and not of that at {place:?}")),
        }
    }

    fn varint(&mut self) -> Read<u64> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            let Some((byte, rest)) = self.rest.split_first() else {
                return malformed("it ends in the middle of a value");
            };
            self.rest = rest;
            if shift < 64 {
                number |= u64::from(byte & 0x7f) << shift;
            }
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        malformed("a number is longer than 64 bits")
    }

    fn take(&mut self, len: usize) -> Read<&'a [u8]> {
        message::take(&mut self.rest, len)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        message::take_array(&mut self.rest)
    }

    /// The number and the value of the next field.
    fn field(&mut self, depth: usize) -> Read<(u32, Part<'a>)> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let Some(number) = number else { return malformed(format!("{} is no number of a field", tag >> 3)) };
        let part = match tag & 7 {
            0 => Part::Varint(self.varint()?),
            1 => Part::Fixed64(self.array()?),
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).map_err(|_| Malformed(format!("it ends before the {len} bytes of a value")))?;
                Part::Bytes(self.take(len)?)
            }
            3 => Part::Group(self.group(number, depth)?),
            5 => Part::Fixed32(self.array()?),
            other => return malformed(format!("a field has the wire type {other}")),
        };
        Ok((number, part))
    }

    fn group(&mut self, number: u32, depth: usize) -> Read<&'a [u8]> {
        let Some(depth) = depth.checked_sub(1) else { return malformed("it is nested too deep") };
        let start = self.rest;
        loop {
            let before = self.rest;
            let tag = self.varint()?;
            if tag == u64::from(number) << 3 | 4 {
                return Ok(&start[..start.len() - before.len()]);
            }
            self.rest = before;
            self.field(depth)?;
        }
    }
}

/// Adds a message to a column of structs. After an error the column has to be cut back to its length before.
pub(super) fn message(bytes: &[u8], shape: &MessageShape, column: &mut Column) -> Read<()> {
    merged(&[bytes], shape, column)
}

/// A message whose parts came one after the other: later ones add to earlier ones.
fn merged(messages: &[&[u8]], shape: &MessageShape, column: &mut Column) -> Read<()> {
    let Column::Struct(columns, valid) = column else { return mismatch() };
    let mut found: Vec<Vec<Part<'_>>> = vec![Vec::new(); shape.fields.len()];
    let mut missing = shape.required.clone();
    for bytes in messages {
        let mut cursor = Varint { rest: bytes };
        while !cursor.rest.is_empty() {
            let (number, part) = cursor.field(MAX_NESTING)?;
            match shape.by_number.get(&number) {
                Some(at) => keep(*at, part, shape, &mut found),
                None => missing.retain(|(required, _)| *required != number),
            }
        }
    }
    if let Some((_, name)) = missing.first() {
        return malformed(format!("the required field '{name}' is missing"));
    }
    if shape.is_empty {
        columns.iter_mut().for_each(Column::push_null);
    }
    for ((field, parts), column) in shape.fields.iter().zip(&found).zip(columns) {
        push_field(field, parts, column).map_err(|error| Malformed(format!("field '{}': {}", field.name, error.0)))?;
    }
    valid.push(true);
    Ok(())
}

/// Of the fields of a `oneof` the last one counts.
fn keep<'a>(at: usize, part: Part<'a>, shape: &MessageShape, found: &mut [Vec<Part<'a>>]) {
    if let Some(oneof) = &shape.fields[at].oneof {
        let others = shape.fields.iter().enumerate().filter(|(other, field)| *other != at && field.oneof.as_ref() == Some(oneof));
        others.for_each(|(other, _)| found[other].clear());
    }
    found[at].push(part);
}

fn push_field(field: &FieldShape, parts: &[Part<'_>], column: &mut Column) -> Read<()> {
    match (&field.many, column) {
        (Many::One, column) => match (if is_none(field, parts, column) { &[] } else { parts }, &field.default) {
            ([], _) if field.required => malformed("it is required, and missing"),
            ([], Some(default)) => push_default(default, &field.shape, column),
            ([], None) => {
                column.push_null();
                Ok(())
            }
            (parts, _) => push_one(&field.shape, parts, column),
        },
        (Many::List, Column::List(elements, ends)) => {
            parts.iter().try_for_each(|part| push_elements(&field.shape, *part, elements))?;
            ends.push(elements.len(), true);
            Ok(())
        }
        (Many::Map(key), Column::Map(entries, ends)) => {
            push_entries(key, &field.shape, parts, entries)?;
            ends.push(entries.0.len(), true);
            Ok(())
        }
        _ => mismatch(),
    }
}

/// Whether nothing was written, or a zero that says no more than that.
fn is_none(field: &FieldShape, parts: &[Part<'_>], column: &Column) -> bool {
    let is_zero = |part: &Part<'_>| match (part, column) {
        (Part::Varint(number), Column::Int(_)) => *number as u32 == 0,
        (Part::Varint(number), _) => *number == 0,
        (Part::Fixed32(bytes), _) => *bytes == [0; 4],
        (Part::Fixed64(bytes), _) => *bytes == [0; 8],
        (Part::Bytes(bytes), _) => bytes.is_empty(),
        (Part::Group(_), _) => false,
    };
    parts.last().is_none_or(|last| !field.presence && is_zero(last))
}

/// A field that is not repeated: its last value, or all parts of a message.
fn push_one(shape: &Shape, parts: &[Part<'_>], column: &mut Column) -> Read<()> {
    match (shape, parts) {
        (Shape::Message(shape), parts) => merged(&slices(parts)?, shape, column),
        (Shape::Timestamp | Shape::Duration | Shape::Wrapper(_), [_, _, ..]) => {
            push_value(shape, Part::Bytes(&slices(parts)?.concat()), column)
        }
        (shape, [.., last]) => push_value(shape, *last, column),
        (_, []) => {
            column.push_null();
            Ok(())
        }
    }
}

fn slices<'a>(parts: &[Part<'a>]) -> Read<Vec<&'a [u8]>> {
    parts.iter().map(|part| if let Part::Bytes(bytes) = part { Ok(*bytes) } else { wire_mismatch() }).collect()
}

fn wire_mismatch<T>() -> Read<T> {
    malformed("PROTOBUF_FIELD_TYPE_MISMATCH: what was written is of another type")
}

fn mismatch<T>() -> Read<T> {
    malformed("the message does not fit the column")
}

/// The values of a repeated field in one part of it: numbers may be packed together.
fn push_elements(shape: &Shape, part: Part<'_>, column: &mut Column) -> Read<()> {
    let packed = match part {
        Part::Bytes(bytes) if is_number(shape) => bytes,
        part => return push_value(shape, part, column),
    };
    let mut cursor = Varint { rest: packed };
    while !cursor.rest.is_empty() {
        let part = match shape {
            Shape::Fixed32 | Shape::Float => Part::Fixed32(cursor.array()?),
            Shape::Fixed64 | Shape::Double => Part::Fixed64(cursor.array()?),
            _ => Part::Varint(cursor.varint()?),
        };
        push_value(shape, part, column)?;
    }
    Ok(())
}

fn is_number(shape: &Shape) -> bool {
    matches!(
        shape,
        Shape::Bool
            | Shape::Varint
            | Shape::ZigZag
            | Shape::Unsigned
            | Shape::Fixed32
            | Shape::Fixed64
            | Shape::Float
            | Shape::Double
            | Shape::Enum(_)
    )
}

/// The entries of a map. A key that comes again replaces the value at its first place.
fn push_entries(key: &Shape, value: &Shape, parts: &[Part<'_>], entries: &mut (Column, Column)) -> Read<()> {
    let mut read: Vec<(Vec<Part<'_>>, Vec<Part<'_>>)> = Vec::with_capacity(parts.len());
    let mut places = std::collections::HashMap::new();
    for part in parts {
        let Part::Bytes(bytes) = part else { return wire_mismatch() };
        let (mut keys, mut values, mut cursor) = (Vec::new(), Vec::new(), Varint { rest: bytes });
        while !cursor.rest.is_empty() {
            match cursor.field(MAX_NESTING)? {
                (1, part) => keys.push(part),
                (2, part) => values.push(part),
                _ => {}
            }
        }
        let place = match keys.last() {
            Some(Part::Varint(number)) => (0_u8, number.to_le_bytes().to_vec()),
            Some(Part::Fixed32(bytes)) => (1, bytes.to_vec()),
            Some(Part::Fixed64(bytes)) => (2, bytes.to_vec()),
            Some(Part::Bytes(bytes)) => (3, bytes.to_vec()),
            Some(Part::Group(_)) => return wire_mismatch(),
            // The key's zero, which may also be written: an empty text has no bytes, any other zero is one of these.
            None => match key {
                Shape::Text => (3, Vec::new()),
                Shape::Fixed32 => (1, vec![0; 4]),
                Shape::Fixed64 => (2, vec![0; 8]),
                _ => (0, vec![0; 8]),
            },
        };
        match places.get(&place) {
            Some(at) => read[*at] = (keys, values),
            None => {
                places.insert(place, read.len());
                read.push((keys, values));
            }
        }
    }
    for (keys, values) in &read {
        push_or_zero(key, keys, &mut entries.0)?;
        push_or_zero(value, values, &mut entries.1)?;
    }
    Ok(())
}

/// A key or a value of a map, which is its zero if it was not written.
fn push_or_zero(shape: &Shape, parts: &[Part<'_>], column: &mut Column) -> Read<()> {
    if !parts.is_empty() {
        return push_one(shape, parts, column);
    }
    match shape {
        Shape::Fixed32 | Shape::Float => push_value(shape, Part::Fixed32([0; 4]), column),
        Shape::Fixed64 | Shape::Double => push_value(shape, Part::Fixed64([0; 8]), column),
        shape if is_number(shape) => push_value(shape, Part::Varint(0), column),
        shape => push_one(shape, &[Part::Bytes(&[])], column),
    }
}

fn push_value(shape: &Shape, part: Part<'_>, column: &mut Column) -> Read<()> {
    match (shape, part) {
        (Shape::Bool, Part::Varint(number)) => match column {
            Column::Boolean(flat) => flat.push(Some(number != 0)),
            _ => return mismatch(),
        },
        (Shape::Varint, Part::Varint(number)) => push_integer(number as i64, column)?,
        (Shape::ZigZag, Part::Varint(number)) => push_integer((number >> 1) as i64 ^ -((number & 1) as i64), column)?,
        (Shape::Unsigned, Part::Varint(number)) => match column {
            Column::Long(flat) => flat.push(Some(i64::from(number as u32))),
            Column::Decimal(flat, _, _) => flat.push(Some(i128::from(number))),
            _ => return mismatch(),
        },
        (Shape::Fixed32, Part::Fixed32(bytes)) => push_integer(i64::from(i32::from_le_bytes(bytes)), column)?,
        (Shape::Fixed64, Part::Fixed64(bytes)) => push_integer(i64::from_le_bytes(bytes), column)?,
        (Shape::Float, Part::Fixed32(bytes)) => match column {
            Column::Float(flat) => flat.push(Some(f32::from_le_bytes(bytes))),
            _ => return mismatch(),
        },
        (Shape::Double, Part::Fixed64(bytes)) => match column {
            Column::Double(flat) => flat.push(Some(f64::from_le_bytes(bytes))),
            _ => return mismatch(),
        },
        (Shape::Text, Part::Bytes(bytes)) => match (std::str::from_utf8(bytes), column) {
            (Ok(_), Column::Text(texts)) => texts.push(Some(bytes)),
            (Err(_), _) => return malformed("a string is no UTF-8"),
            _ => return mismatch(),
        },
        (Shape::Bytes, Part::Bytes(bytes)) => match column {
            Column::Binary(values) => values.push(Some(bytes)),
            _ => return mismatch(),
        },
        (Shape::Enum(_), Part::Varint(number)) => push_enum(shape, number as i32, column)?,
        (Shape::Message(shape), Part::Bytes(bytes)) | (Shape::Group(shape), Part::Group(bytes)) => {
            message(bytes, shape, column)?;
        }
        (Shape::Timestamp | Shape::Duration, Part::Bytes(bytes)) => {
            let micros = micros(bytes)?;
            match column {
                Column::Timestamp(flat) | Column::Long(flat) => flat.push(Some(micros)),
                _ => return mismatch(),
            }
        }
        (Shape::Wrapper(inner), Part::Bytes(bytes)) => {
            let (mut parts, mut cursor) = (Vec::new(), Varint { rest: bytes });
            while !cursor.rest.is_empty() {
                if let (1, part) = cursor.field(MAX_NESTING)? {
                    parts.push(part);
                }
            }
            push_or_zero(inner, &parts, column)?;
        }
        _ => return wire_mismatch(),
    }
    Ok(())
}

fn push_integer(number: i64, column: &mut Column) -> Read<()> {
    match column {
        // The higher bits don't count, as in every implementation.
        Column::Int(flat) => flat.push(Some(number as i32)),
        Column::Long(flat) => flat.push(Some(number)),
        _ => return mismatch(),
    }
    Ok(())
}

fn push_enum(shape: &Shape, number: i32, column: &mut Column) -> Read<()> {
    let Shape::Enum(descriptor) = shape else { return mismatch() };
    let value = descriptor.get_value(number);
    if value.is_none() && is_closed(descriptor) {
        return malformed(format!("the enum {} has no value {number}", descriptor.name()));
    }
    match (column, value) {
        (Column::Int(flat), _) => flat.push(Some(number)),
        (Column::Text(texts), Some(value)) => texts.push(Some(value.name().as_bytes())),
        (Column::Text(texts), None) => {
            let name = format!("UNKNOWN_ENUM_VALUE_{}_{number}", descriptor.name());
            texts.push(Some(name.as_bytes()));
        }
        _ => return mismatch(),
    }
    Ok(())
}

/// Seconds and nanoseconds, in microseconds.
fn micros(bytes: &[u8]) -> Read<i64> {
    let (mut seconds, mut nanos, mut cursor) = (0_i64, 0_i32, Varint { rest: bytes });
    while !cursor.rest.is_empty() {
        match cursor.field(MAX_NESTING)? {
            (1, Part::Varint(number)) => seconds = number as i64,
            (2, Part::Varint(number)) => nanos = number as i32,
            (1 | 2, _) => return wire_mismatch(),
            _ => {}
        }
    }
    let micros = seconds.checked_mul(1_000_000).and_then(|micros| micros.checked_add(i64::from(nanos / 1_000)));
    micros.ok_or_else(|| Malformed(format!("{seconds} seconds are out of the range of times")))
}

fn push_default(value: &Value, shape: &Shape, column: &mut Column) -> Read<()> {
    match (shape, value) {
        (Shape::Unsigned, Value::U32(number)) => push_value(shape, Part::Varint(u64::from(*number)), column),
        (Shape::Unsigned, Value::U64(number)) => push_value(shape, Part::Varint(*number), column),
        (Shape::Enum(_), Value::EnumNumber(number)) => push_enum(shape, *number, column),
        (_, Value::Bool(bit)) => push_value(&Shape::Bool, Part::Varint(u64::from(*bit)), column),
        (_, Value::I32(number)) => push_integer(i64::from(*number), column),
        (_, Value::I64(number)) => push_integer(*number, column),
        (_, Value::U32(number)) => push_integer(i64::from(*number), column),
        (_, Value::U64(number)) => push_integer(*number as i64, column),
        (_, Value::F32(number)) => push_value(&Shape::Float, Part::Fixed32(number.to_le_bytes()), column),
        (_, Value::F64(number)) => push_value(&Shape::Double, Part::Fixed64(number.to_le_bytes()), column),
        (_, Value::String(text)) => push_value(&Shape::Text, Part::Bytes(text.as_bytes()), column),
        (_, Value::Bytes(bytes)) => push_value(&Shape::Bytes, Part::Bytes(bytes), column),
        _ => mismatch(),
    }
}
