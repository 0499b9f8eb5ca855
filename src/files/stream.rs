//! Files as the query layer reads them: only the columns that are needed.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use tidegate_connectors::{FileSource, KeepPartitions};
use tidegate_runtime::SourceSupplier;

use super::{Files, version};
use crate::analysis::stream::StreamFactory;
use crate::error::Result;
use crate::source_table::SourceTable;

/// The rows of files as a table.
pub(crate) fn table(files: Files) -> SourceTable {
    let Files { sources, paths, schema, .. } = files;
    let columns = with_hidden(&schema, sources.first().map(FileSource::metadata_column));
    let rows = |source: &FileSource| Arc::new(FileStream::new(source.clone(), &schema, None)) as Arc<dyn StreamFactory>;
    let rows = sources.iter().map(rows).collect();
    SourceTable::of_all(rows, columns, move || version(&sources, &paths))
}

/// Columns with those that only Tidegate's readers give, and how many these are.
fn with_hidden(columns: &Schema, metadata: Option<Field>) -> (SchemaRef, usize) {
    let is_free = |metadata: &Field| !columns.fields().iter().any(|field| field.name().eq_ignore_ascii_case(metadata.name()));
    let hidden: Vec<FieldRef> = metadata.filter(is_free).map(Arc::new).into_iter().collect();
    (Arc::new(Schema::new([columns.fields().to_vec(), hidden.clone()].concat())), hidden.len())
}

/// The rows of files, and the hidden column `_metadata`, which is not there if they have one of that name themselves.
#[derive(Debug)]
pub(crate) struct FileStream {
    source: FileSource,
    schema: SchemaRef,
    hidden: usize,
    name: Option<String>,
}

impl FileStream {
    /// Files with these columns; checkpoints know them by `name`.
    pub(crate) fn new(source: FileSource, columns: &Schema, name: Option<String>) -> Self {
        let (schema, hidden) = with_hidden(columns, Some(source.metadata_column()));
        FileStream { source, schema, hidden, name }
    }

    fn projected(&self, projection: &[usize]) -> FileSource {
        let names: Vec<&String> = projection.iter().map(|index| self.schema.field(*index).name()).collect();
        self.source.clone().projection(names)
    }
}

impl StreamFactory for FileStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn hidden(&self) -> usize {
        self.hidden
    }

    fn source(&self, projection: &[usize]) -> Result<Arc<dyn SourceSupplier>> {
        Ok(Arc::new(self.projected(projection)))
    }

    fn partition_columns(&self) -> &[String] {
        self.source.partitions()
    }

    fn source_of_partitions(&self, projection: &[usize], keep: Arc<dyn KeepPartitions>) -> Result<Arc<dyn SourceSupplier>> {
        Ok(Arc::new(self.projected(projection).keep_partitions(keep)))
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn describe(&self) -> String {
        self.source.describe()
    }
}
