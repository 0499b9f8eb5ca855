use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

use super::FUNCTIONS;
use crate::error::SparkError;
use crate::function::{Arg, Call, Invocation, Settings};
use crate::types;

/// `value type`: a literal of one value, and the types that it may have in a message.
fn literal(text: &str) -> Arg {
    let (value, name) = text.split_once(' ').unwrap_or((text, "int"));
    let data_type = types::parse(name).unwrap();
    let text: ArrayRef = Arc::new(StringArray::from(vec![(value != "null").then_some(value)]));
    let value = match data_type {
        DataType::Duration(_) => cast(&cast(&text, &DataType::Int64).unwrap(), &data_type).unwrap(),
        DataType::Interval(_) => cast(&cast(&text, &DataType::Int32).unwrap(), &data_type).unwrap(),
        DataType::Null => arrow::array::new_null_array(&data_type, 1),
        _ => cast(&text, &data_type).unwrap(),
    };
    Arg { data_type, literal: Some(ScalarValue::try_from_array(&value, 0).unwrap()), sql: "x".to_owned() }
}

fn evaluate(name: &str, args: &[Arg], rows: usize) -> Result<ArrayRef> {
    let function = FUNCTIONS.iter().find(|function| function.names.contains(&name)).unwrap();
    function.arity.check(name, args.len())?;
    let resolved = (function.resolve)(&Call { name, args, settings: &Settings::default() })?;
    assert_eq!(resolved.args.len(), args.len(), "{name}");
    let values: Vec<ColumnarValue> = args
        .iter()
        .zip(&resolved.args)
        .map(|(arg, data_type)| {
            let value = arg.literal.as_ref().unwrap();
            ColumnarValue::Scalar(value.cast_to(data_type).unwrap())
        })
        .collect();
    let result = (resolved.kernel)(&Invocation { args: &values, rows })?;
    assert_eq!((result.data_type(), result.len()), (&resolved.returns, rows), "{name}");
    Ok(result)
}

/// `function(value type; value type)` and its result with its type, or its error.
fn check(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        let (name, args) = sql.strip_suffix(')').unwrap().split_once('(').unwrap();
        let args: Vec<Arg> = args.split(';').filter(|arg| !arg.is_empty()).map(|arg| literal(arg.trim())).collect();
        match (expected.strip_prefix("error "), evaluate(name, &args, 1)) {
            (Some(condition), Err(error)) => {
                assert_eq!(SparkError::find(&error).map(|error| error.condition.as_str()), Some(condition), "{sql}: {error}");
            }
            (None, Ok(found)) => {
                let text = if found.is_null(0) { "NULL".to_owned() } else { array_value_to_string(&found, 0).unwrap() };
                let (value, data_type) = expected.split_once(' ').unwrap_or((expected, "double"));
                assert_eq!(types::name(found.data_type()), data_type, "{sql}");
                let near = |l: f64, r: f64| l == r || (l - r).abs() <= 1e-12 * r.abs();
                let same = match (text.parse::<f64>(), value.parse::<f64>()) {
                    (Ok(l), Ok(r)) if data_type == "double" => near(l, r) || l.is_nan() && r.is_nan(),
                    _ => text == value,
                };
                assert!(same, "{sql}: {text}, not {value}");
            }
            (_, found) => panic!("{sql}: {found:?}, not {expected}"),
        }
    }
}

const WRONG: &str = "error DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE";

