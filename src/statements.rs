//! Statements: what `sql()` runs besides queries.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::sql::sqlparser::ast::{self, Statement};
use tidegate_connectors::TableFormat;
use tidegate_functions::types;

use crate::analysis::{Analyzer, Attribute, table_not_found};
use crate::dataframe::DataFrame;
use crate::error::{Error, Result};
use crate::functions::col;
use crate::session::Session;
use crate::sql::{path, type_of};
use crate::tables::{By, ManagedTable, already_exists};

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
        Statement::ExplainTable { table_name, .. } => return describe(session, &path(&table_name)),
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

/// `CREATE TABLE [IF NOT EXISTS] name (columns) [USING format] [LOCATION place] [AS query]`.
fn create_table(session: &Session, table: &ast::CreateTable, query: impl Fn(&ast::Query) -> Result<DataFrame>) -> Result<()> {
    let name = path(&table.name);
    let unsupported = [
        (table.or_replace, "CREATE OR REPLACE TABLE"),
        (table.external, "CREATE EXTERNAL TABLE: write CREATE TABLE … LOCATION"),
        (table.temporary, "CREATE TEMPORARY TABLE: use CREATE TEMP VIEW"),
        (table.like.is_some() || table.clone.is_some(), "CREATE TABLE … LIKE"),
        (table.partition_by.is_some() || table.hive_distribution != ast::HiveDistributionStyle::NONE, "PARTITIONED BY"),
    ];
    if let Some((_, what)) = unsupported.into_iter().find(|(is, _)| *is) {
        return Err(Error::unsupported(what));
    }
    if ManagedTable::open(session.warehouse(), &name)?.is_some() {
        return if table.if_not_exists { Ok(()) } else { Err(already_exists(&name.join("`.`"))) };
    }
    let formats = table.hive_formats.as_ref();
    let location = formats.and_then(|formats| formats.location.as_deref()).or(table.location.as_deref());
    let storage = formats.and_then(|formats| formats.storage.as_ref());
    let format = match storage {
        None => TableFormat::default(),
        Some(ast::HiveIOFormat::Using { format }) => table_format(&format.value)?,
        Some(_) => return Err(Error::unsupported("STORED AS: write USING parquet")),
    };
    let rows = table.query.as_ref().map(|own| query(own)).transpose()?;
    let columns = match &rows {
        Some(_) if !table.columns.is_empty() => {
            return Err(Error::unsupported("CREATE TABLE … AS SELECT with a list of columns: the query names them"));
        }
        Some(rows) => columns_of(rows)?,
        None => {
            let column = |column: &ast::ColumnDef| Ok((column.name.value.clone(), type_of(&column.data_type)?));
            table.columns.iter().map(column).collect::<Result<Vec<_>>>()?
        }
    };
    if let (Some(location), Some(_)) = (location, &rows)
        && tidegate_connectors::Table::open(location)?.is_some()
    {
        let message = format!("CREATE-TABLE-AS-SELECT cannot create table with location to a non-empty directory {location}.");
        return Err(Error::analysis("CTAS_LOCATION_NOT_EMPTY", message));
    }
    // The rows first: a query that fails leaves no table behind.
    let batches = rows.map(|rows| rows.collect()).transpose()?;
    let created = ManagedTable::create(session.warehouse(), &name, &columns, format, location)?;
    match batches {
        Some(batches) => Ok(created.sink(false).write_batch(relabelled(batches, &created)?)?),
        None => Ok(()),
    }
}

pub(crate) fn table_format(name: &str) -> Result<TableFormat> {
    TableFormat::parse(name).ok_or_else(|| {
        let message = format!("Failed to find the data source: {name}. Tables are of parquet or json files.");
        Error::analysis("DATA_SOURCE_NOT_FOUND", message)
    })
}

pub(crate) fn columns_of(frame: &DataFrame) -> Result<Vec<(String, DataType)>> {
    Ok(frame.relation()?.columns.into_iter().map(|column| (column.name, column.data_type)).collect())
}

/// `INSERT INTO | OVERWRITE [TABLE] name [(columns)] query`.
fn insert_into(session: &Session, insert: &ast::Insert, query: impl Fn(&ast::Query) -> Result<DataFrame>) -> Result<()> {
    let ast::TableObject::TableName(name) = &insert.table else { return Err(Error::unsupported("INSERT into what is no table")) };
    let name = path(name);
    if insert.partitioned.is_some() || insert.on.is_some() || insert.returning.is_some() {
        return Err(Error::unsupported("INSERT with PARTITION, ON or RETURNING"));
    }
    let source = insert.source.as_ref().ok_or_else(|| Error::unsupported("INSERT without rows"))?;
    let mut rows = query(source)?;
    let mut by = By::Position;
    if !insert.columns.is_empty() {
        let names: Vec<String> = insert.columns.iter().filter_map(|column| path(column).pop()).collect();
        (rows, by) = (rows.to_df(names), By::Name);
    }
    write_rows(session, &name, &rows, by, insert.overwrite)
}

/// Writes a batch to a table that is there.
pub(crate) fn write_rows(session: &Session, name: &[String], rows: &DataFrame, by: By, overwrite: bool) -> Result<()> {
    if session.catalog().view(name).is_some() {
        let message = format!("`{}` is a temporary view: rows are inserted into tables", name.join("`.`"));
        return Err(Error::analysis("EXPECT_TABLE_NOT_VIEW.NO_ALTERNATIVE", message));
    }
    let table = ManagedTable::open(session.warehouse(), name)?.ok_or_else(|| table_not_found(name))?;
    let rows = table.conform(rows, by)?;
    // Rows that are computed from the table's own take the place of these, not of what comes meanwhile.
    let sink = if overwrite && table.is_read_by(&rows)? { table.replacing_sink()? } else { table.sink(overwrite) };
    Ok(sink.write_batch(relabelled(rows.collect()?, &table)?)?)
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

fn describe(session: &Session, name: &[String]) -> Result<DataFrame> {
    let frame = session.table(&name.join("."))?;
    let row = |column: Attribute| vec![column.name, types::name(&column.data_type), String::new()];
    let mut rows: Vec<Vec<String>> = frame.relation()?.columns.into_iter().map(row).collect();
    let managed = ManagedTable::open(session.warehouse(), name)?.filter(|_| session.catalog().view(name).is_none());
    if let Some(table) = managed {
        let detail = |name: &str, value: String| vec![name.to_owned(), value, String::new()];
        rows.push(detail("", String::new()));
        rows.push(detail("# Detailed Table Information", String::new()));
        rows.push(detail("Provider", table.format().name().to_owned()));
        rows.push(detail("Location", table.location()));
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
