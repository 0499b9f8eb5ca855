//! Which files each planned epoch gets: the pure part of the file source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_runtime::{Error, JournalEntry, Offset, OffsetRange, Result};

use super::listing::FileState;
use super::seen::{Seen, SeenRules};

/// A file source's offset: the number of its newest planned entry, as in Spark's file source.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct LogOffset {
    #[serde(rename = "logOffset")]
    pub(crate) entry: u64,
}

impl LogOffset {
    /// The number of the entry after `offset`.
    pub(crate) fn after(offset: Option<&Offset>) -> Result<u64> {
        offset.map_or(Ok(0), |offset| Ok(offset.decode::<LogOffset>()?.entry + 1))
    }
}

/// One entry of the journal: the files of one planned epoch, in the order in which they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(rename = "logOffset")]
    pub(crate) entry: u64,
    pub(crate) files: Vec<FileState>,
}

/// Everything that was planned, of which the last entry may still be a mere proposal.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Entries that are in the journal and not yet committed, by number.
    logged: BTreeMap<u64, Vec<FileState>>,
    /// Number of entries that are or were in `logged`.
    next: u64,
    /// The newest plan, as long as no epoch was made of it.
    proposed: Option<Entry>,
    /// The files of all logged entries, also of committed ones: none is read twice.
    seen: Seen,
}

impl Plan {
    /// The plan that the journal holds, up to the newest logged offset.
    pub(crate) fn restore(journal: &[JournalEntry], offset: Option<&Offset>, rules: SeenRules) -> Result<Self> {
        let end = LogOffset::after(offset)?;
        let mut plan = Plan { seen: Seen::new(rules), ..Plan::default() };
        for record in journal {
            let entries: Vec<Entry> = serde_json::from_slice(&record.data)
                .map_err(|e| Error::user(format!("the journal of epoch {} is not of a file source: {e}", record.epoch)))?;
            // An entry after the newest logged offset was never part of an epoch.
            entries.into_iter().filter(|entry| entry.entry < end).for_each(|entry| plan.log(entry));
        }
        if plan.next < end {
            let found = plan.next;
            return Err(Error::user(format!(
                "the checkpoint has offset {} of this source but only {found} journal entries",
                end - 1
            )));
        }
        Ok(plan)
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The newest entry that already exists at or after number `entry`; a proposal that an epoch was made of counts as logged.
    pub(crate) fn existing(&mut self, entry: u64) -> Option<u64> {
        if self.proposed.as_ref().is_some_and(|proposed| proposed.entry < entry) {
            self.accept();
        }
        (self.next > entry).then(|| self.next - 1)
    }

    /// Proposes the files of the next entry and gives its number.
    pub(crate) fn propose(&mut self, files: Vec<FileState>) -> u64 {
        self.proposed = Some(Entry { entry: self.next, files });
        self.next
    }

    /// Takes back a proposal that no epoch was made of.
    pub(crate) fn withdraw(&mut self) -> Vec<FileState> {
        self.proposed.take().map(|entry| entry.files).unwrap_or_default()
    }

    /// What the journal must hold for `range`; an epoch is being made of the proposal if it is in it.
    pub(crate) fn journal(&mut self, range: &OffsetRange) -> Result<Vec<Entry>> {
        let end = LogOffset::after(Some(&range.end))?;
        if self.proposed.as_ref().is_some_and(|proposed| proposed.entry < end) {
            self.accept();
        }
        let start = LogOffset::after(range.start.as_ref())?;
        (start..end).map(|entry| Ok(Entry { entry, files: self.files(entry)?.to_vec() })).collect()
    }

    /// The files of `range`, in reading order.
    pub(crate) fn files_of(&self, range: &OffsetRange) -> Result<Vec<FileState>> {
        let (start, end) = (LogOffset::after(range.start.as_ref())?, LogOffset::after(Some(&range.end))?);
        let entries = (start..end).map(|entry| self.files(entry)).collect::<Result<Vec<_>>>()?;
        Ok(entries.concat())
    }

    /// Forgets the entries up to `end` and gives their files; the names of these stay known.
    pub(crate) fn forget(&mut self, end: &Offset) -> Result<Vec<FileState>> {
        let rest = self.logged.split_off(&LogOffset::after(Some(end))?);
        let forgotten = std::mem::replace(&mut self.logged, rest);
        Ok(forgotten.into_values().flatten().collect())
    }

    fn files(&self, entry: u64) -> Result<&[FileState]> {
        let proposed = || self.proposed.as_ref().filter(|proposed| proposed.entry == entry).map(|proposed| &proposed.files);
        let files = self.logged.get(&entry).or_else(proposed);
        files.map(Vec::as_slice).ok_or_else(|| Error::SourceDataLoss(format!("the list of files of log offset {entry} is gone")))
    }

    fn accept(&mut self) {
        if let Some(entry) = self.proposed.take() {
            self.log(entry);
        }
    }

    fn log(&mut self, entry: Entry) {
        entry.files.iter().for_each(|file| self.seen.add(file));
        self.seen.forget_old();
        self.next = entry.entry + 1;
        self.logged.insert(entry.entry, entry.files);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> FileState {
        FileState { mtime: 1, path: name.into(), len: 1, tag: None }
    }

    fn range(start: Option<u64>, end: u64) -> OffsetRange {
        let offset = |entry| Offset::encode(&LogOffset { entry }).unwrap();
        OffsetRange { start: start.map(offset), end: offset(end) }
    }

    #[test]
    fn a_proposal_can_be_withdrawn_until_it_is_journaled() {
        let mut plan = Plan::default();
        assert_eq!(plan.propose(vec![file("a")]), 0);
        assert_eq!(plan.withdraw(), [file("a")]);
        assert!(plan.seen().may_be_new("a"));
        plan.propose(vec![file("a")]);
        assert_eq!(plan.journal(&range(None, 0)).unwrap().len(), 1);
        assert!(plan.withdraw().is_empty());
        assert!(!plan.seen().may_be_new("a"));
        assert_eq!(plan.existing(0), Some(0));
        assert_eq!(plan.existing(1), None);
    }

    #[test]
    fn restores_what_was_logged_and_ignores_later_entries() {
        let record = |n: u64| JournalEntry {
            epoch: tidegate_runtime::Epoch::new(n),
            data: serde_json::to_vec(&vec![Entry { entry: n, files: vec![file(&format!("f{n}"))] }]).unwrap(),
        };
        let journal = [record(0), record(1), record(2)];
        let plan = Plan::restore(&journal, Some(&range(None, 1).end), SeenRules::default()).unwrap();
        assert_eq!(plan.files_of(&range(Some(0), 1)).unwrap(), [file("f1")]);
        assert!(plan.seen().may_be_new("f2"));
        let lost = Plan::restore(&journal[..1], Some(&range(None, 1).end), SeenRules::default()).unwrap_err();
        assert!(lost.to_string().contains("only 1 journal entries"), "{lost}");
    }

    #[test]
    fn forgets_committed_entries_but_not_their_names() {
        let mut plan = Plan::default();
        for name in ["a", "b"] {
            let entry = plan.propose(vec![file(name)]);
            plan.journal(&range(entry.checked_sub(1), entry)).unwrap();
        }
        assert_eq!(plan.forget(&range(None, 0).end).unwrap(), [file("a")]);
        assert!(matches!(plan.files_of(&range(None, 0)), Err(Error::SourceDataLoss(_))));
        assert_eq!(plan.files_of(&range(Some(0), 1)).unwrap(), [file("b")]);
        assert!(!plan.seen().may_be_new("a"));
    }
}
