//! Event time against naive twins: everything computed again from all rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use proptest::prelude::*;
use tidegate::connectors::{MemorySink, MemoryStream};
use tidegate::{OutputMode, Session};

use crate::support::{lines, numbers, run, sorted};

const SECOND: i64 = 1_000_000;

/// A row: key, time in seconds, number.
type Row = (i64, i64, i64);

fn batch(rows: &[Row]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1 * SECOND)).with_timezone("UTC");
    crate::support::rows(vec![
        ("k", numbers(rows.iter().map(|row| row.0))),
        ("ts", Arc::new(times) as ArrayRef),
        ("v", numbers(rows.iter().map(|row| row.2))),
    ])
}

/// Epochs of rows whose times go up, so that none is late.
fn epochs() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let row = (0..3i64, 0..6i64, 0..100i64);
    proptest::collection::vec(proptest::collection::vec(row, 1..6), 1..7).prop_map(|mut epochs| {
        let mut now = 0;
        for rows in &mut epochs {
            // A row at the watermark itself is late, and the greatest time so far can be the watermark.
            now += 1;
            for (key, time, _) in rows {
                now += *time;
                *time = now;
                *key += 1;
            }
        }
        epochs
    })
}

/// Runs each epoch in a session of its own, at another parallelism each time.
fn streamed(text: &str, mode: OutputMode, delay: Option<&str>, streams: &[(&str, &[Vec<Row>])]) -> Vec<Vec<RecordBatch>> {
    let checkpoint = tempfile::tempdir().unwrap();
    let sink = MemorySink::update();
    let sources: Vec<(&str, MemoryStream)> =
        streams.iter().map(|(name, _)| (*name, MemoryStream::new(batch(&[]).schema()))).collect();
    let longest = streams.iter().map(|(_, epochs)| epochs.len()).max().unwrap_or(0);
    for number in 0..longest {
        let session = Session::builder().parallelism(1 + number % 2).build().unwrap();
        for ((name, source), (_, epochs)) in sources.iter().zip(streams) {
            if let Some(rows) = epochs.get(number) {
                source.add_data(batch(rows)).unwrap();
            }
            let mut frame = session.read_stream_from(name, source.clone()).unwrap();
            if let Some(delay) = delay {
                frame = frame.with_watermark("ts", delay);
            }
            frame.create_or_replace_temp_view(name).unwrap();
        }
        run(&session.sql(text).unwrap(), mode, &sink, checkpoint.path()).unwrap();
    }
    sink.epochs().into_iter().map(|(_, rows)| rows).collect()
}

fn batch_result(text: &str, tables: &[(&str, Vec<Row>)]) -> Vec<String> {
    let session = Session::builder().parallelism(2).build().unwrap();
    for (name, rows) in tables {
        session.create_data_frame(vec![batch(rows)]).unwrap().create_or_replace_temp_view(name).unwrap();
    }
    sorted(&session.sql(text).unwrap().collect().unwrap())
}

/// The sessions of all rows: key, start, end, count, sum.
fn sessions(rows: &[Row], gap: i64) -> Vec<(i64, i64, i64, i64, i64)> {
    let mut by_key: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    rows.iter().for_each(|(key, time, value)| by_key.entry(*key).or_default().push((*time, *value)));
    let mut all: Vec<(i64, i64, i64, i64, i64)> = Vec::new();
    for (key, mut rows) in by_key {
        rows.sort_unstable();
        for (time, value) in rows {
            match all.last_mut() {
                Some(last) if last.0 == key && time <= last.2 => {
                    last.2 = last.2.max(time + gap);
                    last.3 += 1;
                    last.4 += value;
                }
                _ => all.push((key, time, time + gap, 1, value)),
            }
        }
    }
    all
}

fn session_lines(sessions: impl Iterator<Item = (i64, i64, i64, i64, i64)>) -> Vec<String> {
    let mut lines: Vec<String> =
        sessions.map(|(key, start, end, count, sum)| format!("{key}|{start}|{end}|{count}|{sum}")).collect();
    lines.sort_unstable();
    lines
}

