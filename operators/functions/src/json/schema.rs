//! The schema of a JSON text, as it would be inferred from it.

use std::cmp::Ordering;

use super::document::{Kind, Value};

/// The type of values that were seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inferred {
    /// Only nulls.
    Nothing,
    Boolean,
    Long,
    Double,
    /// Whole numbers of this many digits, too large for a long.
    Decimal(usize),
    Text,
    Array(Box<Inferred>),
    /// Fields sorted by their names, of which some may be the same.
    Struct(Vec<(String, Inferred)>),
}

impl Inferred {
    /// The type of a value.
    pub(super) fn of(value: Value<'_>) -> Inferred {
        match value.kind() {
            Kind::Null => Inferred::Nothing,
            Kind::Text | Kind::Escaped if value.raw().is_empty() => Inferred::Nothing,
            Kind::Text | Kind::Escaped => Inferred::Text,
            Kind::True | Kind::False => Inferred::Boolean,
            Kind::Int if value.raw().parse::<i64>().is_ok() => Inferred::Long,
            Kind::Int => match value.raw().trim_start_matches('-').len() {
                digits @ ..=38 => Inferred::Decimal(digits),
                _ => Inferred::Double,
            },
            Kind::Float | Kind::NaN | Kind::Infinity | Kind::NegativeInfinity => Inferred::Double,
            Kind::Array => {
                let element = value.elements().fold(Inferred::Nothing, |common, element| common.or(Inferred::of(element)));
                Inferred::Array(Box::new(element))
            }
            Kind::Object => {
                let field =
                    |(key, value): (Value<'_>, Value<'_>)| (key.string().unwrap_or_default().into_owned(), Inferred::of(value));
                let mut fields: Vec<_> = value.fields().map(field).collect();
                fields.sort_by(|(left, _), (right, _)| left.cmp(right));
                Inferred::Struct(fields)
            }
        }
    }

    /// The same, but values that are no structures are text.
    pub(super) fn with_primitives_as_text(self) -> Inferred {
        match self {
            Inferred::Boolean | Inferred::Long | Inferred::Double | Inferred::Decimal(_) => Inferred::Text,
            Inferred::Array(element) => Inferred::Array(Box::new(element.with_primitives_as_text())),
            Inferred::Struct(fields) => {
                Inferred::Struct(fields.into_iter().map(|(name, kind)| (name, kind.with_primitives_as_text())).collect())
            }
            Inferred::Nothing | Inferred::Text => self,
        }
    }

    /// The type that both values fit.
    pub(super) fn or(self, other: Inferred) -> Inferred {
        match (self, other) {
            (Inferred::Nothing, one) | (one, Inferred::Nothing) => one,
            (Inferred::Array(left), Inferred::Array(right)) => Inferred::Array(Box::new(left.or(*right))),
            (Inferred::Struct(left), Inferred::Struct(right)) => Inferred::Struct(merge(left, right)),
            (Inferred::Decimal(left), Inferred::Decimal(right)) => Inferred::Decimal(left.max(right)),
            (Inferred::Decimal(digits), Inferred::Long) | (Inferred::Long, Inferred::Decimal(digits)) => {
                Inferred::Decimal(digits.max(20))
            }
            (Inferred::Double, Inferred::Long | Inferred::Decimal(_))
            | (Inferred::Long | Inferred::Decimal(_), Inferred::Double) => Inferred::Double,
            (left, right) if left == right => left,
            _ => Inferred::Text,
        }
    }

    /// What is left without fields that say nothing: structs without fields, and fields without a name.
    fn pruned(self) -> Option<Inferred> {
        match self {
            Inferred::Array(element) => element.pruned().map(|element| Inferred::Array(Box::new(element))),
            Inferred::Struct(fields) => {
                let named = fields.into_iter().filter(|(name, _)| !name.is_empty());
                let fields: Vec<_> = named.filter_map(|(name, inferred)| Some((name, inferred.pruned()?))).collect();
                (!fields.is_empty()).then_some(Inferred::Struct(fields))
            }
            other => Some(other),
        }
    }

