//! Tests of the readers of JSON, CSV and Parquet files through the file source: what Spark makes of each record.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
    TimestampNanosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tidegate_runtime::{OffsetRange, ReadLimit, Result, SourceSupplier};

use super::{FileSource, ParseMode};
use crate::testing::{read, source_context};

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>()))
}

/// All rows of all files, in one batch.
fn rows(config: &FileSource) -> Result<RecordBatch> {
    let mut source = config.supply()?;
    source.open(source_context(None, Vec::new()))?;
    let end = source.latest_offset(None, ReadLimit::All)?.unwrap();
    let range = OffsetRange { start: None, end };
    source.journal(&range)?;
    Ok(concat_batches(&config.schema()?, &read(&mut *source, &range)?)?)
}

/// A row as text: `-` for null.
fn shown(batch: &RecordBatch) -> Vec<String> {
    let batch = crate::instants::in_utc(batch).unwrap();
    let options = FormatOptions::new().with_null("-");
    let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|")).collect()
}

fn json(content: &str, columns: &[(&str, DataType)], set: impl FnOnce(FileSource) -> FileSource) -> Result<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.json"), content).unwrap();
    rows(&set(FileSource::json(dir.path(), schema(columns)))).map(|batch| shown(&batch))
}

fn csv(content: &str, columns: &[(&str, DataType)], set: impl FnOnce(FileSource) -> FileSource) -> Result<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), content).unwrap();
    rows(&set(FileSource::csv(dir.path(), schema(columns)))).map(|batch| shown(&batch))
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn ints() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Int32, true)))
}

fn map_of(value: DataType) -> DataType {
    let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields.into()), false)), false)
}

#[test]
fn json_values_by_type() {
    let decimal = DataType::Decimal128(5, 2);
    let ntz = DataType::Timestamp(TimeUnit::Microsecond, None);
    let k = DataType::Struct(Fields::from(vec![Field::new("k", DataType::Int32, true), Field::new("l", DataType::Int32, true)]));
    let cases: Vec<(&str, DataType, &str)> = vec![
        ("1", DataType::Int32, "1"),
        ("1.5", DataType::Int32, "-"),
        ("1.0", DataType::Int32, "-"),
        ("9999999999", DataType::Int32, "-"),
        ("\"1\"", DataType::Int32, "-"),
        ("\"\"", DataType::Int32, "-"),
        ("{}", DataType::Int32, "-"),
        ("-128", DataType::Int8, "-128"),
        ("128", DataType::Int8, "-128"),
        ("256", DataType::Int8, "-"),
        ("-9223372036854775808", DataType::Int64, "-9223372036854775808"),
        ("true", DataType::Boolean, "true"),
        ("\"true\"", DataType::Boolean, "-"),
        ("1e5", DataType::Float64, "100000.0"),
        ("1", DataType::Float32, "1.0"),
        ("\"NaN\"", DataType::Float64, "NaN"),
        ("-Infinity", DataType::Float64, "-inf"),
        ("\"INF\"", DataType::Float64, "-"),
        ("\"1.5\"", DataType::Float64, "-"),
        ("\"1.5\"", decimal.clone(), "1.50"),
        ("1.555", decimal.clone(), "1.56"),
        ("99999", decimal, "-"),
        ("1", DataType::Utf8, "1"),
        ("1.0", DataType::Utf8, "1.0"),
        ("true", DataType::Utf8, "true"),
        ("null", DataType::Utf8, "-"),
        ("{\"x\" : [1, \"\\u00e9\\n\" ,null]}", DataType::Utf8, "{\"x\" : [1, \"\\u00e9\\n\" ,null]}"),
        ("\"\\ud83d\\ude00 \\/ \\ud83d\"", DataType::Utf8, "😀 / ?"),
        ("'it\\'s'", DataType::Utf8, "it's"),
        ("\"aGk=\"", DataType::Binary, "6869"),
        ("\"2024-01-01T10:11:12\"", DataType::Date32, "2024-01-01"),
        ("20", DataType::Date32, "-"),
        ("123", instant(), "1970-01-01T00:02:03Z"),
        ("\"2024-01-01 10:11:12.123456\"", instant(), "2024-01-01T10:11:12.123456Z"),
        ("\"2024-01-01T10:11:12+02:00\"", instant(), "2024-01-01T08:11:12Z"),
        ("1.5", instant(), "-"),
        ("\"2024-01-01T10:11:12Z\"", ntz.clone(), "-"),
        ("\"2024-01-01T10:11:12\"", ntz, "2024-01-01T10:11:12"),
        ("[1,null]", ints(), "[1, -]"),
        ("[1,\"x\"]", ints(), "-"),
        ("[]", ints(), "[]"),
        ("{\"k\":1,\"l\":null}", map_of(DataType::Int32), "{k: 1, l: -}"),
        ("{\"k\":1,\"l\":\"x\"}", map_of(DataType::Int32), "-"),
        ("{\"k\":1,\"l\":\"x\"}", k.clone(), "{k: 1, l: -}"),
        ("[1]", k, "-"),
    ];
    for (value, kind, expected) in cases {
        // A second column shows that reading goes on behind the value.
        let line = format!(" {{ \"unknown\": [{{\"a\": '}}'}}], \"a\" : {value} , \"b\":7}}");
        let found = json(&line, &[("a", kind.clone()), ("b", DataType::Int32)], |c| c).unwrap();
        assert_eq!(found, [format!("{expected}|7")], "{value} as {kind}");
    }
}

