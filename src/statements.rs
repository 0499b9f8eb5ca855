//! Statements: what `sql()` runs besides queries.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, Statement};
use tidegate_connectors::{Replaces, TableFormat};
use tidegate_functions::types;

use crate::analysis::{Analyzer, Attribute, select_item, table_not_found};
use crate::column::Column;
use crate::dataframe::DataFrame;
use crate::error::{Error, Result};
use crate::expr::Expr;
use crate::functions::col;
use crate::save_mode::PartitionOverwriteMode;
use crate::session::Session;
use crate::sql::{path, type_of};
use crate::tables::{By, ManagedTable, NewTable, already_exists};

/// Runs a statement that was parsed from `text`; a query is only resolved.
pub(crate) fn run(session: &Session, statement: Statement, text: &str) -> Result<DataFrame> {
    let analyzer = Analyzer::of_text(session.context(), text);
    let query = |query: &ast::Query| Ok::<_, Error>(session.frame(analyzer.query(query)?));
    match statement {
        Statement::Query(own) => return query(&own),
        Statement::CreateView(view) => create_view(session, &view, &analyzer)?,
        Statement::CreateTable(table) => create_table(session, &table, query)?,
        Statement::Insert(insert) => insert_into(session, &insert, query)?,
        Statement::Drop { object_type: ast::ObjectType::View, names, if_exists, .. } => drop_views(session, &names, if_exists)?,
        Statement::Drop { object_type: ast::ObjectType::Table, names, if_exists, .. } => drop_tables(session, &names, if_exists)?,
        Statement::ShowTables { .. } => return show_tables(session),
        Statement::ShowVariable { variable } if variable.first().is_some_and(|word| is_word(word, "partitions")) => {
            let name: Vec<String> = variable.into_iter().skip(1).map(|part| part.value).collect();
            return show_partitions(session, &name);
        }
        Statement::ExplainTable { table_name, hive_format, .. } => {
            return describe(session, &path(&table_name), hive_format.is_some());
        }
        Statement::Truncate(truncate) => {
            for name in &truncate.table_names {
                truncate_table(session, &path(&name.name), truncate.partitions.as_deref())?;
            }
        }
        Statement::Explain { statement, .. } => {
            let Statement::Query(own) = *statement else {
                return Err(Error::unsupported("EXPLAIN of a statement that is no query"));
            };
            let explained = query(&own)?.explain_text()?;
            return rows_of_text(session, &["plan"], &[vec![explained]]);
        }
        Statement::Set(ast::Set::SingleAssignment { variable, values, .. }) => {
            let (key, value) = (variable.to_string(), values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
            let value = value.trim_matches('\'').to_owned();
            session.set_config(key.clone(), &value);
            return rows_of_text(session, &["key", "value"], &[vec![key, value]]);
        }
        other => return Err(Error::unsupported(format!("the statement is not supported: {other}"))),
    }
    rows_of_text(session, &[], &[])
}

fn is_word(ident: &ast::Ident, word: &str) -> bool {
    ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case(word)
}

fn create_view(session: &Session, view: &ast::CreateView, analyzer: &Analyzer<'_>) -> Result<()> {
    if !view.temporary {
        return Err(Error::unsupported("only temporary views: CREATE TEMP VIEW"));
    }
    let name = path(&view.name).pop().unwrap_or_default();
    if !view.or_replace && session.catalog().view(std::slice::from_ref(&name)).is_some() {
        let message = format!(
            "Cannot create the temporary view `{name}` because it already exists. Choose a different name, or use CREATE OR REPLACE."
        );
        return Err(Error::analysis("TEMP_TABLE_OR_VIEW_ALREADY_EXISTS", message));
    }
    session.catalog().register(&name, analyzer.query(&view.query)?);
    Ok(())
}

fn drop_views(session: &Session, names: &[ast::ObjectName], if_exists: bool) -> Result<()> {
    for name in names {
        let parts = path(name);
        let dropped = parts.last().is_some_and(|name| session.catalog().drop_view(name));
        if !dropped && !if_exists {
            return Err(table_not_found(&parts));
        }
    }
    Ok(())
}

/// `CREATE TABLE [IF NOT EXISTS] name (columns) [USING format] [PARTITIONED BY (columns)] [LOCATION place] [AS query]`.
fn create_table(session: &Session, table: &ast::CreateTable, query: impl Fn(&ast::Query) -> Result<DataFrame>) -> Result<()> {
    let name = path(&table.name);
    let unsupported = [
        (table.or_replace, "CREATE OR REPLACE TABLE"),
        (table.external, "CREATE EXTERNAL TABLE: write CREATE TABLE … LOCATION"),
        (table.temporary, "CREATE TEMPORARY TABLE: use CREATE TEMP VIEW"),
        (table.like.is_some() || table.clone.is_some(), "CREATE TABLE … LIKE"),
        (table.partition_by.is_some(), "PARTITION BY: write PARTITIONED BY"),
    ];
    if let Some((_, what)) = unsupported.into_iter().find(|(is, _)| *is) {
        return Err(Error::unsupported(what));
    }
    if ManagedTable::open(session.warehouse(), &name)?.is_some() {
        return if table.if_not_exists { Ok(()) } else { Err(already_exists(&name.join("`.`"))) };
    }
    let formats = table.hive_formats.as_ref();
    let location = formats.and_then(|formats| formats.location.as_deref()).or(table.location.as_deref()).map(str::to_owned);
    let storage = formats.and_then(|formats| formats.storage.as_ref());
    let format = match storage {
        None => TableFormat::default(),
        Some(ast::HiveIOFormat::Using { format }) => table_format(&format.value)?,
        Some(_) => return Err(Error::unsupported("STORED AS: write USING parquet")),
    };
    let column = |column: &ast::ColumnDef| Ok((column.name.value.clone(), type_of(&column.data_type)?));
    let mut columns = table.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
    let partitions: &[ast::ColumnDef] = match &table.hive_distribution {
        ast::HiveDistributionStyle::PARTITIONED { columns } => columns,
        ast::HiveDistributionStyle::NONE => &[],
        _ => return Err(Error::unsupported("SKEWED BY and CLUSTERED BY")),
    };
    let is_named = |column: &&ast::ColumnDef| column.data_type == ast::DataType::Unspecified;
    if partitions.iter().any(|column| !is_named(&column)) {
        // Hive's way: the columns come to those before.
        if table.query.is_some() || partitions.iter().any(|column| is_named(&column)) {
            let message = "PARTITIONED BY has names of columns, or columns with their types, and of a query's columns names only";
            return Err(Error::analysis("PARSE_SYNTAX_ERROR", message.to_owned()));
        }
        columns.extend(partitions.iter().map(column).collect::<Result<Vec<_>>>()?);
    }
    let partition_by: Vec<String> = partitions.iter().map(|column| column.name.value.clone()).collect();
    let Some(own) = &table.query else {
        let new = NewTable { columns, format, partition_by, location }.checked()?;
        return ManagedTable::create(session.warehouse(), &name, &new).map(drop);
    };
    if !columns.is_empty() {
        return Err(Error::unsupported("CREATE TABLE … AS SELECT with a list of columns: the query names them"));
    }
    let rows = query(own)?;
    if let Some(location) = &location
        && tidegate_connectors::Table::open(location)?.is_some()
    {
        let message = format!("CREATE-TABLE-AS-SELECT cannot create table with location to a non-empty directory {location}.");
        return Err(Error::analysis("CTAS_LOCATION_NOT_EMPTY", message));
    }
    let new = NewTable { location, ..NewTable::of(&rows, format, &partition_by)? };
    create_with_rows(session, &name, &new, &rows)
}

/// Creates a table that has these rows.
pub(crate) fn create_with_rows(session: &Session, name: &[String], new: &NewTable, rows: &DataFrame) -> Result<()> {
    // The rows first: a query that fails leaves no table behind.
    let batches = new.arranged(rows)?.collect()?;
    fill(&ManagedTable::create(session.warehouse(), name, new)?, batches)
}

fn fill(table: &ManagedTable, batches: Vec<RecordBatch>) -> Result<()> {
    Ok(table.sink(false).write_batch(relabelled(batches, table)?)?)
}

/// Puts another table with these rows, which may be computed from the old one's, in the place of a table.
pub(crate) fn replace_with_rows(old: &ManagedTable, new: &NewTable, rows: &DataFrame) -> Result<()> {
    // What comes to it while the rows are computed is not to be lost.
    let version = old.version()?;
    let batches = new.arranged(rows)?.collect()?;
    old.replace(new, version, batches)
}

pub(crate) fn table_format(name: &str) -> Result<TableFormat> {
    TableFormat::parse(name).ok_or_else(|| {
        let known = TableFormat::ALL.map(TableFormat::name).join(", ");
        let message = format!("Failed to find the data source: {name}. Files of tables are one of {known}.");
        Error::analysis("DATA_SOURCE_NOT_FOUND", message)
    })
}

/// `INSERT INTO | OVERWRITE [TABLE] name [PARTITION (column = value, column)] [(columns)] query`.
fn insert_into(session: &Session, insert: &ast::Insert, query: impl Fn(&ast::Query) -> Result<DataFrame>) -> Result<()> {
    let ast::TableObject::TableName(name) = &insert.table else { return Err(Error::unsupported("INSERT into what is no table")) };
    let name = path(name);
    if insert.on.is_some() || insert.returning.is_some() {
        return Err(Error::unsupported("INSERT with ON or RETURNING"));
    }
    let source = insert.source.as_ref().ok_or_else(|| Error::unsupported("INSERT without rows"))?;
    let mut rows = query(source)?;
    let columns: Vec<String> = insert.columns.iter().filter_map(|column| path(column).pop()).collect();
    let mut by = By::Position;
    if !columns.is_empty() {
        (rows, by) = (rows.to_df(columns), By::Name);
    }
    let Some(partition) = &insert.partitioned else {
        let write = if insert.overwrite { Write::Overwrite { mode: None } } else { Write::Append };
        return write_rows(session, &name, &rows, by, write);
    };
    let table = table_of_rows(session, &name)?;
    let values = partition_values(session, &table, partition)?;
    let is_given = |column: &str| values.iter().any(|(given, _)| given == column);
    if let Some(twice) = insert
        .columns
        .iter()
        .filter_map(|column| path(column).pop())
        .find(|column| values.iter().any(|(given, _)| given.eq_ignore_ascii_case(column)))
    {
        let message = format!("The column `{twice}` has a value in PARTITION and is in the list of columns.");
        return Err(Error::analysis("STATIC_PARTITION_COLUMN_IN_INSERT_COLUMN_LIST", message));
    }
    if by == By::Position {
        let rest = table.schema().fields().iter().map(|field| field.name()).filter(|name| !is_given(name)).cloned();
        let rest: Vec<String> = rest.collect();
        table.check_arity(&rest, &rows)?;
        rows = rows.to_df(rest);
    }
    for (column, value) in &values {
        rows = rows.with_column(column, literal(value)?);
    }
    let replaces = match insert.overwrite {
        true => overwritten(session, &table, &values, None)?,
        false => Replaces::All,
    };
    write_to(&table, &rows, By::Name, insert.overwrite, replaces)
}

/// The columns of a `PARTITION` clause that have a value, and the values: constants, of the columns' types.
fn partition_values(session: &Session, table: &ManagedTable, partition: &[ast::Expr]) -> Result<Vec<(String, ArrayRef)>> {
    let mut values = Vec::new();
    let mut named = Vec::new();
    for part in partition {
        let (column, value) = match part {
            ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Eq, right } => (left.as_ref(), Some(right)),
            column => (column, None),
        };
        let ast::Expr::Identifier(column) = column else {
            let message = format!("PARTITION has columns and their values: {part}");
            return Err(Error::analysis("PARSE_SYNTAX_ERROR", message));
        };
        let own = table.partition_by().iter().find(|name| name.eq_ignore_ascii_case(&column.value));
        let Some(own) = own.filter(|own| !named.contains(own)) else {
            let message = format!(
                "`{}` is not a partition column of the table, or is named twice; these are: {}",
                column.value,
                table.partition_by().join(", ")
            );
            return Err(Error::analysis("NON_PARTITION_COLUMN", message));
        };
        named.push(own);
        if let (Some(value), Some((_, field))) = (value, table.schema().fields().find(own)) {
            let value = Column::of(select_item(&ast::SelectItem::UnnamedExpr(value.as_ref().clone()))?);
            // Computed once: the time, say, must not be another for the rows than for those that they replace.
            let one = rows_of_text(session, &[""], &[vec![String::new()]])?;
            let row = one.select([value.cast(&types::name(field.data_type())).alias(own)]).collect()?;
            let row = row.into_iter().find(|batch| batch.num_rows() > 0);
            let row = row.ok_or_else(|| Error::unsupported("a value of a partition that is none"))?;
            values.push((own.clone(), Arc::clone(row.column(0))));
        }
    }
    Ok(values)
}

