use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;
use tidegate_runtime::{
    Epoch, EpochInfo, NodeId, Offset, OffsetRange, QueryId, ReadLimit, Sink, SinkContext, SinkSupplier, Source, SourceOutput,
    SourceSupplier,
};

use super::*;
use crate::testing::source_context;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]))
}

fn rows(numbers: &[i64]) -> RecordBatch {
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(numbers.to_vec())) as ArrayRef]).unwrap()
}

fn created(dir: &Path, format: TableFormat) -> Table {
    Table::create(dir.join("t"), &TableDefinition::new("n BIGINT", format)).unwrap()
}

fn insert(table: &Table, numbers: &[i64]) {
    TableSink::append(table.clone(), schema()).write_batch([rows(numbers)]).unwrap();
}

fn epoch(number: u64) -> EpochInfo {
    EpochInfo { epoch: Epoch::new(number), trigger_time_ms: 0, watermark: None, late_watermark: None }
}

/// A query's sink, opened.
fn opened(table: &Table, query: QueryId, committed: Option<u64>) -> Result<Box<dyn Sink>> {
    let mut sink = TableSink::append(table.clone(), schema()).supply()?;
    let committed = committed.map(Epoch::new);
    sink.open(SinkContext { node: NodeId::new("sink"), query, schema: schema(), parallelism: 1, committed })?;
    Ok(sink)
}

fn write(sink: &mut dyn Sink, number: u64, numbers: &[i64]) {
    let mut writer = sink.writer(0).unwrap();
    writer.write(epoch(number), rows(numbers)).unwrap();
    let staged = writer.stage(epoch(number)).unwrap();
    sink.commit(Epoch::new(number), vec![staged]).unwrap();
}

/// A query that reads the table, from an offset on.
struct Reading {
    source: Box<dyn Source>,
    at: Option<Offset>,
}

impl Reading {
    fn start(table: TableSource, at: Option<Offset>) -> Self {
        let mut source = table.supply().unwrap();
        source.open(source_context(at.clone(), Vec::new())).unwrap();
        Reading { source, at }
    }

    /// The next epoch's rows; `None` when there is nothing new.
    fn next(&mut self) -> Result<Option<Vec<i64>>> {
        let Some(end) = self.source.latest_offset(self.at.as_ref(), ReadLimit::Configured)? else { return Ok(None) };
        let range = OffsetRange { start: self.at.clone(), end: end.clone() };
        let numbers = self.read(&range)?;
        self.at = Some(end);
        Ok(Some(numbers))
    }

    fn read(&mut self, range: &OffsetRange) -> Result<Vec<i64>> {
        let mut numbers = Vec::new();
        let mut reader = self.source.reader(0)?;
        for split in self.source.splits(range)? {
            let mut keep = |batch: RecordBatch| {
                numbers.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
                Ok(())
            };
            reader.read(&split, &mut SourceOutput::new(epoch(0), &mut keep))?;
        }
        Ok(numbers)
    }

    fn rest(&mut self) -> Vec<i64> {
        std::iter::from_fn(|| self.next().unwrap()).flatten().collect()
    }
}

fn all(table: &Table) -> Vec<i64> {
    Reading::start(TableSource::new(table.clone(), &schema()), None).rest()
}

#[test]
fn rows_of_every_format_come_back_in_the_order_of_the_commits() {
    for format in TableFormat::ALL {
        if format == TableFormat::Avro && cfg!(not(feature = "avro")) || format == TableFormat::Orc && cfg!(not(feature = "orc"))
        {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let table = created(dir.path(), format);
        insert(&table, &[3, 1]);
        insert(&table, &[2]);
        assert_eq!(all(&table), [3, 1, 2], "{format:?}");
        let again = Table::open(table.place()).unwrap().unwrap();
        assert_eq!((again.version().unwrap(), again.files().unwrap()), (2, table.files().unwrap()));
    }
}

#[test]
fn a_table_in_an_object_store_is_one_like_others() {
    let place = format!("memory://{}/warehouse/t", uuid::Uuid::new_v4());
    let definition = TableDefinition::new("n BIGINT", TableFormat::Parquet);
    let table = Table::create(&place, &definition).unwrap();
    assert!(Table::create(&place, &definition).is_err());
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let table = Table::open(&place).unwrap().unwrap();
            scope.spawn(move || (0..8).for_each(|n| insert(&table, &[thread * 100 + n])));
        }
    });
    let mut reading = Reading::start(TableSource::new(table.clone(), &schema()).max_files_per_trigger(5), None);
    let mut found = reading.next().unwrap().unwrap();
    assert_eq!(table.compact(&schema(), 1 << 20).unwrap(), 24);
    found.extend(reading.rest());
    let mut compacted = all(&table);
    found.sort_unstable();
    compacted.sort_unstable();
    let expected: Vec<i64> = (0..3).flat_map(|thread| (0..8).map(move |n| thread * 100 + n)).collect();
    assert_eq!((found, compacted), (expected.clone(), expected));
    assert_eq!(table_names(Path::new(place.trim_end_matches("/t"))).unwrap(), ["t"]);
    table.remove().unwrap();
    assert!(Table::open(&place).unwrap().is_none());
    let error = Table::open("s3://nobody/knows/it").unwrap_err().to_string();
    assert!(error.contains("register_object_store"), "{error}");
}