    /// The schema of a text: what it is at the top is kept even if it has no fields.
    fn schema(self) -> Inferred {
        let nothing = match &self {
            Inferred::Struct(_) => Inferred::Struct(Vec::new()),
            Inferred::Array(element) if matches!(**element, Inferred::Struct(_)) => {
                Inferred::Array(Box::new(Inferred::Struct(Vec::new())))
            }
            _ => Inferred::Text,
        };
        self.pruned().unwrap_or(nothing)
    }

    /// The schema in SQL. What was only null is a string.
    pub(super) fn sql(self) -> String {
        let mut out = String::new();
        self.schema().write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Inferred::Nothing | Inferred::Text => out.push_str("STRING"),
            Inferred::Boolean => out.push_str("BOOLEAN"),
            Inferred::Long => out.push_str("BIGINT"),
            Inferred::Double => out.push_str("DOUBLE"),
            Inferred::Decimal(digits) => out.push_str(&format!("DECIMAL({digits},0)")),
            Inferred::Array(element) => {
                out.push_str("ARRAY<");
                element.write(out);
                out.push('>');
            }
            Inferred::Struct(fields) => {
                out.push_str("STRUCT<");
                for (at, (name, inferred)) in fields.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    out.push_str(&quoted_if_needed(name));
                    out.push_str(": ");
                    inferred.write(out);
                }
                out.push('>');
            }
        }
    }
}

/// The fields of both, sorted; of those in both, one that both fit.
fn merge(left: Vec<(String, Inferred)>, right: Vec<(String, Inferred)>) -> Vec<(String, Inferred)> {
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    let mut fields = Vec::new();
    while let (Some((l, _)), Some((r, _))) = (left.peek(), right.peek()) {
        match l.cmp(r) {
            Ordering::Less => fields.extend(left.next()),
            Ordering::Greater => fields.extend(right.next()),
            Ordering::Equal => {
                let both = left.next().zip(right.next());
                fields.extend(both.map(|((name, left), (_, right))| (name, left.or(right))));
            }
        }
    }
    fields.extend(left.chain(right));
    fields
}

fn quoted_if_needed(name: &str) -> String {
    let word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if word { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}

#[cfg(test)]
mod tests {
    use super::super::document::{Parser, Syntax};
    use super::*;

    #[test]
    fn schemas_are_inferred() {
        let mut parser = Parser::new(Syntax::RECORD);
        for (text, schema) in [
            (
                r#"{"b":"x","a":1,"c":[1,2.5],"d":{"e":true},"f":null,"h":12345678901234567890}"#,
                "STRUCT<a: BIGINT, b: STRING, c: ARRAY<DOUBLE>, d: STRUCT<e: BOOLEAN>, f: STRING, h: DECIMAL(20,0)>",
            ),
            (r#"[{"a":1},{"b":"x"}]"#, "ARRAY<STRUCT<a: BIGINT, b: STRING>>"),
            (r#"{"a b":1,"A":2,"select":1,"x-y":[]}"#, "STRUCT<A: BIGINT, `a b`: BIGINT, select: BIGINT, `x-y`: ARRAY<STRING>>"),
            (r#"{"a":[1,{"b":1}]}"#, "STRUCT<a: ARRAY<STRING>>"),
            (r#"[12345678901234567890,1.5]"#, "ARRAY<DOUBLE>"),
            ("{}", "STRUCT<>"),
            (r#"{"a":{},"b":[{}],"":1,"c":{"d":{}}}"#, "STRUCT<>"),
            (r#"{"a":1,"a":"x"}"#, "STRUCT<a: BIGINT, a: STRING>"),
            ("[{}]", "ARRAY<STRUCT<>>"),
            ("null", "STRING"),
        ] {
            assert_eq!(Inferred::of(parser.value(text).unwrap()).sql(), schema);
        }
    }
}
