//! The condition of a join, taken apart.

use datafusion::common::{DFSchema, NullEquality};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Join, Operator};

use crate::error::Result;

/// The equal keys of both sides, and what else a pair must fulfil.
pub(crate) struct JoinKeys {
    /// Pairs of expressions of the left and the right side.
    pub(crate) keys: Vec<(Expr, Expr)>,
    /// For each pair whether null equals null.
    pub(crate) null_equal: Vec<bool>,
    pub(crate) residual: Option<Expr>,
}

impl JoinKeys {
    pub(crate) fn of(join: &Join) -> Result<Self> {
        let mut keys = JoinKeys { keys: Vec::new(), null_equal: Vec::new(), residual: None };
        let null_equal = join.null_equality == NullEquality::NullEqualsNull;
        for (left, right) in &join.on {
            keys.add(left, right, null_equal);
        }
        let mut rest = Vec::new();
        for part in join.filter.iter().flat_map(split_conjunction) {
            match equality(part) {
                Some((a, b, null_equal)) if is_of(a, join.left.schema()) && is_of(b, join.right.schema()) => {
                    keys.add(a, b, null_equal)
                }
                Some((a, b, null_equal)) if is_of(b, join.left.schema()) && is_of(a, join.right.schema()) => {
                    keys.add(b, a, null_equal)
                }
                _ => rest.push(part.clone()),
            }
        }
        keys.residual = conjunction(rest);
        Ok(keys)
    }

    fn add(&mut self, left: &Expr, right: &Expr, null_equal: bool) {
        self.keys.push((left.clone(), right.clone()));
        self.null_equal.push(null_equal);
    }
}

/// The sides of an equality, and whether null equals null.
fn equality(expr: &Expr) -> Option<(&Expr, &Expr, bool)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => Some((left, right, false)),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::IsNotDistinctFrom, right }) => Some((left, right, true)),
        Expr::ScalarFunction(function) => match (function.func.name(), function.args.as_slice()) {
            ("=", [left, right]) => Some((left, right, false)),
            ("<=>", [left, right]) => Some((left, right, true)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether an expression is one of a side: it has columns, and all are of this side.
pub(crate) fn is_of(expr: &Expr, side: &DFSchema) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.into_iter().all(|column| side.has_column(column))
}
