//! The `DataFrame`: one type for batch and stream.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use tidegate_functions::cast::format_value;
use tidegate_functions::types;

use crate::analysis::{Analyzer, Attribute, Earlier, Grouping, JoinKind, Relation, Select, column_named, cube, rollup};
use crate::batch;
use crate::column::{Column, Condition, SortColumn};
use crate::error::{Error, Result};
use crate::expr::Expr;
use crate::planner::{OutputMode, rules};
use crate::session::Session;
use crate::show::Table;
use crate::writer::{DataFrameWriter, DataStreamWriter};

/// A table whose rows are computed: at once for a batch, as they come for a stream ([`is_streaming`](Self::is_streaming)).
///
/// A call that can't be resolved (an unknown column, types that don't fit) makes no panic and needs no `?`: the frame keeps the first
/// error, and whatever asks for its result (`schema`, `collect`, `start`) returns it.
///
/// ```
/// use tidegate::Session;
/// use tidegate::functions::{col, count_all, lit, sum};
///
/// let session = Session::builder().build()?;
/// let sales = session.sql("SELECT * FROM VALUES ('a', 3), ('b', 5), ('a', 4) AS sales(shop, n)")?;
/// let totals = sales.filter(col("n").gt(lit(2))).group_by(["shop"]).agg([sum("n").alias("total"), count_all().alias("sales")]);
/// assert_eq!(totals.order_by(["shop"]).collect()?[0].num_rows(), 2);
///
/// let wrong = sales.select(["price"]).limit(1);
/// assert_eq!(wrong.collect().unwrap_err().condition().as_deref(), Some("UNRESOLVED_COLUMN.WITH_SUGGESTION"));
/// # Ok::<(), tidegate::Error>(())
/// ```
#[derive(Clone)]
pub struct DataFrame {
    session: Session,
    relation: Result<Relation>,
    /// What its rows had before.
    earlier: Option<Arc<Earlier>>,
}

