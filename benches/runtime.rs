//! What the runtime costs. `cargo bench --bench runtime [-- pipeline | epochs | disk | latency]`; without a name, all of it.
//!
//! - `pipeline`: rows/s of source → map → hash exchange → count → sink, against the same work in a plain single-threaded loop over the
//!   same batches, and against the same operators called in a loop, in turns, in one process.
//! - `epochs`: the cost of an epoch with no data, and with 1, 10 and 100 thousand changed keys out of a million live ones; the time to
//!   restore them.
//! - `disk`: what a checkpoint takes after a thousand epochs.
//! - `latency`: from a row's arrival to its exactly-once commit, through three actors.
#![allow(clippy::print_stdout, reason = "a program may print")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::kernels::numeric::{add_wrapping, mul_wrapping};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate::connectors::MemoryStream;
use tidegate::operators::{KeyedAggregate, MapBatches};
use tidegate::prelude::*;
use tidegate::runtime::testkit::OperatorHarness;
use tidegate::runtime::{EpochProgress, LastCommitted, Staged};

const BATCH_ROWS: usize = 8_192;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let runs = |name: &str| chosen.is_empty() || chosen.iter().any(|argument| argument == name);
    if runs("pipeline") {
        pipeline()?;
    }
    if runs("epochs") {
        epochs()?;
    }
    if runs("disk") {
        disk()?;
    }
    if runs("latency") {
        latency()?;
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------------------------- pipeline

fn pipeline() -> Result<(), Box<dyn std::error::Error>> {
    println!("pipeline: 4 000 batches of 8 192 rows (key, value: Int64); medians of 5 turns");
    println!("{:>9}  {:<22} {:>8} {:>8} {:>9} {:>9} {:>9}", "keys", "", "wall s", "cpu s", "M rows/s", "wall/loop", "cpu/loop");
    for keys in [10_000, 1_000_000] {
        let batches = input(250, keys);
        let repeats = 16;
        let mut figures = vec![Vec::new(); 4];
        for _ in 0..5 {
            figures[0].push(timed(|| plain_loop(&batches, repeats))?);
            figures[1].push(timed(|| operator_loop(&batches, repeats))?);
            for parallelism in [1, 2] {
                figures[1 + parallelism].push(timed(|| runtime_count(&batches, repeats, parallelism))?);
            }
        }
        let rows = (batches.len() * repeats * BATCH_ROWS) as f64;
        let base = median(&figures[0]);
        for (name, figures) in
            ["plain loop", "operators in a loop", "runtime, parallelism 1", "runtime, parallelism 2"].iter().zip(&figures)
        {
            let (wall, cpu) = median(figures);
            let (rate, wall_ratio, cpu_ratio) = (rows / wall / 1e6, wall / base.0, cpu / base.1);
            println!("{keys:>9}  {name:<22} {wall:>8.3} {cpu:>8.2} {rate:>9.1} {wall_ratio:>9.2} {cpu_ratio:>9.2}");
        }
    }
    Ok(())
}

fn input(batches: usize, keys: u64) -> Vec<RecordBatch> {
    let mut random = Random(42);
    let column = |random: &mut Random, n: u64| {
        Arc::new(Int64Array::from_iter_values((0..BATCH_ROWS).map(|_| random.below(n)))) as ArrayRef
    };
    let batch = |_| {
        let columns = vec![column(&mut random, keys), column(&mut random, 1_000)];
        RecordBatch::try_new(schema(), columns).expect("the columns are the schema's")
    };
    (0..batches).map(batch).collect()
}

/// value → value * 3 + 1
fn map(batch: &RecordBatch) -> Result<RecordBatch> {
    let (three, one) = (Int64Array::new_scalar(3), Int64Array::new_scalar(1));
    let value = add_wrapping(&mul_wrapping(batch.column(1), &three)?, &one)?;
    Ok(RecordBatch::try_new(schema(), vec![Arc::clone(batch.column(0)), value])?)
}

/// The work without a runtime: map, count and sum by key, one result batch at the end.
fn plain_loop(batches: &[RecordBatch], repeats: usize) -> Result<u64> {
    let mut counts: hashbrown::HashMap<i64, (i64, i64)> = hashbrown::HashMap::new();
    for batch in (0..repeats).flat_map(|_| batches) {
        let mapped = map(batch)?;
        let keys = mapped.column(0).as_primitive::<Int64Type>().values();
        let values = mapped.column(1).as_primitive::<Int64Type>().values();
        for (key, value) in keys.iter().zip(values) {
            let (count, sum) = counts.entry(*key).or_default();
            *count += 1;
            *sum += value;
        }
    }
    let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let columns = [
        column(counts.keys().copied().collect()),
        column(counts.values().map(|(count, _)| *count).collect()),
        column(counts.values().map(|(_, sum)| *sum).collect()),
    ];
    Ok(columns[1].as_primitive::<Int64Type>().values().iter().sum::<i64>() as u64)
}

/// The same operators as the runtime's, called in a loop: what is left out are threads, channels, epochs and the checkpoint.
fn operator_loop(batches: &[RecordBatch], repeats: usize) -> Result<u64> {
    let mut count = OperatorHarness::new(&counting(), &[schema()])?;
    for batch in (0..repeats).flat_map(|_| batches) {
        count.process(0, map(batch)?)?;
    }
    let counts = count.end_epoch()?;
    Ok(counts.iter().map(|batch| batch.column(1).as_primitive::<Int64Type>().values().iter().sum::<i64>() as u64).sum())
}

fn counting() -> KeyedAggregate {
    KeyedAggregate::new(["key"]).count("count").sum("value", "sum")
}

fn runtime_count(batches: &[RecordBatch], repeats: usize, parallelism: usize) -> Result<u64> {
    let counted = Discard::default();
    let source = Batches { batches: batches.to_vec().into(), repeats };
    let query = Query::new(count_topology(source, parallelism, counted.clone())?).start()?;
    query.await_termination(None).map_err(Error::user)?;
    Ok(counted.sum())
}

/// source → map → hash(key) → count and sum → sink
fn count_topology(source: impl SourceSupplier + 'static, parallelism: usize, sink: Discard) -> Result<Topology> {
    let mut t = Topology::builder("count").default_parallelism(parallelism);
    let rows = t.source("rows", source);
    let mapped = t.operator("map", [rows], MapBatches::new(schema(), map));
    let counts = t.operator("count", [mapped.hash(["key"])], counting());
    t.sink("sink", [counts], sink);
    t.build()
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, true), Field::new("value", DataType::Int64, true)]))
}

