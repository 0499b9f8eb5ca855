//! Counters of a task, kept while it runs and read by anyone at any time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arrow::record_batch::RecordBatch;

/// What a task has done since its run started. Written by the task's thread, batch by batch.
#[derive(Debug, Default)]
pub(crate) struct TaskMetrics {
    rows_in: AtomicU64,
    batches_in: AtomicU64,
    bytes_in: AtomicU64,
    rows_out: AtomicU64,
    batches_out: AtomicU64,
    bytes_out: AtomicU64,
    late_rows: AtomicU64,
    busy_ns: AtomicU64,
    blocked_ns: AtomicU64,
    idle_ns: AtomicU64,
    alignment_ns: AtomicU64,
    snapshot_rows: AtomicU64,
    snapshot_bytes: AtomicU64,
    snapshot_ns: AtomicU64,
    state_rows: AtomicU64,
    state_bytes: AtomicU64,
}

impl TaskMetrics {
    pub(crate) fn batch_in(&self, batch: &RecordBatch) {
        self.rows_in.fetch_add(batch.num_rows() as u64, Relaxed);
        self.batches_in.fetch_add(1, Relaxed);
        self.bytes_in.fetch_add(batch_bytes(batch), Relaxed);
    }

    pub(crate) fn batch_out(&self, batch: &RecordBatch) {
        self.rows_out.fetch_add(batch.num_rows() as u64, Relaxed);
        self.batches_out.fetch_add(1, Relaxed);
        self.bytes_out.fetch_add(batch_bytes(batch), Relaxed);
    }

    /// Corrects the count of rows by a number that may wrap around.
    pub(crate) fn rows_in(&self, more: u64) {
        self.rows_in.fetch_add(more, Relaxed);
    }

    pub(crate) fn late(&self, rows: u64) {
        self.late_rows.fetch_add(rows, Relaxed);
    }

    pub(crate) fn busy(&self, time: Duration) {
        add_time(&self.busy_ns, time);
    }

    pub(crate) fn blocked(&self, time: Duration) {
        add_time(&self.blocked_ns, time);
    }

    pub(crate) fn idle(&self, time: Duration) {
        add_time(&self.idle_ns, time);
    }

    pub(crate) fn aligned(&self, time: Duration) {
        add_time(&self.alignment_ns, time);
    }

    pub(crate) fn snapshot(&self, rows: u64, bytes: u64, time: Duration) {
        self.snapshot_rows.fetch_add(rows, Relaxed);
        self.snapshot_bytes.fetch_add(bytes, Relaxed);
        add_time(&self.snapshot_ns, time);
    }

    pub(crate) fn state(&self, rows: u64, bytes: u64) {
        self.state_rows.store(rows, Relaxed);
        self.state_bytes.store(bytes, Relaxed);
    }

    /// Time spent waiting for room downstream so far.
    pub(crate) fn blocked_so_far(&self) -> Duration {
        Duration::from_nanos(self.blocked_ns.load(Relaxed))
    }

    /// The counters as they stand.
    pub(crate) fn read(&self) -> TaskMetricsSnapshot {
        let time = |ns: &AtomicU64| Duration::from_nanos(ns.load(Relaxed));
        TaskMetricsSnapshot {
            rows_in: self.rows_in.load(Relaxed),
            batches_in: self.batches_in.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            rows_out: self.rows_out.load(Relaxed),
            batches_out: self.batches_out.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            late_rows: self.late_rows.load(Relaxed),
            busy: time(&self.busy_ns),
            blocked: time(&self.blocked_ns),
            idle: time(&self.idle_ns),
            alignment: time(&self.alignment_ns),
            snapshot_rows: self.snapshot_rows.load(Relaxed),
            snapshot_bytes: self.snapshot_bytes.load(Relaxed),
            snapshot: time(&self.snapshot_ns),
            state_rows: self.state_rows.load(Relaxed),
            state_bytes: self.state_bytes.load(Relaxed),
        }
    }
}

/// A task's counters at one moment, all since the start of its run unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskMetricsSnapshot {
    /// Rows received.
    pub rows_in: u64,
    /// Batches received.
    pub batches_in: u64,
    /// Bytes of the received batches.
    pub bytes_in: u64,
    /// Rows sent, counted once for each edge that they went to.
    pub rows_out: u64,
    /// Batches sent, one for each edge and target.
    pub batches_out: u64,
    /// Bytes of the sent batches.
    pub bytes_out: u64,
    /// Rows dropped because they came after the watermark had passed them.
    pub late_rows: u64,
    /// Time spent in the source's, operator's or sink's own code.
    pub busy: Duration,
    /// Time spent waiting for room downstream.
    pub blocked: Duration,
    /// Time spent waiting for input.
    pub idle: Duration,
    /// Time between an epoch's first and last barrier.
    pub alignment: Duration,
    /// State rows written by snapshots.
    pub snapshot_rows: u64,
    /// Bytes written by snapshots.
    pub snapshot_bytes: u64,
    /// Time that writing snapshots took, off the task's thread.
    pub snapshot: Duration,
    /// State rows held now.
    pub state_rows: u64,
    /// Memory of the state now, in bytes, about.
    pub state_bytes: u64,
}

fn add_time(counter: &AtomicU64, time: Duration) {
    counter.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
}

/// The bytes of the rows themselves: a slice counts its own part of the buffers that it shares.
fn batch_bytes(batch: &RecordBatch) -> u64 {
    let bytes: usize = batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or_default()).sum();
    bytes as u64
}

impl TaskMetricsSnapshot {
    /// What was counted since `before`; the state, which is not a count, as it stands now.
    pub(crate) fn since(&self, before: &TaskMetricsSnapshot) -> TaskMetricsSnapshot {
        TaskMetricsSnapshot {
            rows_in: self.rows_in - before.rows_in,
            batches_in: self.batches_in - before.batches_in,
            bytes_in: self.bytes_in - before.bytes_in,
            rows_out: self.rows_out - before.rows_out,
            batches_out: self.batches_out - before.batches_out,
            bytes_out: self.bytes_out - before.bytes_out,
            late_rows: self.late_rows - before.late_rows,
            busy: self.busy.saturating_sub(before.busy),
            blocked: self.blocked.saturating_sub(before.blocked),
            idle: self.idle.saturating_sub(before.idle),
            alignment: self.alignment.saturating_sub(before.alignment),
            snapshot_rows: self.snapshot_rows.saturating_sub(before.snapshot_rows),
            snapshot_bytes: self.snapshot_bytes.saturating_sub(before.snapshot_bytes),
            snapshot: self.snapshot.saturating_sub(before.snapshot),
            state_rows: self.state_rows,
            state_bytes: self.state_bytes,
        }
    }
}
