//! Files that nobody should write: lines without end, structures without bottom, bombs, and files that go while they are read.
//!
//! Tests run on threads with 2 MiB of stack, as tasks do.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field};
use tidegate_runtime::{Error, OffsetRange, ReadLimit, Result, Source, SourceSupplier};

use super::compression::Compressor;
use super::sources_tests::{batches, schema};
use super::{Compression, CsvOptions, FileSource, JsonOptions, ParseMode};
use crate::testing::{read, source_context};

/// All readers of lines and of files as one value.
fn readers(dir: &Path) -> Vec<(&'static str, FileSource)> {
    let text = [("a", DataType::Utf8)];
    let multi = CsvOptions { multi_line: true, ..CsvOptions::default() };
    vec![
        ("text", FileSource::text(dir)),
        ("lines of another end", FileSource::text(dir).line_separator("||")),
        ("wholetext", FileSource::text(dir).whole_text(true)),
        ("csv", FileSource::csv(dir, schema(&text))),
        ("csv of several lines", FileSource::csv(dir, schema(&text)).csv_options(multi)),
        ("json", FileSource::json(dir, schema(&text))),
        (
            "json of several lines",
            FileSource::json(dir, schema(&text)).json_options(JsonOptions { multi_line: true, ..JsonOptions::default() }),
        ),
    ]
}

#[test]
fn a_line_of_a_gibibyte_is_an_error_after_what_may_be_read_of_it() {
    let dir = tempfile::tempdir().unwrap();
    // All holes: it costs no disk.
    File::create(dir.path().join("long")).unwrap().set_len(1 << 30).unwrap();
    for (name, source) in readers(dir.path()) {
        let error = batches(&source).unwrap_err().to_string();
        assert!(error.contains("/long has") && error.contains("more than 16777216 bytes"), "{name}: {error}");
    }
}

#[test]
fn a_long_line_is_read_if_it_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let line = vec![b'x'; 20 << 20];
    std::fs::write(dir.path().join("long"), &line).unwrap();
    let source = FileSource::text(dir.path());
    assert!(batches(&source).is_err());
    let rows = batches(&source.max_line_bytes(20 << 20)).unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
}

#[test]
fn a_quote_that_is_never_closed_is_looked_at_once() {
    let dir = tempfile::tempdir().unwrap();
    // Looking at all of the record again for each of its lines would take hours.
    let mut file = File::create(dir.path().join("open.csv")).unwrap();
    file.write_all(b"x,\"a\n").unwrap();
    (0..2_000_000).for_each(|_| file.write_all(b"\\\"\n").unwrap());
    drop(file);
    let columns = schema(&[("a", DataType::Utf8), ("b", DataType::Utf8)]);
    let options = CsvOptions { multi_line: true, ..CsvOptions::default() };
    let rows = batches(&FileSource::csv(dir.path(), columns).csv_options(options)).unwrap();
    assert_eq!(rows[0].num_rows(), 1);
    assert_eq!(rows[0].column(1).as_string::<i32>().value(0).len(), 2 + 2_000_000 * 2);
}

/// JSON of so many structures within each other: objects or arrays.
fn nested(depth: usize, open: &str, close: &str) -> String {
    format!("{}1{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn json_without_bottom_is_malformed() {
    let integers = DataType::List(Field::new("item", DataType::Int64, true).into());
    let texts = [
        format!("{{\"a\":{}}}", nested(10_000, "[", "]")),
        format!("{{\"a\":{}}}", nested(10_000, "{\"a\":", "}")),
        format!("{{\"other\":{}}}", nested(10_000, "[", "]")),
        nested(10_000, "[", "]"),
        nested(10_000, "{\"a\":", "}"),
        "[".repeat(10_000),
        "{\"a\":".repeat(10_000),
    ];
    for text in texts {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("deep.json"), &text).unwrap();
        for kind in [DataType::Utf8, integers.clone(), DataType::Int64] {
            for multi_line in [false, true] {
                let columns = schema(&[("a", kind.clone()), ("_corrupt_record", DataType::Utf8)]);
                let options = JsonOptions { multi_line, ..JsonOptions::default() };
                let source = |mode| FileSource::json(dir.path(), Arc::clone(&columns)).mode(mode).json_options(options);
                let rows = batches(&source(ParseMode::Permissive)).unwrap();
                assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
                assert!(rows[0].column(0).is_null(0));
                assert_eq!(rows[0].column(1).as_string::<i32>().value(0), text);
                assert!(batches(&source(ParseMode::DropMalformed)).unwrap().is_empty());
                let error = batches(&source(ParseMode::FailFast)).unwrap_err().to_string();
                assert!(error.contains("MALFORMED_RECORD_IN_PARSING") && error.len() < 2_000, "{error}");
            }
        }
    }
}

