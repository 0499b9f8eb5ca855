//! Files by Spark's options, through readers and writers.

use std::path::Path;

use tidegate::connectors::MemorySink;
use tidegate::functions::expr;
use tidegate::{OutputMode, Session};

use crate::support::{run, sorted};

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(path), content).unwrap();
    }
    dir
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn session() -> Session {
    Session::builder().build().unwrap()
}

/// The columns as SQL names them, and the rows.
fn batch(session: &Session, format: &str, path: &str, options: &[(&str, &str)]) -> tidegate::Result<(Vec<String>, Vec<String>)> {
    let mut reader = session.read().format(format);
    for (name, value) in options {
        reader = reader.option(name, value);
    }
    let frame = reader.load(path)?;
    let columns = frame.schema()?.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    Ok((columns, sorted(&frame.collect()?)))
}

#[test]
fn csv_columns_are_inferred() {
    let dir = tree(&[("a.csv", "id;name;at\n1;x;2024-01-31\n2;;2024-02-01\n")]);
    let options = [("header", "true"), ("sep", ";"), ("inferSchema", "true")];
    let (columns, rows) = batch(&session(), "csv", text(dir.path()), &options).unwrap();
    assert_eq!(columns, ["id Int32", "name Utf8", "at Date32"]);
    assert_eq!(rows, ["1|x|2024-01-31", "2|NULL|2024-02-01"]);
    let (columns, _) = batch(&session(), "csv", text(dir.path()), &[]).unwrap();
    assert_eq!(columns, ["_c0 Utf8"]);
}

#[test]
fn json_columns_are_inferred() {
    let dir = tree(&[("a.json", "{\"b\":1,\"a\":\"x\"}\n{\"b\":2.5}\n"), ("b.json", "{\"c\":[1]}\n")]);
    let (columns, rows) = batch(&session(), "json", text(dir.path()), &[]).unwrap();
    assert_eq!(columns[..2], ["a Utf8", "b Float64"]);
    assert_eq!(rows, ["NULL|2.5|NULL", "NULL|NULL|[1]", "x|1.0|NULL"]);
    let (columns, _) = batch(&session(), "json", text(dir.path()), &[("primitivesAsString", "true")]).unwrap();
    assert_eq!(columns[..2], ["a Utf8", "b Utf8"]);
}

#[test]
fn dates_and_times_by_their_formats() {
    let dir = tree(&[("a.csv", "31/01/2024,31/01/2024 12:30\n")]);
    let frame = session().read().schema("d DATE, t TIMESTAMP").option("dateFormat", "dd/MM/yyyy");
    let frame = frame.option("timestampFormat", "dd/MM/yyyy HH:mm").csv(text(dir.path())).unwrap();
    assert_eq!(sorted(&frame.selected("CAST(d AS STRING)", "CAST(t AS STRING)")), ["2024-01-31|2024-01-31 12:30:00"]);
}

/// Two expressions of a frame.
trait Selected {
    fn selected(&self, one: &str, other: &str) -> Vec<arrow::array::RecordBatch>;
}

impl Selected for tidegate::DataFrame {
    fn selected(&self, one: &str, other: &str) -> Vec<arrow::array::RecordBatch> {
        self.select_expr([one, other]).collect().unwrap()
    }
}

#[test]
fn a_partitioned_stream_is_written_and_read() {
    let dir = tree(&[("in/k=1/a.json", "{\"v\":10}\n"), ("in/k=2/a.json", "{\"v\":20}\n{\"v\":21}\n")]);
    let (session, out) = (session(), dir.path().join("out"));
    let stream = session.read_stream().schema("v BIGINT, k INT").json(text(&dir.path().join("in"))).unwrap();
    let writer = stream.write_stream().format("parquet").partition_by(["k"]).option("compression", "zstd");
    let query = writer.checkpoint(dir.path().join("checkpoint")).available_now().start_path(text(&out)).unwrap();
    query.await_termination(None).unwrap();
    assert!(out.join("k=1").is_dir() && out.join("k=2").is_dir());
    let (columns, rows) = batch(&session, "parquet", text(&out), &[]).unwrap();
    assert_eq!(columns, ["v Int64", "k Int32"]);
    assert_eq!(rows, ["10|1", "20|2", "21|2"]);
    let (_, rows) = batch(&session, "parquet", text(&out.join("k=2")), &[("basePath", text(&out))]).unwrap();
    assert_eq!(rows, ["20|2", "21|2"]);
}

