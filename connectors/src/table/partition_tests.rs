use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;
use tidegate_runtime::{
    Epoch, EpochInfo, NodeId, OffsetRange, QueryId, ReadLimit, SinkContext, SinkSupplier, SourceOutput, SourceSupplier,
};

use super::*;
use crate::KeepPartitions;
use crate::testing::source_context;

/// A row: its partition, and a number.
type Row = (Option<String>, i64);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("k", DataType::Utf8, true)]))
}

fn batch(rows: &[(Option<&str>, i64)]) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, n)| *n)));
    let keys: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|(k, _)| *k)));
    RecordBatch::try_new(schema(), vec![numbers, keys]).unwrap()
}

fn created(place: &str) -> Table {
    let definition = TableDefinition::new("n BIGINT, k STRING", TableFormat::Parquet).partition_by(["K"]);
    definition.check(&schema()).unwrap();
    Table::create(place, &TableDefinition::new("n BIGINT, k STRING", TableFormat::Parquet).partition_by(["k"])).unwrap()
}

fn append(table: &Table, rows: &[(Option<&str>, i64)]) {
    TableSink::append(table.clone(), schema()).write_batch([batch(rows)]).unwrap();
}

fn read(source: TableSource) -> Result<Vec<Row>> {
    let mut source = source.supply()?;
    source.open(source_context(None, Vec::new()))?;
    let Some(end) = source.latest_offset(None, ReadLimit::All)? else { return Ok(Vec::new()) };
    let (mut rows, mut reader) = (Vec::new(), source.reader(0)?);
    for split in source.splits(&OffsetRange { start: None, end })? {
        let mut keep = |batch: RecordBatch| {
            let (numbers, keys) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string::<i32>());
            rows.extend(keys.iter().map(|key| key.map(str::to_owned)).zip(numbers.values().iter().copied()));
            Ok(())
        };
        reader.read(&split, &mut SourceOutput::new(epoch(0), &mut keep))?;
    }
    rows.sort();
    Ok(rows)
}

fn all(table: &Table) -> Vec<Row> {
    read(TableSource::new(table.clone(), &schema())).unwrap()
}

fn epoch(number: u64) -> EpochInfo {
    EpochInfo { epoch: Epoch::new(number), trigger_time_ms: 0, watermark: None, late_watermark: None }
}

fn owned(rows: &[(Option<&str>, i64)]) -> Vec<Row> {
    let mut rows: Vec<Row> = rows.iter().map(|(k, n)| (k.map(str::to_owned), *n)).collect();
    rows.sort();
    rows
}

/// Keeps the partitions of one value.
#[derive(Debug)]
struct Only(Option<&'static str>);

impl KeepPartitions for Only {
    fn keep(&self, values: &RecordBatch) -> Result<BooleanArray> {
        assert_eq!(values.schema().field(0).name(), "k");
        let keys = values.column(0).as_string::<i32>();
        Ok(keys.iter().map(|key| Some(key == self.0)).collect())
    }
}

const KEYS: [Option<&str>; 6] = [None, Some(""), Some("__HIVE_DEFAULT_PARTITION__"), Some("a/b=c"), Some("%2F é"), Some("x")];

#[test]
fn each_value_has_a_directory_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    for place in [dir.path().join("t").display().to_string(), format!("memory://{}/t", uuid::Uuid::new_v4())] {
        let table = created(&place);
        let rows: Vec<_> = (0..24).map(|n| (KEYS[n % KEYS.len()], n as i64)).collect();
        append(&table, &rows);
        assert_eq!(all(&table), owned(&rows));
        let files = table.files().unwrap();
        let mut directories: Vec<&str> = files.iter().map(|file| file.path.rsplit_once('/').unwrap().0).collect();
        directories.sort_unstable();
        let expected =
            ["k=", "k=%252F é", "k=%5F_HIVE_DEFAULT_PARTITION__", "k=__HIVE_DEFAULT_PARTITION__", "k=a%2Fb%3Dc", "k=x"];
        assert_eq!(directories, expected);
        for key in KEYS {
            let wanted: Vec<_> = rows.iter().filter(|(k, _)| *k == key).copied().collect();
            let source = TableSource::new(table.clone(), &schema()).partitions(Arc::new(Only(key)));
            assert_eq!(read(source).unwrap(), owned(&wanted), "{key:?}");
        }
        assert_eq!(Table::open(&place).unwrap().unwrap().definition(), table.definition());
        table.remove().unwrap();
    }
    let left: Vec<_> = std::fs::read_dir(dir.path().join("t")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["_log"]);
}

