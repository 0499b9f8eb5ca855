//! What travels on the edges between tasks, in order. Control never travels here; data never travels by mailbox.

use arrow::record_batch::RecordBatch;

use crate::types::EpochInfo;

/// One item on an edge.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// Rows of the open epoch.
    Batch(EpochBatch),
    /// The end of an epoch on this edge.
    Barrier(Barrier),
    /// The end of the edge: nothing comes after it, and it no longer holds barriers back.
    End,
}

/// Rows, with the epoch that they belong to. The gate refuses a batch whose epoch is not the open one.
#[derive(Debug, Clone)]
pub(crate) struct EpochBatch {
    /// The epoch that the rows belong to.
    pub epoch: EpochInfo,
    /// The rows, around [`TARGET_BATCH_ROWS`] of them.
    pub batch: RecordBatch,
}

/// Marks the end of an epoch in band: all its rows are before it, none after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Barrier {
    /// The epoch that ends.
    pub epoch: EpochInfo,
}

/// The size of a batch that sources and exchanges aim for, in rows.
pub const TARGET_BATCH_ROWS: usize = 8_192;
