//! Regular expressions and LIKE.
//!
//! Patterns are Java's: `java` translates them, `matcher` runs them.

mod java;
mod like;
pub(crate) mod matcher;
mod replace;
mod split;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::error::{DataFusionError, Result};

use crate::error::spark_error;
use crate::function::{Arity, Call, Function, Invocation, Resolved};
use crate::string::columns::{all_text, int, ints, text, texts, try_build};
use crate::types::{element, list};
use matcher::{Pattern, Patterns, Span};

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["rlike", "regexp", "regexp_like"], arity: Arity::exactly(2), resolve: rlike },
    Function { names: &["regexp_extract"], arity: Arity::between(2, 3), resolve: regexp_extract },
    Function { names: &["regexp_extract_all"], arity: Arity::between(2, 3), resolve: regexp_extract_all },
    Function { names: &["regexp_replace"], arity: Arity::between(3, 4), resolve: replace::regexp_replace },
    Function { names: &["regexp_count"], arity: Arity::exactly(2), resolve: regexp_count },
    Function { names: &["regexp_substr"], arity: Arity::exactly(2), resolve: regexp_substr },
    Function { names: &["regexp_instr"], arity: Arity::between(2, 3), resolve: regexp_instr },
    Function { names: &["split"], arity: Arity::between(2, 3), resolve: split::split },
    Function { names: &["like"], arity: Arity::between(2, 3), resolve: |call| like::like(call, false) },
    Function { names: &["ilike"], arity: Arity::between(2, 3), resolve: |call| like::like(call, true) },
];

fn rlike(call: &Call<'_>) -> Result<Resolved> {
    let patterns = Patterns::prepare(call, 1, "rlike");
    let kernel = move |invocation: &Invocation<'_>| {
        let (values, column) = (texts(invocation, 0)?, texts(invocation, 1)?);
        let pattern_of = patterns.of(&column);
        let mut found = BooleanBuilder::with_capacity(invocation.rows);
        for row in 0..invocation.rows {
            let matches = match values.get(row) {
                Some(value) => pattern_of(row)?.map(|pattern| pattern.is_match(value)).transpose()?,
                None => None,
            };
            found.append_option(matches);
        }
        Ok(Arc::new(found.finish()) as ArrayRef)
    };
    Ok(Resolved::new(all_text(call)?, DataType::Boolean, kernel).fallible())
}

fn with_group(call: &Call<'_>) -> Result<Vec<DataType>> {
    let mut args = vec![text(call, 0)?, text(call, 1)?];
    if call.len() > 2 {
        args.push(int(call, 2)?);
    }
    Ok(args)
}

/// Calls `visit` for each row in which no argument is null, with the value, its pattern and the wanted group.
fn each_row(
    invocation: &Invocation<'_>,
    patterns: &Patterns,
    default_group: i32,
    mut visit: impl FnMut(usize, Option<(&str, &Pattern, i32)>) -> Result<()>,
) -> Result<()> {
    let (values, column) = (texts(invocation, 0)?, texts(invocation, 1)?);
    let groups = (invocation.args.len() > 2).then(|| ints(invocation, 2)).transpose()?;
    let pattern_of = patterns.of(&column);
    for row in 0..invocation.rows {
        let group = groups.as_ref().map_or(Some(default_group), |groups| groups.get(row));
        match (values.get(row), group) {
            (Some(value), Some(group)) => match pattern_of(row)? {
                Some(pattern) => visit(row, Some((value, &pattern, group)))?,
                None => visit(row, None)?,
            },
            _ => visit(row, None)?,
        }
    }
    Ok(())
}

/// The text of a group that matched.
fn group_text<'a>(value: &'a str, groups: &[Option<Span>], group: usize) -> &'a str {
    groups.get(group).copied().flatten().and_then(|(start, end)| value.get(start..end)).unwrap_or_default()
}

fn checked_group(pattern: &Pattern, group: i32, function: &str) -> Result<usize> {
    usize::try_from(group).ok().filter(|group| *group <= pattern.groups()).ok_or_else(|| {
        spark_error(
            "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX",
            format!(
                "The value of parameter(s) `idx` in `{function}` is invalid: Expects group index between 0 and {}, but got {group}.",
                pattern.groups()
            ),
        )
    })
}

