//! Batches written beside what is there, or in its place.

use std::collections::BTreeSet;
use std::path::Path;

use tidegate::connectors::FileSink;
use tidegate::{DataFrame, RestartStrategy, Result, SaveMode, Session};

use crate::support::{numbers, rows, sorted};

fn session() -> Session {
    Session::builder().build().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A frame of a column of numbers.
fn frame(session: &Session, values: impl IntoIterator<Item = i64>) -> DataFrame {
    session.create_data_frame(vec![rows(vec![("n", numbers(values))])]).unwrap()
}

fn write(session: &Session, values: &[i64], mode: &str, path: &Path) -> Result<()> {
    frame(session, values.iter().copied()).write().mode(mode).parquet(text(path))
}

fn read(session: &Session, path: &Path) -> Vec<String> {
    sorted(&session.read().parquet(text(path)).unwrap().collect().unwrap())
}

/// The names that those see who only list the directory.
fn listed(dir: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with(['.', '_'])).collect()
}

/// Runs a stream of these numbers to its end, with its output in `dir`.
fn run_stream(session: &Session, values: &[i64], dir: &Path, checkpoint: &Path) -> Result<()> {
    let (input, stream) = session.memory_stream("n BIGINT").unwrap();
    let query = stream.write_stream().format("parquet").checkpoint(checkpoint).start_path(text(dir))?;
    input.add_data(rows(vec![("n", numbers(values.iter().copied()))])).unwrap();
    query.process_all_available()?;
    query.stop()
}

#[test]
fn modes_of_a_directory_that_batches_write() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let path = dir.path().join("out");
    write(&session, &[1, 2], "default", &path).unwrap();
    let error = write(&session, &[3], "errorIfExists", &path).unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("PATH_ALREADY_EXISTS"), "{error}");
    write(&session, &[3], "ignore", &path).unwrap();
    assert_eq!(read(&session, &path), ["1", "2"]);
    write(&session, &[3], "Append", &path).unwrap();
    write(&session, &[4], "append", &path).unwrap();
    assert_eq!(read(&session, &path), ["1", "2", "3", "4"]);
    assert_eq!(listed(&path).len(), 3);
    write(&session, &[5], "OVERWRITE", &path).unwrap();
    assert_eq!((read(&session, &path), listed(&path).len()), (vec!["5".to_owned()], 1));
    write(&session, &[6], "append", &path).unwrap();
    assert_eq!(read(&session, &path), ["5", "6"]);
    assert_eq!(FileSink::committed_files(&path).unwrap().len(), 2);
    let error = write(&session, &[1], "replace", &path).unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("INVALID_SAVE_MODE"), "{error}");
}

#[test]
fn a_batch_may_overwrite_what_it_reads() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    write(&session, &[1, 2, 3], "error", dir.path()).unwrap();
    let own = session.read().parquet(text(dir.path())).unwrap();
    own.filter("n > 1").write().mode(SaveMode::Overwrite).parquet(text(dir.path())).unwrap();
    assert_eq!(sorted(&own.collect().unwrap()), ["2", "3"]);
}

#[test]
fn files_that_others_have_written_are_added_to_or_replaced() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let write = |values: &[i64], mode: &str| frame(&session, values.iter().copied()).write().mode(mode).json(text(dir.path()));
    let read = || sorted(&session.read().schema("n BIGINT").json(text(dir.path())).unwrap().collect().unwrap());
    for name in ["part-00000-0f0e-c000.json", "part-00007-00000.json", "_SUCCESS", "_notes", ".part-00000-0f0e-c000.json.crc"] {
        std::fs::write(dir.path().join(name), if name.ends_with(".json") { "{\"n\":1}\n" } else { "" }).unwrap();
    }
    std::fs::create_dir_all(dir.path().join("other")).unwrap();
    std::fs::write(dir.path().join("other/kept.json"), "").unwrap();
    write(&[2], "append").unwrap();
    write(&[3], "append").unwrap();
    assert_eq!(read(), ["1", "1", "2", "3"]);
    assert!(!dir.path().join("_tidegate_manifest").exists(), "readers would not see the other files any more");
    write(&[4], "overwrite").unwrap();
    assert_eq!(read(), ["4"]);
    // What is no row of the directory stays.
    assert!(dir.path().join("other/kept.json").exists() && dir.path().join("_notes").exists());
    assert_eq!(listed(dir.path()), BTreeSet::from(["other".to_owned(), "part-00008-00000.json".to_owned()]));
    assert!(!dir.path().join(".part-00000-0f0e-c000.json.crc").exists());
}

