//! Sessions against a twin that folds sorted rows: any cut into epochs and batches, late rows, restarts at another parallelism.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use arrow::record_batch::RecordBatch;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::min_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::Operator as Op;
use proptest::prelude::*;
use tidegate_runtime::OperatorSupplier;

use super::tests::{call, keys};
use super::*;
use crate::testing::*;

/// A row: key, time, gap, value.
type Row = (Option<&'static str>, i64, i64, i64);
/// A session: start, end, values in the order of time.
type Session = (i64, i64, Vec<i64>);

fn sessions_of(spans: impl Iterator<Item = (i64, i64)> + Clone) -> ArrayRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields: Fields = vec![Field::new("start", time.clone(), true), Field::new("end", time, true)].into();
    let starts = times(spans.clone().map(|span| Some(span.0)).collect());
    Arc::new(StructArray::new(fields, vec![starts, times(spans.map(|span| Some(span.1)).collect())], None))
}

fn rows_of(rows: &[Row]) -> RecordBatch {
    batch(vec![
        ("k", strings(rows.iter().map(|row| row.0).collect())),
        ("s", sessions_of(rows.iter().map(|row| (row.1, row.1 + row.2)))),
        ("v", ints(rows.iter().map(|row| Some(row.3)))),
    ])
}

/// count(v), sum(v), min(v) where v > 2, array_agg(v).
fn spec() -> AggregateSpec {
    let schema = rows_of(&[]).schema();
    let v = || column("v", 2);
    let mut min = call(&schema, min_udaf(), v(), false);
    min.filter = Some(binary(v(), Op::Gt, literal(2)));
    let aggregates = vec![
        call(&schema, count_udaf(), v(), false),
        call(&schema, sum_udaf(), v(), false),
        min,
        call(&schema, array_agg_udaf(), v(), false),
    ];
    AggregateSpec { keys: keys(&schema, 2), aggregates }
}

fn line(key: Option<&'static str>, (start, end, values): &Session) -> String {
    let keys = batch(vec![("k", strings(vec![key])), ("s", sessions_of(std::iter::once((*start, *end))))]);
    let min = values.iter().filter(|v| **v > 2).min().map_or("null".to_owned(), i64::to_string);
    format!("{} {} {} {min} {values:?}", lines(&[keys]).remove(0), values.len(), values.iter().sum::<i64>())
}

/// One epoch: rows, their cut into batches, how many tasks run it, how far the watermark goes after it.
#[derive(Debug, Clone)]
struct Run {
    rows: Vec<Row>,
    cut: usize,
    parallelism: usize,
    advance: i64,
}

/// What the epochs give, each sorted, and how many rows of state there are after the last.
fn given(runs: &[Run], aggregate: &SessionAggregate) -> (Vec<Vec<String>>, usize) {
    let first = PartialAggregate::new(spec(), AggregateInput::Rows);
    let schema = first.output_schema(&[rows_of(&[]).schema()]).unwrap();
    let mut tasks = Tasks::new(aggregate, schema, 1, 1);
    let (mut late, mut watermark) = (None, 0);
    let mut made = Vec::new();
    for (number, run) in (0..).zip(runs) {
        tasks.restart(run.parallelism);
        let batches = pieces(&rows_of(&run.rows), run.cut);
        let states = if batches.is_empty() { vec![] } else { run_once(&first, &batches) };
        let states: Vec<RecordBatch> = states.iter().flat_map(|states| pieces(states, run.cut)).collect();
        made.push(sorted(&tasks.run(epoch(number, late, Some(watermark)), &states)));
        late = Some(watermark);
        watermark += run.advance;
    }
    (made, tasks.state_rows())
}

/// Folds what is sorted by start, stored sessions first.
fn fold(mut parts: Vec<Session>) -> Vec<Session> {
    parts.sort_by_key(|part| part.0);
    let mut folded: Vec<Session> = Vec::new();
    for part in parts {
        match folded.last_mut() {
            Some(last) if part.0 <= last.1 => {
                last.1 = last.1.max(part.1);
                last.2.extend(part.2);
            }
            _ => folded.push(part),
        }
    }
    folded
}

