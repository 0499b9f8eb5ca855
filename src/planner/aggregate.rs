//! Aggregations: in part before the exchange, there by panes where windows overlap, and as a whole after it.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::DFSchema;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use tidegate_operators::{
    AggregateCall, AggregateEmit, AggregateInput, AggregateSpec, EventTimeKind as ClosingKind, PartialAggregate,
    SessionAggregate, SessionEmit, StatefulAggregate,
};
use tidegate_runtime::Input;

use super::event_time::event_time_of;
use super::lower::{Flow, Planner, columns_of};
use super::panes::Panes;
use super::rules::event_times;
use super::steps::{PlannedStep, physical, schema_of};
use super::{OutputMode, optimize};
use crate::analysis::time::{BatchTime, batch_time, depends_on_time, with_time};
use crate::analysis::{Attribute, EventTimeKind};
use crate::error::{Error, Result};

/// The node that gives partial states, and how far the rows under it stay behind the query's watermark, in microseconds.
struct Partial {
    node: String,
    lag: i64,
}

impl Planner {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, session: Option<usize>) -> Result<Flow> {
        let panes = if self.lowering.late.is_none() { Panes::of(aggregate)? } else { None };
        match panes {
            Some(panes) => {
                let (partial, spec) = self.partial_by_panes(panes, aggregate)?;
                self.final_aggregate(aggregate, spec, partial)
            }
            None => self.aggregate_of_rows(aggregate, session),
        }
    }

    /// The first part of an aggregation and the second, of the rows as they are.
    fn aggregate_of_rows(&mut self, aggregate: &Aggregate, session: Option<usize>) -> Result<Flow> {
        let timed = with_time_column(aggregate)?;
        let mut flow = self.flow(&aggregate.input)?;
        if let Some((_, step)) = &timed {
            flow.push(step.clone());
        }
        let aggregate = timed.as_ref().map_or(aggregate, |(aggregate, _)| aggregate);
        let rows = self.materialised(flow)?;
        let input = aggregate.input.schema();
        let output = schema_of(&aggregate.schema);
        let key = |(expr, field): (&Expr, &Arc<Field>)| Ok((physical(expr, input, 0)?, field.as_ref().clone()));
        let calls = aggregate.aggr_expr.iter().zip(output.fields().iter().skip(aggregate.group_expr.len()));
        let spec = AggregateSpec {
            keys: aggregate.group_expr.iter().zip(output.fields()).map(key).collect::<Result<_>>()?,
            aggregates: calls.map(|(expr, field)| aggregate_call(expr, input, field.name())).collect::<Result<_>>()?,
        };
        // Also where there is one task: the exchange is part of the checkpoint's identity, and a later start may have more.
        let partial = PartialAggregate::new(spec.clone(), AggregateInput::Rows);
        let partial = self.operator("partial", vec![Input::named(&rows.node)], partial, rows.parallelism);
        let partial = Partial { node: partial, lag: rows.lag };
        let Some(session) = session else {
            let given = self.final_aggregate(aggregate, spec, partial)?;
            if let Some(key) = self.emit(aggregate, rows.lag)?.event_time().and_then(|time| aggregate.group_expr.get(time.column))
            {
                self.late_rows(&given.node, &rows, physical(key, input, 0)?)?;
            }
            return Ok(given);
        };
        let given = self.session_aggregate(aggregate, spec, session, partial)?;
        if let Some(key) = session_time(aggregate, session) {
            self.late_rows(&given.node, &rows, physical(key, input, 0)?)?;
        }
        Ok(given)
    }

    /// The first part of an aggregation whose windows overlap: the rows by panes, the panes' states to their windows, and these
    /// merged, so that what is exchanged is one row for each key as without panes. Gives also what the second part computes.
    fn partial_by_panes(&mut self, panes: Panes, aggregate: &Aggregate) -> Result<(Partial, AggregateSpec)> {
        let rows = self.flow(&panes.input)?;
        let rows = self.materialised(rows)?;
        let input = panes.input.schema();
        let output = schema_of(&aggregate.schema);
        let calls = panes.aggregates.iter().zip(output.fields().iter().skip(panes.keys.len()));
        let aggregates = calls.map(|(expr, field)| aggregate_call(expr, input, field.name())).collect::<Result<Vec<_>>>()?;
        let layout = panes.layout(&output)?;
        let key = |(expr, field): (&Expr, &Arc<Field>)| Ok((physical(expr, input, 0)?, field.as_ref().clone()));
        let by_pane = AggregateSpec {
            keys: layout.pane_keys.iter().zip(layout.pane_fields.iter()).map(key).collect::<Result<_>>()?,
            aggregates: aggregates.clone(),
        };
        let key = |(number, field): (usize, &Arc<Field>)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(PhysicalColumn::new(field.name(), number));
            (column, field.as_ref().clone())
        };
        let keys = output.fields().iter().take(panes.keys.len()).enumerate().map(key).collect();
        let by_window = AggregateSpec { keys, aggregates };

        let (given, parallelism, lag) = (by_pane.partial_schema()?, rows.parallelism, rows.lag);
        let by_pane = PartialAggregate::new(by_pane, AggregateInput::Rows);
        let node = self.operator("panes", vec![Input::named(&rows.node)], by_pane, parallelism);
        let steps = layout.spread(&given, &by_window.partial_schema()?)?;
        let (schema, columns) = (Arc::clone(&given), Arc::new(DFSchema::try_from(Arc::clone(&given))?));
        let mut spread = Flow { node, source: None, given, steps: Vec::new(), columns, schema, parallelism, lag };
        steps.into_iter().for_each(|step| spread.push(step));
        let spread = self.materialised(spread)?;
        let partial = PartialAggregate::new(by_window.clone(), AggregateInput::States);
        let node = self.operator("partial", vec![Input::named(&spread.node)], partial, parallelism);
        Ok((Partial { node, lag }, by_window))
    }

    /// The second part of an aggregation.
    fn final_aggregate(&mut self, aggregate: &Aggregate, spec: AggregateSpec, partial: Partial) -> Result<Flow> {
        let parallelism = if spec.keys.is_empty() { 1 } else { self.lowering.parallelism };
        let input = Input::named(&partial.node).hash(key_names(&spec, None));
        let stateful = StatefulAggregate::new(spec, AggregateInput::States, self.emit(aggregate, partial.lag)?);
        let node = self.operator("aggregate", vec![input], stateful, parallelism);
        Ok(Flow { lag: partial.lag, ..self.node(node, &aggregate.schema, parallelism) })
    }

    /// The second part of an aggregation by sessions.
    fn session_aggregate(
        &mut self,
        aggregate: &Aggregate,
        spec: AggregateSpec,
        session: usize,
        partial: Partial,
    ) -> Result<Flow> {
        let emit = if self.lowering.mode == OutputMode::Complete { SessionEmit::All } else { SessionEmit::Closed };
        let parallelism = self.lowering.parallelism;
        let input = Input::named(&partial.node).hash(key_names(&spec, Some(session)));
        let sessions = SessionAggregate::new(spec, session, emit).lag(partial.lag);
        let sessions = if session_time(aggregate, session).is_some() { sessions } else { sessions.keep_late() };
        let node = self.operator("session-aggregate", vec![input], sessions, parallelism);
        Ok(Flow { lag: partial.lag, ..self.node(node, &aggregate.schema, parallelism) })
    }

    /// Which groups an epoch gives, by the output mode and the event time among the keys.
    fn emit(&self, aggregate: &Aggregate, lag_micros: i64) -> Result<AggregateEmit> {
        let known = event_times(&aggregate.input);
        let closing = |(column, key): (usize, &Expr)| {
            let kind = match event_time_of(key, &known)?.kind {
                EventTimeKind::Instant => ClosingKind::Instant,
                EventTimeKind::Window => ClosingKind::WindowEnd,
            };
            Some(tidegate_operators::EventTime { column, kind, lag_micros })
        };
        let event_time = aggregate.group_expr.iter().enumerate().find_map(closing);
        match (self.lowering.mode, event_time) {
            (OutputMode::Complete, _) => Ok(AggregateEmit::All),
            (OutputMode::Update, event_time) => Ok(AggregateEmit::Changed(event_time)),
            (OutputMode::Append, Some(event_time)) => Ok(AggregateEmit::Closed(event_time)),
            (OutputMode::Append, None) => Err(Error::unsupported("an aggregation without event time in append mode")),
        }
    }
}

