//! Writing results: a batch at once ([`DataFrameWriter`]), a stream epoch by epoch ([`DataStreamWriter`]).

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_connectors::{
    ConsoleSink, ForeachBatchSink, ForeachRow, ForeachSink, ForeachWriter, MemorySink, NoopSink, TableFormat,
};
use tidegate_functions::cast::format_value;
use tidegate_functions::datetime::parse_interval;
use tidegate_runtime::{BoxError, Epoch, Query, RestartStrategy, SinkSupplier, Topology, Trigger, WatermarkPolicy};

use crate::batch_rows::{BatchRows, Identity};
use crate::catalog::{MemoryTable, relation_of, rows_relation};
use crate::dataframe::{DataFrame, user_schema};
use crate::error::{Error, Result};
use crate::files;
use crate::kafka;
use crate::options::Options;
use crate::planner::{Lowering, OutputMode, late_schema, lower, rules};
use crate::save_mode::SaveMode;
use crate::session::Session;
use crate::statements::{Write, create_with_rows, replace_with_rows, table_format, write_rows};
use crate::streams::StreamingQuery;
use crate::tables::{By, ManagedTable, NewTable, already_exists, parts};

/// Writes a stream. Names of formats and options are Spark's.
///
/// ```
/// use tidegate::{OutputMode, Session};
///
/// let session = Session::builder().build()?;
/// let (input, words) = session.memory_stream("word STRING")?;
/// words.create_or_replace_temp_view("words")?;
/// let counts = session.sql("SELECT word, count(*) AS n FROM words GROUP BY word")?;
/// let query = counts.write_stream().format("memory").query_name("counts").output_mode(OutputMode::Complete).start()?;
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, StringArray, RecordBatch};
/// # let rows = RecordBatch::try_from_iter_with_nullable([("word", Arc::new(StringArray::from(vec!["tide", "tide"])) as ArrayRef, true)])?;
/// input.add_data(rows).map_err(Arc::new)?;
/// query.process_all_available()?;
/// assert_eq!(session.table("counts")?.count()?, 1);
/// query.stop()?;
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct DataStreamWriter {
    frame: DataFrame,
    target: Target,
    mode: OutputMode,
    trigger: Result<Trigger>,
    name: Option<String>,
    checkpoint: Option<PathBuf>,
    restart: RestartStrategy,
    partition_by: Vec<String>,
    options: Options,
    /// Where rows go that come too late.
    late: Option<(Target, Options)>,
}

/// The table that a memory sink becomes, by name.
type SinkTable = Option<(String, MemoryTable)>;

/// Where the rows go.
#[derive(Clone)]
enum Target {
    /// A format by its name.
    Format(String),
    /// A sink that is there already.
    Sink(Arc<dyn SinkSupplier>),
}

impl DataStreamWriter {
    pub(crate) fn new(frame: DataFrame) -> Self {
        DataStreamWriter {
            frame,
            target: Target::Format("parquet".to_owned()),
            mode: OutputMode::default(),
            trigger: Ok(Trigger::default()),
            name: None,
            checkpoint: None,
            restart: RestartStrategy::None,
            partition_by: Vec::new(),
            options: Options::default(),
            late: None,
        }
    }

    /// `console`, `memory`, `noop`, files (`parquet`, `json`, `csv`, `avro`, `orc`, `text`), or `kafka` with the feature of that name.
    pub fn format(mut self, format: &str) -> Self {
        self.target = Target::Format(format.to_lowercase());
        self
    }

    /// A sink of your own.
    pub fn sink(mut self, sink: impl SinkSupplier + 'static) -> Self {
        self.target = Target::Sink(Arc::new(sink));
        self
    }

