use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use super::*;
use crate::error::SparkError;
use crate::types::parse;

/// Casts a text through types, and to text at last; an error gives its condition.
fn through(text: &str, types: &str, mode: CastMode) -> String {
    let settings = Settings::default();
    let mut values: ArrayRef = Arc::new(StringArray::from(vec![text]));
    for name in types.split(" > ") {
        let to = parse(name).unwrap();
        if let Err(error) = cast(values.data_type(), &to, mode, &settings) {
            return SparkError::find(&error).unwrap().condition.clone();
        }
        match cast_array(&values, &to, mode, &settings) {
            Ok(cast) => values = cast,
            Err(error) => {
                let error = SparkError::find(&error).unwrap();
                return format!("{}: {}", error.condition, error.message);
            }
        }
        assert_eq!(values.data_type(), &to);
    }
    format_value(&values, 0, &settings).unwrap_or_else(|| "null".to_owned())
}

fn check(cases: &[(&str, &str, &str)]) {
    for (text, types, expected) in cases {
        let found = through(text, types, CastMode::Ansi);
        assert!(found == *expected || (expected.contains('_') && found.starts_with(expected)), "{text} as {types}: {found}");
    }
}

#[test]
fn numbers_are_cast_as_in_spark() {
    let overflow = "CAST_OVERFLOW";
    let out_of_range = "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION";
    check(&[
        (
            "3e9",
            "double > int",
            r#"CAST_OVERFLOW: The value 3.0E9D of the type "DOUBLE" cannot be cast to "INT" due to an overflow."#,
        ),
        ("NaN", "double > int", "CAST_OVERFLOW: The value NaN of the type"),
        ("300", "smallint > tinyint", "CAST_OVERFLOW: The value 300S of the type"),
        ("3000000000", "bigint > int", "CAST_OVERFLOW: The value 3000000000L of"),
        ("3000000000.5", "decimal(11,1) > int", r#"CAST_OVERFLOW: The value 3000000000.5BD of the type "DECIMAL(11,1)""#),
        ("3e9", "float > int", "CAST_OVERFLOW: The value 3.0E9 of"),
        ("2147483647.9", "double > int", "2147483647"),
        ("-2147483648.9", "double > int", "-2147483648"),
        ("9.223372036854775807E18", "double > bigint", "9223372036854775807"),
        ("9.3e18", "double > bigint", overflow),
        ("127.9", "double > tinyint", "127"),
        ("-128.9", "float > tinyint", "-128"),
        ("128", "double > tinyint", overflow),
        ("-2.9", "double > bigint", "-2"),
        ("-2.5", "decimal(2,1) > int", "-2"),
        ("9223372036854775807.9", "decimal(30,1) > bigint", "9223372036854775807"),
        ("9223372036854775808.5", "decimal(30,1) > bigint", overflow),
        (
            "123.456",
            "decimal(6,3) > decimal(4,2)",
            "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION: 123.456 cannot be represented as Decimal(4, 2)",
        ),
        ("999.995", "decimal(6,3) > decimal(5,2)", out_of_range),
        ("1.15", "decimal(3,2) > decimal(3,1)", "1.2"),
        ("-1.15", "decimal(3,2) > decimal(3,1)", "-1.2"),
        ("12345", "int > decimal(4,2)", "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION: 12345 cannot"),
        ("1e10", "double > decimal(4,2)", "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION: 10000000000 cannot"),
        ("NaN", "double > decimal(4,2)", "null"),
        ("Infinity", "float > decimal(4,2)", "null"),
        ("1.005", "double > decimal(5,2)", "1.01"),
        ("2.675", "double > decimal(5,2)", "2.68"),
        ("1e-10", "double > decimal(5,2)", "0.00"),
        ("0.1", "float > decimal(20,10)", "0.1000000015"),
        ("1e23", "double > decimal(38,0)", "99999999999999990000000"),
        ("1e38", "float > decimal(38,0)", "99999996802856920000000000000000000000"),
        ("1234567890.123456789", "decimal(19,9) > double", "1.2345678901234567E9"),
        ("0.3", "decimal(2,1) > double", "0.3"),
        ("1234567890123456789.0", "decimal(20,1) > float", "1.23456794E18"),
        ("123456789012345678", "bigint > float", "1.23456791E17"),
        ("true", "boolean > decimal(3,1)", "1.0"),
        ("true", "boolean > decimal(1,1)", out_of_range),
        ("true", "boolean > double", "1.0"),
        ("NaN", "double > boolean", "true"),
        ("-0.0", "double > boolean", "false"),
        ("0.1", "decimal(2,1) > boolean", "true"),
        ("0", "int > boolean", "false"),
        ("5", "int > interval day to second", "INTERVAL '0 00:00:05' DAY TO SECOND"),
        ("9223372036854775807", "bigint > interval day to second", overflow),
        ("5.5", "decimal(2,1) > interval year to month", "INTERVAL '0-6' YEAR TO MONTH"),
        ("-5.5", "decimal(2,1) > interval day to second", "INTERVAL '-0 00:00:05.5' DAY TO SECOND"),
        ("-1 02:03:04.5", "interval day to second > int", "-93784"),
        ("-1 02:03:04.5", "interval day to second > decimal(10,3)", "-93784.500"),
        ("1 02:03:04.5", "interval day to second > tinyint", "CAST_OVERFLOW: The value INTERVAL '1 02:03:04.5' DAY TO SECOND of"),
        ("1-2", "interval year to month > bigint", "14"),
    ]);
}

#[test]
fn instants_are_cast_as_in_spark() {
    check(&[
        ("-1.5", "double > timestamp", "1969-12-31 23:59:58.5"),
        ("1.0000005", "double > timestamp", "1970-01-01 00:00:01"),
        ("-0.0000019", "double > timestamp", "1969-12-31 23:59:59.999999"),
        ("-1.0000019", "decimal(8,7) > timestamp", "1969-12-31 23:59:58.999999"),
        ("12345678901234567890.5", "decimal(21,1) > timestamp", "-235198-08-06 17:14:26.424224"),
        ("9223372036854775807", "bigint > timestamp", "+294247-01-10 04:00:54.775807"),
        ("-9223372036854775807", "bigint > timestamp", "-290308-12-21 19:59:05.224192"),
        ("NaN", "double > timestamp", r#"CAST_INVALID_INPUT: The value NaN of the type "DOUBLE" cannot be cast to "TIMESTAMP""#),
        ("1e20", "double > timestamp", r#"CAST_OVERFLOW: The value 1.0E26D of the type "DOUBLE" cannot be cast to "BIGINT""#),
        ("1969-12-31 23:59:59.5", "timestamp > bigint", "-1"),
        ("1969-12-31 23:59:59.5", "timestamp > double", "-0.5"),
        ("1969-12-31 23:59:59.5", "timestamp > decimal(20,6)", "-0.500000"),
        ("2040-12-31 23:59:59.5", "timestamp > int", "CAST_OVERFLOW: The value TIMESTAMP '2040-12-31 23:59:59.5' of"),
        (
            "2020-12-31 23:59:59.5",
            "timestamp > decimal(5,2)",
            "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION: 1609459199.500000 cannot",
        ),
        ("1969-12-31 23:59:59.5", "timestamp > date", "1969-12-31"),
        ("2024-02-29", "date > timestamp_ntz > timestamp > date", "2024-02-29"),
    ]);
}

#[test]
fn refused_pairs_are_refused() {
    check(&[
        ("true", "boolean > date", "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION"),
        ("true", "boolean > timestamp", "DATATYPE_MISMATCH.CAST_WITH_CONF_SUGGESTION"),
        ("1", "int > binary", "DATATYPE_MISMATCH.CAST_WITH_CONF_SUGGESTION"),
        ("1", "double > date", "DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION"),
        ("2024", "date > int", "DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION"),
        ("2024", "timestamp_ntz > bigint", "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION"),
        ("1", "double > interval day to second", "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION"),
        ("1", "array<int>", "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION"),
        ("1", "binary > int", "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION"),
    ]);
    let map = |text| parse(text).unwrap();
    assert!(can_cast(&map("map<string,string>"), &map("map<int,int>"), CastMode::Ansi));
    assert!(!can_cast(&map("map<string,string>"), &map("map<int,int>"), CastMode::Try));
    assert!(!can_cast(&map("struct<a:int,b:int>"), &map("struct<a:int>"), CastMode::Ansi));
}

#[test]
fn only_casts_that_can_fail_are_fallible() {
    for (from, to, fails) in [
        ("int", "bigint", false),
        ("bigint", "int", true),
        ("int", "double", false),
        ("double", "float", false),
        ("double", "int", true),
        ("bigint", "decimal(19,0)", false),
        ("int", "decimal(10,2)", true),
        ("decimal(5,2)", "decimal(5,1)", false),
        ("decimal(5,2)", "decimal(4,1)", true),
        ("decimal(5,2)", "decimal(3,1)", true),
        ("decimal(5,2)", "int", false),
        ("decimal(5,2)", "tinyint", true),
        ("int", "string", false),
        ("string", "int", true),
        ("string", "binary", false),
        ("date", "timestamp", false),
        ("timestamp", "bigint", false),
        ("timestamp", "int", true),
        ("bigint", "timestamp", false),
        ("double", "timestamp", true),
        ("array<int>", "array<bigint>", false),
        ("array<string>", "array<int>", true),
        ("void", "int", false),
        ("boolean", "int", false),
        ("int", "boolean", false),
    ] {
        assert_eq!(can_fail(&parse(from).unwrap(), &parse(to).unwrap()), fails, "{from} to {to}");
    }
}

#[test]
fn text_is_read_as_in_spark() {
    let reads = [
        ("int", vec![(" 12 ", "12"), ("+12", "12"), ("-0", "0"), ("\t12\n", "12"), ("1\0", "1"), ("2147483647", "2147483647")]),
        (
            "double",
            vec![
                ("1e3", "1000.0"),
                ("1d", "1.0"),
                ("1f", "1.0"),
                ("inf", "Infinity"),
                ("-inf", "-Infinity"),
                ("+infinity", "Infinity"),
                ("INFINITY", "Infinity"),
                ("NAN", "NaN"),
                (".5", "0.5"),
                ("5.", "5.0"),
                ("0x1p3", "8.0"),
                ("0x1.8p1", "3.0"),
                ("1e400", "Infinity"),
                ("1e-400", "0.0"),
                ("1e+5", "100000.0"),
            ],
        ),
        ("float", vec![("1e40", "Infinity"), ("1e5f", "100000.0"), ("16777217", "1.6777216E7")]),
        ("boolean", vec![("t", "true"), (" TRUE ", "true"), ("Yes", "true"), ("1", "true"), ("n", "false"), ("0", "false")]),
        (
            "decimal(10,2)",
            vec![
                ("1e3", "1000.00"),
                (" 1.5 ", "1.50"),
                (".5", "0.50"),
                ("5.", "5.00"),
                ("+5", "5.00"),
                ("-1e-2", "-0.01"),
                ("1e-40", "0.00"),
                ("1.005", "1.01"),
                ("0.005", "0.01"),
                ("0.0049999", "0.00"),
                ("000000000000000000000000000000000000000000001", "1.00"),
                ("0e99", "0.00"),
            ],
        ),
        (
            "interval day to second",
            vec![
                ("1 02:03:04.5", "INTERVAL '1 02:03:04.5' DAY TO SECOND"),
                ("INTERVAL '1 02:03:04.5' DAY TO SECOND", "INTERVAL '1 02:03:04.5' DAY TO SECOND"),
                ("-1 02:03:04.123456789", "INTERVAL '-1 02:03:04.123456' DAY TO SECOND"),
                (" 1 1:2:3 ", "INTERVAL '1 01:02:03' DAY TO SECOND"),
            ],
        ),
        (
            "interval year to month",
            vec![
                ("1-2", "INTERVAL '1-2' YEAR TO MONTH"),
                ("-1-2", "INTERVAL '-1-2' YEAR TO MONTH"),
                ("interval -'-1-2' year to month", "INTERVAL '1-2' YEAR TO MONTH"),
            ],
        ),
        (
            "date",
            vec![
                ("2024", "2024-01-01"),
                ("2024-1", "2024-01-01"),
                ("2024-1-2", "2024-01-02"),
                ("2024-01-02T", "2024-01-02"),
                ("2024-01-02 abc", "2024-01-02"),
                ("+2024-01-02", "2024-01-02"),
                ("-0044-01-02", "-0044-01-02"),
                ("12345-01-02", "+12345-01-02"),
                ("0000-01-01", "0000-01-01"),
                ("5881580-07-11", "+5881580-07-11"),
                ("2024-02-29", "2024-02-29"),
            ],
        ),
        (
            "timestamp",
            vec![
                ("2024", "2024-01-01 00:00:00"),
                ("2024-01-02 3", "2024-01-02 03:00:00"),
                ("2024-01-02 3:4", "2024-01-02 03:04:00"),
                ("2024-01-02T03:04:05.1234567", "2024-01-02 03:04:05.123456"),
                ("2024-01-02 03:04:05.", "2024-01-02 03:04:05"),
                ("2024-01-02 03:04:05.1 Z", "2024-01-02 03:04:05.1"),
                ("2024-01-02 03:04:05 +1", "2024-01-02 02:04:05"),
                ("2024-01-02 03:04:05 +1:2", "2024-01-02 02:02:05"),
                ("2024-01-02 03:04:05+010203", "2024-01-02 02:02:02"),
                ("2024-01-02 03:04:05 UTC+1", "2024-01-02 02:04:05"),
                ("2024-01-02 03:04:05Europe/Paris", "2024-01-02 02:04:05"),
                ("2024-01-02 03:04:05 CST", "2024-01-02 09:04:05"),
                ("2024-01-02 03:04:05 +18:00", "2024-01-01 09:04:05"),
                ("2024-03-31 02:30:00 Europe/Paris", "2024-03-31 01:30:00"),
                ("2024-10-27 02:30:00 Europe/Paris", "2024-10-27 00:30:00"),
                ("294247-01-10 04:00:54.775807", "+294247-01-10 04:00:54.775807"),
                ("-290308-12-21 19:59:05.224192", "-290308-12-21 19:59:05.224192"),
                ("2024-01-02 03:04:05 Etc/GMT+5", "2024-01-02 08:04:05"),
                ("2024-01-02 03:04:05 GMT0", "2024-01-02 03:04:05"),
            ],
        ),
        ("timestamp_ntz", vec![("2024-01-02 03:04:05 +01:00", "2024-01-02 03:04:05"), ("2024", "2024-01-01 00:00:00")]),
    ];
    for (to, cases) in reads {
        for (text, expected) in cases {
            assert_eq!(through(text, to, CastMode::Ansi), expected, "{text} as {to}");
        }
    }
}

#[test]
fn malformed_text_is_refused() {
    let refused = [
        ("int", vec!["1.5", "", "3000000000", "abc", "+ 1", "--1", "1L", "0x10", "1.", "1 2", "+", "\u{a0}1", "１"]),
        ("tinyint", vec!["300"]),
        ("double", vec!["abc", "", "1e", "1,000", ".", "+nan", "0x1", "1e5.5", "infinityd", "Infinity1", "\u{a0}1"]),
        ("boolean", vec!["abc", "on", ""]),
        ("decimal(4,2)", vec!["abc", "1d", "NaN", "1_0", "", ".", "1e"]),
        (
            "date",
            vec![
                "2024/01/02",
                "9999999-1-1",
                "5881580-07-12",
                "24-01-02",
                "2024-13-01",
                "2023-02-29",
                "2024-00-01",
                "2024-1-",
                "2024-",
                "20240102",
                "2024-001-02",
                "2024-01-02Z",
                "99999999-01-01",
                "2024-01 a",
            ],
        ),
        (
            "timestamp",
            vec![
                "2024-1-2T",
                "2024-01-02 Z",
                "2024-01-02Z",
                "2024-01-02T Z",
                "2024-01-02 03:04 Z",
                "2024-01-02 03:04:05 xyz",
                "2024-01-02 24:00:00",
                "2024-01-02 03:60:00",
                "2024-01-02 03:04:60",
                "2024-02-30 00:00:00",
                "2024-01-02 03:04:05.1 +19:00",
                "294247-01-10 04:00:54.775808",
                "2024-01-02 003:04:05",
                "2024-01-02t03:04:05",
                "2024-01-02  03:04:05",
                "2024-01-02 03:04:05 europe/paris",
                "2024-01-02 03:04:05 +",
                "2024-01-02 03:04:05 +1:",
                "2024-01-02 03:04:05 +12345",
                "2024-01-02 03:04:05 UTC+",
                "1234567-01-01",
            ],
        ),
        ("timestamp_ntz", vec!["03:04:05", "abc"]),
    ];
    for (to, texts) in refused {
        for text in texts {
            assert!(through(text, to, CastMode::Ansi).starts_with("CAST_INVALID_INPUT"), "{text} as {to}");
            assert_eq!(through(text, to, CastMode::Try), "null", "{text} as {to}");
        }
    }
    check(&[
        (
            "one",
            "int",
            r#"CAST_INVALID_INPUT: The value 'one' of the type "STRING" cannot be cast to "INT" because it is malformed."#,
        ),
        ("12345", "decimal(4,2)", "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION"),
        ("1e40", "decimal(4,2)", "NUMERIC_OUT_OF_SUPPORTED_RANGE"),
        ("1", "interval day to second", "INVALID_INTERVAL_FORMAT.UNMATCHED_FORMAT_STRING_WITH_NOTICE"),
        ("1", "interval year to month", "INVALID_INTERVAL_FORMAT.UNMATCHED_FORMAT_STRING"),
        ("1-12", "interval year to month", "INVALID_INTERVAL_FORMAT.INTERVAL_PARSING"),
    ]);
}

#[test]
fn floating_point_numbers_are_written_as_in_java() {
    for (text, expected) in [
        ("1", "1.0"),
        ("1e7", "1.0E7"),
        ("9999999", "9999999.0"),
        ("1e-3", "0.001"),
        ("9e-4", "9.0E-4"),
        ("1e10", "1.0E10"),
        ("-0.0", "-0.0"),
        ("1e23", "9.999999999999999E22"),
        ("2e23", "1.9999999999999998E23"),
        ("8.41E21", "8.409999999999999E21"),
        ("4.8726570057E288", "4.8726570056999995E288"),
        ("2.98023223876953125E-8", "2.9802322387695312E-8"),
        ("5e-324", "4.9E-324"),
        ("1e-322", "1.0E-322"),
        ("2.0E-323", "2.0E-323"),
        ("123456789.123", "1.23456789123E8"),
        ("9007199254740993", "9.007199254740992E15"),
        ("1.7976931348623157E308", "1.7976931348623157E308"),
        ("2.2250738585072014E-308", "2.2250738585072014E-308"),
        ("0.3333333333333333", "0.3333333333333333"),
        ("100", "100.0"),
        ("123.456", "123.456"),
        ("0.05", "0.05"),
        ("1152921504606846976", "1.15292150460684698E18"),
        ("4611686018427387904", "4.6116860184273879E18"),
        ("144115188075855872", "1.44115188075855872E17"),
        ("123456789012345680", "1.2345678901234568E17"),
        ("1e18", "1.0E18"),
    ] {
        assert_eq!(through(text, "double", CastMode::Ansi), expected, "{text}");
    }
    for (text, expected) in [
        ("1.4e-45", "1.4E-45"),
        ("2e-44", "2.0E-44"),
        ("1.0E23", "1.0E23"),
        ("3.4028235E38", "3.4028235E38"),
        ("1.1E-5", "1.1E-5"),
        ("9.999999E-4", "9.999999E-4"),
        ("1.17549435E-38", "1.17549435E-38"),
        ("33554432", "3.3554432E7"),
        ("1e15", "9.9999999E14"),
        ("4.0E18", "3.99999994E18"),
        ("1.1e12", "1.1E12"),
        ("0.1", "0.1"),
        ("1e10", "1.0E10"),
    ] {
        assert_eq!(through(text, "float", CastMode::Ansi), expected, "{text}");
    }
}

#[test]
fn nested_values_are_cast_and_written() {
    use arrow::array::{Int32Array, ListArray, MapArray, StructArray};
    use arrow::datatypes::Int32Type;
    let settings = Settings::default();
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(300)]),
    ]));
    assert_eq!(format_value(&lists, 0, &settings).unwrap(), "[1, null]");
    assert_eq!(format_value(&lists, 1, &settings), None);
    assert_eq!(format_value(&lists, 2, &settings).unwrap(), "[]");
    let bytes = cast_array(&lists, &parse("array<tinyint>").unwrap(), CastMode::Try, &settings).unwrap();
    assert_eq!(format_value(&bytes, 3, &settings).unwrap(), "[null]");
    let sliced = lists.slice(0, 3);
    let bytes = cast_array(&sliced, &parse("array<tinyint>").unwrap(), CastMode::Ansi, &settings).unwrap();
    assert_eq!(format_value(&bytes, 0, &settings).unwrap(), "[1, null]");
    assert!(cast_array(&lists, &parse("array<tinyint>").unwrap(), CastMode::Ansi, &settings).is_err());

    let DataType::Struct(fields) = parse("struct<a:int,b:boolean>").unwrap() else { panic!() };
    let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![1, 300])), Arc::new(BooleanArray::from(vec![true, false]))];
    let structs: ArrayRef = Arc::new(StructArray::new(fields, columns, Some(NullBuffer::from(vec![true, false]))));
    assert_eq!(format_value(&structs, 0, &settings).unwrap(), "{1, true}");
    let to = parse("struct<x:tinyint,y:string>").unwrap();
    let cast_structs = cast_array(&structs, &to, CastMode::Ansi, &settings).unwrap();
    assert_eq!((cast_structs.data_type(), cast_structs.null_count()), (&to, 1));

    let mut builder = arrow::array::MapBuilder::new(None, arrow::array::StringBuilder::new(), arrow::array::Int32Builder::new());
    builder.keys().append_value("k");
    builder.values().append_value(1);
    builder.append(true).unwrap();
    let maps: MapArray = builder.finish();
    let maps: ArrayRef = Arc::new(maps);
    assert_eq!(format_value(&maps, 0, &settings).unwrap(), "{k -> 1}");
    let to = parse("map<string,double>").unwrap();
    let cast_maps = cast_array(&maps, &to, CastMode::Ansi, &settings).unwrap();
    assert_eq!((cast_maps.data_type(), format_value(&cast_maps, 0, &settings).unwrap().as_str()), (&to, "{k -> 1.0}"));

    let nulls = cast_array(&new_null_array(&DataType::Null, 2), &to, CastMode::Ansi, &settings).unwrap();
    assert_eq!((nulls.data_type(), nulls.null_count()), (&to, 2));
}

