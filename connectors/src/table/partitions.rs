//! The values of the partition columns that files have.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tidegate_runtime::Result;

use super::TableFile;
use crate::file::{Column, directory_of, parse_partition};

/// Says which partitions of a table a reader needs, so that it opens no file of the others.
pub trait KeepPartitions: Debug + Send + Sync {
    /// Of these values of the partition columns, a row for a file, which may have rows that are wanted; null is no.
    ///
    /// # Errors
    /// When it can't tell: all files are read then.
    fn keep(&self, values: &RecordBatch) -> Result<BooleanArray>;
}

/// The files that may have rows that are wanted, of a table with these columns.
pub(super) fn kept(
    keep: &dyn KeepPartitions,
    schema: &SchemaRef,
    partition_by: &[String],
    files: Vec<TableFile>,
) -> Result<Vec<TableFile>> {
    let field = |name: &String| schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name)).cloned();
    let Some(fields) = partition_by.iter().map(field).collect::<Option<Vec<FieldRef>>>() else { return Ok(files) };
    let Some(mut columns) = fields.iter().map(|field| Column::new(field.data_type())).collect::<Option<Vec<Column>>>() else {
        return Ok(files);
    };
    // Of a name that is no value of its column nothing is known.
    let is_known: Vec<bool> = files.iter().map(|file| push(&mut columns, &directories(&file.path))).collect();
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

/// The values of a path's directories.
fn directories(path: &str) -> Vec<Option<Option<String>>> {
    let parts = directory_of(path).split('/').filter(|part| !part.is_empty());
    parts.map(|part| parse_partition(part).map(|(_, value)| value)).collect()
}

/// Adds a row; says whether it is what the directories say.
fn push(columns: &mut [Column], values: &[Option<Option<String>>]) -> bool {
    let mut is_known = values.len() == columns.len();
    for (number, column) in columns.iter_mut().enumerate() {
        match values.get(number) {
            Some(Some(Some(text))) if column.push_text(text.as_bytes()) => {}
            Some(Some(None)) => column.push_null(),
            _ => {
                column.push_null();
                is_known = false;
            }
        }
    }
    is_known
}
