//! What names stand for in a session: temporary views, the tables of memory sinks, and managed tables.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use dashmap::DashMap;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Cast, Expr, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tidegate_connectors::MemorySink;
use tidegate_functions::types::canonical;

use crate::analysis::stream::{StreamFactory, StreamTable};
use crate::analysis::{Attribute, Relation, Tables, hidden_columns};
use crate::error::{Error, Result};
use crate::tables::ManagedTable;

/// The names of one session. Case does not count. A temporary view hides a table of the same name.
#[derive(Debug)]
pub(crate) struct Catalog {
    views: DashMap<String, Relation>,
    /// The directory of the managed tables.
    warehouse: PathBuf,
}

impl Catalog {
    pub(crate) fn new(warehouse: PathBuf) -> Self {
        Catalog { views: DashMap::new(), warehouse }
    }

    pub(crate) fn warehouse(&self) -> &Path {
        &self.warehouse
    }

    /// The view of this name.
    pub(crate) fn view(&self, name: &[String]) -> Option<Relation> {
        // A name with a schema is that of a table, as in Spark.
        let name = match name {
            [name] => name,
            [schema, name] if schema.eq_ignore_ascii_case("global_temp") => name,
            _ => return None,
        };
        self.views.get(&name.to_lowercase()).map(|entry| entry.value().clone())
    }

    pub(crate) fn register(&self, name: &str, relation: Relation) {
        self.views.insert(name.to_lowercase(), relation);
    }

    pub(crate) fn drop_view(&self, name: &str) -> bool {
        self.views.remove(&name.to_lowercase()).is_some()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.views.iter().map(|entry| entry.key().clone()).collect();
        names.sort_unstable();
        names
    }
}

impl Tables for Catalog {
    fn table(&self, name: &[String]) -> Result<Option<Relation>> {
        if let Some(view) = self.view(name) {
            return Ok(Some(view));
        }
        ManagedTable::open(&self.warehouse, name)?.map(|table| table.relation()).transpose()
    }
}

/// A name without the catalogue and the schema, which can only be the default ones; `None` if they are others.
pub(crate) fn plain_name(name: &[String]) -> Option<&String> {
    match name {
        [name] => Some(name),
        [schema, name] if schema.eq_ignore_ascii_case("default") => Some(name),
        [catalog, schema, name] if catalog.eq_ignore_ascii_case("spark_catalog") && schema.eq_ignore_ascii_case("default") => {
            Some(name)
        }
        _ => None,
    }
}

/// The relation of a table, whose columns are cast to the types that stand for Spark's.
pub(crate) fn relation_of(name: &str, provider: Arc<dyn TableProvider>) -> Result<Relation> {
    let schema = provider.schema();
    let hidden = hidden_columns(provider.as_ref());
    let shown = (hidden > 0).then(|| (0..schema.fields().len() - hidden).collect());
    let scan = LogicalPlanBuilder::scan(name, provider_as_source(provider), shown)?.build()?;
    let mut columns = Vec::new();
    for (field, column) in schema.fields().iter().zip(scan.schema().columns()) {
        let own = canonical(field.data_type()).ok_or_else(|| {
            let message =
                format!("column {} of {name} has the type {}, which no SQL type stands for", field.name(), field.data_type());
            Error::analysis("UNSUPPORTED_DATATYPE", message)
        })?;
        let expr = Expr::Column(column);
        let expr = if *field.data_type() == own { expr } else { Expr::Cast(Cast::new(Box::new(expr), own.clone())) };
        columns.push((expr, Attribute::new(field.name(), own)));
    }
    Relation::project(scan, columns)
}

/// The relation of a stream.
pub(crate) fn stream_relation(factory: Arc<dyn StreamFactory>) -> Result<Relation> {
    relation_of("stream", Arc::new(StreamTable { factory }))
}

/// The relation of rows in memory.
pub(crate) fn rows_relation(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Relation> {
    let nullable: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let schema = Arc::new(arrow::datatypes::Schema::new(nullable));
    let batches = batches
        .into_iter()
        .map(|batch| {
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(Arc::clone(&schema), batch.columns().to_vec(), &options)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let table = datafusion::datasource::MemTable::try_new(schema, vec![batches])?;
    relation_of("rows", Arc::new(table))
}

/// The table of a memory sink: its rows as they are when a query reads them.
#[derive(Debug)]
pub(crate) struct MemoryTable {
    pub(crate) schema: SchemaRef,
    pub(crate) sink: MemorySink,
}

#[async_trait]
impl TableProvider for MemoryTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let batches = vec![self.sink.batches()];
        Ok(MemorySourceConfig::try_new_exec(&batches, Arc::clone(&self.schema), projection.cloned())?)
    }
}
