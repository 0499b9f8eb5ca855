//! Files in a directory, as a sink with each row in exactly one visible file.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use tidegate_runtime::{
    Epoch, Error, LastCommitted, NodeId, QueryId, Result, Sink, SinkContext, SinkSupplier, SinkWriter, Staged, failpoint,
};

use super::compaction::PENDING;
use super::compression::Compression;
use super::csv_rows::CsvWriteOptions;
use super::directory_lock::DirectoryLock;
use super::durable::{create_directory, remove_file, sync_directory};
use super::format::{Format, FormatKind};
use super::forms::{TimeTexts, ValueForm};
use super::json_rows::JsonWriteOptions;
use super::listing::below;
use super::manifest::{CommittedFile, Content, MANIFEST, Manifest, Owner, Record};
use super::object_directory::ObjectDirectory;
use super::object_sink::ObjectCommitter;
use super::part::{part_files, part_name};
use super::partition_rows::PartitionRows;
use super::pending::Pending;
use super::sink_writer::{FileLimits, FileWriter, STAGING, StagedFile};
use crate::objects::{Objects, as_url};

/// Writes rows into files of a directory: every row is in a committed file exactly once, also after crashes.
///
/// Each task writes one file for each epoch in which it has rows, and each [partition](Self::partition_by):
/// `part-<epoch>-<task>.csv`, `.txt`, `.json`, `.parquet`, `.avro` or `.orc`. Rows are written and synced
/// in the hidden directory `_staging`, moved into place when the epoch commits, and named in the hidden file `_tidegate_manifest`,
/// which is the record of what belongs to the output. A reader that lists the directory sees whole files only; while an epoch is
/// being committed, or between a crash then and the restart, it may see some of its files early. Ask
/// [`committed_files`](Self::committed_files) for the files of committed epochs alone.
///
/// The directory may be a place in an object store, by its URL ([`register_object_store`](crate::register_object_store)). Files are
/// uploaded to where they belong when the epoch commits, under names that no other run gives, and the request that puts the manifest's
/// entry of the epoch makes them part of the output. Readers that only list see them a little earlier, and those of a run that did not
/// come to that until the epoch is committed by another.
///
/// The directory belongs to one query, and while that runs nobody else can write there: a second sink is refused. Other files in it are
/// left alone, unless they have names like the sink's own.
///
/// ```
/// use tidegate_connectors::FileSink;
/// use tidegate_runtime::SinkSupplier;
///
/// let sink = FileSink::csv("counts").separator(";").null_value("NULL");
/// assert_eq!(sink.describe(), "csv files in counts");
/// ```
#[derive(Debug, Clone)]
pub struct FileSink {
    dir: PathBuf,
    format: Format,
    pub(crate) partition_by: Vec<String>,
    limits: FileLimits,
    compact_every: Option<u64>,
    partition_times: Option<ValueForm>,
    columns_of_nothing: Option<SchemaRef>,
    /// Held by whoever has the sink; if it is not set, the sink takes one.
    lock: Option<Arc<DirectoryLock>>,
}

impl FileSink {
    fn new(dir: PathBuf, kind: FormatKind) -> Self {
        let limits = FileLimits { rows: u64::MAX, bytes: u64::MAX };
        FileSink {
            dir,
            format: kind.with_usual_codec(),
            partition_by: Vec::new(),
            limits,
            compact_every: None,
            partition_times: None,
            columns_of_nothing: None,
            lock: None,
        }
    }

    /// CSV files with a header, in `dir`, which is created if it is not there. They are written as Spark writes them, if
    /// [`csv_options`](Self::csv_options) do not say otherwise: a quote in a value as `\"`, blanks around texts left out, instants in UTC,
    /// `2024-01-31T12:00:00.000Z`. Columns must be of simple types.
    pub fn csv(dir: impl Into<PathBuf>) -> Self {
        FileSink::new(dir.into(), FormatKind::Csv(CsvWriteOptions { header: true, ..CsvWriteOptions::default() }))
    }

