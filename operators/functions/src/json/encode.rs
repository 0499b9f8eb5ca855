//! From arrays of any type to JSON texts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, MapArray};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalUnit, IntervalYearMonthType, TimestampMicrosecondType,
};
use chrono_tz::Tz;
use datafusion::error::{DataFusionError, Result};

use super::options::Options;
use super::write::{Astral, double, java_decimal, java_double, java_single, quote};
use crate::datetime::pattern::Pattern;

/// What is written for all rows in the same way.
#[derive(Debug, Clone)]
pub struct Encoder {
    ignore_null_fields: bool,
    sort_keys: bool,
    time_zone: Tz,
    date: Pattern,
    timestamp: Pattern,
    timestamp_ntz: Pattern,
}

impl Encoder {
    /// An encoder with these options.
    ///
    /// # Errors
    /// When a pattern is none: those that are used by default are.
    pub fn new(options: &Options) -> Result<Self> {
        let pattern = |given: &Option<Pattern>, default: &str| given.clone().map_or_else(|| Pattern::to_format(default), Ok);
        Ok(Encoder {
            ignore_null_fields: options.ignore_null_fields,
            sort_keys: options.sort_keys,
            time_zone: options.time_zone,
            date: pattern(&options.date_format, "yyyy-MM-dd")?,
            timestamp: pattern(&options.timestamp_format, "yyyy-MM-dd'T'HH:mm:ss.SSSXXX")?,
            timestamp_ntz: pattern(&options.timestamp_ntz_format, "yyyy-MM-dd'T'HH:mm:ss.SSS")?,
        })
    }

    /// Appends a date or a timestamp.
    pub(crate) fn moment(&self, values: &ArrayRef, row: usize, out: &mut String) {
        let micros = || values.as_primitive::<TimestampMicrosecondType>().value(row);
        match values.data_type() {
            DataType::Timestamp(_, Some(_)) => self.timestamp.write(micros(), self.time_zone, out),
            DataType::Timestamp(_, None) => self.timestamp_ntz.write(micros(), Tz::UTC, out),
            _ => self.date.write_date(values.as_primitive::<Date32Type>().value(row), out),
        }
    }
}

/// Whether values of this type can be written.
pub(super) fn can_encode(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(field) => can_encode(field.data_type()),
        DataType::Map(entries, _) => can_encode(entries.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| can_encode(field.data_type())),
        DataType::Interval(unit) => *unit == IntervalUnit::YearMonth,
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(_, _)
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32
        | DataType::Timestamp(_, _)
        | DataType::Duration(_) => true,
        _ => false,
    }
}

/// Writes the value of one row as JSON. Fields of structs that are null are left out, unless the options say otherwise; nulls
/// elsewhere are written.
///
/// # Errors
/// For a type that is none of Spark's.
pub fn encode_json(values: &ArrayRef, row: usize, out: &mut String, encoder: &Encoder) -> Result<()> {
    if values.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match values.data_type() {
        DataType::Utf8 => quote(values.as_string::<i32>().value(row), Astral::Plain, out),
        DataType::Float32 => {
            let value = values.as_primitive::<Float32Type>().value(row);
            if value.is_finite() { java_single(value, out) } else { double(f64::from(value), out) }
        }
        DataType::Float64 => double(values.as_primitive::<Float64Type>().value(row), out),
        DataType::Binary => {
            out.push('"');
            base64(values.as_binary::<i32>().value(row), out);
            out.push('"');
        }
        DataType::Date32 | DataType::Timestamp(_, _) => {
            let mut text = String::new();
            encoder.moment(values, row, &mut text);
            quote(&text, Astral::Plain, out);
        }
        DataType::Duration(_) | DataType::Interval(_) => {
            out.push('"');
            plain(values, row, out)?;
            out.push('"');
        }
        DataType::List(_) => {
            let elements = values.as_list::<i32>().value(row);
            out.push('[');
            for at in 0..elements.len() {
                if at > 0 {
                    out.push(',');
                }
                encode_json(&elements, at, out, encoder)?;
            }
            out.push(']');
        }
        DataType::Map(_, _) => map(values.as_map(), row, out, encoder)?,
        DataType::Struct(fields) => {
            out.push('{');
            let mut first = true;
            let mut columns: Vec<_> = fields.iter().zip(values.as_struct().columns()).collect();
            if encoder.sort_keys {
                columns.sort_by(|(left, _), (right, _)| left.name().cmp(right.name()));
            }
            for (field, column) in columns {
                // An array of no type says of none of its values that it is null.
                let is_void = field.data_type() == &DataType::Null;
                if is_void || (column.is_null(row) && encoder.ignore_null_fields) {
                    continue;
                }
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                quote(field.name(), Astral::Plain, out);
                out.push(':');
                encode_json(column, row, out, encoder)?;
            }
            out.push('}');
        }
        _ => plain(values, row, out)?,
    }
    Ok(())
}

