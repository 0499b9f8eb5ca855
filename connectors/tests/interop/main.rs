//! Files that Tidegate writes are read by others, and the other way round: PyArrow, DuckDB and fastavro, from PyPI, which
//! `install.sh` installs. Every value is compared, as one line of text that both sides make of it.
//!
//! ```text
//! cargo test -p tidegate-connectors --features avro,orc --test interop
//! ```
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test may")]
#![allow(clippy::wildcard_enum_match_arm, reason = "Arrow's types are many; all but ours are a failure")]

mod rows;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use arrow::record_batch::RecordBatch;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_connectors::{Compression, CsvOptions, CsvWriteOptions, FileSink, FileSource};
use tidegate_runtime::{
    Epoch, EpochInfo, NodeId, Notifier, OffsetRange, QueryId, ReadLimit, Result, SinkContext, SinkSupplier, SourceContext,
    SourceOutput, SourceSupplier,
};

use rows::{NESTED, Times, all, chosen, lines, with_texts};

const EPOCH: EpochInfo = EpochInfo { epoch: Epoch::FIRST, trigger_time_ms: 0, watermark: None, late_watermark: None };

/// The Python that has the others; `None` where it can't be had, which in CI is a failure.
fn python(test: &str) -> Option<PathBuf> {
    // One test installs it, the others wait.
    static INSTALLED: Mutex<()> = Mutex::new(());
    let _installing = INSTALLED.lock().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/install.sh");
    let installed = Command::new("bash").arg(script).stderr(Stdio::inherit()).output().ok();
    let python = installed.filter(|output| output.status.success()).map(|output| String::from_utf8(output.stdout).unwrap());
    if python.is_none() {
        assert!(std::env::var_os("CI").is_none(), "PyArrow, DuckDB and fastavro can't be installed");
        eprintln!("SKIPPED {test}: PyArrow, DuckDB and fastavro can't be installed (python3 with venv, and PyPI, are needed)");
    }
    python.map(|python| python.trim().into())
}

/// What others are to do, and what is to come of it.
struct Others {
    python: PathBuf,
    dir: TempDir,
    jobs: Vec<Value>,
}

impl Others {
    fn new(test: &str) -> Option<Others> {
        Some(Others { python: python(test)?, dir: tempfile::tempdir().unwrap(), jobs: Vec::new() })
    }

    /// A path that is not there yet.
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{}-{name}", self.jobs.len()))
    }

    /// An Arrow file of the rows.
    fn arrow(&self, rows: &RecordBatch) -> PathBuf {
        let path = self.path("like.arrow");
        let mut writer = FileWriter::try_new(File::create(&path).unwrap(), rows.schema_ref()).unwrap();
        writer.write(rows).unwrap();
        writer.finish().unwrap();
        path
    }

    fn read(&mut self, how: &str, path: &Path, rows: &RecordBatch) {
        let like = self.arrow(rows);
        self.jobs.push(json!({"do": "read", "how": how, "path": path, "like": like}));
    }

    /// Gives the path of the file to be.
    fn write(&mut self, how: &str, name: &str, rows: &RecordBatch, options: Value) -> PathBuf {
        let (like, dir) = (self.arrow(rows), self.path("written"));
        std::fs::create_dir(&dir).unwrap();
        self.jobs.push(json!({"do": "write", "how": how, "path": dir.join(name), "like": like, "options": options}));
        dir
    }

    /// What came of each job: lines, or an error.
    fn run(&mut self) -> Vec<Result<Vec<String>, String>> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/others.py");
        let mut command = Command::new(&self.python);
        let mut process = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        process.stdin.take().unwrap().write_all(&serde_json::to_vec(&std::mem::take(&mut self.jobs)).unwrap()).unwrap();
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success());
        let results: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let lines = |result: &Value| match result["lines"].as_array() {
            Some(lines) => Ok(lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect()),
            None => Err(result["error"].to_string()),
        };
        results.iter().map(lines).collect()
    }
}

