//! Plans, logs and commits epochs: the coordinator's side of an epoch's life (`checkpoint` tells it in prose).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::tracker::EpochTracker;
use super::watermark_report::WatermarkReport;
use super::watermarks::WatermarkTracker;
use crate::checkpoint::{Checkpoint, NewRun, OffsetRecord, SourceOffset};
use crate::error::{Error, Result, catch_panic};
use crate::failpoint;
use crate::metrics::TaskMetricsSnapshot;
use crate::progress::{EpochDurations, EpochProgress, SourceProgress};
use crate::sink::{Sink, Staged};
use crate::source::{Offset, ReadLimit, Source, Split, Wake};
use crate::task::TaskAck;
use crate::time::Clock;
use crate::types::{Epoch, EpochInfo, NodeId, QueryId, RunId, TaskId, Watermark};

/// A source, and how far it has been planned.
pub(crate) struct DrivenSource {
    pub(crate) node: NodeId,
    pub(crate) parallelism: usize,
    pub(crate) source: Box<dyn Source>,
    /// Where the newest epoch begun in this run ends, or the newest committed one.
    pub(crate) offset: Option<Offset>,
}

/// A sink, and what it has already.
pub(crate) struct DrivenSink {
    pub(crate) node: NodeId,
    pub(crate) sink: Box<dyn Sink>,
    /// The newest epoch in the sink's own record when the run started.
    pub(crate) has_until: Option<Epoch>,
}

/// What a driver starts from.
pub(crate) struct DriverParts {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) run: RunId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sources: Vec<DrivenSource>,
    pub(crate) sinks: Vec<DrivenSink>,
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) max_epochs_in_flight: usize,
    pub(crate) committed: Option<Epoch>,
    /// Which watermark epochs are planned with.
    pub(crate) watermarks: WatermarkTracker,
    /// What nodes had reported by the newest committed epoch, in whichever start of the query.
    pub(crate) reported: BTreeMap<NodeId, Watermark>,
    /// The watermark of the newest committed epoch.
    pub(crate) last_watermark: Option<Watermark>,
    /// Whether any operator has something to do when the watermark moves.
    pub(crate) needs_watermark_epochs: bool,
    pub(crate) last_trigger_time_ms: Option<i64>,
    /// Logged and not committed: to be run again first, exactly as logged.
    pub(crate) replay: VecDeque<OffsetRecord>,
}

/// The coordinator's state of one run.
pub(crate) struct EpochDriver {
    parts: DriverParts,
    query: QueryId,
    tracker: EpochTracker<TaskAck>,
    begun: BTreeMap<Epoch, BegunEpoch>,
    next: Epoch,
    /// The watermark of the newest epoch begun in this run, or the newest committed one.
    last_watermark: Option<Watermark>,
    /// Whether a watermark that has moved is worth an epoch without input. Not before this start of the query has had an epoch.
    may_follow_up: bool,
    /// Each task's counters at its last acknowledgement.
    metrics: HashMap<TaskId, TaskMetricsSnapshot>,
}

/// An epoch that the sources are to run.
#[derive(Debug)]
pub(crate) struct EpochStart {
    pub(crate) info: EpochInfo,
    /// For every task of every source, its splits; none for a source without new input.
    pub(crate) splits: Vec<(TaskId, Vec<Split>)>,
}

/// What must be remembered of an epoch until its commit.
struct BegunEpoch {
    info: EpochInfo,
    offsets: Vec<SourceOffset>,
    triggered: Instant,
    started: Instant,
    durations: EpochDurations,
}

impl EpochDriver {
    pub(crate) fn new(parts: DriverParts) -> Self {
        let next = parts.committed.map_or(Epoch::FIRST, Epoch::next);
        EpochDriver {
            query: parts.checkpoint.query_id(),
            tracker: EpochTracker::new(parts.tasks.iter().cloned()),
            begun: BTreeMap::new(),
            next,
            last_watermark: parts.last_watermark,
            may_follow_up: false,
            metrics: HashMap::new(),
            parts,
        }
    }

    pub(crate) fn query_id(&self) -> QueryId {
        self.query
    }

    /// Whether no epoch is in flight.
    pub(crate) fn is_quiet(&self) -> bool {
        self.tracker.in_flight() == 0
    }

    /// Whether another epoch may begin.
    pub(crate) fn has_room(&self) -> bool {
        self.tracker.in_flight() < self.parts.max_epochs_in_flight
    }

    /// Whether epochs of an earlier run are still to be run again.
    pub(crate) fn is_replaying(&self) -> bool {
        !self.parts.replay.is_empty()
    }

