//! The parsers of files, fed with any bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed check is what a fuzzer looks for")]

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::csv_options::CsvOptions;
use super::csv_reader::{self, CsvReader};
use super::csv_values::Looked;
use super::forms::TimeForms;
use super::glob::Pattern;
use super::json_cursor::{Cursor, JsonRules};
use super::json_reader;
use super::lines::{LineCutter, LineEnd, LineError, Lines};
use super::manifest::{Content, checked_line};
use super::parquet_pages::check_parquet_pages;
use super::records::{ParseMode, RecordColumns, Records};
use super::snappy::{SnappyReader, SnappyWriter};

const MODES: [ParseMode; 3] = [ParseMode::Permissive, ParseMode::DropMalformed, ParseMode::FailFast];

/// Bits of the first byte, and the bytes after it.
fn flags(bytes: &[u8]) -> (impl Fn(u32) -> bool, &[u8]) {
    let (first, rest) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
    (move |bit| first >> bit & 1 == 1, rest)
}

/// Columns of many types, and the one for corrupt records.
fn columns(nested: bool) -> RecordColumns {
    let simple = [
        ("s", DataType::Utf8),
        ("i", DataType::Int32),
        ("l", DataType::Int64),
        ("f", DataType::Float64),
        ("b", DataType::Boolean),
        ("d", DataType::Decimal128(10, 2)),
        ("day", DataType::Date32),
        ("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("bin", DataType::Binary),
    ];
    let mut fields: Vec<Field> = simple.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    if nested {
        let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
        fields.push(Field::new("list", list(list(DataType::Int64)), true));
        fields.push(Field::new("row", DataType::Struct(fields[..3].to_vec().into()), true));
    }
    fields.push(Field::new("corrupt", DataType::Utf8, true));
    let (last, schema) = (fields.len() - 1, Arc::new(Schema::new(fields)));
    RecordColumns { schema, read: (0..=last).collect(), corrupt: Some(last) }
}

/// Each line is a record.
pub fn csv(bytes: &[u8]) {
    let (flag, text) = flags(bytes);
    let options = CsvOptions {
        escape: Some(if flag(0) { b'"' } else { b'\\' }),
        comment: flag(1).then_some(b'#'),
        ignore_leading_white_space: flag(2),
        ignore_trailing_white_space: flag(3),
        separator: (if flag(4) { "\t" } else { "," }).to_owned(),
        ..CsvOptions::default()
    };
    let columns = columns(false);
    let targets = CsvReader::targets(&columns);
    for mode in MODES {
        let Ok(mut records) = Records::new(&columns, mode, &TimeForms::default()) else { panic!("the columns can't be read") };
        for line in text.split(|byte| *byte == b'\n') {
            let first = records.rows.len();
            let verdict = csv_reader::read_record(&mut records.rows, line, &options, &targets);
            drop(records.judge(first, line, verdict));
            let rows = records.rows.len() - first;
            assert!(rows == 1 || rows == 0 && mode != ParseMode::Permissive, "a line is a row");
        }
        records.take().unwrap();
    }
    // Looking on where one has stopped is as good as looking at all of it.
    let (mut looked, mut is_open) = (Looked::default(), true);
    for (at, _) in text.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        let record = &text[..at];
        if !is_open {
            break;
        }
        is_open = options.is_open(record, &mut looked);
        assert_eq!(is_open, options.is_open(record, &mut Looked::default()), "{record:?}");
    }
}

