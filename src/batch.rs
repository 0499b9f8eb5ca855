//! Batch queries, run by DataFusion: `collect`, `show`, the static sides of joins.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::TaskContext;
use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Aggregate, Expr as DfExpr, LogicalPlan, Projection, UserDefinedLogicalNode};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::{FutureExt, StreamExt, TryStreamExt};
use tidegate_operators::Steps;

use crate::analysis::nodes::{self, Deduplicate, Expand, Generate, Watermark};
use crate::analysis::time::at_time;
use crate::error::{Error, Result};
use crate::planner::{PlannedStep, optimize};

/// The context that batch queries run in.
pub(crate) fn context(parallelism: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(parallelism.max(1)).with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.parquet.schema_force_view_types = false;
    options.execution.parquet.pushdown_filters = true;
    // A table's files are those that are there when it is read.
    let runtime = RuntimeEnvBuilder::new().with_object_list_cache_limit(0).build_arc().unwrap_or_default();
    SessionContext::new_with_config_rt(config, runtime)
}

/// Runs a future to its end on the library's own threads: the caller may be on any thread, also on one of an async runtime.
pub(crate) fn block_on<T: Send + 'static>(future: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    // Never dropped: a runtime must not be dropped on a thread of another one.
    static RUNTIME: OnceLock<std::io::Result<tokio::runtime::Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().thread_name("tg-batch").thread_stack_size(8 << 20).enable_all().build()
    });
    let runtime =
        runtime.as_ref().map_err(|error| Error::unsupported(format!("threads for batch queries can't be started: {error}")))?;
    let is_own = tokio::runtime::Handle::try_current().is_ok_and(|current| current.id() == runtime.handle().id());
    if is_own {
        // A user's async code asks for rows: its thread must not wait for work that may be queued behind it.
        return tokio::task::block_in_place(|| runtime.handle().block_on(future));
    }
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    runtime.spawn(async move {
        let result = AssertUnwindSafe(future).catch_unwind().await;
        // The receiver waits below, unless the process is ending.
        drop(sender.send(result));
    });
    match receiver.recv() {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Error::from(DataFusionError::Execution(format!("a batch query panicked: {}", text.unwrap_or("no message")))))
        }
        Err(_) => Err(Error::from(DataFusionError::Execution("the threads of batch queries are gone".to_owned()))),
    }
}

/// The plan as it is run: optimised, with the time in its place.
pub(crate) fn prepare(plan: LogicalPlan, time_ms: i64) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| without_deduplicate(node).map_err(to_datafusion))?.data;
    let plan = optimize::optimize(plan, optimize::Columns::Needed)?;
    let timed = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| Ok(Transformed::yes(optimize::guard(at_time(expr, time_ms)?)?)))
    })?;
    Ok(timed.data)
}

fn to_datafusion(error: Error) -> DataFusionError {
    match error {
        Error::Batch(error) => DataFusionError::Shared(error),
        other => DataFusionError::External(Box::new(other)),
    }
}

/// In a batch query the first row of each key is an aggregation.
fn without_deduplicate(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let Some(node) = nodes::node::<Deduplicate>(&plan) else { return Ok(Transformed::no(plan)) };
    let (keys, input) = (node.keys.clone(), node.input.clone());
    let columns = input.schema().columns();
    let first = tidegate_functions::aggregate("first").ok_or_else(|| Error::unsupported("the function first is missing"))?;
    let settings = tidegate_functions::Settings::default();
    let mut calls = Vec::new();
    for (column, field) in columns.iter().zip(input.schema().fields()) {
        if keys.contains(&column.name) {
            continue;
        }
        let arg = tidegate_functions::Arg { data_type: field.data_type().clone(), literal: None, sql: column.name.clone() };
        let call = tidegate_functions::Call { name: "first", args: &[arg], settings: &settings };
        let resolved = (first.resolve)(&call)?;
        let function = datafusion::logical_expr::expr::AggregateFunction::new_udf(
            Arc::new(resolved.udaf),
            vec![DfExpr::Column(column.clone())],
            false,
            None,
            Vec::new(),
            None,
        );
        calls.push(DfExpr::AggregateFunction(function).alias(column.name.clone()));
    }
    let key_columns = columns.iter().filter(|column| keys.contains(&column.name)).cloned().map(DfExpr::Column).collect();
    let aggregate = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), key_columns, calls)?);
    let output =
        columns.into_iter().map(|column| DfExpr::Column(datafusion::common::Column::new_unqualified(column.name))).collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(output, Arc::new(aggregate))?)))
}