#[test]
fn an_epoch_that_comes_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (table, query) = (created(dir.path(), TableFormat::Parquet), QueryId::random());
    let mut sink = opened(&table, query, None).unwrap();
    write(sink.as_mut(), 0, &[1]);
    write(sink.as_mut(), 1, &[2]);
    write(sink.as_mut(), 1, &[2]);
    let mut again = opened(&table, query, Some(0)).unwrap();
    assert_eq!(again.last_committed().unwrap(), tidegate_runtime::LastCommitted::Epoch(Epoch::new(1)));
    write(again.as_mut(), 1, &[2]);
    write(again.as_mut(), 2, &[3]);
    assert_eq!(all(&table), [1, 2, 3]);
    // Another query's epochs have numbers of their own.
    write(opened(&table, QueryId::random(), None).unwrap().as_mut(), 0, &[4]);
    assert_eq!(all(&table), [1, 2, 3, 4]);
    let error = opened(&table, QueryId::random(), Some(7)).err().unwrap().to_string();
    assert!(error.contains("epoch 7") && error.contains("new checkpoint"), "{error}");
}

#[test]
fn what_was_published_and_not_committed_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (table, query) = (created(dir.path(), TableFormat::Parquet), QueryId::random());
    let mut sink = opened(&table, query, None).unwrap();
    write(sink.as_mut(), 0, &[1]);
    let file = table.files().unwrap().remove(0).path;
    let orphan = file.replacen("-00000-", "-00001-", 1);
    std::fs::copy(dir.path().join("t").join(&file), dir.path().join("t").join(&orphan)).unwrap();
    assert_eq!(all(&table), [1]);
    drop(opened(&table, query, Some(0)).unwrap());
    assert!(!dir.path().join("t").join(orphan).exists() && dir.path().join("t").join(file).exists());
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let table = created(dir.path(), TableFormat::Parquet);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            // Each has a handle of its own, as another process would.
            let table = Table::open(table.place()).unwrap().unwrap();
            scope.spawn(move || (0..25).for_each(|n| insert(&table, &[thread * 100 + n])));
        }
    });
    let mut found = all(&table);
    found.sort_unstable();
    let expected: Vec<i64> = (0..4).flat_map(|thread| (0..25).map(move |n| thread * 100 + n)).collect();
    assert_eq!((found, table.version().unwrap()), (expected, 100));
    // A snapshot was written on the way, and a new handle starts from it.
    assert!(table.store.log_names().unwrap().iter().any(|name| name.ends_with(".snapshot.json")));
    assert_eq!(Table::open(table.place()).unwrap().unwrap().files().unwrap(), table.files().unwrap());
}

#[test]
fn a_stream_reads_what_is_there_and_then_each_commit() {
    let dir = tempfile::tempdir().unwrap();
    let table = created(dir.path(), TableFormat::Parquet);
    insert(&table, &[1]);
    insert(&table, &[2, 3]);
    let mut reading = Reading::start(TableSource::new(table.clone(), &schema()).max_files_per_trigger(1), None);
    assert_eq!(reading.next().unwrap(), Some(vec![1]));
    insert(&table, &[4]);
    assert_eq!(table.compact(&schema(), 1 << 20).unwrap(), 3);
    assert_eq!(table.files().unwrap().len(), 1);
    let mut later = Reading::start(TableSource::new(table.clone(), &schema()), reading.at.clone());
    assert_eq!((reading.rest(), later.next().unwrap()), (vec![2, 3, 4], Some(vec![2, 3, 4])));
    assert_eq!((all(&table), reading.next().unwrap()), (vec![1, 2, 3, 4], None));
    // The same range again, as after a crash: the compacted files are still there.
    let range = OffsetRange { start: None, end: later.at.clone().unwrap() };
    assert_eq!(later.read(&range).unwrap(), [1, 2, 3, 4]);
    assert_eq!(table.vacuum(table.version().unwrap()).unwrap(), 3);
    assert_eq!(all(&table), [1, 2, 3, 4]);
    let error = later.read(&range).unwrap_err().to_string();
    assert!(error.contains("is gone"), "{error}");
}

