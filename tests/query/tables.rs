//! Tables of the warehouse: written by queries and statements, read as batches and as streams.

use std::path::Path;

use tidegate::connectors::MemoryStream;
use tidegate::functions::col;
use tidegate::{OutputMode, Session, StreamingQuery, Trigger};

use crate::support::{numbers, rows, sorted, strings};

fn session(warehouse: &Path) -> Session {
    Session::builder().parallelism(2).warehouse(warehouse).build().unwrap()
}

fn all(session: &Session, text: &str) -> Vec<String> {
    sorted(&session.sql(text).unwrap().collect().unwrap())
}

fn condition(session: &Session, text: &str) -> String {
    session.sql(text).unwrap_err().condition().unwrap_or_default()
}

#[test]
fn the_guides_example_goes_from_table_to_table() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    let rate = session.read_stream().format("rate-micro-batch").option("rowsPerBatch", 10).load().unwrap();
    let checkpoint = |name: &str| warehouse.path().join("_checkpoints").join(name);
    let query = rate.write_stream().checkpoint(checkpoint("rate")).to_table("myTable").unwrap();
    while session.read().table("myTable").unwrap().count().unwrap() < 30 {
        query.process_all_available_for_one_epoch();
    }
    let read = session.read_stream().table("myTable").unwrap().select(["value"]);
    let copy = read.write_stream().checkpoint(checkpoint("copy")).format("parquet").available_now().to_table("newTable").unwrap();
    copy.await_termination(None).unwrap();
    let copied = session.table("newTable").unwrap().count().unwrap();
    assert!(copied >= 30);
    assert_eq!(all(&session, "SELECT count(DISTINCT value) = count(*) AND min(value) = 0 AS exact FROM newTable"), ["true"]);
    query.stop().unwrap();
    let shown = session.read().table("newTable").unwrap().order_by(["value"]).show_string(2, None).unwrap();
    assert!(shown.starts_with("+-----+\n|value|\n+-----+\n|0    |\n|1    |\n"), "{shown}");
}

/// Waits for the next committed epoch of a query whose source never ends.
trait OneEpoch {
    fn process_all_available_for_one_epoch(&self);
}

impl OneEpoch for StreamingQuery {
    fn process_all_available_for_one_epoch(&self) {
        let before = self.handle().totals().epochs;
        while self.handle().totals().epochs == before && self.is_active() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn statements_make_fill_show_and_drop_tables() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    session.sql("CREATE TABLE people (name STRING, age INT, tags ARRAY<STRING>) USING parquet").unwrap();
    session.sql("CREATE TABLE IF NOT EXISTS people (other INT)").unwrap();
    assert_eq!(condition(&session, "CREATE TABLE people (name STRING)"), "TABLE_OR_VIEW_ALREADY_EXISTS");
    session.sql("INSERT INTO people VALUES ('Ada', 36, array('x', 'y')), ('Bob', NULL, NULL)").unwrap();
    session.sql("INSERT INTO TABLE default.people (age, name, tags) SELECT 7L, 'Cyd', array()").unwrap();
    assert_eq!(all(&session, "SELECT name, age, size(tags) FROM people"), ["Ada|36|2", "Bob|NULL|NULL", "Cyd|7|0"]);
    assert_eq!(condition(&session, "INSERT INTO people VALUES ('Dan')"), "INSERT_COLUMN_ARITY_MISMATCH.NOT_ENOUGH_DATA_COLUMNS");
    assert_eq!(
        condition(&session, "INSERT INTO people (nme, age, tags) VALUES ('D', 1, NULL)"),
        "INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_FIND_DATA"
    );
    assert_eq!(condition(&session, "INSERT INTO people VALUES ('Dan', 'not a number', NULL)"), "CAST_INVALID_INPUT");
    assert_eq!(condition(&session, "INSERT INTO nobody VALUES (1)"), "TABLE_OR_VIEW_NOT_FOUND");

    session
        .sql("CREATE TABLE adults USING json AS SELECT upper(name) AS name, age * 1.5 AS more FROM people WHERE age > 18")
        .unwrap();
    assert_eq!(all(&session, "SELECT * FROM adults"), ["ADA|54.0"]);
    session.sql("INSERT OVERWRITE adults SELECT name, age FROM people WHERE age < 18").unwrap();
    assert_eq!(all(&session, "SELECT * FROM adults"), ["Cyd|7.0"]);

    session.sql("CREATE TEMP VIEW young AS SELECT * FROM people WHERE age < 18").unwrap();
    assert_eq!(all(&session, "SHOW TABLES"), ["default|adults|false", "default|people|false", "|young|true"]);
    let described = all(&session, "DESCRIBE people");
    for line in ["age|int|", "name|string|", "tags|array<string>|", "Provider|parquet|"] {
        assert!(described.iter().any(|own| own == line), "{line}: {described:#?}");
    }
    session.sql("DROP TABLE adults").unwrap();
    session.sql("DROP TABLE IF EXISTS adults").unwrap();
    assert_eq!(condition(&session, "DROP TABLE adults"), "TABLE_OR_VIEW_NOT_FOUND");
    assert_eq!(condition(&session, "SELECT * FROM adults"), "TABLE_OR_VIEW_NOT_FOUND");
    assert_eq!(condition(&session, "CREATE TABLE `a/b` (n INT)"), "INVALID_SCHEMA_OR_RELATION_NAME");
    // Another session on the same warehouse has the same tables, and no views of this one.
    assert_eq!(all(&self::session(warehouse.path()), "SHOW TABLES"), ["default|people|false"]);
}

#[test]
fn a_stream_writes_a_table_by_name_and_goes_on_after_a_restart() {
    let warehouse = tempfile::tempdir().unwrap();
    let stream = MemoryStream::new(rows(vec![("n", numbers([])), ("word", strings([]))]).schema());
    let run = |values: [i64; 2]| {
        let session = session(warehouse.path());
        stream.add_data(rows(vec![("n", numbers(values)), ("word", strings(["a", "b"]))])).unwrap();
        let frame = session.read_stream_from("words", stream.clone()).unwrap();
        let writer = frame.write_stream().checkpoint(warehouse.path().join("_checkpoint")).trigger(Trigger::AvailableNow);
        writer.to_table("words").unwrap().await_termination(None).unwrap();
        session
    };
    let session = run([1, 2]);
    session.sql("INSERT INTO words VALUES (10, 'c')").unwrap();
    run([3, 4]);
    assert_eq!(all(&session, "SELECT * FROM words"), ["10|c", "1|a", "2|b", "3|a", "4|b"]);

    // The columns in another order, and of another type.
    let (input, frame) = session.memory_stream("WORD STRING, n INT").unwrap();
    let query = frame.write_stream().to_table("words").unwrap();
    let n: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::Int32Array::from(vec![5]));
    input.add_data(rows(vec![("WORD", strings(["d"])), ("n", n)])).unwrap();
    query.process_all_available().unwrap();
    query.stop().unwrap();
    assert_eq!(all(&session, "SELECT word FROM words WHERE n = 5"), ["d"]);
    let error = frame.select(["n"]).write_stream().to_table("words").unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("INSERT_COLUMN_ARITY_MISMATCH.NOT_ENOUGH_DATA_COLUMNS"), "{error}");
    let error = frame.write_stream().output_mode(OutputMode::Update).to_table("words").unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE"), "{error}");
    let error = frame.write_stream().format("console").to_table("others").unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("DATA_SOURCE_NOT_FOUND"), "{error}");
    assert!(session.table("others").is_err(), "nothing was created");
}

