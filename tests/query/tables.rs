//! Tables of the warehouse: written by queries and statements, read as batches and as streams.

use std::path::Path;

use tidegate::connectors::MemoryStream;
use tidegate::functions::col;
use tidegate::{OutputMode, Session, StreamingQuery, Trigger};

use crate::support::{lines, numbers, rows, sorted, strings};

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
    assert_eq!(all(&session, "DESCRIBE people").len(), 3);
    let described = all(&session, "DESCRIBE TABLE EXTENDED people");
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
    let described = all(&first, "DESCRIBE EXTENDED t");
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

#[test]
fn partitions_in_statements() {
    let dir = tempfile::tempdir().unwrap();
    let session = session(dir.path());
    let sql = |text: &str| session.sql(text).map(drop).unwrap_or_else(|error| panic!("{text}: {error}"));
    // The partition columns are the last ones, whatever the order of the clauses.
    sql("CREATE TABLE sales (day DATE, id BIGINT, shop STRING) USING parquet PARTITIONED BY (shop, day)");
    assert_eq!(session.table("sales").unwrap().columns().unwrap(), ["id", "shop", "day"]);
    sql("INSERT INTO sales VALUES (1, 'a', DATE'2024-01-31'), (2, 'b', DATE'2024-01-31'), (3, 'a', NULL), (4, NULL, NULL)");
    sql("INSERT INTO sales PARTITION (shop = 'a', day = '2024-02-01') SELECT 5");
    sql("INSERT INTO sales PARTITION (day = DATE'2024-02-01', shop) (shop, id) VALUES ('c', 6)");
    let everything = ["1|a|2024-01-31", "2|b|2024-01-31", "3|a|NULL", "4|NULL|NULL", "5|a|2024-02-01", "6|c|2024-02-01"];
    assert_eq!(all(&session, "SELECT * FROM sales"), everything);
    let partitions = all(&session, "SHOW PARTITIONS sales");
    assert_eq!(
        partitions,
        [
            "shop=__HIVE_DEFAULT_PARTITION__/day=__HIVE_DEFAULT_PARTITION__",
            "shop=a/day=2024-01-31",
            "shop=a/day=2024-02-01",
            "shop=a/day=__HIVE_DEFAULT_PARTITION__",
            "shop=b/day=2024-01-31",
            "shop=c/day=2024-02-01",
        ]
    );
    let described = lines(&session.sql("DESCRIBE sales").unwrap().collect().unwrap());
    assert_eq!(
        described,
        [
            "id|bigint|",
            "shop|string|",
            "day|date|",
            "# Partition Information||",
            "# col_name|data_type|comment",
            "shop|string|",
            "day|date|",
        ]
    );

    sql("INSERT OVERWRITE sales PARTITION (shop = 'a', day) SELECT 7, DATE'2024-03-01'");
    assert_eq!(all(&session, "SELECT id FROM sales"), ["2", "4", "6", "7"]);
    session.set_config("spark.sql.sources.partitionOverwriteMode", "dynamic");
    sql("INSERT OVERWRITE sales SELECT id + 10, shop, day FROM sales WHERE shop IN ('a', 'c')");
    assert_eq!(all(&session, "SELECT id FROM sales"), ["16", "17", "2", "4"]);
    session.set_config("spark.sql.sources.partitionOverwriteMode", "static");
    let one = session.sql("SELECT 20L AS id, 'b' AS shop, DATE'2024-01-31' AS day").unwrap();
    one.write().mode("overwrite").option("partitionOverwriteMode", "dynamic").insert_into("sales").unwrap();
    assert_eq!(all(&session, "SELECT id FROM sales"), ["16", "17", "20", "4"]);
    let error = one.write().mode("overwrite").option("partitionOverwriteMode", "x").insert_into("sales").unwrap_err();
    assert_eq!(error.condition().as_deref(), Some("INVALID_CONF_VALUE.OUT_OF_RANGE_OF_OPTIONS"));
    sql("INSERT OVERWRITE sales VALUES (8, 'x', NULL)");
    assert_eq!(all(&session, "SELECT * FROM sales"), ["8|x|NULL"]);
    sql("INSERT INTO sales VALUES (9, 'y', DATE'2024-01-31'), (10, 'y', NULL)");
    sql("TRUNCATE TABLE sales PARTITION (shop = 'y', day = NULL)");
    assert_eq!(all(&session, "SELECT id FROM sales"), ["8", "9"]);
    assert!(session.sql("TRUNCATE TABLE sales PARTITION (day = NULL)").is_err());
    assert!(session.sql("TRUNCATE TABLE sales PARTITION (shop)").is_err());
    sql("TRUNCATE TABLE sales PARTITION (shop = 'y')");
    assert_eq!(all(&session, "SELECT id FROM sales"), ["8"]);
    assert!(session.sql("INSERT INTO sales PARTITION (shop = id) SELECT 1, NULL").is_err(), "values are constants");
    assert_eq!(
        condition(&session, "INSERT INTO sales PARTITION (shop = 'a') (shop, id, day) VALUES ('b', 1, NULL)"),
        "STATIC_PARTITION_COLUMN_IN_INSERT_COLUMN_LIST"
    );
    sql("TRUNCATE TABLE sales");
    assert_eq!(all(&session, "SELECT count(*) FROM sales"), ["0"]);

    sql("CREATE TABLE copy USING json PARTITIONED BY (k) AS SELECT id % 3 AS k, id FROM range(10)");
    assert_eq!(all(&session, "SHOW PARTITIONS default.copy"), ["k=0", "k=1", "k=2"]);
    assert_eq!(all(&session, "SELECT sum(id), k FROM copy GROUP BY k"), ["12|1", "15|2", "18|0"]);
    // Values that are written in another way than they are.
    sql(r"INSERT INTO sales PARTITION (shop = 'it\'s a \\ \n', day = DATE'2024-01-31' + INTERVAL 1 DAY) VALUES (9)");
    assert_eq!(all(&session, "SELECT id, length(shop), day FROM sales"), ["9|10|2024-02-01"]);
    sql(r"INSERT OVERWRITE sales PARTITION (shop = 'it\'s a \\ \n') SELECT 10, NULL");
    assert_eq!(all(&session, "SELECT id, day FROM sales"), ["10|NULL"]);

    sql("CREATE TABLE hive (id INT) PARTITIONED BY (k STRING, l INT)");
    assert_eq!(session.table("hive").unwrap().columns().unwrap(), ["id", "k", "l"]);

    assert_eq!(condition(&session, "CREATE TABLE no (a INT) PARTITIONED BY (b)"), "COLUMN_NOT_DEFINED_IN_TABLE");
    assert!(session.sql("CREATE TABLE no (a INT) PARTITIONED BY (a)").is_err());
    assert_eq!(condition(&session, "INSERT INTO sales PARTITION (id = 1) SELECT 'x', NULL"), "NON_PARTITION_COLUMN");
    assert_eq!(
        condition(&session, "INSERT INTO sales PARTITION (shop = 'x') SELECT 1"),
        "INSERT_COLUMN_ARITY_MISMATCH.NOT_ENOUGH_DATA_COLUMNS"
    );
    assert_eq!(condition(&session, "SHOW PARTITIONS hive2"), "TABLE_OR_VIEW_NOT_FOUND");
    assert_eq!(condition(&session, "INSERT INTO hive PARTITION (k = 'x', l = 'no') SELECT 1"), "CAST_INVALID_INPUT");
}

