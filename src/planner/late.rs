//! The branch of a topology that rows take which come too late.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use tidegate_functions::{Arg, Call, Settings, scalar};

use super::steps::PlannedStep;
use crate::error::{Error, Result};

/// What a late row is written as: who drops it, the watermark that judges it, its event time, and the row as JSON.
pub(crate) fn late_schema() -> SchemaRef {
    let time = crate::analysis::time::BatchTime::data_type();
    Arc::new(Schema::new(vec![
        Field::new("operator", DataType::Utf8, true),
        Field::new("watermark", time.clone(), true),
        Field::new("event_time", time, true),
        Field::new("row", DataType::Utf8, true),
    ]))
}

/// The step from what [`LateRows`](tidegate_operators::LateRows) gives to [`late_schema`].
pub(super) fn as_json(given: &SchemaRef, settings: &Settings) -> Result<PlannedStep> {
    let input = Arc::new(DFSchema::try_from(Arc::clone(given))?);
    let column = |field: &Arc<Field>| Expr::Column(Column::new_unqualified(field.name()));
    let mut exprs: Vec<Expr> = given.fields().iter().map(column).collect();
    if let (Some(row), Some(field)) = (exprs.pop(), given.fields().last()) {
        let arg = Arg { data_type: field.data_type().clone(), literal: None, sql: field.name().clone() };
        let function = scalar("to_json").ok_or_else(|| Error::unsupported("the function to_json is missing"))?;
        let call = Call { name: "to_json", args: &[arg], settings };
        let json = (function.resolve)(&call)?.into_udf(&call);
        exprs.push(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(json), vec![row])));
    }
    Ok(PlannedStep::project(exprs, &input, late_schema()))
}
