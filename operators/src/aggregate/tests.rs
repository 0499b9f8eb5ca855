use arrow::array::{ArrayRef, Float64Array, ListArray};
use arrow::datatypes::{DataType, Int32Type};
use arrow::record_batch::RecordBatch;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::{AggregateUDF, Operator as Op};
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use tidegate_runtime::testkit::OperatorHarness;
use tidegate_runtime::{OperatorSupplier, TARGET_BATCH_ROWS};

use super::*;
use crate::testing::*;
use crate::{EventTime, EventTimeKind};

/// A function of one expression.
pub(super) fn call(input: &SchemaRef, function: Arc<AggregateUDF>, argument: Expr, distinct: bool) -> AggregateCall {
    let name = format!("{}({argument})", function.name());
    let expr = AggregateExprBuilder::new(function, vec![argument]).schema(Arc::clone(input)).alias(&name);
    let expr = Arc::new(expr.with_distinct(distinct).build().unwrap());
    AggregateCall { expr, filter: None, output: name }
}

pub(super) fn keys(input: &SchemaRef, count: usize) -> Vec<(Expr, Field)> {
    let fields = input.fields().iter().take(count).enumerate();
    fields.map(|(index, field)| (column(field.name(), index), field.as_ref().clone())).collect()
}

/// Count and sum of column `v` by the columns before it.
fn count_and_sum(input: &SchemaRef) -> AggregateSpec {
    let keys = keys(input, input.fields().len() - 1);
    let v = column("v", keys.len());
    let aggregates = vec![call(input, count_udaf(), Arc::clone(&v), false), call(input, sum_udaf(), v, false)];
    AggregateSpec { keys, aggregates }
}

fn stateful(spec: &AggregateSpec, emit: AggregateEmit) -> StatefulAggregate {
    StatefulAggregate::new(spec.clone(), AggregateInput::Rows, emit)
}

fn input(keys: ArrayRef, values: Vec<Option<i64>>) -> RecordBatch {
    batch(vec![("k", keys), ("v", ints(values))])
}

#[test]
fn a_null_sum_stays_null_beside_a_stored_one() {
    let first = input(ints([Some(1), Some(2), None]), vec![Some(10), None, Some(5)]);
    let spec = count_and_sum(&first.schema());
    let mut task = OperatorHarness::new(&stateful(&spec, AggregateEmit::Changed(None)), &[first.schema()]).unwrap();
    task.process(0, first).unwrap();
    assert_eq!(sorted(&task.end_epoch().unwrap()), ["1 1 10", "2 0 null", "null 1 5"]);
    assert!(task.end_epoch().unwrap().is_empty());
    task.process(0, input(ints([Some(3), Some(1), Some(2)]), vec![None, Some(1), None])).unwrap();
    assert_eq!(sorted(&task.end_epoch().unwrap()), ["1 2 11", "2 0 null", "3 0 null"]);
    task.process(0, input(ints([Some(2), Some(4)]), vec![Some(7), Some(8)])).unwrap();
    assert_eq!(sorted(&task.end_epoch().unwrap()), ["2 1 7", "4 1 8"]);
}

#[test]
fn the_global_group_is_given_in_every_epoch() {
    let rows = batch(vec![("v", ints([Some(1), Some(2)]))]);
    let spec = count_and_sum(&rows.schema());
    for emit in [AggregateEmit::Changed(None), AggregateEmit::All] {
        let mut task = OperatorHarness::new(&stateful(&spec, emit), &[rows.schema()]).unwrap();
        assert_eq!(lines(&task.end_epoch().unwrap()), ["0 null"]);
        task.process(0, rows.clone()).unwrap();
        assert_eq!(lines(&task.end_epoch().unwrap()), ["2 3"]);
        assert_eq!(lines(&task.end_epoch().unwrap()), ["2 3"]);
        task.snapshot().unwrap();
        task.end_epoch().unwrap();
        assert!(task.snapshot().unwrap()[0].1.is_empty(), "an epoch without rows changes nothing");
    }
    let given = |subtask| {
        let aggregate = stateful(&spec, AggregateEmit::Changed(None));
        let mut task = OperatorHarness::restored(&aggregate, &[rows.schema()], subtask, 3, &[]).unwrap();
        task.end_epoch().unwrap().len()
    };
    assert_eq!((0..3).map(given).sum::<usize>(), 1, "only the owner of the group gives it");
    assert!(run_once(&PartialAggregate::new(spec.clone(), AggregateInput::Rows), &[rows.slice(0, 0)]).is_empty());
}

