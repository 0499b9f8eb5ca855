//! Bytes as text and text as bytes: characters' numbers, hexadecimal, base 64, character sets, valid UTF-8; quotes and masks.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{BinaryType, DataType, Utf8Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use regex::Regex;
use std::sync::LazyLock;

use super::columns::{
    Sequence, all_text, binaries, binary, booleans, build, exactly_text, long, longs, sequences, text, texts, try_build,
};
use crate::coercion::common_type_of;
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::is_numeric;

pub(super) fn chr(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = longs(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            let value = values.get(row)?;
            if value >= 0 {
                // Only the lowest byte counts, as a character of Latin-1.
                out.push(char::from(value as u8));
            }
            Some(())
        })
    };
    Ok(Resolved::new(vec![long(call, 0)?], DataType::Utf8, kernel))
}

pub(super) fn hex(call: &Call<'_>) -> Result<Resolved> {
    let own = call.data_type(0);
    let args = match own {
        DataType::Binary => vec![DataType::Binary],
        _ if is_numeric(own) => vec![DataType::Int64],
        _ => vec![text(call, 0).map_err(|_| call.unexpected_type(0, "the (\"BIGINT\" or \"BINARY\" or \"STRING\") type"))?],
    };
    Ok(match args[0] {
        DataType::Int64 => Resolved::new(args, DataType::Utf8, |invocation| {
            let values = longs(invocation, 0)?;
            build(invocation.rows, |row, out: &mut String| {
                out.push_str(&format!("{:X}", values.get(row)?));
                Some(())
            })
        }),
        DataType::Binary => Resolved::new(args, DataType::Utf8, hex_kernel::<BinaryType>),
        _ => Resolved::new(args, DataType::Utf8, hex_kernel::<Utf8Type>),
    })
}

fn hex_kernel<T: Sequence>(invocation: &Invocation<'_>) -> Result<ArrayRef> {
    let values = sequences::<T>(invocation, 0)?;
    build(invocation.rows, |row, out: &mut String| {
        push_hex(AsRef::<[u8]>::as_ref(values.get(row)?), b"0123456789ABCDEF", out);
        Some(())
    })
}

/// Writes two of the digits for each byte.
pub(crate) fn push_hex(bytes: &[u8], digits: &[u8; 16], out: &mut String) {
    for byte in bytes {
        out.push(char::from(digits[usize::from(byte >> 4)]));
        out.push(char::from(digits[usize::from(byte & 15)]));
    }
}

pub(super) fn unhex(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        build(invocation.rows, |row, out: &mut Vec<u8>| {
            let digits = values.get(row)?.as_bytes();
            // A first digit without a partner stands alone.
            let (alone, pairs) = digits.split_at(digits.len() % 2);
            for byte in alone {
                out.push(digit(*byte)?);
            }
            for pair in pairs.chunks_exact(2) {
                out.push(pair.iter().try_fold(0, |byte, own| Some(byte * 16 + digit(*own)?))?);
            }
            Some(())
        })
    };
    Ok(Resolved::new(vec![text(call, 0)?], DataType::Binary, kernel))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

const BASE_64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn base64(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = binaries(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            push_base64(values.get(row)?, out);
            Some(())
        })
    };
    Ok(Resolved::new(vec![binary(call, 0)?], DataType::Utf8, kernel))
}

/// MIME's form: lines of 76 characters.
pub(crate) fn push_base64(bytes: &[u8], out: &mut String) {
    for (index, group) in bytes.chunks(3).enumerate() {
        if index > 0 && index % 19 == 0 {
            out.push_str("\r\n");
        }
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let code = BASE_64[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= group.len() { char::from(code) } else { '=' });
        }
    }
}

pub(super) fn unbase64(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        try_build(invocation.rows, |row, out: &mut Vec<u8>| values.get(row).map(|value| read_base64(value, out)).transpose())
    };
    Ok(Resolved::new(vec![text(call, 0)?], DataType::Binary, kernel).fallible())
}

