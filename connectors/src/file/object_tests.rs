//! Tests of file sources and sinks in object stores.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tidegate_runtime::{
    Epoch, Error, JournalEntry, LastCommitted, Offset, OffsetRange, QueryId, ReadLimit, Result, Sink, SinkSupplier, Source,
    SourceSupplier, Staged,
};

use super::location::{Choice, Location};
use super::object_directory::ObjectDirectory;
use super::{CleanSource, FileSink, FileSource};
use crate::objects::Objects;
use crate::register_object_store;
use crate::testing::{info, read, sink_context, source_context};

/// A store of its own, known under `memory://<name>`.
struct Bucket {
    store: Arc<InMemory>,
    url: String,
}

impl Bucket {
    fn new(name: &str) -> Self {
        let (store, url) = (Arc::new(InMemory::new()), format!("memory://{name}"));
        register_object_store(&url, Arc::clone(&store) as Arc<dyn ObjectStore>);
        Bucket { store, url }
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }

    fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        let payload = PutPayload::from(content.into());
        wait(self.store.put(&Key::parse(path).unwrap(), payload)).unwrap();
    }

    fn remove(&self, path: &str) {
        wait(self.store.delete(&Key::parse(path).unwrap())).unwrap();
    }

    /// All keys.
    fn keys(&self) -> Vec<String> {
        let objects = Objects::at(&self.url).unwrap().list("").unwrap();
        let mut keys: Vec<String> = objects.into_iter().map(|(path, _)| path).collect();
        keys.sort();
        keys
    }
}

fn wait<T>(request: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(request)
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)]))
}

/// The texts of a first column, sorted.
fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let column = |batch: &RecordBatch| -> Vec<String> {
        batch.column(0).as_string::<i32>().iter().map(|text| text.unwrap_or("-").to_owned()).collect()
    };
    let mut texts: Vec<String> = batches.iter().flat_map(column).collect();
    texts.sort();
    texts
}

/// A source, and how far it was read.
struct Reader {
    source: Box<dyn Source>,
    at: Option<Offset>,
    journal: Vec<JournalEntry>,
}

impl Reader {
    fn open(config: &FileSource, at: Option<Offset>, journal: Vec<JournalEntry>) -> Self {
        let mut source = config.supply().unwrap();
        source.open(source_context(at.clone(), journal.clone())).unwrap();
        Reader { source, at, journal }
    }

    fn plan(&mut self) -> Option<OffsetRange> {
        let end = self.source.latest_offset(self.at.as_ref(), ReadLimit::Configured).unwrap()?;
        let range = OffsetRange { start: self.at.clone(), end };
        let data = self.source.journal(&range).unwrap().unwrap();
        self.journal.push(JournalEntry { epoch: Epoch::new(self.journal.len() as u64), data });
        self.at = Some(range.end.clone());
        Some(range)
    }

    /// The rows of the next epoch; none if there are no new files.
    fn next(&mut self) -> Vec<String> {
        let Some(range) = self.plan() else { return Vec::new() };
        let rows = texts(&read(&mut *self.source, &range).unwrap());
        self.source.commit(&range.end).unwrap();
        rows
    }
}

/// All rows there are.
fn all(config: &FileSource) -> Vec<String> {
    Reader::open(config, None, Vec::new()).next()
}

fn open(sink: &FileSink, query: QueryId, committed: Option<u64>) -> Result<Box<dyn Sink>> {
    let mut sink = sink.supply()?;
    sink.open(sink_context(query, schema(), committed))?;
    Ok(sink)
}

fn stage(sink: &mut dyn Sink, epoch: u64, rows: &[&str]) -> Vec<Staged> {
    let mut writer = sink.writer(0).unwrap();
    let column: ArrayRef = Arc::new(StringArray::from(rows.to_vec()));
    writer.write(info(epoch), RecordBatch::try_new(schema(), vec![column]).unwrap()).unwrap();
    vec![writer.stage(info(epoch)).unwrap()]
}

