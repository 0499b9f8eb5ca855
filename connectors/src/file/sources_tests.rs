//! Tests of what a file source takes from paths, and of compressed, multi-line and damaged files.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tidegate_runtime::{OffsetRange, ReadLimit, Result, Source, SourceSupplier};

use super::compression::Compressor;
use super::{CleanSource, Compression, CsvOptions, FileSource, JsonOptions, TextForm, TimeForms};
use crate::testing::{read, source_context};

pub(super) fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>()))
}

/// All rows of all files.
pub(super) fn batches(config: &FileSource) -> Result<Vec<RecordBatch>> {
    let mut source = config.supply()?;
    source.open(source_context(None, Vec::new()))?;
    take(&mut *source)
}

/// The rows of the next epoch, which is committed.
fn take(source: &mut dyn Source) -> Result<Vec<RecordBatch>> {
    let Some(end) = source.latest_offset(None, ReadLimit::All)? else { return Ok(Vec::new()) };
    let range = OffsetRange { start: None, end };
    source.journal(&range)?;
    let rows = read(source, &range)?;
    source.commit(&range.end)?;
    Ok(rows)
}

/// Rows as text, sorted: `-` for null.
fn shown(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        let batch = crate::instants::in_utc(batch).unwrap();
        let options = FormatOptions::new().with_null("-");
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        rows.extend(
            (0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|")),
        );
    }
    rows.sort();
    rows
}

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(path), content).unwrap();
    }
    dir
}

#[test]
fn partitions_are_columns() {
    let dir = tree(&[
        ("day=2024-01-01/h=1/a.csv", "x,1\n"),
        ("day=2024-01-02/h=__HIVE_DEFAULT_PARTITION__/a.csv", "y,2\n"),
        ("other/a.csv", "z,3\n"),
    ]);
    let empty = FileSource::csv(dir.path(), schema(&[]));
    let found = empty.discover_partitions(true).unwrap();
    assert_eq!(found, [Field::new("day", DataType::Date32, true), Field::new("h", DataType::Int32, true)]);
    let columns = [("s", DataType::Utf8), ("n", DataType::Int64), ("day", DataType::Date32), ("h", DataType::Int32)];
    let config = FileSource::csv(dir.path(), schema(&columns)).partition_columns(["day", "h"]);
    assert_eq!(shown(&batches(&config).unwrap()), ["x|1|2024-01-01|1", "y|2|2024-01-02|-"]);
    let some = config.clone().projection(["h", "n"]);
    assert_eq!(shown(&batches(&some).unwrap()), ["-|2", "1|1"]);
    let wrong = [("s", DataType::Utf8), ("n", DataType::Int64), ("day", DataType::Int32), ("h", DataType::Int32)];
    let error = batches(&FileSource::csv(dir.path(), schema(&wrong)).partition_columns(["day", "h"])).unwrap_err().to_string();
    assert!(error.contains("partition column day of type Int32 can't hold '2024-01-0") && error.contains("a.csv"), "{error}");
    std::fs::write(dir.path().join("b.csv"), "w,4\n").unwrap();
    let error = empty.discover_partitions(true).unwrap_err().to_string();
    assert!(error.contains("[CONFLICTING_PARTITION_COLUMN_NAMES]"), "{error}");
}

#[test]
fn metadata_says_where_rows_are_from() {
    let dir = tree(&[("a b.txt", "one\ntwo\n")]);
    let file = File::options().write(true).open(dir.path().join("a b.txt")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_500)).unwrap();
    let config = FileSource::text(dir.path()).projection(["_metadata", "value"]).split_bytes(4);
    let rows = shown(&batches(&config).unwrap());
    let uri = format!("file://{}/a%20b.txt", dir.path().display());
    let row = |start, value| {
        format!(
            "{{file_path: {uri}, file_name: a b.txt, file_size: 8, file_block_start: {start}, file_block_length: 4, \
             file_modification_time: 1970-01-01T00:00:01.500Z}}|{value}"
        )
    };
    assert_eq!(rows, [row(0, "one"), row(4, "two")]);
    assert!(FileSource::text(dir.path()).projection(["other"]).schema().is_err());
}

#[test]
fn files_are_cleaned_up_when_they_are_committed() {
    let dir = tree(&[("in/a.txt", "1")]);
    let input = dir.path().join("in");
    let mut source = FileSource::text(&input).clean_source(CleanSource::Delete).supply().unwrap();
    source.open(source_context(None, Vec::new())).unwrap();
    assert_eq!(shown(&take(&mut *source).unwrap()), ["1"]);
    assert!(!input.join("a.txt").exists());
    let within = FileSource::text(&input).clean_source(CleanSource::Archive(input.join("done")));
    assert!(within.supply().err().unwrap().to_string().contains("sourceArchiveDir"));
}

