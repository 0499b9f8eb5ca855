//! The record of what a file sink committed: one file of text, to which each epoch adds a line.
//!
//! ```text
//! {"format":"tidegate-manifest","version":1,"query":"…","sink":"out"} 9be3e0a1
//! {"epoch":0,"files":[{"path":"part-00000-00000.csv","rows":3,"bytes":21,"crc32c":123}]} 5a0c77f2
//! {"epoch":1,"files":[]} 1d40c9be
//! ```
//!
//! Two more kinds of lines are of the [compaction](super::compaction) of small files: `{"merge":…}` before files are merged, and
//! `{"merged":…}` when the merged file has taken their place.
//!
//! Each line ends with the CRC-32C of its JSON. Epochs follow each other without a gap. A line that a crash cut short has no
//! newline, and its epoch was never reported as committed: it is dropped, and the epoch comes again. Anything else that does not
//! pass is damage, which is refused: guessing here could show rows twice.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidegate_runtime::{Epoch, Error, NodeId, QueryId, Result, failpoint};

use super::durable::{sync_directory, write_whole};

/// The manifest's name; hidden from readers of the directory.
pub(crate) const MANIFEST: &str = "_tidegate_manifest";
const FORMAT: &str = "tidegate-manifest";
const VERSION: u16 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u16,
    #[serde(flatten)]
    owner: Owner,
}

/// Who writes to a directory: one sink of one query. Two would replace each other's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    query: String,
    sink: String,
}

impl Owner {
    /// The sink of this name in this query.
    pub(crate) fn new(query: QueryId, sink: impl ToString) -> Self {
        Owner { query: query.to_string(), sink: sink.to_string() }
    }

    /// The query and its sink; `None` if the text can't be a query's id.
    pub(crate) fn parts(&self) -> Option<(QueryId, NodeId)> {
        Some((QueryId::parse(&self.query)?, NodeId::new(self.sink.as_str())))
    }
}

/// One epoch's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) epoch: Epoch,
    pub(crate) files: Vec<CommittedFile>,
}

/// Small files that become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Merge {
    /// The name of the merged file in the staging directory, until it is moved into place.
    pub(crate) staged: String,
    pub(crate) file: CommittedFile,
    /// The paths of the small files.
    pub(crate) replaces: Vec<String>,
}

/// One line, after the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Epoch(Record),
    Merge { merge: Merge },
    Merged { merged: String },
}

/// A file that is part of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommittedFile {
    /// Its name in the directory.
    pub(crate) path: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
}

/// What the manifest's bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) owner: Owner,
    pub(crate) records: Vec<Record>,
    /// All merges that are complete, oldest first.
    pub(crate) merged: Vec<Merge>,
    /// A merge that was begun.
    pub(crate) merging: Option<Merge>,
    /// How many bytes are complete lines; what follows was cut short by a crash.
    whole: usize,
    /// The last line is complete but for its newline.
    lacks_newline: bool,
}

impl Content {
    /// The content of a directory's manifest; `None` if it has none.
    pub(crate) fn read(dir: &Path) -> Result<Option<Content>> {
        let path = dir.join(MANIFEST);
        match std::fs::read(&path) {
            Ok(bytes) => parse(&path, &bytes).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// What the bytes of a whole manifest at `path` say.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Content> {
        parse(path, bytes)
    }

    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The newest committed epoch.
    pub(crate) fn last(&self) -> Option<Epoch> {
        self.records.last().map(|record| record.epoch)
    }

    /// Takes in the epoch after the last one, which is in the file at `path`.
    pub(crate) fn add(&mut self, path: &Path, record: Record) -> Result<()> {
        push_record(path, 1, &mut self.records, record)
    }

    /// The whole manifest, if nothing was merged.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let lines = self.records.iter().map(checked_line).collect::<Result<Vec<_>>>()?;
        Ok([header(&self.owner)?, lines.concat()].concat())
    }

    /// The files that are the output now: of what was merged only the merged file.
    pub(crate) fn files(&self) -> impl Iterator<Item = &CommittedFile> {
        let gone: HashSet<&str> = self.merged.iter().flat_map(|merge| merge.replaces.iter().map(String::as_str)).collect();
        let small = self.records.iter().flat_map(|record| &record.files).filter(move |file| !gone.contains(file.path.as_str()));
        self.merged.iter().map(|merge| &merge.file).chain(small)
    }

