//! The steps of a pipeline, and how a batch goes through them.

use std::fmt;
use std::sync::Arc;

use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::physical_expr::PhysicalExpr;
use tidegate_runtime::{Result, TARGET_BATCH_ROWS};

use super::generate::generate;
use crate::expressions::{Chosen, batch_of, choose, evaluate_all};

/// A batch with more rows than this is handed on in pieces of the usual size.
pub(super) const MAX_BATCH_ROWS: usize = 4 * TARGET_BATCH_ROWS;

/// One step of a [`Pipeline`](crate::Pipeline). Its expressions are typed, and refer to the columns that the step before it gives.
#[derive(Debug, Clone)]
pub enum Step {
    /// Keeps the rows that a condition is true for, not those that it is false or null for. A conjunction is given as several
    /// steps where a later condition may fail on rows that an earlier one excludes.
    Filter(Arc<dyn PhysicalExpr>),
    /// Computes the columns of `schema`.
    Project {
        /// One for each column.
        exprs: Vec<Arc<dyn PhysicalExpr>>,
        /// Their names, and exactly their types.
        schema: SchemaRef,
    },
    /// A row for every element of a list: the columns `keep`, then the fields of the element.
    Generate {
        /// A list of structs.
        generator: Arc<dyn PhysicalExpr>,
        /// Whether a list that is empty or null gives one row with nulls, rather than none.
        outer: bool,
        /// The columns that go before the fields.
        keep: Vec<usize>,
        /// The names and types of all of these.
        schema: SchemaRef,
    },
    /// Every row once for each projection: what grouping sets are made of.
    Expand {
        /// Each computes the columns of `schema`.
        projections: Vec<Vec<Arc<dyn PhysicalExpr>>>,
        /// Their names, and exactly their types.
        schema: SchemaRef,
    },
}

impl Step {
    /// The columns that it gives, if they are others than it is given.
    pub(super) fn schema(&self) -> Option<SchemaRef> {
        match self {
            Step::Filter(_) => None,
            Step::Project { schema, .. } | Step::Generate { schema, .. } | Step::Expand { schema, .. } => {
                Some(Arc::clone(schema))
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |exprs: &[Arc<dyn PhysicalExpr>]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Step::Filter(condition) => write!(f, "filter {condition}"),
            Step::Project { exprs, .. } => write!(f, "project {}", list(exprs)),
            Step::Generate { generator, outer, .. } => write!(f, "generate{} {generator}", if *outer { " outer" } else { "" }),
            Step::Expand { projections, .. } => write!(f, "expand {} times", projections.len()),
        }
    }
}

/// Steps, outside of an operator: for a source, a sink or a test that applies them itself.
#[derive(Debug, Clone)]
pub struct Steps {
    schema: SchemaRef,
    steps: Vec<Step>,
}

impl Steps {
    /// The steps over rows with the columns `input`.
    pub fn new(input: SchemaRef, steps: Vec<Step>) -> Self {
        let schema = steps.iter().rev().find_map(Step::schema).unwrap_or(input);
        Steps { schema, steps }
    }

    /// The columns of the rows that they give.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What the steps make of a batch: no batch that is empty, and none that is much larger than usual.
    ///
    /// # Errors
    /// Those of the expressions, as the source of a [`User`](tidegate_runtime::Error::User) error; also when a column is not of
    /// the type that it was planned with.
    pub fn apply(&self, batch: RecordBatch) -> Result<Vec<RecordBatch>> {
        let mut made = Vec::new();
        self.apply_to(batch, &mut |batch| {
            made.push(batch);
            Ok(())
        })?;
        Ok(made)
    }

    /// [`apply`](Steps::apply), batch by batch, so that what is made of one need never be in memory at once.
    pub(super) fn apply_to(&self, batch: RecordBatch, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        apply(&self.steps, batch, sink)
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" > "))
    }
}

fn apply(steps: &[Step], mut batch: RecordBatch, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
    for (position, step) in steps.iter().enumerate() {
        // An expression must not fail because of a row that is not there.
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let rest = &steps[position + 1..];
        match step {
            Step::Filter(condition) => match choose(condition, &batch)? {
                Chosen::All => {}
                Chosen::None => return Ok(()),
                Chosen::Some(keep) => batch = filter_record_batch(&batch, &keep)?,
            },
            Step::Project { exprs, schema } => batch = project(exprs, schema, &batch)?,
            Step::Generate { generator, outer, keep, schema } => {
                return generate(generator, *outer, keep, schema, &batch, &mut |made| apply(rest, made, sink));
            }
            Step::Expand { projections, schema } => {
                return projections.iter().try_for_each(|exprs| apply(rest, project(exprs, schema, &batch)?, sink));
            }
        }
    }
    split(batch, sink)
}

fn project(exprs: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    batch_of("projection", schema, evaluate_all(exprs, batch)?, batch.num_rows())
}

/// Hands on a batch, in pieces if it is a very large one.
fn split(batch: RecordBatch, sink: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
    match batch.num_rows() {
        0 => Ok(()),
        rows if rows <= MAX_BATCH_ROWS => sink(batch),
        rows => (0..rows)
            .step_by(TARGET_BATCH_ROWS)
            .try_for_each(|start| sink(batch.slice(start, TARGET_BATCH_ROWS.min(rows - start)))),
    }
}
