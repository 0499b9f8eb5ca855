//! Writing JSON: escapes, numbers as Java writes them, and copies of parsed values.

use super::document::{Kind, Value, unescape};

/// How characters beyond the basic plane are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Astral {
    /// As they are.
    Plain,
    /// As two escapes. Spark's parser library does so whenever it writes bytes and not characters.
    Escaped,
}

/// Writes a string in quotes.
pub(super) fn quote(text: &str, astral: Astral, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, char) in text.char_indices() {
        if needs_escape(char, astral) {
            out.push_str(&text[plain..at]);
            escape(u32::from(char), out);
            plain = at + char.len_utf8();
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

fn needs_escape(char: char, astral: Astral) -> bool {
    matches!(char, '"' | '\\' | '\0'..='\u{1F}') || (char > '\u{FFFF}' && astral == Astral::Escaped)
}

fn escape(code: u32, out: &mut String) {
    let short = match code {
        0x22 => "\\\"",
        0x5C => "\\\\",
        0x08 => "\\b",
        0x09 => "\\t",
        0x0A => "\\n",
        0x0C => "\\f",
        0x0D => "\\r",
        _ => "",
    };
    out.push_str(short);
    if !short.is_empty() {
        return;
    }
    let mut hex = |unit: u32| {
        out.push_str("\\u");
        for shift in [12, 8, 4, 0] {
            out.push(char::from_digit(unit >> shift & 0xF, 16).unwrap_or('0').to_ascii_uppercase());
        }
    };
    if code > 0xFFFF {
        hex(0xD800 + ((code - 0x10000) >> 10));
        hex(0xDC00 + ((code - 0x10000) & 0x3FF));
    } else {
        hex(code);
    }
}

/// Writes JSON piece by piece, and the commas between them.
#[derive(Debug)]
pub(super) struct Generator {
    pub(super) out: String,
    astral: Astral,
    comma: bool,
    /// Half of a surrogate pair had to be written as it is: there is no such text.
    pub(super) torn: bool,
}

impl Generator {
    pub(super) fn new(astral: Astral) -> Self {
        Generator { out: String::new(), astral, comma: false, torn: false }
    }

    pub(super) fn clear(&mut self) {
        self.out.clear();
        (self.comma, self.torn) = (false, false);
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(',');
        }
    }

    pub(super) fn open(&mut self, bracket: char) {
        self.separate();
        self.out.push(bracket);
        self.comma = false;
    }

    pub(super) fn close(&mut self, bracket: char) {
        self.out.push(bracket);
        self.comma = true;
    }

    /// Writes a text that is JSON already.
    pub(super) fn json(&mut self, text: &str) {
        self.separate();
        self.out.push_str(text);
        self.comma = true;
    }

    /// Writes a string without quotes and escapes.
    pub(super) fn raw(&mut self, value: Value<'_>) {
        if value.kind() == Kind::Escaped {
            self.torn |= unescape(value.raw()).any(|code| char::from_u32(code).is_none());
        }
        self.out.push_str(&value.string().unwrap_or_default());
    }

    /// Writes a value and all of its parts anew: without blanks, numbers and escapes in their usual form.
    pub(super) fn copy(&mut self, value: Value<'_>) {
        // Not recursive: a text may be deep. For each open bracket: the node that it ends before, and what closes it.
        let mut open: Vec<(usize, bool)> = Vec::new();
        let mut key = false;
        for (at, next, part) in value.walk() {
            while let Some((_, object)) = open.pop_if(|(end, _)| *end == at) {
                self.close(if object { '}' } else { ']' });
                key = open.last().is_some_and(|(_, object)| *object);
            }
            match part.kind() {
                Kind::Array => {
                    self.open('[');
                    open.push((next, false));
                    key = false;
                }
                Kind::Object => {
                    self.open('{');
                    open.push((next, true));
                    key = true;
                }
                _ => {
                    self.scalar(part);
                    if key {
                        self.out.push(':');
                        self.comma = false;
                    }
                    // In an object, keys and values take turns.
                    key = open.last().is_some_and(|(_, object)| *object) && !key;
                }
            }
        }
        while let Some((_, object)) = open.pop() {
            self.close(if object { '}' } else { ']' });
        }
    }

    fn scalar(&mut self, value: Value<'_>) {
        self.separate();
        self.comma = true;
        match value.kind() {
            Kind::Text => quote(value.raw(), self.astral, &mut self.out),
            Kind::Escaped => self.escaped(value.raw()),
            Kind::Float => double(value.raw().parse().unwrap_or(f64::NAN), &mut self.out),
            Kind::Int if value.raw() == "-0" => self.out.push('0'),
            Kind::NaN => double(f64::NAN, &mut self.out),
            Kind::Infinity => double(f64::INFINITY, &mut self.out),
            Kind::NegativeInfinity => double(f64::NEG_INFINITY, &mut self.out),
            Kind::Null | Kind::True | Kind::False | Kind::Int | Kind::Array | Kind::Object => self.out.push_str(value.raw()),
        }
    }

    fn escaped(&mut self, raw: &str) {
        self.out.push('"');
        for code in unescape(raw) {
            match char::from_u32(code) {
                Some(char) if !needs_escape(char, self.astral) => self.out.push(char),
                None if self.astral == Astral::Plain => self.torn = true,
                _ => escape(code, &mut self.out),
            }
        }
        self.out.push('"');
    }
}

/// Writes a double as a JSON number, or as a string if it is none.
pub(super) fn double(value: f64, out: &mut String) {
    if value.is_finite() {
        java_double(value, out);
    } else {
        out.push('"');
        java_double(value, out);
        out.push('"');
    }
}

/// Writes a double as Java does.
pub(crate) fn java_double(value: f64, out: &mut String) {
    crate::cast::write_f64(out, value);
}

/// Writes a float as Java does.
pub(crate) fn java_single(value: f32, out: &mut String) {
    crate::cast::write_f32(out, value);
}

/// Writes a decimal as Java's `BigDecimal` does: with an exponent where more than five zeros would follow the point.
pub(crate) fn java_decimal(unscaled: i128, scale: i8, out: &mut String) {
    let digits = unscaled.unsigned_abs().to_string();
    let scale = usize::from(scale.unsigned_abs());
    if unscaled < 0 {
        out.push('-');
    }
    if scale == 0 {
        return out.push_str(&digits);
    }
    let power = digits.len() as i64 - 1 - scale as i64;
    if power < -6 {
        out.push_str(&digits[..1]);
        if digits.len() > 1 {
            out.push('.');
            out.push_str(&digits[1..]);
        }
        out.push_str(&format!("E{power}"));
    } else {
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        out.push_str(whole);
        out.push('.');
        out.push_str(fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::{Parser, Syntax};
    use super::*;

    #[test]
    fn numbers_are_those_of_java() {
        for (value, text) in [
            (1.5, "1.5"),
            (1000.0, "1000.0"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (1e-3, "0.001"),
            (1.25e-5, "1.25E-5"),
            (-0.0, "-0.0"),
            (1e20, "1.0E20"),
            (f64::NAN, "NaN"),
        ] {
            let mut out = String::new();
            java_double(value, &mut out);
            assert_eq!(out, text);
        }
        for (unscaled, scale, text) in [
            (150, 2, "1.50"),
            (0, 2, "0.00"),
            (0, 10, "0E-10"),
            (1, 6, "0.000001"),
            (1, 7, "1E-7"),
            (-100_000, 15, "-1.00000E-10"),
            (7, 0, "7"),
        ] {
            let mut out = String::new();
            java_decimal(unscaled, scale, &mut out);
            assert_eq!(out, text);
        }
        let mut out = String::new();
        java_single(0.1, &mut out);
        assert_eq!(out, "0.1");
    }

    #[test]
    fn copies_are_compact() {
        let mut parser = Parser::new(Syntax::RECORD);
        for (text, copy) in [
            (
                "{ 'a' : [ 1.50 , {} , [ ] , {\"b\":{\"c\":[[1]]},\"d\":-0} ], 'e': null }",
                r#"{"a":[1.5,{},[],{"b":{"c":[[1]]},"d":0}],"e":null}"#,
            ),
            (
                r#"["x\"\u0001\u001f\b/\u00e9", NaN, 1e400, 12345678901234567890]"#,
                r#"["x\"\u0001\u001F\b/é","NaN","Infinity",12345678901234567890]"#,
            ),
            (r#"["😀","\ud83d"]"#, r#"["\uD83D\uDE00","\uD83D"]"#),
        ] {
            let mut generator = Generator::new(Astral::Escaped);
            generator.copy(parser.value(text).unwrap());
            assert_eq!(generator.out, copy);
        }
    }
}