fn commit(sink: &mut dyn Sink, epoch: u64, rows: &[&str]) -> Result<()> {
    let staged = stage(sink, epoch, rows);
    sink.commit(Epoch::new(epoch), staged)
}

#[test]
fn paths_stand_for_what_they_do_in_a_file_system() {
    let bucket = Bucket::new("listing");
    for path in
        ["top.txt", "d1/a.txt", "d1/b.csv", "d1/_hidden.txt", "d2/c.txt", "d1/sub/x.txt", "d3/k=1/p.txt", "d3/k=2/_t/q.txt"]
    {
        bucket.put(path, format!("{path}\n"));
    }
    let found = |path: &str| all(&FileSource::text(bucket.at(path)));
    assert_eq!(found("d1"), ["d1/a.txt", "d1/b.csv"]);
    assert_eq!(found("d1/"), ["d1/a.txt", "d1/b.csv"]);
    assert_eq!(found(""), ["top.txt"]);
    assert_eq!(found("top.txt"), ["top.txt"]);
    assert_eq!(found("*.txt"), ["top.txt"]);
    assert_eq!(found("d*/*.txt"), ["d1/a.txt", "d2/c.txt"]);
    assert_eq!(found("d{1,2}"), ["d1/a.txt", "d1/b.csv", "d2/c.txt"]);
    assert_eq!(found("d3"), ["d3/k=1/p.txt"]);
    assert!(found("none").is_empty());
    let recursive = FileSource::text(bucket.at("d1")).recursive_file_lookup(true).path_glob_filter("*.txt");
    assert_eq!(all(&recursive), ["d1/a.txt", "d1/sub/x.txt"]);
    let error = FileSource::text("nowhere://b/x").supply().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("register_object_store"), "{error}");
}

#[test]
fn partitions_metadata_and_compressed_files() {
    let bucket = Bucket::new("columns");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"x\n").unwrap();
    bucket.put("in/k=a%2Fb/one two.csv.gz", gzip.finish().unwrap());
    let columns = vec![Field::new("v", DataType::Utf8, true), Field::new("k", DataType::Utf8, true)];
    let source = FileSource::csv(bucket.at("in"), Arc::new(Schema::new(columns))).partition_columns(["k"]);
    assert_eq!(all(&source.clone().projection(["v"])), ["x"]);
    assert_eq!(all(&source.clone().projection(["k"])), ["a/b"]);
    let mut reader = Reader::open(&source.projection(["_metadata"]), None, Vec::new());
    let range = reader.plan().unwrap();
    let rows = read(&mut *reader.source, &range).unwrap();
    let metadata = rows[0].column(0).as_struct();
    assert_eq!(metadata.column(0).as_string::<i32>().value(0), "memory://columns/in/k=a%252Fb/one%20two.csv.gz");
    assert_eq!(metadata.column(1).as_string::<i32>().value(0), "one two.csv.gz");
}

#[test]
fn each_file_is_read_once_also_after_a_restart() {
    let bucket = Bucket::new("stream");
    (0..5).for_each(|n| bucket.put(&format!("in/{n}"), format!("{n}\n")));
    let config = FileSource::text(bucket.at("in")).max_files_per_trigger(2);
    let mut reader = Reader::open(&config, None, Vec::new());
    assert_eq!([reader.next().len(), reader.next().len()], [2, 2]);
    let planned = reader.plan().unwrap();
    // It comes again from the journal, as it was planned.
    let mut again = Reader::open(&config, reader.at, reader.journal);
    let rows = texts(&read(&mut *again.source, &planned).unwrap());
    assert_eq!(rows.len(), 1);
    assert!(again.next().is_empty());
    bucket.put("in/5", "5\n");
    assert_eq!(again.next(), ["5"]);
}

