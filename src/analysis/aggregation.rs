//! What an aggregation computes: its keys, and the aggregate calls that the expressions above it need.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr as DfExpr;

use super::relation::Attribute;

/// The keys and calls of one aggregation, while the expressions above it are resolved.
#[derive(Debug, Default)]
pub(crate) struct Aggregation {
    /// Each key as it was resolved below the aggregation, and the column that it is above.
    pub(crate) keys: Vec<(DfExpr, Attribute)>,
    /// Each call, and the column that it is above.
    pub(crate) calls: Vec<(DfExpr, Attribute)>,
    /// With grouping sets: the column of `grouping_id()`. It is the last key.
    pub(crate) grouping_id: Option<Attribute>,
}

impl Aggregation {
    /// The column of the key with this expression.
    pub(crate) fn key(&self, expr: &DfExpr) -> Option<&Attribute> {
        self.key_index(expr).map(|index| &self.keys[index].1)
    }

    pub(crate) fn key_index(&self, expr: &DfExpr) -> Option<usize> {
        self.keys.iter().position(|(own, _)| own == expr)
    }

    /// An expression over the input as one over the keys: a field of a key, for instance. `None` if it needs another column.
    pub(crate) fn above(&self, expr: &DfExpr) -> Option<DfExpr> {
        let replaced = expr.clone().transform_down(|part| match self.key(&part) {
            Some(key) => Ok(Transformed::new(key.expr(), true, TreeNodeRecursion::Jump)),
            None => Ok(Transformed::no(part)),
        });
        let replaced = replaced.ok()?.data;
        let known = |name: &String| self.keys.iter().any(|(_, attribute)| attribute.id == *name);
        replaced.column_refs().into_iter().all(|column| known(&column.name)).then_some(replaced)
    }

    /// The column of this call; the same call is computed once.
    pub(crate) fn call(&mut self, call: DfExpr, attribute: impl FnOnce() -> Attribute) -> Attribute {
        if let Some((_, attribute)) = self.calls.iter().find(|(own, _)| *own == call) {
            return attribute.clone();
        }
        let attribute = attribute();
        self.calls.push((call, attribute.clone()));
        attribute
    }
}
