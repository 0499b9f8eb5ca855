//! How values are written as text: `CAST(… AS STRING)`, consoles, JSON.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalYearMonthType, TimestampMicrosecondType,
};
use chrono_tz::Tz;
use datafusion::error::Result;

use super::{java_float, time};
use crate::datetime::zone::Zone;
use crate::function::Settings;

type Write1<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// Writes the values of one array as Spark's `CAST(… AS STRING)` does; made once for an array, its types are looked at once.
pub struct Writer<'a> {
    array: &'a dyn Array,
    write: Write1<'a>,
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("type", self.array.data_type()).finish_non_exhaustive()
    }
}

impl<'a> Writer<'a> {
    /// For the values of `array`.
    pub fn new(array: &'a dyn Array, settings: &Settings) -> Self {
        Writer { array, write: writer(array, settings.time_zone) }
    }

    /// Appends the text of the value at `row` to `out`, if it isn't null; says whether it isn't.
    pub fn write(&self, row: usize, out: &mut String) -> bool {
        let valid = self.array.is_valid(row) && self.array.data_type() != &DataType::Null;
        if valid {
            (self.write)(row, out);
        }
        valid
    }

    /// Appends the text of the value at `row` to `out`, `null` for null.
    pub fn write_or_null(&self, row: usize, out: &mut String) {
        if !self.write(row, out) {
            out.push_str("null");
        }
    }
}

/// The text of the value at `row`; `None` for null. For many values of an array, make a [`Writer`].
pub fn format_value(array: &dyn Array, row: usize, settings: &Settings) -> Option<String> {
    let mut out = String::new();
    Writer::new(array, settings).write(row, &mut out).then_some(out)
}

/// The texts of all values.
pub(super) fn to_strings(values: &ArrayRef, settings: &Settings) -> Result<ArrayRef> {
    let writer = Writer::new(values, settings);
    let mut out = StringBuilder::with_capacity(values.len(), values.len() * 8);
    let mut text = String::new();
    for row in 0..values.len() {
        text.clear();
        out.append_option(writer.write(row, &mut text).then_some(&text));
    }
    Ok(Arc::new(out.finish()))
}

macro_rules! display {
    ($array:expr, $type:ty) => {{
        let values = $array.as_primitive::<$type>().values();
        Box::new(move |row, out: &mut String| put(out, format_args!("{}", values[row])))
    }};
}

/// A `String` takes everything.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}

fn writer(array: &dyn Array, zone: Tz) -> Write1<'_> {
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(|row, out| out.push_str(if values.value(row) { "true" } else { "false" }))
        }
        DataType::Int8 => display!(array, Int8Type),
        DataType::Int16 => display!(array, Int16Type),
        DataType::Int32 => display!(array, Int32Type),
        DataType::Int64 => display!(array, Int64Type),
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            Box::new(|row, out| java_float::write_f32(out, values[row]))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            Box::new(|row, out| java_float::write_f64(out, values[row]))
        }
        DataType::Decimal128(_, scale) => {
            let (values, scale) = (array.as_primitive::<Decimal128Type>().values(), *scale);
            Box::new(move |row, out| write_decimal(out, values[row], scale))
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            Box::new(|row, out| out.push_str(values.value(row)))
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            Box::new(|row, out| out.push_str(&String::from_utf8_lossy(values.value(row))))
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().values();
            Box::new(|row, out| time::write_date(out, i64::from(values[row])))
        }
        DataType::Timestamp(_, with_zone) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values();
            let zone = if with_zone.is_some() { Zone::from(zone) } else { Zone::UTC };
            Box::new(move |row, out| time::write_timestamp(out, zone.to_local(values[row])))
        }
        DataType::Duration(_) => {
            let values = array.as_primitive::<DurationMicrosecondType>().values();
            Box::new(|row, out| write_day_time(out, values[row]))
        }
        DataType::Interval(_) => {
            let values = array.as_primitive::<IntervalYearMonthType>().values();
            Box::new(|row, out| write_year_month(out, values[row]))
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let (offsets, elements) = (lists.value_offsets(), nested(lists.values(), zone));
            Box::new(move |row, out| {
                out.push('[');
                for (n, element) in (offsets[row]..offsets[row + 1]).enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    elements.write_or_null(element as usize, out);
                }
                out.push(']');
            })
        }
        DataType::Map(_, _) => {
            let maps = array.as_map();
            let (offsets, keys, values) = (maps.value_offsets(), nested(maps.keys(), zone), nested(maps.values(), zone));
            Box::new(move |row, out| {
                out.push('{');
                for (n, entry) in (offsets[row]..offsets[row + 1]).enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    keys.write_or_null(entry as usize, out);
                    out.push_str(" -> ");
                    values.write_or_null(entry as usize, out);
                }
                out.push('}');
            })
        }
        DataType::Struct(_) => {
            let fields: Vec<Writer<'_>> = array.as_struct().columns().iter().map(|column| nested(column, zone)).collect();
            Box::new(move |row, out| {
                out.push('{');
                for (n, field) in fields.iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    field.write_or_null(row, out);
                }
                out.push('}');
            })
        }
        // No other type stands for one of Spark's.
        _ => Box::new(|_, _| ()),
    }
}