#[test]
fn compressed_files_of_any_codec() {
    let codecs = [Compression::Gzip, Compression::Deflate, Compression::Bzip2, Compression::Zstd, Compression::Snappy];
    for codec in codecs {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(format!("a.csv.{}", codec.extension()));
        let mut writer = Compressor::new(Some(codec), File::create(&path).unwrap()).unwrap();
        (0..20_000).for_each(|n| writeln!(writer, "{n},x").unwrap());
        writer.finish().unwrap();
        let config = FileSource::csv(dir.path(), schema(&[("n", DataType::Int64)])).split_bytes(10);
        let rows = batches(&config).unwrap();
        let sum: i64 = rows.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().iter()).sum();
        assert_eq!((rows.iter().map(RecordBatch::num_rows).sum::<usize>(), sum), (20_000, 199_990_000), "{codec:?}");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = batches(&config).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{codec:?}: {error}");
    }
}

#[test]
fn a_decompression_bomb_is_a_line_too_long() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bomb.json.gz");
    let mut writer = Compressor::new(Some(Compression::Gzip), File::create(&path).unwrap()).unwrap();
    let zeros = vec![b'0'; 1 << 20];
    (0..64).for_each(|_| writer.write_all(&zeros).unwrap());
    writer.finish().unwrap();
    let config = FileSource::json(dir.path(), schema(&[("n", DataType::Int64)])).max_line_bytes(1 << 20);
    let error = batches(&config).unwrap_err().to_string();
    assert!(error.contains("bomb.json.gz has a line of more than 1048576 bytes"), "{error}");
    let whole = config.json_options(JsonOptions { multi_line: true, ..JsonOptions::default() });
    let error = batches(&whole).unwrap_err().to_string();
    assert!(error.contains("bomb.json.gz has more than 1048576 bytes"), "{error}");
}

fn csv(content: &str, columns: &[(&str, DataType)], set: impl FnOnce(&mut CsvOptions)) -> Vec<String> {
    let dir = tree(&[("a.csv", content)]);
    let mut options = CsvOptions::default();
    set(&mut options);
    shown(&batches(&FileSource::csv(dir.path(), schema(columns)).csv_options(options)).unwrap())
}

#[test]
fn csv_options_as_sparks() {
    let text = [("a", DataType::Utf8), ("b", DataType::Utf8)];
    let lines = "h1,h2\n1,\"two\nlines, \"\n2,\"a\\\"\n\"\n\n3,open \"x\n";
    let multi_line = csv(lines, &text, |csv| (csv.header, csv.multi_line) = (true, true));
    assert_eq!(multi_line, ["1|two\nlines, ", "2|a\"\n", "3|open \"x"]);
    assert_eq!(csv("1,\"never closed\n2,b\n", &text, |csv| csv.multi_line = true), ["1|never closed\n2,b\n"]);
    assert_eq!(csv("#x\n1,#y\n", &text, |csv| csv.comment = Some(b'#')), ["1|#y"]);
    assert_eq!(csv(" a , b \n", &text, |_| ()), [" a | b "]);
    let trimmed = |csv: &mut CsvOptions| (csv.ignore_leading_white_space, csv.ignore_trailing_white_space) = (true, true);
    assert_eq!(csv(" a , \" b \" \n", &text, trimmed), ["a| b "]);
    assert_eq!(csv("\"\",\n", &text, |csv| (csv.null_value, csv.empty_value) = ("-".into(), "E".into())), ["E|-"]);
    assert_eq!(csv("'a,b',c\n", &text, |csv| csv.quote = Some(b'\'')), ["a,b|c"]);
    assert_eq!(csv("\"a,b\"\n", &text, |csv| csv.quote = None), ["\"a|b\""]);
    let doubles = [("a", DataType::Float64), ("b", DataType::Float64)];
    let named = |csv: &mut CsvOptions| (csv.nan_value, csv.positive_inf) = ("nix".into(), "big".into());
    assert_eq!(csv("nix,big\n", &doubles, named), ["NaN|inf"]);
}

fn json(content: &str, options: JsonOptions) -> Vec<String> {
    let dir = tree(&[("a.json", content)]);
    let columns = schema(&[("a", DataType::Int64), ("b", DataType::Utf8), ("_corrupt_record", DataType::Utf8)]);
    shown(&batches(&FileSource::json(dir.path(), columns).json_options(options)).unwrap())
}

