//! Rows as JSON lines, in the form in which Spark writes them.

use arrow::array::{Array, AsArray, BinaryArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidegate_runtime::Result;

use super::forms::TimeTexts;
use super::json_cursor::write_string;
pub(crate) use super::value_text::sql_timestamp;
use super::value_text::{self, Scalars, Strings};

/// How the JSON files of a sink are written: Spark's options of these names, with its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonWriteOptions {
    /// What is null in an object is left out (it is).
    pub ignore_null_fields: bool,
    /// Characters other than those of ASCII are written as `\u00E9` (they are not).
    pub write_non_ascii_character_as_code_point: bool,
    /// What ends a row (`\n`).
    pub line_separator: String,
}

impl Default for JsonWriteOptions {
    fn default() -> Self {
        JsonWriteOptions {
            ignore_null_fields: true,
            write_non_ascii_character_as_code_point: false,
            line_separator: "\n".to_owned(),
        }
    }
}

/// How values are written.
#[derive(Clone, Copy)]
struct Style<'a> {
    options: &'a JsonWriteOptions,
    times: &'a TimeTexts,
}

/// Appends each row as an object in a line of its own.
pub(crate) fn encode(batch: &RecordBatch, options: &JsonWriteOptions, times: &TimeTexts, out: &mut Vec<u8>) -> Result<()> {
    let columns = batch.columns().iter().map(|column| column.as_ref());
    let object = Object::of(batch.schema_ref().fields(), columns, Style { options, times })?;
    for row in 0..batch.num_rows() {
        object.write(row, out)?;
        out.extend_from_slice(options.line_separator.as_bytes());
    }
    Ok(())
}

/// One value, also null.
pub(crate) fn value(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<()> {
    let (options, times) = (JsonWriteOptions::default(), TimeTexts::default());
    Column::of(array, Style { options: &options, times: &times })?.write(row, out)
}

/// The columns of a batch or a structure.
struct Object<'a> {
    /// With the name as it is written: `"name":`.
    fields: Vec<(Vec<u8>, Column<'a>)>,
    has_nulls: bool,
}

impl<'a> Object<'a> {
    fn of(fields: &[FieldRef], columns: impl Iterator<Item = &'a dyn Array>, style: Style<'a>) -> Result<Self> {
        let field = |(field, column): (&FieldRef, &'a dyn Array)| {
            let mut name = Vec::new();
            style.write_string(field.name().as_bytes(), &mut name);
            name.push(b':');
            Ok((name, Column::of(column, style)?))
        };
        let fields = fields.iter().zip(columns).map(field).collect::<Result<_>>()?;
        Ok(Object { fields, has_nulls: !style.options.ignore_null_fields })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut separator = b'{';
        for (name, column) in &self.fields {
            if !self.has_nulls && column.is_null(row) {
                continue;
            }
            out.push(std::mem::replace(&mut separator, b','));
            out.extend_from_slice(name);
            column.write(row, out)?;
        }
        if separator == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(())
    }
}

/// A column whose type was looked at.
struct Column<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
    style: Style<'a>,
}

