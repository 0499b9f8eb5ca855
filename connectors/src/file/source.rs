//! The files that appear below a path, as a source.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use tidegate_runtime::{Error, Result, Source, SourceReader, SourceSupplier};

use super::cleaner::CleanSource;
use super::csv_options::CsvOptions;
use super::forms::{TextForm, TimeForms};
use super::ignored::Ignored;
use super::json_options::JsonOptions;
use super::lines::LineEnd;
use super::location::{Choice, Location, is_glob};
use super::partition_filter::KeepPartitions;
use super::planner::FilePlanner;
use super::records::ParseMode;
use super::seen::SeenRules;
use super::split_reader::LineOptions;
use crate::clock::nanos_since_epoch;

/// Reads each file that appears once, whole: Spark's file sources.
///
/// The path is a directory, a single file, or a pattern as in Hadoop (`logs/2024-*/{a,b}*.json`); a directory that a pattern matches
/// stands for the files right in it. Names that begin with `.` or `_` are left out. Directories of the form `key=value` are
/// partitions: they are looked into, and `key` can be a column; other sub-directories only if
/// [asked for](Self::recursive_file_lookup).
///
/// The path may be the URL of a place in an object store ([`register_object_store`](crate::register_object_store)); a file there is
/// copied to this machine when it is read, and read by one task.
///
/// Files whose names end with `.gz`, `.bz2`, `.zst`, `.snappy` or `.deflate` are decompressed as they are read, but for the formats
/// that compress their own blocks.
///
/// Files are read in the order of their modification times, then names. A file is known by its path: a second file of a name that
/// was read before is not read, unless [overwrites are allowed](Self::allow_overwrites), and neither is one that is a week older than
/// the newest file that was read ([`max_file_age`](Self::max_file_age)). Files must be complete when they appear (move them into the directory); one that changes between
/// its planning and its reading fails the query.
///
/// | format | rows |
/// | --- | --- |
/// | [`text`](Self::text) | a line each, in the column `value` |
/// | [`json`](Self::json) | an object each, one or an array of them in a line |
/// | [`csv`](Self::csv) | a line each; columns by their position |
/// | [`parquet`](Self::parquet) | columns by name |
/// | [`avro`](Self::avro), with the feature `avro` | columns by name |
/// | [`orc`](Self::orc), with the feature `orc` | columns by name |
///
/// Besides its own columns a source has the column `_metadata`, if the [projection](Self::projection) names it: a struct of
/// `file_path`, `file_name`, `file_size`, `file_block_start`, `file_block_length` and `file_modification_time`.
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
    pub(crate) path: PathBuf,
    pub(crate) format: SourceFormat,
    pub(super) schema: SchemaRef,
    /// The columns that are read, in this order; `None` for all.
    pub(super) projection: Option<Vec<String>>,
    /// The columns of the schema that are in the names of directories.
    pub(super) partitions: Vec<String>,
    /// Those of them that the files have too.
    pub(super) partitions_in_files: Vec<String>,
    /// How instants are written in the names of directories, if not in UTC.
    pub(super) partition_times: Option<TextForm>,
    /// Which partitions are read, if not all.
    pub(super) kept_partitions: Option<Arc<dyn KeepPartitions>>,
    pub(crate) choice: Choice,
    pub(crate) max_files: Option<usize>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) latest_first: bool,
    max_file_age: Option<Duration>,
    seen: SeenRules,
    pub(crate) clean: CleanSource,
    pub(crate) split_bytes: u64,
    pub(crate) poll_interval: Option<Duration>,
    pub(super) max_line_bytes: usize,
    line_end: LineEnd,
    pub(crate) batch_rows: usize,
    pub(crate) mode: ParseMode,
    pub(crate) forms: TimeForms,
    pub(super) corrupt_column: String,
    pub(crate) ignored: Ignored,
}

#[derive(Debug, Clone)]
pub(crate) enum SourceFormat {
    Text { whole_text: bool, is_lossy: bool },
    Json(JsonOptions),
    Csv(CsvOptions),
    Parquet,
    Avro,
    Orc,
}

