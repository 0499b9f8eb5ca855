//! From a topology and its checkpoint to the driver and the tasks of one run.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

use super::driver::{DrivenSink, DrivenSource, DriverParts, EpochDriver, at};
use super::watermarks::{WatermarkPolicy, WatermarkTracker};
use crate::checkpoint::{
    Checkpoint, CheckpointOptions, Recovered, StateReader, StatefulNode, TableDescriptor, TopologyDescriptor,
};
use crate::edge::{
    Cancel, CancelGuard, EDGE_CAPACITY, EdgeReceiver, EdgeSender, Exchange, InputGate, Output, OutputEdge, Router, cancel_pair,
    edge,
};
use crate::error::{Error, Result};
use crate::metrics::TaskMetrics;
use crate::operator::OperatorSupplier;
use crate::sink::{LastCommitted, SinkContext, SinkSupplier};
use crate::source::{Notifier, SourceContext, SourceSupplier};
use crate::state::TableSpec;
use crate::task::thread::task_thread_name;
use crate::task::{
    AckSender, OpenEpoch, OperatorTask, SinkTask, SnapshotJob, SnapshotThread, SourceCommand, SourceTask, TaskState,
};
use crate::time::Clock;
use crate::topology::{Node, NodeKind, RESERVED_PREFIX, Topology, schema_text};
use crate::types::{Epoch, NodeId, Port, RunId, TaskId};

/// How many snapshots may wait to be written before tasks have to wait.
const SNAPSHOT_QUEUE: usize = 64;

/// The name that the snapshot thread goes by among the tasks.
const SNAPSHOTS: &str = "tidegate:snapshots";

/// What a run is made from, the same for every restart.
#[derive(Clone)]
pub(crate) struct RunSettings {
    pub(crate) topology: Topology,
    pub(crate) checkpoint: PathBuf,
    pub(crate) checkpoint_options: CheckpointOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_epochs_in_flight: usize,
    pub(crate) watermark_policy: WatermarkPolicy,
    pub(crate) idle_after: Option<Duration>,
    pub(crate) keep_event_times: bool,
}

/// A run, ready to start.
pub(crate) struct Assembly {
    pub(crate) driver: EpochDriver,
    pub(crate) tasks: Vec<TaskPlan>,
    /// Dropping it cancels all tasks.
    pub(crate) guard: CancelGuard,
}

/// A task that has no thread yet.
pub(crate) struct TaskPlan {
    pub(crate) task: TaskId,
    pub(crate) thread: String,
    pub(crate) body: Box<dyn FnOnce() -> Result<()> + Send>,
    /// For a source's task: where its commands go.
    pub(crate) commands: Option<Sender<SourceCommand>>,
    pub(crate) metrics: Arc<TaskMetrics>,
    pub(crate) open_epoch: Arc<OpenEpoch>,
}

impl TaskPlan {
    /// Whether it is a task of the topology, and not of the runtime itself.
    pub(crate) fn is_of_topology(&self) -> bool {
        self.task.node.as_str() != SNAPSHOTS
    }
}

/// Opens the checkpoint, the sources and the sinks, and makes the tasks with the channels between them.
pub(crate) fn assemble(settings: &RunSettings, run: RunId, acks: AckSender, notifier: &Notifier) -> Result<Assembly> {
    let topology = &settings.topology;
    let (checkpoint, recovered) = Checkpoint::open(&settings.checkpoint, &descriptor(topology), &settings.checkpoint_options)?;
    let (guard, cancel) = cancel_pair();
    let mut builder = RunBuilder {
        topology,
        path: &settings.checkpoint,
        recovered: &recovered,
        reader: checkpoint.state_reader(),
        wires: Wires::lay(topology),
        cancel,
        acks,
        notifier,
        sources: Vec::new(),
        sinks: Vec::new(),
        tasks: Vec::new(),
    };
    builder.nodes(&checkpoint)?;
    let RunBuilder { sources, sinks, tasks, .. } = builder;
    let acknowledging = topology.nodes().iter().flat_map(task_ids).collect();
    let policy = WatermarkPolicy::pinned(&recovered.settings, settings.watermark_policy)?;
    let watermarks = WatermarkTracker::new(policy, reporters(topology), recovered.watermarks.next, settings.clock.now_ms());
    let mut driver = EpochDriver::new(DriverParts {
        checkpoint,
        run,
        clock: Arc::clone(&settings.clock),
        sources,
        sinks,
        tasks: acknowledging,
        max_epochs_in_flight: settings.max_epochs_in_flight,
        committed: recovered.committed,
        watermarks: watermarks.idle_after(settings.idle_after),
        reported: recovered.watermarks.reported,
        last_watermark: recovered.watermark,
        needs_watermark_epochs: operators(topology).any(|(_, supplier)| supplier.needs_watermark_epochs()),
        last_trigger_time_ms: recovered.last_trigger_time_ms,
        replay: VecDeque::from(recovered.uncommitted),
    });
    if settings.keep_event_times {
        driver.keep_reported();
    }
    Ok(Assembly { driver, tasks, guard })
}

