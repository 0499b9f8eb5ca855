//! Reads files of an object store: each is copied to this machine and read there; of Parquet only the columns that are read.

use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use tempfile::TempDir;
use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

use super::durable::remove_file;
use super::ignored::Ignored;
use super::listing::FileState;
use super::object_parquet::{Copied, copy_columns};
use super::split_reader::{FileSplit, changed};
use crate::objects::{Expected, Objects};

/// Gives copies of objects to a reader of files.
pub(crate) struct ObjectReader {
    objects: Objects,
    copies: TempDir,
    ignored: Ignored,
    /// The columns that are read, if files are Parquet.
    parquet: Option<SchemaRef>,
    inner: Box<dyn SourceReader>,
}

impl ObjectReader {
    /// `reader` makes what reads the files in a directory; `parquet` has the columns that it reads of Parquet files.
    pub(crate) fn new(
        objects: Objects,
        ignored: Ignored,
        parquet: Option<SchemaRef>,
        reader: impl FnOnce(PathBuf) -> Result<Box<dyn SourceReader>>,
    ) -> Result<Self> {
        let copies = copies()?;
        let inner = reader(copies.path().to_path_buf())?;
        Ok(ObjectReader { objects, copies, ignored, parquet, inner })
    }

    fn copy(&self, planned: &FileState) -> Result<FileState> {
        let Some(columns) = &self.parquet else { return copy(&self.objects, planned, &self.copies) };
        let to = self.copies.path().join(planned.name());
        remove_file(&to)?;
        match copy_columns(&self.objects, planned, &to, columns)? {
            Copied::Nothing => copy(&self.objects, planned, &self.copies),
            Copied::Columns => state_of(&self.copies, planned, &self.objects),
            Copied::Changed => Err(not_as_planned(&self.objects, planned)),
        }
    }
}

impl SourceReader for ObjectReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: FileSplit = split.decode()?;
        let file = match self.copy(&split.file) {
            Err(Error::SourceDataLoss(_)) if self.ignored.missing && self.objects.head(&split.file.path)?.is_none() => {
                tracing::warn!(object = %split.file.path, "missing file skipped");
                return Ok(());
            }
            copied => copied?,
        };
        let local = self.copies.path().join(&file.path);
        let (epoch, mut is_downstream) = (out.epoch(), false);
        let mut emit = |batch| out.emit(batch).inspect_err(|_| is_downstream = true);
        let copied = Split::encode(&FileSplit::whole(&file))?;
        let read = self.inner.read(&copied, &mut SourceOutput::new(epoch, &mut emit));
        remove_file(&local)?;
        // The reader knows the copy only.
        read.map_err(|error| match error {
            error if is_downstream => error,
            error => Error::user(format!("reading {}/{}: {error}", self.objects.url(), split.file.path)),
        })
    }
}

/// A directory for copies, which goes with them.
pub(crate) fn copies() -> Result<TempDir> {
    let copies = tempfile::Builder::new().prefix("tidegate-copy-").tempdir();
    copies.map_err(Error::io("create a directory in", std::env::temp_dir()))
}

/// Copies an object, if it is still the one that was planned; gives the copy, which has its name.
pub(crate) fn copy(objects: &Objects, planned: &FileState, copies: &TempDir) -> Result<FileState> {
    let to = copies.path().join(planned.name());
    remove_file(&to)?;
    let expected = Expected { tag: planned.tag.clone(), len: Some(planned.len) };
    if !objects.download(&planned.path, &to, expected)? {
        return Err(not_as_planned(objects, planned));
    }
    state_of(copies, planned, objects)
}

fn state_of(copies: &TempDir, planned: &FileState, objects: &Objects) -> Result<FileState> {
    let gone = || changed(&url(objects, planned), "was copied, and its copy is gone");
    FileState::of(copies.path(), planned.name())?.ok_or_else(gone)
}

fn not_as_planned(objects: &Objects, planned: &FileState) -> Error {
    changed(&url(objects, planned), "was planned but is gone, or another is in its place")
}

fn url(objects: &Objects, planned: &FileState) -> PathBuf {
    PathBuf::from(format!("{}/{}", objects.url(), planned.path))
}