#[test]
fn a_file_that_changes_or_goes_after_it_was_planned_is_named() {
    let bucket = Bucket::new("changes");
    let source = FileSource::text(bucket.at("in"));
    let (change, remove) = (|bucket: &Bucket| bucket.put("in/a", "2\n"), |bucket: &Bucket| bucket.remove("in/a"));
    for damage in [&change as &dyn Fn(&Bucket), &remove] {
        bucket.put("in/a", "1\n");
        let mut reader = Reader::open(&source, None, Vec::new());
        let range = reader.plan().unwrap();
        damage(&bucket);
        let error = read(&mut *reader.source, &range).unwrap_err();
        assert!(matches!(&error, Error::SourceDataLoss(what) if what.contains("memory://changes/in/a")), "{error}");
    }
}

#[test]
fn a_file_that_is_gone_or_damaged_is_passed_over_if_it_is_to_be() {
    let bucket = Bucket::new("passed-over");
    let source = FileSource::text(bucket.at("in")).ignore_missing_files(true).ignore_corrupt_files(true);
    let (change, remove) = (|bucket: &Bucket| bucket.put("in/a", "2\n"), |bucket: &Bucket| bucket.remove("in/a"));
    for (damage, is_gone) in [(&change as &dyn Fn(&Bucket), false), (&remove, true)] {
        ["in/a", "in/b"].iter().for_each(|path| bucket.put(path, "1\n"));
        bucket.put("in/c", b"\xff\n");
        let mut reader = Reader::open(&source, None, Vec::new());
        let range = reader.plan().unwrap();
        damage(&bucket);
        let found = read(&mut *reader.source, &range).map(|rows| texts(&rows));
        match found {
            Ok(found) => assert!(is_gone && found == ["1"], "{found:?}"),
            Err(error) => assert!(!is_gone && matches!(error, Error::SourceDataLoss(_)), "{error}"),
        }
    }
}

#[test]
fn bad_rows_are_named_by_the_url() {
    let bucket = Bucket::new("bad");
    bucket.put("in/a", b"\xff\n");
    let mut reader = Reader::open(&FileSource::text(bucket.at("in")), None, Vec::new());
    let range = reader.plan().unwrap();
    let error = read(&mut *reader.source, &range).unwrap_err().to_string();
    assert!(error.contains("memory://bad/in/a") && error.contains("UTF-8"), "{error}");
}

#[test]
fn files_that_were_read_are_removed_or_archived() {
    let bucket = Bucket::new("clean");
    bucket.put("in/a", "1\n");
    let source = |clean| FileSource::text(bucket.at("in")).clean_source(clean);
    all(&source(CleanSource::Archive(PathBuf::from(bucket.at("done")))));
    assert_eq!(bucket.keys(), ["done/in/a"]);
    bucket.put("in/b", "1\n");
    all(&source(CleanSource::Delete));
    assert_eq!(bucket.keys(), ["done/in/a"]);
    assert!(source(CleanSource::Archive(PathBuf::from(bucket.at("in/done")))).supply().is_err());
}

