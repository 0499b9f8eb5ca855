//! Tests of the file sink: what it writes, and what a restart makes of what a crash left behind.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use tidegate_runtime::QueryId;

use super::*;
use crate::testing::{info, sink_context};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)]))
}

fn open(dir: &Path, query: QueryId, committed: Option<u64>) -> Result<Box<dyn Sink>> {
    let mut sink = FileSink::csv(dir).supply()?;
    sink.open(sink_context(query, schema(), committed))?;
    Ok(sink)
}

/// Why the directory can't be opened by a new query.
fn refused(dir: &Path) -> String {
    open(dir, QueryId::random(), None).err().unwrap().to_string()
}

/// Writes and stages the rows of each task.
fn stage(sink: &mut dyn Sink, epoch: u64, tasks: &[&[&str]]) -> Vec<Staged> {
    let stage = |(subtask, rows): (usize, &&[&str])| {
        let mut writer = sink.writer(subtask).unwrap();
        for row in *rows {
            let column: ArrayRef = Arc::new(StringArray::from(vec![*row]));
            writer.write(info(epoch), RecordBatch::try_new(schema(), vec![column]).unwrap()).unwrap();
        }
        writer.stage(info(epoch)).unwrap()
    };
    tasks.iter().enumerate().map(stage).collect()
}

fn run(sink: &mut dyn Sink, epoch: u64, tasks: &[&[&str]]) {
    let staged = stage(sink, epoch, tasks);
    sink.commit(Epoch::new(epoch), staged).unwrap();
}

/// All visible files and their content.
fn visible(dir: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let shown = named.filter(|(name, _)| !name.starts_with(['.', '_']));
    let mut files: Vec<_> = shown.map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect();
    files.sort();
    files
}

fn file(name: &str, content: &str) -> (String, String) {
    (name.to_owned(), content.to_owned())
}

fn names(dir: &Path) -> Vec<String> {
    let files = FileSink::committed_files(dir).unwrap();
    files.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn an_epoch_is_visible_at_its_commit_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(dir.path(), QueryId::random(), None).unwrap();
    assert_eq!(sink.last_committed().unwrap(), LastCommitted::Nothing);
    let staged = stage(&mut *sink, 0, &[&["a", "b"], &[], &["c"]]);
    assert_eq!(staged.iter().map(|staged| staged.rows).collect::<Vec<_>>(), [2, 0, 1]);
    assert!(visible(dir.path()).is_empty());
    sink.commit(Epoch::FIRST, staged).unwrap();
    let expected = [file("part-00000-00000.csv", "value\na\nb\n"), file("part-00000-00002.csv", "value\nc\n")];
    assert_eq!(visible(dir.path()), expected);
    assert_eq!(sink.last_committed().unwrap(), LastCommitted::Epoch(Epoch::FIRST));
    run(&mut *sink, 1, &[&[], &[]]);
    assert_eq!(sink.last_committed().unwrap(), LastCommitted::Epoch(Epoch::new(1)));
    assert_eq!(names(dir.path()), ["part-00000-00000.csv", "part-00000-00002.csv"]);
}

#[test]
fn the_manifest_describes_each_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(dir.path(), QueryId::random(), None).unwrap();
    run(&mut *sink, 0, &[&["a", "b"]]);
    let content = fs::read(dir.path().join("part-00000-00000.csv")).unwrap();
    let record = Content::read(dir.path()).unwrap().unwrap().records.remove(0);
    let expected = CommittedFile {
        path: "part-00000-00000.csv".into(),
        rows: 2,
        bytes: content.len() as u64,
        crc32c: crc32c::crc32c(&content),
    };
    assert_eq!(record, Record { epoch: Epoch::FIRST, files: vec![expected] });
}

