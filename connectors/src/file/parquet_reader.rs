//! Parquet files as rows.
//!
//! A split is a stretch of bytes; the row groups whose middle lies in it are its rows. So splits are planned without opening a file.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::RowGroupMetaData;
use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

use super::conform::{conform_batch, find, guarded};
use super::parquet_pages::BoundedPages;
use super::split_reader::{FileSplit, check_unchanged, open_unchanged};

/// Reads splits of Parquet files.
#[derive(Debug)]
pub(crate) struct ParquetReader {
    pub(crate) dir: PathBuf,
    /// The columns that are read.
    pub(crate) schema: SchemaRef,
    pub(crate) batch_rows: usize,
}

impl SourceReader for ParquetReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: FileSplit = split.decode()?;
        let path = self.dir.join(&split.file.path);
        let file = open_unchanged(&path, &split.file)?;
        let second = file.try_clone().map_err(Error::io("open", &path))?;
        if let Some(mut batches) = guarded("Parquet", &path, || self.open(second, &split))? {
            while let Some(batch) = guarded("Parquet", &path, || batches.next().transpose())? {
                let batch = guarded("Parquet", &path, || conform_batch(&batch, &self.schema))?;
                out.emit(batch)?;
            }
        }
        check_unchanged(&file, &path, &split.file)
    }
}

impl ParquetReader {
    /// The rows of a split; `None` if it has none.
    fn open(&self, file: File, split: &FileSplit) -> Result<Option<ParquetRecordBatchReader>, ArrowError> {
        // What a writer noted of its Arrow types (views, dictionaries, zones) says nothing about ours.
        let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let mut metadata = ArrowReaderMetadata::load(&file, plain)?;
        if let Some(schema) = without_int96(&metadata) {
            let hinted = ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_schema(schema);
            metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), hinted)?;
        }
        let groups = metadata.metadata().row_groups().iter().enumerate();
        let groups: Vec<usize> = groups.filter(|(_, group)| is_in(group, split)).map(|(n, _)| n).collect();
        if groups.is_empty() {
            return Ok(None);
        }
        let in_file = metadata.schema().fields();
        let roots: Vec<usize> = self.schema.fields().iter().filter_map(|field| find(in_file, field.name())).collect();
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
        let pages = BoundedPages::new(file, metadata.metadata(), &groups, |leaf| mask.leaf_included(leaf))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(pages, metadata);
        Ok(Some(builder.with_projection(mask).with_row_groups(groups).with_batch_size(self.batch_rows).build()?))
    }
}

/// The file's schema with microseconds for the old 96-bit timestamps, whose nanoseconds end in the year 2262; `None` if there are
/// none.
fn without_int96(metadata: &ArrowReaderMetadata) -> Option<SchemaRef> {
    let columns = metadata.parquet_schema();
    let is_int96 =
        |name: &str| columns.columns().iter().any(|c| c.path().parts() == [name] && c.physical_type() == PhysicalType::INT96);
    let mut found = false;
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let fields = metadata.schema().fields().iter().map(|field| {
        let old = is_int96(field.name());
        found |= old;
        if old { Arc::new(Field::clone(field).with_data_type(micros.clone())) } else { Arc::clone(field) }
    });
    let fields: Vec<FieldRef> = fields.collect();
    found.then(|| Arc::new(Schema::new(fields)))
}

fn is_in(group: &RowGroupMetaData, split: &FileSplit) -> bool {
    let starts = group.columns().iter().map(|column| column.byte_range().0);
    let start = starts.min().unwrap_or_default();
    let size = group.columns().iter().map(|column| column.byte_range().1).fold(0, u64::saturating_add);
    // A size that leads out of the file is found when the group is read: until then it must be in one split.
    let middle = start.saturating_add(size / 2).min(split.file.len.saturating_sub(1));
    (split.start..split.end).contains(&middle)
}