    /// Whether no source will ever have more than it has now.
    pub(crate) fn is_finished(&self) -> bool {
        self.parts.sources.iter().all(|source| source.source.is_finished())
    }

    /// When to look again without being notified: for sources that can't notify, and for the watermark, which moves when an input
    /// has been silent for long enough.
    pub(crate) fn look_again_in(&self) -> Option<Duration> {
        let interval = |source: &DrivenSource| match source.source.wake() {
            Wake::Notified => None,
            Wake::Poll(interval) => Some(interval),
        };
        let waits = self.parts.needs_watermark_epochs && self.may_follow_up;
        let idle_in = waits.then(|| self.parts.watermarks.idle_in(self.parts.clock.now_ms())).flatten();
        self.parts.sources.iter().filter_map(interval).chain(idle_in.map(Duration::from_millis)).min()
    }

    /// Fixes the end of every source's input: the trigger `available-now`.
    pub(crate) fn freeze(&mut self) -> Result<()> {
        for source in &mut self.parts.sources {
            at(format!("freezing source {}", source.node), None, || source.source.freeze())?;
        }
        Ok(())
    }

    /// Goes on for an earlier run of the same start of the query, which has committed an epoch: as if that run had not failed.
    pub(crate) fn resume(&mut self) {
        self.keep_reported();
        self.may_follow_up = true;
    }

    /// Takes up what nodes had reported before this run.
    pub(crate) fn keep_reported(&mut self) {
        self.parts.watermarks.resume(&self.parts.reported);
    }

    /// Whether an epoch is due although no source has anything new: the watermark has moved since the last one, and an operator
    /// waits for that. Epochs in flight may move it further, so they are waited for.
    pub(crate) fn owes_epoch(&self) -> bool {
        let moved = || self.planned_watermark() > self.last_watermark.or(Some(Watermark::ZERO));
        self.parts.needs_watermark_epochs && self.may_follow_up && self.is_quiet() && !self.is_replaying() && moved()
    }

    /// Begins the next epoch, if there is anything to do: plans it and makes the plan durable, or takes up one that an earlier
    /// run had logged. Without a limit the sources are not asked for more.
    pub(crate) fn begin(&mut self, limit: Option<ReadLimit>) -> Result<Option<EpochStart>> {
        let triggered = Instant::now();
        let mut durations = EpochDurations::default();
        let record = match self.parts.replay.pop_front() {
            Some(logged) => logged,
            None => {
                let Some(planned) = self.plan(limit)? else { return Ok(None) };
                durations.planning = triggered.elapsed();
                let logging = Instant::now();
                self.log(&planned)?;
                durations.offset_log = logging.elapsed();
                planned
            }
        };
        at("starting the epoch", Some(record.epoch), || failpoint::hit("run.start"))?;
        self.start(record, triggered, durations).map(Some)
    }

    /// Asks every source how far its input reaches. `None`: nothing new, and no work for the watermark.
    fn plan(&mut self, limit: Option<ReadLimit>) -> Result<Option<OffsetRecord>> {
        let mut sources = Vec::with_capacity(self.parts.sources.len());
        for source in &mut self.parts.sources {
            let start = source.offset.clone();
            let end = match limit {
                Some(limit) => at(format!("asking source {} for its latest offset", source.node), Some(self.next), || {
                    source.source.latest_offset(start.as_ref(), limit)
                })?,
                None => None,
            };
            let end = end.or_else(|| start.clone());
            sources.push(SourceOffset { node: source.node.clone(), start, end });
        }
        let has_input = |node: &NodeId| sources.iter().any(|source| source.node == *node && source.end != source.start);
        self.parts.watermarks.note_input(has_input, self.parts.clock.now_ms());
        if sources.iter().all(|source| source.end == source.start) && !self.owes_epoch() {
            return Ok(None);
        }
        // The wall clock may be set back; the times of epochs never go back.
        let now = self.parts.clock.now_ms();
        let trigger_time_ms = self.parts.last_trigger_time_ms.map_or(now, |last| last.max(now));
        let watermark = self.planned_watermark();
        Ok(Some(OffsetRecord {
            epoch: self.next,
            trigger_time_ms,
            watermark,
            late_watermark: watermark.map(|_| self.last_watermark.unwrap_or(Watermark::ZERO)),
            sources,
            settings: self.parts.watermarks.settings(),
        }))
    }

