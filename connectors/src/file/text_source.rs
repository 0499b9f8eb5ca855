//! The lines of a directory's files, as a source.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidegate_runtime::{
    Error, Offset, OffsetRange, ReadLimit, Result, Source, SourceContext, SourceReader, SourceSupplier, Split, Wake,
};

use super::listing::{FileState, unseen_files};
use super::plan::{LogOffset, Plan};
use super::text_reader::{FileSplit, TextReader};

/// The longest line that can be allowed: a batch of text has 32-bit offsets.
const LARGEST_MAX_LINE_BYTES: usize = 1 << 30;

/// Reads each file that appears in a directory once, whole, line by line: Spark's `text` source.
///
/// Rows have one column, `value`. A line ends with `\n` or `\r\n`; a last line without either counts, and an empty line is an empty
/// row. A UTF-8 byte order mark at the start of a file is dropped, as in Spark. Unlike in Spark a lone `\r` ends no line, and text
/// that is not UTF-8 is an error.
///
/// Files are read in the order of their modification times, then names. Names that begin with `.` or `_` and sub-directories are
/// left out. A file is known by its name: a second file of a name that was read before is not read. Files must be complete when
/// they appear (move them into the directory); one that changes between its planning and its reading fails the query.
///
/// ```
/// use tidegate_connectors::TextFileSource;
/// use tidegate_runtime::SourceSupplier;
///
/// let source = TextFileSource::new("logs").max_files_per_trigger(100);
/// assert_eq!(source.schema()?.field(0).name(), "value");
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextFileSource {
    dir: PathBuf,
    max_files: Option<usize>,
    max_bytes: Option<u64>,
    split_bytes: u64,
    max_line_bytes: usize,
    poll_interval: Duration,
}

impl TextFileSource {
    /// Reads the files of `dir`, which must exist when the query starts.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        TextFileSource {
            dir: dir.into(),
            max_files: None,
            max_bytes: None,
            split_bytes: 4 << 20,
            max_line_bytes: 16 << 20,
            poll_interval: Duration::from_millis(500),
        }
    }

    /// At most this many files in an epoch. Not together with [`max_bytes_per_trigger`](Self::max_bytes_per_trigger).
    #[must_use]
    pub fn max_files_per_trigger(mut self, files: usize) -> Self {
        self.max_files = Some(files);
        self
    }

    /// Around this many bytes in an epoch: files are taken while they fit, but always one.
    #[must_use]
    pub fn max_bytes_per_trigger(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Tasks read a large file in pieces of this size (4 MiB).
    #[must_use]
    pub fn split_bytes(mut self, bytes: u64) -> Self {
        self.split_bytes = bytes;
        self
    }

    /// A longer line is an error (16 MiB).
    #[must_use]
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// How long an idle query waits until it lists the directory again (500 ms).
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    fn check(&self) -> Result<()> {
        let problem = match self {
            _ if self.max_files.is_some() && self.max_bytes.is_some() => {
                "max_files_per_trigger and max_bytes_per_trigger can't be both set"
            }
            _ if self.max_files == Some(0) => "max_files_per_trigger must be at least 1",
            _ if self.max_bytes == Some(0) => "max_bytes_per_trigger must be at least 1",
            _ if self.split_bytes == 0 => "split_bytes must be at least 1",
            _ if !(1..=LARGEST_MAX_LINE_BYTES).contains(&self.max_line_bytes) => "max_line_bytes must be between 1 and 1 GiB",
            _ => return Ok(()),
        };
        Err(Error::InvalidArgument(format!("{}: {problem}", self.describe())))
    }
}

impl SourceSupplier for TextFileSource {
    fn schema(&self) -> Result<SchemaRef> {
        Ok(Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)])))
    }

    fn supply(&self) -> Result<Box<dyn Source>> {
        self.check()?;
        let plan = Plan::default();
        Ok(Box::new(FileSource { config: self.clone(), schema: self.schema()?, plan, backlog: VecDeque::new(), frozen: false }))
    }

    fn describe(&self) -> String {
        format!("text files of {}", self.dir.display())
    }
}

