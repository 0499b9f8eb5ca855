//! Which files a reader needs, by the values of their partition columns.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tidegate_runtime::Result;

use super::columns::Column;

/// Says which partitions a reader needs, so that it opens no file of the others.
pub trait KeepPartitions: Debug + Send + Sync {
    /// Of these values of the partition columns, a row for a file, which may have rows that are wanted; null is no.
    ///
    /// # Errors
    /// When it can't tell: all files are read then.
    fn keep(&self, values: &RecordBatch) -> Result<BooleanArray>;
}

/// The values of a file's partition columns, as text; `None` is null, and in the place of all that nothing is known.
pub(crate) type FileValues = Option<Vec<Option<String>>>;

/// The files that may have rows that are wanted. The partition columns are of a table with this schema, `values` says what a file has.
pub(crate) fn kept<F>(
    keep: &dyn KeepPartitions,
    schema: &SchemaRef,
    partitions: &[String],
    files: Vec<F>,
    values: impl Fn(&F) -> FileValues,
) -> Result<Vec<F>> {
    let field = |name: &String| schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name)).cloned();
    let Some(fields) = partitions.iter().map(field).collect::<Option<Vec<FieldRef>>>() else { return Ok(files) };
    let Some(mut columns) = fields.iter().map(|field| Column::new(field.data_type())).collect::<Option<Vec<Column>>>() else {
        return Ok(files);
    };
    let is_known: Vec<bool> = files.iter().map(|file| push(&mut columns, values(file))).collect();
    let arrays = columns.iter_mut().map(Column::take).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(files.len()));
    let values = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?;
    let wanted = match keep.keep(&values) {
        Ok(wanted) if wanted.len() == files.len() => wanted,
        _ => return Ok(files),
    };
    let is_wanted = |row: usize| wanted.is_valid(row) && wanted.value(row);
    let files = files.into_iter().zip(is_known).enumerate();
    Ok(files.filter(|(row, (_, is_known))| !is_known || is_wanted(*row)).map(|(_, (file, _))| file).collect())
}

/// Adds a row; says whether it is what the file has.
fn push(columns: &mut [Column], values: FileValues) -> bool {
    let mut is_known = values.as_ref().is_some_and(|values| values.len() == columns.len());
    let values = values.unwrap_or_default();
    for (number, column) in columns.iter_mut().enumerate() {
        match values.get(number) {
            // Of a text that is no value of its column nothing is known.
            Some(Some(text)) => is_known &= column.push_text(text.as_bytes()),
            _ => column.push_null(),
        }
    }
    is_known
}
