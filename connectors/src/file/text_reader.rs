//! The lines of files as rows.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

use super::lines::Lines;
use super::split_reader::{FileSplit, ReadError, read_split_lines};

/// Reads splits of text files.
#[derive(Debug)]
pub(crate) struct TextReader {
    pub(crate) dir: PathBuf,
    /// The column `value`, or none.
    pub(crate) schema: SchemaRef,
    pub(crate) max_line_bytes: usize,
}

impl SourceReader for TextReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: FileSplit = split.decode()?;
        let mut emit = |lines: Lines| -> Result<(), ReadError> {
            let column = lines.into_column()?;
            let rows = RecordBatchOptions::new().with_row_count(Some(column.len()));
            let columns = if self.schema.fields().is_empty() { Vec::new() } else { vec![column] };
            let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows);
            Ok(out.emit(batch.map_err(Error::from)?)?)
        };
        read_split_lines(&self.dir, &split, self.max_line_bytes, &mut emit)
    }
}