#[test]
fn json_lines_that_are_none_are_rows_of_nulls() {
    let malformed = [
        "{\"a\":1",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":1,,\"b\":2}",
        "{a:1}",
        "{\"a\":\"x\ty\"}",
        "5",
        "\"x\"",
        "{\"a\":tru}",
        "{\"a\":1 \"b\":2}",
        "[{\"a\":1}, 2]",
        "{\"a\":\"\\x\"}",
        "{\"b\":2,\"a\":-}",
        "null",
    ];
    for line in malformed {
        let content = format!("{{\"a\":1}}\n{line}\n{{\"a\":3}}\n");
        let columns = [("a", DataType::Utf8), ("b", DataType::Int32), ("_corrupt_record", DataType::Utf8)];
        let found = json(&content, &columns, |c| c).unwrap();
        assert_eq!(found, ["1|-|-".to_owned(), format!("-|-|{line}"), "3|-|-".to_owned()], "{line}");
        let dropped = json(&content, &columns, |c| c.mode(ParseMode::DropMalformed)).unwrap();
        assert_eq!(dropped, ["1|-|-", "3|-|-"], "{line}");
        let failed = json(&content, &columns, |c| c.mode(ParseMode::FailFast)).unwrap_err().to_string();
        assert!(failed.contains("can't read line 2 of the file") && failed.contains("a.json"), "{failed}");
        assert!(failed.contains("[MALFORMED_RECORD_IN_PARSING") && failed.contains("[FAILED_READ_FILE"), "{failed}");
    }
    let deep = format!("{{\"x\":{}}}\n{{\"a\":\"1\"}}", "[".repeat(100_000));
    assert_eq!(json(&deep, &[("a", DataType::Utf8)], |c| c).unwrap(), ["-", "1"]);
}

#[test]
fn json_records_and_their_columns() {
    let a = [("a", DataType::Int32)];
    assert_eq!(json("\n \n{}\n[{\"a\":1},{\"a\":2}]\n[]\n{\"a\":3} junk\r\n", &a, |c| c).unwrap(), ["-", "1", "2", "3"]);
    assert_eq!(json("{\"a\":1,\"a\":2}\n{\"a\":\"x\",\"a\":3}\n{\"A\":1}", &a, |c| c).unwrap(), ["2", "3", "-"]);
    // Names in another order, and names that come and go.
    let three = [("a", DataType::Int32), ("b", DataType::Int32), ("c", DataType::Int32)];
    let content = "{\"a\":1,\"b\":2,\"c\":3}\n{\"c\":3,\"x\":0,\"a\":1}\n{\"b\":2}\n";
    assert_eq!(json(content, &three, |c| c).unwrap(), ["1|2|3", "1|-|3", "-|2|-"]);
    assert_eq!(json(content, &three, |c| c.projection(["c", "a"])).unwrap(), ["3|1", "3|1", "-|-"]);
    assert_eq!(json(content, &three, |c| c.projection([""; 0])).unwrap().len(), 3);
    // A value that does not fit is corrupt too, but only if its column is read.
    let corrupt = [("a", DataType::Int32), ("b", DataType::Int32), ("bad", DataType::Utf8)];
    let content = "{\"a\":\"x\",\"b\":1}\n";
    let named = |c: FileSource| c.column_name_of_corrupt_record("bad");
    assert_eq!(json(content, &corrupt, named).unwrap(), ["-|1|{\"a\":\"x\",\"b\":1}"]);
    assert_eq!(json(content, &corrupt, |c| named(c).projection(["bad", "b"])).unwrap(), ["-|1"]);
    assert!(json(content, &corrupt, |c| named(c).mode(ParseMode::DropMalformed)).unwrap().is_empty());
    assert!(json(content, &corrupt, |c| named(c).mode(ParseMode::FailFast)).is_err());
}

