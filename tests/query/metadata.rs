//! Which file a row is from, where a query may ask for it.

use std::path::Path;

use tidegate::connectors::MemorySink;
use tidegate::functions::col;
use tidegate::{DataFrame, OutputMode, Session};

use crate::support::{lines, run, sorted};

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(path), content).unwrap();
    }
    dir
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

fn rows(frame: &DataFrame) -> Vec<String> {
    sorted(&frame.collect().unwrap())
}

fn condition<T>(result: tidegate::Result<T>) -> String {
    result.err().and_then(|error| error.condition()).unwrap_or_default()
}

/// The lines of two files, and what there is to say of each file.
fn two_tables(dir: &Path, session: &Session) -> (DataFrame, DataFrame) {
    let lines = session.read().text(path(dir, "in")).unwrap();
    let files = session.read().schema("name STRING, owner STRING").json(path(dir, "files.json")).unwrap();
    (lines, files)
}

fn tables() -> tempfile::TempDir {
    let owners = "{\"name\":\"a.txt\",\"owner\":\"ada\"}\n{\"name\":\"b.txt\",\"owner\":\"bob\"}\n";
    tree(&[("in/a.txt", "x\ny\n"), ("in/b.txt", "z\n"), ("files.json", owners)])
}

#[test]
fn a_join_may_be_on_the_file_of_a_row() {
    let (dir, session) = (tables(), Session::builder().build().unwrap());
    let (lines, files) = two_tables(dir.path(), &session);
    lines.create_or_replace_temp_view("lines").unwrap();
    files.create_or_replace_temp_view("files").unwrap();
    let sql = |text: &str| session.sql(text);
    let expected = ["x|ada", "y|ada", "z|bob"];
    for on in ["l._metadata.file_name = f.name", "f.name = l._metadata.file_name AND l._metadata.file_size > 0"] {
        let joined = sql(&format!("SELECT l.value, f.owner FROM lines l JOIN files f ON {on}")).unwrap();
        assert_eq!(rows(&joined), expected, "{on}");
    }
    let all = sql("SELECT * FROM lines l LEFT JOIN files f ON l._metadata.file_name = f.name AND f.owner = 'bob'").unwrap();
    assert_eq!(all.columns().unwrap(), ["value", "name", "owner"]);
    assert_eq!(rows(&all), ["x|NULL|NULL", "y|NULL|NULL", "z|b.txt|bob"]);
    let semi = sql(
        "SELECT value FROM lines l LEFT SEMI JOIN files f ON l._metadata.file_name = f.name AND f._metadata.file_name = 'files.json'",
    );
    assert_eq!(rows(&semi.unwrap()), ["x", "y", "z"]);
    let above = sql(
        "SELECT value, l._metadata.file_name, f._metadata.file_name FROM lines l JOIN files f ON l._metadata.file_name = name AND owner = 'bob'",
    );
    assert_eq!(rows(&above.unwrap()), ["z|b.txt|files.json"]);
    // Both sides have one.
    assert_eq!(condition(sql("SELECT * FROM lines l JOIN files f ON _metadata.file_name = f.name")), "AMBIGUOUS_REFERENCE");
    let grouped = "SELECT * FROM (SELECT value, count(*) FROM lines GROUP BY value) g JOIN files ON g._metadata.file_name = name";
    assert_eq!(condition(sql(grouped)), "UNRESOLVED_COLUMN.WITH_SUGGESTION");
}