#[test]
fn partitions_are_added_to_and_replaced_as_a_whole() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let write = |values: &str, mode: &str| {
        let frame = session.sql(&format!("SELECT * FROM VALUES {values} AS t(n, k)")).unwrap();
        frame.write().mode(mode).partition_by(["k"]).csv(text(dir.path()))
    };
    let read = || sorted(&session.read().schema("n INT, k STRING").csv(text(dir.path())).unwrap().collect().unwrap());
    write("(1, 'a'), (2, 'b')", "append").unwrap();
    write("(3, 'b')", "append").unwrap();
    assert_eq!(read(), ["1|a", "2|b", "3|b"]);
    write("(4, 'b'), (5, 'c')", "overwrite").unwrap();
    assert_eq!(read(), ["4|b", "5|c"]);
    assert_eq!(listed(dir.path()), BTreeSet::from(["k=b".to_owned(), "k=c".to_owned()]));
    let dynamic = frame(&session, [1]).write().partition_by(["n"]).mode("overwrite").option("partitionOverwriteMode", "dynamic");
    assert!(dynamic.csv(text(dir.path())).unwrap_err().to_string().contains("partitionOverwriteMode"));
    assert_eq!(read(), ["4|b", "5|c"]);
}

#[test]
fn the_output_of_a_query_that_has_ended_is_added_to_and_replaced() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let (out, checkpoint) = (dir.path().join("out"), dir.path().join("checkpoint"));
    run_stream(&session, &[1, 2], &out, &checkpoint).unwrap();
    write(&session, &[3], "append", &out).unwrap();
    write(&session, &[4], "append", &out).unwrap();
    assert_eq!(read(&session, &out), ["1", "2", "3", "4"]);
    // Its checkpoint knows nothing of these rows. It must not take their epochs for its own, whether or not it was in the middle of one.
    let error = run_stream(&session, &[5], &out, &checkpoint).unwrap_err().to_string();
    assert!(error.contains("give it a directory of its own"), "{error}");
    write(&session, &[6], "overwrite", &out).unwrap();
    let error = run_stream(&session, &[5], &out, &checkpoint).unwrap_err().to_string();
    assert!(error.contains("give it a directory of its own"), "{error}");
    assert_eq!(read(&session, &out), ["6"]);
}

#[test]
fn a_directory_that_a_query_is_writing_to_is_refused() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let (out, checkpoint) = (dir.path().join("out"), dir.path().join("checkpoint"));
    let (input, stream) = session.memory_stream("n BIGINT").unwrap();
    let query = stream.write_stream().format("parquet").checkpoint(checkpoint).start_path(text(&out)).unwrap();
    input.add_data(rows(vec![("n", numbers([1]))])).unwrap();
    query.process_all_available().unwrap();
    for mode in ["append", "overwrite"] {
        let error = write(&session, &[2], mode, &out).unwrap_err().to_string();
        assert!(error.contains("a query that runs"), "{error}");
    }
    input.add_data(rows(vec![("n", numbers([3]))])).unwrap();
    query.process_all_available().unwrap();
    query.stop().unwrap();
    assert_eq!(read(&session, &out), ["1", "3"]);
    write(&session, &[2], "append", &out).unwrap();
    assert_eq!(read(&session, &out), ["1", "2", "3"]);
}