/// A value as an expression.
fn literal(value: &ArrayRef) -> Result<Column> {
    Ok(Column::of(Expr::Literal(ScalarValue::try_from_array(value, 0)?)))
}

/// The rows with these values, which must be of the first partition columns.
fn within(table: &ManagedTable, values: &[(String, ArrayRef)]) -> Result<Replaces> {
    let value = |name: &String| values.iter().find(|(column, _)| column == name).cloned();
    let leading: Vec<(String, ArrayRef)> = table.partition_by().iter().map_while(value).collect();
    if leading.len() < values.len() {
        return Err(Error::unsupported("values of partition columns that are not the first ones"));
    }
    let leading = leading.into_iter().map(|(name, value)| (name, value, true));
    Ok(Replaces::Within(RecordBatch::try_from_iter_with_nullable(leading)?))
}

/// Which rows an `INSERT OVERWRITE` of rows with these partition values takes the place of.
fn overwritten(session: &Session, table: &ManagedTable, values: &[(String, ArrayRef)], mode: Option<&str>) -> Result<Replaces> {
    if table.partition_by().is_empty() {
        return Ok(Replaces::All);
    }
    match PartitionOverwriteMode::of(session, mode)? {
        PartitionOverwriteMode::Dynamic if values.len() < table.partition_by().len() => Ok(Replaces::Partitions),
        _ if values.is_empty() => Ok(Replaces::All),
        PartitionOverwriteMode::Static | PartitionOverwriteMode::Dynamic => within(table, values),
    }
}

