//! Parquet files as a static table, read by DataFusion, which looks at those columns and rows only that a query needs.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use tidegate_connectors::FileSource;

use crate::batch;
use crate::error::Result;
use crate::source_table::fingerprint;

/// The files of a source that are there when it is scanned.
#[derive(Debug)]
pub(crate) struct ParquetTable {
    source: FileSource,
    schema: SchemaRef,
    path: String,
}

impl ParquetTable {
    /// The files below `path` that the source has, with the columns that they have now.
    pub(crate) fn new(context: &SessionContext, source: FileSource, path: &str) -> Result<Self> {
        let (context, own) = (context.clone(), source.clone());
        let schema = batch::block_on(async move {
            let config = config_of(&own)?.infer_schema(&context.state()).await?;
            Ok(ListingTable::try_new(config)?.schema())
        })?;
        Ok(ParquetTable { source, schema, path: path.to_owned() })
    }

    /// Changes when files come, go or are written again.
    pub(crate) fn version(&self) -> Result<u64> {
        fingerprint(&self.path)
    }
}

/// How DataFusion is to read the files that the source has now: which they are is decided, so any name will do.
fn config_of(source: &FileSource) -> datafusion::error::Result<ListingTableConfig> {
    let files = source.files().map_err(|error| DataFusionError::External(Box::new(error)))?;
    let urls = files.iter().map(|file| ListingTableUrl::parse(file.to_string_lossy())).collect::<Result<Vec<_>, _>>()?;
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
        let config = tokio::task::block_in_place(|| config_of(&self.source))?;
        if config.table_paths.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.schema.project(columns)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        ListingTable::try_new(config.with_schema(Arc::clone(&self.schema)))?.scan(state, projection, filters, limit).await
    }
}