    /// Also writes the rows that are dropped because they come after the watermark has passed them, in a format and with its options as
    /// for the result: exactly once, like the result.
    ///
    /// Each is written as four columns: `operator STRING` (which one drops it), `watermark TIMESTAMP` (that judged it), `event_time
    /// TIMESTAMP` (not after the watermark; of a window its end) and `row STRING`, the row as JSON, with all the columns that there are
    /// at that place. A row that two operators drop is written twice. To have all its columns, the plan does not leave out those that
    /// the result has no use for: that costs time and, in joins, state; a failing expression in a column that nobody uses fails the
    /// query; and a checkpoint of the query without late rows can't be continued with them. Spark has no such thing: it counts them.
    ///
    /// ```
    /// use tidegate::Session;
    ///
    /// let session = Session::builder().build()?;
    /// let (_, events) = session.memory_stream("ts TIMESTAMP, word STRING")?;
    /// events.with_watermark("ts", "10 seconds").create_or_replace_temp_view("events")?;
    /// let counts = session.sql("SELECT window(ts, '1 minute') AS w, word, count(*) FROM events GROUP BY 1, 2")?;
    /// let query = counts.write_stream().format("noop").late_rows("memory", [("queryName", "late")]).start()?;
    /// query.process_all_available()?;
    /// assert_eq!(session.table("late")?.columns()?, ["operator", "watermark", "event_time", "row"]);
    /// query.stop()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn late_rows(mut self, format: &str, options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>) -> Self {
        let mut own = Options::default();
        for (name, value) in options {
            own.set(name.as_ref(), value);
        }
        self.late = Some((Target::Format(format.to_lowercase()), own));
        self
    }

    /// As [`late_rows`](Self::late_rows), to a sink of your own.
    pub fn late_rows_sink(mut self, sink: impl SinkSupplier + 'static) -> Self {
        self.late = Some((Target::Sink(Arc::new(sink)), Options::default()));
        self
    }

    /// Calls a closure with every row, as rows come: a row may come again after a failure.
    ///
    /// An error or a panic in it fails the query.
    pub fn foreach(self, process: impl Fn(ForeachRow<'_>) -> Result<(), BoxError> + Send + Sync + 'static) -> Self {
        self.sink(ForeachSink::rows(process))
    }

    /// Gives the rows of each task and epoch to a writer of their own: `open(partition, epoch)`, which may decline, then the rows,
    /// then `close`, as in Spark's `ForeachWriter`.
    pub fn foreach_writer<W: ForeachWriter + 'static>(self, writer: impl Fn() -> W + Send + Sync + 'static) -> Self {
        self.sink(ForeachSink::new(writer))
    }

    /// Calls a closure with each epoch's rows as a batch `DataFrame`, and the epoch's number: also for an epoch without rows. After a
    /// failure the same number comes again with the same rows, so a body that remembers numbers is exactly-once.
    ///
    /// An error or a panic in it fails the query, and the epoch is run again at the next start.
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use tidegate::Session;
    ///
    /// let session = Session::builder().build()?;
    /// let (input, numbers) = session.memory_stream("n BIGINT")?;
    /// let (sender, sums) = channel();
    /// let query = numbers.write_stream().foreach_batch(move |batch, epoch| {
    ///     let rows = batch.filter("n > 1").count()?;
    ///     sender.send((epoch, rows))?;
    ///     Ok(())
    /// });
    /// let query = query.start()?;
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    /// # let rows = RecordBatch::try_from_iter_with_nullable([("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef, true)])?;
    /// input.add_data(rows).map_err(Arc::new)?;
    /// query.process_all_available()?;
    /// assert_eq!(sums.recv()?, (0, 2));
    /// query.stop()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn foreach_batch(self, body: impl Fn(DataFrame, u64) -> Result<(), BoxError> + Send + Sync + 'static) -> Self {
        let session = self.frame.session().clone();
        self.sink(ForeachBatchSink::new(move |batches, schema, epoch| {
            let frame = session.frame(rows_relation(schema, batches)?);
            body(frame, epoch)
        }))
    }

    /// As [`foreach_batch`](Self::foreach_batch), for a closure that gives a future. It is run on the library's own async runtime.
    pub fn foreach_batch_async<F>(self, body: impl Fn(DataFrame, u64) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.foreach_batch(move |frame, epoch| {
            let future = body(frame, epoch);
            crate::batch::block_on(async move { Ok(future.await) })?
        })
    }

    pub(crate) fn noop(self) -> Self {
        self.format("noop")
    }

    /// Which rows of the result each epoch gives; append, if not set.
    pub fn output_mode(mut self, mode: OutputMode) -> Self {
        self.mode = mode;
        self
    }

    /// When epochs start; as soon as there is input, if not set.
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.trigger = Ok(trigger);
        self
    }

    /// Starts an epoch at every multiple of an interval, such as `10 seconds`.
    pub fn processing_time(mut self, interval: &str) -> Self {
        self.trigger = duration(interval).map(Trigger::ProcessingTime);
        self
    }

    /// Processes everything that is there, in epochs of the sources' size, then ends.
    pub fn available_now(self) -> Self {
        self.trigger(Trigger::AvailableNow)
    }

    /// Processes everything that is there in one epoch, then ends.
    pub fn once(self) -> Self {
        self.trigger(Trigger::Once)
    }

    /// The query's name: in logs and progress, for the memory sink's table, and for its checkpoint below the session's root.
    pub fn query_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The directory that makes the query recoverable: the option `checkpointLocation`.
    pub fn checkpoint(mut self, directory: impl Into<PathBuf>) -> Self {
        self.checkpoint = Some(directory.into());
        self
    }

    /// What happens after a failure: nothing, if not set.
    pub fn restart(mut self, strategy: RestartStrategy) -> Self {
        self.restart = strategy;
        self
    }

    /// Writes files of each value of these columns into directories of their own, `column=value`, without the columns.
    pub fn partition_by(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.partition_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// An option of the format, or `checkpointLocation`, or `path`. Case does not count.
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

    /// Starts the query.
    ///
    /// # Errors
    /// The first error of the calls that made the frame; when the streaming rules refuse the query; when an option is missing or can't
    /// be used; when a source, the sink or the checkpoint can't be opened. Nothing runs then.
    pub fn start(self) -> Result<StreamingQuery> {
        let session = self.frame.session().clone();
        session.streams().start(self.name.as_deref(), || self.start_in(&session))
    }

    fn start_in(&self, session: &Session) -> Result<StreamingQuery> {
        let (topology, tables) = self.topology()?;
        let mut query = Query::new(topology)
            .trigger(self.trigger.clone()?)
            .restart(self.restart)
            .watermark_policy(watermark_policy(session)?)
            .idle_after(watermark_idle_timeout(session)?);
        if let Some(name) = &self.name {
            query = query.name(name);
        }
        if let Some(directory) = self.checkpoint_directory() {
            query = query.checkpoint(directory);
        }
        let relation = |(name, table): (String, MemoryTable)| Ok((relation_of(&name, Arc::new(table))?, name));
        let tables = tables.into_iter().flatten().map(relation).collect::<Result<Vec<_>>>()?;
        let handle = query.start()?;
        for (relation, name) in tables {
            session.catalog().register(&name, relation);
        }
        Ok(StreamingQuery::new(handle))
    }

    /// Starts the query, writing files below this directory.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_path(self, path: &str) -> Result<StreamingQuery> {
        self.option("path", path).start()
    }

    /// Starts the query, writing to a table of the warehouse, which is created if it is not there: with the columns of the result, in
    /// the [`format`](Self::format) that is set (Parquet, if not). Columns are found by their names. In the complete mode each epoch
    /// takes the place of all rows. With the option `compactEveryEpochs` small files of the table are merged after each so many epochs,
    /// to files of about `targetFileSize` bytes (128 MiB); Spark has none of the two.
    ///
    /// ```
    /// # let warehouse = tempfile::tempdir().unwrap();
    /// use tidegate::Session;
    ///
    /// let session = Session::builder().warehouse(warehouse.path()).build()?;
    /// let (input, words) = session.memory_stream("word STRING")?;
    /// let query = words.write_stream().to_table("words")?;
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, StringArray, RecordBatch};
    /// # let rows = RecordBatch::try_from_iter_with_nullable([("word", Arc::new(StringArray::from(vec!["tide"])) as ArrayRef, true)])?;
    /// input.add_data(rows).map_err(Arc::new)?;
    /// query.process_all_available()?;
    /// assert_eq!(session.table("words")?.count()?, 1); // while the query runs
    /// query.stop()?;
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`start`](Self::start); when the table's columns are others, and in the update mode.
    pub fn to_table(mut self, name: &str) -> Result<StreamingQuery> {
        let (session, parts) = (self.frame.session().clone(), parts(name));
        rules::check(&self.frame.relation()?, self.mode)?;
        if self.mode == OutputMode::Update {
            let message = "Invalid streaming output mode: update. A table takes the append and the complete mode.";
            return Err(Error::analysis("STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE", message));
        }
        if session.catalog().view(&parts).is_some() {
            let message = format!("`{name}` is a temporary view: a stream is written to a table");
            return Err(Error::analysis("EXPECT_TABLE_NOT_VIEW.NO_ALTERNATIVE", message));
        }
        let table = match ManagedTable::open(session.warehouse(), &parts)? {
            Some(table) => table,
            None => {
                let format = match &self.target {
                    Target::Format(format) => table_format(format)?,
                    Target::Sink(_) => TableFormat::default(),
                };
                ManagedTable::create(session.warehouse(), &parts, &NewTable::of(&self.frame, format, &self.partition_by)?)?
            }
        };
        table.check_partitions(&self.partition_by)?;
        self.frame = table.conform(&self.frame, By::Name)?;
        let mut sink = table.sink(self.mode == OutputMode::Complete);
        if let Some(epochs) = self.options.positive("compactEveryEpochs")? {
            sink = sink
                .compact_every(epochs as u64, self.options.positive("targetFileSize")?.map_or(128 << 20, |bytes| bytes as u64));
        }
        self.target = Target::Sink(Arc::new(sink));
        self.start()
    }

    /// What would run.
    pub(crate) fn describe(&self) -> Result<String> {
        Ok(self.topology()?.0.describe())
    }

    fn checkpoint_directory(&self) -> Option<PathBuf> {
        let own = self.checkpoint.clone().or_else(|| self.options.get("checkpointLocation").map(PathBuf::from));
        own.or_else(|| Some(self.frame.session().checkpoint_root()?.join(self.name.as_ref()?)))
    }

    fn topology(&self) -> Result<(Topology, [SinkTable; 2])> {
        let relation = self.frame.relation()?;
        rules::check(&relation, self.mode)?;
        let session = self.frame.session();
        let lowering = Lowering {
            mode: self.mode,
            parallelism: session.parallelism(),
            context: session.batch().clone(),
            late: self.late.as_ref().map(|_| session.context().settings),
        };
        let lowered = lower(self.name.as_deref().unwrap_or("query"), &relation, lowering)?;
        let (sink, table) = self.sink_of(&user_schema(&relation.columns))?;
        let (late_sink, late_table) = self.late_sink()?.unzip();
        Ok((lowered.with_sinks(sink, late_sink)?, [table, late_table.flatten()]))
    }

    fn late_sink(&self) -> Result<Option<(Arc<dyn SinkSupplier>, SinkTable)>> {
        let Some((target, options)) = &self.late else { return Ok(None) };
        let name = options.get("queryName").map(str::to_owned);
        let writer = DataStreamWriter { target: target.clone(), options: options.clone(), name, ..self.clone() };
        DataStreamWriter { mode: OutputMode::Append, ..writer }.sink_of(&late_schema()).map(Some)
    }

    fn sink_of(&self, schema: &arrow::datatypes::SchemaRef) -> Result<(Arc<dyn SinkSupplier>, SinkTable)> {
        let format = match &self.target {
            Target::Sink(sink) => return Ok((Arc::clone(sink), None)),
            Target::Format(format) => format.as_str(),
        };
        Ok(match format {
            "console" => (Arc::new(self.console()?), None),
            "memory" => {
                let name = self.name.clone().ok_or_else(|| {
                    Error::Streaming("queryName must be specified for memory sink: call .query_name(\"…\")".to_owned())
                })?;
                let sink = match self.mode {
                    OutputMode::Complete => MemorySink::complete(),
                    OutputMode::Append | OutputMode::Update => MemorySink::new(),
                };
                (Arc::new(sink.clone()), Some((name, MemoryTable { schema: Arc::clone(schema), sink })))
            }
            "noop" => (Arc::new(NoopSink::new()), None),
            "kafka" => (kafka::sink(&self.options)?, None),
            "parquet" | "json" | "csv" | "text" | "avro" | "orc" => {
                if self.mode != OutputMode::Append {
                    let message = format!(
                        "Invalid streaming output mode: {}. This output mode is not supported in Data Source {format}: files take the append mode only.",
                        self.mode
                    );
                    return Err(Error::analysis("STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE", message));
                }
                let path = self.options.required("path", &format!("the {format} sink"))?;
                let files = files::sink(self.frame.session(), format, path.as_ref(), &self.partition_by, &self.options)?;
                (Arc::new(files), None)
            }
            other => {
                let message = format!(
                    "Failed to find the data source: {other}. Known are console, memory, noop, parquet, json, csv, avro, orc, text and kafka."
                );
                return Err(Error::analysis("DATA_SOURCE_NOT_FOUND", message));
            }
        })
    }

    fn console(&self) -> Result<ConsoleSink> {
        let settings = self.frame.session().context().settings;
        let mut sink = ConsoleSink::new()
            .cell_formatter(move |array, row| format_value(array.as_ref(), row, &settings).unwrap_or_else(|| "NULL".to_owned()));
        if let Some(rows) = self.options.positive("numRows")? {
            sink = sink.num_rows(rows);
        }
        match self.options.get("truncate") {
            None => {}
            Some(text) => {
                sink = match (text.parse::<bool>(), text.parse::<usize>()) {
                    (Ok(truncate), _) => sink.truncate(truncate),
                    (_, Ok(characters)) => sink.truncate_to(characters),
                    _ => {
                        return Err(Error::analysis(
                            "INVALID_OPTION",
                            format!("Invalid value '{text}' for option 'truncate': true, false or a number"),
                        ));
                    }
                };
            }
        }
        Ok(sink)
    }
}

