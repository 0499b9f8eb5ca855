//! What the sink writes is read back by the source; `tests/interop` has readers and writers that are not ours.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    Int64Builder, ListBuilder, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type};
use tidegate_runtime::{Epoch, OffsetRange, QueryId, ReadLimit, SinkSupplier, SourceSupplier};

use super::sources_tests::{batches, names_below};
use super::{Compression, FileSink, FileSource};
use crate::testing::{info, sink_context};

/// Writes an epoch of each batch.
pub(super) fn write(config: &FileSink, rows: &[RecordBatch]) {
    let schema = rows[0].schema();
    config.check_input(&schema).unwrap();
    let mut sink = config.supply().unwrap();
    sink.open(sink_context(QueryId::random(), schema, None)).unwrap();
    for (batch, epoch) in rows.iter().zip(0..) {
        let mut writer = sink.writer(0).unwrap();
        writer.write(info(epoch), batch.clone()).unwrap();
        let staged = writer.stage(info(epoch)).unwrap();
        sink.commit(Epoch::new(epoch), vec![staged]).unwrap();
    }
    sink.close().unwrap();
}

/// Values of simple types: extreme, empty and null.
fn simple() -> RecordBatch {
    let instants = TimestampMicrosecondArray::from(vec![Some(0), Some(4_102_444_799_999_000), None]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("i", Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None]))),
        ("l", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None]))),
        ("d", Arc::new(Float64Array::from(vec![Some(f64::MAX), Some(-0.5), None]))),
        ("s", Arc::new(StringArray::from(vec![Some(""), Some("é\"\n,🌊"), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(-1), Some(2_932_896), None]))),
        ("at", Arc::new(instants.with_timezone("UTC"))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// The same, with types that some formats lack.
fn rich() -> RecordBatch {
    let mut lists = ListBuilder::new(Int64Builder::new());
    lists.append_value([Some(1), None]);
    lists.append_value([]);
    lists.append_null();
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let nested = StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int64, true)), numbers)]);
    let decimals = Decimal128Array::from(vec![Some(-12_345), Some(0), None]).with_precision_and_scale(10, 2).unwrap();
    let more: [(&str, ArrayRef); 4] = [
        ("bin", Arc::new(BinaryArray::from(vec![Some(&b"\0\xFF"[..]), Some(b""), None]))),
        ("dec", Arc::new(decimals)),
        ("list", Arc::new(lists.finish())),
        ("st", Arc::new(nested)),
    ];
    let simple = simple();
    let names = simple.schema();
    let columns = names.fields().iter().map(|field| field.name().as_str()).zip(simple.columns().iter().cloned()).chain(more);
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn assert_read_back(source: &FileSource, rows: &RecordBatch) {
    let found = batches(source).unwrap();
    let found = concat_batches(&found[0].schema(), &found).unwrap();
    for (index, field) in rows.schema().fields().iter().enumerate() {
        assert_eq!(&found.column(index).to_data(), &rows.column(index).to_data(), "{}", field.name());
    }
}

#[test]
fn parquet_there_and_back() {
    for codec in [None, Some(Compression::Snappy), Some(Compression::Zstd)] {
        let dir = tempfile::tempdir().unwrap();
        write(&FileSink::parquet(dir.path()).compression(codec), &[rich()]);
        assert_read_back(&FileSource::parquet(dir.path(), rich().schema()), &rich());
    }
}

#[cfg(feature = "avro")]
#[test]
fn avro_there_and_back() {
    let codecs = [None, Some(Compression::Deflate), Some(Compression::Snappy), Some(Compression::Zstd), Some(Compression::Bzip2)];
    for codec in codecs {
        let dir = tempfile::tempdir().unwrap();
        write(&FileSink::avro(dir.path()).compression(codec), &[rich()]);
        assert_read_back(&FileSource::avro(dir.path(), rich().schema()), &rich());
        let inferred = FileSource::avro(dir.path(), rich().schema()).columns_of_files(false).unwrap().unwrap();
        assert_eq!(inferred.fields().len(), rich().num_columns());
        let some = FileSource::avro(dir.path(), rich().schema()).projection(["l"]);
        assert_read_back(&some, &rich().project(&[2]).unwrap());
    }
}

#[cfg(feature = "orc")]
#[test]
fn orc_there_and_back() {
    let codecs = [None, Some(Compression::Deflate), Some(Compression::Snappy), Some(Compression::Zstd)];
    for codec in codecs {
        let dir = tempfile::tempdir().unwrap();
        write(&FileSink::orc(dir.path()).compression(codec), &[simple()]);
        assert_read_back(&FileSource::orc(dir.path(), simple().schema()), &simple());
        let some = FileSource::orc(dir.path(), simple().schema()).projection(["l"]);
        assert_read_back(&some, &simple().project(&[2]).unwrap());
    }
    let error = FileSink::orc("x").check_input(&rich().schema()).unwrap_err().to_string();
    assert!(error.contains("the column dec of type Decimal128"), "{error}");
}

