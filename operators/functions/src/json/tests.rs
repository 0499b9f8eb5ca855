//! Whole functions, from literals to results as Spark gives them.

use arrow::array::{AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Fields};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use super::*;
use crate::error::SparkError;
use crate::function::{Arg, Settings};
use crate::message::testing::options as map;
use crate::types::{TIMESTAMP_NTZ, timestamp};

fn text(text: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(text.to_owned()))
}

/// A function's result for literal arguments, or its error's condition.
fn call(name: &str, args: &[ScalarValue]) -> std::result::Result<ArrayRef, String> {
    let function = FUNCTIONS.iter().chain([&JSON_TUPLE]).find(|function| function.names.contains(&name)).unwrap();
    let described: Vec<Arg> = args
        .iter()
        .map(|value| Arg { data_type: value.data_type(), literal: Some(value.clone()), sql: value.to_string() })
        .collect();
    let call = Call { name, args: &described, settings: &Settings::default() };
    let condition = |error: datafusion::error::DataFusionError| {
        SparkError::find(&error).map_or(error.to_string(), |found| found.condition.clone())
    };
    let resolved = (function.resolve)(&call).map_err(condition)?;
    let values: Vec<ColumnarValue> = args.iter().cloned().map(ColumnarValue::Scalar).collect();
    let result = (resolved.kernel)(&Invocation { args: &values, rows: 1 }).map_err(condition)?;
    assert_eq!((result.data_type(), result.len()), (&resolved.returns, 1));
    Ok(result)
}

fn shown(array: &ArrayRef) -> String {
    let options = FormatOptions::default().with_null("NULL");
    ArrayFormatter::try_new(array.as_ref(), &options).unwrap().value(0).to_string()
}

fn from_json(json: &str, schema: &str) -> String {
    call("from_json", &[text(json), text(schema)]).map_or_else(|condition| condition, |array| shown(&array))
}

