//! What is known of a slot beside its bytes.

/// What a slot is, and what the last snapshot knows of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    /// The key group of the row.
    pub(super) group: u16,
    pub(super) state: SlotState,
    /// The last snapshot has the row.
    pub(super) snapshotted: bool,
    /// The slot is on the list of changes.
    pub(super) listed: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum SlotState {
    /// No row: the slot can be given to the next one.
    #[default]
    Free,
    /// A row as the last snapshot has it.
    Clean,
    /// A row that is new or has changed since.
    Changed,
    /// A tombstone: the last snapshot has the row, the table no more.
    Removed,
}

impl Mark {
    /// The slot has no row any more.
    pub(super) fn free(&mut self) {
        *self = Mark { listed: self.listed, ..Mark::default() };
    }

    /// Whether the slot holds a row of the table.
    pub(super) fn is_live(self) -> bool {
        matches!(self.state, SlotState::Clean | SlotState::Changed)
    }
}
