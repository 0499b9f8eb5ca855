//! A batch's rows as files, beside those that are there or in their place.
//!
//! ```text
//! nothing there          the file sink writes: its manifest begins with the batch
//! append, a manifest     the file sink writes the next epoch, as the one whose output it is
//! append, no manifest    the file sink writes below a hidden directory; the files are moved out of it, under names of their own
//! overwrite              the same; then the manifest is moved, too: that is the moment in which the new rows take the place of the old ones
//! ```
//!
//! So readers that go by the manifest see all of a batch or nothing of it, and never neither the old rows nor the new ones.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use tidegate_connectors::{DirectoryLock, FileSink, FileSource, Table};
use tidegate_runtime::{Epoch, SinkSupplier};
use uuid::Uuid;

use super::{is_url, sink};
use crate::batch_rows::{BatchRows, Identity};
use crate::dataframe::DataFrame;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::save_mode::{PartitionOverwriteMode, SaveMode};
use crate::session::Session;

/// What says which files are the output of a sink.
const MANIFEST: &str = "_tidegate_manifest";
/// Where files are written that have to be moved; hidden from readers.
const HIDDEN: &str = "_tidegate_batch-";
/// The sink of a batch, in manifests.
const BATCH_SINK: &str = "batch";

/// Files that a batch becomes.
pub(crate) struct Output<'a> {
    pub(crate) format: &'a str,
    pub(crate) path: &'a str,
    pub(crate) partition_by: &'a [String],
    pub(crate) options: &'a Options,
    pub(crate) mode: SaveMode,
    pub(crate) session: &'a Session,
}

impl Output<'_> {
    /// Writes the rows of a frame, which are all computed before anything changes.
    pub(crate) fn write(&self, frame: &DataFrame) -> Result<()> {
        if frame.is_streaming() {
            let message = "The method `write` can not be called on streaming Dataset/DataFrame: use write_stream().";
            return Err(Error::analysis("CALL_ON_STREAMING_DATASET_UNSUPPORTED", message));
        }
        if !self.is_to_be_written()? {
            return Ok(());
        }
        self.check_overwrite_mode(frame)?;
        let columns = frame.schema()?;
        self.sink(Path::new(self.path), &columns)?.check_input(&columns)?;
        let rows = BatchRows::of(frame)?;
        if is_url(self.path) { self.write_objects(&rows) } else { self.write_directory(&rows) }
    }

    fn sink(&self, dir: &Path, columns: &SchemaRef) -> Result<FileSink> {
        // Small files of epochs that follow each other are merged. A batch is one epoch, and its files would wait for others.
        let sink = sink(self.session, self.format, dir, self.partition_by, &self.options.without("compactEveryEpochs"))?;
        Ok(sink.keep_columns_of_nothing(columns))
    }

    /// Whether the mode allows to write where something may be; an error if it forbids it.
    fn is_to_be_written(&self) -> Result<bool> {
        match self.mode {
            SaveMode::Append | SaveMode::Overwrite => Ok(true),
            SaveMode::Ignore => Ok(!is_occupied(self.path)?),
            SaveMode::ErrorIfExists if is_occupied(self.path)? => {
                let message = format!(
                    "Path {} already exists and is not empty: set mode as \"overwrite\" to replace what is there, or as \"append\" to add \
                     to it.",
                    self.path
                );
                Err(Error::analysis("PATH_ALREADY_EXISTS", message))
            }
            SaveMode::ErrorIfExists => Ok(true),
        }
    }

    /// To replace all rows where those of some partitions were meant would lose the others.
    fn check_overwrite_mode(&self, frame: &DataFrame) -> Result<()> {
        if self.partition_by.is_empty() || self.mode != SaveMode::Overwrite {
            return Ok(());
        }
        match PartitionOverwriteMode::of(frame.session(), self.options.get("partitionOverwriteMode"))? {
            PartitionOverwriteMode::Static => Ok(()),
            PartitionOverwriteMode::Dynamic => Err(Error::unsupported(
                "partitionOverwriteMode can only be static: overwrite replaces the rows of all partitions",
            )),
        }
    }

    fn write_directory(&self, rows: &BatchRows) -> Result<()> {
        let dir = Path::new(self.path);
        check_directory(dir)?;
        let lock = Arc::new(DirectoryLock::of_batch(dir)?);
        // Somebody may have been faster.
        if !self.is_to_be_written()? {
            return Ok(());
        }
        sweep(dir)?;
        let occupied = is_occupied(self.path)?;
        let owner = match owner_of(dir)? {
            _ if occupied && self.mode == SaveMode::Overwrite => return self.replace(dir, rows),
            Some(owner) if owner.is(BATCH_SINK) => owner,
            Some(_) => {
                // A query that goes on from its checkpoint would take the batch's epoch for its own, and leave out its rows.
                let owner = Identity::new(BATCH_SINK);
                FileSink::take_over(dir, owner.query, &owner.node)?;
                owner
            }
            None if occupied => return self.add(dir, rows),
            None => Identity::new(BATCH_SINK),
        };
        rows.write(&self.sink(dir, rows.schema())?.locked_by(&lock), owner, Epoch::FIRST)
    }

    /// Files for a directory that has no manifest: with one, its readers would see nothing else any more.
    fn add(&self, dir: &Path, rows: &BatchRows) -> Result<()> {
        let hidden = Hidden::new(dir);
        rows.write(&self.sink(&hidden.path, rows.schema())?, Identity::new(BATCH_SINK), Epoch::FIRST)?;
        let name = |n: usize, name: &str| {
            let extension = name.split_once('.').map_or("", |(_, extension)| extension);
            format!("part-{n:05}-{}.{extension}", Uuid::new_v4())
        };
        hidden.publish(&name).map(drop)
    }

    /// Files that take the place of all others.
    fn replace(&self, dir: &Path, rows: &BatchRows) -> Result<()> {
        let old = Content::of(dir)?;
        let hidden = Hidden::new(dir);
        // The names of the new files are none of the old ones, whatever wrote these.
        let after = FileSink::committed_epoch(dir)?.map_or(Epoch::FIRST, Epoch::next);
        rows.write(&self.sink(&hidden.path, rows.schema())?, Identity::new(BATCH_SINK), old.next_epoch().max(after))?;
        let moved = hidden.publish(&|_, name| name.to_owned())?;
        if let Err(error) = rename(&hidden.path.join(MANIFEST), &dir.join(MANIFEST)) {
            moved.iter().for_each(|file| drop(std::fs::remove_file(file)));
            return Err(error);
        }
        sync_directory(dir)?;
        old.remove(dir)
    }

    /// In an object store nothing is moved: the sink writes, or nobody does.
    fn write_objects(&self, rows: &BatchRows) -> Result<()> {
        let refused = |what: &str| Err(Error::unsupported(format!("{}: {what}", self.path)));
        if Table::open(self.path)?.is_some() {
            return refused("this is a table: write to it by its name");
        }
        let (path, occupied) = (Path::new(self.path), is_occupied(self.path)?);
        let owner = match owner_of(path)? {
            _ if occupied && self.mode == SaveMode::Overwrite => {
                return refused(
                    "files in an object store can't be overwritten: write to another place, or a table, which can be",
                );
            }
            Some(owner) if owner.is(BATCH_SINK) => owner,
            Some(_) => {
                return refused(
                    "this is the output of a query, which may be running: in an object store rows can only be added to the output of a \
                     batch",
                );
            }
            None if occupied => {
                return refused("there are files without a manifest, and with one its readers would not see these any more");
            }
            None => Identity::new(BATCH_SINK),
        };
        rows.write(&self.sink(path, rows.schema())?, owner, Epoch::FIRST)
    }
}

