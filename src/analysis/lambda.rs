//! Lambdas: their bodies become physical expressions over their parameters and the columns that they capture.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{Column, DFSchema};
use datafusion::error::DataFusionError;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::Expr as DfExpr;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::create_physical_expr;
use tidegate_functions::Call as TypedCall;
use tidegate_functions::higher_order::{HigherOrder, Lambda, LambdaResolver};

use super::relation::Attribute;
use super::resolve::{Resolver, Typed, describe};
use super::time::{BatchTime, batch_time, depends_on_time, with_time};
use crate::error::{Error, Result};
use crate::expr::{Call, Expr};

/// Resolves a call of a function that takes lambdas.
pub(super) fn resolve(resolver: &Resolver<'_>, function: HigherOrder, call: &Call) -> Result<Typed> {
    function.arity.check(&call.name, call.args.len())?;
    let is_value = |arg: &&Expr| !matches!(arg, Expr::Lambda { .. });
    let written: Vec<Expr> = call.args.iter().filter(is_value).cloned().collect();
    let mut values = resolver.resolve_all(&written)?;
    let described = describe(&values, &written);
    let typed_call = TypedCall { name: &call.name, args: &described, settings: &resolver.analyzer.context.settings };
    let mut lambdas = Lambdas { resolver, args: &call.args, captures: Vec::new(), identity: Vec::new() };
    let mut resolved = (function.resolve)(&typed_call, &mut lambdas)?;
    // What the lambdas capture comes after the function's own arguments.
    let Lambdas { captures, identity, .. } = lambdas;
    values.truncate(resolved.args.len());
    resolved.args.extend(captures.iter().map(|capture| capture.data_type.clone()));
    values.extend(captures);
    // The name tells functions apart that differ in their lambdas only.
    let name = format!("{}({})", call.name, identity.join("; "));
    resolver.apply(&name, resolved, values)
}

struct Lambdas<'a> {
    resolver: &'a Resolver<'a>,
    args: &'a [Expr],
    /// The columns that the bodies so far use from outside.
    captures: Vec<Typed>,
    identity: Vec<String>,
}

impl LambdaResolver for Lambdas<'_> {
    fn parameters(&self, argument: usize) -> Option<usize> {
        match self.args.get(argument)? {
            Expr::Lambda { params, .. } => Some(params.len()),
            _ => None,
        }
    }

    fn resolve(&mut self, argument: usize, parameters: &[DataType]) -> Result<Lambda, DataFusionError> {
        self.lambda(argument, parameters).map_err(|error| match error {
            Error::Batch(error) => DataFusionError::Shared(error),
            Error::Analysis { condition, message, .. } => tidegate_functions::spark_error(condition, message),
            other => DataFusionError::External(Box::new(other)),
        })
    }
}

/// The column of a lambda's rows that is the epoch's time.
const TIME: &str = "epoch time";

impl Lambdas<'_> {
    fn lambda(&mut self, argument: usize, parameters: &[DataType]) -> Result<Lambda> {
        let Some(Expr::Lambda { params, body }) = self.args.get(argument) else {
            return Err(Error::analysis(
                "INVALID_LAMBDA_FUNCTION_CALL",
                format!("Argument {} must be a lambda function.", argument + 1),
            ));
        };
        if params.len() != parameters.len() {
            return Err(Error::analysis(
                "INVALID_LAMBDA_FUNCTION_CALL.NUM_ARGS_MISMATCH",
                format!("A higher order function expects {} arguments, but got {}.", params.len(), parameters.len()),
            ));
        }
        let own: Vec<Attribute> =
            params.iter().zip(parameters).map(|(name, data_type)| Attribute::new(name, data_type.clone())).collect();
        // A parameter hides a column of the same name.
        let hidden = |column: &&Attribute| !own.iter().any(|param| param.name.eq_ignore_ascii_case(&column.name));
        let scope: Vec<Attribute> = own.iter().chain(self.resolver.columns.iter().filter(hidden)).cloned().collect();
        let outer_params = self.resolver.columns.iter().take(self.resolver.params).filter(hidden).count();
        let params = own.len() + outer_params;
        let body = Resolver { columns: &scope, params, ..self.resolver.clone() }.resolve(body)?;
        self.compile(&own, &scope, body)
    }

    fn compile(&mut self, own: &[Attribute], scope: &[Attribute], body: Typed) -> Result<Lambda> {
        let (returns, fallible) = (body.data_type.clone(), body.fallible);
        let mut body = body;
        let mut time = None;
        if depends_on_time(&body.expr) {
            // The body is compiled once, for all epochs: the time is given to it as a captured column is.
            body.expr = with_time(body.expr, &DfExpr::Column(Column::new_unqualified(TIME)))?;
            let typed = Typed { expr: batch_time(), data_type: BatchTime::data_type(), fallible: false, event_time: None };
            time = Some(self.capture(typed));
        }
        let mut captured = Vec::new();
        for column in body.expr.column_refs() {
            let is_param = own.iter().any(|param| param.id == column.name);
            let of_scope = || scope.iter().find(|attribute| attribute.id == column.name).cloned();
            // Above an aggregation, columns are its keys and calls.
            let of_aggregation = || {
                let aggregation = self.resolver.aggregation?.borrow();
                let mut columns = aggregation.keys.iter().chain(&aggregation.calls).map(|(_, attribute)| attribute);
                columns.find(|attribute| attribute.id == column.name).cloned()
            };
            if let (false, Some(attribute)) = (is_param, of_scope().or_else(of_aggregation)) {
                captured.push(self.capture(Typed::of(&attribute)));
            }
        }
        captured.extend(time);
        captured.sort_unstable();
        captured.dedup();
        let captured_fields = captured.iter().map(|index| {
            if time == Some(*index) {
                return Field::new(TIME, BatchTime::data_type(), true);
            }
            let DfExpr::Column(Column { name, .. }) = &self.captures[*index].expr else {
                return Field::new("", DataType::Null, true);
            };
            Field::new(name, self.captures[*index].data_type.clone(), true)
        });
        let fields: Vec<Field> =
            own.iter().map(|param| Field::new(&param.id, param.data_type.clone(), true)).chain(captured_fields).collect();
        let schema = Arc::new(Schema::new(fields));
        self.identity.push(normalised(&body.expr, &schema, own.len()));
        let df_schema = DFSchema::try_from(Arc::clone(&schema))?;
        let body = crate::planner::optimize::guard(body.expr)?;
        let physical = create_physical_expr(&body, &df_schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
        let compute = move |params: &[ArrayRef], captures: &[ArrayRef], rows: usize| {
            let mut columns: Vec<ArrayRef> = params.to_vec();
            columns.extend(captured.iter().filter_map(|index| captures.get(*index)).map(Arc::clone));
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            // Elements of maps' keys are never null, parameters may be: only the types must agree.
            let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?;
            physical.evaluate(&batch)?.into_array(rows)
        };
        Ok(Lambda { returns, body: Arc::new(compute), fallible })
    }

    /// The number of a captured column among the captures.
    fn capture(&mut self, column: Typed) -> usize {
        let known = self.captures.iter().position(|capture| capture.expr == column.expr);
        known.unwrap_or_else(|| {
            self.captures.push(column);
            self.captures.len() - 1
        })
    }
}

/// The body's text with parameters by number: the same lambda has the same text wherever it was written.
fn normalised(body: &DfExpr, schema: &Schema, params: usize) -> String {
    let mut text = body.to_string();
    for (index, field) in schema.fields().iter().take(params).enumerate() {
        text = text.replace(field.name().as_str(), &format!("${index}"));
    }
    text
}
