//! Managed tables: directories of the session's warehouse.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;
use tidegate_connectors::{KeepPartitions, Table, TableDefinition, TableFormat, TableSink, TableSource, table_names};
use tidegate_functions::types;
use tidegate_runtime::SourceSupplier;

use crate::analysis::Relation;
use crate::analysis::stream::StreamFactory;
use crate::catalog::{plain_name, relation_of, stream_relation};
use crate::dataframe::DataFrame;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::source_table::SourceTable;

/// Files that no commit names for so long are not those of a writer that is at work: a week.
const ORPHAN_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The parts of a name as users write it: `` `a`.b ``.
pub(crate) fn parts(name: &str) -> Vec<String> {
    name.split('.').map(|part| part.trim_matches('`').to_owned()).collect()
}

/// A table of the warehouse.
#[derive(Debug, Clone)]
pub(crate) struct ManagedTable {
    name: String,
    table: Table,
    schema: SchemaRef,
}

/// A table that is to be.
#[derive(Debug, Clone)]
pub(crate) struct NewTable {
    pub(crate) columns: Vec<(String, DataType)>,
    pub(crate) format: TableFormat,
    pub(crate) partition_by: Vec<String>,
    /// Where its files are, if not in the warehouse: there may be a table already.
    pub(crate) location: Option<String>,
}

impl NewTable {
    /// A table for the rows of a frame.
    pub(crate) fn of(frame: &DataFrame, format: TableFormat, partition_by: &[String]) -> Result<Self> {
        let columns = frame.relation()?.columns.into_iter().map(|column| (column.name, column.data_type)).collect();
        NewTable { columns, format, partition_by: partition_by.to_vec(), location: None }.checked()
    }

    /// With the partition columns at the end, as Spark has them; refused if there can be no such table.
    pub(crate) fn checked(mut self) -> Result<Self> {
        if self.columns.is_empty() {
            return Ok(self);
        }
        let mut names = HashSet::new();
        if let Some((twice, _)) = self.columns.iter().find(|(name, _)| !names.insert(name.to_lowercase())) {
            let message = format!("The column `{twice}` already exists. Choose another name or rename the existing column.");
            return Err(Error::analysis("COLUMN_ALREADY_EXISTS", message));
        }
        let mut partitions = Vec::new();
        for name in &self.partition_by {
            match self.columns.iter().position(|(column, _)| column.eq_ignore_ascii_case(name)) {
                Some(at) => partitions.push(self.columns.remove(at)),
                None => {
                    let all = self.columns.iter().chain(&partitions).map(|(column, _)| format!("`{column}`"));
                    let columns = all.collect::<Vec<_>>().join(", ");
                    let message =
                        format!("The partition column `{name}` is not among the table's columns {columns}, or is named twice.");
                    return Err(Error::analysis("COLUMN_NOT_DEFINED_IN_TABLE", message));
                }
            }
        }
        self.partition_by = partitions.iter().map(|(column, _)| column.clone()).collect();
        self.columns.extend(partitions);
        if let Some(definition) = self.definition() {
            // What can't be read back is refused now.
            definition.check(&Arc::new(Schema::new(types::parse_schema(&definition.columns)?)))?;
        }
        Ok(self)
    }

    /// `None` if there are no columns: the table is there already.
    fn definition(&self) -> Option<TableDefinition> {
        let column = |(name, data_type): &(String, DataType)| format!("`{}` {}", name.replace('`', "``"), types::name(data_type));
        let columns = self.columns.iter().map(column).collect::<Vec<_>>().join(", ");
        let definition = TableDefinition::new(columns, self.format).partition_by(&self.partition_by);
        (!self.columns.is_empty()).then_some(definition)
    }

    /// The frame's columns in the table's order.
    pub(crate) fn arranged(&self, frame: &DataFrame) -> Result<DataFrame> {
        let given = frame.relation()?.columns;
        let column = |(name, _): &(String, DataType)| {
            let own = given.iter().find(|column| column.name.eq_ignore_ascii_case(name))?;
            Some(crate::column::Column::of(own.exact()).alias(name))
        };
        Ok(frame.select(self.columns.iter().filter_map(column).collect::<Vec<_>>()))
    }
}

/// How a frame's columns find those of the table that they are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Name,
    Position,
}

impl ManagedTable {
    /// The table of this name; `None` if there is none.
    pub(crate) fn open(warehouse: &Path, name: &[String]) -> Result<Option<Self>> {
        let Some(name) = plain_name(name).filter(|name| is_plain(name)) else { return Ok(None) };
        let Some(table) = Table::open(directory(warehouse, name))? else { return Ok(None) };
        let fields = types::parse_schema(&table.definition().columns)?;
        Ok(Some(ManagedTable { name: name.to_lowercase(), table, schema: Arc::new(Schema::new(fields)) }))
    }

