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
    /// Numbers of at most so many digits, the second of them after the point.
    Decimal(usize, usize),
    Timestamp,
    Text,
    Array(Box<Inferred>),
    /// Fields sorted by their names, of which some may be the same.
    Struct(Vec<(String, Inferred)>),
}

/// Says whether a string is a timestamp.
pub type IsTimestamp = Box<dyn Fn(&str) -> bool + Send>;

/// What is inferred of values: Spark's options of these names.
#[derive(Default)]
pub struct InferenceRules {
    /// No value is a number or a boolean.
    pub primitives_as_string: bool,
    /// Numbers with a point are decimals if these can hold them, and so are strings of digits.
    pub prefers_decimal: bool,
    /// There is no field for one that is only ever null, or an array of nothing.
    pub drop_field_if_all_null: bool,
    /// Whether a string is a timestamp; if it is not set, none is.
    pub is_timestamp: Option<IsTimestamp>,
}

impl std::fmt::Debug for InferenceRules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InferenceRules")
            .field("primitives_as_string", &self.primitives_as_string)
            .field("prefers_decimal", &self.prefers_decimal)
            .field("drop_field_if_all_null", &self.drop_field_if_all_null)
            .field("infers_timestamps", &self.is_timestamp.is_some())
            .finish()
    }
}

impl InferenceRules {
    fn string(&self, value: Value<'_>) -> Inferred {
        let text = value.string().unwrap_or_default();
        if self.prefers_decimal
            && let Some(decimal) = decimal(&text)
        {
            return decimal;
        }
        if self.is_timestamp.as_ref().is_some_and(|is_timestamp| is_timestamp(&text)) {
            return Inferred::Timestamp;
        }
        Inferred::Text
    }
}

/// The decimal that a number is, as Java's `BigDecimal` has it; `None` if it is no number, or one of more digits than a decimal has.
fn decimal(text: &str) -> Option<Inferred> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = || whole.chars().chain(fraction.chars());
    if all().next().is_none() || !all().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let precision = i64::try_from(all().skip_while(|digit| *digit == '0').count().max(1)).ok()?;
    let scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    // A number that ends with zeros of its exponent has all its digits before the point.
    let (precision, scale) = if scale < 0 { (precision.checked_sub(scale)?, 0) } else { (precision.max(scale), scale) };
    if precision > 38 {
        return None;
    }
    Some(Inferred::Decimal(usize::try_from(precision).ok()?, usize::try_from(scale).ok()?))
}

impl Inferred {
    /// The type of a value.
    pub(super) fn of(value: Value<'_>, rules: &InferenceRules) -> Inferred {
        match value.kind() {
            Kind::Null => Inferred::Nothing,
            Kind::Text | Kind::Escaped if value.raw().is_empty() => Inferred::Nothing,
            Kind::Text | Kind::Escaped => rules.string(value),
            Kind::True | Kind::False => Inferred::Boolean,
            Kind::Int if value.raw().parse::<i64>().is_ok() => Inferred::Long,
            Kind::Int => decimal(value.raw()).unwrap_or(Inferred::Double),
            Kind::Float if rules.prefers_decimal => decimal(value.raw()).unwrap_or(Inferred::Double),
            Kind::Float | Kind::NaN | Kind::Infinity | Kind::NegativeInfinity => Inferred::Double,
            Kind::Array => {
                let element = value.elements().fold(Inferred::Nothing, |common, element| common.or(Inferred::of(element, rules)));
                Inferred::Array(Box::new(element))
            }
            Kind::Object => {
                let field = |(key, value): (Value<'_>, Value<'_>)| {
                    (key.string().unwrap_or_default().into_owned(), Inferred::of(value, rules))
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
            Inferred::Nothing | Inferred::Timestamp | Inferred::Text => self,
        }
    }

    /// The type that both values fit.
    pub(super) fn or(self, other: Inferred) -> Inferred {
        match (self, other) {
            (Inferred::Nothing, one) | (one, Inferred::Nothing) => one,
            (Inferred::Array(left), Inferred::Array(right)) => Inferred::Array(Box::new(left.or(*right))),
            (Inferred::Struct(left), Inferred::Struct(right)) => Inferred::Struct(merge(left, right)),
            (Inferred::Decimal(left, left_scale), Inferred::Decimal(right, right_scale)) => {
                let (whole, scale) = ((left - left_scale).max(right - right_scale), left_scale.max(right_scale));
                if whole + scale > 38 { Inferred::Double } else { Inferred::Decimal(whole + scale, scale) }
            }
            (decimal @ Inferred::Decimal(..), Inferred::Long) | (Inferred::Long, decimal @ Inferred::Decimal(..)) => {
                decimal.or(Inferred::Decimal(20, 0))
            }
            (Inferred::Double, Inferred::Long | Inferred::Decimal(..))
            | (Inferred::Long | Inferred::Decimal(..), Inferred::Double) => Inferred::Double,
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

    /// What is left without fields that were only ever null.
    pub(super) fn without_nulls(self) -> Option<Inferred> {
        match self {
            Inferred::Nothing => None,
            Inferred::Array(element) => element.without_nulls().map(|element| Inferred::Array(Box::new(element))),
            Inferred::Struct(fields) => {
                let fields = fields.into_iter().filter_map(|(name, inferred)| Some((name, inferred.without_nulls()?)));
                Some(Inferred::Struct(fields.collect()))
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
            Inferred::Decimal(precision, scale) => out.push_str(&format!("DECIMAL({precision},{scale})")),
            Inferred::Timestamp => out.push_str("TIMESTAMP"),
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
            assert_eq!(Inferred::of(parser.value(text).unwrap(), &InferenceRules::default()).sql(), schema);
        }
    }
}
