//! `to_char`, `to_number` and `try_to_number`: numbers by patterns such as `$99,999.99S`.

use arrow::array::{Array, AsArray, Decimal128Builder};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type};
use datafusion::error::{DataFusionError, Result};
use std::sync::Arc;

use super::columns::{build, text, texts};
use super::decimal_text::decimal_digits;
use crate::coercion::decimal_for_integral;
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::types::is_timestamp;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    /// Digits: how many, and whether there must be all of them.
    Digits(usize, bool),
    Separator,
    Point,
    Dollar,
    /// `S`: plus or minus.
    Sign,
    /// `MI`: minus or nothing.
    Minus,
    /// `PR`: angle brackets around negative numbers.
    Brackets,
    Other(char),
}

/// A pattern that was checked.
#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    tokens: Vec<Token>,
    whole: usize,
    fraction: usize,
    brackets: bool,
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at, mut after_point) = (Vec::new(), 0, false);
    while let Some(c) = chars.get(at) {
        at += 1;
        tokens.push(match (c, chars.get(at)) {
            ('0' | '9', _) => {
                let start = at - 1;
                while matches!(chars.get(at), Some('0' | '9')) {
                    at += 1;
                }
                Token::Digits(at - start, *c == '0' && !after_point)
            }
            (',' | 'G', _) => Token::Separator,
            ('.' | 'D', _) => {
                after_point = true;
                Token::Point
            }
            ('$', _) => Token::Dollar,
            ('S', _) => Token::Sign,
            ('M', Some('I')) => {
                at += 1;
                Token::Minus
            }
            ('P', Some('R')) => {
                at += 1;
                Token::Brackets
            }
            _ => Token::Other(*c),
        });
    }
    tokens
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern> {
        let text = text.to_uppercase();
        let tokens = tokens(&text);
        let fail = |condition: &str, what: &str| {
            Err(spark_error(format!("INVALID_FORMAT.{condition}"), format!("The format is invalid: '{text}'. {what}")))
        };
        let place = |wanted: fn(&Token) -> bool| tokens.iter().position(wanted);
        let (digit, point) = (place(|token| matches!(token, Token::Digits(..))), place(|token| *token == Token::Point));
        if text.is_empty() {
            return fail("EMPTY", "The number format string cannot be empty.");
        }
        let Some(digit) = digit else {
            return fail("WRONG_NUM_DIGIT", "The format string requires at least one number digit.");
        };
        if let Some(dollar) = place(|token| *token == Token::Dollar) {
            if dollar > digit {
                return fail("CUR_MUST_BEFORE_DIGIT", "Currency characters must appear before digits in the number format.");
            }
            if point.is_some_and(|point| dollar > point) {
                return fail(
                    "CUR_MUST_BEFORE_DEC",
                    "Currency characters must appear before any decimal point in the number format.",
                );
            }
        }
        let (whole, fraction) = tokens.split_at(point.unwrap_or(tokens.len()));
        if fraction.contains(&Token::Separator) {
            let what = "Thousands separators (, or G) may not appear after the decimal point in the number format.";
            return fail("THOUSANDS_SEPS_MUST_BEFORE_DEC", what);
        }
        let is_digits =
            |at: Option<usize>| at.and_then(|at| whole.get(at)).is_some_and(|token| matches!(token, Token::Digits(..)));
        let between = |at: usize| is_digits(at.checked_sub(1)) && is_digits(Some(at + 1));
        if whole.iter().enumerate().any(|(at, token)| *token == Token::Separator && !between(at)) {
            let what = "Thousands separators (, or G) must have digits in between them in the number format.";
            return fail("CONT_THOUSANDS_SEPS", what);
        }
        for (token, name) in
            [(Token::Point, ". or D"), (Token::Sign, "S"), (Token::Dollar, "$"), (Token::Minus, "MI"), (Token::Brackets, "PR")]
        {
            if tokens.iter().filter(|own| **own == token).count() > 1 {
                return fail("WRONG_NUM_TOKEN", &format!("At most one {name} is allowed in the number format."));
            }
        }
        if let Some(found) = out_of_order(&tokens) {
            let what = format!(
                "Found the unexpected {found} in the format string; the structure of the format string must match: `[MI|S]` `[$]` \
                 `[0|9|G|,]*` `[.|D]` `[0|9]*` `[$]` `[PR|MI|S]`."
            );
            return fail("UNEXPECTED_TOKEN", &what);
        }
        let count =
            |tokens: &[Token]| tokens.iter().map(|token| if let Token::Digits(count, _) = token { *count } else { 0 }).sum();
        let (whole, fraction) = (count(whole), count(fraction));
        let brackets = tokens.contains(&Token::Brackets);
        Ok(Pattern { whole, fraction, brackets, tokens, text })
    }

    fn decimal(&self) -> Result<DataType> {
        let precision = self.whole + self.fraction;
        match u8::try_from(precision) {
            Ok(precision) if precision <= DECIMAL128_MAX_PRECISION => Ok(DataType::Decimal128(precision, self.fraction as i8)),
            _ => Err(spark_error(
                "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
                format!("Decimal precision {precision} exceeds max precision 38."),
            )),
        }
    }

    /// The number that the text stands for, without its point; `None` if the text doesn't match.
    fn read(&self, text: &str) -> Option<i128> {
        let text: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        let mut rest = text.as_slice();
        let eat = |rest: &mut &[char], sign: char| match rest.split_first() {
            Some((first, after)) if *first == sign => {
                *rest = after;
                true
            }
            _ => false,
        };
        let bracket = self.brackets && eat(&mut rest, '<');
        let (mut negative, mut after_point, mut at) = (bracket, false, 0);
        let (mut whole, mut fraction) = (String::new(), String::new());
        while let Some(token) = self.tokens.get(at) {
            match token {
                Token::Digits(..) => {
                    let run = self.tokens[at..]
                        .iter()
                        .take_while(|token| matches!(token, Token::Digits(..) | Token::Separator))
                        .count();
                    let groups: Vec<&Token> =
                        self.tokens[at..at + run].iter().filter(|token| **token != Token::Separator).collect();
                    let is_part = |c: &&char| c.is_ascii_digit() || (**c == ',' && !after_point);
                    let (found, after) = rest.split_at(rest.iter().take_while(is_part).count());
                    fits(found, &groups)?;
                    let digits = found.iter().filter(|c| **c != ',');
                    if after_point {
                        fraction.extend(digits)
                    } else {
                        whole.extend(digits)
                    }
                    (rest, at) = (after, at + run);
                    continue;
                }
                Token::Point => {
                    eat(&mut rest, '.');
                    after_point = true;
                }
                Token::Dollar if eat(&mut rest, '$') => {}
                Token::Sign => negative |= !eat(&mut rest, '+') && eat(&mut rest, '-'),
                Token::Minus => negative |= eat(&mut rest, '-'),
                Token::Brackets if !bracket || eat(&mut rest, '>') => {}
                _ => return None,
            }
            at += 1;
        }
        if !rest.is_empty() || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let value = format!("{whole}{fraction:0<width$}", width = self.fraction).parse::<i128>().ok()?;
        Some(if negative { -value } else { value })
    }

    fn write(&self, value: i128, scale: i8, out: &mut String) {
        let (whole, fraction) = decimal_digits(value, scale);
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let too_long = whole.len() > self.whole || fraction.len() > self.fraction;
        // What a digit of the pattern gets: the digits of the whole part are aligned to the right.
        let mut whole: Vec<Option<char>> = whole.chars().rev().map(Some).collect();
        whole.resize(self.whole.max(whole.len()), None);
        let mut whole = whole.into_iter().rev();
        let mut fraction = fraction.chars().chain(std::iter::repeat('0'));
        let (mut text, mut after_point, mut begun) = (Vec::new(), false, false);
        if self.brackets && value < 0 {
            text.push('<');
        }
        for token in &self.tokens {
            match token {
                Token::Digits(count, all) => {
                    for _ in 0..*count {
                        let digit = if after_point { fraction.next() } else { whole.next().flatten() };
                        let shown = match digit {
                            _ if too_long => '#',
                            Some(digit) => digit,
                            None if *all || begun => '0',
                            None => ' ',
                        };
                        begun |= shown != ' ';
                        push_before_sign(shown, &mut text);
                    }
                }
                Token::Separator => push_before_sign(if begun && !too_long { ',' } else { ' ' }, &mut text),
                Token::Point => {
                    if let Some(last) = text.last_mut().filter(|last| **last == ' ') {
                        *last = '0';
                    }
                    text.push('.');
                    after_point = true;
                }
                Token::Dollar => text.push('$'),
                Token::Sign => {
                    strip_point(&mut text);
                    text.push(if value < 0 { '-' } else { '+' });
                }
                Token::Minus => {
                    strip_point(&mut text);
                    text.push(if value < 0 { '-' } else { ' ' });
                }
                Token::Brackets => {
                    strip_point(&mut text);
                    text.extend(if value < 0 { [Some('>'), None] } else { [Some(' '), Some(' ')] }.into_iter().flatten());
                }
                Token::Other(_) => {}
            }
        }
        strip_point(&mut text);
        out.extend(text);
    }
}

