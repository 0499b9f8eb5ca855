//! A user's own stateful operator in a topology with two sources and two sinks.
//!
//! ```text
//! cargo run --release --example custom_operator
//! ```
//!
//! Sensors send readings; a second stream sets each sensor's limit. The operator keeps the newest limit of each sensor in its
//! state, and passes on the readings above it. Both inputs are exchanged by sensor, so a sensor's readings and its limit meet in
//! one task, whatever the parallelism. The alarms go to the console and to memory, from one pass.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program may print")]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, StringArray};
use arrow::compute::filter_record_batch;
use arrow::compute::kernels::cmp::gt;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidegate::connectors::{ConsoleSink, MemorySink, MemoryStream};
use tidegate::prelude::*;
use tidegate::runtime::state::TableSpec;

/// The port of the readings.
const READINGS: Port = Port(0);
/// The state table: sensor → limit.
const LIMITS: &str = "limits";

/// Makes the operator's instances.
struct AboveLimit;

impl OperatorSupplier for AboveLimit {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        match inputs {
            [readings, _limits] => Ok(Arc::clone(readings)),
            _ => Err(Error::user("needs two inputs: readings and limits")),
        }
    }

    fn state(&self, _inputs: &[SchemaRef]) -> Result<Vec<TableSpec>> {
        Ok(vec![TableSpec::new(LIMITS, [("sensor", DataType::Utf8)], [("limit", DataType::Int64)])?])
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(AboveLimitTask { waiting: Vec::new() }))
    }

    fn describe(&self) -> String {
        "readings above their sensor's limit".to_owned()
    }
}

/// One instance: it sees all rows of its sensors, and no others.
struct AboveLimitTask {
    /// The epoch's readings. They are judged at its end, by the limits that hold then: which of the two inputs a task reads first
    /// is chance, and the result must not depend on it.
    waiting: Vec<RecordBatch>,
}

impl Operator for AboveLimitTask {
    fn process(&mut self, port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        if port == READINGS {
            self.waiting.push(batch);
            return Ok(());
        }
        context.state(LIMITS)?.put(&batch.project(&[0])?, &batch.project(&[1])?)
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        for readings in std::mem::take(&mut self.waiting) {
            let limits = context.state(LIMITS)?.get(&readings.project(&[0])?)?;
            // A sensor without a limit has a null here, and a comparison with null is not true.
            let above: BooleanArray = gt(readings.column(1), limits.values.column(0))?;
            context.emit(filter_record_batch(&readings, &above)?)?;
        }
        Ok(())
    }
}

/// Rows of a sensor's name and a number.
fn rows(schema: &SchemaRef, rows: &[(&str, i64)]) -> Result<RecordBatch> {
    let sensors: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    Ok(RecordBatch::try_new(Arc::clone(schema), vec![sensors, numbers])?)
}

fn schema(number: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("sensor", DataType::Utf8, true), Field::new(number, DataType::Int64, true)]))
}

/// Runs the topology at this parallelism over three rounds of input; gives the alarms, sorted within each epoch.
pub(crate) fn alarms(parallelism: usize) -> Result<Vec<(String, i64)>, Box<dyn std::error::Error>> {
    let (readings, limits) = (MemoryStream::new(schema("reading")), MemoryStream::new(schema("limit")));
    let memory = MemorySink::new();

    let mut t = Topology::builder("alarms");
    let reading_rows = t.source("readings", readings.clone());
    let limit_rows = t.source("limits", limits.clone());
    let inputs = [reading_rows.hash(["sensor"]), limit_rows.hash(["sensor"])];
    let alarms = t.operator("above-limit", inputs, AboveLimit).parallelism(parallelism);
    t.sink("console", [&alarms], ConsoleSink::new());
    t.sink("memory", [&alarms], memory.clone());
    let topology = t.build()?;
    println!("{}", topology.describe());

    let query = Query::new(topology).start()?;
    limits.add_data(rows(&schema("limit"), &[("boiler", 90), ("pump", 5)])?)?;
    query.process_all_available()?;
    readings.add_data(rows(&schema("reading"), &[("boiler", 85), ("boiler", 97), ("pump", 6), ("door", 1)])?)?;
    query.process_all_available()?;
    limits.add_data(rows(&schema("limit"), &[("boiler", 80)])?)?;
    query.process_all_available()?;
    readings.add_data(rows(&schema("reading"), &[("boiler", 85), ("pump", 5)])?)?;
    query.process_all_available()?;
    query.stop()?;

    let mut seen = Vec::new();
    for (_, batches) in memory.epochs() {
        let epoch = batches.iter().flat_map(|batch| {
            let (sensors, numbers) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
            sensors.iter().zip(numbers).filter_map(|(sensor, number)| Some((sensor?.to_owned(), number?)))
        });
        let mut epoch: Vec<_> = epoch.collect();
        epoch.sort();
        seen.extend(epoch);
    }
    Ok(seen)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (sensor, reading) in alarms(2)? {
        println!("alarm: {sensor} at {reading}");
    }
    Ok(())
}
