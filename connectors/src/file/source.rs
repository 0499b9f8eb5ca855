//! The files that appear below a path, as a source.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use tidegate_runtime::{
    Error, Offset, OffsetRange, ReadLimit, Result, Source, SourceContext, SourceReader, SourceSupplier, Split, Wake,
};

use super::columns::Column;
use super::csv_reader::CsvReader;
use super::json_reader::JsonReader;
use super::listing::FileState;
use super::location::Location;
use super::parquet_reader::ParquetReader;
use super::plan::{LogOffset, Plan};
use super::records::{ParseMode, RecordColumns};
use super::split_reader::FileSplit;
use super::text_reader::TextReader;

/// The longest line that can be allowed: a batch of text has 32-bit offsets.
const LARGEST_MAX_LINE_BYTES: usize = 1 << 30;

/// Reads each file that appears once, whole: Spark's file sources.
///
/// The path is a directory, a single file, or a pattern as in Hadoop (`logs/2024-*/{a,b}*.json`); a directory that a pattern matches
/// stands for the files right in it. Names that begin with `.` or `_` and sub-directories are left out.
///
/// Files are read in the order of their modification times, then names. A file is known by its path: a second file of a name that
/// was read before is not read. Files must be complete when they appear (move them into the directory); one that changes between
/// its planning and its reading fails the query.
///
/// | format | rows |
/// | --- | --- |
/// | [`text`](Self::text) | a line each, in the column `value` |
/// | [`json`](Self::json) | an object each, one or an array of them in a line |
/// | [`csv`](Self::csv) | a line each; columns by their position |
/// | [`parquet`](Self::parquet) | columns by name |
///
/// All columns are nullable; what a file does not have is null.
///
/// ```
/// use tidegate_connectors::FileSource;
/// use tidegate_runtime::SourceSupplier;
///
/// let source = FileSource::text("logs/*.log").max_files_per_trigger(100);
/// assert_eq!(source.schema()?.field(0).name(), "value");
/// # Ok::<(), tidegate_runtime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FileSource {
    path: PathBuf,
    format: SourceFormat,
    schema: SchemaRef,
    /// The columns that are read, in this order; `None` for all.
    projection: Option<Vec<String>>,
    filter: Option<String>,
    max_files: Option<usize>,
    max_bytes: Option<u64>,
    latest_first: bool,
    split_bytes: u64,
    poll_interval: Duration,
    max_line_bytes: usize,
    batch_rows: usize,
    mode: ParseMode,
    corrupt_column: String,
}

#[derive(Debug, Clone)]
enum SourceFormat {
    Text,
    Json,
    Csv(CsvOptions),
    Parquet,
}

/// How a CSV file is written.
#[derive(Debug, Clone)]
pub(crate) struct CsvOptions {
    pub(crate) header: bool,
    pub(crate) separator: u8,
    pub(crate) quote: u8,
    pub(crate) escape: u8,
    pub(crate) null_value: String,
}

impl FileSource {
    fn new(path: PathBuf, format: SourceFormat, schema: SchemaRef, split_bytes: u64) -> Self {
        FileSource {
            path,
            format,
            schema: all_nullable(&schema),
            projection: None,
            filter: None,
            max_files: None,
            max_bytes: None,
            latest_first: false,
            split_bytes,
            poll_interval: Duration::from_millis(500),
            max_line_bytes: 16 << 20,
            batch_rows: 8_192,
            mode: ParseMode::Permissive,
            corrupt_column: "_corrupt_record".to_owned(),
        }
    }