/// The first token that stands where it may not.
fn out_of_order(tokens: &[Token]) -> Option<String> {
    let mut rest = tokens.iter().peekable();
    rest.next_if(|token| matches!(token, Token::Minus | Token::Sign));
    rest.next_if(|token| **token == Token::Dollar);
    while rest.next_if(|token| matches!(token, Token::Digits(..) | Token::Separator)).is_some() {}
    rest.next_if(|token| **token == Token::Point);
    while rest.next_if(|token| matches!(token, Token::Digits(..))).is_some() {}
    rest.next_if(|token| **token == Token::Dollar);
    rest.next_if(|token| matches!(token, Token::Brackets | Token::Minus | Token::Sign));
    let name = |token: &Token| match token {
        Token::Digits(..) => "digit sequence".to_owned(),
        Token::Separator => "thousands separator".to_owned(),
        Token::Point => ".".to_owned(),
        Token::Dollar => "$".to_owned(),
        Token::Sign => "S".to_owned(),
        Token::Minus => "MI".to_owned(),
        Token::Brackets => "PR".to_owned(),
        Token::Other(c) => format!("character '{c}''"),
    };
    rest.next().map(name)
}

/// Whether there are no more groups of digits, and in each no more digits, than the pattern has.
fn fits(found: &[char], groups: &[&Token]) -> Option<()> {
    let counts: Vec<usize> = found.split(|c| *c == ',').map(<[char]>::len).collect();
    if counts.len() > groups.len() {
        return None;
    }
    let counts = counts.into_iter().rev().chain(std::iter::repeat(0));
    let fits = |(group, count): (&&Token, usize)| match group {
        Token::Digits(wanted, true) => count == *wanted,
        Token::Digits(most, false) => count <= *most,
        _ => false,
    };
    groups.iter().rev().zip(counts).all(fits).then_some(())
}

