//! What users' code and data can do: it fails the query, says where, and goes on when it is mended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::DataType;
use tidegate::connectors::{MemorySink, MemoryStream};
use tidegate::{Error, OutputMode, Session};

use crate::support::{numbers, rows, run, session_with, sorted, strings};

fn message(error: &Error) -> String {
    error.to_string()
}

#[test]
fn a_panic_in_a_users_function_fails_the_query_and_the_same_epoch_is_run_again() {
    let checkpoint = tempfile::tempdir().unwrap();
    let (stream, sink) = (MemoryStream::new(rows(vec![("n", numbers([]))]).schema()), MemorySink::new());
    let broken = Arc::new(AtomicBool::new(true));
    let start = || {
        let session = session_with("events", &stream, 2);
        let broken = Arc::clone(&broken);
        session.register_function("checked", vec![DataType::Int64], DataType::Int64, move |columns| {
            assert!(!broken.load(Ordering::Relaxed), "the user's own panic");
            Ok(Arc::clone(&columns[0]))
        });
        run(&session.sql("SELECT checked(n) AS n FROM events").unwrap(), OutputMode::Append, &sink, checkpoint.path())
    };
    stream.add_data(rows(vec![("n", numbers([1, 2, 3]))])).unwrap();
    let error = start().unwrap_err();
    for part in ["query", "epoch 0", "the user's own panic"] {
        assert!(message(&error).contains(part), "{part}: {error}");
    }
    assert!(sink.batches().is_empty());
    broken.store(false, Ordering::Relaxed);
    stream.add_data(rows(vec![("n", numbers([4]))])).unwrap();
    start().unwrap();
    assert_eq!(sorted(&sink.batches()), ["1", "2", "3", "4"]);
}

#[test]
fn a_cast_deep_in_the_input_fails_with_its_condition_and_nothing_of_the_epoch_comes_out() {
    let checkpoint = tempfile::tempdir().unwrap();
    let (stream, sink) = (MemoryStream::new(rows(vec![("s", strings([]))]).schema()), MemorySink::new());
    let texts: Vec<String> = (0..100_000).map(|n| if n == 99_999 { "last".to_owned() } else { n.to_string() }).collect();
    stream.add_data(rows(vec![("s", strings(texts.iter().map(String::as_str)))])).unwrap();
    let session = session_with("events", &stream, 2);
    let error =
        run(&session.sql("SELECT CAST(s AS INT) AS n FROM events").unwrap(), OutputMode::Append, &sink, checkpoint.path())
            .unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("CAST_INVALID_INPUT"), "{error}");
    assert!(message(&error).contains("'last'") && message(&error).contains("epoch 0"), "{error}");
    assert!(sink.batches().is_empty());
    let session = session_with("events", &stream, 2);
    run(&session.sql("SELECT TRY_CAST(s AS INT) AS n FROM events").unwrap(), OutputMode::Append, &sink, checkpoint.path())
        .unwrap();
    assert_eq!(sink.batches().iter().map(|batch| batch.num_rows()).sum::<usize>(), 100_000);
}

#[test]
fn a_broken_line_names_file_and_line_and_is_read_again_when_it_is_mended() {
    let (input, checkpoint) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sink = MemorySink::new();
    let file = input.path().join("a.json");
    std::fs::write(&file, "{\"n\": 1}\n{\"n\": \n{\"n\": 3}\n").unwrap();
    let start = || {
        let session = Session::builder().build().unwrap();
        let reader = session.read_stream().schema("n BIGINT").option("mode", "FAILFAST");
        run(&reader.json(&input.path().to_string_lossy()).unwrap(), OutputMode::Append, &sink, checkpoint.path())
    };
    let error = start().unwrap_err();
    for part in ["a.json", "line 2", "epoch 0"] {
        assert!(message(&error).contains(part), "{part}: {error}");
    }
    // The same length and time: the file is known by both.
    let time = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, "{\"n\": 1}\n{\"n\":2\n{\"n\": 3}\n".replace("{\"n\":2\n", "{\"n\":2}")).unwrap();
    std::fs::write(&file, "{\"n\": 1}\n{\"n\":2\n{\"n\": 3}\n".replace("\"n\":2", "\"n\":2}").replace("3}\n", "3}")).unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    start().unwrap();
    assert_eq!(sorted(&sink.batches()), ["1", "2", "3"]);
}

#[test]
fn an_error_of_foreach_batch_keeps_the_epoch_until_it_succeeds() {
    let checkpoint = tempfile::tempdir().unwrap();
    let stream = MemoryStream::new(rows(vec![("n", numbers([]))]).schema());
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let start = |fails: bool| {
        let session = session_with("events", &stream, 1);
        let seen = Arc::clone(&seen);
        let writer = session.table("events").unwrap().write_stream().checkpoint(checkpoint.path()).available_now();
        let query = writer.foreach_batch(move |batch, epoch| {
            seen.lock().unwrap().push((epoch, batch.count()?));
            if fails { Err("the store is down".into()) } else { Ok(()) }
        });
        query.start()?.await_termination(None)
    };
    stream.add_data(rows(vec![("n", numbers([1, 2]))])).unwrap();
    let error = start(true).unwrap_err();
    assert!(message(&error).contains("the store is down"), "{error}");
    stream.add_data(rows(vec![("n", numbers([3]))])).unwrap();
    start(false).unwrap();
    assert_eq!(*seen.lock().unwrap(), [(0, 2), (0, 2), (1, 1)]);
}

#[test]
fn wrong_options_are_named() {
    let session = Session::builder().build().unwrap();
    let reader = || session.read_stream();
    for (result, part) in [
        (reader().format("socket").option("host", "localhost").load(), "port"),
        (reader().format("carrier-pigeon").load(), "carrier-pigeon"),
        (reader().json("/nowhere"), "schema"),
        (reader().schema("n INT").option("maxFilesPerTrigger", "none").json("/nowhere"), "maxFilesPerTrigger"),
        (reader().schema("n NUMBER").json("/nowhere"), "NUMBER"),
        (reader().format("rate").option("rowsPerSecond", "many").load(), "rowsPerSecond"),
    ] {
        let error = result.err().unwrap_or_else(|| panic!("{part} was taken"));
        assert!(message(&error).contains(part), "{part}: {error}");
    }
    let (_, frame) = session.memory_stream("n INT").unwrap();
    let error = frame.write_stream().format("memory").start().unwrap_err();
    assert!(message(&error).contains("query_name"), "{error}");
    let error =
        frame.write_stream().format("parquet").output_mode(OutputMode::Update).option("path", "/tmp/x").start().unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE"));
    let error = reader().schema("n INT").json("/nowhere/at/all").unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("PATH_NOT_FOUND"));
    assert!(message(&error).contains("/nowhere/at/all"), "{error}");
}