/// The planning half.
struct FileSource {
    config: TextFileSource,
    schema: SchemaRef,
    plan: Plan,
    /// Listed files that no epoch has taken yet. As long as there are some, a limited epoch needs no new listing.
    backlog: VecDeque<FileState>,
    frozen: bool,
}

impl FileSource {
    fn list(&mut self) -> Result<()> {
        self.backlog = unseen_files(&self.config.dir, self.plan.seen())?.into();
        Ok(())
    }

    /// The files of the next epoch, with the lengths that they have now.
    fn take_files(&mut self, limit: ReadLimit) -> Result<Vec<FileState>> {
        let (max_files, max_bytes) = match limit {
            ReadLimit::All => (usize::MAX, u64::MAX),
            ReadLimit::Configured => (self.config.max_files.unwrap_or(usize::MAX), self.config.max_bytes.unwrap_or(u64::MAX)),
        };
        let (mut taken, mut bytes) = (Vec::new(), 0_u64);
        while taken.len() < max_files {
            let Some(listed) = self.backlog.pop_front() else { break };
            // Gone since it was listed: it was never promised to anybody.
            let Some(file) = listed.refresh(&self.config.dir)? else { continue };
            bytes = bytes.saturating_add(file.len);
            if bytes > max_bytes && !taken.is_empty() {
                self.backlog.push_front(file);
                break;
            }
            taken.push(file);
        }
        Ok(taken)
    }

    fn is_limited(&self, limit: ReadLimit) -> bool {
        limit == ReadLimit::Configured && (self.config.max_files.is_some() || self.config.max_bytes.is_some())
    }
}

impl Source for FileSource {
    fn open(&mut self, context: SourceContext) -> Result<()> {
        check_directory(&self.config.dir)?;
        self.plan = Plan::restore(&context.journal, context.offset.as_ref())?;
        Ok(())
    }

    fn latest_offset(&mut self, from: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>> {
        let next = LogOffset::after(from)?;
        if let Some(entry) = self.plan.existing(next) {
            return Offset::encode(&LogOffset { entry }).map(Some);
        }
        self.plan.withdraw().into_iter().rev().for_each(|file| self.backlog.push_front(file));
        if !self.frozen && (self.backlog.is_empty() || !self.is_limited(limit)) {
            self.list()?;
        }
        let files = self.take_files(limit)?;
        if files.is_empty() {
            return Ok(None);
        }
        let entry = self.plan.propose(files);
        Offset::encode(&LogOffset { entry }).map(Some)
    }

    fn journal(&mut self, range: &OffsetRange) -> Result<Option<Vec<u8>>> {
        let entries = self.plan.journal(range)?;
        serde_json::to_vec(&entries).map(Some).map_err(Error::user)
    }

    fn splits(&mut self, range: &OffsetRange) -> Result<Vec<Split>> {
        let files = self.plan.files_of(range)?;
        files.iter().flat_map(|file| FileSplit::cut(file, self.config.split_bytes)).map(|split| Split::encode(&split)).collect()
    }

    fn reader(&mut self, _subtask: usize) -> Result<Box<dyn SourceReader>> {
        let schema = Arc::clone(&self.schema);
        Ok(Box::new(TextReader { dir: self.config.dir.clone(), schema, max_line_bytes: self.config.max_line_bytes }))
    }

    fn commit(&mut self, end: &Offset) -> Result<()> {
        self.plan.forget(end)
    }

    fn freeze(&mut self) -> Result<()> {
        // What is proposed has no epoch yet and is listed again.
        self.plan.withdraw();
        self.list()?;
        self.frozen = true;
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.frozen
    }

    fn wake(&self) -> Wake {
        Wake::Poll(self.config.poll_interval)
    }
}

fn check_directory(dir: &Path) -> Result<()> {
    std::fs::read_dir(dir).map(drop).map_err(|error| {
        let what =
            format!("{error}; create the directory, or give the one that the files are put into, with the right to list it");
        Error::io("list the source directory", dir)(std::io::Error::new(error.kind(), what))
    })
}

#[cfg(test)]
#[path = "text_source_tests.rs"]
mod tests;
