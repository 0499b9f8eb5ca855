//! Messages as fastavro and Spark write and read them: recorded by `tests/messages/avro.py`.

use arrow::array::{ArrayRef, AsArray};
use datafusion::common::ScalarValue;
use serde_json::Value as Json;

use super::*;
use crate::message::testing::{Random, bytes, call, call_as, condition, json, literal, messages, options, row, text};
use crate::types::name;

const RECORDED: &str = include_str!("../../tests/messages/avro.json");

fn cases(kind: &str) -> Vec<Json> {
    let recorded: Json = serde_json::from_str(RECORDED).unwrap();
    recorded[kind].as_array().unwrap().clone()
}

fn read(message: &[u8], schema: &str, pairs: &[(&str, &str)]) -> Result<ArrayRef> {
    call("from_avro", &messages([message]), &[literal(schema), options(pairs)])
}

#[test]
fn messages_are_read_as_spark_reads_them() {
    for case in cases("read") {
        let what = text(&case, "name");
        let pairs: Vec<(&str, &str)> =
            case["options"].as_object().unwrap().iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap())).collect();
        match read(&bytes(text(&case, "message")), text(&case, "schema"), &pairs) {
            Ok(values) => {
                assert_eq!(name(values.data_type()), text(&case, "type"), "{what}");
                assert_eq!(json(&values), text(&case, "value"), "{what}");
            }
            // Spark has no condition for it.
            Err(error) => {
                assert_eq!(text(&case, "error"), "none", "{what}: {error}");
                assert_eq!(condition(&error), "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION", "{what}");
            }
        }
    }
}

#[test]
fn messages_are_written_as_spark_writes_them() {
    for case in cases("write") {
        let what = text(&case, "name");
        let value = row(text(&case, "type"), text(&case, "value"));
        let schema: Vec<ScalarValue> = case["schema"].as_str().into_iter().map(literal).collect();
        match call("to_avro", &value, &schema) {
            Ok(written) => assert_eq!(written.as_binary::<i32>().value(0), bytes(text(&case, "message")), "{what}"),
            // Spark has no condition for a value that doesn't fit its schema.
            Err(error) if text(&case, "error") == "none" => {
                assert_eq!(condition(&error), "AVRO_INCOMPATIBLE_SCHEMA", "{what}");
            }
            Err(error) => assert_eq!(condition(&error), text(&case, "error"), "{what}: {error}"),
        }
    }
}

const NUMBERS: &str = r#"{"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", "int"]}]}"#;

#[test]
fn null_is_null_and_a_broken_message_is_a_struct_of_nulls() {
    let input: ArrayRef = Arc::new(arrow::array::BinaryArray::from(vec![Some(&[2, 14][..]), None, Some(&[9])]));
    let read = call("from_avro", &input, &[literal(NUMBERS), options(&[("mode", "permissive")])]).unwrap();
    let column = read.as_struct().column(0);
    assert_eq!([read.is_null(0), read.is_null(1), read.is_null(2)], [false, true, false]);
    assert_eq!([column.is_null(0), column.is_null(2)], [false, true]);
    // Spark fails here: it takes the null of a union at the top for a broken message.
    assert!(self::read(&[0], r#"["null", "int"]"#, &[]).unwrap().is_null(0));
}

#[test]
fn errors_say_what_is_wrong() {
    let failed = |result: Result<ArrayRef>| result.unwrap_err().to_string();
    let broken = failed(read(&[2, 0xff], NUMBERS, &[]));
    assert!(
        broken.contains("[MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION]") && broken.contains("'mode' as 'PERMISSIVE'"),
        "{broken}"
    );
    assert!(failed(read(&[], NUMBERS, &[("mode", "DROPMALFORMED")])).contains("PARSE_MODE_UNSUPPORTED"));
    assert!(failed(read(&[], "{", &[])).contains("INVALID_SCHEMA.PARSE_ERROR"));
    let recursive = r#"{"type": "record", "name": "R", "fields": [{"name": "r", "type": ["null", "R"]}]}"#;
    assert!(failed(read(&[], recursive, &[])).contains("'recursiveFieldMaxDepth'"));
    assert!(failed(read(&[], recursive, &[("recursiveFieldMaxDepth", "16")])).contains("15 at most"));
    let other = r#"{"type": "record", "name": "N", "fields": [{"name": "m", "type": "int"}]}"#;
    let missing = failed(read(&[], NUMBERS, &[("avroSchema", other)]));
    assert!(missing.contains("'m' was not written and has no default"), "{missing}");
    assert!(failed(read(&[], NUMBERS, &[("datetimeRebaseMode", "LEGACY")])).contains("datetimeRebaseMode"));
    let text: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["x"]));
    assert!(failed(call("from_avro", &text, &[literal(NUMBERS)])).contains("requires the \"BINARY\" type"));
    let written = |columns: &str, value: &str, schema: &str| failed(call("to_avro", &row(columns, value), &[literal(schema)]));
    assert!(written("n STRING", "{}", NUMBERS).contains("STRING does not fit the schema's int at field 'n'"));
    assert!(written("n INT, m INT", "{}", NUMBERS).contains("no field 'm'"));
    assert!(written("n INT", "{}", other).contains("no field 'n'"));
    assert!(failed(call("to_avro", &row("`a b` INT", "{}"), &[])).contains("'a b' is no name"));
}

