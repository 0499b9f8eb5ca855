//! Reading data: what is there ([`DataFrameReader`]), and what comes ([`DataStreamReader`]).

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use tidegate_connectors::{MemoryStream, RateMicroBatchSource, RateSource, SocketSource};
use tidegate_functions::types;
use tidegate_runtime::{EpochInfo, SourceSupplier};

use crate::analysis::stream::StreamFactory;
use crate::catalog::{relation_of, stream_relation};
use crate::dataframe::DataFrame;
use crate::error::{Error, Result};
use crate::files::{self, FileRequest, FileStream, Files, Paths};
use crate::kafka;
use crate::options::Options;
use crate::parquet_table::ParquetTable;
use crate::planner::MappedSource;
use crate::session::Session;
use crate::source_table::SourceTable;
use crate::tables::ManagedTable;

/// The columns that a user declares: as SQL writes them, or as Arrow has them.
#[derive(Debug, Clone)]
pub struct DeclaredSchema(Result<SchemaRef>);

impl DeclaredSchema {
    /// The schema, if it can be used.
    pub(crate) fn resolved(self) -> Result<SchemaRef> {
        self.0
    }
}

impl From<&str> for DeclaredSchema {
    fn from(ddl: &str) -> Self {
        DeclaredSchema(types::parse_schema(ddl).map(|fields| Arc::new(Schema::new(fields))).map_err(Error::from))
    }
}

impl From<SchemaRef> for DeclaredSchema {
    fn from(schema: SchemaRef) -> Self {
        let field = |field: &Arc<Field>| {
            let data_type = types::canonical(field.data_type());
            let data_type = data_type.ok_or_else(|| {
                Error::analysis("UNSUPPORTED_DATATYPE", format!("no SQL type stands for {}", field.data_type()))
            })?;
            Ok(Field::new(field.name(), data_type, true))
        };
        DeclaredSchema(schema.fields().iter().map(field).collect::<Result<Vec<_>>>().map(|fields| Arc::new(Schema::new(fields))))
    }
}

impl From<Schema> for DeclaredSchema {
    fn from(schema: Schema) -> Self {
        DeclaredSchema::from(Arc::new(schema))
    }
}

/// Reads data as it comes. Names of formats and options are Spark's.
///
/// ```no_run
/// # fn main() -> Result<(), tidegate::Error> {
/// let session = tidegate::Session::builder().build()?;
/// let lines = session.read_stream().format("socket").option("host", "localhost").option("port", 9999).load()?;
/// let orders = session.read_stream().schema("id BIGINT, price DECIMAL(10,2), at TIMESTAMP").json("/data/orders")?;
/// # drop((lines, orders));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct DataStreamReader {
    session: Session,
    format: String,
    schema: Option<DeclaredSchema>,
    options: Options,
}

impl DataStreamReader {
    pub(crate) fn new(session: Session) -> Self {
        DataStreamReader { session, format: "parquet".to_owned(), schema: None, options: Options::default() }
    }

    /// `rate`, `rate-micro-batch`, `socket`, `json`, `csv`, `parquet`, `avro`, `orc`, `text`, or `kafka` with the feature of that name.
    pub fn format(mut self, format: &str) -> Self {
        self.format = format.to_lowercase();
        self
    }

    /// The columns, as SQL writes them (`"id BIGINT, name STRING"`) or as an Arrow schema.
    pub fn schema(mut self, schema: impl Into<DeclaredSchema>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// An option of the format. Case does not count; an option that the format does not have is ignored.
    pub fn option(mut self, name: &str, value: impl ToString) -> Self {
        self.options.set(name, value);
        self
    }

    /// Several options.
    pub fn options(mut self, options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>) -> Self {
        for (name, value) in options {
            self.options.set(name.as_ref(), value);
        }
        self
    }

    /// The stream.
    ///
    /// # Errors
    /// When the format is unknown or an option is missing or can't be used; the message names it.
    pub fn load(self) -> Result<DataFrame> {
        let supplier: Arc<dyn SourceSupplier> = match self.format.as_str() {
            "rate" => Arc::new(self.rate()?),
            "rate-micro-batch" => Arc::new(self.rate_micro_batch()?),
            "socket" => Arc::new(self.socket()?),
            "text" | "json" | "csv" | "parquet" | "avro" | "orc" => {
                let path = self.options.required("path", &format!("the {} source", self.format))?.to_owned();
                return self.files(&path);
            }
            "kafka" => return Ok(self.session.frame(stream_relation(kafka::stream(&self.options)?)?)),
            other => {
                let message = format!(
                    "Failed to find the data source: {other}. Known are rate, rate-micro-batch, socket, json, csv, parquet, avro, orc, text and kafka."
                );
                return Err(Error::analysis("DATA_SOURCE_NOT_FOUND", message));
            }
        };
        // Checkpoints know the source by its name: the format, if the user gave none.
        let name = self.options.get("name").unwrap_or(&self.format).to_owned();
        self.session.stream_of(Some(name), supplier)
    }

    /// The lines of text files, each file that appears in `path` once.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn text(self, path: &str) -> Result<DataFrame> {
        self.format("text").files(path)
    }