fn regexp_extract(call: &Call<'_>) -> Result<Resolved> {
    let patterns = Patterns::prepare(call, 1, "regexp_extract");
    let kernel = move |invocation: &Invocation<'_>| {
        let mut out = StringBuilder::new();
        each_row(invocation, &patterns, 1, |_, row| {
            let Some((value, pattern, group)) = row else {
                out.append_null();
                return Ok(());
            };
            // A bad group is no error where nothing matches.
            match pattern.groups_at(value, 0)? {
                Some(groups) => out.append_value(group_text(value, &groups, checked_group(pattern, group, "regexp_extract")?)),
                None => out.append_value(""),
            }
            Ok(())
        })?;
        Ok(Arc::new(out.finish()) as ArrayRef)
    };
    Ok(Resolved::new(with_group(call)?, DataType::Utf8, kernel).fallible())
}

fn regexp_extract_all(call: &Call<'_>) -> Result<Resolved> {
    let patterns = Patterns::prepare(call, 1, "regexp_extract_all");
    let kernel = move |invocation: &Invocation<'_>| {
        let mut out = ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8));
        each_row(invocation, &patterns, 1, |_, row| {
            let Some((value, pattern, group)) = row else {
                out.append_null();
                return Ok(());
            };
            let mut from = 0;
            while let Some(groups) = pattern.groups_at(value, from)? {
                let group = checked_group(pattern, group, "regexp_extract_all")?;
                out.values().append_value(group_text(value, &groups, group));
                let Some(whole) = groups.first().copied().flatten() else { break };
                from = matcher::after(value, whole);
            }
            out.append(true);
            Ok(())
        })?;
        Ok(Arc::new(out.finish()) as ArrayRef)
    };
    Ok(Resolved::new(with_group(call)?, list(DataType::Utf8), kernel).fallible())
}

fn regexp_count(call: &Call<'_>) -> Result<Resolved> {
    let patterns = Patterns::prepare(call, 1, "regexp_extract_all");
    let kernel = move |invocation: &Invocation<'_>| {
        let mut out = arrow::array::PrimitiveBuilder::<Int32Type>::with_capacity(invocation.rows);
        each_row(invocation, &patterns, 0, |_, row| {
            let counted = row.map(|(value, pattern, _)| {
                let mut count = 0;
                pattern.for_each(value, |_| {
                    count += 1;
                    Ok(())
                })?;
                Ok::<i32, DataFusionError>(count)
            });
            out.append_option(counted.transpose()?);
            Ok(())
        })?;
        Ok(Arc::new(out.finish()) as ArrayRef)
    };
    Ok(Resolved::new(all_text(call)?, DataType::Int32, kernel).fallible())
}

fn regexp_substr(call: &Call<'_>) -> Result<Resolved> {
    let patterns = Patterns::prepare(call, 1, "regexp_substr");
    let kernel = move |invocation: &Invocation<'_>| {
        let (values, column) = (texts(invocation, 0)?, texts(invocation, 1)?);
        let pattern_of = patterns.of(&column);
        try_build(invocation.rows, |row, out: &mut String| {
            let (Some(value), Some(pattern)) = (values.get(row), pattern_of(row)?) else { return Ok(None) };
            // An empty match counts as none.
            let found = pattern.find_at(value, 0)?.and_then(|(start, end)| value.get(start..end)).filter(|text| !text.is_empty());
            Ok(found.map(|text| out.push_str(text)))
        })
    };
    Ok(Resolved::new(all_text(call)?, DataType::Utf8, kernel).fallible())
}

fn regexp_instr(call: &Call<'_>) -> Result<Resolved> {
    let patterns = Patterns::prepare(call, 1, "regexp_instr");
    let kernel = move |invocation: &Invocation<'_>| {
        let mut out = arrow::array::PrimitiveBuilder::<Int32Type>::with_capacity(invocation.rows);
        // The group is checked for null and otherwise ignored.
        each_row(invocation, &patterns, 0, |_, row| {
            let place = row.map(|(value, pattern, _)| {
                let before = pattern.find_at(value, 0)?.and_then(|(start, _)| value.get(..start));
                Ok::<i32, DataFusionError>(before.map_or(0, |before| before.chars().count() as i32 + 1))
            });
            out.append_option(place.transpose()?);
            Ok(())
        })?;
        Ok(Arc::new(out.finish()) as ArrayRef)
    };
    Ok(Resolved::new(with_group(call)?, DataType::Int32, kernel).fallible())
}