#[test]
fn streams_infer_columns_if_they_are_told_to() {
    let dir = tree(&[("in/a.csv", "n\n1\n")]);
    let input = dir.path().join("in");
    let refused = session().read_stream().option("header", true).csv(text(&input)).unwrap_err().to_string();
    assert!(refused.contains("Schema must be specified when creating a streaming source DataFrame"), "{refused}");
    let session = Session::builder().config("spark.sql.streaming.schemaInference", true).build().unwrap();
    let stream = session.read_stream().option("header", true).option("inferSchema", true).csv(text(&input)).unwrap();
    let sink = MemorySink::new();
    run(&stream, OutputMode::Append, &sink, &dir.path().join("checkpoint")).unwrap();
    assert_eq!(sorted(&sink.batches()), ["1"]);
}

#[test]
fn options_that_can_not_be_used_are_named() {
    let dir = tree(&[("a.csv", "1\n")]);
    let path = text(dir.path());
    let stream = |name: &str, value: &str| {
        let reader = session().read_stream().schema("n INT").option(name, value);
        reader.csv(path).and_then(|stream| stream.write_stream().format("noop").available_now().start()).unwrap_err().to_string()
    };
    for (name, value, part) in [
        ("modifiedAfter", "2024-01-01T00:00:00", "option 'modifiedAfter' is not allowed in file stream sources"),
        ("encoding", "UTF-16", "The charset UTF-16"),
        ("cleanSource", "burn", "archive, delete or off"),
        ("cleanSource", "archive", "sourceArchiveDir"),
        ("maxFileAge", "soon", "7d"),
        ("mode", "LAX", "FAILFAST"),
        ("quote", "''", "one character"),
    ] {
        let error = stream(name, value);
        assert!(error.contains(part), "{name}={value}: {error}");
    }
    let error = batch(&session(), "csv", "/no/such/path", &[]).unwrap_err().to_string();
    assert!(error.contains("PATH_NOT_FOUND") || error.contains("does not exist"), "{error}");
}

#[test]
fn batches_of_globs_and_times() {
    let dir = tree(&[("x/a.txt", "1"), ("y/a.txt", "2"), ("y/b.csv", "3"), ("y/z/a.txt", "4")]);
    let read = |path: &str, options: &[(&str, &str)]| batch(&session(), "text", text(&dir.path().join(path)), options).unwrap().1;
    assert_eq!(read("{x,y}/*.txt", &[]), ["1", "2"]);
    assert_eq!(read("y", &[("recursiveFileLookup", "true")]), ["2", "3", "4"]);
    assert_eq!(read("y", &[("recursiveFileLookup", "true"), ("pathGlobFilter", "*.txt")]), ["2", "4"]);
    assert!(read("y", &[("modifiedBefore", "2001-01-01T00:00:00")]).is_empty());
    assert_eq!(read("y", &[("modifiedAfter", "2001-01-01T00:00:00")]), ["2", "3"]);
}