    /// JSON files of one value a line.
    ///
    /// # Errors
    /// As [`load`](Self::load); also without a schema.
    pub fn json(self, path: &str) -> Result<DataFrame> {
        self.format("json").files(path)
    }

    /// CSV files.
    ///
    /// # Errors
    /// As [`load`](Self::load); also without a schema.
    pub fn csv(self, path: &str) -> Result<DataFrame> {
        self.format("csv").files(path)
    }

    /// Parquet files.
    ///
    /// # Errors
    /// As [`load`](Self::load); also without a schema.
    pub fn parquet(self, path: &str) -> Result<DataFrame> {
        self.format("parquet").files(path)
    }

    /// The stream that this name stands for, or the rows of a table: what is there when the query starts, then each commit. Options for a
    /// table: `maxFilesPerTrigger`, and `skipChangeCommits`, which goes on after a commit that replaces all rows.
    ///
    /// # Errors
    /// `TABLE_OR_VIEW_NOT_FOUND`; when the name stands for rows that can't be read as a stream, such as a view of static tables.
    pub fn table(self, name: &str) -> Result<DataFrame> {
        let parts = crate::tables::parts(name);
        if let Some(relation) = self.session.catalog().view(&parts) {
            let frame = self.session.frame(relation.fresh()?.aliased(name));
            return if frame.is_streaming() {
                Ok(frame)
            } else {
                Err(Error::unsupported(format!("`{name}` is a view of static tables: read it with session.table()")))
            };
        }
        let table = ManagedTable::open(self.session.warehouse(), &parts)?;
        let table = table.ok_or_else(|| crate::analysis::table_not_found(&parts))?;
        Ok(self.session.frame(table.stream(&self.options)?.aliased(name)))
    }

    fn files(self, path: &str) -> Result<DataFrame> {
        let schema = self.schema.map(|schema| schema.0).transpose()?;
        let paths = [path.to_owned()];
        let request = FileRequest {
            session: &self.session,
            format: &self.format,
            paths: &paths,
            schema,
            options: &self.options,
            is_stream: true,
        };
        let Files { sources, schema, .. } = request.files()?;
        let name = self.options.get("name").map(str::to_owned);
        let source = sources.into_iter().next().ok_or_else(files::without_path)?;
        let relation = stream_relation(Arc::new(FileStream::new(source, &schema, name)))?;
        Ok(self.session.frame(relation))
    }

    fn rate(&self) -> Result<RateSource> {
        let mut source = RateSource::new();
        if let Some(rows) = self.options.parsed::<i64>("rowsPerSecond")? {
            source = source.rows_per_second(rows);
        }
        if let Some(text) = self.options.get("rampUpTime") {
            let interval = tidegate_functions::datetime::parse_interval(text)?;
            source = source.ramp_up_seconds(interval.micros / 1_000_000);
        }
        if let Some(partitions) = self.options.positive("numPartitions")? {
            source = source.num_partitions(partitions);
        }
        Ok(source)
    }

    fn rate_micro_batch(&self) -> Result<RateMicroBatchSource> {
        self.options.required("rowsPerBatch", "the rate-micro-batch source")?;
        let mut source = RateMicroBatchSource::new(self.options.parsed("rowsPerBatch")?.unwrap_or_default());
        if let Some(partitions) = self.options.positive("numPartitions")? {
            source = source.num_partitions(partitions);
        }
        if let Some(start) = self.options.parsed("startTimestamp")? {
            source = source.start_timestamp(start);
        }
        if let Some(advance) = self.options.parsed("advanceMillisPerBatch")? {
            source = source.advance_millis_per_batch(advance);
        }
        Ok(source)
    }