    /// Text files in `dir`, which is created if it is not there: a line for each row of exactly one column of text. Null is an
    /// empty line.
    pub fn text(dir: impl Into<PathBuf>) -> Self {
        FileSink::new(dir.into(), FormatKind::Text("\n".to_owned()))
    }

    /// Files of JSON lines in `dir`, which is created if it is not there, in the form in which Spark writes them: null fields are left
    /// out, instants are in UTC, `2024-01-31T12:00:00.000Z`, and binary values in Base64.
    ///
    /// ```
    /// use tidegate_connectors::FileSink;
    /// use tidegate_runtime::SinkSupplier;
    ///
    /// assert_eq!(FileSink::json("counts").describe(), "json files in counts");
    /// ```
    pub fn json(dir: impl Into<PathBuf>) -> Self {
        FileSink::new(dir.into(), FormatKind::Json(JsonWriteOptions::default()))
    }

    /// Parquet files, compressed by Snappy, in `dir`, which is created if it is not there.
    ///
    /// ```
    /// use tidegate_connectors::FileSink;
    /// use tidegate_runtime::SinkSupplier;
    ///
    /// assert_eq!(FileSink::parquet("counts").describe(), "parquet files in counts");
    /// ```
    pub fn parquet(dir: impl Into<PathBuf>) -> Self {
        FileSink::new(dir.into(), FormatKind::Parquet)
    }

    /// Avro container files in `dir`, which is created if it is not there. Needs the feature `avro`.
    pub fn avro(dir: impl Into<PathBuf>) -> Self {
        FileSink::new(dir.into(), FormatKind::Avro)
    }

    /// ORC files in `dir`, which is created if it is not there. Columns must be of simple types other than decimals. Needs the
    /// feature `orc`.
    pub fn orc(dir: impl Into<PathBuf>) -> Self {
        FileSink::new(dir.into(), FormatKind::Orc)
    }

    /// Writes the rows of each value of these columns into a directory of their own, `column=value`, and leaves the columns out of
    /// the files: the layout of Hive and Spark.
    #[must_use]
    pub fn partition_by(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.partition_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// How the files are compressed. If it is not set: Parquet and Avro by Snappy, ORC by Zstandard, others not.
    #[must_use]
    pub fn compression(mut self, codec: Option<Compression>) -> Self {
        self.format.codec = codec;
        self
    }

    /// Begins another file after this many rows: Spark's `maxRecordsPerFile`. Zero: never.
    #[must_use]
    pub fn max_records_per_file(mut self, rows: u64) -> Self {
        self.limits.rows = if rows == 0 { u64::MAX } else { rows };
        self
    }

    /// Merges the small files of epochs: they appear in the directory as one file, when they have the size of
    /// [`max_file_bytes`](Self::max_file_bytes) (128 MiB if that is not set) or are of this many epochs. Until then they are hidden, but
    /// Tidegate's own readers see their rows at each commit, by the manifest. So no reader ever sees a row twice, or loses sight
    /// of one.
    #[must_use]
    pub fn compact_every(mut self, epochs: u64) -> Self {
        self.compact_every = Some(epochs.max(1));
        self
    }

    /// Begins another file when one has grown to about this size. Zero: never.
    #[must_use]
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.limits.bytes = if bytes == 0 { u64::MAX } else { bytes };
        self
    }

    /// Whether each CSV file begins with the names of the columns (it does). Other files have none.
    #[must_use]
    pub fn header(self, header: bool) -> Self {
        self.with_csv(|csv| csv.header = header)
    }

    /// What separates the values of a CSV file (a comma).
    #[must_use]
    pub fn separator(self, separator: &str) -> Self {
        self.with_csv(|csv| csv.separator = separator.to_owned())
    }

    /// What stands for null in a CSV file (nothing, as for an empty string).
    #[must_use]
    pub fn null_value(self, text: impl Into<String>) -> Self {
        self.with_csv(|csv| csv.null_value = text.into())
    }

    /// How CSV files are written.
    #[must_use]
    pub fn csv_options(self, options: CsvWriteOptions) -> Self {
        self.with_csv(|csv| *csv = options)
    }

