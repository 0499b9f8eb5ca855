//! Runs one case: each step a fresh session on the same checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::Value;
use tidegate::connectors::{MemorySink, MemoryStream};
use tidegate::{DataFrame, Error, OutputMode, Session};

use crate::case::{Case, Column, ExpectedError, Operation, Step};
use crate::{compare, values};

/// Runs the case; says what is wrong.
pub(crate) fn run(case: &Case) -> Result<(), String> {
    let checkpoint = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut sources = BTreeMap::new();
    for source in &case.sources {
        sources.insert(source.name.clone(), MemoryStream::new(schema(&source.schema)?));
    }
    // The sink outlives the steps: what a replay may not give twice is seen here.
    let sink = MemorySink::new();
    let mut query = case.query.as_str();
    for (number, step) in case.steps.iter().enumerate() {
        query = step.query.as_deref().unwrap_or(query);
        let seen = sink.epochs().len();
        feed(case, step, &sources).map_err(|error| format!("step {number}: {error}"))?;
        let outcome = run_step(case, query, &sources, &sink, checkpoint.path());
        let epochs: Vec<Vec<RecordBatch>> = sink.epochs().into_iter().skip(seen).map(|(_, batches)| batches).collect();
        check(case, step, number == 0, outcome, epochs).map_err(|error| format!("step {number}: {error}"))?;
    }
    Ok(())
}

fn schema(columns: &[Column]) -> Result<SchemaRef, String> {
    let field = |(name, type_name): &Column| data_type(type_name).map(|data_type| Field::new(name, data_type, true));
    Ok(Arc::new(Schema::new(columns.iter().map(field).collect::<Result<Vec<_>, _>>()?)))
}

/// A type by its name, through the public API: the type of a cast null.
fn data_type(name: &str) -> Result<DataType, String> {
    let session = Session::builder().build().map_err(|error| error.to_string())?;
    let frame = session.sql(&format!("SELECT CAST(NULL AS {name}) AS x")).map_err(|error| error.to_string())?;
    Ok(frame.schema().map_err(|error| error.to_string())?.field(0).data_type().clone())
}