#[test]
fn a_stream_from_one_object_store_into_another() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let (input, middle, output) = ("memory://query-files/in", "memory://query-files/middle", "memory://query-files/out");
    let numbers = |from: i64| session.sql(&format!("SELECT id, id % 2 AS k FROM range({from}, {})", from + 3)).unwrap();
    numbers(0).write().partition_by(["k"]).format("csv").save(input).unwrap();
    let error = numbers(3).write().csv(input).unwrap_err().to_string();
    assert!(error.contains("PATH_ALREADY_EXISTS"), "{error}");
    let copy = |from: &str, to: &str, format: &str, checkpoint: &str| {
        let stream = session.read_stream().schema("id BIGINT, k INT").format(if from == input { "csv" } else { "parquet" });
        let stream = stream.option("path", from).load().unwrap().filter("id <> 1");
        let writer = stream.write_stream().format(format).partition_by(["k"]).checkpoint(dir.path().join(checkpoint));
        writer.available_now().start_path(to).unwrap().await_termination(None).unwrap();
    };
    for _ in 0..2 {
        copy(input, middle, "parquet", "one");
        copy(middle, output, "json", "two");
    }
    let (columns, rows) = batch(&session, "parquet", middle, &[]).unwrap();
    assert_eq!((columns, rows), (vec!["id Int64".to_owned(), "k Int32".to_owned()], vec!["0|0".to_owned(), "2|0".to_owned()]));
    assert_eq!(batch(&session, "json", output, &[]).unwrap().1, ["0|0", "2|0"]);
    let named = session.read().parquet("memory://query-files/middle/k=*").unwrap().select(["_metadata.file_path"]);
    assert!(sorted(&named.collect().unwrap())[0].starts_with("memory://query-files/middle/k=0/part-00000-0000"));
    let error = batch(&session, "text", "memory://query-files/none", &[]).unwrap_err().to_string();
    assert!(error.contains("PATH_NOT_FOUND"), "{error}");
}

/// The names of files in `_metadata`, beside a column of theirs.
const FILE_OF_ROW: [&str; 2] = ["value", "_metadata.file_name"];

#[test]
fn metadata_of_files_is_there_for_those_who_name_it() {
    let dir = tree(&[("in/a.txt", "x\ny\n"), ("in/b.txt", "z\n")]);
    let session = session();
    let frame = session.read().text(text(&dir.path().join("in"))).unwrap();
    assert_eq!(frame.columns().unwrap(), ["value"]);
    assert_eq!(sorted(&frame.select(["*"]).collect().unwrap()), ["x", "y", "z"]);
    assert_eq!(sorted(&frame.select(FILE_OF_ROW).collect().unwrap()), ["x|a.txt", "y|a.txt", "z|b.txt"]);
    frame.create_or_replace_temp_view("t").unwrap();
    let sql = |query: &str| session.sql(query).and_then(|frame| frame.collect()).map(|rows| sorted(&rows));
    assert_eq!(sql("SELECT * FROM t WHERE _metadata.file_name = 'b.txt'").unwrap(), ["z"]);
    assert_eq!(sql("SELECT t._metadata.file_size, count(*) FROM t GROUP BY _metadata.file_size").unwrap(), ["2|1", "4|2"]);
    assert_eq!(
        sql("SELECT value, upper(_METADATA.File_Name) AS f FROM t ORDER BY _metadata.file_size, value LIMIT 1").unwrap(),
        ["z|B.TXT"]
    );
    let all = sql("SELECT _metadata.* FROM t WHERE value = 'x'").unwrap();
    assert!(all[0].starts_with("file://") && all[0].contains("/in/a.txt|a.txt|4|0|4|20"), "{all:?}");
    let pairs = "SELECT l.value, r.value, r._metadata.file_name FROM t l JOIN t r ON l.value < r.value AND l.value = 'y'";
    assert_eq!(sql(pairs).unwrap(), ["y|z|b.txt"]);
    let error = sql(&pairs.replace("r._metadata", "_metadata")).unwrap_err().to_string();
    assert!(error.contains("AMBIGUOUS_REFERENCE"), "{error}");
    let error = sql("SELECT _metadata FROM (SELECT count(*) FROM t)").unwrap_err().to_string();
    assert!(error.contains("UNRESOLVED_COLUMN"), "{error}");
    let error = sql("SELECT vale FROM t").unwrap_err().to_string();
    assert!(!error.contains("_metadata"), "{error}");
    let error = sql("SELECT _metadata.nothing FROM t").unwrap_err().to_string();
    assert!(error.contains("FIELD_NOT_FOUND"), "{error}");
}

