//! A file sink that fails at each of its fail points, then starts again with another number of tasks: every row is in the
//! output exactly once, for readers of the manifest and for readers of the directory.
//!
//! Fail points belong to the process, so this is a test binary of its own with one test.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may"
)]
#![expect(clippy::unwrap_used, reason = "a test: what can't fail may panic, also outside of the test function")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;
use tidegate_connectors::FileSink;
use tidegate_runtime::{Epoch, EpochInfo, LastCommitted, NodeId, QueryId, Result, Sink, SinkContext, SinkSupplier, failpoint};

const ROWS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn batch(rows: &[&str]) -> RecordBatch {
    RecordBatch::try_from_iter([("value", Arc::new(StringArray::from(rows.to_vec())) as ArrayRef)]).unwrap()
}

fn open(dir: &Path, query: QueryId, parallelism: usize, committed: Option<u64>) -> Box<dyn Sink> {
    open_sink(&FileSink::text(dir), query, parallelism, committed)
}

fn open_sink(config: &FileSink, query: QueryId, parallelism: usize, committed: Option<u64>) -> Box<dyn Sink> {
    let (node, schema) = (NodeId::new("out"), batch(&[]).schema());
    let mut sink = config.supply().unwrap();
    sink.open(SinkContext { node, query, schema, parallelism, committed: committed.map(Epoch::new) }).unwrap();
    sink
}

/// Runs an epoch as a query does: rows dealt to the tasks, staged, committed.
fn run(sink: &mut dyn Sink, epoch: u64, tasks: usize) -> Result<()> {
    let epoch = EpochInfo { epoch: Epoch::new(epoch), trigger_time_ms: 0, watermark: None, late_watermark: None };
    let stage = |subtask: usize| {
        let mut writer = sink.writer(subtask)?;
        for row in ROWS.iter().skip(subtask).step_by(tasks) {
            writer.write(epoch, batch(&[&format!("{row}{}", epoch.epoch)]))?;
        }
        writer.stage(epoch)
    };
    let staged = (0..tasks).map(stage).collect::<Result<Vec<_>>>()?;
    sink.commit(epoch.epoch, staged)
}

/// With compaction, readers of the directory see rows later, but at no moment one twice, or one that they have seen no more.
fn every_row_once_with_compaction() {
    let points =
        ["sink.stage", "sink.rename", "sink.manifest", "sink.torn", "sink.merge", "sink.merging", "sink.merged", "sink.after"];
    for (point, failing) in points.into_iter().flat_map(|point| [0, 1, 2].map(|failing| (point, failing))) {
        let dir = tempfile::tempdir().unwrap();
        let (query, config) = (QueryId::random(), FileSink::text(dir.path()).compact_every(2));
        let mut sink = open_sink(&config, query, 2, None);
        let (mut epoch, mut seen) = (0, Vec::new());
        let mut check = |committed: std::ops::Range<u64>| {
            let now = lines(&visible_files(dir.path()));
            let mut once = now.clone();
            once.dedup();
            assert_eq!(now, once, "{point} in epoch {failing}");
            assert!(seen.iter().all(|row| now.contains(row)), "{point} in epoch {failing}: rows are gone");
            seen = now;
            let all = lines(&FileSink::committed_files(dir.path()).unwrap());
            assert!(
                all == expected(committed.clone()) || all == expected(0..committed.end + 1),
                "{point} in epoch {failing}: {all:?}"
            );
        };
        while epoch < 5 {
            if epoch == failing {
                fail::cfg(point, "return(error)").unwrap();
                let failed = run(&mut *sink, epoch, 2).is_err();
                fail::remove(point);
                check(0..epoch);
                if failed {
                    drop(sink);
                    sink = open_sink(&config, query, 2, epoch.checked_sub(1));
                    check(0..epoch);
                }
            }
            if sink.last_committed().unwrap() != LastCommitted::Epoch(Epoch::new(epoch)) {
                run(&mut *sink, epoch, 2).unwrap();
            }
            epoch += 1;
            check(0..epoch);
        }
        let visible = lines(&visible_files(dir.path())).len();
        assert!(visible == expected(0..4).len() || visible == expected(0..5).len(), "{point} in epoch {failing}: {visible} rows");
    }
}

/// All lines, sorted.
fn lines(files: &[PathBuf]) -> Vec<String> {
    let content = files.iter().map(|path| std::fs::read_to_string(path).unwrap());
    let mut lines: Vec<String> = content.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.sort_unstable();
    lines
}

fn visible_files(dir: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with(['.', '_'])).collect()
}

fn expected(epochs: std::ops::Range<u64>) -> Vec<String> {
    let mut lines: Vec<String> = epochs.flat_map(|epoch| ROWS.map(|row| format!("{row}{epoch}"))).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn every_row_once_after_a_failure_anywhere() {
    let scenario = fail::FailScenario::setup();
    let points = ["sink.stage", "sink.prepared", "sink.rename", "sink.manifest", "sink.torn", "sink.after"];
    for (point, tasks) in points.into_iter().flat_map(|point| [1, 2, 5].map(|tasks| (point, tasks))) {
        let dir = tempfile::tempdir().unwrap();
        let query = QueryId::random();
        let mut sink = open(dir.path(), query, 3, None);
        run(&mut *sink, 0, 3).unwrap();
        fail::cfg(point, "return(error)").unwrap();
        let error = run(&mut *sink, 1, 3).unwrap_err();
        assert!(error.to_string().contains(point), "{error}");
        fail::remove(point);
        drop(sink);
        let early = lines(&FileSink::committed_files(dir.path()).unwrap());
        assert!(early == expected(0..1) || early == expected(0..2), "{point}: part of an epoch is committed");

        let mut sink = open(dir.path(), query, tasks, Some(0));
        if sink.last_committed().unwrap() == LastCommitted::Epoch(Epoch::FIRST) {
            run(&mut *sink, 1, tasks).unwrap();
        }
        run(&mut *sink, 2, tasks).unwrap();
        assert_eq!(lines(&FileSink::committed_files(dir.path()).unwrap()), expected(0..3), "{point}, then {tasks} tasks");
        assert_eq!(lines(&visible_files(dir.path())), expected(0..3), "{point}, then {tasks} tasks");
    }
    every_row_once_with_compaction();
    scenario.teardown();
    failpoint::hit("sink.after").unwrap();
}