#[test]
fn a_query_that_is_restarted_gets_its_directory_back() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let fails = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let int = arrow::datatypes::DataType::Int64;
    session.register_function("checked", vec![int.clone()], int, move |columns| {
        let is_first = fails.swap(false, std::sync::atomic::Ordering::SeqCst);
        if is_first { Err("once".into()) } else { Ok(std::sync::Arc::clone(&columns[0])) }
    });
    let (input, stream) = session.memory_stream("n BIGINT").unwrap();
    let once = RestartStrategy::FixedDelay { attempts: 1, delay: std::time::Duration::ZERO };
    let writer = stream.select_expr(["checked(n) AS n"]).write_stream().format("parquet").restart(once);
    let out = dir.path().join("out");
    let query = writer.checkpoint(dir.path().join("checkpoint")).start_path(text(&out)).unwrap();
    input.add_data(rows(vec![("n", numbers([1]))])).unwrap();
    query.process_all_available().unwrap();
    query.stop().unwrap();
    assert_eq!(read(&session, &out), ["1"]);
}

#[test]
fn readers_see_the_old_rows_or_the_new_ones_while_batches_overwrite() {
    const TIMES: i64 = 20;
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    write(&session, &[0, 0], "error", dir.path()).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let overwrite = scope.spawn(|| {
            let session = self::session();
            (1..=TIMES).for_each(|n| write(&session, &[n, n], "overwrite", dir.path()).unwrap());
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let reader = self::session();
        let mut newest = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            // Between the listing and the reading a file may go: that is an error, and not a result of other rows.
            let Ok(rows) = reader.read().schema("n BIGINT").parquet(text(dir.path())).and_then(|frame| frame.collect()) else {
                continue;
            };
            let found: Vec<i64> = sorted(&rows).iter().map(|row| row.parse().unwrap()).collect();
            assert!(found.len() == 2 && found[0] == found[1] && found[0] >= newest, "{found:?} after {newest}");
            newest = found[0];
        }
        overwrite.join().unwrap();
    });
    assert_eq!(read(&session, dir.path()), [TIMES.to_string(), TIMES.to_string()]);
}

#[test]
fn what_a_batch_that_died_has_left_is_no_row() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    write(&session, &[1], "error", dir.path()).unwrap();
    // It was killed after it had moved its files and before its manifest, and another one before that.
    std::fs::copy(dir.path().join("part-00000-00000.parquet"), dir.path().join("part-00004-00000.parquet")).unwrap();
    std::fs::create_dir_all(dir.path().join("_tidegate_batch-1/_staging")).unwrap();
    std::fs::write(dir.path().join("_tidegate_batch-1/part-00000-00000.parquet"), "").unwrap();
    assert_eq!(read(&session, dir.path()), ["1"]);
    write(&session, &[2], "append", dir.path()).unwrap();
    assert_eq!((read(&session, dir.path()), listed(dir.path()).len()), (vec!["1".to_owned(), "2".to_owned()], 2));
    assert!(!dir.path().join("_tidegate_batch-1").exists());
    // It was killed before it had removed the old files.
    std::fs::copy(dir.path().join("part-00000-00000.parquet"), dir.path().join("part-00007-00000.parquet")).unwrap();
    write(&session, &[3], "overwrite", dir.path()).unwrap();
    assert_eq!((read(&session, dir.path()), listed(dir.path()).len()), (vec!["3".to_owned()], 1));
}

#[test]
fn small_files_of_a_batch_do_not_wait_for_more() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    for (mode, expected) in [("append", 1), ("append", 2), ("overwrite", 1)] {
        let writer = frame(&session, [1]).write().mode(mode).option("compactEveryEpochs", 10);
        writer.parquet(text(dir.path())).unwrap();
        assert_eq!((read(&session, dir.path()).len(), listed(dir.path()).len()), (expected, expected));
    }
}