fn expected(runs: &[Run], emit: SessionEmit, keeps_late: bool) -> (Vec<Vec<String>>, usize) {
    let (mut late, mut watermark) = (i64::MIN, 0);
    let mut open: BTreeMap<Option<&'static str>, Vec<Session>> = BTreeMap::new();
    let mut made = Vec::new();
    for run in runs {
        for &(key, time, gap, value) in run.rows.iter().filter(|row| keeps_late || row.1 + row.2 > late) {
            open.entry(key).or_default().push((time, time + gap, vec![value]));
        }
        let mut lines = Vec::new();
        for (key, sessions) in &mut open {
            *sessions = fold(std::mem::take(sessions));
            let is_given = |session: &Session| emit == SessionEmit::All || session.1 <= watermark;
            lines.extend(sessions.iter().filter(|session| is_given(session)).map(|session| line(*key, session)));
            sessions.retain(|session| emit == SessionEmit::All || session.1 > watermark);
        }
        lines.sort();
        made.push(lines);
        late = watermark;
        watermark += run.advance;
    }
    (made, open.values().map(Vec::len).sum())
}

#[test]
fn a_row_bridges_two_sessions_in_the_order_of_time() {
    let aggregate = SessionAggregate::new(spec(), 1, SessionEmit::Closed);
    let run = |rows, advance| Run { rows, cut: 2, parallelism: 2, advance };
    let a = Some("a");
    let runs = [
        run(vec![(a, 10, 5, 1), (a, 20, 5, 2), (None, 12, 5, 9)], 0),
        run(vec![(a, 15, 5, 3), (a, 8, 5, 4), (a, 10, 5, 5)], 100),
        run(vec![], 0),
        run(vec![], 0),
    ];
    let (made, left) = given(&runs, &aggregate);
    assert_eq!(made[2], [line(a, &(8, 25, vec![4, 1, 5, 3, 2])), line(None, &(12, 17, vec![9]))]);
    assert_eq!((left, made[3].len()), (0, 0));
}

#[test]
fn late_rows_are_dropped_in_every_mode_before_they_are_merged() {
    let run = |rows, advance| Run { rows, cut: 9, parallelism: 1, advance };
    let a = Some("a");
    // The row at 5 would touch the session of 7, which is stored.
    let runs = [run(vec![(a, 7, 9, 1)], 10), run(vec![], 0), run(vec![(a, 5, 5, 2), (a, 6, 5, 3)], 0)];
    let all = SessionAggregate::new(spec(), 1, SessionEmit::All);
    assert_eq!(given(&runs, &all).0[2], [line(a, &(6, 16, vec![3, 1]))]);
    assert_eq!(given(&runs, &all.keep_late()).0[2], [line(a, &(5, 16, vec![2, 3, 1]))]);
}

#[test]
fn a_session_may_overlap_one_that_was_given() {
    let run = |rows, advance| Run { rows, cut: 9, parallelism: 1, advance };
    let a = Some("a");
    let runs = [run(vec![(a, 20, 5, 1)], 30), run(vec![], 30), run(vec![(a, 24, 9, 2)], 0), run(vec![], 0)];
    let (made, _) = given(&runs, &SessionAggregate::new(spec(), 1, SessionEmit::Closed));
    assert_eq!(made[1], [line(a, &(20, 25, vec![1]))]);
    assert_eq!(made[2], [line(a, &(24, 33, vec![2]))]);
}

fn run() -> impl Strategy<Value = Run> {
    // The gap is one for each time, so that rows of one time are one session already in the partial step.
    let row = (prop::sample::select(vec![Some("a"), Some("b"), None]), 0_i64..80, 0_i64..9);
    let row = row.prop_map(|(key, time, value)| (key, time, 1 + time % 7, value));
    (prop::collection::vec(row, 0..30), 1_usize..20, 1_usize..4, 0_i64..25).prop_map(|(rows, cut, parallelism, advance)| Run {
        rows,
        cut,
        parallelism,
        advance,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sessions_are_what_their_twin_says(runs in prop::collection::vec(run(), 1..7)) {
        for emit in [SessionEmit::Closed, SessionEmit::All] {
            let aggregate = SessionAggregate::new(spec(), 1, emit);
            prop_assert_eq!(given(&runs, &aggregate), expected(&runs, emit, false), "{:?}", emit);
            prop_assert_eq!(given(&runs, &aggregate.keep_late()), expected(&runs, emit, true), "{:?}", emit);
        }
    }
}
