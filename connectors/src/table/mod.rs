//! Tables: files that a log of commits names.
//!
//! ```text
//! <table>/_log/00000000000000000000.json    the definition: columns, format, options
//! <table>/_log/00000000000000000001.json    a commit: which files were added, by whom, in which epoch
//! <table>/_log/…64.snapshot.json            the files of all commits so far
//! <table>/part-….parquet                    rows
//! <table>/day=2024-01-31/part-….parquet     rows of one value, in a table that is partitioned by the column `day`
//! ```
//!
//! A commit is one small file that is created if it is not there, which is all that is asked of the storage: no rename, no lock.
//! Any number of queries and processes may write to a table; who finds its number taken looks at what the other one has done and tries
//! the next. A reader sees the files of a version, whole epochs of whole commits. What is not in the log is not part of the table.
//!
//! | file | what |
//! | --- | --- |
//! | `store/` | the few operations that a table needs, on a directory and on an object store |
//! | `log.rs` | commits, versions, and what the table is at each |
//! | `sink.rs` | a query writes: one commit for each epoch |
//! | `source.rs` | a query reads: what is there when it starts, then each commit |
//! | `compaction.rs` | small files become large ones |
//! | `cleaning.rs` | files that no version needs go |

mod cleaning;
mod compaction;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod log;
#[cfg(test)]
mod partition_tests;
mod sink;
mod source;
mod store;
#[cfg(test)]
mod tests;

use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use tidegate_runtime::{Error, Result, SinkSupplier, SourceSupplier};

use self::log::{Change, Log};
use self::store::{Storage, storage_of};
use crate::file::{
    CsvOptions, CsvWriteOptions, FileSink, FileSource, LARGEST_MAX_LINE_BYTES, ParseMode, PartitionRows, TimeTexts,
};

pub use sink::{Replaces, TableSink};
pub use source::TableSource;
pub use store::table_names;

/// What a table is: fixed when it is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TableDefinition {
    /// The columns, as whoever created the table writes them. The table itself does not look at it.
    pub columns: String,
    /// The format of its files.
    pub format: TableFormat,
    /// The columns by whose values the rows are put into directories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_by: Vec<String>,
}

impl TableDefinition {
    /// A table of these columns, without partitions.
    pub fn new(columns: impl Into<String>, format: TableFormat) -> Self {
        TableDefinition { columns: columns.into(), format, partition_by: Vec::new() }
    }

    /// A file has rows of one value of these columns only, and lies in a directory of that name, `day=2024-01-31`. A query that asks for
    /// some of the values reads no other files. Unlike Hive's and Spark's, the files keep the columns: they are whole rows wherever they
    /// are, and no value is changed by being written as a name.
    #[must_use]
    pub fn partition_by(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.partition_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Whether rows of these columns can be kept.
    ///
    /// # Errors
    /// When they can't; the message names the column.
    pub fn check(&self, schema: &SchemaRef) -> Result<()> {
        self.format.check(schema)?;
        PartitionRows::of_table(schema, &self.partition_by).map(drop)
    }
}

/// The format of a table's files: those that give back exactly what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableFormat {
    /// Parquet files.
    #[default]
    Parquet,
    /// Lines of JSON, with times to the microsecond.
    Json,
    /// Lines of CSV without a header, with times to the microsecond, and `\N` for null.
    Csv,
    /// Avro container files; with the feature `avro`.
    Avro,
    /// ORC files; with the feature `orc`.
    Orc,
}

impl TableFormat {
    /// All of them.
    pub const ALL: [TableFormat; 5] =
        [TableFormat::Parquet, TableFormat::Json, TableFormat::Csv, TableFormat::Avro, TableFormat::Orc];

