//! What a streaming query can't answer incrementally, and is refused before it runs.
//!
//! The rules and their texts are those of Spark's `UnsupportedOperationChecker`; the guide lists them under "Unsupported Operations".

use datafusion::common::JoinType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Aggregate, Expr, Join, LogicalPlan};

use super::OutputMode;
use super::event_time::{EventTimes, event_time_of};
use super::join_bounds::JoinTimes;
use super::join_keys::JoinKeys;
use crate::analysis::nodes::{self, Deduplicate, Generate, SessionAggregate, Watermark};
use crate::analysis::stream::is_streaming;
use crate::analysis::{EventTime, EventTimeKind, Relation};
use crate::error::{Error, Result};

/// Checks a query for an output mode.
pub(crate) fn check(relation: &Relation, mode: OutputMode) -> Result<()> {
    let plan = &relation.plan;
    if !is_streaming(plan) {
        let message = "`writeStream` can be called only on streaming Dataset/DataFrame. Use write() for a batch result.";
        return Err(Error::analysis("WRITE_STREAM_NOT_ALLOWED", message));
    }
    let facts = Facts::of(plan)?;
    check_mode(&facts, mode)?;
    check_node(plan, mode, &facts)
}

/// What the checks need to know of a plan as a whole.
#[derive(Debug, Default)]
struct Facts {
    /// The number of streaming aggregations.
    aggregations: usize,
    /// Those without an event time among their keys.
    unbounded_aggregations: usize,
    /// Those by sessions.
    sessions: usize,
    deduplications: usize,
    stream_joins: usize,
    has_watermark: bool,
}