    /// Creates a table; with a location, one whose files are there, and which is as it is if there is one already.
    pub(crate) fn create(warehouse: &Path, name: &[String], new: &NewTable) -> Result<Self> {
        let plain = plain_name(name).filter(|name| is_plain(name)).ok_or_else(|| {
            let message = format!(
                "`{}` is not a valid name for tables/schemas. Valid names only contain alphabet characters, numbers and _.",
                name.join("`.`")
            );
            Error::analysis("INVALID_SCHEMA_OR_RELATION_NAME", message)
        })?;
        let directory = directory(warehouse, plain);
        if Table::open(directory.clone())?.is_some() {
            return Err(already_exists(plain));
        }
        let table = match (&new.location, &new.definition()) {
            (Some(location), definition) => Table::link(directory, location, definition.as_ref())?,
            (None, Some(definition)) => Table::create(directory, definition)?,
            (None, None) => return Err(Error::analysis("UNSUPPORTED_FEATURE", "a table without columns")),
        };
        let schema = Arc::new(Schema::new(types::parse_schema(&table.definition().columns)?));
        Ok(ManagedTable { name: plain.to_lowercase(), table, schema })
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn format(&self) -> TableFormat {
        self.table.definition().format
    }

    /// The columns that it is partitioned by, which are its last ones.
    pub(crate) fn partition_by(&self) -> &[String] {
        &self.table.definition().partition_by
    }

    /// Its newest version.
    pub(crate) fn version(&self) -> Result<u64> {
        Ok(self.table.version()?)
    }

    /// Puts another table with these rows, in its columns' order, in its place, if no rows have come to it since a version.
    pub(crate) fn replace(&self, new: &NewTable, version: u64, batches: Vec<RecordBatch>) -> Result<()> {
        let definition = new.definition().ok_or_else(|| Error::analysis("UNSUPPORTED_FEATURE", "a table without columns"))?;
        let schema = Arc::new(Schema::new(types::parse_schema(&definition.columns)?));
        let batches = crate::batch::relabel(batches, &schema)?;
        Ok(TableSink::append(self.table.clone(), schema).write_new_table(&definition, version, batches)?)
    }

    /// Whether a new table would be the same but for the rows.
    pub(crate) fn is_like(&self, new: &NewTable) -> bool {
        new.definition().as_ref() == Some(self.table.definition())
    }

    /// Whether it is partitioned as a writer asks for, if it does.
    pub(crate) fn check_partitions(&self, asked: &[String]) -> Result<()> {
        let same = |(one, other): (&String, &String)| one.eq_ignore_ascii_case(other);
        let own = self.partition_by();
        if asked.is_empty() || asked.len() == own.len() && asked.iter().zip(own).all(same) {
            return Ok(());
        }
        let message = format!(
            "Specified partitioning does not match that of the existing table `{}`: specified {}; it has {}.",
            self.name,
            asked.join(", "),
            own.join(", ")
        );
        Err(Error::analysis("MISMATCHED_TABLE_PARTITIONING", message))
    }

    /// The values of the partition columns that it has rows of, as names of directories, sorted.
    pub(crate) fn partitions(&self) -> Result<Vec<String>> {
        let files = self.table.files()?;
        let directories: BTreeSet<&str> = files.iter().filter_map(|file| Some(file.path.rsplit_once('/')?.0)).collect();
        Ok(directories.into_iter().map(str::to_owned).collect())
    }

    pub(crate) fn location(&self) -> String {
        self.table.place()
    }

    pub(crate) fn remove(self) -> Result<()> {
        Ok(self.table.remove()?)
    }

    /// Small files become files of about this length; how many went.
    pub(crate) fn compact(&self, target_bytes: u64) -> Result<usize> {
        Ok(self.table.compact(&self.schema, target_bytes)?)
    }

    /// Its rows at the newest version.
    pub(crate) fn relation(&self) -> Result<Relation> {
        let table = self.table.clone();
        let source = Arc::new(TableStream { table: self.clone(), options: Options::default() });
        relation_of(&self.name, Arc::new(SourceTable::new(source, move || Ok(table.version()?))))
    }

    /// Its rows as they come.
    pub(crate) fn stream(&self, options: &Options) -> Result<Relation> {
        let stream = TableStream { table: self.clone(), options: options.clone() };
        stream.reader()?;
        stream_relation(Arc::new(stream))
    }

    pub(crate) fn sink(&self, overwrite: bool) -> TableSink {
        let (table, schema) = (self.table.clone(), Arc::clone(&self.schema));
        if overwrite { TableSink::overwrite(table, schema) } else { TableSink::append(table, schema) }
    }

    /// A sink of rows that are computed from those that the table has now.
    pub(crate) fn replacing_sink(&self) -> Result<TableSink> {
        Ok(TableSink::replace(self.table.clone(), Arc::clone(&self.schema), self.table.version()?))
    }

    /// Whether a frame reads the table, under whatever name.
    pub(crate) fn is_read_by(&self, frame: &DataFrame) -> Result<bool> {
        let place = self.table.place();
        let mut found = false;
        frame.relation()?.plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let provider = source_as_provider(&scan.source)?;
                let provider: &dyn std::any::Any = provider.as_ref();
                found |= provider.downcast_ref::<SourceTable>().is_some_and(|table| table.is_at(&place));
            }
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        Ok(found)
    }