#[test]
fn files_of_other_partitions_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let table = created(&dir.path().join("t").display().to_string());
    append(&table, &[(Some("x"), 1), (Some("y"), 2)]);
    std::fs::remove_dir_all(dir.path().join("t/k=y")).unwrap();
    let source = TableSource::new(table, &schema());
    assert_eq!(read(source.clone().partitions(Arc::new(Only(Some("x"))))).unwrap(), owned(&[(Some("x"), 1)]));
    assert!(read(source).unwrap_err().to_string().contains("is gone"));
}

#[test]
fn some_partitions_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let table = created(&dir.path().join("t").display().to_string());
    append(&table, &[(Some("x"), 1), (Some("xy"), 2), (None, 3)]);
    let overwrite = TableSink::overwrite(table.clone(), schema());
    overwrite.clone().replacing(Replaces::Partitions).write_batch([batch(&[(Some("x"), 4), (Some("z"), 5)])]).unwrap();
    assert_eq!(all(&table), owned(&[(None, 3), (Some("x"), 4), (Some("xy"), 2), (Some("z"), 5)]));
    let null = RecordBatch::try_new(
        Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true)])),
        vec![Arc::new(StringArray::from(vec![None::<&str>])) as ArrayRef],
    )
    .unwrap();
    overwrite.clone().replacing(Replaces::Within(null.clone())).write_batch([]).unwrap();
    assert_eq!(all(&table), owned(&[(Some("x"), 4), (Some("xy"), 2), (Some("z"), 5)]));
    let renamed = Arc::new(Schema::new(vec![Field::new("n", DataType::Utf8, true)]));
    let other = RecordBatch::try_new(renamed, null.columns().to_vec()).unwrap();
    let error = overwrite.clone().replacing(Replaces::Within(other)).write_batch([]).unwrap_err().to_string();
    assert!(error.contains("the columns n are not the first"), "{error}");
    overwrite.write_batch([batch(&[(None, 7)])]).unwrap();
    assert_eq!(all(&table), owned(&[(None, 7)]));
}

#[test]
fn another_table_takes_the_place_of_one_in_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("t");
    let table = created(&place.display().to_string());
    append(&table, &[(Some("x"), 1)]);
    std::fs::write(place.join("mine.txt"), b"x").unwrap();
    let sink = || TableSink::append(table.clone(), schema());
    let definition = TableDefinition::new("n BIGINT, k STRING", TableFormat::Json);
    let version = table.version().unwrap();
    append(&table, &[(Some("y"), 2)]);
    let error = sink().write_new_table(&definition, version, [batch(&[(None, 3)])]).unwrap_err().to_string();
    assert!(error.contains("CONCURRENT_WRITE"), "{error}");
    assert_eq!(all(&table), owned(&[(Some("x"), 1), (Some("y"), 2)]));
    sink().write_new_table(&definition, table.version().unwrap(), [batch(&[(None, 3)])]).unwrap();
    let new = Table::open(&place).unwrap().unwrap();
    assert_eq!((new.definition(), all(&new)), (&definition, owned(&[(None, 3)])));
    assert!(table.version().unwrap_err().to_string().contains("made anew"), "who had the old one is told");
    assert!(!place.join("k=x").exists());
    append(&new, &[(None, 4)]);
    new.remove().unwrap();
    let mut left: Vec<_> = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort_unstable();
    assert_eq!(left, ["_log", "mine.txt"], "what was never the table's stays");
}

#[cfg(feature = "orc")]
#[test]
fn files_that_can_not_be_longer_are_not_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let table = Table::create(dir.path().join("t"), &TableDefinition::new("", TableFormat::Orc)).unwrap();
    // Of one number, so that they take little room in a file and much in memory.
    let rows: Vec<_> = (0..9_000_000).map(|_| (Some("x"), 7)).collect();
    let batches = rows.chunks(100_000).map(batch);
    TableSink::append(table.clone(), schema()).write_batch(batches).unwrap();
    let files = table.files().unwrap();
    assert!(files.len() > 1 && files[0].is_full && !files[files.len() - 1].is_full, "{files:?}");
    assert_eq!(table.compact(&schema(), 1 << 30).unwrap(), 0);
    append(&table, &[(Some("y"), 1)]);
    assert_eq!(table.compact(&schema(), 1 << 30).unwrap(), 2, "the last one and the new one");
    assert_eq!(table.compact(&schema(), 1 << 30).unwrap(), 0);
}