    /// How JSON files are written.
    #[must_use]
    pub fn json_options(mut self, options: JsonWriteOptions) -> Self {
        if let FormatKind::Json(json) = &mut self.format.kind {
            *json = options;
        }
        self
    }

    /// What ends the lines of text files (`\n`).
    #[must_use]
    pub fn line_separator(mut self, separator: &str) -> Self {
        if let FormatKind::Text(end) = &mut self.format.kind {
            *end = separator.to_owned();
        }
        self
    }

    /// How dates and times are written into CSV and JSON files.
    #[must_use]
    pub fn time_texts(mut self, times: TimeTexts) -> Self {
        self.format.times = times;
        self
    }

    fn with_csv(mut self, set: impl FnOnce(&mut CsvWriteOptions)) -> Self {
        if let FormatKind::Csv(csv) = &mut self.format.kind {
            set(csv);
        }
        self
    }

    /// How instants are written in the names of directories (as clocks show them in UTC).
    #[must_use]
    pub fn partition_times(mut self, form: ValueForm) -> Self {
        self.partition_times = Some(form);
        self
    }

    pub(crate) fn partitions(&self, schema: &SchemaRef) -> Result<PartitionRows> {
        Ok(PartitionRows::new(schema, &self.partition_by)?.with_times(self.partition_times.clone()))
    }

    /// Writes under a lock of the directory that is held already. Without one the sink takes its own when it is opened, and is refused if
    /// another one writes there.
    #[must_use]
    pub fn locked_by(mut self, lock: &Arc<DirectoryLock>) -> Self {
        self.lock = Some(Arc::clone(lock));
        self
    }

    /// What the names of its files end with.
    pub(crate) fn extension(&self) -> String {
        self.format.extension()
    }

    /// A task's writer of the output's files, which are staged in this directory.
    pub(crate) fn file_writer(&self, staging: PathBuf, subtask: usize, partitions: PartitionRows) -> Box<dyn SinkWriter> {
        let (format, mut limits) = (self.format.clone(), self.limits);
        limits.bytes = limits.bytes.min(format.max_bytes());
        let says_columns = self.partition_by.is_empty() && !matches!(format.kind, FormatKind::Text(_) | FormatKind::Json(_));
        let columns = self.columns_of_nothing.clone().filter(|_| says_columns);
        Box::new(FileWriter::new(staging, subtask, format, limits, partitions).columns_of_nothing(columns))
    }

    /// Makes the output in `dir`, which must have been written by a sink, that of a sink of this name in this query: the one that has
    /// written it can't go on. For who holds the [lock](DirectoryLock) of the directory.
    ///
    /// # Errors
    /// When there is no output, its manifest is damaged, or can't be written.
    pub fn take_over(dir: impl AsRef<Path>, query: QueryId, sink: &NodeId) -> Result<()> {
        super::manifest::take_over(dir.as_ref(), &Owner::new(query, sink))
    }

    /// The query whose output is in `dir`, and its sink; `None` if no sink has written there.
    ///
    /// # Errors
    /// When the manifest can't be read, or is damaged.
    pub fn owner(dir: impl AsRef<Path>) -> Result<Option<(QueryId, NodeId)>> {
        let dir = dir.as_ref();
        let Some(content) = content_of(dir)? else { return Ok(None) };
        let owner = content.owner().parts();
        owner.map(Some).ok_or_else(|| Error::damaged(dir.join(MANIFEST), "its first line does not say whose output it is"))
    }

    /// The newest committed epoch of the output in `dir`; `None` if there is none.
    ///
    /// # Errors
    /// When the manifest can't be read, or is damaged.
    pub fn committed_epoch(dir: impl AsRef<Path>) -> Result<Option<Epoch>> {
        Ok(content_of(dir.as_ref())?.and_then(|content| content.last()))
    }

    /// Writes a file also for an epoch without rows, if a file of the format says more than its rows: the columns. So a batch of nothing
    /// can be read back. Nothing is written into directories of partitions, which have no value then.
    #[must_use]
    pub fn keep_columns_of_nothing(mut self, columns: &SchemaRef) -> Self {
        self.columns_of_nothing = Some(SchemaRef::clone(columns));
        self
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.dir
    }