#[test]
fn compressed_json_there_and_back() {
    for codec in [Compression::Gzip, Compression::Deflate, Compression::Bzip2, Compression::Zstd, Compression::Snappy] {
        let dir = tempfile::tempdir().unwrap();
        write(&FileSink::json(dir.path()).compression(Some(codec)), &[simple()]);
        assert_eq!(names_below(dir.path()), [format!("part-00000-00000.json.{}", codec.extension())]);
        assert_read_back(&FileSource::json(dir.path(), simple().schema()), &simple());
    }
}

#[test]
fn partitions_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let keys: ArrayRef = Arc::new(StringArray::from(vec![Some("a/b"), None, Some("x y"), Some("a/b")]));
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
    let rows = RecordBatch::try_from_iter_with_nullable([("k", keys, true), ("v", values, true)]).unwrap();
    write(&FileSink::parquet(dir.path()).partition_by(["k"]), &[rows.clone(), rows.slice(0, 1)]);
    let mut names = names_below(dir.path());
    names.sort();
    let expected = [
        "k=__HIVE_DEFAULT_PARTITION__/part-00000-00000.parquet",
        "k=a%2Fb/part-00000-00000.parquet",
        "k=a%2Fb/part-00001-00000.parquet",
        "k=x y/part-00000-00000.parquet",
    ];
    assert_eq!(names, expected);
    let source = FileSource::parquet(dir.path(), rows.schema()).partition_columns(["k"]);
    let found = batches(&source).unwrap();
    assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 5);
}

/// The sink's files are merged between the epochs of a source that reads them: every row once.
#[test]
fn a_source_reads_merged_files_once() {
    let dir = tempfile::tempdir().unwrap();
    let rows = |n: i64| {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![n]));
        RecordBatch::try_from_iter_with_nullable([("v", values, true)]).unwrap()
    };
    for config in
        [FileSink::parquet(dir.path().join("p")), FileSink::csv(dir.path().join("c")), FileSink::json(dir.path().join("j"))]
    {
        let (query, schema) = (QueryId::random(), rows(0).schema());
        let config = config.compact_every(3);
        let mut sink = config.supply().unwrap();
        sink.open(sink_context(query, Arc::clone(&schema), None)).unwrap();
        let path = config.directory();
        let reader = match config.describe().split(' ').next() {
            Some("parquet") => FileSource::parquet(path, schema),
            Some("csv") => FileSource::csv(path, schema).header(true),
            _ => FileSource::json(path, schema),
        };
        // One that reads after each epoch, one that falls behind, one that comes late.
        let mut sources = [2, 4, 9].map(|after| (after, reader.supply().unwrap(), None, Vec::new()));
        for (_, source, _, _) in &mut sources {
            source.open(crate::testing::source_context(None, Vec::new())).unwrap();
        }
        for epoch in 0..10 {
            let mut writer = sink.writer(0).unwrap();
            writer.write(info(epoch), rows(epoch as i64)).unwrap();
            let staged = writer.stage(info(epoch)).unwrap();
            sink.commit(Epoch::new(epoch), vec![staged]).unwrap();
            for (after, source, from, found) in &mut sources {
                if epoch % *after != *after - 1 && epoch != 9 {
                    continue;
                }
                let Some(end) = source.latest_offset(from.as_ref(), ReadLimit::All).unwrap() else { continue };
                let range = OffsetRange { start: from.replace(end.clone()), end };
                source.journal(&range).unwrap();
                for batch in crate::testing::read(&mut **source, &range).unwrap() {
                    found.extend(batch.column(0).as_primitive::<Int64Type>().values().iter().copied());
                }
            }
        }
        for (after, _, _, mut found) in sources {
            found.sort_unstable();
            assert_eq!(found, (0..10).collect::<Vec<i64>>(), "every {after} epochs, {}", config.describe());
        }
        assert_eq!(names_below(path).len(), 4, "three merged files, and one that waits");
    }
}

#[test]
fn files_end_at_their_limits() {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    let rows = RecordBatch::try_from_iter_with_nullable([("v", values, true)]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    write(&FileSink::json(dir.path()).max_records_per_file(4), std::slice::from_ref(&rows));
    let mut names = names_below(dir.path());
    names.sort();
    assert_eq!(names, ["part-00000-00000-00001.json", "part-00000-00000-00002.json", "part-00000-00000.json"]);
    assert_eq!(batches(&FileSource::json(dir.path(), rows.schema())).unwrap().len(), 3);
    let dir = tempfile::tempdir().unwrap();
    write(&FileSink::json(dir.path()).max_file_bytes(1), &[rows.clone(), rows]);
    assert_eq!(names_below(dir.path()).len(), 2, "a batch is not cut for a size");
}
