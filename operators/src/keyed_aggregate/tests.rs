use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{Float64Type, Int64Type};
use tidegate_runtime::testkit::OperatorHarness;

use super::*;
use arrow::record_batch::RecordBatch;

fn input(keys: ArrayRef, amounts: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter([("key", keys), ("amount", amounts)]).unwrap()
}

fn ints(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn harness(aggregate: &KeyedAggregate, input: &RecordBatch) -> OperatorHarness {
    OperatorHarness::new(aggregate, &[input.schema()]).unwrap()
}

fn all() -> KeyedAggregate {
    KeyedAggregate::new(["key"]).count("rows").count_of("amount", "amounts").sum("amount", "total")
}

/// The rows as text, sorted.
fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let cell = |column: &ArrayRef, row: usize| match column.as_primitive_opt::<Int64Type>() {
        _ if column.is_null(row) => "null".to_owned(),
        Some(integers) => integers.value(row).to_string(),
        None => column.as_primitive_opt::<Float64Type>().map(|f| f.value(row).to_string()).unwrap_or_default(),
    };
    let row = |batch: &RecordBatch, row| batch.columns().iter().map(|c| cell(c, row)).collect::<Vec<_>>().join(" ");
    let mut rows: Vec<String> = batches.iter().flat_map(|b| (0..b.num_rows()).map(move |n| row(b, n))).collect();
    rows.sort();
    rows
}

#[test]
fn null_is_a_key_and_nulls_are_not_summed() {
    let first = input(ints(vec![Some(1), None, Some(1), Some(2)]), ints(vec![Some(10), Some(5), None, None]));
    let mut task = harness(&all(), &first);
    task.process(0, first).unwrap();
    assert_eq!(rows(&task.end_epoch().unwrap()), ["1 2 1 10", "2 1 0 null", "null 1 1 5"]);
    assert!(task.end_epoch().unwrap().is_empty());

    task.process(0, input(ints(vec![None]), ints(vec![Some(7)]))).unwrap();
    task.process(0, input(ints(vec![Some(2), Some(3)]), ints(vec![Some(1), None]))).unwrap();
    assert_eq!(rows(&task.end_epoch().unwrap()), ["2 2 1 1", "3 1 0 null", "null 2 2 12"]);
}

#[test]
fn complete_mode_gives_all_groups_with_the_epoch() {
    let first = input(ints(vec![Some(1), Some(2)]), ints(vec![Some(10), Some(20)]));
    let aggregate = KeyedAggregate::new(["key"]).sum("amount", "total").emit(Emit::All).epoch_column("epoch");
    let names: Vec<String> =
        aggregate.output_schema(&[first.schema()]).unwrap().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["epoch", "key", "total"]);
    let mut task = harness(&aggregate, &first);
    assert!(task.end_epoch().unwrap().is_empty());
    task.process(0, first).unwrap();
    assert_eq!(rows(&task.end_epoch().unwrap()), ["1 1 10", "1 2 20"]);
    let batches = task.end_epoch().unwrap();
    assert_eq!(rows(&batches), ["2 1 10", "2 2 20"]);
    assert_eq!(batches[0].schema(), aggregate.output_schema(&[input(ints(vec![]), ints(vec![])).schema()]).unwrap());
}