fn nested(array: &ArrayRef, zone: Tz) -> Writer<'_> {
    Writer { array, write: writer(array, zone) }
}

/// Writes a decimal with all digits of its scale.
pub fn write_decimal(out: &mut String, value: i128, scale: i8) {
    if value < 0 {
        out.push('-');
    }
    let (value, scale) = (value.unsigned_abs(), scale.max(0) as usize);
    if scale == 0 {
        return put(out, format_args!("{value}"));
    }
    let power = 10_u128.pow(scale as u32);
    put(out, format_args!("{}.{:0scale$}", value / power, value % power));
}

/// The text of a decimal.
pub fn decimal_text(value: i128, scale: i8) -> String {
    let mut out = String::new();
    write_decimal(&mut out, value, scale);
    out
}

/// Writes `INTERVAL '1 02:03:04.5' DAY TO SECOND`.
pub fn write_day_time(out: &mut String, micros: i64) {
    let total = micros.unsigned_abs();
    let (seconds, fraction) = (total / 1_000_000, total % 1_000_000);
    let sign = if micros < 0 { "-" } else { "" };
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    put(out, format_args!("INTERVAL '{sign}{days} {hours:02}:{minutes:02}:{:02}", seconds % 60));
    time::write_fraction(out, fraction as u32);
    out.push_str("' DAY TO SECOND");
}

/// Writes `INTERVAL '1-2' YEAR TO MONTH`.
pub fn write_year_month(out: &mut String, months: i32) {
    let (sign, total) = (if months < 0 { "-" } else { "" }, months.unsigned_abs());
    put(out, format_args!("INTERVAL '{sign}{}-{}' YEAR TO MONTH", total / 12, total % 12));
}

/// The value at `row` as a literal of SQL, as messages show it: `3.0E9D`, `TIMESTAMP '2024-01-01 00:00:00'`.
pub(crate) fn literal(array: &dyn Array, row: usize, settings: &Settings) -> String {
    let Some(text) = format_value(array, row, settings) else { return "NULL".to_owned() };
    match array.data_type() {
        DataType::Int8 => format!("{text}Y"),
        DataType::Int16 => format!("{text}S"),
        DataType::Int64 => format!("{text}L"),
        DataType::Float64 if array.as_primitive::<Float64Type>().value(row).is_finite() => format!("{text}D"),
        DataType::Decimal128(_, _) => format!("{text}BD"),
        DataType::Utf8 => format!("'{text}'"),
        DataType::Date32 => format!("DATE '{text}'"),
        DataType::Timestamp(_, Some(_)) => format!("TIMESTAMP '{text}'"),
        DataType::Timestamp(_, None) => format!("TIMESTAMP_NTZ '{text}'"),
        _ => text,
    }
}