#[test]
fn a_complete_result_takes_the_place_of_the_one_before_and_a_stream_does_not_go_over_that() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    let (input, words) = session.memory_stream("word STRING").unwrap();
    let counts = words.group_by(["word"]).count();
    let query = counts.write_stream().output_mode(OutputMode::Complete).to_table("counts").unwrap();
    for (word, expected) in [("a", vec!["a|1"]), ("b", vec!["a|1", "b|1"]), ("a", vec!["a|2", "b|1"])] {
        input.add_data(rows(vec![("word", strings([word]))])).unwrap();
        query.process_all_available().unwrap();
        assert_eq!(all(&session, "SELECT * FROM counts"), expected);
    }
    let read = session.read_stream().table("counts").unwrap().write_stream().format("noop").start().unwrap();
    read.process_all_available().unwrap();
    input.add_data(rows(vec![("word", strings(["c"]))])).unwrap();
    query.process_all_available().unwrap();
    let error = read.process_all_available().unwrap_err();
    assert!(error.to_string().contains("skipChangeCommits"), "{error}");
    query.stop().unwrap();
}

#[test]
fn a_stream_of_a_table_sees_each_row_once_while_it_is_compacted() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    session.sql("CREATE TABLE numbers (n BIGINT)").unwrap();
    let stream = session.read_stream().option("maxFilesPerTrigger", 1).table("numbers").unwrap();
    let query = stream.group_by([(col("n") % 2).alias("odd")]).count();
    let query = query.write_stream().format("memory").query_name("c").output_mode(OutputMode::Complete).start().unwrap();
    for n in 0..6 {
        session.sql(&format!("INSERT INTO numbers VALUES ({n}), ({n} + 100)")).unwrap();
        if n % 3 == 2 {
            assert!(session.compact_table("numbers", 1 << 20).unwrap() > 1);
        }
    }
    query.process_all_available().unwrap();
    assert_eq!(all(&session, "SELECT * FROM c"), ["0|6", "1|6"]);
    assert_eq!(session.table("numbers").unwrap().count().unwrap(), 12);
    assert_eq!(session.streams().active().len(), 1);
    query.stop().unwrap();
    let error = session.read_stream().table("nothing").unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("TABLE_OR_VIEW_NOT_FOUND"), "{error}");
}

