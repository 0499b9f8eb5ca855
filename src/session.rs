//! The session: where queries begin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use chrono_tz::Tz;
use dashmap::DashMap;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use serde::Serialize;
use tidegate_functions::Settings;

use crate::analysis::{Context, Relation};
use crate::batch;
use crate::catalog::{Catalog, rows_relation};
use crate::dataframe::DataFrame;
use crate::error::{Error, Result};
use crate::reader::{DataFrameReader, DataStreamReader};
use crate::sql::parse_statements;
use crate::statements;
use crate::streams::StreamingQueryManager;

/// Where queries begin: settings, names, functions. Cheap to clone: clones share everything.
///
/// It works from any `main`, plain or async: batch results block the calling thread and need no runtime of the caller's.
///
/// ```
/// use tidegate::Session;
///
/// let session = Session::builder().app_name("first steps").build()?;
/// let words = session.sql("SELECT explode(split('to be or not to be', ' ')) AS word")?;
/// words.create_or_replace_temp_view("words")?;
/// let counts = session.sql("SELECT word, count(*) AS n FROM words GROUP BY word ORDER BY n DESC, word")?;
/// assert_eq!(counts.count()?, 4);
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    app_name: String,
    config: RwLock<BTreeMap<String, String>>,
    parallelism: usize,
    checkpoint_root: Option<PathBuf>,
    catalog: Arc<Catalog>,
    context: Context,
    /// Made when the first batch query needs it: a streaming query starts faster without.
    batch: OnceLock<SessionContext>,
    streams: StreamingQueryManager,
}

/// Builds a [`Session`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct SessionBuilder {
    app_name: Option<String>,
    config: BTreeMap<String, String>,
    time_zone: Option<String>,
    parallelism: Option<usize>,
    checkpoint_root: Option<PathBuf>,
    warehouse: Option<PathBuf>,
}

impl SessionBuilder {
    /// The name shown in logs.
    pub fn app_name(mut self, name: impl Into<String>) -> Self {
        self.app_name = Some(name.into());
        self
    }

    /// A setting under Spark's name. Those that matter: `spark.sql.session.timeZone`, `spark.sql.shuffle.partitions`,
    /// `spark.sql.streaming.checkpointLocation`, `spark.sql.warehouse.dir`. Any other is kept and can be read back.
    pub fn config(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.config.insert(key.into(), value.to_string());
        self
    }

    /// The session's time zone, such as `UTC` (the default) or `Europe/Paris`.
    pub fn time_zone(mut self, zone: impl Into<String>) -> Self {
        self.time_zone = Some(zone.into());
        self
    }

    /// How many tasks an operator has: the number of cores, if not set.
    pub fn parallelism(mut self, tasks: usize) -> Self {
        self.parallelism = Some(tasks);
        self
    }

    /// The directory below which named queries keep their checkpoints.
    pub fn checkpoint_root(mut self, directory: impl Into<PathBuf>) -> Self {
        self.checkpoint_root = Some(directory.into());
        self
    }

    /// The directory of managed tables, or a URL in an object store, such as `s3://bucket/warehouse`
    /// ([`register_object_store`](crate::connectors::register_object_store)).
    pub fn warehouse(mut self, directory: impl Into<PathBuf>) -> Self {
        self.warehouse = Some(directory.into());
        self
    }

