//! What the analyser and the planner must not get wrong: plans that look alike and are not.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use tidegate::connectors::{MemorySink, MemoryStream};
use tidegate::functions::col;
use tidegate::{DataFrame, OutputMode, Session, StreamingQuery};

use crate::support::{lines, numbers, rows, run, sorted};

/// Rows of an id and a time in seconds.
fn events(rows: &[(i64, i64)]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1 * 1_000_000)).with_timezone("UTC");
    crate::support::rows(vec![("id", numbers(rows.iter().map(|row| row.0))), ("ts", Arc::new(times) as ArrayRef)])
}

/// A session with streams of these names, ten seconds of lateness allowed in each.
fn session(names: &[&str]) -> (Session, Vec<MemoryStream>) {
    let session = Session::builder().parallelism(2).build().unwrap();
    let streams: Vec<MemoryStream> = names.iter().map(|_| MemoryStream::new(events(&[]).schema())).collect();
    for (name, stream) in names.iter().zip(&streams) {
        let frame = session.read_stream_from(name, stream.clone()).unwrap().with_watermark("ts", "10 seconds");
        frame.create_or_replace_temp_view(name).unwrap();
    }
    (session, streams)
}

fn start(frame: &DataFrame) -> (StreamingQuery, MemorySink) {
    let sink = MemorySink::new();
    (frame.write_stream().sink(sink.clone()).start().unwrap(), sink)
}

/// Adds rows, waits for them and the epochs that follow; gives what has come out so far.
fn step(query: &StreamingQuery, sink: &MemorySink, added: &[(&MemoryStream, &[(i64, i64)])]) -> Vec<String> {
    added.iter().filter(|(_, rows)| !rows.is_empty()).for_each(|(stream, rows)| stream.add_data(events(rows)).unwrap());
    query.process_all_available().unwrap();
    sorted(&sink.batches())
}

/// The state rows at the end of the newest epoch.
fn state_rows(query: &StreamingQuery) -> u64 {
    query.last_progress().unwrap().tasks.iter().map(|(_, metrics)| metrics.state_rows).sum()
}

#[test]
fn the_event_time_of_a_deduplication_is_kept_when_nothing_after_it_needs_the_column() {
    let (session, streams) = session(&["e"]);
    let frame = session.table("e").unwrap().with_column("id", col("id") + 1);
    let (query, sink) = start(&frame.drop_duplicates_within_watermark(["id"]).select(["id"]));
    step(&query, &sink, &[(&streams[0], &[(1, 100), (1, 101), (2, 105)])]);
    assert_eq!(state_rows(&query), 2);
    // The watermark is 190: a row of 50 is late, and both keys have gone.
    assert_eq!(step(&query, &sink, &[(&streams[0], &[(3, 200)])]), ["2", "3", "4"]);
    assert_eq!(step(&query, &sink, &[(&streams[0], &[(9, 50), (1, 201)])]), ["2", "2", "3", "4"]);
    query.stop().unwrap();
}

#[test]
fn a_condition_after_a_deduplication_stays_after_it() {
    let (session, streams) = session(&["e"]);
    let (query, sink) =
        start(&session.table("e").unwrap().drop_duplicates_by(["id"]).filter("ts < timestamp '1970-01-01 00:01:00'"));
    assert_eq!(step(&query, &sink, &[(&streams[0], &[(1, 70)])]), Vec::<String>::new(), "the first row of 1 is not before then");
    assert_eq!(step(&query, &sink, &[(&streams[0], &[(1, 59), (2, 59)])]), Vec::<String>::new(), "59 is late");
    query.stop().unwrap();

    let (session, streams) = self::session(&["e"]);
    let plain = session.read_stream_from("p", streams[0].clone()).unwrap();
    let (query, sink) = start(&plain.drop_duplicates_by(["id"]).filter("ts < timestamp '1970-01-01 00:01:00'").select(["id"]));
    assert_eq!(step(&query, &sink, &[(&streams[0], &[(1, 70)])]), Vec::<String>::new());
    assert_eq!(step(&query, &sink, &[(&streams[0], &[(1, 59), (2, 59)])]), ["2"]);
    query.stop().unwrap();
}

