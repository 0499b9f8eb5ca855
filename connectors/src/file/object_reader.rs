//! Reads files of an object store: each is copied to this machine, as a whole, and read there.

use std::path::PathBuf;

use tempfile::TempDir;
use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

use super::durable::remove_file;
use super::ignored::Ignored;
use super::listing::FileState;
use super::split_reader::{FileSplit, changed};
use crate::objects::{Expected, Objects};

/// Gives copies of objects to a reader of files.
pub(crate) struct ObjectReader {
    objects: Objects,
    copies: TempDir,
    ignored: Ignored,
    inner: Box<dyn SourceReader>,
}

impl ObjectReader {
    /// `reader` makes what reads the files in a directory.
    pub(crate) fn new(
        objects: Objects,
        ignored: Ignored,
        reader: impl FnOnce(PathBuf) -> Result<Box<dyn SourceReader>>,
    ) -> Result<Self> {
        let copies = copies()?;
        let inner = reader(copies.path().to_path_buf())?;
        Ok(ObjectReader { objects, copies, ignored, inner })
    }
}

impl SourceReader for ObjectReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: FileSplit = split.decode()?;
        let file = match copy(&self.objects, &split.file, &self.copies) {
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
    let url = PathBuf::from(format!("{}/{}", objects.url(), planned.path));
    if !objects.download(&planned.path, &to, expected)? {
        return Err(changed(&url, "was planned but is gone, or another is in its place"));
    }
    FileState::of(copies.path(), planned.name())?.ok_or_else(|| changed(&url, "was copied, and its copy is gone"))
}