#[test]
fn only_committed_epochs_are_read() {
    let bucket = Bucket::new("sink");
    let (sink, query) = (FileSink::json(bucket.at("out")).partition_by(["value"]), QueryId::random());
    let source = FileSource::json(bucket.at("out"), schema()).partition_columns(["value"]);
    let two = Arc::new(Schema::new(vec![Field::new("n", DataType::Utf8, true), Field::new("value", DataType::Utf8, true)]));
    let rows = |values: &[&str]| {
        let columns: [ArrayRef; 2] = [Arc::new(StringArray::from(values.to_vec())), Arc::new(StringArray::from(values.to_vec()))];
        RecordBatch::try_new(Arc::clone(&two), columns.to_vec()).unwrap()
    };
    let open = |committed| {
        let mut opened = sink.supply().unwrap();
        opened.open(sink_context(query, Arc::clone(&two), committed)).map(|()| opened)
    };
    let stage = |sink: &mut dyn Sink, epoch, values: &[&str]| {
        let mut writer = sink.writer(0).unwrap();
        writer.write(info(epoch), rows(values)).unwrap();
        vec![writer.stage(info(epoch)).unwrap()]
    };
    let mut first = open(None).unwrap();
    assert_eq!(first.last_committed().unwrap(), LastCommitted::Nothing);
    let staged = stage(&mut *first, 0, &["a/b", "c"]);
    assert!(all(&source).is_empty());
    first.commit(Epoch::new(0), staged).unwrap();
    assert_eq!(all(&source), ["a/b", "c"]);
    assert!(bucket.keys().iter().any(|key| key.starts_with("out/value=a%2Fb/part-00000-00000-")), "{:?}", bucket.keys());
    // The same epoch once more, as after a crash before the checkpoint's own commit.
    let mut again = open(Some(0)).unwrap();
    assert_eq!(again.last_committed().unwrap(), LastCommitted::Epoch(Epoch::new(0)));
    let staged = stage(&mut *again, 0, &["a/b", "c"]);
    again.commit(Epoch::new(0), staged).unwrap();
    assert_eq!(all(&source), ["a/b", "c"]);
    assert_eq!(FileSink::committed_files(bucket.at("out")).unwrap().len(), 2);
    let other = sink.supply().unwrap().open(sink_context(QueryId::random(), Arc::clone(&two), None)).unwrap_err().to_string();
    assert!(other.contains("holds the output of sink out of query"), "{other}");
    assert!(open(Some(7)).err().unwrap().to_string().contains("committed epoch 7"));
}

#[test]
fn of_two_runs_one_commits_an_epoch_and_the_other_is_told() {
    let bucket = Bucket::new("race");
    let (sink, query) = (FileSink::text(bucket.at("out")), QueryId::random());
    let source = FileSource::text(bucket.at("out"));
    let (mut one, mut other) = (open(&sink, query, None).unwrap(), open(&sink, query, None).unwrap());
    let staged = stage(&mut *other, 0, &["other"]);
    let left = stage(&mut *one, 0, &["one"]);
    one.commit(Epoch::new(0), left).unwrap();
    let error = other.commit(Epoch::new(0), staged).unwrap_err().to_string();
    assert!(error.contains("CONCURRENT_STREAM_LOG_UPDATE"), "{error}");
    assert!(commit(&mut *other, 1, &["lost"]).is_err(), "it has to be opened again");
    assert_eq!(all(&source), ["one"]);
    let parts = || bucket.keys().iter().filter(|key| key.starts_with("out/part-")).count();
    assert_eq!(parts(), 2, "what the other uploaded is there, and nobody reads it");
    let mut third = open(&sink, query, Some(0)).unwrap();
    assert_eq!(parts(), 1);
    commit(&mut *third, 1, &["three"]).unwrap();
    assert_eq!(all(&source), ["one", "three"]);
}

#[test]
fn files_of_an_epoch_in_doubt_go_once_it_is_committed() {
    let bucket = Bucket::new("doubt");
    let (sink, query) = (FileSink::text(bucket.at("out")), QueryId::random());
    commit(&mut *open(&sink, query, None).unwrap(), 0, &["a"]).unwrap();
    // Uploaded by a run that was killed before its manifest entry, whose request may still come.
    let doubt = format!("out/part-00001-00000-{:032x}.txt", 7);
    bucket.put(&doubt, "b\n");
    let mut next = open(&sink, query, Some(0)).unwrap();
    assert!(bucket.keys().contains(&doubt));
    assert_eq!(all(&FileSource::text(bucket.at("out"))), ["a"]);
    commit(&mut *next, 1, &["c"]).unwrap();
    assert!(!bucket.keys().contains(&doubt));
    assert_eq!(all(&FileSource::text(bucket.at("out"))), ["a", "c"]);
}

