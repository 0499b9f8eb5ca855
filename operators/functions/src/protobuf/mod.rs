//! Protobuf messages: `from_protobuf`, `to_protobuf`, with the cargo feature `protobuf`.
//!
//! The message's type is in a file that `protoc --include_imports --descriptor_set_out` wrote, which is read when the query is
//! analysed. `shape` maps it to Spark's types, `decode` goes from bytes to columns and `encode` the other way, both by hand: entries
//! of maps keep their order, so that the same rows give the same bytes however often an epoch is run.

#[cfg(feature = "protobuf")]
mod decode;
#[cfg(feature = "protobuf")]
mod descriptor;
#[cfg(feature = "protobuf")]
mod encode;
#[cfg(feature = "protobuf")]
mod functions;
#[cfg(feature = "protobuf")]
mod shape;

use crate::function::{Arity, Function};
#[cfg(feature = "protobuf")]
use functions::{from_protobuf, to_protobuf};
#[cfg(not(feature = "protobuf"))]
use missing as from_protobuf;
#[cfg(not(feature = "protobuf"))]
use missing as to_protobuf;

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["from_protobuf"], arity: Arity::between(3, 4), resolve: from_protobuf },
    Function { names: &["to_protobuf"], arity: Arity::between(3, 4), resolve: to_protobuf },
];

#[cfg(not(feature = "protobuf"))]
fn missing(call: &crate::function::Call<'_>) -> datafusion::error::Result<crate::function::Resolved> {
    Err(crate::error::spark_error(
        "PROTOBUF_NOT_LOADED_SQL_FUNCTIONS_UNUSABLE",
        format!(
            "Cannot call the {} SQL function because Protobuf is not built in. Build tidegate with the cargo feature `protobuf`.",
            call.name.to_uppercase()
        ),
    ))
}

#[cfg(test)]
#[cfg(feature = "protobuf")]
mod tests;

#[cfg(test)]
#[cfg(not(feature = "protobuf"))]
mod tests {
    use crate::message::testing::{call, literal, messages};

    #[test]
    fn the_error_says_what_to_enable() {
        let error = call("from_protobuf", &messages([&[0][..]]), &[literal("M"), literal("m.desc")]).unwrap_err().to_string();
        assert!(error.contains("PROTOBUF_NOT_LOADED") && error.contains("feature `protobuf`"), "{error}");
    }
}