impl DataFrame {
    pub(crate) fn new(session: Session, relation: Result<Relation>) -> Self {
        DataFrame { session, relation, earlier: None }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The relation, or the first error of the calls that made it.
    pub(crate) fn relation(&self) -> Result<Relation> {
        self.relation.clone()
    }

    /// The frame that `change` makes of this one's relation.
    fn then(&self, change: impl FnOnce(&Analyzer<'_>, Relation) -> Result<Relation>) -> Self {
        let relation = self.relation.clone().and_then(|relation| change(&Analyzer::new(self.session.context()), relation));
        DataFrame::new(self.session.clone(), relation)
    }

    /// The same, of which each row is one of this frame with other columns.
    fn then_other_columns(&self, change: impl FnOnce(&Analyzer<'_>, Relation) -> Result<Relation>) -> Self {
        let columns = self.relation.as_ref().map(|relation| relation.columns.clone()).unwrap_or_default();
        DataFrame { earlier: Some(Arc::new(Earlier { columns, before: self.earlier.clone() })), ..self.then(change) }
    }

    /// The same, of which each row is one of this frame.
    fn then_other_rows(&self, change: impl FnOnce(&Analyzer<'_>, Relation) -> Result<Relation>) -> Self {
        DataFrame { earlier: self.earlier.clone(), ..self.then(change) }
    }

    /// The frame that `change` makes of this one's relation and another's.
    fn with(&self, other: &DataFrame, change: impl FnOnce(&Analyzer<'_>, Relation, Relation) -> Result<Relation>) -> Self {
        let other = other.relation();
        self.then(|analyzer, relation| change(analyzer, relation, other?))
    }

    // ---- what it is

    /// Whether its rows come from a stream. Also false for a frame that is an error.
    pub fn is_streaming(&self) -> bool {
        self.relation.as_ref().is_ok_and(Relation::is_streaming)
    }

    /// Its columns.
    ///
    /// # Errors
    /// The first error of the calls that made the frame.
    pub fn schema(&self) -> Result<SchemaRef> {
        Ok(user_schema(&self.relation()?.columns))
    }

    /// The names of its columns.
    ///
    /// # Errors
    /// As [`schema`](Self::schema).
    pub fn columns(&self) -> Result<Vec<String>> {
        Ok(self.relation()?.columns.into_iter().map(|column| column.name).collect())
    }

    /// One of its columns, also where another frame that it is joined with has one of the same name; or a field of one, such as
    /// `_metadata.file_name` of files.
    pub fn col(&self, name: &str) -> Column {
        let analyzer = Analyzer::new(self.session.context());
        Column { expr: self.relation().and_then(|relation| analyzer.exact_column(&relation, name)) }
    }

    /// The schema as a tree, as Spark's `printSchema` shows it.
    ///
    /// # Errors
    /// As [`schema`](Self::schema).
    pub fn schema_string(&self) -> Result<String> {
        Ok(crate::show::schema_tree(&self.schema()?))
    }

    /// Prints [`schema_string`](Self::schema_string).
    ///
    /// # Errors
    /// As [`schema`](Self::schema), and when the standard output is closed.
    pub fn print_schema(&self) -> Result<()> {
        crate::show::print(&format!("{}\n", self.schema_string()?))
    }

    // ---- columns

    /// Computes these columns.
    pub fn select(&self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        let columns: Vec<Column> = columns.into_iter().map(Into::into).collect();
        self.then_other_columns(|analyzer, input| analyzer.select(input, Select::items(parsed(&columns)?)))
    }

    /// Computes columns written in SQL: `df.select_expr(["a + 1 AS b", "upper(name)"])`.
    pub fn select_expr(&self, exprs: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.select(exprs.into_iter().map(|text| crate::functions::expr(text.as_ref())))
    }

    /// Adds a column, or replaces the one of this name.
    pub fn with_column(&self, name: &str, column: impl Into<Column>) -> Self {
        self.with_columns([(name, column)])
    }

    /// Adds or replaces columns, all computed from this frame's.
    pub fn with_columns(&self, columns: impl IntoIterator<Item = (impl Into<String>, impl Into<Column>)>) -> Self {
        let added: Vec<(String, Column)> = columns.into_iter().map(|(name, column)| (name.into(), column.into())).collect();
        self.then_other_columns(|analyzer, input| {
            let mut items: Vec<Expr> = input.columns.iter().map(Attribute::exact).collect();
            for (name, column) in &added {
                let item = column.parsed()?.unaliased().clone().alias(name);
                match input.columns.iter().position(|own| own.name.eq_ignore_ascii_case(name)) {
                    Some(at) => items[at] = item,
                    None => items.push(item),
                }
            }
            analyzer.select(input, Select::items(items))
        })
    }

    /// Gives a column another name; nothing happens if there is no such column, as in Spark.
    pub fn with_column_renamed(&self, existing: &str, new: &str) -> Self {
        self.then_other_columns(|_, mut input| {
            for column in input.columns.iter_mut().filter(|column| column.name.eq_ignore_ascii_case(existing)) {
                *column = column.renamed(new);
            }
            Ok(input)
        })
    }

    /// Gives all columns other names.
    pub fn to_df(&self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.then_other_columns(|_, mut input| {
            if names.len() != input.columns.len() {
                let (given, wanted) = (names.len(), input.columns.len());
                let message =
                    format!("The number of columns doesn't match: {wanted} old column names, {given} new column names.");
                return Err(Error::analysis("ASSIGNMENT_ARITY_MISMATCH", message));
            }
            input.columns = input.columns.iter().zip(&names).map(|(column, name)| column.renamed(name)).collect();
            Ok(input)
        })
    }

    /// Leaves columns out; names that are no columns are ignored, as in Spark.
    pub fn drop(&self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_lowercase()).collect();
        self.then_other_columns(|_, input| {
            let kept = input.columns.iter().filter(|column| !names.contains(&column.name.to_lowercase())).cloned().collect();
            input.keep(kept)
        })
    }

    /// A name for the frame, to qualify its columns with.
    pub fn alias(&self, name: &str) -> Self {
        self.then(|_, input| Ok(input.aliased(name)))
    }

    // ---- rows

    /// The rows for which a condition is true: a column, or text in SQL such as `"n > 1"`. It may be on columns that were left out before.
    pub fn filter(&self, condition: impl Into<Condition>) -> Self {
        let Condition(condition) = condition.into();
        self.then_other_rows(|analyzer, input| {
            let condition = condition.parsed()?;
            let filter = |input| analyzer.filter(input, &condition);
            analyzer.with_earlier(input, self.earlier.as_deref(), &[&condition], filter)
        })
    }

    /// As [`filter`](Self::filter).
    pub fn where_(&self, condition: impl Into<Condition>) -> Self {
        self.filter(condition)
    }

    /// A row for each element of an array column, which is replaced by the element.
    pub fn explode(&self, column: &str) -> Self {
        self.then(|analyzer, input| {
            let items = input.columns.iter().map(|own| match own.name.eq_ignore_ascii_case(column) {
                true => Expr::call("explode", vec![own.exact()]).alias(&own.name),
                false => own.exact(),
            });
            let items = items.collect();
            column_named(&input, column)?;
            analyzer.select(input, Select::items(items))
        })
    }

    /// The different rows. In a stream this keeps all of them in the state, without end unless there is a watermark.
    pub fn distinct(&self) -> Self {
        self.drop_duplicates()
    }

    /// The first row of each combination of all columns.
    pub fn drop_duplicates(&self) -> Self {
        self.then(|analyzer, input| analyzer.deduplicate(input, None, false))
    }

    /// The first row of each combination of these columns.
    pub fn drop_duplicates_by(&self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        self.then(|analyzer, input| analyzer.deduplicate(input, Some(&columns), false))
    }

    /// The first row of each combination of these columns that comes within the watermark's delay; of all columns if there are none.
    pub fn drop_duplicates_within_watermark(&self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        let columns = (!columns.is_empty()).then_some(columns);
        self.then(|analyzer, input| analyzer.deduplicate(input, columns.as_deref(), true))
    }

    /// Declares an event time column, and how long to wait for late rows: `"10 seconds"`. Nothing happens to a batch.
    pub fn with_watermark(&self, column: &str, delay: &str) -> Self {
        self.then_other_rows(|analyzer, input| analyzer.watermark(input, column, delay))
    }

    /// The rows in order, which may be that of columns that were left out before. In a stream only after an aggregation in complete mode.
    pub fn order_by(&self, columns: impl IntoIterator<Item = impl Into<SortColumn>>) -> Self {
        let columns: Vec<SortColumn> = columns.into_iter().map(Into::into).collect();
        self.then_other_rows(|analyzer, input| {
            let keys = columns.iter().map(SortColumn::key).collect::<Result<Vec<_>>>()?;
            let used: Vec<&Expr> = keys.iter().map(|key| &key.expr).collect();
            analyzer.with_earlier(input, self.earlier.as_deref(), &used, |input| analyzer.sort(input, &keys))
        })
    }

    /// As [`order_by`](Self::order_by).
    pub fn sort(&self, columns: impl IntoIterator<Item = impl Into<SortColumn>>) -> Self {
        self.order_by(columns)
    }

    /// The first rows. In a stream, in append mode, of its whole life.
    pub fn limit(&self, rows: usize) -> Self {
        self.then_other_rows(|analyzer, input| analyzer.limit(input, 0, Some(rows)))
    }

    /// All but the first rows.
    pub fn offset(&self, rows: usize) -> Self {
        self.then_other_rows(|analyzer, input| analyzer.limit(input, rows, None))
    }

    /// About this fraction of the rows, chosen at random. Only of a batch.
    pub fn sample(&self, fraction: f64) -> Self {
        self.then_other_rows(|analyzer, input| {
            if input.is_streaming() {
                return Err(Error::Streaming("Sampling is not supported on streaming DataFrames/Datasets".to_owned()));
            }
            let random = Expr::call("rand", Vec::new());
            let chosen = Expr::call("<", vec![random, Expr::Literal(ScalarValue::Float64(Some(fraction)))]);
            analyzer.filter(input, &chosen)
        })
    }

    // ---- groups

    /// Groups by these columns, for an aggregation.
    pub fn group_by(&self, columns: impl IntoIterator<Item = impl Into<Column>>) -> GroupedData {
        let keys: Vec<Column> = columns.into_iter().map(Into::into).collect();
        GroupedData { frame: self.clone(), keys, sets: Sets::Plain }
    }

    /// Groups by these columns, and adds subtotals: `GROUP BY ROLLUP`.
    pub fn rollup(&self, columns: impl IntoIterator<Item = impl Into<Column>>) -> GroupedData {
        GroupedData { sets: Sets::Rollup, ..self.group_by(columns) }
    }

    /// Groups by these columns, and adds the totals of all combinations: `GROUP BY CUBE`.
    pub fn cube(&self, columns: impl IntoIterator<Item = impl Into<Column>>) -> GroupedData {
        GroupedData { sets: Sets::Cube, ..self.group_by(columns) }
    }

    /// Groups by each of these sets of columns: `GROUP BY GROUPING SETS`.
    pub fn grouping_sets<C: Into<Column>>(&self, sets: impl IntoIterator<Item = Vec<C>>) -> GroupedData {
        let mut keys: Vec<Column> = Vec::new();
        let mut numbers = Vec::new();
        for set in sets {
            let mut numbered = Vec::new();
            for column in set {
                let column: Column = column.into();
                let same = |own: &Column| matches!((&own.expr, &column.expr), (Ok(own), Ok(other)) if own == other);
                numbered.push(keys.iter().position(same).unwrap_or_else(|| {
                    keys.push(column.clone());
                    keys.len() - 1
                }));
            }
            numbers.push(numbered);
        }
        GroupedData { frame: self.clone(), keys, sets: Sets::Given(numbers) }
    }

    /// Aggregates all rows.
    pub fn agg(&self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        self.group_by(Vec::<Column>::new()).agg(columns)
    }

    // ---- several frames

    /// Joins with another frame: `how` is `inner`, `left`, `right`, `full`, `semi`, `anti` or `cross`, or another of Spark's names.
    pub fn join(&self, other: &DataFrame, on: impl Into<Column>, how: &str) -> Self {
        let on = on.into();
        self.with(other, |analyzer, left, right| analyzer.join(left, right, JoinKind::parse(how)?, Some(&on.parsed()?)))
    }

    /// Joins with another frame by columns that both have: they are once in the result.
    pub fn join_using(&self, other: &DataFrame, columns: impl IntoIterator<Item = impl Into<String>>, how: &str) -> Self {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        self.with(other, |analyzer, left, right| analyzer.join_using(left, right, JoinKind::parse(how)?, &columns))
    }

    /// Every row with every row of another frame.
    pub fn cross_join(&self, other: &DataFrame) -> Self {
        self.with(other, |analyzer, left, right| analyzer.join(left, right, JoinKind::Cross, None))
    }

    /// The rows of both frames, columns by position.
    pub fn union(&self, other: &DataFrame) -> Self {
        self.with(other, |analyzer, left, right| analyzer.union(left, right))
    }

    /// The rows of both frames, columns by name; with `allow_missing`, those that one lacks are null.
    pub fn union_by_name(&self, other: &DataFrame, allow_missing: bool) -> Self {
        self.with(other, |analyzer, left, right| analyzer.union_by_name(left, right, allow_missing))
    }

    /// The different rows that both frames have.
    pub fn intersect(&self, other: &DataFrame) -> Self {
        self.with(other, |analyzer, left, right| analyzer.intersect_or_except(left, right, false))
    }

    /// The different rows that another frame does not have.
    pub fn except(&self, other: &DataFrame) -> Self {
        self.with(other, |analyzer, left, right| analyzer.intersect_or_except(left, right, true))
    }

    // ---- names

    /// Gives the frame a name that SQL knows in this session.
    ///
    /// # Errors
    /// As [`schema`](Self::schema).
    pub fn create_or_replace_temp_view(&self, name: &str) -> Result<()> {
        self.session.catalog().register(name, self.relation()?);
        Ok(())
    }

    // ---- results

    /// All rows of a batch. The columns are named as in [`schema`](Self::schema).
    ///
    /// # Errors
    /// The first error of the calls that made the frame, an error of the computation, or that the frame is a stream: write it with
    /// [`write_stream`](Self::write_stream).
    pub fn collect(&self) -> Result<Vec<RecordBatch>> {
        let relation = self.batch_relation("collect()")?;
        let schema = user_schema(&relation.columns);
        let ordered = relation.clone().keep(relation.columns)?;
        let context = self.session.batch().clone();
        let rows = batch::block_on(batch::collect(context, ordered.plan, now_ms()))?;
        batch::relabel(rows, &schema)
    }

    /// How many rows a batch has.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub fn count(&self) -> Result<usize> {
        self.batch_relation("count()")?;
        let counted = self.agg([crate::functions::count_all()]).collect()?;
        let count = counted.iter().find_map(|batch| {
            let column = batch.column(0).as_any().downcast_ref::<arrow::array::Int64Array>()?;
            column.iter().flatten().next()
        });
        Ok(count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0))
    }

    /// The first rows of a batch as a table of text, as Spark's `show` draws it. `truncate` cuts long cells to so many characters.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub fn show_string(&self, rows: usize, truncate: Option<usize>) -> Result<String> {
        self.batch_relation("show()")?;
        let batches = self.limit(rows.saturating_add(1)).collect()?;
        let settings = self.session.context().settings;
        let cell = |array: &arrow::array::ArrayRef, row: usize| {
            format_value(array.as_ref(), row, &settings).unwrap_or_else(|| "NULL".to_owned())
        };
        Ok(Table { schema: self.schema()?, batches: &batches, rows, truncate }.draw(&cell))
    }

    /// Prints the first 20 rows of a batch.
    ///
    /// # Errors
    /// As [`collect`](Self::collect), and when the standard output is closed.
    pub fn show(&self) -> Result<()> {
        crate::show::print(&format!("{}\n", self.show_string(20, Some(20))?))
    }

    /// What will run: for a stream the actors, edges and state; for a batch the plan.
    ///
    /// # Errors
    /// As [`schema`](Self::schema), and when the streaming rules refuse the query.
    pub fn explain_text(&self) -> Result<String> {
        let relation = self.relation()?;
        if !relation.is_streaming() {
            return Ok(batch::prepare(relation.plan, now_ms())?.display_indent().to_string());
        }
        let mode = [OutputMode::Append, OutputMode::Update, OutputMode::Complete]
            .into_iter()
            .find(|mode| rules::check(&relation, *mode).is_ok())
            .unwrap_or_default();
        self.write_stream().output_mode(mode).noop().describe()
    }

    /// Prints [`explain_text`](Self::explain_text).
    ///
    /// # Errors
    /// As [`explain_text`](Self::explain_text), and when the standard output is closed.
    pub fn explain(&self) -> Result<()> {
        crate::show::print(&format!("{}\n", self.explain_text()?))
    }

    /// Writes a batch.
    pub fn write(&self) -> DataFrameWriter {
        DataFrameWriter::new(self.clone())
    }

    /// Writes a stream.
    pub fn write_stream(&self) -> DataStreamWriter {
        DataStreamWriter::new(self.clone())
    }

    /// The relation of a batch; `what` can't be done with a stream.
    fn batch_relation(&self, what: &str) -> Result<Relation> {
        let relation = self.relation()?;
        if relation.is_streaming() {
            let instead = match what {
                "count()" => "use group_by(..).count(), or agg([count_all()])",
                "show()" => "use write_stream().format(\"console\")",
                _ => "use write_stream()",
            };
            let message = format!(
                "Queries with streaming sources must be executed with writeStream.start(): {what} needs all rows at once; {instead}."
            );
            return Err(Error::Streaming(message));
        }
        Ok(relation)
    }
}

impl std::fmt::Debug for DataFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.relation {
            Ok(relation) => {
                let columns =
                    relation.columns.iter().map(|column| format!("{}: {}", column.name, types::name(&column.data_type)));
                write!(f, "DataFrame[{}]", columns.collect::<Vec<_>>().join(", "))
            }
            Err(error) => write!(f, "DataFrame[error: {error}]"),
        }
    }
}