#[test]
fn functions_of_doubles() {
    check(&[
        ("sqrt(2)", "1.4142135623730951"),
        ("sqrt(-1)", "NaN"),
        ("sqrt(null void)", "NULL"),
        ("cbrt(-8)", "-2"),
        ("exp(1)", "2.7182818284590455"),
        ("exp(1000)", "inf"),
        ("expm1(1e-10 double)", "1.00000000005e-10"),
        ("ln(0)", "NULL"),
        ("ln(-1)", "NULL"),
        ("ln(10)", "2.302585092994046"),
        ("log(10)", "2.302585092994046"),
        ("log(2; 8)", "3"),
        ("log(1; 8)", "inf"),
        ("log(0; 8)", "NULL"),
        ("log(2; -8)", "NULL"),
        ("log10(1000)", "3"),
        ("log10(0)", "NULL"),
        ("log2(10)", "3.3219280948873626"),
        ("log1p(-1)", "NULL"),
        ("log1p(0)", "0"),
        ("cot(0)", "inf"),
        ("cot(1)", "0.6420926159343306"),
        ("sec(1)", "1.8508157176809255"),
        ("csc(1)", "1.1883951057781212"),
        ("acos(2)", "NaN"),
        ("atan2(-0.0 double; -1)", "3.141592653589793"),
        ("asinh(1e300 double)", "691.4686750787736"),
        ("asinh(-inf double)", "-inf"),
        ("acosh(0.5 double)", "NaN"),
        ("atanh(1)", "inf"),
        ("degrees(2)", "114.59155902616465"),
        ("radians(180)", "3.141592653589793"),
        ("hypot(3; 4)", "5"),
        ("rint(2.5 decimal(2,1))", "2"),
        ("pow(2; -1)", "0.5"),
        ("pow(0; -1)", "inf"),
        ("pow(1; NaN double)", "NaN"),
        ("pow(-1; inf double)", "NaN"),
        ("pow(NaN double; 0)", "1"),
        ("sign(-5)", "-1"),
        ("sign(-1 interval day to second)", "-1"),
        ("signum(NaN double)", "NaN"),
        ("e()", "2.718281828459045"),
        ("pi()", "3.141592653589793"),
        ("sin(true boolean)", WRONG),
        ("sign(2020-01-01 date)", WRONG),
        ("pow(1)", "error WRONG_NUM_ARGS.WITHOUT_SUGGESTION"),
        ("factorial(20)", "2432902008176640000 bigint"),
        ("factorial(21)", "NULL bigint"),
        ("factorial(-1)", "NULL bigint"),
        ("factorial(5 bigint)", "120 bigint"),
        ("width_bucket(5.3 double; 0.2 double; 10.6 double; 5)", "3 bigint"),
        ("width_bucket(-0.9 double; 5.2 double; 0.5 double; 2)", "3 bigint"),
        ("width_bucket(10; 0; 10; 5)", "6 bigint"),
        ("width_bucket(0; 10; 0; 5)", "6 bigint"),
        ("width_bucket(5; 1; 1; 5)", "NULL bigint"),
        ("width_bucket(5; 0; inf double; 5)", "NULL bigint"),
        ("width_bucket(5; 0; 10; 0)", "NULL bigint"),
        ("width_bucket(5; 0; 10; 9223372036854775807 bigint)", "NULL bigint"),
        ("width_bucket(1e308 double; -1e308 double; 1.5e308 double; 10)", "1 bigint"),
        ("width_bucket(1 interval day to second; 0 interval day to second; 10 interval day to second; 10)", "2 bigint"),
    ]);
}

#[test]
fn rounding() {
    check(&[
        ("ceil(1.5 decimal(2,1))", "2 decimal(2,0)"),
        ("ceil(0.1 decimal(3,3))", "1 decimal(1,0)"),
        ("ceil(-1.5 double)", "-1 bigint"),
        ("ceil(5 tinyint)", "5 bigint"),
        ("floor(-1.5 double)", "-2 bigint"),
        ("floor(NaN double)", "0 bigint"),
        ("floor(1.7 string)", "1 bigint"),
        ("ceil(1e300 double)", "error ARITHMETIC_OVERFLOW"),
        ("ceil(9223372036854775808 double)", "error ARITHMETIC_OVERFLOW"),
        ("ceil(true boolean)", WRONG),
        ("ceil(12.345 decimal(5,3); 1)", "12.4 decimal(4,1)"),
        ("ceil(12.345 decimal(5,3); -1)", "20 decimal(3,0)"),
        ("floor(-12.345 decimal(5,3); 1)", "-12.4 decimal(4,1)"),
        ("floor(-12.345 decimal(5,3); -1)", "-20 decimal(3,0)"),
        ("ceil(12.345 double; 1)", "12.4 decimal(17,1)"),
        ("ceil(15; -1)", "20 decimal(11,0)"),
        ("ceil(15; 1)", "15 decimal(11,0)"),
        ("ceil(12.345 string; 1)", "12.4 decimal(22,1)"),
        ("ceil(2.5 double; 1 string)", "error NON_FOLDABLE_ARGUMENT"),
        ("round(2.5 decimal(2,1))", "3 decimal(2,0)"),
        ("round(-2.5 double)", "-3"),
        ("bround(2.5 double)", "2"),
        ("bround(3.5 decimal(2,1))", "4 decimal(2,0)"),
        ("round(-0.4 double)", "0"),
        ("round(1.005 double; 2)", "1.01"),
        ("round(2.675 double; 2)", "2.68"),
        ("bround(2.665 double; 2)", "2.66"),
        ("round(1234.5678 double; -2)", "1200"),
        ("round(3.14159 float; 3)", "3.142 float"),
        ("round(1.7976931348623157e308 double; -308)", "inf"),
        ("round(5e-324 double; 10)", "0"),
        ("round(NaN double; 2)", "NaN"),
        ("round(1.5 double; 400)", "1.5"),
        ("round(1.5 double; -400)", "0"),
        ("round(0.30000000000000004 double; 1)", "0.3"),
        ("round(2.5 string)", "3"),
        ("round(null void; 1)", "NULL"),
        ("round(2.5 decimal(2,1); null int)", "NULL decimal(2,0)"),
        ("round(25; -1)", "30 int"),
        ("bround(25; -1)", "20 int"),
        ("bround(-35; -1)", "-40 int"),
        ("round(25; 1)", "25 int"),
        ("round(127 tinyint; -1)", "error ARITHMETIC_OVERFLOW"),
        ("round(9223372036854775807 bigint; -19)", "error ARITHMETIC_OVERFLOW"),
        ("round(2147483647; -10)", "0 int"),
        ("round(99.95 decimal(4,2); 1)", "100.0 decimal(4,1)"),
        ("round(9.99 decimal(3,2); -1)", "10 decimal(2,0)"),
        ("bround(9.45 decimal(3,2); 1)", "9.4 decimal(3,1)"),
        ("round(55.5 decimal(3,1); -2)", "100 decimal(3,0)"),
        ("round(4.5 decimal(2,1); -1)", "0 decimal(2,0)"),
        ("round(1.5 decimal(2,1); 40)", "1.5 decimal(3,1)"),
        ("round(1.5 decimal(2,1); -40)", "0 decimal(38,0)"),
        ("round(2.55 decimal(3,2); 1 string)", "2.6 decimal(3,1)"),
        (
            "round(99999999999999999999999999999999999999 decimal(38,0); -1)",
            "error NUMERIC_VALUE_OUT_OF_RANGE.WITHOUT_SUGGESTION",
        ),
        ("round(true boolean)", WRONG),
    ]);
    let column = Arg { data_type: DataType::Int32, literal: None, sql: "id".to_owned() };
    let error = evaluate("round", &[literal("1"), column], 1).unwrap_err();
    assert_eq!(SparkError::find(&error).unwrap().condition, "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT");
}

