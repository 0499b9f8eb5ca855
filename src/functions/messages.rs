//! Messages of Avro and Protobuf, as they are in the keys and values of Kafka's records.

use super::lit;
use crate::column::Column;

/// The value of an Avro message that was written by this schema, which is in JSON.
///
/// ```
/// use tidegate::functions::from_avro;
/// let schema = r#"{"type": "record", "name": "Reading", "fields": [{"name": "level", "type": "double"}]}"#;
/// let reading = from_avro("value", schema).alias("reading"); // records.select([reading]).select(["reading.level"])
/// ```
pub fn from_avro(column: impl Into<Column>, json_format_schema: &str) -> Column {
    Column::call("from_avro", [column.into(), lit(json_format_schema)])
}

/// [`from_avro`] with options: `mode`, `avroSchema` (the schema to read as, where it is another one), and the others of
/// `docs/KAFKA.md`.
pub fn from_avro_with(
    column: impl Into<Column>,
    json_format_schema: &str,
    options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>,
) -> Column {
    Column::call("from_avro", [column.into(), lit(json_format_schema), map(options)])
}

/// A value as an Avro message, of the schema that Spark makes for its type.
///
/// Columns may be null, so each is a union with null; a struct that the query itself makes is not. [`to_avro_with`] takes a schema.
pub fn to_avro(column: impl Into<Column>) -> Column {
    Column::call("to_avro", [column.into()])
}

/// A value as an Avro message of this schema, which is in JSON. Options, of which there may be none, are those of `docs/KAFKA.md`.
pub fn to_avro_with(
    column: impl Into<Column>,
    json_format_schema: &str,
    options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>,
) -> Column {
    with_options("to_avro", vec![column.into(), lit(json_format_schema)], options)
}

/// The struct in a Protobuf message. `desc_file_path` names a file that `protoc --include_imports --descriptor_set_out` wrote, and
/// `message_name` a message in it. Needs the cargo feature `protobuf`.
pub fn from_protobuf(column: impl Into<Column>, message_name: &str, desc_file_path: &str) -> Column {
    Column::call("from_protobuf", [column.into(), lit(message_name), lit(desc_file_path)])
}

/// [`from_protobuf`] with options: `mode`, `recursive.fields.max.depth`, `emit.default.values`, `enums.as.ints`, and the others of
/// `docs/KAFKA.md`.
pub fn from_protobuf_with(
    column: impl Into<Column>,
    message_name: &str,
    desc_file_path: &str,
    options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>,
) -> Column {
    with_options("from_protobuf", vec![column.into(), lit(message_name), lit(desc_file_path)], options)
}

/// A struct as a Protobuf message: the reverse of [`from_protobuf`].
pub fn to_protobuf(column: impl Into<Column>, message_name: &str, desc_file_path: &str) -> Column {
    Column::call("to_protobuf", [column.into(), lit(message_name), lit(desc_file_path)])
}

/// [`to_protobuf`] with the options of `docs/KAFKA.md`.
pub fn to_protobuf_with(
    column: impl Into<Column>,
    message_name: &str,
    desc_file_path: &str,
    options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>,
) -> Column {
    with_options("to_protobuf", vec![column.into(), lit(message_name), lit(desc_file_path)], options)
}

fn with_options(
    name: &str,
    mut args: Vec<Column>,
    options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>,
) -> Column {
    let mut options = options.into_iter().peekable();
    if options.peek().is_some() {
        args.push(map(options));
    }
    Column::call(name, args)
}

fn map(options: impl IntoIterator<Item = (impl AsRef<str>, impl ToString)>) -> Column {
    let pairs = options.into_iter().flat_map(|(name, value)| [lit(name.as_ref()), lit(value.to_string())]);
    Column::call("map", pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Session;
    use crate::functions::{col, struct_of};
    use arrow::array::AsArray;
    use arrow::datatypes::Int32Type;

    const SCHEMA: &str = r#"{"type": "record", "name": "R", "fields": [{"name": "n", "type": "int"}]}"#;

    #[test]
    fn avro_goes_out_and_comes_back() {
        let session = Session::builder().build().unwrap();
        let rows = session.sql("SELECT named_struct('n', id) AS r FROM VALUES (1), (2) AS t(id)").unwrap();
        let registry = [("schemaRegistry.wireFormat", "true"), ("schemaRegistry.schemaId", "5")];
        let messages =
            rows.select([to_avro_with("r", SCHEMA, registry).alias("m"), to_avro_with("r", SCHEMA, [("", ""); 0]).alias("p")]);
        let back = messages.select([from_avro_with("m", SCHEMA, registry).alias("r"), from_avro("p", SCHEMA).alias("s")]);
        let batches = back.select([col("r.n"), col("s.n").alias("same")]).collect().unwrap();
        for column in 0..2 {
            assert_eq!(batches[0].column(column).as_primitive::<Int32Type>().values(), &[1, 2]);
        }
    }

    /// Spark's bytes: what the query makes itself is never null, and no union.
    #[test]
    fn a_struct_is_no_union_and_a_column_is() {
        let session = Session::builder().build().unwrap();
        let rows = session.sql("SELECT id, named_struct('id', id) AS s FROM VALUES (1), (CAST(null AS INT)) AS t(id)").unwrap();
        let made = rows.select([to_avro(struct_of(["id"])).alias("made"), to_avro("s").alias("column")]).collect().unwrap();
        let bytes = |column: usize| made[0].column(column).as_binary::<i32>().iter().map(Option::unwrap).collect::<Vec<_>>();
        assert_eq!(bytes(0), [&[0, 2][..], &[2]]);
        assert_eq!(bytes(1), [&[0, 0, 2][..], &[0, 2]]);
        let sql = rows.select_expr(["to_avro(struct(id)) AS a", "to_avro(named_struct('id', id)) AS b"]).collect().unwrap();
        assert_eq!([sql[0].column(0), sql[0].column(1)], [made[0].column(0); 2]);
    }

    #[test]
    fn sql_has_sparks_names_and_errors() {
        let session = Session::builder().build().unwrap();
        let frame = session
            .sql(r#"SELECT from_avro(X'02', '"int"'), from_avro(X'02', '"int"', map('mode', 'FAILFAST')), to_avro(7)"#)
            .unwrap();
        let names: Vec<String> = frame.schema().unwrap().fields().iter().map(|field| field.name().clone()).collect();
        let expected =
            [r#"from_avro(X'02', "int", NULL)"#, r#"from_avro(X'02', "int", map(mode, FAILFAST))"#, "to_avro(7, NULL)"];
        assert_eq!(names, expected);
        let batches = frame.collect().unwrap();
        assert_eq!(batches[0].column(0).as_primitive::<Int32Type>().value(0), 1);
        assert_eq!(batches[0].column(2).as_binary::<i32>().value(0), [14]);
        for (call, condition) in [
            ("from_avro(X'02', 7)", "DATATYPE_MISMATCH.TYPE_CHECK_FAILURE_WITH_HINT"),
            ("from_avro(X'02')", "WRONG_NUM_ARGS.WITHOUT_SUGGESTION"),
            ("from_avro(1, '\"int\"')", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
            ("from_avro(X'', '\"int\"')", "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION"),
        ] {
            let failed = session.sql(&format!("SELECT {call} AS x")).and_then(|frame| frame.collect()).map(drop).unwrap_err();
            assert_eq!(failed.condition().as_deref(), Some(condition), "{call}: {failed}");
        }
    }
}
