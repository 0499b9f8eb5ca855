//! The schema of a JSON text, as it would be inferred from it.

use std::cmp::Ordering;

use super::document::{Kind, Value};

/// The most digits of a decimal.
const MAX_DIGITS: usize = 38;
/// The decimal that every long fits.
const DIGITS_OF_LONG: (usize, usize) = (20, 0);

/// What numbers with a point are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preferred {
    Doubles,
    /// Decimals, if they have few enough digits.
    Decimals,
}

/// What becomes of fields and items that were only null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// They are text.
    Text,
    /// They are left out.
    Dropped,
}

/// The type of values that were seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inferred {
    /// Only nulls.
    Nothing,
    Boolean,
    Long,
    Double,
    /// Numbers of so many digits at most, and of them so many behind the point: whole ones that are too large for a long, or all that
    /// are not whole.
    Decimal(usize, usize),
    Text,
    Array(Box<Inferred>),
    /// Fields sorted by their names, of which some may be the same.
    Struct(Vec<(String, Inferred)>),
}

impl Inferred {
    /// The type of a value.
    pub(super) fn of(value: Value<'_>) -> Inferred {
        Inferred::with(value, Preferred::Doubles)
    }

    /// The type of a value, if numbers with a point are to be such.
    pub(super) fn with(value: Value<'_>, preferred: Preferred) -> Inferred {
        let decimal = |text: &str| (preferred == Preferred::Decimals).then(|| decimal(text)).flatten();
        match value.kind() {
            Kind::Null => Inferred::Nothing,
            Kind::Text | Kind::Escaped if value.raw().is_empty() => Inferred::Nothing,
            // As in Spark, also numbers in quotes.
            Kind::Text | Kind::Escaped => decimal(value.raw()).unwrap_or(Inferred::Text),
            Kind::True | Kind::False => Inferred::Boolean,
            Kind::Int if value.raw().parse::<i64>().is_ok() => Inferred::Long,
            Kind::Int => match value.raw().trim_start_matches('-').len() {
                digits @ ..=MAX_DIGITS => Inferred::Decimal(digits, 0),
                _ => Inferred::Double,
            },
            Kind::Float => decimal(value.raw()).unwrap_or(Inferred::Double),
            Kind::NaN | Kind::Infinity | Kind::NegativeInfinity => Inferred::Double,
            Kind::Array => {
                let element =
                    value.elements().fold(Inferred::Nothing, |common, element| common.or(Inferred::with(element, preferred)));
                Inferred::Array(Box::new(element))
            }
            Kind::Object => {
                let field = |(key, value): (Value<'_>, Value<'_>)| {
                    (key.string().unwrap_or_default().into_owned(), Inferred::with(value, preferred))
                };
                let mut fields: Vec<_> = value.fields().map(field).collect();
                fields.sort_by(|(left, _), (right, _)| left.cmp(right));
                Inferred::Struct(fields)
            }
        }
    }

    /// The same, but values that are no structures are text.
    pub(super) fn with_primitives_as_text(self) -> Inferred {
        match self {
            Inferred::Boolean | Inferred::Long | Inferred::Double | Inferred::Decimal(..) => Inferred::Text,
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
            (Inferred::Decimal(left, left_scale), Inferred::Decimal(right, right_scale)) => {
                wider((left, left_scale), (right, right_scale))
            }
            (Inferred::Decimal(digits, scale), Inferred::Long) | (Inferred::Long, Inferred::Decimal(digits, scale)) => {
                wider((digits, scale), DIGITS_OF_LONG)
            }
            (Inferred::Double, Inferred::Long | Inferred::Decimal(..))
            | (Inferred::Long | Inferred::Decimal(..), Inferred::Double) => Inferred::Double,
            (left, right) if left == right => left,
            _ => Inferred::Text,
        }
    }

    /// What is left without fields that say nothing: structs without fields, and fields without a name.
    fn pruned(self, nulls: Nulls) -> Option<Inferred> {
        match self {
            Inferred::Nothing if nulls == Nulls::Dropped => None,
            Inferred::Array(element) => element.pruned(nulls).map(|element| Inferred::Array(Box::new(element))),
            Inferred::Struct(fields) => {
                let named = fields.into_iter().filter(|(name, _)| !name.is_empty());
                let fields: Vec<_> = named.filter_map(|(name, inferred)| Some((name, inferred.pruned(nulls)?))).collect();
                (!fields.is_empty()).then_some(Inferred::Struct(fields))
            }
            other => Some(other),
        }
    }