/// Checks that two ways of counting agree, and gives the seconds that one took: wall clock, and CPU of the whole process.
fn timed(run: impl FnOnce() -> Result<u64>) -> Result<(f64, f64)> {
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    let rows = run()?;
    assert_eq!(rows % BATCH_ROWS as u64, 0, "rows are missing");
    Ok((wall.elapsed().as_secs_f64(), cpu_seconds() - cpu))
}

fn median(figures: &[(f64, f64)]) -> (f64, f64) {
    let middle = |mut figures: Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    (middle(figures.iter().map(|f| f.0).collect()), middle(figures.iter().map(|f| f.1).collect()))
}

// ------------------------------------------------------------------------------------------------------------------ epochs

/// How many keys live in the state.
const LIVE: i64 = 1_000_000;

fn epochs() -> Result<(), Box<dyn std::error::Error>> {
    println!("\nepochs: {LIVE} live keys (Int64 -> two Int64), parallelism 2, on disk; medians of 15 epochs");
    println!(
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>12}",
        "changed", "total ms", "log ms", "run ms", "sink ms", "commit ms", "snapshot KiB"
    );
    let checkpoint = tempfile::tempdir()?;
    let stream = MemoryStream::new(schema());
    let sink = Discard::default();
    let query = Query::new(count_topology(stream.clone(), 2, sink.clone())?).checkpoint(checkpoint.path()).start()?;
    run_epoch(&query, &stream, 0..LIVE)?;
    for changed in [0, 1_000, 10_000, 100_000] {
        let mut seen = Vec::new();
        let mut random = Random(7);
        for _ in 0..15 {
            let first = random.below((LIVE - changed.max(1)) as u64);
            seen.push(run_epoch(&query, &stream, first..first + changed)?);
        }
        let ms = |of: fn(&EpochProgress) -> Duration| {
            let mut all: Vec<f64> = seen.iter().map(|p| of(p).as_secs_f64() * 1e3).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let bytes: u64 =
            seen.iter().flat_map(|p| &p.tasks).map(|(_, metrics)| metrics.snapshot_bytes).sum::<u64>() / seen.len() as u64;
        println!(
            "{changed:>9} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>12.0}",
            ms(|p| p.durations.total),
            ms(|p| p.durations.offset_log),
            ms(|p| p.durations.run),
            ms(|p| p.durations.sink_commit),
            ms(|p| p.durations.commit_log),
            bytes as f64 / 1024.0
        );
    }
    query.stop()?;
    let started = Instant::now();
    let query = Query::new(count_topology(stream.clone(), 2, sink)?).checkpoint(checkpoint.path()).start()?;
    run_epoch(&query, &stream, 0..1)?;
    println!("restart with {LIVE} keys to the first committed epoch: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    query.stop()?;
    Ok(())
}

/// One epoch that changes the keys of this range.
fn run_epoch(query: &QueryHandle, stream: &MemoryStream, keys: std::ops::Range<i64>) -> Result<EpochProgress> {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
    let values = Arc::clone(&keys);
    stream.add_data(RecordBatch::try_new(schema(), vec![keys, values])?)?;
    query.process_all_available().map_err(Error::user)?;
    query.last_progress().ok_or_else(|| Error::user("no epoch was committed"))
}

// -------------------------------------------------------------------------------------------------------------------- disk

fn disk() -> Result<(), Box<dyn std::error::Error>> {
    let (live, changed) = (100_000, 1_000);
    println!("\ndisk: {live} live keys, 1 000 epochs that change {changed} of them");
    let checkpoint = tempfile::tempdir()?;
    let (stream, sink) = (MemoryStream::new(schema()), Discard::default());
    let start = || -> Result<QueryHandle> {
        Query::new(count_topology(stream.clone(), 2, sink.clone())?).checkpoint(checkpoint.path()).start()
    };
    let query = start()?;
    let first = run_epoch(&query, &stream, 0..live)?;
    let live_bytes: u64 = first.tasks.iter().map(|(_, metrics)| metrics.snapshot_bytes).sum();
    let mut random = Random(11);
    let (mut most, mut written) = (0, 0);
    for epoch in 0..1_000 {
        let from = random.below((live - changed) as u64);
        let progress = run_epoch(&query, &stream, from..from + changed)?;
        written += progress.tasks.iter().map(|(_, metrics)| metrics.snapshot_bytes).sum::<u64>();
        if epoch % 10 == 0 {
            most = most.max(bytes_in(checkpoint.path())?);
        }
    }
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    println!("live state {:.1} MiB, deltas written {:.1} MiB", mib(live_bytes), mib(written));
    println!("checkpoint at its largest {:.1} MiB, at the end {:.1} MiB", mib(most), mib(bytes_in(checkpoint.path())?));
    for part in ["catalog", "segments"] {
        println!("  of that {part}: {:.1} MiB", mib(bytes_in(&checkpoint.path().join(part))?));
    }
    query.stop()?;
    Ok(())
}

fn bytes_in(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory).map_err(Error::io("list", directory))? {
        let path = entry.map_err(Error::io("list", directory))?.path();
        // A segment may be removed between the listing and here.
        bytes += match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => bytes_in(&path)?,
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        };
    }
    Ok(bytes)
}