#[test]
fn digits() {
    check(&[
        ("bin(13)", "1101 string"),
        ("bin(-13)", "1111111111111111111111111111111111111111111111111111111111110011 string"),
        ("bin(5.7 decimal(2,1))", "101 string"),
        ("bin(true boolean)", WRONG),
        ("conv(100 string; 2; 10)", "4 string"),
        ("conv(-10; 16; -10)", "-16 string"),
        ("conv(ff string; 16; 10)", "255 string"),
        ("conv(-1 string; 10; 16)", "FFFFFFFFFFFFFFFF string"),
        ("conv(-15 string; 10; -16)", "-F string"),
        ("conv(-15 string; 10; 16)", "FFFFFFFFFFFFFFF1 string"),
        ("conv(11abc string; 10; 16)", "B string"),
        ("conv(+5 string; 10; 16)", "0 string"),
        ("conv(- string; 10; 16)", "0 string"),
        ("conv(é string; 10; 2)", "0 string"),
        ("conv(ffffffffffffffff string; 16; -10)", "-1 string"),
        ("conv(8000000000000000 string; 16; -10)", "-9223372036854775808 string"),
        ("conv(-18446744073709551615 string; 10; 16)", "FFFFFFFFFFFFFFFF string"),
        ("conv(18446744073709551616 string; 10; 16)", "error ARITHMETIC_OVERFLOW"),
        ("conv(10 string; 1; 10)", "NULL string"),
        ("conv(10 string; 10; -37)", "NULL string"),
        ("conv(10 string; -10; 16)", "NULL string"),
        ("bit_count(-1)", "64 int"),
        ("bit_count(true boolean)", "1 int"),
        ("bit_count(7 string)", WRONG),
        ("bit_get(11; 2)", "0 tinyint"),
        ("getbit(-1 bigint; 63)", "1 tinyint"),
        ("bit_get(1 tinyint; 8)", "error INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE"),
        ("bit_get(11; -1)", "error INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE"),
        ("bit_get(null void; 1)", "NULL tinyint"),
        ("bit_get(true boolean; 0)", WRONG),
    ]);
}

#[test]
fn random_numbers() {
    check(&[
        ("rand(0)", "0.7604953758285915"),
        ("rand(null void)", "0.7604953758285915"),
        ("random(1 bigint)", "0.6363787615254752"),
        ("rand(-3)", "0.7618556634486083"),
        ("randn(5)", "1.5298496477243015"),
        ("rand(1 string)", WRONG),
        ("rand(1.5 decimal(2,1))", WRONG),
        ("uniform(1; 10; 0)", "7 int"),
        ("uniform(1; 10; 1)", "6 int"),
        ("uniform(10; 1; 0)", "3 int"),
        ("uniform(-5; 5; 0)", "2 int"),
        ("uniform(1 bigint; 1000000 bigint; 0)", "760495 bigint"),
        ("uniform(1; 2.5 decimal(2,1); 0)", "2.1 decimal(2,1)"),
        ("uniform(1.25 decimal(3,2); 9.75 decimal(3,2); 0)", "7.71 decimal(3,2)"),
        ("uniform(1 double; 2; 0)", "1.7604953758285915"),
        ("uniform(null void; 1; 0)", "NULL"),
        ("uniform(a string; 5)", WRONG),
    ]);
    let texts = |name: &str| {
        let found = evaluate(name, &[literal("0")], 3).unwrap();
        (0..3).map(|row| array_value_to_string(&found, row).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(texts("rand"), ["0.7604953758285915", "0.5234194256885571", "0.0953472826424725"]);
    assert_eq!(texts("randn"), ["1.6034991609278433", "0.14416006165776865", "-0.6253564498627744"]);
    assert_eq!(evaluate("rand", &[], 5).unwrap().len(), 5);
}
