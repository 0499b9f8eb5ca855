//! Paths into a JSON text: `$.store.book[0]['title']`, `$.a[*].b`.

use super::document::{Kind, Value};
use super::write::{Astral, Generator};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Into the field of this name.
    Name(String),
    /// Into the element at this place.
    Index(usize),
    /// Into all elements.
    Elements,
    /// `.*` and `['*']`: can be written, but are never found.
    Nowhere,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

/// How the values that are found are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// A string without quotes.
    Raw,
    /// As JSON.
    Quoted,
    /// As JSON, arrays element by element.
    Flat,
}

impl Path {
    /// Reads a path; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Path> {
        let mut rest = text.trim_start().strip_prefix('$').filter(|_| text.starts_with('$'))?;
        let mut steps = Vec::new();
        // Blanks are skipped in front of names, numbers and what is written as a word; not in front of single signs.
        while !rest.trim_start().is_empty() {
            let (step, after) = step(rest)?;
            steps.push(step);
            rest = after;
        }
        Some(Path(steps))
    }

    /// Writes what is found to the generator, which is empty; whether anything was.
    pub(super) fn evaluate(&self, value: Value<'_>, generator: &mut Generator) -> bool {
        evaluate(value, &self.0, Style::Raw, generator) && !generator.torn
    }
}

fn step(text: &str) -> Option<(Step, &str)> {
    let word = text.trim_start();
    if let Some(rest) = word.strip_prefix(".*").or_else(|| word.strip_prefix("['*']")) {
        return Some((Step::Nowhere, rest));
    }
    if let Some(rest) = text.strip_prefix('.') {
        let rest = rest.trim_start();
        let (name, rest) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
        return (!name.is_empty()).then(|| (Step::Name(name.to_owned()), rest));
    }
    if let Some(rest) = word.strip_prefix("['") {
        let rest = rest.trim_start();
        let (name, rest) = rest.split_at(rest.find('\'')?);
        let rest = rest.strip_prefix("']")?;
        return (!name.is_empty()).then(|| (Step::Name(name.to_owned()), rest));
    }
    let rest = text.strip_prefix('[')?;
    if let Some(rest) = rest.strip_prefix("*]") {
        return Some((Step::Elements, rest));
    }
    let (index, rest) = rest.trim_start().split_once(']')?;
    let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
    Some((Step::Index(index.parse().ok().filter(|_| digits)?), rest))
}

fn evaluate(value: Value<'_>, path: &[Step], style: Style, out: &mut Generator) -> bool {
    match (value.kind(), path) {
        (Kind::Text | Kind::Escaped, []) if style == Style::Raw => {
            out.raw(value);
            true
        }
        (Kind::Array, []) if style == Style::Flat => each(value, [].as_slice(), Style::Flat, out),
        (_, []) => {
            out.copy(value);
            true
        }
        (Kind::Object, [Step::Name(name), rest @ ..]) => {
            // The first field of that name in which something is found.
            value.fields().any(|(key, value)| key.is(name) && value.kind() != Kind::Null && evaluate(value, rest, style, out))
        }
        (Kind::Array, [Step::Elements, Step::Elements, rest @ ..]) => {
            out.open('[');
            let found = each(value, rest, Style::Flat, out);
            out.close(']');
            found
        }
        (Kind::Array, [Step::Elements, rest @ ..]) if style != Style::Quoted => {
            let style = if style == Style::Raw { Style::Quoted } else { style };
            unwrapped_if_single(value, rest, style, out)
        }
        (Kind::Array, [Step::Elements, rest @ ..]) => {
            out.open('[');
            let found = each(value, rest, Style::Quoted, out);
            out.close(']');
            found
        }
        (Kind::Array, [Step::Index(index), rest @ ..]) => {
            let style = if matches!(rest, [Step::Elements, ..]) { Style::Quoted } else { style };
            value.elements().nth(*index).is_some_and(|element| evaluate(element, rest, style, out))
        }
        _ => false,
    }
}

fn each(array: Value<'_>, path: &[Step], style: Style, out: &mut Generator) -> bool {
    array.elements().fold(false, |found, element| evaluate(element, path, style, out) | found)
}

