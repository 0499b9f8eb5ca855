use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use datafusion::common::ScalarValue;

use super::*;
use crate::cast::{CastMode, cast_array, format_value};
use crate::error::SparkError;
use crate::function::{Arg, Settings};
use crate::types::{name, parse};

fn argument(spec: &str, settings: &Settings) -> (Arg, ArrayRef) {
    let (type_name, text) = spec.split_once('=').unwrap();
    let data_type = parse(type_name.trim_start_matches('!')).unwrap();
    let texts: ArrayRef = Arc::new(StringArray::from(vec![(!text.is_empty()).then_some(text)]));
    let value = match data_type {
        DataType::Null => new_null_array(&DataType::Null, 1),
        _ => cast_array(&texts, &data_type, CastMode::Ansi, settings).unwrap(),
    };
    let literal = type_name.starts_with('!').then(|| ScalarValue::try_from_array(&value, 0).unwrap());
    (Arg { data_type, literal, sql: text.to_owned() }, value)
}

/// Calls a function for one row and gives `type: value`, or the error's `CONDITION: message`. An argument is `type=text`, a literal
/// `!type=text`, and `type=` is null. It is run for arrays and for scalars, which must agree.
pub(crate) fn evaluate(functions: &[Function], called: &str, args: &str, settings: &Settings) -> String {
    let describe = |error: &DataFusionError| match SparkError::find(error) {
        Some(error) => format!("{}: {}", error.condition, error.message),
        None => error.to_string(),
    };
    let function = functions.iter().find(|function| function.names.contains(&called)).unwrap();
    let (args, values): (Vec<Arg>, Vec<ArrayRef>) = args.split(" ; ").map(|spec| argument(spec, settings)).unzip();
    let call = Call { name: called, args: &args, settings };
    if let Err(error) = function.arity.check(called, args.len()) {
        return describe(&error);
    }
    let resolved = match (function.resolve)(&call) {
        Ok(resolved) => resolved,
        Err(error) => return describe(&error),
    };
    let mut columns = Vec::new();
    for (value, wanted) in values.iter().zip(&resolved.args) {
        match cast_array(value, wanted, CastMode::Ansi, settings) {
            Ok(value) => columns.push(value),
            Err(error) => return describe(&error),
        }
    }
    let run = |as_array: fn(usize) -> bool| {
        let column = |(n, column): (usize, &ArrayRef)| match as_array(n) {
            true => ColumnarValue::Array(arrow::compute::concat(&[column.as_ref(), column.as_ref()]).unwrap()),
            false => ColumnarValue::Scalar(ScalarValue::try_from_array(column, 0).unwrap()),
        };
        let columns: Vec<ColumnarValue> = columns.iter().enumerate().map(column).collect();
        let rows = if columns.iter().any(|column| matches!(column, ColumnarValue::Array(_))) { 2 } else { 1 };
        match (resolved.kernel)(&Invocation { args: &columns, rows }) {
            Ok(result) => {
                assert_eq!((result.data_type(), result.len()), (&resolved.returns, rows), "{called}");
                let value = format_value(&result, rows - 1, settings).unwrap_or_else(|| "null".to_owned());
                format!("{}: {value}", name(result.data_type()))
            }
            Err(error) => {
                assert!(resolved.fallible, "{called} is not marked fallible");
                describe(&error)
            }
        }
    };
    let result = run(|_| true);
    for way in [|_| false, |n| n == 0, |n| n == 1] as [fn(usize) -> bool; 3] {
        assert_eq!(run(way), result, "{called}");
    }
    result
}

/// Each case is a call and its result; of an error's message only the start is compared.
pub(crate) fn check(functions: &[Function], cases: &[(&str, &str, &str)]) {
    for (called, args, expected) in cases {
        let found = evaluate(functions, called, args, &Settings::default());
        let error = expected.starts_with(|c: char| c.is_ascii_uppercase());
        assert!(
            found == *expected || (error && found.starts_with(expected)),
            "{called}({args}):\n{found}\ninstead of\n{expected}"
        );
    }
}