/// How groups are made of the keys.
#[derive(Debug, Clone)]
enum Sets {
    Plain,
    Rollup,
    Cube,
    Given(Vec<Vec<usize>>),
}

/// Rows in groups, to be aggregated.
#[derive(Debug, Clone)]
#[must_use]
pub struct GroupedData {
    frame: DataFrame,
    keys: Vec<Column>,
    sets: Sets,
}

impl GroupedData {
    /// The keys, and these aggregates.
    pub fn agg(&self, columns: impl IntoIterator<Item = impl Into<Column>>) -> DataFrame {
        let columns: Vec<Column> = columns.into_iter().map(Into::into).collect();
        self.frame.then(|analyzer, input| {
            let keys = parsed(&self.keys)?;
            let items = keys.iter().cloned().chain(parsed(&columns)?).collect();
            let single: Vec<Vec<usize>> = (0..keys.len()).map(|key| vec![key]).collect();
            let sets = match &self.sets {
                Sets::Plain => None,
                Sets::Rollup => Some(rollup(&single)),
                Sets::Cube => Some(cube(&single)?),
                Sets::Given(sets) => Some(sets.clone()),
            };
            let keys = keys.iter().map(|key| key.unaliased().clone()).collect();
            analyzer.select(input, Select { grouping: Grouping::Keys { keys, sets }, ..Select::items(items) })
        })
    }

