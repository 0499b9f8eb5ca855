//! Which message a call means: a file of descriptors and a name in it.

use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use prost_reflect::{DescriptorPool, MessageDescriptor};

use crate::error::spark_error;
use crate::function::Call;
use crate::message::wrong_argument;

/// The message that the arguments from `index` on name: its name, and the path of a file or the file's bytes.
///
/// # Errors
/// `PROTOBUF_DESCRIPTOR_FILE_NOT_FOUND`, `CANNOT_PARSE_PROTOBUF_DESCRIPTOR`, `PROTOBUF_MESSAGE_NOT_FOUND`; or when an argument is no
/// literal.
pub(super) fn message(call: &Call<'_>, index: usize) -> Result<MessageDescriptor> {
    let Some(name) = call.literal_str(index) else {
        return Err(wrong_argument(call, "second", "a constant string with the name of the Protobuf message"));
    };
    let bytes = match call.literal(index + 1) {
        Some(ScalarValue::Binary(Some(bytes))) => bytes.clone(),
        Some(ScalarValue::Utf8(Some(path))) => read(path)?,
        _ => return Err(wrong_argument(call, "third", "a constant string with the path of a Protobuf descriptor file")),
    };
    let pool = DescriptorPool::decode(bytes.as_slice()).map_err(|error| unreadable(&error.to_string()))?;
    find(&pool, name)
}

fn read(path: &str) -> Result<Vec<u8>> {
    let local = path.strip_prefix("file://").or_else(|| path.strip_prefix("file:")).unwrap_or(path);
    std::fs::read(local).map_err(|error| {
        spark_error(
            "PROTOBUF_DESCRIPTOR_FILE_NOT_FOUND",
            format!("Error reading Protobuf descriptor file at path: {path}: {error}."),
        )
    })
}

fn unreadable(reason: &str) -> DataFusionError {
    spark_error(
        "CANNOT_PARSE_PROTOBUF_DESCRIPTOR",
        format!(
            "Error parsing descriptor bytes into Protobuf FileDescriptorSet: {reason}. Write it with `protoc --include_imports \
             --descriptor_set_out=FILE`."
        ),
    )
}

/// By the full name, or by the name alone if only one message has it.
fn find(pool: &DescriptorPool, name: &str) -> Result<MessageDescriptor> {
    let not_found = |hint: &str| {
        Err(spark_error("PROTOBUF_MESSAGE_NOT_FOUND", format!("Unable to locate Message {name} in Descriptor{hint}.")))
    };
    if let Some(found) = pool.get_message_by_name(name) {
        return Ok(found);
    }
    let is_called = |message: &MessageDescriptor| {
        let full = message.full_name();
        full.strip_suffix(name).is_some_and(|before| before.ends_with('.')) && !message.is_map_entry()
    };
    let mut found: Vec<MessageDescriptor> = pool.all_messages().filter(is_called).collect();
    match (found.pop(), found.len()) {
        (Some(message), 0) => Ok(message),
        (None, _) => not_found(""),
        (Some(last), _) => {
            let names: Vec<String> = found.iter().chain([&last]).map(|message| message.full_name().to_owned()).collect();
            not_found(&format!(": {} have that name", names.join(", ")))
        }
    }
}

/// Where a message is among those of its file: its number, or the numbers of those around it and its own.
pub(super) fn place(message: &MessageDescriptor) -> Vec<i64> {
    message.path().iter().skip(1).step_by(2).map(|number| i64::from(*number)).collect()
}