// ----------------------------------------------------------------------------------------------------------------- latency

fn latency() -> Result<(), Box<dyn std::error::Error>> {
    println!("\nlatency: one row through source, map and sink, from its arrival to its durable commit; 1 000 rows");
    for (place, directory) in
        [("disk", tempfile::tempdir()?), ("tmpfs", tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?)]
    {
        let stream = MemoryStream::new(schema());
        let mut t = Topology::builder("latency");
        let rows = t.source("rows", stream.clone());
        let mapped = t.operator("map", [rows], MapBatches::new(schema(), map));
        t.sink("sink", [mapped], Discard::default());
        let query = Query::new(t.build()?).checkpoint(directory.path()).start()?;
        let mut micros = Vec::new();
        for n in 0..1_000 {
            let started = Instant::now();
            run_epoch(&query, &stream, n..n + 1)?;
            micros.push(started.elapsed().as_micros() as f64 / 1e3);
        }
        query.stop()?;
        micros.sort_by(f64::total_cmp);
        println!("{place}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", micros[500], micros[990], micros[999]);
    }
    Ok(())
}

// -------------------------------------------------------------------------------------------------- a source and a sink

/// Gives the same batches over and over, as one epoch, from memory.
struct Batches {
    batches: Arc<[RecordBatch]>,
    repeats: usize,
}

