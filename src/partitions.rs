//! Which partitions of a table a query needs, by its filters: files of others are not opened.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use tidegate_connectors::KeepPartitions;
use tidegate_runtime::SourceSupplier;

use crate::analysis::stream::StreamFactory;
use crate::analysis::time::depends_on_time;
use crate::error::Result;

/// Which filters are of use where a table is scanned. Its rows are filtered all the same.
pub(crate) fn pushed_down(table: &dyn StreamFactory, filters: &[&Expr]) -> Vec<TableProviderFilterPushDown> {
    let kind = |filter: &&Expr| match is_of_partitions(table, filter) {
        true => TableProviderFilterPushDown::Inexact,
        false => TableProviderFilterPushDown::Unsupported,
    };
    filters.iter().map(kind).collect()
}

/// The source of these columns of a table, without the files for whose partition a filter is not true.
pub(crate) fn source(
    table: &dyn StreamFactory,
    projection: &[usize],
    filters: &[Expr],
    state: &dyn Session,
) -> Result<Arc<dyn SourceSupplier>> {
    let filters = filters.iter().filter(|filter| is_of_partitions(table, filter)).cloned();
    let Some(filter) = conjunction(filters) else { return table.source(projection) };
    let plain = filter.transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    })?;
    let all = table.schema();
    let fields = table.partition_columns().iter().filter_map(|name| Some(Arc::clone(all.fields().find(name)?.1)));
    let schema = DFSchema::try_from(Schema::new(fields.collect::<Vec<_>>()))?;
    let wanted = Wanted(state.create_physical_expr(plain.data, &schema)?);
    table.source_of_partitions(projection, Arc::new(wanted))
}

/// Whether a filter looks at nothing but partition columns, and says the same at any time.
fn is_of_partitions(table: &dyn StreamFactory, filter: &Expr) -> bool {
    let columns = filter.column_refs();
    let is_partition = |column: &&Column| table.partition_columns().contains(&column.name);
    !columns.is_empty() && columns.iter().all(is_partition) && !filter.is_volatile() && !depends_on_time(filter)
}

/// The partitions for which a filter is true.
#[derive(Debug)]
struct Wanted(Arc<dyn PhysicalExpr>);

impl KeepPartitions for Wanted {
    fn keep(&self, values: &RecordBatch) -> tidegate_runtime::Result<BooleanArray> {
        let found = self.0.evaluate(values).and_then(|found| found.into_array(values.num_rows()));
        let found = found.map_err(tidegate_runtime::Error::user)?;
        let is_wanted = found.as_boolean_opt().cloned();
        is_wanted.ok_or_else(|| tidegate_runtime::Error::Protocol("a filter is no truth value".to_owned()))
    }
}