    /// Takes a line in; `number` is its place.
    fn take(&mut self, path: &Path, number: usize, line: Line) -> Result<()> {
        match (line, self.merging.take()) {
            (Line::Epoch(record), merging) => {
                self.merging = merging;
                push_record(path, number, &mut self.records, record)
            }
            (Line::Merge { merge }, None) => {
                self.merging = Some(merge);
                Ok(())
            }
            (Line::Merged { merged }, Some(merge)) if merge.file.path == merged => {
                self.merged.push(merge);
                Ok(())
            }
            (Line::Merge { .. } | Line::Merged { .. }, _) => Err(bad_line(path, number)),
        }
    }
}

/// The manifest of a directory that this query writes to.
#[derive(Debug)]
pub(crate) struct Manifest {
    dir: PathBuf,
    file: File,
    last: Option<Epoch>,
}

impl Manifest {
    /// Opens the directory's manifest, or begins one. `committed` is what the checkpoint says.
    pub(crate) fn open(dir: &Path, owner: &Owner, committed: Option<Epoch>) -> Result<Self> {
        let content = match Content::read(dir)? {
            Some(content) => content,
            None => begin(dir, owner)?,
        };
        let path = dir.join(MANIFEST);
        check_owner(dir, &content.owner, owner)?;
        let last = content.last();
        check_complete(&path, last, committed)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::io("open", &path))?;
        mend(&file, &content).map_err(Error::io("mend", &path))?;
        Ok(Manifest { dir: dir.to_path_buf(), file, last })
    }

    pub(crate) fn last(&self) -> Option<Epoch> {
        self.last
    }

    /// Adds an epoch, durably. After an error it is unknown what is on disk: drop the manifest and open it again.
    pub(crate) fn append(&mut self, record: &Record) -> Result<()> {
        self.append_line(record)?;
        self.last = Some(record.epoch);
        Ok(())
    }

    /// Says that files are going to be merged.
    pub(crate) fn begin_merge(&mut self, merge: &Merge) -> Result<()> {
        self.append_line(&Line::Merge { merge: merge.clone() })
    }

    /// Says that the merged file has taken their place.
    pub(crate) fn end_merge(&mut self, merge: &Merge) -> Result<()> {
        self.append_line(&Line::Merged { merged: merge.file.path.clone() })
    }

    fn append_line(&mut self, value: &impl Serialize) -> Result<()> {
        let line = checked_line(value)?;
        let (first, second) = line.split_at(line.len() / 2);
        self.write(first)?;
        failpoint::hit("sink.torn")?;
        self.write(second)?;
        self.file.sync_all().map_err(Error::io("sync", self.dir.join(MANIFEST)))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("write", self.dir.join(MANIFEST)))
    }
}

/// Makes the output in a directory that of another sink.
pub(crate) fn take_over(dir: &Path, owner: &Owner) -> Result<()> {
    let path = dir.join(MANIFEST);
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let content = parse(&path, &bytes)?;
    let lines = bytes.get(..content.whole).unwrap_or_default().split_inclusive(|byte| *byte == b'\n').skip(1);
    let mut rewritten = header(owner)?;
    lines.for_each(|line| rewritten.extend_from_slice(line));
    write_whole(dir, MANIFEST, &rewritten)
}

/// The first line of a manifest.
pub(crate) fn header(owner: &Owner) -> Result<Vec<u8>> {
    checked_line(&Header { format: FORMAT.to_owned(), version: VERSION, owner: owner.clone() })
}

fn begin(dir: &Path, owner: &Owner) -> Result<Content> {
    let bytes = header(owner)?;
    write_whole(dir, MANIFEST, &bytes)?;
    // The directory itself may be new, too.
    if let Some(parent) = dir.canonicalize().map_err(Error::io("resolve", dir))?.parent() {
        sync_directory(parent)?;
    }
    parse(&dir.join(MANIFEST), &bytes)
}

fn mend(mut file: &File, content: &Content) -> std::io::Result<()> {
    file.set_len(content.whole as u64)?;
    if content.lacks_newline {
        file.write_all(b"\n")?;
    }
    file.sync_all()
}

