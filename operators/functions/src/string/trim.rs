//! What is cut off at the ends.

use arrow::datatypes::DataType;
use datafusion::error::Result;

use super::columns::{all_text, build, texts};
use crate::function::{Call, Invocation, Resolved};

pub(super) fn trim(call: &Call<'_>) -> Result<Resolved> {
    resolve(call, Order::CharactersFirst, true, true)
}

pub(super) fn btrim(call: &Call<'_>) -> Result<Resolved> {
    resolve(call, Order::TextFirst, true, true)
}

pub(super) fn ltrim(call: &Call<'_>) -> Result<Resolved> {
    resolve(call, Order::CharactersFirst, true, false)
}

pub(super) fn rtrim(call: &Call<'_>) -> Result<Resolved> {
    resolve(call, Order::CharactersFirst, false, true)
}

/// Which of two arguments is the text.
#[derive(Clone, Copy)]
enum Order {
    TextFirst,
    CharactersFirst,
}

fn resolve(call: &Call<'_>, order: Order, left: bool, right: bool) -> Result<Resolved> {
    let args = all_text(call)?;
    let (values, characters) = match (call.len(), order) {
        (1, _) => (0, None),
        (_, Order::TextFirst) => (0, Some(1)),
        (_, Order::CharactersFirst) => (1, Some(0)),
    };
    let kernel = move |invocation: &Invocation<'_>| {
        let values = texts(invocation, values)?;
        let characters = characters.map(|index| texts(invocation, index)).transpose()?;
        build(invocation.rows, |row, out: &mut String| {
            let value = values.get(row)?;
            let set = match &characters {
                Some(characters) => characters.get(row)?,
                None => " ",
            };
            let value = if left { value.trim_start_matches(|c| set.contains(c)) } else { value };
            let value = if right { value.trim_end_matches(|c| set.contains(c)) } else { value };
            out.push_str(value);
            Some(())
        })
    };
    Ok(Resolved::new(args, DataType::Utf8, kernel))
}
