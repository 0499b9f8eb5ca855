//! Lowers an optimised plan to a topology.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, ScalarValue};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use tidegate_functions::Settings;
use tidegate_operators::{EpochLimit, LateRows, Limit, Pipeline, Sort, SortKey, Union};
use tidegate_runtime::{EpochInfo, Input, OperatorSupplier, SinkSupplier, SourceSupplier, Topology, TopologyBuilder};

use super::chain::{MapBatch, MappedSink, MappedSource, chained};
use super::late::{as_json, late_schema};
use super::optimize::Columns;
use super::steps::{PlannedStep, physical, schema_of};
use super::{OutputMode, optimize};
use crate::analysis::Relation;
use crate::analysis::nodes::{self, Deduplicate, Expand, Generate, Watermark};
use crate::analysis::stream::{StreamFactory, is_streaming, stream_of};
use crate::analysis::time::depends_on_time;
use crate::batch;
use crate::dataframe::now_ms;
use crate::error::{Error, Result};
use crate::partitions;

/// What a plan is lowered with.
pub(crate) struct Lowering {
    pub(crate) mode: OutputMode,
    /// How many tasks an operator has after an exchange.
    pub(crate) parallelism: usize,
    /// For the static tables.
    pub(crate) context: SessionContext,
    /// Set if rows that come too late are wanted: how they are written.
    pub(crate) late: Option<Settings>,
}

/// A topology that lacks only its sink.
pub(crate) struct Lowered {
    builder: TopologyBuilder,
    /// The rows for the sink.
    input: Input,
    /// What the sink's tasks do with them first.
    last: Option<(Arc<MapBatch>, String)>,
    /// Their columns then, under the names that the user sees.
    schema: SchemaRef,
    parallelism: usize,
    /// What gives the rows that come too late, if they are wanted.
    late: Vec<String>,
}

impl Lowered {
    /// The topology with its sink, and with one for the rows that come too late.
    pub(crate) fn with_sinks(self, sink: Arc<dyn SinkSupplier>, late_sink: Option<Arc<dyn SinkSupplier>>) -> Result<Topology> {
        let Lowered { mut builder, input, last, schema, parallelism, late } = self;
        let (map, does): (Arc<MapBatch>, _) = match last {
            Some((map, does)) => (map, Some(does)),
            None => (unchanged(), None),
        };
        let _sink = builder.sink("sink", [input], MappedSink { inner: sink, schema, map, does }).parallelism(parallelism);
        if let Some(inner) = late_sink {
            let inputs: Vec<Input> = late.iter().map(|node| Input::named(node).rebalance()).collect();
            if inputs.is_empty() {
                let message = "late rows are wanted, and no operator of the query drops any: it takes a watermark (with_watermark) and, after \
                               it, an aggregation by event time in the append or update mode, a deduplication, or a join";
                return Err(Error::Streaming(message.to_owned()));
            }
            // They are few: one task writes them.
            let sink = MappedSink { inner, schema: late_schema(), map: unchanged(), does: None };
            let _sink = builder.sink("late-rows", inputs, sink).parallelism(1);
        }
        Ok(builder.build()?)
    }
}

fn unchanged() -> Arc<MapBatch> {
    Arc::new(|batch, _| Ok(vec![batch]))
}