/// The table that rows are written to.
fn table_of_rows(session: &Session, name: &[String]) -> Result<ManagedTable> {
    if session.catalog().view(name).is_some() {
        let message = format!("`{}` is a temporary view: rows are inserted into tables", name.join("`.`"));
        return Err(Error::analysis("EXPECT_TABLE_NOT_VIEW.NO_ALTERNATIVE", message));
    }
    ManagedTable::open(session.warehouse(), name)?.ok_or_else(|| table_not_found(name))
}

/// What becomes of the rows that a table has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Write<'a> {
    /// They stay.
    Append,
    /// They go: all, or those of the partitions of the new rows, as the mode says; if it is not given, the session's.
    Overwrite { mode: Option<&'a str> },
    /// All of them go.
    Replace,
}

/// Writes a batch to a table that is there.
pub(crate) fn write_rows(session: &Session, name: &[String], rows: &DataFrame, by: By, write: Write<'_>) -> Result<()> {
    let table = table_of_rows(session, name)?;
    let replaces = match write {
        Write::Overwrite { mode } => overwritten(session, &table, &[], mode)?,
        Write::Append | Write::Replace => Replaces::All,
    };
    write_to(&table, rows, by, !matches!(write, Write::Append), replaces)
}

fn write_to(table: &ManagedTable, rows: &DataFrame, by: By, overwrite: bool, replaces: Replaces) -> Result<()> {
    let rows = table.conform(rows, by)?;
    // Rows that are computed from the table's own take the place of these, not of what comes meanwhile.
    let sink = if overwrite && table.is_read_by(&rows)? { table.replacing_sink()? } else { table.sink(overwrite) };
    Ok(sink.replacing(replaces).write_batch(relabelled(rows.collect()?, table)?)?)
}