impl std::fmt::Debug for DataStreamWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataStreamWriter").field("frame", &self.frame).field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Which of several watermarks a query has.
fn watermark_policy(session: &Session) -> Result<WatermarkPolicy> {
    const KEY: &str = "spark.sql.streaming.multipleWatermarkPolicy";
    match session.config(KEY).map(|policy| policy.to_lowercase()).as_deref() {
        None | Some("min") => Ok(WatermarkPolicy::Min),
        Some("max") => Ok(WatermarkPolicy::Max),
        Some(other) => Err(Error::analysis(
            "INVALID_CONF_VALUE.OUT_OF_RANGE_OF_OPTIONS",
            format!("The value '{other}' in the config \"{KEY}\" is invalid: min or max."),
        )),
    }
}

/// After which time without rows an input does not hold the watermark back any more.
fn watermark_idle_timeout(session: &Session) -> Result<Option<Duration>> {
    session.config("tidegate.watermark.idleTimeout").map(|interval| duration(&interval)).transpose()
}

/// A time that is not negative and has no months.
fn duration(interval: &str) -> Result<Duration> {
    let parsed = parse_interval(interval)?;
    let micros = i64::from(parsed.days).checked_mul(86_400_000_000).and_then(|days| days.checked_add(parsed.micros));
    match micros.and_then(|micros| u64::try_from(micros).ok()) {
        Some(micros) if parsed.months == 0 => Ok(Duration::from_micros(micros)),
        _ => {
            let message =
                format!("the interval '{interval}' is not a fixed time: give days, hours, minutes, seconds, not negative");
            Err(Error::analysis("CANNOT_PARSE_INTERVAL", message))
        }
    }
}