#[test]
fn a_stream_does_not_go_over_an_overwrite_unless_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let table = created(dir.path(), TableFormat::Parquet);
    insert(&table, &[1]);
    let source = TableSource::new(table.clone(), &schema());
    let mut reading = Reading::start(source.clone(), None);
    assert_eq!(reading.next().unwrap(), Some(vec![1]));
    TableSink::overwrite(table.clone(), schema()).write_batch([rows(&[7])]).unwrap();
    insert(&table, &[8]);
    assert_eq!(all(&table), [7, 8]);
    let error = reading.next().unwrap_err().to_string();
    assert!(error.contains("skipChangeCommits"), "{error}");
    assert_eq!(Reading::start(source.skip_overwrites(true), reading.at).rest(), [8]);
}

#[test]
fn rows_that_were_computed_from_others_do_not_take_the_place_of_newer_ones() {
    let dir = tempfile::tempdir().unwrap();
    let table = created(dir.path(), TableFormat::Parquet);
    insert(&table, &[1]);
    insert(&table, &[2]);
    let version = table.version().unwrap();
    table.compact(&schema(), 1 << 20).unwrap();
    TableSink::replace(table.clone(), schema(), version).write_batch([rows(&[3])]).unwrap();
    insert(&table, &[4]);
    let error = TableSink::replace(table.clone(), schema(), version).write_batch([rows(&[5])]).unwrap_err().to_string();
    assert!(error.contains("CONCURRENT_WRITE"), "{error}");
    assert_eq!(all(&table), [3, 4]);
}

#[test]
fn damage_is_named_and_never_guessed_at() {
    let dir = tempfile::tempdir().unwrap();
    let table = created(dir.path(), TableFormat::Parquet);
    (0..3).for_each(|n| insert(&table, &[n]));
    let entry = dir.path().join("t/_log").join(format!("{:020}.json", 2));
    let whole = std::fs::read(&entry).unwrap();
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        std::fs::write(&entry, &damaged).unwrap();
        let error = Table::open(table.place()).unwrap_err().to_string();
        assert!(error.contains("00000000000000000002.json"), "{place}: {error}");
    }
    std::fs::write(&entry, &whole).unwrap();
    let file = dir.path().join("t").join(&table.files().unwrap()[1].path);
    std::fs::write(&file, b"no parquet").unwrap();
    let mut reading = Reading::start(TableSource::new(table, &schema()), None);
    assert!(reading.next().unwrap_err().to_string().contains("is gone or was changed"));
}

#[test]
fn a_table_that_was_made_anew_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let table = created(dir.path(), TableFormat::Parquet);
    insert(&table, &[1]);
    let mut reading = Reading::start(TableSource::new(table.clone(), &schema()), None);
    assert_eq!(reading.next().unwrap(), Some(vec![1]));
    let query = QueryId::random();
    let mut sink = opened(&table, query, None).unwrap();
    write(sink.as_mut(), 0, &[2]);
    table.clone().remove().unwrap();
    let again = created(dir.path(), TableFormat::Parquet);
    let mut writer = sink.writer(0).unwrap();
    writer.write(epoch(1), rows(&[3])).unwrap();
    let staged = writer.stage(epoch(1)).unwrap();
    let error = sink.commit(Epoch::new(1), vec![staged]).unwrap_err().to_string();
    assert!(error.contains("made anew"), "{error}");
    assert_eq!((all(&again), again.version().unwrap()), (vec![], 4), "nothing has come into it");
    let error = opened(&again, query, Some(0)).err().unwrap().to_string();
    assert!(error.contains("new checkpoint"), "{error}");
    assert!(table.version().unwrap_err().to_string().contains("made anew"), "a handle on the old one");
    (0..4).for_each(|n| insert(&again, &[n]));
    let error = Reading::start(TableSource::new(again, &schema()), reading.at).next().unwrap_err().to_string();
    assert!(error.contains("made anew"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Any mixture of commits, compactions, readers and their restarts: each reader has each row once.
    #[test]
    fn each_reader_has_each_row_once(steps in prop::collection::vec((0..6_usize, 0..3_usize, 1..3_usize), 1..24)) {
        let dir = tempfile::tempdir().unwrap();
        let table = created(dir.path(), TableFormat::Json);
        let mut next = 0;
        let mut seen: BTreeMap<usize, (Vec<i64>, Option<Offset>)> = BTreeMap::new();
        for (what, reader, files) in steps {
            match what {
                0..=2 => {
                    insert(&table, &[next, next + 1]);
                    next += 2;
                }
                3 => drop(table.compact(&schema(), 60).unwrap()),
                _ => {
                    let (numbers, at) = seen.entry(reader).or_default();
                    let source = TableSource::new(table.clone(), &schema()).max_files_per_trigger(files);
                    let mut reading = Reading::start(source, at.take());
                    numbers.extend(reading.next().unwrap().unwrap_or_default());
                    *at = reading.at;
                }
            }
        }
        for (mut numbers, at) in seen.into_values() {
            numbers.extend(Reading::start(TableSource::new(table.clone(), &schema()), at).rest());
            prop_assert_eq!(numbers, (0..next).collect::<Vec<_>>());
        }
        prop_assert_eq!(all(&table), (0..next).collect::<Vec<_>>());
    }
}