    /// The watermark of an epoch that is planned now: the newest that is known, which is not the one that epochs in flight will
    /// make of it.
    fn planned_watermark(&self) -> Option<Watermark> {
        let known = self.parts.watermarks.at(self.parts.clock.now_ms());
        known.map(|known| known.max(self.last_watermark.unwrap_or(Watermark::ZERO)))
    }

    /// Where the watermark is, and why.
    pub(crate) fn watermark_report(&self) -> WatermarkReport {
        self.parts.watermarks.report()
    }

    /// The write-ahead log: after this, the epoch can only be run as planned.
    fn log(&mut self, record: &OffsetRecord) -> Result<()> {
        let epoch = Some(record.epoch);
        let mut journal = Vec::new();
        for (source, offsets) in self.parts.sources.iter_mut().zip(&record.sources) {
            if let Some(range) = offsets.range() {
                let entry = at(format!("journal of source {}", source.node), epoch, || source.source.journal(&range))?;
                journal.extend(entry.map(|data| (source.node.clone(), data)));
            }
        }
        at("writing the offset log", epoch, || self.parts.checkpoint.log_offsets(record.clone(), journal))
    }

    fn start(&mut self, record: OffsetRecord, triggered: Instant, durations: EpochDurations) -> Result<EpochStart> {
        let OffsetRecord { epoch, trigger_time_ms, watermark, late_watermark, sources: offsets, settings: _ } = record;
        let info = EpochInfo { epoch, trigger_time_ms, watermark, late_watermark };
        let mut splits = Vec::new();
        for logged in &offsets {
            splits.extend(self.splits(epoch, logged)?);
        }
        self.tracker.begin(epoch)?;
        self.next = epoch.next();
        self.last_watermark = watermark;
        self.may_follow_up = true;
        self.parts.last_trigger_time_ms = Some(trigger_time_ms);
        self.begun.insert(epoch, BegunEpoch { info, offsets, triggered, started: Instant::now(), durations });
        Ok(EpochStart { info, splits })
    }

    /// Deals a source's range to its tasks.
    fn splits(&mut self, epoch: Epoch, offsets: &SourceOffset) -> Result<Vec<(TaskId, Vec<Split>)>> {
        let Some(source) = self.parts.sources.iter_mut().find(|source| source.node == offsets.node) else {
            return Err(Error::Protocol(format!("epoch {epoch} was logged with source {}, which is unknown", offsets.node)));
        };
        let splits = match offsets.range() {
            Some(range) => {
                at(format!("splitting the input of source {}", source.node), Some(epoch), || source.source.splits(&range))?
            }
            None => Vec::new(),
        };
        source.offset = offsets.end.clone();
        let mut dealt = vec![Vec::new(); source.parallelism];
        for (number, split) in splits.into_iter().enumerate() {
            dealt[number % source.parallelism].push(split);
        }
        let task = |subtask| TaskId { node: source.node.clone(), subtask };
        Ok(dealt.into_iter().enumerate().map(|(subtask, splits)| (task(subtask), splits)).collect())
    }

    /// Takes a task's acknowledgement.
    pub(crate) fn ack(&mut self, ack: TaskAck) -> Result<()> {
        let (task, epoch) = (ack.task.clone(), ack.epoch);
        self.tracker.ack(&task, epoch, ack)
    }

    /// Commits the oldest epoch in flight, if all tasks have acknowledged it.
    pub(crate) fn commit_next(&mut self) -> Result<Option<EpochProgress>> {
        let Some((epoch, acks)) = self.tracker.take_complete() else { return Ok(None) };
        let Some(mut begun) = self.begun.remove(&epoch) else {
            return Err(Error::Protocol(format!("epoch {epoch} is complete and was never begun")));
        };
        begun.durations.run = begun.started.elapsed();
        at("committing the epoch", Some(epoch), || failpoint::hit("state.after"))?;
        let EpochAcks { runs, mut staged, tasks, input_rows, reports } = self.collect(acks);

        let committing = Instant::now();
        let output_rows = self.commit_sinks(epoch, &mut staged)?;
        begun.durations.sink_commit = committing.elapsed();

        let logging = Instant::now();
        let watermarks = self.parts.watermarks.advance(reports, begun.info, self.parts.clock.now_ms());
        at("writing the commit log", Some(epoch), || self.parts.checkpoint.commit(epoch, watermarks, runs))?;
        begun.durations.commit_log = logging.elapsed();
        self.parts.committed = Some(epoch);

        self.clean(epoch, &begun)?;
        begun.durations.total = begun.triggered.elapsed();
        Ok(Some(self.progress(begun, tasks, &input_rows, output_rows)))
    }