#[test]
fn integers() {
    check(
        FUNCTIONS,
        &[
            ("+", "int=1 ; smallint=2", "int: 3"),
            ("+", "tinyint=1 ; smallint=2", "smallint: 3"),
            ("+", "int=1 ; bigint=2", "bigint: 3"),
            ("+", "int= ; bigint=2", "bigint: null"),
            ("+", "int=2147483647 ; int=1", "ARITHMETIC_OVERFLOW: overflow. Use 'try_add' to tolerate overflow"),
            ("-", "bigint=-9223372036854775808 ; int=1", "ARITHMETIC_OVERFLOW: overflow. Use 'try_subtract'"),
            ("*", "int=2147483647 ; int=2", "ARITHMETIC_OVERFLOW: overflow. Use 'try_multiply'"),
            ("+", "tinyint=127 ; tinyint=1", "BINARY_ARITHMETIC_OVERFLOW: 127S + 1S caused overflow. Use `try_add`"),
            ("-", "tinyint=127 ; tinyint=-1", "BINARY_ARITHMETIC_OVERFLOW: 127S - -1S"),
            ("try_add", "int=2147483647 ; int=1", "int: null"),
            ("try_multiply", "tinyint=127 ; tinyint=2", "tinyint: null"),
            ("try_subtract", "int=5 ; int=7", "int: -2"),
            ("/", "int=7 ; int=2", "double: 3.5"),
            ("/", "int=1 ; int=0", "DIVIDE_BY_ZERO: Division by zero. Use `try_divide`"),
            ("/", "tinyint=-128 ; tinyint=-1", "double: 128.0"),
            ("/", "bigint=9007199254740993 ; !int=1", "double: 9.007199254740992E15"),
            ("try_divide", "int=1 ; int=0", "double: null"),
            ("div", "tinyint=7 ; tinyint=2", "bigint: 3"),
            ("div", "int=-7 ; int=2", "bigint: -3"),
            ("div", "int=1 ; int=0", "DIVIDE_BY_ZERO"),
            ("div", "bigint=-9223372036854775808 ; int=-1", "ARITHMETIC_OVERFLOW: Overflow in integral divide."),
            ("%", "int=-7 ; int=3", "int: -1"),
            ("mod", "int=7 ; int=-3", "int: 1"),
            ("%", "bigint=-9223372036854775808 ; bigint=-1", "bigint: 0"),
            ("%", "int=1 ; int=0", "REMAINDER_BY_ZERO: Remainder by zero. Use `try_mod`"),
            ("%", "int=1 ; !int=2", "int: 1"),
            ("try_mod", "int=1 ; int=0", "int: null"),
            ("pmod", "int=-7 ; int=3", "int: 2"),
            ("pmod", "int=-7 ; int=-3", "int: -1"),
            ("pmod", "int=1 ; int=0", "REMAINDER_BY_ZERO"),
            ("pmod", "tinyint=7 ; int=3", "int: 1"),
            ("negative", "int=5", "int: -5"),
            ("-", "tinyint=-128", "ARITHMETIC_OVERFLOW: overflow."),
            ("abs", "int=-2147483648", "ARITHMETIC_OVERFLOW: overflow."),
            ("positive", "int=5", "int: 5"),
        ],
    );
}

#[test]
fn floating_point_numbers() {
    check(
        FUNCTIONS,
        &[
            ("+", "bigint=1 ; float=1", "double: 2.0"),
            ("+", "float=1 ; float=1.5", "float: 2.5"),
            ("+", "float=1.1 ; double=1.1", "double: 2.200000023841858"),
            ("/", "float=1 ; float=3", "double: 0.3333333333333333"),
            ("*", "double=1e308 ; int=10", "double: Infinity"),
            ("/", "double=1 ; double=0", "DIVIDE_BY_ZERO"),
            ("/", "double=1 ; double=-0.0", "DIVIDE_BY_ZERO"),
            ("%", "double=-7.5 ; double=3", "double: -1.5"),
            ("%", "double=1 ; double=0", "REMAINDER_BY_ZERO"),
            ("pmod", "double=-7.5 ; double=3", "double: 1.5"),
            ("pmod", "double=-7.5 ; double=-3", "double: -1.5"),
            ("div", "double=7.5 ; double=2", "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE"),
            ("div", "double=7.5 ; int=2", "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES"),
            ("abs", "double=-0.0", "double: 0.0"),
            ("abs", "float=NaN", "float: NaN"),
            ("-", "double=0.0", "double: -0.0"),
        ],
    );
}

