//! Compiled patterns, and finding with them as Java's `Matcher` does.

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};

use super::java::{End, translate};
use crate::error::spark_error;
use crate::function::Call;
use crate::string::columns::Column;

/// A compiled pattern of Java's.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// For text that doesn't end with a line end.
    plain: Engine,
    /// For text that does, if that makes a difference.
    before_line_end: Option<Engine>,
    /// The text that it stands for, if it is nothing but text.
    literal: Option<String>,
    groups: usize,
}

/// Where something was found, in bytes.
pub(crate) type Span = (usize, usize);

#[derive(Debug)]
enum Engine {
    Linear(regex::Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

impl Engine {
    fn compile(pattern: &str, end: End) -> Option<(Engine, bool, usize, Option<String>)> {
        const SIZE_LIMIT: usize = 10 << 20;
        let translated = translate(pattern, end).ok()?;
        let engine = if translated.backtracks {
            let compiled = fancy_regex::RegexBuilder::new(&translated.pattern).delegate_size_limit(SIZE_LIMIT).build();
            Engine::Backtracking(Box::new(compiled.ok()?))
        } else {
            Engine::Linear(regex::RegexBuilder::new(&translated.pattern).size_limit(SIZE_LIMIT).build().ok()?)
        };
        Some((engine, translated.has_end, translated.groups, translated.literal))
    }
}

fn gave_up(error: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::Execution(format!("a regular expression took too long: {error}"))
}

impl Pattern {
    /// Compiles a pattern; `None` if Java would refuse it or it is too large.
    pub(crate) fn compile(pattern: &str) -> Option<Pattern> {
        let (plain, has_end, groups, literal) = Engine::compile(pattern, End::Absolute)?;
        let before_line_end = if has_end { Some(Engine::compile(pattern, End::BeforeLineEnd)?.0) } else { None };
        let literal = literal.filter(|literal| !literal.is_empty());
        Some(Pattern { plain, before_line_end, literal, groups })
    }

    /// The text that it stands for, if it is nothing but text, and that isn't empty.
    pub(crate) fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }

    /// How many groups it has.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    fn engine(&self, text: &str) -> &Engine {
        match &self.before_line_end {
            Some(engine) if text.ends_with(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) => engine,
            _ => &self.plain,
        }
    }

    /// Whether it is found anywhere.
    pub(crate) fn is_match(&self, text: &str) -> Result<bool> {
        match self.engine(text) {
            Engine::Linear(regex) => Ok(regex.is_match(text)),
            Engine::Backtracking(regex) => regex.is_match(text).map_err(gave_up),
        }
    }

    /// Where it is found first, from a place on.
    pub(crate) fn find_at(&self, text: &str, from: usize) -> Result<Option<Span>> {
        if from > text.len() {
            return Ok(None);
        }
        Ok(match self.engine(text) {
            Engine::Linear(regex) => regex.find_at(text, from).map(|found| (found.start(), found.end())),
            Engine::Backtracking(regex) => {
                regex.find_from_pos(text, from).map_err(gave_up)?.map(|found| (found.start(), found.end()))
            }
        })
    }

    /// Where it and its groups are found first, from a place on.
    pub(crate) fn groups_at(&self, text: &str, from: usize) -> Result<Option<Vec<Option<Span>>>> {
        if from > text.len() {
            return Ok(None);
        }
        Ok(match self.engine(text) {
            Engine::Linear(regex) => regex
                .captures_at(text, from)
                .map(|found| found.iter().map(|group| group.map(|group| (group.start(), group.end()))).collect()),
            Engine::Backtracking(regex) => regex
                .captures_from_pos(text, from)
                .map_err(gave_up)?
                .map(|found| found.iter().map(|group| group.map(|group| (group.start(), group.end()))).collect()),
        })
    }

    /// The number of a named group.
    pub(crate) fn group_named(&self, name: &str) -> Option<usize> {
        match &self.plain {
            Engine::Linear(regex) => regex.capture_names().position(|own| own == Some(name)),
            Engine::Backtracking(regex) => regex.capture_names().position(|own| own == Some(name)),
        }
    }

    /// Visits all matches. After an empty one the search goes on at the next character: so one may follow at the end of another.
    pub(crate) fn for_each(&self, text: &str, mut visit: impl FnMut(Span) -> Result<()>) -> Result<()> {
        let mut from = 0;
        while let Some(span) = self.find_at(text, from)? {
            visit(span)?;
            from = after(text, span);
        }
        Ok(())
    }
}

/// Where the search goes on after a match.
pub(crate) fn after(text: &str, (start, end): Span) -> usize {
    if end > start {
        return end;
    }
    end + text.get(end..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
}

/// Compiles a pattern for a function.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE.PATTERN`.
pub(crate) fn compile(pattern: &str, function: &str) -> Result<Arc<Pattern>> {
    Pattern::compile(pattern).map(Arc::new).ok_or_else(|| {
        spark_error(
            "INVALID_PARAMETER_VALUE.PATTERN",
            format!("The value of parameter(s) `regexp` in `{function}` is invalid: '{}'.", pattern.replace('\\', "\\\\")),
        )
    })
}

/// The patterns of an argument: compiled once if it is a literal. An invalid literal is an error of the first row that uses it.
#[derive(Debug, Clone)]
pub(crate) struct Patterns {
    literal: Option<Arc<Pattern>>,
    function: &'static str,
}

impl Patterns {
    /// Prepares argument `index`.
    pub(crate) fn prepare(call: &Call<'_>, index: usize, function: &'static str) -> Patterns {
        let literal = call.literal_str(index).and_then(|pattern| compile(pattern, function).ok());
        Patterns { literal, function }
    }

    /// What gives a row's pattern. The last one is kept: rows often have the same.
    pub(crate) fn of<'a>(
        &'a self,
        column: &'a Column<&'a arrow::array::StringArray>,
    ) -> impl Fn(usize) -> Result<Option<Arc<Pattern>>> + 'a {
        let last: RefCell<Option<(&str, Arc<Pattern>)>> = RefCell::new(None);
        move |row| {
            if let Some(literal) = &self.literal {
                return Ok(Some(Arc::clone(literal)));
            }
            let Some(text) = column.get(row) else { return Ok(None) };
            let mut last = last.borrow_mut();
            if let Some((known, pattern)) = last.as_ref()
                && *known == text
            {
                return Ok(Some(Arc::clone(pattern)));
            }
            let pattern = compile(text, self.function)?;
            *last = Some((text, Arc::clone(&pattern)));
            Ok(Some(pattern))
        }
    }
}
