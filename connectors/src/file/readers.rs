//! The reader of each format.

use std::path::PathBuf;

use tidegate_runtime::{Result, SourceReader};

use super::csv_reader::CsvReader;
use super::json_reader::JsonReader;
use super::parquet_reader::ParquetReader;
use super::records::{RecordColumns, Records};
use super::source::{FileSource, SourceFormat};
use super::text_reader::TextReader;

impl SourceFormat {
    /// Whether files are lines, which are compressed as a whole if at all.
    pub(crate) fn is_lines(&self) -> bool {
        match self {
            SourceFormat::Text { .. } | SourceFormat::Json(_) | SourceFormat::Csv(_) => true,
            SourceFormat::Parquet | SourceFormat::Avro | SourceFormat::Orc => false,
        }
    }

    /// What reads the columns of files below `dir`.
    pub(crate) fn reader(&self, config: &FileSource, dir: PathBuf, columns: &RecordColumns) -> Result<Box<dyn SourceReader>> {
        let (schema, lines) = (columns.output()?, config.lines());
        Ok(match self {
            SourceFormat::Text { whole_text, is_lossy } => {
                Box::new(TextReader { dir, schema, whole_text: *whole_text, is_lossy: *is_lossy, lines })
            }
            SourceFormat::Json(json) => {
                let records = Records::new(columns, config.mode, &config.forms)?;
                Box::new(JsonReader { dir, records, rules: json.rules(), multi_line: json.multi_line, lines })
            }
            SourceFormat::Csv(csv) => {
                let (records, targets) = (Records::new(columns, config.mode, &config.forms)?, CsvReader::targets(columns));
                let names = CsvReader::names(columns);
                Box::new(CsvReader { dir, records, targets, names, options: csv.clone(), lines })
            }
            SourceFormat::Parquet => Box::new(ParquetReader { dir, schema, batch_rows: config.batch_rows }),
            #[cfg(feature = "avro")]
            SourceFormat::Avro => Box::new(super::avro_reader::AvroReader { dir, schema, batch_rows: config.batch_rows }),
            #[cfg(feature = "orc")]
            SourceFormat::Orc => Box::new(super::orc_reader::OrcReader { dir, schema, batch_rows: config.batch_rows }),
            #[cfg(not(feature = "avro"))]
            SourceFormat::Avro => return config.without_feature(),
            #[cfg(not(feature = "orc"))]
            SourceFormat::Orc => return config.without_feature(),
        })
    }
}
