use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::logical_expr::ColumnarValue;

use super::lists::Lists;
use super::testing::{arguments, check, column, eval, run, texts};
use crate::function::{Call, Invocation, Settings};
use crate::registry;
use crate::types::{element, parse};

const XS: &str = "array<int>";
const DS: &str = "array<double>";
const NESTED: &str = "array<array<int>>";

#[test]
fn building() {
    check(&[
        ("array", &[], "[] array<void>"),
        ("array", &[("int", "1"), ("int", "2"), ("void", "null")], "[1, 2, null] array<int>"),
        ("array", &[("int", "1"), ("boolean", "true")], "!DATATYPE_MISMATCH.DATA_DIFF_TYPES"),
        ("array", &[("map<int,int>", "{}"), ("map<string,int>", "{}")], "!DATATYPE_MISMATCH.DATA_DIFF_TYPES"),
        ("array_repeat", &[("string", "\"a\""), ("int", "3")], "[a, a, a] array<string>"),
        ("array_repeat", &[("int", "1"), ("int", "-1")], "[] array<int>"),
        ("array_repeat", &[("int", "1"), ("void", "null")], "null array<int>"),
        ("array_repeat", &[(XS, "null"), ("int", "1")], "[null] array<array<int>>"),
        ("array_repeat", &[("int", "1"), ("int", "2147483647")], "!COLLECTION_SIZE_LIMIT_EXCEEDED.PARAMETER"),
        ("array_repeat", &[("int", "1"), ("tinyint", "2")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("flatten", &[(NESTED, "[[1,2],[3]]")], "[1, 2, 3] array<int>"),
        ("flatten", &[(NESTED, "[[1],null]")], "null array<int>"),
        ("flatten", &[(NESTED, "[[null],[]]")], "[null] array<int>"),
        ("flatten", &[(NESTED, "null")], "null array<int>"),
        ("flatten", &[(XS, "[1]")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        (
            "arrays_zip",
            &[(XS, "[1,2]"), ("array<string>", "[\"a\"]")],
            "[{0: 1, 1: a}, {0: 2, 1: null}] array<struct<0:int,1:string>>",
        ),
        ("arrays_zip", &[(XS, "[1]"), (XS, "null")], "null array<struct<0:int,1:int>>"),
        ("arrays_zip", &[(XS, "[1]"), ("void", "null")], "null array<struct<0:int,1:void>>"),
        ("arrays_zip", &[(XS, "[1]"), ("array<array<int>>", "[]")], "[{0: 1, 1: null}] array<struct<0:int,1:array<int>>>"),
        ("arrays_zip", &[("int", "1")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
    ]);
    assert_eq!(eval("arrays_zip", &[]), "[] array<struct<>>");
}

#[test]
fn concatenating_and_reversing() {
    let settings = Settings::default();
    let call = |resolve: fn(&Call<'_>) -> datafusion::error::Result<crate::Resolved>, args: &[(&str, &str)]| {
        let known = arguments(args);
        let resolved = resolve(&Call { name: "concat", args: &known, settings: &settings })?;
        run(&resolved, args)
    };
    assert_eq!(call(super::concat, &[(XS, "[1]"), (XS, "[null,2]")]).unwrap(), "[1, null, 2]");
    assert_eq!(call(super::concat, &[(XS, "[1]"), (XS, "null")]).unwrap(), "null");
    assert!(call(super::concat, &[(XS, "[1]"), ("void", "null")]).is_err());
    assert_eq!(call(super::reverse, &[(XS, "[1,null,2]")]).unwrap(), "[2, null, 1]");
    assert_eq!(call(super::reverse, &[(XS, "null")]).unwrap(), "null");
}

#[test]
fn access() {
    check(&[
        ("size", &[("void", "null")], "null int"),
        ("size", &[("map<int,int>", "{\"1\": 2}")], "1 int"),
        ("size", &[("string", "\"a\"")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("cardinality", &[(XS, "[1,null]")], "2 int"),
        ("array_size", &[(XS, "null")], "null int"),
        ("array_size", &[("map<int,int>", "{}")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("get", &[(XS, "[1,2]"), ("int", "0")], "1 int"),
        ("get", &[(XS, "[1,2]"), ("int", "-1")], "null int"),
        ("get", &[(XS, "[1,2]"), ("bigint", "2")], "null int"),
        ("get", &[(NESTED, "[]"), ("int", "0")], "null array<int>"),
        ("get", &[("void", "null"), ("int", "1")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("[]", &[(XS, "[1,2]"), ("int", "1")], "2 int"),
        ("[]", &[(XS, "[1,2]"), ("int", "2")], "!INVALID_ARRAY_INDEX"),
        ("[]", &[(XS, "[1,2]"), ("bigint", "-1")], "!INVALID_ARRAY_INDEX"),
        ("[]", &[(XS, "[1,2]"), ("void", "null")], "null int"),
        ("[]", &[(XS, "[1,2]"), ("string", "\"0\"")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("[]", &[("map<string,int>", "{\"a\": 2}"), ("string", "\"a\"")], "2 int"),
        ("[]", &[("map<string,int>", "{\"a\": 2}"), ("string", "\"b\"")], "null int"),
        ("[]", &[("map<int,int>", "{\"1\": 2}"), ("boolean", "true")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("[]", &[("string", "\"a\""), ("int", "0")], "!INVALID_EXTRACT_BASE_FIELD_TYPE"),
        ("[]", &[("struct<a:int>", "{\"a\": 1}"), ("int", "0")], "!INVALID_EXTRACT_FIELD_TYPE"),
        ("element_at", &[(XS, "[1,2]"), ("int", "1")], "1 int"),
        ("element_at", &[(XS, "[1,2]"), ("tinyint", "-1")], "2 int"),
        ("element_at", &[(XS, "[1,2]"), ("int", "0")], "!INVALID_INDEX_OF_ZERO"),
        ("element_at", &[(XS, "[1,2]"), ("int", "3")], "!INVALID_ARRAY_INDEX_IN_ELEMENT_AT"),
        ("element_at", &[(XS, "[1,2]"), ("int", "-3")], "!INVALID_ARRAY_INDEX_IN_ELEMENT_AT"),
        ("element_at", &[(XS, "null"), ("int", "0")], "null int"),
        ("element_at", &[(XS, "[1]"), ("bigint", "1")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("element_at", &[("map<int,int>", "{\"1\": 2}"), ("bigint", "1")], "2 int"),
        ("element_at", &[("map<int,int>", "{\"1\": 2}"), ("void", "null")], "null int"),
        ("element_at", &[("map<int,int>", "{\"1\": 2}"), ("string", "\"1\"")], "!DATATYPE_MISMATCH.MAP_FUNCTION_DIFF_TYPES"),
        ("try_element_at", &[(XS, "[1,2]"), ("int", "3")], "null int"),
        ("try_element_at", &[(XS, "[1,2]"), ("int", "0")], "!INVALID_INDEX_OF_ZERO"),
        ("try_element_at", &[("map<int,int>", "{\"1\": 2}"), ("int", "3")], "null int"),
    ]);
}

#[test]
fn searching() {
    check(&[
        ("array_contains", &[(XS, "[1,2,null]"), ("int", "2")], "true boolean"),
        ("array_contains", &[(XS, "[1,2,null]"), ("int", "3")], "null boolean"),
        ("array_contains", &[(XS, "[1,2]"), ("bigint", "3")], "false boolean"),
        ("array_contains", &[(XS, "[]"), ("int", "1")], "false boolean"),
        ("array_contains", &[(XS, "[1,2]"), ("int", "null")], "null boolean"),
        ("array_contains", &[(DS, "[\"NaN\", 0.0]"), ("double", "\"NaN\"")], "true boolean"),
        ("array_contains", &[(DS, "[0.0]"), ("double", "-0.0")], "true boolean"),
        ("array_contains", &[(NESTED, "[[1]]"), (XS, "[1]")], "true boolean"),
        ("array_contains", &[(XS, "[1]"), ("decimal(2,1)", "1.0")], "true boolean"),
        ("array_contains", &[(XS, "[1]"), ("void", "null")], "!DATATYPE_MISMATCH.NULL_TYPE"),
        ("array_contains", &[(XS, "[1]"), ("string", "\"1\"")], "!DATATYPE_MISMATCH.ARRAY_FUNCTION_DIFF_TYPES"),
        ("array_contains", &[("array<map<int,int>>", "[]"), ("map<int,int>", "{}")], "!DATATYPE_MISMATCH.INVALID_ORDERING_TYPE"),
        ("array_position", &[(XS, "[1,null,2]"), ("int", "2")], "3 bigint"),
        ("array_position", &[(XS, "[1]"), ("int", "3")], "0 bigint"),
        ("array_position", &[(XS, "[1]"), ("void", "null")], "null bigint"),
        ("array_position", &[(DS, "[0.0]"), ("double", "-0.0")], "1 bigint"),
        ("array_position", &[(XS, "[1]"), ("double", "1.0")], "1 bigint"),
        ("array_position", &[("void", "null"), ("int", "1")], "!DATATYPE_MISMATCH.NULL_TYPE"),
    ]);
}

#[test]
fn editing() {
    check(&[
        ("slice", &[(XS, "[1,2,3]"), ("int", "2"), ("int", "5")], "[2, 3] array<int>"),
        ("slice", &[(XS, "[1,2,3]"), ("int", "-2"), ("int", "1")], "[2] array<int>"),
        ("slice", &[(XS, "[1,2,3]"), ("int", "-5"), ("int", "4")], "[] array<int>"),
        ("slice", &[(XS, "[1,2,3]"), ("int", "4"), ("int", "1")], "[] array<int>"),
        ("slice", &[(XS, "[1,2,3]"), ("int", "1"), ("void", "null")], "null array<int>"),
        ("slice", &[(XS, "null"), ("int", "0"), ("int", "1")], "null array<int>"),
        ("slice", &[(XS, "[1]"), ("int", "0"), ("int", "1")], "!INVALID_PARAMETER_VALUE.START"),
        ("slice", &[(XS, "[1]"), ("int", "1"), ("int", "-1")], "!INVALID_PARAMETER_VALUE.LENGTH"),
        ("slice", &[(XS, "[1]"), ("date", "null"), ("int", "1")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("array_append", &[(XS, "[1]"), ("int", "2")], "[1, 2] array<int>"),
        ("array_append", &[(XS, "[1]"), ("void", "null")], "[1, null] array<int>"),
        ("array_append", &[(XS, "null"), ("int", "1")], "null array<int>"),
        ("array_append", &[(XS, "[1]"), ("bigint", "2")], "[1, 2] array<bigint>"),
        ("array_append", &[("array<float>", "[1]"), ("int", "1")], "[1.0, 1.0] array<float>"),
        ("array_append", &[(XS, "[1]"), ("decimal(2,1)", "2.5")], "!DATATYPE_MISMATCH.ARRAY_FUNCTION_DIFF_TYPES"),
        ("array_append", &[("void", "null"), ("int", "1")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("array_prepend", &[(XS, "[1]"), ("int", "0")], "[0, 1] array<int>"),
        ("array_insert", &[(XS, "[1,2]"), ("int", "1"), ("int", "0")], "[0, 1, 2] array<int>"),
        ("array_insert", &[(XS, "[1,2]"), ("int", "3"), ("int", "0")], "[1, 2, 0] array<int>"),
        ("array_insert", &[(XS, "[1,2]"), ("int", "5"), ("int", "0")], "[1, 2, null, null, 0] array<int>"),
        ("array_insert", &[(XS, "[1,2]"), ("int", "-1"), ("int", "0")], "[1, 2, 0] array<int>"),
        ("array_insert", &[(XS, "[1,2]"), ("int", "-2"), ("int", "0")], "[1, 0, 2] array<int>"),
        ("array_insert", &[(XS, "[1,2]"), ("int", "-3"), ("int", "0")], "[0, 1, 2] array<int>"),
        ("array_insert", &[(XS, "[1,2]"), ("int", "-5"), ("int", "0")], "[0, null, null, 1, 2] array<int>"),
        ("array_insert", &[(XS, "[1,2]"), ("int", "null"), ("int", "0")], "null array<int>"),
        ("array_insert", &[(XS, "[1]"), ("int", "1"), ("void", "null")], "[null, 1] array<int>"),
        ("array_insert", &[(XS, "[1]"), ("int", "0"), ("int", "0")], "!INVALID_INDEX_OF_ZERO"),
        ("array_insert", &[(XS, "[1]"), ("int", "2147483647"), ("int", "0")], "!COLLECTION_SIZE_LIMIT_EXCEEDED.FUNCTION"),
        ("array_insert", &[(XS, "[1]"), ("bigint", "1"), ("int", "0")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("array_remove", &[(XS, "[1,null,2,2]"), ("int", "2")], "[1, null] array<int>"),
        ("array_remove", &[(XS, "[1]"), ("void", "null")], "null array<int>"),
        ("array_remove", &[(DS, "[0.0,1,\"NaN\"]"), ("double", "-0.0")], "[1.0, NaN] array<double>"),
        ("array_remove", &[(NESTED, "[[1],[2]]"), (XS, "[1]")], "[[2]] array<array<int>>"),
        ("array_remove", &[("array<string>", "[]"), ("int", "1")], "!DATATYPE_MISMATCH.ARRAY_FUNCTION_DIFF_TYPES"),
        ("array_compact", &[(XS, "[1,null,2]")], "[1, 2] array<int>"),
        ("array_compact", &[("void", "null")], "null array<void>"),
        ("array_join", &[("array<string>", "[\"a\",null,\"b\"]"), ("string", "\",\"")], "a,b string"),
        ("array_join", &[("array<string>", "[null,\"b\"]"), ("string", "\",\""), ("string", "\"x\"")], "x,b string"),
        ("array_join", &[("array<string>", "[]"), ("string", "\",\"")], " string"),
        ("array_join", &[("array<string>", "[\"a\"]"), ("string", "\",\""), ("void", "null")], "null string"),
        ("array_join", &[(NESTED, "[]"), ("string", "\",\"")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("array_join", &[("array<string>", "[]"), ("int", "1")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
    ]);
}

#[test]
fn sets() {
    check(&[
        ("array_distinct", &[(XS, "[1,null,1,null,2]")], "[1, null, 2] array<int>"),
        ("array_distinct", &[(DS, "[-0.0,0.0,\"NaN\",\"NaN\"]")], "[0.0, NaN] array<double>"),
        ("array_distinct", &[("array<array<double>>", "[[0.0],null,[-0.0]]")], "[[0.0], null] array<array<double>>"),
        (
            "array_distinct",
            &[("array<struct<a:int>>", "[{\"a\":null},{\"a\":null},null]")],
            "[{a: null}, null] array<struct<a:int>>",
        ),
        ("array_distinct", &[("array<map<int,int>>", "[]")], "!DATATYPE_MISMATCH.INVALID_ORDERING_TYPE"),
        ("array_union", &[(XS, "[1,null,1]"), (XS, "[2,null]")], "[1, null, 2] array<int>"),
        ("array_union", &[(DS, "[-0.0]"), (DS, "[0.0]")], "[0.0] array<double>"),
        ("array_union", &[(XS, "[1]"), (XS, "null")], "null array<int>"),
        ("array_union", &[(XS, "[1]"), ("array<string>", "[]")], "!DATATYPE_MISMATCH.BINARY_ARRAY_DIFF_TYPES"),
        ("array_union", &[(XS, "[1]"), ("array<decimal(2,1)>", "[]")], "!DATATYPE_MISMATCH.BINARY_ARRAY_DIFF_TYPES"),
        ("array_intersect", &[(XS, "[1,null,1,2]"), (XS, "[null,1,3]")], "[1, null] array<int>"),
        ("array_except", &[(XS, "[1,null,1,2]"), (XS, "[2]")], "[1, null] array<int>"),
        ("array_except", &[(XS, "[1,null]"), ("array<bigint>", "[null]")], "[1] array<bigint>"),
        ("array_except", &[(DS, "[\"NaN\"]"), (DS, "[\"NaN\"]")], "[] array<double>"),
        ("arrays_overlap", &[(XS, "[1,null]"), (XS, "[1]")], "true boolean"),
        ("arrays_overlap", &[(XS, "[1,null]"), (XS, "[2]")], "null boolean"),
        ("arrays_overlap", &[(XS, "[]"), (XS, "[null]")], "false boolean"),
        ("arrays_overlap", &[(XS, "[1]"), (XS, "[2]")], "false boolean"),
        ("arrays_overlap", &[(XS, "null"), (XS, "[2]")], "null boolean"),
        ("arrays_overlap", &[(DS, "[0.0]"), (DS, "[-0.0]")], "true boolean"),
    ]);
}

#[test]
fn sorting() {
    check(&[
        ("array_max", &[(XS, "[1,null,3]")], "3 int"),
        ("array_max", &[(DS, "[\"NaN\",1]")], "NaN double"),
        ("array_min", &[(DS, "[\"NaN\",1]")], "1.0 double"),
        ("array_max", &[(DS, "[-0.0,0.0]")], "-0.0 double"),
        ("array_max", &[(NESTED, "[[1],[2,3],null]")], "[2, 3] array<int>"),
        ("array_min", &[(NESTED, "[[0,2],[null,1]]")], "[null, 1] array<int>"),
        ("array_max", &[(XS, "[null]")], "null int"),
        ("array_max", &[(NESTED, "[]")], "null array<int>"),
        ("array_max", &[("void", "null")], "null void"),
        ("array_max", &[("array<map<int,int>>", "[]")], "!DATATYPE_MISMATCH.INVALID_ORDERING_TYPE"),
        ("sort_array", &[(XS, "[3,null,1]")], "[null, 1, 3] array<int>"),
        ("sort_array", &[(XS, "[3,null,1]"), ("boolean", "false")], "[3, 1, null] array<int>"),
        ("sort_array", &[(XS, "[3,null,1]"), ("void", "null")], "null array<int>"),
        ("sort_array", &[(XS, "[3]"), ("int", "1")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("sort_array", &[("array<map<int,int>>", "[]")], "!DATATYPE_MISMATCH.INVALID_ORDERING_TYPE"),
        (
            "sort_array",
            &[("array<struct<a:int,b:int>>", "[{\"a\":1,\"b\":2},{\"a\":1}]")],
            "[{a: 1, b: null}, {a: 1, b: 2}] array<struct<a:int,b:int>>",
        ),
        ("array_sort", &[(DS, "[\"NaN\",null,1,0.0,-0.0]")], "[0.0, -0.0, 1.0, NaN, null] array<double>"),
        ("array_sort", &[("void", "null")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
    ]);
    let result = eval("shuffle", &[(XS, "[1,1,1]")]);
    assert_eq!(result, "[1, 1, 1] array<int>");
    let seeded = || eval("shuffle", &[(XS, "[7,7]"), ("int", "5")]);
    assert_eq!(seeded(), seeded());
    assert_eq!(eval("shuffle", &[(XS, "[1]"), ("string", "\"1\"")]), "!INVALID_PARAMETER_VALUE.LONG");
}

#[test]
fn sequences() {
    const DAY: &str = "86400000000";
    const MONTHS: &str = "interval year to month";
    const MICROS: &str = "interval day to second";
    check(&[
        ("sequence", &[("int", "1"), ("int", "5")], "[1, 2, 3, 4, 5] array<int>"),
        ("sequence", &[("int", "5"), ("int", "1"), ("int", "-2")], "[5, 3, 1] array<int>"),
        ("sequence", &[("int", "5"), ("int", "4")], "[5, 4] array<int>"),
        ("sequence", &[("int", "1"), ("int", "1"), ("int", "0")], "[1] array<int>"),
        ("sequence", &[("int", "1"), ("int", "1"), ("int", "-3")], "[1] array<int>"),
        ("sequence", &[("tinyint", "120"), ("tinyint", "127"), ("tinyint", "5")], "[120, 125] array<tinyint>"),
        ("sequence", &[("tinyint", "1"), ("tinyint", "5"), ("int", "2")], "[1, 3, 5] array<int>"),
        (
            "sequence",
            &[("bigint", "9223372036854775800"), ("bigint", "9223372036854775807"), ("bigint", "3")],
            "[9223372036854775800, 9223372036854775803, 9223372036854775806] array<bigint>",
        ),
        ("sequence", &[("int", "1"), ("void", "null")], "null array<int>"),
        ("sequence", &[("int", "null"), ("int", "2"), ("int", "0")], "null array<int>"),
        ("sequence", &[("int", "1"), ("int", "5"), ("int", "-1")], "!ILLEGAL_ARGUMENT"),
        ("sequence", &[("int", "1"), ("int", "5"), ("int", "0")], "!ILLEGAL_ARGUMENT"),
        ("sequence", &[("bigint", "0"), ("bigint", "9223372036854775807")], "!COLLECTION_SIZE_LIMIT_EXCEEDED.PARAMETER"),
        ("sequence", &[("string", "\"1\""), ("string", "\"3\"")], "!DATATYPE_MISMATCH.SEQUENCE_WRONG_INPUT_TYPES"),
        ("sequence", &[("int", "1"), ("int", "3"), (MICROS, "1")], "!DATATYPE_MISMATCH.SEQUENCE_WRONG_INPUT_TYPES"),
        (
            "sequence",
            &[("date", "\"2024-01-03\""), ("date", "\"2024-01-01\"")],
            "[2024-01-03, 2024-01-02, 2024-01-01] array<date>",
        ),
        (
            "sequence",
            &[("date", "\"2024-01-31\""), ("date", "\"2024-05-01\""), (MONTHS, "1")],
            "[2024-01-31, 2024-02-29, 2024-03-31, 2024-04-30] array<date>",
        ),
        (
            "sequence",
            &[("date", "\"2024-01-01\""), ("date", "\"2023-07-01\""), (MONTHS, "-3")],
            "[2024-01-01, 2023-10-01, 2023-07-01] array<date>",
        ),
        // A day and a half.
        (
            "sequence",
            &[("date", "\"2024-01-01\""), ("date", "\"2024-01-03\""), (MICROS, "129600000000")],
            "[2024-01-01, 2024-01-02] array<date>",
        ),
        ("sequence", &[("date", "\"2024-01-01\""), ("date", "\"2024-01-03\""), (MICROS, "43200000000")], "!ILLEGAL_ARGUMENT"),
        ("sequence", &[("date", "\"2024-01-01\""), ("date", "\"2023-01-03\""), (MONTHS, "1")], "!ILLEGAL_ARGUMENT"),
        (
            "sequence",
            &[("date", "\"2024-01-01\""), ("date", "\"2024-01-02\""), ("int", "1")],
            "!DATATYPE_MISMATCH.SEQUENCE_WRONG_INPUT_TYPES",
        ),
        (
            "sequence",
            &[("timestamp", "\"2024-01-03T00:00:00Z\""), ("timestamp", "\"2024-01-01T12:00:00Z\"")],
            "[2024-01-03T00:00:00Z, 2024-01-02T00:00:00Z] array<timestamp>",
        ),
        (
            "sequence",
            &[("timestamp_ntz", "\"2024-01-01T00:00:00\""), ("timestamp_ntz", "\"2024-01-02T00:00:00\""), (MICROS, DAY)],
            "[2024-01-01T00:00:00, 2024-01-02T00:00:00] array<timestamp_ntz>",
        ),
        (
            "sequence",
            &[("timestamp", "\"2024-01-01T00:00:00Z\""), ("timestamp", "\"2024-01-01T01:30:00Z\""), (MICROS, "3600000000")],
            "[2024-01-01T00:00:00Z, 2024-01-01T01:00:00Z] array<timestamp>",
        ),
        (
            "sequence",
            &[("timestamp", "\"2024-01-01T00:00:00Z\""), ("timestamp", "\"2024-01-01T00:00:00Z\""), (MICROS, "0")],
            "[2024-01-01T00:00:00Z] array<timestamp>",
        ),
        (
            "sequence",
            &[("timestamp", "\"2024-01-01T00:00:00Z\""), ("timestamp", "\"2024-01-02T00:00:00Z\""), (MICROS, "0")],
            "!ILLEGAL_ARGUMENT",
        ),
    ]);
}

#[test]
fn vectors() {
    const V: &str = "array<float>";
    check(&[
        ("vector_inner_product", &[(V, "[1,2]"), (V, "[3,4]")], "11.0 float"),
        ("vector_inner_product", &[(V, "[16777216,1,1]"), (V, "[1,1,1]")], "16777218.0 float"),
        ("vector_inner_product", &[(V, "[]"), (V, "[]")], "0.0 float"),
        ("vector_inner_product", &[(V, "[1,2]"), (V, "[null,4]")], "null float"),
        ("vector_inner_product", &[(V, "[1,2]"), (V, "[3]")], "!VECTOR_DIMENSION_MISMATCH"),
        ("vector_inner_product", &[(V, "[1]"), (DS, "[3]")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("vector_l2_distance", &[(V, "[1,2]"), (V, "[4,6]")], "5.0 float"),
        ("vector_l2_distance", &[(V, "[1,2]"), (V, "null")], "null float"),
        ("vector_cosine_similarity", &[(V, "[1,2]"), (V, "[2,4]")], "1.0 float"),
        ("vector_cosine_similarity", &[(V, "[0]"), (V, "[2]")], "null float"),
        ("vector_norm", &[(V, "[3,-4]")], "5.0 float"),
        ("vector_norm", &[(V, "[3,-4]"), ("float", "1")], "7.0 float"),
        ("vector_norm", &[(V, "[3,-4]"), ("float", "3")], "!INVALID_VECTOR_NORM_DEGREE"),
        ("vector_norm", &[(V, "[3,-4]"), ("int", "1")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("vector_norm", &[(V, "[3,null]")], "null float"),
        ("vector_normalize", &[(V, "[3,4]")], "[0.6, 0.8] array<float>"),
        ("vector_normalize", &[(V, "[0,0]")], "null array<float>"),
        ("vector_normalize", &[(V, "[]")], "[] array<float>"),
        ("vector_normalize", &[(V, "[3,1]"), ("float", "1")], "[0.75, 0.25] array<float>"),
    ]);
}

#[test]
fn lists_have_no_hidden_elements() {
    let values = column(&DataType::Int32, &["9", "1", "2", "8", "3", "9"]);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![1, 3, 4, 5]));
    let nulls = NullBuffer::from(vec![true, false, true]);
    let array: ArrayRef = Arc::new(ListArray::new(element(DataType::Int32), offsets, values, Some(nulls)));
    let lists = Lists::of(&array).unwrap();
    assert_eq!(lists.values.as_primitive::<Int32Type>().values(), &[1, 2, 3]);
    assert_eq!(lists.offsets.inner().as_ref(), &[0, 2, 2, 3]);
    assert_eq!(lists.rows().values(), &[0, 0, 2]);
    assert_eq!(lists.positions().collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(texts(&lists.into_list().unwrap()), ["[1, 2]", "null", "[3]"]);
}

#[test]
fn an_error_under_a_null_row_is_none() {
    // The hidden elements would make `flatten` and `[]` wrong if they were looked at.
    let (known, settings) = (arguments(&[(XS, "[1]"), ("int", "0")]), Settings::default());
    let call = Call { name: "[]", args: &known, settings: &settings };
    let resolved = (registry::scalar("[]").unwrap().resolve)(&call).unwrap();
    assert_eq!(resolved.returns, parse("int").unwrap());
    let values = column(&DataType::Int32, &["1", "2", "3"]);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 1, 3]));
    let array: ArrayRef =
        Arc::new(ListArray::new(element(DataType::Int32), offsets, values, Some(NullBuffer::from(vec![true, false]))));
    let args = [ColumnarValue::Array(array), ColumnarValue::Array(column(&DataType::Int32, &["0", "7"]))];
    let result = (resolved.kernel)(&Invocation { args: &args, rows: 2 }).unwrap();
    assert_eq!(texts(&result), ["1", "null"]);
    assert_eq!(result.null_count(), 1);
}
