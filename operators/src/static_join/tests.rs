use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::Operator as Op;
use proptest::prelude::*;
use tidegate_runtime::testkit::OperatorHarness;
use tidegate_runtime::{Epoch, TARGET_BATCH_ROWS};

use super::StaticJoinKind::*;
use super::*;
use crate::testing::*;

type Row = (Option<i64>, Option<u8>, i64);

/// Rows with an integer key, a string key and a value; the names are as many columns.
fn rows_of(names: [&str; 3], rows: &[Row]) -> RecordBatch {
    let texts: Vec<Option<String>> = rows.iter().map(|row| row.1.map(|text| format!("s{text}"))).collect();
    batch(vec![
        (names[0], ints(rows.iter().map(|row| row.0))),
        (names[1], strings(texts.iter().map(|text| text.as_deref()).collect())),
        (names[2], ints(rows.iter().map(|row| Some(row.2)))),
    ])
}

fn stream(rows: &[Row]) -> RecordBatch {
    rows_of(["i", "s", "v"], rows)
}

fn join(build: &[Row], keys: usize, null_equal: &[bool], residual: bool, kind: StaticJoinKind) -> StaticJoin {
    let rows = rows_of(["bi", "bs", "bv"], build);
    let (schema, batches) = (rows.schema(), pieces(&rows, 3));
    StaticJoin {
        build: Arc::new(batches),
        build_schema: schema,
        stream_keys: ["i", "s"].into_iter().enumerate().take(keys).map(|(n, name)| column(name, n)).collect(),
        build_keys: ["bi", "bs"].into_iter().enumerate().take(keys).map(|(n, name)| column(name, n)).collect(),
        null_equal: null_equal[..keys].to_vec(),
        residual: residual.then(|| binary(column("v", 2), Op::Lt, column("bv", 5))),
        join: kind,
        build_first: false,
    }
}

/// The join in plain loops.
fn expected(given: &[Row], build: &[Row], keys: usize, null_equal: &[bool], residual: bool, kind: StaticJoinKind) -> Vec<String> {
    let truth = |a: Option<i64>, b: Option<i64>, null_equal: bool| match (a, b) {
        (Some(a), Some(b)) => Some(a == b),
        _ if null_equal => Some(a == b),
        _ => None,
    };
    // The truth of the keys being equal: false if any differs, else unknown if any is.
    let equal = |a: &Row, b: &Row| {
        let all = [truth(a.0, b.0, null_equal[0]), truth(a.1.map(i64::from), b.1.map(i64::from), null_equal[1])];
        let all = &all[..keys];
        if all.contains(&Some(false)) {
            Some(false)
        } else if all.contains(&None) {
            None
        } else {
            Some(true)
        }
    };
    let holds = |a: &Row, b: &Row| !residual || a.2 < b.2;
    let mut out = Vec::new();
    for row in given {
        let pairs: Vec<&Row> = build.iter().filter(|other| equal(row, other) == Some(true) && holds(row, other)).collect();
        let alone = lines(&[stream(std::slice::from_ref(row))]).remove(0);
        let with = |other: &Row| format!("{alone} {}", lines(&[stream(std::slice::from_ref(other))])[0]);
        match kind {
            Inner => out.extend(pairs.iter().map(|other| with(other))),
            StreamOuter if pairs.is_empty() => out.push(format!("{alone} null null null")),
            StreamOuter => out.extend(pairs.iter().map(|other| with(other))),
            StreamSemi => out.extend((!pairs.is_empty()).then_some(alone)),
            StreamAnti => out.extend(pairs.is_empty().then_some(alone)),
            NullAwareAnti => {
                let excluded = build.iter().any(|other| equal(row, other) != Some(false) && holds(row, other));
                out.extend((!excluded).then_some(alone));
            }
        }
    }
    out.sort();
    out
}

