//! SQL text to unresolved queries.

mod convert;
mod dialect;

pub(crate) use convert::{expression, order_keys, path};
pub(crate) use dialect::{parse_expression, parse_statements};