#[test]
fn a_listing_may_be_older_than_the_manifest_in_it() {
    let bucket = Bucket::new("pieces");
    let (sink, query) = (FileSink::text(bucket.at("out")), QueryId::random());
    commit(&mut *open(&sink, query, None).unwrap(), 0, &["a"]).unwrap();
    let path = PathBuf::from(bucket.at("out"));
    let location = Location::of(&path, &Choice::default()).unwrap();
    let directory = ObjectDirectory::new(Objects::at(&bucket.at("out")).unwrap());
    let mut listed = directory.list().unwrap();
    listed.retain(|file| !file.name().starts_with("part-"));
    let files = location.of_listing(&directory, listed.clone(), &|_| true).unwrap();
    assert_eq!(files.len(), 1);
    bucket.remove(&format!("out/{}", files[0].path));
    let error = location.of_listing(&directory, listed, &|_| true).unwrap_err();
    assert!(matches!(&error, Error::SourceDataLoss(what) if what.contains("is gone")), "{error}");
}

#[test]
fn a_manifest_that_lacks_an_epoch_or_is_damaged_is_refused() {
    let bucket = Bucket::new("holes");
    let (sink, query) = (FileSink::text(bucket.at("out")), QueryId::random());
    let mut writer = open(&sink, query, None).unwrap();
    (0..3).for_each(|epoch| commit(&mut *writer, epoch, &["a"]).unwrap());
    let entry = |epoch: u64| format!("out/_tidegate_manifest/{epoch:020}");
    let error = |bucket: &Bucket| FileSink::committed_files(bucket.at("out")).unwrap_err().to_string();
    bucket.put(&entry(1), "{\"epoch\":1,\"files\":[]} 00000000\n");
    assert!(error(&bucket).contains("does not pass its check"), "{}", error(&bucket));
    bucket.remove(&entry(1));
    assert!(error(&bucket).contains("epoch 2 is there, and one before it is not"), "{}", error(&bucket));
    bucket.remove(&entry(2));
    assert_eq!(FileSink::committed_files(bucket.at("out")).unwrap().len(), 1);
    assert!(open(&sink, query, Some(2)).err().unwrap().to_string().contains("committed epoch 2"));
}

#[test]
fn many_epochs_are_put_together() {
    let bucket = Bucket::new("many");
    let (sink, query) = (FileSink::text(bucket.at("out")), QueryId::random());
    let source = FileSource::text(bucket.at("out"));
    let mut following = Reader::open(&source, None, Vec::new());
    let mut read = Vec::new();
    let mut writer = open(&sink, query, None).unwrap();
    for epoch in 0..200 {
        commit(&mut *writer, epoch, &[&format!("{epoch:03}")]).unwrap();
        if epoch % 7 == 0 {
            read.extend(following.next());
        }
        if epoch % 50 == 49 {
            writer = open(&sink, query, Some(epoch)).unwrap();
        }
    }
    read.extend(following.next());
    let expected: Vec<String> = (0..200).map(|epoch| format!("{epoch:03}")).collect();
    assert_eq!(read, expected);
    assert_eq!(all(&source), expected);
    let entries = bucket.keys().iter().filter(|key| key.contains("_tidegate_manifest/")).count();
    assert!(entries <= 64 * 2 + 3, "{entries}");
}

#[test]
fn what_an_object_store_can_not_do_is_refused() {
    let bucket = Bucket::new("refused");
    let error = FileSink::text(bucket.at("out")).compact_every(3).supply().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("compactEveryEpochs"), "{error}");
    bucket.put(&format!("out/part-00000-00000-{:032x}.txt", 1), "x\n");
    let error = open(&FileSink::text(bucket.at("out")), QueryId::random(), None).err().unwrap().to_string();
    assert!(error.contains("_tidegate_manifest"), "{error}");
}
