//! Segments: what is too large for a record. Sealed when written, never changed, garbage unless the catalogue names them.
//!
//! A small segment lies in the catalogue itself, under the same name that its file would have: that saves a file and a sync for
//! every task of an epoch in which little changed.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::records::{Place, SegmentRef};
use crate::error::{Error, Result};
use crate::failpoint;

/// How much a writer collects before it writes: more than the inline limit, so that small segments never touch a file.
const BUFFER_BYTES: usize = 128 << 10;

/// Segments that lie in the catalogue, by name.
pub(super) type SmallSegments = HashMap<String, Arc<[u8]>>;

/// The directory of the segment files.
#[derive(Debug, Clone)]
pub(super) struct Segments {
    dir: Arc<Path>,
    inline_limit: usize,
}

/// A segment that nothing names yet.
#[derive(Debug, Clone)]
pub(super) struct NewSegment {
    /// What names it.
    pub(super) segment: SegmentRef,
    /// Its bytes, if it is to lie in the catalogue; else they are in its file, which is synced.
    pub(super) bytes: Option<Arc<[u8]>>,
}

impl Segments {
    /// The segments in `dir`; up to `inline_limit` bytes, a segment lies in the catalogue.
    pub(super) fn new(dir: &Path, inline_limit: usize) -> Self {
        Segments { dir: Arc::from(dir), inline_limit }
    }

    /// Starts a segment whose name begins with `stem`.
    pub(super) fn writer(&self, stem: &str) -> SegmentWriter {
        let random = uuid::Uuid::new_v4().simple().to_string();
        SegmentWriter {
            path: self.path(&format!("{stem}-{}.arrow", &random[..8])),
            inline_limit: self.inline_limit,
            pending: Vec::new(),
            file: None,
            length: 0,
            crc: 0,
            error: None,
        }
    }

    /// Checks the file of a segment against what the catalogue says of it, and opens it.
    ///
    /// # Errors
    /// [`Error::CheckpointDamaged`] naming the file.
    pub(super) fn verify(&self, segment: &SegmentRef) -> Result<File> {
        let path = self.path(&segment.name);
        let mut file = match File::open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(Error::damaged(path, "the file is missing")),
            opened => opened.map_err(Error::io("open", &path))?,
        };
        let (length, crc) = checksum(&mut file).map_err(Error::io("read", &path))?;
        if length != segment.length {
            return Err(Error::damaged(path, format!("the file has {length} bytes instead of {}", segment.length)));
        }
        if crc != segment.crc {
            return Err(Error::damaged(path, "the file does not match its checksum"));
        }
        file.rewind().map_err(Error::io("read", &path))?;
        Ok(file)
    }

    /// The checked content of a segment's file.
    ///
    /// # Errors
    /// [`Error::CheckpointDamaged`] naming the file.
    pub(super) fn read(&self, segment: &SegmentRef) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.verify(segment)?.read_to_end(&mut bytes).map_err(Error::io("read", &self.path(&segment.name)))?;
        Ok(bytes)
    }

    /// The checked rows of a segment, wherever it lies.
    ///
    /// # Errors
    /// [`Error::CheckpointDamaged`] naming the segment.
    pub(super) fn open(&self, segment: &SegmentRef, small: &SmallSegments) -> Result<Box<dyn ReadSeek>> {
        match segment.place {
            Place::File => Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, self.verify(segment)?))),
            Place::Catalogue => Ok(Box::new(io::Cursor::new(self.small(segment, small)?))),
        }
    }

    /// Checks that a segment is there and is the one that is named.
    ///
    /// # Errors
    /// [`Error::CheckpointDamaged`] naming the segment.
    pub(super) fn check(&self, segment: &SegmentRef, small: &SmallSegments) -> Result<()> {
        match segment.place {
            Place::File => self.verify(segment).map(drop),
            Place::Catalogue => self.small(segment, small).map(drop),
        }
    }

    fn small(&self, segment: &SegmentRef, small: &SmallSegments) -> Result<Arc<[u8]>> {
        let bytes = small.get(&segment.name).ok_or_else(|| Error::damaged(self.path(&segment.name), "the record is missing"))?;
        if bytes.len() as u64 != segment.length || crc32c::crc32c(bytes) != segment.crc {
            return Err(Error::damaged(self.path(&segment.name), "the record is another one than the manifest names"));
        }
        Ok(Arc::clone(bytes))
    }

    /// Makes the names of all finished files durable.
    ///
    /// # Errors
    /// When the directory can't be synced.
    pub(super) fn sync(&self) -> Result<()> {
        sync_dir(&self.dir)
    }

    /// Removes a file that nothing names; one that is not there is fine.
    ///
    /// # Errors
    /// When it can't be removed.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::Io { action: "remove", path, source: e }),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The names of all files.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub(super) fn list(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(Error::io("list", &self.dir))?;
        Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// A stream that Arrow's file reader can read.
pub(super) trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// Writes one segment. A file is begun only when it does not stay small; dropped unfinished, it removes the file again.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    path: PathBuf,
    inline_limit: usize,
    pending: Vec<u8>,
    file: Option<File>,
    length: u64,
    crc: u32,
    /// The first error: what Arrow's writer makes of it no longer tells a full disk from a bad batch.
    error: Option<Error>,
}