/// Lowers a relation that the rules allow.
pub(crate) fn lower(name: &str, relation: &Relation, lowering: Lowering) -> Result<Lowered> {
    let plan = relation.plan.clone().transform_up(|node| evaluate_subqueries(node, &lowering.context))?.data;
    let columns = if lowering.late.is_some() { Columns::All } else { Columns::Needed };
    let plan = optimize::optimize(plan, columns)?;
    let builder = Topology::builder(name).default_parallelism(lowering.parallelism);
    // The sinks' own names.
    let counts = ["sink", "late-rows"].into_iter().map(|name| (name.to_owned(), 1)).collect();
    let mut planner = Planner { lowering, builder, counts, sources: Vec::new(), late: Vec::new() };
    planner.plan_sources(&plan)?;
    let mut flow = planner.flow(&plan)?;
    // The result's columns, in the user's order and under the user's names.
    let exprs: Vec<Expr> = relation.columns.iter().map(|column| column.expr()).collect();
    let fields: Vec<Field> =
        relation.columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    if exprs != columns_of(&flow.columns) || *flow.schema != *schema {
        let input = Arc::clone(&flow.columns);
        flow.push(PlannedStep::project(exprs, &input, Arc::clone(&schema)));
    }
    // What is left to do is done by the source if there is nothing between it and the sink, else by the sink.
    let last = match flow.source {
        None if !flow.steps.is_empty() => Some(chained(Arc::clone(&flow.given), std::mem::take(&mut flow.steps))?),
        _ => None,
    };
    let flow = planner.materialised(flow)?;
    let (builder, late) = (planner.builder, planner.late);
    Ok(Lowered { builder, input: Input::named(&flow.node), last, schema, parallelism: flow.parallelism, late })
}

pub(super) fn columns_of(schema: &DFSchema) -> Vec<Expr> {
    schema.columns().into_iter().map(|column| Expr::Column(Column::new_unqualified(column.name))).collect()
}

/// Scalar subqueries are over static tables: their value is computed once, when the query starts.
fn evaluate_subqueries(plan: LogicalPlan, context: &SessionContext) -> datafusion::error::Result<Transformed<LogicalPlan>> {
    if !is_streaming(&plan) {
        return Ok(Transformed::no(plan));
    }
    plan.map_expressions(|expr| {
        expr.transform_up(|part| match part {
            Expr::ScalarSubquery(subquery) if subquery.outer_ref_columns.is_empty() => {
                let value = scalar_of(subquery.subquery.as_ref().clone(), context);
                let value = value.map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)))?;
                Ok(Transformed::yes(Expr::Literal(value, None)))
            }
            other => Ok(Transformed::no(other)),
        })
    })
}

fn scalar_of(plan: LogicalPlan, context: &SessionContext) -> Result<ScalarValue> {
    let data_type = plan.schema().field(0).data_type().clone();
    let rows: Vec<RecordBatch> = batch::block_on(batch::collect(context.clone(), plan, now_ms()))?;
    let rows: Vec<RecordBatch> = rows.into_iter().filter(|batch| batch.num_rows() > 0).collect();
    match rows.as_slice() {
        [] => Ok(ScalarValue::try_from(&data_type)?),
        [batch] if batch.num_rows() == 1 => Ok(ScalarValue::try_from_array(batch.column(0), 0)?),
        _ => Err(Error::analysis(
            "SCALAR_SUBQUERY_TOO_MANY_ROWS",
            "More than one row returned by a subquery used as an expression.",
        )),
    }
}

/// Rows on their way: a node of the topology, and the steps after it that are not yet an operator.
pub(super) struct Flow {
    pub(super) node: String,
    /// Set while the node is a source that nothing else reads and that is not declared yet: the steps can be its own.
    pub(super) source: Option<Arc<dyn SourceSupplier>>,
    /// The columns that the node gives.
    pub(super) given: SchemaRef,
    pub(super) steps: Vec<PlannedStep>,
    /// The columns after the steps, by identity.
    pub(super) columns: DFSchemaRef,
    /// The same as tasks pass them on.
    pub(super) schema: SchemaRef,
    pub(super) parallelism: usize,
    /// How far the rows stay behind the query's watermark, in microseconds: a join gives rows as late as its state allows.
    pub(super) lag: i64,
}

impl Flow {
    pub(super) fn push(&mut self, step: PlannedStep) {
        if let Some(schema) = step.schema() {
            self.schema = Arc::clone(schema);
        }
        self.steps.push(step);
    }

    /// Takes a step that gives the columns of this node.
    fn with(mut self, step: PlannedStep, columns: &DFSchemaRef) -> Self {
        self.push(step);
        self.columns = Arc::clone(columns);
        self
    }
}