/// The rows with the table's columns.
pub(crate) fn relabelled(batches: Vec<RecordBatch>, table: &ManagedTable) -> Result<Vec<RecordBatch>> {
    crate::batch::relabel(batches, table.schema())
}

fn drop_tables(session: &Session, names: &[ast::ObjectName], if_exists: bool) -> Result<()> {
    for name in names {
        let parts = path(name);
        if session.catalog().view(&parts).is_some() {
            let message = format!("`{}` is a temporary view: use DROP VIEW", parts.join("`.`"));
            return Err(Error::analysis("EXPECT_TABLE_NOT_VIEW.USE_ALTER_VIEW", message));
        }
        match ManagedTable::open(session.warehouse(), &parts)? {
            Some(table) => table.remove()?,
            None if if_exists => {}
            None => return Err(table_not_found(&parts)),
        }
    }
    Ok(())
}

fn show_tables(session: &Session) -> Result<DataFrame> {
    let row = |namespace: &str, name: String, temporary: bool| vec![namespace.to_owned(), name, temporary.to_string()];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for name in crate::tables::names(session.warehouse())? {
        rows.push(row("default", name, false));
    }
    rows.extend(session.catalog().names().into_iter().map(|name| row("", name, true)));
    let frame = rows_of_text(session, &["namespace", "tableName", "isTemporary"], &rows)?;
    Ok(frame.with_column("isTemporary", col("isTemporary").cast("BOOLEAN")))
}

