//! `KeyedAggregate` against a fold over a map: however the input is cut into batches and epochs, and at whatever parallelism the
//! state is restored between two epochs, the last value of each group is that of the fold.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;
use tidegate_operators::{Emit, KeyedAggregate};
use tidegate_runtime::state::{KeyGroup, hash_columns};
use tidegate_runtime::testkit::OperatorHarness;

/// A key's columns, an amount and a weight.
type Row = (Option<u8>, Option<u8>, Option<i32>, Option<i16>);
/// Rows, rows with an amount, the sum of amounts, the sum of weights.
type Totals = (i64, i64, Option<i64>, Option<f64>);
/// A key as text.
type Key = Vec<String>;

/// What the input is grouped by.
#[derive(Debug, Clone, Copy)]
enum By {
    Nothing,
    Int64,
    Utf8,
    Float64,
    Both,
}

impl By {
    fn columns(self) -> &'static [&'static str] {
        match self {
            By::Nothing => &[],
            By::Int64 => &["number"],
            By::Utf8 => &["word"],
            By::Float64 => &["float"],
            By::Both => &["number", "word"],
        }
    }
}

/// Equal codes are equal keys, but for the floats, where 0 and 1 are both zero and 2 and 3 both not a number.
fn float(code: u8) -> f64 {
    match code {
        0 => 0.0,
        1 => -0.0,
        2 => f64::NAN,
        3 => -f64::NAN,
        other => f64::from(other) / 2.0,
    }
}

fn batch(rows: &[Row]) -> RecordBatch {
    fn column(values: ArrayRef) -> ArrayRef {
        values
    }
    RecordBatch::try_from_iter([
        ("number", column(Arc::new(rows.iter().map(|row| row.0.map(i64::from)).collect::<Int64Array>()))),
        ("word", column(Arc::new(rows.iter().map(|row| row.1.map(|code| format!("w{code}"))).collect::<StringArray>()))),
        ("float", column(Arc::new(rows.iter().map(|row| row.0.map(float)).collect::<Float64Array>()))),
        ("amount", column(Arc::new(rows.iter().map(|row| row.2.map(i64::from)).collect::<Int64Array>()))),
        ("weight", column(Arc::new(rows.iter().map(|row| row.3.map(f64::from)).collect::<Float64Array>()))),
    ])
    .unwrap()
}

fn key(by: By, row: &Row) -> Key {
    let number = || format!("{:?}", row.0.map(i64::from));
    let word = || format!("{:?}", row.1.map(|code| format!("w{code}")));
    match by {
        By::Nothing => vec![],
        By::Int64 => vec![number()],
        By::Utf8 => vec![word()],
        By::Float64 => vec![row.0.map_or("None".to_owned(), |code| format!("{:?}", float(code).abs()))],
        By::Both => vec![number(), word()],
    }
}

/// The twin.
fn fold<'a>(by: By, rows: impl Iterator<Item = &'a Row>) -> BTreeMap<Key, Totals> {
    let mut totals = BTreeMap::<Key, Totals>::new();
    for row in rows {
        let (count, amounts, amount, weight) = totals.entry(key(by, row)).or_default();
        *count += 1;
        *amounts += i64::from(row.2.is_some());
        *amount = row.2.map(i64::from).map(|more| amount.unwrap_or(0) + more).or(*amount);
        *weight = row.3.map(f64::from).map(|more| weight.unwrap_or(0.0) + more).or(*weight);
    }
    totals
}

fn cell(column: &ArrayRef, row: usize) -> String {
    let valid = column.is_valid(row);
    if let Some(integers) = column.as_primitive_opt::<Int64Type>() {
        format!("{:?}", valid.then(|| integers.value(row)))
    } else if let Some(strings) = column.as_string_opt::<i32>() {
        format!("{:?}", valid.then(|| strings.value(row)))
    } else {
        let float = column.as_primitive::<Float64Type>().value(row).abs();
        if valid { format!("{float:?}") } else { "None".to_owned() }
    }
}