/// Writes a batch.
#[derive(Debug, Clone)]
#[must_use]
pub struct DataFrameWriter {
    frame: DataFrame,
    format: String,
    mode: Result<SaveMode>,
    partition_by: Vec<String>,
    options: Options,
}

impl DataFrameWriter {
    pub(crate) fn new(frame: DataFrame) -> Self {
        let (format, mode) = ("parquet".to_owned(), Ok(SaveMode::default()));
        DataFrameWriter { frame, format, mode, partition_by: Vec::new(), options: Options::default() }
    }

    /// `parquet`, `json`, `csv`, `avro`, `orc`, `text`, or `kafka` with the feature of that name, for [`save`](Self::save).
    pub fn format(mut self, format: &str) -> Self {
        self.format = format.to_lowercase();
        self
    }

    /// What is done with rows that are there already: a [`SaveMode`], or its name (`append`, `overwrite`, `ignore`, `error`), of which an
    /// unknown one is an error of the call that writes. If not set, it is an error that there are some.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().to_str().unwrap();
    /// use tidegate::{SaveMode, Session};
    ///
    /// let session = Session::builder().build()?;
    /// session.sql("SELECT 1 AS n")?.write().parquet(path)?;
    /// session.sql("SELECT 2 AS n")?.write().mode("append").parquet(path)?;
    /// assert_eq!(session.read().parquet(path)?.count()?, 2);
    /// session.sql("SELECT 3 AS n")?.write().mode(SaveMode::Overwrite).parquet(path)?;
    /// assert_eq!(session.read().parquet(path)?.count()?, 1);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn mode(mut self, mode: impl TryInto<SaveMode, Error: Into<Error>>) -> Self {
        self.mode = mode.try_into().map_err(Into::into);
        self
    }

    /// Writes files of each value of these columns into directories of their own, `column=value`, without the columns.
    pub fn partition_by(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.partition_by = columns.into_iter().map(Into::into).collect();
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

    /// Rows of the warehouse's table of this name, which is created, with files of the [`format`](Self::format) that is set. If it is
    /// there, the [`mode`](Self::mode) says what is done with its rows: more come to them, by the names of the columns, or all of it is
    /// replaced, its columns too.
    ///
    /// # Errors
    /// `TABLE_OR_VIEW_ALREADY_EXISTS`; the first error of the calls that made the frame, or of the computation.
    pub fn save_as_table(self, name: &str) -> Result<()> {
        let (session, parts) = (self.frame.session().clone(), parts(name));
        let new = NewTable::of(&self.frame, table_format(&self.format)?, &self.partition_by)?;
        if let Some(table) = ManagedTable::open(session.warehouse(), &parts)? {
            return match self.mode? {
                SaveMode::ErrorIfExists => Err(already_exists(name)),
                SaveMode::Ignore => Ok(()),
                SaveMode::Append => {
                    table.check_partitions(&self.partition_by)?;
                    write_rows(&session, &parts, &self.frame, By::Name, Write::Append)
                }
                SaveMode::Overwrite if table.is_like(&new) => write_rows(&session, &parts, &self.frame, By::Name, Write::Replace),
                SaveMode::Overwrite => replace_with_rows(&table, &new, &self.frame),
            };
        }
        self.mode?;
        create_with_rows(&session, &parts, &new, &self.frame)
    }

    /// More rows of a table that is there, or other rows in the mode `overwrite`; columns by position, as in Spark. The other modes mean
    /// nothing here. With the option `partitionOverwriteMode` set to `dynamic` only rows of the partitions that the new ones are in go.
    ///
    /// # Errors
    /// `TABLE_OR_VIEW_NOT_FOUND`; when the table's columns are others; as [`save_as_table`](Self::save_as_table).
    pub fn insert_into(self, name: &str) -> Result<()> {
        let write = match self.mode.clone()? {
            SaveMode::Overwrite => Write::Overwrite { mode: self.options.get("partitionOverwriteMode") },
            SaveMode::Append | SaveMode::ErrorIfExists | SaveMode::Ignore => Write::Append,
        };
        write_rows(self.frame.session(), &parts(name), &self.frame, By::Position, write)
    }

    /// Files of the format in a directory; for `kafka` as [`kafka`](Self::kafka), with an empty path.
    ///
    /// # Errors
    /// As [`parquet`](Self::parquet), and when the format is unknown.
    pub fn save(self, path: &str) -> Result<()> {
        let format = self.format.clone();
        match format.as_str() {
            "parquet" | "json" | "csv" | "text" | "avro" | "orc" => self.write(&format, path),
            "kafka" => self.kafka(),
            other => {
                let message =
                    format!("Failed to find the data source: {other}. Known are parquet, json, csv, avro, orc, text and kafka.");
                Err(Error::analysis("DATA_SOURCE_NOT_FOUND", message))
            }
        }
    }

    /// Parquet files in a directory. Without a [`mode`](Self::mode) it must not exist or be empty.
    ///
    /// All rows are computed first: a frame may read what it overwrites. Readers that go by the manifest in the directory, as Tidegate's do,
    /// see all rows of a batch at once, and the old rows until then. After `overwrite` what others see in the directory for a moment are
    /// both. Other batches are waited for. A query that writes to the directory must have ended; after a batch it can't be continued.
    ///
    /// # Errors
    /// The first error of the calls that made the frame, or of the computation; when the directory has files and the mode is none of
    /// others, when a query is writing there, or when it can't be written.
    pub fn parquet(self, path: &str) -> Result<()> {
        self.write("parquet", path)
    }

    /// JSON files, one value a line.
    ///
    /// # Errors
    /// As [`parquet`](Self::parquet).
    pub fn json(self, path: &str) -> Result<()> {
        self.write("json", path)
    }

    /// CSV files.
    ///
    /// # Errors
    /// As [`parquet`](Self::parquet).
    pub fn csv(self, path: &str) -> Result<()> {
        self.write("csv", path)
    }

    /// Text files, of a frame with one column of strings.
    ///
    /// # Errors
    /// As [`parquet`](Self::parquet).
    pub fn text(self, path: &str) -> Result<()> {
        self.write("text", path)
    }

    /// Records of Kafka topics, by the columns and options of the streaming sink; with the feature `kafka`.
    ///
    /// All rows are one transaction, so consumers that read with `isolation.level=read_committed` see all of them or none. After an
    /// error of the commit itself they may be there: to write again what must not be there twice is for a query with a checkpoint.
    /// Rows that take longer than `kafka.transaction.timeout.ms` need the option `delivery.guarantee` set to `at-least-once`.
    ///
    /// # Errors
    /// The first error of the calls that made the frame, or of the computation; when the options or columns don't fit; when the cluster
    /// can't be reached or refuses a record.
    pub fn kafka(self) -> Result<()> {
        if !self.partition_by.is_empty() {
            let message = "partition_by is of files: for Kafka a column 'partition' or the key says where a row goes";
            return Err(Error::unsupported(message.to_owned()));
        }
        let mode = self.mode?;
        if matches!(mode, SaveMode::Overwrite | SaveMode::Ignore) {
            let message =
                format!("Save mode {mode:?} not allowed for Kafka. Allowed save modes are Append and ErrorIfExists (default).");
            return Err(Error::unsupported(message));
        }
        let supplier = kafka::sink(&self.options)?;
        supplier.check_input(&self.frame.schema()?)?;
        BatchRows::of(&self.frame)?.write(supplier.as_ref(), Identity::new("sink"), Epoch::FIRST)
    }

    /// Files.
    fn write(self, format: &str, path: &str) -> Result<()> {
        let mode = self.mode?;
        let (session, partition_by) = (self.frame.session(), self.partition_by.as_slice());
        let output = files::Output { format, path, partition_by, options: &self.options, mode, session };
        output.write(&self.frame)
    }
}