enum Values<'a> {
    Null,
    /// And whether none of them has a character that must be escaped.
    Strings(Strings<'a>, bool),
    Scalars(Scalars<'a>),
    Binary(&'a BinaryArray),
    Object(Object<'a>),
    List(Ranges<'a>, Box<Column<'a>>),
    /// Keys and values.
    Map(Ranges<'a>, Box<(Column<'a>, Column<'a>)>),
    /// As Arrow shows them.
    Other(ArrayFormatter<'a>),
}

/// Where the items of each row are.
enum Ranges<'a> {
    Offsets(&'a [i32]),
    LargeOffsets(&'a [i64]),
    FixedSize(usize),
}

impl Ranges<'_> {
    fn of(&self, row: usize) -> std::ops::Range<usize> {
        match self {
            Ranges::Offsets(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Ranges::LargeOffsets(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Ranges::FixedSize(size) => row * size..(row + 1) * size,
        }
    }
}

impl<'a> Column<'a> {
    fn of(array: &'a dyn Array, style: Style<'a>) -> Result<Self> {
        Ok(Column { nulls: array.nulls(), values: Values::of(array, style)?, style })
    }

    fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null) || self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        self.write_value(row, out)
    }

    /// Of a row that is not null.
    fn write_value(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match &self.values {
            Values::Null => out.extend_from_slice(b"null"),
            Values::Strings(strings, is_plain) if *is_plain => quoted(out, |out| out.extend_from_slice(strings.value(row))),
            Values::Strings(strings, _) => self.style.write_string(strings.value(row), out),
            Values::Scalars(scalars) if scalars.is_bare_in_json(row) => scalars.write(row, out),
            Values::Scalars(scalars) if scalars.has_form() => {
                let mut text = Vec::new();
                scalars.write(row, &mut text);
                self.style.write_string(&text, out);
            }
            Values::Scalars(scalars) => quoted(out, |out| scalars.write(row, out)),
            Values::Binary(array) => quoted(out, |out| out.extend_from_slice(STANDARD.encode(array.value(row)).as_bytes())),
            Values::Object(object) => object.write(row, out)?,
            Values::List(ranges, items) => {
                out.push(b'[');
                for (index, item) in ranges.of(row).enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    items.write(item, out)?;
                }
                out.push(b']');
            }
            Values::Map(ranges, entries) => {
                // Unlike in an object, null is kept.
                let (keys, values) = entries.as_ref();
                out.push(b'{');
                for (index, entry) in ranges.of(row).enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    keys.write_key(entry, out)?;
                    out.push(b':');
                    values.write(entry, out)?;
                }
                out.push(b'}');
            }
            Values::Other(formatter) => self.style.write_string(formatter.value(row).try_to_string()?.as_bytes(), out),
        }
        Ok(())
    }

    /// A map's key as text; Spark writes dates and times as the numbers that stand for them.
    fn write_key(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match &self.values {
            Values::Scalars(Scalars::Date32(days, _)) => quoted(out, |out| value_text::integer(days.value(row), out)),
            Values::Scalars(Scalars::Timestamp(times)) => quoted(out, |out| value_text::integer(times.micros(row), out)),
            _ => {
                let mut written = Vec::new();
                self.write(row, &mut written)?;
                if written.first() == Some(&b'"') {
                    out.extend_from_slice(&written)
                } else {
                    self.style.write_string(&written, out)
                }
            }
        }
        Ok(())
    }
}

impl<'a> Values<'a> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "Arrow's types are many and grow; all but these are written as text")]
    fn of(array: &'a dyn Array, style: Style<'a>) -> Result<Self> {
        if let Some(scalars) = Scalars::of(array, style.times) {
            return Ok(Values::Scalars(scalars));
        }
        if let Some(strings) = Strings::of(array) {
            let is_ascii_only = style.options.write_non_ascii_character_as_code_point;
            let is_special = |byte| byte < 0x20 || byte == b'"' || byte == b'\\' || is_ascii_only && byte >= 0x80;
            let is_plain = strings.none_has(is_special);
            return Ok(Values::Strings(strings, is_plain));
        }
        Ok(match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Binary => Values::Binary(array.as_binary()),
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns().iter().map(|column| column.as_ref());
                Values::Object(Object::of(fields, columns, style)?)
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Values::List(Ranges::Offsets(list.value_offsets()), Box::new(Column::of(list.values(), style)?))
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                Values::List(Ranges::LargeOffsets(list.value_offsets()), Box::new(Column::of(list.values(), style)?))
            }
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list();
                let size = usize::try_from(list.value_length()).unwrap_or_default();
                Values::List(Ranges::FixedSize(size), Box::new(Column::of(list.values(), style)?))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let entries = (Column::of(map.keys(), style)?, Column::of(map.values(), style)?);
                Values::Map(Ranges::Offsets(map.value_offsets()), Box::new(entries))
            }
            _ => Values::Other(ArrayFormatter::try_new(array, &FormatOptions::new())?),
        })
    }
}

impl Style<'_> {
    fn write_string(self, text: &[u8], out: &mut Vec<u8>) {
        if !self.options.write_non_ascii_character_as_code_point {
            return write_string(text, out);
        }
        let mut written = Vec::new();
        write_string(text, &mut written);
        for character in String::from_utf8_lossy(&written).chars() {
            match u8::try_from(character).ok().filter(u8::is_ascii) {
                Some(byte) => out.push(byte),
                None => {
                    let units =
                        character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect::<String>();
                    out.extend_from_slice(units.as_bytes());
                }
            }
        }
    }
}

/// Text that needs no escapes.
fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float64Array, Int64Array, Int64Builder, ListArray, MapBuilder,
        StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

    fn written(columns: Vec<(&str, ArrayRef)>) -> String {
        let mut out = Vec::new();
        let (options, times) = (JsonWriteOptions::default(), TimeTexts::default());
        encode(&RecordBatch::try_from_iter(columns).unwrap(), &options, &times, &mut out).unwrap();
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
    fn floats_that_are_no_numbers_in_json_are_text() {
        let floats = Float64Array::from(vec![1e7, f64::NAN, f64::NEG_INFINITY]);
        assert_eq!(written(vec![("f", Arc::new(floats))]), "{\"f\":1.0E7}\n{\"f\":\"NaN\"}\n{\"f\":\"-Infinity\"}\n");
    }
}