#[test]
fn metadata_passes_through_what_keeps_the_rows() {
    let dir = tree(&[("a.txt", "x\ny\n"), ("b.txt", "z\n")]);
    let session = session();
    let frame = session.read().text(text(dir.path())).unwrap();
    let names = |frame: &tidegate::DataFrame| sorted(&frame.select(["_metadata.file_name"]).collect().unwrap());
    assert_eq!(names(&frame.filter("_metadata.file_size > 2").filter("value <> 'x'")), ["a.txt"]);
    assert_eq!(
        names(&frame.with_column("n", tidegate::functions::expr("length(value)")).alias("q").order_by(["value"]).limit(1)),
        ["a.txt"]
    );
    assert_eq!(names(&frame.with_column_renamed("value", "v").select(["v"])), ["a.txt", "a.txt", "b.txt"]);
    let named = frame.with_column("file", "_metadata.file_name").group_by(["file"]).count();
    assert_eq!(sorted(&named.collect().unwrap()), ["a.txt|2", "b.txt|1"]);
    assert!(frame.distinct().select(["_metadata"]).collect().is_err());
}

#[test]
fn a_column_of_the_files_own_is_not_hidden() {
    let dir = tree(&[("a.json", "{\"_metadata\":7,\"v\":1}\n")]);
    let frame = session().read().json(text(dir.path())).unwrap();
    assert_eq!(frame.columns().unwrap(), ["_metadata", "v"]);
    assert_eq!(sorted(&frame.select(["_metadata"]).collect().unwrap()), ["7"]);
}

#[test]
fn metadata_of_parquet_files_and_partitions() {
    let dir = tree(&[("in/a.json", "{\"v\":10,\"k\":1}\n{\"v\":20,\"k\":2}\n")]);
    let (session, plain, parts) = (session(), dir.path().join("plain"), dir.path().join("parts"));
    let rows = session.read().json(text(&dir.path().join("in"))).unwrap();
    let batch = rows.write().format("parquet");
    batch.clone().save(text(&plain)).unwrap();
    batch.partition_by(["k"]).save(text(&parts)).unwrap();
    for path in [&plain, &parts] {
        let frame = session.read().parquet(text(path)).unwrap();
        let filtered = frame.filter("_metadata.file_size > 0 AND v > 10");
        let ends = filtered.select_expr(["v", "k", "_metadata.file_name LIKE 'part-%.parquet'"]);
        assert_eq!(sorted(&ends.collect().unwrap()), ["20|2|true"]);
        assert_eq!(frame.columns().unwrap().len(), 2);
    }
}

#[test]
fn metadata_of_a_stream() {
    let dir = tree(&[("in/a.txt", "x\ny\n"), ("in/b.txt", "z\n")]);
    let (session, sink) = (session(), MemorySink::new());
    let stream = session.read_stream().text(text(&dir.path().join("in"))).unwrap();
    let named = stream
        .filter("_metadata.file_name <> 'none'")
        .with_column("n", tidegate::functions::expr("length(value)"))
        .select(FILE_OF_ROW);
    run(&named, OutputMode::Append, &sink, &dir.path().join("c1")).unwrap();
    assert_eq!(sorted(&sink.batches()), ["x|a.txt", "y|a.txt", "z|b.txt"]);
    let (all, counts) = (MemorySink::new(), MemorySink::new());
    run(&stream, OutputMode::Append, &all, &dir.path().join("c2")).unwrap();
    assert_eq!(sorted(&all.batches()), ["x", "y", "z"]);
    let counted = stream.group_by(["_metadata.file_name"]).count();
    run(&counted, OutputMode::Complete, &counts, &dir.path().join("c3")).unwrap();
    assert_eq!(sorted(&counts.batches()), ["a.txt|2", "b.txt|1"]);
}

#[test]
fn columns_without_bottom_are_text_from_some_depth_on() {
    for (open, close) in [("{\"a\":", "}"), ("[", "]")] {
        let columns = |depth: usize| {
            let value = format!("{{\"v\":{}1{}}}\n", open.repeat(depth), close.repeat(depth));
            let dir = tree(&[("deep.json", &value)]);
            let frame = session().read().json(text(dir.path())).unwrap();
            assert_eq!(frame.collect().unwrap()[0].num_rows(), 1);
            let tree = frame.schema_string().unwrap();
            (frame.columns().unwrap().concat(), tree.lines().count(), tree.lines().last().unwrap_or_default().contains("string"))
        };
        assert_eq!(columns(20), ("v".to_owned(), 22, false));
        // What lies deeper is kept as it is written: nobody's stack overflows.
        assert_eq!(columns(990), ("v".to_owned(), 66, true));
        // As in Spark, this is no JSON.
        assert_eq!(columns(10_000).0, "_corrupt_record");
    }
}