    /// The format of this name; `None` if it is none of a table.
    pub fn parse(name: &str) -> Option<Self> {
        TableFormat::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            TableFormat::Parquet => "parquet",
            TableFormat::Json => "json",
            TableFormat::Csv => "csv",
            TableFormat::Avro => "avro",
            TableFormat::Orc => "orc",
        }
    }

    fn check(self, schema: &SchemaRef) -> Result<()> {
        let (source, sink) = self.files(schema);
        sink.check_input(schema)?;
        source.supply().map(|_| ())
    }

    /// What reads and writes files of this format.
    fn files(self, schema: &SchemaRef) -> (FileSource, FileSink) {
        // They are told where for each file.
        let (dir, schema) = (Path::new(""), Arc::clone(schema));
        let precise = TimeTexts { precise: true, ..TimeTexts::default() };
        match self {
            TableFormat::Parquet => (FileSource::parquet(dir, schema), FileSink::parquet(dir)),
            // A table's rows are all as they should be: no column has another meaning.
            TableFormat::Json => {
                let source = FileSource::json(dir, schema).column_name_of_corrupt_record("").mode(ParseMode::FailFast);
                let source = source.max_line_bytes(LARGEST_MAX_LINE_BYTES);
                (source, FileSink::json(dir).time_texts(precise))
            }
            TableFormat::Csv => {
                let source = FileSource::csv(dir, schema).csv_options(CsvOptions::exact()).column_name_of_corrupt_record("");
                // A carriage return is one, and no end of a line.
                let source = source.line_separator("\n").mode(ParseMode::FailFast).max_line_bytes(LARGEST_MAX_LINE_BYTES);
                (source, FileSink::csv(dir).csv_options(CsvWriteOptions::exact()).time_texts(precise))
            }
            TableFormat::Avro => (FileSource::avro(dir, schema), FileSink::avro(dir)),
            TableFormat::Orc => (FileSource::orc(dir, schema), FileSink::orc(dir)),
        }
    }
}

impl Display for TableDefinition {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "columns {} in {} files", self.columns, self.format.name())?;
        if self.partition_by.is_empty() { Ok(()) } else { write!(f, ", partitioned by {}", self.partition_by.join(", ")) }
    }
}

/// A table in a directory, or in an object store under a URL such as `s3://bucket/warehouse/ids`
/// ([`register_object_store`](crate::register_object_store)). Clones are handles on the same table.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use tidegate_connectors::{Table, TableDefinition, TableFormat};
///
/// let definition = TableDefinition::new("id BIGINT", TableFormat::Parquet);
/// let table = Table::create(dir.path().join("ids"), &definition)?;
/// assert_eq!((table.version()?, table.files()?.len()), (0, 0));
/// assert!(Table::create(dir.path().join("ids"), &definition).is_err());
/// assert_eq!(Table::open(dir.path().join("ids"))?.map(|table| table.definition().clone()), Some(definition));
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    store: Arc<dyn Storage>,
    definition: TableDefinition,
    log: Arc<Mutex<Log>>,
    /// Where it is known, if its files are elsewhere.
    entry: Option<Arc<dyn Storage>>,
}

/// A file of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TableFile {
    /// Its path below the table's directory. What lies above its name is the values of the partition columns.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// The CRC-32C of its bytes.
    pub crc32c: u32,
    /// Files of its format can't be longer: there is nothing to be compacted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_full: bool,
}

impl Table {
    /// Creates a table. A directory is created if it is not there; files that are in it already are not part of the table.
    ///
    /// # Errors
    /// When there is a table, or the place can't be written.
    pub fn create(place: impl Into<PathBuf>, definition: &TableDefinition) -> Result<Self> {
        let place = place.into();
        let store = storage_of(&place)?;
        store.prepare()?;
        begin(store.as_ref(), definition, None)?;
        Self::open(&place)?.ok_or_else(|| Error::damaged(&place, "the table that was just created is gone"))
    }

