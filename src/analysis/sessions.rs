//! Session windows of a static table: the rows in the order of time, and a new session where none before reaches.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, Sort, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Case, Expr as DfExpr, LogicalPlan, Operator, Projection, Window, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowFunctionDefinition, binary_expr,
};

use super::Analyzer;
use super::relation::Attribute;
use super::resolve::{Resolver, Typed};
use crate::error::Result;

impl Analyzer<'_> {
    /// What a [`SessionAggregate`](super::nodes::SessionAggregate) means, in nodes that DataFusion has. `aggregate` takes the row's own
    /// session, the key with this number, for a key like others.
    pub(super) fn merged_sessions(&self, aggregate: &Aggregate, session: usize) -> Result<LogicalPlan> {
        let input = &aggregate.input;
        let column = |name: &str| DfExpr::Column(datafusion::common::Column::new_unqualified(name));
        let attribute = |name: &str, data_type: &DataType| Attribute::new(name, data_type.clone());
        let fields = aggregate.schema.fields();
        let keys: Vec<Attribute> =
            fields.iter().take(aggregate.group_expr.len()).map(|field| attribute("key", field.data_type())).collect();

        // The keys, and the session's two ends, beside the columns.
        let mut exprs: Vec<DfExpr> = input.schema().fields().iter().map(|field| column(field.name())).collect();
        exprs.extend(aggregate.group_expr.iter().zip(&keys).map(|(expr, key)| expr.clone().unalias().alias(&key.id)));
        let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::clone(input))?);
        let own = &keys[session];
        let resolver = Resolver::new(self, std::slice::from_ref(own));
        let part = |name: &str| resolver.scalar_call(".", vec![Typed::of(own), Typed::literal(ScalarValue::from(name))]);
        let (start, end) = (part("start")?, part("end")?);
        let (starts, ends) = (attribute("start", &start.data_type), attribute("end", &end.data_type));
        let plan = with(plan, start.expr.alias(&starts.id))?;
        let plan = with(plan, end.expr.alias(&ends.id))?;

        let others: Vec<DfExpr> =
            keys.iter().enumerate().filter(|(number, _)| *number != session).map(|(_, key)| key.expr()).collect();
        let over = |function: Arc<AggregateUDF>, arg: DfExpr, units: WindowFrameUnits, last: WindowFrameBound| {
            let params = WindowFunctionParams {
                args: vec![arg],
                partition_by: others.clone(),
                order_by: vec![Sort::new(starts.expr(), true, true)],
                window_frame: WindowFrame::new_bounds(units, WindowFrameBound::Preceding(ScalarValue::UInt64(None)), last),
                filter: None,
                null_treatment: None,
                distinct: false,
            };
            DfExpr::WindowFunction(Box::new(WindowFunction { fun: WindowFunctionDefinition::AggregateUDF(function), params }))
        };
        let reached = attribute("reached", &ends.data_type);
        let before = WindowFrameBound::Preceding(ScalarValue::UInt64(Some(1)));
        let plan = windowed(plan, over(max_udaf(), ends.expr(), WindowFrameUnits::Rows, before).alias(&reached.id))?;
        // Sessions that touch are one.
        let continues = binary_expr(starts.expr(), Operator::LtEq, reached.expr());
        let number = |value: i64| Box::new(DfExpr::Literal(ScalarValue::Int64(Some(value)), None));
        let begins = attribute("begins", &DataType::Int64);
        let case = Case::new(None, vec![(Box::new(continues), number(0))], Some(number(1)));
        let plan = with(plan, DfExpr::Case(case).alias(&begins.id))?;
        // By range, so that rows of one time are in one session whatever their order.
        let sessions = attribute("session", &DataType::Int64);
        let count = over(sum_udaf(), begins.expr(), WindowFrameUnits::Range, WindowFrameBound::CurrentRow);
        let plan = windowed(plan, count.alias(&sessions.id))?;

        let of_session = |function: Arc<AggregateUDF>, column: &Attribute| {
            DfExpr::AggregateFunction(AggregateFunction::new_udf(function, vec![column.expr()], false, None, Vec::new(), None))
        };
        let (first, last) = (attribute("first", &starts.data_type), attribute("last", &ends.data_type));
        let mut calls = aggregate.aggr_expr.clone();
        calls.push(of_session(min_udaf(), &starts).alias(&first.id));
        calls.push(of_session(max_udaf(), &ends).alias(&last.id));
        let groups = others.iter().cloned().chain([sessions.expr()]).collect();
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(plan), groups, calls)?);

        let both = [first, last];
        let resolver = Resolver::new(self, &both);
        let [first, last] = &both;
        let name = |name: &str| Typed::literal(ScalarValue::from(name));
        let window = resolver.scalar_call("named_struct", vec![name("start"), Typed::of(first), name("end"), Typed::of(last)])?;
        let mut window = Some(window.expr);
        let output = fields.iter().enumerate().map(|(number, field)| match keys.get(number) {
            Some(key) if number != session => key.expr().alias(field.name()),
            Some(_) => window.take().unwrap_or_else(|| own.expr()).alias(field.name()),
            None => column(field.name()),
        });
        Ok(LogicalPlan::Projection(Projection::try_new(output.collect(), Arc::new(plan))?))
    }
}

/// The plan's columns and one more.
fn with(plan: LogicalPlan, expr: DfExpr) -> Result<LogicalPlan> {
    let columns = plan.schema().columns().into_iter().map(DfExpr::Column).chain([expr]).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

fn windowed(plan: LogicalPlan, expr: DfExpr) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Window(Window::try_new(vec![expr], Arc::new(plan))?))
}