#[test]
fn one_global_group_without_keys() {
    let first = input(ints(vec![Some(1), Some(2)]), ints(vec![Some(10), Some(20)]));
    let keys: [&str; 0] = [];
    let aggregate = KeyedAggregate::new(keys).count("rows").sum("amount", "total");
    let mut task = harness(&aggregate, &first);
    assert!(task.end_epoch().unwrap().is_empty());
    task.process(0, first.clone()).unwrap();
    task.process(0, first.clone()).unwrap();
    assert_eq!(rows(&task.end_epoch().unwrap()), ["4 60"]);

    let complete = aggregate.emit(Emit::All);
    let mut task = harness(&complete, &first);
    assert_eq!(rows(&task.end_epoch().unwrap()), ["0 null"]);
    task.process(0, first.clone()).unwrap();
    assert_eq!(rows(&task.end_epoch().unwrap()), ["2 30"]);
    assert_eq!(rows(&task.end_epoch().unwrap()), ["2 30"]);
    task.snapshot().unwrap();
    task.end_epoch().unwrap();
    assert!(task.snapshot().unwrap()[0].1.is_empty(), "an epoch without rows changes nothing");

    let given = |subtask| {
        let mut task = OperatorHarness::restored(&complete, &[first.schema()], subtask, 3, &[]).unwrap();
        task.end_epoch().unwrap().len()
    };
    assert_eq!((0..3).map(given).sum::<usize>(), 1, "only the owner of the group gives it");
}

#[test]
fn a_sum_that_does_not_fit_fails() {
    let big = || input(ints(vec![Some(1)]), ints(vec![Some(i64::MAX)]));
    let mut task = harness(&all(), &big());
    task.process(0, big()).unwrap();
    let within = task.process(0, big()).unwrap_err().to_string();
    assert_eq!(within, "[ARITHMETIC_OVERFLOW] sum(amount): a sum does not fit into Int64");

    let mut task = harness(&all(), &big());
    task.process(0, big()).unwrap();
    task.end_epoch().unwrap();
    task.process(0, big()).unwrap();
    assert!(task.end_epoch().unwrap_err().to_string().contains("[ARITHMETIC_OVERFLOW]"));
}

#[test]
fn narrow_numbers_are_summed_widely() {
    let narrow = input(ints(vec![Some(1), Some(1)]), Arc::new(Int8Array::from(vec![100, 100])));
    let mut task = harness(&all(), &narrow);
    task.process(0, narrow).unwrap();
    assert_eq!(rows(&task.end_epoch().unwrap()), ["1 2 2 200"]);
    let floats = input(ints(vec![Some(1), Some(1)]), Arc::new(Float32Array::from(vec![Some(0.5), None])));
    let mut task = harness(&all(), &floats);
    task.process(0, floats).unwrap();
    assert_eq!(rows(&task.end_epoch().unwrap()), ["1 2 1 0.5"]);
}

#[test]
fn float_keys_that_are_equal_in_sql_are_one_group() {
    let keys: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
    let first = input(keys, ints(vec![Some(1); 4]));
    let mut task = harness(&KeyedAggregate::new(["key"]).count("rows"), &first);
    task.process(0, first).unwrap();
    assert_eq!(rows(&task.end_epoch().unwrap()), ["0 2", "NaN 2"]);
}

#[test]
fn many_groups_come_in_batches_of_the_usual_size() {
    let many = input(Arc::new(Int64Array::from_iter_values(0..20_000)), Arc::new(Int64Array::from_iter_values(0..20_000)));
    let mut task = harness(&all(), &many);
    task.process(0, many).unwrap();
    let sizes: Vec<usize> = task.end_epoch().unwrap().iter().map(RecordBatch::num_rows).collect();
    assert_eq!(sizes, [8_192, 8_192, 3_616]);
}

#[test]
fn inputs_that_cannot_be_aggregated_are_refused() {
    let strings: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let schema = input(ints(vec![]), Arc::clone(&strings).slice(0, 0)).schema();
    let error = |aggregate: KeyedAggregate| aggregate.output_schema(&[Arc::clone(&schema)]).unwrap_err().to_string();
    assert_eq!(
        error(KeyedAggregate::new(["key"]).sum("amount", "total")),
        "keyed aggregate: sum(amount) needs a column of signed integers or floats, it is Utf8"
    );
    assert_eq!(error(KeyedAggregate::new(["id"])), "keyed aggregate: there is no column id; the input has key, amount");
    assert_eq!(error(KeyedAggregate::new(["key"]).count("key")), "keyed aggregate: two output columns have the name key");
    assert_eq!(all().describe(), "count(1), count(amount), sum(amount) by (key)");
}
