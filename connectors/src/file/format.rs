//! Rows as bytes.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tidegate_runtime::{Error, Result};

use super::compression::{Compression, Compressor};
use super::csv_rows::CsvWriteOptions;
use super::forms::TimeTexts;
use super::json_rows::{self, JsonWriteOptions};
use super::sink_writer::StagedBytes;

/// How a file sink writes rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FormatKind {
    /// Comma-separated values.
    Csv(CsvWriteOptions),
    /// One column of text, a line for each row, with this end.
    Text(String),
    /// A line for each row.
    Json(JsonWriteOptions),
    /// Row groups of columns.
    Parquet,
    /// Blocks of rows, with their schema.
    Avro,
    /// Stripes of columns.
    Orc,
}

/// A format, and how its files are compressed.
#[derive(Debug, Clone)]
pub(crate) struct Format {
    pub(crate) kind: FormatKind,
    pub(crate) codec: Option<Compression>,
    /// How dates and times are written, where they are text.
    pub(crate) times: TimeTexts,
}

impl FormatKind {
    /// The name of the format.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            FormatKind::Csv(_) => "csv",
            FormatKind::Text(_) => "text",
            FormatKind::Json(_) => "json",
            FormatKind::Parquet => "parquet",
            FormatKind::Avro => "avro",
            FormatKind::Orc => "orc",
        }
    }

    /// With the compression that Spark's files have if none is chosen.
    pub(crate) fn with_usual_codec(self) -> Format {
        let codec = match self {
            FormatKind::Csv(_) | FormatKind::Text(_) | FormatKind::Json(_) => None,
            FormatKind::Parquet | FormatKind::Avro => Some(Compression::Snappy),
            FormatKind::Orc => Some(Compression::Zstd),
        };
        Format { kind: self, codec, times: TimeTexts::default() }
    }
}

impl Format {
    /// Appends the rows to `bytes`; `first` if no rows precede them in the file.
    fn encode(&self, batch: &RecordBatch, first: bool, bytes: &mut Vec<u8>) -> Result<()> {
        match &self.kind {
            FormatKind::Csv(csv) => csv.encode(batch, first, &self.times, bytes),
            FormatKind::Text(end) => encode_text(batch.column(0), end, bytes),
            FormatKind::Json(json) => json_rows::encode(batch, json, &self.times, bytes),
            FormatKind::Parquet | FormatKind::Avro | FormatKind::Orc => {
                Err(Error::Protocol(format!("a {} file does not grow by lines", self.kind.name())))
            }
        }
    }