/// A stream, and what each of its scans wants of it.
struct ScannedStream {
    factory: Arc<dyn StreamFactory>,
    /// The numbers of the columns that some scan needs.
    columns: Vec<usize>,
    /// Of each scan, the filters that its rows go through.
    filters: Vec<Vec<Expr>>,
}

/// A source that is read once, whatever the number of scans of it.
struct PlannedSource {
    factory: Arc<dyn StreamFactory>,
    /// The numbers of the columns that some scan needs.
    projection: Vec<usize>,
    node: String,
    supplier: Arc<dyn SourceSupplier>,
    schema: SchemaRef,
    /// How many scans read it.
    scans: usize,
}

pub(super) struct Planner {
    pub(super) lowering: Lowering,
    builder: TopologyBuilder,
    /// How many nodes of a name there are.
    counts: HashMap<String, usize>,
    sources: Vec<PlannedSource>,
    /// The nodes that give rows that come too late.
    late: Vec<String>,
}

impl Planner {
    /// A name that no other node has: the first one of a kind has its plain name.
    pub(super) fn name(&mut self, kind: &str) -> String {
        let count = self.counts.entry(kind.to_owned()).or_default();
        *count += 1;
        if *count == 1 { kind.to_owned() } else { format!("{kind}-{count}") }
    }

    pub(super) fn operator(
        &mut self,
        kind: &str,
        inputs: Vec<Input>,
        supplier: impl OperatorSupplier + 'static,
        parallelism: usize,
    ) -> String {
        let name = self.name(kind);
        let _stream = self.builder.operator(name.clone(), inputs, supplier).parallelism(parallelism);
        name
    }

    /// If they are wanted, the rows of a node that come too late for an operator which reads it, by this event time over its columns.
    pub(super) fn late_rows(&mut self, operator: &str, flow: &Flow, event_time: Arc<dyn PhysicalExpr>) -> Result<()> {
        let Some(settings) = self.lowering.late else { return Ok(()) };
        let names = flow.schema.fields().iter().map(|field| field.name());
        let late = LateRows::new(operator, event_time, names).lag(flow.lag);
        let given = late.output_schema(&[Arc::clone(&flow.schema)])?;
        let picked = self.operator("late", vec![Input::named(&flow.node)], late, flow.parallelism);
        let written = Pipeline::new(Arc::clone(&given), build_steps(&[as_json(&given, &settings)?], 0)?);
        let node = self.operator("late-as-json", vec![Input::named(picked)], written, flow.parallelism);
        self.late.push(node);
        Ok(())
    }

    // ---- sources