/// An aggregation whose expressions depend on the epoch's time, over an input with the time as a column: the expressions of an
/// operator are the same for ever, those of a step are made for each epoch. `None` if none depends on it.
fn with_time_column(aggregate: &Aggregate) -> Result<Option<(Aggregate, PlannedStep)>> {
    if !aggregate.group_expr.iter().chain(&aggregate.aggr_expr).any(depends_on_time) {
        return Ok(None);
    }
    let time = Attribute::new("epoch time", BatchTime::data_type());
    let mut exprs = columns_of(aggregate.input.schema());
    exprs.push(batch_time().alias(time.id.clone()));
    let input = Projection::try_new(exprs.clone(), Arc::clone(&aggregate.input))?;
    let step = PlannedStep::project(exprs, aggregate.input.schema(), schema_of(&input.schema));
    let replaced = |exprs: &[Expr]| exprs.iter().map(|expr| with_time(expr.clone(), &time.expr())).collect::<Result<Vec<_>, _>>();
    let (keys, calls) = (replaced(&aggregate.group_expr)?, replaced(&aggregate.aggr_expr)?);
    let aggregate =
        Aggregate::try_new_with_schema(Arc::new(LogicalPlan::Projection(input)), keys, calls, Arc::clone(&aggregate.schema))?;
    Ok(Some((aggregate, step)))
}

/// The names of the key columns, but for the session.
fn key_names(spec: &AggregateSpec, session: Option<usize>) -> Vec<String> {
    let keys = spec.keys.iter().enumerate().filter(|(number, _)| Some(*number) != session);
    keys.map(|(_, (_, field))| field.name().clone()).collect()
}

/// The key that is the session, if it is event time: rows can come too late for it then.
fn session_time(aggregate: &Aggregate, session: usize) -> Option<&Expr> {
    let known = event_times(&aggregate.input);
    aggregate.group_expr.get(session).filter(|key| event_time_of(key, &known).is_some())
}

fn aggregate_call(expr: &Expr, input: &DFSchema, output: &str) -> Result<AggregateCall> {
    let props = ExecutionProps::new();
    let planning = PhysicalPlanningContext::default();
    let fields = input.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let physical_schema = Schema::new(fields.collect::<Vec<_>>());
    let expr = &optimize::guard(expr.clone())?;
    let lowered = LoweredAggregateBuilder::new(expr, input, &physical_schema, &props, &planning).with_name(output).build()?;
    Ok(AggregateCall { expr: lowered.aggregate, filter: lowered.filter, output: output.to_owned() })
}