    /// The session.
    ///
    /// # Errors
    /// When a setting can't be used; the message names it.
    pub fn build(self) -> Result<Session> {
        let setting = |key: &str| self.config.get(key).cloned();
        let zone = self.time_zone.or_else(|| setting("spark.sql.session.timeZone")).unwrap_or_else(|| "UTC".to_owned());
        let time_zone: Tz = zone.parse().map_err(|_| {
            let message = format!("Cannot resolve the given timezone: '{zone}'. Use a name such as 'UTC' or 'Europe/Paris'.");
            Error::analysis("INVALID_CONF_VALUE.TIME_ZONE", message)
        })?;
        let number = |key: &str| -> Result<Option<usize>> {
            let Some(text) = setting(key) else { return Ok(None) };
            let parsed = text.parse().ok().filter(|n| *n > 0);
            parsed.map(Some).ok_or_else(|| {
                Error::analysis(
                    "INVALID_CONF_VALUE.TYPE_MISMATCH",
                    format!("The value '{text}' in the config \"{key}\" is invalid: it must be a number above 0."),
                )
            })
        };
        let configured =
            self.parallelism.map_or_else(|| number("spark.sql.shuffle.partitions"), |tasks| Ok(Some(tasks.max(1))))?;
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let warehouse = self.warehouse.or_else(|| setting("spark.sql.warehouse.dir").map(PathBuf::from));
        let catalog = Arc::new(Catalog::new(warehouse.unwrap_or_else(|| PathBuf::from("spark-warehouse"))));
        let context = Context {
            settings: Settings { time_zone },
            tables: Arc::clone(&catalog) as Arc<dyn crate::analysis::Tables>,
            functions: Arc::new(DashMap::new()),
        };
        let checkpoint_root =
            self.checkpoint_root.or_else(|| setting("spark.sql.streaming.checkpointLocation").map(PathBuf::from));
        let inner = Inner {
            app_name: self.app_name.unwrap_or_else(|| "tidegate".to_owned()),
            config: RwLock::new(self.config),
            parallelism: configured.unwrap_or_else(cores),
            checkpoint_root,
            catalog,
            context,
            batch: OnceLock::new(),
            streams: StreamingQueryManager::default(),
        };
        Ok(Session { inner: Arc::new(inner) })
    }
}

impl Session {
    /// Begins a session.
    pub fn builder() -> SessionBuilder {
        SessionBuilder::default()
    }

    /// The session's name.
    pub fn app_name(&self) -> &str {
        &self.inner.app_name
    }

    /// A setting; `None` if it was never set.
    pub fn config(&self, key: &str) -> Option<String> {
        self.inner.config.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Changes a setting, for queries that start from now on.
    pub fn set_config(&self, key: impl Into<String>, value: impl ToString) {
        self.inner.config.write().unwrap_or_else(PoisonError::into_inner).insert(key.into(), value.to_string());
    }

    /// The session's time zone.
    pub fn time_zone(&self) -> Tz {
        self.inner.context.settings.time_zone
    }

    /// The directory of managed tables.
    pub fn warehouse(&self) -> &Path {
        self.inner.catalog.warehouse()
    }

    /// The result of a query in SQL. Spark's dialect; case of names does not count.
    ///
    /// Besides queries: `CREATE [OR REPLACE] TEMP VIEW … AS …`, `DROP VIEW`, `CREATE TABLE`, `INSERT INTO` and `INSERT OVERWRITE`,
    /// `DROP TABLE`, `SHOW TABLES`, `DESCRIBE`, `EXPLAIN`, `SET key = value`. A statement that is no query is run at once.
    ///
    /// # Errors
    /// When the text can't be parsed or resolved: the error has Spark's condition, and shows the place.
    pub fn sql(&self, text: &str) -> Result<DataFrame> {
        let mut statements = parse_statements(text)?;
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
            return Err(Error::analysis("PARSE_SYNTAX_ERROR", "sql() takes exactly one statement"));
        };
        statements::run(self, statement, text)
    }

    /// The table, view or stream of this name.
    ///
    /// # Errors
    /// `TABLE_OR_VIEW_NOT_FOUND`.
    pub fn table(&self, name: &str) -> Result<DataFrame> {
        let parts = crate::tables::parts(name);
        let relation = self.inner.context.tables.table(&parts)?.ok_or_else(|| crate::analysis::table_not_found(&parts))?;
        Ok(self.frame(relation.fresh()?.aliased(parts.last().map_or("", String::as_str))))
    }

    /// Writes the small files of a table anew as files of about this length, in the order of their rows; gives how many went. Queries that
    /// read or write the table go on, and see each row once.
    ///
    /// # Errors
    /// `TABLE_OR_VIEW_NOT_FOUND`; when files can't be read or written: the table is as it was then.
    pub fn compact_table(&self, name: &str, target_bytes: u64) -> Result<usize> {
        let parts = crate::tables::parts(name);
        let table = crate::tables::ManagedTable::open(self.warehouse(), &parts)?;
        table.ok_or_else(|| crate::analysis::table_not_found(&parts))?.compact(target_bytes)
    }

    /// Removes the files of a table that its newest version does not have: those that were compacted or replaced, and those that a process
    /// that died has left more than a week ago. Streams that have not come to the newest version, and batch queries that are reading an
    /// older one, fail. Gives how many files went.
    ///
    /// # Errors
    /// `TABLE_OR_VIEW_NOT_FOUND`; when files can't be removed.
    pub fn vacuum_table(&self, name: &str) -> Result<usize> {
        let parts = crate::tables::parts(name);
        let table = crate::tables::ManagedTable::open(self.warehouse(), &parts)?;
        table.ok_or_else(|| crate::analysis::table_not_found(&parts))?.vacuum()
    }

