use arrow::array::{ArrayRef, Float64Array};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::Operator as Op;
use tidegate_runtime::TARGET_BATCH_ROWS;

use super::StreamJoinKind::*;
use super::*;
use crate::testing::*;

/// A key, a time, a value.
pub(super) type Row = (Option<i64>, Option<i64>, i64);

pub(super) fn rows_of(rows: &[Row]) -> RecordBatch {
    batch(vec![
        ("k", ints(rows.iter().map(|row| row.0))),
        ("t", times(rows.iter().map(|row| row.1).collect())),
        ("v", ints(rows.iter().map(|row| Some(row.2)))),
    ])
}

fn row(key: i64, time: i64, value: i64) -> Row {
    (Some(key), Some(time), value)
}

/// A side whose rows wait until the watermark is `offset` after them.
pub(super) fn side(offset: Option<i64>) -> JoinSide {
    let remove = offset.map(|offset_micros| RemoveWhen { column: 1, offset_micros });
    JoinSide { keys: vec![0], columns: 3, event_time: Some(1), remove, ..JoinSide::default() }
}

fn join(kind: StreamJoinKind) -> StreamJoin {
    StreamJoin { join: kind, sides: [side(Some(0)), side(Some(0))], null_equal: vec![false], residual: None }
}

pub(super) fn tasks(join: &StreamJoin, parallelism: usize) -> Tasks<'_> {
    let input = rows_of(&[]).schema();
    Tasks::of_inputs(join, vec![Arc::clone(&input), input], 1, parallelism)
}

/// The values of pairs: of the left row, of the right one.
fn values(made: &[RecordBatch]) -> Vec<String> {
    let columns: Vec<usize> = if made.first().is_some_and(|made| made.num_columns() == 6) { vec![2, 5] } else { vec![2] };
    sorted(&made.iter().map(|made| made.project(&columns).unwrap()).collect::<Vec<_>>())
}

#[test]
fn pairs_are_met_once_whichever_side_comes_first() {
    let join = join(Inner);
    let mut tasks = tasks(&join, 2);
    let (left, right) = (|v| rows_of(&[row(1, 100, v)]), |v| rows_of(&[row(1, 100, v), row(2, 100, v)]));
    assert_eq!(values(&tasks.run_ports(epoch(0, None, None), &[(0, left(1)), (1, right(10)), (0, left(2))])), ["1 10", "2 10"]);
    tasks.restart(3);
    assert_eq!(values(&tasks.run_ports(epoch(1, None, None), &[(1, right(20))])), ["1 20", "2 20"]);
    assert_eq!(values(&tasks.run_ports(epoch(2, None, None), &[(0, left(3))])), ["3 10", "3 20"]);
    assert_eq!(tasks.state_rows(), 7);
    assert!(tasks.run_ports(epoch(3, None, Some(100)), &[]).is_empty());
    assert_eq!(tasks.state_rows(), 0);
}

#[test]
fn an_outer_row_comes_alone_when_its_time_is_over_and_at_once_when_it_can_never_match() {
    let mut join = join(Full);
    join.sides[0].condition = Some(binary(column("v", 2), Op::Gt, literal(0)));
    let mut tasks = tasks(&join, 1);
    let left = rows_of(&[row(1, 10, 1), row(2, 10, 0), (None, Some(10), 3), row(4, 10, 4)]);
    let right = rows_of(&[row(2, 11, 12), (None, Some(10), 13), row(4, 11, 14)]);
    let made = tasks.run_ports(epoch(0, None, Some(9)), &[(0, left), (1, right)]);
    assert_eq!(values(&made), ["0 null", "4 14"]);
    tasks.restart(2);
    assert_eq!(values(&tasks.run_ports(epoch(1, Some(9), Some(10)), &[])), ["1 null", "3 null", "null 13"]);
    assert_eq!(values(&tasks.run_ports(epoch(2, Some(10), Some(11)), &[])), ["null 12"]);
    assert_eq!(tasks.state_rows(), 0);
}

#[test]
fn a_row_without_a_time_is_never_late_and_never_comes_alone() {
    let join = join(Full);
    let mut tasks = tasks(&join, 1);
    let made = tasks.run_ports(epoch(0, Some(50), Some(60)), &[(0, rows_of(&[(Some(1), None, 1), (None, None, 2)]))]);
    assert!(made.is_empty());
    assert_eq!((tasks.late_rows(), tasks.state_rows()), (0, 1));
    tasks.restart(1);
    assert_eq!(values(&tasks.run_ports(epoch(1, Some(60), Some(99)), &[(1, rows_of(&[row(1, 61, 11)]))])), ["1 11"]);
    assert_eq!(tasks.state_rows(), 1);
}

#[test]
fn late_rows_are_counted_on_both_sides_each_with_its_lag() {
    let mut join = join(Left);
    join.sides[1].lag_micros = 5;
    let mut tasks = tasks(&join, 1);
    let rows = rows_of(&[row(1, 95, 1), row(1, 96, 2), row(1, 100, 3), row(1, 101, 4)]);
    let made = tasks.run_ports(epoch(0, Some(100), Some(100)), &[(0, rows.clone()), (1, rows)]);
    assert_eq!(values(&made), ["4 2", "4 3", "4 4"]);
    assert_eq!(tasks.late_rows(), 4);
}