/// MIME's form: what is not of the alphabet is skipped.
fn read_base64(value: &str, out: &mut Vec<u8>) -> Result<()> {
    let error = |message: String| Err(DataFusionError::Execution(message));
    let bytes = value.as_bytes();
    let (mut bits, mut count, mut at) = (0_u32, 0, 0);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if *byte == b'=' {
            // The padding ends it: one `=` after three characters, two after two.
            match count {
                2 if bytes.get(at) == Some(&b'=') => at += 1,
                0 | 2 => return error("Input byte array has wrong 4-byte ending unit".to_owned()),
                _ => {}
            }
            break;
        }
        let Some(code) = BASE_64.iter().position(|own| own == byte) else { continue };
        (bits, count) = (bits << 6 | code as u32, count + 1);
        if count == 4 {
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, count) = (0, 0);
        }
    }
    match count {
        1 => return error("Last unit does not have enough valid bits".to_owned()),
        2 => out.push((bits >> 4) as u8),
        3 => out.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
        _ => {}
    }
    match bytes.get(at..).and_then(|rest| rest.iter().position(|byte| BASE_64.contains(byte))) {
        Some(more) => error(format!("Input byte array has incorrect ending byte at {}", at + more + 1)),
        None => Ok(()),
    }
}

/// The character sets that Spark knows.
#[derive(Clone, Copy, PartialEq)]
enum Charset {
    Latin1,
    Ascii,
    Utf16,
    Utf16Be,
    Utf16Le,
    Utf32,
    Utf8,
}

impl Charset {
    fn named(name: &str, function: &str) -> Result<Self> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "iso-8859-1" => Charset::Latin1,
            "us-ascii" => Charset::Ascii,
            "utf-16" => Charset::Utf16,
            "utf-16be" => Charset::Utf16Be,
            "utf-16le" => Charset::Utf16Le,
            "utf-32" => Charset::Utf32,
            "utf-8" => Charset::Utf8,
            _ => {
                return Err(spark_error(
                    "INVALID_PARAMETER_VALUE.CHARSET",
                    format!(
                        "The value of parameter(s) `charset` in `{function}` is invalid: expects one of the iso-8859-1, us-ascii, utf-16, \
                         utf-16be, utf-16le, utf-32, utf-8, but got {name}."
                    ),
                ));
            }
        })
    }

    fn encode(self, value: &str, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Charset::Utf8 => out.extend_from_slice(value.as_bytes()),
            Charset::Ascii if !value.is_ascii() => return None,
            Charset::Ascii => out.extend_from_slice(value.as_bytes()),
            Charset::Latin1 => {
                for c in value.chars() {
                    out.push(u8::try_from(c).ok()?);
                }
            }
            Charset::Utf16 if value.is_empty() => {}
            Charset::Utf16 => {
                out.extend([0xFE, 0xFF]);
                out.extend(value.encode_utf16().flat_map(u16::to_be_bytes));
            }
            Charset::Utf16Be => out.extend(value.encode_utf16().flat_map(u16::to_be_bytes)),
            Charset::Utf16Le => out.extend(value.encode_utf16().flat_map(u16::to_le_bytes)),
            Charset::Utf32 => out.extend(value.chars().flat_map(|c| u32::from(c).to_be_bytes())),
        }
        Some(())
    }

    fn decode(self, bytes: &[u8], out: &mut String) -> Option<()> {
        match self {
            Charset::Utf8 => out.push_str(std::str::from_utf8(bytes).ok()?),
            Charset::Ascii if !bytes.is_ascii() => return None,
            Charset::Ascii | Charset::Latin1 => out.extend(bytes.iter().map(|byte| char::from(*byte))),
            Charset::Utf16 => match bytes {
                [0xFF, 0xFE, rest @ ..] => Charset::Utf16Le.decode(rest, out)?,
                [0xFE, 0xFF, rest @ ..] => Charset::Utf16Be.decode(rest, out)?,
                _ => Charset::Utf16Be.decode(bytes, out)?,
            },
            Charset::Utf16Be | Charset::Utf16Le => {
                let little = self == Charset::Utf16Le;
                let (units, rest) = bytes.as_chunks::<2>();
                let units = units.iter().map(|unit| if little { u16::from_le_bytes(*unit) } else { u16::from_be_bytes(*unit) });
                for c in char::decode_utf16(units) {
                    out.push(c.ok()?);
                }
                return rest.is_empty().then_some(());
            }
            Charset::Utf32 => {
                let (units, rest) = bytes.as_chunks::<4>();
                let (little, units) = match units.split_first() {
                    Some(([0xFF, 0xFE, 0, 0], units)) => (true, units),
                    Some(([0, 0, 0xFE, 0xFF], units)) => (false, units),
                    _ => (false, units),
                };
                for unit in units {
                    out.push(char::from_u32(if little { u32::from_le_bytes(*unit) } else { u32::from_be_bytes(*unit) })?);
                }
                return rest.is_empty().then_some(());
            }
        }
        Some(())
    }
}

