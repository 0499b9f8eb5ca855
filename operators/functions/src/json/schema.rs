//! The schema of a JSON text, as it would be inferred from it.

use std::collections::BTreeMap;

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
    Struct(BTreeMap<String, Inferred>),
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
                let mut fields = BTreeMap::new();
                for (key, value) in value.fields() {
                    merge(&mut fields, key.string().unwrap_or_default().into_owned(), Inferred::of(value));
                }
                Inferred::Struct(fields)
            }
        }
    }

    /// The type that both values fit.
    fn or(self, other: Inferred) -> Inferred {
        match (self, other) {
            (Inferred::Nothing, one) | (one, Inferred::Nothing) => one,
            (Inferred::Array(left), Inferred::Array(right)) => Inferred::Array(Box::new(left.or(*right))),
            (Inferred::Struct(mut left), Inferred::Struct(right)) => {
                for (name, inferred) in right {
                    merge(&mut left, name, inferred);
                }
                Inferred::Struct(left)
            }
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

    /// Writes it as SQL writes a type. What was only null is a string.
    pub(super) fn write(&self, out: &mut String) {
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

fn merge(fields: &mut BTreeMap<String, Inferred>, name: String, inferred: Inferred) {
    let common = fields.remove(&name).unwrap_or(Inferred::Nothing).or(inferred);
    fields.insert(name, common);
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
            ("null", "STRING"),
        ] {
            let mut out = String::new();
            Inferred::of(parser.value(text).unwrap()).write(&mut out);
            assert_eq!(out, schema);
        }
    }
}
