//! A checkpoint under test, next to a plain map that says what its state must be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, UInt16Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;

use super::super::*;
use crate::error::Result;
use crate::source::Offset;
use crate::state::{GROUP_COLUMN, REMOVED_COLUMN, Snapshot, TableSpec};
use crate::types::{Epoch, NodeId, TaskId, Watermark};

/// Fail points belong to the process: a test that switches one on must have all others wait that might pass it.
static POINTS: RwLock<()> = RwLock::new(());

/// For a test that passes fail points and expects nothing to happen.
pub(crate) fn no_faults() -> RwLockReadGuard<'static, ()> {
    POINTS.read().unwrap_or_else(PoisonError::into_inner)
}

/// For a test that switches fail points on.
pub(super) fn faults() -> RwLockWriteGuard<'static, ()> {
    POINTS.write().unwrap_or_else(PoisonError::into_inner)
}

/// What a table holds.
pub(super) type Model = BTreeMap<i64, i64>;

pub(super) fn spec() -> TableSpec {
    TableSpec::new("counts", [("k", DataType::Int64)], [("v", DataType::Int64)]).unwrap()
}

pub(super) fn node() -> NodeId {
    NodeId::new("count")
}

pub(super) fn topology() -> TopologyDescriptor {
    TopologyDescriptor {
        sources: vec![("a".into(), "x Int64".into()), ("b".into(), "x Int64".into())],
        sinks: vec![("out".into(), "k Int64, v Int64".into())],
        stateful: vec![StatefulNode {
            node: "count".into(),
            inputs: vec!["hash(k)".into()],
            tables: vec![TableDescriptor::of(&spec())],
        }],
    }
}

/// Everything in files, so that every kind of file is there.
pub(super) fn files_only() -> CheckpointOptions {
    CheckpointOptions { inline_limit: 0, ..CheckpointOptions::default() }
}

pub(super) fn open(dir: &Path) -> Result<(Checkpoint, Recovered)> {
    Checkpoint::open(dir, &topology(), &CheckpointOptions::default())
}

pub(super) fn offsets(epoch: u64) -> OffsetRecord {
    let at = |n: u64| Some(Offset::encode(&n).unwrap());
    let source = |node: &str| SourceOffset {
        node: NodeId::new(node),
        start: epoch.checked_sub(1).and_then(|before| at(before * 10 + 10)),
        end: at(epoch * 10 + 10),
    };
    OffsetRecord {
        epoch: Epoch::new(epoch),
        trigger_time_ms: 1_000 + epoch as i64,
        watermark: epoch.checked_sub(1).map(|before| Watermark::from_micros(before as i64)),
        late_watermark: epoch.checked_sub(2).map(|before| Watermark::from_micros(before as i64)),
        sources: vec![source("a"), source("b")],
        settings: BTreeMap::from([("timeZone".into(), "UTC".into())]),
    }
}

pub(super) fn watermarks(epoch: u64) -> Watermarks {
    let next = Watermark::from_micros(epoch as i64);
    Watermarks { next: Some(next), reported: BTreeMap::from([(NodeId::new("late"), next), (node(), Watermark::from_micros(-1))]) }
}

pub(super) fn journal(epoch: u64) -> Vec<(NodeId, Vec<u8>)> {
    match epoch % 3 {
        0 => vec![],
        1 => vec![(NodeId::new("a"), format!("files of {epoch}").into_bytes())],
        _ => vec![(NodeId::new("a"), vec![epoch as u8; 20_000]), (NodeId::new("b"), vec![1, 2, 3])],
    }
}

/// Rows as a snapshot has them; `None` for a removed one.
pub(super) fn batch(rows: &[(i64, Option<i64>)]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new(GROUP_COLUMN, DataType::UInt16, false),
        Field::new(REMOVED_COLUMN, DataType::Boolean, false),
        Field::new("k", DataType::Int64, true),
        Field::new("v", DataType::Int64, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0 as u16 % 128).collect::<UInt16Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1.is_none())).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.0).map(Some).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

pub(super) fn snapshot(rows: &[(i64, Option<i64>)], full: bool) -> Snapshot {
    let batches: Vec<RecordBatch> = rows.chunks(1000).map(batch).collect();
    Snapshot::new(rows.len(), full, move || Ok(batches))
}

pub(super) fn owner(key: i64, parallelism: usize) -> usize {
    key.rem_euclid(parallelism as i64) as usize
}

/// Writes what each of `parallelism` tasks changed.
pub(super) fn write(
    writer: &SnapshotWriter,
    epoch: u64,
    parallelism: usize,
    rows: &[(i64, Option<i64>)],
    full: bool,
) -> Result<Vec<NewRun>> {
    let mut runs = Vec::new();
    for subtask in 0..parallelism {
        let own: Vec<_> = rows.iter().copied().filter(|row| owner(row.0, parallelism) == subtask).collect();
        let task = TaskId { node: node(), subtask };
        runs.extend(writer.write(&task, parallelism, Epoch::new(epoch), &spec(), snapshot(&own, full))?);
    }
    Ok(runs)
}

/// Reads the restored state. No two chains may hold the same key.
pub(super) fn restore(reader: &StateReader) -> Result<Model> {
    let mut state = Model::new();
    reader.read(&node(), &spec(), &mut |batch| {
        let removed = batch.column(1).as_boolean();
        let (keys, values) = (batch.column(2).as_primitive::<Int64Type>(), batch.column(3).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            match removed.value(row) {
                true => state.remove(&keys.value(row)),
                false => state.insert(keys.value(row), values.value(row)),
            };
        }
        Ok(())
    })?;
    Ok(state)
}

/// Applies changes to the model.
pub(super) fn change(model: &mut Model, rows: &[(i64, Option<i64>)]) {
    for (key, value) in rows {
        match value {
            Some(value) => model.insert(*key, *value),
            None => model.remove(key),
        };
    }
}

pub(super) fn full_rows(model: &Model) -> Vec<(i64, Option<i64>)> {
    model.iter().map(|(key, value)| (*key, Some(*value))).collect()
}

/// Logs, writes and commits an epoch.
pub(super) fn run(checkpoint: &mut Checkpoint, epoch: u64, parallelism: usize, rows: &[(i64, Option<i64>)]) -> Result<()> {
    checkpoint.log_offsets(offsets(epoch), journal(epoch))?;
    finish(checkpoint, epoch, parallelism, rows)
}

/// Writes and commits an epoch that is logged.
pub(super) fn finish(checkpoint: &mut Checkpoint, epoch: u64, parallelism: usize, rows: &[(i64, Option<i64>)]) -> Result<()> {
    let runs = write(&checkpoint.snapshot_writer(), epoch, parallelism, rows, false)?;
    checkpoint.commit(Epoch::new(epoch), &watermarks(epoch), runs)?;
    checkpoint.clean()
}

/// Small pseudo-random numbers with a seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// Changes of `count` different keys below `keys`.
    pub(super) fn rows(&mut self, count: usize, keys: u64) -> Vec<(i64, Option<i64>)> {
        let mut rows = HashMap::new();
        for _ in 0..count {
            let value = if self.below(4) == 0 { None } else { Some(self.below(1 << 30) as i64) };
            rows.insert(self.below(keys) as i64, value);
        }
        rows.into_iter().collect()
    }
}

/// All files below `dir`, sorted.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    found.into_iter().collect()
}

pub(super) fn disk_bytes(dir: &Path) -> u64 {
    files(dir).iter().map(|path| path.metadata().unwrap().len()).sum()
}

/// Copies the files as they are now: what a crash at this moment would leave.
pub(super) fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(path, target).unwrap();
    }
}
