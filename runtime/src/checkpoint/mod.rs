//! STUB until the real one lands.
#![allow(missing_docs, reason = "stub")]
use crate::error::Result;
use crate::source::*;
use crate::state::*;
use crate::types::*;
use arrow::record_batch::RecordBatch;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct CheckpointOptions {
    pub min_epochs_to_retain: u64,
    pub allow_fallback: bool,
    pub open_deadline: Duration,
}
impl Default for CheckpointOptions {
    fn default() -> Self {
        CheckpointOptions { min_epochs_to_retain: 100, allow_fallback: false, open_deadline: Duration::from_secs(60) }
    }
}
#[derive(Debug, Default)]
pub(crate) struct TopologyDescriptor {
    pub sources: Vec<(String, String)>,
    pub sinks: Vec<(String, String)>,
    pub stateful: Vec<StatefulNode>,
}
#[derive(Debug)]
pub(crate) struct StatefulNode {
    pub node: String,
    pub inputs: Vec<String>,
    pub tables: Vec<TableDescriptor>,
}
#[derive(Debug)]
pub(crate) struct TableDescriptor;
impl From<&TableSpec> for TableDescriptor {
    fn from(_: &TableSpec) -> Self {
        TableDescriptor
    }
}
#[derive(Debug, Clone)]
pub(crate) struct SourceOffsets {
    pub node: NodeId,
    pub start: Option<Offset>,
    pub end: Option<Offset>,
}
impl SourceOffsets {
    pub(crate) fn range(&self) -> Option<OffsetRange> {
        if self.start == self.end { None } else { self.end.clone().map(|end| OffsetRange { start: self.start.clone(), end }) }
    }
}
#[derive(Debug, Clone)]
pub(crate) struct OffsetRecord {
    pub epoch: Epoch,
    pub trigger_time_ms: i64,
    pub watermark: Option<Watermark>,
    pub sources: Vec<SourceOffsets>,
}
#[derive(Debug, Clone)]
pub(crate) struct NewRun {
    task: TaskId,
    parallelism: usize,
    table: String,
    batches: Vec<RecordBatch>,
}
impl NewRun {
    pub(crate) fn bytes(&self) -> u64 {
        0
    }
}
#[derive(Default, Clone)]
struct Inner {
    committed: Option<Epoch>,
    watermark: Option<Watermark>,
    records: Vec<OffsetRecord>,
    journals: HashMap<NodeId, Vec<JournalEntry>>,
    runs: Vec<NewRun>,
    id: Option<QueryId>,
}
static ALL: Mutex<Option<HashMap<std::path::PathBuf, Arc<Mutex<Inner>>>>> = Mutex::new(None);
pub(crate) struct Checkpoint {
    inner: Arc<Mutex<Inner>>,
}
pub(crate) struct Recovered {
    pub query: QueryId,
    pub committed: Option<Epoch>,
    pub watermark: Option<Watermark>,
    pub uncommitted: Vec<OffsetRecord>,
    pub last_offsets: HashMap<NodeId, Offset>,
    pub committed_offsets: HashMap<NodeId, Offset>,
    pub journals: HashMap<NodeId, Vec<JournalEntry>>,
    pub last_trigger_time_ms: Option<i64>,
}
#[derive(Clone)]
pub(crate) struct StateReader(Vec<NewRun>);
#[derive(Clone)]
pub(crate) struct SnapshotWriter;
impl Checkpoint {
    pub(crate) fn open(dir: &Path, _t: &TopologyDescriptor, _o: &CheckpointOptions) -> Result<(Self, Recovered)> {
        let mut all = ALL.lock().unwrap();
        let inner = Arc::clone(all.get_or_insert_default().entry(dir.to_path_buf()).or_default());
        let i = {
            let mut g = inner.lock().unwrap();
            g.id.get_or_insert_with(QueryId::random);
            g.clone()
        };
        let ends = |r: Option<&OffsetRecord>| {
            r.map(|r| r.sources.iter().filter_map(|s| Some((s.node.clone(), s.end.clone()?))).collect()).unwrap_or_default()
        };
        let r = Recovered {
            query: i.id.unwrap(),
            committed: i.committed,
            watermark: i.watermark,
            uncommitted: i.records.iter().filter(|r| Some(r.epoch) > i.committed).cloned().collect(),
            last_offsets: ends(i.records.last()),
            committed_offsets: ends(i.records.iter().rfind(|r| Some(r.epoch) <= i.committed)),
            journals: i.journals.clone(),
            last_trigger_time_ms: i.records.last().map(|r| r.trigger_time_ms),
        };
        Ok((Checkpoint { inner }, r))
    }
    pub(crate) fn query_id(&self) -> QueryId {
        self.inner.lock().unwrap().id.unwrap()
    }
    pub(crate) fn log_offsets(&mut self, r: &OffsetRecord, j: Vec<(NodeId, Vec<u8>)>) -> Result<()> {
        let mut i = self.inner.lock().unwrap();
        i.records.push(r.clone());
        for (n, data) in j {
            i.journals.entry(n).or_default().push(JournalEntry { epoch: r.epoch, data });
        }
        Ok(())
    }
    pub(crate) fn snapshot_writer(&self) -> SnapshotWriter {
        SnapshotWriter
    }
    pub(crate) fn state_reader(&self) -> StateReader {
        StateReader(self.inner.lock().unwrap().runs.clone())
    }
    pub(crate) fn commit(&mut self, e: Epoch, w: Option<Watermark>, runs: Vec<NewRun>) -> Result<()> {
        let mut i = self.inner.lock().unwrap();
        i.committed = Some(e);
        i.watermark = w;
        i.runs.extend(runs);
        Ok(())
    }
    pub(crate) fn clean(&mut self) -> Result<()> {
        Ok(())
    }
}
impl SnapshotWriter {
    pub(crate) fn write(
        &self,
        task: &TaskId,
        parallelism: usize,
        _e: Epoch,
        spec: &TableSpec,
        s: Snapshot,
    ) -> Result<Option<NewRun>> {
        Ok(Some(NewRun { task: task.clone(), parallelism, table: spec.name().into(), batches: s.into_batches()? }))
    }
}
impl StateReader {
    pub(crate) fn read(&self, node: &NodeId, spec: &TableSpec, apply: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        for r in self.0.iter().filter(|r| r.task.node == *node && r.table == spec.name()) {
            for b in &r.batches {
                apply(b.clone())?;
            }
        }
        Ok(())
    }
    pub(crate) fn parallelism(&self, node: &NodeId) -> Option<usize> {
        self.0.iter().rfind(|r| r.task.node == *node).map(|r| r.parallelism)
    }
}