/// Whether there is something where a batch is to be written.
///
/// # Errors
/// When an object store can't be asked.
fn is_occupied(path: &str) -> Result<bool> {
    if is_url(path) {
        return Ok(!FileSource::text(path).recursive_file_lookup(true).files()?.is_empty());
    }
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.any(|entry| entry.is_ok_and(|entry| !DirectoryLock::is_lock(&entry.file_name())))),
        Err(_) => Ok(Path::new(path).exists()),
    }
}

/// Files belong into directories of their own.
fn check_directory(dir: &Path) -> Result<()> {
    let refused = |what: &str| Err(Error::unsupported(format!("files can't be written to {}: {what}", dir.display())));
    if dir.exists() && !dir.is_dir() {
        return refused("it is a file, give a directory");
    }
    if dir.join("_log").is_dir() {
        return refused("it is the directory of a table, use save_as_table or insert_into");
    }
    if dir.join("_delta_log").is_dir() {
        return refused("it is the directory of a Delta table");
    }
    Ok(())
}

/// Whose output a directory or a place in an object store is; `None` if it has no manifest.
fn owner_of(path: &Path) -> Result<Option<Identity>> {
    Ok(FileSink::owner(path)?.map(|(query, node)| Identity { query, node }))
}

/// A directory in which files are written before they are moved to where they belong. It goes with what is left in it.
struct Hidden<'a> {
    parent: &'a Path,
    path: PathBuf,
}

impl<'a> Hidden<'a> {
    fn new(parent: &'a Path) -> Self {
        Hidden { parent, path: parent.join(format!("{HIDDEN}{}", Uuid::new_v4())) }
    }

