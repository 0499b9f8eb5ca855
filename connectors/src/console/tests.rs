//! Tests of the console sink: the text is Spark's to the last blank.

use arrow::array::{ArrayRef, Int64Array, StringArray};
use tidegate_runtime::QueryId;

use super::*;
use crate::testing::{info, sink_context};

fn rows(words: &[&str], counts: &[i64]) -> RecordBatch {
    let words: ArrayRef = Arc::new(StringArray::from(words.to_vec()));
    RecordBatch::try_from_iter([("word", words), ("count", Arc::new(Int64Array::from(counts.to_vec())))]).unwrap()
}

/// What is printed for one epoch with these batches, one for each task.
fn printed(config: ConsoleSink, epoch: u64, tasks: Vec<RecordBatch>) -> String {
    let out = Arc::new(Mutex::new(Vec::new()));
    let target: Target = Arc::<Mutex<Vec<u8>>>::clone(&out);
    let mut sink = config.target(target).supply().unwrap();
    sink.open(sink_context(QueryId::random(), rows(&[], &[]).schema(), None)).unwrap();
    assert_eq!(sink.last_committed().unwrap(), LastCommitted::Untracked);
    let stage = |(subtask, batch): (usize, RecordBatch)| {
        let mut writer = sink.writer(subtask).unwrap();
        writer.write(info(epoch), batch).unwrap();
        writer.stage(info(epoch)).unwrap()
    };
    let staged = tasks.into_iter().enumerate().map(stage).collect();
    assert!(out.lock().unwrap().is_empty(), "nothing is shown before the commit");
    sink.commit(Epoch::new(epoch), staged).unwrap();
    String::from_utf8(out.lock().unwrap().clone()).unwrap()
}

#[test]
fn an_epoch_as_spark_prints_it() {
    let text = printed(ConsoleSink::new(), 7, vec![rows(&["apache", "spark"], &[2, 10]), rows(&["tide"], &[1])]);
    let expected = "\
-------------------------------------------
Batch: 7
-------------------------------------------
+------+-----+
|  word|count|
+------+-----+
|apache|    2|
| spark|   10|
|  tide|    1|
+------+-----+

";
    assert_eq!(text, expected);
}

#[test]
fn whole_values_are_aligned_to_the_left() {
    let text =
        printed(ConsoleSink::new().truncate(false), 0, vec![rows(&["a word of more than twenty characters", "日本"], &[1, 2])]);
    assert!(text.contains("|a word of more than twenty characters|1    |\n"), "{text}");
    assert!(text.contains(&format!("|日本{}|2    |\n", " ".repeat(33))), "{text}");
    let text = printed(ConsoleSink::new(), 0, vec![rows(&["a word of more than twenty characters"], &[1])]);
    assert!(text.contains("|a word of more th...|    1|\n"), "{text}");
}

#[test]
fn further_rows_are_not_shown() {
    let text = printed(ConsoleSink::new().num_rows(2), 0, vec![rows(&["a"], &[1]), rows(&["b", "c"], &[2, 3])]);
    assert!(text.ends_with("|   b|    2|\n+----+-----+\nonly showing top 2 rows\n\n"), "{text}");
    let text = printed(ConsoleSink::new().num_rows(1), 0, vec![rows(&["a", "b"], &[1, 2])]);
    assert!(text.ends_with("only showing top 1 row\n\n"), "{text}");
    let text = printed(ConsoleSink::new().num_rows(2), 0, vec![rows(&["a", "b"], &[1, 2])]);
    assert!(text.ends_with("+----+-----+\n\n"), "{text}");
}

#[test]
fn an_epoch_without_rows_is_an_empty_table_or_nothing() {
    let text = printed(ConsoleSink::new(), 0, vec![rows(&[], &[])]);
    assert!(text.ends_with("+----+-----+\n|word|count|\n+----+-----+\n+----+-----+\n\n"), "{text}");
    assert_eq!(printed(ConsoleSink::new().skip_empty(true), 0, vec![rows(&[], &[])]), "");
}

#[test]
fn values_as_a_formatter_shows_them() {
    let config = ConsoleSink::new().cell_formatter(|column, row| format!("{}\t{row} {}", column.len(), "x".repeat(20)));
    let text = printed(config, 0, vec![rows(&["a", "b"], &[1, 2])]);
    assert!(text.contains("|2\\t1 xxxxxxxxxxxx...|2\\t1 xxxxxxxxxxxx...|\n"), "{text}");
}