#[test]
fn a_stream_joined_with_a_table_sees_what_is_inserted() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    session
        .create_data_frame(vec![rows(vec![("id", numbers([1])), ("name", strings(["one"]))])])
        .unwrap()
        .write()
        .save_as_table("names")
        .unwrap();
    let (input, ids) = session.memory_stream("id BIGINT").unwrap();
    let joined = ids.join_using(&session.table("names").unwrap(), ["id"], "left");
    let query = joined.write_stream().format("memory").query_name("j").start().unwrap();
    for _ in 0..2 {
        input.add_data(rows(vec![("id", numbers([1, 2]))])).unwrap();
        query.process_all_available().unwrap();
        session.sql("INSERT INTO names VALUES (2, 'two')").unwrap();
    }
    assert_eq!(all(&session, "SELECT * FROM j"), ["1|one", "1|one", "2|NULL", "2|two"]);
    query.stop().unwrap();
    let frame = session.sql("SELECT 1L AS id, 'x' AS name").unwrap();
    assert_eq!(frame.write().save_as_table("names").unwrap_err().condition().as_deref(), Some("TABLE_OR_VIEW_ALREADY_EXISTS"));
    frame.write().insert_into("names").unwrap();
    assert_eq!(all(&session, "SELECT count(*) FROM names"), ["4"]);
}

#[test]
fn a_warehouse_in_an_object_store() {
    let warehouse = format!("memory://{}/warehouse", std::process::id());
    let session = session(Path::new(&warehouse));
    let (input, words) = session.memory_stream("word STRING").unwrap();
    let query = words.write_stream().to_table("words").unwrap();
    input.add_data(rows(vec![("word", strings(["a", "b"]))])).unwrap();
    query.process_all_available().unwrap();
    query.stop().unwrap();
    session.sql("INSERT INTO words VALUES ('c')").unwrap();
    assert_eq!(all(&session, "SELECT * FROM words"), ["a", "b", "c"]);
    assert_eq!(all(&self::session(Path::new(&warehouse)), "SHOW TABLES"), ["default|words|false"]);
    let copied = session.read_stream().table("words").unwrap().write_stream().available_now().to_table("copy").unwrap();
    copied.await_termination(None).unwrap();
    assert_eq!(all(&session, "SELECT * FROM copy"), ["a", "b", "c"]);
    session.sql("DROP TABLE words").unwrap();
    assert_eq!(all(&session, "SHOW TABLES"), ["default|copy|false"]);
}

#[test]
fn tables_at_a_location_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (session(&dir.path().join("one")), session(&dir.path().join("two")));
    let data = dir.path().join("data");
    let sql = |session: &Session, text: &str| session.sql(text).map(|_| ());
    let create = format!("CREATE TABLE t (n BIGINT) USING parquet LOCATION '{}'", data.display());
    sql(&first, &create).unwrap();
    sql(&first, "INSERT INTO t VALUES (1), (2)").unwrap();
    assert!(data.is_dir());
    // Another warehouse knows it, too: with the same columns or with none.
    let known = format!("CREATE TABLE other USING parquet LOCATION '{}'", data.display());
    sql(&second, &known).unwrap();
    sql(&second, "INSERT INTO other VALUES (3)").unwrap();
    assert_eq!(all(&first, "SELECT * FROM t"), ["1", "2", "3"]);
    let error = second.sql(&create.replace("BIGINT", "STRING").replace("TABLE t", "TABLE u")).unwrap_err().to_string();
    assert!(error.contains("INCOMPATIBLE_TABLE_CHANGE_AFTER_ANALYSIS"), "{error}");
    let described = all(&first, "DESCRIBE t");
    assert!(described.iter().any(|line| line.contains(data.to_str().unwrap())), "{described:?}");
    let again = format!("CREATE TABLE u USING parquet LOCATION '{}' AS SELECT 1L AS n", data.display());
    assert_eq!(condition(&first, &again), "CTAS_LOCATION_NOT_EMPTY");
    // Its rows are not the warehouse's to remove.
    sql(&first, "DROP TABLE t").unwrap();
    assert_eq!(condition(&first, "SELECT * FROM t"), "TABLE_OR_VIEW_NOT_FOUND");
    assert_eq!(all(&second, "SELECT * FROM other"), ["1", "2", "3"]);
    sql(&first, &create).unwrap();
    assert_eq!(all(&first, "SELECT count(*) FROM t"), ["3"]);
    let elsewhere = "CREATE TABLE m LOCATION 'memory://located/m' AS SELECT 7 AS n";
    sql(&first, elsewhere).unwrap();
    assert_eq!(all(&first, "SELECT * FROM m"), ["7"]);
}

#[test]
fn a_stream_compacts_its_table_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let session = session(&dir.path().join("warehouse"));
    let (input, numbers) = session.memory_stream("n BIGINT").unwrap();
    let writer = numbers.write_stream().checkpoint(dir.path().join("checkpoint")).option("compactEveryEpochs", 4);
    let query = writer.to_table("numbers").unwrap();
    for n in 0..9 {
        input.add_data(rows(vec![("n", crate::support::numbers([n]))])).unwrap();
        query.process_all_available().unwrap();
    }
    query.stop().unwrap();
    assert_eq!(all(&session, "SELECT * FROM numbers").len(), 9);
    let table = tidegate::connectors::Table::open(dir.path().join("warehouse/numbers")).unwrap().unwrap();
    assert!(table.files().unwrap().len() <= 4, "{:?}", table.files());
}
