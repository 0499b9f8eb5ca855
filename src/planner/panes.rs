//! Windows that overlap, by panes.
//!
//! A row of a sliding window belongs to `length / slide` windows. All rows between two neighbouring window boundaries (a pane: the
//! greatest common divisor of length and slide long) belong to the same ones, so that they are aggregated once, by pane, and only
//! the panes' states are given to each of their windows: rows x windows becomes rows + panes x windows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Fields, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan};
use tidegate_functions::time_window::WindowSpec;
use tidegate_functions::{Arg, Call, Settings, depends_on_order};

use super::steps::{PlannedStep, arrow_schema};
use crate::analysis::nodes::{self, Generate};
use crate::analysis::time::depends_on_time;
use crate::error::Result;

/// An aggregation by sliding windows, over the rows as they are before each is given to its windows.
pub(super) struct Panes {
    /// What gives these rows.
    pub(super) input: LogicalPlan,
    pub(super) keys: Vec<Key>,
    /// The aggregates, over the input's columns.
    pub(super) aggregates: Vec<Expr>,
    window: WindowSpec,
    /// The time that the windows are of, over the input's columns.
    time: Expr,
    time_type: DataType,
    /// `explode(window(time))`.
    generator: Expr,
    /// The identity of the window's column.
    window_id: String,
}

/// One key of the aggregation.
pub(super) enum Key {
    /// Of the input's columns.
    Rows(Expr),
    /// Of the window only.
    Window(Expr),
}

/// What columns there are on the way from panes to windows.
pub(super) struct Layout {
    /// The keys of the aggregation by panes: those of the rows, then the pane.
    pub(super) pane_keys: Vec<Expr>,
    pub(super) pane_fields: Fields,
    /// Gives a pane's windows, over these keys.
    generator: Expr,
    /// The keys of the aggregation by windows, over the pane's keys and the column with the identity `window_id`.
    keys: Vec<Expr>,
    window_id: String,
    window_type: DataType,
}

impl Panes {
    /// Takes an aggregation apart; `None` if it is not by sliding windows, or if what it computes is not that of its panes: if an
    /// aggregate sees the window itself or depends on the order of the rows, or if an expression is not a function of the row.
    pub(super) fn of(aggregate: &Aggregate) -> Result<Option<Panes>> {
        let Some((generate, renamed)) = generator_below(&aggregate.input) else { return Ok(None) };
        let ([(window_id, _)], Some((window, time))) = (generate.fields.as_slice(), sliding(&generate.generator)) else {
            return Ok(None);
        };
        let mut exprs = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
        if generate.outer || exprs.any(|expr| expr.is_volatile() || depends_on_time(expr)) || depends_on_time(&generate.generator)
        {
            return Ok(None);
        }
        let mut keys = Vec::with_capacity(aggregate.group_expr.len());
        for expr in &aggregate.group_expr {
            let expr = inlined(expr, &renamed)?;
            let columns = expr.column_refs();
            keys.push(match (columns.iter().any(|column| column.name == *window_id), columns.len()) {
                (false, _) => Key::Rows(expr),
                (true, 1) => Key::Window(expr),
                (true, _) => return Ok(None),
            });
        }
        let aggregates = aggregate.aggr_expr.iter().map(|expr| inlined(expr, &renamed)).collect::<Result<Vec<_>>>()?;
        let sees_window = |expr: &Expr| expr.column_refs().iter().any(|column| column.name == *window_id);
        if aggregates.iter().any(|expr| sees_window(expr) || is_ordered(expr))
            || !keys.iter().any(|key| matches!(key, Key::Window(_)))
        {
            return Ok(None);
        }
        Ok(Some(Panes {
            input: generate.input.clone(),
            keys,
            aggregates,
            window,
            time_type: time.get_type(generate.input.schema())?,
            time: time.clone(),
            generator: generate.generator.clone(),
            window_id: window_id.clone(),
        }))
    }

