//! A query reads a table: what is there when it starts, then each commit.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use tidegate_runtime::{
    Error, Offset, OffsetRange, ReadLimit, Result, Source, SourceContext, SourceOutput, SourceReader, SourceSupplier, Split, Wake,
};

use super::log::{Change, dropped, files_at, read_commit};
use super::{Table, TableFile};
use crate::file::{FileSource, FileSplit, FileState, FileValues, KeepPartitions, directory_of, kept, parse_partition};

/// Reads a table as a stream: each committed row once, in the order of the commits, also while its files are compacted.
///
/// A commit that replaces rows fails the query, for its result would be of rows that are gone, unless it is told to
/// [skip](Self::skip_overwrites) such commits.
#[derive(Debug, Clone)]
pub struct TableSource {
    table: Table,
    /// All columns.
    schema: SchemaRef,
    files: FileSource,
    /// Which partitions are read, if not all.
    partitions: Option<Arc<dyn KeepPartitions>>,
    max_files: Option<usize>,
    poll_interval: Duration,
    skips_overwrites: bool,
}

impl TableSource {
    /// The rows of a table with these columns.
    pub fn new(table: Table, schema: &SchemaRef) -> Self {
        let (files, _) = table.definition.format.files(schema);
        TableSource {
            table,
            schema: Arc::clone(schema),
            files,
            partitions: None,
            max_files: None,
            poll_interval: Duration::from_millis(200),
            skips_overwrites: false,
        }
    }

    /// Leaves out the files of partitions that are not wanted.
    #[must_use]
    pub fn partitions(mut self, keep: Arc<dyn KeepPartitions>) -> Self {
        self.partitions = Some(keep);
        self
    }

    /// Reads only these columns, in this order.
    #[must_use]
    pub fn projection(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.files = self.files.projection(columns);
        self
    }

    /// At most this many files in an epoch.
    #[must_use]
    pub fn max_files_per_trigger(mut self, files: usize) -> Self {
        self.max_files = Some(files.max(1));
        self
    }

    /// Goes on after a commit that replaces all rows, without the rows that it adds.
    #[must_use]
    pub fn skip_overwrites(mut self, skip: bool) -> Self {
        self.skips_overwrites = skip;
        self
    }

    /// How long an idle query waits until it looks for new commits (200 ms).
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }
}

impl SourceSupplier for TableSource {
    fn schema(&self) -> Result<SchemaRef> {
        self.files.schema()
    }

    fn supply(&self) -> Result<Box<dyn Source>> {
        Ok(Box::new(TablePlanner { config: self.clone(), frozen_at: None, passed: None }))
    }

    fn describe(&self) -> String {
        format!("the table in {}", self.table.place())
    }
}

/// How far a table was read: the files of `snapshot`, then those that each later commit added. Of those of `version` the first `files`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TableOffset {
    /// The table's id.
    table: String,
    snapshot: u64,
    version: u64,
    files: usize,
}

struct TablePlanner {
    config: TableSource,
    frozen_at: Option<u64>,
    /// Commits without rows after an offset were passed over until there: they are not read again with every look.
    passed: Option<(TableOffset, TableOffset)>,
}

impl TablePlanner {
    /// What a version adds to what was read before it.
    fn added(&self, at: &TableOffset) -> Result<Vec<TableFile>> {
        let table = &self.config.table;
        if at.version == at.snapshot {
            return files_at(table.store.as_ref(), &at.table, at.snapshot);
        }
        let commit = read_commit(table.store.as_ref(), at.version)?;
        let commit =
            commit.ok_or_else(|| Error::damaged(table.place(), format!("commit {} is missing in its log", at.version)))?;
        if commit.table() != at.table {
            return Err(dropped(table.store.as_ref()));
        }
        match commit.change {
            Change::Drop => Err(dropped(table.store.as_ref())),
            Change::Append { added, .. } => Ok(added),
            Change::Create { added, .. } => Ok(added),
            Change::Compact { .. } => Ok(Vec::new()),
            Change::Overwrite { .. } if self.config.skips_overwrites => Ok(Vec::new()),
            Change::Overwrite { .. } => Err(Error::SourceDataLoss(format!(
                "commit {} of the table in {} replaces rows, which a stream can't take back: set the option skipChangeCommits to \
                 go on without them, or start the query with a new checkpoint",
                at.version,
                table.place()
            ))),
        }
    }

    /// The files after `from` up to `until`, at most so many, and where they end.
    fn take(&self, from: TableOffset, until: &TableOffset, at_most: usize) -> Result<(Vec<TableFile>, TableOffset)> {
        let (mut taken, mut at) = (Vec::new(), from);
        loop {
            let added = self.added(&at)?;
            let end = if at.version == until.version { until.files.min(added.len()) } else { added.len() };
            let room = at_most - taken.len();
            let next = end.min(at.files.saturating_add(room));
            taken.extend(added.into_iter().take(next).skip(at.files));
            at.files = at.files.max(next);
            if at.files < end || at.version >= until.version {
                return Ok((taken, at));
            }
            at = TableOffset { version: at.version + 1, files: 0, ..at };
        }
    }
}