#[test]
fn rows_of_a_join_are_removed_by_the_key_that_is_event_time() {
    let (session, streams) = session(&["l", "r"]);
    // The right side's key is not its event time.
    let right = session.table("r").unwrap().with_column("ref", col("ts")).select(["id", "ref"]);
    right.create_or_replace_temp_view("r2").unwrap();
    let (query, sink) = start(&session.sql("SELECT l.id, r2.id AS other FROM l JOIN r2 ON l.ts = r2.ref").unwrap());
    step(&query, &sink, &[(&streams[0], &[(1, 100), (2, 130)]), (&streams[1], &[(7, 100), (8, 131)])]);
    // The watermark is 120: what has a time of 100 is gone on both sides.
    assert_eq!(state_rows(&query), 2);
    assert_eq!(step(&query, &sink, &[(&streams[1], &[(9, 130)])]), ["1|7", "2|9"]);
    query.stop().unwrap();
}

#[test]
fn a_computed_key_that_is_event_time_survives_a_restart() {
    let (_, streams) = session(&["l", "r"]);
    let (checkpoint, sink) = (tempfile::tempdir().unwrap(), MemorySink::new());
    let text = "SELECT l.id AS a, r.id AS b FROM (SELECT id, window(ts, '10 seconds') AS w FROM l) l \
                JOIN (SELECT id, window(ts, '10 seconds') AS w FROM r) r ON l.w = r.w";
    for (left, right) in [((1, 100), (2, 105)), ((3, 141), (4, 109)), ((5, 165), (6, 146)), ((7, 300), (8, 301))] {
        streams[0].add_data(events(&[left])).unwrap();
        streams[1].add_data(events(&[right])).unwrap();
        let session = Session::builder().parallelism(2).build().unwrap();
        for (name, stream) in ["l", "r"].iter().zip(&streams) {
            let frame = session.read_stream_from(name, stream.clone()).unwrap().with_watermark("ts", "10 seconds");
            frame.create_or_replace_temp_view(name).unwrap();
        }
        run(&session.sql(text).unwrap(), OutputMode::Append, &sink, checkpoint.path()).unwrap();
    }
    assert_eq!(sorted(&sink.batches()), ["1|2", "1|4", "3|6", "7|8"]);
}

#[test]
fn a_bound_on_a_cast_of_the_event_time_bounds_nothing() {
    let (session, streams) = session(&["l", "r"]);
    let text = "SELECT l.id, r.id AS other FROM l JOIN r ON l.id = r.id AND l.ts >= CAST(r.ts AS DATE) AND l.ts <= r.ts + INTERVAL 1 HOUR";
    let (query, sink) = start(&session.sql(text).unwrap());
    let day = 86_400;
    step(&query, &sink, &[(&streams[0], &[(1, day + 60), (2, day + 60)]), (&streams[1], &[(2, day + 50)])]);
    // Far less than a day later, but later than the hour: 1 still waits for a right row of the same day.
    let late = day + 4_000;
    assert_eq!(step(&query, &sink, &[(&streams[0], &[(9, late)]), (&streams[1], &[(9, late)])]), ["2|2", "9|9"]);
    assert_eq!(step(&query, &sink, &[(&streams[1], &[(1, late + 1)])]), ["1|1", "2|2", "9|9"]);
    query.stop().unwrap();
}

#[test]
fn a_frame_joined_with_itself_by_its_columns() {
    let session = Session::builder().build().unwrap();
    let a = session.sql("SELECT * FROM VALUES (1, 'x'), (2, 'y'), (2, 'z') AS t(k, v)").unwrap();
    let joined = a.join(&a, a.col("k").eq(a.col("k")), "inner");
    assert_eq!(joined.count().unwrap(), 5);
    let error = a.join(&a, a.col("k").gt(a.col("k")), "inner").count().unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("AMBIGUOUS_COLUMN_REFERENCE"), "{error}");
}

#[test]
fn a_condition_without_columns_on_a_global_aggregate_can_take_its_row() {
    let session = Session::builder().build().unwrap();
    session.sql("SELECT * FROM VALUES (1), (2) AS t(n)").unwrap().create_or_replace_temp_view("t").unwrap();
    for (condition, expected) in [("current_date() < date '1970-01-02'", 0), ("current_date() > date '1970-01-02'", 1)] {
        let text = format!("SELECT count(*) AS n FROM t WHERE n > 5 HAVING {condition}");
        assert_eq!(session.sql(&text).unwrap().count().unwrap(), expected, "{text}");
    }
}

