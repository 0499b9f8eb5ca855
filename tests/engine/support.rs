//! A word count over a scripted source, its naive twin, and ways to look at a run.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate::operators::KeyedAggregate;
use tidegate::prelude::*;
use tidegate::runtime::testkit::{Step, TestSink, TestSource};

/// Longer than anything takes, shorter than a person waits: the deadline of every wait in these tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn word_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("word", DataType::Utf8, true)]))
}

/// A batch with one row for each word of the text.
pub(crate) fn words(text: &str) -> RecordBatch {
    let words: ArrayRef = Arc::new(StringArray::from(text.split_whitespace().collect::<Vec<_>>()));
    RecordBatch::try_new(word_schema(), vec![words]).unwrap()
}

/// A script of one batch of words for each text, with its end.
pub(crate) fn script(texts: &[&str]) -> Vec<Step> {
    texts.iter().map(|text| Step::Rows(words(text))).chain([Step::End]).collect()
}

/// source `{prefix}s` → count by word `{prefix}c` → sink `{prefix}k`.
pub(crate) fn word_count(prefix: &str, source: &TestSource, sink: &TestSink, parallelism: usize) -> Topology {
    let mut t = Topology::builder("word-count");
    let words = t.source(format!("{prefix}s"), source.clone());
    let counts = t
        .operator(format!("{prefix}c"), [words.hash(["word"])], KeyedAggregate::new(["word"]).count("count"))
        .parallelism(parallelism);
    t.sink(format!("{prefix}k"), [counts], sink.clone());
    t.build().unwrap()
}

/// What a sink holds: for each epoch, the words with their running count. A word twice in an epoch is a failure.
pub(crate) fn committed(sink: &TestSink) -> BTreeMap<u64, BTreeMap<String, i64>> {
    let mut epochs = BTreeMap::new();
    for (epoch, batches) in sink.epochs() {
        let rows: &mut BTreeMap<String, i64> = epochs.entry(epoch.number()).or_default();
        for batch in batches {
            let words = batch.column(0).as_string::<i32>();
            let counts = batch.column(1).as_primitive::<Int64Type>();
            for (word, count) in words.iter().zip(counts) {
                let twice = rows.insert(word.unwrap().to_owned(), count.unwrap());
                assert_eq!(twice, None, "word {word:?} twice in epoch {epoch}");
            }
        }
    }
    epochs
}

/// The naive twin: the words that each text touched, with their count so far.
pub(crate) fn expected(texts: &[&str]) -> BTreeMap<u64, BTreeMap<String, i64>> {
    let mut running: HashMap<&str, i64> = HashMap::new();
    let mut epochs = BTreeMap::new();
    for (epoch, text) in texts.iter().enumerate() {
        text.split_whitespace().for_each(|word| *running.entry(word).or_default() += 1);
        let touched = text.split_whitespace().map(|word| (word.to_owned(), running[word]));
        epochs.insert(epoch as u64, touched.collect());
    }
    epochs
}

/// Waits for the end and gives the failure, if there was one.
pub(crate) fn end_of(query: &QueryHandle) -> Option<QueryError> {
    match query.await_termination(Some(DEADLINE)) {
        Ok(true) => None,
        Ok(false) => panic!("query {} did not end", query.name()),
        Err(error) => Some(error),
    }
}

/// How many threads of this process belong to tasks of nodes whose name begins with `prefix`.
pub(crate) fn task_threads(prefix: &str) -> usize {
    let name = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(entry.ok()?.path().join("comm")).ok();
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    threads.filter_map(name).filter(|comm| comm.starts_with(&format!("tg-{prefix}"))).count()
}

/// A batch of numbers `0..n`.
pub(crate) fn numbers(n: i64) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..n)) as ArrayRef)]).unwrap()
}