    /// The columns on the way to a result with these.
    pub(super) fn layout(&self, output: &SchemaRef) -> Result<Layout> {
        let rows = |(key, field): (&Key, &Arc<arrow::datatypes::Field>)| match key {
            Key::Rows(expr) => Some((expr.clone(), field.name().clone(), field.data_type().clone())),
            Key::Window(_) => None,
        };
        let mut of_pane: Vec<(Expr, String, DataType)> = self.keys.iter().zip(output.fields()).filter_map(rows).collect();
        let arg = Arg { data_type: self.time_type.clone(), literal: None, sql: self.time.to_string() };
        let call = Call { name: "window_pane", args: &[arg], settings: &Settings::default() };
        let pane = self.window.pane(&self.time_type).into_udf(&call);
        let pane = Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(pane), vec![self.time.clone()]));
        of_pane.push((pane, "pane".to_owned(), self.time_type.clone()));
        let pane_fields = arrow_schema(of_pane.iter().map(|(_, name, data_type)| (name.as_str(), data_type))).fields().clone();
        let column = |number: usize| Expr::Column(Column::new_unqualified(pane_fields[number].name()));
        let pane_column = column(of_pane.len() - 1);
        let windows_of_pane = |expr: Expr| match expr {
            Expr::ScalarFunction(mut function) if WindowSpec::of_name(function.func.name()).is_some() => {
                function.args = vec![pane_column.clone()];
                Ok(Transformed::yes(Expr::ScalarFunction(function)))
            }
            other => Ok(Transformed::no(other)),
        };
        let generator = self.generator.clone().transform_up(windows_of_pane)?.data;
        let mut next = 0;
        let keys = self.keys.iter().map(|key| match key {
            Key::Rows(_) => {
                next += 1;
                column(next - 1)
            }
            Key::Window(expr) => expr.clone(),
        });
        let keys = keys.collect();
        Ok(Layout {
            keys,
            pane_keys: of_pane.into_iter().map(|(expr, _, _)| expr).collect(),
            pane_fields,
            generator,
            window_id: self.window_id.clone(),
            window_type: tidegate_functions::time_window::window_type(&self.time_type),
        })
    }
}

impl Layout {
    /// The steps that give the states of each pane, with the columns `given`, to its windows, with the columns `wanted`.
    pub(super) fn spread(&self, given: &SchemaRef, wanted: &SchemaRef) -> Result<[PlannedStep; 2]> {
        let input = Arc::new(DFSchema::try_from(Arc::clone(given))?);
        let columns = given.fields().iter().map(|field| (field.name().as_str(), field.data_type()));
        let generated = arrow_schema(columns.chain([(self.window_id.as_str(), &self.window_type)]));
        let with_window = Arc::new(DFSchema::try_from(Arc::clone(&generated))?);
        let column = |name: &str| Expr::Column(Column::new_unqualified(name));
        // By position, as names may be made different once more.
        let ids = given.fields().iter().map(|field| field.name()).chain([&self.window_id]);
        let columns: Vec<Expr> = generated.fields().iter().map(|field| column(field.name())).collect();
        let renamed: HashMap<String, Expr> = ids.cloned().zip(columns.iter().cloned()).collect();
        let keys = self.keys.iter().map(|key| inlined(key, &renamed));
        let states = given.fields().len() - self.pane_fields.len();
        let states = columns.into_iter().skip(self.pane_fields.len()).take(states).map(Ok);
        let exprs = keys.chain(states).collect::<Result<Vec<_>>>()?;
        Ok([
            PlannedStep::Generate { generator: self.generator.clone(), outer: false, input, schema: generated },
            PlannedStep::project(exprs, &with_window, Arc::clone(wanted)),
        ])
    }
}

/// The generator under projections that only choose and rename, and which of its columns their names stand for.
fn generator_below(plan: &LogicalPlan) -> Option<(&Generate, HashMap<String, Expr>)> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let (generate, below) = generator_below(&projection.input)?;
            let of = |(expr, field): (&Expr, &Arc<arrow::datatypes::Field>)| match expr.clone().unalias() {
                Expr::Column(column) => {
                    let stands_for = below.get(&column.name).cloned().unwrap_or(Expr::Column(column));
                    Some((field.name().clone(), stands_for))
                }
                _ => None,
            };
            let renamed = projection.expr.iter().zip(projection.schema.fields()).map(of).collect::<Option<_>>()?;
            Some((generate, renamed))
        }
        LogicalPlan::SubqueryAlias(alias) => generator_below(&alias.input),
        other => nodes::node::<Generate>(other).map(|generate| (generate, HashMap::new())),
    }
}

/// The windows of `explode(window(time))`, and the time.
fn sliding(generator: &Expr) -> Option<(WindowSpec, &Expr)> {
    let Expr::ScalarFunction(explode) = generator else { return None };
    let ("explode", [Expr::ScalarFunction(windows)]) = (explode.func.name(), explode.args.as_slice()) else { return None };
    let [time] = windows.args.as_slice() else { return None };
    WindowSpec::of_name(windows.func.name()).map(|window| (window, time))
}

/// The expression over what its columns stand for.
fn inlined(expr: &Expr, renamed: &HashMap<String, Expr>) -> Result<Expr> {
    let of = |part: Expr| match &part {
        Expr::Column(column) => {
            Ok(renamed.get(&column.name).map_or(Transformed::no(part.clone()), |own| Transformed::yes(own.clone())))
        }
        _ => Ok(Transformed::no(part)),
    };
    Ok(expr.clone().transform_up(of)?.data)
}

/// Whether an aggregate's result depends on the order of the rows.
fn is_ordered(expr: &Expr) -> bool {
    let mut found = false;
    let walked = expr.apply(|part| {
        if let Expr::AggregateFunction(function) = part {
            found |= depends_on_order(function.func.name()) || !function.params.order_by.is_empty();
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found || walked.is_err()
}
