//! Rows as Avro container files.

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::writer::format::AvroOcfFormat;
use arrow_avro::writer::{AvroWriter, WriterBuilder};
use tidegate_runtime::{Error, Result};

use super::compression::Compression;
use super::sink_writer::StagedBytes;

/// An Avro file that is being written.
pub(crate) struct AvroFile {
    writer: AvroWriter<StagedBytes>,
    /// About how many bytes were written.
    bytes: u64,
}

/// Whether rows of this schema can be written.
pub(crate) fn check(schema: &SchemaRef) -> Result<()> {
    builder(schema, None).build::<_, AvroOcfFormat>(Vec::new()).map(drop).map_err(|error| {
        Error::InvalidArgument(format!("[UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE] Avro can't hold the columns: {error}"))
    })
}

fn builder(schema: &SchemaRef, codec: Option<CompressionCodec>) -> WriterBuilder {
    WriterBuilder::new(Schema::clone(schema)).with_compression(codec)
}

impl AvroFile {
    pub(crate) fn new(schema: &SchemaRef, codec: Option<Compression>, file: StagedBytes) -> Result<Self> {
        let codec = codec.map(|codec| match codec {
            Compression::Deflate | Compression::Gzip => CompressionCodec::Deflate,
            Compression::Bzip2 => CompressionCodec::Bzip2,
            Compression::Zstd => CompressionCodec::ZStandard,
            Compression::Snappy => CompressionCodec::Snappy,
        });
        let writer = builder(schema, codec).build::<_, AvroOcfFormat>(file).map_err(Error::user)?;
        Ok(AvroFile { writer, bytes: 0 })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.bytes += batch.get_array_memory_size() as u64;
        self.writer.write(batch).map_err(Error::user)
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn finish(mut self) -> Result<StagedBytes> {
        self.writer.finish().map_err(Error::user)?;
        Ok(self.writer.into_inner())
    }
}

impl std::fmt::Debug for AvroFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AvroFile")
    }
}
