//! Rows as JSON lines, in the form in which Spark writes them.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidegate_runtime::Result;

use super::json_cursor::write_string;

/// Appends each row as an object in a line of its own. What is null in an object is left out.
pub(crate) fn encode(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    for row in 0..batch.num_rows() {
        object(batch.schema_ref().fields(), batch.columns(), row, out)?;
        out.push(b'\n');
    }
    Ok(())
}

fn object(fields: &Fields, columns: &[ArrayRef], row: usize, out: &mut Vec<u8>) -> Result<()> {
    let mut separator = b'{';
    for (field, column) in fields.iter().zip(columns) {
        if column.is_null(row) || *column.data_type() == DataType::Null {
            continue;
        }
        out.push(std::mem::replace(&mut separator, b','));
        write_string(field.name().as_bytes(), out);
        out.push(b':');
        value(column, row, out)?;
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

fn structure(rows: &StructArray, row: usize, out: &mut Vec<u8>) -> Result<()> {
    object(rows.fields(), rows.columns(), row, out)
}

/// One value, also null.
#[expect(clippy::wildcard_enum_match_arm, reason = "Arrow's types are many and grow; all but these are written as text")]
pub(crate) fn value(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<()> {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Null => out.extend_from_slice(b"null"),
        DataType::Utf8 => write_string(array.as_string::<i32>().value(row).as_bytes(), out),
        DataType::Boolean => plain(array.as_boolean().value(row), out),
        DataType::Int8 => plain(array.as_primitive::<Int8Type>().value(row), out),
        DataType::Int16 => plain(array.as_primitive::<Int16Type>().value(row), out),
        DataType::Int32 => plain(array.as_primitive::<Int32Type>().value(row), out),
        DataType::Int64 => plain(array.as_primitive::<Int64Type>().value(row), out),
        DataType::UInt8 => plain(array.as_primitive::<UInt8Type>().value(row), out),
        DataType::UInt16 => plain(array.as_primitive::<UInt16Type>().value(row), out),
        DataType::UInt32 => plain(array.as_primitive::<UInt32Type>().value(row), out),
        DataType::UInt64 => plain(array.as_primitive::<UInt64Type>().value(row), out),
        DataType::Float32 => {
            let float = array.as_primitive::<Float32Type>().value(row);
            if is_plain(f64::from(float)) {
                plain(format_args!("{float:?}"), out);
            } else {
                number(float.is_finite(), &java_float(&format!("{float:e}")), out);
            }
        }
        DataType::Float64 => {
            let float = array.as_primitive::<Float64Type>().value(row);
            if is_plain(float) {
                plain(format_args!("{float:?}"), out);
            } else {
                number(float.is_finite(), &java_float(&format!("{float:e}")), out);
            }
        }
        DataType::Decimal128(_, scale) => plain(java_decimal(array.as_primitive::<Decimal128Type>().value(row), *scale), out),
        DataType::Date32 => quoted(&date(array.as_primitive::<Date32Type>().value(row).into()), out),
        DataType::Timestamp(unit, zone) => {
            timestamp(micros(array, row, *unit), if zone.is_some() { "Z" } else { "" }, out);
        }
        DataType::Binary => quoted(&STANDARD.encode(array.as_binary::<i32>().value(row)), out),
        DataType::Struct(_) => structure(array.as_struct(), row, out)?,
        DataType::List(_) => list(&array.as_list::<i32>().value(row), out)?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row), out)?,
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(row), out)?,
        DataType::Map(..) => map(&array.as_map().value(row), out)?,
        _ => write_string(text(array, row)?.as_bytes(), out),
    }
    Ok(())
}

fn list(items: &ArrayRef, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'[');
    for item in 0..items.len() {
        if item > 0 {
            out.push(b',');
        }
        value(items, item, out)?;
    }
    out.push(b']');
    Ok(())
}

