//! Files as a static table: read when a query runs, by the readers of the streaming source, so that a batch sees what a stream would.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter};
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use tidegate_connectors::FileSource;
use tidegate_runtime::{
    Epoch, EpochInfo, Error as RuntimeError, NodeId, Notifier, OffsetRange, QueryId, ReadLimit, Source, SourceContext,
    SourceOutput, SourceSupplier, Split,
};

/// How many batches a reader is ahead of the query.
const AHEAD: usize = 2;

/// The files of a source that are there when it is scanned.
#[derive(Debug)]
pub(crate) struct FileTable {
    source: FileSource,
    schema: SchemaRef,
    path: String,
}

impl FileTable {
    /// The files below `path` as `source`, which has the columns of `schema`, reads them.
    pub(crate) fn new(source: FileSource, schema: SchemaRef, path: &str) -> Self {
        FileTable { source, schema, path: path.to_owned() }
    }

    /// Changes when files come, go or are written again.
    pub(crate) fn version(&self) -> std::io::Result<u64> {
        fingerprint(&self.path)
    }
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let source = self.source.clone().projection(schema.fields().iter().map(|field| field.name()));
        let parallelism = state.config().target_partitions().max(1);
        let mut dealt = vec![Vec::new(); parallelism];
        let splits = tokio::task::block_in_place(|| splits_of(&source)).map_err(external)?;
        for (number, split) in splits.into_iter().enumerate() {
            dealt[number % parallelism].push(split);
        }
        dealt.retain(|splits| !splits.is_empty());
        let partition =
            |splits| Arc::new(Splits { source: source.clone(), splits, schema: Arc::clone(&schema) }) as Arc<dyn PartitionStream>;
        let partitions = dealt.into_iter().map(partition).collect();
        Ok(Arc::new(StreamingTableExec::try_new(Arc::clone(&schema), partitions, None, None, false, limit)?))
    }
}

fn opened(source: &FileSource) -> tidegate_runtime::Result<Box<dyn Source>> {
    let mut opened = source.supply()?;
    opened.open(SourceContext {
        node: NodeId::new("batch"),
        query: QueryId::random(),
        parallelism: 1,
        offset: None,
        journal: Vec::new(),
        notifier: Notifier::ignored(),
    })?;
    Ok(opened)
}

fn splits_of(source: &FileSource) -> tidegate_runtime::Result<Vec<Split>> {
    let mut opened = opened(source)?;
    match opened.latest_offset(None, ReadLimit::All)? {
        Some(end) => opened.splits(&OffsetRange { start: None, end }),
        None => Ok(Vec::new()),
    }
}

/// The part of a table that one thread reads.
#[derive(Debug)]
struct Splits {
    source: FileSource,
    splits: Vec<Split>,
    schema: SchemaRef,
}

impl PartitionStream for Splits {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), AHEAD);
        let (rows, source, splits) = (stream.tx(), self.source.clone(), self.splits.clone());
        let schema = Arc::clone(&self.schema);
        stream.spawn_blocking(move || {
            // A query that needs no more rows has dropped the receiver: reading ends then.
            let mut give = |batch: RecordBatch| {
                let batch = batch.with_schema(Arc::clone(&schema))?;
                rows.blocking_send(Ok(batch)).map_err(|_| RuntimeError::Cancelled)
            };
            match read(&source, &splits, &mut give) {
                Ok(()) | Err(RuntimeError::Cancelled) => Ok(()),
                Err(error) => Err(external(error)),
            }
        });
        let stream = stream.build();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

fn read(
    source: &FileSource,
    splits: &[Split],
    give: &mut dyn FnMut(RecordBatch) -> tidegate_runtime::Result<()>,
) -> tidegate_runtime::Result<()> {
    let mut reader = opened(source)?.reader(0)?;
    let epoch =
        EpochInfo { epoch: Epoch::FIRST, trigger_time_ms: crate::dataframe::now_ms(), watermark: None, late_watermark: None };
    splits.iter().try_for_each(|split| reader.read(split, &mut SourceOutput::new(epoch, give)))
}

fn external(error: RuntimeError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A number that changes when files below a path come, go or are written again. The path may have wildcards.
///
/// # Errors
/// When the files can't be listed.
pub(crate) fn fingerprint(path: &str) -> std::io::Result<u64> {
    let is_plain = |part: &std::path::Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']);
    let base: PathBuf = Path::new(path).components().take_while(is_plain).collect();
    // Independent of the order of the listing.
    let mut sum = 0_u64;
    let mut waiting = vec![base];
    while let Some(path) = waiting.pop() {
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            // It went between the listing and now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
            continue;
        }
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let key = (path.as_os_str(), metadata.len(), modified.as_nanos());
        sum = sum.wrapping_add(hash_of(&key));
    }
    Ok(sum)
}

fn hash_of(value: &impl std::hash::Hash) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
