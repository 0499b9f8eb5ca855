//! `current_timestamp()`: one value for a whole epoch, or for a whole batch query.
//!
//! The analyser leaves a mark in the plan, and whoever runs the plan puts the value in its place: a streaming query the logged
//! trigger time of each epoch, so that a replay computes the same; a batch query the time at which it starts.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use tidegate_functions::types::timestamp;

/// The mark.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct BatchTime {
    signature: Signature,
}

impl BatchTime {
    pub(crate) fn data_type() -> DataType {
        timestamp()
    }
}

impl ScalarUDFImpl for BatchTime {
    fn name(&self) -> &str {
        "current_timestamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(timestamp())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal("the time of the epoch was not put in its place".to_owned()))
    }
}

/// The mark as an expression.
pub(crate) fn batch_time() -> Expr {
    let udf = ScalarUDF::new_from_impl(BatchTime { signature: Signature::nullary(Volatility::Stable) });
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(udf), Vec::new()))
}

/// Whether the expression is the mark.
pub(crate) fn is_mark(expr: &Expr) -> bool {
    let Expr::ScalarFunction(function) = expr else { return false };
    let implementation: &dyn std::any::Any = function.func.inner().as_ref();
    implementation.is::<BatchTime>()
}

/// Whether the expression depends on the epoch's time.
pub(crate) fn depends_on_time(expr: &Expr) -> bool {
    let mut found = false;
    let walked = expr.apply(|part| {
        found = found || is_mark(part);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.is_ok() && found
}

/// The expression at this time, in milliseconds since 1970.
pub(crate) fn at_time(expr: Expr, time_ms: i64) -> Result<Expr> {
    let value = ScalarValue::TimestampMicrosecond(Some(time_ms.saturating_mul(1_000)), Some("UTC".into()));
    with_time(expr, &Expr::Literal(value, None))
}

/// The expression with the time taken from another one.
pub(crate) fn with_time(expr: Expr, time: &Expr) -> Result<Expr> {
    let replaced = expr.transform(|part| match is_mark(&part) {
        true => Ok(Transformed::yes(time.clone())),
        false => Ok(Transformed::no(part)),
    })?;
    Ok(replaced.data)
}
