//! Avro container files as rows.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow_avro::reader::{Reader, ReaderBuilder};
use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

use super::avro_blocks::check_blocks;
use super::conform::{conform_batch, find, guarded};
use super::split_reader::{FileSplit, check_unchanged, open_unchanged};

/// Reads Avro files, one a split.
#[derive(Debug)]
pub(crate) struct AvroReader {
    pub(crate) dir: PathBuf,
    /// The columns that are read.
    pub(crate) schema: SchemaRef,
    pub(crate) batch_rows: usize,
}

impl SourceReader for AvroReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: FileSplit = split.decode()?;
        let path = self.dir.join(&split.file.path);
        let file = open_unchanged(&path, &split.file)?;
        guarded("Avro", &path, || check_blocks(&file))?;
        let second = file.try_clone().map_err(Error::io("open", &path))?;
        let mut batches = guarded("Avro", &path, || self.open(second))?;
        while let Some(batch) = guarded("Avro", &path, || batches.next().transpose())? {
            out.emit(guarded("Avro", &path, || conform_batch(&batch, &self.schema))?)?;
        }
        check_unchanged(&file, &path, &split.file)
    }
}

impl AvroReader {
    fn open(&self, mut file: File) -> Result<Reader<BufReader<File>>, ArrowError> {
        let builder = || ReaderBuilder::new().with_batch_size(self.batch_rows);
        let all = builder().build(BufReader::new(file.try_clone()?))?;
        let in_file = all.schema();
        let read: Vec<usize> = self.schema.fields().iter().filter_map(|field| find(in_file.fields(), field.name())).collect();
        file.rewind()?;
        // Without a column there would be no rows to count.
        let builder = if read.is_empty() { builder() } else { builder().with_projection(read) };
        builder.build(BufReader::new(file))
    }
}

/// The columns of an Avro file.
pub(crate) fn schema_of(file: File) -> Result<SchemaRef, ArrowError> {
    Ok(ReaderBuilder::new().build(BufReader::new(file))?.schema())
}
