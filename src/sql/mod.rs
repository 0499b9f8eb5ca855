//! SQL text to unresolved queries.

mod convert;
mod dialect;
mod tokens;

pub(crate) use convert::{expression, order_keys, path, type_of, window};
pub(crate) use dialect::{parse_expression, parse_statements};
