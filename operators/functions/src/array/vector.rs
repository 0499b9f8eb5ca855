//! Arrays of `float` as vectors. They are computed with in double precision; a vector with a null in it has no value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Float32Type};
use datafusion::error::Result;

use super::lists::{Lists, list_of};
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::list;

/// An array column's rows as vectors.
struct Vectors {
    lists: Lists,
    whole: Vec<bool>,
}

impl Vectors {
    fn of(array: &ArrayRef) -> Result<Self> {
        let lists = Lists::of(array)?;
        let whole = |row| !lists.is_null(row) && lists.range(row).all(|index| lists.values.is_valid(index));
        let whole = (0..lists.len()).map(whole).collect();
        Ok(Vectors { lists, whole })
    }

    /// The row's vector, if it has no null.
    fn row(&self, row: usize) -> Option<&[f32]> {
        self.whole[row].then(|| &self.lists.values.as_primitive::<Float32Type>().values()[self.lists.range(row)])
    }
}

fn vector(call: &Call<'_>, index: usize) -> Result<DataType> {
    let wanted = list(DataType::Float32);
    if call.data_type(index) == &wanted { Ok(wanted) } else { Err(call.unexpected_type(index, "the \"ARRAY<FLOAT>\" type")) }
}

/// The sum, of nothing too: it is zero then, not the negative zero that `sum` begins with.
fn total(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

fn dot(left: &[f32], right: &[f32]) -> f64 {
    total(left.iter().zip(right).map(|(l, r)| f64::from(*l) * f64::from(*r)))
}

pub(super) fn inner_product(call: &Call<'_>) -> Result<Resolved> {
    of_two(call, |left, right| Some(dot(left, right)))
}

pub(super) fn l2_distance(call: &Call<'_>) -> Result<Resolved> {
    of_two(call, |left, right| {
        let squares = left.iter().zip(right).map(|(l, r)| (f64::from(*l) - f64::from(*r)).powi(2));
        Some(total(squares).sqrt())
    })
}

pub(super) fn cosine_similarity(call: &Call<'_>) -> Result<Resolved> {
    of_two(call, |left, right| {
        let lengths = dot(left, left).sqrt() * dot(right, right).sqrt();
        (lengths != 0.0).then(|| dot(left, right) / lengths)
    })
}

fn of_two(call: &Call<'_>, compute: fn(&[f32], &[f32]) -> Option<f64>) -> Result<Resolved> {
    let args = vec![vector(call, 0)?, vector(call, 1)?];
    let name = call.name.to_owned();
    let kernel = move |invocation: &Invocation<'_>| -> Result<ArrayRef> {
        let (left, right) = (Vectors::of(&invocation.array(0)?)?, Vectors::of(&invocation.array(1)?)?);
        let one = |row: usize| {
            let (l, r) = (left.lists.size(row), right.lists.size(row));
            if l != r && !left.lists.is_null(row) && !right.lists.is_null(row) {
                let message = format!("Vectors passed to `{name}` must have the same dimension, but got {l} and {r}.");
                return Err(spark_error("VECTOR_DIMENSION_MISMATCH", message));
            }
            let vectors = left.row(row).zip(right.row(row));
            Ok(vectors.and_then(|(left, right)| compute(left, right)).map(|value| value as f32))
        };
        Ok(Arc::new((0..invocation.rows).map(one).collect::<Result<Float32Array>>()?))
    };
    Ok(Resolved::new(args, DataType::Float32, kernel).fallible())
}

/// The arguments of a function of a vector and the degree of a norm.
fn vector_and_degree(call: &Call<'_>) -> Result<Vec<DataType>> {
    let mut args = vec![vector(call, 0)?];
    if call.len() == 2 {
        match call.data_type(1) {
            DataType::Float32 => args.push(DataType::Float32),
            _ => return Err(call.unexpected_type(1, "the \"FLOAT\" type")),
        }
    }
    Ok(args)
}

/// For each row its vector and that vector's norm.
fn with_norms(name: &str, invocation: &Invocation<'_>, mut each: impl FnMut(Option<(&[f32], f64)>)) -> Result<()> {
    let vectors = Vectors::of(&invocation.array(0)?)?;
    let degrees = if invocation.args.len() == 2 { Some(invocation.array(1)?) } else { None };
    let degrees = degrees.as_ref().map(|degrees| degrees.as_primitive::<Float32Type>());
    for row in 0..vectors.lists.len() {
        let degree = degrees.map_or(Some(2.0), |degrees| degrees.is_valid(row).then(|| degrees.value(row)));
        let Some(degree) = degree.filter(|_| !vectors.lists.is_null(row)) else {
            each(None);
            continue;
        };
        if degree != 1.0 && degree != 2.0 && degree != f32::INFINITY {
            let message = format!("For the `{name}` function, degree must be 1.0, 2.0, or float('inf'), but got {degree:?}.");
            return Err(spark_error("INVALID_VECTOR_NORM_DEGREE", message));
        }
        let norm = |vector: &[f32]| match degree {
            1.0 => total(vector.iter().map(|value| f64::from(value.abs()))),
            2.0 => dot(vector, vector).sqrt(),
            _ => vector.iter().map(|value| f64::from(value.abs())).fold(0.0, f64::max),
        };
        each(vectors.row(row).map(|vector| (vector, norm(vector))));
    }
    Ok(())
}

pub(super) fn norm(call: &Call<'_>) -> Result<Resolved> {
    let (args, name) = (vector_and_degree(call)?, call.name.to_owned());
    let kernel = move |invocation: &Invocation<'_>| -> Result<ArrayRef> {
        let mut norms = Vec::with_capacity(invocation.rows);
        with_norms(&name, invocation, |vector| norms.push(vector.map(|(_, norm)| norm as f32)))?;
        Ok(Arc::new(Float32Array::from(norms)))
    };
    Ok(Resolved::new(args, DataType::Float32, kernel).fallible())
}

pub(super) fn normalize(call: &Call<'_>) -> Result<Resolved> {
    let (args, name) = (vector_and_degree(call)?, call.name.to_owned());
    let returns = args[0].clone();
    let kernel = move |invocation: &Invocation<'_>| {
        let (mut values, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
        with_norms(&name, invocation, |vector| {
            // The null vector has no direction, but one without elements stays what it is.
            let vector = vector.filter(|(vector, norm)| vector.is_empty() || *norm != 0.0);
            let (elements, norm) = vector.unwrap_or_default();
            values.extend(elements.iter().map(|value| (f64::from(*value) / norm) as f32));
            lengths.push(elements.len());
            valid.push(vector.is_some());
        })?;
        let values: ArrayRef = Arc::new(Float32Array::from(values));
        list_of(values, OffsetBuffer::from_lengths(lengths), Some(NullBuffer::from(valid)))
    };
    Ok(Resolved::new(args, returns, kernel).fallible())
}