#[test]
fn states_are_made_fewer() {
    let rows = input(ints([Some(1), Some(1), Some(2)]), vec![Some(3), Some(5), None]);
    let spec = count_and_sum(&rows.schema());
    let first = PartialAggregate::new(spec.clone(), AggregateInput::Rows);
    let second = PartialAggregate::new(spec.clone(), AggregateInput::States);
    let states: Vec<RecordBatch> = (0..3).flat_map(|row| run_once(&first, &[rows.slice(row, 1)])).collect();
    assert_eq!(sorted(&run_once(&second, &states)), sorted(&run_once(&first, std::slice::from_ref(&rows))));
    let error = second.output_schema(&[rows.schema()]).unwrap_err();
    assert!(error.to_string().contains("partial states have 3 columns, not 2"), "{error}");
}

#[test]
fn a_filter_hides_rows_from_one_aggregate_and_from_its_arguments() {
    let rows = input(ints([Some(1), Some(1), Some(2)]), vec![Some(0), Some(5), Some(0)]);
    let schema = rows.schema();
    let inverse = binary(literal(100), Op::Divide, column("v", 1));
    let mut sum = call(&schema, sum_udaf(), inverse, false);
    sum.filter = Some(binary(column("v", 1), Op::NotEq, literal(0)));
    let spec = AggregateSpec { keys: keys(&schema, 1), aggregates: vec![call(&schema, count_udaf(), literal(1), false), sum] };
    assert_eq!(
        sorted(&run_once(&stateful(&spec, AggregateEmit::Changed(None)), std::slice::from_ref(&rows))),
        ["1 2 20", "2 1 null"]
    );
    assert_eq!(
        sorted(&run_once(&PartialAggregate::new(spec.clone(), AggregateInput::Rows), std::slice::from_ref(&rows))),
        ["1 2 20", "2 1 null"]
    );
    let none = rows.slice(2, 1);
    assert_eq!(sorted(&run_once(&stateful(&spec, AggregateEmit::All), &[none])), ["2 1 null"]);
}

#[test]
fn many_states_of_many_kinds() {
    let rows = input(strings(vec![Some("a"), Some("b"), Some("a"), None]), vec![Some(1), Some(2), Some(3), Some(4)]);
    let schema = rows.schema();
    let v = || column("v", 1);
    let aggregates = vec![
        call(
            &schema,
            avg_udaf(),
            Arc::new(datafusion::physical_expr::expressions::CastExpr::new(v(), DataType::Float64, None)),
            false,
        ),
        call(&schema, count_udaf(), v(), true),
        call(&schema, array_agg_udaf(), v(), false),
        call(&schema, min_udaf(), column("k", 0), false),
        call(&schema, max_udaf(), v(), false),
    ];
    let spec = AggregateSpec { keys: keys(&schema, 1), aggregates };
    let partial = PartialAggregate::new(spec.clone(), AggregateInput::Rows);
    let merge = StatefulAggregate::new(spec.clone(), AggregateInput::States, AggregateEmit::Changed(None));
    let states = partial.output_schema(&[schema]).unwrap();
    let mut merging = OperatorHarness::new(&merge, &[states]).unwrap();
    let mut making = OperatorHarness::new(&partial, &[rows.schema()]).unwrap();
    for _ in 0..2 {
        making.process(0, rows.clone()).unwrap();
        making.end_epoch().unwrap().into_iter().for_each(|states| merging.process(0, states).unwrap());
        merging.end_epoch().unwrap();
    }
    making.process(0, rows).unwrap();
    making.end_epoch().unwrap().into_iter().for_each(|states| merging.process(0, states).unwrap());
    assert_eq!(
        sorted(&merging.end_epoch().unwrap()),
        ["a 2.0 2 [1, 3, 1, 3, 1, 3] a 3", "b 2.0 1 [2, 2, 2] b 2", "null 4.0 1 [4, 4, 4] null 4"]
    );
}

