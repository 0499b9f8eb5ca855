//! Rows as ORC files.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use orc_rust::arrow_writer::ArrowWriterBuilder;
use orc_rust::compression::CompressionType;
use tidegate_runtime::{Error, Result};

use super::compression::Compression;
use super::sink_writer::StagedBytes;

/// The file, which the writer does not give back when it is closed.
#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<StagedBytes>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// A file is begun anew when it holds this much: its rows stay in memory until it is ended.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// An ORC file that is being written. Its rows are held until it is ended, because the encoder can't move to another thread, as a
/// sink's writer must be able to.
#[derive(Debug)]
pub(crate) struct OrcFile {
    schema: SchemaRef,
    codec: Option<Compression>,
    file: StagedBytes,
    rows: Vec<RecordBatch>,
    bytes: u64,
}

/// Whether rows of this schema can be written.
#[expect(clippy::wildcard_enum_match_arm, reason = "Arrow's types are many and grow; all but these are refused")]
pub(crate) fn check(schema: &SchemaRef) -> Result<()> {
    for field in schema.fields() {
        match field.data_type() {
            DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Utf8
            | DataType::Binary
            | DataType::Date32
            | DataType::Timestamp(..) => {}
            kind => {
                return Err(Error::InvalidArgument(format!(
                    "[UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE] ORC files can't be written with the column {} of type {kind}; write Parquet, \
                     or take the column apart",
                    field.name()
                )));
            }
        }
    }
    Ok(())
}

impl OrcFile {
    pub(crate) fn new(schema: &SchemaRef, codec: Option<Compression>, file: StagedBytes) -> Self {
        OrcFile { schema: Arc::clone(schema), codec, file, rows: Vec::new(), bytes: 0 }
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) {
        self.bytes += batch.get_array_memory_size() as u64;
        self.rows.push(batch.clone());
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn finish(self) -> Result<StagedBytes> {
        let file = Shared(Arc::new(Mutex::new(self.file)));
        let builder = ArrowWriterBuilder::new(file.clone(), self.schema);
        let builder = match self.codec {
            Some(Compression::Zstd) => builder.with_compression(CompressionType::Zstd),
            Some(Compression::Snappy) => builder.with_compression(CompressionType::Snappy),
            Some(Compression::Deflate | Compression::Gzip | Compression::Bzip2) => {
                builder.with_compression(CompressionType::Zlib)
            }
            None => builder,
        };
        let mut writer = builder.try_build().map_err(Error::user)?;
        self.rows.iter().try_for_each(|batch| writer.write(batch)).map_err(Error::user)?;
        writer.close().map_err(Error::user)?;
        let file = Arc::into_inner(file.0).ok_or_else(|| Error::Protocol("an ORC file is still being written".to_owned()))?;
        Ok(file.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}