impl SegmentWriter {
    /// The error that ended the writing, if it was the segment's own and not its content's.
    pub(super) fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }

    /// Seals the segment. A file is durable when this returns; its name is not yet.
    ///
    /// # Errors
    /// When it can't be written or synced.
    pub(super) fn finish(mut self) -> Result<NewSegment> {
        if self.file.is_none() && self.pending.len() <= self.inline_limit {
            let bytes: Arc<[u8]> = std::mem::take(&mut self.pending).into();
            let (length, crc) = (bytes.len() as u64, crc32c::crc32c(&bytes));
            let segment = SegmentRef { name: self.name(), place: Place::Catalogue, length, crc };
            return Ok(NewSegment { segment, bytes: Some(bytes) });
        }
        self.spill()?;
        failpoint::hit("state.sync")?;
        if let Some(file) = &self.file {
            file.sync_all().map_err(Error::io("sync", &self.path))?;
        }
        self.file = None;
        let segment = SegmentRef { name: self.name(), place: Place::File, length: self.length, crc: self.crc };
        Ok(NewSegment { segment, bytes: None })
    }

    fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn spill(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.length += pending.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, &pending);
        match &mut self.file {
            Some(file) => file.write_all(&pending).map_err(Error::io("write", &self.path)),
            None => self.begin(&pending),
        }
    }

    fn begin(&mut self, bytes: &[u8]) -> Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).open(&self.path).map_err(Error::io("create", &self.path))?;
        let file = self.file.insert(file);
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first).map_err(Error::io("write", &self.path))?;
        failpoint::hit("state.torn")?;
        file.write_all(second).map_err(Error::io("write", &self.path))
    }
}

impl Write for SegmentWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= BUFFER_BYTES
            && let Err(error) = self.spill()
        {
            let text = error.to_string();
            self.error.get_or_insert(error);
            return Err(io::Error::other(text));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        // A full disk gets its space back at once, not at the next start.
        if self.file.take().is_some()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "unfinished segment left behind");
        }
    }
}

/// Makes the entries of a directory durable.
///
/// # Errors
/// When it can't be synced.
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    // Elsewhere a directory can't be opened as a file, and the file system keeps its entries by itself.
    if cfg!(unix) { File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir)) } else { Ok(()) }
}

/// What a file's name may hold of the name of a node: other characters become dashes.
pub(super) fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    name.chars().take(40).map(plain).collect()
}

fn checksum(file: &mut File) -> io::Result<(u64, u32)> {
    let (mut length, mut crc, mut buffer) = (0, 0, vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((length, crc)),
            Ok(read) => {
                length += read as u64;
                crc = crc32c::crc32c_append(crc, &buffer[..read]);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::support::no_faults;
    use super::*;

    fn write(segments: &Segments, bytes: &[u8]) -> NewSegment {
        let mut writer = segments.writer("a-0-1");
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn small_segments_take_no_file() {
        let _points = no_faults();
        let dir = tempfile::tempdir().unwrap();
        let segments = Segments::new(dir.path(), 10);
        let new = write(&segments, &[1; 10]);
        assert_eq!((new.segment.place, new.bytes.as_deref()), (Place::Catalogue, Some(&[1; 10][..])));
        assert!(segments.list().unwrap().is_empty());
    }

    #[test]
    fn large_segments_are_files_that_can_be_checked() {
        let _points = no_faults();
        let dir = tempfile::tempdir().unwrap();
        let segments = Segments::new(dir.path(), 10);
        for size in [11, BUFFER_BYTES, 3 * BUFFER_BYTES + 7] {
            let new = write(&segments, &vec![7; size]);
            assert_eq!(new.segment.length, size as u64);
            segments.verify(&new.segment).unwrap();
        }
    }

    #[test]
    fn a_changed_cut_or_missing_file_is_named() {
        let _points = no_faults();
        let dir = tempfile::tempdir().unwrap();
        let segments = Segments::new(dir.path(), 0);
        let new = write(&segments, b"some bytes").segment;
        let path = dir.path().join(&new.name);
        for (content, what) in [("some byteS", "checksum"), ("some byte", "9 bytes instead of 10")] {
            fs::write(&path, content).unwrap();
            let error = segments.verify(&new).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains(&new.name), "{error}");
        }
        segments.remove(&new.name).unwrap();
        assert!(segments.verify(&new).unwrap_err().to_string().contains("missing"));
        segments.remove(&new.name).unwrap();
    }

    #[test]
    fn an_unfinished_segment_leaves_no_file() {
        let _points = no_faults();
        let dir = tempfile::tempdir().unwrap();
        let segments = Segments::new(dir.path(), 0);
        let mut writer = segments.writer("a-0-1");
        writer.write_all(&vec![0; 2 * BUFFER_BYTES]).unwrap();
        assert_eq!(segments.list().unwrap().len(), 1);
        drop(writer);
        assert!(segments.list().unwrap().is_empty());
    }

    #[test]
    fn slugs_are_plain() {
        assert_eq!(slug("a/../b c.é"), "a----b-c--");
    }
}