#[test]
fn names_of_csv_columns_are_read_from_the_first_file_alone() {
    let dir = tree(&[("a.csv", "n,m\n1,2\n")]);
    std::fs::write(dir.path().join("b.csv"), b"\xFF\xFF\n").unwrap();
    let frame = session().read().option("header", true).csv(text(dir.path())).unwrap();
    assert_eq!(frame.columns().unwrap(), ["n", "m"]);
}

/// A whole file of Parquet, and one that is none.
fn damaged(session: &Session) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    session.sql("SELECT id AS n FROM range(3)").unwrap().write().parquet(text(&out)).unwrap();
    std::fs::create_dir(dir.path().join("in")).unwrap();
    // Its manifest would hide what it does not name.
    let files = std::fs::read_dir(&out).unwrap().map(Result::unwrap);
    for file in files.filter(|file| file.file_name().to_string_lossy().starts_with("part-")) {
        std::fs::copy(file.path(), dir.path().join("in").join(file.file_name())).unwrap();
    }
    std::fs::write(dir.path().join("in/bad.parquet"), "this is none, but long enough to be one").unwrap();
    dir
}

#[test]
fn damaged_files_are_passed_over_if_an_option_or_a_setting_says_so() {
    let session = session();
    let dir = damaged(&session);
    let path = dir.path().join("in");
    assert!(batch(&session, "parquet", text(&path), &[]).is_err());
    let (columns, rows) = batch(&session, "parquet", text(&path), &[("ignoreCorruptFiles", "true")]).unwrap();
    assert_eq!((columns, rows), (vec!["n Int64".to_owned()], ["0", "1", "2"].map(str::to_owned).to_vec()));
    let given = session.read().schema("n BIGINT").option("ignoreCorruptFiles", true).parquet(text(&path)).unwrap();
    assert_eq!(sorted(&given.collect().unwrap()), ["0", "1", "2"]);
    let stream = || session.read_stream().schema("n BIGINT").parquet(text(&path)).unwrap();
    let sink = MemorySink::new();
    assert!(run(&stream(), OutputMode::Append, &sink, &dir.path().join("c1")).is_err());
    session.set_config("spark.sql.files.ignoreCorruptFiles", true);
    let sink = MemorySink::new();
    run(&stream(), OutputMode::Append, &sink, &dir.path().join("c2")).unwrap();
    assert_eq!(sorted(&sink.batches()), ["0", "1", "2"]);
    assert_eq!(batch(&session, "parquet", text(&path), &[]).unwrap().1.len(), 3);
    assert!(batch(&session, "parquet", text(&path), &[("ignoreCorruptFiles", "false")]).is_err(), "the option counts more");
}

#[test]
fn csv_headers_are_compared_if_they_are_to_be() {
    let dir = tree(&[("a.csv", "id,Name\n1,x\n"), ("b.csv", "id,Name\n2,y\n")]);
    let frame = |schema: &str, enforce: bool| {
        let reader = session().read().schema(schema).option("header", true).option("enforceSchema", enforce);
        reader.csv(text(dir.path())).unwrap()
    };
    let rows = |schema: &str, enforce: bool| frame(schema, enforce).collect().map(|rows| sorted(&rows));
    assert_eq!(rows("id INT, name STRING", false).unwrap(), ["1|x", "2|y"]);
    assert_eq!(rows("a INT, b STRING", true).unwrap(), ["1|x", "2|y"]);
    let error = rows("id INT, b STRING", false).unwrap_err().to_string();
    let expected =
        "CSV header does not conform to the schema.\n Header: id, Name\n Schema: id, b\nExpected: b but found: Name\nCSV file: ";
    assert!(error.contains(expected), "{error}");
    // Columns that are not read are not compared.
    assert_eq!(sorted(&frame("id INT, b STRING", false).select(["id"]).collect().unwrap()), ["1", "2"]);
    let error = rows("id INT, name STRING, c INT", false).unwrap_err().to_string();
    assert!(error.contains("Header length: 2, schema size: 3"), "{error}");
    let inferred = [("header", "true"), ("inferSchema", "true"), ("enforceSchema", "false")];
    assert_eq!(batch(&session(), "csv", text(dir.path()), &inferred).unwrap().1, ["1|x", "2|y"]);
}

