//! From JSON texts to arrays of any type.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::{DataType, Fields};
use datafusion::error::{DataFusionError, Result};

use super::column::Column;
use super::document::{Kind, Parsed, Parser, Syntax, Value};
use super::options::{Mode, Options};
use super::write::{Astral, Generator};
use crate::error::spark_error;
use crate::types::{map_types, sql_name};

/// Reads one value of type `target` (a struct, an array or a map) from each text.
///
/// What doesn't fit becomes null: a field of another type, or all of a broken text; or, in [`Mode::FailFast`], an error. A text
/// without a value gives null. Unknown fields are passed over.
///
/// # Errors
/// In [`Mode::FailFast`], `MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION`; and for a type that JSON can't be read as.
pub fn decode_json(texts: &StringArray, target: &DataType, options: &Options) -> Result<ArrayRef> {
    let shape = Shape::new(target);
    let mut column = Column::new(target).ok_or_else(|| unsupported(target))?;
    let mut decoder = Decoder { options, scratch: Generator::new(Astral::Escaped), bytes: Vec::new() };
    let corrupt = corrupt_field(target, options);
    let mut parser = Parser::new(Syntax::RECORD);
    for text in texts {
        let Some(text) = text else {
            column.push_null();
            continue;
        };
        let read = match parser.parse(text) {
            Parsed::Empty => {
                column.push_null();
                continue;
            }
            Parsed::Broken => Read::Failed,
            Parsed::Value(value) => decoder.root(value, &shape, &mut column, corrupt),
        };
        if read == Read::Whole {
            continue;
        }
        if options.mode == Mode::FailFast {
            return Err(malformed(text));
        }
        if read == Read::Failed {
            append_unreadable(&mut column);
        }
        if let (Column::Struct(columns, valid), Some(index)) = (&mut column, corrupt) {
            keep_text(columns, valid.len() - 1, index, text);
        }
    }
    column.finish(target)
}

/// A struct of nulls; for any other type, null.
pub(crate) fn append_unreadable(column: &mut Column) {
    match column {
        Column::Struct(columns, valid) => {
            columns.iter_mut().for_each(Column::push_null);
            valid.push(true);
        }
        other => other.push_null(),
    }
}

/// Puts a text that doesn't fit into the field for such texts.
pub(crate) fn keep_text(columns: &mut [Column], row: usize, index: usize, text: &str) {
    let Some(column) = columns.get_mut(index) else { return };
    column.truncate(row);
    if let Column::Text(bytes) = column {
        bytes.push(Some(text.as_bytes()));
    }
}

pub(crate) fn malformed(text: &str) -> DataFusionError {
    spark_error(
        "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
        format!(
            "Malformed records are detected in record parsing: {text}. Parse Mode: FAILFAST. To process malformed records as null \
             result, try setting the option 'mode' as 'PERMISSIVE'."
        ),
    )
}

/// The error for a type that JSON is not read as.
pub(super) fn unsupported(data_type: &DataType) -> DataFusionError {
    spark_error("UNSUPPORTED_DATATYPE", format!("Unsupported data type \"{}\" for JSON.", sql_name(data_type)))
}

/// The place of the field that takes broken texts.
pub(crate) fn corrupt_field(target: &DataType, options: &Options) -> Option<usize> {
    let DataType::Struct(fields) = target else { return None };
    fields.iter().position(|field| *field.name() == options.corrupt_record && field.data_type() == &DataType::Utf8)
}

/// Whether a value could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// It is in the column.
    Whole,
    /// It is in the column, with null for what didn't fit.
    Partial,
    /// It doesn't fit; the column is as before.
    Failed,
}

/// What of a type the columns don't know: the names of fields.
enum Shape {
    Scalar,
    List(Box<Shape>),
    Map(Box<Shape>),
    Struct { places: HashMap<String, usize>, names: Fields, shapes: Vec<Shape> },
}

impl Shape {
    fn new(data_type: &DataType) -> Shape {
        match data_type {
            DataType::List(field) => Shape::List(Box::new(Shape::new(field.data_type()))),
            DataType::Map(_, _) => {
                Shape::Map(Box::new(map_types(data_type).map_or(Shape::Scalar, |(_, value)| Shape::new(value))))
            }
            DataType::Struct(fields) => Shape::Struct {
                places: fields.iter().enumerate().map(|(place, field)| (field.name().clone(), place)).collect(),
                names: fields.clone(),
                shapes: fields.iter().map(|field| Shape::new(field.data_type())).collect(),
            },
            _ => Shape::Scalar,
        }
    }
}

