//! The optimiser's rules, from an allow list: those that hold for streams as for batches.
//!
//! State is addressed by what a plan computes, so a plan must not depend on statistics, and rules that reorder stateful operators or
//! rest on DataFusion's arithmetic (`x * 0 = 0`) stay out.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Filter, LogicalPlan, Operator};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerContext, OptimizerRule};
use tidegate_functions::function::is_fallible;

use crate::analysis::time::is_mark;

/// Which columns a plan keeps on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Those that the result needs.
    Needed,
    /// All, for those who look at rows on the way.
    All,
}

/// The plan after all rules.
pub(crate) fn optimize(plan: LogicalPlan, columns: Columns) -> Result<LogicalPlan> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(PushDownConditions::default()),
    ];
    if columns == Columns::Needed {
        rules.push(Arc::new(OptimizeProjections::new()));
    }
    let config = OptimizerContext::new().with_skip_failing_rules(false).with_max_passes(4);
    Optimizer::with_rules(rules).optimize(plan, &config, |_, _| {})
}

/// [`PushDownFilter`], but for conditions that must stay where they are: DataFusion lets one without columns through everything, also
/// below an aggregation that gives a row for no rows, and one that is random sees other rows elsewhere.
#[derive(Debug, Default)]
struct PushDownConditions {
    rule: PushDownFilter,
}

impl OptimizerRule for PushDownConditions {
    fn name(&self) -> &str {
        "push_down_conditions"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = &plan else { return self.rule.rewrite(plan, config) };
        // The conditions of filters above each other, the lowest first, and what they are applied to.
        let (mut input, mut conditions) = (&filter.input, vec![filter.predicate.clone()]);
        while let LogicalPlan::Filter(below) = input.as_ref() {
            conditions.push(below.predicate.clone());
            input = &below.input;
        }
        let count = conditions.len();
        let parts = conditions.into_iter().rev().flat_map(split_conjunction_owned);
        let (stay, go): (Vec<Expr>, Vec<Expr>) =
            parts.partition(|part| part.is_volatile() || (part.column_refs().is_empty() && !part.contains_outer()));
        let Some(stay) = conjunction(stay) else { return self.rule.rewrite(plan, config) };
        let Some(go) = conjunction(go) else {
            if count == 1 {
                return Ok(Transformed::no(plan));
            }
            return Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(stay, Arc::clone(input))?)));
        };
        let below = self.rule.rewrite(LogicalPlan::Filter(Filter::try_new(go, Arc::clone(input))?), config)?.data;
        Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(stay, Arc::new(below))?)))
    }
}

/// Whether some rows make the expression fail.
pub(crate) fn can_fail(expr: &Expr) -> bool {
    let mut found = false;
    let walked = expr.apply(|part| {
        found = found || matches!(part, Expr::ScalarFunction(function) if is_fallible(&function.func) && !is_mark(part));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.is_ok() && found
}

/// `AND` and `OR` as Spark computes them: from left to right, and a part that can fail only for rows that the parts before it have not
/// decided. Until here they are plain, so that conjunctions can be taken apart and pushed down.
pub(crate) fn guard(expr: Expr) -> Result<Expr> {
    let Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) = &expr else {
        return Ok(expr.map_children(|child| guard(child).map(Transformed::yes))?.data);
    };
    let op = *op;
    let mut parts = Vec::new();
    flatten(expr, op, &mut parts);
    let parts = parts.into_iter().map(guard).collect::<Result<Vec<_>>>()?;
    let can_fail = parts.iter().skip(1).any(can_fail);
    let decided = Expr::Literal(ScalarValue::Boolean(Some(op == Operator::Or)), None);
    let branches: Vec<_> = parts
        .iter()
        .map(|part| {
            let decides = match op {
                Operator::And => Expr::IsFalse(Box::new(part.clone())),
                _ => Expr::IsTrue(Box::new(part.clone())),
            };
            (Box::new(decides), Box::new(decided.clone()))
        })
        .collect();
    let together = |left, right| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
    let all = parts.into_iter().reduce(together).unwrap_or(decided);
    Ok(if can_fail { Expr::Case(Case::new(None, branches, Some(Box::new(all)))) } else { all })
}

/// The parts of a chain of one operator.
fn flatten(expr: Expr, op: Operator, parts: &mut Vec<Expr>) {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: own, right }) if own == op => {
            flatten(*left, op, parts);
            flatten(*right, op, parts);
        }
        other => parts.push(other),
    }
}