#[test]
fn a_bomb_is_read_piece_by_piece() {
    let dir = tempfile::tempdir().unwrap();
    for codec in [Compression::Gzip, Compression::Deflate, Compression::Bzip2, Compression::Zstd, Compression::Snappy] {
        let path = dir.path().join(format!("bomb.{}", codec.extension()));
        let mut writer = Compressor::new(Some(codec), File::create(&path).unwrap()).unwrap();
        let zeros = vec![0; 1 << 20];
        (0..256).for_each(|_| writer.write_all(&zeros).unwrap());
        writer.finish().unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 16 << 20, "{codec:?}");
        for (name, source) in readers(dir.path()) {
            let error = batches(&source).unwrap_err().to_string();
            assert!(error.contains("more than 16777216 bytes"), "{codec:?}, {name}: {error}");
        }
        std::fs::remove_file(path).unwrap();
    }
}

/// A source of one planned file, and the epoch that has it.
fn planned(config: &FileSource) -> (Box<dyn Source>, OffsetRange) {
    let mut source = config.supply().unwrap();
    source.open(source_context(None, Vec::new())).unwrap();
    let end = source.latest_offset(None, ReadLimit::All).unwrap().unwrap();
    let range = OffsetRange { start: None, end };
    source.journal(&range).unwrap();
    (source, range)
}

#[test]
fn a_file_that_goes_or_changes_between_its_planning_and_its_reading_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    let replace = |path: &Path| {
        remove(path);
        std::fs::create_dir(path).unwrap();
    };
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    let touch = |path: &Path| File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
    let shorten = |path: &Path| File::options().write(true).open(path).unwrap().set_len(1).unwrap();
    type Damage<'a> = &'a dyn Fn(&Path);
    let damages: [(&str, Damage<'_>); 4] =
        [("gone", &remove), ("a directory", &replace), ("touched", &touch), ("cut off", &shorten)];
    let mut sources = readers(dir.path());
    let columns = || schema(&[("a", DataType::Utf8)]);
    sources.push(("parquet", FileSource::parquet(dir.path(), columns())));
    #[cfg(feature = "avro")]
    sources.push(("avro", FileSource::avro(dir.path(), columns())));
    #[cfg(feature = "orc")]
    sources.push(("orc", FileSource::orc(dir.path(), columns())));
    for (format, config) in sources {
        for (what, damage) in damages {
            std::fs::write(&path, "{\"a\":\"x\"}\n").unwrap();
            let (mut source, range) = planned(&config);
            damage(&path);
            let read: Result<Vec<RecordBatch>> = read(&mut *source, &range);
            let error = read.unwrap_err();
            let is_named = error.to_string().contains(path.to_str().unwrap());
            assert!(is_named, "{format}, {what}: {error}");
            assert!(matches!(error, Error::SourceDataLoss(_)) || what == "a directory", "{format}, {what}: {error}");
            drop(std::fs::remove_file(&path));
            drop(std::fs::remove_dir(&path));
        }
    }
}

#[test]
fn a_file_that_goes_between_the_listing_and_the_planning_was_never_there() {
    let dir = tempfile::tempdir().unwrap();
    ["a", "b", "c"].iter().for_each(|name| std::fs::write(dir.path().join(name), format!("{name}\n")).unwrap());
    let mut source = FileSource::text(dir.path()).max_files_per_trigger(1).supply().unwrap();
    source.open(source_context(None, Vec::new())).unwrap();
    let mut rows = Vec::new();
    let mut at = None;
    // The first epoch lists all three.
    for expected in [Some("a"), Some("c"), None] {
        let end = source.latest_offset(at.as_ref(), ReadLimit::Configured).unwrap();
        assert_eq!(end.is_some(), expected.is_some());
        let Some(end) = end else { break };
        let range = OffsetRange { start: at, end };
        source.journal(&range).unwrap();
        rows.extend(read(&mut *source, &range).unwrap());
        at = Some(range.end);
        drop(std::fs::remove_file(dir.path().join("b")));
    }
    let texts: Vec<&str> = rows.iter().map(|batch| batch.column(0).as_string::<i32>().value(0)).collect();
    assert_eq!(texts, ["a", "c"]);
}
