//! Functions that take lambdas: `transform(xs, x -> x + 1)`.
//!
//! A lambda's body is an expression over its parameters and over columns of the row that it stands in (its *captures*). The analyser
//! resolves a body when the function asks for it with the parameters' types, and gives a [`Lambda`]. At run time the captures come
//! to the kernel as further arguments, after the function's own; a kernel hands them on with one value for each element.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, new_empty_array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use crate::error::spark_error;
use crate::function::{Arity, Call, Invocation, Resolved};
use crate::types::sql_name;

mod arrays;
mod fold;
mod maps;
mod sort;
#[cfg(test)]
mod tests;

/// Computes a lambda's body: from the parameters, all captures (each with one value a row, in their order), and the number of rows.
pub type LambdaBody = Arc<dyn Fn(&[ArrayRef], &[ArrayRef], usize) -> Result<ArrayRef> + Send + Sync>;

/// A lambda whose body is resolved.
#[derive(Clone)]
pub struct Lambda {
    /// The type of its result.
    pub returns: DataType,
    /// What computes it.
    pub body: LambdaBody,
    /// Whether some values make it fail.
    pub fallible: bool,
}

impl fmt::Debug for Lambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lambda").field("returns", &self.returns).finish_non_exhaustive()
    }
}

/// Resolves the lambdas of a call. The number of an argument counts values and lambdas alike.
pub trait LambdaResolver {
    /// How many parameters the lambda at this argument has; `None` if the argument is a value.
    fn parameters(&self, argument: usize) -> Option<usize>;

    /// The lambda at this argument, for parameters of these types. May be called again with other types.
    ///
    /// # Errors
    /// When the argument is no lambda, has another number of parameters, or its body can't be resolved with these types.
    fn resolve(&mut self, argument: usize, parameters: &[DataType]) -> Result<Lambda>;
}

/// A function that takes lambdas.
///
/// `call.args` holds the values only, in their order, without the lambdas; `Resolved::args` too. At run time the captures follow
/// after them: `invocation.args[resolved.args.len()..]`.
#[derive(Clone, Copy)]
pub struct HigherOrder {
    /// Its name and other names, in lower case.
    pub names: &'static [&'static str],
    /// How many arguments it takes, lambdas included.
    pub arity: Arity,
    /// Chooses types and kernel.
    pub resolve: fn(&Call<'_>, &mut dyn LambdaResolver) -> Result<Resolved>,
}

impl fmt::Debug for HigherOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HigherOrder").field("names", &self.names).field("arity", &self.arity).finish_non_exhaustive()
    }
}

/// The functions of this family.
pub(crate) const FUNCTIONS: &[HigherOrder] = &[
    HigherOrder { names: &["transform"], arity: Arity::exactly(2), resolve: arrays::transform },
    HigherOrder { names: &["filter"], arity: Arity::exactly(2), resolve: arrays::filter },
    HigherOrder { names: &["exists"], arity: Arity::exactly(2), resolve: arrays::exists },
    HigherOrder { names: &["forall"], arity: Arity::exactly(2), resolve: arrays::forall },
    HigherOrder { names: &["zip_with"], arity: Arity::exactly(3), resolve: arrays::zip_with },
    HigherOrder { names: &["aggregate", "reduce"], arity: Arity::between(3, 4), resolve: fold::aggregate },
    HigherOrder { names: &["array_sort"], arity: Arity::exactly(2), resolve: sort::array_sort },
    HigherOrder { names: &["map_filter"], arity: Arity::exactly(2), resolve: maps::filter },
    HigherOrder { names: &["transform_values"], arity: Arity::exactly(2), resolve: maps::transform_values },
    HigherOrder { names: &["transform_keys"], arity: Arity::exactly(2), resolve: maps::transform_keys },
    HigherOrder { names: &["map_zip_with"], arity: Arity::exactly(3), resolve: maps::zip_with },
];

impl Lambda {
    /// Computes the body for `rows` values of the parameters; not at all if there are none.
    fn call(&self, parameters: &[ArrayRef], captures: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        if rows == 0 {
            return Ok(new_empty_array(&self.returns));
        }
        let values = (self.body)(parameters, captures, rows)?;
        if values.data_type() != &self.returns || values.len() != rows {
            let (promised, given) = (&self.returns, values.data_type());
            let message = format!("lambda: promised {rows} rows of {promised}, gave {} of {given}", values.len());
            return Err(DataFusionError::Internal(message));
        }
        Ok(values)
    }

    /// Marks a function as failing if this lambda can.
    fn mark(&self, resolved: Resolved) -> Resolved {
        if self.fallible { resolved.fallible() } else { resolved }
    }
}

/// What a lambda's body uses of the row that it stands in.
struct Captures<'a> {
    columns: &'a [ColumnarValue],
}

impl<'a> Captures<'a> {
    /// What follows after a function's own arguments.
    fn after(invocation: &Invocation<'a>, own: usize) -> Self {
        Captures { columns: invocation.args.get(own..).unwrap_or(&[]) }
    }

    /// The captures for calls of the body that stand in these rows.
    fn at(&self, rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
        let one = |column: &ColumnarValue| match column {
            ColumnarValue::Scalar(value) => value.to_array_of_size(rows.len()),
            ColumnarValue::Array(values) => Ok(take(values, rows, None)?),
        };
        self.columns.iter().map(one).collect()
    }
}

/// The lambda at `argument`, which must give a boolean.
fn predicate(call: &Call<'_>, lambdas: &mut dyn LambdaResolver, argument: usize, parameters: &[DataType]) -> Result<Lambda> {
    let lambda = lambdas.resolve(argument, parameters)?;
    if lambda.returns == DataType::Boolean {
        return Ok(lambda);
    }
    if lambda.returns == DataType::Null {
        let body = Arc::clone(&lambda.body);
        let body: LambdaBody = Arc::new(move |parameters, captures, rows| {
            body(parameters, captures, rows)?;
            Ok(new_null_array(&DataType::Boolean, rows))
        });
        return Ok(Lambda { returns: DataType::Boolean, body, fallible: lambda.fallible });
    }
    Err(unexpected_result(call, argument, &DataType::Boolean, &lambda.returns))
}

/// The error for a lambda that gives a value of another type than it must.
fn unexpected_result(call: &Call<'_>, argument: usize, wanted: &DataType, given: &DataType) -> DataFusionError {
    let ordinal = ["first", "second", "third", "fourth"].get(argument).copied().unwrap_or("last");
    let (wanted, given) = (sql_name(wanted), sql_name(given));
    spark_error(
        "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
        format!(
            "Cannot resolve \"{}\" due to data type mismatch: The {ordinal} parameter requires the \"{wanted}\" type, however \
             \"lambdafunction\" has the type \"{given}\".",
            call.sql()
        ),
    )
}