#[test]
fn records_are_read() {
    for (json, schema, row) in [
        (r#"{"a":1,"b":"x"}"#, "a INT, b STRING", "{a: 1, b: x}"),
        (r#"{"b":"x","c":0}"#, "a INT, b STRING", "{a: NULL, b: x}"),
        (r#"{"a":"1","b":2.50}"#, "a INT, b STRING", "{a: NULL, b: 2.5}"),
        (r#"{"A":1}"#, "a INT", "{a: NULL}"),
        ("bad", "a INT, b STRING", "{a: NULL, b: NULL}"),
        (r#"{"a":1"#, "a INT", "{a: NULL}"),
        ("", "a INT", "NULL"),
        (" ", "a INT", "NULL"),
        ("null", "a INT", "{a: NULL}"),
        (r#"{"a":1} x"#, "a INT", "{a: 1}"),
        (r#"[{"a":1}]"#, "a INT", "{a: NULL}"),
        (r#"{"a":1,"a":2}"#, "a INT", "{a: 2}"),
        (r#"{"a":1,"a":"x"}"#, "a INT", "{a: 1}"),
        (r#"{"a":{"b":"x","c":[1,"y"]},"d":5}"#, "a struct<b:int,c:array<int>>, d int", "{a: {b: NULL, c: NULL}, d: 5}"),
        (r#"{"a":[1,"y",7,{"d":6}],"d":5}"#, "a array<int>, d int", "{a: NULL, d: 5}"),
        (r#"{"a":[[1,"y"],[2]],"d":5}"#, "a array<array<int>>, d int", "{a: NULL, d: 5}"),
        (r#"{"a":[{"b":1},{"b":"x"}],"d":5}"#, "a array<struct<b:int>>, d int", "{a: [{b: 1}, {b: NULL}], d: 5}"),
        (r#"{"a":[{"b":1},3],"d":5}"#, "a array<struct<b:int>>, d int", "{a: NULL, d: 5}"),
        (r#"{"a":{"x":{"b":"q"}},"d":5}"#, "a map<string,struct<b:int>>, d int", "{a: {x: {b: NULL}}, d: 5}"),
        (r#"{"a":{"x":1,"y":"z"},"d":5}"#, "a map<string,int>, d int", "{a: NULL, d: 5}"),
        (
            r#"{"a":{"b":[1,2.50,"x"]},"c":[ 1 ],"d":true,"e":1e2,"f":12345678901234567890}"#,
            "a STRING, c STRING, d STRING, e STRING, f STRING",
            r#"{a: {"b":[1,2.5,"x"]}, c: [1], d: true, e: 100.0, f: 12345678901234567890}"#,
        ),
        (
            r#"{"a":255,"b":40000,"c":1.0,"d":9223372036854775808}"#,
            "a TINYINT, b SMALLINT, c INT, d BIGINT",
            "{a: -1, b: NULL, c: NULL, d: NULL}",
        ),
        (
            r#"{"a":1,"b":"NaN","c":"INF","d":-INF}"#,
            "a DOUBLE, b DOUBLE, c DOUBLE, d FLOAT",
            "{a: 1.0, b: NaN, c: NULL, d: -inf}",
        ),
        (
            r#"{"a":1.235,"b":"1,234.5","c":123456,"d":1e2,"e":" 1"}"#,
            "a DECIMAL(5,2), b DECIMAL(10,2), c DECIMAL(5,2), d DECIMAL(10,0), e DECIMAL(10,0)",
            "{a: 1.24, b: 1234.50, c: NULL, d: 100, e: NULL}",
        ),
        (
            r#"{"a":12345678901234567890.123456789012345678,"b":1e1000000,"c":"-0.005"}"#,
            "a DECIMAL(38,18), b DECIMAL(10,1), c DECIMAL(3,2)",
            "{a: 12345678901234567890.123456789012345678, b: NULL, c: -0.01}",
        ),
        (
            r#"{"a":"2024-01-02 03:04:05","b":19000,"c":"2024-1-2"}"#,
            "a DATE, b DATE, c DATE",
            "{a: 2024-01-02, b: NULL, c: 2024-01-02}",
        ),
        (
            r#"{"a":"2024-01-02T03:04:05+02:00","b":19000,"c":"x"}"#,
            "a TIMESTAMP, b TIMESTAMP, c TIMESTAMP",
            "{a: 2024-01-02T01:04:05Z, b: 1970-01-01T05:16:40Z, c: NULL}",
        ),
        (
            r#"{"a":"2024-01-02T03:04:05","b":"2024-01-02T03:04:05Z"}"#,
            "a TIMESTAMP_NTZ, b TIMESTAMP_NTZ",
            "{a: 2024-01-02T03:04:05, b: NULL}",
        ),
        (r#"{"a":"aGk=","b":"!!","c":"aGk"}"#, "a BINARY, b BINARY, c BINARY", "{a: 6869, b: NULL, c: NULL}"),
        ("[1,2,null]", "array<int>", "[1, 2, NULL]"),
        (r#"[1,"x"]"#, "array<int>", "NULL"),
        (r#"[{"a":1},{"a":"x"},null]"#, "array<struct<a:int>>", "[{a: 1}, {a: NULL}, NULL]"),
        (r#"{"a":1}"#, "array<struct<a:int>>", "[{a: 1}]"),
        (r#"{"a":1}"#, "array<int>", "NULL"),
        (r#"{"a":1,"b":null}"#, "map<string,int>", "{a: 1, b: NULL}"),
        ("bad", "map<string,int>", "NULL"),
        ("1", "int", "DATATYPE_MISMATCH.INVALID_JSON_SCHEMA"),
        ("{}", "map<int,int>", "DATATYPE_MISMATCH.INVALID_JSON_MAP_KEY_TYPE"),
        ("{}", "a INT, _corrupt_record INT", "INVALID_CORRUPT_RECORD_TYPE"),
        ("bad", "a INT, _corrupt_record STRING", "{a: NULL, _corrupt_record: bad}"),
        (r#"{"a":"x"}"#, "_corrupt_record STRING, a INT", r#"{_corrupt_record: {"a":"x"}, a: NULL}"#),
        (r#"{"_corrupt_record":"x","a":1}"#, "a INT, _corrupt_record STRING", "{a: 1, _corrupt_record: NULL}"),
    ] {
        assert_eq!(from_json(json, schema), row, "{json} as {schema}");
    }
}

#[test]
fn options_are_heeded() {
    let read = |json: &str, schema: &str, options: &[(&str, &str)]| {
        call("from_json", &[text(json), text(schema), map(options)]).map(|array| shown(&array))
    };
    let fail_fast: &[_] = &[("mode", "FAILFAST")];
    assert_eq!(read(r#"{"a":1}"#, "a INT", fail_fast).unwrap(), "{a: 1}");
    for json in [r#"{"a":"x"}"#, "bad"] {
        assert_eq!(read(json, "a INT", fail_fast).unwrap_err(), "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION");
    }
    assert_eq!(read("bad", "a INT", &[("mode", "DROPMALFORMED")]).unwrap_err(), "PARSE_MODE_UNSUPPORTED");
    assert_eq!(read("bad", "a INT, cr STRING", &[("columnNameOfCorruptRecord", "cr")]).unwrap(), "{a: NULL, cr: bad}");
    let formats: &[_] = &[("dateFormat", "dd/MM/yyyy"), ("timestampFormat", "dd/MM/yyyy HH:mm")];
    let row = read(r#"{"a":"02/01/2024","t":"02/01/2024 03:04"}"#, "a DATE, t TIMESTAMP", formats);
    assert_eq!(row.unwrap(), "{a: 2024-01-02, t: 2024-01-02T03:04:00Z}");
    assert_eq!(call("from_json", &[text("{}"), text("a INT"), text("x")]).unwrap_err(), "INVALID_OPTIONS.NON_MAP_FUNCTION");
}

fn to_json(array: ArrayRef, options: Option<ScalarValue>) -> Option<String> {
    let value = ScalarValue::try_from_array(&array, 0).unwrap();
    let args: Vec<ScalarValue> = std::iter::once(value).chain(options).collect();
    let texts = call("to_json", &args).unwrap();
    texts.is_valid(0).then(|| texts.as_string::<i32>().value(0).to_owned())
}

fn one(fields: Vec<(&str, ArrayRef)>) -> ArrayRef {
    let (names, arrays): (Vec<&str>, Vec<ArrayRef>) = fields.into_iter().unzip();
    let fields: Fields =
        names.iter().zip(&arrays).map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    Arc::new(StructArray::new(fields, arrays, None))
}

#[test]
fn values_are_written() {
    let micros = 1_704_067_200_123_456;
    let row = one(vec![
        ("n", Arc::new(Int64Array::from(vec![Some(1)]))),
        ("null", Arc::new(Int64Array::from(vec![None]))),
        ("s", Arc::new(StringArray::from(vec!["x\"\\/\n\u{1}é😀"]))),
        ("t", Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"))),
        ("ntz", Arc::new(TimestampMicrosecondArray::from(vec![micros]))),
        ("f", Arc::new(arrow::array::Float64Array::from(vec![f64::INFINITY]))),
        ("b", Arc::new(arrow::array::BinaryArray::from(vec![b"\x00\xff\x10".as_slice()]))),
        ("d", Arc::new(arrow::array::Date32Array::from(vec![19_723]))),
    ]);
    assert_eq!(row.as_struct().column(3).data_type(), &timestamp());
    assert_eq!(row.as_struct().column(4).data_type(), &TIMESTAMP_NTZ);
    let written = concat!(
        r#"{"n":1,"s":"x\"\\/\n\u0001é😀","t":"2024-01-01T00:00:00.123Z","ntz":"2024-01-01T00:00:00.123","#,
        r#""f":"Infinity","b":"AP8Q","d":"2024-01-01"}"#
    );
    assert_eq!(to_json(row, None).as_deref(), Some(written));
    let nulls = one(vec![("a", Arc::new(Int64Array::from(vec![None])))]);
    assert_eq!(to_json(Arc::clone(&nulls), None).as_deref(), Some("{}"));
    assert_eq!(to_json(nulls, Some(map(&[("ignoreNullFields", "false")]))).as_deref(), Some(r#"{"a":null}"#));
    assert_eq!(to_json(map(&[("k\"", "v")]).to_array().unwrap(), None).as_deref(), Some(r#"{"k\"":"v"}"#));
    assert_eq!(to_json(Arc::new(NullArray::new(1)), None), None);
    assert_eq!(call("to_json", &[text("x")]).unwrap_err(), "DATATYPE_MISMATCH.INVALID_JSON_SCHEMA");
}

#[test]
fn what_is_written_is_read() {
    let schema = "a INT, b ARRAY<STRUCT<c: STRING, d: MAP<STRING, DOUBLE>>>, e DECIMAL(10,3), f TIMESTAMP, g DATE, h BINARY";
    let json = r#"{"a":1,"b":[{"c":"x","d":{"k":1.5}}],"e":1.250,"f":"2024-01-01T00:00:00.000Z","g":"2024-01-01","h":"AA=="}"#;
    let row = call("from_json", &[text(json), text(schema)]).unwrap();
    assert_eq!(to_json(row, None).as_deref(), Some(json));
}

#[test]
fn parts_are_found() {
    let found = |name: &str, json: &str| shown(&call(name, &[text(json)]).unwrap());
    for (json, length, keys) in [
        ("[1,2,[3,4]]", "3", "NULL"),
        ("[]", "0", "NULL"),
        ("[1] x", "1", "NULL"),
        ("[1,x]", "NULL", "NULL"),
        ("null", "NULL", "NULL"),
        ("", "NULL", "NULL"),
        (r#"{"b":1,"a":{"c":2},"b":3}"#, "NULL", "[b, a, b]"),
        ("{'a':1} x", "NULL", "[a]"),
        ("{}", "NULL", "[]"),
        (r#"{"a":1"#, "NULL", "NULL"),
    ] {
        assert_eq!(
            (found("json_array_length", json), found("json_object_keys", json)),
            (length.to_owned(), keys.to_owned()),
            "{json}"
        );
    }
    assert_eq!(call("json_array_length", &[ScalarValue::Int32(Some(1))]).unwrap_err(), "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE");
    let path = |path: ScalarValue| shown(&call("get_json_object", &[text(r#"{"a":[1]}"#), path]).unwrap());
    assert_eq!(path(text("$.a[0]")), "1");
    assert_eq!(path(ScalarValue::Utf8(None)), "NULL");
}

#[test]
fn tuples_are_found() {
    let tuple = |json: &str, names: &[&str]| {
        let args: Vec<ScalarValue> = std::iter::once(json).chain(names.iter().copied()).map(text).collect();
        call("json_tuple", &args).map_or_else(|condition| condition, |array| shown(&array))
    };
    assert_eq!(
        tuple(r#"{"a":1,"b":"x","c":{"d":[1.50,null]},"e":null}"#, &["a", "b", "c", "e", "a"]),
        r#"[{c0: 1, c1: x, c2: {"d":[1.5,null]}, c3: NULL, c4: 1}]"#
    );
    assert_eq!(tuple(r#"{"a":1,"a":2,"a":null}"#, &["a"]), "[{c0: 2}]");
    for json in ["bad", "[1]", r#"{"a":1,"b":"#, r#"{"a":"\ud83d"}"#] {
        assert_eq!(tuple(json, &["a"]), "[{c0: NULL}]", "{json}");
    }
    assert_eq!(call("json_tuple", &[text("{}"), ScalarValue::Int32(Some(1))]).unwrap_err(), "DATATYPE_MISMATCH.NON_STRING_TYPE");
}
