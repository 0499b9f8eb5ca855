//! Stateless nodes of a plan as steps of a pipeline.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use tidegate_operators::Step;

use super::optimize::guard;
use crate::analysis::nodes::{Expand, Generate};
use crate::analysis::time::{at_time, depends_on_time};
use crate::analysis::visible_name;
use crate::error::Result;

/// The columns that tasks pass on: the names that the user sees, made different where they are not.
pub(crate) fn arrow_schema<'a>(columns: impl IntoIterator<Item = (&'a str, &'a DataType)>) -> SchemaRef {
    let mut fields: Vec<Field> = Vec::new();
    for (id, data_type) in columns {
        let visible = visible_name(id);
        // Names that begin with two underscores are the runtime's own.
        let base = if visible.is_empty() || visible.starts_with("__") { format!("column{visible}") } else { visible.to_owned() };
        let taken = |name: &str| fields.iter().any(|field| field.name() == name);
        let mut name = base.clone();
        let mut number = 1;
        while taken(&name) {
            number += 1;
            name = format!("{base}_{number}");
        }
        fields.push(Field::new(name, data_type.clone(), true));
    }
    Arc::new(Schema::new(fields))
}

/// The columns of a plan node as tasks pass them on.
pub(crate) fn schema_of(schema: &DFSchema) -> SchemaRef {
    arrow_schema(schema.fields().iter().map(|field| (field.name().as_str(), field.data_type())))
}

/// A typed expression over columns of this schema, ready to be computed.
pub(crate) fn physical(expr: &Expr, input: &DFSchema, time_ms: i64) -> Result<Arc<dyn PhysicalExpr>> {
    let expr = guard(at_time(expr.clone(), time_ms)?)?;
    Ok(create_physical_expr(&expr, input, &ExecutionProps::new(), &PhysicalPlanningContext::default())?)
}

/// A step whose expressions are logical: they can be made for the time of each epoch.
#[derive(Debug, Clone)]
pub(crate) enum PlannedStep {
    Filter { condition: Expr, input: DFSchemaRef },
    Project { exprs: Vec<Expr>, input: DFSchemaRef, schema: SchemaRef },
    Generate { generator: Expr, outer: bool, input: DFSchemaRef, schema: SchemaRef },
    Expand { projections: Vec<Vec<Expr>>, input: DFSchemaRef, schema: SchemaRef },
}

impl PlannedStep {
    /// A step for each part of a conjunction: a later one may fail on rows that an earlier one excludes.
    pub(crate) fn filters(condition: &Expr, input: &DFSchemaRef) -> Vec<Self> {
        let filter = |part: &Expr| PlannedStep::Filter { condition: part.clone(), input: Arc::clone(input) };
        split_conjunction(condition).into_iter().map(filter).collect()
    }

    pub(crate) fn project(exprs: Vec<Expr>, input: &DFSchemaRef, schema: SchemaRef) -> Self {
        PlannedStep::Project { exprs, input: Arc::clone(input), schema }
    }

    /// The step of a generator, whose columns are named as in `schema`.
    pub(crate) fn generate(node: &Generate, schema: SchemaRef) -> Self {
        PlannedStep::Generate {
            generator: node.generator.clone(),
            outer: node.outer,
            input: Arc::clone(node.input.schema()),
            schema,
        }
    }

    /// The step of grouping sets, whose columns are named as in `schema`.
    pub(crate) fn expand(node: &Expand, schema: SchemaRef) -> Self {
        PlannedStep::Expand { projections: node.projections.clone(), input: Arc::clone(node.input.schema()), schema }
    }

    /// The columns that it gives, if they are others than it is given.
    pub(crate) fn schema(&self) -> Option<&SchemaRef> {
        match self {
            PlannedStep::Filter { .. } => None,
            PlannedStep::Project { schema, .. } | PlannedStep::Generate { schema, .. } | PlannedStep::Expand { schema, .. } => {
                Some(schema)
            }
        }
    }

    /// Whether it depends on the epoch's time.
    pub(crate) fn depends_on_time(&self) -> bool {
        match self {
            PlannedStep::Filter { condition: expr, .. } | PlannedStep::Generate { generator: expr, .. } => depends_on_time(expr),
            PlannedStep::Project { exprs, .. } => exprs.iter().any(depends_on_time),
            PlannedStep::Expand { projections, .. } => projections.iter().flatten().any(depends_on_time),
        }
    }

    /// The step at this time, in milliseconds since 1970.
    pub(crate) fn build(&self, time_ms: i64) -> Result<Step> {
        let all = |exprs: &[Expr], input: &DFSchema| {
            exprs.iter().map(|expr| physical(expr, input, time_ms)).collect::<Result<Vec<_>>>()
        };
        Ok(match self {
            PlannedStep::Filter { condition, input } => Step::Filter(physical(condition, input, time_ms)?),
            PlannedStep::Project { exprs, input, schema } => {
                Step::Project { exprs: all(exprs, input)?, schema: Arc::clone(schema) }
            }
            PlannedStep::Generate { generator, outer, input, schema } => Step::Generate {
                generator: physical(generator, input, time_ms)?,
                outer: *outer,
                keep: (0..input.fields().len()).collect(),
                schema: Arc::clone(schema),
            },
            PlannedStep::Expand { projections, input, schema } => Step::Expand {
                projections: projections.iter().map(|exprs| all(exprs, input)).collect::<Result<_>>()?,
                schema: Arc::clone(schema),
            },
        })
    }
}
