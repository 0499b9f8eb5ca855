//! Functions that take lambdas: `transform(xs, x -> x + 1)`.
//!
//! A lambda's body is an expression over its parameters and over columns of the row that it stands in (its *captures*). The analyser
//! resolves a body when the function asks for it with the parameters' types, and gives a [`Lambda`]. At run time the captures come
//! to the kernel as further arguments, after the function's own; a kernel hands them on with one value for each element.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::error::Result;

use crate::function::{Arity, Call, Resolved};

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
pub(crate) const FUNCTIONS: &[HigherOrder] = &[];