#[test]
fn json_columns_by_options() {
    let dir = tree(&[("a.json", "{\"a\":1.25,\"b\":null,\"c\":[],\"d\":\"2.5\"}\n{\"a\":100}\n")]);
    let columns = |options: &[(&str, &str)]| batch(&session(), "json", text(dir.path()), options).unwrap().0;
    assert_eq!(columns(&[]).len(), 4);
    assert_eq!(columns(&[])[0], "a Float64");
    assert_eq!(columns(&[("dropFieldIfAllNull", "true")]), ["a Float64", "d Utf8"]);
    let decimals = columns(&[("prefersDecimal", "true"), ("dropFieldIfAllNull", "true")]);
    assert_eq!(decimals, ["a Decimal128(22, 2)", "d Decimal128(2, 1)"]);
}

#[test]
fn columns_are_inferred_of_a_sample() {
    let lines = |row: fn(usize) -> String| (0..1_000).map(row).collect::<String>();
    // One record of a thousand says that it is text.
    let csv = lines(|n| if n == 3 { "x\n".to_owned() } else { format!("{n}\n") });
    let json = lines(|n| if n == 3 { "{\"v\":\"x\"}\n".to_owned() } else { format!("{{\"v\":{n}}}\n") });
    let dir = tree(&[("csv/a.csv", &csv), ("json/a.json", &json)]);
    let columns = |format: &str, ratio: &str| {
        let options = [("inferSchema", "true"), ("samplingRatio", ratio)];
        batch(&session(), format, text(&dir.path().join(format)), &options).map(|(columns, _)| columns)
    };
    assert_eq!(columns("csv", "1.0").unwrap(), ["_c0 Utf8"]);
    assert_eq!(columns("csv", "0.1").unwrap(), ["_c0 Int32"]);
    assert_eq!(columns("json", "1.0").unwrap(), ["v Utf8"]);
    assert_eq!(columns("json", "0.1").unwrap(), ["v Int64"]);
    for format in ["csv", "json"] {
        let error = columns(format, "0").unwrap_err().to_string();
        assert!(error.contains("samplingRatio"), "{error}");
    }
}

#[test]
fn other_locales_and_handlings_of_quotes_are_refused() {
    let dir = tree(&[("a.csv", "1\n")]);
    let read = |name, value| batch(&session(), "csv", text(dir.path()), &[(name, value)]);
    assert_eq!(read("locale", "en-US").unwrap().1, ["1"]);
    assert_eq!(read("unescapedQuoteHandling", "STOP_AT_DELIMITER").unwrap().1, ["1"]);
    assert!(read("locale", "de-DE").unwrap_err().to_string().contains("en-US"));
    assert!(read("unescapedQuoteHandling", "SKIP_VALUE").unwrap_err().to_string().contains("STOP_AT_DELIMITER"));
}

#[test]
fn pages_that_hold_too_much_are_refused_also_in_batches() {
    let (session, dir) = (session(), tempfile::tempdir().unwrap());
    let (out, bomb) = (dir.path().join("out"), dir.path().join("bomb"));
    session.sql("SELECT id % 3 AS n FROM range(100000)").unwrap().write().parquet(text(&out)).unwrap();
    std::fs::create_dir(&bomb).unwrap();
    let files = std::fs::read_dir(&out).unwrap().map(Result::unwrap);
    for file in files.filter(|file| file.file_name().to_string_lossy().starts_with("part-")) {
        let mut bytes = std::fs::read(file.path()).unwrap();
        // The header of the first page says that it holds 2 GiB - 1: 0x15 is the field of a number of 32 bits after the one before.
        bytes[4..14].copy_from_slice(&[0x15, 0, 0x15, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 0x15, 2]);
        bytes[14] = 0;
        std::fs::write(bomb.join(file.file_name()), bytes).unwrap();
    }
    assert_eq!(sorted(&session.read().parquet(text(&out)).unwrap().distinct().collect().unwrap()), ["0", "1", "2"]);
    let given = session.read().schema("n BIGINT").parquet(text(&bomb)).unwrap();
    for frame in [session.read().parquet(text(&bomb)).unwrap(), given] {
        let error = frame.collect().unwrap_err().to_string();
        assert!(error.contains("part-") && error.contains("a page at byte 4 holds more than 256 MiB"), "{error}");
    }
}