    /// The keys, and how many rows each group has.
    pub fn count(&self) -> DataFrame {
        self.agg([crate::functions::count_all().alias("count")])
    }

    fn each(&self, function: &str, columns: impl IntoIterator<Item = impl Into<Column>>) -> DataFrame {
        self.agg(columns.into_iter().map(|column| Column::call(function, [column.into()])))
    }

    /// The sums of these columns.
    pub fn sum(&self, columns: impl IntoIterator<Item = impl Into<Column>>) -> DataFrame {
        self.each("sum", columns)
    }

    /// The means of these columns.
    pub fn avg(&self, columns: impl IntoIterator<Item = impl Into<Column>>) -> DataFrame {
        self.each("avg", columns)
    }

    /// The smallest values of these columns.
    pub fn min(&self, columns: impl IntoIterator<Item = impl Into<Column>>) -> DataFrame {
        self.each("min", columns)
    }

    /// The greatest values of these columns.
    pub fn max(&self, columns: impl IntoIterator<Item = impl Into<Column>>) -> DataFrame {
        self.each("max", columns)
    }
}

fn parsed(columns: &[Column]) -> Result<Vec<Expr>> {
    columns.iter().map(Column::parsed).collect()
}

/// The schema under the names that the user sees.
pub(crate) fn user_schema(columns: &[Attribute]) -> SchemaRef {
    let fields = columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

pub(crate) fn now_ms() -> i64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
