//! What the operators' tests share.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, StructArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Fields, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use tidegate_runtime::state::{KeyGroup, hash_columns};
use tidegate_runtime::testkit::OperatorHarness;
use tidegate_runtime::{Epoch, EpochInfo, OperatorSupplier, Watermark};

pub(crate) type Expr = Arc<dyn PhysicalExpr>;

pub(crate) fn column(name: &str, index: usize) -> Expr {
    Arc::new(Column::new(name, index))
}

pub(crate) fn literal(value: i64) -> Expr {
    Arc::new(Literal::new(ScalarValue::Int64(Some(value))))
}

pub(crate) fn binary(left: Expr, operator: Operator, right: Expr) -> Expr {
    Arc::new(BinaryExpr::new(left, operator, right))
}

pub(crate) fn ints(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}

pub(crate) fn strings(values: Vec<Option<&str>>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

pub(crate) fn times(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
}

/// Windows of ten microseconds that start at these times.
pub(crate) fn windows(starts: Vec<Option<i64>>) -> ArrayRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields: Fields = vec![Field::new("start", time.clone(), true), Field::new("end", time, true)].into();
    let nulls = starts.iter().map(Option::is_some).collect();
    let ends = starts.iter().map(|start| start.map(|start| start + 10)).collect();
    Arc::new(StructArray::new(fields, vec![times(starts), times(ends)], Some(nulls)))
}

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// The rows as text, in their order: columns with a blank between.
pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::new().with_null("null");
    let of = |batch: &RecordBatch| {
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
        let row = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" ");
        (0..batch.num_rows()).map(row).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

/// The rows as text, sorted.
pub(crate) fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = lines(batches);
    lines.sort();
    lines
}

pub(crate) fn epoch(number: u64, late: Option<i64>, watermark: Option<i64>) -> EpochInfo {
    let (late_watermark, watermark) = (late.map(Watermark::from_micros), watermark.map(Watermark::from_micros));
    EpochInfo { epoch: Epoch::new(number), trigger_time_ms: 0, watermark, late_watermark }
}

type Snapshots = Vec<Vec<(String, Vec<RecordBatch>)>>;

/// All tasks of an operator whose input is exchanged by its first columns, with a checkpoint that a restart goes on from.
pub(crate) struct Tasks<'a> {
    supplier: &'a dyn OperatorSupplier,
    inputs: Vec<SchemaRef>,
    keys: usize,
    snapshots: Snapshots,
    tasks: Vec<OperatorHarness>,
}

impl<'a> Tasks<'a> {
    pub(crate) fn new(supplier: &'a dyn OperatorSupplier, input: SchemaRef, keys: usize, parallelism: usize) -> Self {
        Tasks::of_inputs(supplier, vec![input], keys, parallelism)
    }

    /// Tasks with several inputs, each exchanged by its first columns.
    pub(crate) fn of_inputs(supplier: &'a dyn OperatorSupplier, inputs: Vec<SchemaRef>, keys: usize, parallelism: usize) -> Self {
        let mut tasks = Tasks { supplier, inputs, keys, snapshots: Vec::new(), tasks: Vec::new() };
        tasks.restart(parallelism);
        tasks
    }

    pub(crate) fn restart(&mut self, parallelism: usize) {
        let task = |n| OperatorHarness::restored(self.supplier, &self.inputs, n, parallelism, &self.snapshots).unwrap();
        self.tasks = (0..parallelism).map(task).collect();
    }

    /// How many rows the state has.
    pub(crate) fn state_rows(&self) -> usize {
        self.tasks.iter().map(OperatorHarness::state_rows).sum()
    }

    /// How many rows were late since the last restart.
    pub(crate) fn late_rows(&self) -> u64 {
        self.tasks.iter().map(OperatorHarness::late_rows).sum()
    }

    /// Runs an epoch; gives what the tasks emitted.
    pub(crate) fn run(&mut self, epoch: EpochInfo, batches: &[RecordBatch]) -> Vec<RecordBatch> {
        let batches: Vec<_> = batches.iter().map(|batch| (0, batch.clone())).collect();
        self.run_ports(epoch, &batches)
    }

    /// Runs an epoch with batches of several inputs.
    pub(crate) fn run_ports(&mut self, epoch: EpochInfo, batches: &[(usize, RecordBatch)]) -> Vec<RecordBatch> {
        self.tasks.iter_mut().for_each(|task| task.set_epoch(epoch));
        for (port, batch) in batches.iter().filter(|(_, batch)| batch.num_rows() > 0) {
            let mut hashes = Vec::new();
            hash_columns(&batch.columns()[..self.keys], batch.num_rows(), &mut hashes).unwrap();
            let parallelism = self.tasks.len();
            for (number, task) in self.tasks.iter_mut().enumerate() {
                let own = |hash: u64| KeyGroup::of_hash(hash).owner(parallelism) == number;
                let rows = (0_u32..).zip(&hashes).filter(|(_, hash)| own(**hash)).map(|(row, _)| row);
                let rows = take_record_batch(batch, &UInt32Array::from_iter_values(rows)).unwrap();
                if rows.num_rows() > 0 {
                    task.process(*port, rows).unwrap();
                }
            }
        }
        let made: Vec<RecordBatch> = self.tasks.iter_mut().flat_map(|task| task.end_epoch().unwrap()).collect();
        let snapshots = self.tasks.iter_mut().flat_map(|task| task.snapshot().unwrap()).collect();
        self.snapshots.push(snapshots);
        made
    }
}

/// All rows of an operator without state, given batches in one epoch.
pub(crate) fn run_once(supplier: &dyn OperatorSupplier, batches: &[RecordBatch]) -> Vec<RecordBatch> {
    let mut task = OperatorHarness::new(supplier, &[batches[0].schema()]).unwrap();
    batches.iter().filter(|batch| batch.num_rows() > 0).for_each(|batch| task.process(0, batch.clone()).unwrap());
    task.end_epoch().unwrap()
}

/// The rows in pieces of `rows`.
pub(crate) fn pieces(batch: &RecordBatch, rows: usize) -> Vec<RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(rows.max(1));
    starts.map(|start| batch.slice(start, rows.max(1).min(batch.num_rows() - start))).collect()
}
