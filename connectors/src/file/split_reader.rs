//! Reads splits of files: as lines for the line formats, and what all formats share.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tidegate_runtime::{Error, Result};

use super::compression::Compression;
use super::ignored::Damaged;
use super::lines::{LineCutter, LineEnd, LineError, Lines};
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
    /// The one split of a file that can't be cut.
    pub(crate) fn whole(file: &FileState) -> FileSplit {
        FileSplit { file: file.clone(), start: 0, end: file.len }
    }

    /// The splits of a file, each of `split_bytes` or less.
    pub(crate) fn cut(file: &FileState, split_bytes: u64) -> impl Iterator<Item = FileSplit> {
        let starts = (0..file.len.div_ceil(split_bytes)).map(move |n| n * split_bytes);
        starts.map(move |start| FileSplit { file: file.clone(), start, end: file.len.min(start.saturating_add(split_bytes)) })
    }
}

/// How files are cut into lines.
#[derive(Debug, Clone)]
pub(crate) struct LineOptions {
    /// A longer line is an error.
    pub(crate) max_bytes: usize,
    pub(crate) end: LineEnd,
}

/// Gives the lines of a split of a file below `dir` to `emit`, batch by batch. A compressed file is one split.
pub(crate) fn read_split_lines(
    dir: &Path,
    split: &FileSplit,
    options: &LineOptions,
    emit: &mut impl FnMut(Lines) -> Result<(), ReadError>,
) -> Result<()> {
    let path = dir.join(&split.file.path);
    let mut file = open_unchanged(&path, &split.file)?;
    let read = match Compression::of_name(split.file.name()) {
        Some(codec) => {
            let again = file.try_clone().map_err(Error::io("open", &path))?;
            let mut content = codec.decoder(again).map_err(Error::io("decompress", &path))?;
            read_all_lines(&mut content, &path, options, emit)
        }
        None => read_lines(&mut file, &path, split, options, emit),
    };
    read.map_err(|error| error.in_file(&path, options.max_bytes))?;
    // A change while it was read would have mixed two versions of the file.
    check_unchanged(&file, &path, &split.file)
}

/// The content of a file below `dir` as a whole, decompressed, if it is not longer than `max_bytes`.
pub(crate) fn read_whole(dir: &Path, split: &FileSplit, max_bytes: usize) -> Result<Vec<u8>> {
    let path = dir.join(&split.file.path);
    let file = open_unchanged(&path, &split.file)?;
    let again = file.try_clone().map_err(Error::io("open", &path))?;
    let mut limited = content(again, &path)?.take(max_bytes as u64 + 1);
    let mut bytes = Vec::new();
    limited.read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
    if bytes.len() > max_bytes {
        return Err(Error::user(format!(
            "the file {} has more than {max_bytes} bytes and is to be read as one value; raise max_line_bytes if it is meant to be",
            path.display()
        )));
    }
    check_unchanged(&file, &path, &split.file)?;
    Ok(bytes)
}

/// What a file holds, decompressed if its name says so.
pub(crate) fn content(file: File, path: &Path) -> Result<Box<dyn Read + Send>> {
    match path.file_name().and_then(|name| Compression::of_name(name.to_str()?)) {
        Some(codec) => codec.decoder(file).map_err(Error::io("decompress", path)),
        None => Ok(Box::new(file)),
    }
}

/// The number of the line that begins at byte `at`, counted from 1, to name it in an error.
pub(crate) fn line_number(path: &Path, at: u64) -> Result<u64> {
    let mut before = content(File::open(path).map_err(Error::io("open", path))?, path)?.take(at);
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
    options: &LineOptions,
    emit: &mut impl FnMut(Lines) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut cutter = LineCutter::new(split.start..split.end, options.max_bytes, options.end.clone());
    file.seek(SeekFrom::Start(cutter.position())).map_err(Error::io("read", path))?;
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

/// The lines of all of a file that is read from its start only.
fn read_all_lines(
    content: &mut dyn Read,
    path: &Path,
    options: &LineOptions,
    emit: &mut impl FnMut(Lines) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut cutter = LineCutter::new(0..u64::MAX, options.max_bytes, options.end.clone());
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match content.read(&mut block) {
            Ok(0) => return cutter.finish(emit),
            Ok(read) => cutter.take(block.get(..read).unwrap_or_default(), emit)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                // The lines that were whole count, for those who pass over the damage.
                cutter.give_up(emit)?;
                return Err(Error::io("decompress", path)(error).into());
            }
        }
    }
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

pub(crate) fn changed(path: &Path, how: &str) -> Error {
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
    pub(crate) fn in_file(self, path: &Path, max_line_bytes: usize) -> Error {
        let path = path.display();
        match self {
            ReadError::Other(error) => error,
            ReadError::Lines(LineError::InvalidUtf8 { at }) => {
                Error::user(Damaged(format!("the file {path} is not UTF-8 at byte {at}")))
            }
            ReadError::Lines(LineError::TooLong { line_at }) => Error::user(Damaged(format!(
                "the file {path} has a line of more than {max_line_bytes} bytes, which begins at byte {line_at}; raise max_line_bytes if \
                 it is meant to"
            ))),
        }
    }
}
