//! DataFusion's reader of Parquet files, with a look at pages before they are decompressed, as Tidegate's own reader has.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use tidegate_connectors::check_parquet_pages;

/// The plan, whose scans of Parquet files refuse pages that hold too much.
pub(crate) fn bounded(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let with_bounds = |plan: Arc<dyn ExecutionPlan>| {
        let scan = plan.downcast_ref::<DataSourceExec>().and_then(DataSourceExec::downcast_to_file_source::<ParquetSource>);
        let Some((config, source)) = scan else { return Ok(Transformed::no(plan)) };
        let Some(inner) = source.parquet_file_reader_factory().cloned() else { return Ok(Transformed::no(plan)) };
        let source = source.clone().with_parquet_file_reader_factory(Arc::new(BoundedReaders { inner }));
        let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>))
    };
    plan.transform_down(with_bounds).map(|plan| plan.data)
}

#[derive(Debug)]
struct BoundedReaders {
    inner: Arc<dyn ParquetFileReaderFactory>,
}

impl ParquetFileReaderFactory for BoundedReaders {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        metadata_size: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let path = file.object_meta.location.to_string();
        let inner = self.inner.create_reader(partition, file, metadata_size, metrics)?;
        Ok(Box::new(BoundedReader { inner, path }))
    }
}

struct BoundedReader {
    inner: Box<dyn AsyncFileReader + Send>,
    path: String,
}

impl fmt::Debug for BoundedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl AsyncFileReader for BoundedReader {
    /// What is asked for by itself is no page.
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.inner.get_bytes(range)
    }

    /// Columns, or some of their pages: each range begins with a page.
    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            let starts: Vec<u64> = ranges.iter().map(|range| range.start).collect();
            let found = self.inner.get_byte_ranges(ranges).await?;
            for (start, pages) in starts.into_iter().zip(&found) {
                check_parquet_pages(pages, start)
                    .map_err(|error| ParquetError::General(format!("can't read the Parquet file /{}: {error}", self.path)))?;
            }
            Ok(found)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        self.inner.get_metadata(options)
    }
}
