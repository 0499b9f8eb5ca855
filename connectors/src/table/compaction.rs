//! Small files of a table become large ones.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Epoch, EpochInfo, Error, Result, SourceOutput, Split, Staged};
use uuid::Uuid;

use super::log::{Change, files_at, read_commit};
use super::{Table, TableFile};
use crate::file::{FileSplit, FileState, StagedFile};

impl Table {
    /// Writes files that are smaller than `target_bytes` anew as files of about that length, in the order of their rows; gives how many
    /// files went. Readers and writers go on meanwhile: a stream sees no row twice, and a batch reads the files of one version. The old
    /// files stay for those who still read them until [`vacuum`](Self::vacuum).
    ///
    /// # Errors
    /// When a file can't be read or written; the table is as it was then.
    pub fn compact(&self, schema: &SchemaRef, target_bytes: u64) -> Result<usize> {
        let mut gone = 0;
        // Of this call alone.
        let writer = format!("compact-{}", Uuid::new_v4());
        for group in groups(self.files()?, target_bytes) {
            let merged = self.merge(schema, &group, &writer)?;
            let removed: Vec<String> = group.iter().map(|file| file.path.clone()).collect();
            let (store, mut log) = (self.store.as_ref(), self.newest()?);
            let committed = log.commit(store, |log| {
                let files = log.files();
                // Another compaction, or an overwrite, may have come before.
                let are_there = removed.iter().all(|path| files.iter().any(|file| file.path == *path));
                are_there.then(|| Change::Compact { removed: removed.clone(), added: vec![merged.clone()] })
            })?;
            let is_there = log.files().iter().any(|file| file.path == merged.path);
            drop(log);
            if committed {
                gone += removed.len();
            } else if !is_there {
                store.remove(&merged.path)?;
            }
        }
        self.store.clear_staging(&writer)?;
        Ok(gone)
    }

    /// The rows of some files in one.
    fn merge(&self, schema: &SchemaRef, group: &[TableFile], writer: &str) -> Result<TableFile> {
        let staging = self.store.staging(writer)?;
        let (source, sink) = self.definition.format.files(schema);
        let mut writer = sink.staging_writer(staging.clone(), 0);
        let epoch = EpochInfo { epoch: Epoch::FIRST, trigger_time_ms: 0, watermark: None, late_watermark: None };
        for file in group {
            let local = self.store.local(&file.path)?;
            let state = FileState::of(&local.dir, &local.path)?;
            let state = state.ok_or_else(|| Error::damaged(self.place(), format!("its file {} is gone", file.path)))?;
            let mut reader = source.reader_in(local.dir.clone())?;
            let mut write = |batch: RecordBatch| writer.write(epoch, batch.with_schema(Arc::clone(schema))?);
            for split in FileSplit::cut(&state, u64::MAX) {
                reader.read(&Split::encode(&split)?, &mut SourceOutput::new(epoch, &mut write))?;
            }
        }
        let mut staged: Vec<StagedFile> = Staged::decode(&writer.stage(epoch)?)?;
        let staged =
            staged.pop().ok_or_else(|| Error::user(format!("the files of the table in {} have no rows", self.place())))?;
        if staged.rows != group.iter().map(|file| file.rows).sum::<u64>() {
            let rows = staged.rows;
            return Err(Error::user(format!(
                "the table in {}: its files gave {rows} rows, not those that its log has",
                self.place()
            )));
        }
        let path = format!("compact-{}.{}", Uuid::new_v4(), sink.extension());
        self.store.publish(&staging.join(&staged.file), &path)?;
        self.store.sync()?;
        Ok(TableFile { path, rows: staged.rows, bytes: staged.bytes, crc32c: staged.crc32c })
    }

    /// Removes compacted and replaced files that no version since `keep_from` has; gives how many. Streams and batches that still read an older version fail.
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
        for version in 1..=newest {
            let Some(commit) = read_commit(self.store.as_ref(), version)? else { continue };
            let (Change::Append { added, .. } | Change::Overwrite { added, .. } | Change::Compact { added, .. }) = commit.change
            else {
                continue;
            };
            for file in added {
                if version > keep_from {
                    kept.insert(file.path.clone());
                }
                known.insert(file.path);
            }
        }
        let mut removed = 0;
        for name in self.store.data_names()? {
            // What is in no commit yet may be of one that is about to come.
            if known.contains(&name) && !kept.contains(&name) {
                self.store.remove(&name)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Neighbours that are small, several together up to the target.
fn groups(files: Vec<TableFile>, target_bytes: u64) -> Vec<Vec<TableFile>> {
    let (mut groups, mut open, mut bytes): (Vec<Vec<TableFile>>, Vec<TableFile>, u64) = (Vec::new(), Vec::new(), 0);
    for file in files {
        let fits = file.bytes < target_bytes && bytes.saturating_add(file.bytes) <= target_bytes;
        if !fits {
            groups.push(std::mem::take(&mut open));
            bytes = 0;
        }
        if file.bytes < target_bytes {
            bytes += file.bytes;
            open.push(file);
        }
    }
    groups.push(open);
    groups.retain(|group| group.len() > 1);
    groups
}