/// `TRUNCATE TABLE table [PARTITION (column = value)]`.
fn truncate_table(session: &Session, name: &[String], partition: Option<&[ast::Expr]>) -> Result<()> {
    let table = table_of_rows(session, name)?;
    let Some(partition) = partition else { return Ok(table.sink(true).write_batch([])?) };
    let values = partition_values(session, &table, partition)?;
    if values.len() < partition.len() {
        return Err(Error::analysis(
            "PARSE_SYNTAX_ERROR",
            "PARTITION of TRUNCATE has a value for each of its columns".to_owned(),
        ));
    }
    Ok(table.sink(true).replacing(within(&table, &values)?).write_batch([])?)
}

/// `SHOW PARTITIONS table`.
fn show_partitions(session: &Session, name: &[String]) -> Result<DataFrame> {
    let table = ManagedTable::open(session.warehouse(), name)?.ok_or_else(|| table_not_found(name))?;
    if table.partition_by().is_empty() {
        let message = format!("SHOW PARTITIONS is not allowed on a table that is not partitioned: `{}`.", name.join("`.`"));
        return Err(Error::analysis("INVALID_PARTITION_OPERATION.PARTITION_SCHEMA_IS_EMPTY", message));
    }
    let rows: Vec<Vec<String>> = table.partitions()?.into_iter().map(|partition| vec![partition]).collect();
    rows_of_text(session, &["partition"], &rows)
}

/// `DESCRIBE [EXTENDED] table`.
fn describe(session: &Session, name: &[String], extended: bool) -> Result<DataFrame> {
    let frame = session.table(&name.join("."))?;
    let row = |name: &str, value: &str| vec![name.to_owned(), value.to_owned(), String::new()];
    let columns = frame.relation()?.columns;
    let column = |column: &Attribute| row(&column.name, &types::name(&column.data_type));
    let mut rows: Vec<Vec<String>> = columns.iter().map(column).collect();
    let managed = ManagedTable::open(session.warehouse(), name)?.filter(|_| session.catalog().view(name).is_none());
    if let Some(table) = managed {
        if !table.partition_by().is_empty() {
            rows.push(row("# Partition Information", ""));
            rows.push(vec!["# col_name".to_owned(), "data_type".to_owned(), "comment".to_owned()]);
            let partitions = columns.iter().filter(|own| table.partition_by().contains(&own.name));
            rows.extend(partitions.map(column));
        }
        if extended {
            rows.push(row("", ""));
            rows.push(row("# Detailed Table Information", ""));
            rows.push(row("Provider", table.format().name()));
            rows.push(row("Location", &table.location()));
        }
    }
    rows_of_text(session, &["col_name", "data_type", "comment"], &rows)
}

/// Rows of text, for statements that answer about the session itself.
fn rows_of_text(session: &Session, names: &[&str], rows: &[Vec<String>]) -> Result<DataFrame> {
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let column = |index: usize| {
        let values = rows.iter().map(|row| row.get(index).map(String::as_str));
        Arc::new(StringArray::from_iter(values)) as ArrayRef
    };
    let columns = (0..names.len()).map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    session.create_data_frame(vec![RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?])
}