    /// The files of all committed epochs of the output in `dir`, in order; none if no query has written there. May be called while
    /// a query writes.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let dir = dir.path();
    /// for file in tidegate_connectors::FileSink::committed_files(dir)? {
    ///     println!("{}", file.display());
    /// }
    /// # Ok::<(), tidegate_runtime::Error>(())
    /// ```
    ///
    /// # Errors
    /// When `dir` can't be read, or its manifest is damaged.
    pub fn committed_files(dir: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let dir = dir.as_ref();
        if as_url(dir).is_none() {
            std::fs::read_dir(dir).map_err(Error::io("list", dir))?;
        }
        Ok(content_of(dir)?.iter().flat_map(Content::files).map(|file| dir.join(&file.path)).collect())
    }
}

/// The manifest of a directory or a place in an object store; `None` if it has none.
fn content_of(dir: &Path) -> Result<Option<Content>> {
    match as_url(dir) {
        Some(url) => {
            let directory = ObjectDirectory::new(Objects::at(url)?);
            directory.manifest(&directory.list()?)
        }
        None => Content::read(dir),
    }
}

impl SinkSupplier for FileSink {
    fn check_input(&self, schema: &SchemaRef) -> Result<()> {
        self.format.check_options()?;
        self.format.check(&PartitionRows::new(schema, &self.partition_by)?.file_schema(schema)?)
    }

    fn supply(&self) -> Result<Box<dyn Sink>> {
        self.format.check_options()?;
        if let Some(url) = as_url(&self.dir) {
            if self.compact_every.is_some() {
                return Err(Error::InvalidArgument(format!(
                    "small files are not merged in an object store: leave out compactEveryEpochs for {url}, use a longer trigger, or write \
                     a table, which can be compacted"
                )));
            }
            return Ok(Box::new(ObjectCommitter::new(self.clone(), Objects::at(url)?)));
        }
        let lock = self.lock.clone();
        let (config, partitions) = (self.clone(), PartitionRows::default());
        Ok(Box::new(FileCommitter { config, partitions, manifest: None, pending: None, lock }))
    }

    fn describe(&self) -> String {
        format!("{} files in {}", self.format.kind.name(), self.dir.display())
    }
}

/// The committing half.
#[derive(Debug)]
struct FileCommitter {
    config: FileSink,
    partitions: PartitionRows,
    /// The small files that are not merged yet.
    pending: Option<Pending>,
    /// `None` before the sink is opened, and after a failed commit: what is on disk is unknown then until it is opened again.
    manifest: Option<Manifest>,
    lock: Option<Arc<DirectoryLock>>,
}

impl FileCommitter {
    fn staging(&self) -> PathBuf {
        self.config.dir.join(STAGING)
    }

    /// Moves the staged files of `epoch` into place.
    fn publish(&self, epoch: Epoch, staged: &[Staged]) -> Result<Vec<CommittedFile>> {
        let (dir, extension) = (&self.config.dir, self.config.format.extension());
        let (mut files, mut directories) = (Vec::new(), BTreeSet::new());
        for (subtask, staged) in staged.iter().enumerate() {
            let mut numbers: HashMap<String, usize> = HashMap::new();
            for file in staged.decode::<Vec<StagedFile>>()? {
                if !files.is_empty() {
                    failpoint::hit("sink.rename")?;
                }
                let target = match self.config.compact_every {
                    Some(_) => below(PENDING, &file.directory).trim_end_matches('/').to_owned(),
                    None => file.directory.clone(),
                };
                if directories.insert(target.clone()) {
                    create_directory(dir, &target)?;
                }
                let n = numbers.entry(file.directory.clone()).or_default();
                let path = below(&target, &part_name(epoch, subtask, *n, &extension));
                *n += 1;
                let from = self.staging().join(&file.file);
                std::fs::rename(&from, dir.join(&path)).map_err(Error::io("move into place", &from))?;
                files.push(CommittedFile { path, rows: file.rows, bytes: file.bytes, crc32c: file.crc32c });
            }
        }
        directories.insert(String::new());
        directories.iter().try_for_each(|directory| sync_directory(&dir.join(directory)))?;
        Ok(files)
    }

