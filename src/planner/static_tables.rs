//! The static tables of a streaming query: what they hold, and whether that has changed.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::LogicalPlan;
use tidegate_operators::BuildTable;

use crate::batch;
use crate::catalog::MemoryTable;
use crate::dataframe::now_ms;
use crate::error::Result;
use crate::parquet_table::ParquetTable;
use crate::source_table::SourceTable;

/// A plan over static tables, the build side of a join.
pub(super) struct StaticPlan {
    plan: LogicalPlan,
    context: SessionContext,
    /// The columns as the join knows them.
    schema: SchemaRef,
    /// The tables that may change.
    changing: Vec<Arc<dyn TableProvider>>,
}

impl StaticPlan {
    pub(super) fn new(plan: LogicalPlan, context: SessionContext, schema: SchemaRef) -> Result<Self> {
        let mut changing = Vec::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let provider = source_as_provider(&scan.source)?;
                changing.extend(version_of(provider.as_ref()).is_some().then_some(provider));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(StaticPlan { plan, context, schema, changing })
    }
}

impl BuildTable for StaticPlan {
    fn version(&self) -> tidegate_runtime::Result<Option<u64>> {
        let versions = self.changing.iter().filter_map(|table| version_of(table.as_ref()));
        let versions = versions.collect::<Result<Vec<u64>>>().map_err(tidegate_runtime::Error::user)?;
        Ok((!versions.is_empty()).then(|| versions.iter().fold(0, |all: u64, own| all.rotate_left(7).wrapping_add(*own))))
    }

    fn rows(&self) -> tidegate_runtime::Result<Vec<RecordBatch>> {
        let rows = batch::block_on(batch::collect(self.context.clone(), self.plan.clone(), now_ms()));
        let rows = rows.and_then(|rows| batch::relabel(rows, &self.schema));
        rows.map_err(tidegate_runtime::Error::user)
    }
}

/// A number that changes with a table's rows; `None` if they are the same for ever.
fn version_of(table: &dyn TableProvider) -> Option<Result<u64>> {
    if let Some(table) = table.downcast_ref::<MemoryTable>() {
        return Some(Ok(table.sink.version()));
    }
    if let Some(table) = table.downcast_ref::<SourceTable>() {
        return Some(table.version());
    }
    table.downcast_ref::<ParquetTable>().map(ParquetTable::version)
}
