//! The optimiser's rules, from an allow list: those that hold for streams as for batches.
//!
//! State is addressed by what a plan computes, so a plan must not depend on statistics, and rules that reorder stateful operators or
//! rest on DataFusion's arithmetic (`x * 0 = 0`) stay out.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, LogicalPlan, Operator};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};
use tidegate_functions::function::is_fallible;

/// The plan after all rules.
pub(crate) fn optimize(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(OptimizeProjections::new()),
    ];
    let config = OptimizerContext::new().with_skip_failing_rules(false).with_max_passes(4);
    Optimizer::with_rules(rules).optimize(plan, &config, |_, _| {})
}

/// Whether some rows make the expression fail.
pub(crate) fn can_fail(expr: &Expr) -> bool {
    let mut found = false;
    let walked = expr.apply(|part| {
        found = found || matches!(part, Expr::ScalarFunction(function) if is_fallible(&function.func));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.is_ok() && found
}

/// Conjunctions whose right side can fail are computed from left to right: filters that were apart have become one.
pub(crate) fn guard(expr: Expr) -> Result<Expr> {
    let guarded = expr.transform_up(|part| match part {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) if can_fail(&right) => {
            let both = Expr::BinaryExpr(BinaryExpr { left: left.clone(), op: Operator::And, right });
            let no = Expr::Literal(ScalarValue::Boolean(Some(false)), None);
            let branch = (Box::new(Expr::IsFalse(left)), Box::new(no));
            Ok(Transformed::yes(Expr::Case(Case::new(None, vec![branch], Some(Box::new(both))))))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(guarded.data)
}