    fn collect(&mut self, acks: BTreeMap<TaskId, TaskAck>) -> EpochAcks {
        let mut collected = EpochAcks::default();
        for (task, ack) in acks {
            let before = self.metrics.insert(task.clone(), ack.metrics).unwrap_or_default();
            let grown = ack.metrics.since(&before);
            if self.parts.sources.iter().any(|source| source.node == task.node) {
                *collected.input_rows.entry(task.node.clone()).or_default() += grown.rows_in;
            }
            collected.runs.extend(ack.runs);
            collected.reports.extend(ack.reported.map(|watermark| (task.clone(), watermark)));
            // The map is in task order, so a sink's parts come in the order of its subtasks.
            collected.staged.entry(task.node.clone()).or_default().extend(ack.staged);
            collected.tasks.push((task, grown));
        }
        collected
    }

    fn commit_sinks(&mut self, epoch: Epoch, staged: &mut HashMap<NodeId, Vec<Staged>>) -> Result<u64> {
        let mut rows = 0;
        for sink in &mut self.parts.sinks {
            if sink.has_until.is_some_and(|has| epoch <= has) {
                continue;
            }
            let staged = staged.remove(&sink.node).unwrap_or_default();
            rows += staged.iter().map(|part| part.rows).sum::<u64>();
            at(format!("committing sink {}", sink.node), Some(epoch), || {
                sink.sink.commit(epoch, staged)?;
                failpoint::hit("sink.partial")
            })?;
        }
        at("committing the sinks", Some(epoch), || failpoint::hit("sink.all"))?;
        Ok(rows)
    }

    fn clean(&mut self, epoch: Epoch, begun: &BegunEpoch) -> Result<()> {
        for source in &mut self.parts.sources {
            let offsets = begun.offsets.iter().find(|offsets| offsets.node == source.node);
            if let Some(end) = offsets.and_then(|offsets| offsets.end.as_ref()) {
                at(format!("committing to source {}", source.node), Some(epoch), || source.source.commit(end))?;
            }
        }
        at("cleaning up the checkpoint", Some(epoch), || self.parts.checkpoint.clean())
    }

    fn progress(
        &self,
        begun: BegunEpoch,
        tasks: Vec<(TaskId, TaskMetricsSnapshot)>,
        input_rows: &HashMap<NodeId, u64>,
        output_rows: u64,
    ) -> EpochProgress {
        let rows = |node: &NodeId| input_rows.get(node).copied().unwrap_or_default();
        let source = |o: SourceOffset| {
            let source = self.parts.sources.iter().find(|source| source.node == o.node).map(|driven| &driven.source);
            SourceProgress {
                rows: rows(&o.node),
                latest: source.and_then(|source| source.reported_latest()),
                metrics: source.zip(o.end.as_ref()).map(|(source, end)| source.metrics(end)).unwrap_or_default(),
                node: o.node,
                start: o.start,
                end: o.end,
            }
        };
        EpochProgress {
            query: self.query,
            run: self.parts.run,
            epoch: begun.info.epoch,
            trigger_time_ms: begun.info.trigger_time_ms,
            input_rows: input_rows.values().sum(),
            output_rows,
            late_rows: tasks.iter().map(|(_, metrics)| metrics.late_rows).sum(),
            watermark: begun.info.watermark,
            next_watermark: self.parts.watermarks.current(),
            durations: begun.durations,
            sources: begun.offsets.into_iter().map(source).collect(),
            tasks,
        }
    }

    /// The query ends in good order.
    pub(crate) fn close(&mut self) -> Result<()> {
        for sink in &mut self.parts.sinks {
            at(format!("closing sink {}", sink.node), None, || sink.sink.close())?;
        }
        Ok(())
    }
}

/// An epoch's acknowledgements, sorted by what they are for.
#[derive(Default)]
struct EpochAcks {
    runs: Vec<NewRun>,
    staged: HashMap<NodeId, Vec<Staged>>,
    tasks: Vec<(TaskId, TaskMetricsSnapshot)>,
    input_rows: HashMap<NodeId, u64>,
    /// What each task reported.
    reports: Vec<(TaskId, Watermark)>,
}

/// Runs one step, which may be a user's code: a panic becomes an error, and an error says what was being done.
pub(crate) fn at<T>(step: impl Into<String>, epoch: Option<Epoch>, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_panic(call).map_err(|cause| Error::Epoch { step: step.into(), epoch, cause: Box::new(cause) })
}
