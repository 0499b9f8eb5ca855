//! Joins: of a stream with a static table, and of two streams.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, ExprSchemable, Join, LogicalPlan};
use tidegate_operators::{JoinSide, RemoveWhen, StaticJoin, StaticJoinKind, StreamJoin, StreamJoinKind};
use tidegate_runtime::Input;

use super::join_bounds::{JoinTimes, SideTimes};
use super::join_keys::{JoinKeys, is_of};
use super::lower::{Flow, Planner, column_number, columns_of};
use super::rules::check_stream_join;
use super::static_tables::StaticPlan;
use super::steps::{PlannedStep, arrow_schema, physical, schema_of};
use crate::analysis::stream::is_streaming;
use crate::analysis::time::depends_on_time;
use crate::analysis::visible_name;
use crate::error::{Error, Result};

impl Planner {
    pub(super) fn join(&mut self, join: &Join) -> Result<Flow> {
        let (left_streams, right_streams) = (is_streaming(&join.left), is_streaming(&join.right));
        let sides = join.on.iter().flat_map(|(left, right)| [left, right]);
        if sides.chain(&join.filter).any(depends_on_time) {
            return Err(Error::unsupported(
                "current_timestamp() in a join's condition: compute it in a column of one side before",
            ));
        }
        if left_streams && right_streams {
            return self.stream_join(join);
        }
        let kind = match (join.join_type, left_streams) {
            (JoinType::Inner, _) => StaticJoinKind::Inner,
            (JoinType::Left, true) | (JoinType::Right, false) => StaticJoinKind::StreamOuter,
            (JoinType::LeftSemi, true) | (JoinType::RightSemi, false) => StaticJoinKind::StreamSemi,
            (JoinType::LeftAnti, true) if join.null_aware => StaticJoinKind::NullAwareAnti,
            (JoinType::LeftAnti, true) | (JoinType::RightAnti, false) => StaticJoinKind::StreamAnti,
            (other, _) => return Err(Error::unsupported(format!("a {other} join of a stream and a static table"))),
        };
        let (stream, table) = if left_streams { (&join.left, &join.right) } else { (&join.right, &join.left) };
        let flow = self.flow(stream)?;
        let flow = self.materialised(flow)?;
        let keys = JoinKeys::of(join)?;
        let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = keys.keys.into_iter().unzip();
        let (stream_keys, table_keys) = if left_streams { (left_keys, right_keys) } else { (right_keys, left_keys) };
        let both = Arc::new(stream.schema().join(table.schema())?);
        let build_schema = schema_of(table.schema());
        let supplier = StaticJoin {
            build: Arc::new(StaticPlan::new(table.as_ref().clone(), self.lowering.context.clone(), Arc::clone(&build_schema))?),
            build_schema,
            stream_keys: stream_keys.iter().map(|key| physical(key, stream.schema(), 0)).collect::<Result<_>>()?,
            build_keys: table_keys.iter().map(|key| physical(key, table.schema(), 0)).collect::<Result<_>>()?,
            null_equal: keys.null_equal,
            residual: keys.residual.map(|residual| physical(&residual, &both, 0)).transpose()?,
            join: kind,
            build_first: !left_streams,
        };
        let node = self.operator("static-join", vec![Input::named(&flow.node)], supplier, flow.parallelism);
        Ok(Flow { lag: flow.lag, ..self.joined(node, join, flow.parallelism) })
    }

    /// What a join gives. Both sides may have columns of the same name: a projection gives each its own.
    fn joined(&self, node: String, join: &Join, parallelism: usize) -> Flow {
        let mut joined = self.node(node, &join.schema, parallelism);
        let exprs = columns_of(&join.schema);
        let schema = Arc::clone(&joined.schema);
        joined.push(PlannedStep::project(exprs, &join.schema, schema));
        joined
    }

