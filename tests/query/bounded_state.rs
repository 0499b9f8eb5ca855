//! The state holds what the watermark allows, and no more, however long a query runs.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use tidegate::connectors::MemoryStream;
use tidegate::{OutputMode, Session};

use crate::support::{numbers, rows};

const EPOCHS: i64 = 60;
/// Rows of an epoch, one each second; the time goes on by as many seconds.
const ROWS: i64 = 3_000;
const DELAY: i64 = 10;

fn events(first: i64) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values((first..first + ROWS).map(|n| n * 1_000_000)).with_timezone("UTC");
    rows(vec![("id", numbers((first..first + ROWS).map(|n| n % 7))), ("ts", Arc::new(times) as ArrayRef)])
}

/// Runs a query over many epochs; after each, and the epochs that follow it without input, the state must have `expected` rows, given
/// the times that may still be in it and the watermark.
fn check(text: &str, mode: OutputMode, expected: impl Fn(Range<i64>, i64) -> usize) {
    let session = Session::builder().parallelism(2).build().unwrap();
    let streams = ["a", "b"].map(|name| {
        let stream = MemoryStream::new(events(0).schema());
        let frame = session.read_stream_from(name, stream.clone()).unwrap().with_watermark("ts", "10 seconds");
        frame.create_or_replace_temp_view(name).unwrap();
        stream
    });
    let query = session.sql(text).unwrap().write_stream().format("noop").output_mode(mode).start().unwrap();
    let mut bytes = Vec::new();
    for epoch in 0..EPOCHS {
        for stream in &streams {
            stream.add_data(events(epoch * ROWS)).unwrap();
        }
        query.process_all_available().unwrap();
        let (end, watermark) = ((epoch + 1) * ROWS, (epoch + 1) * ROWS - 1 - DELAY);
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

#[test]
fn of_windows() {
    for (mode, sliding) in [(OutputMode::Append, false), (OutputMode::Update, false), (OutputMode::Append, true)] {
        let (length, slide) = if sliding { (12, 4) } else { (8, 8) };
        let window = format!("window(ts, '{length} seconds', '{slide} seconds')");
        let text = format!("SELECT id, {window} AS w, count(*) AS n FROM a GROUP BY id, {window}");
        check(&text, mode, |times, watermark| {
            let windows_of = |time: i64| (0..length / slide).map(move |back| time.div_euclid(slide) * slide - back * slide);
            let open = times.flat_map(|time| windows_of(time).map(move |start| (time % 7, start)));
            open.filter(|(_, start)| start + length > watermark).collect::<BTreeSet<_>>().len()
        });
    }
}

#[test]
fn of_sessions() {
    // Rows of an id are seven seconds apart: sessions of a gap of five seconds have one row each.
    let text =
        "SELECT id, session_window(ts, '5 seconds') AS w, count(*) AS n FROM a GROUP BY id, session_window(ts, '5 seconds')";
    check(text, OutputMode::Append, |times, watermark| times.filter(|time| time + 5 > watermark).count());
}

#[test]
fn of_deduplication() {
    let session_text = "SELECT DISTINCT id, ts FROM a";
    check(session_text, OutputMode::Update, |times, watermark| times.filter(|time| *time > watermark).count());
}

#[test]
fn of_a_join_of_streams() {
    let text =
        "SELECT a.id FROM a JOIN b ON a.id = b.id AND a.ts BETWEEN b.ts - INTERVAL 20 SECONDS AND b.ts + INTERVAL 5 SECONDS";
    // A left row waits for right ones up to 20 seconds later, a right row for left ones up to 5 seconds later: until the watermark of
    // the other side has passed that.
    check(text, OutputMode::Append, |times, watermark| {
        times.map(|time| usize::from(time + 20 >= watermark) + usize::from(time + 5 >= watermark)).sum()
    });
}
