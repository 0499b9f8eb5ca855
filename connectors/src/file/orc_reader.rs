//! ORC files as rows.

use std::fs::File;
use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use orc_rust::arrow_reader::{ArrowReader, ArrowReaderBuilder};
use orc_rust::projection::ProjectionMask;
use orc_rust::schema::TimestampPrecision;
use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

use super::conform::{conform_batch, guarded};
use super::orc_chunks::BoundedChunks;
use super::split_reader::{FileSplit, check_unchanged, open_unchanged};

/// Reads ORC files, one a split.
#[derive(Debug)]
pub(crate) struct OrcReader {
    pub(crate) dir: PathBuf,
    /// The columns that are read.
    pub(crate) schema: SchemaRef,
    pub(crate) batch_rows: usize,
}

impl SourceReader for OrcReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: FileSplit = split.decode()?;
        let path = self.dir.join(&split.file.path);
        let file = open_unchanged(&path, &split.file)?;
        let second = file.try_clone().map_err(Error::io("open", &path))?;
        let mut batches = guarded("ORC", &path, || self.open(second))?;
        while let Some(batch) = guarded("ORC", &path, || batches.next().transpose())? {
            out.emit(guarded("ORC", &path, || conform_batch(&batch, &self.schema))?)?;
        }
        check_unchanged(&file, &path, &split.file)
    }
}

impl OrcReader {
    fn open(&self, file: File) -> Result<ArrowReader<BoundedChunks>, ArrowError> {
        let builder = bounded(file)?;
        let root = builder.file_metadata().root_data_type();
        let wanted = |name: &str| self.schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
        let names: Vec<&str> = root.children().iter().map(|column| column.name()).filter(|name| wanted(name)).collect();
        // Without a column there would be no rows to count.
        let mask = if names.is_empty() { ProjectionMask::all() } else { ProjectionMask::named_roots(root, &names) };
        // Nanoseconds would end in the year 2262.
        let builder = builder.with_timestamp_precision(TimestampPrecision::Microsecond);
        Ok(builder.with_projection(mask).with_batch_size(self.batch_rows).build())
    }
}

/// A reader of the file, if what is to be decompressed at once can be held.
fn bounded(file: File) -> Result<ArrowReaderBuilder<BoundedChunks>, ArrowError> {
    let chunks = BoundedChunks::new(file)?;
    let again = chunks.try_clone()?;
    let builder = ArrowReaderBuilder::try_new(chunks)?;
    again.check_stripes(builder.file_metadata())?;
    Ok(builder)
}

/// The columns of an ORC file.
pub(crate) fn schema_of(file: File) -> Result<SchemaRef, ArrowError> {
    Ok(bounded(file)?.with_timestamp_precision(TimestampPrecision::Microsecond).schema())
}