#[test]
fn frames_name_their_own_metadata() {
    let (dir, session) = (tables(), Session::builder().build().unwrap());
    let (lines, files) = two_tables(dir.path(), &session);
    assert_eq!(rows(&lines.select([lines.col("_metadata.file_name")])), ["a.txt", "a.txt", "b.txt"]);
    assert_eq!(lines.select([lines.col("_metadata.file_name")]).columns().unwrap(), ["file_name"]);
    assert_eq!(rows(&lines.filter(lines.col("_metadata").get_field("file_size").lt(3)).select(["value"])), ["z"]);
    let joined = lines.join(&files, lines.col("_metadata.file_name").eq(files.col("name")), "inner");
    assert_eq!(joined.columns().unwrap(), ["value", "name", "owner"]);
    assert_eq!(rows(&joined.select(["value", "owner"])), ["x|ada", "y|ada", "z|bob"]);
    let both = joined.select([col("value"), lines.col("_metadata.file_name"), files.col("_metadata.file_name")]);
    assert_eq!(rows(&both), ["x|a.txt|files.json", "y|a.txt|files.json", "z|b.txt|files.json"]);
    assert_eq!(condition(joined.select(["_metadata.file_name"]).collect()), "AMBIGUOUS_REFERENCE");
    // A frame with itself: the two sides are compared, as their other columns are.
    let file = || lines.col("_metadata.file_name");
    let itself = lines.join(&lines, lines.col("_metadata").eq(lines.col("_metadata")), "inner");
    assert_eq!(itself.count().unwrap(), 5);
    let aliased =
        lines.alias("l").join(&lines.alias("r"), col("l._metadata.file_name").lt(col("r._metadata.file_name")), "inner");
    assert_eq!(rows(&aliased), ["x|z", "y|z"]);
    assert_eq!(condition(lines.join(&lines, file().lt(file()), "inner").collect()), "AMBIGUOUS_COLUMN_REFERENCE");
    assert_eq!(condition(lines.select([lines.col("metadata")]).collect()), "UNRESOLVED_COLUMN_AMONG_FIELD_NAMES");
    assert_eq!(condition(lines.select([lines.distinct().col("_metadata")]).collect()), "UNRESOLVED_COLUMN_AMONG_FIELD_NAMES");
}

#[test]
fn fields_of_structs_are_columns_of_a_frame() {
    let session = Session::builder().build().unwrap();
    let frame = session.sql("SELECT named_struct('a', 1, 'b', named_struct('c', 2)) AS s, 3 AS n").unwrap();
    let fields = frame.select([frame.col("s.a"), frame.col("S.b.c"), frame.col("n")]);
    assert_eq!((fields.columns().unwrap().join(" "), rows(&fields)), ("a c n".to_owned(), vec!["1|2|3".to_owned()]));
    assert_eq!(condition(frame.select([frame.col("s.z")]).collect()), "FIELD_NOT_FOUND");
}

#[test]
fn rows_are_sorted_by_a_file_that_is_not_selected() {
    let (dir, session) = (tables(), Session::builder().build().unwrap());
    let frame = session.read().text(path(dir.path(), "in")).unwrap();
    let by_file = |frame: &DataFrame| frame.sort([col("_metadata.file_name").desc(), col("v").asc()]);
    let selected = frame.select([col("value").alias("v")]);
    let ordered = by_file(&selected);
    assert_eq!(ordered.columns().unwrap(), ["v"]);
    assert_eq!(lines(&ordered.collect().unwrap()), ["z", "x", "y"]);
    assert_eq!(lines(&by_file(&selected.filter("v <> 'x'")).limit(2).collect().unwrap()), ["z", "y"]);
    let unnamed = frame.select(["value"]).order_by([frame.col("_metadata.file_size").desc(), col("value").desc()]);
    assert_eq!(lines(&unnamed.collect().unwrap()), ["y", "x", "z"]);
    let counted = frame.group_by(["value"]).count().with_column_renamed("value", "v");
    assert_eq!(condition(by_file(&counted).collect()), "UNRESOLVED_COLUMN.WITH_SUGGESTION");
}