#[test]
fn a_left_row_of_a_semi_join_comes_once_and_is_gone() {
    let mut join = join(LeftSemi);
    for residual in [None, Some(binary(column("v", 2), Op::Lt, column("v", 5)))] {
        join.residual = residual;
        let mut tasks = tasks(&join, 1);
        let (left, right) = (rows_of(&[row(1, 9, 1), row(1, 9, 1), row(2, 9, 2)]), rows_of(&[row(1, 9, 11), row(1, 9, 12)]));
        assert_eq!(values(&tasks.run_ports(epoch(0, None, None), &[(0, left.clone()), (1, right)])), ["1", "1"]);
        assert_eq!(tasks.state_rows(), 3);
        tasks.restart(2);
        let right = rows_of(&[row(1, 9, 13), row(2, 9, 14), row(2, 9, 15)]);
        assert_eq!(values(&tasks.run_ports(epoch(1, None, None), &[(1, right)])), ["2"]);
        assert_eq!(values(&tasks.run_ports(epoch(2, None, None), &[(0, left)])), ["1", "1", "2"]);
        assert_eq!(tasks.state_rows(), 5);
    }
}

#[test]
fn float_keys_are_compared_as_numbers_and_nulls_where_it_is_said() {
    let floats = |values: Vec<Option<f64>>| batch(vec![("f", Arc::new(Float64Array::from(values)) as ArrayRef)]);
    let own = JoinSide { keys: vec![0], columns: 1, ..JoinSide::default() };
    for null_equal in [false, true] {
        let join = StreamJoin { join: Inner, sides: [own.clone(), own.clone()], null_equal: vec![null_equal], residual: None };
        let left = floats(vec![Some(0.0), Some(f64::NAN), None]);
        let mut tasks = Tasks::of_inputs(&join, vec![left.schema(), left.schema()], 1, 2);
        assert!(tasks.run_ports(epoch(0, None, None), &[(0, left)]).is_empty());
        tasks.restart(1);
        let made = tasks.run_ports(epoch(1, None, None), &[(1, floats(vec![Some(-0.0), Some(-f64::NAN), None]))]);
        // What is given is what came.
        let expected: &[&str] = if null_equal { &["0.0 -0.0", "NaN NaN", "null null"] } else { &["0.0 -0.0", "NaN NaN"] };
        assert_eq!(sorted(&made), expected);
    }
}

#[test]
fn a_window_that_is_only_compared_says_when_rows_go() {
    let rows = |value: i64, start: i64| batch(vec![("v", ints([Some(value)])), ("w", windows(vec![Some(start)]))]);
    let remove = Some(RemoveWhen { column: 1, offset_micros: 0 });
    let own = JoinSide { keys: vec![1], columns: 1, event_time: Some(1), remove, ..JoinSide::default() };
    let join = StreamJoin { join: Left, sides: [own.clone(), own], null_equal: vec![false], residual: None };
    let schema = rows(0, 0).schema();
    let mut task = Tasks::of_inputs(&join, vec![Arc::clone(&schema), schema], 0, 1);
    let first = [(0, rows(1, 0)), (0, rows(2, 10)), (1, rows(12, 10))];
    assert_eq!(sorted(&task.run_ports(epoch(0, None, Some(9)), &first)), ["2 12"]);
    task.restart(1);
    assert_eq!(sorted(&task.run_ports(epoch(1, Some(9), Some(19)), &[])), ["1 null"]);
    assert_eq!(task.state_rows(), 2);
    assert!(task.run_ports(epoch(2, Some(19), Some(20)), &[]).is_empty());
    assert_eq!(task.state_rows(), 0);
}

#[test]
fn rows_without_columns_are_counted() {
    let mut join = join(Full);
    join.sides.iter_mut().for_each(|side| (side.columns, side.remove) = (0, None));
    join.sides[0].condition = Some(binary(column("v", 2), Op::Gt, literal(0)));
    let mut tasks = tasks(&join, 1);
    let rows = rows_of(&[row(1, 9, 0), row(1, 9, 1), row(1, 9, 2)]);
    let made = tasks.run_ports(epoch(0, None, None), &[(0, rows.clone()), (1, rows.slice(0, 1))]);
    assert_eq!(made.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    let made = tasks.run_ports(epoch(1, None, None), &[(1, rows)]);
    assert_eq!(made.iter().map(RecordBatch::num_rows).sum::<usize>(), 6);
}

#[test]
fn many_rows_of_one_key_come_in_batches_of_the_usual_size() {
    let join = join(Inner);
    let mut tasks = tasks(&join, 1);
    let rows = |count: i64| rows_of(&(0..count).map(|n| row(1, 100, n)).collect::<Vec<_>>());
    let made = tasks.run_ports(epoch(0, None, None), &[(0, rows(300)), (1, rows(20))]);
    let more = tasks.run_ports(epoch(1, None, None), &[(1, rows(40))]);
    assert_eq!(made.iter().map(RecordBatch::num_rows).sum::<usize>(), 6_000);
    assert_eq!(more.iter().map(RecordBatch::num_rows).sum::<usize>(), 12_000);
    assert!(made.iter().chain(&more).all(|made| made.num_rows() <= TARGET_BATCH_ROWS));
}

#[test]
fn what_can_not_be_joined_is_refused() {
    let input = rows_of(&[]).schema();
    let refused = |join: &StreamJoin| join.output_schema(&[Arc::clone(&input), Arc::clone(&input)]).unwrap_err().to_string();
    let mut wrong = join(Inner);
    assert_eq!(
        wrong.output_schema(&[Arc::clone(&input)]).unwrap_err().to_string(),
        "stream join: it takes two inputs, it was given 1"
    );
    wrong.null_equal.clear();
    assert_eq!(refused(&wrong), "stream join: 1 keys of the left side, 1 of the right one, 0 rules for nulls");
    wrong.null_equal.push(false);
    wrong.sides[1].event_time = Some(3);
    assert_eq!(refused(&wrong), "stream join: there is no column 3 in an input of 3");
    wrong.sides[1] = JoinSide { columns: 1, ..side(Some(0)) };
    assert_eq!(refused(&wrong), "stream join: column 1 says when rows can be removed and is not kept with them");
}