#[test]
fn keys_of_any_type() {
    let nan: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
    let rows = batch(vec![("f", nan), ("w", windows(vec![None, None, Some(0), Some(0)])), ("v", ints([Some(1); 4]))]);
    let spec = count_and_sum(&rows.schema());
    let (mut restarted, changed) = (0, stateful(&spec, AggregateEmit::Changed(None)));
    let mut tasks = Tasks::new(&changed, rows.schema(), 2, 2);
    for number in 0..3 {
        let made = sorted(&tasks.run(epoch(number, None, None), std::slice::from_ref(&rows)));
        let count = 2 * (number + 1);
        assert_eq!(made.len(), 2, "{made:?}");
        assert!(made.iter().all(|line| line.ends_with(&format!(" {count} {count}"))), "{made:?}");
        restarted += 1;
        tasks.restart(restarted % 2 + 1);
    }
    let lists = vec![Some(vec![Some(1), None]), None, Some(vec![Some(1), None]), Some(vec![])];
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
    let rows = input(lists, vec![Some(1), Some(2), Some(3), Some(4)]);
    let made = run_once(&stateful(&count_and_sum(&rows.schema()), AggregateEmit::All), &pieces(&rows, 3));
    assert_eq!(sorted(&made), ["[1, null] 2 4", "[] 1 4", "null 1 2"]);
    for data_type in [DataType::Int32, DataType::Date32, DataType::Int16, DataType::Int8] {
        let keys = arrow::compute::cast(&ints([Some(1), None, Some(1)]), &DataType::Int32).unwrap();
        let keys = arrow::compute::cast(&keys, &data_type).unwrap();
        let rows = input(keys, vec![Some(1), Some(2), Some(3)]);
        let made = run_once(&stateful(&count_and_sum(&rows.schema()), AggregateEmit::All), std::slice::from_ref(&rows));
        assert_eq!(made[0].schema().field(0).data_type(), &data_type);
        assert_eq!(made[0].num_rows(), 2);
    }
}

#[test]
fn a_window_is_given_once_when_the_watermark_has_passed_its_end() {
    let rows = |starts: Vec<i64>| {
        let values = ints(starts.iter().map(|_| Some(1)));
        batch(vec![("w", windows(starts.into_iter().map(Some).collect())), ("v", values)])
    };
    let time = EventTime { column: 0, kind: EventTimeKind::WindowEnd, lag_micros: 0 };
    let spec = count_and_sum(&rows(vec![]).schema());
    let given = |made: Vec<RecordBatch>| -> Vec<i64> {
        let sums = made.iter().flat_map(|b| b.column(2).to_data().buffers()[0].typed_data::<i64>()[..b.num_rows()].to_vec());
        sums.collect()
    };
    let closed = stateful(&spec, AggregateEmit::Closed(time));
    let mut tasks = Tasks::new(&closed, rows(vec![]).schema(), 1, 1);
    assert!(given(tasks.run(epoch(0, None, None), &[rows(vec![0, 0, 10, 20])])).is_empty());
    tasks.restart(2);
    assert_eq!(
        given(tasks.run(epoch(1, None, Some(10)), &[rows(vec![0])])),
        [3],
        "not late by the watermark of the epoch before"
    );
    assert_eq!(given(tasks.run(epoch(2, Some(10), Some(10)), &[rows(vec![0, 10])])), [0; 0], "late");
    tasks.restart(1);
    assert_eq!(given(tasks.run(epoch(3, Some(10), Some(1_000)), &[])), [2, 1]);
    assert!(given(tasks.run(epoch(4, Some(1_000), Some(2_000)), &[])).is_empty());

    let changed = stateful(&spec, AggregateEmit::Changed(Some(time)));
    let mut tasks = Tasks::new(&changed, rows(vec![]).schema(), 1, 1);
    assert_eq!(given(tasks.run(epoch(0, None, Some(10)), &[rows(vec![0, 10])])), [1, 1]);
    assert_eq!(given(tasks.run(epoch(1, None, Some(10)), &[rows(vec![0, 10])])), [1, 2], "the first was removed");

    let waits =
        [AggregateEmit::All, AggregateEmit::Changed(None), AggregateEmit::Changed(Some(time)), AggregateEmit::Closed(time)];
    assert_eq!(waits.map(|emit| stateful(&spec, emit).needs_watermark_epochs()), [false, false, true, true]);

    let error = StatefulAggregate::new(spec, AggregateInput::Rows, AggregateEmit::Closed(EventTime { column: 1, ..time }));
    assert!(error.output_schema(&[rows(vec![]).schema()]).unwrap_err().to_string().contains("no event time"));
}