#[test]
fn epochs_may_be_staged_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(dir.path(), QueryId::random(), None).unwrap();
    let first = stage(&mut *sink, 0, &[&["a"]]);
    let second = stage(&mut *sink, 1, &[&["b"]]);
    sink.commit(Epoch::new(0), first).unwrap();
    sink.commit(Epoch::new(1), second).unwrap();
    assert_eq!(names(dir.path()), ["part-00000-00000.csv", "part-00001-00000.csv"]);
}

#[test]
fn a_committed_epoch_that_comes_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let query = QueryId::random();
    let mut sink = open(dir.path(), query, None).unwrap();
    run(&mut *sink, 0, &[&["a"], &["b"]]);
    let before = visible(dir.path());
    run(&mut *sink, 0, &[&["a"], &["b"]]);
    drop(sink);
    let mut sink = open(dir.path(), query, None).unwrap();
    assert_eq!(sink.last_committed().unwrap(), LastCommitted::Epoch(Epoch::FIRST));
    run(&mut *sink, 0, &[&["a", "b"]]);
    assert_eq!(visible(dir.path()), before);
    assert_eq!(fs::read_dir(dir.path().join(STAGING)).unwrap().count(), 0);
}

#[test]
fn crash_before_the_commit_leaves_nothing_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let query = QueryId::random();
    let mut sink = open(dir.path(), query, None).unwrap();
    stage(&mut *sink, 0, &[&["a"]]);
    drop(sink);
    let mut sink = open(dir.path(), query, None).unwrap();
    assert_eq!(fs::read_dir(dir.path().join(STAGING)).unwrap().count(), 0);
    run(&mut *sink, 0, &[&["a"]]);
    assert_eq!(visible(dir.path()), [file("part-00000-00000.csv", "value\na\n")]);
}

#[test]
fn a_writer_that_fails_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(dir.path(), QueryId::random(), None).unwrap();
    let rows = RecordBatch::try_new(schema(), vec![Arc::new(StringArray::from(vec!["a"])) as ArrayRef]).unwrap();
    let mut writer = sink.writer(0).unwrap();
    writer.write(info(0), rows.clone()).unwrap();
    assert!(matches!(writer.write(info(1), rows), Err(Error::Protocol(_))));
    assert_eq!(fs::read_dir(dir.path().join(STAGING)).unwrap().count(), 0);
}

/// As after a crash between two renames, or between the renames and the manifest.
#[test]
fn crash_within_a_commit_then_restart_with_fewer_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let query = QueryId::random();
    let mut sink = open(dir.path(), query, None).unwrap();
    run(&mut *sink, 0, &[&["a"]]);
    let staged = stage(&mut *sink, 1, &[&["b"], &["c"], &["d"]]);
    for (subtask, staged) in staged.iter().enumerate().skip(1) {
        let staged: StagedFile = staged.decode::<Vec<_>>().unwrap().remove(0);
        let path = dir.path().join(part_name(Epoch::new(1), subtask, 0, "csv"));
        fs::rename(dir.path().join(STAGING).join(staged.file), path).unwrap();
    }
    assert_eq!(names(dir.path()), ["part-00000-00000.csv"], "readers of the manifest never saw them");
    drop(sink);
    let mut sink = open(dir.path(), query, Some(0)).unwrap();
    run(&mut *sink, 1, &[&["b", "c", "d"]]);
    let expected = [file("part-00000-00000.csv", "value\na\n"), file("part-00001-00000.csv", "value\nb\nc\nd\n")];
    assert_eq!(visible(dir.path()), expected);
}

#[test]
fn a_torn_manifest_line_brings_the_epoch_again() {
    let dir = tempfile::tempdir().unwrap();
    let query = QueryId::random();
    let mut sink = open(dir.path(), query, None).unwrap();
    run(&mut *sink, 0, &[&["a"]]);
    run(&mut *sink, 1, &[&["b"], &["c"]]);
    let path = dir.path().join(MANIFEST);
    let len = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(path).unwrap().set_len(len - 20).unwrap();
    drop(sink);
    let mut sink = open(dir.path(), query, Some(0)).unwrap();
    assert_eq!(sink.last_committed().unwrap(), LastCommitted::Epoch(Epoch::FIRST));
    run(&mut *sink, 1, &[&["b", "c"]]);
    assert_eq!(visible(dir.path())[1..], [file("part-00001-00000.csv", "value\nb\nc\n")]);
}