/// Unlike in an object, null is kept.
fn map(entries: &StructArray, out: &mut Vec<u8>) -> Result<()> {
    let (keys, values) = (entries.column(0), entries.column(1));
    out.push(b'{');
    for entry in 0..entries.len() {
        if entry > 0 {
            out.push(b',');
        }
        key(keys, entry, out)?;
        out.push(b':');
        value(values, entry, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// A map's key as text; Spark writes dates and times as the numbers that stand for them.
#[expect(clippy::wildcard_enum_match_arm, reason = "Arrow's types are many and grow; all but these are written as values are")]
fn key(keys: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
    match keys.data_type() {
        DataType::Date32 => quoted(&keys.as_primitive::<Date32Type>().value(row).to_string(), out),
        DataType::Timestamp(unit, _) => quoted(&micros(keys, row, *unit).to_string(), out),
        _ => {
            let mut written = Vec::new();
            value(keys, row, &mut written)?;
            if written.first() == Some(&b'"') { out.extend_from_slice(&written) } else { write_string(&written, out) }
        }
    }
    Ok(())
}

/// Any other value as Arrow shows it.
fn text(array: &dyn Array, row: usize) -> Result<String> {
    let options = FormatOptions::new();
    Ok(ArrayFormatter::try_new(array, &options)?.value(row).try_to_string()?)
}

fn plain(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    let written = std::io::Write::write_fmt(out, format_args!("{value}"));
    debug_assert!(written.is_ok(), "writing to a vector does not fail");
}

/// Whether Java writes a float without an exponent, as Rust's `Debug` does for these too.
fn is_plain(float: f64) -> bool {
    float == 0.0 || (1e-3..1e7).contains(&float.abs())
}

/// Text that needs no escapes.
fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn number(is_finite: bool, text: &str, out: &mut Vec<u8>) {
    if is_finite { out.extend_from_slice(text.as_bytes()) } else { quoted(text, out) }
}

/// A float as Java writes it, from Rust's scientific form of it: `1.5e3` is `1500.0`, `1e7` is `1.0E7`.
fn java_float(scientific: &str) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific.replace("inf", "Infinity");
    };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    match exponent.parse::<i32>() {
        Ok(exponent @ 0..=6) => {
            let whole = exponent.unsigned_abs() as usize + 1;
            let padded = format!("{digits:0<whole$}");
            let (whole, fraction) = padded.split_at(whole);
            format!("{sign}{whole}.{}", if fraction.is_empty() { "0" } else { fraction })
        }
        Ok(exponent @ -3..=-1) => format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1)),
        _ => {
            let (whole, fraction) = digits.split_at(1.min(digits.len()));
            format!("{sign}{whole}.{}E{exponent}", if fraction.is_empty() { "0" } else { fraction })
        }
    }
}

/// A decimal as Java's `BigDecimal` writes it: with an exponent if it is very small.
fn java_decimal(unscaled: i128, scale: i8) -> String {
    let (sign, digits) = (if unscaled < 0 { "-" } else { "" }, unscaled.unsigned_abs().to_string());
    let adjusted = digits.len() as i64 - 1 - i64::from(scale);
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    if scale < 0 || adjusted < -6 {
        let (whole, fraction) = digits.split_at(1);
        let point = if fraction.is_empty() { "" } else { "." };
        let plus = if adjusted > 0 { "+" } else { "" };
        return format!("{sign}{whole}{point}{fraction}E{plus}{adjusted}");
    }
    let scale = usize::from(scale.unsigned_abs());
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

fn micros(array: &dyn Array, row: usize, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1_000_000),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row).saturating_mul(1_000),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000),
    }
}