#[test]
fn a_condition_that_is_never_true_is_a_query_like_others() {
    let (session, streams) = session(&["l", "r"]);
    for text in ["SELECT id FROM l WHERE false", "SELECT l.id FROM l, r WHERE l.id = r.id AND 1 = 0"] {
        let (query, sink) = start(&session.sql(text).unwrap());
        let added: [(&MemoryStream, &[(i64, i64)]); 2] = [(&streams[0], &[(1, 100)]), (&streams[1], &[(1, 100)])];
        assert_eq!(step(&query, &sink, &added), Vec::<String>::new(), "{text}");
        query.stop().unwrap();
    }
    let (query, sink) = start(&session.sql("SELECT l.id, r.id AS other FROM l, r WHERE l.id = r.id").unwrap());
    assert_eq!(step(&query, &sink, &[(&streams[0], &[(5, 500)]), (&streams[1], &[(5, 500)])]).last().unwrap(), "5|5");
    query.stop().unwrap();
}

#[test]
fn having_means_an_alias_before_a_column_that_is_no_key() {
    let session = Session::builder().build().unwrap();
    session.sql("SELECT * FROM VALUES (1, 10), (1, 20), (2, 5) AS t(k, n)").unwrap().create_or_replace_temp_view("t").unwrap();
    let rows = |text: &str| sorted(&session.sql(text).unwrap().collect().unwrap());
    assert_eq!(rows("SELECT k, sum(n) AS n FROM t GROUP BY k HAVING n > 20"), ["1|30"]);
    assert_eq!(rows("SELECT -k AS k, count(*) AS c FROM t GROUP BY k HAVING k > 1"), ["-2|1"], "a key is the key");
    assert_eq!(rows("SELECT k, sum(n) AS n FROM t GROUP BY k HAVING max(n) < 10"), ["2|5"]);
}

#[test]
fn sessions_of_a_static_table_are_those_of_a_stream() {
    let all = [(1, 100), (1, 104), (2, 100), (1, 110), (1, 109), (2, 105), (2, 111)];
    let text = "SELECT id, unix_timestamp(w.start) AS s, unix_timestamp(w.end) AS e, n FROM \
                (SELECT id, session_window(ts, '5 seconds') AS w, count(*) AS n FROM e GROUP BY id, session_window(ts, '5 seconds'))";
    let expected = ["1|100|115|4", "2|100|110|2", "2|111|116|1"];
    let session = Session::builder().build().unwrap();
    session.create_data_frame(vec![events(&all)]).unwrap().create_or_replace_temp_view("e").unwrap();
    assert_eq!(sorted(&session.sql(text).unwrap().collect().unwrap()), expected);

    // The same in the body of a foreachBatch, whose frame is static.
    let (streaming, streams) = self::session(&["s"]);
    let (sender, results) = std::sync::mpsc::channel();
    let inner = streaming.clone();
    let query = streaming.table("s").unwrap().write_stream().foreach_batch(move |batch, _| {
        batch.create_or_replace_temp_view("e")?;
        sender.send(sorted(&inner.sql(text)?.collect()?))?;
        Ok(())
    });
    let query = query.available_now();
    streams[0].add_data(events(&all)).unwrap();
    query.start().unwrap().await_termination(None).unwrap();
    assert_eq!(results.recv().unwrap(), expected);
}

#[test]
fn the_time_of_a_lambda_is_that_of_the_epoch() {
    let (session, streams) = session(&["e"]);
    let text = "SELECT id, transform(array(1, 2), x -> current_timestamp()) = array(current_timestamp(), current_timestamp()) AS same FROM e";
    let (query, sink) = start(&session.sql(text).unwrap());
    assert_eq!(step(&query, &sink, &[(&streams[0], &[(1, 100)])]), ["1|true"]);
    query.stop().unwrap();
    let ordered = session.sql("SELECT id, count(*) AS n FROM e GROUP BY id ORDER BY current_timestamp(), id").unwrap();
    let error = ordered.write_stream().format("noop").output_mode(OutputMode::Complete).start().unwrap_err();
    assert!(error.to_string().contains("current_timestamp"), "{error}");
}