    /// Reads text files line by line: Spark's `text` source.
    ///
    /// Rows have one column, `value`. A line ends with `\n` or `\r\n`; a last line without either counts, and an empty line is an
    /// empty row. A UTF-8 byte order mark at the start of a file is dropped, as in Spark. Unlike in Spark a lone `\r` ends no line,
    /// and text that is not UTF-8 is an error.
    pub fn text(path: impl Into<PathBuf>) -> Self {
        let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)]));
        FileSource::new(path.into(), SourceFormat::Text, schema, 4 << 20)
    }

    /// Reads files of JSON lines: Spark's `json` source.
    ///
    /// Columns are found by name. A value that its column's type can't hold is null, and a line that is not JSON is a row of nulls,
    /// unless a [mode](Self::mode) says otherwise. Empty lines are left out. Numbers and structures in a column of text are kept as
    /// they are written. Time zones other than offsets, `Z` and `UTC` are not known.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use arrow::datatypes::{DataType, Field, Schema};
    /// use tidegate_connectors::FileSource;
    /// use tidegate_runtime::SourceSupplier;
    ///
    /// let fields = vec![Field::new("user", DataType::Utf8, true), Field::new("amount", DataType::Int64, true)];
    /// let source = FileSource::json("events", Arc::new(Schema::new(fields))).projection(["amount"]);
    /// assert_eq!(source.schema()?.fields().len(), 1);
    /// # Ok::<(), tidegate_runtime::Error>(())
    /// ```
    pub fn json(path: impl Into<PathBuf>, schema: SchemaRef) -> Self {
        FileSource::new(path.into(), SourceFormat::Json, schema, 4 << 20)
    }

    /// Reads CSV files: Spark's `csv` source, a line for each row.
    ///
    /// Columns are found by their position, as Spark does it with a given schema; a [header](Self::header) is left out.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use arrow::datatypes::{DataType, Field, Schema};
    /// use tidegate_connectors::FileSource;
    ///
    /// let fields = vec![Field::new("user", DataType::Utf8, true), Field::new("amount", DataType::Int64, true)];
    /// let source = FileSource::csv("events", Arc::new(Schema::new(fields))).header(true).separator(b';');
    /// ```
    pub fn csv(path: impl Into<PathBuf>, schema: SchemaRef) -> Self {
        let options = CsvOptions { header: false, separator: b',', quote: b'"', escape: b'\\', null_value: String::new() };
        FileSource::new(path.into(), SourceFormat::Csv(options), schema, 4 << 20)
    }

    /// Reads Parquet files: Spark's `parquet` source.
    ///
    /// Columns are found by name, without regard to case if there is no exact match. Timestamps of any unit are read as
    /// microseconds, and narrower numbers as wider ones; other types than the schema's are an error.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use arrow::datatypes::{DataType, Field, Schema};
    /// use tidegate_connectors::FileSource;
    ///
    /// let schema = Schema::new(vec![Field::new("amount", DataType::Int64, true)]);
    /// let source = FileSource::parquet("events", Arc::new(schema)).max_bytes_per_trigger(1 << 30);
    /// ```
    pub fn parquet(path: impl Into<PathBuf>, schema: SchemaRef) -> Self {
        FileSource::new(path.into(), SourceFormat::Parquet, schema, 128 << 20)
    }

    /// Reads only these columns, in this order.
    #[must_use]
    pub fn projection(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.projection = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Reads only files whose names match this pattern.
    #[must_use]
    pub fn path_glob_filter(mut self, pattern: impl Into<String>) -> Self {
        self.filter = Some(pattern.into());
        self
    }

    /// Whether the newest files are read first (the oldest are).
    #[must_use]
    pub fn latest_first(mut self, latest_first: bool) -> Self {
        self.latest_first = latest_first;
        self
    }

    /// What becomes of JSON and CSV records that don't fit (null in what does not fit).
    #[must_use]
    pub fn mode(mut self, mode: ParseMode) -> Self {
        self.mode = mode;
        self
    }

    /// The column of text that gets a JSON or CSV record that does not fit, if the schema has it (`_corrupt_record`).
    #[must_use]
    pub fn column_name_of_corrupt_record(mut self, column: impl Into<String>) -> Self {
        self.corrupt_column = column.into();
        self
    }

    /// Whether each CSV file begins with a line of names (it does not).
    #[must_use]
    pub fn header(self, header: bool) -> Self {
        self.with_csv(|csv| csv.header = header)
    }

    /// What separates the values of a CSV file (a comma).
    #[must_use]
    pub fn separator(self, separator: u8) -> Self {
        self.with_csv(|csv| csv.separator = separator)
    }

    /// What surrounds a value of a CSV file that has separators in it (a double quote).
    #[must_use]
    pub fn quote(self, quote: u8) -> Self {
        self.with_csv(|csv| csv.quote = quote)
    }

    /// What precedes a quote inside a quoted value of a CSV file: a backslash as in Spark, or the quote itself as in RFC 4180.
    #[must_use]
    pub fn escape(self, escape: u8) -> Self {
        self.with_csv(|csv| csv.escape = escape)
    }

    /// What stands for null in a CSV file (nothing).
    #[must_use]
    pub fn null_value(self, text: impl Into<String>) -> Self {
        self.with_csv(|csv| csv.null_value = text.into())
    }

    fn with_csv(mut self, set: impl FnOnce(&mut CsvOptions)) -> Self {
        if let SourceFormat::Csv(csv) = &mut self.format {
            set(csv);
        }
        self
    }

    /// How many rows of a Parquet file are read at once (8192).
    #[must_use]
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows;
        self
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

    /// Tasks read a large file in pieces of this size: 4 MiB, and 128 MiB of Parquet, whose row groups are not cut.
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

    fn format_name(&self) -> &'static str {
        match self.format {
            SourceFormat::Text => "text",
            SourceFormat::Json => "json",
            SourceFormat::Csv(_) => "csv",
            SourceFormat::Parquet => "parquet",
        }
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
            _ if self.batch_rows == 0 => "batch_rows must be at least 1",
            FileSource { format: SourceFormat::Csv(csv), .. } if !csv.is_usable() => {
                "separator, quote and escape must be ASCII characters other than line ends, and the separator differ from both"
            }
            _ => return self.check_schema(),
        };
        Err(self.refused(problem))
    }

    fn check_schema(&self) -> Result<()> {
        let mut names = HashSet::new();
        for field in self.schema.fields() {
            if !names.insert(field.name()) {
                return Err(self.refused(&format!("[COLUMN_ALREADY_EXISTS] the column {} is there twice", field.name())));
            }
            let kind = field.data_type();
            let fits = Column::can_hold(kind) && !(matches!(self.format, SourceFormat::Csv(_)) && kind.is_nested());
            if !fits {
                return Err(self.refused(&format!(
                    "[UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE] the column {} can't be read as {kind}",
                    field.name()
                )));
            }
        }
        self.record_columns().map(drop)
    }

    /// The columns of the schema that are read.
    fn projected(&self) -> Result<Vec<usize>> {
        let Some(columns) = &self.projection else { return Ok((0..self.schema.fields().len()).collect()) };
        let index = |name: &String| {
            let missing = || self.refused(&format!("[FIELD_NOT_FOUND] there is no column {name} to read"));
            self.schema.index_of(name).map_err(|_| missing())
        };
        columns.iter().map(index).collect()
    }

    /// The columns of the schema, those that are read, and the one for records that don't fit.
    fn record_columns(&self) -> Result<RecordColumns> {
        let corrupt = self.schema.index_of(&self.corrupt_column).ok();
        let corrupt = corrupt.filter(|_| matches!(self.format, SourceFormat::Json | SourceFormat::Csv(_)));
        if corrupt.is_some_and(|column| *self.schema.field(column).data_type() != DataType::Utf8) {
            let name = &self.corrupt_column;
            return Err(
                self.refused(&format!("[INVALID_CORRUPT_RECORD_TYPE] the column {name} for corrupt records must be of text"))
            );
        }
        Ok(RecordColumns { schema: Arc::clone(&self.schema), read: self.projected()?, corrupt })
    }

    /// How long the splits of a file are at most.
    pub(crate) fn split_length(&self) -> u64 {
        self.split_bytes
    }

    /// Reads splits of files below `dir`.
    pub(crate) fn reader_in(&self, dir: PathBuf) -> Result<Box<dyn SourceReader>> {
        let columns = self.record_columns()?;
        let (schema, max_line_bytes) = (columns.output()?, self.max_line_bytes);
        Ok(match &self.format {
            SourceFormat::Text => Box::new(TextReader { dir, schema, max_line_bytes }),
            SourceFormat::Json => Box::new(JsonReader::new(dir, &columns, self.mode, max_line_bytes)?),
            SourceFormat::Csv(csv) => Box::new(CsvReader::new(dir, &columns, csv.clone(), self.mode, max_line_bytes)?),
            SourceFormat::Parquet => Box::new(ParquetReader { dir, schema, batch_rows: self.batch_rows }),
        })
    }

    fn refused(&self, problem: &str) -> Error {
        Error::InvalidArgument(format!("{}: {problem}", self.describe()))
    }
}