#[test]
fn a_failed_commit_needs_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let query = QueryId::random();
    let mut sink = open(dir.path(), query, None).unwrap();
    let staged = stage(&mut *sink, 0, &[&["a"]]);
    fs::remove_dir_all(dir.path().join(STAGING)).unwrap();
    assert!(sink.commit(Epoch::FIRST, staged.clone()).unwrap_err().to_string().contains("move into place"));
    assert!(matches!(sink.commit(Epoch::FIRST, staged), Err(Error::Protocol(_))));
    // While it is open nobody else can write there.
    assert!(refused(dir.path()).contains("[CONCURRENT_STREAM_LOG_UPDATE]"));
    drop(sink);
    run(&mut *open(dir.path(), query, None).unwrap(), 0, &[&["a"]]);
    assert_eq!(names(dir.path()), ["part-00000-00000.csv"]);
}

#[test]
fn directories_of_others_are_refused_and_other_files_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.csv"), "mine").unwrap();
    open(dir.path(), QueryId::random(), None).unwrap();
    assert_eq!(visible(dir.path()), [file("notes.csv", "mine")]);
    assert!(refused(dir.path()).contains("a directory of its own"));
    let parts = tempfile::tempdir().unwrap();
    fs::write(parts.path().join("part-00000-00000.csv"), "whose?").unwrap();
    let error = refused(parts.path());
    assert!(error.contains("part-00000-00000.csv") && error.contains("empty directory"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let locked = dir.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(locked.join("probe"), "").is_ok() {
        eprintln!("skipped: permissions don't bind this user, root for instance");
        return;
    }
    assert!(refused(&locked).contains("locked"));
}

#[test]
fn a_file_in_the_place_of_the_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken");
    fs::write(&path, "").unwrap();
    let error = refused(&path);
    assert!(error.contains("can't create the output directory") && error.contains("taken"), "{error}");
}

#[test]
fn committed_files_of_no_output_and_of_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    assert!(FileSink::committed_files(dir.path()).unwrap().is_empty());
    assert!(FileSink::committed_files(dir.path().join("none")).is_err());
}

#[test]
fn json_and_parquet_files_hold_the_rows_of_their_epochs() {
    use crate::FileSource;
    use crate::testing::{read, source_context, strings};
    use tidegate_runtime::{OffsetRange, ReadLimit, SourceSupplier};

    for format in ["json", "parquet"] {
        let dir = tempfile::tempdir().unwrap();
        let (config, source) = match format {
            "json" => (FileSink::json(dir.path()), FileSource::json(dir.path(), schema())),
            _ => (FileSink::parquet(dir.path()), FileSource::parquet(dir.path(), schema())),
        };
        config.check_input(&schema()).unwrap();
        let mut sink = config.supply().unwrap();
        sink.open(sink_context(QueryId::random(), schema(), None)).unwrap();
        run(&mut *sink, 0, &[&["a", "b\n\""], &[]]);
        run(&mut *sink, 1, &[&["c"], &["d"]]);
        let names: Vec<String> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.contains(&format!("part-00001-00001.{format}")), "{names:?}");
        let committed = FileSink::committed_files(dir.path()).unwrap();
        assert_eq!(committed.len(), 3);
        let mut source = source.supply().unwrap();
        source.open(source_context(None, Vec::new())).unwrap();
        let end = source.latest_offset(None, ReadLimit::All).unwrap().unwrap();
        let range = OffsetRange { start: None, end };
        source.journal(&range).unwrap();
        let mut found = strings(&read(&mut *source, &range).unwrap());
        found.sort();
        assert_eq!(found, ["a", "b\n\"", "c", "d"], "{format}");
    }
}