fn map(maps: &MapArray, row: usize, out: &mut String, encoder: &Encoder) -> Result<()> {
    let (start, end) = (maps.value_offsets()[row] as usize, maps.value_offsets()[row + 1] as usize);
    let (keys, values) = (Arc::clone(maps.keys()), Arc::clone(maps.values()));
    out.push('{');
    let mut entries = Vec::with_capacity(end - start);
    for at in start..end {
        let mut key = String::new();
        plain(&keys, at, &mut key)?;
        entries.push((key, at));
    }
    if encoder.sort_keys {
        entries.sort();
    }
    for (number, (key, at)) in entries.into_iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        quote(&key, Astral::Plain, out);
        out.push(':');
        encode_json(&values, at, out, encoder)?;
    }
    out.push('}');
    Ok(())
}

/// Writes a value as Spark's `toString` of its internal form does: numbers and booleans, and all keys of maps.
pub(crate) fn plain(values: &ArrayRef, row: usize, out: &mut String) -> Result<()> {
    use std::fmt::Write;
    if values.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    let written = match values.data_type() {
        DataType::Null => out.write_str("null"),
        DataType::Boolean => write!(out, "{}", values.as_boolean().value(row)),
        DataType::Int8 => write!(out, "{}", values.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => write!(out, "{}", values.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => write!(out, "{}", values.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => write!(out, "{}", values.as_primitive::<Int64Type>().value(row)),
        DataType::Date32 => write!(out, "{}", values.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(_, _) => write!(out, "{}", values.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::Float32 => {
            java_single(values.as_primitive::<Float32Type>().value(row), out);
            Ok(())
        }
        DataType::Float64 => {
            java_double(values.as_primitive::<Float64Type>().value(row), out);
            Ok(())
        }
        DataType::Decimal128(_, scale) => {
            let decimals: &Decimal128Array = values.as_primitive();
            java_decimal(decimals.value(row), *scale, out);
            Ok(())
        }
        DataType::Utf8 => out.write_str(values.as_string::<i32>().value(row)),
        DataType::Binary => out.write_str(&String::from_utf8_lossy(values.as_binary::<i32>().value(row))),
        DataType::Duration(_) => day_time(values.as_primitive::<DurationMicrosecondType>().value(row), out),
        DataType::Interval(_) => {
            let months = values.as_primitive::<IntervalYearMonthType>().value(row);
            let (sign, size) = (if months < 0 { "-" } else { "" }, months.unsigned_abs());
            write!(out, "INTERVAL '{sign}{}-{}' YEAR TO MONTH", size / 12, size % 12)
        }
        DataType::List(_) => return bracketed(&[values.as_list::<i32>().value(row)], None, out),
        DataType::Struct(_) => return bracketed(values.as_struct().columns(), Some(row), out),
        other => return Err(DataFusionError::Internal(format!("no text for {other}"))),
    };
    written.map_err(|error| DataFusionError::Internal(error.to_string()))
}

/// `[a,b]` of one row of several columns, or of all rows of one.
fn bracketed(columns: &[ArrayRef], row: Option<usize>, out: &mut String) -> Result<()> {
    out.push('[');
    let mut first = true;
    for column in columns {
        for at in row.map_or(0..column.len(), |row| row..row + 1) {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            plain(column, at, out)?;
        }
    }
    out.push(']');
    Ok(())
}

fn day_time(micros: i64, out: &mut String) -> std::fmt::Result {
    use std::fmt::Write;
    let (sign, size) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let (seconds, fraction) = (size / 1_000_000, size % 1_000_000);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    write!(out, "INTERVAL '{sign}{days} {hours:02}:{minutes:02}:{:02}", seconds % 60)?;
    if fraction > 0 {
        write!(out, ".{}", format!("{fraction:06}").trim_end_matches('0'))?;
    }
    out.write_str("' DAY TO SECOND")
}

fn base64(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
}