impl CsvOptions {
    fn is_usable(&self) -> bool {
        let usable = |byte: u8| byte.is_ascii() && !matches!(byte, b'\r' | b'\n');
        [self.separator, self.quote, self.escape].into_iter().all(usable)
            && self.separator != self.quote
            && self.separator != self.escape
    }
}

/// The schema with nullable columns: files need not have all of them.
fn all_nullable(schema: &Schema) -> SchemaRef {
    let nullable = |field: &FieldRef| Arc::new(Field::clone(field).with_nullable(true));
    Arc::new(Schema::new(schema.fields().iter().map(nullable).collect::<Vec<FieldRef>>()))
}

impl SourceSupplier for FileSource {
    fn schema(&self) -> Result<SchemaRef> {
        Ok(Arc::new(self.schema.project(&self.projected()?)?))
    }

    fn supply(&self) -> Result<Box<dyn Source>> {
        self.check()?;
        let location = Location::of(&self.path, self.filter.as_deref())?;
        Ok(Box::new(FilePlanner {
            config: self.clone(),
            location,
            plan: Plan::default(),
            backlog: VecDeque::new(),
            frozen: false,
        }))
    }

    fn describe(&self) -> String {
        format!("{} files of {}", self.format_name(), self.path.display())
    }
}

/// The planning half, shared by all formats.
struct FilePlanner {
    config: FileSource,
    location: Location,
    plan: Plan,
    /// Listed files that no epoch has taken yet. As long as there are some, a limited epoch needs no new listing.
    backlog: VecDeque<FileState>,
    frozen: bool,
}

impl FilePlanner {
    fn list(&mut self) -> Result<()> {
        self.backlog = self.location.unseen_files(self.plan.seen())?.into();
        if self.config.latest_first {
            self.backlog.make_contiguous().reverse();
        }
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
            let Some(file) = listed.refresh(self.location.base())? else { continue };
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

impl Source for FilePlanner {
    fn open(&mut self, context: SourceContext) -> Result<()> {
        check_directory(self.location.base())?;
        self.plan = Plan::restore(&context.journal, context.offset.as_ref())?;
        Ok(())
    }

    fn latest_offset(&mut self, from: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>> {
        let next = LogOffset::after(from)?;
        if let Some(entry) = self.plan.existing(next) {
            return Offset::encode(&LogOffset { entry }).map(Some);
        }
        self.plan.withdraw().into_iter().rev().for_each(|file| self.backlog.push_front(file));
        // Newer files come first only if they are looked for.
        if !self.frozen && (self.backlog.is_empty() || self.config.latest_first || !self.is_limited(limit)) {
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
        self.config.reader_in(self.location.base().to_path_buf())
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
#[path = "source_tests.rs"]
mod tests;
