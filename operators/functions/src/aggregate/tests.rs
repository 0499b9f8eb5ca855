use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, ListArray, StringArray, UInt64Array, new_null_array};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::util::display::array_value_to_string;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use proptest::prelude::*;

use super::{FUNCTIONS, ResolvedAggregate};
use crate::error::SparkError;
use crate::function::{Arg, Call, Settings};
use crate::types;

/// `type: value, value`, with `null`; `=type: value` is a literal, `=[1, 2]` a literal array.
fn argument(text: &str) -> (Arg, Option<ArrayRef>) {
    let (literal, text) = text.strip_prefix('=').map_or((false, text), |rest| (true, rest));
    if let Some(items) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let items: Float64Array =
            items.split(',').filter(|item| !item.is_empty()).map(|item| item.trim().parse::<f64>().ok()).collect();
        let array = super::values::list_of(Arc::new(items), vec![items_len(text)], None).unwrap();
        let value = ScalarValue::List(Arc::new(array.as_any().downcast_ref::<ListArray>().unwrap().clone()));
        return (Arg { data_type: array.data_type().clone(), literal: Some(value), sql: text.to_owned() }, None);
    }
    let (name, values) = text.split_once(": ").unwrap_or((text, ""));
    let data_type = types::parse(name).unwrap();
    let values: StringArray =
        values.split(',').filter(|v| !v.is_empty()).map(|v| (v.trim() != "null").then(|| v.trim().trim_matches('\''))).collect();
    let values: ArrayRef = Arc::new(values);
    let values = match data_type {
        DataType::Duration(_) => cast(&cast(&values, &DataType::Int64).unwrap(), &data_type).unwrap(),
        DataType::Interval(_) => cast(&cast(&values, &DataType::Int32).unwrap(), &data_type).unwrap(),
        DataType::Null => new_null_array(&data_type, values.len()),
        _ if types::is_nested(&data_type) => new_null_array(&data_type, 1),
        _ => cast(&values, &data_type).unwrap(),
    };
    let literal = literal.then(|| ScalarValue::try_from_array(&values, 0).unwrap());
    let sql = if literal.is_some() { "literal" } else { "v" };
    (Arg { data_type, literal, sql: sql.to_owned() }, Some(values))
}

fn items_len(text: &str) -> usize {
    text.trim_matches(['[', ']']).split(',').filter(|item| !item.trim().is_empty()).count()
}

fn resolve(name: &str, args: &[Arg]) -> Result<ResolvedAggregate> {
    let function = FUNCTIONS.iter().find(|function| function.names.contains(&name)).unwrap();
    function.arity.check(name, args.len())?;
    (function.resolve)(&Call { name, args, settings: &Settings::default() })
}

struct Made {
    udaf: datafusion::logical_expr::AggregateUDF,
    returns: FieldRef,
    args: Vec<FieldRef>,
    distinct: bool,
}

impl Made {
    fn new(resolved: &ResolvedAggregate, distinct: bool) -> Self {
        let field = |data_type: &DataType| Arc::new(Field::new("x", data_type.clone(), true));
        Made {
            udaf: resolved.udaf.clone(),
            returns: field(&resolved.returns),
            args: resolved.args.iter().map(field).collect(),
            distinct,
        }
    }

