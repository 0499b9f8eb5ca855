use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator as Op;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use tidegate_runtime::testkit::OperatorHarness;
use tidegate_runtime::{Epoch, TARGET_BATCH_ROWS};

use super::*;

type Expr = Arc<dyn PhysicalExpr>;

fn column(name: &str, index: usize) -> Expr {
    Arc::new(Column::new(name, index))
}

fn literal(value: i64) -> Expr {
    Arc::new(Literal::new(ScalarValue::Int64(Some(value))))
}

fn binary(left: Expr, op: Op, right: Expr) -> Expr {
    Arc::new(BinaryExpr::new(left, op, right))
}

fn ints(values: Vec<Option<i64>>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("n", Arc::new(Int64Array::from(values)) as ArrayRef, true)]).unwrap()
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect::<Vec<_>>()))
}

fn numbers(batches: &[RecordBatch], index: usize) -> Vec<Option<i64>> {
    batches.iter().flat_map(|batch| batch.column(index).as_primitive::<Int64Type>().iter()).collect()
}

/// Lists of structs with one field, from lists of integers.
fn lists(values: Vec<Option<Vec<Option<i32>>>>) -> RecordBatch {
    let rows = values.len() as i64;
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(values);
    let fields = vec![Field::new("col", DataType::Int32, true)].into();
    let elements = StructArray::new(fields, vec![Arc::clone(lists.values())], None);
    let field = Arc::new(Field::new("item", elements.data_type().clone(), true));
    let lists = ListArray::new(field, lists.offsets().clone(), Arc::new(elements), lists.nulls().cloned());
    let ids = Int64Array::from_iter_values(0..rows);
    RecordBatch::try_from_iter_with_nullable([("id", Arc::new(ids) as ArrayRef, true), ("l", Arc::new(lists) as ArrayRef, true)])
        .unwrap()
}

fn explode(outer: bool, keep: Vec<usize>) -> Step {
    let mut fields = vec![("col", DataType::Int32)];
    if !keep.is_empty() {
        fields.insert(0, ("id", DataType::Int64));
    }
    Step::Generate { generator: column("l", 1), outer, keep, schema: schema(&fields) }
}

fn pairs(batches: &[RecordBatch]) -> Vec<(i64, Option<i32>)> {
    let of = |batch: &RecordBatch| {
        let ids = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
        ids.into_iter().zip(batch.column(1).as_primitive::<Int32Type>().iter().collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

#[test]
fn a_later_condition_sees_only_the_rows_that_an_earlier_one_keeps() {
    let batch = ints(vec![Some(0), Some(2), None, Some(50)]);
    let not_zero = binary(column("n", 0), Op::NotEq, literal(0));
    let large = binary(binary(literal(100), Op::Divide, column("n", 0)), Op::Gt, literal(10));
    let both = Pipeline::new(batch.schema(), vec![Step::Filter(not_zero), Step::Filter(Arc::clone(&large))]);
    let mut task = OperatorHarness::new(&both, &[batch.schema()]).unwrap();
    task.process(0, batch.clone()).unwrap();
    assert_eq!(numbers(&task.end_epoch().unwrap(), 0), [Some(2)]);

    let alone = Steps::new(batch.schema(), vec![Step::Filter(large)]);
    let error = alone.apply(batch).unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.downcast_ref::<datafusion::error::DataFusionError>().is_some(), "{error}");
}

#[test]
fn steps_follow_each_other_and_scalars_become_columns() {
    let batch = ints(vec![Some(1), Some(2), None]);
    let twice = Step::Project {
        exprs: vec![binary(column("n", 0), Op::Multiply, literal(2)), literal(7)],
        schema: schema(&[("twice", DataType::Int64), ("seven", DataType::Int64)]),
    };
    let steps = Steps::new(batch.schema(), vec![twice, Step::Filter(binary(column("twice", 0), Op::Gt, literal(2)))]);
    let made = steps.apply(batch.clone()).unwrap();
    assert_eq!((numbers(&made, 0), numbers(&made, 1)), (vec![Some(4)], vec![Some(7)]));

    let nothing = Step::Project { exprs: vec![], schema: schema(&[]) };
    let made = Steps::new(batch.schema(), vec![nothing]).apply(batch.clone()).unwrap();
    assert_eq!((made[0].num_rows(), made[0].num_columns()), (3, 0));

    let wrong = Step::Project { exprs: vec![column("n", 0)], schema: schema(&[("n", DataType::Utf8)]) };
    let error = Steps::new(batch.schema(), vec![wrong]).apply(batch).unwrap_err().to_string();
    assert!(error.starts_with("projection: column n is Int64"), "{error}");
}

#[test]
fn an_element_becomes_a_row() {
    let batch = lists(vec![Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(3)])]);
    let made = |step: Step| Steps::new(batch.schema(), vec![step]).apply(batch.clone()).unwrap();
    assert_eq!(pairs(&made(explode(false, vec![0]))), [(0, Some(1)), (0, None), (3, Some(3))]);
    assert_eq!(pairs(&made(explode(true, vec![0]))), [(0, Some(1)), (0, None), (1, None), (2, None), (3, Some(3))]);
    assert_eq!(made(explode(false, vec![]))[0].column(0).as_ref(), &Int32Array::from(vec![Some(1), None, Some(3)]));
    let sliced = Steps::new(batch.schema(), vec![explode(false, vec![0])]).apply(batch.slice(1, 3)).unwrap();
    assert_eq!(pairs(&sliced), [(3, Some(3))]);
}