#[test]
fn the_session_zone_counts() {
    let settings = Settings { time_zone: chrono_tz::Tz::America__New_York };
    let text: ArrayRef = Arc::new(StringArray::from(vec!["2024-07-01 12:00:00", "2024-03-10 02:30:00"]));
    let cast = |values: &ArrayRef, to: &str| cast_array(values, &parse(to).unwrap(), CastMode::Ansi, &settings).unwrap();
    let instants = cast(&text, "timestamp");
    let show = |values: &ArrayRef, row| format_value(values, row, &settings).unwrap();
    assert_eq!(show(&cast(&instants, "bigint"), 0), "1719849600");
    assert_eq!(show(&instants, 0), "2024-07-01 12:00:00");
    assert_eq!(show(&instants, 1), "2024-03-10 03:30:00");
    assert_eq!(show(&cast(&instants, "date"), 0), "2024-07-01");
    assert_eq!(show(&cast(&cast(&instants, "date"), "timestamp"), 0), "2024-07-01 00:00:00");
    assert_eq!(show(&cast(&instants, "timestamp_ntz"), 0), "2024-07-01 12:00:00");
    assert_eq!(show(&cast(&cast(&instants, "timestamp_ntz"), "timestamp"), 0), "2024-07-01 12:00:00");
}
