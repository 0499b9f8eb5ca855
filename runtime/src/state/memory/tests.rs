use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int64Type};

use super::*;

fn ints(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(values)) as ArrayRef)]).unwrap()
}

fn strings(values: &[&str]) -> RecordBatch {
    RecordBatch::try_from_iter([("s", Arc::new(StringArray::from(values.to_vec())) as ArrayRef)]).unwrap()
}

fn rows(count: usize) -> RecordBatch {
    batch(&Arc::new(Schema::empty()), Vec::new(), count).unwrap()
}

const NONE: [(&str, DataType); 0] = [];

fn table(keys: &[(&str, DataType)], values: &[(&str, DataType)]) -> MemoryTable {
    let spec = TableSpec::new("t", keys.iter().cloned(), values.iter().cloned()).unwrap();
    MemoryTable::new(spec, KeyGroupRange::ALL).unwrap()
}

fn int_table() -> MemoryTable {
    table(&[("k", DataType::Int64)], &[("v", DataType::Int64)])
}

/// Removed keys and upserts of a snapshot, sorted.
fn changes(table: &mut MemoryTable) -> (Vec<i64>, Vec<(i64, i64)>) {
    let snapshot = table.snapshot().unwrap();
    assert!(!snapshot.full);
    let (mut removed, mut upserts) = (Vec::new(), Vec::new());
    for batch in snapshot.into_batches().unwrap() {
        let (keys, values) = (batch.column(2).as_primitive::<Int64Type>(), batch.column(3).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            match batch.column(1).as_boolean().value(row) {
                true => removed.push(keys.value(row)),
                false => upserts.push((keys.value(row), values.value(row))),
            }
            assert_eq!(batch.column(1).as_boolean().value(row), values.is_null(row));
        }
    }
    removed.sort_unstable();
    upserts.sort_unstable();
    (removed, upserts)
}

#[test]
fn a_snapshot_holds_what_has_changed_once() {
    let mut table = int_table();
    table.put(&ints([1, 2, 3, 1]), &ints([10, 20, 30, 11])).unwrap();
    table.remove(&ints([3, 9])).unwrap();
    assert_eq!(changes(&mut table), (vec![], vec![(1, 11), (2, 20)]));
    assert_eq!(changes(&mut table), (vec![], vec![]));

    table.remove(&ints([1, 2])).unwrap();
    table.put(&ints([2, 4]), &ints([21, 40])).unwrap();
    table.remove(&ints([4])).unwrap();
    assert_eq!(table.len(), 1);
    assert_eq!(table.get(&ints([1, 2, 4])).unwrap().found, BooleanArray::from(vec![false, true, false]));
    assert_eq!(changes(&mut table), (vec![1], vec![(2, 21)]));
    assert_eq!(changes(&mut table), (vec![], vec![]));
}

#[test]
fn a_slot_used_again_is_in_the_snapshot_once() {
    let mut table = int_table();
    for key in 0..5 {
        table.put(&ints([key]), &ints([key])).unwrap();
        table.remove(&ints([key])).unwrap();
    }
    table.put(&ints([7]), &ints([8])).unwrap();
    assert_eq!(changes(&mut table), (vec![], vec![(7, 8)]));
}

#[test]
fn writing_what_is_there_is_not_a_change() {
    let mut table = int_table();
    table.put(&ints([1, 2]), &ints([10, 20])).unwrap();
    changes(&mut table);
    table.put(&ints([1, 2]), &ints([10, 21])).unwrap();
    assert_eq!(changes(&mut table), (vec![], vec![(2, 21)]));
}

#[test]
fn a_full_snapshot_holds_every_row_and_leaves_no_change() {
    let mut table = int_table();
    table.put(&ints(0..100_000), &ints(0..100_000)).unwrap();
    table.remove(&ints([5])).unwrap();
    let full = table.snapshot_all().unwrap();
    assert!(full.full);
    assert_eq!(full.rows, 99_999);
    let batches = full.into_batches().unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [65_536, 34_463]);
    assert_eq!(changes(&mut table), (vec![], vec![]));
    table.remove(&ints([6])).unwrap();
    assert_eq!(changes(&mut table), (vec![6], vec![]));
}

#[test]
fn a_table_without_key_columns_has_one_row() {
    let mut table = table(&NONE, &[("v", DataType::Int64)]);
    assert!(!table.get(&rows(1)).unwrap().found.value(0));
    table.put(&rows(2), &ints([1, 2])).unwrap();
    assert_eq!(table.len(), 1);
    assert_eq!(table.get(&rows(2)).unwrap().values.column(0), ints([2, 2]).column(0));
    let batches = table.snapshot().unwrap().into_batches().unwrap();
    let mut restored = MemoryTable::new(table.spec().clone(), KeyGroupRange::ALL).unwrap();
    restored.restore(&batches[0], KeyGroupRange::ALL).unwrap();
    assert_eq!(restored.get(&rows(1)).unwrap().values.column(0), ints([2]).column(0));
}

#[test]
fn a_table_without_value_columns_is_a_set() {
    let mut table = table(&[("k", DataType::Utf8)], &NONE);
    table.put(&strings(&["a", "b", "a"]), &rows(3)).unwrap();
    let found = table.get(&strings(&["b", "c"])).unwrap();
    assert_eq!(found.found, BooleanArray::from(vec![true, false]));
    assert_eq!((found.values.num_rows(), found.values.num_columns()), (2, 0));
    assert_eq!(table.scan(10).next().unwrap().unwrap().num_rows(), 2);
    assert_eq!(table.snapshot().unwrap().into_batches().unwrap()[0].num_columns(), 3);
}