/// Writes the rows with a sink, in one epoch.
fn write(sink: &FileSink, rows: &RecordBatch) {
    sink.check_input(rows.schema_ref()).unwrap();
    let mut open = sink.supply().unwrap();
    let context = SinkContext {
        node: NodeId::new("out"),
        query: QueryId::random(),
        schema: rows.schema(),
        parallelism: 1,
        committed: None,
    };
    open.open(context).unwrap();
    let mut writer = open.writer(0).unwrap();
    writer.write(EPOCH, rows.clone()).unwrap();
    let staged = writer.stage(EPOCH).unwrap();
    open.commit(Epoch::FIRST, vec![staged]).unwrap();
    open.close().unwrap();
}

/// The rows that a source has.
fn read(source: &FileSource) -> Result<Vec<RecordBatch>> {
    let mut open = source.supply()?;
    open.open(SourceContext {
        node: NodeId::new("in"),
        query: QueryId::random(),
        parallelism: 1,
        offset: None,
        journal: Vec::new(),
        notifier: Notifier::ignored(),
    })?;
    let end = open.latest_offset(None, ReadLimit::All)?.unwrap();
    let range = OffsetRange { start: None, end };
    open.journal(&range)?;
    let (mut batches, mut reader) = (Vec::new(), open.reader(0)?);
    for split in open.splits(&range)? {
        let mut keep = |batch: RecordBatch| {
            batches.push(batch);
            Ok(())
        };
        reader.read(&split, &mut SourceOutput::new(EPOCH, &mut keep))?;
    }
    Ok(batches)
}

/// All differences, so that one run shows them.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare(&mut self, what: &str, rows: &RecordBatch, found: Result<Vec<String>, String>) {
        let expected = lines(std::slice::from_ref(rows));
        match found {
            Err(error) => self.0.push(format!("{what}: {error}")),
            Ok(found) if found.len() != expected.len() => {
                self.0.push(format!("{what}: {} values instead of {}", found.len(), expected.len()));
            }
            Ok(found) => {
                let different = expected.iter().zip(&found).filter(|(expected, found)| expected != found);
                self.0.extend(different.map(|(expected, found)| format!("{what}: {found}, expected {expected}")));
            }
        }
    }

    fn compare_read(&mut self, what: &str, rows: &RecordBatch, source: &FileSource) {
        self.compare(what, rows, read(source).map(|batches| lines(&batches)).map_err(|error| error.to_string()));
    }
}

impl Drop for Differences {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{} differences:\n{}", self.0.len(), self.0.join("\n"));
        }
    }
}

/// Writes with each sink, reads back, and has each other reader read.
fn written_by_us(test: &str, cases: &[Ours<'_>]) {
    let Some(mut others) = Others::new(test) else { return };
    let (mut differences, mut expected) = (Differences::default(), Vec::new());
    for Ours { name, rows, sinks, source, readers } in cases {
        for (sink_name, sink) in sinks(&others.path(name)) {
            write(&sink, rows);
            let what = format!("{name} {sink_name}");
            differences.compare_read(&format!("{what} read back"), rows, &source(sink.directory(), rows.schema()));
            for (reader, except) in *readers {
                let rows = chosen(rows, except, false);
                others.read(reader, sink.directory(), &rows);
                expected.push((format!("{what} read by {reader}"), rows));
            }
        }
    }
    for ((what, rows), found) in expected.iter().zip(others.run()) {
        differences.compare(what, rows, found);
    }
}

/// What is written, and who reads it.
struct Ours<'a> {
    name: &'a str,
    rows: RecordBatch,
    sinks: Sinks,
    source: Sources,
    readers: Readers<'a>,
}

