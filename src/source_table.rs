//! What a streaming source reads as a static table: read when a query runs, by the source's own readers, so that a batch sees what a
//! stream would.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter};
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use tidegate_runtime::{
    Epoch, EpochInfo, Error as RuntimeError, NodeId, Notifier, OffsetRange, QueryId, ReadLimit, Source, SourceContext,
    SourceOutput, SourceSupplier, Split,
};

use crate::analysis::stream::StreamFactory;
use crate::error::{Error, Result};
use crate::partitions;

/// How many batches a reader is ahead of the query.
const AHEAD: usize = 2;

/// What a source has when it is scanned, or several sources of the same columns.
pub(crate) struct SourceTable {
    sources: Vec<Arc<dyn StreamFactory>>,
    /// All columns of each, [hidden](Self::hidden) ones at the end.
    schema: SchemaRef,
    hidden: usize,
    version: Box<dyn Fn() -> Result<u64> + Send + Sync>,
}

impl SourceTable {
    /// All that a source has; `version` changes when that does.
    pub(crate) fn new(source: Arc<dyn StreamFactory>, version: impl Fn() -> Result<u64> + Send + Sync + 'static) -> Self {
        let (schema, hidden) = (source.schema(), source.hidden());
        SourceTable { sources: vec![source], schema, hidden, version: Box::new(version) }
    }

    /// The same of several sources, which all have these columns, so many of them hidden.
    pub(crate) fn of_all(
        sources: Vec<Arc<dyn StreamFactory>>,
        (schema, hidden): (SchemaRef, usize),
        version: impl Fn() -> Result<u64> + Send + Sync + 'static,
    ) -> Self {
        SourceTable { sources, schema, hidden, version: Box::new(version) }
    }

    /// How many of its columns, the last ones, are hidden.
    pub(crate) fn hidden(&self) -> usize {
        self.hidden
    }

    /// Whether it is the table at this place.
    pub(crate) fn is_at(&self, place: &str) -> bool {
        self.sources.iter().any(|source| source.place().as_deref() == Some(place))
    }

    /// Changes when the rows do.
    pub(crate) fn version(&self) -> Result<u64> {
        (self.version)()
    }
}

impl std::fmt::Debug for SourceTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceTable").field("sources", &self.sources).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        // All sources have the same columns.
        let unsupported = || vec![TableProviderFilterPushDown::Unsupported; filters.len()];
        Ok(self.sources.first().map_or_else(unsupported, |source| partitions::pushed_down(source.as_ref(), filters)))
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
        let schema = Arc::new(self.schema.project(columns)?);
        let parallelism = state.config().target_partitions().max(1);
        let mut dealt: Vec<Vec<Part>> = vec![Vec::new(); parallelism];
        let mut number = 0;
        for source in &self.sources {
            let source = partitions::source(source.as_ref(), columns, filters, state)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            let splits = tokio::task::block_in_place(|| splits_of(source.as_ref())).map_err(external)?;
            for split in splits {
                dealt[number % parallelism].push((Arc::clone(&source), split));
                number += 1;
            }
        }
        dealt.retain(|parts| !parts.is_empty());
        let partition = |parts| Arc::new(Parts { parts, schema: Arc::clone(&schema) }) as Arc<dyn PartitionStream>;
        let partitions = dealt.into_iter().map(partition).collect();
        Ok(Arc::new(StreamingTableExec::try_new(Arc::clone(&schema), partitions, None, None, false, limit)?))
    }
}

fn opened(source: &dyn SourceSupplier) -> tidegate_runtime::Result<Box<dyn Source>> {
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

fn splits_of(source: &dyn SourceSupplier) -> tidegate_runtime::Result<Vec<Split>> {
    let mut opened = opened(source)?;
    match opened.latest_offset(None, ReadLimit::All)? {
        Some(end) => opened.splits(&OffsetRange { start: None, end }),
        None => Ok(Vec::new()),
    }
}

/// A split, and the source that it is of.
type Part = (Arc<dyn SourceSupplier>, Split);

/// What of a table one thread reads.
struct Parts {
    parts: Vec<Part>,
    schema: SchemaRef,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|(source, _)| source.describe())).finish()
    }
}