#[test]
fn a_key_of_another_task_is_refused_and_nothing_is_put() {
    let spec = int_table().spec().clone();
    let mut table = MemoryTable::new(spec, KeyGroupRange::of_subtask(0, 2)).unwrap();
    let error = table.put(&ints(0..100), &ints(0..100)).unwrap_err().to_string();
    assert!(error.contains("state table t") && error.contains("not exchanged by the table's key"), "{error}");
    assert!(table.is_empty());
}

#[test]
fn rows_that_differ_beyond_the_grouping_columns_share_a_group() {
    let spec = TableSpec::new("t", [("a", DataType::Int64), ("b", DataType::Int64)], NONE).unwrap().grouped_by_first(1);
    let mut table = MemoryTable::new(spec, KeyGroupRange::ALL).unwrap();
    let keys = |a: i64, b: Vec<i64>| {
        let columns = [("a", vec![a; b.len()]), ("b", b)];
        RecordBatch::try_from_iter(columns.map(|(name, values)| (name, Arc::new(Int64Array::from(values)) as ArrayRef))).unwrap()
    };
    table.put(&keys(1, (0..50).collect()), &rows(50)).unwrap();
    assert_eq!(table.len(), 50);
    let batch = table.snapshot().unwrap().into_batches().unwrap().remove(0);
    let groups = batch.column(0).as_primitive::<arrow::datatypes::UInt16Type>();
    assert!(groups.values().iter().all(|group| *group == groups.value(0)));
}

#[test]
fn wrong_columns_are_named() {
    let mut table = int_table();
    let error = |result: Result<()>| result.unwrap_err().to_string();
    let text = error(table.put(&strings(&["a"]), &ints([1])));
    assert_eq!(text, "state table t: key column k is Int64, it was given Utf8");
    let text = error(table.put(&ints([1]), &strings(&["a"])));
    assert_eq!(text, "state table t: value column v is Int64, it was given Utf8");
    assert_eq!(error(table.put(&ints([1]), &rows(1))), "state table t has 1 value columns, it was given 0");
    assert_eq!(error(table.put(&ints([1]), &ints([1, 2]))), "state table t was given 1 keys with 2 rows of values");
    assert!(error(table.restore(&ints([1]), KeyGroupRange::ALL)).contains("not a snapshot"));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let spec = TableSpec::new("t", [("k", dictionary)], NONE).unwrap();
    let text = MemoryTable::new(spec, KeyGroupRange::ALL).unwrap_err().to_string();
    assert!(text.contains("column k") && text.contains("can't hold"), "{text}");
}

#[test]
fn a_snapshot_of_another_hash_is_refused() {
    let mut table = int_table();
    table.put(&ints([1]), &ints([1])).unwrap();
    let batch = table.snapshot().unwrap().into_batches().unwrap().remove(0);
    let group = batch.column(0).as_primitive::<arrow::datatypes::UInt16Type>().value(0);
    let mut columns = batch.columns().to_vec();
    columns[0] = Arc::new(UInt16Array::from(vec![group ^ 1]));
    let forged = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let error = table.restore(&forged, KeyGroupRange::ALL).unwrap_err().to_string();
    assert!(error.contains("another hash function"), "{error}");
}

#[test]
fn nested_names_and_nullability_do_not_matter() {
    let list = |name: &str, nullable: bool| {
        let item = Arc::new(Field::new(name, DataType::Int64, nullable));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([2, 0]);
        Arc::new(ListArray::new(item, offsets, Arc::new(Int64Array::from(vec![1, 2])), None)) as ArrayRef
    };
    let data_type = list("item", true).data_type().clone();
    let mut table = table(&[("k", data_type.clone())], &[("v", data_type)]);
    let given = RecordBatch::try_from_iter([("l", list("element", false))]).unwrap();
    table.put(&given, &given).unwrap();
    let found = table.get(&given).unwrap();
    assert_eq!(found.found.true_count(), 2);
    assert_eq!(found.values.column(0), &list("item", true));
}

#[test]
fn garbage_does_not_pile_up() {
    let mut table = table(&[("k", DataType::Int64)], &[("v", DataType::Utf8)]);
    let keys = ints(0..2_000);
    for round in 0..60_usize {
        let length = if round % 2 == 0 { 100 } else { 100 + round * 10 };
        let values: Vec<String> = (0..2_000).map(|n| format!("{n:0length$}")).collect();
        table.put(&keys, &strings(&values.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
        if round % 7 == 6 {
            table.remove(&ints(0..1_500)).unwrap();
            table.snapshot().unwrap();
        }
    }
    assert_eq!(table.len(), 2_000);
    assert!(table.memory_bytes() < 8 << 20, "{} bytes for at most 1.4 MB of values", table.memory_bytes());
    let last = table.get(&ints([1_999])).unwrap();
    assert!(last.values.column(0).as_string::<i32>().value(0).ends_with("0001999"));
    table.remove(&keys).unwrap();
    table.snapshot().unwrap();
    assert!(table.memory_bytes() < 4 << 20, "{} bytes for no rows", table.memory_bytes());
}

#[test]
fn a_value_longer_than_a_segment_is_kept() {
    let mut table = table(&[("k", DataType::Int64)], &[("v", DataType::Utf8)]);
    let long = "x".repeat(3 << 20);
    table.put(&ints([1, 2, 3]), &strings(&["a", &long, "b"])).unwrap();
    table.put(&ints([1, 2]), &strings(&[&long, "c"])).unwrap();
    let rows = table.get(&ints([1, 2, 3])).unwrap();
    let values = rows.values.column(0).as_string::<i32>();
    assert_eq!((values.value(0).len(), values.value(1), values.value(2)), (long.len(), "c", "b"));
}