#[test]
fn batches_that_append_at_the_same_time_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let append = |from: i64| {
        let session = session();
        (from..from + 5).for_each(|n| write(&session, &[n], "append", dir.path()).unwrap());
    };
    std::thread::scope(|scope| [0, 5, 10].map(|from| scope.spawn(move || append(from))).map(|thread| thread.join().unwrap()));
    assert_eq!(read(&session(), dir.path()).len(), 15);
}

#[test]
fn the_epochs_of_a_stream_are_appended_by_its_batches() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let (input, stream) = session.memory_stream("n BIGINT").unwrap();
    let path = text(dir.path()).to_owned();
    let query =
        stream.write_stream().foreach_batch(move |batch, _| Ok(batch.write().mode("append").parquet(&path)?)).start().unwrap();
    for n in [1, 2, 3] {
        input.add_data(rows(vec![("n", numbers([n]))])).unwrap();
        query.process_all_available().unwrap();
    }
    query.stop().unwrap();
    assert_eq!(read(&session, dir.path()), ["1", "2", "3"]);
}

#[test]
fn places_that_files_do_not_belong_to_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::builder().warehouse(dir.path().join("warehouse")).build().unwrap();
    frame(&session, [1]).write().save_as_table("t").unwrap();
    std::fs::create_dir_all(dir.path().join("delta/_delta_log")).unwrap();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    for (place, part) in [("warehouse/t", "use save_as_table"), ("delta", "a Delta table"), ("file", "it is a file")] {
        for mode in ["append", "overwrite"] {
            let error = write(&session, &[2], mode, &dir.path().join(place)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
    assert_eq!(session.table("t").unwrap().count().unwrap(), 1);
}

#[test]
fn a_stream_is_no_batch() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let (_, stream) = session.memory_stream("n BIGINT").unwrap();
    std::fs::write(dir.path().join("a.json"), "").unwrap();
    for mode in [SaveMode::Ignore, SaveMode::Append] {
        let error = stream.write().mode(mode).options([("compression", "none")]).json(text(dir.path())).unwrap_err();
        assert_eq!(error.condition().as_deref(), Some("CALL_ON_STREAMING_DATASET_UNSUPPORTED"), "{error}");
    }
}

#[test]
fn modes_in_an_object_store() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let (path, streamed) = ("memory://batch-modes/out", "memory://batch-modes/streamed");
    let write = |values: &[i64], mode: &str, path: &str| frame(&session, values.iter().copied()).write().mode(mode).json(path);
    let read = |path: &str| sorted(&session.read().json(path).unwrap().collect().unwrap());
    write(&[1], "append", path).unwrap();
    write(&[2], "append", path).unwrap();
    write(&[3], "ignore", path).unwrap();
    assert_eq!(read(path), ["1", "2"]);
    assert!(write(&[3], "overwrite", path).unwrap_err().to_string().contains("can't be overwritten"));
    run_stream(&session, &[1], Path::new(streamed), &dir.path().join("checkpoint")).unwrap();
    assert!(write(&[3], "append", streamed).unwrap_err().to_string().contains("the output of a query"));
}