fn feed(case: &Case, step: &Step, sources: &BTreeMap<String, MemoryStream>) -> Result<(), String> {
    for (name, rows) in &step.feed {
        let source = sources.get(name).ok_or_else(|| format!("no source {name}"))?;
        let spec = case.sources.iter().find(|source| source.name == *name).ok_or_else(|| format!("no source {name}"))?;
        source.add_data(values::batch(&schema(&spec.schema)?, rows)?).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What became of a step.
enum Outcome {
    /// The query was refused before anything ran.
    Refused(Error),
    /// It failed while it ran.
    Failed(Error),
    /// It ended well; the columns of its result.
    Done(SchemaRef),
}

fn run_step(
    case: &Case,
    query: &str,
    sources: &BTreeMap<String, MemoryStream>,
    sink: &MemorySink,
    checkpoint: &std::path::Path,
) -> Outcome {
    let started = || -> Result<_, Error> {
        let frame = build(case, query, sources)?;
        let mode: OutputMode = case.output_mode.parse()?;
        let schema = frame.schema()?;
        let query = frame.write_stream().sink(sink.clone()).output_mode(mode).checkpoint(checkpoint).available_now().start()?;
        Ok((query, schema))
    };
    let (query, schema) = match started() {
        Ok(started) => started,
        Err(error) => return Outcome::Refused(error),
    };
    match query.await_termination(None) {
        Ok(_) => Outcome::Done(schema),
        Err(error) => Outcome::Failed(error),
    }
}

fn build(case: &Case, query: &str, sources: &BTreeMap<String, MemoryStream>) -> Result<DataFrame, Error> {
    let mut builder = Session::builder().parallelism(2);
    for (key, value) in &case.conf {
        builder = builder.config(key, value);
    }
    let session = builder.build()?;
    for table in &case.tables {
        let schema = schema(&table.schema).unwrap_or_else(|_| Arc::new(Schema::empty()));
        let batch = values::batch(&schema, &table.rows).unwrap_or_else(|_| RecordBatch::new_empty(schema));
        session.create_data_frame(vec![batch])?.create_or_replace_temp_view(&table.name)?;
    }
    for source in &case.sources {
        let stream = sources[&source.name].clone();
        let mut frame = session.read_stream_from(&source.name, stream)?;
        if let Some(watermark) = &source.watermark {
            frame = frame.with_watermark(&watermark.column, &watermark.delay);
        }
        frame.create_or_replace_temp_view(&source.name)?;
    }
    let mut frame = session.sql(query)?;
    for operation in &case.then {
        frame = match operation {
            Operation::WithWatermark { column, delay } => frame.with_watermark(column, delay),
            Operation::DropDuplicates { columns: None } => frame.drop_duplicates(),
            Operation::DropDuplicates { columns: Some(columns) } => frame.drop_duplicates_by(columns),
            Operation::DropDuplicatesWithinWatermark { columns } => {
                frame.drop_duplicates_within_watermark(columns.as_deref().unwrap_or_default())
            }
            Operation::Sql { view, query } => {
                frame.create_or_replace_temp_view(view)?;
                session.sql(query)?
            }
        };
    }
    Ok(frame)
}

fn check(case: &Case, step: &Step, is_first: bool, outcome: Outcome, epochs: Vec<Vec<RecordBatch>>) -> Result<(), String> {
    if let Some(expected) = &step.expect_error {
        return check_error(expected, is_first, outcome, &epochs);
    }
    let schema = match outcome {
        Outcome::Refused(error) => return Err(format!("refused: {error}")),
        Outcome::Failed(error) => return Err(format!("failed: {error}")),
        Outcome::Done(schema) => schema,
    };
    if let Some(expected) = step.expect_schema.as_ref().or(case.expect_schema.as_ref()) {
        check_schema(&schema, expected)?;
    }
    let epochs: Vec<Vec<Vec<Value>>> = epochs.iter().map(|batches| batches.iter().flat_map(values::rows).collect()).collect();
    let actual = match (case.output_mode.as_str(), &case.key_columns) {
        ("complete", _) => epochs.last().cloned().unwrap_or_default(),
        ("update", Some(keys)) => last_by_key(&schema, keys, epochs.concat())?,
        _ => epochs.concat(),
    };
    let types: Vec<DataType> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
    compare::rows(&types, &actual, step.expect.as_deref().unwrap_or_default(), case.ordered)
}

fn check_error(expected: &ExpectedError, is_first: bool, outcome: Outcome, epochs: &[Vec<RecordBatch>]) -> Result<(), String> {
    let error = match outcome {
        Outcome::Done(_) => return Err(format!("expected an error at {}: {}", expected.stage, expected.message)),
        // An error may come at an earlier stage than the recorded one in the first step only.
        Outcome::Refused(error) if expected.stage == "runtime" && !is_first => {
            return Err(format!("refused, should have failed: {error}"));
        }
        Outcome::Failed(error) if expected.stage != "runtime" => {
            return Err(format!("failed, should have been refused: {error}"));
        }
        Outcome::Refused(error) | Outcome::Failed(error) => error,
    };
    if epochs.iter().flatten().any(|batch| batch.num_rows() > 0) {
        return Err(format!("rows came out in spite of {error}"));
    }
    match (&expected.spark_error_class, error.condition()) {
        (Some(wanted), Some(given)) if *wanted == given => Ok(()),
        (Some(wanted), given) => Err(format!("expected [{wanted}], got {given:?}: {error}")),
        (None, _) => Ok(()),
    }
}

fn check_schema(schema: &Schema, expected: &[Column]) -> Result<(), String> {
    let wanted: Vec<String> =
        expected.iter().map(|(name, type_name)| format!("{name}: {}", type_name.replace(", ", ","))).collect();
    let given: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| Ok(format!("{}: {}", field.name(), tidegate::type_name(field.data_type()))))
        .collect::<Result<_, String>>()?;
    if wanted == given { Ok(()) } else { Err(format!("schema differs\n  expected: {wanted:?}\n  actual:   {given:?}")) }
}

/// Of each key its last row.
fn last_by_key(schema: &Schema, keys: &[String], rows: Vec<Vec<Value>>) -> Result<Vec<Vec<Value>>, String> {
    let index = |key: &String| schema.index_of(key).map_err(|error| error.to_string());
    let keys = keys.iter().map(index).collect::<Result<Vec<_>, _>>()?;
    let mut last: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
    for row in rows {
        let key: Vec<Value> = keys.iter().map(|index| row[*index].clone()).collect();
        match last.iter_mut().find(|(own, _)| *own == key) {
            Some((_, own)) => *own = row,
            None => last.push((key, row)),
        }
    }
    Ok(last.into_iter().map(|(_, row)| row).collect())
}
