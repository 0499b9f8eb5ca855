//! The file sink on an object store, which can't move files: they are uploaded to where they belong, and the manifest says which count.

use std::path::PathBuf;

use tidegate_runtime::{Epoch, Error, LastCommitted, Result, Sink, SinkContext, SinkWriter, Staged, failpoint};

use super::durable::remove_file;
use super::listing::{FileState, below, is_hidden};
use super::manifest::{CommittedFile, Content, MANIFEST, Owner, Record, check_complete, check_owner};
use super::object_directory::ObjectDirectory;
use super::object_manifest;
use super::part::{unique_epoch_of, unique_part_name};
use super::partition_rows::PartitionRows;
use super::sink::{FileSink, not_open};
use super::sink_writer::StagedFile;
use crate::objects::Objects;

/// The committing half.
#[derive(Debug)]
pub(crate) struct ObjectCommitter {
    config: FileSink,
    objects: Objects,
    partitions: PartitionRows,
    /// Where the tasks stage files; set when the sink is opened.
    writer: String,
    /// `None` before the sink is opened, and after a failed commit: it is unknown then what has become of its requests.
    output: Option<Output>,
}

/// What there is.
#[derive(Debug)]
struct Output {
    manifest: Content,
    /// Files of epochs that were not committed. They are removed once these are, by this run: before that a request of a run that is
    /// gone may still be under way, and commit them.
    leftovers: Vec<(Epoch, String)>,
}

impl ObjectCommitter {
    pub(crate) fn new(config: FileSink, objects: Objects) -> Self {
        ObjectCommitter { config, objects, partitions: PartitionRows::default(), writer: String::new(), output: None }
    }

    fn staging(&self) -> Result<PathBuf> {
        Objects::staging(&self.writer)
    }

    fn open_output(&self, owner: &Owner, committed: Option<Epoch>) -> Result<Output> {
        let (directory, place) = (ObjectDirectory::new(self.objects.clone()), PathBuf::from(self.objects.url()));
        let mut listed = directory.list()?;
        if object_manifest::owner_in(&listed).is_none() {
            check_foreign_parts(&self.objects, &listed)?;
            object_manifest::claim(&self.objects, owner)?;
            listed = directory.list()?;
        }
        let manifest = directory.manifest(&listed)?;
        let manifest = manifest.ok_or_else(|| Error::damaged(&place, "the manifest that was just begun is gone"))?;
        check_owner(&place, manifest.owner(), owner)?;
        check_complete(&place.join(MANIFEST), manifest.last(), committed)?;
        let known: std::collections::HashSet<&str> = manifest.files().map(|file| file.path.as_str()).collect();
        let parts = part_files(&listed).filter(|(_, path)| !known.contains(path));
        let leftovers = parts.map(|(epoch, path)| (epoch, path.to_owned())).collect();
        Ok(Output { manifest, leftovers })
    }

    /// Removes the leftovers of committed epochs.
    fn sweep(&self, output: &mut Output) {
        let last = output.manifest.last();
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut output.leftovers).into_iter().partition(|(epoch, _)| Some(*epoch) <= last);
        output.leftovers = kept;
        for (epoch, path) in gone {
            tracing::info!(file = path, %epoch, "removing a file of a run that did not commit it");
            if let Err(error) = self.objects.remove(&path) {
                tracing::warn!(file = path, %error, "a file that belongs to no committed epoch can't be removed");
            }
        }
    }

    /// Uploads the staged files of `epoch`.
    fn publish(&self, epoch: Epoch, staged: Vec<Vec<StagedFile>>) -> Result<Vec<CommittedFile>> {
        let (staging, extension) = (self.staging()?, self.config.extension());
        let (mut files, mut uploads) = (Vec::new(), Vec::new());
        for (subtask, staged) in staged.into_iter().enumerate() {
            for file in staged {
                let path = below(&file.directory, &unique_part_name(epoch, subtask, &extension));
                uploads.push((staging.join(&file.file), path.clone()));
                files.push(CommittedFile { path, rows: file.rows, bytes: file.bytes, crc32c: file.crc32c });
            }
        }
        let local: Vec<PathBuf> = uploads.iter().map(|(from, _)| from.clone()).collect();
        self.objects.upload(uploads)?;
        local.iter().try_for_each(|path| remove_file(path))?;
        Ok(files)
    }
}

impl Sink for ObjectCommitter {
    fn open(&mut self, context: SinkContext) -> Result<()> {
        // The names of sinks may have any characters.
        self.writer = format!("{}-{:08x}", context.query, crc32c::crc32c(context.node.as_str().as_bytes()));
        self.partitions = self.config.partitions(&context.schema)?;
        Objects::clear_staging(&self.writer)?;
        let mut output = self.open_output(&Owner::new(context.query, &context.node), context.committed)?;
        self.sweep(&mut output);
        self.output = Some(output);
        Ok(())
    }

    fn last_committed(&mut self) -> Result<LastCommitted> {
        let last = self.output.as_ref().ok_or_else(not_open)?.manifest.last();
        Ok(last.map_or(LastCommitted::Nothing, LastCommitted::Epoch))
    }

    fn writer(&mut self, subtask: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(self.config.file_writer(self.staging()?, subtask, self.partitions.clone()))
    }

    fn commit(&mut self, epoch: Epoch, staged: Vec<Staged>) -> Result<()> {
        let mut output = self.output.take().ok_or_else(not_open)?;
        let staged = staged.iter().map(Staged::decode::<Vec<StagedFile>>).collect::<Result<Vec<_>>>()?;
        if output.manifest.last() >= Some(epoch) {
            // Committed already: these are the same rows once more.
            let staging = self.staging()?;
            staged.into_iter().flatten().try_for_each(|file| remove_file(&staging.join(file.file)))?;
        } else {
            failpoint::hit("sink.prepared")?;
            let files = self.publish(epoch, staged)?;
            failpoint::hit("sink.manifest")?;
            object_manifest::commit(&self.objects, &mut output.manifest, Record { epoch, files })?;
            self.sweep(&mut output);
            failpoint::hit("sink.after")?;
        }
        self.output = Some(output);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Objects::clear_staging(&self.writer)
    }
}

/// The files among the objects that have names like a sink's, with their epochs.
fn part_files(listed: &[FileState]) -> impl Iterator<Item = (Epoch, &str)> {
    let visible = listed.iter().filter(|object| !object.path.split('/').any(is_hidden));
    visible.filter_map(|object| Some((unique_epoch_of(object.name())?, object.path.as_str())))
}

/// Files with a sink's names in a place that no query owns would be taken for output.
fn check_foreign_parts(objects: &Objects, listed: &[FileState]) -> Result<()> {
    match part_files(listed).next() {
        None => Ok(()),
        Some((_, path)) => Err(Error::InvalidArgument(format!(
            "{} has the file {path} but no {MANIFEST}, so it is unknown what it belongs to: move such files away, or give the query an \
             empty place",
            objects.url()
        ))),
    }
}