#[test]
fn decimals() {
    let large = "decimal(38,0)=99999999999999999999999999999999999999";
    let with = |rest: &str| format!("{large} ; {rest}");
    let cases = [
        ("+", "decimal(5,2)=1.5 ; !int=1", "decimal(6,2): 2.50"),
        ("+", "!int=1 ; decimal(5,2)=1.5", "decimal(6,2): 2.50"),
        ("+", "!int=1 ; decimal(2,1)=1.5", "decimal(3,1): 2.5"),
        ("+", "decimal(10,2)=1 ; !bigint=100", "decimal(11,2): 101.00"),
        ("+", "decimal(10,2)=1 ; bigint=1", "decimal(23,2): 2.00"),
        ("+", "decimal(5,2)=1.5 ; int=3", "decimal(13,2): 4.50"),
        ("*", "decimal(5,2)=1.5 ; int=3", "decimal(16,2): 4.50"),
        ("/", "decimal(5,2)=1.5 ; !int=3", "decimal(9,6): 0.500000"),
        ("%", "decimal(5,2)=1.5 ; !int=2", "decimal(3,2): 1.50"),
        ("-", "decimal(5,2)=1.5 ; !int=100", "decimal(6,2): -98.50"),
        ("+", "decimal(38,18)=1.5 ; decimal(38,18)=2", "decimal(38,17): 3.50000000000000000"),
        ("*", "decimal(38,18)=1.5 ; decimal(38,18)=2", "decimal(38,6): 3.000000"),
        ("/", "decimal(38,18)=1.5 ; decimal(38,18)=2", "decimal(38,6): 0.750000"),
        ("%", "decimal(38,18)=1.5 ; decimal(38,18)=2", "decimal(38,18): 1.500000000000000000"),
        ("div", "decimal(38,18)=1.5 ; decimal(38,18)=2", "bigint: 0"),
        ("+", "decimal(20,10)=1.5 ; decimal(30,5)=2", "decimal(36,10): 3.5000000000"),
        ("/", "decimal(20,10)=1.5 ; decimal(30,5)=2", "decimal(38,23): 0.75000000000000000000000"),
        ("%", "decimal(20,10)=1.5 ; decimal(30,5)=2", "decimal(20,10): 1.5000000000"),
        ("/", "decimal(10,2)=1 ; int=7", "decimal(21,13): 0.1428571428571"),
        ("/", "!int=1 ; decimal(10,2)=7", "decimal(14,11): 0.14285714286"),
        ("/", "decimal(10,2)=1 ; decimal(10,2)=0", "DIVIDE_BY_ZERO"),
        ("%", "decimal(10,2)=1 ; decimal(10,2)=0", "REMAINDER_BY_ZERO"),
        ("div", "decimal(2,1)=2.5 ; decimal(2,1)=1.5", "bigint: 1"),
        ("div", "decimal(5,1)=-7.5 ; int=2", "bigint: -3"),
        ("+", "decimal(2,1)=1.5 ; double=1", "double: 2.5"),
        ("+", "decimal(10,2)=1 ; string=1.5", "double: 2.5"),
        ("*", "void= ; decimal(2,1)=2.5", "decimal(5,2): null"),
        ("pmod", "decimal(2,1)=-7.5 ; !int=3", "decimal(2,1): 1.5"),
        ("pmod", "int=7 ; decimal(2,1)=3.5", "decimal(2,1): 0.0"),
        ("%", "decimal(38,0)=10 ; decimal(38,38)=0.3", "decimal(38,38): 0.10000000000000000000000000000000000000"),
        ("pmod", "decimal(38,0)=-10 ; decimal(38,38)=0.3", "decimal(38,38): 0.20000000000000000000000000000000000000"),
        (
            "*",
            "decimal(38,37)=1.2345678901234567890123456789012345679 ; decimal(38,37)=1",
            "decimal(38,35): 1.23456789012345678901234567890123457",
        ),
        (
            "pmod",
            "decimal(2,2)=-0.1 ; decimal(10,2)=5",
            "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION: 4.90 cannot be represented as Decimal(2, 2)",
        ),
        ("negative", "decimal(10,2)=5", "decimal(10,2): -5.00"),
        (
            "negative",
            "decimal(38,0)=12345678901234567890123456789012345678",
            "decimal(38,0): -12345678901234567890123456789012350000",
        ),
        ("abs", "decimal(38,0)=12345678901234567890123456789012345678", "decimal(38,0): 12345678901234567890123456789012345678"),
        (
            "abs",
            "decimal(38,38)=-0.12345678901234567890123456789012345678",
            "decimal(38,38): 0.12345678901234567890123456789012350000",
        ),
        ("negative", large, "NUMERIC_VALUE_OUT_OF_RANGE.WITHOUT_SUGGESTION"),
    ];
    let out_of_range =
        |value: &str| format!("NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION: {value} cannot be represented as Decimal(38, ");
    check(FUNCTIONS, &cases);
    for (called, args, expected) in [
        ("+", with("decimal(38,0)=1"), out_of_range("100000000000000000000000000000000000000")),
        ("*", with("decimal(38,0)=10"), out_of_range("999999999999999999999999999999999999990")),
        ("/", with("decimal(38,10)=0.00000001"), out_of_range("9999999999999999999999999999999999999900000000.000000")),
        ("div", with("decimal(38,0)=1"), "bigint: 687399551400673279".to_owned()),
        ("try_add", with("decimal(38,0)=1"), "decimal(38,0): null".to_owned()),
        ("try_divide", with("decimal(38,10)=0.00000001"), "decimal(38,6): null".to_owned()),
    ] {
        check(FUNCTIONS, &[(called, &args, &expected)]);
    }
}