/// Queries with a stateful operator over what another one gives.
const CHAINS: &[&str] = &[
    "SELECT unix_timestamp(w.end) AS e, count(*) AS n, sum(c) AS c FROM \
     (SELECT window(window, '20 seconds') AS w, c FROM (SELECT k, window, count(*) AS c FROM events GROUP BY k, window(ts, '5 seconds'))) \
     GROUP BY w",
    "SELECT unix_timestamp(window.end) AS e, count(*) AS n, sum(k) AS c FROM (SELECT DISTINCT k, ts FROM events) \
     GROUP BY window(ts, '10 seconds')",
    "SELECT unix_timestamp(window.end) AS e, k % 2 AS odd, sum(c) AS c FROM \
     (SELECT k, window_time(window) AS t, count(*) AS c FROM events GROUP BY k, window(ts, '4 seconds', '2 seconds')) \
     GROUP BY k % 2, window(t, '12 seconds', '4 seconds')",
];

/// A query by overlapping windows, and lengths and slide in seconds.
fn overlapping() -> impl Strategy<Value = (usize, (i64, i64, i64))> {
    let window = (1..30i64)
        .prop_flat_map(|length| (Just(length), 1..=length))
        .prop_flat_map(|(length, slide)| (Just(length), Just(slide), 0..slide));
    (0..7usize, window)
}

/// One of several queries by windows of this length, slide and start, the key columns first; and whether it can go by panes.
fn window_query(number: usize, (length, slide, start): (i64, i64, i64)) -> (String, bool) {
    let window = format!("window(ts, '{length} seconds', '{slide} seconds', '{start} seconds')");
    let end = "unix_timestamp(window.end) AS e";
    let text = match number {
        0 => format!("SELECT {end}, count(*) AS c, sum(v) AS s, min(v) AS m FROM events GROUP BY {window}"),
        1 => format!("SELECT {end}, k % 2 AS odd, avg(v) AS a, max(ts) AS t FROM events GROUP BY k % 2, {window}"),
        2 => format!("SELECT {end}, k, bit_xor(v) AS d, count(*) FILTER (WHERE v > 50) AS f FROM events GROUP BY {window}, k"),
        3 => format!(
            "SELECT {end}, k, stddev(v) IS NULL AS one FROM (SELECT k, v, ts, {window} AS window FROM events) GROUP BY k, window"
        ),
        // Not a function of the pane: the window itself in an aggregate, in a condition on rows, or an order.
        4 => format!("SELECT {end}, sum(unix_timestamp(window.start)) AS s FROM events GROUP BY {window}"),
        5 => format!("SELECT {end}, array_sort(collect_list(v)) AS l FROM events GROUP BY {window}"),
        _ => {
            let rows = format!("SELECT k, ts, {window} AS window FROM events");
            format!("SELECT {end}, count(*) AS c FROM ({rows}) WHERE ts > window.start + INTERVAL 1 SECOND GROUP BY window")
        }
    };
    // Without an overlap nothing is shared.
    (text, number < 4 && slide < length)
}

/// The plan of a query over a stream of events.
fn plan(text: &str) -> String {
    let session = Session::builder().parallelism(1).build().unwrap();
    let frame = session.read_stream_from("events", MemoryStream::new(batch(&[]).schema())).unwrap();
    frame.with_watermark("ts", "5 seconds").create_or_replace_temp_view("events").unwrap();
    session.sql(text).unwrap().explain_text().unwrap()
}

