//! The lines of files as rows, or files as a row each.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

use super::lines::Lines;
use super::split_reader::{FileSplit, LineOptions, ReadError, read_split_lines, read_whole};

/// Reads splits of text files.
#[derive(Debug)]
pub(crate) struct TextReader {
    pub(crate) dir: PathBuf,
    /// The column `value`, or none.
    pub(crate) schema: SchemaRef,
    /// Each file is a row.
    pub(crate) whole_text: bool,
    /// Bytes that are no UTF-8 are read as `\u{FFFD}`.
    pub(crate) is_lossy: bool,
    pub(crate) lines: LineOptions,
}

impl SourceReader for TextReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: FileSplit = split.decode()?;
        if self.whole_text {
            let bytes = read_whole(&self.dir, &split, self.lines.max_bytes)?;
            let text = match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) if self.is_lossy => String::from_utf8_lossy(error.as_bytes()).into_owned(),
                Err(error) => {
                    let (path, at) = (self.dir.join(&split.file.path), error.utf8_error().valid_up_to());
                    return Err(Error::user(format!("the file {} is not UTF-8 at byte {at}", path.display())));
                }
            };
            return out.emit(self.batch(Arc::new(StringArray::from(vec![text])))?);
        }
        let mut emit = |lines: Lines| -> Result<(), ReadError> {
            let column: ArrayRef = match self.is_lossy {
                true => Arc::new(lines.iter().map(|(_, line)| Some(String::from_utf8_lossy(line))).collect::<StringArray>()),
                false => lines.into_column()?,
            };
            Ok(out.emit(self.batch(column)?)?)
        };
        read_split_lines(&self.dir, &split, &self.lines, &mut emit)
    }
}

impl TextReader {
    fn batch(&self, column: ArrayRef) -> Result<RecordBatch> {
        let rows = RecordBatchOptions::new().with_row_count(Some(column.len()));
        let columns = if self.schema.fields().is_empty() { Vec::new() } else { vec![column] };
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)?)
    }
}