impl SourceSupplier for Batches {
    fn schema(&self) -> Result<SchemaRef> {
        Ok(schema())
    }
    fn supply(&self) -> Result<Box<dyn Source>> {
        Ok(Box::new(Batches { batches: Arc::clone(&self.batches), repeats: self.repeats }))
    }
    fn describe(&self) -> String {
        "batches in memory".to_owned()
    }
}

impl Source for Batches {
    fn latest_offset(
        &mut self,
        from: Option<&tidegate::runtime::Offset>,
        _limit: tidegate::runtime::ReadLimit,
    ) -> Result<Option<tidegate::runtime::Offset>> {
        match from {
            None => tidegate::runtime::Offset::encode(&self.repeats).map(Some),
            Some(_) => Ok(None),
        }
    }
    fn splits(&mut self, _range: &tidegate::runtime::OffsetRange) -> Result<Vec<tidegate::runtime::Split>> {
        (0..self.repeats).map(|repeat| tidegate::runtime::Split::encode(&repeat)).collect()
    }
    fn reader(&mut self, _subtask: usize) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(Batches { batches: Arc::clone(&self.batches), repeats: self.repeats }))
    }
    fn is_finished(&self) -> bool {
        true
    }
}

impl SourceReader for Batches {
    fn read(&mut self, _split: &tidegate::runtime::Split, out: &mut tidegate::runtime::SourceOutput<'_>) -> Result<()> {
        self.batches.iter().try_for_each(|batch| out.emit(batch.clone()))
    }
}

/// Adds up its second column and forgets the rows.
#[derive(Clone, Default)]
struct Discard(Arc<Mutex<u64>>);

impl Discard {
    fn sum(&self) -> u64 {
        self.0.lock().map(|sum| *sum).unwrap_or_default()
    }
}

impl SinkSupplier for Discard {
    fn supply(&self) -> Result<Box<dyn Sink>> {
        Ok(Box::new(self.clone()))
    }
    fn describe(&self) -> String {
        "nowhere".to_owned()
    }
}

impl Sink for Discard {
    fn last_committed(&mut self) -> Result<LastCommitted> {
        Ok(LastCommitted::Untracked)
    }
    fn writer(&mut self, _subtask: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(self.clone()))
    }
    fn commit(&mut self, _epoch: Epoch, _staged: Vec<Staged>) -> Result<()> {
        Ok(())
    }
}

impl SinkWriter for Discard {
    fn write(&mut self, _epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        let sum: i64 = batch.column(1).as_primitive::<Int64Type>().values().iter().sum();
        if let Ok(mut total) = self.0.lock() {
            *total += sum as u64;
        }
        Ok(())
    }
    fn stage(&mut self, _epoch: EpochInfo) -> Result<Staged> {
        Staged::encode(0, &())
    }
}

// ------------------------------------------------------------------------------------------------------------------- tools

/// A repeatable sequence of random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> i64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n) as i64
    }
}

/// CPU time of this process, user and system. Zero where `/proc` does not exist.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> = after_name.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // The state, which is no number, is left out: user and system time are the 11th and 12th number after it.
    fields.get(10).zip(fields.get(11)).map_or(0.0, |(user, system)| (user + system) / 100.0)
}