    /// The schema of a text: what it is at the top is kept even if it has no fields.
    fn schema(self, nulls: Nulls) -> Inferred {
        let nothing = match &self {
            Inferred::Struct(_) => Inferred::Struct(Vec::new()),
            Inferred::Array(element) if matches!(**element, Inferred::Struct(_)) => {
                Inferred::Array(Box::new(Inferred::Struct(Vec::new())))
            }
            _ => Inferred::Text,
        };
        self.pruned(nulls).unwrap_or(nothing)
    }

    /// The schema in SQL. What was only null is a string.
    pub(super) fn sql(self) -> String {
        self.sql_with(Nulls::Text)
    }

    /// The schema in SQL, with or without what was only null.
    pub(super) fn sql_with(self, nulls: Nulls) -> String {
        let mut out = String::new();
        self.schema(nulls).write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Inferred::Nothing | Inferred::Text => out.push_str("STRING"),
            Inferred::Boolean => out.push_str("BOOLEAN"),
            Inferred::Long => out.push_str("BIGINT"),
            Inferred::Double => out.push_str("DOUBLE"),
            Inferred::Decimal(digits, scale) => out.push_str(&format!("DECIMAL({digits},{scale})")),
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

/// The type of a number in decimal digits, as Java's `BigDecimal` reads them; `None` if it is none, or has too many.
fn decimal(text: &str) -> Option<Inferred> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Zeros in front don't count, but of zero one does.
    let precision = i64::try_from(digits.trim_start_matches('0').len().max(1)).ok()?;
    let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    // Of a whole number with an exponent the zeros are written out.
    let (precision, scale) = if scale < 0 { (precision.checked_sub(scale)?, 0) } else { (precision.max(scale), scale) };
    let (precision, scale) = (usize::try_from(precision).ok()?, usize::try_from(scale).ok()?);
    (precision <= MAX_DIGITS).then_some(Inferred::Decimal(precision, scale))
}

/// The decimal that two fit, or a double.
fn wider((left, left_scale): (usize, usize), (right, right_scale): (usize, usize)) -> Inferred {
    let scale = left_scale.max(right_scale);
    let digits = left.saturating_sub(left_scale).max(right.saturating_sub(right_scale)) + scale;
    if digits > MAX_DIGITS { Inferred::Double } else { Inferred::Decimal(digits, scale) }
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

    #[test]
    fn numbers_with_a_point_may_be_decimals() {
        let mut parser = Parser::new(Syntax::RECORD);
        for (text, schema) in [
            ("[1.50,100]", "ARRAY<DECIMAL(22,2)>"),
            ("[1.5,0.001]", "ARRAY<DECIMAL(4,3)>"),
            ("[0.00]", "ARRAY<DECIMAL(2,2)>"),
            ("[-12.5,\"3.25\"]", "ARRAY<DECIMAL(4,2)>"),
            ("[1.5,\"x\"]", "ARRAY<STRING>"),
            ("[1.5e3]", "ARRAY<DECIMAL(4,0)>"),
            ("[1.5e-3]", "ARRAY<DECIMAL(4,4)>"),
            ("[1.5e99]", "ARRAY<DOUBLE>"),
            ("[1e30,1e-30]", "ARRAY<DOUBLE>"),
        ] {
            let value = parser.value(text).unwrap();
            assert_eq!(Inferred::with(value, Preferred::Decimals).sql(), schema, "{text}");
        }
    }

    #[test]
    fn what_was_only_null_may_be_left_out() {
        let mut parser = Parser::new(Syntax::RECORD);
        for (text, schema) in [
            (r#"{"a":null,"b":[],"c":[null],"d":{"e":null},"f":1}"#, "STRUCT<f: BIGINT>"),
            (r#"{"a":""}"#, "STRUCT<>"),
            (r#"{"a":{"b":null,"c":true}}"#, "STRUCT<a: STRUCT<c: BOOLEAN>>"),
        ] {
            assert_eq!(Inferred::of(parser.value(text).unwrap()).sql_with(Nulls::Dropped), schema);
        }
    }
}