#[test]
fn modes_of_tables() {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::builder().warehouse(dir.path()).build().unwrap();
    let values = |text: &str| session.sql(&format!("SELECT * FROM VALUES {text}")).unwrap();
    let read = || sorted(&session.table("t").unwrap().collect().unwrap());
    let first = values("(1, 'a') AS t(n, s)");
    first.write().mode("append").save_as_table("t").unwrap();
    assert_eq!(first.write().save_as_table("t").unwrap_err().condition().as_deref(), Some("TABLE_OR_VIEW_ALREADY_EXISTS"));
    first.write().mode("ignore").save_as_table("t").unwrap();
    // By name, in a table.
    values("('b', 2) AS t(s, n)").write().mode("append").save_as_table("t").unwrap();
    assert_eq!(read(), ["1|a", "2|b"]);
    values("('c', 3) AS t(S, N)").write().mode("overwrite").save_as_table("t").unwrap();
    // Another table takes its place.
    assert_eq!(
        (read(), session.table("t").unwrap().columns().unwrap()),
        (vec!["c|3".to_owned()], vec!["S".to_owned(), "N".to_owned()])
    );
    // By position, into one.
    values("('d', 4) AS t(x, y)").write().insert_into("t").unwrap();
    assert_eq!(read(), ["c|3", "d|4"]);
    values("('e', 5) AS t(x, y)").write().mode("overwrite").insert_into("t").unwrap();
    assert_eq!(read(), ["e|5"]);
    // From its own rows: the same table, whose rows are others now; then one of other columns, format and partitions.
    session.sql("SELECT S, N + 1 AS N FROM t").unwrap().write().mode("overwrite").save_as_table("t").unwrap();
    assert_eq!(read(), ["e|6"]);
    let more = session.sql("SELECT S, N, N * 2L AS twice FROM t").unwrap();
    more.write().mode("overwrite").format("json").partition_by(["S"]).save_as_table("t").unwrap();
    assert_eq!(read(), ["6|12|e"]);
    assert!(first.write().mode("append").save_as_table("t").is_err());
    let error = more.write().mode("append").partition_by(["N"]).save_as_table("t").unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("MISMATCHED_TABLE_PARTITIONING"));
    let error = first.write().mode("upsert").save_as_table("other").unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("INVALID_SAVE_MODE"));
    assert!(session.table("other").is_err());
}

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(path), content).unwrap();
    }
    dir
}

/// Reads files of JSON below these paths of a directory.
fn load(dir: &Path, paths: &[&str], options: &[(&str, &str)]) -> Result<DataFrame> {
    let reader = session().read().format("json");
    let reader = options.iter().fold(reader, |reader, (name, value)| reader.option(name, value));
    reader.load_paths(paths.iter().map(|path| dir.join(path).to_str().unwrap().to_owned()))
}

fn shown(frame: Result<DataFrame>) -> (Vec<String>, Vec<String>) {
    let frame = frame.unwrap();
    (frame.columns().unwrap(), sorted(&frame.collect().unwrap()))
}

#[test]
fn several_paths_are_one_table() {
    let dir = tree(&[
        ("a/1.json", "{\"n\":1}\n"),
        ("b/2.json", "{\"n\":2,\"m\":3}\n"),
        ("b/3.json", "{\"n\":4}\n"),
        ("c/x.csv", "h\n7\n"),
        ("d/y.csv", "h\n0.5\n"),
    ]);
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(shown(load(dir.path(), &["a", "b/2.json"], &[])), (columns(&["m", "n"]), columns(&["3|2", "NULL|1"])));
    assert_eq!(shown(load(dir.path(), &["a", "b/{3}.json"], &[])).1, ["1", "4"]);
    // As in Spark.
    assert_eq!(shown(load(dir.path(), &["a", "a"], &[])).1, ["1", "1"]);
    let remote = "memory://several-paths/out";
    frame(&session(), [9]).write().json(remote).unwrap();
    let both = [remote.to_owned(), path("a")];
    assert_eq!(shown(session().read().json(both)).1, ["1", "9"]);
    let named = load(dir.path(), &["a", "b"], &[]).unwrap().select(["n", "_metadata.file_name"]);
    assert_eq!(sorted(&named.collect().unwrap()), ["1|1.json", "2|2.json", "4|3.json"]);
    let csv = session().read().option("header", true).option("inferSchema", true).csv([path("c"), path("d")]);
    assert_eq!(shown(csv), (columns(&["h"]), columns(&["0.5", "7.0"])));
    assert_eq!(shown(session().read().text(vec![path("c"), path("a")])).1, ["7", "h", "{\"n\":1}"]);
    let error = load(dir.path(), &["a", "none"], &[]).unwrap_err();
    assert!(error.to_string().contains("PATH_NOT_FOUND") && error.to_string().contains("/none"), "{error}");
    assert!(load(dir.path(), &[], &[]).is_err());
}

