//! Functions of arrays.
//!
//! - `lists`: array columns taken apart and put together;
//! - `order`: how values of any type compare;
//! - `arguments`: which types the functions take;
//! - a module for each kind of function: `build`, `access`, `edit`, `sets`, `sort`, `sequence`, `vector`.

use datafusion::error::Result;

use crate::function::{Arity, Call, Function, Resolved};

mod access;
pub(crate) mod arguments;
mod build;
mod edit;
pub(crate) mod lists;
pub(crate) mod order;
mod sequence;
mod sets;
mod sort;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod vector;

/// `concat` of arrays.
///
/// # Errors
/// `DATATYPE_MISMATCH.DATA_DIFF_TYPES` when not all arguments are arrays that have a common type.
pub fn concat(call: &Call<'_>) -> Result<Resolved> {
    build::concat(call)
}

/// `reverse` of an array.
///
/// # Errors
/// When the argument is no array.
pub fn reverse(call: &Call<'_>) -> Result<Resolved> {
    edit::reverse(call)
}

macro_rules! functions {
    ($($names:expr, $arity:expr, $resolve:expr;)*) => {
        &[$(Function { names: &$names, arity: $arity, resolve: $resolve }),*]
    };
}

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = functions![
    ["array"], Arity::at_least(0), build::array;
    ["array_repeat"], Arity::exactly(2), build::repeat;
    ["arrays_zip"], Arity::at_least(0), build::zip;
    ["flatten"], Arity::exactly(1), build::flatten;
    ["sequence"], Arity::between(2, 3), sequence::sequence;
    ["size", "cardinality"], Arity::exactly(1), access::size;
    ["array_size"], Arity::exactly(1), access::array_size;
    ["get"], Arity::exactly(2), access::get;
    ["[]"], Arity::exactly(2), access::subscript;
    ["element_at"], Arity::exactly(2), access::element_at;
    ["try_element_at"], Arity::exactly(2), access::try_element_at;
    ["array_contains"], Arity::exactly(2), access::contains;
    ["array_position"], Arity::exactly(2), access::position;
    ["slice"], Arity::exactly(3), edit::slice;
    ["array_append"], Arity::exactly(2), edit::append;
    ["array_prepend"], Arity::exactly(2), edit::prepend;
    ["array_insert"], Arity::exactly(3), edit::insert;
    ["array_remove"], Arity::exactly(2), edit::remove;
    ["array_compact"], Arity::exactly(1), edit::compact;
    ["shuffle"], Arity::between(1, 2), edit::shuffle;
    ["array_join"], Arity::between(2, 3), edit::join;
    ["array_distinct"], Arity::exactly(1), sets::distinct;
    ["array_union"], Arity::exactly(2), sets::union;
    ["array_intersect"], Arity::exactly(2), sets::intersect;
    ["array_except"], Arity::exactly(2), sets::except;
    ["arrays_overlap"], Arity::exactly(2), sets::overlap;
    ["array_max"], Arity::exactly(1), sort::max;
    ["array_min"], Arity::exactly(1), sort::min;
    ["sort_array"], Arity::between(1, 2), sort::sort_array;
    ["array_sort"], Arity::exactly(1), sort::array_sort;
    ["vector_inner_product"], Arity::exactly(2), vector::inner_product;
    ["vector_l2_distance"], Arity::exactly(2), vector::l2_distance;
    ["vector_cosine_similarity"], Arity::exactly(2), vector::cosine_similarity;
    ["vector_norm"], Arity::between(1, 2), vector::norm;
    ["vector_normalize"], Arity::between(1, 2), vector::normalize;
];