impl Source for TablePlanner {
    fn open(&mut self, _context: SourceContext) -> Result<()> {
        self.config.table.version().map(|_| ())
    }

    fn latest_offset(&mut self, from: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>> {
        let log = self.config.table.newest()?;
        let (newest, table) = (log.version(), log.table().to_owned());
        drop(log);
        let newest = self.frozen_at.map_or(newest, |frozen| frozen.min(newest));
        let from = from.map(Offset::decode::<TableOffset>).transpose()?;
        let start = from.unwrap_or_else(|| TableOffset { table: table.clone(), snapshot: newest, version: newest, files: 0 });
        if start.table != table {
            return Err(self.config.lost(start.version, newest));
        }
        if start.version > newest {
            // A query that has seen more than there is now: when it was frozen at less, or the table is another.
            return if self.frozen_at.is_some() { Ok(None) } else { Err(self.config.lost(start.version, newest)) };
        }
        let at_most = match limit {
            ReadLimit::All => usize::MAX,
            ReadLimit::Configured => self.config.max_files.unwrap_or(usize::MAX),
        };
        let until = TableOffset { version: newest, files: usize::MAX, ..start.clone() };
        let from = self.passed.take().filter(|(from, _)| *from == start).map_or_else(|| start.clone(), |(_, passed)| passed);
        let (files, end) = self.take(from, &until, at_most)?;
        if files.is_empty() {
            self.passed = Some((start, end));
            return Ok(None);
        }
        Offset::encode(&end).map(Some)
    }

    fn splits(&mut self, range: &OffsetRange) -> Result<Vec<Split>> {
        let end: TableOffset = range.end.decode()?;
        let start = range.start.as_ref().map(Offset::decode::<TableOffset>).transpose()?;
        let start = start.unwrap_or_else(|| TableOffset { version: end.snapshot, files: 0, ..end.clone() });
        let (mut files, _) = self.take(start, &end, usize::MAX)?;
        if let Some(keep) = &self.config.partitions {
            let partition_by = &self.config.table.definition.partition_by;
            files = kept(keep.as_ref(), &self.config.schema, partition_by, None, files, partition_values)?;
        }
        // A file that has to be fetched is not cut.
        let length = if self.config.table.store.is_local() { self.config.files.split_length() } else { u64::MAX };
        let mut splits = Vec::new();
        for file in files {
            for start in (0..file.bytes.div_ceil(length)).map(|number| number * length) {
                let end = file.bytes.min(start.saturating_add(length));
                splits.push(Split::encode(&TableSplit { path: file.path.clone(), bytes: file.bytes, start, end })?);
            }
        }
        Ok(splits)
    }

    fn reader(&mut self, _subtask: usize) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(TableReader { table: self.config.table.clone(), files: self.config.files.clone() }))
    }

    fn freeze(&mut self) -> Result<()> {
        self.frozen_at = Some(self.config.table.version()?);
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.frozen_at.is_some()
    }

    fn wake(&self) -> Wake {
        Wake::Poll(self.config.poll_interval)
    }
}

impl TableSource {
    fn lost(&self, read: u64, newest: u64) -> Error {
        let dir = self.table.place();
        Error::SourceDataLoss(format!(
            "the table in {dir} is at version {newest}, and version {read} of it was read: it was made anew; start the query with a new \
             checkpoint"
        ))
    }
}

/// What the directories of a file say.
fn partition_values(file: &TableFile) -> FileValues {
    let parts = directory_of(&file.path).split('/').filter(|part| !part.is_empty());
    parts.map(|part| parse_partition(part).map(|(_, value)| value)).collect()
}

/// A stretch of a file.
#[derive(Debug, Serialize, Deserialize)]
struct TableSplit {
    path: String,
    /// The length of the file.
    bytes: u64,
    start: u64,
    end: u64,
}

struct TableReader {
    table: Table,
    files: FileSource,
}

impl SourceReader for TableReader {
    fn read(&mut self, split: &Split, output: &mut SourceOutput<'_>) -> Result<()> {
        let TableSplit { path, bytes, start, end } = split.decode()?;
        let local = self.table.store.local(&path)?;
        let state = FileState::of(&local.dir, &local.path)?.filter(|state| state.len == bytes);
        let file = state.ok_or_else(|| {
            let place = self.table.place();
            Error::SourceDataLoss(format!("the file {path} of the table in {place} is gone or was changed"))
        })?;
        let mut reader = self.files.reader_in(local.dir.clone())?;
        reader.read(&Split::encode(&FileSplit { file, start, end })?, output)
    }
}