    /// Moves the committed files to the same place in the parent directory, under the name that `name` makes of a number and their own.
    /// Gives where they are now; none of them if there is an error.
    fn publish(&self, name: &dyn Fn(usize, &str) -> String) -> Result<Vec<PathBuf>> {
        let (mut moved, files) = (Vec::new(), FileSink::committed_files(&self.path)?);
        let published = files.iter().enumerate().try_for_each(|(n, from)| {
            let own = from.file_name().map(|own| own.to_string_lossy().into_owned()).unwrap_or_default();
            let below = from.parent().and_then(|dir| dir.strip_prefix(&self.path).ok()).unwrap_or(Path::new(""));
            let target = self.parent.join(below);
            std::fs::create_dir_all(&target).map_err(failed("create", &target))?;
            let to = target.join(name(n, &own));
            rename(from, &to)?;
            moved.push(to);
            Ok(())
        });
        let published = published.and_then(|()| moved.iter().try_for_each(|file| sync_above(self.parent, file)));
        if published.is_err() {
            moved.iter().for_each(|file| drop(std::fs::remove_file(file)));
        }
        published.map(|()| moved)
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "what a batch has not published can't be removed");
        }
    }
}

/// Removes what batches that died have left: hidden directories, and files of ours that the manifest does not name.
fn sweep(dir: &Path) -> Result<()> {
    if dir.join(MANIFEST).exists() {
        let committed: HashSet<PathBuf> = FileSink::committed_files(dir)?.into_iter().collect();
        for file in Content::of(dir)?.files.iter().filter(|file| is_part(file) && !committed.contains(*file)) {
            std::fs::remove_file(file).map_err(failed("remove", file))?;
        }
    }
    for entry in std::fs::read_dir(dir).map_err(failed("list", dir))? {
        let entry = entry.map_err(failed("list", dir))?;
        if entry.file_name().to_string_lossy().starts_with(HIDDEN) {
            std::fs::remove_dir_all(entry.path()).map_err(failed("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// Whether a file has a name that a file sink gives: `part-00001-00000.parquet`.
fn is_part(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let numbers = name.strip_prefix("part-").and_then(|rest| rest.split('.').next()).unwrap_or_default();
    let is_number = |part: &str| part.len() >= 5 && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(numbers.split('-').count(), 2 | 3) && numbers.split('-').all(is_number)
}

/// The rows that a directory has: what its readers see, and what other writers have noted of it. Directories that are no partitions are
/// none of that.
#[derive(Default)]
struct Content {
    files: Vec<PathBuf>,
    /// Parents before what is in them.
    partitions: Vec<PathBuf>,
}

impl Content {
    fn of(dir: &Path) -> Result<Self> {
        let mut content = Content::default();
        content.walk(dir)?;
        Ok(content)
    }

    fn walk(&mut self, dir: &Path) -> Result<()> {
        for entry in std::fs::read_dir(dir).map_err(failed("list", dir))? {
            let entry = entry.map_err(failed("list", dir))?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let is_partition = name.find('=').is_some_and(|at| at > 0);
            let is_hidden = name.starts_with('.') && !name.ends_with(".crc") || name.starts_with('_') && !is_partition;
            let is_directory = entry.file_type().map_err(failed("read the type of", &path))?.is_dir();
            if is_directory && is_partition && !name.starts_with('.') {
                self.partitions.push(path.clone());
                self.walk(&path)?;
            } else if !is_directory && (!is_hidden || name == "_SUCCESS") {
                // A link goes, and what it leads to stays.
                self.files.push(path);
            }
        }
        Ok(())
    }

    /// An epoch that no file's name is of.
    fn next_epoch(&self) -> Epoch {
        let number = |path: &PathBuf| {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix("part-")?.split('-').next()?.parse::<u32>().ok()
        };
        self.files.iter().filter_map(number).max().map_or(Epoch::FIRST, |newest| Epoch::new(u64::from(newest) + 1))
    }

    /// Removes it. After an error some of it is still there, for those readers that do not go by the manifest.
    fn remove(self, dir: &Path) -> Result<()> {
        let notes = ["_pending", "_staging", "_spark_metadata"].map(|name| dir.join(name));
        let if_there = |removed: std::io::Result<()>, path: &Path| match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
            _ => Ok(()),
        };
        self.files.iter().try_for_each(|file| if_there(std::fs::remove_file(file), file))?;
        notes.iter().try_for_each(|note| if_there(std::fs::remove_dir_all(note), note))?;
        // Those in which there are rows again stay.
        self.partitions.iter().rev().for_each(|partition| drop(std::fs::remove_dir(partition)));
        Ok(())
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(failed("move into place", from))
}

/// Makes a file's name durable, and those of the directories down to it.
fn sync_above(root: &Path, file: &Path) -> Result<()> {
    file.ancestors().skip(1).take_while(|dir| dir.starts_with(root)).try_for_each(sync_directory)
}

fn sync_directory(dir: &Path) -> Result<()> {
    // Elsewhere a directory can't be opened as a file, and the file system orders renames itself.
    if cfg!(unix) { std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir)) } else { Ok(()) }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |error| Error::from(tidegate_runtime::Error::io(what, path)(error))
}