    /// What each file begins with, before any row.
    pub(crate) fn header(&self, schema: &SchemaRef) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let FormatKind::Csv(_) = self.kind {
            self.encode(&RecordBatch::new_empty(Arc::clone(schema)), true, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// The end of the names of the files.
    pub(crate) fn extension(&self) -> String {
        let extension = match &self.kind {
            FormatKind::Csv(_) => "csv",
            FormatKind::Text(_) => "txt",
            FormatKind::Json(_) => "json",
            // These compress their blocks, and a name must not say that the file as a whole is compressed.
            FormatKind::Parquet => return "parquet".to_owned(),
            FormatKind::Avro => return "avro".to_owned(),
            FormatKind::Orc => return "orc".to_owned(),
        };
        match self.codec {
            Some(codec) => format!("{extension}.{}", codec.extension()),
            None => extension.to_owned(),
        }
    }

    /// How large a file may become at most.
    pub(crate) fn max_bytes(&self) -> u64 {
        #[cfg(feature = "orc")]
        if self.kind == FormatKind::Orc {
            return super::orc_writer::MAX_BYTES;
        }
        u64::MAX
    }

    /// Whether its options can be used.
    pub(crate) fn check_options(&self) -> Result<()> {
        let fits = match (&self.kind, self.codec) {
            (FormatKind::Csv(csv), _) if !csv.is_usable() => {
                let what = "what separates the values of a CSV file must have no line end and no quote, quote and escape must be ASCII \
                            characters, and what ends a row must not be empty";
                return Err(Error::InvalidArgument(what.to_owned()));
            }
            (FormatKind::Avro, _) if cfg!(not(feature = "avro")) => return Err(without_feature("Avro", "avro")),
            (FormatKind::Orc, _) if cfg!(not(feature = "orc")) => return Err(without_feature("ORC", "orc")),
            (FormatKind::Csv(_) | FormatKind::Text(_) | FormatKind::Json(_), _) | (_, None) => true,
            (FormatKind::Parquet, codec) => matches!(codec, Some(Compression::Snappy | Compression::Zstd)),
            (FormatKind::Avro, codec) => codec != Some(Compression::Gzip),
            (FormatKind::Orc, codec) => {
                matches!(codec, Some(Compression::Snappy | Compression::Zstd | Compression::Deflate))
            }
        };
        if fits {
            return Ok(());
        }
        Err(Error::InvalidArgument(format!(
            "[CODEC_NOT_AVAILABLE] {} files can't be written with the compression {:?}",
            self.kind.name(),
            self.codec
        )))
    }

    /// Whether rows of this schema can be written.
    pub(crate) fn check(&self, schema: &SchemaRef) -> Result<()> {
        match &self.kind {
            FormatKind::Csv(_) => schema.fields().iter().try_for_each(|field| check_csv_column(field)),
            FormatKind::Text(_) => check_text_columns(schema),
            FormatKind::Json(_) => Ok(()),
            FormatKind::Parquet => check_parquet_columns(schema),
            #[cfg(feature = "avro")]
            FormatKind::Avro => super::avro_writer::check(schema),
            #[cfg(feature = "orc")]
            FormatKind::Orc => super::orc_writer::check(schema),
            #[cfg(not(feature = "avro"))]
            FormatKind::Avro => Err(without_feature("Avro", "avro")),
            #[cfg(not(feature = "orc"))]
            FormatKind::Orc => Err(without_feature("ORC", "orc")),
        }
    }

    /// What writes rows of this schema into `file`.
    pub(crate) fn encoder(&self, schema: &SchemaRef, file: StagedBytes) -> Result<Encoder> {
        match &self.kind {
            FormatKind::Csv(_) | FormatKind::Text(_) | FormatKind::Json(_) => {
                let path = file.path().clone();
                let file = Box::new(Compressor::new(self.codec, file).map_err(Error::io("write", path))?);
                Ok(Encoder::Lines { format: self.clone(), file, is_first: true, buffer: Vec::new() })
            }
            FormatKind::Parquet => {
                let codec = match self.codec {
                    Some(Compression::Zstd) => ParquetCompression::ZSTD(ZstdLevel::default()),
                    Some(_) => ParquetCompression::SNAPPY,
                    None => ParquetCompression::UNCOMPRESSED,
                };
                let properties = WriterProperties::builder().set_compression(codec).build();
                let writer = ArrowWriter::try_new(file, Arc::clone(schema), Some(properties)).map_err(Error::user)?;
                Ok(Encoder::Parquet(Box::new(writer)))
            }
            #[cfg(feature = "avro")]
            FormatKind::Avro => super::avro_writer::AvroFile::new(schema, self.codec, file).map(Encoder::Avro),
            #[cfg(feature = "orc")]
            FormatKind::Orc => Ok(Encoder::Orc(super::orc_writer::OrcFile::new(schema, self.codec, file))),
            #[cfg(not(feature = "avro"))]
            FormatKind::Avro => Err(without_feature("Avro", "avro")),
            #[cfg(not(feature = "orc"))]
            FormatKind::Orc => Err(without_feature("ORC", "orc")),
        }
    }
}

fn without_feature(format: &str, feature: &str) -> Error {
    Error::InvalidArgument(format!(
        "{format} files are written by builds with the feature {feature} only: add it to the dependency on Tidegate"
    ))
}

/// Writes rows into one file.
#[derive(Debug)]
pub(crate) enum Encoder {
    Lines {
        format: Format,
        file: Box<Compressor<StagedBytes>>,
        is_first: bool,
        /// Encoded rows, kept for its allocation.
        buffer: Vec<u8>,
    },
    Parquet(Box<ArrowWriter<StagedBytes>>),
    #[cfg(feature = "avro")]
    Avro(super::avro_writer::AvroFile),
    #[cfg(feature = "orc")]
    Orc(super::orc_writer::OrcFile),
}

/// A row group of a Parquet file is written out when it has grown to this.
const ROW_GROUP_BYTES: usize = 128 << 20;

impl Encoder {
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Encoder::Lines { format, file, is_first, buffer } => {
                buffer.clear();
                format.encode(batch, *is_first, buffer)?;
                *is_first = false;
                let written = file.write_all(buffer);
                written.map_err(Error::io("write", file.get_ref().path()))
            }
            Encoder::Parquet(writer) => {
                writer.write(batch).map_err(Error::user)?;
                if writer.in_progress_size() >= ROW_GROUP_BYTES { writer.flush().map_err(Error::user) } else { Ok(()) }
            }
            #[cfg(feature = "avro")]
            Encoder::Avro(file) => file.write(batch),
            #[cfg(feature = "orc")]
            Encoder::Orc(file) => {
                file.write(batch);
                Ok(())
            }
        }
    }

    /// About how many bytes the file has.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Encoder::Lines { file, .. } => file.get_ref().len(),
            Encoder::Parquet(writer) => (writer.bytes_written() + writer.in_progress_size()) as u64,
            #[cfg(feature = "avro")]
            Encoder::Avro(file) => file.len(),
            #[cfg(feature = "orc")]
            Encoder::Orc(file) => file.len(),
        }
    }

    /// All rows are in: the file with whatever its format ends with.
    pub(crate) fn finish(self) -> Result<StagedBytes> {
        match self {
            Encoder::Lines { file, .. } => {
                let path = file.get_ref().path().clone();
                file.finish().map_err(Error::io("write", path))
            }
            Encoder::Parquet(writer) => writer.into_inner().map_err(Error::user),
            #[cfg(feature = "avro")]
            Encoder::Avro(file) => file.finish(),
            #[cfg(feature = "orc")]
            Encoder::Orc(file) => file.finish(),
        }
    }
}

