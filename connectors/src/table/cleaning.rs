//! Files that no version of a table needs go.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use tidegate_runtime::Result;

use super::Table;
use super::log::{Change, files_at, read_commit};

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

    /// Removes files that were written for a commit that never came, of a process that died: those that are in no commit and were last
    /// written so long ago; gives how many. What a query or an insert has not committed for longer than that is lost to it.
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
        for path in paths.iter().filter(|path| !known.contains(*path)) {
            if self.store.modified(path)?.is_some_and(|modified| modified < before) {
                self.store.remove(path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Shows the files that each commit has added.
    fn each_added(&self, newest: u64, mut see: impl FnMut(u64, String)) -> Result<()> {
        for version in 1..=newest {
            let Some(commit) = read_commit(self.store.as_ref(), version)? else { continue };
            match commit.change {
                Change::Append { added, .. } | Change::Overwrite { added, .. } | Change::Compact { added, .. } => {
                    added.into_iter().for_each(|file| see(version, file.path));
                }
                Change::Create { .. } | Change::Drop => {}
            }
        }
        Ok(())
    }
}