/// Spaces that stand for missing digits come before the sign.
fn push_before_sign(c: char, text: &mut Vec<char>) {
    match text.last_mut() {
        Some(last) if c == ' ' && matches!(*last, '+' | '-' | '<') => {
            let sign = std::mem::replace(last, ' ');
            text.push(sign);
        }
        _ => text.push(c),
    }
}

fn strip_point(text: &mut [char]) {
    if let Some(last) = text.last_mut().filter(|last| **last == '.') {
        *last = ' ';
    }
}

fn literal<'a>(call: &'a Call<'_>) -> Result<Option<&'a str>> {
    let arg = &call.args[1];
    match call.literal_str(1) {
        Some(text) => Ok(Some(text)),
        None if arg.data_type == DataType::Null || arg.literal.is_some() => Ok(None),
        None => Err(call.not_foldable(1)),
    }
}

pub(super) fn to_char(call: &Call<'_>) -> Result<Resolved> {
    let own = call.data_type(0);
    if own == &DataType::Date32 || is_timestamp(own) {
        let by_date =
            crate::scalar("date_format").ok_or_else(|| DataFusionError::NotImplemented(format!("{} of a date", call.name)))?;
        return (by_date.resolve)(call);
    }
    if own == &DataType::Binary {
        return binary_to_char(call);
    }
    let decimal = match own {
        DataType::Float32 => DataType::Decimal128(14, 7),
        DataType::Float64 => DataType::Decimal128(30, 15),
        DataType::Utf8 => DataType::Decimal128(38, 18),
        DataType::Null => DataType::Decimal128(10, 0),
        _ => match decimal_for_integral(own) {
            Some((precision, scale)) => DataType::Decimal128(precision, scale),
            None => return Err(call.unexpected_type(0, "the \"DECIMAL\" type")),
        },
    };
    let pattern = literal(call)?.map(Pattern::parse).transpose()?;
    let kernel = move |invocation: &Invocation<'_>| {
        let values = invocation.array(0)?;
        let DataType::Decimal128(_, scale) = values.data_type() else {
            return Err(DataFusionError::Internal("to_char wants a decimal".to_owned()));
        };
        let numbers = values.as_primitive::<Decimal128Type>();
        build(invocation.rows, |row, out: &mut String| {
            let pattern = pattern.as_ref().filter(|_| numbers.is_valid(row))?;
            pattern.write(numbers.value(row), *scale, out);
            Some(())
        })
    };
    Ok(Resolved::new(vec![decimal, DataType::Utf8], DataType::Utf8, kernel))
}