    /// Files of an epoch that is committed already: they hold the same rows once more.
    fn discard(&self, staged: &[Staged]) -> Result<()> {
        for staged in staged {
            for file in staged.decode::<Vec<StagedFile>>()? {
                remove_file(&self.staging().join(file.file))?;
            }
        }
        Ok(())
    }
}

impl Sink for FileCommitter {
    fn open(&mut self, context: SinkContext) -> Result<()> {
        let dir = &self.config.dir;
        std::fs::create_dir_all(dir).map_err(Error::io("create the output directory", dir))?;
        if self.lock.is_none() {
            self.lock = Some(Arc::new(DirectoryLock::of_query(dir)?));
        }
        check_foreign_parts(dir)?;
        let mut manifest = Manifest::open(dir, &Owner::new(context.query, &context.node), context.committed)?;
        self.partitions = self.config.partitions(&context.schema)?;
        let schema = self.partitions.file_schema(&context.schema)?;
        self.pending = Some(Pending::open(dir, schema, self.config.format.clone(), &mut manifest)?);
        sweep_staging(&self.staging())?;
        remove_uncommitted(dir, manifest.last())?;
        self.manifest = Some(manifest);
        Ok(())
    }

    fn last_committed(&mut self) -> Result<LastCommitted> {
        let manifest = self.manifest.as_ref().ok_or_else(not_open)?;
        Ok(manifest.last().map_or(LastCommitted::Nothing, LastCommitted::Epoch))
    }

    fn writer(&mut self, subtask: usize) -> Result<Box<dyn SinkWriter>> {
        Ok(self.config.file_writer(self.staging(), subtask, self.partitions.clone()))
    }

    fn commit(&mut self, epoch: Epoch, staged: Vec<Staged>) -> Result<()> {
        let mut manifest = self.manifest.take().ok_or_else(not_open)?;
        if manifest.last() >= Some(epoch) {
            self.discard(&staged)?;
        } else {
            failpoint::hit("sink.prepared")?;
            let files = self.publish(epoch, &staged)?;
            failpoint::hit("sink.manifest")?;
            let record = Record { epoch, files };
            manifest.append(&record)?;
            if let (Some(pending), Some(every)) = (&mut self.pending, self.config.compact_every) {
                pending.add(&record);
                pending.merge_due(epoch, every, self.config.limits.bytes, &mut manifest)?;
            }
            failpoint::hit("sink.after")?;
        }
        self.manifest = Some(manifest);
        Ok(())
    }
}

pub(crate) fn not_open() -> Error {
    Error::Protocol("the file sink is not open, or a commit of it has failed".to_owned())
}

/// Files with the sink's names in a directory that no query owns would be overwritten or taken for output.
fn check_foreign_parts(dir: &Path) -> Result<()> {
    if dir.join(MANIFEST).exists() {
        return Ok(());
    }
    match part_files(dir)?.first() {
        None => Ok(()),
        Some((name, _)) => Err(Error::InvalidArgument(format!(
            "the directory {} has the file {name} but no {MANIFEST}, so it is unknown what it belongs to: move such files away, or \
             give the query an empty directory",
            dir.display()
        ))),
    }
}

/// Removes what earlier runs staged and did not commit: their epochs are staged anew.
fn sweep_staging(staging: &Path) -> Result<()> {
    std::fs::create_dir_all(staging).map_err(Error::io("create", staging))?;
    for entry in std::fs::read_dir(staging).map_err(Error::io("list", staging))? {
        remove_file(&entry.map_err(Error::io("list", staging))?.path())?;
    }
    Ok(())
}

/// Removes files that a commit had moved into place before it was cut short. The epoch comes again, perhaps with fewer files.
fn remove_uncommitted(dir: &Path, last: Option<Epoch>) -> Result<()> {
    for (name, epoch) in part_files(dir)? {
        if Some(epoch) > last {
            tracing::info!(file = name, %epoch, "removing a file of an epoch that was not committed");
            remove_file(&dir.join(name))?;
        }
    }
    sync_directory(dir)
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