#[test]
fn several_paths_of_parquet_files_are_one_table() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    write(&session, &[1, 2], "error", &one).unwrap();
    write(&session, &[3], "error", &other).unwrap();
    let both = session.read().parquet([text(&one), text(&other)]).unwrap();
    assert_eq!(sorted(&both.filter("n > 1").collect().unwrap()), ["2", "3"]);
    assert_eq!(both.filter("_metadata.file_size > 0").count().unwrap(), 3);
    // A stream that is joined with it sees what comes to each path.
    let (input, ids) = session.memory_stream("n BIGINT").unwrap();
    let sink = tidegate::connectors::MemorySink::new();
    let query = ids.join_using(&both, ["n"], "inner").write_stream().sink(sink.clone()).start().unwrap();
    for values in [&[4][..], &[5]] {
        write(&session, values, "append", &other).unwrap();
        input.add_data(rows(vec![("n", numbers([4, 5]))])).unwrap();
        query.process_all_available().unwrap();
    }
    query.stop().unwrap();
    assert_eq!(sorted(&sink.batches()), ["4", "4", "5"]);
}

#[test]
fn partitions_of_several_paths() {
    let one = "{\"v\":1}\n";
    let dir = tree(&[("t/k=1/j=a/x.json", one), ("t/k=2/j=b/x.json", one), ("t/k=z/j=c/x.json", one), ("u/k=1/x.json", one)]);
    let base = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (root, above) = (base("t"), base(""));
    let condition =
        |paths: &[&str], options: &[(&str, &str)]| load(dir.path(), paths, options).unwrap_err().condition().unwrap_or_default();
    // Leaves: no column of their own.
    assert_eq!(shown(load(dir.path(), &["t/k=1/j=a", "t/k=2/j=b"], &[])).0, ["v"]);
    let rooted = [("basePath", root.as_str())];
    let (columns, found) = shown(load(dir.path(), &["t/k=1", "t/k=2/j=b"], &rooted));
    assert_eq!((columns.join(" "), found), ("v k j".to_owned(), vec!["1|1|a".to_owned(), "1|2|b".to_owned()]));
    assert_eq!(shown(load(dir.path(), &["t/k=1", "t/k=z"], &rooted)).1, ["1|1|a", "1|z|c"]);
    // Each file of a partitioned table is read once.
    assert_eq!(shown(load(dir.path(), &["t", "t/k=1", "t"], &rooted)).1.len(), 3);
    assert_eq!(condition(&["t/k=1", "t/k=2"], &[]), "CONFLICTING_DIRECTORY_STRUCTURES");
    assert_eq!(condition(&["t", "u"], &[]), "CONFLICTING_DIRECTORY_STRUCTURES");
    assert_eq!(condition(&["t", "u"], &[("basePath", &above)]), "CONFLICTING_PARTITION_COLUMN_NAMES");
    let recursive = [("recursiveFileLookup", "true")];
    assert_eq!(shown(load(dir.path(), &["t", "u"], &recursive)).1.len(), 4);
}

#[test]
fn a_batch_of_nothing_has_its_columns() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let nothing = || session.sql("SELECT id AS n, 'x' AS s FROM range(3) WHERE id > 9").unwrap();
    for format in ["parquet", "csv"] {
        let out = dir.path().join(format);
        let write = |mode: &str| nothing().write().mode(mode).option("header", true).format(format).save(text(&out));
        ["error", "append", "overwrite"].iter().for_each(|mode| write(mode).unwrap());
        let read = session.read().option("header", true).format(format).load(text(&out)).unwrap();
        assert_eq!((read.columns().unwrap(), read.count().unwrap()), (vec!["n".to_owned(), "s".to_owned()], 0), "{format}");
    }
}