/// The place of the field with this key; `hint` is where it most likely is.
fn place(key: Value<'_>, hint: usize, names: &Fields, places: &HashMap<String, usize>) -> Option<usize> {
    if names.get(hint).is_some_and(|field| key.is(field.name())) {
        return Some(hint);
    }
    places.get(key.string()?.as_ref()).copied()
}

struct Decoder<'a> {
    options: &'a Options,
    scratch: Generator,
    bytes: Vec<u8>,
}

impl Decoder<'_> {
    fn root(&mut self, value: Value<'_>, shape: &Shape, column: &mut Column, corrupt: Option<usize>) -> Read {
        match (column, shape, value.kind()) {
            (Column::Struct(columns, valid), Shape::Struct { .. }, Kind::Object) => {
                self.fields(value, shape, columns, valid, corrupt)
            }
            // A null is no record, but neither is it a missing one.
            (Column::Struct(_, _), _, _) | (_, _, Kind::Null) => Read::Failed,
            // One struct stands for an array of one.
            (Column::List(elements, ends), Shape::List(shape), Kind::Object) if matches!(**shape, Shape::Struct { .. }) => {
                let read = self.value(value, shape, elements);
                if read != Read::Failed {
                    ends.push(elements.len(), true);
                }
                read
            }
            (column, shape, _) => self.value(value, shape, column),
        }
    }

    fn value(&mut self, value: Value<'_>, shape: &Shape, column: &mut Column) -> Read {
        if value.kind() == Kind::Null {
            column.push_null();
            return Read::Whole;
        }
        match (column, shape) {
            (Column::Struct(columns, valid), shape) => self.fields(value, shape, columns, valid, None),
            (Column::List(elements, ends), Shape::List(shape)) if value.kind() == Kind::Array => {
                let start = elements.len();
                let mut read = Read::Whole;
                for element in value.elements() {
                    match self.value(element, shape, elements) {
                        Read::Whole => {}
                        Read::Partial => read = Read::Partial,
                        Read::Failed => {
                            elements.truncate(start);
                            return Read::Failed;
                        }
                    }
                }
                ends.push(elements.len(), true);
                read
            }
            (Column::Map(entries, ends), Shape::Map(shape)) if value.kind() == Kind::Object => {
                let (start, mut read) = (entries.0.len(), Read::Whole);
                for (key, value) in value.fields() {
                    let inner = self.value(value, shape, &mut entries.1);
                    if inner == Read::Failed || self.scalar(key, &mut entries.0).is_none() {
                        entries.0.truncate(start);
                        entries.1.truncate(start);
                        return Read::Failed;
                    }
                    read = if inner == Read::Partial { Read::Partial } else { read };
                }
                ends.push(entries.0.len(), true);
                read
            }
            (Column::List(_, _) | Column::Map(_, _), _) => Read::Failed,
            (column, _) => match self.scalar(value, column) {
                Some(()) => Read::Whole,
                None => Read::Failed,
            },
        }
    }

    fn fields(
        &mut self,
        value: Value<'_>,
        shape: &Shape,
        columns: &mut [Column],
        valid: &mut Vec<bool>,
        skipped: Option<usize>,
    ) -> Read {
        let Shape::Struct { places, names, shapes } = shape else { return Read::Failed };
        if value.kind() != Kind::Object {
            return Read::Failed;
        }
        let row = valid.len();
        let (mut read, mut hint) = (Read::Whole, 0);
        for (key, value) in value.fields() {
            let Some(place) = place(key, hint, names, places).filter(|place| Some(*place) != skipped) else { continue };
            hint = place + 1;
            let (Some(column), Some(shape)) = (columns.get_mut(place), shapes.get(place)) else { continue };
            // Of a field that is there twice, the last value that fits counts: it is read behind the first, which then has to go.
            let again = column.len() > row;
            let before = if again { Some(column.len()) } else { None };
            match self.value(value, shape, column) {
                Read::Failed => read = Read::Partial,
                inner => {
                    read = if inner == Read::Partial { Read::Partial } else { read };
                    if before.is_some() {
                        column.truncate(row);
                        let _same = self.value(value, shape, column);
                    }
                }
            }
        }
        for column in columns.iter_mut().filter(|column| column.len() == row) {
            column.push_null();
        }
        valid.push(true);
        read
    }

    /// Reads a value that is not null into a column that is not nested; `None` if it doesn't fit.
    fn scalar(&mut self, value: Value<'_>, column: &mut Column) -> Option<()> {
        let options = self.options;
        let int = || if value.kind() == Kind::Int { value.raw().parse::<i64>().ok() } else { None };
        match column {
            Column::Null(len) => *len += 1,
            Column::Boolean(flat) => match value.kind() {
                Kind::True => flat.push(Some(true)),
                Kind::False => flat.push(Some(false)),
                _ => return None,
            },
            // Spark's parser lets a byte be without sign too.
            Column::Byte(flat) => flat.push(Some(int().filter(|value| (-128..256).contains(value))? as i8)),
            Column::Short(flat) => flat.push(Some(i16::try_from(int()?).ok()?)),
            Column::Int(flat) => flat.push(Some(i32::try_from(int()?).ok()?)),
            Column::Long(flat) => flat.push(Some(int()?)),
            Column::Float(flat) => flat.push(Some(match value.kind() {
                Kind::Int if value.raw() == "-0" => 0.0,
                Kind::Int | Kind::Float => value.raw().parse().ok()?,
                _ => special(value)? as f32,
            })),
            Column::Double(flat) => flat.push(Some(match value.kind() {
                Kind::Int if value.raw() == "-0" => 0.0,
                Kind::Int | Kind::Float => value.raw().parse().ok()?,
                _ => special(value)?,
            })),
            Column::Decimal(flat, precision, scale) => flat.push(Some(match value.kind() {
                Kind::Int | Kind::Float => decimal(value.raw(), *precision, *scale)?,
                _ => decimal(&value.string()?.replace(',', ""), *precision, *scale)?,
            })),
            Column::Date(flat) => {
                let text = value.string()?;
                // Days since 1970 were a form of dates once.
                let days = || text.parse().ok().filter(|_| options.date_format.is_none());
                flat.push(Some(options.date(&text).or_else(days)?));
            }
            Column::Timestamp(flat) if value.kind() == Kind::Int => flat.push(Some(int()?.checked_mul(1_000_000)?)),
            Column::Timestamp(flat) => flat.push(Some(options.timestamp(&value.string()?)?)),
            Column::TimestampNtz(flat) => flat.push(Some(options.timestamp_ntz(&value.string()?)?)),
            Column::Text(bytes) => match value.string() {
                Some(text) => bytes.push(Some(text.as_bytes())),
                None => {
                    self.scratch.clear();
                    self.scratch.copy(value);
                    bytes.push(Some(self.scratch.out.as_bytes()));
                }
            },
            Column::Binary(bytes) => {
                self.bytes.clear();
                base64(&value.string()?, &mut self.bytes)?;
                bytes.push(Some(&self.bytes));
            }
            Column::List(_, _) | Column::Map(_, _) | Column::Struct(_, _) => return None,
        }
        Some(())
    }
}

