//! Files that no version of a table needs go.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use tidegate_runtime::Result;
use uuid::Uuid;

use super::Table;
use super::log::{Change, files_at, read_commit};
use crate::file::parse_partition;

impl Table {
    /// Removes compacted and replaced files that no version since `keep_from` has; gives how many. Streams and batches that still read
    /// an older version fail.
    ///
    /// # Errors
    /// When the log can't be read, or a file can't be removed.
    pub fn vacuum(&self, keep_from: u64) -> Result<usize> {
        let log = self.newest()?;
        let (newest, table) = (log.version(), log.table().to_owned());
        drop(log);
        let mut kept: HashSet<String> =
            files_at(self.store.as_ref(), &table, keep_from.min(newest))?.into_iter().map(|file| file.path).collect();
        let mut known = kept.clone();
        self.each_added(newest, |version, path| {
            if version > keep_from {
                kept.insert(path.clone());
            }
            known.insert(path);
        })?;
        let mut removed = 0;
        for path in self.store.data_paths()? {
            // What is in no commit yet may be of one that is about to come.
            if known.contains(&path) && !kept.contains(&path) {
                self.store.remove(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes files that were written for a commit that never came, of a process that died: those with names of ours that are in no
    /// commit and were last written so long ago; gives how many. What a query or an insert has not committed for longer than that is
    /// lost to it.
    ///
    /// # Errors
    /// When the log can't be read, or a file can't be removed.
    pub fn remove_orphans(&self, older_than: Duration) -> Result<usize> {
        let Some(before) = SystemTime::now().checked_sub(older_than) else { return Ok(0) };
        // Listed first: what is committed meanwhile is in the log then.
        let paths = self.store.data_paths()?;
        let log = self.newest()?;
        let newest = log.version();
        let mut known: HashSet<String> = log.files().iter().map(|file| file.path.clone()).collect();
        drop(log);
        self.each_added(newest, |_, path| {
            known.insert(path);
        })?;
        let mut removed = self.store.clear_staged_before(before)?;
        for path in paths.iter().filter(|path| !known.contains(*path) && self.may_be_ours(path)) {
            if self.store.modified(path)?.is_some_and(|modified| modified < before) {
                self.store.remove(path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Whether a file has a name that a writer of tables gives, where this table's files are.
    fn may_be_ours(&self, path: &str) -> bool {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let partitions: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
        let is_of = |(part, column): (&&str, &String)| parse_partition(part).is_some_and(|(key, _)| key == *column);
        let columns = &self.definition.partition_by;
        let is_place = partitions.len() == columns.len() && partitions.iter().zip(columns).all(is_of);
        let has_id = |rest: &str| rest.get(..36).is_some_and(|id| Uuid::try_parse(id).is_ok());
        is_place && ["compact-", "part-insert-", "part-"].into_iter().filter_map(|prefix| name.strip_prefix(prefix)).any(has_id)
    }

    /// Removes the files of all commits up to this one: others that are there are not this table's, or those of one that came after it.
    pub(super) fn remove_rows(&self, until: u64) -> Result<()> {
        let mut ours = HashSet::new();
        self.each_added(until, |_, path| {
            ours.insert(path);
        })?;
        let there: Vec<String> = self.store.data_paths()?.into_iter().filter(|path| ours.contains(path)).collect();
        there.iter().try_for_each(|path| self.store.remove(path))?;
        self.store.remove_empty(&there)
    }

    /// Shows the files that each commit has added.
    fn each_added(&self, newest: u64, mut see: impl FnMut(u64, String)) -> Result<()> {
        for version in 1..=newest {
            let Some(commit) = read_commit(self.store.as_ref(), version)? else { continue };
            match commit.change {
                Change::Append { added, .. }
                | Change::Overwrite { added, .. }
                | Change::Compact { added, .. }
                | Change::Create { added, .. } => added.into_iter().for_each(|file| see(version, file.path)),
                Change::Drop => {}
            }
        }
        Ok(())
    }
}