impl FileSource {
    fn new(path: PathBuf, format: SourceFormat, schema: SchemaRef, split_bytes: u64) -> Self {
        FileSource {
            path,
            format,
            schema: all_nullable(&schema),
            projection: None,
            partitions: Vec::new(),
            partitions_in_files: Vec::new(),
            partition_times: None,
            kept_partitions: None,
            choice: Choice::default(),
            max_files: None,
            max_bytes: None,
            latest_first: false,
            max_file_age: Some(Duration::from_secs(7 * 24 * 3_600)),
            seen: SeenRules::default(),
            clean: CleanSource::Off,
            split_bytes,
            poll_interval: None,
            max_line_bytes: 16 << 20,
            line_end: LineEnd::default(),
            batch_rows: 8_192,
            mode: ParseMode::Permissive,
            forms: TimeForms::default(),
            corrupt_column: "_corrupt_record".to_owned(),
            ignored: Ignored::default(),
        }
    }

    /// Reads text files line by line: Spark's `text` source.
    ///
    /// Rows have one column, `value`. A line ends with `\n` or `\r\n`; a last line without either counts, and an empty line is an
    /// empty row. A UTF-8 byte order mark at the start of a file is dropped, as in Spark. Unlike in Spark a lone `\r` ends no line,
    /// and text that is not UTF-8 is an error.
    pub fn text(path: impl Into<PathBuf>) -> Self {
        let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)]));
        FileSource::new(path.into(), SourceFormat::Text { whole_text: false, is_lossy: false }, schema, 4 << 20)
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
        FileSource::new(path.into(), SourceFormat::Json(JsonOptions::default()), schema, 4 << 20)
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
    /// let source = FileSource::csv("events", Arc::new(Schema::new(fields))).header(true).separator(";");
    /// ```
    pub fn csv(path: impl Into<PathBuf>, schema: SchemaRef) -> Self {
        FileSource::new(path.into(), SourceFormat::Csv(CsvOptions::default()), schema, 4 << 20)
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

    /// Reads Avro container files: Spark's `avro` source. A file is read by one task.
    ///
    /// Columns are found by name, as in [`parquet`](Self::parquet). Needs the feature `avro`.
    pub fn avro(path: impl Into<PathBuf>, schema: SchemaRef) -> Self {
        FileSource::new(path.into(), SourceFormat::Avro, schema, u64::MAX)
    }

    /// Reads ORC files: Spark's `orc` source. A file is read by one task.
    ///
    /// Columns are found by name, as in [`parquet`](Self::parquet). Needs the feature `orc`.
    pub fn orc(path: impl Into<PathBuf>, schema: SchemaRef) -> Self {
        FileSource::new(path.into(), SourceFormat::Orc, schema, u64::MAX)
    }

    /// The same files with these columns: those of the files, and partitions.
    #[must_use]
    pub fn with_schema(mut self, schema: &Schema) -> Self {
        self.schema = all_nullable(schema);
        self
    }

    /// Columns of the schema that are not in the files but in the names of the directories that they lie in, as `key=value`.
    #[must_use]
    pub fn partition_columns(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.partitions = columns.into_iter().map(Into::into).collect();
        self
    }

    /// The [partition columns](Self::partition_columns).
    pub fn partitions(&self) -> &[String] {
        &self.partitions
    }

    /// These of the partition columns the files have too. Their values are those of the directories all the same.
    #[must_use]
    pub fn partition_columns_in_files(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.partitions_in_files = columns.into_iter().map(Into::into).collect();
        self
    }

    /// How instants are written in the names of directories (as clocks show them in UTC).
    #[must_use]
    pub fn partition_times(mut self, form: TextForm) -> Self {
        self.partition_times = Some(form);
        self
    }

    /// Opens no files of partitions that are not wanted. A stream counts them as read.
    #[must_use]
    pub fn keep_partitions(mut self, keep: Arc<dyn KeepPartitions>) -> Self {
        self.kept_partitions = Some(keep);
        self
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
        self.choice.filter = Some(pattern.into());
        self
    }

    /// Whether all sub-directories are read, too. Their names are no partitions then.
    #[must_use]
    pub fn recursive_file_lookup(mut self, recursive: bool) -> Self {
        self.choice.recursive = recursive;
        self
    }

    /// Reads only files that were modified after and before these times.
    #[must_use]
    pub fn modified_between(mut self, after: Option<SystemTime>, before: Option<SystemTime>) -> Self {
        self.choice.modified = (after.map(nanos_since_epoch), before.map(nanos_since_epoch));
        self
    }

    /// The directory whose sub-directories are partitions, if it is above the path.
    #[must_use]
    pub fn base_path(mut self, directory: impl Into<PathBuf>) -> Self {
        self.choice.base_path = Some(directory.into());
        self
    }

    /// Files that are this much older than the newest file that was read are not read (a week); `None`: all are. It does not count
    /// if the [newest](Self::latest_first) of a limited number are read first.
    #[must_use]
    pub fn max_file_age(mut self, age: Option<Duration>) -> Self {
        self.max_file_age = age;
        self
    }

    /// Whether a file is known by its name only, wherever it lies (it is known by its path).
    #[must_use]
    pub fn file_name_only(mut self, name_only: bool) -> Self {
        self.seen.file_name_only = name_only;
        self
    }

    /// Whether a file that is modified after it was read is read again, as a whole (it is not). Each listing then looks at all files.
    #[must_use]
    pub fn allow_overwrites(mut self, allow: bool) -> Self {
        self.seen.allow_overwrites = allow;
        self
    }

    /// Whether damaged files are passed over, with a warning: of each the rows before the damage are read (they fail the query). A file
    /// that changes while it is read fails the query all the same.
    #[must_use]
    pub fn ignore_corrupt_files(mut self, ignore: bool) -> Self {
        self.ignored.corrupt = ignore;
        self
    }

    /// Whether files that are gone when they are to be read are passed over, with a warning (they fail the query). A query that reads an
    /// epoch again then may read other rows.
    #[must_use]
    pub fn ignore_missing_files(mut self, ignore: bool) -> Self {
        self.ignored.missing = ignore;
        self
    }

    /// What becomes of files that were read.
    #[must_use]
    pub fn clean_source(mut self, clean: CleanSource) -> Self {
        self.clean = clean;
        self
    }

    /// How the CSV files are written.
    #[must_use]
    pub fn csv_options(self, options: CsvOptions) -> Self {
        self.with_csv(|csv| *csv = options)
    }

    /// How the JSON files are written.
    #[must_use]
    pub fn json_options(mut self, options: JsonOptions) -> Self {
        if let SourceFormat::Json(json) = &mut self.format {
            *json = options;
        }
        self
    }

    /// How dates and times are written in CSV and JSON files.
    #[must_use]
    pub fn time_forms(mut self, forms: TimeForms) -> Self {
        self.forms = forms;
        self
    }

    /// Whether each text file is one row (each line is one).
    #[must_use]
    pub fn whole_text(mut self, whole: bool) -> Self {
        if let SourceFormat::Text { whole_text, .. } = &mut self.format {
            *whole_text = whole;
        }
        self
    }

    /// Reads bytes of text that are no UTF-8 as `\u{FFFD}` each, and does not fail.
    #[must_use]
    pub fn lossy_text(mut self) -> Self {
        if let SourceFormat::Text { is_lossy, .. } = &mut self.format {
            *is_lossy = true;
        }
        self
    }

    /// What ends a line, and nothing else does (`\n` and `\r\n` do). An empty text changes nothing.
    #[must_use]
    pub fn line_separator(mut self, separator: &str) -> Self {
        self.line_end = LineEnd::of(separator).unwrap_or_default();
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
    pub fn separator(self, separator: &str) -> Self {
        self.with_csv(|csv| csv.separator = separator.to_owned())
    }

    /// What surrounds a value of a CSV file that has separators in it (a double quote).
    #[must_use]
    pub fn quote(self, quote: u8) -> Self {
        self.with_csv(|csv| csv.quote = Some(quote))
    }

    /// What precedes a quote inside a quoted value of a CSV file: a backslash as in Spark, or the quote itself as in RFC 4180.
    #[must_use]
    pub fn escape(self, escape: u8) -> Self {
        self.with_csv(|csv| csv.escape = Some(escape))
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

    /// How long an idle query waits until it lists the directory again: 500 ms, or 10 s where the file system tells of new files, and
    /// in an object store.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = Some(interval);
        self
    }

    fn format_name(&self) -> &'static str {
        match self.format {
            SourceFormat::Text { .. } => "text",
            SourceFormat::Json(_) => "json",
            SourceFormat::Csv(_) => "csv",
            SourceFormat::Parquet => "parquet",
            SourceFormat::Avro => "avro",
            SourceFormat::Orc => "orc",
        }
    }

    pub(crate) fn lines(&self) -> LineOptions {
        LineOptions { max_bytes: self.max_line_bytes, end: self.line_end.clone() }
    }

    /// Whether a file is read from its start only.
    pub(crate) fn reads_whole_files(&self) -> bool {
        let by_format = match &self.format {
            SourceFormat::Text { whole_text, .. } => *whole_text,
            SourceFormat::Json(json) => json.multi_line,
            SourceFormat::Csv(csv) => csv.multi_line,
            SourceFormat::Parquet => return false,
            SourceFormat::Avro | SourceFormat::Orc => true,
        };
        by_format || !self.line_end.is_one_byte()
    }

    /// Whether files may lie below the directories of the path.
    pub(crate) fn looks_below(&self) -> bool {
        self.choice.recursive || !self.partitions.is_empty() || is_glob(&self.path)
    }

    /// The files of a sink are its manifest's: none may disappear.
    pub(crate) fn check_clean_source(&self, location: &Location) -> Result<()> {
        if self.clean != CleanSource::Off && location.has_manifest()? {
            return Err(
                self.refused("the output of a file sink can't be cleaned up by the source that reads it: set cleanSource to off")
            );
        }
        Ok(())
    }

    /// How long the splits of a file are at most.
    pub(crate) fn split_length(&self) -> u64 {
        if self.reads_whole_files() { u64::MAX } else { self.split_bytes }
    }

    /// Reads splits of files below `dir`.
    pub(crate) fn reader_in(&self, dir: PathBuf) -> Result<Box<dyn SourceReader>> {
        self.format.reader(self, dir, &self.record_columns()?)
    }

    pub(crate) fn seen_rules(&self) -> SeenRules {
        let newest_only = self.latest_first && (self.max_files.is_some() || self.max_bytes.is_some());
        let max_age = self.max_file_age.filter(|_| !newest_only).map(|age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
        SeenRules { max_age, ..self.seen }
    }

    /// The build lacks the format: [`check`](Self::check) says so first.
    #[cfg(not(all(feature = "avro", feature = "orc")))]
    pub(crate) fn without_feature<T>(&self) -> Result<T> {
        Err(self.refused("this build can't read the format"))
    }

    pub(super) fn refused(&self, problem: &str) -> Error {
        Error::InvalidArgument(format!("{}: {problem}", self.describe()))
    }
}

/// The schema with nullable columns: files need not have all of them.
fn all_nullable(schema: &Schema) -> SchemaRef {
    let nullable = |field: &FieldRef| Arc::new(Field::clone(field).with_nullable(true));
    Arc::new(Schema::new(schema.fields().iter().map(nullable).collect::<Vec<FieldRef>>()))
}

impl SourceSupplier for FileSource {
    fn schema(&self) -> Result<SchemaRef> {
        Ok(self.output()?.0)
    }

    fn supply(&self) -> Result<Box<dyn Source>> {
        self.check()?;
        let location = Location::of(&self.path, &self.choice)?;
        self.clean.check(location.base())?;
        Ok(Box::new(FilePlanner::new(self.clone(), location)))
    }

    fn describe(&self) -> String {
        format!("{} files of {}", self.format_name(), self.path.display())
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