/// Runs a plan to its end.
pub(crate) async fn collect(context: SessionContext, plan: LogicalPlan, time_ms: i64) -> Result<Vec<RecordBatch>> {
    let stream = execute(context, plan, time_ms).await?;
    Ok(stream.try_collect().await?)
}

/// Starts a plan.
pub(crate) async fn execute(context: SessionContext, plan: LogicalPlan, time_ms: i64) -> Result<SendableRecordBatchStream> {
    let plan = prepare(plan, time_ms)?;
    let state = context.state();
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(OwnNodes)]);
    let physical = planner.create_physical_plan(&plan, &state).await?;
    Ok(datafusion::physical_plan::execute_stream(physical, state.task_ctx())?)
}

/// Plans the nodes that DataFusion does not have.
struct OwnNodes;

#[async_trait]
impl ExtensionPlanner for OwnNodes {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session_state: &dyn Session,
        _planning: &PhysicalPlanningContext,
    ) -> datafusion::error::Result<Option<Arc<dyn ExecutionPlan>>> {
        let [input] = physical_inputs else { return Ok(None) };
        let node = node.as_any();
        if node.is::<Watermark>() {
            // A watermark does nothing to a batch.
            return Ok(Some(Arc::clone(input)));
        }
        // DataFusion compares the columns with the logical plan's.
        let step = if let Some(generate) = node.downcast_ref::<Generate>() {
            PlannedStep::generate(generate, Arc::clone(generate.schema.inner()))
        } else if let Some(expand) = node.downcast_ref::<Expand>() {
            PlannedStep::expand(expand, Arc::clone(expand.schema.inner()))
        } else {
            return Ok(None);
        };
        let step = step.build(0).map_err(to_datafusion)?;
        let steps = Steps::new(input.schema(), vec![step]);
        Ok(Some(Arc::new(StepsExec::new(Arc::clone(input), steps))))
    }
}

/// Applies the steps of a streaming pipeline to a batch query's rows.
#[derive(Debug)]
struct StepsExec {
    input: Arc<dyn ExecutionPlan>,
    steps: Steps,
    properties: Arc<PlanProperties>,
}

impl StepsExec {
    fn new(input: Arc<dyn ExecutionPlan>, steps: Steps) -> Self {
        let equivalences = EquivalenceProperties::new(Arc::clone(steps.schema()));
        let partitioning =
            datafusion::physical_plan::Partitioning::UnknownPartitioning(input.properties().partitioning.partition_count());
        let properties = PlanProperties::new(equivalences, partitioning, EmissionType::Incremental, Boundedness::Bounded);
        StepsExec { input, steps, properties: Arc::new(properties) }
    }
}

impl DisplayAs for StepsExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StepsExec: {:?}", self.steps)
    }
}

impl ExecutionPlan for StepsExec {
    fn name(&self) -> &str {
        "StepsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) => Ok(Arc::new(StepsExec::new(input, self.steps.clone()))),
            None => Ok(self),
        }
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> datafusion::error::Result<TreeNodeRecursion>,
    ) -> datafusion::error::Result<TreeNodeRecursion> {
        // The steps' expressions are not for DataFusion's rules to look into.
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> datafusion::error::Result<SendableRecordBatchStream> {
        let (input, steps) = (self.input.execute(partition, context)?, self.steps.clone());
        let schema = Arc::clone(steps.schema());
        let stream = input
            .map(move |batch| steps.apply(batch?).map_err(|error| DataFusionError::External(Box::new(error))))
            .map_ok(|batches| futures::stream::iter(batches.into_iter().map(Ok)))
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}

/// Gives batches these columns: the names that the user sees, in place of identities.
pub(crate) fn relabel(batches: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    batches
        .into_iter()
        .map(|batch| {
            let rows = batch.num_rows();
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
            let columns = tidegate_runtime::state::relabel_columns(schema, batch.columns().to_vec())?;
            Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
        })
        .collect()
}