pub(crate) fn check_owner(dir: &Path, owner: &Owner, this: &Owner) -> Result<()> {
    if owner == this {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!(
        "the directory {} holds the output of sink {} of query {}, this is sink {} of query {}: start this query with the checkpoint of \
         that one, or give it a directory of its own",
        dir.display(),
        owner.sink,
        owner.query,
        this.sink,
        this.query
    )))
}

/// The checkpoint's epoch is committed last, so the manifest can't know less.
pub(crate) fn check_complete(path: &Path, last: Option<Epoch>, committed: Option<Epoch>) -> Result<()> {
    match committed {
        Some(committed) if last < Some(committed) => {
            let last = last.map_or("nothing".to_owned(), |last| format!("epochs up to {last} only"));
            let what = format!("the checkpoint has committed epoch {committed}, but this manifest has {last}");
            Err(Error::damaged(path, what))
        }
        _ => Ok(()),
    }
}

/// A line of JSON that ends with the CRC-32C of its text.
pub(crate) fn checked_line(value: &impl Serialize) -> Result<Vec<u8>> {
    let json = serde_json::to_string(value).map_err(Error::user)?;
    let crc = crc32c::crc32c(json.as_bytes());
    Ok(format!("{json} {crc:08x}\n").into_bytes())
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Content> {
    let (lines, tail) = complete_lines(bytes);
    let mut lines = lines.into_iter().zip(1..);
    let header = lines.next().ok_or_else(|| Error::damaged(path, "its first line is incomplete"))?;
    let header = parse_header(path, header.0)?;
    let mut content =
        Content { owner: header.owner, records: Vec::new(), merged: Vec::new(), merging: None, whole: 0, lacks_newline: false };
    let mut next = 2;
    for (line, number) in lines {
        let line = parse_line(line).ok_or_else(|| bad_line(path, number))?;
        content.take(path, number, line)?;
        next = number + 1;
    }
    content.lacks_newline = take_tail(path, tail, next, &mut content)?;
    content.whole = if content.lacks_newline { bytes.len() } else { bytes.len() - tail.len() };
    Ok(content)
}

fn complete_lines(bytes: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let tail = lines.pop().unwrap_or_default();
    (lines, tail)
}

fn parse_line<T: for<'a> Deserialize<'a>>(line: &[u8]) -> Option<T> {
    let (json, crc) = line.split_at_checked(line.len().checked_sub(9)?)?;
    // Compared as text: parsing would let other spellings of the number pass.
    let expected = format!(" {:08x}", crc32c::crc32c(json));
    (crc == expected.as_bytes()).then(|| serde_json::from_slice(json).ok()).flatten()
}

fn parse_header(path: &Path, line: &[u8]) -> Result<Header> {
    let json: serde_json::Value = parse_line(line).ok_or_else(|| bad_line(path, 1))?;
    let found = json.get("version").and_then(serde_json::Value::as_u64).and_then(|version| u16::try_from(version).ok());
    match found {
        Some(found) if found > VERSION => Err(Error::CheckpointVersion { path: path.to_path_buf(), found, supported: VERSION }),
        _ => serde_json::from_value(json).map_err(|_| bad_line(path, 1)),
    }
}

fn push_record(path: &Path, number: usize, records: &mut Vec<Record>, record: Record) -> Result<()> {
    match records.last() {
        Some(last) if last.epoch.next() != record.epoch => {
            let what = format!("line {number} has epoch {} after epoch {}", record.epoch, last.epoch);
            Err(Error::damaged(path, what))
        }
        _ => {
            records.push(record);
            Ok(())
        }
    }
}

/// What follows the last newline: a line cut short, which is dropped, or one that lacks nothing but its newline.
fn take_tail(path: &Path, tail: &[u8], number: usize, content: &mut Content) -> Result<bool> {
    if let Some(line) = parse_line(tail) {
        content.take(path, number, line)?;
        return Ok(true);
    }
    // A whole line whose newline turned into something else was committed: to drop it would be to repeat it.
    match tail.split_last().and_then(|(_, line)| parse_line::<Line>(line)) {
        Some(_) => Err(bad_line(path, number)),
        None => Ok(false),
    }
}

/// What a [`checked_line`] says; `None` if it does not pass its check.
pub(crate) fn parse_checked_line<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Option<T> {
    parse_line(bytes.strip_suffix(b"\n")?)
}

fn bad_line(path: &Path, number: usize) -> Error {
    Error::damaged(path, format!("line {number} does not pass its check"))
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