impl PartitionStream for Parts {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), AHEAD);
        let (rows, parts) = (stream.tx(), self.parts.clone());
        let schema = Arc::clone(&self.schema);
        stream.spawn_blocking(move || {
            // A query that needs no more rows has dropped the receiver: reading ends then.
            let mut give = |batch: RecordBatch| {
                let batch = batch.with_schema(Arc::clone(&schema))?;
                rows.blocking_send(Ok(batch)).map_err(|_| RuntimeError::Cancelled)
            };
            // Those of one source are read by one reader.
            let read = parts.chunk_by(|(one, _), (other, _)| Arc::ptr_eq(one, other)).try_for_each(|parts| match parts {
                [] => Ok(()),
                [(source, _), ..] => read(source.as_ref(), parts.iter().map(|(_, split)| split), &mut give),
            });
            match read {
                Ok(()) | Err(RuntimeError::Cancelled) => Ok(()),
                Err(error) => Err(external(error)),
            }
        });
        let stream = stream.build();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

fn read<'a>(
    source: &dyn SourceSupplier,
    mut splits: impl Iterator<Item = &'a Split>,
    give: &mut dyn FnMut(RecordBatch) -> tidegate_runtime::Result<()>,
) -> tidegate_runtime::Result<()> {
    let mut reader = opened(source)?.reader(0)?;
    let epoch =
        EpochInfo { epoch: Epoch::FIRST, trigger_time_ms: crate::dataframe::now_ms(), watermark: None, late_watermark: None };
    splits.try_for_each(|split| reader.read(split, &mut SourceOutput::new(epoch, give)))
}

/// Looks at the rows that a source has now, batch by batch, for as long as `look` says that it wants more.
pub(crate) fn look_at(source: &dyn SourceSupplier, look: &mut dyn FnMut(&RecordBatch) -> bool) -> Result<()> {
    let splits = splits_of(source)?;
    let mut give = |batch: RecordBatch| if look(&batch) { Ok(()) } else { Err(RuntimeError::Cancelled) };
    match read(source, splits.iter(), &mut give) {
        Ok(()) | Err(RuntimeError::Cancelled) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn external(error: RuntimeError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A number that changes when files below a path come, go or are written again. The path may have wildcards.
///
/// # Errors
/// When the files can't be listed.
pub(crate) fn fingerprint(path: &str) -> Result<u64> {
    fingerprint_of(path)
        .map_err(|error| Error::analysis("FAILED_READ_FILE", format!("the files of {path} can't be listed: {error}")))
}

fn fingerprint_of(path: &str) -> std::io::Result<u64> {
    let is_plain = |part: &std::path::Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']);
    let base: PathBuf = Path::new(path).components().take_while(is_plain).collect();
    // Independent of the order of the listing.
    let mut sum = 0_u64;
    let mut waiting = vec![base];
    while let Some(path) = waiting.pop() {
        // Links to directories are not followed: they may lead round in a circle.
        let metadata = match std::fs::symlink_metadata(&path) {
            Ok(link) if link.is_symlink() => std::fs::metadata(&path).map(|target| (target, false)),
            own => own.map(|own| (own, true)),
        };
        let listed = metadata.and_then(|(metadata, follow)| {
            let entries = if metadata.is_dir() && follow { Some(std::fs::read_dir(&path)?) } else { None };
            Ok((metadata, entries))
        });
        let (metadata, entries) = match listed {
            Ok(listed) => listed,
            // It went between the listing and now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if let Some(entries) = entries {
            for entry in entries {
                let entry = entry?;
                // What is hidden from readers is no part of the table.
                if !entry.file_name().to_string_lossy().starts_with(['.', '_']) {
                    waiting.push(entry.path());
                }
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
