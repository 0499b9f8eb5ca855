//! Numbers of strings: lengths, distances, checks.

use arrow::array::ArrayRef;
use arrow::datatypes::{BinaryType, DataType, Int32Type, Utf8Type};
use datafusion::error::Result;

use super::columns::{Sequence, booleans, build, exactly_text, int, ints, numbers, sequences, text, text_or_binary, texts};
use crate::function::{Call, Invocation, Resolved};

pub(super) fn length(call: &Call<'_>) -> Result<Resolved> {
    let args = vec![text_or_binary(call, 0)?];
    Ok(match args[0] {
        DataType::Binary => {
            Resolved::new(args, DataType::Int32, |invocation| measure::<BinaryType>(invocation, BinaryType::count))
        }
        _ => Resolved::new(args, DataType::Int32, |invocation| measure::<Utf8Type>(invocation, Utf8Type::count)),
    })
}

pub(super) fn octet_length(call: &Call<'_>) -> Result<Resolved> {
    bytes(call, 1)
}

pub(super) fn bit_length(call: &Call<'_>) -> Result<Resolved> {
    bytes(call, 8)
}

fn bytes(call: &Call<'_>, unit: usize) -> Result<Resolved> {
    let args = vec![text_or_binary(call, 0)?];
    Ok(match args[0] {
        DataType::Binary => Resolved::new(args, DataType::Int32, move |invocation| {
            measure::<BinaryType>(invocation, |value| value.len().wrapping_mul(unit))
        }),
        _ => Resolved::new(args, DataType::Int32, move |invocation| {
            measure::<Utf8Type>(invocation, |value| value.len().wrapping_mul(unit))
        }),
    })
}

fn measure<T: Sequence>(invocation: &Invocation<'_>, size: impl Fn(&T::Native) -> usize) -> Result<ArrayRef> {
    let values = sequences::<T>(invocation, 0)?;
    numbers::<Int32Type>(invocation.rows, |row| values.get(row).map(|value| size(value) as i32))
}

pub(super) fn ascii(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        numbers::<Int32Type>(invocation.rows, |row| Some(values.get(row)?.chars().next().map_or(0, |c| c as i32)))
    };
    Ok(Resolved::new(vec![text(call, 0)?], DataType::Int32, kernel))
}

pub(super) fn levenshtein(call: &Call<'_>) -> Result<Resolved> {
    let mut args = vec![text(call, 0)?, text(call, 1)?];
    if call.len() > 2 {
        args.push(int(call, 2)?);
    }
    let kernel = |invocation: &Invocation<'_>| {
        let (left, right) = (texts(invocation, 0)?, texts(invocation, 1)?);
        let limits = (invocation.args.len() > 2).then(|| ints(invocation, 2)).transpose()?;
        let mut row_of_costs = Vec::new();
        numbers::<Int32Type>(invocation.rows, |row| {
            let limit = match &limits {
                // To Spark, no limit is one that every distance exceeds.
                Some(limits) => limits.get(row).unwrap_or(-1),
                None => i32::MAX,
            };
            let distance = distance(left.get(row)?, right.get(row)?, &mut row_of_costs) as i32;
            Some(if distance > limit { -1 } else { distance })
        })
    };
    Ok(Resolved::new(args, DataType::Int32, kernel))
}

/// How many characters have to be inserted, removed or exchanged. `costs` is memory to work in: one row of the table.
fn distance(left: &str, right: &str, costs: &mut Vec<usize>) -> usize {
    let right: Vec<char> = right.chars().collect();
    costs.clear();
    costs.extend(0..=right.len());
    for (i, l) in left.chars().enumerate() {
        let (mut diagonal, mut last) = (i, i + 1);
        for (cost, r) in costs.iter_mut().skip(1).zip(&right) {
            let exchanged = diagonal + usize::from(l != *r);
            diagonal = *cost;
            last = exchanged.min(last + 1).min(*cost + 1);
            *cost = last;
        }
        if let Some(first) = costs.first_mut() {
            *first = i + 1;
        }
    }
    costs.last().copied().unwrap_or(0)
}

pub(super) fn soundex(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            sound(values.get(row)?, out);
            Some(())
        })
    };
    Ok(Resolved::new(vec![exactly_text(call, 0)?], DataType::Utf8, kernel))
}

/// The letter that starts the word and three digits for its consonants; what doesn't start with a letter stays as it is.
fn sound(value: &str, out: &mut String) {
    let Some(first) = value.bytes().next().filter(u8::is_ascii_alphabetic) else {
        out.push_str(value);
        return;
    };
    out.push(char::from(first.to_ascii_uppercase()));
    let (mut last, mut digits) = (consonant(first), 0);
    for byte in value.bytes().skip(1) {
        match consonant(byte) {
            // H and W don't separate equal consonants, vowels and other characters do.
            b'7' => continue,
            code => {
                if code != b'0' && code != last {
                    out.push(char::from(code));
                    digits += 1;
                }
                last = code;
            }
        }
        if digits == 3 {
            return;
        }
    }
    (digits..3).for_each(|_| out.push('0'));
}

fn consonant(letter: u8) -> u8 {
    const CODES: &[u8; 26] = b"01230127022455012623017202";
    let index = usize::from(letter.to_ascii_uppercase().wrapping_sub(b'A'));
    CODES.get(index).copied().unwrap_or(b'0')
}

pub(super) fn luhn_check(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        booleans(invocation.rows, |row| values.get(row).map(luhn))
    };
    Ok(Resolved::new(vec![text(call, 0)?], DataType::Boolean, kernel))
}

/// Every second digit from the right counts twice, as the sum of its digits; the sum ends in 0.
fn luhn(value: &str) -> bool {
    let sum = value.bytes().rev().enumerate().try_fold(0, |sum, (index, byte)| {
        let digit = char::from(byte).to_digit(10)?;
        let doubled = if index % 2 == 1 { digit * 2 } else { digit };
        Some((sum + doubled / 10 + doubled % 10) % 10)
    });
    !value.is_empty() && sum == Some(0)
}
