//! Parquet files as rows.
//!
//! A split is a stretch of bytes; the row groups whose middle lies in it are its rows. So splits are planned without opening a file.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::RowGroupMetaData;
use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

use super::conform::{conform_batch, find, guarded};
use super::constants::ROW_INDEX;
use super::parquet_pages::BoundedPages;
use super::split_reader::{FileSplit, check_unchanged, open_unchanged};

/// Reads splits of Parquet files.
#[derive(Debug)]
pub(crate) struct ParquetReader {
    pub(crate) dir: PathBuf,
    /// The columns that are read; if the last one is [`ROW_INDEX`], it is the number of the row in its file.
    pub(crate) schema: SchemaRef,
    pub(crate) batch_rows: usize,
}

impl SourceReader for ParquetReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: FileSplit = split.decode()?;
        let path = self.dir.join(&split.file.path);
        let file = open_unchanged(&path, &split.file)?;
        let second = file.try_clone().map_err(Error::io("open", &path))?;
        let (in_file, is_numbered) = self.columns();
        if let Some((mut batches, mut numbers)) = guarded("Parquet", &path, || self.open(second, &split, &in_file))? {
            while let Some(batch) = guarded("Parquet", &path, || batches.next().transpose())? {
                let mut batch = guarded("Parquet", &path, || conform_batch(&batch, &in_file))?;
                if is_numbered {
                    batch = guarded("Parquet", &path, || numbers.added_to(&batch, &self.schema))?;
                }
                out.emit(batch)?;
            }
        }
        check_unchanged(&file, &path, &split.file)
    }
}

impl ParquetReader {
    /// The columns that are in files, and whether the rows are numbered, too.
    fn columns(&self) -> (SchemaRef, bool) {
        match self.schema.fields().split_last() {
            Some((last, in_file)) if last.name() == ROW_INDEX => (Arc::new(Schema::new(in_file.to_vec())), true),
            _ => (Arc::clone(&self.schema), false),
        }
    }

    /// The rows of a split, and their numbers; `None` if it has none.
    fn open(
        &self,
        file: File,
        split: &FileSplit,
        schema: &Schema,
    ) -> Result<Option<(ParquetRecordBatchReader, RowNumbers)>, ArrowError> {
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
        let numbers = RowNumbers::of(metadata.metadata().row_groups(), &groups);
        let in_file = metadata.schema().fields();
        let roots: Vec<usize> = schema.fields().iter().filter_map(|field| find(in_file, field.name())).collect();
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
        let pages = BoundedPages::new(file, metadata.metadata(), &groups, |leaf| mask.leaf_included(leaf))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(pages, metadata);
        let rows = builder.with_projection(mask).with_row_groups(groups).with_batch_size(self.batch_rows).build()?;
        Ok(Some((rows, numbers)))
    }
}

/// The numbers of the rows that are still to come.
struct RowNumbers {
    /// Those of each row group, the last one first.
    groups: Vec<Range<i64>>,
}

impl RowNumbers {
    /// The numbers of the rows in these of all row groups of a file.
    fn of(all: &[RowGroupMetaData], read: &[usize]) -> Self {
        let mut end = 0_i64;
        let ranges = all.iter().map(|group| {
            let start = end;
            end = end.saturating_add(group.num_rows());
            start..end
        });
        let mut groups: Vec<Range<i64>> = ranges.enumerate().filter(|(n, _)| read.contains(n)).map(|(_, range)| range).collect();
        groups.reverse();
        RowNumbers { groups }
    }

    /// The next batch with the numbers of its rows as its last column.
    fn added_to(&mut self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let mut numbers = Vec::with_capacity(batch.num_rows());
        while numbers.len() < batch.num_rows() {
            let Some(group) = self.groups.last_mut() else {
                return Err(ArrowError::ParquetError("it has more rows than its row groups say".to_owned()));
            };
            numbers.extend(group.take(batch.num_rows() - numbers.len()));
            if group.is_empty() {
                self.groups.pop();
            }
        }
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
        RecordBatch::try_new(Arc::clone(schema), batch.columns().iter().cloned().chain([numbers]).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileSource;
    use crate::testing::{read, source_context};
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;
    use tidegate_runtime::{OffsetRange, ReadLimit, SourceSupplier};

    /// Reads a file of 1 000 rows, whose column `n` is their number, in row groups of 100.
    fn numbered(batch_rows: usize, split_bytes: u64, projection: &[&str]) -> Vec<RecordBatch> {
        let dir = tempfile::tempdir().unwrap();
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
        let rows = RecordBatch::try_from_iter_with_nullable([("n", numbers, true)]).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(100)).build();
        let file = File::create(dir.path().join("a.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        let source = FileSource::parquet(dir.path(), rows.schema()).batch_rows(batch_rows).split_bytes(split_bytes);
        let mut source = source.projection(projection.iter().copied()).supply().unwrap();
        source.open(source_context(None, Vec::new())).unwrap();
        let end = source.latest_offset(None, ReadLimit::All).unwrap().unwrap();
        read(source.as_mut(), &OffsetRange { start: None, end }).unwrap()
    }

    #[test]
    fn rows_are_numbered_in_their_file_whatever_part_of_it_is_read() {
        for (batch_rows, split_bytes) in [(8_192, 1 << 30), (7, 1 << 30), (150, 700), (33, 300)] {
            let batches = numbered(batch_rows, split_bytes, &["_metadata", "n"]);
            let mut found = Vec::new();
            for batch in &batches {
                let index = batch.column(0).as_struct().column_by_name("row_index").unwrap();
                assert_eq!(index.as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
                found.extend(index.as_primitive::<Int64Type>().values().iter().copied());
            }
            found.sort_unstable();
            assert_eq!(found, (0..1_000).collect::<Vec<_>>(), "{batch_rows} rows, {split_bytes} bytes");
        }
        let alone = numbered(64, 500, &["_metadata"]);
        assert_eq!(alone.iter().map(RecordBatch::num_rows).sum::<usize>(), 1_000);
    }
}
