//! Reads splits of files: as lines for the line formats, and what all formats share.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tidegate_runtime::{Error, Result};

use super::lines::{LineCutter, LineError, Lines};
use super::listing::FileState;

/// How much is read at once within a split.
const BLOCK_BYTES: usize = 1 << 20;
/// How much is read at once to find the end of a split's last line, which lies in the next split.
const TAIL_BYTES: usize = 16 << 10;

/// A stretch of a planned file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FileSplit {
    pub(crate) file: FileState,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl FileSplit {
    /// The splits of a file, each of `split_bytes` or less.
    pub(crate) fn cut(file: &FileState, split_bytes: u64) -> impl Iterator<Item = FileSplit> {
        let starts = (0..file.len.div_ceil(split_bytes)).map(move |n| n * split_bytes);
        starts.map(move |start| FileSplit { file: file.clone(), start, end: file.len.min(start.saturating_add(split_bytes)) })
    }
}

/// Gives the lines of a split of a file below `dir` to `emit`, batch by batch.
pub(crate) fn read_split_lines(
    dir: &Path,
    split: &FileSplit,
    max_line_bytes: usize,
    emit: &mut impl FnMut(Lines) -> Result<(), ReadError>,
) -> Result<()> {
    let path = dir.join(&split.file.path);
    let mut cutter = LineCutter::new(split.start..split.end, max_line_bytes);
    let mut file = open_unchanged(&path, &split.file)?;
    file.seek(SeekFrom::Start(cutter.position())).map_err(Error::io("read", &path))?;
    let read = read_lines(&mut file, &path, split, &mut cutter, emit);
    read.map_err(|error| error.in_file(&path, max_line_bytes))?;
    // A change while it was read would have mixed two versions of the file.
    check_unchanged(&file, &path, &split.file)
}

/// The number of the line that begins at byte `at`, counted from 1, to name it in an error.
pub(crate) fn line_number(path: &Path, at: u64) -> Result<u64> {
    let mut before = File::open(path).map_err(Error::io("open", path))?.take(at);
    let (mut block, mut number) = (vec![0; TAIL_BYTES], 1);
    loop {
        match before.read(&mut block).map_err(Error::io("read", path))? {
            0 => return Ok(number),
            read => number += memchr::memchr_iter(b'\n', &block[..read]).count() as u64,
        }
    }
}

fn read_lines(
    file: &mut File,
    path: &Path,
    split: &FileSplit,
    cutter: &mut LineCutter,
    emit: &mut impl FnMut(Lines) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut block = vec![0; BLOCK_BYTES.min(split.file.len as usize)];
    while !cutter.is_done() && cutter.position() < split.file.len {
        let want = next_read(cutter.position(), split).min(block.len());
        match file.read(&mut block[..want]) {
            Ok(0) => return Err(changed(path, "is shorter than when it was planned").into()),
            Ok(read) => cutter.take(&block[..read], emit)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path)(error).into()),
        }
    }
    cutter.finish(emit)
}

fn next_read(position: u64, split: &FileSplit) -> usize {
    let in_split = split.end.saturating_sub(position);
    let want = if in_split > 0 { in_split } else { (split.file.len - position).min(TAIL_BYTES as u64) };
    usize::try_from(want).unwrap_or(usize::MAX)
}

/// Opens a planned file, if it is still as it was planned.
pub(crate) fn open_unchanged(path: &Path, planned: &FileState) -> Result<File> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(changed(path, "was planned but is gone")),
        opened => opened.map_err(Error::io("open", path))?,
    };
    check_unchanged(&file, path, planned)?;
    Ok(file)
}

/// Fails if the open file is not as it was planned.
pub(crate) fn check_unchanged(file: &File, path: &Path, planned: &FileState) -> Result<()> {
    let metadata = file.metadata().map_err(Error::io("read the length of", path))?;
    let now = FileState::new(planned.path.clone(), &metadata).map_err(Error::io("read the time of", path))?;
    match now {
        now if now.len < planned.len => Err(changed(path, "is shorter than when it was planned")),
        now if now.len > planned.len => Err(changed(path, "has grown since it was planned")),
        now if now.mtime != planned.mtime => Err(changed(path, "was modified after it was planned")),
        _ => Ok(()),
    }
}

fn changed(path: &Path, how: &str) -> Error {
    Error::SourceDataLoss(format!(
        "the file {} {how}: its rows can't be read again as they were. Files of a stream must not change: write them elsewhere on the \
         same file system and move them into the directory when they are complete",
        path.display()
    ))
}

/// What can go wrong while lines are cut; [`LineError`] does not know the file.
pub(crate) enum ReadError {
    Lines(LineError),
    Other(Error),
}

impl From<LineError> for ReadError {
    fn from(error: LineError) -> Self {
        ReadError::Lines(error)
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        ReadError::Other(error)
    }
}

impl ReadError {
    fn in_file(self, path: &Path, max_line_bytes: usize) -> Error {
        let path = path.display();
        match self {
            ReadError::Other(error) => error,
            ReadError::Lines(LineError::InvalidUtf8 { at }) => Error::user(format!("the file {path} is not UTF-8 at byte {at}")),
            ReadError::Lines(LineError::TooLong { line_at }) => Error::user(format!(
                "the file {path} has a line of more than {max_line_bytes} bytes, which begins at byte {line_at}; raise max_line_bytes if \
                 it is meant to"
            )),
        }
    }
}
