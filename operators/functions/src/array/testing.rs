//! How the tests of collections call functions: values are JSON, results are text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};
use arrow::json::ReaderBuilder;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

use crate::function::{Arg, Call, Invocation, Resolved, Settings};
use crate::types::parse;
use crate::{SparkError, registry};

/// A column of these values.
pub(crate) fn column(data_type: &DataType, values: &[&str]) -> ArrayRef {
    match data_type {
        DataType::Null => return new_null_array(data_type, values.len()),
        DataType::Duration(TimeUnit::Microsecond) => {
            return arrow::compute::cast(&column(&DataType::Int64, values), data_type).unwrap();
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            return arrow::compute::cast(&column(&DataType::Int32, values), data_type).unwrap();
        }
        _ => {}
    }
    let lines: String = values.iter().map(|value| format!("{{\"c\": {value}}}\n")).collect();
    let schema = Arc::new(Schema::new(vec![Field::new("c", data_type.clone(), true)]));
    let mut reader = ReaderBuilder::new(schema).with_batch_size(values.len()).build(lines.as_bytes()).unwrap();
    let column = Arc::clone(reader.next().unwrap().unwrap().column(0));
    assert_eq!(column.len(), values.len());
    column
}

/// Each value as text.
pub(crate) fn texts(values: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let formatter = ArrayFormatter::try_new(values, &options).unwrap();
    (0..values.len()).map(|row| formatter.value(row).to_string()).collect()
}

/// The arguments as the analyser knows them: atoms are literals.
pub(crate) fn arguments(args: &[(&str, &str)]) -> Vec<Arg> {
    let one = |(data_type, value): &(&str, &str)| {
        let data_type = parse(data_type).unwrap();
        let values = column(&data_type, &[value]);
        let is_atom = !crate::types::is_nested(&data_type);
        let literal = is_atom.then(|| ScalarValue::try_from_array(&values, 0).unwrap());
        Arg { data_type, literal, sql: (*value).to_owned() }
    };
    args.iter().map(one).collect()
}

fn invoke(resolved: &Resolved, args: &[ColumnarValue], rows: usize) -> Result<Vec<String>> {
    let values = (resolved.kernel)(&Invocation { args, rows })?;
    assert_eq!((values.data_type(), values.len()), (&resolved.returns, rows));
    Ok(texts(&values))
}

/// Calls what a call was resolved to: with columns, with parts of columns, and with scalars. All have to give the same.
pub(crate) fn run(resolved: &Resolved, args: &[(&str, &str)]) -> Result<String> {
    let of = |(index, (_, value)): (usize, &(&str, &str))| column(&resolved.args[index], &[value, "null", value, value]);
    let columns: Vec<ArrayRef> = args.iter().enumerate().map(of).collect();
    let parts: Vec<_> = columns.iter().map(|values| ColumnarValue::Array(values.slice(2, 2))).collect();
    let scalars: Vec<_> =
        columns.iter().map(|values| ColumnarValue::Scalar(ScalarValue::try_from_array(values, 0).unwrap())).collect();
    let one = invoke(resolved, &scalars, 1).inspect_err(|error| assert!(resolved.fallible, "{error}"))?.remove(0);
    assert_eq!(invoke(resolved, &parts, 2)?, vec![one.clone(), one.clone()]);
    let whole: Vec<_> = columns.iter().map(|values| ColumnarValue::Array(Arc::clone(values))).collect();
    // A row of nulls may be an error, but not to a function that never fails.
    match invoke(resolved, &whole, 4) {
        Ok(all) => assert_eq!((&all[0], &all[2], &all[3]), (&one, &one, &one)),
        Err(error) => assert!(resolved.fallible, "{error}"),
    }
    // No rows at all.
    let none: Vec<_> = columns.iter().map(|values| ColumnarValue::Array(values.slice(2, 0))).collect();
    assert!(invoke(resolved, &none, 0)?.is_empty());
    Ok(one)
}

/// Calls a function with one row of values. The result is text, or the name of an error's condition after a `!`.
pub(crate) fn eval(name: &str, args: &[(&str, &str)]) -> String {
    let function = registry::scalar(name).expect("a function");
    let (known, settings) = (arguments(args), Settings::default());
    let call = Call { name, args: &known, settings: &settings };
    let result = function
        .arity
        .check(name, args.len())
        .and_then(|()| (function.resolve)(&call))
        .and_then(|resolved| run(&resolved, args).map(|text| format!("{text} {}", crate::types::name(&resolved.returns))));
    match result {
        Ok(text) => text,
        Err(error) => format!("!{}", SparkError::find(&error).unwrap_or_else(|| panic!("{name}: {error}")).condition),
    }
}

/// Arguments of a call: each a type and a value.
pub(crate) type Values<'a> = &'a [(&'a str, &'a str)];

/// Checks a table of calls, each of a name, arguments, and what comes out.
pub(crate) fn check(cases: &[(&str, Values<'_>, &str)]) {
    for (name, args, expected) in cases {
        assert_eq!(eval(name, args), *expected, "{name} {args:?}");
    }
}
