//! Parquet files as rows.
//!
//! A split is a stretch of bytes; the row groups whose middle lies in it are its rows. So splits are planned without opening a file.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::RowGroupMetaData;
use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

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
        if let Some(mut batches) = guarded(&path, || self.open(second, &split))? {
            while let Some(batch) = guarded(&path, || batches.next().transpose())? {
                let batch = guarded(&path, || self.conform(&batch))?;
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
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        Ok(Some(builder.with_projection(mask).with_row_groups(groups).with_batch_size(self.batch_rows).build()?))
    }

    /// The batch with the columns of our schema.
    fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let rows = batch.num_rows();
        let columns = conform_fields(batch.schema_ref().fields(), batch.columns(), self.schema.fields(), rows)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

/// Calls the decoder, which may panic on a damaged file, and names the file in what goes wrong.
fn guarded<T>(path: &Path, call: impl FnOnce() -> Result<T, ArrowError>) -> Result<T> {
    let failed =
        |what: String| Error::user(format!("[FAILED_READ_FILE.NO_HINT] can't read the Parquet file {}: {what}", path.display()));
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed("it is damaged: its decoder panicked".to_owned())),
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

/// The field of this name, or the only one that differs from it by case.
fn find(fields: &Fields, name: &str) -> Option<usize> {
    fields.iter().position(|field| field.name() == name).or_else(|| {
        let lower = name.to_lowercase();
        let mut similar = fields.iter().enumerate().filter(|(_, field)| field.name().to_lowercase() == lower);
        let first = similar.next().map(|(n, _)| n);
        first.filter(|_| similar.next().is_none())
    })
}

fn conform_fields(fields: &Fields, columns: &[ArrayRef], wanted: &Fields, rows: usize) -> Result<Vec<ArrayRef>, ArrowError> {
    let column = |field: &FieldRef| match find(fields, field.name()).and_then(|index| columns.get(index)) {
        Some(column) => conform(column, field),
        None => Ok(new_null_array(field.data_type(), rows)),
    };
    wanted.iter().map(column).collect()
}

/// The column as the field's type.
fn conform(column: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let wanted = field.data_type();
    if column.data_type() == wanted {
        return Ok(Arc::clone(column));
    }
    match (column.data_type(), wanted) {
        (DataType::Struct(fields), DataType::Struct(wanted)) => {
            let rows = column.as_struct();
            let columns = conform_fields(fields, rows.columns(), wanted, rows.len())?;
            Ok(Arc::new(StructArray::try_new_with_length(wanted.clone(), columns, rows.nulls().cloned(), rows.len())?))
        }
        (DataType::List(_), DataType::List(item)) => {
            let lists = column.as_list::<i32>();
            let items = conform(lists.values(), item)?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), lists.offsets().clone(), items, lists.nulls().cloned())?))
        }
        (DataType::Map(..), DataType::Map(wanted, sorted)) => {
            let maps = column.as_map();
            let DataType::Struct(pair) = wanted.data_type() else { return Err(mismatch(column.data_type(), field)) };
            let parts = [maps.keys(), maps.values()].into_iter().zip(pair).map(|(part, field)| conform(part, field));
            let entries = StructArray::try_new(pair.clone(), parts.collect::<Result<_, _>>()?, None)?;
            let (offsets, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(Arc::clone(wanted), offsets, entries, nulls, *sorted)?))
        }
        (from, to) if is_safe(from, to) => cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() }),
        (from, _) => Err(mismatch(from, field)),
    }
}

fn mismatch(from: &DataType, field: &Field) -> ArrowError {
    ArrowError::SchemaError(format!(
        "[FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH] the column {} is of type {from} in the file, but {} is expected",
        field.name(),
        field.data_type()
    ))
}

/// Whether every value of a type has its equal in the other.
fn is_safe(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        (T::Int8 | T::UInt8, T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64)
        | (T::Int16 | T::UInt16, T::Int32 | T::Int64 | T::Float32 | T::Float64)
        | (T::Int32 | T::UInt32, T::Int64 | T::Float64)
        | (T::Float16, T::Float32 | T::Float64)
        | (T::Float32, T::Float64)
        | (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Utf8 | T::Binary)
        | (T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_), T::Binary)
        // Text without its annotation, as old writers left it.
        | (T::Binary, T::Utf8)
        | (T::Date32, T::Timestamp(_, None))
        | (T::Timestamp(..), T::Timestamp(..)) => true,
        // Numbers are checked when they are read: narrower columns are written with wider physical types.
        (T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64, T::Decimal128(..)) => true,
        (T::Int32, T::Int8 | T::Int16) => true,
        (T::Decimal128(p1, s1) | T::Decimal32(p1, s1) | T::Decimal64(p1, s1), T::Decimal128(p2, s2)) => {
            s2 >= s1 && i16::from(*p2) - i16::from(*s2) >= i16::from(*p1) - i16::from(*s1)
        }
        (T::Dictionary(_, values), to) => **values == *to || is_safe(values, to),
        (T::Null, _) => true,
        _ => false,
    }
}