/// A line of JSON.
pub fn json(bytes: &[u8]) {
    let (flag, text) = flags(bytes);
    let rules = JsonRules {
        allow_comments: flag(0),
        allow_unquoted_field_names: flag(1),
        allow_single_quotes: flag(2),
        allow_numeric_leading_zeros: flag(3),
        allow_backslash_escaping_any_character: flag(4),
        allow_unquoted_control_chars: flag(5),
        allow_non_numeric_numbers: flag(6),
    };
    let columns = columns(true);
    for mode in MODES {
        let Ok(mut records) = Records::new(&columns, mode, &TimeForms::default()) else { panic!("the columns can't be read") };
        drop(json_reader::read_record(&mut records, Cursor::new(rules), text).1);
        // Nothing of a bad record is left behind for the next one.
        drop(json_reader::read_record(&mut records, Cursor::new(rules), b"{\"l\":7}").1);
        let rows = records.take().unwrap().unwrap();
        assert!(rows.num_rows() >= 1);
    }
    let raw = Cursor::new(rules).on(text).raw();
    assert_eq!(raw.is_ok(), Cursor::new(rules).on(text).skip().is_ok());
    if let Ok(raw) = raw {
        assert_eq!(Cursor::new(rules).on(raw).raw(), Ok(raw), "a value is all that is taken for it");
        let is_plain =
            rules == JsonRules { allow_single_quotes: false, allow_non_numeric_numbers: false, ..JsonRules::default() };
        let is_plain = is_plain && std::str::from_utf8(raw).is_ok();
        assert!(!is_plain || serde_json::from_slice::<serde::de::IgnoredAny>(raw).is_ok(), "{raw:?}");
    }
}

/// A file in splits and blocks, whose sizes the first bytes say.
pub fn lines(bytes: &[u8]) {
    let [split, block, content @ ..] = bytes else { return };
    let whole = cut(content, u64::MAX, usize::MAX);
    let pieces = cut(content, u64::from(*split).max(1), usize::from(*block).max(1));
    assert_eq!(whole, pieces);
    let joined: usize = whole.iter().flatten().map(Vec::len).sum();
    assert!(joined <= content.len());
}

fn cut(content: &[u8], split: u64, block: usize) -> Result<Vec<Vec<u8>>, LineError> {
    let (mut lines, mut start, len) = (Vec::new(), 0, content.len() as u64);
    while start < len {
        let end = len.min(start.saturating_add(split));
        let mut cutter = LineCutter::new(start..end, 1 << 20, LineEnd::default());
        let mut full = |batch: Lines| {
            lines.extend(batch.iter().map(|(_, line)| line.to_vec()));
            Ok::<_, LineError>(())
        };
        let from = usize::try_from(cutter.position()).unwrap();
        content[from..].chunks(block).try_for_each(|bytes| cutter.take(bytes, &mut full))?;
        cutter.finish(&mut full)?;
        start = end;
    }
    Ok(lines)
}

/// A file in Hadoop's frame of Snappy.
pub fn snappy(bytes: &[u8]) {
    let mut content = Vec::new();
    if SnappyReader::new(bytes).take(16 << 20).read_to_end(&mut content).is_ok() && content.len() < 16 << 20 {
        let mut writer = SnappyWriter::new(Vec::new());
        writer.write_all(&content).unwrap();
        let mut again = Vec::new();
        SnappyReader::new(writer.finish().unwrap().as_slice()).read_to_end(&mut again).unwrap();
        assert!(content == again);
    }
}

/// Pages of a Parquet file: nothing that follows them makes them good, if they are not.
pub fn parquet_pages(bytes: &[u8]) {
    if check_parquet_pages(bytes, 4).is_err_and(|error| error.to_string().contains("holds more")) {
        assert!(check_parquet_pages(&[bytes, &[0; 9]].concat(), 4).is_err());
    }
}

/// A pattern, and after a zero a name.
pub fn glob(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (pattern, name) = text.split_once('\0').unwrap_or((&text, ""));
    if let Ok(parsed) = Pattern::parse(pattern) {
        let _ = parsed.matches(name);
        // Without special characters a pattern means itself.
        if !pattern.contains(['*', '?', '[', '{', '\\']) {
            assert!(parsed.matches(pattern), "{pattern}");
        }
    }
}

/// The manifest of a sink, as it is and with checks that pass.
pub fn manifest(bytes: &[u8]) {
    let resealed: Vec<u8> = bytes.split(|byte| *byte == b'\n').flat_map(resealed).collect();
    for bytes in [bytes, &resealed] {
        let Ok(content) = Content::parse(Path::new("manifest"), bytes) else { continue };
        let _ = content.files().count();
        if content.merged.is_empty() && content.merging.is_none() {
            let again = Content::parse(Path::new("manifest"), &content.to_bytes().unwrap()).unwrap();
            assert_eq!((content.records, content.owner), (again.records, again.owner));
        }
    }
}

