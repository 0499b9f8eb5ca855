//! Columns that a table has but does not show, such as `_metadata` of files.
//!
//! `*` leaves them out, and who names one gets it: Spark's rule. It is looked for where the name is used, through filters, orders,
//! limits, joins and projections down to the table, and not through aggregations, set operations and deduplication, whose rows are
//! no longer those of the table.

use std::any::Any;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr as DfExpr, Join, JoinType, LogicalPlan, Projection, TableScan, TableScanBuilder};

use super::Analyzer;
use super::nodes::{Watermark, node};
use super::relation::{Attribute, Relation};
use super::resolve::Resolver;
use super::stream::StreamTable;
use crate::error::Result;
use crate::expr::Expr;
use crate::parquet_table::ParquetTable;
use crate::source_table::SourceTable;

/// How many of a table's columns are hidden: the last ones.
pub(crate) fn hidden_columns(table: &dyn TableProvider) -> usize {
    let table: &dyn Any = table;
    let stream = table.downcast_ref::<StreamTable>().map(|table| table.factory.hidden());
    let rows = || table.downcast_ref::<SourceTable>().map(SourceTable::hidden);
    let parquet = || table.downcast_ref::<ParquetTable>().map(ParquetTable::hidden);
    stream.or_else(rows).or_else(parquet).unwrap_or(0)
}

impl Analyzer<'_> {
    /// The input with the hidden columns that the expressions name, if it does not show others of these names.
    pub(super) fn with_hidden(&self, input: Relation, used: &[&Expr]) -> Result<Relation> {
        let wanted = self.unknown_names(&input.columns, used);
        revealed(input, &wanted)
    }

    /// The same for a condition on two inputs, which stand for one in it.
    pub(super) fn both_with_hidden(&self, left: Relation, right: Relation, used: &Expr) -> Result<(Relation, Relation)> {
        let both: Vec<Attribute> = left.columns.iter().chain(&right.columns).cloned().collect();
        let wanted = self.unknown_names(&both, &[used]);
        Ok((revealed(left, &wanted)?, revealed(right, &wanted)?))
    }

    /// The parts of all names that stand for no column.
    fn unknown_names(&self, columns: &[Attribute], used: &[&Expr]) -> Vec<String> {
        let parts = |name| match name {
            Expr::Column { parts, .. } => parts,
            Expr::Exact { name, .. } => vec![name],
            _ => Vec::new(),
        };
        self.unknown(columns, used).into_iter().flat_map(parts).collect()
    }

    /// The names that stand for no column.
    pub(super) fn unknown(&self, columns: &[Attribute], used: &[&Expr]) -> Vec<Expr> {
        let resolver = Resolver::new(self, columns);
        let names = std::cell::RefCell::new(Vec::new());
        let look = |part: &Expr| {
            let is_unknown = match part {
                Expr::Column { parts, .. } => resolver.is_unknown(parts),
                Expr::Exact { id, .. } => !columns.iter().any(|own| own.id == *id),
                _ => false,
            };
            if is_unknown {
                names.borrow_mut().push(part.clone());
            }
            false
        };
        used.iter().for_each(|expr| {
            expr.any(&look);
        });
        names.into_inner()
    }
}

/// The input with its hidden columns of these names.
fn revealed(input: Relation, wanted: &[String]) -> Result<Relation> {
    if wanted.is_empty() {
        return Ok(input);
    }
    let Some(Revealed { plan, hidden }) = reveal(&input.plan)? else { return Ok(input) };
    let mut columns = input.columns.clone();
    for Hidden { attribute, siblings } in hidden {
        let table = columns.iter().find(|column| siblings.contains(&column.id));
        let qualifier = table.map(|column| column.qualifier.clone()).unwrap_or_default();
        let attribute = Attribute { qualifier, ..attribute };
        // Of a join both sides may have one: which is meant is not to be guessed.
        let is_shown = columns.iter().any(|own| own.id == attribute.id)
            || input
                .columns
                .iter()
                .any(|own| own.name.eq_ignore_ascii_case(&attribute.name) && own.qualifier == attribute.qualifier);
        if !is_shown && wanted.iter().any(|name| name.eq_ignore_ascii_case(&attribute.name)) {
            columns.push(attribute);
        }
    }
    // A name that is unknown for another reason changes nothing.
    if columns.len() == input.columns.len() { Ok(input) } else { Ok(Relation { plan, columns }) }
}

/// A plan that gives hidden columns, too.
struct Revealed {
    plan: LogicalPlan,
    hidden: Vec<Hidden>,
}

struct Hidden {
    attribute: Attribute,
    /// The identities of the columns that are from the same table.
    siblings: Vec<String>,
}

/// The plan with its hidden columns, if it has some. The same column has the same identity each time.
fn reveal(plan: &LogicalPlan) -> Result<Option<Revealed>> {
    match plan {
        LogicalPlan::Projection(projection) => match projection.input.as_ref() {
            LogicalPlan::TableScan(scan) => of_table(projection, scan),
            input => reveal(input)?.map(|revealed| above(projection, revealed)).transpose(),
        },
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => through(plan),
        LogicalPlan::Extension(_) if node::<Watermark>(plan).is_some() => through(plan),
        LogicalPlan::Join(join) => of_join(plan, join),
        _ => Ok(None),
    }
}

