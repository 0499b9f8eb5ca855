//! The small files of a sink that are not merged yet.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use tidegate_runtime::{Epoch, EpochInfo, Error, Result, failpoint};
use uuid::Uuid;

use super::compaction::{PENDING, directory_of, merge, visible_path};
use super::durable::{create_directory, remove_file, sync_directory};
use super::format::Format;
use super::manifest::{CommittedFile, Content, Manifest, Merge, Record};
use super::sink_writer::STAGING;

/// Small files are merged when they have this size, if no other is asked for.
const USUAL_BYTES: u64 = 128 << 20;

/// The small files of each partition, with the epochs of the oldest.
#[derive(Debug)]
pub(crate) struct Pending {
    dir: PathBuf,
    schema: SchemaRef,
    format: Format,
    files: BTreeMap<String, (Epoch, Vec<CommittedFile>)>,
    /// Small files that were merged: they are removed at the next merge.
    replaced: Vec<String>,
}

impl Pending {
    /// What is pending in a directory. A merge that a crash has cut short is completed, and files that belong to nothing are removed.
    pub(crate) fn open(dir: &Path, schema: SchemaRef, format: Format, manifest: &mut Manifest) -> Result<Self> {
        let mut pending = Pending { dir: dir.to_path_buf(), schema, format, files: BTreeMap::new(), replaced: Vec::new() };
        let Some(mut content) = Content::read(dir)? else { return Ok(pending) };
        if let Some(merge) = content.merging.take() {
            pending.complete(&merge, manifest)?;
            content.merged.push(merge);
        }
        let current: HashSet<&str> = content.files().map(|file| file.path.as_str()).collect();
        for record in &content.records {
            let files = record.files.iter().filter(|file| current.contains(file.path.as_str())).cloned().collect();
            pending.add(&Record { epoch: record.epoch, files });
        }
        pending.replaced = content.merged.last().map(|merge| merge.replaces.clone()).unwrap_or_default();
        let kept: HashSet<&str> = current.iter().copied().chain(pending.replaced.iter().map(String::as_str)).collect();
        pending.sweep(PENDING, &kept)?;
        Ok(pending)
    }

    pub(crate) fn add(&mut self, record: &Record) {
        for file in &record.files {
            if let Some(path) = visible_path(&file.path) {
                let (_, files) = self.files.entry(directory_of(path).to_owned()).or_insert_with(|| (record.epoch, Vec::new()));
                files.push(file.clone());
            }
        }
    }

    /// Merges the files of the partitions that have enough of them.
    pub(crate) fn merge_due(&mut self, epoch: Epoch, every: u64, bytes: u64, manifest: &mut Manifest) -> Result<()> {
        let bytes = if bytes == u64::MAX { USUAL_BYTES } else { bytes };
        let is_due = |first: &Epoch, files: &[CommittedFile]| {
            epoch.number() - first.number() + 1 >= every || files.iter().map(|file| file.bytes).sum::<u64>() >= bytes
        };
        let due = self.files.iter().filter(|(_, (first, files))| is_due(first, files)).map(|(directory, _)| directory.clone());
        let due = due.collect::<Vec<_>>();
        if due.is_empty() {
            return Ok(());
        }
        let mut replaced = Vec::new();
        for directory in due {
            if let Some((_, files)) = self.files.remove(&directory) {
                self.merge(&directory, &files, epoch, manifest)?;
                replaced.extend(files.into_iter().map(|file| file.path));
            }
        }
        // Readers may still be on their way to the small files of these merges, but hardly to those of the ones before.
        std::mem::replace(&mut self.replaced, replaced).iter().try_for_each(|path| remove_file(&self.dir.join(path)))
    }

    fn merge(&self, directory: &str, files: &[CommittedFile], epoch: Epoch, manifest: &mut Manifest) -> Result<()> {
        let Some(path) = files.last().and_then(|file| visible_path(&file.path)) else { return Ok(()) };
        let staged = format!("merged-{}.tmp", Uuid::new_v4());
        let target = self.dir.join(STAGING).join(&staged);
        let info = EpochInfo { epoch, trigger_time_ms: 0, watermark: None, late_watermark: None };
        let merged = merge(&self.dir, files, &self.format, &self.schema, &target, info)?;
        let file = CommittedFile { path: path.to_owned(), ..merged };
        let merge = Merge { staged, file, replaces: files.iter().map(|file| file.path.clone()).collect() };
        failpoint::hit("sink.merge")?;
        manifest.begin_merge(&merge)?;
        failpoint::hit("sink.merging")?;
        create_directory(&self.dir, directory)?;
        self.complete(&merge, manifest)
    }

    /// Moves a merged file into place and says so.
    fn complete(&self, merge: &Merge, manifest: &mut Manifest) -> Result<()> {
        let (from, to) = (self.dir.join(STAGING).join(&merge.staged), self.dir.join(&merge.file.path));
        create_directory(&self.dir, directory_of(&merge.file.path))?;
        match std::fs::rename(&from, &to) {
            // It was moved before the crash.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && to.exists() => {}
            moved => moved.map_err(Error::io("move into place", &from))?,
        }
        sync_directory(&self.dir.join(directory_of(&merge.file.path)))?;
        failpoint::hit("sink.merged")?;
        manifest.end_merge(merge)
    }

    /// Removes the pending files that belong to no committed epoch, or were merged long ago.
    fn sweep(&self, directory: &str, kept: &HashSet<&str>) -> Result<()> {
        let full = self.dir.join(directory);
        let entries = match std::fs::read_dir(&full) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(Error::io("list", &full))?,
        };
        for entry in entries {
            let entry = entry.map_err(Error::io("list", &full))?;
            let Some(path) = entry.file_name().to_str().map(|name| format!("{directory}/{name}")) else { continue };
            if entry.path().is_dir() {
                self.sweep(&path, kept)?;
            } else if !kept.contains(path.as_str()) {
                remove_file(&entry.path())?;
            }
        }
        Ok(())
    }
}