/// An array of what is found in the elements; if that is one value, then the value itself.
fn unwrapped_if_single(array: Value<'_>, path: &[Step], style: Style, out: &mut Generator) -> bool {
    let mut inner = Generator::new(Astral::Plain);
    let found = array.elements().filter(|element| evaluate(*element, path, style, &mut inner)).count();
    out.torn |= inner.torn;
    match found {
        0 => {}
        1 => out.json(&inner.out),
        _ => out.json(&format!("[{}]", inner.out)),
    }
    found > 0
}

#[cfg(test)]
mod tests {
    use super::super::document::{Parser, Syntax};
    use super::*;

    fn get(text: &str, path: &str) -> Option<String> {
        let mut parser = Parser::new(Syntax::QUERY);
        let mut out = Generator::new(Astral::Escaped);
        let found = Path::parse(path)?.evaluate(parser.value(text)?, &mut out);
        found.then_some(out.out)
    }

    #[test]
    fn paths_find_what_spark_finds() {
        for (text, path, found) in [
            (r#"{"a":1.50,"b":1e3}"#, "$", Some(r#"{"a":1.5,"b":1000.0}"#)),
            (r#"{"a":"x\"y\n"}"#, "$.a", Some("x\"y\n")),
            (r#"{"a":null}"#, "$.a", None),
            ("null", "$", Some("null")),
            (r#"{"a":[null]}"#, "$.a[0]", Some("null")),
            (r#"{"a":null,"a":2}"#, "$.a", Some("2")),
            (r#"{"a":1,"a":2}"#, "$.a", Some("1")),
            (r#"{"a":{"b":1},"a":{"c":2}}"#, "$.a.c", Some("2")),
            (r#"{"a":[1]}"#, "$.a[*]", Some("1")),
            (r#"{"a":["x"]}"#, "$.a[*]", Some("\"x\"")),
            (r#"{"a":["x","y"]}"#, "$.a[*]", Some(r#"["x","y"]"#)),
            (r#"{"a":[]}"#, "$.a[*]", None),
            (r#"{"a":[{"b":"x"},{"b":"y"},{"c":1}]}"#, "$.a[*].b", Some(r#"["x","y"]"#)),
            (r#"{"a":[{"b":["x"]},{"b":["y",2]}]}"#, "$.a[*].b[*]", Some(r#"[["x"],["y",2]]"#)),
            (r#"{"a":[{"b":["x"]}]}"#, "$.a[*].b[*]", Some(r#"["x"]"#)),
            (r#"{"a":[[1,2],[3,[4,[5]]]]}"#, "$.a[*][*]", Some("[1,2,3,4,5]")),
            (r#"{"a":[[1,2],[3,4]]}"#, "$.a[*][0]", Some("[1,3]")),
            (r#"{"a":[[1,2],[3,4]]}"#, "$.a[0][*]", Some("[1,2]")),
            (r#"{"a":[["x"]]}"#, "$.a[0][*]", Some(r#"["x"]"#)),
            (r#"{"a":[{"b":[1]},{"b":[3]}]}"#, "$.a[0].b[*]", Some("1")),
            (r#"[{"a":1},{"a":2}]"#, "$.a", None),
            (r#"{"a":1}"#, "$.*", None),
            (r#"{"a":{"x":[1]}}"#, "$.a.*", None),
            (r#"{"a b":1}"#, "$['a b']", Some("1")),
            (r#"{"a b":1}"#, "$.a b", Some("1")),
            (r#"{"a":[1]}"#, "$.a[ 0]", Some("1")),
            (r#"{"a":[1]}"#, "$.a[0] ", Some("1")),
            (r#"{"a":[1]}"#, "$. a", Some("[1]")),
            (r#"{"a":[1]}"#, "$ ['a']", Some("[1]")),
            (r#"{"a":["😀"]}"#, "$.a", Some(r#"["\uD83D\uDE00"]"#)),
            (r#"{"a":["😀","é"]}"#, "$.a[*]", Some(r#"["😀","é"]"#)),
            (r#"{"a":"\ud83d"}"#, "$.a", None),
            (r#"{"a":["\ud83d","é"]}"#, "$.a[*]", None),
        ] {
            assert_eq!(get(text, path).as_deref(), found, "{text} {path}");
        }
    }

    #[test]
    fn what_is_no_path() {
        for text in [
            "", "a", "$a", "$.", "$..a", "$.a[-1]", "$.a[ 0 ]", "$.a[x]", "$['']", "$[\"a\"]", " $.a", "$ .a", "$[ 'a']", "$['a'",
        ] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }
}
