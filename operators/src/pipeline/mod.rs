//! A chain of steps that keep nothing from row to row, as one operator.
//!
//! An actor boundary is paid only where rows change hands, so that whatever lies between two exchanges is one task: a filter, a
//! projection and an explode cost three kernels and no channel.

mod generate;
mod steps;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{EpochInfo, Error, Operator, OperatorContext, OperatorSupplier, Port, Result};

pub use self::steps::{Step, Steps};
use crate::output::{Gathered, conform, single_input};

type Factory = dyn Fn(EpochInfo) -> Result<Vec<Step>> + Send + Sync;

/// Applies [`Step`]s one after the other to every batch.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::record_batch::RecordBatch;
/// use datafusion::common::ScalarValue;
/// use datafusion::logical_expr::Operator;
/// use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
/// use tidegate_operators::{Pipeline, Step};
/// use tidegate_runtime::testkit::OperatorHarness;
///
/// let numbers = |numbers: Vec<i64>| Arc::new(Int64Array::from(numbers)) as ArrayRef;
/// let batch = RecordBatch::try_from_iter([("n", numbers(vec![1, -2, 3]))])?;
/// let zero = Arc::new(Literal::new(ScalarValue::Int64(Some(0))));
/// let positive = BinaryExpr::new(Arc::new(Column::new("n", 0)), Operator::Gt, zero);
/// let pipeline = Pipeline::new(batch.schema(), vec![Step::Filter(Arc::new(positive))]);
/// let mut task = OperatorHarness::new(&pipeline, &[batch.schema()])?;
/// task.process(0, batch)?;
/// assert_eq!(task.end_epoch()?[0].column(0), &numbers(vec![1, 3]));
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct Pipeline {
    name: String,
    input: SchemaRef,
    output: SchemaRef,
    plan: Plan,
}

/// Where the steps come from.
#[derive(Clone)]
enum Plan {
    /// They are the same for ever.
    Fixed(Vec<Step>),
    /// They contain what is fixed for an epoch only, as its time.
    PerEpoch(Arc<Factory>),
}

impl Pipeline {
    /// A chain of steps over rows with the columns `input`.
    pub fn new(input: SchemaRef, steps: Vec<Step>) -> Self {
        let output = steps.iter().rev().find_map(Step::schema).unwrap_or_else(|| Arc::clone(&input));
        Pipeline { name: "pipeline".to_owned(), input, output, plan: Plan::Fixed(steps) }
    }

    /// A chain of steps whose expressions contain an epoch's time: `factory` makes it anew for every epoch.
    pub fn per_epoch(input: SchemaRef, output: SchemaRef, factory: Arc<Factory>) -> Self {
        Pipeline { name: "pipeline".to_owned(), input, output, plan: Plan::PerEpoch(factory) }
    }

    /// Calls it by this name in descriptions and errors.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl OperatorSupplier for Pipeline {
    fn output_schema(&self, inputs: &[SchemaRef]) -> Result<SchemaRef> {
        let input = single_input(&self.name, inputs)?;
        let (given, own) = (input.fields(), self.input.fields());
        let same_types = || given.iter().zip(own).all(|(given, own)| given.data_type() == own.data_type());
        if given.len() != own.len() || !same_types() {
            return Err(Error::InvalidArgument(format!(
                "{}: was planned for the columns {own:?}, it is given {given:?}",
                self.name
            )));
        }
        Ok(Arc::clone(&self.output))
    }

    fn supply(&self) -> Result<Box<dyn Operator>> {
        let steps = match &self.plan {
            Plan::Fixed(steps) => Some(Steps::new(Arc::clone(&self.input), steps.clone())),
            Plan::PerEpoch(_) => None,
        };
        let output = Gathered::new(&self.output);
        Ok(Box::new(PipelineTask {
            name: self.name.clone(),
            input: Arc::clone(&self.input),
            plan: self.plan.clone(),
            steps,
            made_for: None,
            output,
        }))
    }

    fn describe(&self) -> String {
        match &self.plan {
            Plan::Fixed(steps) => {
                let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
                format!("{}: {}", self.name, steps.join(" > "))
            }
            Plan::PerEpoch(_) => self.name.clone(),
        }
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("name", &self.name).field("output", &self.output).finish_non_exhaustive()
    }
}

struct PipelineTask {
    name: String,
    input: SchemaRef,
    plan: Plan,
    steps: Option<Steps>,
    /// The epoch that the steps were made for, if they were made for one.
    made_for: Option<EpochInfo>,
    output: Gathered,
}

impl PipelineTask {
    /// The steps of the open epoch.
    fn steps(&mut self, epoch: EpochInfo) -> Result<&Steps> {
        let stale = self.steps.is_none() || self.made_for != Some(epoch);
        if let Plan::PerEpoch(factory) = &self.plan
            && stale
        {
            self.steps = Some(Steps::new(Arc::clone(&self.input), factory(epoch)?));
            self.made_for = Some(epoch);
        }
        self.steps.as_ref().ok_or_else(|| Error::Protocol(format!("{} has no steps", self.name)))
    }
}

impl Operator for PipelineTask {
    fn process(&mut self, _port: Port, batch: RecordBatch, context: &mut OperatorContext<'_>) -> Result<()> {
        self.steps(context.epoch()?)?;
        let PipelineTask { name, steps: Some(steps), output, .. } = self else { return Ok(()) };
        let schema = Arc::clone(output.schema());
        steps.apply_to(batch, &mut |made| output.push(conform(name, &schema, made)?, context))
    }

    fn end_epoch(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.output.flush(context)
    }
}

#[cfg(test)]
mod tests;