/// Those who read, and the columns that each of them can't.
type Readers<'a> = &'a [(&'a str, &'a [&'a str])];
/// Sinks into places below a path.
type Sinks = fn(&Path) -> Vec<(String, FileSink)>;
type Sources = fn(&Path, SchemaRef) -> FileSource;

fn with_codecs(path: &Path, sink: fn(&Path) -> FileSink, codecs: &[Option<Compression>]) -> Vec<(String, FileSink)> {
    let sink = |codec: &Option<Compression>| {
        let name = format!("{codec:?}");
        (name.clone(), sink(&path.with_extension(name)).compression(*codec))
    };
    codecs.iter().map(sink).collect()
}

/// What is done to make a file, and how it is read.
struct Foreign<'a> {
    name: &'a str,
    writer: &'a str,
    options: Value,
    rows: RecordBatch,
    source: Sources,
}

/// Has each file written by another, and reads it.
fn written_by_others(test: &str, extension: &str, cases: &[Foreign<'_>]) {
    let Some(mut others) = Others::new(test) else { return };
    let write = |case: &Foreign<'_>| others.write(case.writer, &format!("part-0.{extension}"), &case.rows, case.options.clone());
    let paths: Vec<PathBuf> = cases.iter().map(write).collect();
    let mut differences = Differences::default();
    for ((case, path), written) in cases.iter().zip(paths).zip(others.run()) {
        match written {
            Err(error) => differences.0.push(format!("{} is not written: {error}", case.name)),
            Ok(_) => differences.compare_read(case.name, &case.rows, &(case.source)(&path, case.rows.schema())),
        }
    }
}

#[test]
fn both_sides_mean_the_same_by_a_line() {
    let Some(mut others) = Others::new("both_sides_mean_the_same_by_a_line") else { return };
    let mut differences = Differences::default();
    let tables = [Times::Micros, Times::Millis, Times::OfNanos, Times::WholeBefore1970].map(all);
    tables.iter().for_each(|rows| others.read("arrow", Path::new(""), rows));
    for (rows, found) in tables.iter().zip(others.run()) {
        differences.compare("an Arrow file", rows, found);
    }
}

#[test]
fn parquet_is_read_by_others() {
    let sinks: Sinks =
        |path| with_codecs(path, |path| FileSink::parquet(path), &[None, Some(Compression::Snappy), Some(Compression::Zstd)]);
    let readers: Readers<'_> = &[("pyarrow.parquet", &[]), ("duckdb.parquet", &[])];
    let source: Sources = |path, schema| FileSource::parquet(path, schema);
    written_by_us("parquet_is_read_by_others", &[Ours { name: "parquet", rows: all(Times::Micros), sinks, source, readers }]);
}

#[test]
fn parquet_of_others_is_read() {
    let source: Sources = |path, schema| FileSource::parquet(path, schema);
    let case = |name, writer, options, rows| Foreign { name, writer, options, rows, source };
    let arrow = |name, options| case(name, "pyarrow.parquet", options, all(Times::Micros));
    let millis =
        |name, options| case(name, "pyarrow.parquet", options, chosen(&all(Times::Millis), &["instant", "clock", "int"], true));
    let duck = |name, copy: &str| case(name, "duckdb", json!({ "copy": copy }), all(Times::Micros));
    let cases = [
        arrow("as it is", json!({})),
        arrow("zstd", json!({"compression": "zstd"})),
        arrow("not compressed", json!({"compression": "none"})),
        arrow("version 1.0", json!({"version": "1.0"})),
        arrow("version 2.4", json!({"version": "2.4"})),
        arrow("no dictionaries", json!({"use_dictionary": false})),
        arrow("pages of version 2", json!({"data_page_version": "2.0"})),
        arrow("plain pages of version 2", json!({"data_page_version": "2.0", "use_dictionary": false, "compression": "zstd"})),
        arrow("small row groups", json!({"row_group_size": 2})),
        arrow(
            "small pages",
            json!({"data_page_size": 1, "write_batch_size": 1, "write_page_index": true, "write_page_checksum": true}),
        ),
        arrow("decimals as integers", json!({"store_decimal_as_integer": true})),
        arrow("no Arrow schema", json!({"store_schema": false})),
        arrow("lists as of old", json!({"use_compliant_nested_type": false})),
        arrow(
            "deltas",
            json!({"use_dictionary": false, "column_encoding": {
                "int": "DELTA_BINARY_PACKED", "long": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY", "binary": "DELTA_LENGTH_BYTE_ARRAY",
                "float": "BYTE_STREAM_SPLIT", "double": "BYTE_STREAM_SPLIT", "large": "BYTE_STREAM_SPLIT",
            }}),
        ),
        arrow("large types", json!({"types": {"text": "large_string", "longs": "large_list", "binary": "large_binary"}})),
        arrow("views", json!({"types": {"text": "string_view", "binary": "binary_view"}})),
        arrow("Arrow's dictionary", json!({"types": {"text": "dictionary"}})),
        arrow("another zone", json!({"types": {"instant": "New_York"}})),
        millis("old timestamps", json!({"use_deprecated_int96_timestamps": true})),
        millis("milliseconds", json!({"coerce_timestamps": "ms"})),
        millis("milliseconds of another zone", json!({"types": {"instant": "Kolkata"}})),
        case("nanoseconds", "pyarrow.parquet", json!({"types": {"instant": "ns"}}), all(Times::OfNanos)),
        duck("DuckDB", "FORMAT parquet"),
        duck("DuckDB, zstd", "FORMAT parquet, COMPRESSION zstd"),
        // Its differences of numbers of 32 bits have 64: PyArrow can't read them either.
        Foreign {
            rows: chosen(&all(Times::Micros), &["byte", "short", "int", "day", "small"], false),
            ..duck("DuckDB, version 2", "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION uncompressed")
        },
    ];
    written_by_others("parquet_of_others_is_read", "parquet", &cases);
}

#[test]
fn parquet_of_other_codecs_is_read_or_refused() {
    let Some(mut others) = Others::new("parquet_of_other_codecs_is_read_or_refused") else { return };
    let rows = all(Times::Micros);
    let with_feature = cfg!(feature = "parquet-codecs");
    let cases =
        [("gzip", "1.0", with_feature), ("gzip", "2.0", with_feature), ("lz4", "1.0", with_feature), ("brotli", "1.0", false)];
    let write = |(codec, version, _): &(&str, &str, bool)| {
        others.write("pyarrow.parquet", "part-0.parquet", &rows, json!({"compression": codec, "data_page_version": version}))
    };
    let paths: Vec<PathBuf> = cases.iter().map(write).collect();
    others.run().into_iter().for_each(|written| assert_eq!(written, Ok(Vec::new())));
    let mut differences = Differences::default();
    for ((codec, version, is_read), path) in cases.iter().zip(paths) {
        let source = FileSource::parquet(&path, rows.schema());
        if *is_read {
            differences.compare_read(&format!("{codec}, {version}"), &rows, &source);
            continue;
        }
        let error = read(&source).unwrap_err().to_string();
        assert!(error.contains("part-0.parquet: ") && error.contains("its columns are compressed with"), "{error}");
    }
}

#[test]
fn avro_is_read_by_others() {
    use Compression::{Bzip2, Deflate, Snappy, Zstd};
    let sinks: Sinks =
        |path| with_codecs(path, |path| FileSink::avro(path), &[None, Some(Deflate), Some(Snappy), Some(Bzip2), Some(Zstd)]);
    let readers: Readers<'_> = &[("fastavro", &[])];
    let source: Sources = |path, schema| FileSource::avro(path, schema);
    written_by_us("avro_is_read_by_others", &[Ours { name: "avro", rows: all(Times::Micros), sinks, source, readers }]);
}

#[test]
fn avro_of_others_is_read() {
    let case = |codec: &'static str| Foreign {
        name: codec,
        writer: "fastavro",
        options: json!({"codec": codec, "sync_interval": 100}),
        rows: all(Times::Micros),
        source: |path, schema| FileSource::avro(path, schema),
    };
    written_by_others("avro_of_others_is_read", "avro", &["null", "deflate", "snappy", "bzip2", "zstandard"].map(case));
}

/// What our writer can't write, for which it says so.
const NOT_IN_ORC: [&str; 10] =
    ["small", "middle", "large", NESTED[0], NESTED[1], NESTED[2], NESTED[3], NESTED[4], NESTED[5], NESTED[6]];

#[test]
fn orc_is_read_by_others() {
    use Compression::{Deflate, Snappy, Zstd};
    for name in NOT_IN_ORC {
        let error =
            FileSink::orc("x").check_input(chosen(&all(Times::Micros), &[name], true).schema_ref()).unwrap_err().to_string();
        assert!(error.contains(&format!("the column {name} of type")), "{error}");
    }
    let sinks: Sinks = |path| with_codecs(path, |path| FileSink::orc(path), &[None, Some(Deflate), Some(Snappy), Some(Zstd)]);
    let source: Sources = |path, schema| FileSource::orc(path, schema);
    let case = |name, times, readers| Ours { name, rows: chosen(&all(times), &NOT_IN_ORC, false), sinks, source, readers };
    let cases = [
        case("orc", Times::OfNanos, &[("pyarrow.orc", &[])]),
        // Times of PyArrow are nanoseconds, and do not reach these years.
        case("orc of all years", Times::WholeBefore1970, &[("pyarrow.orc", &["instant", "clock"])]),
    ];
    written_by_us("orc_is_read_by_others", &cases);
}

#[test]
fn orc_of_others_is_read() {
    // PyArrow writes parts of seconds before 1970 as negative numbers, which the format does not have.
    let case = |name, options| Foreign {
        name,
        writer: "pyarrow.orc",
        options,
        rows: all(Times::WholeBefore1970),
        source: |path, schema| FileSource::orc(path, schema),
    };
    let cases = [
        case("uncompressed", json!({})),
        case("zlib", json!({"compression": "zlib"})),
        case("snappy", json!({"compression": "snappy"})),
        case("lz4", json!({"compression": "lz4"})),
        case("zstd", json!({"compression": "zstd"})),
        case("dictionaries", json!({"dictionary_key_size_threshold": 1.0})),
        case("version 0.11", json!({"file_version": "0.11"})),
        case("small stripes", json!({"stripe_size": 1, "batch_size": 1})),
    ];
    written_by_others("orc_of_others_is_read", "orc", &cases);
}

/// Neither nested types nor bytes; lines within a value end as on Unix, as Spark reads them.
fn rows_of_csv() -> RecordBatch {
    let rows = chosen(&chosen(&all(Times::Millis), &NESTED, false), &["binary"], false);
    with_texts(&rows, |text| text.replace("\r\n", "\n"))
}

fn csv_source(path: &Path, schema: SchemaRef) -> FileSource {
    let mut options = CsvOptions::default();
    (options.header, options.multi_line, options.escape) = (true, true, Some(b'"'));
    // Empty text would be null as nothing is.
    options.null_value = "\\N".into();
    FileSource::csv(path, schema).csv_options(options)
}

#[test]
fn csv_is_read_by_others() {
    // What Spark writes by default is told of in the query layer's tests; this is what everybody reads.
    let sinks: Sinks = |path| {
        let mut options = CsvWriteOptions::default();
        (options.header, options.escape) = (true, b'"');
        (options.ignore_leading_white_space, options.ignore_trailing_white_space) = (false, false);
        vec![("file".to_owned(), FileSink::csv(path).csv_options(options))]
    };
    let readers: Readers<'_> = &[("pyarrow.csv", &[]), ("duckdb.csv", &[])];
    written_by_us("csv_is_read_by_others", &[Ours { name: "csv", rows: rows_of_csv(), sinks, source: csv_source, readers }]);
}

#[test]
fn csv_of_others_is_read() {
    let source: Sources = |path, schema| {
        let mut options = CsvOptions::default();
        (options.header, options.multi_line, options.escape) = (true, true, Some(b'"'));
        options.null_value = "\\N".into();
        // Empty text would be null as nothing is.
        options.null_value = "\\N".into();
        (options.nan_value, options.positive_inf, options.negative_inf) = ("nan".into(), "inf".into(), "-inf".into());
        FileSource::csv(path, schema).csv_options(options)
    };
    let case = |name, writer, options, rows| Foreign { name, writer, options, rows, source };
    let duck = "FORMAT csv, HEADER true, ESCAPE '\"'";
    let cases = [
        case("PyArrow", "pyarrow.csv", json!({}), rows_of_csv()),
        case("DuckDB", "duckdb", json!({"copy": duck}), rows_of_csv()),
        case("DuckDB, of a zone", "duckdb", json!({"copy": duck, "zone": "Asia/Kolkata"}), modern(&rows_of_csv())),
    ];
    written_by_others("csv_of_others_is_read", "csv", &cases);
}

/// The rows whose times others can write with a zone.
fn modern(rows: &RecordBatch) -> RecordBatch {
    concat_batches(rows.schema_ref(), [&rows.slice(0, 1), &rows.slice(3, 3)]).unwrap()
}

/// Ways to write lines, as files that are compressed as a whole.
const CODECS: [Option<Compression>; 5] =
    [None, Some(Compression::Gzip), Some(Compression::Bzip2), Some(Compression::Zstd), Some(Compression::Snappy)];

#[test]
fn json_is_read_by_others() {
    let sinks: Sinks = |path| with_codecs(path, |path| FileSink::json(path), &CODECS);
    let source: Sources = |path, schema| FileSource::json(path, schema);
    // PyArrow knows neither maps nor dates nor numbers in quotes there, and neither takes text in base 64 for bytes.
    let readers: Readers<'_> = &[
        ("pyarrow.json", &["map", "map_of_lists", "float", "double", "infinite", "binary", "day"]),
        ("duckdb.json", &["binary"]),
    ];
    written_by_us("json_is_read_by_others", &[Ours { name: "json", rows: all(Times::Millis), sinks, source, readers }]);
}

#[test]
fn json_of_others_is_read() {
    // DuckDB does not write bytes in base 64.
    let rows = chosen(&all(Times::Micros), &["binary"], false);
    let source: Sources = |path, schema| FileSource::json(path, schema);
    let case = |name, options, rows| Foreign { name, writer: "duckdb", options, rows, source };
    let cases = [
        case("DuckDB", json!({"copy": "FORMAT json"}), rows.clone()),
        case("DuckDB, of a zone", json!({"copy": "FORMAT json", "zone": "America/New_York"}), modern(&rows)),
    ];
    written_by_others("json_of_others_is_read", "json", &cases);
}

fn lines_of_text() -> RecordBatch {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "", "é🌊\t,\"\\", " two  words ", "\u{1}", "null"]));
    RecordBatch::try_from_iter_with_nullable([("value", texts, true)]).unwrap()
}