#[test]
fn json_bytes_that_are_no_text_spoil_their_line_only() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), b"{\"a\":\"x\"}\n{\"a\":\"\xFF\"}\n{\"a\":\"z\"}\n").unwrap();
    let found = rows(&FileSource::json(dir.path(), schema(&[("a", DataType::Utf8)]))).unwrap();
    assert_eq!(shown(&found), ["x", "-", "z"]);
}

#[test]
fn json_in_many_splits_and_batches() {
    let dir = tempfile::tempdir().unwrap();
    let nested = DataType::Struct(Fields::from(vec![Field::new("l", ints(), true)]));
    let line =
        |n: usize| if n.is_multiple_of(7) { "{broken".to_owned() } else { format!("{{\"n\":{n},\"s\":{{\"l\":[{n},{n}]}}}}") };
    let content: Vec<String> = (0..20_000).map(line).collect();
    std::fs::write(dir.path().join("a"), content.join("\n")).unwrap();
    let columns = schema(&[("n", DataType::Int64), ("s", nested)]);
    for split_bytes in [10_007, 4 << 20] {
        let found = rows(&FileSource::json(dir.path(), Arc::clone(&columns)).split_bytes(split_bytes)).unwrap();
        let numbers = found.column(0).as_primitive::<Int64Type>();
        assert!((0..20_000).all(|n| if n % 7 == 0 { numbers.is_null(n) } else { numbers.value(n) == n as i64 }));
        let lists = found.column(1).as_struct().column(0).as_list::<i32>();
        assert_eq!(lists.value(19_998).as_primitive::<Int32Type>().values(), &[19_998, 19_998]);
    }
}

#[test]
fn csv_values_by_position() {
    let two = [("x", DataType::Utf8), ("y", DataType::Utf8)];
    let cases = [
        ("a,b", "a|b"),
        ("\"a\"\"b\",c", "\"a\"\"b\"|c"),
        ("\"a\\\"b,\",c", "a\"b,|c"),
        ("\"a\"b,c", "\"a\"b|c"),
        ("a\"b,c", "a\"b|c"),
        (",\"\"", "-|-"),
        ("a", "a|-"),
        ("a,b,c", "a|b"),
        ("\"a,b", "a,b|-"),
        (" a , b ", " a | b "),
    ];
    for (line, expected) in cases {
        assert_eq!(csv(line, &two, |c| c).unwrap(), [expected], "{line}");
    }
    assert_eq!(
        csv("x,y\n\n\"a\"\"b\";NULL\n", &two, |c| c.header(true).separator(";").escape(b'"').null_value("NULL")).unwrap(),
        ["a\"b|-"]
    );
    let typed = [("i", DataType::Int32), ("d", DataType::Decimal128(5, 1)), ("t", instant()), ("b", DataType::Boolean)];
    let content = "+1,1.50,2024-01-01T01:02:03Z,TRUE\n x,,2024,no\n";
    assert_eq!(csv(content, &typed, |c| c).unwrap(), ["1|1.5|2024-01-01T01:02:03Z|true", "-|-|2024-01-01T00:00:00Z|-"]);
    assert_eq!(csv(content, &typed, |c| c.projection(["b", "i"])).unwrap(), ["true|1", "-|-"]);
    assert_eq!(csv(content, &typed, |c| c.mode(ParseMode::DropMalformed)).unwrap().len(), 1);
    let failed = csv(content, &typed, |c| c.mode(ParseMode::FailFast)).unwrap_err().to_string();
    assert!(failed.contains("can't read line 2 of the file"), "{failed}");
    let corrupt = [("i", DataType::Int32), ("_corrupt_record", DataType::Utf8), ("j", DataType::Int32)];
    assert_eq!(csv("1,2\n1\n1,x\n", &corrupt, |c| c).unwrap(), ["1|-|2", "1|1|-", "1|1,x|-"]);
}