/// A line with the check that its text has.
pub(crate) fn resealed(line: &[u8]) -> Vec<u8> {
    let json = line.split_at_checked(line.len().saturating_sub(9)).map_or(line, |(json, _)| json);
    match serde_json::from_slice::<serde_json::Value>(json) {
        Ok(value) => checked_line(&value).unwrap(),
        Err(_) => [line, b"\n"].concat(),
    }
}

#[cfg(test)]
pub(crate) fn csv_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "\0a,1,2,3.5,true,1.25,2024-01-31,2024-01-31T12:00:00Z,AQ==\nb,,,,,,,,\n",
        "\x01\"a \"\"b\"\",c\",1\n\"open\nand\nclosed\",2\n",
        "\x0E#no\n \"x\" , 1 ,NaN\n",
        "\x10\"\\\"\\\\\"\t-Inf\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[cfg(test)]
pub(crate) fn json_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "\0{\"s\":\"x\\u00e9\\n\",\"i\":1,\"l\":-2,\"f\":1e-3,\"b\":true,\"d\":1.25,\"day\":\"2024-01-31\",\"bin\":\"AQ==\"}",
        "\0[{\"list\":[[1,2],[],null,[3]]},{\"row\":{\"s\":\"a\",\"i\":null}}, {}]",
        "\x7F/*c*/{s:'x',l:007,f:NaN,at:'2024-01-31 12:00:00'}//",
        "\0{\"s\":{\"deep\":[{\"er\":[1,\"\\ud83d\\ude00\"]}]},\"s\":[1]}",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[cfg(test)]
pub(crate) fn parquet_pages_seeds() -> Vec<Vec<u8>> {
    let dictionary = [0x15, 4, 0x15, 6, 0x15, 6, 0x4C, 0x15, 2, 0x15, 0, 0, 0, 1, 2, 3];
    let data = [0x15, 0, 0x15, 8, 0x15, 6, 0x2C, 0x15, 2, 0x15, 0, 0x15, 6, 0x15, 6, 0x1C, 0x18, 1, 7, 0, 0, 0, 1, 2, 3];
    let of_version_2 =
        [0x15, 6, 0x15, 8, 0x15, 6, 0x5C, 0x15, 2, 0x15, 0, 0x15, 2, 0x15, 0, 0x15, 2, 0x15, 0, 0x11, 0, 0, 1, 2, 3];
    let large = [0x15, 0, 0x15, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 0x15, 2, 0, 1];
    vec![[&dictionary[..], &data].concat(), of_version_2.to_vec(), [&data[..], &large].concat()]
}

#[cfg(test)]
pub(crate) fn snappy_seeds() -> Vec<Vec<u8>> {
    let framed = |content: &[u8]| {
        let mut writer = SnappyWriter::new(Vec::new());
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    };
    vec![framed(b"hello hello hello hello"), framed(&[7; 1_000]), [framed(b"one"), framed(b"two")].concat()]
}

#[cfg(test)]
pub(crate) fn manifest_seeds() -> Vec<Vec<u8>> {
    let file = |path: &str| serde_json::json!({"path": path, "rows": 1, "bytes": 2, "crc32c": 3});
    let lines = [
        serde_json::json!({"format": "tidegate-manifest", "version": 1, "query": "q", "sink": "s"}),
        serde_json::json!({"epoch": 0, "files": [file("_pending/a"), file("_pending/b")]}),
        serde_json::json!({"epoch": 1, "files": []}),
        serde_json::json!({"merge": {"staged": "m", "file": file("a"), "replaces": ["_pending/a", "_pending/b"]}}),
        serde_json::json!({"merged": "a"}),
        serde_json::json!({"epoch": 2, "files": [file("c")]}),
    ];
    let checked: Vec<Vec<u8>> = lines.iter().map(|line| checked_line(line).unwrap()).collect();
    vec![checked.concat(), checked[..3].concat(), checked[0].clone()]
}