fn malformed(function: &str, charset: &str) -> DataFusionError {
    spark_error("MALFORMED_CHARACTER_CODING", format!("Invalid value found when performing `{function}` with {charset}"))
}

pub(super) fn encode(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let (values, charsets) = (texts(invocation, 0)?, texts(invocation, 1)?);
        try_build(invocation.rows, |row, out: &mut Vec<u8>| {
            let (Some(value), Some(name)) = (values.get(row), charsets.get(row)) else { return Ok(None) };
            let encoded = Charset::named(name, "encode")?.encode(value, out);
            encoded.map(Some).ok_or_else(|| malformed("encode", name))
        })
    };
    Ok(Resolved::new(all_text(call)?, DataType::Binary, kernel).fallible())
}

pub(super) fn decode(call: &Call<'_>) -> Result<Resolved> {
    if call.len() > 2 {
        return decode_cases(call);
    }
    let kernel = |invocation: &Invocation<'_>| {
        let (values, charsets) = (binaries(invocation, 0)?, texts(invocation, 1)?);
        try_build(invocation.rows, |row, out: &mut String| {
            let (Some(value), Some(name)) = (values.get(row), charsets.get(row)) else { return Ok(None) };
            let decoded = Charset::named(name, "decode")?.decode(value, out);
            decoded.map(Some).ok_or_else(|| malformed("decode", name))
        })
    };
    Ok(Resolved::new(vec![binary(call, 0)?, text(call, 1)?], DataType::Utf8, kernel).fallible())
}

/// `decode(value, search, result, …, default)`: a `CASE` in which nulls are equal.
fn decode_cases(call: &Call<'_>) -> Result<Resolved> {
    let is_result = |index: usize| index > 0 && (index.is_multiple_of(2) || index + 1 == call.len());
    let types =
        |results: bool| (0..call.len()).filter(move |index| is_result(*index) == results).map(|index| call.data_type(index));
    let mismatch = || {
        spark_error(
            "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
            format!("Cannot resolve \"{}\" due to data type mismatch: its arguments have no common type.", call.sql()),
        )
    };
    // Without a default it is a null of type string.
    let default = (call.len() % 2 == 1).then_some(&DataType::Utf8);
    let searched = common_type_of(types(false)).ok_or_else(mismatch)?;
    let returns = common_type_of(types(true).chain(default)).ok_or_else(mismatch)?;
    let args = (0..call.len()).map(|index| if is_result(index) { returns.clone() } else { searched.clone() }).collect();
    let target = returns.clone();
    let kernel = move |invocation: &Invocation<'_>| {
        let (value, count) = (invocation.array(0)?, invocation.args.len());
        let mut result = match count % 2 {
            0 => invocation.array(count - 1)?,
            _ => ScalarValue::try_from(&target)?.to_array_of_size(invocation.rows)?,
        };
        // The first match wins: so the last one is put in first.
        for index in (1..count - 1).step_by(2).rev() {
            let matches: BooleanArray = not_distinct(&value, &invocation.array(index)?)?;
            result = zip(&matches, &invocation.array(index + 1)?, &result)?;
        }
        Ok(result)
    };
    Ok(Resolved::new(args, returns, kernel))
}

pub(super) fn is_valid_utf8(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = binaries(invocation, 0)?;
        booleans(invocation.rows, |row| Some(std::str::from_utf8(values.get(row)?).is_ok()))
    };
    Ok(Resolved::new(vec![utf8_input(call)?], DataType::Boolean, kernel))
}