    /// Makes a table known at `place` whose files are at `location`, another directory or URL: Spark's external table. A table that is
    /// at the location is taken as it is; without one, a table of this definition is created there. To [remove](Self::remove) the table
    /// from `place` leaves the one at the location alone.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use tidegate_connectors::{Table, TableDefinition, TableFormat};
    ///
    /// let definition = TableDefinition::new("id BIGINT", TableFormat::Parquet);
    /// let data = dir.path().join("data");
    /// Table::link(dir.path().join("ids"), &data.to_string_lossy(), Some(&definition))?.remove()?;
    /// assert!(Table::open(dir.path().join("ids"))?.is_none());
    /// assert!(Table::open(data)?.is_some());
    /// # Ok::<(), tidegate_runtime::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is a table at `place`; when the one at `location` has another definition, or there is none and none is given.
    pub fn link(place: impl Into<PathBuf>, location: &str, definition: Option<&TableDefinition>) -> Result<Self> {
        let place = place.into();
        let entry = storage_of(&place)?;
        if Log::open(entry.as_ref())?.is_some() {
            return Err(exists(entry.as_ref()));
        }
        let table = match (Self::open(location)?, definition) {
            (Some(table), Some(definition)) if table.definition != *definition => {
                return Err(Error::InvalidArgument(format!(
                    "[INCOMPATIBLE_TABLE_CHANGE_AFTER_ANALYSIS] the table in {location} is of the {}: give these, or no columns",
                    table.definition
                )));
            }
            (Some(table), _) => table,
            (None, Some(definition)) => Self::create(location, definition)?,
            (None, None) => {
                let what = format!("[UNABLE_TO_INFER_SCHEMA] there is no table in {location}: say which columns it is to have");
                return Err(Error::InvalidArgument(what));
            }
        };
        entry.prepare()?;
        begin(entry.as_ref(), &table.definition, Some(location))?;
        Ok(Table { entry: Some(entry), ..table })
    }

    /// The table at a place; `None` if there is none.
    ///
    /// # Errors
    /// When its log can't be read, or is damaged.
    pub fn open(place: impl Into<PathBuf>) -> Result<Option<Self>> {
        let store = storage_of(&place.into())?;
        let Some((log, definition)) = Log::open(store.as_ref())? else { return Ok(None) };
        let Some(location) = log.location() else {
            return Ok(Some(Table { definition, log: Arc::new(Mutex::new(log)), store, entry: None }));
        };
        let files = storage_of(Path::new(location))?;
        match Log::open(files.as_ref())? {
            Some((log, definition)) if log.location().is_none() => {
                Ok(Some(Table { definition, log: Arc::new(Mutex::new(log)), store: files, entry: Some(store) }))
            }
            _ => Err(Error::InvalidArgument(format!(
                "[PATH_NOT_FOUND] the table in {} has its files in {location}, and there is no table: drop it, or bring them back",
                store.name()
            ))),
        }
    }

    /// What it is.
    pub fn definition(&self) -> &TableDefinition {
        &self.definition
    }

    /// Where it is.
    pub fn place(&self) -> String {
        self.store.name()
    }

    /// The number of its newest commit.
    ///
    /// # Errors
    /// When its log can't be read, or is damaged.
    pub fn version(&self) -> Result<u64> {
        Ok(self.newest()?.version())
    }

    /// The files of its newest version, in the order of their commits.
    ///
    /// # Errors
    /// As [`version`](Self::version).
    pub fn files(&self) -> Result<Vec<TableFile>> {
        Ok(self.newest()?.files().to_vec())
    }

    /// Drops the table and removes its files; its log stays, so that nobody takes a later table in this place for it. Of a
    /// [linked](Self::link) table only the link goes.
    ///
    /// # Errors
    /// When a file can't be removed. The table is gone then all the same: that comes first.
    pub fn remove(self) -> Result<()> {
        if let Some(entry) = &self.entry {
            let Some((mut log, _)) = Log::open(entry.as_ref())? else { return Ok(()) };
            return log.commit(entry.as_ref(), |_| Some(Change::Drop)).map(|_| ());
        }
        let mut log = self.newest()?;
        log.commit(self.store.as_ref(), |_| Some(Change::Drop))?;
        let dropped = log.version();
        drop(log);
        self.remove_rows(dropped)
    }

    /// Its log as it is now.
    fn newest(&self) -> Result<MutexGuard<'_, Log>> {
        // A thread that panicked while it held the lock has changed nothing, or all that one commit changes.
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.refresh(self.store.as_ref())?;
        Ok(log)
    }
}

/// Begins a table's log, or that of a link.
fn begin(store: &dyn Storage, definition: &TableDefinition, location: Option<&str>) -> Result<()> {
    if Log::create(store, definition, location)? { Ok(()) } else { Err(exists(store)) }
}

fn exists(store: &dyn Storage) -> Error {
    let place = store.name();
    Error::InvalidArgument(format!("[TABLE_OR_VIEW_ALREADY_EXISTS] there is a table in {place} already"))
}
