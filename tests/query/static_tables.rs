//! Streams joined with tables that change, and files read as tables.

use tidegate::connectors::MemorySink;
use tidegate::{DataFrame, OutputMode, Session};

use crate::support::{lines, numbers, rows, sorted, strings};

/// Runs an epoch over the ids with each content of the table; `change` is given the number of the epoch.
fn joined_while(session: &Session, table: &DataFrame, mut change: impl FnMut(i64)) -> Vec<String> {
    let (input, ids) = session.memory_stream("id BIGINT").unwrap();
    let sink = MemorySink::new();
    let frame = ids.join_using(table, ["id"], "left");
    let query = frame.write_stream().output_mode(OutputMode::Append).sink(sink.clone()).start().unwrap();
    for number in 0..3 {
        change(number);
        input.add_data(rows(vec![("id", numbers([1, 2]))])).unwrap();
        query.process_all_available().unwrap();
    }
    query.stop().unwrap();
    sink.epochs().into_iter().map(|(_, rows)| sorted(&rows).join(" ")).collect()
}

#[test]
fn a_stream_is_joined_with_files_as_they_are_in_each_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_string_lossy().into_owned();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("a.json", "{\"id\": 1, \"v\": \"a\"}\n");
    let session = Session::builder().parallelism(2).build().unwrap();
    let table = session.read().schema("id BIGINT, v STRING").format("json").load(&path).unwrap();
    let epochs = joined_while(&session, &table, |epoch| match epoch {
        1 => write("b.json", "{\"id\": 2, \"v\": \"b\"}\n"),
        2 => write("a.json", "{\"id\": 1, \"v\": \"longer\"}\n"),
        _ => {}
    });
    assert_eq!(epochs, ["1|a 2|NULL", "1|a 2|b", "1|longer 2|b"]);
}

#[test]
fn a_stream_is_joined_with_parquet_files_as_they_are_in_each_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let table_path = directory.path().join("table");
    let session = Session::builder().parallelism(2).build().unwrap();
    let write = |id: i64, value: &str| {
        let frame = session.create_data_frame(vec![rows(vec![("id", numbers([id])), ("v", strings([value]))])]).unwrap();
        let part = directory.path().join(format!("part-{id}"));
        frame.write().parquet(&part.to_string_lossy()).unwrap();
        std::fs::create_dir_all(&table_path).unwrap();
        let is_rows = |name: &std::path::Path| name.extension().is_some_and(|extension| extension == "parquet");
        let written = std::fs::read_dir(&part).unwrap().map(|entry| entry.unwrap().path()).find(|path| is_rows(path)).unwrap();
        std::fs::rename(written, table_path.join(format!("{id}.parquet"))).unwrap();
    };
    write(1, "a");
    let table = session.read().parquet(table_path.to_string_lossy()).unwrap();
    let epochs = joined_while(&session, &table, |epoch| {
        if epoch == 1 {
            write(2, "b");
        }
    });
    assert_eq!(epochs, ["1|a 2|NULL", "1|a 2|b", "1|a 2|b"]);
}

#[test]
fn a_stream_is_joined_with_the_table_of_a_running_query() {
    let session = Session::builder().parallelism(2).build().unwrap();
    let (totals_input, values) = session.memory_stream("id BIGINT, v STRING").unwrap();
    let query = values.write_stream().format("memory").query_name("totals").start().unwrap();
    let table = session.table("totals").unwrap();
    let epochs = joined_while(&session, &table, |epoch| {
        totals_input.add_data(rows(vec![("id", numbers([epoch])), ("v", strings(["new"]))])).unwrap();
        query.process_all_available().unwrap();
    });
    assert_eq!(epochs, ["1|NULL 2|NULL", "1|new 2|NULL", "1|new 2|new"]);
    query.stop().unwrap();
}

#[test]
fn a_table_of_files_is_read_when_it_is_asked_for_and_no_further_than_it_must() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_string_lossy().into_owned();
    std::fs::write(directory.path().join("a.csv"), "1,x\n2,y\n").unwrap();
    let session = Session::builder().build().unwrap();
    let table = session.read().schema("id INT, name STRING").csv(&path);
    let table = table.unwrap();
    assert_eq!(sorted(&table.collect().unwrap()), ["1|x", "2|y"]);
    std::fs::write(directory.path().join("b.csv"), "3,z\n").unwrap();
    assert_eq!(lines(&table.filter("id > 2").select(["name"]).collect().unwrap()), ["z"]);
    assert_eq!(table.limit(2).count().unwrap(), 2);
    assert_eq!(table.count().unwrap(), 3);
    std::fs::write(directory.path().join("c.csv"), "not a number,z\n").unwrap();
    let strict = session.read().schema("id INT, name STRING").option("mode", "FAILFAST").csv(&path).unwrap();
    let error = strict.collect().unwrap_err();
    assert!(error.to_string().contains("c.csv"), "{error}");
}