fn operators(topology: &Topology) -> impl Iterator<Item = (&Node, &dyn OperatorSupplier)> {
    topology.nodes().iter().filter_map(|node| match &node.kind {
        NodeKind::Operator(supplier, _) => Some((node, supplier.as_ref())),
        NodeKind::Source(_) | NodeKind::Sink(_) => None,
    })
}

/// The nodes that report event times, and the sources of their rows.
fn reporters(topology: &Topology) -> BTreeMap<NodeId, Vec<NodeId>> {
    let reporting = operators(topology).filter(|(_, supplier)| supplier.reports_watermark());
    reporting.map(|(node, _)| (node.id.clone(), topology.sources_of(&node.id))).collect()
}

fn task_ids(node: &Node) -> impl Iterator<Item = TaskId> {
    let id = node.id.clone();
    (0..node.parallelism).map(move |subtask| TaskId { node: id.clone(), subtask })
}

/// What must be the same for a checkpoint to be continued: sources, sinks, and state with the exchange that deals it.
fn descriptor(topology: &Topology) -> TopologyDescriptor {
    let mut descriptor = TopologyDescriptor::default();
    for node in topology.nodes() {
        let (id, schema) = (node.id.to_string(), schema_text(&node.schema));
        match &node.kind {
            NodeKind::Source(_) => descriptor.sources.push((id, schema)),
            NodeKind::Sink(_) => descriptor.sinks.push((id, schema)),
            NodeKind::Operator(_, tables) if tables.is_empty() => {}
            NodeKind::Operator(_, tables) => descriptor.stateful.push(StatefulNode {
                node: id,
                inputs: node.inputs.iter().map(|input| stateful_input(&input.exchange)).collect(),
                tables: tables.iter().map(TableDescriptor::of).collect(),
            }),
        }
    }
    descriptor
}

/// Forward and rebalance may change with the parallelism, and state does not depend on which of them it is.
fn stateful_input(exchange: &Exchange) -> String {
    match exchange {
        Exchange::Forward | Exchange::Rebalance => "any task".to_owned(),
        Exchange::Hash(_) | Exchange::Broadcast => exchange.to_string(),
    }
}

/// The channels of all edges, sorted by the tasks at their ends.
struct Wires {
    outputs: HashMap<TaskIndex, Vec<OutputEdge>>,
    inputs: HashMap<TaskIndex, Vec<(Port, EdgeReceiver)>>,
}

/// A node's index and a subtask's.
type TaskIndex = (usize, usize);

impl Wires {
    fn lay(topology: &Topology) -> Self {
        let mut wires = Wires { outputs: HashMap::new(), inputs: HashMap::new() };
        for (from, producer) in topology.nodes().iter().enumerate() {
            for (to, port, exchange) in topology.consumers(from) {
                let consumers = topology.nodes()[to].parallelism;
                for subtask in 0..producer.parallelism {
                    let targets: Vec<usize> = match exchange {
                        Exchange::Forward => vec![subtask],
                        Exchange::Hash(_) | Exchange::Broadcast | Exchange::Rebalance => (0..consumers).collect(),
                    };
                    let targets = targets.into_iter().map(|target| wires.connect(to, target, Port(port))).collect();
                    let edge = OutputEdge { router: router(producer, exchange, subtask, consumers), targets };
                    wires.outputs.entry((from, subtask)).or_default().push(edge);
                }
            }
        }
        wires
    }

    fn connect(&mut self, node: usize, subtask: usize, port: Port) -> EdgeSender {
        let (sender, receiver) = edge(EDGE_CAPACITY);
        self.inputs.entry((node, subtask)).or_default().push((port, receiver));
        sender
    }
}

fn router(producer: &Node, exchange: &Exchange, subtask: usize, targets: usize) -> Router {
    match exchange {
        Exchange::Forward => Router::Single,
        _ if targets == 1 => Router::Single,
        Exchange::Broadcast => Router::Broadcast,
        // Producers start at different targets, so that the first batches of all don't meet at one.
        Exchange::Rebalance => Router::Rebalance { next: subtask },
        Exchange::Hash(columns) => {
            // Validation has found every column.
            let columns = columns.iter().filter_map(|column| producer.schema.index_of(column).ok()).collect();
            Router::hash(columns, &producer.schema, targets)
        }
    }
}