    /// Removes files that no version of the table has any more but those before the newest, and those that crashed writers have left;
    /// how many went.
    pub(crate) fn vacuum(&self) -> Result<usize> {
        Ok(self.table.vacuum(self.table.version()?)? + self.table.remove_orphans(ORPHAN_AGE)?)
    }

    /// Whether a frame has as many columns as these of the table.
    pub(crate) fn check_arity(&self, columns: &[String], frame: &DataFrame) -> Result<()> {
        let given = frame.relation()?.columns;
        if given.len() == columns.len() {
            return Ok(());
        }
        let condition = if given.len() < columns.len() { "NOT_ENOUGH_DATA_COLUMNS" } else { "TOO_MANY_DATA_COLUMNS" };
        let data = given.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        let message = format!(
            "Cannot write incompatible data for the table `{}`: table columns: {}; data columns: {data}.",
            self.name,
            columns.join(", ")
        );
        Err(Error::analysis(&format!("INSERT_COLUMN_ARITY_MISMATCH.{condition}"), message))
    }

    /// The frame's rows with the columns of the table, cast as an `INSERT` casts them.
    pub(crate) fn conform(&self, frame: &DataFrame, by: By) -> Result<DataFrame> {
        let given = frame.relation()?.columns;
        let (name, fields) = (&self.name, self.schema.fields());
        let refused = |condition: &str, what: String| {
            Err(Error::analysis(condition, format!("Cannot write incompatible data for the table `{name}`: {what}.")))
        };
        self.check_arity(&fields.iter().map(|field| field.name().clone()).collect::<Vec<_>>(), frame)?;
        let mut columns = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            let found = match by {
                By::Position => given.get(index),
                By::Name => given.iter().find(|column| column.name.eq_ignore_ascii_case(field.name())),
            };
            let Some(own) = found else {
                let what = format!("Cannot find data for the output column `{}`", field.name());
                return refused("INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_FIND_DATA", what);
            };
            let column = crate::column::Column::of(own.exact());
            let column = if own.data_type == *field.data_type() { column } else { column.cast(&types::name(field.data_type())) };
            columns.push(column.alias(field.name()));
        }
        Ok(frame.select(columns))
    }
}

/// The names of a warehouse's tables, sorted.
pub(crate) fn names(warehouse: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for name in table_names(warehouse)? {
        if is_plain(&name) && Table::open(warehouse.join(&name))?.is_some() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn directory(warehouse: &Path, name: &str) -> PathBuf {
    warehouse.join(name.to_lowercase())
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(crate) fn already_exists(name: &str) -> Error {
    let message = format!(
        "Cannot create table or view `default`.`{name}` because it already exists. Choose a different name, drop the existing object, or \
         add the IF NOT EXISTS clause."
    );
    Error::analysis("TABLE_OR_VIEW_ALREADY_EXISTS", message)
}

/// The rows of a table as a stream, with the columns that are needed.
#[derive(Debug)]
struct TableStream {
    table: ManagedTable,
    options: Options,
}

impl TableStream {
    fn reader(&self) -> Result<TableSource> {
        let mut source = TableSource::new(self.table.table.clone(), &self.table.schema);
        if let Some(files) = self.options.positive("maxFilesPerTrigger")? {
            source = source.max_files_per_trigger(files);
        }
        Ok(source.skip_overwrites(self.options.parsed("skipChangeCommits")?.unwrap_or(false)))
    }

    fn projected(&self, projection: &[usize]) -> Result<TableSource> {
        let fields: Vec<&Arc<Field>> = projection.iter().filter_map(|index| self.table.schema.fields().get(*index)).collect();
        Ok(self.reader()?.projection(fields.into_iter().map(|field| field.name())))
    }
}

impl StreamFactory for TableStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.table.schema)
    }

    fn source(&self, projection: &[usize]) -> Result<Arc<dyn SourceSupplier>> {
        Ok(Arc::new(self.projected(projection)?))
    }

    fn partition_columns(&self) -> &[String] {
        self.table.partition_by()
    }

    fn source_of_partitions(&self, projection: &[usize], keep: Arc<dyn KeepPartitions>) -> Result<Arc<dyn SourceSupplier>> {
        Ok(Arc::new(self.projected(projection)?.partitions(keep)))
    }

    fn name(&self) -> Option<&str> {
        Some(self.options.get("name").unwrap_or(&self.table.name))
    }

    fn place(&self) -> Option<String> {
        Some(self.table.table.place())
    }

    fn describe(&self) -> String {
        format!("the table {}", self.table.name)
    }
}
