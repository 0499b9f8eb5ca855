//! Whether rows are those that are expected.

use arrow::datatypes::DataType;
use serde_json::Value;

use crate::values::double;

/// Compares rows, in any order unless `ordered`.
pub(crate) fn rows(types: &[DataType], actual: &[Vec<Value>], expected: &[Vec<Value>], ordered: bool) -> Result<(), String> {
    let same = |left: &Vec<Value>, right: &Vec<Value>| {
        left.len() == right.len() && types.iter().zip(left.iter().zip(right)).all(|(own, (l, r))| equal(own, l, r))
    };
    let report = || {
        let show = |rows: &[Vec<Value>]| {
            rows.iter().map(|row| format!("    {}", Value::Array(row.clone()))).collect::<Vec<_>>().join("\n")
        };
        format!("rows differ\n  expected:\n{}\n  actual:\n{}", show(expected), show(actual))
    };
    if actual.len() != expected.len() {
        return Err(report());
    }
    if ordered {
        return if actual.iter().zip(expected).all(|(l, r)| same(l, r)) { Ok(()) } else { Err(report()) };
    }
    let mut left: Vec<&Vec<Value>> = actual.iter().collect();
    for row in expected {
        match left.iter().position(|own| same(own, row)) {
            Some(at) => {
                left.swap_remove(at);
            }
            None => return Err(report()),
        }
    }
    Ok(())
}

/// Whether two values are the same, floating-point numbers nearly so.
pub(crate) fn equal(data_type: &DataType, left: &Value, right: &Value) -> bool {
    if left.is_null() || right.is_null() {
        return left.is_null() && right.is_null();
    }
    match data_type {
        DataType::Float32 => near(left, right, 1e-6),
        DataType::Float64 => near(left, right, 1e-9),
        DataType::List(field) => match (left.as_array(), right.as_array()) {
            (Some(left), Some(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(l, r)| equal(field.data_type(), l, r))
            }
            _ => false,
        },
        DataType::Struct(fields) => fields.iter().all(|field| {
            let part = |value: &Value| value.get(field.name()).cloned().unwrap_or_default();
            equal(field.data_type(), &part(left), &part(right))
        }),
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { return false };
            let (Some(left), Some(right)) = (left.as_array(), right.as_array()) else { return false };
            let pair =
                |l: &Value, r: &Value| equal(fields[0].data_type(), &l[0], &r[0]) && equal(fields[1].data_type(), &l[1], &r[1]);
            left.len() == right.len() && left.iter().all(|l| right.iter().any(|r| pair(l, r)))
        }
        _ => left == right,
    }
}

fn near(left: &Value, right: &Value, tolerance: f64) -> bool {
    let (Some(left), Some(right)) = (double(left), double(right)) else { return false };
    if left.is_nan() || right.is_nan() {
        return left.is_nan() && right.is_nan();
    }
    left == right || (left - right).abs() <= (tolerance * left.abs().max(right.abs())).max(1e-12)
}