/// Makes one run's tasks, node by node.
struct RunBuilder<'a> {
    topology: &'a Topology,
    path: &'a Path,
    recovered: &'a Recovered,
    reader: StateReader,
    wires: Wires,
    cancel: Cancel,
    acks: AckSender,
    notifier: &'a Notifier,
    sources: Vec<DrivenSource>,
    sinks: Vec<DrivenSink>,
    tasks: Vec<TaskPlan>,
}

impl RunBuilder<'_> {
    fn nodes(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let topology = self.topology;
        let stateful =
            topology.nodes().iter().any(|node| matches!(&node.kind, NodeKind::Operator(_, tables) if !tables.is_empty()));
        // Tasks hold the only senders: the snapshot thread ends when the last of them has.
        let (snapshots, jobs) = bounded(SNAPSHOT_QUEUE);
        for (index, node) in topology.nodes().iter().enumerate() {
            match &node.kind {
                NodeKind::Source(supplier) => self.source(index, node, supplier.as_ref())?,
                NodeKind::Operator(supplier, tables) => self.operator(index, node, supplier.as_ref(), tables, &snapshots)?,
                NodeKind::Sink(supplier) => self.sink(index, node, supplier.as_ref())?,
            }
        }
        if stateful {
            let thread = SnapshotThread { jobs, writer: checkpoint.snapshot_writer(), acks: Arc::clone(&self.acks) };
            let task = TaskId { node: NodeId::new(SNAPSHOTS), subtask: 0 };
            self.plan(task, None, TaskHandles::default(), Box::new(move || thread.run()));
        }
        Ok(())
    }

    fn source(&mut self, index: usize, node: &Node, supplier: &dyn SourceSupplier) -> Result<()> {
        if !supplier.is_replayable() {
            tracing::warn!(source = %node.id, "source can't replay its input: rows are lost if the query fails");
        }
        let context = SourceContext {
            node: node.id.clone(),
            query: self.recovered.query,
            parallelism: node.parallelism,
            offset: self.recovered.last_offsets.get(&node.id).cloned(),
            journal: self.recovered.journals.get(&node.id).cloned().unwrap_or_default(),
            notifier: self.notifier.clone(),
        };
        let mut source = at(format!("opening source {}", node.id), None, || {
            let mut source = supplier.supply()?;
            source.open(context)?;
            Ok(source)
        })?;
        for task in task_ids(node) {
            let reader = at(format!("making a reader of source {}", node.id), None, || source.reader(task.subtask))?;
            #[allow(clippy::disallowed_methods, reason = "control: one command for each epoch in flight, never rows")]
            let (sender, commands) = crossbeam_channel::unbounded();
            let handles = TaskHandles::default();
            let body = SourceTask {
                task: task.clone(),
                reader,
                commands,
                cancel: self.cancel.clone(),
                output: self.output(index, task.subtask, &handles),
                metrics: Arc::clone(&handles.metrics),
                acks: Arc::clone(&self.acks),
                open_epoch: Arc::clone(&handles.open_epoch),
            };
            self.plan(task, Some(sender), handles, Box::new(move || body.run()));
        }
        let offset = self.recovered.committed_offsets.get(&node.id).cloned();
        self.sources.push(DrivenSource { node: node.id.clone(), parallelism: node.parallelism, source, offset });
        Ok(())
    }

    fn operator(
        &mut self,
        index: usize,
        node: &Node,
        supplier: &dyn OperatorSupplier,
        tables: &[TableSpec],
        snapshots: &Sender<SnapshotJob>,
    ) -> Result<()> {
        let operators = at(format!("making operator {}", node.id), None, || supplier.supply_all(node.parallelism))?;
        if operators.len() != node.parallelism {
            let (made, asked) = (operators.len(), node.parallelism);
            return Err(Error::Protocol(format!("operator {} has {asked} tasks, and its supplier made {made}", node.id)));
        }
        for (task, operator) in task_ids(node).zip(operators) {
            let handles = TaskHandles::default();
            let (gate, output) = (self.gate(index, task.subtask, &handles), self.output(index, task.subtask, &handles));
            let (cancel, acks, snapshots) = (self.cancel.clone(), Arc::clone(&self.acks), snapshots.clone());
            let (metrics, open_epoch) = (Arc::clone(&handles.metrics), Arc::clone(&handles.open_epoch));
            let (specs, reader, parallelism, id) = (tables.to_vec(), self.reader.clone(), node.parallelism, task.clone());
            let reports = supplier.reports_watermark();
            // The state is read on the task's own thread: all tasks restore at the same time.
            let body = move || {
                let state = TaskState::restore(&id, parallelism, specs, &reader)?;
                let task = OperatorTask {
                    task: id,
                    operator,
                    state,
                    gate,
                    output,
                    cancel,
                    metrics,
                    acks,
                    snapshots,
                    open_epoch,
                    reports,
                    reported: None,
                };
                task.run()
            };
            self.plan(task, None, handles, Box::new(body));
        }
        Ok(())
    }

    fn sink(&mut self, index: usize, node: &Node, supplier: &dyn SinkSupplier) -> Result<()> {
        let context = SinkContext {
            node: node.id.clone(),
            query: self.recovered.query,
            schema: Arc::clone(&node.schema),
            parallelism: node.parallelism,
            committed: self.recovered.committed,
        };
        let (mut sink, last) = at(format!("opening sink {}", node.id), None, || {
            let mut sink = supplier.supply()?;
            sink.open(context)?;
            let last = sink.last_committed()?;
            Ok((sink, last))
        })?;
        let has_until = self.check_record(&node.id, last)?;
        for task in task_ids(node) {
            let writer = at(format!("making a writer of sink {}", node.id), None, || sink.writer(task.subtask))?;
            let handles = TaskHandles::default();
            let body = SinkTask {
                task: task.clone(),
                writer,
                gate: self.gate(index, task.subtask, &handles),
                has_until,
                metrics: Arc::clone(&handles.metrics),
                acks: Arc::clone(&self.acks),
                open_epoch: Arc::clone(&handles.open_epoch),
            };
            self.plan(task, None, handles, Box::new(move || body.run()));
        }
        self.sinks.push(DrivenSink { node: node.id.clone(), sink, has_until });
        Ok(())
    }

    /// Compares a sink's own record with the checkpoint's. It may have the epoch that was being committed when the last run ended;
    /// anything else proves that the two don't belong together, or that one of them lost something.
    fn check_record(&self, sink: &NodeId, last: LastCommitted) -> Result<Option<Epoch>> {
        let logged = self.recovered.uncommitted.last().map(|record| record.epoch).or(self.recovered.committed);
        let mismatch = |what: String| Error::SinkMismatch { sink: sink.to_string(), path: self.path.to_path_buf(), what };
        match (last, self.recovered.committed) {
            (LastCommitted::Untracked, _) | (LastCommitted::Nothing, None) => Ok(None),
            (LastCommitted::Nothing, Some(committed)) => Err(mismatch(format!(
                "the checkpoint has committed epoch {committed}, the sink has no record of any; give the sink its data back, or start \
                 with a new checkpoint"
            ))),
            (LastCommitted::Epoch(last), _) if logged.is_none_or(|logged| last > logged) => Err(mismatch(format!(
                "the sink has epoch {last}, the checkpoint has planned {}; the checkpoint lost epochs, or is not the one that wrote to \
                 this sink",
                logged.map_or("none".to_owned(), |logged| format!("up to epoch {logged}"))
            ))),
            (LastCommitted::Epoch(last), Some(committed)) if last < committed => Err(mismatch(format!(
                "the checkpoint has committed epoch {committed}, the sink only has epoch {last}; the sink lost epochs"
            ))),
            (LastCommitted::Epoch(last), _) => Ok(Some(last)),
        }
    }

    fn gate(&mut self, node: usize, subtask: usize, handles: &TaskHandles) -> InputGate {
        let inputs = self.wires.inputs.remove(&(node, subtask)).unwrap_or_default();
        InputGate::new(inputs, self.cancel.clone(), Arc::clone(&handles.metrics))
    }

    fn output(&mut self, node: usize, subtask: usize, handles: &TaskHandles) -> Output {
        let edges = self.wires.outputs.remove(&(node, subtask)).unwrap_or_default();
        Output::new(edges, self.cancel.clone(), Arc::clone(&handles.metrics))
    }

    fn plan(
        &mut self,
        task: TaskId,
        commands: Option<Sender<SourceCommand>>,
        handles: TaskHandles,
        body: Box<dyn FnOnce() -> Result<()> + Send>,
    ) {
        let name = task.node.as_str();
        let thread = task_thread_name(name.strip_prefix(RESERVED_PREFIX).unwrap_or(name), task.subtask);
        let TaskHandles { metrics, open_epoch } = handles;
        self.tasks.push(TaskPlan { task, thread, body, commands, metrics, open_epoch });
    }
}

/// What a task's thread shares with those who watch it.
#[derive(Default)]
struct TaskHandles {
    metrics: Arc<TaskMetrics>,
    open_epoch: Arc<OpenEpoch>,
}
