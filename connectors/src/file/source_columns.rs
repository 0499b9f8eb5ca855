//! The columns of a file source, and whether it can read them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidegate_runtime::Result;

use super::columns::Column;
use super::constants::{METADATA, Origin, ROW_INDEX, metadata_fields};
use super::records::RecordColumns;
use super::source::{FileSource, SourceFormat};

/// The longest line that can be allowed: a batch of text has 32-bit offsets.
pub(crate) const LARGEST_MAX_LINE_BYTES: usize = 1 << 30;

impl FileSource {
    /// The column that says which file a row is from, for those who ask for it: Spark's `_metadata`. That of Parquet files has
    /// `row_index`, too: the place of the row in its file, from zero.
    pub fn metadata_column(&self) -> Field {
        Field::new(METADATA, DataType::Struct(metadata_fields(self.has_row_index())), true)
    }

    fn has_row_index(&self) -> bool {
        matches!(self.format, SourceFormat::Parquet)
    }

    /// Whether the rows have `_metadata`: a column of the schema that has its name is another one.
    fn gives_metadata(&self) -> bool {
        self.schema.field_with_name(METADATA).is_err() && self.projected().contains(&METADATA)
    }

    pub(super) fn check(&self) -> Result<()> {
        let problem = match self {
            _ if self.max_files.is_some() && self.max_bytes.is_some() => {
                "max_files_per_trigger and max_bytes_per_trigger can't be both set"
            }
            _ if self.max_files == Some(0) => "max_files_per_trigger must be at least 1",
            _ if self.max_bytes == Some(0) => "max_bytes_per_trigger must be at least 1",
            _ if self.split_bytes == 0 => "split_bytes must be at least 1",
            _ if !(1..=LARGEST_MAX_LINE_BYTES).contains(&self.max_line_bytes) => "max_line_bytes must be between 1 and 1 GiB",
            _ if self.batch_rows == 0 => "batch_rows must be at least 1",
            FileSource { format: SourceFormat::Csv(csv), .. } if !csv.is_usable() => {
                "the separator must have no line end, and quote, escape and comment must be ASCII characters other than these and than its first"
            }
            FileSource { format: SourceFormat::Avro, .. } if cfg!(not(feature = "avro")) => {
                "Avro files are read by builds with the feature avro only: add it to the dependency on Tidegate"
            }
            FileSource { format: SourceFormat::Orc, .. } if cfg!(not(feature = "orc")) => {
                "ORC files are read by builds with the feature orc only: add it to the dependency on Tidegate"
            }
            _ => return self.check_schema(),
        };
        Err(self.refused(problem))
    }

    fn check_schema(&self) -> Result<()> {
        let mut names = HashSet::new();
        for field in self.schema.fields() {
            if !names.insert(field.name()) {
                return Err(self.refused(&format!("[COLUMN_ALREADY_EXISTS] the column {} is there twice", field.name())));
            }
            let kind = field.data_type();
            let fits = Column::can_hold(kind) && !(matches!(self.format, SourceFormat::Csv(_)) && kind.is_nested());
            if !fits {
                return Err(self.refused(&format!(
                    "[UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE] the column {} can't be read as {kind}",
                    field.name()
                )));
            }
        }
        self.output()?;
        self.record_columns().map(drop)
    }

    fn is_partition(&self, name: &str) -> bool {
        self.partitions.iter().any(|partition| partition.eq_ignore_ascii_case(name))
    }

    /// The columns that are in the files.
    fn file_schema(&self) -> SchemaRef {
        let fields =
            self.schema.fields().iter().filter(|field| {
                !self.is_partition(field.name()) || self.partitions_in_files.iter().any(|name| name == field.name())
            });
        Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
    }

    /// The columns of the rows, and where each comes from: a [`Origin::File`] by its place in [`record_columns`](Self::record_columns).
    pub(crate) fn output(&self) -> Result<(SchemaRef, Vec<Origin>)> {
        let (mut fields, mut origins, mut in_file) = (Vec::new(), Vec::new(), 0);
        for name in self.projected() {
            let origin = match self.schema.field_with_name(name) {
                Ok(field) => {
                    fields.push(field.clone());
                    if self.is_partition(name) { Origin::Partition } else { Origin::File(in_file) }
                }
                Err(_) if name == METADATA => {
                    fields.push(self.metadata_column());
                    let row_index = self.has_row_index().then(|| self.columns_read());
                    Origin::Metadata { row_index }
                }
                Err(_) => return Err(self.refused(&format!("[FIELD_NOT_FOUND] there is no column {name} to read"))),
            };
            in_file += usize::from(matches!(origin, Origin::File(_)));
            origins.push(origin);
        }
        Ok((Arc::new(Schema::new(fields)), origins))
    }

    /// How many columns of the files are read.
    fn columns_read(&self) -> usize {
        let is_in_file = |name: &&str| self.schema.field_with_name(name).is_ok() && !self.is_partition(name);
        self.projected().into_iter().filter(is_in_file).count()
    }

    fn projected(&self) -> Vec<&str> {
        match &self.projection {
            Some(columns) => columns.iter().map(String::as_str).collect(),
            None => self.schema.fields().iter().map(|field| field.name().as_str()).collect(),
        }
    }

    /// The columns of the files, those that are read, and the one for records that don't fit.
    pub(crate) fn record_columns(&self) -> Result<RecordColumns> {
        let schema = self.file_schema();
        let corrupt = schema.index_of(&self.corrupt_column).ok();
        let corrupt = corrupt.filter(|_| matches!(self.format, SourceFormat::Json(_) | SourceFormat::Csv(_)));
        if corrupt.is_some_and(|column| *schema.field(column).data_type() != DataType::Utf8) {
            let name = &self.corrupt_column;
            return Err(
                self.refused(&format!("[INVALID_CORRUPT_RECORD_TYPE] the column {name} for corrupt records must be of text"))
            );
        }
        let in_file = self.projected().into_iter().filter(|name| !self.is_partition(name));
        let mut read: Vec<usize> = in_file.filter_map(|name| schema.index_of(name).ok()).collect();
        if !(self.has_row_index() && self.gives_metadata()) {
            return Ok(RecordColumns { schema, read, corrupt });
        }
        let row_index = Arc::new(Field::new(ROW_INDEX, DataType::Int64, true));
        read.push(schema.fields().len());
        let schema = Arc::new(Schema::new([schema.fields().to_vec(), vec![row_index]].concat()));
        Ok(RecordColumns { schema, read, corrupt })
    }
}
