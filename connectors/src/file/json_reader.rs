//! JSON lines as rows.

use std::path::PathBuf;

use arrow::datatypes::Float64Type;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidegate_runtime::{Result, SourceOutput, SourceReader, Split};

use super::columns::{Column, Lists, Maps, Numbers, Structs};
use super::json_cursor::{Cursor, JsonRules, Malformed, Number};
use super::lines::Lines;
use super::records::{BadRecord, Records, Verdict};
use super::scalars;
use super::split_reader::{FileSplit, LineOptions, ReadError, read_split_lines, read_whole};

/// Reads splits of files of JSON lines, or files that are one value each.
#[derive(Debug)]
pub(crate) struct JsonReader {
    pub(crate) dir: PathBuf,
    pub(crate) records: Records,
    pub(crate) rules: JsonRules,
    pub(crate) multi_line: bool,
    pub(crate) lines: LineOptions,
}

impl SourceReader for JsonReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: FileSplit = split.decode()?;
        let path = self.dir.join(&split.file.path);
        let (records, rules) = (&mut self.records, self.rules);
        records.clear();
        if self.multi_line {
            let text = read_whole(&self.dir, &split, self.lines.max_bytes)?;
            let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
            let bad = read_record(records, Cursor::new(rules), text).1;
            bad.map_err(|bad| bad.in_file(&path, 0).in_file(&path, self.lines.max_bytes))?;
            return records.take()?.map_or(Ok(()), |batch| out.emit(batch));
        }
        let mut emit = |lines: Lines| -> Result<(), ReadError> {
            let mut cursor = Cursor::new(rules);
            for (at, line) in lines.iter() {
                let read = read_record(records, cursor, line);
                cursor = read.0;
                read.1.map_err(|bad| bad.in_file(&path, at))?;
            }
            match records.take()? {
                Some(batch) => Ok(out.emit(batch)?),
                None => Ok(()),
            }
        };
        read_split_lines(&self.dir, &split, &self.lines, &mut emit)
    }
}

/// Reads one record, and gives the cursor back for the next one.
pub(crate) fn read_record<'a>(records: &mut Records, cursor: Cursor<'_>, text: &[u8]) -> (Cursor<'a>, Result<(), BadRecord>) {
    let first = records.rows.len();
    let mut json = cursor.on(text);
    let verdict =
        if std::str::from_utf8(text).is_err() { Ok(Verdict::Malformed) } else { read_line(&mut records.rows, &mut json) };
    (json.on(&[]), records.judge(first, text, verdict.unwrap_or(Verdict::Malformed)))
}

/// The rows of one line: none, an object, or an array of objects. What follows them is not looked at, as in Spark.
fn read_line(rows: &mut Structs, json: &mut Cursor<'_>) -> Result<Verdict, Malformed> {
    match json.peek() {
        None => Ok(Verdict::Fits),
        Some(b'{') => object(rows, json).map(Fit::verdict),
        Some(b'[') => {
            json.bump();
            let mut fit = Fit::Whole;
            if json.eat(b']') {
                return Ok(Verdict::Fits);
            }
            loop {
                fit = fit.max(object(rows, json)?);
                if !json.eat(b',') {
                    json.expect(b']')?;
                    return Ok(fit.verdict());
                }
            }
        }
        Some(_) => Err(Malformed),
    }
}

/// How a value fits its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Whole,
    /// Something in it is null because it did not fit.
    Partly,
    /// It did not fit, and is null.
    Not,
}

impl Fit {
    fn verdict(self) -> Verdict {
        if self == Fit::Whole { Verdict::Fits } else { Verdict::Partial }
    }
}

/// Consumes an object as a row.
fn object(rows: &mut Structs, json: &mut Cursor<'_>) -> Result<Fit, Malformed> {
    json.expect(b'{')?;
    let (row, mut fit, mut position) = (rows.len(), Fit::Whole, 0);
    if !json.eat(b'}') {
        loop {
            let index = rows.index_of(json.field_name()?, position);
            position += 1;
            json.expect(b':')?;
            match index.and_then(|index| rows.columns.get_mut(index)) {
                Some(column) => {
                    // A name that comes twice: the last value counts.
                    column.truncate(row);
                    if push(column, json)? != Fit::Whole {
                        fit = Fit::Partly;
                    }
                }
                None => json.skip()?,
            }
            if !json.eat(b',') {
                json.expect(b'}')?;
                break;
            }
        }
    }
    rows.close();
    Ok(fit)
}

