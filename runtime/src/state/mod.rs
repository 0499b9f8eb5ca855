//! Keyed state: tables of rows that belong to key groups, live in memory while a query runs and are snapshotted by epoch.
//!
//! An operator sees [`StateStore`] only. The store of this release, [`MemoryTable`], holds the rows in memory; a store that spills
//! can take its place without a change to any operator.
//!
//! Path of a change: `StateStore::put` → (barrier) `StateStore::snapshot` → [`Snapshot::into_batches`] on the snapshot thread →
//! a run in the checkpoint → `StateStore::restore` at the next start.

mod canonical;
mod deadlines;
mod hash;
mod key_group;
mod memory;
mod spec;
mod store;

pub use canonical::{canonical_keys, relabel_columns};
pub use deadlines::Deadlines;
pub use hash::{HASH_NAME, hash_columns};
pub use key_group::{KEY_GROUPS, KeyGroup, KeyGroupRange};
pub use memory::MemoryTable;
pub use spec::TableSpec;
pub use store::{GROUP_COLUMN, REMOVED_COLUMN, Snapshot, StateRows, StateStore};
