//! Aggregate functions, whose state can be stored and merged.
//!
//! Each is a DataFusion [`AggregateUDF`], so that batch queries run them as they are. For streams there is a stronger contract:
//! an accumulator's exported state (`state`), imported into a new accumulator (`merge_batch`), gives the same result as if all rows had
//! gone through one accumulator, whatever the cut; and the state's types are fixed by the types of the arguments.

mod distinct;
mod extremes;
mod fold;
mod groups;
mod keep;
mod moments;
mod percentiles;
mod sketch;
mod sums;
#[cfg(test)]
mod tests;
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
    function(&["first", "first_value", "any_value"], Arity::between(1, 2), keep::first),
    function(&["last", "last_value"], Arity::between(1, 2), keep::last),
    function(&["collect_list", "array_agg"], Arity::exactly(1), keep::collect_list),
    function(&["collect_set"], Arity::exactly(1), keep::collect_set),
    function(&["mode"], Arity::between(1, 3), keep::mode),
    function(&["listagg", "string_agg"], Arity::between(1, 2), keep::listagg),
    function(&["approx_count_distinct"], Arity::between(1, 2), sketch::approx_count_distinct),
    function(&["percentile"], Arity::between(2, 3), percentiles::percentile),
    function(&["median"], Arity::exactly(1), percentiles::median),
    function(&["percentile_cont"], Arity::between(2, 3), percentiles::percentile_cont),
    function(&["percentile_disc"], Arity::between(2, 3), percentiles::percentile_disc),
    function(&["percentile_approx", "approx_percentile"], Arity::between(2, 3), percentiles::percentile_approx),
    function(&["stddev", "stddev_samp", "std"], Arity::exactly(1), moments::stddev_samp),
    function(&["stddev_pop"], Arity::exactly(1), moments::stddev_pop),
    function(&["variance", "var_samp"], Arity::exactly(1), moments::var_samp),
    function(&["var_pop"], Arity::exactly(1), moments::var_pop),
    function(&["skewness"], Arity::exactly(1), moments::skewness),
    function(&["kurtosis"], Arity::exactly(1), moments::kurtosis),
    function(&["corr"], Arity::exactly(2), moments::corr),
    function(&["covar_pop"], Arity::exactly(2), moments::covar_pop),
    function(&["covar_samp"], Arity::exactly(2), moments::covar_samp),
    function(&["regr_count"], Arity::exactly(2), moments::regr_count),
    function(&["regr_slope"], Arity::exactly(2), moments::regr_slope),
    function(&["regr_intercept"], Arity::exactly(2), moments::regr_intercept),
    function(&["regr_r2"], Arity::exactly(2), moments::regr_r2),
    function(&["regr_avgx"], Arity::exactly(2), moments::regr_avgx),
    function(&["regr_avgy"], Arity::exactly(2), moments::regr_avgy),
    function(&["regr_sxx"], Arity::exactly(2), moments::regr_sxx),
    function(&["regr_sxy"], Arity::exactly(2), moments::regr_sxy),
    function(&["regr_syy"], Arity::exactly(2), moments::regr_syy),
];

/// Whether what this aggregate function gives depends on the order of its rows.
pub fn depends_on_order(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "first",
        "first_value",
        "any_value",
        "last",
        "last_value",
        "collect_list",
        "array_agg",
        "collect_set",
        "listagg",
        "string_agg",
        "min_by",
        "max_by",
        "mode",
    ];
    NAMES.contains(&name)
}

const fn function(
    names: &'static [&'static str],
    arity: Arity,
    resolve: fn(&Call<'_>) -> Result<ResolvedAggregate>,
) -> AggregateFunction {
    AggregateFunction { names, arity, resolve }
}