/// Consumes a value into its column: exactly one value is added, null if it does not fit.
fn push(column: &mut Column, json: &mut Cursor<'_>) -> Result<Fit, Malformed> {
    if json.eat_null()? {
        column.push_null();
        return Ok(Fit::Whole);
    }
    let first = json.peek().ok_or(Malformed)?;
    let (is_text, is_structure) = (matches!(first, b'"' | b'\''), matches!(first, b'{' | b'['));
    let is_number = !is_text && !is_structure && !matches!(first, b't' | b'f');
    let known = match column {
        Column::Struct(rows) if first == b'{' => return object(rows, json),
        Column::List(lists) if first == b'[' => return list(lists, json),
        Column::Map(maps) if first == b'{' => return map(maps, json),
        Column::Utf8(texts) if is_text => {
            texts.push(json.string()?);
            Some(())
        }
        Column::Utf8(texts) => {
            texts.push(json.raw()?);
            Some(())
        }
        Column::Boolean(values) if matches!(first, b't' | b'f') => {
            json.literal(if first == b't' { b"true" } else { b"false" })?;
            values.push(first == b't');
            Some(())
        }
        // Jackson takes bytes without a sign for bytes.
        Column::Int8(values) if is_number => {
            let wrapped = |value: i64| if (128..256).contains(&value) { value - 256 } else { value };
            values.push_integer(integer(json)?.map(wrapped))
        }
        Column::Int16(values) if is_number => values.push_integer(integer(json)?),
        Column::Int32(values) if is_number => values.push_integer(integer(json)?),
        Column::Int64(values) if is_number => values.push_integer(integer(json)?),
        Column::Float64(values) if is_number => double(values, json.number()?),
        Column::Float32(values) if is_number => match json.number()? {
            Number::Special(_, value) => Some(value as f32),
            number => scalars::float(number.text()),
        }
        .map(|value| values.push(value)),
        Column::Float64(values) if is_text => named_float(json)?.map(|value| values.push(value)),
        Column::Float32(values) if is_text => named_float(json)?.map(|value| values.push(value as f32)),
        Column::Decimal(values, precision, scale) if is_number => {
            scalars::decimal(json.number()?.text(), *precision, *scale).map(|value| values.push(value))
        }
        Column::Decimal(values, precision, scale) if is_text => {
            scalars::decimal(json.string()?, *precision, *scale).map(|value| values.push(value))
        }
        Column::Binary(values) if is_text => {
            let text = json.string()?;
            // To Jackson the text as a whole is broken then, not only this value.
            values.push_with(|out| STANDARD.decode_vec(text, out)).map_err(|_| Malformed)?;
            Some(())
        }
        Column::Date(values) if is_text => values.push_form(json.string()?, scalars::date),
        Column::Timestamp(values) if is_text => values.push_form(json.string()?, scalars::instant),
        Column::Timestamp(values) if is_number => {
            integer(json)?.and_then(|seconds| seconds.checked_mul(1_000_000)).map(|value| values.push(value))
        }
        Column::TimestampNtz(values) if is_text => values.push_form(json.string()?, scalars::wall_clock),
        Column::Boolean(_)
        | Column::Int8(_)
        | Column::Int16(_)
        | Column::Int32(_)
        | Column::Int64(_)
        | Column::Float32(_)
        | Column::Float64(_)
        | Column::Decimal(..)
        | Column::Binary(_)
        | Column::Date(_)
        | Column::Timestamp(_)
        | Column::TimestampNtz(_)
        | Column::List(_)
        | Column::Map(_)
        | Column::Struct(_) => {
            json.skip()?;
            None
        }
    };
    if known.is_some() {
        return Ok(Fit::Whole);
    }
    column.push_null();
    Ok(Fit::Not)
}

fn integer(json: &mut Cursor<'_>) -> Result<Option<i64>, Malformed> {
    Ok(match json.number()? {
        Number::Integer(text) => scalars::integer(text),
        Number::Float(_) | Number::Special(..) => None,
    })
}

fn double(values: &mut Numbers<Float64Type>, number: Number<'_>) -> Option<()> {
    let value = match number {
        Number::Special(_, value) => Some(value),
        Number::Integer(text) | Number::Float(text) => scalars::float(text),
    };
    value.map(|value| values.push(value))
}

/// Numbers that have a name only, in quotes.
fn named_float(json: &mut Cursor<'_>) -> Result<Option<f64>, Malformed> {
    let is_allowed = json.allows_non_numeric_numbers();
    Ok(match json.string()? {
        _ if !is_allowed => None,
        b"NaN" => Some(f64::NAN),
        b"+INF" | b"+Infinity" | b"Infinity" => Some(f64::INFINITY),
        b"-INF" | b"-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    })
}

/// Consumes an array. One item that does not fit makes the whole of it null, as in Spark.
fn list(lists: &mut Lists, json: &mut Cursor<'_>) -> Result<Fit, Malformed> {
    json.expect(b'[')?;
    let mut fit = Fit::Whole;
    if !json.eat(b']') {
        loop {
            fit = fit.max(push(&mut lists.items, json)?);
            if !json.eat(b',') {
                json.expect(b']')?;
                break;
            }
        }
    }
    if fit == Fit::Not {
        lists.push_null()
    } else {
        lists.close()
    }
    Ok(fit)
}

/// Consumes an object as a map, in the same way.
fn map(maps: &mut Maps, json: &mut Cursor<'_>) -> Result<Fit, Malformed> {
    json.expect(b'{')?;
    let mut fit = Fit::Whole;
    if !json.eat(b'}') {
        loop {
            maps.keys.push(json.string()?);
            json.expect(b':')?;
            fit = fit.max(push(&mut maps.values, json)?);
            if !json.eat(b',') {
                json.expect(b'}')?;
                break;
            }
        }
    }
    if fit == Fit::Not {
        maps.push_null()
    } else {
        maps.close()
    }
    Ok(fit)
}