fn check_csv_column(field: &Field) -> Result<()> {
    let kind = field.data_type();
    let is_binary =
        matches!(kind, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_));
    if kind.is_nested() || is_binary {
        let name = field.name();
        return Err(Error::InvalidArgument(format!(
            "[UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE] CSV can't hold the column {name} of type {kind}; take its fields apart or turn it \
             into text first"
        )));
    }
    Ok(())
}

fn check_text_columns(schema: &Schema) -> Result<()> {
    let is_text = |field: &Field| matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match schema.fields().iter().as_slice() {
        [column] if is_text(column) => Ok(()),
        [column] => Err(Error::InvalidArgument(format!(
            "[UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE] a text file can't hold the column {} of type {}; turn it into text first",
            column.name(),
            column.data_type()
        ))),
        columns => Err(Error::InvalidArgument(format!(
            "a text file has exactly one column of text, but the rows have {} columns: {}",
            columns.len(),
            columns.iter().map(|column| column.name().as_str()).collect::<Vec<_>>().join(", ")
        ))),
    }
}

fn check_parquet_columns(schema: &Schema) -> Result<()> {
    let refused = |error: ParquetError| {
        Error::InvalidArgument(format!("[UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE] Parquet can't hold the columns: {error}"))
    };
    ArrowSchemaConverter::new().convert(schema).map(drop).map_err(refused)
}

fn encode_text(column: &ArrayRef, end: &str, bytes: &mut Vec<u8>) -> Result<()> {
    let column = cast(column, &DataType::Utf8)?;
    let column = column.as_string::<i32>();
    for row in 0..column.len() {
        // Null is an empty line, as in Spark.
        if column.is_valid(row) {
            bytes.extend_from_slice(column.value(row).as_bytes());
        }
        bytes.extend_from_slice(end.as_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray, StringViewArray, TimestampMicrosecondArray};

    fn csv() -> CsvWriteOptions {
        CsvWriteOptions { header: true, ..CsvWriteOptions::default() }
    }

    fn text() -> FormatKind {
        FormatKind::Text("\n".to_owned())
    }

    fn encode(format: FormatKind, columns: Vec<(&str, ArrayRef)>) -> String {
        let mut bytes = Vec::new();
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        format.with_usual_codec().encode(&batch, true, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn csv_with_header_quotes_nulls_and_instants() {
        let columns = || -> Vec<(&str, ArrayRef)> {
            vec![
                ("text", Arc::new(StringArray::from(vec![Some("a,\"b\""), None]))),
                ("n", Arc::new(Int64Array::from(vec![1, -2]))),
                ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), None]).with_timezone("UTC"))),
            ]
        };
        let written = encode(FormatKind::Csv(csv()), columns());
        assert_eq!(written, "text,n,at\n\"a,\\\"b\\\"\",1,1970-01-01T00:00:01.500Z\n,-2,\n");
        let plain = CsvWriteOptions {
            separator: ";".to_owned(),
            escape: b'"',
            null_value: "NULL".to_owned(),
            ..CsvWriteOptions::default()
        };
        assert_eq!(encode(FormatKind::Csv(plain), columns()), "\"a,\"\"b\"\"\";1;1970-01-01T00:00:01.500Z\nNULL;-2;NULL\n");
    }

    #[test]
    fn separators_that_break_lines_or_quotes_are_refused() {
        let checked = |separator: &str| {
            let csv = CsvWriteOptions { separator: separator.to_owned(), ..csv() };
            FormatKind::Csv(csv).with_usual_codec().check_options()
        };
        assert!(["", "\"", "\n", "a\r"].iter().all(|separator| checked(separator).is_err()));
        assert!(["\t", "::", "é"].iter().all(|separator| checked(separator).is_ok()));
    }

    #[test]
    fn text_of_any_string_type() {
        let column: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a text of more than twelve bytes")]));
        assert_eq!(encode(text(), vec![("value", column)]), "a\n\na text of more than twelve bytes\n");
    }

    #[test]
    fn columns_that_do_not_fit_are_named() {
        let schema = |kinds: Vec<DataType>| {
            let fields = kinds.into_iter().enumerate().map(|(n, kind)| Field::new(format!("c{n}"), kind, true));
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        };
        let list = DataType::new_list(DataType::Int64, true);
        let error =
            FormatKind::Csv(csv()).with_usual_codec().check(&schema(vec![DataType::Int64, list])).unwrap_err().to_string();
        assert!(error.contains("the column c1 of type List"), "{error}");
        let error = text().with_usual_codec().check(&schema(vec![DataType::Utf8, DataType::Utf8])).unwrap_err().to_string();
        assert!(error.ends_with("2 columns: c0, c1"), "{error}");
        let error = text().with_usual_codec().check(&schema(vec![DataType::Int64])).unwrap_err().to_string();
        assert!(error.contains("the column c0 of type Int64"), "{error}");
        text().with_usual_codec().check(&schema(vec![DataType::Utf8View])).unwrap();
    }
}