/// `2024-01-31T12:00:00.000` in quotes, in UTC, cut to milliseconds.
fn timestamp(micros: i64, zone: &str, out: &mut Vec<u8>) {
    let (days, of_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (millis, seconds) = (of_day / 1_000 % 1_000, of_day / 1_000_000);
    out.push(b'"');
    out.extend_from_slice(date(days).as_bytes());
    for (before, value, digits) in
        [(b'T', seconds / 3_600, 2), (b':', seconds / 60 % 60, 2), (b':', seconds % 60, 2), (b'.', millis, 3)]
    {
        out.push(before);
        out.extend((0..digits).rev().map(|place| b'0' + (value / 10_i64.pow(place) % 10) as u8));
    }
    out.extend_from_slice(zone.as_bytes());
    out.push(b'"');
}

/// A timestamp as a cast to text writes it: `2024-01-31 12:00:00.5`, in UTC.
pub(crate) fn sql_timestamp(micros: i64) -> String {
    let (days, of_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (fraction, seconds) = (of_day % 1_000_000, of_day / 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
    format!("{} {hour:02}:{minute:02}:{second:02}{}", date(days), fraction.trim_end_matches('0'))
}

/// A date by its days since 1970-01-01.
fn date(days: i64) -> String {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let mut text = String::new();
    let written = match year {
        10_000.. => write!(text, "+{year}-{month:02}-{day:02}"),
        0..10_000 => write!(text, "{year:04}-{month:02}-{day:02}"),
        ..0 => write!(text, "-{:04}-{month:02}-{day:02}", -year),
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::scalars;
    use arrow::array::{
        BinaryArray, Date32Array, Decimal128Array, Float64Array, Int64Array, Int64Builder, ListArray, MapBuilder, StringArray,
        StringBuilder, TimestampMicrosecondArray,
    };
    use std::sync::Arc;

    fn written(columns: Vec<(&str, ArrayRef)>) -> String {
        let mut out = Vec::new();
        encode(&RecordBatch::try_from_iter(columns).unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_as_spark_writes_them() {
        let decimal = Decimal128Array::from(vec![150, -1]).with_precision_and_scale(5, 2).unwrap();
        let times = || TimestampMicrosecondArray::from(vec![1_704_067_200_123_456, -1]);
        let text = written(vec![
            ("s", Arc::new(StringArray::from(vec!["é\"\n\u{1}/", "\\"]))),
            ("d", Arc::new(decimal)),
            ("at", Arc::new(times().with_timezone("UTC"))),
            ("ntz", Arc::new(times())),
            ("day", Arc::new(Date32Array::from(vec![19_723, -1]))),
            ("b", Arc::new(BinaryArray::from(vec![&b"hi"[..], b""]))),
        ]);
        let expected = concat!(
            r#"{"s":"é\"\n\u0001/","d":1.50,"at":"2024-01-01T00:00:00.123Z","ntz":"2024-01-01T00:00:00.123","day":"2024-01-01","b":"aGk="}"#,
            "\n",
            r#"{"s":"\\","d":-0.01,"at":"1969-12-31T23:59:59.999Z","ntz":"1969-12-31T23:59:59.999","day":"1969-12-31","b":""}"#,
            "\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn nulls_are_left_out_of_objects_only() {
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        map.keys().append_value("k");
        map.values().append_null();
        map.append(true).unwrap();
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None])]);
        let null: ArrayRef = Arc::new(Int64Array::from(vec![None]));
        let nested = StructArray::try_from(vec![("z", Arc::clone(&null))]).unwrap();
        let columns: Vec<(&str, ArrayRef)> =
            vec![("n", null), ("m", Arc::new(map.finish())), ("l", Arc::new(list)), ("s", Arc::new(nested))];
        assert_eq!(written(columns), "{\"m\":{\"k\":null},\"l\":[1,null],\"s\":{}}\n");
    }

    #[test]
    fn floats_and_decimals_as_javas() {
        let floats = [
            (1.0, "1.0"),
            (100.0, "100.0"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (12_345_678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.000_1, "1.0E-4"),
            (123_456.789, "123456.789"),
            (-0.0, "-0.0"),
            (0.0, "0.0"),
            (0.000_999, "9.99E-4"),
            (9_999_999.999, "9999999.999"),
            (f64::NAN, "\"NaN\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ];
        for (float, expected) in floats {
            assert_eq!(written(vec![("f", Arc::new(Float64Array::from(vec![float])))]), format!("{{\"f\":{expected}}}\n"));
        }
        let decimals =
            [(1_000, 10, "1.000E-7"), (0, 10, "0E-10"), (1, 6, "0.000001"), (-15, 1, "-1.5"), (7, 0, "7"), (12, -2, "1.2E+3")];
        for (unscaled, scale, expected) in decimals {
            assert_eq!(java_decimal(unscaled, scale), expected);
        }
    }

    #[test]
    fn dates_are_read_back() {
        for days in (-800_000..3_000_000).step_by(37) {
            let text = date(days);
            assert_eq!(scalars::date(text.as_bytes()).map(i64::from), Some(days), "{text}");
        }
        assert_eq!(date(3_674_196), "+12029-08-10");
    }
}
