//! The state holds what the watermark allows, and no more, however long a query runs.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use tidegate::connectors::MemoryStream;
use tidegate::{OutputMode, Session};

use crate::support::{numbers, rows};

/// How far the watermark stays behind, in seconds.
const DELAY: i64 = 10;

/// How long a query runs: the time goes on by one second with each row.
#[derive(Clone, Copy)]
struct Run {
    epochs: i64,
    /// Rows of an epoch in each stream.
    rows: i64,
    /// Each id comes again after so many rows.
    ids: i64,
}

const SHORT: Run = Run { epochs: 60, rows: 3_000, ids: 7 };
/// Ten million events in each stream.
const LONG: Run = Run { epochs: 500, rows: 20_000, ids: 1_009 };

fn events(times: Range<i64>, ids: i64) -> RecordBatch {
    let micros = TimestampMicrosecondArray::from_iter_values(times.clone().map(|time| time * 1_000_000)).with_timezone("UTC");
    rows(vec![("id", numbers(times.map(|time| time % ids))), ("ts", Arc::new(micros) as ArrayRef)])
}

/// Runs a query over many epochs; after each, and the epochs that follow it without input, the state must have `expected` rows, given
/// the times that may still be in it and the watermark.
fn check(run: Run, text: &str, mode: OutputMode, expected: impl Fn(Range<i64>, i64) -> usize) {
    let session = Session::builder().parallelism(2).build().unwrap();
    let streams = ["a", "b"].map(|name| {
        let stream = MemoryStream::new(events(0..0, 1).schema());
        let frame = session.read_stream_from(name, stream.clone()).unwrap().with_watermark("ts", "10 seconds");
        frame.create_or_replace_temp_view(name).unwrap();
        stream
    });
    let query = session.sql(text).unwrap().write_stream().format("noop").output_mode(mode).start().unwrap();
    let mut bytes = Vec::new();
    for epoch in 0..run.epochs {
        let (start, end) = (epoch * run.rows, (epoch + 1) * run.rows);
        for stream in &streams {
            stream.add_data(events(start..end, run.ids)).unwrap();
        }
        query.process_all_available().unwrap();
        let watermark = end - 1 - DELAY;
        // Nothing is kept for as long as a hundred seconds.
        let recent = (watermark - 100).max(0)..end;
        let progress = query.last_progress().unwrap();
        assert_eq!(progress.late_rows, 0);
        let state: u64 = progress.tasks.iter().map(|(_, metrics)| metrics.state_rows).sum();
        assert_eq!(state as usize, expected(recent, watermark), "{text}: epoch {epoch}");
        bytes.push(progress.tasks.iter().map(|(_, metrics)| metrics.state_bytes).sum::<u64>());
    }
    assert!(query.handle().totals().output_rows > 0);
    query.stop().unwrap();
    // A table of a task collects its garbage a segment of a mebibyte at a time; all the rows of the query would take several.
    let (most, tables) = (bytes.into_iter().max().unwrap_or_default(), if text.contains("JOIN") { 2 } else { 1 });
    assert!(most <= 2 * tables * (5 << 19), "{text}: the state takes {most} bytes");
}

fn windows(run: Run) {
    for (mode, sliding) in [(OutputMode::Append, false), (OutputMode::Update, false), (OutputMode::Append, true)] {
        let (length, slide) = if sliding { (12, 4) } else { (8, 8) };
        let window = format!("window(ts, '{length} seconds', '{slide} seconds')");
        let text = format!("SELECT id, {window} AS w, count(*) AS n FROM a GROUP BY id, {window}");
        check(run, &text, mode, |times, watermark| {
            let windows_of = |time: i64| (0..length / slide).map(move |back| time.div_euclid(slide) * slide - back * slide);
            let open = times.flat_map(|time| windows_of(time).map(move |start| (time % run.ids, start)));
            open.filter(|(_, start)| start + length > watermark).collect::<BTreeSet<_>>().len()
        });
    }
}

fn sessions(run: Run) {
    // Rows of an id are at least seven seconds apart: sessions of a gap of five seconds have one row each.
    let text =
        "SELECT id, session_window(ts, '5 seconds') AS w, count(*) AS n FROM a GROUP BY id, session_window(ts, '5 seconds')";
    check(run, text, OutputMode::Append, |times, watermark| times.filter(|time| time + 5 > watermark).count());
}

fn deduplication(run: Run) {
    let text = "SELECT DISTINCT id, ts FROM a";
    check(run, text, OutputMode::Update, |times, watermark| times.filter(|time| *time > watermark).count());
}

fn join_of_streams(run: Run) {
    let text =
        "SELECT a.id FROM a JOIN b ON a.id = b.id AND a.ts BETWEEN b.ts - INTERVAL 20 SECONDS AND b.ts + INTERVAL 5 SECONDS";
    // A left row waits for right ones up to 20 seconds later, a right row for left ones up to 5 seconds later: until the watermark of
    // the other side has passed that.
    check(run, text, OutputMode::Append, |times, watermark| {
        times.map(|time| usize::from(time + 20 >= watermark) + usize::from(time + 5 >= watermark)).sum()
    });
}

#[test]
fn of_windows() {
    windows(SHORT);
}

#[test]
fn of_sessions() {
    sessions(SHORT);
}

#[test]
fn of_deduplication() {
    deduplication(SHORT);
}

#[test]
fn of_a_join_of_streams() {
    join_of_streams(SHORT);
}

#[test]
#[ignore = "takes minutes"]
fn of_windows_of_ten_million_events() {
    windows(LONG);
}

#[test]
#[ignore = "takes minutes"]
fn of_sessions_of_ten_million_events() {
    sessions(LONG);
}

#[test]
#[ignore = "takes minutes"]
fn of_deduplication_of_ten_million_events() {
    deduplication(LONG);
}

#[test]
#[ignore = "takes minutes"]
fn of_a_join_of_twice_ten_million_events() {
    join_of_streams(LONG);
}