#[test]
fn what_lies_beneath_a_null_is_not_seen() {
    let batch = lists(vec![Some(vec![Some(1), Some(2)]), Some(vec![Some(3)])]);
    let list = batch.column(1).as_list::<i32>();
    let elements = list.values().as_struct();
    let elements =
        StructArray::new(elements.fields().clone(), elements.columns().to_vec(), Some(NullBuffer::from(vec![true, true, false])));
    let null_list = |nulls| {
        let DataType::List(field) = list.data_type() else { panic!() };
        let offsets = OffsetBuffer::new(vec![0, 2, 3].into());
        let lists = ListArray::new(Arc::clone(field), offsets, Arc::new(elements.clone()), nulls);
        RecordBatch::try_new(batch.schema(), vec![Arc::clone(batch.column(0)), Arc::new(lists)]).unwrap()
    };
    let made = |batch: RecordBatch, outer| Steps::new(batch.schema(), vec![explode(outer, vec![0])]).apply(batch).unwrap();
    assert_eq!(pairs(&made(null_list(None), false)), [(0, Some(1)), (0, Some(2)), (1, None)]);
    let nulls = || Some(NullBuffer::from(vec![false, true]));
    assert_eq!(pairs(&made(null_list(nulls()), false)), [(1, None)]);
    assert_eq!(pairs(&made(null_list(nulls()), true)), [(0, None), (1, None)]);
}

#[test]
fn large_outputs_are_split_and_small_ones_gathered() {
    let batch = lists(vec![Some(vec![Some(1); 100_000]), Some(vec![Some(2)])]);
    let steps = Steps::new(batch.schema(), vec![explode(false, vec![0])]);
    let sizes: Vec<usize> = steps.apply(batch).unwrap().iter().map(RecordBatch::num_rows).collect();
    assert!(sizes.iter().all(|&rows| rows <= TARGET_BATCH_ROWS), "{sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), 100_001);

    let batch = ints((0..3_000).map(Some).collect());
    let expand = Step::Expand { projections: vec![vec![column("n", 0)], vec![literal(0)]], schema: batch.schema() };
    let mut task = OperatorHarness::new(&Pipeline::new(batch.schema(), vec![expand]), &[batch.schema()]).unwrap();
    (0..3).for_each(|_| task.process(0, batch.clone()).unwrap());
    let made = task.end_epoch().unwrap();
    let sizes: Vec<usize> = made.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(sizes, [TARGET_BATCH_ROWS, TARGET_BATCH_ROWS, 18_000 - 2 * TARGET_BATCH_ROWS]);
    assert_eq!(numbers(&made, 0).iter().flatten().filter(|&&n| n == 0).count(), 9_003);
}

#[test]
fn steps_with_the_time_of_the_epoch_are_made_for_each() {
    let batch = ints(vec![Some(1)]);
    let factory = |epoch: EpochInfo| {
        let now = binary(column("n", 0), Op::Plus, literal(epoch.trigger_time_ms));
        Ok(vec![Step::Project { exprs: vec![now], schema: schema(&[("n", DataType::Int64)]) }])
    };
    let pipeline = Pipeline::per_epoch(batch.schema(), batch.schema(), Arc::new(factory));
    let mut task = OperatorHarness::new(&pipeline, &[batch.schema()]).unwrap();
    for (number, trigger_time_ms) in [(0, 70), (1, 80)] {
        task.set_epoch(EpochInfo { epoch: Epoch::new(number), trigger_time_ms, watermark: None, late_watermark: None });
        task.process(0, batch.clone()).unwrap();
        task.process(0, batch.clone()).unwrap();
        assert_eq!(numbers(&task.end_epoch().unwrap(), 0), [Some(1 + trigger_time_ms); 2]);
    }
    let error = pipeline.output_schema(&[schema(&[])]).unwrap_err().to_string();
    assert!(error.contains("was planned for the columns"), "{error}");
}
