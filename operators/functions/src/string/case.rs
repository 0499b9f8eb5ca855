//! Upper, lower and title case.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;
use datafusion::error::Result;

use super::columns::{Column, build, text, texts};
use crate::function::{Call, Invocation, Resolved};

pub(super) fn upper(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| map(invocation, u8::to_ascii_uppercase, str::to_uppercase);
    Ok(Resolved::new(vec![text(call, 0)?], DataType::Utf8, kernel))
}

pub(super) fn lower(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| map(invocation, u8::to_ascii_lowercase, str::to_lowercase);
    Ok(Resolved::new(vec![text(call, 0)?], DataType::Utf8, kernel))
}

pub(super) fn initcap(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            title_words(values.get(row)?, out);
            Some(())
        })
    };
    Ok(Resolved::new(vec![text(call, 0)?], DataType::Utf8, kernel))
}

/// ASCII keeps its length, so that a column of it is mapped as one run of bytes.
fn map(invocation: &Invocation<'_>, ascii: fn(&u8) -> u8, other: fn(&str) -> String) -> Result<ArrayRef> {
    let values = texts(invocation, 0)?;
    if let Column::Each(array) = &values
        && array.value_data().is_ascii()
    {
        let bytes: Vec<u8> = array.value_data().iter().map(ascii).collect();
        let mapped =
            StringArray::try_new(array.offsets().clone(), Buffer::from_vec(bytes), arrow::array::Array::nulls(*array).cloned());
        return Ok(Arc::new(mapped?));
    }
    build(invocation.rows, |row, out: &mut String| {
        let value = values.get(row)?;
        if value.is_ascii() {
            out.extend(value.bytes().map(|byte| char::from(ascii(&byte))));
        } else {
            out.push_str(&other(value));
        }
        Some(())
    })
}

/// Words are separated by spaces and nothing else.
fn title_words(value: &str, out: &mut String) {
    for (index, word) in value.split(' ').enumerate() {
        if index > 0 {
            out.push(' ');
        }
        let Some(first) = word.chars().next() else { continue };
        title(first, out);
        // The whole word is mapped, because what surrounds a letter may matter.
        let skipped: usize = first.to_lowercase().map(char::len_utf8).sum();
        out.push_str(word.to_lowercase().get(skipped..).unwrap_or_default());
    }
}

/// Title case is upper case, but where one character stands for several letters only the first of them is upper.
fn title(c: char, out: &mut String) {
    let single = match c {
        'Ǆ' | 'ǅ' | 'ǆ' => 'ǅ',
        'Ǉ' | 'ǈ' | 'ǉ' => 'ǈ',
        'Ǌ' | 'ǋ' | 'ǌ' => 'ǋ',
        'Ǳ' | 'ǲ' | 'ǳ' => 'ǲ',
        'ᾳ' | 'ᾼ' => 'ᾼ',
        'ῃ' | 'ῌ' => 'ῌ',
        'ῳ' | 'ῼ' => 'ῼ',
        'ა'..='ჿ' | '\u{1F88}'..='\u{1F8F}' | '\u{1F98}'..='\u{1F9F}' | '\u{1FA8}'..='\u{1FAF}' => c,
        '\u{1F80}'..='\u{1F87}' | '\u{1F90}'..='\u{1F97}' | '\u{1FA0}'..='\u{1FA7}' => char::from_u32(c as u32 + 8).unwrap_or(c),
        _ => {
            let mut first = true;
            for upper in c.to_uppercase() {
                if first {
                    out.push(upper)
                } else {
                    out.extend(upper.to_lowercase())
                }
                first &= !upper.is_uppercase();
            }
            return;
        }
    };
    out.push(single);
}