#[test]
fn json_options_as_sparks() {
    let usual = JsonOptions::default();
    let multi_line = JsonOptions { multi_line: true, ..usual };
    assert_eq!(json("[\n {\"a\": 1},\n {\"a\":\n2, \"b\": \"x\"}]", multi_line), ["1|-|-", "2|x|-"]);
    assert_eq!(json("{\"a\":\n", multi_line), ["-|-|{\"a\":\n"]);
    assert_eq!(json("{\"b\":\"it\\'s\"}", usual), ["-|it's|-"]);
    let cases: [(&str, JsonOptions, &str); 7] = [
        ("{/*x*/\"a\":1}//y", JsonOptions { allow_comments: true, ..usual }, "1|-|-"),
        ("{a:1, b:\"x\"}", JsonOptions { allow_unquoted_field_names: true, ..usual }, "1|x|-"),
        ("{\"a\":001}", JsonOptions { allow_numeric_leading_zeros: true, ..usual }, "1|-|-"),
        ("{\"b\":\"\\q\"}", JsonOptions { allow_backslash_escaping_any_character: true, ..usual }, "-|q|-"),
        ("{\"b\":\"x\ty\"}", JsonOptions { allow_unquoted_control_chars: true, ..usual }, "-|x\ty|-"),
        ("{'b':1}", JsonOptions { allow_single_quotes: false, ..usual }, "-|-|{'b':1}"),
        ("{\"b\":\"it\\'s\"}", JsonOptions { allow_single_quotes: false, ..usual }, "-|-|{\"b\":\"it\\'s\"}"),
    ];
    for (line, options, expected) in cases {
        assert_eq!(json(line, options), [expected], "{line}");
        if options.allow_single_quotes {
            assert_eq!(json(line, usual), [format!("-|-|{line}")], "{line}");
        }
    }
}

#[test]
fn dates_and_times_of_a_form_of_their_own() {
    let dir = tree(&[("a.csv", "7,8\nx,y\n")]);
    let number = |times: i64| TextForm::new(move |text| Some(text.parse::<i64>().ok()? * times));
    let forms = TimeForms { date: Some(number(1)), timestamp: Some(number(1_000_000)), timestamp_ntz: None };
    let columns = schema(&[("d", DataType::Date32), ("t", super::inference::instants())]);
    let rows = batches(&FileSource::csv(dir.path(), columns).time_forms(forms)).unwrap();
    assert_eq!(shown(&rows), ["-|-", "1970-01-08|1970-01-01T00:00:08Z"]);
}

#[test]
fn text_as_whole_files_and_by_other_separators() {
    let dir = tree(&[("a.txt", "one\ntwo;three")]);
    let text = || FileSource::text(dir.path());
    assert_eq!(shown(&batches(&text().whole_text(true)).unwrap()), ["one\ntwo;three"]);
    assert_eq!(shown(&batches(&text().line_separator(";")).unwrap()), ["one\ntwo", "three"]);
    assert_eq!(shown(&batches(&text().line_separator("wo;").split_bytes(3)).unwrap()), ["one\nt", "three"]);
}

/// The files of a format that are no files of it, or were cut off.
#[test]
fn damaged_files_are_named() {
    type Source = fn(PathBuf, SchemaRef) -> FileSource;
    let kinds: Vec<(&str, Source)> = vec![
        ("parquet", |path, schema| FileSource::parquet(path, schema)),
        #[cfg(feature = "avro")]
        ("avro", |path, schema| FileSource::avro(path, schema)),
        #[cfg(feature = "orc")]
        ("orc", |path, schema| FileSource::orc(path, schema)),
    ];
    for (name, source) in kinds {
        for content in ["", "PAR1", "ORC", "Obj\u{1}", "no magic at all, but a few bytes of text\nORC\u{3}"] {
            let dir = tree(&[("bad", content)]);
            let config = source(dir.path().to_path_buf(), schema(&[("a", DataType::Int64)]));
            let Err(error) = batches(&config) else {
                assert!(content.is_empty(), "{name}: {content:?} was read");
                continue;
            };
            assert!(error.to_string().contains(&format!("{}/bad", dir.path().display())), "{name}: {error}");
        }
    }
}

#[cfg(not(feature = "avro"))]
#[test]
fn a_build_without_a_format_says_so() {
    let error = FileSource::avro("x", schema(&[("a", DataType::Int64)])).supply().err().unwrap().to_string();
    assert!(error.contains("the feature avro"), "{error}");
}

#[test]
fn the_output_of_a_sink_is_what_its_manifest_says() {
    let dir = tempfile::tempdir().unwrap();
    super::round_trip_tests::write(&super::FileSink::text(dir.path()), &[text_rows(&["a", "b"])]);
    std::fs::write(dir.path().join("part-00007-00000.txt"), "of an epoch that is not committed\n").unwrap();
    let config = FileSource::text(dir.path());
    assert_eq!(shown(&batches(&config).unwrap()), ["a", "b"]);
    let error = batches(&config.clone().clean_source(CleanSource::Delete)).unwrap_err().to_string();
    assert!(error.contains("set cleanSource to off"), "{error}");
    std::fs::remove_file(dir.path().join("part-00000-00000.txt")).unwrap();
    let error = batches(&config).unwrap_err().to_string();
    assert!(error.contains("part-00000-00000.txt was committed by a sink"), "{error}");
}

fn text_rows(values: &[&str]) -> RecordBatch {
    let column: arrow::array::ArrayRef = Arc::new(arrow::array::StringArray::from(values.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("value", column, true)]).unwrap()
}

pub(super) fn names_below(dir: &Path) -> Vec<String> {
    let location = super::location::Location::of(dir, &super::location::Choice { recursive: true, ..Default::default() });
    location.unwrap().files(&|_| true).unwrap().into_iter().map(|file| file.path).collect()
}