/// A binary is written as hexadecimal, base 64 or UTF-8.
fn binary_to_char(call: &Call<'_>) -> Result<Resolved> {
    let format = literal(call)?.map(str::to_lowercase);
    let write: fn(&[u8], &mut String) = match format.as_deref() {
        Some("hex") => |bytes, out| super::push_hex(bytes, b"0123456789ABCDEF", out),
        Some("base64") => super::push_base64,
        Some("utf-8") => |bytes, out| out.push_str(&String::from_utf8_lossy(bytes)),
        other => {
            let other = other.unwrap_or("NULL");
            return Err(spark_error(
                "INVALID_PARAMETER_VALUE.BINARY_FORMAT",
                format!(
                    "The value of parameter(s) `format` in `{}` is invalid: expects one of binary formats 'base64', 'hex', 'utf-8', but \
                     got '{other}'.",
                    call.name
                ),
            ));
        }
    };
    let kernel = move |invocation: &Invocation<'_>| {
        let values = super::columns::binaries(invocation, 0)?;
        build(invocation.rows, |row, out: &mut String| {
            write(values.get(row)?, out);
            Some(())
        })
    };
    Ok(Resolved::new(vec![DataType::Binary, DataType::Utf8], DataType::Utf8, kernel))
}

pub(super) fn to_number(call: &Call<'_>) -> Result<Resolved> {
    Ok(read_numbers(call, true)?.fallible())
}

pub(super) fn try_to_number(call: &Call<'_>) -> Result<Resolved> {
    read_numbers(call, false)
}

fn read_numbers(call: &Call<'_>, strict: bool) -> Result<Resolved> {
    let args = vec![text(call, 0)?, text(call, 1)?];
    let pattern = literal(call)?.map(Pattern::parse).transpose()?;
    let returns = pattern.as_ref().map_or(Ok(DataType::Decimal128(38, 0)), Pattern::decimal)?;
    let target = returns.clone();
    let kernel = move |invocation: &Invocation<'_>| {
        let values = texts(invocation, 0)?;
        let mut numbers = Decimal128Builder::with_capacity(invocation.rows).with_data_type(target.clone());
        for row in 0..invocation.rows {
            let (Some(value), Some(pattern)) = (values.get(row), &pattern) else {
                numbers.append_null();
                continue;
            };
            let read = pattern.read(value);
            if strict && read.is_none() {
                let message =
                    format!("The format is invalid: {}. The input \"STRING\" {value} does not match the format.", pattern.text);
                return Err(spark_error("INVALID_FORMAT.MISMATCH_INPUT", message));
            }
            numbers.append_option(read);
        }
        Ok(Arc::new(numbers.finish()) as arrow::array::ArrayRef)
    };
    Ok(Resolved::new(args, returns, kernel))
}