/// A query that asks for some partitions opens no file of the others: these are removed, and nobody misses them.
#[test]
fn batches_read_only_the_partitions_that_they_ask_for() {
    let dir = tempfile::tempdir().unwrap();
    let session = session(dir.path());
    let by = "CREATE TABLE t PARTITIONED BY (k, at) AS SELECT id, if(id % 4 = 0, NULL, id % 4) AS k, \
              timestamp_seconds(id % 2) AS at FROM range(40)";
    session.sql(by).unwrap();
    std::fs::remove_dir_all(dir.path().join("t/k=3")).unwrap();
    std::fs::remove_dir_all(dir.path().join("t/k=__HIVE_DEFAULT_PARTITION__")).unwrap();
    let count = |filter: &str| session.sql(&format!("SELECT count(*) AS n FROM t WHERE {filter}")).unwrap().collect();
    let counted = |filter: &str| sorted(&count(filter).unwrap_or_else(|error| panic!("{filter}: {error}")));
    assert_eq!(counted("k = 1"), ["10"]);
    assert_eq!(counted("k < 3 AND id > 20"), ["10"]);
    assert_eq!(counted("k + 1 IN (2, 3)"), ["20"]);
    assert_eq!(counted("k = 2 OR k = 1 AND at > TIMESTAMP'1970-01-01 00:00:00Z'"), ["20"]);
    assert_eq!(counted("k BETWEEN 1 AND 2 AND day(at) > 0 AND rand() >= 0"), ["20"]);
    for filter in ["k = 3", "k IS NULL", "id = 1", "coalesce(k, 0) = 0"] {
        let error = count(filter).unwrap_err().to_string();
        assert!(error.contains("is gone or was changed"), "{filter}: {error}");
    }
}

#[test]
fn a_stream_writes_a_partitioned_table_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let stream = MemoryStream::new(rows(vec![("k", strings([])), ("n", numbers([]))]).schema());
    let run = |by: &[&str], words: [&str; 2]| {
        let session = session(&dir.path().join("warehouse"));
        stream.add_data(rows(vec![("k", strings(words)), ("n", numbers([1, 2]))])).unwrap();
        let frame = session.read_stream_from("words", stream.clone()).unwrap();
        let writer =
            frame.write_stream().partition_by(by.iter().copied()).format("json").checkpoint(dir.path().join("checkpoint"));
        writer.available_now().to_table("words").and_then(|query| query.await_termination(None)).map(|_| session)
    };
    run(&["K"], ["a", "b"]).unwrap();
    let session = run(&[], ["b", "c"]).unwrap();
    assert_eq!(all(&session, "SELECT * FROM words"), ["1|a", "1|b", "2|b", "2|c"]);
    assert_eq!(all(&session, "SHOW PARTITIONS words"), ["k=a", "k=b", "k=c"]);
    let error = run(&["n"], ["x", "y"]).map(drop).unwrap_err();
    assert_eq!(error.condition().unwrap_or_default(), "MISMATCHED_TABLE_PARTITIONING");
    session.compact_table("words", 1 << 20).unwrap();
    assert_eq!(session.vacuum_table("words").unwrap(), 2, "the two small files of b");
    // A stream of one partition opens no file of the others.
    std::fs::remove_dir_all(dir.path().join("warehouse/words/k=a")).unwrap();
    let copy = session.read_stream().table("words").unwrap().filter(tidegate::functions::expr("k = 'b'"));
    let query = copy.write_stream().format("memory").query_name("b").start().unwrap();
    query.process_all_available().unwrap();
    assert_eq!(all(&session, "SELECT n FROM b"), ["1", "2"]);
    query.stop().unwrap();
    let rest = session.sql("SELECT * FROM words WHERE k != 'a'").unwrap();
    rest.write().partition_by(["k"]).format("json").save_as_table("again").unwrap();
    assert_eq!(all(&session, "SHOW PARTITIONS again"), ["k=b", "k=c"]);
}