fn row() -> impl Strategy<Value = Row> {
    (prop::option::weighted(0.9, 0_i64..5), prop::option::weighted(0.9, 0_u8..3), 0_i64..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_join_is_what_its_twin_is(
        given in prop::collection::vec(row(), 1..30),
        build in prop::collection::vec(row(), 0..20),
        (keys, null_equal, residual) in (0_usize..3, [any::<bool>(), any::<bool>()], any::<bool>()),
        cut in 1_usize..30,
    ) {
        for kind in [Inner, StreamOuter, StreamSemi, StreamAnti, NullAwareAnti] {
            // `NOT IN` knows no null-safe equality.
            let null_equal = if kind == NullAwareAnti { [false; 2] } else { null_equal };
            let made = run_once(&join(&build, keys, &null_equal, residual, kind), &pieces(&stream(&given), cut));
            prop_assert_eq!(sorted(&made), expected(&given, &build, keys, &null_equal, residual, kind), "{:?}", kind);
        }
    }
}

#[test]
fn a_cross_join_comes_in_batches_of_the_usual_size() {
    let given: Vec<Row> = (0..1_000).map(|n| (Some(n), None, n)).collect();
    let build: Vec<Row> = (0..100).map(|n| (Some(n), None, n)).collect();
    let mut cross = join(&build, 0, &[], false, Inner);
    cross.build_first = true;
    let made = run_once(&cross, &[stream(&given)]);
    assert_eq!(made.iter().map(RecordBatch::num_rows).sum::<usize>(), 100_000);
    assert!(made.iter().all(|made| made.num_rows() <= TARGET_BATCH_ROWS));
    assert_eq!(made[0].schema(), cross.output_schema(&[stream(&[]).schema()]).unwrap());
    assert_eq!(made[0].schema().field(0).name(), "bi");
    let ranges = join(&build, 0, &[], true, Inner);
    assert_eq!(run_once(&ranges, &[stream(&given)]).iter().map(RecordBatch::num_rows).sum::<usize>(), 99 * 100 / 2);
}

#[test]
fn float_keys_are_compared_as_numbers() {
    let floats = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
    let (given, build) =
        (batch(vec![("f", floats(vec![0.0, f64::NAN, 1.0]))]), batch(vec![("g", floats(vec![-0.0, -f64::NAN]))]));
    let mut semi = join(&[], 1, &[false], false, StreamSemi);
    (semi.stream_keys, semi.build_keys, semi.build_schema) = (vec![column("f", 0)], vec![column("g", 0)], build.schema());
    semi.build = Arc::new(vec![build]);
    assert_eq!(lines(&run_once(&semi, &[given])), ["0.0", "NaN"]);
}

#[test]
fn keys_that_do_not_pair_are_refused() {
    let mut wrong = join(&[], 2, &[false; 2], false, Inner);
    wrong.null_equal.pop();
    let error = wrong.output_schema(&[stream(&[]).schema()]).unwrap_err().to_string();
    assert_eq!(error, "join: 2 keys of the stream, 2 of the build side, 1 rules for nulls");
}

/// A table that a test changes.
#[derive(Default)]
struct Changing(AtomicU64);

impl BuildTable for Changing {
    fn version(&self) -> Result<Option<u64>> {
        Ok(Some(self.0.load(Relaxed)))
    }

    fn rows(&self) -> Result<Vec<RecordBatch>> {
        Ok(vec![rows_of(["bi", "bs", "bv"], &[(Some(1), None, self.0.load(Relaxed) as i64)])])
    }
}

#[test]
fn an_epoch_sees_the_build_side_as_it_was_when_its_first_rows_came() {
    let table = Arc::new(Changing::default());
    let mut changing = join(&[], 1, &[false], false, Inner);
    changing.build = Arc::<Changing>::clone(&table);
    let mut task = OperatorHarness::new(&changing, &[stream(&[]).schema()]).unwrap();
    let mut given = || {
        task.process(0, stream(&[(Some(1), None, 0)])).unwrap();
        // In the middle of an epoch nothing changes.
        table.0.fetch_add(1, Relaxed);
        task.process(0, stream(&[(Some(1), None, 0)])).unwrap();
        let batches = task.end_epoch().unwrap();
        let values = batches.iter().flat_map(|batch| batch.column(5).as_primitive::<Int64Type>().values().to_vec());
        values.collect::<Vec<_>>()
    };
    assert_eq!((given(), given(), given()), (vec![0, 0], vec![1, 1], vec![2, 2]));
}

#[test]
fn all_tasks_see_the_same_rows_in_an_epoch_whenever_they_ask() {
    let table = Arc::new(Changing::default());
    let mut changing = join(&[], 1, &[false], false, Inner);
    changing.build = Arc::<Changing>::clone(&table);
    let tasks: Vec<SharedRows> = SharedRows::of_tasks(2).collect();
    let seen = |task: usize, epoch| {
        let rows = tasks[task].of_epoch(Epoch::new(epoch), &changing).unwrap();
        rows.column(2).as_primitive::<Int64Type>().value(0)
    };
    assert_eq!(seen(0, 5), 0);
    table.0.store(1, Relaxed);
    assert_eq!((seen(1, 5), seen(0, 7), seen(1, 6), seen(0, 7)), (0, 1, 0, 1));
    tasks[0].end(Epoch::new(7));
    assert_eq!(seen(1, 6), 0, "the other task has not ended it");
    tasks[1].end(Epoch::new(7));
    assert!(tasks[1].of_epoch(Epoch::new(6), &changing).is_err(), "and now nobody needs it");
    let rows = &tasks[0];
    assert!(Arc::ptr_eq(&rows.of_epoch(Epoch::new(8), &changing).unwrap(), &rows.of_epoch(Epoch::new(9), &changing).unwrap()));
}