fn write_parquet(path: &Path, batch: &RecordBatch, group_rows: usize) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_columns_by_name_as_the_schema_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let words: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let nested = StructArray::from(vec![(Arc::new(Field::new("K", DataType::Int32, true)), inner)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("unread", Arc::new(StringArray::from(vec!["x", "y", "z"]))),
        ("Word", Arc::new(words)),
        ("at", Arc::new(TimestampNanosecondArray::from(vec![1_001, -1, 3_000_000]).with_timezone("UTC"))),
        ("n", Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]))),
        ("s", Arc::new(nested)),
    ];
    write_parquet(&dir.path().join("a.parquet"), &RecordBatch::try_from_iter(columns).unwrap(), 2);
    let s =
        DataType::Struct(Fields::from(vec![Field::new("missing", DataType::Utf8, true), Field::new("k", DataType::Int64, true)]));
    let columns = [("n", DataType::Int64), ("word", DataType::Utf8), ("missing", DataType::Float64), ("at", instant()), ("s", s)];
    let config = FileSource::parquet(dir.path(), schema(&columns));
    let found = rows(&config).unwrap();
    assert_eq!(found.column(3).as_primitive::<TimestampMicrosecondType>().values()[0], 1);
    let without_time = rows(&config.clone().projection(["n", "word", "missing", "s"]).batch_rows(1)).unwrap();
    let expected = ["1|a|-|{missing: -, k: 1}", "-|b|-|{missing: -, k: 2}", "3|a|-|{missing: -, k: 3}"];
    assert_eq!(shown(&without_time), expected);
    assert_eq!(rows(&config.projection([""; 0])).unwrap().num_rows(), 3);
    let error = rows(&FileSource::parquet(dir.path(), schema(&[("n", DataType::Utf8)]))).unwrap_err().to_string();
    assert!(error.contains("PARQUET_COLUMN_DATA_TYPE_MISMATCH") && error.contains("a.parquet"), "{error}");
}

#[test]
fn parquet_row_groups_are_in_exactly_one_split() {
    let dir = tempfile::tempdir().unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
    write_parquet(&dir.path().join("a"), &RecordBatch::try_from_iter([("n", numbers)]).unwrap(), 700);
    for split_bytes in [1, 997, 20_000, 1 << 30] {
        let config = FileSource::parquet(dir.path(), schema(&[("n", DataType::Int64)])).split_bytes(split_bytes.max(64));
        let found = rows(&config).unwrap();
        assert_eq!(found.column(0).as_primitive::<Int64Type>().values(), &(0..10_000).collect::<Vec<_>>());
    }
}

#[test]
fn damaged_parquet_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.parquet");
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
    write_parquet(&path, &RecordBatch::try_from_iter([("n", numbers)]).unwrap(), 700);
    let good = std::fs::read(&path).unwrap();
    let mut cases =
        vec![b"not parquet".to_vec(), b"PAR1PAR1".to_vec(), good[..good.len() / 2].to_vec(), good[..good.len() - 1].to_vec()];
    // The footer's length leads out of the file.
    let mut wrong = good.clone();
    let at = wrong.len() - 5;
    wrong[at] = 0x7F;
    cases.push(wrong);
    for content in cases {
        std::fs::write(&path, content).unwrap();
        let error = rows(&FileSource::parquet(dir.path(), schema(&[("n", DataType::Int64)]))).unwrap_err().to_string();
        assert!(error.contains("bad.parquet") && error.contains("[FAILED_READ_FILE"), "{error}");
    }
}

#[test]
fn unreadable_schemas_are_refused_by_name() {
    let refused = |config: FileSource| config.supply().err().unwrap().to_string();
    let error = refused(FileSource::json("d", schema(&[("a", DataType::UInt8)])));
    assert!(error.contains("column a can't be read as UInt8"), "{error}");
    let error = refused(FileSource::csv("d", schema(&[("a", ints())])));
    assert!(error.contains("the column a"), "{error}");
    let error = refused(FileSource::json("d", schema(&[("a", ints())])).projection(["b"]));
    assert!(error.contains("no column b"), "{error}");
    let error = refused(FileSource::json("d", schema(&[("_corrupt_record", DataType::Int64)])));
    assert!(error.contains("INVALID_CORRUPT_RECORD_TYPE"), "{error}");
    assert!(FileSource::csv("d", schema(&[])).separator("\n").supply().is_err());
}