#[test]
fn text_is_read_by_others() {
    let sinks: Sinks = |path| with_codecs(path, |path| FileSink::text(path), &CODECS);
    let source: Sources = |path, _| FileSource::text(path);
    let readers: Readers<'_> = &[("text", &[])];
    written_by_us("text_is_read_by_others", &[Ours { name: "text", rows: lines_of_text(), sinks, source, readers }]);
}

#[test]
fn text_of_others_is_read() {
    let case = |name, end: &str| Foreign {
        name,
        writer: "text",
        options: json!({ "end": end }),
        rows: lines_of_text(),
        source: |path, _| FileSource::text(path),
    };
    for extension in ["txt", "txt.gz", "txt.bz2", "txt.zst", "txt.deflate", "txt.snappy"] {
        written_by_others("text_of_others_is_read", extension, &[case("Unix", "\n"), case("Windows", "\r\n")]);
    }
}

#[test]
fn partitions_are_read_by_others() {
    let Some(mut others) = Others::new("partitions_are_read_by_others") else { return };
    let keys: ArrayRef = Arc::new(StringArray::from(vec![Some("a/b"), None, Some("x y"), Some("é%=")]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
    let rows = RecordBatch::try_from_iter_with_nullable([("number", numbers, true), ("key", keys, true)]).unwrap();
    let sink = FileSink::parquet(others.path("partitions")).partition_by(["key"]);
    write(&sink, &rows);
    others.read("pyarrow.dataset", sink.directory(), &rows);
    others.read("duckdb.dataset", sink.directory(), &rows);
    let mut differences = Differences::default();
    for (what, found) in ["PyArrow", "DuckDB"].iter().zip(others.run()) {
        differences.compare(what, &rows, found);
    }
}
