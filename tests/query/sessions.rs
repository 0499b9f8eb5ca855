//! A session works wherever it is called from.

use serde::{Deserialize, Serialize};
use tidegate::functions::{col, count_all, lit, sum, upper};
use tidegate::{OutputMode, Session};

use crate::support::{lines, numbers, rows, sorted, strings};

/// A batch query and a streaming one, from this thread.
fn works() {
    let session = Session::builder().app_name("works").build().unwrap();
    assert_eq!(session.sql("SELECT 1 AS one").unwrap().count().unwrap(), 1);
    let (input, words) = session.memory_stream("word STRING").unwrap();
    let counts = words.group_by(["word"]).count();
    let query = counts.write_stream().format("memory").query_name("counts").output_mode(OutputMode::Complete).start().unwrap();
    input.add_data(rows(vec![("word", strings(["a", "b", "a"]))])).unwrap();
    query.process_all_available().unwrap();
    // The table is read while the query runs.
    let result = session.sql("SELECT word, count FROM counts ORDER BY word").unwrap();
    assert_eq!(lines(&result.collect().unwrap()), ["a|2", "b|1"]);
    input.add_data(rows(vec![("word", strings(["b"]))])).unwrap();
    query.process_all_available().unwrap();
    assert_eq!(lines(&result.collect().unwrap()), ["a|2", "b|2"]);
    assert_eq!(session.streams().active().len(), 1);
    query.stop().unwrap();
    assert!(session.streams().active().is_empty());
}

#[test]
fn from_a_plain_thread() {
    works();
}

#[tokio::test(flavor = "current_thread")]
async fn from_a_current_thread_runtime() {
    works();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_multi_thread_runtime() {
    works();
    let session = Session::builder().build().unwrap();
    let (input, frame) = session.memory_stream("n BIGINT").unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let query = frame.write_stream().foreach_batch_async(move |batch, epoch| {
        let sender = sender.clone();
        async move {
            tokio::task::yield_now().await;
            sender.send((epoch, batch.collect()?.iter().map(|rows| rows.num_rows()).sum::<usize>()))?;
            Ok(())
        }
    });
    let query = query.start().unwrap();
    input.add_data(rows(vec![("n", numbers([1, 2]))])).unwrap();
    query.process_all_available().unwrap();
    assert_eq!(receiver.recv().unwrap(), (0, 2));
    query.stop().unwrap();
}

#[test]
fn frames_of_both_kinds_have_the_same_operations() {
    let session = Session::builder().build().unwrap();
    let sales = session.sql("SELECT * FROM VALUES ('a', 3), ('b', 5), ('a', 4) AS sales(shop, n)").unwrap();
    assert!(!sales.is_streaming());
    let totals = sales
        .filter(col("n").gt(lit(2)))
        .with_column("shop", upper("shop"))
        .group_by(["shop"])
        .agg([sum("n").alias("total"), count_all().alias("sales")]);
    assert_eq!(sorted(&totals.collect().unwrap()), ["A|7|2", "B|5|1"]);
    let doubled = sales.union(&sales.select_expr(["upper(shop) AS s", "n * 10 AS n"])).order_by([col("n").desc()]).limit(2);
    assert_eq!(lines(&doubled.collect().unwrap()), ["B|50", "A|40"]);
    let joined =
        sales.alias("l").join(&sales.alias("r"), col("l.shop").eq(col("r.shop")).and(col("l.n").lt(col("r.n"))), "inner");
    assert_eq!(lines(&joined.select(["l.n", "r.n"]).collect().unwrap()), ["3|4"]);
    assert_eq!(sales.rollup(["shop"]).count().count().unwrap(), 3);
    assert_eq!(sales.drop(["n"]).distinct().count().unwrap(), 2);
    assert_eq!(sales.schema_string().unwrap(), "root\n |-- shop: string (nullable = true)\n |-- n: integer (nullable = true)\n");
    assert_eq!(sales.limit(1).show_string(20, Some(20)).unwrap(), "+----+---+\n|shop|  n|\n+----+---+\n|   a|  3|\n+----+---+\n");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    sensor: String,
    value: i64,
}

#[test]
fn typed_rows_mix_with_untyped_ones() {
    let session = Session::builder().build().unwrap();
    let (input, frame) = session.memory_stream("sensor STRING, value BIGINT").unwrap();
    let readings = frame.as_dataset::<Reading>().unwrap().filter(|reading| reading.value > 0);
    let split = readings
        .flat_map(|reading| (0..2).map(move |n| Reading { sensor: reading.sensor.clone(), value: reading.value + n }))
        .unwrap();
    let greatest = split.group_by_key(|reading| reading.sensor.clone()).unwrap();
    let greatest = greatest.reduce_groups(|a, b| if a.value > b.value { a } else { b }).unwrap();
    let flat = greatest.to_df().select_expr(["key", "value.value AS value"]);
    let query = flat.write_stream().format("memory").query_name("greatest").output_mode(OutputMode::Complete).start().unwrap();
    for values in [[1, -5], [7, 3]] {
        input.add_data(rows(vec![("sensor", strings(["a", "b"])), ("value", numbers(values))])).unwrap();
        query.process_all_available().unwrap();
    }
    let result = session.table("greatest").unwrap().collect().unwrap();
    assert_eq!(sorted(&result), ["a|8", "b|4"]);
    query.stop().unwrap();
}

#[test]
fn a_streaming_frame_has_no_rows_to_collect() {
    let session = Session::builder().build().unwrap();
    let (_, frame) = session.memory_stream("n INT").unwrap();
    for error in [
        frame.collect().unwrap_err(),
        frame.count().unwrap_err(),
        frame.show().unwrap_err(),
        frame.sample(0.5).collect().unwrap_err(),
    ] {
        assert!(error.to_string().contains("stream"), "{error}");
    }
    let explained = frame.group_by(["n"]).count().explain_text().unwrap();
    assert!(explained.contains("state groups"), "{explained}");
}

#[test]
fn a_name_belongs_to_one_running_query() {
    let session = Session::builder().build().unwrap();
    let (_, frame) = session.memory_stream("n INT").unwrap();
    let start = || frame.write_stream().format("noop").query_name("only").start();
    let query = start().unwrap();
    assert_eq!(start().unwrap_err().condition().as_deref(), Some("QUERY_NAME_ALREADY_ACTIVE"));
    query.stop().unwrap();
    start().unwrap().stop().unwrap();
}

#[test]
fn a_query_that_has_ended_holds_nothing_of_its_session() {
    let held = std::sync::Arc::new(());
    let session = Session::builder().build().unwrap();
    let (_, frame) = session.memory_stream("n INT").unwrap();
    let (inner, body) = (session.clone(), std::sync::Arc::clone(&held));
    let query = frame.write_stream().foreach_batch(move |_, _| {
        let _both = (&inner, &body);
        Ok(())
    });
    query.available_now().start().unwrap().await_termination(None).unwrap();
    drop((session, frame));
    assert_eq!(std::sync::Arc::strong_count(&held), 1);
}
