//! What operators share about DataFusion's physical expressions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatchOptions};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ColumnarValue;
use tidegate_runtime::state::relabel_columns;
use tidegate_runtime::{Error, Result};

/// An expression's error as the runtime's, which keeps it as its source.
pub(crate) fn failed(error: DataFusionError) -> Error {
    Error::user(error)
}

/// The expression's value for each row.
pub(crate) fn evaluate(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    expr.evaluate(batch).and_then(|value| value.into_array_of_size(batch.num_rows())).map_err(failed)
}

/// The values of several expressions.
pub(crate) fn evaluate_all<'a>(
    exprs: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>,
    batch: &RecordBatch,
) -> Result<Vec<ArrayRef>> {
    exprs.into_iter().map(|expr| evaluate(expr, batch)).collect()
}

/// The rows that a condition is true for.
#[derive(Debug)]
pub(crate) enum Chosen {
    /// Every row.
    All,
    /// No row.
    None,
    /// Those with true; without nulls.
    Some(BooleanArray),
}

/// The rows that a condition is true for, not those that it is false or null for.
pub(crate) fn choose(condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<Chosen> {
    let keep = match condition.evaluate(batch).map_err(failed)? {
        ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))) => return Ok(Chosen::All),
        ColumnarValue::Scalar(ScalarValue::Boolean(_) | ScalarValue::Null) => return Ok(Chosen::None),
        value => value.into_array_of_size(batch.num_rows()).map_err(failed)?,
    };
    let keep = keep.as_boolean_opt().ok_or_else(|| {
        Error::InvalidArgument(format!("the condition {condition} is of type {}, not a boolean", keep.data_type()))
    })?;
    let keep = if keep.null_count() > 0 { prep_null_mask_filter(keep) } else { keep.clone() };
    Ok(match keep.true_count() {
        0 => Chosen::None,
        count if count == batch.num_rows() => Chosen::All,
        _ => Chosen::Some(keep),
    })
}

/// A batch that knows its number of rows even without columns. Columns whose nested fields are named otherwise than the schema's
/// are relabelled.
///
/// # Errors
/// When a column holds other values than the schema says; the message names the `operator`.
pub(crate) fn batch_of(operator: &str, schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let columns = relabel_columns(schema, columns).map_err(|error| Error::InvalidArgument(format!("{operator}: {error}")))?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| Error::InvalidArgument(format!("{operator}: {error}")))
}