#[test]
fn an_instant_closes_when_it_is_reached() {
    let rows = batch(vec![("t", times(vec![Some(5), Some(6), None])), ("v", ints([Some(1); 3]))]);
    let time = EventTime { column: 0, kind: EventTimeKind::Instant, lag_micros: 0 };
    let closed = stateful(&count_and_sum(&rows.schema()), AggregateEmit::Closed(time));
    let mut tasks = Tasks::new(&closed, rows.schema(), 1, 1);
    assert_eq!(tasks.run(epoch(0, None, Some(5)), std::slice::from_ref(&rows)).len(), 1);
    assert_eq!(tasks.run(epoch(1, Some(5), Some(5)), std::slice::from_ref(&rows)).len(), 0);
    let made = tasks.run(epoch(2, Some(5), Some(i64::MAX)), &[]);
    assert!(lines(&made)[0].ends_with("2 2") && lines(&made).len() == 1, "{made:?}");
}

#[test]
fn what_does_not_reduce_passes_and_what_is_large_is_given_early() {
    let rows = 300_000_i64;
    let distinct = input(ints((0..rows).map(Some)), (0..rows).map(|n| (n % 3 > 0).then_some(n)).collect());
    let spec = count_and_sum(&distinct.schema());
    let partial = PartialAggregate::new(spec.clone(), AggregateInput::Rows);
    let mut task = OperatorHarness::new(&partial, &[distinct.schema()]).unwrap();
    pieces(&distinct, TARGET_BATCH_ROWS).into_iter().for_each(|rows| task.process(0, rows).unwrap());
    let made = task.end_epoch().unwrap();
    let expected = (0..rows).map(|n| if n % 3 > 0 { format!("{n} 1 {n}") } else { format!("{n} 0 null") });
    assert_eq!(lines(&made), expected.collect::<Vec<_>>());
    assert!(made.iter().all(|made| made.num_rows() <= TARGET_BATCH_ROWS));

    let twice = input(ints((0..rows).map(|n| Some(n / 2))), vec![Some(1); rows as usize]);
    let mut task = OperatorHarness::new(&partial, &[twice.schema()]).unwrap();
    pieces(&twice, TARGET_BATCH_ROWS).into_iter().for_each(|rows| task.process(0, rows).unwrap());
    assert_eq!(task.end_epoch().unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 150_000);
}

#[test]
fn distinct_is_an_aggregate_of_nothing() {
    let rows = batch(vec![("a", ints([Some(1), Some(1), None])), ("b", strings(vec![Some("x"), Some("x"), None]))]);
    let spec = AggregateSpec { keys: keys(&rows.schema(), 2), aggregates: vec![] };
    let tasks_of = |emit| run_once(&stateful(&spec, emit), &[rows.clone(), rows.clone()]);
    assert_eq!(sorted(&tasks_of(AggregateEmit::All)), ["1 x", "null null"]);
    assert_eq!(sorted(&tasks_of(AggregateEmit::Changed(None))), ["1 x", "null null"]);
    assert_eq!(
        sorted(&run_once(&PartialAggregate::new(spec.clone(), AggregateInput::Rows), std::slice::from_ref(&rows))),
        ["1 x", "null null"]
    );
}