/// Files of partitions that a filter excludes are no files of the format, and nobody notices.
#[test]
fn files_of_other_partitions_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::builder().parallelism(2).build().unwrap();
    for format in ["json", "parquet", "csv"] {
        let root = dir.path().join(format);
        let rows = session.sql("SELECT id, id % 3 AS k, if(id % 2 = 0, NULL, 'a/b') AS l FROM range(12)").unwrap();
        rows.write().format(format).partition_by(["k", "l"]).save(&root.to_string_lossy()).unwrap();
        // The directory is read as one of another writer, which has no manifest.
        std::fs::remove_file(root.join("_tidegate_manifest")).unwrap();
        std::fs::write(root.join("k=1/l=a%2Fb/bad"), "{\"id\": \"no number\"").unwrap();
        std::fs::write(root.join("k=2/l=__HIVE_DEFAULT_PARTITION__/bad"), "{\"id\": \"no number\"").unwrap();
        let path = root.to_string_lossy().into_owned();
        let read =
            || session.read().format(format).schema("id BIGINT, k INT, l STRING").option("mode", "FAILFAST").load(&path).unwrap();
        let count = |filter: &str| {
            read().filter(expr(filter)).group_by(["k"]).agg([expr("count(id)")]).collect().map(|rows| sorted(&rows))
        };
        assert_eq!(count("k = 0").unwrap(), ["0|4"], "{format}");
        assert_eq!(count("k < 2 AND l IS NULL AND id >= 0").unwrap(), ["0|2", "1|2"], "{format}");
        assert_eq!(count("k + 1 = 3 AND l = 'a/b' OR k = 0").unwrap(), ["0|4", "2|2"], "{format}");
        assert!(count("k = 1").is_err() && count("l IS NULL").is_err() && count("id = 0").is_err(), "{format}");
        let stream = session.read_stream().format(format).schema("id BIGINT, k INT, l STRING").option("path", &path);
        let stream = stream.option("mode", "FAILFAST").load().unwrap().filter(expr("k = 0 AND l = 'a/b'"));
        let query = stream.write_stream().format("memory").query_name(format).available_now().start().unwrap();
        query.await_termination(None).unwrap();
        assert_eq!(sorted(&session.table(format).unwrap().collect().unwrap()), ["3|0|a/b", "9|0|a/b"], "{format}");
    }
}

/// Files are looked at for their columns as they are read: broken text breaks its record only, and a header may have several lines.
#[test]
fn columns_are_inferred_from_what_is_broken_in_part() {
    let dir = tree(&[("csv/a.csv", "\"first\nname\",n\nx,1\n")]);
    std::fs::create_dir_all(dir.path().join("json")).unwrap();
    std::fs::write(dir.path().join("json/a.json"), b"{\"a\":1}\n{\"a\":\"\xFF\xFE\n{\"b\":2}\n").unwrap();
    let session = session();
    let (columns, rows) = batch(&session, "json", text(&dir.path().join("json")), &[]).unwrap();
    assert_eq!(columns, ["_corrupt_record Utf8", "a Int64", "b Int64"]);
    assert_eq!(rows.len(), 3, "{rows:?}");
    let options = [("header", "true"), ("multiLine", "true"), ("inferSchema", "true")];
    let (columns, rows) = batch(&session, "csv", text(&dir.path().join("csv")), &options).unwrap();
    assert_eq!((columns, rows), (vec!["first\nname Utf8".to_owned(), "n Int32".to_owned()], vec!["x|1".to_owned()]));
}
