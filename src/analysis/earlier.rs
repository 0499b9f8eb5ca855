//! Columns that a frame had and does not have any more: its orders and conditions may name them, as in Spark.
//!
//! `df.select(["a"]).sort(["b"])` sorts by what `b` was before. It is looked for in the frames that this one was made of, the newest first,
//! as long as these have the same rows: not in those before an aggregation, a deduplication, a join, or an alias.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlan, Projection};

use super::Analyzer;
use super::nodes::{Watermark, node};
use super::relation::{Attribute, Relation};
use super::resolve::found;
use crate::error::Result;
use crate::expr::Expr;

/// The columns of the frames before one.
#[derive(Debug)]
pub(crate) struct Earlier {
    pub(crate) columns: Vec<Attribute>,
    pub(crate) before: Option<Arc<Earlier>>,
}

impl Earlier {
    /// The column that a name stood for last.
    fn column(&self, name: &Expr) -> Result<Option<&Attribute>> {
        let mut level = Some(self);
        while let Some(Earlier { columns, before }) = level {
            let column = match name {
                Expr::Exact { id, .. } => columns.iter().find(|column| column.id == *id),
                Expr::Column { parts, .. } => found(parts, columns)?.map(|(column, _)| column),
                _ => None,
            };
            if column.is_some() {
                return Ok(column);
            }
            level = before.as_deref();
        }
        Ok(None)
    }
}

impl Analyzer<'_> {
    /// What `change` makes of the input, in which the expressions may name earlier columns: without these, if it has the input's otherwise.
    pub(crate) fn with_earlier(
        &self,
        input: Relation,
        earlier: Option<&Earlier>,
        used: &[&Expr],
        change: impl FnOnce(Relation) -> Result<Relation>,
    ) -> Result<Relation> {
        let mut columns: Vec<Attribute> = Vec::new();
        for name in self.unknown(&input.columns, used) {
            let column = earlier.map(|earlier| earlier.column(&name)).transpose()?.flatten();
            columns.extend(column.filter(|column| !columns.iter().any(|own| own.id == column.id)).cloned());
        }
        let ids: Vec<&String> = columns.iter().map(|column| &column.id).collect();
        match passing_on(&input.plan, &ids)? {
            Some(plan) if !columns.is_empty() => {
                let shown = input.columns.clone();
                let columns = input.columns.into_iter().chain(columns).collect();
                change(Relation { plan, columns })?.keep(shown)
            }
            _ => change(input),
        }
    }
}

/// The plan with columns of these identities in its output, if they reach it.
fn passing_on(plan: &LogicalPlan, ids: &[&String]) -> Result<Option<LogicalPlan>> {
    let has = |id: &&&String| plan.schema().fields().iter().any(|field| field.name() == **id);
    let missing: Vec<&&String> = ids.iter().filter(|id| !has(id)).collect();
    if missing.is_empty() {
        return Ok(Some(plan.clone()));
    }
    match plan {
        LogicalPlan::Projection(projection) => {
            let Some(input) = passing_on(&projection.input, ids)? else { return Ok(None) };
            let added = missing.into_iter().map(|id| DfExpr::Column(Column::new_unqualified(id.as_str())));
            let exprs = projection.expr.iter().cloned().chain(added).collect();
            Ok(Some(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?)))
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => through(plan, ids),
        LogicalPlan::Extension(_) if node::<Watermark>(plan).is_some() => through(plan, ids),
        _ => Ok(None),
    }
}

/// The same of a node that gives the columns of its one input.
fn through(plan: &LogicalPlan, ids: &[&String]) -> Result<Option<LogicalPlan>> {
    let inputs = plan.inputs();
    let [input] = inputs.as_slice() else { return Ok(None) };
    let Some(input) = passing_on(input, ids)? else { return Ok(None) };
    Ok(Some(plan.with_new_exprs(plan.expressions(), vec![input])?))
}