    fn stream_join(&mut self, join: &Join) -> Result<Flow> {
        let kind = match join.join_type {
            JoinType::Inner => StreamJoinKind::Inner,
            JoinType::Left => StreamJoinKind::Left,
            JoinType::Right => StreamJoinKind::Right,
            JoinType::Full => StreamJoinKind::Full,
            JoinType::LeftSemi => StreamJoinKind::LeftSemi,
            other => return Err(Error::unsupported(format!("a {other} join of two streams"))),
        };
        let keys = JoinKeys::of(join)?;
        let times = JoinTimes::of(join, &keys.keys);
        // Here, as conditions above the join may have become its keys.
        check_stream_join(join, &keys, &times)?;
        let mut residual = Vec::new();
        let mut conditions: [Vec<Expr>; 2] = [Vec::new(), Vec::new()];
        for part in keys.residual.iter().flat_map(split_conjunction) {
            match (is_of(part, join.left.schema()), is_of(part, join.right.schema())) {
                (true, _) => conditions[0].push(part.clone()),
                (_, true) => conditions[1].push(part.clone()),
                _ => residual.push(part.clone()),
            }
        }
        let [left_conditions, right_conditions] = conditions;
        let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = keys.keys.into_iter().unzip();
        let (left, left_flow, left_input) = self.join_side(&join.left, &left_keys, left_conditions, &times, &times.left)?;
        let (right, right_flow, right_input) =
            self.join_side(&join.right, &right_keys, right_conditions, &times, &times.right)?;
        let event_times = [left.event_time, right.event_time];
        // What waits longest for its match comes out latest.
        let offset = |side: &JoinSide| side.remove.map_or(0, |remove| remove.offset_micros);
        let lag = offset(&left).max(offset(&right)).max(left.lag_micros).max(right.lag_micros);
        let both = join.left.schema().join(join.right.schema())?;
        let supplier = StreamJoin {
            join: kind,
            sides: [left, right],
            null_equal: keys.null_equal,
            residual: conjunction(residual).map(|residual| physical(&residual, &both, 0)).transpose()?,
        };
        let parallelism = self.lowering.parallelism;
        let node = self.operator("stream-join", vec![left_input, right_input], supplier, parallelism);
        for (flow, event_time) in [left_flow, right_flow].into_iter().zip(event_times) {
            if let Some(column) = event_time {
                self.late_rows(&node, &flow, column_number(&flow, column))?;
            }
        }
        Ok(Flow { lag, ..self.joined(node, join, parallelism) })
    }

    /// One side of a join of two streams: its columns, then those keys that are no columns, exchanged by the keys.
    fn join_side(
        &mut self,
        plan: &LogicalPlan,
        keys: &[Expr],
        conditions: Vec<Expr>,
        times: &JoinTimes,
        own: &SideTimes,
    ) -> Result<(JoinSide, Flow, Input)> {
        if own.columns.len() > 1 {
            let names: Vec<&str> = own.columns.keys().map(|id| visible_name(id)).collect();
            let message = format!(
                "More than one event time columns are available. Please ensure there is at most one event time column per stream. \
                 event time columns: ({})",
                names.join(", ")
            );
            return Err(Error::analysis("MULTIPLE_EVENT_TIME_COLUMNS", message));
        }
        let mut flow = self.flow(plan)?;
        let schema = plan.schema();
        let columns = schema.fields().len();
        let mut exprs = columns_of(schema);
        let mut types: Vec<(String, arrow::datatypes::DataType)> =
            schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect();
        let mut numbers = Vec::new();
        for key in keys {
            let known = exprs
                .iter()
                .position(|expr| expr == key || matches!((expr, key), (Expr::Column(a), Expr::Column(b)) if a.name == b.name));
            numbers.push(known.unwrap_or_else(|| {
                exprs.push(key.clone());
                types.push(("join key".to_owned(), key.get_type(schema).unwrap_or(arrow::datatypes::DataType::Null)));
                exprs.len() - 1
            }));
        }
        let given = arrow_schema(types.iter().map(|(name, data_type)| (name.as_str(), data_type)));
        flow.push(PlannedStep::project(exprs, schema, Arc::clone(&given)));
        let flow = self.materialised(flow)?;
        let names: Vec<String> = numbers.iter().map(|number| given.field(*number).name().clone()).collect();
        let event_time = schema.fields().iter().position(|field| own.columns.contains_key(field.name()));
        let in_keys = times.key.and_then(|key| numbers.get(key).copied());
        let remove = match (in_keys, own.range, event_time) {
            (Some(column), _, _) => Some(RemoveWhen { column, offset_micros: flow.lag }),
            (None, Some(offset), Some(column)) => Some(RemoveWhen { column, offset_micros: offset.saturating_add(flow.lag) }),
            _ => None,
        };
        let condition = conjunction(conditions).map(|condition| physical(&condition, schema, 0)).transpose()?;
        let side = JoinSide { keys: numbers, columns, condition, event_time, lag_micros: flow.lag, remove };
        let input = Input::named(&flow.node).hash(names);
        Ok((side, flow, input))
    }
}