pub(super) fn make_valid_utf8(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = binaries(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            out.push_str(&String::from_utf8_lossy(values.get(row)?));
            Some(())
        })
    };
    Ok(Resolved::new(vec![utf8_input(call)?], DataType::Utf8, kernel))
}

pub(super) fn validate_utf8(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = binaries(invocation, 0)?;
        try_build(invocation.rows, |row, out: &mut String| {
            let Some(value) = values.get(row) else { return Ok(None) };
            out.push_str(std::str::from_utf8(value).map_err(|_| {
                let bytes: String = value.iter().map(|byte| format!("\\x{byte:02X}")).collect();
                spark_error("INVALID_UTF8_STRING", format!("Invalid UTF8 byte sequence found in string: {bytes}."))
            })?);
            Ok(Some(()))
        })
    };
    Ok(Resolved::new(vec![utf8_input(call)?], DataType::Utf8, kernel).fallible())
}

pub(super) fn try_validate_utf8(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = binaries(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            out.push_str(std::str::from_utf8(values.get(row)?).ok()?);
            Some(())
        })
    };
    Ok(Resolved::new(vec![utf8_input(call)?], DataType::Utf8, kernel))
}

/// Taken as bytes: a `string` of ours is always valid.
fn utf8_input(call: &Call<'_>) -> Result<DataType> {
    match call.data_type(0) {
        DataType::Binary | DataType::Utf8 | DataType::Null => Ok(DataType::Binary),
        _ => Err(call.unexpected_type(0, "the \"STRING\" type")),
    }
}

pub(super) fn quote(call: &Call<'_>) -> Result<Resolved> {
    let kernel = |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            out.push('\'');
            out.push_str(&values.get(row)?.replace('\'', "\\'"));
            out.push('\'');
            Some(())
        })
    };
    Ok(Resolved::new(vec![text(call, 0)?], DataType::Utf8, kernel))
}

/// What characters of a kind are replaced by; `None` keeps them.
#[derive(Clone, Copy)]
struct Mask {
    upper: Option<char>,
    lower: Option<char>,
    digit: Option<char>,
    other: Option<char>,
}

impl Mask {
    fn of(self, c: char) -> char {
        static DIGIT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\A\p{Nd}").ok());
        let is_digit = |c: char| match c.is_ascii() {
            true => c.is_ascii_digit(),
            false => DIGIT.as_ref().is_some_and(|digit| digit.is_match(c.encode_utf8(&mut [0; 4]))),
        };
        match c {
            _ if c.is_uppercase() => self.upper,
            _ if c.is_lowercase() => self.lower,
            _ if is_digit(c) => self.digit,
            _ => self.other,
        }
        .unwrap_or(c)
    }
}

pub(super) fn mask(call: &Call<'_>) -> Result<Resolved> {
    let character = |index: usize, name: &str, default: Option<char>| -> Result<Option<char>> {
        let Some(arg) = call.args.get(index) else { return Ok(default) };
        exactly_text(call, index)?;
        if arg.data_type == DataType::Null || arg.literal.as_ref().is_some_and(ScalarValue::is_null) {
            return Ok(None);
        }
        let text = call.literal_str(index).ok_or_else(|| call.not_foldable(index))?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(only), None) => Ok(Some(only)),
            _ => Err(spark_error(
                "DATATYPE_MISMATCH.INPUT_SIZE_NOT_ONE",
                format!("Cannot resolve \"{}\" due to data type mismatch: Length of {name} should be 1.", call.sql()),
            )),
        }
    };
    exactly_text(call, 0)?;
    let mask = Mask {
        upper: character(1, "upperChar", Some('X'))?,
        lower: character(2, "lowerChar", Some('x'))?,
        digit: character(3, "digitChar", Some('n'))?,
        other: character(4, "otherChar", None)?,
    };
    let kernel = move |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            out.extend(values.get(row)?.chars().map(|c| mask.of(c)));
            Some(())
        })
    };
    Ok(Resolved::new(vec![DataType::Utf8; call.len()], DataType::Utf8, kernel))
}