#[test]
fn an_overwrite_of_nothing_only_adds() {
    let dir = tempfile::tempdir().unwrap();
    let table = created(&dir.path().join("t").display().to_string());
    append(&table, &[(Some("x"), 1)]);
    let mut source = TableSource::new(table.clone(), &schema()).supply().unwrap();
    let first = source.latest_offset(None, ReadLimit::All).unwrap().unwrap();
    let overwrite = TableSink::overwrite(table.clone(), schema()).replacing(Replaces::Partitions);
    overwrite.write_batch([batch(&[(Some("y"), 2)])]).unwrap();
    overwrite.write_batch([]).unwrap();
    let end = source.latest_offset(Some(&first), ReadLimit::All).unwrap().unwrap();
    assert_eq!(source.splits(&OffsetRange { start: Some(first), end: end.clone() }).unwrap().len(), 1);
    overwrite.write_batch([batch(&[(Some("y"), 3)])]).unwrap();
    assert!(source.latest_offset(Some(&end), ReadLimit::All).unwrap_err().to_string().contains("skipChangeCommits"));
    let other = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    let error = TableSink::append(table, schema()).write_batch([other]).unwrap_err().to_string();
    assert!(error.contains("INCOMPATIBLE_DATA_FOR_TABLE"), "{error}");
}

#[test]
fn files_that_no_commit_names_go_when_they_are_old() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("t");
    let table = created(&place.display().to_string());
    append(&table, &[(Some("x"), 1)]);
    let age = |path: &Path, seconds: u64| {
        let file = std::fs::File::open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    };
    let committed = place.join(&table.files().unwrap()[0].path);
    let ours = |name: &str| place.join(format!("k=x/{name}-{}.parquet", uuid::Uuid::new_v4()));
    let (old, new, staged) = (ours("part-insert"), ours("compact"), place.join("_staging/dead"));
    std::fs::create_dir_all(&staged).unwrap();
    // Not ours, however old.
    std::fs::create_dir_all(place.join("k=x/l=y")).unwrap();
    let below = place.join(format!("k=x/l=y/part-{}.parquet", uuid::Uuid::new_v4()));
    let foreign = [place.join("mine.parquet"), place.join("k=x/part-00000-00000.parquet"), below];
    for path in &foreign {
        std::fs::write(path, b"x").unwrap();
        age(path, 7_200);
    }
    std::fs::write(staged.join("x.tmp"), b"x").unwrap();
    std::fs::write(&old, b"x").unwrap();
    std::fs::write(&new, b"x").unwrap();
    for path in [&committed, &old, &staged.join("x.tmp"), &staged] {
        age(path, 7_200);
    }
    age(&new, 60);
    assert_eq!(table.remove_orphans(Duration::from_secs(3_600)).unwrap(), 2);
    assert_eq!([&committed, &old, &new, &staged].map(|path| path.exists()), [true, false, true, false]);
    assert!(foreign.iter().all(|path| path.exists()));
    assert_eq!(all(&table), owned(&[(Some("x"), 1)]));
}

/// What formats of text must not lose: null, nothing, blanks, ends of lines, what stands for null, microseconds.
#[test]
fn tables_of_text_give_back_what_was_written() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![
        None,
        Some(""),
        Some(" "),
        Some("\\N"),
        Some("\"\\N\""),
        Some("a\r\nb\rc\n"),
        Some("\\"),
        Some("#,\"x\""),
        Some("\u{FEFF}é"),
        Some("null"),
    ]));
    let micros: Vec<i64> = (0..10).map(|n| n * 1_234_567_890_123_457 - 62_135_596_800_000_000).collect();
    let instants: ArrayRef = Arc::new(TimestampMicrosecondArray::from(micros.clone()).with_timezone("UTC"));
    let clocks: ArrayRef = Arc::new(TimestampMicrosecondArray::from(micros));
    let floats: ArrayRef =
        Arc::new(Float64Array::from_iter_values((0..10).map(|n| [f64::NAN, -0.0, 1e300, f64::NEG_INFINITY][n % 4])));
    for columns in [vec![("t", Arc::clone(&texts))], vec![("t", texts), ("at", instants), ("clock", clocks), ("f", floats)]] {
        let rows =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap();
        for format in [TableFormat::Csv, TableFormat::Json] {
            let dir = tempfile::tempdir().unwrap();
            let definition = TableDefinition::new("", format);
            definition.check(&rows.schema()).unwrap();
            let table = Table::create(dir.path().join("t"), &definition).unwrap();
            TableSink::append(table.clone(), rows.schema()).write_batch([rows.slice(0, 4), rows.slice(4, 6)]).unwrap();
            TableSink::append(table.clone(), rows.schema()).write_batch([rows.clone()]).unwrap();
            table.compact(&rows.schema(), 1 << 20).unwrap();
            let mut source = TableSource::new(table, &rows.schema()).supply().unwrap();
            let end = source.latest_offset(None, ReadLimit::All).unwrap().unwrap();
            let (mut found, mut reader) = (Vec::new(), source.reader(0).unwrap());
            for split in source.splits(&OffsetRange { start: None, end }).unwrap() {
                let mut keep = |batch: RecordBatch| {
                    found.push(batch);
                    Ok(())
                };
                reader.read(&split, &mut SourceOutput::new(epoch(0), &mut keep)).unwrap();
            }
            let found = arrow::compute::concat_batches(&rows.schema(), &found).unwrap();
            let twice = arrow::compute::concat_batches(&rows.schema(), [&rows, &rows]).unwrap();
            assert_eq!(found, twice, "{format:?}");
        }
    }
}