#[test]
fn text_and_nulls_as_operands() {
    check(
        FUNCTIONS,
        &[
            ("+", "string=1 ; int=1", "bigint: 2"),
            ("+", "int=1 ; string=a", "CAST_INVALID_INPUT"),
            ("+", "string=1 ; decimal(2,1)=1.5", "double: 2.5"),
            ("/", "string=1 ; int=2", "double: 0.5"),
            ("div", "string=7 ; int=2", "bigint: 3"),
            (
                "*",
                "string=2 ; string=3",
                r#"DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE: Cannot resolve "(2 * 3)" due to data type mismatch: the binary operator requires the input type "NUMERIC", not "STRING"."#,
            ),
            ("+", "string=1 ; string=1", "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE"),
            ("+", "string=1 ; void=", "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE"),
            (
                "*",
                "string=1 ; boolean=true",
                r#"DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE: Cannot resolve "(1 * true)" due to data type mismatch: the binary operator requires the input type "NUMERIC", not "BOOLEAN"."#,
            ),
            (
                "+",
                "int=1 ; boolean=true",
                r#"DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES: Cannot resolve "(1 + true)" due to data type mismatch: the left and right operands of the binary operator have incompatible types ("INT" and "BOOLEAN")."#,
            ),
            (
                "/",
                "boolean=true ; boolean=true",
                r#"DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE: Cannot resolve "(true / true)" due to data type mismatch: the binary operator requires the input type ("DOUBLE" or "DECIMAL"), not "BOOLEAN"."#,
            ),
            ("pmod", "boolean=true ; int=3", r#"DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES: Cannot resolve "pmod(true, 3)""#),
            ("*", "date=2024-01-01 ; int=2", r#"DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES: Cannot resolve "(2024-01-01 * 2)""#),
            ("+", "void= ; void=", "double: null"),
            ("+", "void= ; int=1", "int: null"),
            ("/", "void= ; int=1", "double: null"),
            ("div", "void= ; int=1", "bigint: null"),
            ("negative", "string=5", "double: -5.0"),
            ("negative", "void=", "double: null"),
            ("negative", "boolean=true", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
            ("abs", "date=2024-01-01", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ],
    );
}

#[test]
fn bits() {
    check(
        FUNCTIONS,
        &[
            ("&", "int=5 ; int=3", "int: 1"),
            ("|", "bigint=5 ; int=3", "bigint: 7"),
            ("^", "tinyint=5 ; tinyint=3", "tinyint: 6"),
            ("&", "string=5 ; int=3", "bigint: 1"),
            ("&", "void= ; void=", "int: null"),
            ("&", "boolean=true ; boolean=true", "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE"),
            ("&", "double=5 ; int=3", "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES"),
            ("~", "tinyint=5", "tinyint: -6"),
            ("~", "void=", "int: null"),
            ("~", "string=5", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
            ("<<", "int=1 ; int=3", "int: 8"),
            ("<<", "bigint=1 ; int=40", "bigint: 1099511627776"),
            (">>", "int=-8 ; int=1", "int: -4"),
            (">>>", "int=-8 ; int=1", "int: 2147483644"),
            (">>>", "bigint=-8 ; int=1", "bigint: 9223372036854775804"),
            ("shiftleft", "int=1 ; int=33", "int: 2"),
            ("shiftleft", "int=1 ; int=-1", "int: -2147483648"),
            ("shiftleft", "decimal(2,1)=1.5 ; string=3", "int: 8"),
            ("shiftleft", "tinyint=1 ; bigint=3", "int: 8"),
            ("shiftleft", "boolean=true ; int=3", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ],
    );
}

#[test]
fn dates_instants_and_intervals() {
    let day = "interval day to second";
    let dt = |text: &str| format!("{day}={text}");
    let ym = |text: &str| format!("interval year to month={text}");
    let date = "date=2024-01-31";
    let moment = "timestamp=2024-01-31 10:00:00";
    for (called, left, right, expected) in [
        ("+", date.to_owned(), "int=1".to_owned(), "date: 2024-02-01"),
        ("+", "tinyint=1".to_owned(), date.to_owned(), "date: 2024-02-01"),
        ("-", date.to_owned(), "smallint=1".to_owned(), "date: 2024-01-30"),
        ("+", date.to_owned(), "bigint=1".to_owned(), "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE: Cannot resolve \"date_add("),
        ("+", date.to_owned(), date.to_owned(), "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("+", date.to_owned(), "void=".to_owned(), "timestamp: null"),
        ("+", date.to_owned(), ym("0-1"), "date: 2024-02-29"),
        ("-", date.to_owned(), ym("0-1"), "date: 2023-12-31"),
        ("+", ym("0-1"), date.to_owned(), "date: 2024-02-29"),
        ("+", date.to_owned(), dt("0 01:00:00"), "timestamp: 2024-01-31 01:00:00"),
        ("-", date.to_owned(), dt("1 02:00:00"), "timestamp: 2024-01-29 22:00:00"),
        ("-", date.to_owned(), "date=2024-01-01".to_owned(), "interval day to second: INTERVAL '30 00:00:00' DAY TO SECOND"),
        (
            "-",
            "string=2024-01-31".to_owned(),
            "date=2024-01-01".to_owned(),
            "interval day to second: INTERVAL '30 00:00:00' DAY TO SECOND",
        ),
        (
            "-",
            date.to_owned(),
            "timestamp=2024-01-01 00:00:01".to_owned(),
            "interval day to second: INTERVAL '29 23:59:59' DAY TO SECOND",
        ),
        (
            "-",
            moment.to_owned(),
            "timestamp=2024-01-01 00:00:00.5".to_owned(),
            "interval day to second: INTERVAL '30 09:59:59.5' DAY TO SECOND",
        ),
        (
            "-",
            moment.to_owned(),
            "timestamp_ntz=2024-01-01".to_owned(),
            "interval day to second: INTERVAL '30 10:00:00' DAY TO SECOND",
        ),
        ("-", moment.to_owned(), "string=2024-01-01".to_owned(), "interval day to second: INTERVAL '30 10:00:00' DAY TO SECOND"),
        ("-", moment.to_owned(), "void=".to_owned(), "interval day to second: null"),
        ("+", moment.to_owned(), ym("0-1"), "timestamp: 2024-02-29 10:00:00"),
        ("-", "timestamp=2024-03-31 10:00:00".to_owned(), ym("0-1"), "timestamp: 2024-02-29 10:00:00"),
        ("+", moment.to_owned(), dt("0 00:00:01.5"), "timestamp: 2024-01-31 10:00:01.5"),
        ("+", dt("1 00:00:00"), "timestamp_ntz=2024-01-31 10:00:00".to_owned(), "timestamp_ntz: 2024-02-01 10:00:00"),
        ("+", moment.to_owned(), "int=1".to_owned(), "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES"),
        ("+", moment.to_owned(), "string=1".to_owned(), "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE"),
        ("-", dt("1 00:00:00"), date.to_owned(), "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("+", "string=2024-01-31".to_owned(), dt("1 00:00:00"), "string: 2024-02-01 00:00:00"),
        ("-", "string=2024-01-01".to_owned(), dt("1 00:00:00"), "string: 2023-12-31 00:00:00"),
        ("-", "string=2024-01-01".to_owned(), ym("0-1"), "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES"),
        ("+", dt("1 00:00:00"), dt("0 02:00:00"), "interval day to second: INTERVAL '1 02:00:00' DAY TO SECOND"),
        ("+", dt("1 00:00:00"), ym("0-1"), "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("-", ym("1-0"), ym("0-2"), "interval year to month: INTERVAL '0-10' YEAR TO MONTH"),
        ("+", dt("106751991 00:00:00"), dt("106751991 00:00:00"), "INTERVAL_ARITHMETIC_OVERFLOW.WITH_SUGGESTION"),
        ("try_add", dt("106751991 00:00:00"), dt("106751991 00:00:00"), "interval day to second: null"),
        ("*", dt("1 00:00:00"), "int=2".to_owned(), "interval day to second: INTERVAL '2 00:00:00' DAY TO SECOND"),
        ("*", "string=2".to_owned(), dt("1 00:00:00"), "interval day to second: INTERVAL '2 00:00:00' DAY TO SECOND"),
        ("*", dt("1 00:00:00"), "decimal(2,1)=1.5".to_owned(), "interval day to second: INTERVAL '1 12:00:00' DAY TO SECOND"),
        ("/", dt("1 00:00:00"), "float=7".to_owned(), "interval day to second: INTERVAL '0 03:25:42.857143' DAY TO SECOND"),
        ("/", dt("1 00:00:00"), "decimal(2,1)=1.5".to_owned(), "interval day to second: INTERVAL '0 16:00:00' DAY TO SECOND"),
        ("/", dt("1 00:00:00"), "int=0".to_owned(), "INTERVAL_DIVIDED_BY_ZERO"),
        ("try_divide", dt("1 00:00:00"), "int=0".to_owned(), "interval day to second: null"),
        ("*", dt("1 00:00:00"), "boolean=true".to_owned(), "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("*", dt("106751991 00:00:00"), "double=1e10".to_owned(), "INTERVAL_ARITHMETIC_OVERFLOW"),
        ("*", ym("0-1"), "double=2.5".to_owned(), "interval year to month: INTERVAL '0-3' YEAR TO MONTH"),
        ("/", ym("-0-5"), "int=2".to_owned(), "interval year to month: INTERVAL '-0-3' YEAR TO MONTH"),
        ("*", ym("-0-5"), "decimal(2,1)=0.5".to_owned(), "interval year to month: INTERVAL '-0-3' YEAR TO MONTH"),
        ("div", dt("5 00:00:00"), dt("2 00:00:00"), "bigint: 2"),
        ("div", ym("0-1"), ym("0-0"), "DIVIDE_BY_ZERO"),
        ("/", "int=2".to_owned(), dt("1 00:00:00"), "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES"),
        ("try_add", "timestamp=294247-01-10 04:00:54.775807".to_owned(), dt("1 00:00:00"), "timestamp: null"),
    ] {
        check(FUNCTIONS, &[(called, &format!("{left} ; {right}"), expected)]);
    }
    check(
        FUNCTIONS,
        &[
            ("negative", "interval day to second=1 00:00:00", "interval day to second: INTERVAL '-1 00:00:00' DAY TO SECOND"),
            ("abs", "interval year to month=-0-1", "interval year to month: INTERVAL '0-1' YEAR TO MONTH"),
        ],
    );
}

#[test]
fn a_date_and_an_interval_in_days_is_a_date() {
    let settings = Settings::default();
    let date = Arg { data_type: DataType::Date32, literal: None, sql: "d".to_owned() };
    for (sql, days, returns) in [
        ("INTERVAL '1' DAY", 1, DataType::Date32),
        ("INTERVAL 2 DAYS", 2, DataType::Date32),
        ("INTERVAL '24' HOUR", 1, crate::types::timestamp()),
        ("INTERVAL '1 00:00:00' DAY TO SECOND", 1, crate::types::timestamp()),
    ] {
        let literal = Some(ScalarValue::DurationMicrosecond(Some(days * crate::datetime::calendar::MICROS_PER_DAY)));
        let args = [date.clone(), Arg { data_type: crate::types::DAY_TIME_INTERVAL, literal, sql: sql.to_owned() }];
        let resolved = binary(&Call { name: "+", args: &args, settings: &settings }, Operator::Add, false).unwrap();
        assert_eq!(resolved.returns, returns, "{sql}");
    }
}

#[test]
fn calendars_of_a_zone_with_summer_time() {
    let settings = Settings { time_zone: chrono_tz::Tz::America__New_York };
    for (called, args, expected) in [
        ("+", "timestamp=2024-03-09 12:00:00 ; interval day to second=1 00:00:00", "timestamp: 2024-03-10 12:00:00"),
        ("+", "timestamp=2024-03-09 12:00:00 ; interval day to second=0 23:00:00", "timestamp: 2024-03-10 12:00:00"),
        (
            "-",
            "timestamp=2024-03-10 12:00:00 ; timestamp=2024-03-09 12:00:00",
            "interval day to second: INTERVAL '1 00:00:00' DAY TO SECOND",
        ),
        ("+", "timestamp=2024-02-10 02:30:00 ; interval year to month=0-1", "timestamp: 2024-03-10 03:30:00"),
    ] {
        assert_eq!(evaluate(FUNCTIONS, called, args, &settings), expected, "{called} {args}");
    }
}

#[test]
fn only_what_can_fail_is_fallible() {
    let settings = Settings::default();
    for (called, args, fallible) in [
        ("+", "int=1 ; int=1", true),
        ("+", "double=1 ; int=1", false),
        ("try_add", "int=1 ; int=1", false),
        ("+", "decimal(10,2)=1 ; decimal(10,2)=1", false),
        ("+", "decimal(38,2)=1 ; decimal(38,2)=1", true),
        ("/", "int=1 ; int=1", true),
        ("/", "int=1 ; !int=2", false),
        ("/", "int=1 ; !int=0", true),
        ("%", "int=1 ; !int=2", false),
        ("-", "decimal(10,2)=1", false),
        ("-", "int=1", true),
    ] {
        let args: Vec<Arg> = args.split(" ; ").map(|spec| argument(spec, &settings).0).collect();
        let function = FUNCTIONS.iter().find(|function| function.names.contains(&called)).unwrap();
        let resolved = (function.resolve)(&Call { name: called, args: &args, settings: &settings }).unwrap();
        assert_eq!(resolved.fallible, fallible, "{called}");
    }
}
