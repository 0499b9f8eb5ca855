//! Parquet files as a static table, read by DataFusion, which looks at those columns and rows only that a query needs.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::{Column, cast};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::ProjectionExec;
use tidegate_connectors::FileSource;

use crate::batch;
use crate::error::Result;
use crate::files::{self, Files};
use crate::parquet_bounds::bounded;
use crate::reader::DeclaredSchema;
use crate::source_table::SourceTable;

/// The files of sources that are there when it is scanned.
#[derive(Debug)]
pub(crate) struct ParquetTable {
    sources: Vec<FileSource>,
    /// The columns of the files, then those that only Tidegate's readers give.
    schema: SchemaRef,
    /// The same rows as Tidegate's readers read them.
    rows: SourceTable,
}

impl ParquetTable {
    /// The files of sources, which are below the paths, with the columns that they have now.
    pub(crate) fn new(context: &SessionContext, sources: Vec<FileSource>, paths: Vec<String>) -> Result<Self> {
        let (context, own) = (context.clone(), sources.clone());
        let schema = batch::block_on(async move {
            let config = config_of(&own)?.infer_schema(&context.state()).await?;
            Ok(ListingTable::try_new(config)?.schema())
        })?;
        let given = DeclaredSchema::from(Arc::clone(&schema)).resolved()?;
        let typed = sources.iter().map(|source| source.clone().with_schema(&given)).collect();
        let rows = files::table(Files { sources: typed, paths, schema: Arc::clone(&given), partitions: 0 });
        let hidden = rows.schema().fields().iter().skip(given.fields().len()).cloned().collect::<Vec<_>>();
        let schema = Arc::new(Schema::new([schema.fields().to_vec(), hidden].concat()));
        Ok(ParquetTable { sources, schema, rows })
    }

    /// How many of its columns, the last ones, are hidden.
    pub(crate) fn hidden(&self) -> usize {
        self.rows.hidden()
    }

    /// The columns that are in the files.
    fn file_columns(&self) -> datafusion::error::Result<SchemaRef> {
        let columns: Vec<usize> = (0..self.schema.fields().len() - self.hidden()).collect();
        Ok(Arc::new(self.schema.project(&columns)?))
    }

    /// A scan of columns that DataFusion's reader does not have.
    async fn scan_hidden(
        &self,
        state: &dyn Session,
        columns: &Vec<usize>,
        limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let rows = self.rows.scan(state, Some(columns), &[], limit).await?;
        let (given, wanted) = (rows.schema(), self.schema.project(columns)?);
        if given.as_ref() == &wanted {
            return Ok(rows);
        }
        let as_wanted = |(index, field): (usize, &FieldRef)| {
            let column = Arc::new(Column::new(field.name(), index));
            Ok((cast(column, &given, field.data_type().clone())?, field.name().clone()))
        };
        let columns = wanted.fields().iter().enumerate().map(as_wanted).collect::<datafusion::error::Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(columns, rows)?))
    }

    /// Changes when files come, go or are written again.
    pub(crate) fn version(&self) -> Result<u64> {
        self.rows.version()
    }
}

/// How DataFusion is to read the files that the sources have now: which they are is decided, so any name will do.
fn config_of(sources: &[FileSource]) -> datafusion::error::Result<ListingTableConfig> {
    let files = sources.iter().map(FileSource::files).collect::<tidegate_runtime::Result<Vec<_>>>();
    let files = files.map_err(|error| DataFusionError::External(Box::new(error)))?;
    let urls =
        files.iter().flatten().map(|file| ListingTableUrl::parse(file.to_string_lossy())).collect::<Result<Vec<_>, _>>()?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("");
    Ok(ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options))
}

#[async_trait]
impl TableProvider for ParquetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = projection.unwrap_or(&all);
        let in_files = self.file_columns()?;
        if columns.iter().any(|column| *column >= in_files.fields().len()) {
            return self.scan_hidden(state, columns, limit).await;
        }
        let config = tokio::task::block_in_place(|| config_of(&self.sources))?;
        if config.table_paths.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(columns)?))));
        }
        bounded(ListingTable::try_new(config.with_schema(in_files))?.scan(state, projection, filters, limit).await?)
    }
}
