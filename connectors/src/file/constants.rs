//! Columns that are the same for all rows of a split: partitions, and `_metadata` but for the number of a row.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, StructArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

use super::columns::Column;
use super::inference::instants;
use super::location::Partitioning;
use super::split_reader::FileSplit;
use crate::objects::as_url;

/// The name of the column that says which file a row is from.
pub(crate) const METADATA: &str = "_metadata";

/// The column that a reader of rows with numbers adds to those of the file, the last one; a name that no file has.
pub(crate) const ROW_INDEX: &str = "_metadata.row_index";

/// The fields of `_metadata` that all formats have: Spark's, of which none is ever null.
fn metadata_of_files() -> Vec<Field> {
    vec![
        Field::new("file_path", DataType::Utf8, true),
        Field::new("file_name", DataType::Utf8, true),
        Field::new("file_size", DataType::Int64, true),
        Field::new("file_block_start", DataType::Int64, true),
        Field::new("file_block_length", DataType::Int64, true),
        Field::new("file_modification_time", instants(), true),
    ]
}

/// The fields of `_metadata`; of a format whose rows have numbers also the place of a row in its file, from zero.
pub(crate) fn metadata_fields(has_row_index: bool) -> Fields {
    let row_index = has_row_index.then(|| Field::new("row_index", DataType::Int64, true));
    metadata_of_files().into_iter().chain(row_index).collect()
}

/// Where a column of the output comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The column of this number among those that are read from the file.
    File(usize),
    /// The directories that the file lies in.
    Partition,
    /// What there is to say of the file; and the numbers of the rows, if the reader gives them as its column of this number.
    Metadata { row_index: Option<usize> },
}

/// Adds to the rows of a reader the columns that do not come from the file.
pub(crate) struct WithConstants {
    pub(crate) inner: Box<dyn SourceReader>,
    pub(crate) dir: PathBuf,
    pub(crate) partitioning: Partitioning,
    /// All columns.
    pub(crate) schema: SchemaRef,
    /// Where each comes from.
    pub(crate) origins: Vec<Origin>,
    /// Whether columns of the file give way to partitions of the same name: the file's are found by name.
    pub(crate) replaces: bool,
}

impl SourceReader for WithConstants {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let constants = self.constants(&split.decode()?)?;
        if constants.iter().all(Option::is_none) {
            return self.inner.read(split, out);
        }
        let (epoch, schema, origins) = (out.epoch(), &self.schema, &self.origins);
        let mut emit = |batch: RecordBatch| out.emit(with_constants(&batch, schema, origins, &constants)?);
        self.inner.read(split, &mut SourceOutput::new(epoch, &mut emit))
    }
}

impl WithConstants {
    /// A value for each column that has one; the file's own columns are `None`.
    fn constants(&self, split: &FileSplit) -> Result<Vec<Option<ArrayRef>>> {
        let partitions = self.partitioning.values(&split.file.path);
        let constant = |(field, origin): (&Arc<Field>, &Origin)| {
            let found = partitions.iter().find(|(key, _)| key.eq_ignore_ascii_case(field.name()));
            match (origin, found) {
                (Origin::Metadata { .. }, _) => metadata(&self.dir, split).map(Some),
                (Origin::Partition, found) => {
                    let value = found.and_then(|(_, value)| value.as_deref());
                    partition(field, value, &self.dir.join(&split.file.path)).map(Some)
                }
                (Origin::File(_), Some((_, value))) if self.replaces => {
                    partition(field, value.as_deref(), &self.dir.join(&split.file.path)).map(Some)
                }
                (Origin::File(_), _) => Ok(None),
            }
        };
        self.schema.fields().iter().zip(&self.origins).map(constant).collect()
    }
}

fn with_constants(
    batch: &RecordBatch,
    schema: &SchemaRef,
    origins: &[Origin],
    constants: &[Option<ArrayRef>],
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    // Every row takes the only value.
    let first = UInt32Array::from(vec![0; rows]);
    let column = |(origin, constant): (&Origin, &Option<ArrayRef>)| match (constant, origin) {
        (Some(value), Origin::Metadata { row_index: Some(index) }) => {
            with_row_index(take(value, &first, None)?.as_struct(), own_column(batch, *index)?)
        }
        (Some(value), _) => Ok(take(value, &first, None)?),
        (None, Origin::File(index)) => own_column(batch, *index),
        (None, Origin::Partition | Origin::Metadata { .. }) => Err(Error::Protocol("a column of a file has no value".to_owned())),
    };
    let columns = origins.iter().zip(constants).map(column).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn own_column(batch: &RecordBatch, index: usize) -> Result<ArrayRef> {
    let column = batch.columns().get(index).map(Arc::clone);
    column.ok_or_else(|| Error::Protocol(format!("a reader of files gave no column {index}")))
}

fn with_row_index(metadata: &StructArray, row_index: ArrayRef) -> Result<ArrayRef> {
    let columns = metadata.columns().iter().cloned().chain([row_index]).collect();
    Ok(Arc::new(StructArray::try_new(metadata_fields(true), columns, None)?))
}

/// The one value of a partition column.
fn partition(field: &Field, value: Option<&str>, path: &Path) -> Result<ArrayRef> {
    let refused = |what: &str| {
        Error::user(format!(
            "[INVALID_PARTITION_VALUE] the partition column {} of type {} {what}, in the path {}",
            field.name(),
            field.data_type(),
            path.display()
        ))
    };
    let mut column = Column::new(field.data_type()).ok_or_else(|| refused("can't be read from a directory's name"))?;
    match value {
        None => column.push_null(),
        Some(text) if column.push_text(text.as_bytes()) => {}
        Some(text) => return Err(refused(&format!("can't hold '{text}'"))),
    }
    Ok(column.take()?)
}

/// The one value of `_metadata`, without a number of a row.
fn metadata(dir: &Path, split: &FileSplit) -> Result<ArrayRef> {
    let path = dir.join(&split.file.path);
    let uri = match as_url(&path) {
        Some(url) => escaped(url),
        None => file_uri(&std::path::absolute(&path).map_err(Error::io("resolve", &path))?),
    };
    let length = split.file.len.min(split.end).saturating_sub(split.start);
    let number = |value: u64| -> ArrayRef { Arc::new(Int64Array::from(vec![i64::try_from(value).unwrap_or(i64::MAX)])) };
    let modified = TimestampMicrosecondArray::from(vec![split.file.mtime.div_euclid(1_000_000) * 1_000]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![uri])),
        Arc::new(StringArray::from(vec![split.file.name()])),
        number(split.file.len),
        number(split.start),
        number(length),
        Arc::new(modified.with_timezone("UTC")),
    ];
    Ok(Arc::new(StructArray::try_new(metadata_fields(false), columns, None)?))
}

/// A path as a URI, in which what has a meaning of its own is escaped.
pub(crate) fn file_uri(path: &Path) -> String {
    format!("file://{}", escaped(&path.to_string_lossy()))
}

fn escaped(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => uri.push(char::from(byte)),
            _ if b"/-_.~!$&'()*+,;=:@".contains(&byte) => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_as_javas() {
        assert_eq!(file_uri(Path::new("/a b/k=1/c%é.txt")), "file:///a%20b/k=1/c%25%C3%A9.txt");
    }
}