/// Takes the emitted rows into `totals`; a group may come only once.
fn collect(by: By, batches: &[RecordBatch]) -> BTreeMap<Key, Totals> {
    let keys = by.columns().len();
    let mut totals = BTreeMap::new();
    for batch in batches {
        let int = |column: usize, row: usize| {
            let column = batch.column(keys + column).as_primitive::<Int64Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        let weights = batch.column(keys + 3).as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let key = batch.columns()[..keys].iter().map(|column| cell(column, row)).collect();
            let weight = weights.is_valid(row).then(|| weights.value(row));
            let value = (int(0, row).unwrap(), int(1, row).unwrap(), int(2, row), weight);
            assert!(totals.insert(key, value).is_none(), "a group was given twice");
        }
    }
    totals
}

/// All tasks of the operator, and what they have written to the checkpoint.
struct Tasks {
    by: By,
    aggregate: KeyedAggregate,
    tasks: Vec<OperatorHarness>,
    checkpoint: Vec<Vec<(String, Vec<RecordBatch>)>>,
}

impl Tasks {
    fn new(by: By, emit: Emit) -> Self {
        let aggregate = KeyedAggregate::new(by.columns().iter().copied())
            .count("rows")
            .count_of("amount", "amounts")
            .sum("amount", "total")
            .sum("weight", "weights")
            .emit(emit);
        let mut tasks = Tasks { by, aggregate, tasks: Vec::new(), checkpoint: Vec::new() };
        tasks.restart(1);
        tasks
    }

    fn restart(&mut self, parallelism: usize) {
        let schema = batch(&[]).schema();
        let task = |task| OperatorHarness::restored(&self.aggregate, &[Arc::clone(&schema)], task, parallelism, &self.checkpoint);
        self.tasks = (0..parallelism).map(|n| task(n).unwrap()).collect();
    }

    /// Deals the rows as an exchange by the key columns does.
    fn process(&mut self, rows: &[Row]) {
        let batch = batch(rows);
        let keys: Vec<ArrayRef> = self.by.columns().iter().map(|name| Arc::clone(batch.column_by_name(name).unwrap())).collect();
        let mut hashes = Vec::new();
        hash_columns(&keys, rows.len(), &mut hashes).unwrap();
        let tasks = self.tasks.len();
        for (number, task) in self.tasks.iter_mut().enumerate() {
            let own: BooleanArray = hashes.iter().map(|&h| Some(KeyGroup::of_hash(h).owner(tasks) == number)).collect();
            if own.true_count() > 0 {
                task.process(0, filter_record_batch(&batch, &own).unwrap()).unwrap();
            }
        }
    }

    fn end_epoch(&mut self) -> BTreeMap<Key, Totals> {
        let batches: Vec<RecordBatch> = self.tasks.iter_mut().flat_map(|task| task.end_epoch().unwrap()).collect();
        self.checkpoint.extend(self.tasks.iter_mut().map(|task| task.snapshot().unwrap()));
        collect(self.by, &batches)
    }
}

/// The batches of an epoch, and the parallelism of a restart after it.
type EpochOfRows = (Vec<Vec<Row>>, Option<usize>);

fn epochs() -> impl Strategy<Value = Vec<EpochOfRows>> {
    let code = || prop::option::weighted(0.9, 0..10_u8);
    let row = (code(), code(), prop::option::weighted(0.7, any::<i32>()), prop::option::weighted(0.7, any::<i16>()));
    let batches = prop::collection::vec(prop::collection::vec(row, 1..20), 0..4);
    prop::collection::vec((batches, prop::option::weighted(0.4, 1..6_usize)), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_epoch_gives_what_the_fold_gives(
        by in prop::sample::select(vec![By::Nothing, By::Int64, By::Utf8, By::Float64, By::Both]),
        epochs in epochs(),
    ) {
        let (mut changed, mut all) = (Tasks::new(by, Emit::Changed), Tasks::new(by, Emit::All));
        let mut so_far: Vec<Row> = Vec::new();
        for (batches, restart) in &epochs {
            for batch in batches {
                changed.process(batch);
                all.process(batch);
            }
            so_far.extend(batches.iter().flatten());

            let mut totals = fold(by, so_far.iter());
            let touched = fold(by, batches.iter().flatten());
            let expected: BTreeMap<_, _> = touched.into_keys().map(|key| { let value = totals[&key]; (key, value) }).collect();
            prop_assert_eq!(changed.end_epoch(), expected);
            if matches!(by, By::Nothing) {
                totals.entry(vec![]).or_default();
            }
            prop_assert_eq!(all.end_epoch(), totals);
            if let Some(parallelism) = restart {
                changed.restart(*parallelism);
                all.restart(*parallelism);
            }
        }
    }
}
