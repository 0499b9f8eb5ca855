//! How fast files of each format are written and read, by two tasks as a query has them. `formats_peers.py` beside this file reads and
//! writes the same rows with DuckDB, DataFusion and Arrow's C++ library.
//!
//! ```text
//! cargo bench -p tidegate-connectors --features "avro orc" --bench formats -- DIRECTORY 4000000
//! python3 connectors/benches/formats_peers.py DIRECTORY
//! ```
//!
//! A line for each format: millions of rows a second, and CPU seconds of all threads, of writing (encoding, and making the files
//! durable: a `fsync` each) and of reading (decoding every column into Arrow; the best of three). The files stay in the directory.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program may")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use tidegate_connectors::{FileSink, FileSource};
use tidegate_runtime::{
    Epoch, EpochInfo, NodeId, Notifier, OffsetRange, QueryId, ReadLimit, SinkContext, SinkSupplier, SourceContext, SourceOutput,
    SourceSupplier, Split,
};

const TASKS: usize = 2;
const BATCH_ROWS: usize = 8_192;
/// As a query's files would be: several of each task.
const FILE_ROWS: u64 = 500_000;
const EPOCH: EpochInfo = EpochInfo { epoch: Epoch::FIRST, trigger_time_ms: 0, watermark: None, late_watermark: None };

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let kept = arguments.first().map(PathBuf::from);
    let temporary = tempfile::tempdir().unwrap();
    let directory = kept.as_deref().unwrap_or(temporary.path());
    let rows: usize = arguments.get(1).map_or(1_000_000, |rows| rows.parse().unwrap());
    let batches: Vec<RecordBatch> = (0..rows).step_by(BATCH_ROWS).map(|from| batch(from, BATCH_ROWS.min(rows - from))).collect();
    println!("| format | MB | written, M rows/s | CPU s | read, M rows/s | CPU s |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for format in ["csv", "json", "parquet", "avro", "orc"] {
        if format == "avro" && cfg!(not(feature = "avro")) || format == "orc" && cfg!(not(feature = "orc")) {
            continue;
        }
        let path = directory.join(format);
        let written = timed(|| write(format, &path, &batches));
        let read = (0..3).map(|_| timed(|| assert_eq!(read(format, &path), rows))).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        let speed = |seconds: f64| rows as f64 / seconds / 1e6;
        let megabytes = size(&path) as f64 / 1e6;
        println!(
            "| {format} | {megabytes:.0} | {:.2} | {:.2} | {:.2} | {:.2} |",
            speed(written.0),
            written.1,
            speed(read.0),
            read.1
        );
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("amount", DataType::Float64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("flag", DataType::Boolean, true),
    ]))
}

fn batch(from: usize, rows: usize) -> RecordBatch {
    let numbers = || (from..from + rows).map(|n| n as i64);
    // Well mixed, and the same each time.
    let mixed = |n: i64| (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(numbers())),
        Arc::new(StringArray::from_iter_values(numbers().map(|n| format!("customer-{}", mixed(n) % 100_000)))),
        Arc::new(Float64Array::from_iter_values(numbers().map(|n| (mixed(n) % 1_000_000) as f64 / 100.0))),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(numbers().map(|n| 1_700_000_000_000_000 + n * 1_000))
                .with_timezone("UTC"),
        ),
        Arc::new(BooleanArray::from_iter(numbers().map(|n| Some(mixed(n) % 2 == 0)))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn write(format: &str, path: &Path, batches: &[RecordBatch]) {
    if path.exists() {
        std::fs::remove_dir_all(path).unwrap();
    }
    let sink = match format {
        "csv" => FileSink::csv(path),
        "json" => FileSink::json(path),
        "avro" => FileSink::avro(path),
        "orc" => FileSink::orc(path),
        _ => FileSink::parquet(path),
    };
    let mut opened = sink.max_records_per_file(FILE_ROWS).supply().unwrap();
    let (node, query, schema) = (NodeId::new("out"), QueryId::random(), schema());
    opened.open(SinkContext { node, query, schema, parallelism: TASKS, committed: None }).unwrap();
    let writers: Vec<_> = (0..TASKS).map(|task| opened.writer(task).unwrap()).collect();
    let staged = std::thread::scope(|scope| {
        let start = |(task, mut writer): (usize, Box<dyn tidegate_runtime::SinkWriter>)| {
            scope.spawn(move || {
                for batch in batches.iter().skip(task).step_by(TASKS) {
                    writer.write(EPOCH, batch.clone()).unwrap();
                }
                writer.stage(EPOCH).unwrap()
            })
        };
        let threads: Vec<_> = writers.into_iter().enumerate().map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    opened.commit(Epoch::FIRST, staged).unwrap();
}

/// How many rows there are.
fn read(format: &str, path: &Path) -> usize {
    let source = match format {
        "csv" => FileSource::csv(path, schema()).header(true),
        "json" => FileSource::json(path, schema()),
        "avro" => FileSource::avro(path, schema()),
        "orc" => FileSource::orc(path, schema()),
        _ => FileSource::parquet(path, schema()),
    };
    let mut opened = source.supply().unwrap();
    let (node, query, notifier) = (NodeId::new("in"), QueryId::random(), Notifier::ignored());
    opened.open(SourceContext { node, query, parallelism: TASKS, offset: None, journal: Vec::new(), notifier }).unwrap();
    let end = opened.latest_offset(None, ReadLimit::All).unwrap().unwrap();
    let splits = opened.splits(&OffsetRange { start: None, end }).unwrap();
    let readers: Vec<_> = (0..TASKS).map(|task| opened.reader(task).unwrap()).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let start = |mut reader: Box<dyn tidegate_runtime::SourceReader>| {
            let (splits, next) = (&splits, &next);
            scope.spawn(move || {
                let mut rows = 0;
                let mut count = |batch: RecordBatch| {
                    rows += batch.num_rows();
                    Ok(())
                };
                while let Some(split) = splits.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let split: &Split = split;
                    reader.read(split, &mut SourceOutput::new(EPOCH, &mut count)).unwrap();
                }
                rows
            })
        };
        let threads: Vec<_> = readers.into_iter().map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

fn size(path: &Path) -> u64 {
    let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
    files.filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
}

/// Wall and CPU seconds.
fn timed(action: impl FnOnce()) -> (f64, f64) {
    let (started, before) = (Instant::now(), cpu());
    action();
    (started.elapsed().as_secs_f64(), cpu() - before)
}

/// CPU seconds of the process, as Linux tells them: in hundredths. Nothing elsewhere.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}
