//! Files as the query layer reads them: only the columns that are needed.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use tidegate_connectors::FileSource;
use tidegate_runtime::SourceSupplier;

use crate::analysis::stream::StreamFactory;
use crate::error::Result;

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
        let metadata: FieldRef = Arc::new(FileSource::metadata_column());
        let is_taken = columns.fields().iter().any(|field| field.name().eq_ignore_ascii_case(metadata.name()));
        let hidden = if is_taken { Vec::new() } else { vec![metadata] };
        let schema = Arc::new(Schema::new([columns.fields().to_vec(), hidden.clone()].concat()));
        FileStream { source, schema, hidden: hidden.len(), name }
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
        let names: Vec<&String> = projection.iter().map(|index| self.schema.field(*index).name()).collect();
        Ok(Arc::new(self.source.clone().projection(names)))
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn describe(&self) -> String {
        self.source.describe()
    }
}
