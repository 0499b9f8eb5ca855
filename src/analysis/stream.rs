//! The leaves of a plan that are streams.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tidegate_connectors::KeepPartitions;
use tidegate_runtime::SourceSupplier;

/// Makes the source that reads a stream, once it is known which columns are needed.
pub(crate) trait StreamFactory: std::fmt::Debug + Send + Sync {
    /// All columns, of canonical types; [hidden](Self::hidden) ones at the end.
    fn schema(&self) -> SchemaRef;

    /// How many columns only those get who name them.
    fn hidden(&self) -> usize {
        0
    }

    /// A source of the columns with these numbers, in their order.
    fn source(&self, projection: &[usize]) -> crate::error::Result<Arc<dyn SourceSupplier>>;

    /// The columns by whose values whole files can be left out.
    fn partition_columns(&self) -> &[String] {
        &[]
    }

    /// A source of the columns with these numbers, without files whose partition is not wanted.
    fn source_of_partitions(
        &self,
        projection: &[usize],
        _keep: Arc<dyn KeepPartitions>,
    ) -> crate::error::Result<Arc<dyn SourceSupplier>> {
        self.source(projection)
    }

    /// Where it is, if it is a table.
    fn place(&self) -> Option<String> {
        None
    }

    /// The name that checkpoints know the source by, if the user gave one.
    fn name(&self) -> Option<&str> {
        None
    }

    /// What it reads, in a few words.
    fn describe(&self) -> String;
}

/// A stream as a table that plans only.
#[derive(Debug, Clone)]
pub(crate) struct StreamTable {
    pub(crate) factory: Arc<dyn StreamFactory>,
}

#[async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        self.factory.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(crate::partitions::pushed_down(self.factory.as_ref(), filters))
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Plan(
            "Queries with streaming sources must be executed with writeStream.start(); use write_stream() for a continuous result"
                .to_owned(),
        ))
    }
}

/// The stream that a plan node reads, if it is a scan of one.
pub(crate) fn stream_of(plan: &LogicalPlan) -> Option<StreamTable> {
    let LogicalPlan::TableScan(scan) = plan else { return None };
    let provider = source_as_provider(&scan.source).ok()?;
    let provider: &dyn std::any::Any = provider.as_ref();
    provider.downcast_ref::<StreamTable>().cloned()
}

/// Whether some of the plan's rows come from a stream.
pub(crate) fn is_streaming(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The closure never fails.
    let walked = plan.apply(|node| {
        found = found || stream_of(node).is_some();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.is_ok() && found
}
