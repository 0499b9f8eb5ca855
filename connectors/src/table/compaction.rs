//! Small files of a table become large ones.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Epoch, EpochInfo, Error, Result, SourceOutput, Split, Staged};
use uuid::Uuid;

use super::log::Change;
use super::{Table, TableFile};
use crate::file::{FileSplit, FileState, PartitionRows, StagedFile, directory_of};

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
            let merged_paths: Vec<String> = merged.iter().map(|file| file.path.clone()).collect();
            if merged.len() >= group.len() {
                // Of this format files can't be longer.
                merged_paths.iter().try_for_each(|path| self.store.remove(path))?;
                continue;
            }
            let removed: Vec<String> = group.iter().map(|file| file.path.clone()).collect();
            let (store, mut log) = (self.store.as_ref(), self.newest()?);
            let committed = log.commit(store, |log| {
                let files: HashSet<&str> = log.files().iter().map(|file| file.path.as_str()).collect();
                // Another compaction, or an overwrite, may have come before.
                let are_there = removed.iter().all(|path| files.contains(path.as_str()));
                are_there.then(|| Change::Compact { removed: removed.clone(), added: merged.clone() })
            })?;
            let are_there = merged_paths.iter().all(|path| log.files().iter().any(|file| file.path == *path));
            drop(log);
            if committed {
                gone += removed.len();
            } else if !are_there {
                merged_paths.iter().try_for_each(|path| store.remove(path))?;
            }
        }
        self.store.clear_staging(&writer)?;
        Ok(gone)
    }

    /// The rows of some files of a partition in one; in a few, if the format can't have files of any length.
    fn merge(&self, schema: &SchemaRef, group: &[TableFile], writer: &str) -> Result<Vec<TableFile>> {
        let staging = self.store.staging(writer)?;
        let (source, sink) = self.definition.format.files(schema);
        let mut writer = sink.file_writer(staging.clone(), 0, PartitionRows::default());
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
        let staged: Vec<StagedFile> = Staged::decode(&writer.stage(epoch)?)?;
        let rows: u64 = staged.iter().map(|file| file.rows).sum();
        if rows != group.iter().map(|file| file.rows).sum::<u64>() {
            return Err(Error::user(format!(
                "the table in {}: its files gave {rows} rows, not those that its log has",
                self.place()
            )));
        }
        let directory = group.first().map_or("", |file| directory_of(&file.path));
        let (mut moves, mut merged) = (Vec::new(), Vec::new());
        for file in staged {
            let name = format!("compact-{}.{}", Uuid::new_v4(), sink.extension());
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            moves.push((staging.join(&file.file), path.clone()));
            merged.push(TableFile { path, rows: file.rows, bytes: file.bytes, crc32c: file.crc32c, is_full: file.is_full });
        }
        self.store.publish(moves)?;
        Ok(merged)
    }
}

/// Neighbours within a partition that are small, several together up to the target.
fn groups(files: Vec<TableFile>, target_bytes: u64) -> Vec<Vec<TableFile>> {
    let mut groups: Vec<Vec<TableFile>> = Vec::new();
    // The group of each partition that files still come to.
    let mut open: BTreeMap<String, (Vec<TableFile>, u64)> = BTreeMap::new();
    for file in files {
        let (group, bytes) = open.entry(directory_of(&file.path).to_owned()).or_default();
        let is_small = file.bytes < target_bytes && !file.is_full;
        if !is_small || bytes.saturating_add(file.bytes) > target_bytes {
            groups.push(std::mem::take(group));
            *bytes = 0;
        }
        if is_small {
            *bytes += file.bytes;
            group.push(file);
        }
    }
    groups.extend(open.into_values().map(|(group, _)| group));
    groups.retain(|group| group.len() > 1);
    groups
}