/// A table and the projection right above it, which gives its columns their identities.
fn of_table(projection: &Projection, scan: &TableScan) -> Result<Option<Revealed>> {
    let table = source_as_provider(&scan.source)?;
    let schema = table.schema();
    let all = schema.fields().len();
    let numbers = all.saturating_sub(hidden_columns(table.as_ref()))..all;
    if numbers.is_empty() {
        return Ok(None);
    }
    let siblings = names_of(projection);
    let (mut exprs, mut hidden) = (projection.expr.clone(), Vec::new());
    let mut read: Vec<usize> = scan.projection.clone().unwrap_or_else(|| (0..all).collect());
    for number in numbers {
        let field = schema.field(number);
        if !read.contains(&number) {
            read.push(number);
        }
        let id = siblings.iter().find_map(|own| numbered_as(field.name(), own)).unwrap_or_else(|| super::unique_id(field.name()));
        if !siblings.contains(&id) {
            exprs.push(DfExpr::Column(Column::new(Some(scan.table_name.clone()), field.name())).alias(id.clone()));
        }
        let attribute = Attribute { id, ..Attribute::new(field.name(), field.data_type().clone()) };
        hidden.push(Hidden { attribute, siblings: siblings.clone() });
    }
    let scan = TableScanBuilder::new(scan.table_name.clone(), Arc::clone(&scan.source))
        .with_projection(Some(read))
        .with_filters(scan.filters.clone())
        .with_fetch(scan.fetch)
        .build()?;
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(LogicalPlan::TableScan(scan)))?);
    Ok(Some(Revealed { plan, hidden }))
}

/// A projection that passes on the hidden columns of its input; under a new identity if it gives new ones to the table's other columns.
fn above(projection: &Projection, revealed: Revealed) -> Result<Revealed> {
    let (mut exprs, given) = (projection.expr.clone(), names_of(projection));
    let mut hidden = Vec::new();
    for Hidden { attribute, siblings } in revealed.hidden {
        let passed = projection.expr.iter().zip(&given).filter_map(|(expr, name)| Some((name, source(expr)?)));
        let passed: Vec<(&String, String)> = passed.filter(|(_, from)| siblings.contains(from)).collect();
        let renewed = passed.iter().all(|(name, from)| *name != from);
        let id = passed.iter().find_map(|(name, _)| numbered_as(&attribute.name, name)).filter(|_| renewed);
        let id = id.unwrap_or_else(|| attribute.id.clone());
        if !given.contains(&id) {
            exprs.push(if id == attribute.id { attribute.expr() } else { attribute.expr().alias(id.clone()) });
        }
        let siblings = passed.into_iter().map(|(name, _)| name.clone()).collect();
        hidden.push(Hidden { attribute: Attribute { id, ..attribute }, siblings });
    }
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(revealed.plan))?);
    Ok(Revealed { plan, hidden })
}

/// A node with one input, whose columns it gives.
fn through(plan: &LogicalPlan) -> Result<Option<Revealed>> {
    let inputs = plan.inputs();
    let [input] = inputs.as_slice() else { return Ok(None) };
    let Some(Revealed { plan: input, hidden }) = reveal(input)? else { return Ok(None) };
    let plan = plan.with_new_exprs(plan.expressions(), vec![input])?;
    Ok(Some(Revealed { plan, hidden }))
}

fn of_join(plan: &LogicalPlan, join: &Join) -> Result<Option<Revealed>> {
    let left = reveal(&join.left)?;
    let right = match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti => None,
        _ => reveal(&join.right)?,
    };
    // Both sides may be of one table.
    let ids: Vec<&String> = left.iter().flat_map(|side| &side.hidden).map(|hidden| &hidden.attribute.id).collect();
    let right = right.filter(|side| !side.hidden.iter().any(|hidden| ids.contains(&&hidden.attribute.id)));
    if left.is_none() && right.is_none() {
        return Ok(None);
    }
    let side = |revealed: Option<Revealed>, plan: &LogicalPlan| match revealed {
        Some(Revealed { plan, hidden }) => (plan, hidden),
        None => (plan.clone(), Vec::new()),
    };
    let ((left, hidden), (right, more)) = (side(left, &join.left), side(right, &join.right));
    let plan = plan.with_new_exprs(plan.expressions(), vec![left, right])?;
    Ok(Some(Revealed { plan, hidden: hidden.into_iter().chain(more).collect() }))
}

/// The column that an expression passes on.
fn source(expr: &DfExpr) -> Option<String> {
    match expr {
        DfExpr::Column(column) => Some(column.name.clone()),
        DfExpr::Alias(alias) => source(&alias.expr),
        _ => None,
    }
}

fn names_of(projection: &Projection) -> Vec<String> {
    projection.schema.fields().iter().map(|field| field.name().clone()).collect()
}

/// The identity of a column that belongs to one with this identity.
fn numbered_as(name: &str, id: &str) -> Option<String> {
    id.rsplit_once('#').map(|(_, number)| format!("{name}#{number}"))
}
