//! Expressions over the columns of a relation.
//!
//! | file | what |
//! | --- | --- |
//! | `names.rs` | names to columns and their fields |
//! | `calls.rs` | calls of functions, with the casts that Spark inserts |
//! | `aggregates.rs` | calls of aggregate functions |
//! | `forms.rs` | what is written like a function and is none |

mod aggregates;
mod calls;
mod forms;
mod names;

use std::cell::RefCell;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr as DfExpr, Operator};
use tidegate_functions::aggregate;
use tidegate_functions::cast::{CastMode, cast};
use tidegate_functions::coercion::can_cast_implicitly;
use tidegate_functions::types::sql_name;

pub(crate) use calls::{describe, unresolved_routine};
pub(crate) use forms::FORMS;
pub(super) use names::found;

use super::Analyzer;
use super::aggregation::Aggregation;
use super::relation::{Attribute, EventTime};
use super::time::{BatchTime, batch_time};
use crate::error::{Error, Result};
use crate::expr::{Expr, Position};

/// A resolved expression.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) expr: DfExpr,
    pub(crate) data_type: DataType,
    /// Whether some rows make it fail: then it must not be computed for rows that an earlier condition excludes.
    pub(crate) fallible: bool,
    /// Set for an event time column and what still is one after renaming.
    pub(crate) event_time: Option<EventTime>,
}

impl Typed {
    pub(crate) fn new(expr: DfExpr, data_type: DataType) -> Self {
        Typed { expr, data_type, fallible: false, event_time: None }
    }

    pub(crate) fn literal(value: ScalarValue) -> Self {
        let data_type = value.data_type();
        Typed::new(DfExpr::Literal(value, None), data_type)
    }

    pub(crate) fn of(attribute: &Attribute) -> Self {
        let (expr, data_type) = (attribute.expr(), attribute.data_type.clone());
        Typed { expr, data_type, fallible: false, event_time: attribute.event_time }
    }

    fn fallible(self, fallible: bool) -> Self {
        Typed { fallible, ..self }
    }

    pub(crate) fn as_literal(&self) -> Option<&ScalarValue> {
        match &self.expr {
            DfExpr::Literal(value, _) => Some(value),
            _ => None,
        }
    }
}

