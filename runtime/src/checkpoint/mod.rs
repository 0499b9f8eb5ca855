//! The checkpoint: what a query needs to go on after a crash as if there had been none.
//!
//! # The protocol of an epoch
//!
//! 1. The coordinator plans epoch *n*: where each source ends, the watermarks, the time of the trigger.
//! 2. [`Checkpoint::log_offsets`] makes that durable, with what the sources journal. From here on, epoch *n* is this one, also
//!    after a crash.
//! 3. The epoch runs. At its barrier, every task hands its changed state to a [`SnapshotWriter`], which writes it to segments:
//!    durable, and garbage as long as nothing names them.
//! 4. Sinks stage, then commit.
//! 5. [`Checkpoint::commit`] makes the epoch's entry in the commit log and the manifest of its state durable in one step. This is
//!    the only commit point: before it, a restart runs *n* again; after it, a restart goes on with *n + 1*.
//! 6. [`Checkpoint::clean`] packs the journals and removes the files that the catalogue no longer names.
//!
//! Steps 2 and 3 of later epochs may come before step 5 of earlier ones. Commits come in order.
//!
//! A restart opens the checkpoint and gets a [`Recovered`]: the newest committed epoch, whose state a [`StateReader`] reads, and
//! the logged epochs after it, to be run again with what was logged.
//!
//! # On disk
//!
//! ```text
//! LOCK       locked for the whole run; says by whom
//! HEAD       how far the logs reach, as a second opinion
//! catalog/   the database of all records: the single source of truth
//! segments/  sealed files that records name; one that no record names is garbage
//! ```
//!
//! | record | holds |
//! | --- | --- |
//! | `meta` | query id, pinned settings, topology |
//! | `offsets/<n>` | what epoch *n* reads; hash of `offsets/<n-1>` and, if it was committed by then, of `commits/<n-1>` |
//! | `journal/<source>/<n>` | what a source remembers of epoch *n*, and of those before it that have no record; never purged |
//! | `commits/<n>` | that epoch *n* is committed, the next watermark and what it comes from; hashes of `offsets/<n>`, `commits/<n-1>`, `manifest/<n>` |
//! | `manifest/<n>` | all runs that make up the state after epoch *n*, with length and checksum; kept for two epochs |
//! | `segments/<name>` | a run that is small enough to need no file |
//!
//! A record that is too large for the database lies in a segment file, with a pointer in its place.
//!
//! # Who does what
//!
//! [`store`] writes, through [`catalogue`] (what is known) and [`database`] (what is durable); [`recovery`] checks at open;
//! [`runs`] turns snapshots into segments and back; [`compaction`] keeps the chains of runs short, [`journal`] the journals.
//! [`codec`] alone knows how records become bytes.

mod catalogue;
mod codec;
mod compaction;
mod database;
mod descriptor;
mod head;
mod journal;
mod key;
mod lock;
mod manifest;
mod merge;
mod offsets;
mod records;
mod recovery;
mod runs;
mod segment;
mod store;
#[cfg(test)]
mod tests;
mod watermarks;

use std::time::Duration;

pub(crate) use descriptor::{StatefulNode, TableDescriptor, TopologyDescriptor};
pub(crate) use manifest::NewRun;
pub(crate) use offsets::{OffsetRecord, SourceOffset};
pub(crate) use recovery::Recovered;
pub(crate) use runs::{SnapshotWriter, StateReader};
pub(crate) use store::Checkpoint;
#[cfg(test)]
pub(crate) use tests::support::no_faults;
pub(crate) use watermarks::Watermarks;

/// How a checkpoint is opened and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointOptions {
    /// How many committed epochs stay in the offset log and the commit log, two at least.
    pub min_epochs_to_retain: u64,
    /// Whether a query whose newest state is damaged may go on from the state before. It then runs the last epoch again.
    pub allow_fallback: bool,
    /// How long opening the catalogue may take. A damaged one may never open.
    pub open_deadline: Duration,
    /// Up to how many bytes a run lies in the catalogue rather than in a file of its own. Values above 8 KiB count as that.
    pub inline_limit: usize,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        CheckpointOptions {
            min_epochs_to_retain: 100,
            allow_fallback: false,
            open_deadline: Duration::from_secs(60),
            inline_limit: database::INLINE_LIMIT,
        }
    }
}
