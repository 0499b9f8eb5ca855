//! Plan nodes that DataFusion does not have.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Aggregate, Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};

/// A node of ours, if the plan node is one.
pub(crate) fn node<T: 'static>(plan: &LogicalPlan) -> Option<&T> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref::<T>(),
        _ => None,
    }
}

/// A plan of one of these nodes.
pub(crate) fn plan(node: impl UserDefinedLogicalNode + 'static) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(node) })
}

/// Some rows for each row: `explode` and its like. The generator gives an array of structs; each struct becomes a row, its fields
/// come after the input's columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Generate {
    pub(crate) input: LogicalPlan,
    pub(crate) generator: Expr,
    /// Whether a row without any generated row stays, with nulls.
    pub(crate) outer: bool,
    /// Identities and types of the generated columns.
    pub(crate) fields: Vec<(String, DataType)>,
    pub(crate) schema: DFSchemaRef,
}

impl Generate {
    pub(crate) fn new(input: LogicalPlan, generator: Expr, outer: bool, fields: Vec<(String, DataType)>) -> Result<Self> {
        let generated = fields.iter().map(|(name, data_type)| Field::new(name, data_type.clone(), true));
        let schema = schema_of(input.schema().fields().iter().map(|field| field.as_ref().clone()).chain(generated))?;
        Ok(Generate { input, generator, outer, fields, schema })
    }
}

/// Each row once for every projection: grouping sets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Expand {
    pub(crate) input: LogicalPlan,
    pub(crate) projections: Vec<Vec<Expr>>,
    /// Identities and types of the columns.
    pub(crate) fields: Vec<(String, DataType)>,
    pub(crate) schema: DFSchemaRef,
}

impl Expand {
    pub(crate) fn new(input: LogicalPlan, projections: Vec<Vec<Expr>>, fields: Vec<(String, DataType)>) -> Result<Self> {
        let schema = schema_of(fields.iter().map(|(name, data_type)| Field::new(name, data_type.clone(), true)))?;
        Ok(Expand { input, projections, fields, schema })
    }
}

/// Declares an event time column, and how long to wait for late rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Watermark {
    pub(crate) input: LogicalPlan,
    /// The identity of the column.
    pub(crate) column: String,
    /// In microseconds.
    pub(crate) delay: i64,
}

/// The first row of each key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Deduplicate {
    pub(crate) input: LogicalPlan,
    /// The identities of the key columns.
    pub(crate) keys: Vec<String>,
    /// The identity of the event time column, by which rows are late, and how long to wait for them in microseconds.
    pub(crate) event_time: Option<(String, i64)>,
    /// Set for `dropDuplicatesWithinWatermark`.
    pub(crate) within_watermark: bool,
}

/// An aggregation one of whose keys is the session that a row begins: sessions of the other keys that touch become one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionAggregate {
    /// The same as if sessions were keys like others.
    pub(crate) aggregate: Aggregate,
    /// The number of the key that is the session.
    pub(crate) session: usize,
}

fn schema_of(fields: impl Iterator<Item = Field>) -> Result<DFSchemaRef> {
    let schema = Schema::new(fields.collect::<Fields>());
    Ok(Arc::new(DFSchema::try_from(schema)?))
}

/// The only input of a node.
fn single(mut inputs: Vec<LogicalPlan>) -> Result<LogicalPlan> {
    match (inputs.pop(), inputs.is_empty()) {
        (Some(input), true) => Ok(input),
        _ => Err(DataFusionError::Internal("a node with one input was given another number of inputs".to_owned())),
    }
}

/// The numbers of the input's columns among these, and of those that are named.
fn needed(input: &LogicalPlan, output: &[usize], named: impl IntoIterator<Item = String>) -> Vec<usize> {
    let fields = input.schema().fields();
    let index = |name: String| fields.iter().position(|field| *field.name() == name);
    let mut needed: Vec<usize> =
        output.iter().copied().filter(|index| *index < fields.len()).chain(named.into_iter().filter_map(index)).collect();
    needed.sort_unstable();
    needed.dedup();
    needed
}

fn columns_of(exprs: &[Expr]) -> impl Iterator<Item = String> {
    let names: HashSet<String> = exprs.iter().flat_map(Expr::column_refs).map(|column| column.name.clone()).collect();
    names.into_iter()
}

macro_rules! unordered {
    ($($node:ty),*) => {$(
        impl PartialOrd for $node {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                (self == other).then_some(Ordering::Equal)
            }
        }
    )*};
}
unordered!(Generate, Expand, Watermark, Deduplicate, SessionAggregate);

impl UserDefinedLogicalNodeCore for Generate {
    fn name(&self) -> &str {
        "Generate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.generator.clone()]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.fields.iter().map(|(name, _)| name.clone()).collect()
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![needed(&self.input, output, columns_of(std::slice::from_ref(&self.generator)))])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Generate: {}{}", self.generator, if self.outer { ", outer" } else { "" })
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let generator = exprs.pop().unwrap_or_else(|| self.generator.clone());
        Generate::new(single(inputs)?, generator, self.outer, self.fields.clone())
    }
}

impl UserDefinedLogicalNodeCore for Expand {
    fn name(&self) -> &str {
        "Expand"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.projections.concat()
    }

    fn necessary_children_exprs(&self, _output: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![needed(&self.input, &[], columns_of(&self.projections.concat()))])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expand: {} projections", self.projections.len())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let projections = exprs.chunks(self.fields.len().max(1)).map(<[Expr]>::to_vec).collect();
        Expand::new(single(inputs)?, projections, self.fields.clone())
    }
}

impl UserDefinedLogicalNodeCore for Watermark {
    fn name(&self) -> &str {
        "EventTimeWatermark"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    // A condition on the event time is applied after the watermark has seen the row, any other before.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.column.clone()])
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![needed(&self.input, output, [self.column.clone()])])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventTimeWatermark: {}, delay {} µs", self.column, self.delay)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(Watermark { input: single(inputs)?, ..self.clone() })
    }
}

impl UserDefinedLogicalNodeCore for Deduplicate {
    fn name(&self) -> &str {
        "Deduplicate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    // No condition is applied before: one on the keys would go on below the watermark, which all rows move.

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        let event_time = self.event_time.iter().map(|(id, _)| id.clone());
        Some(vec![needed(&self.input, output, self.keys.iter().cloned().chain(event_time))])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deduplicate: {}", self.keys.join(", "))
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(Deduplicate { input: single(inputs)?, ..self.clone() })
    }
}

impl UserDefinedLogicalNodeCore for SessionAggregate {
    fn name(&self) -> &str {
        "SessionAggregate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.aggregate.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.aggregate.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.aggregate.group_expr.iter().chain(&self.aggregate.aggr_expr).cloned().collect()
    }

    fn necessary_children_exprs(&self, _output: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![needed(&self.aggregate.input, &[], columns_of(&UserDefinedLogicalNodeCore::expressions(self)))])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |exprs: &[Expr]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "SessionAggregate: {} by {}", list(&self.aggregate.aggr_expr), list(&self.aggregate.group_expr))
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let calls = exprs.split_off(self.aggregate.group_expr.len().min(exprs.len()));
        let aggregate = Aggregate::try_new(Arc::new(single(inputs)?), exprs, calls)?;
        Ok(SessionAggregate { aggregate, session: self.session })
    }
}