#[test]
fn what_can_not_be_partitioned_is_refused() {
    let refused = |columns: &[&str]| {
        let definition = TableDefinition::new("", TableFormat::Parquet).partition_by(columns.iter().copied());
        definition.check(&schema()).unwrap_err().to_string()
    };
    assert!(refused(&["x"]).contains("PARTITION_COLUMN_NOT_FOUND_IN_SCHEMA"));
    assert!(refused(&["n", "k"]).contains("ALL_PARTITION_COLUMNS_NOT_ALLOWED"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Epochs of a query, inserts, overwrites of partitions and compactions: the table is what a map of partitions would be.
    #[test]
    fn a_table_is_its_partitions(steps in prop::collection::vec((0..5_usize, prop::collection::vec(0..KEYS.len(), 0..6)), 1..16)) {
        let dir = tempfile::tempdir().unwrap();
        let table = created(&dir.path().join("t").display().to_string());
        let mut model: BTreeMap<Option<String>, Vec<i64>> = BTreeMap::new();
        let (query, mut epochs, mut next) = (QueryId::random(), 0, 0);
        for (what, keys) in steps {
            let rows: Vec<_> = keys.iter().map(|key| { next += 1; (KEYS[*key], next) }).collect();
            match what {
                0 => append(&table, &rows),
                1 => {
                    let mut sink = TableSink::append(table.clone(), schema()).compact_every(2, 1 << 20).supply().unwrap();
                    let committed = u64::checked_sub(epochs, 1).map(Epoch::new);
                    sink.open(SinkContext { node: NodeId::new("sink"), query, schema: schema(), parallelism: 2, committed }).unwrap();
                    let staged = [0, 1].map(|task| {
                        let mut writer = sink.writer(task).unwrap();
                        let half: Vec<_> = rows.iter().skip(task).step_by(2).copied().collect();
                        writer.write(epoch(epochs), batch(&half)).unwrap();
                        writer.stage(epoch(epochs)).unwrap()
                    });
                    sink.commit(Epoch::new(epochs), staged.into()).unwrap();
                    epochs += 1;
                }
                2 => {
                    let sink = TableSink::overwrite(table.clone(), schema()).replacing(Replaces::Partitions);
                    sink.write_batch([batch(&rows)]).unwrap();
                    model.retain(|key, _| rows.iter().all(|(k, _)| *k != key.as_deref()));
                }
                3 => drop(table.compact(&schema(), 1 << 20).unwrap()),
                _ => drop(table.vacuum(table.version().unwrap()).unwrap()),
            }
            if what < 3 {
                rows.iter().for_each(|(key, n)| model.entry(key.map(str::to_owned)).or_default().push(*n));
            }
        }
        let mut expected: Vec<Row> =
            model.into_iter().flat_map(|(key, numbers)| numbers.into_iter().map(move |n| (key.clone(), n))).collect();
        expected.sort();
        prop_assert_eq!(all(&table), expected);
        table.compact(&schema(), 1 << 20).unwrap();
        let files = table.files().unwrap();
        let partitions: std::collections::BTreeSet<_> = files.iter().map(|file| file.path.rsplit_once('/').unwrap().0).collect();
        prop_assert_eq!(files.len(), partitions.len());
    }
}