/// Resolves expressions over the columns of one relation.
#[derive(Clone)]
pub(crate) struct Resolver<'a> {
    pub(crate) analyzer: &'a Analyzer<'a>,
    pub(crate) columns: &'a [Attribute],
    /// Expressions that are columns already: windows, generators.
    pub(crate) replaced: &'a [(Expr, Attribute)],
    /// Aliases of the select list so far, which later items may use (lateral column aliases).
    pub(crate) lateral: Vec<(String, Expr)>,
    /// How many of the columns, at the beginning, are parameters of lambdas.
    pub(crate) params: usize,
    /// Set above an aggregation: what is resolved then are its keys and calls.
    pub(crate) aggregation: Option<&'a RefCell<Aggregation>>,
    /// Set where window functions may stand; collects them.
    pub(crate) windows: Option<&'a RefCell<Vec<(DfExpr, Attribute)>>>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(analyzer: &'a Analyzer<'a>, columns: &'a [Attribute]) -> Self {
        Resolver { analyzer, columns, replaced: &[], lateral: Vec::new(), params: 0, aggregation: None, windows: None }
    }

    /// Resolves an expression; an error says where in the text it is.
    pub(crate) fn resolve(&self, expr: &Expr) -> Result<Typed> {
        self.resolve_inner(expr).map_err(|error| self.analyzer.locate(error, expr.position()))
    }

    /// Resolves a condition.
    pub(crate) fn condition(&self, expr: &Expr, clause: &str) -> Result<Typed> {
        let condition = self.resolve(expr)?;
        // Only operators cast what they are given.
        let (name, casts) = match clause {
            "WHERE" | "HAVING" => ("DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN", false),
            "JOIN" => ("JOIN_CONDITION_IS_NOT_BOOLEAN_TYPE", false),
            "FILTER" => ("INVALID_AGGREGATE_FILTER.NOT_BOOLEAN", false),
            "CASE" => ("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", false),
            _ => ("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", true),
        };
        let fits = match (&condition.data_type, casts) {
            (DataType::Boolean, _) => true,
            (other, true) => can_cast_implicitly(other, &DataType::Boolean),
            (_, false) => false,
        };
        if !fits {
            let message = format!(
                "The condition in {clause} \"{expr}\" has the type \"{}\", it must be \"BOOLEAN\".",
                sql_name(&condition.data_type)
            );
            return Err(self.analyzer.locate(Error::analysis(name, message), expr.position()));
        }
        self.cast_to(condition, &DataType::Boolean)
    }

    fn resolve_inner(&self, expr: &Expr) -> Result<Typed> {
        if let Some((_, attribute)) = self.replaced.iter().find(|(own, _)| own == expr)
            && self.aggregation.is_none()
        {
            return Ok(Typed::of(attribute));
        }
        if let Some(key) = self.grouping_key(expr) {
            return Ok(key);
        }
        match expr {
            Expr::Column { parts, at } => self.column(parts, *at),
            Expr::Exact { id, name } => match self.columns.iter().find(|column| column.id == *id) {
                Some(column) if self.aggregation.is_none() => Ok(Typed::of(column)),
                Some(_) => Err(self.missing_aggregation(std::slice::from_ref(name), Position::default())),
                None => Err(self.unresolved(std::slice::from_ref(name))),
            },
            Expr::Literal(value) => Ok(Typed::literal(value.clone())),
            Expr::Alias { expr, .. } => self.resolve(expr),
            Expr::Cast { expr, to, is_try } => {
                let mode = if *is_try { CastMode::Try } else { CastMode::Ansi };
                self.cast(self.resolve(expr)?, to, mode)
            }
            Expr::Case { operand, branches, otherwise } => self.case(operand.as_deref(), branches, otherwise.as_deref()),
            Expr::Call(call) => self.call(call, expr),
            Expr::Subquery { kind, query } => self.analyzer.subquery(self, kind, query),
            Expr::Lambda { .. } => Err(Error::analysis(
                "INVALID_LAMBDA_FUNCTION_CALL.NON_HIGHER_ORDER_FUNCTION",
                format!("A lambda function should only be used in a higher order function, it is used as \"{expr}\"."),
            )),
            Expr::Star { .. } => Err(Error::analysis("INVALID_USAGE_OF_STAR_OR_REGEX", "Invalid usage of '*' in an expression.")),
        }
    }

    /// The key of the aggregation that the expression is, if it is one.
    pub(super) fn grouping_key(&self, expr: &Expr) -> Option<Typed> {
        let aggregation = self.aggregation?;
        if matches!(expr, Expr::Literal(_)) || expr.any(&|part| self.is_aggregate(part)) {
            return None;
        }
        let below = Resolver { aggregation: None, windows: None, ..self.clone() };
        let resolved = below.resolve_inner(expr).ok()?;
        aggregation.borrow().key(&resolved.expr).map(Typed::of)
    }

    /// Whether the expression itself is a call of an aggregate function (not of a window function).
    pub(crate) fn is_aggregate(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Call(call) => {
                call.over.is_none()
                    && (aggregate(&call.name).is_some() || matches!(call.name.as_str(), "grouping" | "grouping_id"))
            }
            _ => false,
        }
    }

    /// A cast that the user wrote.
    pub(crate) fn cast(&self, value: Typed, to: &DataType, mode: CastMode) -> Result<Typed> {
        if &value.data_type == to {
            return Ok(value);
        }
        let resolved = cast(&value.data_type, to, mode, &self.analyzer.context.settings)?;
        let name = if mode == CastMode::Try { "try_cast" } else { "cast" };
        self.apply(name, resolved, vec![value])
    }

    /// A cast that Spark inserts.
    pub(crate) fn cast_to(&self, value: Typed, to: &DataType) -> Result<Typed> {
        match value.as_literal() {
            Some(null) if null.is_null() && &value.data_type != to => Ok(Typed::literal(ScalarValue::try_from(to)?)),
            _ => self.cast(value, to, CastMode::Ansi),
        }
    }

    fn cast_all(&self, values: Vec<Typed>, to: &[DataType]) -> Result<Vec<Typed>> {
        values.into_iter().zip(to).map(|(value, to)| self.cast_to(value, to)).collect()
    }

    pub(crate) fn resolve_all(&self, args: &[Expr]) -> Result<Vec<Typed>> {
        args.iter().map(|arg| self.resolve(arg)).collect()
    }
}

/// `left AND right` or `left OR right`.
pub(crate) fn logical(op: Operator, left: Typed, right: Typed) -> Typed {
    let fallible = left.fallible || right.fallible;
    Typed::new(binary(left.expr, op, right.expr), DataType::Boolean).fallible(fallible)
}

pub(crate) fn binary(left: DfExpr, op: Operator, right: DfExpr) -> DfExpr {
    DfExpr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

impl Analyzer<'_> {
    /// The time of the epoch, or of the batch query.
    pub(crate) fn now(&self) -> Typed {
        Typed::new(batch_time(), BatchTime::data_type())
    }
}