#[test]
fn a_stream_is_joined_by_the_files_of_its_rows() {
    let (dir, session) = (tables(), Session::builder().build().unwrap());
    let (_, files) = two_tables(dir.path(), &session);
    let stream = session.read_stream().text(&path(dir.path(), "in")).unwrap();
    for (how, name) in [("inner", "c1"), ("left", "c2")] {
        let sink = MemorySink::new();
        let joined = stream.join(&files, stream.col("_metadata.file_name").eq(files.col("name")), how).select(["value", "owner"]);
        run(&joined, OutputMode::Append, &sink, &dir.path().join(name)).unwrap();
        assert_eq!(sorted(&sink.batches()), ["x|ada", "y|ada", "z|bob"], "{how}");
    }
    stream.create_or_replace_temp_view("s").unwrap();
    let sink = MemorySink::new();
    let pairs =
        "SELECT l.value, r.value FROM s l JOIN s r ON l._metadata.file_name = r._metadata.file_name AND l.value < r.value";
    run(&session.sql(pairs).unwrap(), OutputMode::Append, &sink, &dir.path().join("c3")).unwrap();
    assert_eq!(sorted(&sink.batches()), ["x|y"]);
}

/// Writes ten rows of three row groups; each row's number is its value.
fn numbered(dir: &Path, name: &str) -> String {
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;
    let rows = crate::support::rows(vec![("n", crate::support::numbers(0..10))]);
    std::fs::create_dir_all(dir.join(name)).unwrap();
    let file = std::fs::File::create(dir.join(name).join("a.parquet")).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(4)).build();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    path(dir, name)
}

#[test]
fn rows_of_parquet_files_have_numbers() {
    let (dir, session) = (tables(), Session::builder().parallelism(3).build().unwrap());
    let input = numbered(dir.path(), "numbers");
    std::fs::copy(dir.path().join("numbers/a.parquet"), dir.path().join("numbers/b.parquet")).unwrap();
    let frame = session.read().parquet(&input).unwrap();
    assert_eq!(frame.columns().unwrap(), ["n"]);
    assert_eq!(frame.filter("n <> _metadata.row_index").count().unwrap(), 0);
    assert_eq!(
        rows(&frame.filter("_metadata.row_index IN (3, 8)").select(["n", "_metadata.row_index"])),
        ["3|3", "3|3", "8|8", "8|8"]
    );
    let typed = frame.select(["_metadata.row_index"]).schema().unwrap();
    assert_eq!(*typed.field(0).data_type(), arrow::datatypes::DataType::Int64);
    let alone = frame.select(["_metadata.row_index"]).distinct();
    assert_eq!(alone.count().unwrap(), 10);
    let all = frame.filter("n = 5").limit(1).select(["_metadata.*"]);
    assert_eq!(all.columns().unwrap().last().map(String::as_str), Some("row_index"));
    // With given columns the files are read by Tidegate's reader alone.
    let given = session.read().schema("n BIGINT, m STRING").parquet([&input]).unwrap();
    assert_eq!(rows(&given.filter("_metadata.row_index > 8").select(["m", "n"])), ["NULL|9", "NULL|9"]);
    let text = session.read().text(path(dir.path(), "in")).unwrap();
    assert_eq!(condition(text.select(["_metadata.row_index"]).collect()), "FIELD_NOT_FOUND");
}

#[test]
fn rows_of_a_stream_of_parquet_files_have_numbers() {
    let (dir, session) = (tempfile::tempdir().unwrap(), Session::builder().parallelism(2).build().unwrap());
    let input = numbered(dir.path(), "k=7");
    let stream =
        session.read_stream().schema("n BIGINT, k INT").option("basePath", path(dir.path(), "")).parquet(&input).unwrap();
    let (sink, checkpoint) = (MemorySink::new(), dir.path().join("checkpoint"));
    let numbered = stream.filter("_metadata.row_index >= 7").select(["k", "n", "_metadata.row_index", "_metadata.file_name"]);
    run(&numbered, OutputMode::Append, &sink, &checkpoint).unwrap();
    assert_eq!(sorted(&sink.batches()), ["7|7|7|a.parquet", "7|8|8|a.parquet", "7|9|9|a.parquet"]);
}