    fn socket(&self) -> Result<SocketSource> {
        let host = self.options.required("host", "the socket source")?;
        self.options.required("port", "the socket source")?;
        let port: u16 = self.options.parsed("port")?.unwrap_or_default();
        Ok(SocketSource::new(host, port).include_timestamp(self.options.parsed("includeTimestamp")?.unwrap_or(false)))
    }
}

impl Session {
    /// A stream of the rows that the program adds to the [`MemoryStream`].
    ///
    /// # Errors
    /// When a column has a type that no SQL type stands for.
    pub fn memory_stream(&self, schema: impl Into<DeclaredSchema>) -> Result<(MemoryStream, DataFrame)> {
        let stream = MemoryStream::new(schema.into().0?);
        let frame = self.stream_of(Some("memory".to_owned()), Arc::new(stream.clone()))?;
        Ok((stream, frame))
    }

    /// A stream from a source of your own. Checkpoints know it by its name.
    ///
    /// # Errors
    /// When the source has no columns, or one of a type that no SQL type stands for.
    pub fn read_stream_from(&self, name: &str, source: impl SourceSupplier + 'static) -> Result<DataFrame> {
        self.stream_of(Some(name.to_owned()), Arc::new(source))
    }

    fn stream_of(&self, name: Option<String>, supplier: Arc<dyn SourceSupplier>) -> Result<DataFrame> {
        let schema = supplier.schema()?;
        let relation = stream_relation(Arc::new(SupplierStream { supplier, schema, name }))?;
        Ok(self.frame(relation))
    }
}

/// A stream of any source, whose other columns are dropped as they come.
struct SupplierStream {
    supplier: Arc<dyn SourceSupplier>,
    schema: SchemaRef,
    name: Option<String>,
}

impl std::fmt::Debug for SupplierStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SupplierStream").field("describe", &self.supplier.describe()).finish_non_exhaustive()
    }
}

impl StreamFactory for SupplierStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn source(&self, projection: &[usize]) -> Result<Arc<dyn SourceSupplier>> {
        let schema = Arc::new(self.schema.project(projection)?);
        let projection = projection.to_vec();
        let map = move |batch: RecordBatch, _: EpochInfo| Ok(vec![batch.project(&projection)?]);
        Ok(Arc::new(MappedSource { inner: Arc::clone(&self.supplier), schema, map: Arc::new(map), does: None }))
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn describe(&self) -> String {
        self.supplier.describe()
    }
}

/// Reads data that is there.
///
/// ```no_run
/// # fn main() -> Result<(), tidegate::Error> {
/// let session = tidegate::Session::builder().build()?;
/// let campaigns = session.read().parquet("/data/campaigns")?;
/// campaigns.show()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct DataFrameReader {
    session: Session,
    format: String,
    schema: Option<DeclaredSchema>,
    options: Options,
}

impl DataFrameReader {
    pub(crate) fn new(session: Session) -> Self {
        DataFrameReader { session, format: "parquet".to_owned(), schema: None, options: Options::default() }
    }

    /// `json`, `csv`, `parquet`, `avro`, `orc`, `text`, or `kafka` with the feature of that name.
    pub fn format(mut self, format: &str) -> Self {
        self.format = format.to_lowercase();
        self
    }

