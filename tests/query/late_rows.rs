//! Rows that come too late, beside the result.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use tidegate::connectors::{MemorySink, MemoryStream};
use tidegate::{DataFrame, OutputMode, Session};

use crate::support::{numbers, rows, sorted};

fn events(given: &[(i64, i64)]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values(given.iter().map(|row| row.1 * 1_000_000)).with_timezone("UTC");
    rows(vec![("id", numbers(given.iter().map(|row| row.0))), ("ts", Arc::new(times) as ArrayRef)])
}

/// A run over what the streams have; parallelism 2.
fn run(text: &str, mode: OutputMode, streams: &[&MemoryStream], sink: &MemorySink, late: &MemorySink, checkpoint: &Path) -> u64 {
    let session = Session::builder().parallelism(2).build().unwrap();
    for (name, stream) in ["e", "f"].iter().zip(streams) {
        let frame = session.read_stream_from(name, (*stream).clone()).unwrap().with_watermark("ts", "10 seconds");
        frame.create_or_replace_temp_view(name).unwrap();
    }
    let frame: DataFrame = session.sql(text).unwrap();
    let query = frame.write_stream().output_mode(mode).sink(sink.clone()).late_rows_sink(late.clone()).checkpoint(checkpoint);
    let query = query.available_now().start().unwrap();
    query.await_termination(None).unwrap();
    query.recent_progress().iter().map(|progress| progress.late_rows).sum()
}

/// Two runs: the second one's rows are judged by what the first has come to, which is 90 seconds.
fn late_of(text: &str, mode: OutputMode, second: &[(i64, i64)]) -> (Vec<String>, Vec<String>, u64) {
    let (stream, checkpoint) = (MemoryStream::new(events(&[]).schema()), tempfile::tempdir().unwrap());
    let (sink, late) = (MemorySink::update(), MemorySink::new());
    stream.add_data(events(&[(1, 95), (2, 100)])).unwrap();
    run(text, mode, &[&stream], &sink, &late, checkpoint.path());
    assert!(late.batches().is_empty());
    stream.add_data(events(second)).unwrap();
    let counted = run(text, mode, &[&stream], &sink, &late, checkpoint.path());
    (sorted(&sink.batches()), sorted(&late.batches()), counted)
}

#[test]
fn late_rows_of_windows_have_the_watermark_that_judged_them() {
    let text = "SELECT window(ts, '20 seconds', '10 seconds').end AS e, count(*) AS n FROM e GROUP BY window(ts, '20 seconds', '10 seconds')";
    // 75 is in windows that end at 80 and at 90, both late; 85 in those that end at 90 and 100, of which one is.
    let (result, late, counted) = late_of(text, OutputMode::Update, &[(3, 75), (4, 85), (5, 99)]);
    assert_eq!(late.len(), 3, "{late:#?}");
    assert!(late[0].starts_with("aggregate|1970-01-01T00:01:30Z|1970-01-01T00:01:20Z|{"), "{late:#?}");
    assert_eq!(late.iter().map(|row| row.contains("\"id\":3")).filter(|is| *is).count(), 2, "{late:#?}");
    assert!(late.iter().any(|row| row.contains("\"id\":4") && row.contains("\"ts\":\"1970-01-01T00:01:25.000Z\"")), "{late:#?}");
    // The counter counts what the exchange brings: partial counts of windows.
    assert_eq!(counted, 2);
    assert_eq!(
        result,
        [
            "1970-01-01T00:01:40Z|1",
            "1970-01-01T00:01:40Z|3",
            "1970-01-01T00:01:50Z|2",
            "1970-01-01T00:01:50Z|3",
            "1970-01-01T00:02:00Z|1"
        ]
    );
}

#[test]
fn late_rows_of_sessions_and_duplicates() {
    let text = "SELECT id, session_window(ts, '5 seconds').start AS s, count(*) AS n FROM e GROUP BY id, session_window(ts, '5 seconds')";
    let (_, late, counted) = late_of(text, OutputMode::Append, &[(3, 84), (4, 86), (5, 85)]);
    assert_eq!((late.len(), counted), (2, 2), "{late:#?}");
    assert!(late.iter().all(|row| row.starts_with("session-aggregate|1970-01-01T00:01:30Z|")), "{late:#?}");

    let (result, late, counted) = late_of("SELECT DISTINCT ts, id FROM e", OutputMode::Update, &[(3, 90), (4, 91)]);
    assert_eq!((late.len(), counted), (1, 1), "{late:#?}");
    assert_eq!(result.len(), 3);
}

#[test]
fn late_rows_of_both_sides_of_a_join() {
    let (left, right) = (MemoryStream::new(events(&[]).schema()), MemoryStream::new(events(&[]).schema()));
    let (sink, late, checkpoint) = (MemorySink::new(), MemorySink::new(), tempfile::tempdir().unwrap());
    let text = "SELECT e.id FROM e JOIN f ON e.id = f.id AND e.ts = f.ts";
    for given in [&[(1, 100)][..], &[(1, 90), (2, 91)]] {
        left.add_data(events(given)).unwrap();
        right.add_data(events(given)).unwrap();
        run(text, OutputMode::Append, &[&left, &right], &sink, &late, checkpoint.path());
    }
    let late = sorted(&late.batches());
    assert_eq!(late.len(), 2, "{late:#?}");
    assert!(late.iter().all(|row| row.starts_with("stream-join|1970-01-01T00:01:30Z|1970-01-01T00:01:30Z|")), "{late:#?}");
    assert_eq!(sorted(&sink.batches()), ["1", "2"]);
}

#[test]
fn a_query_that_drops_nothing_has_no_late_rows() {
    let session = Session::builder().build().unwrap();
    let (_, frame) = session.memory_stream("id BIGINT, ts TIMESTAMP").unwrap();
    let none: [(&str, &str); 0] = [];
    let error = frame.write_stream().format("noop").late_rows("noop", none).start().unwrap_err();
    assert!(error.to_string().contains("with_watermark"), "{error}");
    let error = frame.write_stream().format("noop").late_rows("parquet", none).start().unwrap_err();
    assert!(error.to_string().contains("path"), "{error}");
}