impl Facts {
    fn of(plan: &LogicalPlan) -> Result<Self> {
        let mut facts = Facts::default();
        plan.apply(|node| {
            facts.sessions += usize::from(nodes::node::<SessionAggregate>(node).is_some() && is_streaming(node));
            match node {
                _ if let Some(aggregate) = aggregation(node)
                    && is_streaming(node) =>
                {
                    facts.aggregations += 1;
                    let known = event_times(&aggregate.input);
                    let bounded = aggregate.group_expr.iter().any(|key| event_time_of(key, &known).is_some());
                    facts.unbounded_aggregations += usize::from(!bounded);
                }
                LogicalPlan::Join(join) if is_streaming(&join.left) && is_streaming(&join.right) => facts.stream_joins += 1,
                _ if nodes::node::<Deduplicate>(node).is_some() && is_streaming(node) => facts.deduplications += 1,
                _ if nodes::node::<Watermark>(node).is_some() => facts.has_watermark = true,
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(facts)
    }
}

/// The event time columns that a plan gives.
pub(crate) fn event_times(plan: &LogicalPlan) -> EventTimes {
    let of_expressions = |exprs: &[Expr], input: &LogicalPlan| -> EventTimes {
        let known = event_times(input);
        let name = |expr: &Expr| match expr {
            Expr::Alias(alias) => alias.name.clone(),
            Expr::Column(column) => column.name.clone(),
            other => other.schema_name().to_string(),
        };
        exprs.iter().filter_map(|expr| Some((name(expr), event_time_of(expr, &known)?))).collect()
    };
    match plan {
        LogicalPlan::Projection(projection) => of_expressions(&projection.expr, &projection.input),
        _ if let Some(aggregate) = aggregation(plan) => of_expressions(&aggregate.group_expr, &aggregate.input),
        LogicalPlan::Union(union) => union.inputs.first().map(|input| event_times(input)).unwrap_or_default(),
        LogicalPlan::Extension(_) => {
            if let Some(watermark) = nodes::node::<Watermark>(plan) {
                let kind = if event_window(watermark) { EventTimeKind::Window } else { EventTimeKind::Instant };
                return EventTimes::from([(watermark.column.clone(), EventTime { kind, delay: watermark.delay })]);
            }
            let mut known: EventTimes = plan.inputs().into_iter().flat_map(event_times).collect();
            if let Some(generate) = nodes::node::<Generate>(plan)
                && let (Some(event_time), [(id, _)]) = (event_time_of(&generate.generator, &known), generate.fields.as_slice())
            {
                known.insert(id.clone(), event_time);
            }
            known
        }
        // A semi or anti join gives the columns of one side.
        other => {
            let mut known: EventTimes = other.inputs().into_iter().flat_map(event_times).collect();
            known.retain(|id, _| other.schema().fields().iter().any(|field| field.name() == id));
            known
        }
    }
}

fn event_window(watermark: &Watermark) -> bool {
    let field = watermark.input.schema().fields().iter().find(|field| *field.name() == watermark.column);
    field.is_some_and(|field| matches!(field.data_type(), arrow::datatypes::DataType::Struct(_)))
}

fn unsupported_mode(mode: OutputMode, operation: &str) -> Error {
    let message = format!(
        "Invalid streaming output mode: {mode}. This output mode is not supported for {operation} on streaming DataFrames/DataSets."
    );
    Error::analysis("STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION", message)
}

fn check_mode(facts: &Facts, mode: OutputMode) -> Result<()> {
    match mode {
        OutputMode::Append if facts.unbounded_aggregations > 0 => {
            let operation = "streaming aggregations without watermark";
            Err(unsupported_mode(mode, operation)).map_err(|error| {
                hint(error, "Group by a window over a column with_watermark was called for, or use the update or complete mode.")
            })
        }
        OutputMode::Update if facts.sessions > 0 => Err(unsupported_mode(mode, "session window streaming aggregations"))
            .map_err(|error| hint(error, "Use the append or complete mode.")),
        OutputMode::Complete if facts.aggregations == 0 => Err(unsupported_mode(mode, "no streaming aggregations"))
            .map_err(|error| hint(error, "Use the append mode, or aggregate.")),
        OutputMode::Update | OutputMode::Complete if facts.aggregations > 1 => Err(Error::Streaming(format!(
            "Detected pattern of possible 'correctness' issue due to global watermark. The query contains stateful operation which can \
             emit rows older than the current watermark plus allowed late record delay, which are \"late rows\" in downstream stateful \
             operations and these rows can be discarded. Several aggregations in a row need the append mode, not {mode}."
        ))),
        _ => Ok(()),
    }
}

fn hint(error: Error, text: &str) -> Error {
    match error {
        Error::Analysis { condition, message, place } => {
            Error::Analysis { condition, message: format!("{message} {text}"), place }
        }
        other => other,
    }
}

fn refused(message: impl Into<String>) -> Result<()> {
    Err(Error::Streaming(message.into()))
}

fn check_node(plan: &LogicalPlan, mode: OutputMode, facts: &Facts) -> Result<()> {
    if !is_streaming(plan) {
        return Ok(());
    }
    check_expressions(plan)?;
    match plan {
        _ if let Some(aggregate) = aggregation(plan) => {
            check_aggregate(&aggregate.aggr_expr)?;
            if nodes::node::<SessionAggregate>(plan).is_some() && aggregate.group_expr.len() == 1 {
                refused(
                    "Global aggregation with session window in streaming query is not supported: group by another column too",
                )?;
            }
        }
        LogicalPlan::Sort(_) if mode != OutputMode::Complete || facts.aggregations == 0 => refused(
            "Sorting is not supported on streaming DataFrames/Datasets, unless it is on aggregated DataFrame/Dataset in Complete output mode",
        )?,
        LogicalPlan::Sort(sort) if !has_aggregation(&sort.input) => refused(
            "Sorting is not supported on streaming DataFrames/Datasets, unless it is on aggregated DataFrame/Dataset in Complete output mode",
        )?,
        LogicalPlan::Limit(_) if mode == OutputMode::Update => {
            refused("Limits are not supported on streaming DataFrames/Datasets in Update output mode")?;
        }
        LogicalPlan::Limit(limit) if limit.skip.is_some() && mode == OutputMode::Append => {
            refused(
                "Offset is not supported on streaming DataFrames/Datasets, unless it is on aggregated DataFrame/Dataset in Complete output mode",
            )?;
        }
        LogicalPlan::Window(window) => check_window(&window.window_expr)?,
        LogicalPlan::Union(union) if !union.inputs.iter().all(|input| is_streaming(input)) => {
            refused("Union between streaming and batch DataFrames/Datasets is not supported")?;
        }
        LogicalPlan::Join(join) => {
            check_join(is_streaming(&join.left), is_streaming(&join.right), join.join_type, mode)?;
        }
        _ => {}
    }
    if let Some(node) = nodes::node::<Deduplicate>(plan) {
        if node.within_watermark && node.event_time.is_none() {
            refused("dropDuplicatesWithinWatermark is not supported on streaming DataFrames/DataSets without watermark")?;
        }
        if has_aggregation(&node.input) {
            refused("dropDuplicates is not supported after aggregation on a streaming DataFrame/Dataset")?;
        }
    }
    plan.inputs().into_iter().try_for_each(|input| check_node(input, mode, facts))
}

/// The aggregation that a node is, by sessions or not.
fn aggregation(plan: &LogicalPlan) -> Option<&Aggregate> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => Some(aggregate),
        other => nodes::node::<SessionAggregate>(other).map(|node| &node.aggregate),
    }
}

/// Whether a streaming aggregation is below.
fn has_aggregation(plan: &LogicalPlan) -> bool {
    aggregation(plan).is_some() && is_streaming(plan) || plan.inputs().into_iter().any(has_aggregation)
}

fn check_aggregate(calls: &[Expr]) -> Result<()> {
    for call in calls {
        let call = if let Expr::Alias(alias) = call { &alias.expr } else { call };
        if matches!(call, Expr::AggregateFunction(function) if function.params.distinct) {
            return refused(
                "Distinct aggregations are not supported on streaming DataFrames/Datasets. Consider using approx_count_distinct() instead.",
            );
        }
    }
    Ok(())
}

fn check_window(calls: &[Expr]) -> Result<()> {
    let names: Vec<String> = calls
        .iter()
        .map(|call| match call {
            Expr::WindowFunction(function) => format!("{}()", function.fun.to_string().to_uppercase()),
            other => other.to_string(),
        })
        .collect();
    let message = format!(
        "Window function is not supported in {} on streaming DataFrames/Datasets. Structured Streaming only supports time-window \
         aggregation using the WINDOW function.",
        names.join(", ")
    );
    Err(Error::analysis("NON_TIME_WINDOW_NOT_SUPPORTED_IN_STREAMING", message))
}

fn check_expressions(plan: &LogicalPlan) -> Result<()> {
    let mut found = None;
    plan.apply_expressions(|expr| {
        expr.apply(|part| {
            if let Expr::ScalarFunction(function) = part
                && matches!(function.func.name(), "monotonically_increasing_id" | "spark_partition_id")
            {
                found = Some(function.func.name().to_owned());
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    match found {
        None => Ok(()),
        Some(name) => refused(format!("Expression(s): {name}() is not supported with streaming DataFrames/Datasets")),
    }
}

/// A row of an outer join can only be given without a match when the watermark shows that none will come.
pub(super) fn check_stream_join(join: &Join, keys: &JoinKeys, times: &JoinTimes) -> Result<()> {
    if keys.keys.is_empty() {
        return refused("Stream-stream join without equality predicate is not supported");
    }
    let is_bounded = match join.join_type {
        JoinType::Left | JoinType::LeftSemi => times.left.range.is_some(),
        JoinType::Right => times.right.range.is_some(),
        JoinType::Full => times.left.range.is_some() || times.right.range.is_some(),
        _ => true,
    };
    if is_bounded || times.key.is_some() {
        return Ok(());
    }
    refused(format!(
        "Stream-stream {} join between two streaming DataFrame/Datasets is not supported without a watermark in the join keys, or a \
         watermark on the nullable side and an appropriate range condition",
        join_name(join.join_type)
    ))
}

fn join_name(join_type: JoinType) -> &'static str {
    match join_type {
        JoinType::Left => "LeftOuter",
        JoinType::Right => "RightOuter",
        JoinType::Full => "FullOuter",
        JoinType::LeftAnti => "LeftAnti",
        JoinType::LeftSemi => "LeftSemi",
        _ => "Inner",
    }
}

fn check_join(left: bool, right: bool, join_type: JoinType, mode: OutputMode) -> Result<()> {
    let name = join_name(join_type);
    match (left, right, join_type) {
        (true, true, JoinType::LeftAnti) => {
            refused("LeftAnti joins with a streaming DataFrame/Dataset on the right are not supported")
        }
        (true, true, JoinType::Inner) => Ok(()),
        (true, true, _) if mode != OutputMode::Append => refused(format!(
            "{name} join between two streaming DataFrames/Datasets is not supported in {} output mode, only in Append output mode",
            match mode {
                OutputMode::Update => "Update",
                _ => "Complete",
            }
        )),
        (true, false, JoinType::Right) => refused(
            "RightOuter join with a streaming DataFrame/Dataset on the left and a static DataFrame/DataSet on the right is not supported",
        ),
        (false, true, JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti) => refused(format!(
            "{name} join with a streaming DataFrame/Dataset on the right and a static DataFrame/Dataset on the left is not supported"
        )),
        (true, false, JoinType::Full) => refused(
            "FullOuter joins with streaming DataFrames/Datasets on the left and a static DataFrame/Dataset on the right is not supported",
        ),
        (false, true, JoinType::Full) => refused(
            "FullOuter joins with streaming DataFrames/Datasets on the right and a static DataFrame/Dataset on the left is not supported",
        ),
        _ => Ok(()),
    }
}
