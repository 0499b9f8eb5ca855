//! Aggregate functions, whose state can be stored and merged.
//!
//! Each is a DataFusion [`AggregateUDF`], so that batch queries run them as they are. For streams there is a stronger contract:
//! an accumulator's exported state (`state`), imported into a new accumulator (`merge_batch`), gives the same result as if all rows had
//! gone through one accumulator, whatever the cut; and the state's types are fixed by the types of the arguments.

mod distinct;
mod extremes;
mod fold;
mod groups;
mod sums;
mod values;

use std::fmt;

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::AggregateUDF;

use crate::function::{Arity, Call};

/// An aggregate function, before it is resolved for a call.
#[derive(Clone, Copy)]
pub struct AggregateFunction {
    /// Its name and other names, in lower case.
    pub names: &'static [&'static str],
    /// How many arguments it takes; checked before `resolve` is called.
    pub arity: Arity,
    /// Chooses types and accumulator.
    pub resolve: fn(&Call<'_>) -> Result<ResolvedAggregate>,
}

/// An aggregate function resolved for the types of one call.
#[derive(Debug, Clone)]
pub struct ResolvedAggregate {
    /// The types that the arguments have to be cast to. May be fewer than the call's: a prefix of them. The others were literals that
    /// the function has taken in (a fraction, a delimiter, whether to skip nulls).
    pub args: Vec<DataType>,
    /// The type of the result.
    pub returns: DataType,
    /// What computes it, from arguments of these types.
    pub udaf: AggregateUDF,
}

impl fmt::Debug for AggregateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AggregateFunction").field("names", &self.names).field("arity", &self.arity).finish_non_exhaustive()
    }
}

/// All aggregate functions.
pub(crate) const FUNCTIONS: &[AggregateFunction] = &[
    function(&["count"], Arity::at_least(0), sums::count),
    function(&["count_if"], Arity::exactly(1), sums::count_if),
    function(&["sum"], Arity::exactly(1), sums::sum),
    function(&["try_sum"], Arity::exactly(1), sums::try_sum),
    function(&["avg", "mean"], Arity::exactly(1), sums::avg),
    function(&["try_avg"], Arity::exactly(1), sums::try_avg),
    function(&["min"], Arity::exactly(1), extremes::min),
    function(&["max"], Arity::exactly(1), extremes::max),
    function(&["min_by"], Arity::exactly(2), extremes::min_by),
    function(&["max_by"], Arity::exactly(2), extremes::max_by),
    function(&["bool_and", "every"], Arity::exactly(1), extremes::bool_and),
    function(&["bool_or", "some", "any"], Arity::exactly(1), extremes::bool_or),
    function(&["bit_and"], Arity::exactly(1), extremes::bit_and),
    function(&["bit_or"], Arity::exactly(1), extremes::bit_or),
    function(&["bit_xor"], Arity::exactly(1), extremes::bit_xor),
];

const fn function(
    names: &'static [&'static str],
    arity: Arity,
    resolve: fn(&Call<'_>) -> Result<ResolvedAggregate>,
) -> AggregateFunction {
    AggregateFunction { names, arity, resolve }
}
