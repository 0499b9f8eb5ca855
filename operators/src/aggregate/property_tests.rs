//! Aggregation against a twin in plain maps: any cut into epochs and batches, with and without a partial step, over restarts.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::min_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::Operator as Op;
use proptest::prelude::*;
use tidegate_runtime::OperatorSupplier;

use super::tests::{call, keys};
use super::*;
use crate::testing::*;
use crate::{EventTime, EventTimeKind};

/// A row: the start of its window, a name, a value.
type Row = (Option<i64>, Option<u8>, Option<i64>);
type Key = (Option<i64>, Option<u8>);

/// One epoch: rows, their cut into batches, how many tasks run it, how far the watermark goes before it.
#[derive(Debug, Clone)]
struct Run {
    rows: Vec<Row>,
    cut: usize,
    parallelism: usize,
    advance: i64,
}

/// count(v), sum(v), min(v) where v > 2, count(distinct v).
#[derive(Debug, Clone, Default)]
struct Twin {
    values: Vec<i64>,
}

impl Twin {
    fn line(&self, key: &Key) -> String {
        let text = |n: Option<i64>| n.map_or("null".to_owned(), |n| n.to_string());
        let sum = (!self.values.is_empty()).then(|| self.values.iter().sum());
        let min = self.values.iter().copied().filter(|&v| v > 2).min();
        let mut distinct = self.values.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let key = lines(&[rows_of(&[(key.0, key.1, None)]).project(&[0, 1]).unwrap()]).remove(0);
        format!("{key} {} {} {} {}", self.values.len(), text(sum), text(min), distinct.len())
    }
}

fn rows_of(rows: &[Row]) -> RecordBatch {
    let names: Vec<Option<String>> = rows.iter().map(|row| row.1.map(|name| format!("n{name}"))).collect();
    batch(vec![
        ("w", windows(rows.iter().map(|row| row.0.map(|start| start * 10)).collect())),
        ("k", strings(names.iter().map(|name| name.as_deref()).collect())),
        ("v", ints(rows.iter().map(|row| row.2))),
    ])
}

fn spec() -> AggregateSpec {
    let schema = rows_of(&[]).schema();
    let v = || column("v", 2);
    let mut min = call(&schema, min_udaf(), v(), false);
    min.filter = Some(binary(v(), Op::Gt, literal(2)));
    let aggregates = vec![
        call(&schema, count_udaf(), v(), false),
        call(&schema, sum_udaf(), v(), false),
        min,
        call(&schema, count_udaf(), v(), true),
    ];
    AggregateSpec { keys: keys(&schema, 2), aggregates }
}

fn run() -> impl Strategy<Value = Run> {
    let row = (prop::option::weighted(0.9, 0_i64..6), prop::option::of(0_u8..3), prop::option::of(0_i64..6));
    (prop::collection::vec(row, 0..40), 1_usize..20, 1_usize..4, 0_i64..20).prop_map(|(rows, cut, parallelism, advance)| Run {
        rows,
        cut,
        parallelism,
        advance,
    })
}

/// What the epochs of an aggregation give, each sorted.
fn given(runs: &[Run], emit: AggregateEmit, partial: bool) -> Vec<Vec<String>> {
    let schema = rows_of(&[]).schema();
    let input = if partial { AggregateInput::States } else { AggregateInput::Rows };
    let (aggregate, first) = (StatefulAggregate::new(spec(), input, emit), PartialAggregate::new(spec(), AggregateInput::Rows));
    let schema = if partial { first.output_schema(&[schema]).unwrap() } else { schema };
    let mut tasks = Tasks::new(&aggregate, schema, 2, 1);
    let (mut late, mut watermark) = (None, 0);
    let mut made = Vec::new();
    for (number, run) in (0..).zip(runs) {
        tasks.restart(run.parallelism);
        let batches = pieces(&rows_of(&run.rows), run.cut);
        let batches = if partial && !batches.is_empty() {
            // Two tasks that see every other batch.
            let of = |task| batches.iter().skip(task).step_by(2).cloned().collect::<Vec<_>>();
            let run = |batches: Vec<RecordBatch>| if batches.is_empty() { vec![] } else { run_once(&first, &batches) };
            [run(of(0)), run(of(1))].concat()
        } else {
            batches
        };
        made.push(sorted(&tasks.run(epoch(number, late, Some(watermark)), &batches)));
        late = Some(watermark);
        watermark += run.advance;
    }
    made
}

fn expected(runs: &[Run], emit: AggregateEmit) -> Vec<Vec<String>> {
    let (mut late, mut watermark) = (i64::MIN, 0);
    let mut groups: BTreeMap<Key, Twin> = BTreeMap::new();
    let mut made = Vec::new();
    let end = |key: &Key| key.0.map_or(i64::MAX, |start| start * 10 + 10);
    for run in runs {
        let mut touched = BTreeMap::new();
        for &(window, name, value) in &run.rows {
            let key = (window, name);
            if emit != AggregateEmit::All && end(&key) <= late {
                continue;
            }
            let group = groups.entry(key).or_default();
            group.values.extend(value);
            touched.insert(key, ());
        }
        let is_closed = |key: &Key| end(key) <= watermark;
        let give = |key: &Key| match emit {
            AggregateEmit::Changed(_) => touched.contains_key(key),
            AggregateEmit::All => true,
            AggregateEmit::Closed(_) => is_closed(key),
        };
        let mut lines: Vec<String> = groups.iter().filter(|(key, _)| give(key)).map(|(key, twin)| twin.line(key)).collect();
        lines.sort();
        made.push(lines);
        if emit != AggregateEmit::All {
            groups.retain(|key, _| !is_closed(key));
        }
        late = watermark;
        watermark += run.advance;
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_aggregation_is_what_its_twin_is(runs in prop::collection::vec(run(), 1..6), partial: bool) {
        let time = EventTime { column: 0, kind: EventTimeKind::WindowEnd, lag_micros: 0 };
        for emit in [AggregateEmit::Changed(Some(time)), AggregateEmit::All, AggregateEmit::Closed(time)] {
            prop_assert_eq!(given(&runs, emit, partial), expected(&runs, emit), "{:?}", emit);
        }
    }
}