    /// Reads data that is there.
    pub fn read(&self) -> DataFrameReader {
        DataFrameReader::new(self.clone())
    }

    /// Reads data as it comes.
    pub fn read_stream(&self) -> DataStreamReader {
        DataStreamReader::new(self.clone())
    }

    /// The running streaming queries of this session.
    pub fn streams(&self) -> &StreamingQueryManager {
        &self.inner.streams
    }

    /// A batch `DataFrame` of Arrow batches.
    ///
    /// # Errors
    /// When there is no batch to take the columns from, they differ, or a column has a type that no SQL type stands for.
    pub fn create_data_frame(&self, batches: Vec<RecordBatch>) -> Result<DataFrame> {
        let first = batches
            .first()
            .ok_or_else(|| Error::analysis("CANNOT_INFER_EMPTY_SCHEMA", "Can not infer schema from an empty dataset."))?;
        let schema = first.schema();
        Ok(self.frame(rows_relation(schema, batches)?))
    }

    /// A batch `DataFrame` of rows that serde can write: the fields become columns.
    ///
    /// ```
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Reading { sensor: String, degrees: f64 }
    ///
    /// let session = tidegate::Session::builder().build()?;
    /// let rows = [Reading { sensor: "a".into(), degrees: 20.5 }, Reading { sensor: "b".into(), degrees: 21.0 }];
    /// let frame = session.create_data_frame_of(&rows)?;
    /// assert_eq!(frame.columns()?, ["sensor", "degrees"]);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the rows have no common columns.
    pub fn create_data_frame_of<T: Serialize + for<'de> serde::Deserialize<'de>>(&self, rows: &[T]) -> Result<DataFrame> {
        let fields = crate::dataset::fields_of::<T>()?;
        let batch = crate::dataset::to_batch(&fields, rows)?;
        self.create_data_frame(vec![batch])
    }

    /// Makes a Rust closure a function of SQL and of [`call_function`](crate::functions::call_function).
    ///
    /// It is given whole columns (arrays of as many rows, or single values) of exactly these types, and gives one. A panic in it fails
    /// the query, not the process.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use arrow::array::{ArrayRef, AsArray, Int64Array};
    /// use arrow::datatypes::{DataType, Int64Type};
    ///
    /// let session = tidegate::Session::builder().build()?;
    /// session.register_function("twice", vec![DataType::Int64], DataType::Int64, |columns| {
    ///     let doubled: Int64Array = columns[0].as_primitive::<Int64Type>().unary(|n| n * 2);
    ///     Ok(Arc::new(doubled) as ArrayRef)
    /// });
    /// assert_eq!(session.sql("SELECT twice(21) AS n")?.count()?, 1);
    /// # Ok::<(), tidegate::Error>(())
    /// ```
    pub fn register_function(
        &self,
        name: &str,
        args: Vec<DataType>,
        returns: DataType,
        function: impl Fn(&[arrow::array::ArrayRef]) -> Result<arrow::array::ArrayRef, Box<dyn std::error::Error + Send + Sync>>
        + Send
        + Sync
        + 'static,
    ) {
        let name = name.to_lowercase();
        let implementation = Arc::new(move |values: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(values)?;
            let result = function(&arrays).map_err(datafusion::error::DataFusionError::External)?;
            Ok(ColumnarValue::Array(result))
        });
        let udf = create_udf(&name, args, returns, Volatility::Volatile, implementation);
        self.inner.context.functions.insert(name, Arc::new(udf));
    }

    // ---- for the rest of the crate

    pub(crate) fn frame(&self, relation: Relation) -> DataFrame {
        DataFrame::new(self.clone(), Ok(relation))
    }

    pub(crate) fn context(&self) -> &Context {
        &self.inner.context
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    pub(crate) fn parallelism(&self) -> usize {
        self.inner.parallelism
    }

    pub(crate) fn checkpoint_root(&self) -> Option<&Path> {
        self.inner.checkpoint_root.as_deref()
    }

    pub(crate) fn batch(&self) -> &SessionContext {
        self.inner.batch.get_or_init(|| batch::context(self.inner.parallelism))
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("app_name", &self.inner.app_name).finish_non_exhaustive()
    }
}