#[test]
fn a_struct_that_the_query_makes_is_no_union() {
    let value = row("n INT", r#"{"n": 7}"#);
    let written = |sql: &str| call_as("to_avro", sql, &value, &[]).unwrap().as_binary::<i32>().value(0).to_vec();
    assert_eq!(written("v"), [0, 0, 14]);
    assert_eq!(written("struct(n)"), [0, 14]);
    assert_eq!(written("named_struct('n', n)"), [0, 14]);
}

#[test]
fn the_header_of_a_schema_registry_is_stripped_and_written() {
    let wire = [("schemaRegistry.wireFormat", "true"), ("schemaRegistry.schemaId", "7")];
    let written = call("to_avro", &row("n INT", r#"{"n": 7}"#), &[literal(NUMBERS), options(&wire)]).unwrap();
    let message = written.as_binary::<i32>().value(0);
    assert_eq!(message, [0, 0, 0, 0, 7, 2, 14]);
    assert_eq!(json(&read(message, NUMBERS, &wire[..1]).unwrap()), r#"{"v":{"n":7}}"#);
    let other = read(message, NUMBERS, &[wire[0], ("schemaRegistry.schemaId", "8")]).unwrap_err().to_string();
    assert!(other.contains("number 7, and not 8"), "{other}");
}

#[test]
fn interval_types_come_back() {
    use arrow::array::{DurationMicrosecondArray, IntervalYearMonthArray, StructArray};
    let fields = [("m", crate::types::YEAR_MONTH_INTERVAL), ("d", crate::types::DAY_TIME_INTERVAL)];
    let DataType::Struct(fields) = crate::types::structure(fields) else { unreachable!() };
    let (months, micros) = (IntervalYearMonthArray::from(vec![Some(-14)]), DurationMicrosecondArray::from(vec![Some(90)]));
    let value: ArrayRef = Arc::new(StructArray::new(fields, vec![Arc::new(months), Arc::new(micros)], None));
    let message = call_as("to_avro", "struct(m, d)", &value, &[]).unwrap();
    let schema = r#"{"type": "record", "name": "topLevelRecord", "fields": [
        {"name": "m", "type": [{"type": "int", "spark.sql.catalyst.type": "interval year to month"}, "null"]},
        {"name": "d", "type": [{"type": "long", "spark.sql.catalyst.type": "interval day to second"}, "null"]}]}"#;
    assert_eq!(&call("from_avro", &message, &[literal(schema)]).unwrap(), &value);
}

/// Whatever bytes come, they are a value or a message that can't be read.
#[test]
fn any_bytes_are_a_value_or_an_error() {
    let schemas: Vec<String> = cases("read").iter().map(|case| text(case, "schema").to_owned()).collect();
    let recorded: Vec<Vec<u8>> = cases("read").iter().map(|case| bytes(text(case, "message"))).collect();
    let deep = r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "array", "items": "null"}},
        {"name": "gone", "type": {"type": "array", "items": "R"}}]}"#;
    let shallow = r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "array", "items": "null"}}]}"#;
    let mut random = Random::new();
    for round in 0..3_000 {
        let at = random.below(schemas.len());
        let message = random.damaged(&recorded);
        let depth = ("recursiveFieldMaxDepth", "3");
        let permissive = read(&message, &schemas[at], &[("mode", "PERMISSIVE"), depth]).unwrap();
        if let Ok(strict) = read(&message, &schemas[at], &[depth]) {
            assert_eq!(&strict, &permissive, "round {round}");
        }
        if read(&message, deep, &[("avroSchema", shallow)]).is_err() {
            continue;
        }
    }
    // A length that is a lie, elements without bytes without end, and nesting without end.
    for lie in [&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1][..], &[2; 4_000], &[0, 2].repeat(4_000)] {
        assert!(read(lie, deep, &[("avroSchema", shallow)]).is_err());
        assert!(read(lie, "bytes", &[]).is_err() || lie[0] < 3);
    }
}