    fn with<T>(&self, f: impl FnOnce(AccumulatorArgs<'_>) -> T) -> T {
        f(AccumulatorArgs {
            return_field: Arc::clone(&self.returns),
            schema: &Schema::empty(),
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: "x",
            is_distinct: self.distinct,
            exprs: &[],
            expr_fields: &self.args,
        })
    }

    fn one(&self) -> Box<dyn Accumulator> {
        self.with(|args| self.udaf.accumulator(args)).unwrap()
    }

    fn many(&self) -> Box<dyn GroupsAccumulator> {
        self.with(|args| self.udaf.create_groups_accumulator(args)).unwrap()
    }

    fn state_types(&self) -> Vec<DataType> {
        let args = StateFieldsArgs {
            name: "x",
            input_fields: &self.args,
            return_field: Arc::clone(&self.returns),
            ordering_fields: &[],
            is_distinct: self.distinct,
        };
        let fields = self.udaf.state_fields(args).unwrap();
        assert!(fields.iter().all(|field| field.is_nullable()));
        fields.iter().map(|field| field.data_type().clone()).collect()
    }

    /// A state through columns, as it is stored.
    fn columns(&self, state: &[ScalarValue]) -> Vec<ArrayRef> {
        let columns: Vec<ArrayRef> = state.iter().map(|value| value.to_array().unwrap()).collect();
        let found: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
        assert_eq!(found, self.state_types());
        columns
    }
}

fn evaluate(name: &str, args: &[&str], distinct: bool) -> Result<String> {
    let (args, columns): (Vec<Arg>, Vec<Option<ArrayRef>>) = args.iter().map(|text| argument(text)).unzip();
    let resolved = resolve(name, &args)?;
    let rows = columns.iter().flatten().map(|column| column.len()).max().unwrap();
    let prepare = |(column, data_type): (&Option<ArrayRef>, &DataType)| {
        let column = column.clone().unwrap_or_else(|| new_null_array(data_type, rows));
        let column = if column.len() == rows { column } else { take(&column, &UInt64Array::from(vec![0; rows]), None).unwrap() };
        cast(&column, data_type).unwrap()
    };
    let columns: Vec<ArrayRef> = columns.iter().zip(&resolved.args).map(prepare).collect();
    let made = Made::new(&resolved, distinct);
    let mut one = made.one();
    one.update_batch(&columns)?;
    let result = one.evaluate()?.to_array()?;
    assert_eq!(result.data_type(), &resolved.returns, "{name}");
    assert_eq!(one.evaluate()?.to_array()?.as_ref(), result.as_ref(), "{name}: evaluate changed something");
    made.columns(&one.state()?);
    let text = |array: &ArrayRef| {
        if array.is_null(0) || array.data_type() == &DataType::Null {
            "NULL".to_owned()
        } else {
            array_value_to_string(array, 0).unwrap()
        }
    };
    let text = format!("{} {}", text(&result), types::name(result.data_type()));
    Ok(text)
}

fn check(cases: &[(&str, &[&str], &str)]) {
    for (name, args, expected) in cases {
        let found = evaluate(name, args, false);
        match (expected.strip_prefix("error "), found) {
            (Some(condition), Err(error)) => {
                assert_eq!(
                    SparkError::find(&error).map(|error| error.condition.as_str()),
                    Some(condition),
                    "{name}{args:?}: {error}"
                );
            }
            (None, Ok(found)) => assert_eq!(&found, expected, "{name}{args:?}"),
            (_, found) => panic!("{name}{args:?}: {found:?}, not {expected}"),
        }
    }
}

const BIG: &str = "99999999999999999999999999999999999999";

#[test]
fn counts_sums_and_means() {
    let big = format!("decimal(38,0): {BIG},1");
    check(&[
        ("count", &["int: 1,null,2", "int: null,null,3"], "1 bigint"),
        ("count", &["int: 1,null"], "1 bigint"),
        ("count", &["=int: 1", "int: null,null"], "0 bigint"),
        ("count_if", &["boolean: true,false,null"], "1 bigint"),
        ("count_if", &["int: 1"], "error DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("sum", &["tinyint: 1,2,null"], "3 bigint"),
        ("sum", &["int: null"], "NULL bigint"),
        ("sum", &["bigint: 9223372036854775807,1"], "error ARITHMETIC_OVERFLOW"),
        ("try_sum", &["bigint: 9223372036854775807,1,-5"], "NULL bigint"),
        ("sum", &["string: 1,2.5"], "3.5 double"),
        ("sum", &["void: null"], "NULL double"),
        ("sum", &["float: 0.1,0.2"], "0.30000000447034836 double"),
        ("sum", &["decimal(3,2): 1.25,2.50"], "3.75 decimal(13,2)"),
        ("sum", &[&big], "error ARITHMETIC_OVERFLOW"),
        ("try_sum", &[&big], "NULL decimal(38,0)"),
        ("sum", &["boolean: true"], "error DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("sum", &["date: 2020-01-01"], "error DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("sum", &["interval day to second: 9223372036854775807,1"], "error INTERVAL_ARITHMETIC_OVERFLOW.WITH_SUGGESTION"),
        ("avg", &["int: 1,2,null"], "1.5 double"),
        ("avg", &["bigint: 9223372036854775807,9223372036854775807"], "9.223372036854776e18 double"),
        ("avg", &["decimal(3,2): 1.25,2.50"], "1.875000 decimal(7,6)"),
        ("avg", &["decimal(10,0): 9999999999,1,1"], "3333333333.6667 decimal(14,4)"),
        ("avg", &["decimal(38,10): 1,2.5"], "1.75000000000000 decimal(38,14)"),
        ("avg", &["decimal(1,0): -1,0,0"], "-0.3333 decimal(5,4)"),
        ("avg", &["decimal(38,10): 9999999999999999999999999999"], "error NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION"),
        ("try_avg", &["decimal(38,10): 9999999999999999999999999999"], "NULL decimal(38,14)"),
        ("avg", &[&big], "error ARITHMETIC_OVERFLOW"),
        ("try_avg", &[&big], "NULL decimal(38,4)"),
        ("avg", &["interval year to month: 15,24,24"], "1 years 9 mons interval year to month"),
        ("avg", &["int: null"], "NULL double"),
    ]);
    assert_eq!(evaluate("count", &["int: 1,1,1", "int: 1,1,null"], true).unwrap(), "1 bigint");
    assert_eq!(evaluate("avg", &["int: 1,1,3"], true).unwrap(), "2.0 double");
    assert_eq!(evaluate("listagg", &["string: a,a,b", "=string: '-'"], true).unwrap(), "a-b string");
}

#[test]
fn extremes() {
    check(&[
        ("min", &["double: NaN,1.0,-0.0"], "-0.0 double"),
        ("max", &["double: NaN,1.0,-0.0"], "NaN double"),
        ("min", &["boolean: true,false"], "false boolean"),
        ("max", &["string: a,B,é"], "é string"),
        ("min", &["string: a,B,é"], "B string"),
        ("max", &["void: null"], "NULL void"),
        ("min", &["date: 2020-01-02,2020-01-01,null"], "2020-01-01 date"),
        ("min", &["map<int,int>"], "error DATATYPE_MISMATCH.INVALID_ORDERING_TYPE"),
        ("max_by", &["int: 1,2", "int: null,null"], "NULL int"),
        ("max_by", &["int: 1,2,null,5,6", "int: 1,1,2,0,0"], "NULL int"),
        ("min_by", &["int: 1,2,null,5,6", "int: 1,1,2,0,0"], "6 int"),
        ("max_by", &["int: 1", "map<int,int>"], "error DATATYPE_MISMATCH.INVALID_ORDERING_TYPE"),
        ("bit_and", &["tinyint: 3,5"], "1 tinyint"),
        ("bit_or", &["tinyint: 3,-5"], "-5 tinyint"),
        ("bit_xor", &["tinyint: 3,5"], "6 tinyint"),
        ("bit_and", &["void: null"], "NULL int"),
        ("bit_and", &["string: 3"], "error DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("bool_and", &["boolean: true,null,false"], "false boolean"),
        ("bool_or", &["boolean: true,null,false"], "true boolean"),
        ("bool_and", &["int: 1"], "error DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
    ]);
}

#[test]
fn kept_values() {
    check(&[
        ("first", &["int: null,1,2,null"], "NULL int"),
        ("first", &["int: null,1,2,null", "=boolean: true"], "1 int"),
        ("last", &["int: null,1,2,null"], "NULL int"),
        ("last", &["int: null,1,2,null", "=boolean: true"], "2 int"),
        ("any_value", &["int: 7,1"], "7 int"),
        ("first", &["int: 1", "=int: 1"], "error _LEGACY_ERROR_TEMP_1100"),
        ("collect_list", &["int: null,1,2,1"], "[1, 2, 1] array<int>"),
        ("collect_list", &["int: null"], "[] array<int>"),
        ("collect_list", &["double: -0.0"], "[-0.0] array<double>"),
        ("collect_set", &["int: null,1,2,1"], "[1, 2] array<int>"),
        ("collect_set", &["double: -0.0,0.0,NaN,NaN"], "[0.0, NaN] array<double>"),
        ("collect_set", &["map<int,int>"], "error DATATYPE_MISMATCH.UNSUPPORTED_INPUT_TYPE"),
        ("mode", &["int: 1,2,2,null,null,null"], "2 int"),
        ("mode", &["int: 2,1,2,1", "=boolean: true"], "1 int"),
        ("mode", &["int: 1,2,2,1", "=boolean: true", "=boolean: true"], "2 int"),
        ("mode", &["int: null"], "NULL int"),
        ("mode", &["int: 1", "=int: 1"], "error UNEXPECTED_INPUT_TYPE"),
        ("listagg", &["string: a,null,b"], "ab string"),
        ("listagg", &["string: a,null,b", "=string: null"], "ab string"),
        ("string_agg", &["string: a,null,b", "=string: '-'"], "a-b string"),
        ("listagg", &["string: null"], "NULL string"),
        ("listagg", &["binary: a", "=string: '-'"], "error DATATYPE_MISMATCH.DATA_DIFF_TYPES"),
        ("listagg", &["string: a", "string: a"], "error DATATYPE_MISMATCH.NON_FOLDABLE_INPUT"),
        ("listagg", &["array<int>"], "error DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
    ]);
}

#[test]
fn statistics() {
    let xy: &[&str] = &["int: 1,2,3,null,1", "int: 2,4,7,1,null"];
    let yx: &[&str] = &["int: 2,4,7,1,null", "int: 1,2,3,null,1"];
    let (flat_x, flat_y): (&[&str], &[&str]) = (&["int: 2,3", "int: 1,1"], &["int: 2,2", "int: 1,3"]);
    check(&[
        ("stddev", &["int: 1"], "NULL double"),
        ("var_samp", &["int: 1"], "NULL double"),
        ("stddev_pop", &["int: 1"], "0.0 double"),
        ("var_pop", &["int: 1"], "0.0 double"),
        ("skewness", &["int: 1"], "NULL double"),
        ("kurtosis", &["int: 1,1"], "NULL double"),
        ("var_pop", &["int: null"], "NULL double"),
        ("stddev_samp", &["int: 1,2,10,null"], "4.932882862316247 double"),
        ("stddev_pop", &["int: 1,2,10,null"], "4.0276819911981905 double"),
        ("variance", &["int: 1,2,10,null"], "24.333333333333332 double"),
        ("var_pop", &["int: 1,2,10,null"], "16.22222222222222 double"),
        ("skewness", &["int: 1,2,10,null"], "0.674555484545766 double"),
        ("kurtosis", &["int: 1,2,10,null"], "-1.5000000000000007 double"),
        ("stddev", &["boolean: true"], "error DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("corr", xy, "0.9933992677987827 double"),
        ("corr", flat_x, "NULL double"),
        ("covar_pop", xy, "1.6666666666666667 double"),
        ("covar_samp", xy, "2.5 double"),
        ("covar_samp", &["int: 1", "int: 2"], "NULL double"),
        ("regr_count", yx, "3 bigint"),
        ("regr_slope", yx, "2.5 double"),
        ("regr_intercept", yx, "-0.666666666666667 double"),
        ("regr_avgx", yx, "2.0 double"),
        ("regr_avgy", yx, "4.333333333333333 double"),
        ("regr_r2", yx, "0.9868421052631576 double"),
        ("regr_sxx", yx, "2.0 double"),
        ("regr_sxy", yx, "5.0 double"),
        ("regr_slope", flat_x, "NULL double"),
        ("regr_r2", flat_x, "NULL double"),
        ("regr_syy", flat_x, "0.5 double"),
        ("regr_slope", flat_y, "0.0 double"),
        ("regr_intercept", flat_y, "2.0 double"),
        ("regr_r2", flat_y, "1.0 double"),
        ("regr_sxx", &["int: null", "int: 2"], "NULL double"),
    ]);
}

#[test]
fn percentiles() {
    let v = "int: 1,2,10,null,5";
    check(&[
        ("percentile", &[v, "=double: 0.5"], "3.5 double"),
        ("percentile", &[v, "=[0,0.25,1]"], "[1.0, 1.75, 10.0] array<double>"),
        ("percentile", &["int: null", "=[0.5]"], "NULL array<double>"),
        ("percentile", &[v, "=[]"], "NULL array<double>"),
        ("percentile", &["int: 1,2,10,4", "=decimal(2,1): 0.5", "int: 2,1,0,null"], "1.0 double"),
        ("percentile", &["int: 1", "=double: 0.5", "int: -2"], "error NEGATIVE_VALUES_IN_FREQUENCY_EXPRESSION"),
        ("percentile", &["boolean: true", "=double: 0.5"], "error DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ("percentile", &[v, "=double: 1.5"], "error DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE"),
        ("percentile", &[v, "double: 0.5"], "error DATATYPE_MISMATCH.NON_FOLDABLE_INPUT"),
        ("percentile", &[v, "=double: null"], "error DATATYPE_MISMATCH.UNEXPECTED_NULL"),
        ("percentile", &["string: 1,2", "=string: 0.5"], "1.5 double"),
        ("median", &["double: NaN,1,2"], "2.0 double"),
        ("median", &[v], "3.5 double"),
        ("percentile_cont", &[v, "=double: 0.25", "=boolean: true"], "6.25 double"),
        ("percentile_disc", &[v, "=double: 0.25", "=boolean: true"], "10.0 double"),
        ("percentile_disc", &[v, "=[0,0.2,0.5,0.75,1]"], "[1.0, 1.0, 2.0, 5.0, 10.0] array<double>"),
        ("percentile_approx", &[v, "=double: 0.5"], "2 int"),
        ("percentile_approx", &[v, "=[0,0.25,0.5,1]"], "[1, 1, 2, 10] array<int>"),
        ("percentile_approx", &["date: 2020-01-01,2020-01-05", "=double: 0.5"], "2020-01-01 date"),
        ("percentile_approx", &["decimal(3,2): 1.5,2.25,7", "=double: 0.5"], "2.25 decimal(3,2)"),
        ("percentile_approx", &["string: 1,2", "=double: 0.5"], "1.0 double"),
        ("percentile_approx", &[v, "=double: 0.5", "=int: 0"], "error DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE"),
        ("percentile_approx", &["boolean: true", "=double: 0.5"], "error DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
    ]);
}

#[test]
fn distinct_counts_are_estimated_as_in_spark() {
    let count = |data_type: &str, rows: i64, error: &str| {
        let (mut arg, _) = argument("bigint");
        let ids: ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(0..rows));
        arg.data_type = types::parse(data_type).unwrap();
        let ids = cast(&ids, &arg.data_type).unwrap();
        let mut one = Made::new(&resolve("approx_count_distinct", &[arg, argument(error).0]).unwrap(), false).one();
        one.update_batch(&[ids]).unwrap();
        one.evaluate().unwrap()
    };
    for (data_type, rows, expected) in [
        ("bigint", 0, 0),
        ("bigint", 20, 20),
        ("bigint", 100, 103),
        ("bigint", 400, 397),
        ("bigint", 600, 612),
        ("bigint", 1000, 1026),
        ("bigint", 1200, 1171),
        ("int", 100, 99),
        ("tinyint", 100, 99),
        ("string", 100, 104),
        ("double", 100, 97),
        ("float", 100, 103),
        ("decimal(10,2)", 100, 100),
        ("decimal(30,2)", 100, 104),
    ] {
        assert_eq!(count(data_type, rows, "=double: 0.05"), ScalarValue::Int64(Some(expected)), "{rows} of {data_type}");
    }
    assert_eq!(count("bigint", 100, "=double: 0.1"), ScalarValue::Int64(Some(101)));
    assert_eq!(count("bigint", 30, "=double: 0.39"), ScalarValue::Int64(Some(27)));
    for (rows, least, most) in [(1500, 1350, 1650), (2000, 1800, 2200), (5000, 4500, 5500)] {
        let ScalarValue::Int64(Some(found)) = count("bigint", rows, "=double: 0.05") else { panic!("null") };
        assert!((least..=most).contains(&found), "{found} of {rows}");
    }
    check(&[
        ("approx_count_distinct", &["double: 0.0,-0.0,NaN,NaN,null"], "2 bigint"),
        ("approx_count_distinct", &["void: null"], "0 bigint"),
        ("approx_count_distinct", &["int: 1", "=double: 0.9"], "error FAILED_FUNCTION_CALL"),
    ]);
}

#[test]
fn defaults_are_the_results_of_no_rows() {
    let default = |name: &str| resolve(name, &[argument("int").0]).unwrap().udaf.default_value(&DataType::Null).unwrap();
    assert_eq!(default("count"), ScalarValue::Int64(Some(0)));
    assert_eq!(default("sum"), ScalarValue::Int64(None));
}

/// Every function with types of arguments to try it with; values are made from small integers.
const SHAPES: &[(&str, &[&str])] = &[
    ("count", &["int", "string"]),
    ("count_if", &["boolean"]),
    ("sum", &["int"]),
    ("sum", &["double"]),
    ("sum", &["decimal(10,2)"]),
    ("sum", &["interval day to second"]),
    ("try_sum", &["bigint"]),
    ("try_sum", &["decimal(38,2)"]),
    ("avg", &["int"]),
    ("avg", &["decimal(10,2)"]),
    ("try_avg", &["decimal(10,2)"]),
    ("avg", &["interval year to month"]),
    ("min", &["float"]),
    ("max", &["double"]),
    ("min", &["timestamp"]),
    ("max", &["boolean"]),
    ("min", &["string"]),
    ("max", &["array<double>"]),
    ("min", &["struct<a:int,b:string>"]),
    ("max", &["void"]),
    ("min_by", &["map<string,int>", "double"]),
    ("max_by", &["string", "struct<a:int,b:string>"]),
    ("bit_and", &["tinyint"]),
    ("bit_or", &["bigint"]),
    ("bit_xor", &["smallint"]),
    ("bool_and", &["boolean"]),
    ("bool_or", &["boolean"]),
    ("first", &["int"]),
    ("first", &["string", "=boolean: true"]),
    ("last", &["array<double>"]),
    ("last", &["map<string,int>", "=boolean: true"]),
    ("collect_list", &["struct<a:int,b:string>"]),
    ("collect_list", &["void"]),
    ("collect_set", &["double"]),
    ("collect_set", &["array<double>"]),
    ("mode", &["string"]),
    ("mode", &["double", "=boolean: true"]),
    ("listagg", &["string", "=string: '-'"]),
    ("listagg", &["binary"]),
    ("approx_count_distinct", &["struct<a:int,b:string>"]),
    ("approx_count_distinct", &["map<string,int>"]),
    ("percentile", &["double", "=[0.1,0.5]"]),
    ("percentile", &["interval day to second", "=double: 0.5"]),
    ("percentile_disc", &["int", "=double: 0.3", "=boolean: true"]),
    ("percentile_approx", &["timestamp", "=[0.5]"]),
    ("median", &["decimal(10,2)"]),
    ("stddev", &["int"]),
    ("kurtosis", &["double"]),
    ("corr", &["int", "double"]),
    ("regr_intercept", &["int", "double"]),
    ("regr_r2", &["int", "double"]),
];

/// A column of a type, with the same value for the same number.
fn values(data_type: &DataType, numbers: &[Option<i8>]) -> ArrayRef {
    let ints: ArrayRef = Arc::new(numbers.iter().map(|n| n.map(i64::from)).collect::<arrow::array::Int64Array>());
    let valid = || Some(arrow::buffer::NullBuffer::from(numbers.iter().map(Option::is_some).collect::<Vec<_>>()));
    match data_type {
        DataType::Null => new_null_array(data_type, numbers.len()),
        DataType::Boolean => Arc::new(numbers.iter().map(|n| n.map(|n| n > 0)).collect::<arrow::array::BooleanArray>()),
        DataType::Binary => cast(&values(&DataType::Utf8, numbers), data_type).unwrap(),
        DataType::Float32 | DataType::Float64 => {
            let special = |n: i8| match n {
                0 => -0.0,
                1 => 0.0,
                2 => f64::NAN,
                3 => f64::INFINITY,
                n => f64::from(n) / 4.0,
            };
            let doubles: ArrayRef = Arc::new(numbers.iter().map(|n| n.map(special)).collect::<Float64Array>());
            cast(&doubles, data_type).unwrap()
        }
        DataType::Interval(_) => cast(&cast(&ints, &DataType::Int32).unwrap(), data_type).unwrap(),
        DataType::List(field) => {
            let items = values(field.data_type(), numbers);
            super::values::list_of(items, vec![1; numbers.len()], valid()).unwrap()
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| values(field.data_type(), numbers)).collect();
            Arc::new(arrow::array::StructArray::new(fields.clone(), columns, valid()))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { panic!("entries") };
            let whole: Vec<Option<i8>> = numbers.iter().map(|n| Some(n.unwrap_or(0))).collect();
            let columns = fields.iter().map(|field| values(field.data_type(), &whole)).collect();
            let rows = arrow::array::StructArray::new(fields.clone(), columns, None);
            let offsets = arrow::buffer::OffsetBuffer::from_lengths(vec![1; numbers.len()]);
            Arc::new(arrow::array::MapArray::new(Arc::clone(entries), offsets, rows, valid(), false))
        }
        _ => cast(&ints, data_type).unwrap(),
    }
}

fn same(left: &ArrayRef, right: &ArrayRef) -> bool {
    let (Some(l), Some(r)) = (left.as_any().downcast_ref::<Float64Array>(), right.as_any().downcast_ref::<Float64Array>()) else {
        return left == right || (left.data_type() == right.data_type() && texts(left) == texts(right));
    };
    l.iter().zip(r).all(|pair| match pair {
        (Some(l), Some(r)) => l == r || l.is_nan() && r.is_nan() || (l - r).abs() <= 1e-9 * l.abs().max(r.abs()).max(1.0),
        (l, r) => l.is_none() && r.is_none(),
    })
}

/// NaNs aren't equal to themselves, their texts are.
fn texts(array: &ArrayRef) -> Vec<String> {
    (0..array.len()).map(|row| array_value_to_string(array, row).unwrap()).collect()
}

fn round_trips(name: &str, shape: &[&str], rows: &[(Option<i8>, Option<i8>, usize)], cuts: &[usize], distinct: bool) {
    const GROUPS: usize = 3;
    let args: Vec<Arg> = shape.iter().map(|text| argument(text).0).collect();
    let resolved = resolve(name, &args).unwrap();
    let made = Made::new(&resolved, distinct);
    let numbers = [rows.iter().map(|row| row.0).collect::<Vec<_>>(), rows.iter().map(|row| row.1).collect()];
    let columns: Vec<ArrayRef> =
        resolved.args.iter().zip(numbers).map(|(data_type, numbers)| values(data_type, &numbers)).collect();
    let groups: Vec<usize> = rows.iter().map(|row| row.2).collect();
    let of = |group: usize, range: std::ops::Range<usize>| {
        let chosen: Vec<u64> = range.filter(|row| groups[*row] == group).map(|row| row as u64).collect();
        let chosen = UInt64Array::from(chosen);
        columns.iter().map(|column| take(column, &chosen, None).unwrap()).collect::<Vec<_>>()
    };
    let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut % (rows.len() + 1)).chain([0, rows.len()]).collect();
    bounds.sort_unstable();

    let expected: Vec<ArrayRef> = (0..GROUPS)
        .map(|group| {
            let mut one = made.one();
            one.update_batch(&of(group, 0..rows.len())).unwrap();
            one.evaluate().unwrap().to_array().unwrap()
        })
        .collect();
    let expected = concat(&expected.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap();
    let check = |found: &ArrayRef, how: &str| {
        assert_eq!(found.data_type(), &resolved.returns, "{name}");
        assert!(same(found, &expected), "{name}{shape:?} {how}: {:?}, not {:?}", texts(found), texts(&expected));
    };

    // One accumulator per group: each part's state is merged into what was stored before, and stored again.
    let merged: Vec<ArrayRef> = (0..GROUPS)
        .map(|group| {
            let mut stored = made.columns(&made.one().state().unwrap());
            for part in bounds.windows(2) {
                let mut partial = made.one();
                partial.update_batch(&of(group, part[0]..part[1])).unwrap();
                let mut total = made.one();
                total.merge_batch(&stored).unwrap();
                total.merge_batch(&made.columns(&partial.state().unwrap())).unwrap();
                stored = made.columns(&total.state().unwrap());
            }
            let mut last = made.one();
            last.merge_batch(&stored).unwrap();
            last.evaluate().unwrap().to_array().unwrap()
        })
        .collect();
    check(&concat(&merged.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap(), "one by one");

    // One accumulator for all groups, likewise; and rows turned into states without one.
    let all: Vec<usize> = (0..GROUPS).collect();
    let update = |part: std::ops::Range<usize>| {
        let slices: Vec<ArrayRef> = columns.iter().map(|column| column.slice(part.start, part.len())).collect();
        let mut partial = made.many();
        partial.update_batch(&slices, &groups[part.clone()], None, GROUPS).unwrap();
        (slices, partial)
    };
    let mut stored = update(0..0).1.state(EmitTo::All).unwrap();
    let mut converted = made.many();
    converted.merge_batch(&stored, &all, GROUPS).unwrap();
    for part in bounds.windows(2) {
        let (slices, mut partial) = update(part[0]..part[1]);
        let mut total = made.many();
        total.merge_batch(&stored, &all, GROUPS).unwrap();
        total.merge_batch(&partial.state(EmitTo::All).unwrap(), &all, GROUPS).unwrap();
        stored = total.state(EmitTo::All).unwrap();
        let types: Vec<DataType> = stored.iter().map(|column| column.data_type().clone()).collect();
        assert_eq!(types, made.state_types(), "{name}");
        let states = converted.convert_to_state(&slices, None).unwrap();
        converted.merge_batch(&states, &groups[part[0]..part[1]], GROUPS).unwrap();
    }
    check(&converted.evaluate(EmitTo::All).unwrap(), "converted");
    let mut last = made.many();
    last.merge_batch(&stored, &all, GROUPS).unwrap();
    let (first, rest) = (last.evaluate(EmitTo::First(1)).unwrap(), last.evaluate(EmitTo::All).unwrap());
    check(&concat(&[first.as_ref(), rest.as_ref()]).unwrap(), "many");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn states_can_be_cut_and_merged_anywhere(
        rows in prop::collection::vec((prop::option::weighted(0.8, -5_i8..20), prop::option::weighted(0.8, -5_i8..20), 0_usize..3), 0..40),
        cuts in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        for (name, shape) in SHAPES {
            round_trips(name, shape, &rows, &cuts, false);
        }
        for (name, shape) in [("count", &["int", "double"] as &[&str]), ("sum", &["int"]), ("avg", &["double"]), ("max", &["string"])] {
            round_trips(name, shape, &rows, &cuts, true);
        }
    }
}

#[test]
fn a_filter_chooses_rows() {
    let made = Made::new(&resolve("sum", &[argument("int").0]).unwrap(), false);
    let mut many = made.many();
    let values: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1, 2, 4, 8]));
    let chosen = arrow::array::BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]);
    many.update_batch(&[values], &[0, 0, 1, 1], Some(&chosen), 3).unwrap();
    assert_eq!(texts(&many.evaluate(EmitTo::All).unwrap()), ["1", "8", ""]);
}
