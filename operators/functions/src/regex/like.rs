//! `LIKE` and `ILIKE`.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use memchr::memmem::Finder;

use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::string::columns::{text, texts};

/// A pattern, by what it takes to compare with it.
enum Like {
    Exactly(String),
    StartsWith(String),
    EndsWith(String),
    Contains(Box<Finder<'static>>),
    Any,
    General(Vec<Wild>),
}

#[derive(Clone, Copy, PartialEq)]
enum Wild {
    Char(char),
    One,
    Many,
}

impl Like {
    fn parse(pattern: &str, escape: char) -> Result<Like> {
        let wild = parse(pattern, escape)?;
        let is_many = |end: Option<&Wild>| end == Some(&Wild::Many);
        let start = wild.iter().take_while(|own| **own == Wild::Many).count();
        let end = wild.iter().rev().take_while(|own| **own == Wild::Many).count();
        let inner = wild.get(start..wild.len() - end).unwrap_or_default();
        let literal: Option<String> = inner.iter().map(|own| if let Wild::Char(c) = own { Some(*c) } else { None }).collect();
        Ok(match (literal, is_many(wild.first()), is_many(wild.last())) {
            (Some(text), true, _) if text.is_empty() => Like::Any,
            (Some(text), false, false) => Like::Exactly(text),
            (Some(text), false, true) => Like::StartsWith(text),
            (Some(text), true, false) => Like::EndsWith(text),
            (Some(text), true, true) => Like::Contains(Box::new(Finder::new(text.as_bytes()).into_owned())),
            (None, _, _) => Like::General(wild),
        })
    }

    fn matches(&self, value: &str) -> bool {
        match self {
            Like::Exactly(text) => value == text,
            Like::StartsWith(text) => value.starts_with(text.as_str()),
            Like::EndsWith(text) => value.ends_with(text.as_str()),
            Like::Contains(finder) => finder.find(value.as_bytes()).is_some(),
            Like::Any => true,
            Like::General(wild) => matches(value, wild),
        }
    }
}

fn parse(pattern: &str, escape: char) -> Result<Vec<Wild>> {
    let invalid = |condition: &str, what: String| {
        let shown = pattern.replace('\\', "\\\\");
        Err(spark_error(condition, format!("The format is invalid: '{shown}'. The escape character is not allowed to {what}.")))
    };
    let mut wild = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        wild.push(match c {
            _ if c == escape => match chars.next() {
                Some(escaped) if escaped == '_' || escaped == '%' || escaped == escape => Wild::Char(escaped),
                Some(other) => return invalid("INVALID_FORMAT.ESC_IN_THE_MIDDLE", format!("precede '{other}'")),
                None => return invalid("INVALID_FORMAT.ESC_AT_THE_END", "end with".to_owned()),
            },
            '_' => Wild::One,
            '%' => Wild::Many,
            _ => Wild::Char(c),
        });
    }
    Ok(wild)
}

/// Only the last `%` ever has to be tried again: what came before it took as little as it could.
fn matches(value: &str, wild: &[Wild]) -> bool {
    let (mut rest, mut at) = (value.chars(), 0);
    let mut retry: Option<(std::str::Chars<'_>, usize)> = None;
    loop {
        let here = rest.clone();
        let matched = match (wild.get(at), rest.next()) {
            (Some(Wild::Many), _) => {
                (retry, rest) = (Some((here.clone(), at + 1)), here);
                true
            }
            (Some(Wild::Char(own)), Some(c)) => *own == c,
            (Some(Wild::One), Some(_)) => true,
            (None, None) => return true,
            _ => false,
        };
        if matched {
            at += 1;
            continue;
        }
        let Some((chars, after)) = &mut retry else { return false };
        if chars.next().is_none() {
            return false;
        }
        (rest, at) = (chars.clone(), *after);
    }
}

pub(super) fn like(call: &Call<'_>, ignore_case: bool) -> Result<Resolved> {
    let mut args = vec![text(call, 0)?, text(call, 1)?];
    let escape = match call.len() {
        3 => {
            args.push(text(call, 2)?);
            let mut chars = call.literal_str(2).unwrap_or_default().chars();
            match (chars.next(), chars.next()) {
                (Some(escape), None) => escape,
                _ => {
                    let message =
                        format!("`EscapeChar` should be a string literal of length one, but got \"{}\".", call.args[2].sql);
                    return Err(spark_error("INVALID_ESCAPE_CHAR", message));
                }
            }
        }
        _ => '\\',
    };
    let fold = move |text: &'_ str| -> String { if ignore_case { text.to_lowercase() } else { text.to_owned() } };
    let prepared = call.literal_str(1).and_then(|pattern| Like::parse(&fold(pattern), escape).ok()).map(Arc::new);
    // A literal that can be read never fails.
    let fallible = prepared.is_none();
    let kernel = move |invocation: &Invocation<'_>| {
        let (values, patterns) = (texts(invocation, 0)?, texts(invocation, 1)?);
        let mut last: Option<(&str, Arc<Like>)> = None;
        let mut found = BooleanBuilder::with_capacity(invocation.rows);
        for row in 0..invocation.rows {
            let (Some(value), Some(text)) = (values.get(row), patterns.get(row)) else {
                found.append_null();
                continue;
            };
            let pattern = match (&prepared, &last) {
                (Some(prepared), _) => Arc::clone(prepared),
                (None, Some((known, pattern))) if *known == text => Arc::clone(pattern),
                _ => {
                    let pattern = Arc::new(Like::parse(&fold(text), escape)?);
                    last = Some((text, Arc::clone(&pattern)));
                    pattern
                }
            };
            let value = if ignore_case { Cow::Owned(value.to_lowercase()) } else { Cow::Borrowed(value) };
            found.append_value(pattern.matches(&value));
        }
        Ok(Arc::new(found.finish()) as ArrayRef)
    };
    let resolved = Resolved::new(args, DataType::Boolean, kernel);
    Ok(if fallible { resolved.fallible() } else { resolved })
}