#[test]
fn a_failing_function_is_not_run_on_rows_that_a_condition_excludes() {
    let session = Session::builder().build().unwrap();
    let ids = rows(vec![("id", numbers([1, 2, 3]))]);
    session.create_data_frame(vec![ids]).unwrap().create_or_replace_temp_view("t").unwrap();
    let int = arrow::datatypes::DataType::Int64;
    session.register_function("below_three", vec![int.clone()], int, |columns| {
        let ids = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&columns[0]);
        match ids.values().iter().find(|id| **id >= 3) {
            Some(id) => Err(format!("{id} is not below three").into()),
            None => Ok(Arc::clone(&columns[0])),
        }
    });
    let text = "SELECT below_three(id) AS id FROM (SELECT * FROM t WHERE id < 3) WHERE below_three(id) > 1";
    assert_eq!(lines(&session.sql(text).unwrap().collect().unwrap()), ["2"]);
    let text = "SELECT CASE WHEN id < 3 THEN below_three(id) ELSE 0 END AS id FROM t";
    assert_eq!(lines(&session.sql(text).unwrap().collect().unwrap()), ["1", "2", "0"]);
}

#[test]
fn grouping_sets_of_too_many_keys_are_refused() {
    let session = Session::builder().build().unwrap();
    let columns: Vec<String> = (0..17).map(|number| format!("id + {number}")).collect();
    session.create_data_frame(vec![rows(vec![("id", numbers([1]))])]).unwrap().create_or_replace_temp_view("t").unwrap();
    let error = session.sql(&format!("SELECT count(*) FROM t GROUP BY CUBE({})", columns.join(", "))).unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("GROUPING_SIZE_LIMIT_EXCEEDED"), "{error}");
}

#[test]
fn orders_and_conditions_may_name_columns_that_were_left_out() {
    let session = Session::builder().build().unwrap();
    let frame = session.sql("SELECT * FROM VALUES (1, 'b', 30), (2, 'a', 20), (3, 'c', 10) AS t(n, s, m)").unwrap();
    let shown = |frame: DataFrame| (frame.columns().unwrap().join(" "), lines(&frame.collect().unwrap()).join(" "));
    let ordered = |frame: &DataFrame, key: &str| shown(frame.order_by([col(key)]));
    let n = frame.select(["n"]);
    assert_eq!(ordered(&n, "s"), ("n".to_owned(), "2 1 3".to_owned()));
    assert_eq!(shown(n.filter("s <> 'a' AND m > 10")), ("n".to_owned(), "1".to_owned()));
    assert_eq!(shown(n.filter("m < 30").limit(5).order_by([frame.col("m").asc()])).1, "3 2");
    // The nearest of several frames counts.
    let twice = frame.with_column("m", -col("m")).select(["n", "s"]).drop(["s"]);
    assert_eq!(ordered(&twice, "m").1, "1 2 3");
    assert_eq!(ordered(&frame.with_column_renamed("s", "m2").to_df(["m", "n", "s"]), "m2").1, "2|a|20 1|b|30 3|c|10");
    assert_eq!(ordered(&frame.to_df(["s", "n", "m"]), "s").1, "1|b|30 2|a|20 3|c|10", "what is shown comes first");
    let refused = |frame: DataFrame| frame.collect().unwrap_err().condition().unwrap_or_default();
    for other in
        [n.alias("x"), n.distinct(), frame.group_by(["n"]).count(), n.union(&n), n.cross_join(&n.alias("y").to_df(["k"]))]
    {
        assert_eq!(refused(other.filter("s = 'a'")), "UNRESOLVED_COLUMN.WITH_SUGGESTION");
    }
    // In SQL a subquery has the columns that it names.
    frame.create_or_replace_temp_view("t").unwrap();
    assert!(session.sql("SELECT * FROM (SELECT n FROM t) WHERE s = 'a'").is_err());
}

#[test]
fn a_stream_is_filtered_by_a_column_that_was_left_out() {
    let (session, streams) = session(&["e"]);
    let (query, sink) = start(&session.table("e").unwrap().select(["id"]).filter("ts > timestamp '1970-01-01 00:01:40'"));
    assert_eq!(step(&query, &sink, &[(&streams[0], &[(1, 100), (2, 101)])]), ["2"]);
    query.stop().unwrap();
}
