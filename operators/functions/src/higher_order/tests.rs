use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StructArray, new_null_array};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use super::*;
use crate::SparkError;
use crate::array::testing::{Values, arguments, column, texts};
use crate::function::Settings;
use crate::registry;

type Body = fn(&[ArrayRef], &[ArrayRef]) -> Result<ArrayRef>;

/// A lambda of a test: how many parameters it has, the type of its result, and its body.
type TestLambda = (usize, &'static str, Body);

/// The lambdas of a call, after its values.
struct Lambdas {
    values: usize,
    lambdas: Vec<TestLambda>,
}

impl LambdaResolver for Lambdas {
    fn parameters(&self, argument: usize) -> Option<usize> {
        argument.checked_sub(self.values).and_then(|index| self.lambdas.get(index)).map(|lambda| lambda.0)
    }

    fn resolve(&mut self, argument: usize, parameters: &[DataType]) -> Result<Lambda> {
        let (count, returns, body) = self.lambdas[argument - self.values];
        if count != parameters.len() {
            return Err(spark_error("INVALID_LAMBDA_FUNCTION_CALL.NUM_ARGS_MISMATCH", ""));
        }
        let parameters = parameters.to_vec();
        let body: LambdaBody = Arc::new(move |given, captures, rows| {
            assert!(rows > 0);
            assert_eq!(given.iter().map(|array| array.data_type().clone()).collect::<Vec<_>>(), parameters);
            assert!(given.iter().chain(captures).all(|array| array.len() == rows));
            body(given, captures)
        });
        Ok(Lambda { returns: crate::types::parse(returns).unwrap(), body, fallible: true })
    }
}

/// The result of a call for three rows of the values (the second row is null), one capture with 10, 20 and 30.
fn eval_with(name: &str, values: &[(&str, &str)], lambdas: &[TestLambda], capture: &ColumnarValue) -> Result<Vec<String>> {
    let function = registry::higher_order(name).unwrap();
    function.arity.check(name, values.len() + lambdas.len())?;
    let (args, settings) = (arguments(values), Settings::default());
    let call = Call { name, args: &args, settings: &settings };
    let mut lambdas = Lambdas { values: values.len(), lambdas: lambdas.to_vec() };
    let resolved = (function.resolve)(&call, &mut lambdas)?;
    let of = |(index, (_, value)): (usize, &(&str, &str))| {
        // Rows before and after those of the call must not be seen.
        ColumnarValue::Array(column(&resolved.args[index], &[value, value, "null", value, value]).slice(1, 3))
    };
    let mut columns: Vec<ColumnarValue> = values.iter().enumerate().map(of).collect();
    columns.push(capture.clone());
    let result = (resolved.kernel)(&Invocation { args: &columns, rows: 3 })?;
    assert_eq!((result.data_type(), result.len()), (&resolved.returns, 3));
    let none: Vec<ColumnarValue> = columns
        .iter()
        .map(|column| match column {
            ColumnarValue::Array(values) => ColumnarValue::Array(values.slice(0, 0)),
            scalar => scalar.clone(),
        })
        .collect();
    let empty = (resolved.kernel)(&Invocation { args: &none, rows: 0 })?;
    assert_eq!((empty.data_type(), empty.len()), (&resolved.returns, 0));
    Ok(texts(&result))
}

fn eval(name: &str, values: &[(&str, &str)], lambdas: &[TestLambda]) -> String {
    let capture = ColumnarValue::Array(Arc::new(Int32Array::from(vec![10, 20, 30])));
    match eval_with(name, values, lambdas, &capture) {
        Ok(rows) => format!("{} | {} | {}", rows[0], rows[1], rows[2]),
        Err(error) => format!("!{}", SparkError::find(&error).unwrap_or_else(|| panic!("{name}: {error}")).condition),
    }
}

fn ints(array: &ArrayRef) -> &Int32Array {
    array.as_primitive()
}

fn zip(arrays: &[ArrayRef], f: impl Fn(i32, i32) -> Option<i32>) -> ArrayRef {
    let pairs = ints(&arrays[0]).iter().zip(ints(&arrays[1]));
    Arc::new(pairs.map(|(l, r)| f(l?, r?)).collect::<Int32Array>())
}

const PLUS_CAPTURE: Body = |own, captures| Ok(zip(&[Arc::clone(&own[0]), Arc::clone(&captures[0])], |x, c| Some(x + c)));
const PLUS: Body = |own, _| Ok(zip(own, |x, y| Some(x + y)));
const MINUS: Body = |own, _| Ok(zip(own, |x, y| Some(x - y)));
const OVER_1: Body = |own, _| Ok(Arc::new(ints(&own[0]).iter().map(|x| Some(x? > 1)).collect::<BooleanArray>()));
const VOID: Body = |own, _| Ok(new_null_array(&DataType::Null, own[0].len()));
const NO_ZERO: Body = |own, _| {
    let values = ints(&own[0]);
    if values.iter().any(|x| x == Some(0)) { Err(spark_error("DIVIDE_BY_ZERO", "")) } else { Ok(Arc::clone(&own[0])) }
};

const XS: &str = "array<int>";
const M: &str = "map<int,int>";

#[test]
fn over_arrays() {
    let cases: &[(&str, Values<'_>, &[TestLambda], &str)] = &[
        ("transform", &[(XS, "[1,null,2]")], &[(1, "int", PLUS_CAPTURE)], "[11, null, 12] | null | [31, null, 32]"),
        ("transform", &[(XS, "[5,5]")], &[(2, "int", PLUS)], "[5, 6] | null | [5, 6]"),
        ("transform", &[(XS, "[]")], &[(1, "int", PLUS_CAPTURE)], "[] | null | []"),
        ("transform", &[(XS, "null")], &[(1, "int", PLUS_CAPTURE)], "null | null | null"),
        ("transform", &[("int", "1")], &[(1, "int", PLUS)], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("transform", &[("void", "null")], &[(1, "int", PLUS)], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("transform", &[(XS, "[1]")], &[(3, "int", PLUS)], "!INVALID_LAMBDA_FUNCTION_CALL.NUM_ARGS_MISMATCH"),
        ("transform", &[(XS, "[0]")], &[(1, "int", NO_ZERO)], "!DIVIDE_BY_ZERO"),
        ("filter", &[(XS, "[1,null,3]")], &[(1, "boolean", OVER_1)], "[3] | null | [3]"),
        ("filter", &[(XS, "[1]")], &[(1, "void", VOID)], "[] | null | []"),
        ("filter", &[(XS, "[1]")], &[(1, "int", PLUS)], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("exists", &[(XS, "[null,2]")], &[(1, "boolean", OVER_1)], "true | null | true"),
        ("exists", &[(XS, "[null,1]")], &[(1, "boolean", OVER_1)], "null | null | null"),
        ("exists", &[(XS, "[1]")], &[(1, "boolean", OVER_1)], "false | null | false"),
        ("exists", &[(XS, "[]")], &[(1, "void", VOID)], "false | null | false"),
        ("forall", &[(XS, "[null,2]")], &[(1, "boolean", OVER_1)], "null | null | null"),
        ("forall", &[(XS, "[null,1]")], &[(1, "boolean", OVER_1)], "false | null | false"),
        ("forall", &[(XS, "[2]")], &[(1, "boolean", OVER_1)], "true | null | true"),
        ("forall", &[(XS, "[]")], &[(1, "boolean", OVER_1)], "true | null | true"),
        ("zip_with", &[(XS, "[1,2]"), (XS, "[3,4,5]")], &[(2, "int", PLUS)], "[4, 6, null] | null | [4, 6, null]"),
        ("zip_with", &[(XS, "[]"), (XS, "[3]")], &[(2, "int", PLUS)], "[null] | null | [null]"),
    ];
    for (name, values, lambdas, expected) in cases {
        assert_eq!(eval(name, values, lambdas), *expected, "{name} {values:?}");
    }
    let scalar = ColumnarValue::Scalar(ScalarValue::Int32(Some(7)));
    let rows = eval_with("transform", &[(XS, "[1]")], &[(1, "int", PLUS_CAPTURE)], &scalar).unwrap();
    assert_eq!(rows, ["[8]", "null", "[8]"]);
}

#[test]
fn folding() {
    const TIMES_10: Body = |own, _| Ok(Arc::new(ints(&own[0]).unary::<_, Int32Type>(|x| x * 10)));
    const WIDE: Body = |own, _| Ok(Arc::new(Int64Array::from(vec![0; own[0].len()])));
    const PLUS_ALL: Body = |own, captures| {
        let sum = zip(own, |x, y| Some(x + y));
        Ok(zip(&[sum, Arc::clone(&captures[0])], |x, c| Some(x + c)))
    };
    const COUNT: Body = |own, _| {
        let state: &StructArray = own[0].as_struct();
        let field = |index: usize, values: ArrayRef| (Arc::new(state.fields()[index].as_ref().clone()), values);
        let sum = zip(&[Arc::clone(state.column(0)), Arc::clone(&own[1])], |x, y| Some(x + y));
        let count = ints(state.column(1)).unary::<_, Int32Type>(|count| count + 1);
        Ok(Arc::new(StructArray::from(vec![field(0, sum), field(1, Arc::new(count))])))
    };
    const SC: &str = "struct<s:int,c:int>";
    let cases: &[(Values<'_>, &[TestLambda], &str)] = &[
        (&[(XS, "[1,2,3]"), ("int", "0")], &[(2, "int", PLUS)], "6 | null | 6"),
        (&[(XS, "[1,2]"), ("int", "0")], &[(2, "int", PLUS_ALL)], "23 | null | 63"),
        (&[(XS, "[1,null]"), ("int", "0")], &[(2, "int", PLUS)], "null | null | null"),
        (&[(XS, "[]"), ("int", "5")], &[(2, "int", PLUS), (1, "int", TIMES_10)], "50 | null | 50"),
        (&[(XS, "[1,2]"), ("int", "0")], &[(2, "int", PLUS), (1, "int", TIMES_10)], "30 | null | 30"),
        (&[(XS, "null"), ("int", "0")], &[(2, "int", PLUS), (1, "int", TIMES_10)], "null | null | null"),
        (&[(XS, "[1]"), ("int", "0")], &[(2, "void", VOID)], "null | null | null"),
        (&[(XS, "[1]"), ("int", "0")], &[(2, "bigint", WIDE)], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        (&[(XS, "[1]"), ("int", "0")], &[(1, "int", PLUS)], "!INVALID_LAMBDA_FUNCTION_CALL.NUM_ARGS_MISMATCH"),
        (&[(XS, "[4,5]"), (SC, "{\"s\":0,\"c\":0}")], &[(2, SC, COUNT)], "{s: 9, c: 2} | null | {s: 9, c: 2}"),
    ];
    for (values, lambdas, expected) in cases {
        assert_eq!(eval("aggregate", values, lambdas), *expected, "{values:?}");
    }
}

#[test]
fn folding_calls_the_body_once_for_each_position() {
    static CALLS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    const COUNTED: Body = |own, _| {
        CALLS.lock().unwrap().push(own[0].len());
        Ok(zip(own, |x, y| Some(x + y)))
    };
    let (args, settings) = (arguments(&[(XS, "[]"), ("int", "0")]), Settings::default());
    let call = Call { name: "reduce", args: &args, settings: &settings };
    let mut lambdas = Lambdas { values: 2, lambdas: vec![(2, "int", COUNTED)] };
    let resolved = (registry::higher_order("reduce").unwrap().resolve)(&call, &mut lambdas).unwrap();
    let arrays = column(&resolved.args[0], &["[1,2,3]", "[]", "[4]", "null", "[5,6]"]);
    let args = [ColumnarValue::Array(arrays), ColumnarValue::Scalar(ScalarValue::Int32(Some(0)))];
    let result = (resolved.kernel)(&Invocation { args: &args, rows: 5 }).unwrap();
    assert_eq!(texts(&result), ["6", "0", "4", "null", "11"]);
    assert_eq!(*CALLS.lock().unwrap(), [3, 2, 1]);
}

#[test]
fn sorting() {
    const NULLS: Body = |own, _| Ok(zip(own, |x, y| (x != 3).then_some(x - y)));
    let cases: &[(&str, Body, &str)] = &[
        ("[3,1,2]", MINUS, "[1, 2, 3] | null | [1, 2, 3]"),
        ("[]", MINUS, "[] | null | []"),
        // No question is asked whose answer would be null.
        ("[3,1,2,4]", NULLS, "[1, 2, 3, 4] | null | [1, 2, 3, 4]"),
        ("[1,3]", NULLS, "!COMPARATOR_RETURNS_NULL"),
    ];
    for (values, body, expected) in cases {
        assert_eq!(eval("array_sort", &[(XS, values)], &[(2, "int", *body)]), *expected, "{values}");
    }
    assert_eq!(eval("array_sort", &[(XS, "[1]")], &[(2, "void", VOID)]), "!DATATYPE_MISMATCH.UNEXPECTED_RETURN_TYPE");
}

#[test]
fn over_maps() {
    const FIRST: Body = |own, _| Ok(Arc::clone(&own[0]));
    const ONE: Body = |own, _| Ok(Arc::new(Int32Array::from(vec![1; own[0].len()])));
    const NULL: Body = |own, _| Ok(new_null_array(&DataType::Int32, own[0].len()));
    const SECOND_PLUS_THIRD: Body = |own, _| Ok(zip(&own[1..], |x, y| Some(x + y)));
    let two = "{\"2\":5,\"1\":7}";
    let cases: &[(&str, Values<'_>, &[TestLambda], &str)] = &[
        ("map_filter", &[(M, two)], &[(2, "boolean", OVER_1)], "{2: 5} | null | {2: 5}"),
        ("map_filter", &[(M, two)], &[(2, "void", VOID)], "{} | null | {}"),
        ("map_filter", &[(M, two)], &[(2, "int", FIRST)], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("map_filter", &[("void", "null")], &[(2, "boolean", OVER_1)], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("transform_values", &[(M, two)], &[(2, "int", PLUS)], "{2: 7, 1: 8} | null | {2: 7, 1: 8}"),
        ("transform_values", &[(M, two)], &[(2, "void", VOID)], "{2: null, 1: null} | null | {2: null, 1: null}"),
        ("transform_keys", &[(M, two)], &[(2, "int", PLUS)], "{7: 5, 8: 7} | null | {7: 5, 8: 7}"),
        ("transform_keys", &[(M, two)], &[(2, "int", ONE)], "!DUPLICATED_MAP_KEY"),
        ("transform_keys", &[(M, two)], &[(2, "int", NULL)], "!NULL_MAP_KEY"),
        (
            "map_zip_with",
            &[(M, two), (M, "{\"3\":1,\"1\":1}")],
            &[(3, "int", SECOND_PLUS_THIRD)],
            "{2: null, 1: 8, 3: null} | null | {2: null, 1: 8, 3: null}",
        ),
        ("map_zip_with", &[(M, "{}"), (M, "{\"3\":1}")], &[(3, "int", FIRST)], "{3: 3} | null | {3: 3}"),
        ("map_zip_with", &[(M, two), ("int", "1")], &[(3, "int", FIRST)], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        (
            "map_zip_with",
            &[(M, two), ("map<string,int>", "{}")],
            &[(3, "int", FIRST)],
            "!DATATYPE_MISMATCH.MAP_ZIP_WITH_DIFF_TYPES",
        ),
    ];
    for (name, values, lambdas, expected) in cases {
        assert_eq!(eval(name, values, lambdas), *expected, "{name} {values:?}");
    }
}
