//! Runs: the rows of a snapshot as an Arrow IPC file, and the two ends that write and read them outside the store's thread.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};

use super::descriptor::TableDescriptor;
use super::manifest::NewRun;
use super::records::{Manifest, SegmentRef, TableState};
use super::segment::{NewSegment, SegmentWriter, Segments, SmallSegments, slug};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::state::{GROUP_COLUMN, REMOVED_COLUMN, Snapshot, TableSpec};
use crate::types::{Epoch, NodeId, TaskId};

/// Writes snapshots, on any thread, of several epochs at a time.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotWriter {
    pub(super) segments: Segments,
}

impl SnapshotWriter {
    /// Writes a task's changes of one epoch. They count once the run is given to `Checkpoint::commit`. `None` if there is
    /// nothing to write: no change.
    ///
    /// # Errors
    /// When the snapshot can't be encoded or written.
    pub(crate) fn write(
        &self,
        task: &TaskId,
        parallelism: usize,
        epoch: Epoch,
        spec: &TableSpec,
        snapshot: Snapshot,
    ) -> Result<Option<NewRun>> {
        let full = snapshot.full;
        if snapshot.rows == 0 && !full {
            return Ok(None);
        }
        let batches = snapshot.into_batches()?;
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let schema = batches.first().map_or_else(|| schema(spec), RecordBatch::schema);
        let stem = stem(task.node.as_str(), number(task.subtask)?, epoch.number());
        let segment = write_run(&self.segments, &stem, &schema, &batches)?;
        Ok(Some(NewRun {
            node: task.node.as_str().to_owned(),
            table: TableDescriptor::of(spec),
            subtask: number(task.subtask)?,
            parallelism: number(parallelism)?,
            epoch: epoch.number(),
            full,
            rows,
            segment,
        }))
    }
}

/// Reads the state that the checkpoint was opened with. For use before the first commit of a run: later its segments may go.
#[derive(Debug, Clone)]
pub(crate) struct StateReader {
    pub(super) segments: Segments,
    pub(super) small: SmallSegments,
    pub(super) manifest: Arc<Manifest>,
}

impl StateReader {
    /// Hands the batches of a table to `apply`: those of each subtask that wrote it in the order in which they were written.
    ///
    /// # Errors
    /// When the logged table has other columns, a segment is damaged, or `apply` fails.
    pub(crate) fn read(&self, node: &NodeId, spec: &TableSpec, apply: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let state = self.manifest.nodes.get(node.as_str());
        let Some(table) = state.and_then(|state| state.tables.get(spec.name())) else { return Ok(()) };
        check_columns(node, spec, table)?;
        let runs = table.chains.values().flatten();
        runs.into_iter().try_for_each(|run| read_run(&self.segments, &self.small, &run.segment, apply))
    }

    /// How many tasks wrote the node's state; `None` if it has none.
    pub(crate) fn parallelism(&self, node: &NodeId) -> Option<usize> {
        self.manifest.nodes.get(node.as_str()).map(|state| state.parallelism as usize)
    }
}

fn check_columns(node: &NodeId, spec: &TableSpec, table: &TableState) -> Result<()> {
    let differences = TableDescriptor::of(spec).differences(&table.table);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::Protocol(format!("state table {} of {node} {}", spec.name(), differences.join("; "))))
}

/// Hands the batches of one run to `apply`, once its segment has passed its checks.
///
/// # Errors
/// When it does not, or `apply` fails.
pub(super) fn read_run(
    segments: &Segments,
    small: &SmallSegments,
    segment: &SegmentRef,
    apply: &mut dyn FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let reader = FileReader::try_new(segments.open(segment, small)?, None)?;
    reader.into_iter().try_for_each(|batch| apply(batch?))
}

/// Writes batches as one run.
///
/// # Errors
/// When they can't be encoded or written.
pub(super) fn write_run(segments: &Segments, stem: &str, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<NewSegment> {
    failpoint::hit("state.segment")?;
    let mut segment = segments.writer(stem);
    if let Err(error) = write_batches(&mut segment, schema, batches) {
        return Err(segment.take_error().unwrap_or(error));
    }
    segment.finish()
}

fn write_batches(segment: &mut SegmentWriter, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<()> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut writer = FileWriter::try_new_with_options(segment, schema, options)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    Ok(writer.finish()?)
}

/// How the names of a task's runs begin.
pub(super) fn stem(node: &str, subtask: u32, epoch: u64) -> String {
    format!("{}-{subtask}-{epoch}", slug(node))
}

fn schema(spec: &TableSpec) -> SchemaRef {
    let own = [Field::new(GROUP_COLUMN, DataType::UInt16, false), Field::new(REMOVED_COLUMN, DataType::Boolean, false)];
    let columns = spec.keys().fields().iter().chain(spec.values().fields()).map(|field| field.as_ref().clone());
    Arc::new(Schema::new(own.into_iter().chain(columns).collect::<Vec<_>>()))
}

fn number(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| Error::InvalidArgument(format!("{count} tasks are too many")))
}