/// A floating-point number that JSON has no number for.
fn special(value: Value<'_>) -> Option<f64> {
    match value.kind() {
        Kind::NaN => Some(f64::NAN),
        Kind::Infinity => Some(f64::INFINITY),
        Kind::NegativeInfinity => Some(f64::NEG_INFINITY),
        _ => match value.string()?.as_ref() {
            "NaN" => Some(f64::NAN),
            "Infinity" | "+Infinity" | "+INF" => Some(f64::INFINITY),
            "-Infinity" | "-INF" => Some(f64::NEG_INFINITY),
            _ => None,
        },
    }
}

/// The unscaled value of a number of any length: rounded half up to the scale, `None` if it has more digits than the precision.
pub(crate) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let shift = i64::from(exponent) - fraction.len() as i64 + i64::from(scale);
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.drain(..zeros);
    // How many digits are kept; a negative number of them has only zeros behind it.
    let kept = digits.len() as i64 + shift;
    if digits.is_empty() || kept < 0 {
        return Some(0);
    }
    if kept > i64::from(precision) {
        return None;
    }
    let up = digits.get(kept as usize).is_some_and(|digit| *digit >= b'5');
    digits.resize(kept as usize, b'0');
    let unscaled = digits.iter().fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0')) + i128::from(up);
    let fits = unscaled < 10_i128.pow(u32::from(precision));
    fits.then_some(if negative { -unscaled } else { unscaled })
}

/// Reads base64 with its padding.
fn base64(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    for (at, quad) in bytes.chunks_exact(4).enumerate() {
        let padding = if (at + 1) * 4 == bytes.len() { quad.iter().rev().take_while(|byte| **byte == b'=').count() } else { 0 };
        let mut bits = 0_u32;
        for byte in quad.iter().take(4 - padding) {
            let six = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(six);
        }
        let [_, decoded @ ..] = (bits << (6 * padding)).to_be_bytes();
        out.extend_from_slice(decoded.get(..3_usize.checked_sub(padding)?)?);
    }
    Some(())
}

/// The texts of an array of strings; what else it may be is an internal error.
pub(crate) fn texts(array: &ArrayRef) -> Result<StringArray> {
    let texts = Arc::clone(array);
    texts
        .as_any()
        .downcast_ref::<StringArray>()
        .cloned()
        .ok_or_else(|| DataFusionError::Internal(format!("expected strings, got {}", array.data_type())))
}