    /// Declares the sources, each with the columns that its scans need together.
    fn plan_sources(&mut self, plan: &LogicalPlan) -> Result<()> {
        let mut found: Vec<ScannedStream> = Vec::new();
        plan.apply(|node| {
            if let (Some(stream), LogicalPlan::TableScan(scan)) = (stream_of(node), node) {
                let all = || (0..stream.factory.schema().fields().len()).collect();
                let (columns, filters) = (scan.projection.clone().unwrap_or_else(all), scan.filters.clone());
                match found.iter_mut().find(|own| Arc::ptr_eq(&own.factory, &stream.factory)) {
                    Some(own) => {
                        own.columns.extend(columns);
                        own.filters.push(filters);
                    }
                    None => found.push(ScannedStream { factory: stream.factory, columns, filters: vec![filters] }),
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        for ScannedStream { factory, columns: mut projection, filters } in found {
            projection.sort_unstable();
            projection.dedup();
            let kind = factory.name().map_or_else(|| factory.describe(), str::to_owned);
            let node = self.name(&kind);
            let supplier = match filters.as_slice() {
                [filters] => partitions::source(factory.as_ref(), &projection, filters, &self.lowering.context.state())?,
                // What one of them leaves out another may need.
                _ => factory.source(&projection)?,
            };
            let (schema, scans) = (supplier.schema()?, filters.len());
            if scans > 1 {
                self.declare_source(&node, Arc::clone(&supplier));
            }
            self.sources.push(PlannedSource { factory, projection, node, supplier, schema, scans });
        }
        Ok(())
    }

    fn declare_source(&mut self, node: &str, supplier: Arc<dyn SourceSupplier>) {
        let _stream = self.builder.source(node, SharedSource(supplier)).parallelism(self.lowering.parallelism);
    }

    // ---- nodes

    pub(super) fn flow(&mut self, plan: &LogicalPlan) -> Result<Flow> {
        match plan {
            LogicalPlan::TableScan(_) => self.scan(plan),
            LogicalPlan::Projection(projection) => {
                let flow = self.flow(&projection.input)?;
                let step =
                    PlannedStep::project(projection.expr.clone(), projection.input.schema(), schema_of(&projection.schema));
                Ok(flow.with(step, &projection.schema))
            }
            LogicalPlan::Filter(filter) => {
                let mut flow = self.flow(&filter.input)?;
                PlannedStep::filters(&filter.predicate, filter.input.schema()).into_iter().for_each(|step| flow.push(step));
                Ok(flow)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let flow = self.flow(&alias.input)?;
                Ok(Flow { columns: Arc::clone(&alias.schema), ..flow })
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, None),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => {
                let nodes = union.inputs.iter().map(|input| self.union_input(input)).collect::<Result<Vec<_>>>()?;
                let parallelism = nodes.iter().map(|flow| flow.parallelism).max().unwrap_or(1);
                let inputs = nodes.iter().map(|flow| Input::named(&flow.node)).collect();
                let node = self.operator("union", inputs, Union, parallelism);
                let lag = nodes.iter().map(|flow| flow.lag).max().unwrap_or(0);
                Ok(Flow { lag, ..self.node(node, &union.schema, parallelism) })
            }
            LogicalPlan::Sort(sort) => {
                if sort.expr.iter().any(|key| depends_on_time(&key.expr)) {
                    return Err(Error::unsupported("current_timestamp() in ORDER BY: compute it in a column before"));
                }
                let flow = self.flow(&sort.input)?;
                let key = |key: &datafusion::logical_expr::SortExpr| -> Result<SortKey> {
                    let expr = physical(&key.expr, sort.input.schema(), 0)?;
                    Ok(SortKey { expr, descending: !key.asc, nulls_first: key.nulls_first })
                };
                let keys = sort.expr.iter().map(key).collect::<Result<Vec<_>>>()?;
                self.single(flow, "sort", Sort::new(keys).slice(0, sort.fetch), sort.input.schema())
            }
            LogicalPlan::Limit(limit) => {
                let flow = self.flow(&limit.input)?;
                let (skip, fetch) = (literal_count(limit.skip.as_deref())?.unwrap_or(0), literal_count(limit.fetch.as_deref())?);
                match (self.lowering.mode, fetch) {
                    (OutputMode::Complete, _) => self.single(flow, "limit", EpochLimit::new(skip, fetch), limit.input.schema()),
                    (_, Some(rows)) => self.single(flow, "limit", Limit::new(rows), limit.input.schema()),
                    (_, None) => Ok(flow),
                }
            }
            LogicalPlan::Extension(_) => self.extension(plan),
            other => Err(Error::unsupported(format!("{} is not supported in streaming queries", other.display()))),
        }
    }

    fn extension(&mut self, plan: &LogicalPlan) -> Result<Flow> {
        if let Some(generate) = nodes::node::<Generate>(plan) {
            let flow = self.flow(&generate.input)?;
            return Ok(flow.with(PlannedStep::generate(generate, schema_of(&generate.schema)), &generate.schema));
        }
        if let Some(expand) = nodes::node::<Expand>(plan) {
            let flow = self.flow(&expand.input)?;
            return Ok(flow.with(PlannedStep::expand(expand, schema_of(&expand.schema)), &expand.schema));
        }
        if let Some(watermark) = nodes::node::<Watermark>(plan) {
            return self.watermark(watermark);
        }
        if let Some(node) = nodes::node::<Deduplicate>(plan) {
            return self.deduplicate(node);
        }
        if let Some(node) = nodes::node::<nodes::SessionAggregate>(plan) {
            return self.aggregate(&node.aggregate, Some(node.session));
        }
        Err(Error::unsupported(format!("{} is not supported in streaming queries", plan.display())))
    }

    fn scan(&mut self, plan: &LogicalPlan) -> Result<Flow> {
        let (Some(stream), LogicalPlan::TableScan(scan)) = (stream_of(plan), plan) else {
            return Err(Error::unsupported("a static table where a stream is needed"));
        };
        let source = self.sources.iter().find(|source| Arc::ptr_eq(&source.factory, &stream.factory));
        let source = source.ok_or_else(|| Error::unsupported("a stream that is no source"))?;
        let all = || (0..stream.factory.schema().fields().len()).collect();
        let wanted: Vec<usize> = scan.projection.clone().unwrap_or_else(all);
        let (node, given) = (source.node.clone(), Arc::clone(&source.schema));
        let mut flow = Flow {
            node,
            source: (source.scans == 1).then(|| Arc::clone(&source.supplier)),
            schema: Arc::clone(&given),
            columns: Arc::clone(&scan.projected_schema),
            steps: Vec::new(),
            given: Arc::clone(&given),
            parallelism: self.lowering.parallelism,
            lag: 0,
        };
        if wanted != source.projection {
            // Another scan needs more columns, or in another order.
            let input = Arc::new(DFSchema::try_from(Arc::clone(&given))?);
            let position = |column: &usize| source.projection.iter().position(|own| own == column);
            let columns =
                wanted.iter().filter_map(position).map(|at| Expr::Column(Column::new_unqualified(given.field(at).name())));
            let columns: Vec<Expr> = columns.collect();
            let schema = schema_of(&scan.projected_schema);
            flow.push(PlannedStep::project(columns, &input, schema));
        }
        Ok(flow)
    }

    /// A node of the topology that gives the columns of a plan node.
    pub(super) fn node(&self, node: String, columns: &DFSchemaRef, parallelism: usize) -> Flow {
        let schema = schema_of(columns);
        let given = Arc::clone(&schema);
        Flow { node, source: None, given, steps: Vec::new(), columns: Arc::clone(columns), schema, parallelism, lag: 0 }
    }

    /// An operator of one task that gives the rows that it is given.
    fn single(
        &mut self,
        flow: Flow,
        kind: &str,
        supplier: impl OperatorSupplier + 'static,
        columns: &DFSchemaRef,
    ) -> Result<Flow> {
        let flow = self.materialised(flow)?;
        let input = Input::named(&flow.node).hash(Vec::<String>::new());
        let node = self.operator(kind, vec![input], supplier, 1);
        Ok(Flow { schema: Arc::clone(&flow.schema), given: flow.schema, lag: flow.lag, ..self.node(node, columns, 1) })
    }

    fn union_input(&mut self, input: &LogicalPlan) -> Result<Flow> {
        let mut flow = self.flow(input)?;
        let schema = schema_of(input.schema());
        if flow.steps.is_empty() || *flow.schema != *schema {
            flow.push(PlannedStep::project(columns_of(input.schema()), input.schema(), schema));
        }
        self.materialised(flow)
    }

    /// Makes an operator of the steps that are not yet one.
    pub(super) fn materialised(&mut self, mut flow: Flow) -> Result<Flow> {
        if let Some(inner) = flow.source.take() {
            let (schema, steps) = (Arc::clone(&flow.schema), std::mem::take(&mut flow.steps));
            let supplier = if steps.is_empty() {
                inner
            } else {
                let (map, does) = chained(Arc::clone(&flow.given), steps)?;
                Arc::new(MappedSource { inner, schema: Arc::clone(&schema), map, does: Some(does) })
            };
            self.declare_source(&flow.node, supplier);
            return Ok(Flow { given: schema, ..flow });
        }
        if flow.steps.is_empty() {
            return Ok(flow);
        }
        let Flow { node, given, steps, columns, schema, parallelism, source, lag } = flow;
        let pipeline = if steps.iter().any(PlannedStep::depends_on_time) {
            // Built once now, so that what can't be built is refused before the query runs.
            build_steps(&steps, 0)?;
            let factory = move |info: EpochInfo| build_steps(&steps, info.trigger_time_ms).map_err(tidegate_runtime::Error::user);
            Pipeline::per_epoch(given, Arc::clone(&schema), Arc::new(factory))
        } else {
            Pipeline::new(given, build_steps(&steps, 0)?)
        };
        let node = self.operator("pipeline", vec![Input::named(&node)], pipeline, parallelism);
        Ok(Flow { node, source, given: Arc::clone(&schema), steps: Vec::new(), columns, schema, parallelism, lag })
    }

    fn watermark(&mut self, node: &Watermark) -> Result<Flow> {
        let flow = self.flow(&node.input)?;
        let flow = self.materialised(flow)?;
        let column = flow.columns.fields().iter().position(|field| *field.name() == node.column);
        let column = column.ok_or_else(|| Error::unsupported("a watermark of a column that is not there"))?;
        let operator = tidegate_operators::Watermark::new(column, node.delay);
        let name = self.operator("watermark", vec![Input::named(&flow.node)], operator, flow.parallelism);
        Ok(Flow { node: name, given: Arc::clone(&flow.schema), ..flow })
    }

    fn deduplicate(&mut self, node: &Deduplicate) -> Result<Flow> {
        let flow = self.flow(&node.input)?;
        let flow = self.materialised(flow)?;
        let keys: Vec<usize> =
            node.keys.iter().filter_map(|key| flow.columns.fields().iter().position(|field| field.name() == key)).collect();
        let names: Vec<String> = keys.iter().map(|key| flow.schema.field(*key).name().clone()).collect();
        let parallelism = self.lowering.parallelism;
        let mut operator = tidegate_operators::Deduplicate::new(keys).lag(flow.lag);
        let mut event_time = None;
        if let Some((id, delay)) = &node.event_time {
            let column = flow.columns.fields().iter().position(|field| field.name() == id);
            let column = column.ok_or_else(|| Error::unsupported("an event time that was pruned"))?;
            operator = operator.event_time(column);
            event_time = Some(column_number(&flow, column));
            if node.within_watermark {
                operator = operator.within_watermark(*delay);
            }
        }
        let name = self.operator("deduplicate", vec![Input::named(&flow.node).hash(names)], operator, parallelism);
        if let Some(event_time) = event_time {
            self.late_rows(&name, &flow, event_time)?;
        }
        Ok(Flow { node: name, given: Arc::clone(&flow.schema), parallelism, ..flow })
    }
}

/// A column of a node.
pub(super) fn column_number(flow: &Flow, column: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(PhysicalColumn::new(flow.schema.field(column).name(), column))
}

fn build_steps(steps: &[PlannedStep], time_ms: i64) -> Result<Vec<tidegate_operators::Step>> {
    steps.iter().map(|step| step.build(time_ms)).collect()
}

fn literal_count(expr: Option<&Expr>) -> Result<Option<usize>> {
    match expr {
        None => Ok(None),
        Some(Expr::Literal(ScalarValue::Int64(Some(count)), _)) => Ok(usize::try_from(*count).ok()),
        Some(other) => Err(Error::unsupported(format!("the limit {other} is no number"))),
    }
}

/// A source that several plans may share.
struct SharedSource(Arc<dyn SourceSupplier>);

impl SourceSupplier for SharedSource {
    fn schema(&self) -> tidegate_runtime::Result<SchemaRef> {
        self.0.schema()
    }

    fn supply(&self) -> tidegate_runtime::Result<Box<dyn tidegate_runtime::Source>> {
        self.0.supply()
    }

    fn is_replayable(&self) -> bool {
        self.0.is_replayable()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}