    /// The columns, as SQL writes them or as an Arrow schema. Parquet files know their own.
    pub fn schema(mut self, schema: impl Into<DeclaredSchema>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// An option of the format. Case does not count.
    pub fn option(mut self, name: &str, value: impl ToString) -> Self {
        self.options.set(name, value);
        self
    }

    /// Several options.
    pub fn options(mut self, options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>) -> Self {
        for (name, value) in options {
            self.options.set(name.as_ref(), value);
        }
        self
    }

    /// The files of a directory, or one file. Kafka has no path: what is given does not count.
    ///
    /// # Errors
    /// When they can't be read, or have no columns that are known.
    pub fn load(self, path: &str) -> Result<DataFrame> {
        match self.format.as_str() {
            "parquet" | "json" | "csv" | "text" | "avro" | "orc" => self.files(path.into()),
            "kafka" => self.kafka(),
            other => {
                let message =
                    format!("Failed to find the data source: {other}. Known are json, csv, parquet, avro, orc, text and kafka.");
                Err(Error::analysis("DATA_SOURCE_NOT_FOUND", message))
            }
        }
    }

    /// The files of several directories, or several files, as one table: `load` with more than one path.
    ///
    /// Partition columns are looked for below each path, so that several partitioned directories are one table only with the option
    /// `basePath`, the directory above all of them. A file that two paths lead to is read twice, unless the table is partitioned.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    /// let session = tidegate::Session::builder().build()?;
    /// for month in ["2024-01", "2024-02"] {
    ///     session.sql(&format!("SELECT '{month}' AS month"))?.write().json(&at(month))?;
    /// }
    /// let months = session.read().format("json").load_paths([at("2024-01"), at("2024-02")])?;
    /// assert_eq!(months.count()?, 2);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`load`](Self::load), also without a path; when their partition columns differ.
    pub fn load_paths(self, paths: impl IntoIterator<Item = impl AsRef<str>>) -> Result<DataFrame> {
        let paths: Paths = paths.into_iter().collect();
        match (self.format.as_str(), paths.0.as_slice()) {
            ("parquet" | "json" | "csv" | "text" | "avro" | "orc", _) => self.files(paths),
            (_, [path]) => self.load(path),
            (format, _) => Err(Error::unsupported(format!("the data source {format} has no paths: use load()"))),
        }
    }

    /// The lines of text files: of one path, or of several (`["a", "b"]`), as in [`load_paths`](Self::load_paths).
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn text(self, paths: impl Into<Paths>) -> Result<DataFrame> {
        self.format("text").files(paths.into())
    }

    /// JSON files of one value a line: of one path, or of several.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn json(self, paths: impl Into<Paths>) -> Result<DataFrame> {
        self.format("json").files(paths.into())
    }

    /// CSV files: of one path, or of several.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn csv(self, paths: impl Into<Paths>) -> Result<DataFrame> {
        self.format("csv").files(paths.into())
    }

    /// Parquet files: of one path, or of several.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parquet(self, paths: impl Into<Paths>) -> Result<DataFrame> {
        self.format("parquet").files(paths.into())
    }

    /// ORC files, with the feature `orc`: of one path, or of several.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn orc(self, paths: impl Into<Paths>) -> Result<DataFrame> {
        self.format("orc").files(paths.into())
    }

    /// The records of Kafka topics between the options `startingOffsets` and `endingOffsets`, as they are now.
    ///
    /// # Errors
    /// When an option is missing or can't be used, or when the feature `kafka` is not there. The cluster is asked when the frame is run.
    pub fn kafka(self) -> Result<DataFrame> {
        let supplier = kafka::batch_source(&self.options)?;
        let schema = supplier.schema()?;
        let records = SupplierStream { supplier, schema, name: None };
        // Which records are read is decided when they are: the ends of a topic move.
        let table = SourceTable::new(Arc::new(records), || Ok(0));
        Ok(self.session.frame(relation_of("kafka", Arc::new(table))?))
    }

    /// The table, view or stream of this name.
    ///
    /// # Errors
    /// `TABLE_OR_VIEW_NOT_FOUND`.
    pub fn table(self, name: &str) -> Result<DataFrame> {
        self.session.table(name)
    }

    /// Reads with the readers of the streaming source, so that a batch sees what a stream would; Parquet files without partitions, of
    /// which none is to be passed over, with DataFusion's, which look at those columns and rows only that a query needs.
    fn files(self, Paths(paths): Paths) -> Result<DataFrame> {
        let schema = self.schema.clone().map(DeclaredSchema::resolved).transpose()?;
        let is_given = schema.is_some();
        if paths.is_empty() {
            return Err(files::without_path());
        }
        let request = FileRequest {
            session: &self.session,
            format: &self.format,
            paths: &paths,
            schema,
            options: &self.options,
            is_stream: false,
        };
        let files = request.files()?;
        let is_local = !files.paths.iter().any(|path| files::is_url(path));
        let is_plain = !is_given && !request.passes_over_files()?;
        if self.format == "parquet" && files.partitions == 0 && is_plain && is_local {
            let table = ParquetTable::new(self.session.batch(), files.sources, files.paths)?;
            return Ok(self.session.frame(relation_of("parquet", Arc::new(table))?));
        }
        Ok(self.session.frame(relation_of(&self.format, Arc::new(files::table(files)))?))
    }
}
