//! `regexp_replace`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Utf8Type};
use datafusion::error::{DataFusionError, Result};

use super::matcher::{Pattern, Patterns, Span, after};
use crate::error::spark_error;
use crate::function::{Call, Invocation, Resolved};
use crate::string::columns::{Sequence, int, ints, text, texts, try_build};

pub(super) fn regexp_replace(call: &Call<'_>) -> Result<Resolved> {
    let mut args = vec![text(call, 0)?, text(call, 1)?, text(call, 2)?];
    if call.len() > 3 {
        args.push(int(call, 3)?);
        if let Some(position) = call.literal_int(3).filter(|position| *position < 1) {
            return Err(spark_error(
                "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE",
                format!(
                    "Cannot resolve \"{}\" due to data type mismatch: The position must be between (0, 2147483647] (current value = \
                     {position}).",
                    call.sql()
                ),
            ));
        }
    }
    let patterns = Patterns::prepare(call, 1, "regexp_replace");
    let kernel = move |invocation: &Invocation<'_>| {
        let (values, column, replacements) = (texts(invocation, 0)?, texts(invocation, 1)?, texts(invocation, 2)?);
        let positions = (invocation.args.len() > 3).then(|| ints(invocation, 3)).transpose()?;
        let pattern_of = patterns.of(&column);
        let mut known: Option<(&str, Arc<Pattern>, Template)> = None;
        try_build(invocation.rows, |row, out: &mut String| {
            let position = positions.as_ref().map_or(Some(1), |positions| positions.get(row));
            let (Some(value), Some(replacement), Some(position)) = (values.get(row), replacements.get(row), position) else {
                return Ok(None);
            };
            let Some(pattern) = pattern_of(row)? else { return Ok(None) };
            // The search sees nothing of what lies before its start.
            let skipped = Utf8Type::offset(value, usize::try_from(position - 1).unwrap_or(0));
            let (before, rest) = value.split_at(skipped);
            out.push_str(before);
            let Some(first) = pattern.find_at(rest, 0)? else {
                out.push_str(rest);
                return Ok(Some(()));
            };
            let fits = known.as_ref().is_some_and(|(text, of, _)| *text == replacement && Arc::ptr_eq(of, &pattern));
            if !fits {
                let template = Template::parse(replacement, &pattern)
                    .ok_or_else(|| invalid(value, &column.get(row), replacement, position))?;
                known = Some((replacement, Arc::clone(&pattern), template));
            }
            if let Some((_, _, template)) = &known {
                template.replace_all(&pattern, rest, first, out)?;
            }
            Ok(Some(()))
        })
    };
    Ok(Resolved::new(args, DataType::Utf8, kernel).fallible())
}

fn invalid(value: &str, pattern: &Option<&str>, replacement: &str, position: i32) -> DataFusionError {
    let pattern = pattern.unwrap_or_default();
    spark_error(
        "INVALID_REGEXP_REPLACE",
        format!(
            "Could not perform regexp_replace for source = \"{value}\", pattern = \"{pattern}\", replacement = \"{replacement}\" and \
             position = {position}."
        ),
    )
}

/// A replacement: text, and groups between.
struct Template {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    /// Reads `$1`, `${name}` and escapes with `\`; `None` if it is malformed or names a group that doesn't exist.
    fn parse(replacement: &str, pattern: &Pattern) -> Option<Template> {
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut chars = replacement.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => text.push(chars.next()?),
                '$' => {
                    let group = if chars.next_if_eq(&'{').is_some() {
                        let mut name = String::new();
                        loop {
                            match chars.next()? {
                                '}' => break,
                                c => name.push(c),
                            }
                        }
                        pattern.group_named(&name)?
                    } else {
                        let digit = |c: &char| c.to_digit(10).map(|digit| digit as usize);
                        let mut group = chars.next().as_ref().and_then(digit)?;
                        if group > pattern.groups() {
                            return None;
                        }
                        // More digits belong to it as long as there are so many groups.
                        while let Some(longer) = chars.peek().and_then(digit).map(|digit| group * 10 + digit) {
                            if longer > pattern.groups() {
                                break;
                            }
                            group = longer;
                            chars.next();
                        }
                        group
                    };
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Group(group));
                }
                _ => text.push(c),
            }
        }
        parts.push(Part::Text(text));
        Some(Template { parts })
    }

    fn replace_all(&self, pattern: &Pattern, text: &str, first: Span, out: &mut String) -> Result<()> {
        let has_groups = self.parts.iter().any(|part| matches!(part, Part::Group(group) if *group > 0));
        let (mut copied, mut next) = (0, Some(first));
        while let Some(span) = next {
            out.push_str(text.get(copied..span.0).unwrap_or_default());
            let groups = if has_groups { pattern.groups_at(text, span.0)?.unwrap_or_default() } else { vec![Some(span)] };
            for part in &self.parts {
                match part {
                    Part::Text(text) => out.push_str(text),
                    Part::Group(group) => out.push_str(super::group_text(text, &groups, *group)),
                }
            }
            copied = span.1;
            next = pattern.find_at(text, after(text, span))?;
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        Ok(())
    }
}