/// The newest row of each key, of rows whose keys are all columns but those that later rows of a key may change.
fn newest(batches: &[RecordBatch]) -> Vec<String> {
    let keys = if batches.iter().any(|batch| batch.schema().index_of("k").is_ok() || batch.schema().index_of("odd").is_ok()) {
        2
    } else {
        1
    };
    let mut newest: BTreeMap<String, String> = BTreeMap::new();
    for line in lines(batches) {
        let key = line.split('|').take(keys).collect::<Vec<_>>().join("|");
        newest.insert(key, line);
    }
    let mut lines: Vec<String> = newest.into_values().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_key_may_have_any_name_beside_an_overlapping_window() {
    let text = "SELECT unix_timestamp(window.end) AS e, `a#b#c`, `pane`, count(*) AS c FROM \
                (SELECT k AS `a#b#c`, v AS `pane`, ts FROM events) GROUP BY `a#b#c`, `pane`, window(ts, '10 seconds', '4 seconds')";
    let rows = vec![(1, 3, 7), (1, 4, 7), (2, 5, 8), (1, 11, 7)];
    assert!(plan(text).contains("panes"));
    let given = streamed(text, OutputMode::Complete, None, &[("events", std::slice::from_ref(&rows))]);
    assert_eq!(sorted(given.last().unwrap()), batch_result(text, &[("events", rows)]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn windows_are_those_of_a_batch(epochs in epochs(), sliding in proptest::bool::ANY) {
        let window = if sliding { "window(ts, '10 seconds', '4 seconds')" } else { "window(ts, '10 seconds')" };
        let text = format!("SELECT k, unix_timestamp(window.end) AS e, count(*) AS c, sum(v) AS s FROM events GROUP BY k, {window}");
        let all: Vec<Row> = epochs.concat();
        let expected = batch_result(&text, &[("events", all.clone())]);
        let complete = streamed(&text, OutputMode::Complete, Some("5 seconds"), &[("events", &epochs)]);
        prop_assert_eq!(sorted(complete.last().unwrap()), expected.clone(), "complete");

        let watermark = all.iter().map(|row| row.1).max().unwrap() - 5;
        let closed = format!("SELECT * FROM ({text}) WHERE e <= {watermark}");
        let expected = batch_result(&closed, &[("events", all)]);
        let append = streamed(&text, OutputMode::Append, Some("5 seconds"), &[("events", &epochs)]).concat();
        prop_assert_eq!(sorted(&append), expected, "append");
    }

    #[test]
    fn overlapping_windows_are_those_of_a_batch(epochs in epochs(), (number, window) in overlapping()) {
        let (text, by_panes) = window_query(number, window);
        let all: Vec<Row> = epochs.concat();
        let expected = batch_result(&text, &[("events", all)]);
        prop_assert_eq!(plan(&text).contains("panes"), by_panes, "{}", &text);
        for mode in [OutputMode::Complete, OutputMode::Update] {
            let given = streamed(&text, mode, Some("5 seconds"), &[("events", &epochs)]);
            let given = if mode == OutputMode::Complete { sorted(given.last().unwrap()) } else { newest(&given.concat()) };
            prop_assert_eq!(given, expected.clone(), "{} of {}", mode, &text);
        }
    }

    #[test]
    fn chained_operators_go_on_at_another_parallelism(epochs in epochs(), number in 0..CHAINS.len()) {
        let all: Vec<Row> = epochs.concat();
        let text = CHAINS[number];
        let given = streamed(text, OutputMode::Append, Some("5 seconds"), &[("events", &epochs)]).concat();
        let watermark = all.iter().map(|row| row.1).max().unwrap() - 5;
        let expected = batch_result(&format!("SELECT * FROM ({text}) WHERE e <= {watermark}"), &[("events", all)]);
        prop_assert_eq!(sorted(&given), expected, "{}", text);
    }

    #[test]
    fn sessions_are_those_of_all_rows(epochs in epochs()) {
        let text = "SELECT k, unix_timestamp(session_window.start) AS s, unix_timestamp(session_window.end) AS e, count(*) AS c, \
                    sum(v) AS t FROM events GROUP BY k, session_window(ts, '5 seconds')";
        let all: Vec<Row> = epochs.concat();
        let complete = streamed(text, OutputMode::Complete, Some("5 seconds"), &[("events", &epochs)]);
        prop_assert_eq!(sorted(complete.last().unwrap()), session_lines(sessions(&all, 5).into_iter()), "complete");

        let watermark = all.iter().map(|row| row.1).max().unwrap() - 5;
        let append = streamed(text, OutputMode::Append, Some("5 seconds"), &[("events", &epochs)]).concat();
        let closed = sessions(&all, 5).into_iter().filter(|session| session.2 <= watermark);
        prop_assert_eq!(sorted(&append), session_lines(closed), "append");
    }

    #[test]
    fn an_inner_join_of_streams_is_that_of_a_batch(left in epochs(), right in epochs()) {
        let text = "SELECT l.k, l.v AS lv, r.v AS rv FROM l JOIN r ON l.k = r.k AND l.v < r.v";
        let expected = batch_result(text, &[("l", left.concat()), ("r", right.concat())]);
        let rows = streamed(text, OutputMode::Append, None, &[("l", &left), ("r", &right)]).concat();
        prop_assert_eq!(sorted(&rows), expected);
    }

    #[test]
    fn first_rows_within_the_watermark_are_given_once(epochs in epochs()) {
        let rows = {
            let checkpoint = tempfile::tempdir().unwrap();
            let (stream, sink) = (MemoryStream::new(batch(&[]).schema()), MemorySink::new());
            for (number, rows) in epochs.iter().enumerate() {
                stream.add_data(batch(rows)).unwrap();
                let session = Session::builder().parallelism(1 + number % 2).build().unwrap();
                let frame = session.read_stream_from("events", stream.clone()).unwrap().with_watermark("ts", "1000 days");
                run(&frame.drop_duplicates_within_watermark(["k"]).select(["k"]), OutputMode::Append, &sink, checkpoint.path()).unwrap();
            }
            sorted(&sink.batches())
        };
        let mut keys: Vec<String> = epochs.concat().iter().map(|row| row.0.to_string()).collect();
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(rows, keys);
    }
}

/// Outer joins by the time range `r.ts BETWEEN l.ts AND l.ts + 10 seconds`: pairs, and rows that the watermark shows to be alone.
fn outer_join(left: &[Vec<Row>], right: &[Vec<Row>], kind: &str) -> (Vec<String>, Vec<String>) {
    let text = format!(
        "SELECT l.v AS lv, r.v AS rv FROM l {kind} JOIN r ON l.k = r.k AND r.ts >= l.ts AND r.ts <= l.ts + INTERVAL 10 SECONDS"
    );
    let rows = streamed(&text, OutputMode::Append, Some("0 seconds"), &[("l", left), ("r", right)]).concat();
    let (lefts, rights) = (left.concat(), right.concat());
    let greatest = |rows: &[Row]| rows.iter().map(|row| row.1).max().unwrap_or(0);
    let watermark = greatest(&lefts).min(greatest(&rights));
    let matches = |l: &Row, r: &Row| l.0 == r.0 && r.1 >= l.1 && r.1 <= l.1 + 10;
    let mut expected: Vec<String> = Vec::new();
    for l in &lefts {
        expected.extend(rights.iter().filter(|r| matches(l, r)).map(|r| format!("{}|{}", l.2, r.2)));
        // A bound that may be reached holds a millisecond longer: with whole seconds, the next second.
        let is_alone = !rights.iter().any(|r| matches(l, r)) && l.1 + 10 < watermark;
        if is_alone && kind != "RIGHT" {
            expected.push(format!("{}|NULL", l.2));
        }
    }
    for r in &rights {
        let is_alone = !lefts.iter().any(|l| matches(l, r)) && r.1 < watermark;
        if is_alone && kind != "LEFT" {
            expected.push(format!("NULL|{}", r.2));
        }
    }
    expected.sort_unstable();
    (sorted(&rows), expected)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn outer_joins_give_every_row_once(epochs in epochs(), other in proptest::collection::vec((0..3i64, 0..100i64), 7 * 6), kind in 0..3usize) {
        // Both sides at the same times, so that neither is late.
        let mut others = other.iter();
        let right: Vec<Vec<Row>> = epochs
            .iter()
            .map(|rows| rows.iter().map(|row| others.next().map_or(*row, |(key, value)| (key + 1, row.1, *value))).collect())
            .collect();
        let (rows, expected) = outer_join(&epochs, &right, ["LEFT", "RIGHT", "FULL"][kind]);
        prop_assert_eq!(rows, expected);
    }
}
