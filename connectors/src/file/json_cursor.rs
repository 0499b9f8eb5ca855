//! Walks over the text of a JSON value: the pure part of the JSON reader.
//!
//! It takes what Jackson takes as Spark sets it up: single quotes, and `NaN` and infinities as numbers.

/// The text is not JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Structures within each other that are skipped or copied; what is deeper is not JSON, as in Jackson.
const MAX_DEPTH: usize = 1_000;

/// What is JSON besides JSON: Spark's options of these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JsonRules {
    pub(crate) allow_comments: bool,
    pub(crate) allow_unquoted_field_names: bool,
    pub(crate) allow_single_quotes: bool,
    pub(crate) allow_numeric_leading_zeros: bool,
    pub(crate) allow_backslash_escaping_any_character: bool,
    pub(crate) allow_unquoted_control_chars: bool,
    pub(crate) allow_non_numeric_numbers: bool,
}

impl Default for JsonRules {
    fn default() -> Self {
        JsonRules {
            allow_comments: false,
            allow_unquoted_field_names: false,
            allow_single_quotes: true,
            allow_numeric_leading_zeros: false,
            allow_backslash_escaping_any_character: false,
            allow_unquoted_control_chars: false,
            allow_non_numeric_numbers: true,
        }
    }
}

/// A position in the text of a line.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    rules: JsonRules,
    /// A string that had to be decoded, kept for its allocation.
    decoded: Vec<u8>,
}

/// A number as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number<'a> {
    Integer(&'a [u8]),
    Float(&'a [u8]),
    /// `NaN` or infinite.
    Special(&'a [u8], f64),
}

impl<'a> Number<'a> {
    pub(crate) fn text(self) -> &'a [u8] {
        match self {
            Number::Integer(text) | Number::Float(text) | Number::Special(text, _) => text,
        }
    }
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(rules: JsonRules) -> Self {
        Cursor { text: &[], at: 0, rules, decoded: Vec::new() }
    }

    /// A cursor at the start of `text`, with the allocation of this one.
    pub(crate) fn on<'b>(self, text: &'b [u8]) -> Cursor<'b> {
        Cursor { text, at: 0, rules: self.rules, decoded: self.decoded }
    }

    pub(crate) fn allows_non_numeric_numbers(&self) -> bool {
        self.rules.allow_non_numeric_numbers
    }

    /// The next byte that is not white space; it is not consumed.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.text.get(self.at) {
            // Neither white space nor a comment.
            Some(byte) if *byte > b' ' && *byte != b'/' => Some(*byte),
            _ => self.peek_further(),
        }
    }

    fn peek_further(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'/' if self.rules.allow_comments && self.skip_comment() => {}
                other => return Some(*other),
            }
        }
        None
    }

    /// Passes over a comment, as in Java: to the end of its line, or to its own end.
    fn skip_comment(&mut self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = match rest {
            [b'/', b'/', ..] => Some(memchr::memchr(b'\n', rest).unwrap_or(rest.len())),
            [b'/', b'*', body @ ..] => memchr::memmem::find(body, b"*/").map(|end| end + 4),
            _ => None,
        };
        self.at += len.unwrap_or_default();
        len.is_some()
    }

    /// Consumes the byte that was peeked.
    pub(crate) fn bump(&mut self) {
        self.at += 1;
    }

    /// Consumes `byte`, after white space, if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.eat(byte) { Ok(()) } else { Err(Malformed) }
    }

    /// Consumes `null` if it is next.
    #[inline]
    pub(crate) fn eat_null(&mut self) -> Result<bool, Malformed> {
        if self.peek() == Some(b'n') { self.literal(b"null").map(|()| true) } else { Ok(false) }
    }

    pub(crate) fn literal(&mut self, literal: &[u8]) -> Result<(), Malformed> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(literal) || rest.get(literal.len()).is_some_and(u8::is_ascii_alphanumeric) {
            return Err(Malformed);
        }
        self.at += literal.len();
        Ok(())
    }

    /// Consumes a string and gives its content. The next byte is a quote, or the text is malformed.
    pub(crate) fn string(&mut self) -> Result<&[u8], Malformed> {
        let quote = match self.peek() {
            Some(b'"') => b'"',
            Some(b'\'') if self.rules.allow_single_quotes => b'\'',
            _ => return Err(Malformed),
        };
        self.at += 1;
        let start = self.at;
        let end = self.plain_end(quote);
        self.at = end;
        if self.text.get(end) == Some(&quote) {
            self.at += 1;
            return Ok(self.text.get(start..end).unwrap_or_default());
        }
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        decoded.extend_from_slice(self.text.get(start..end).unwrap_or_default());
        let done = self.decode(quote, &mut decoded);
        self.decoded = decoded;
        done.map(|()| self.decoded.as_slice())
    }

    /// Consumes the name of a field.
    pub(crate) fn field_name(&mut self) -> Result<&[u8], Malformed> {
        let first = self.peek();
        if !self.rules.allow_unquoted_field_names || matches!(first, Some(b'"' | b'\'')) {
            return self.string();
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_part = |byte: &u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'@' | b'#' | b'*' | b'-' | b'+') || !byte.is_ascii()
        };
        let len = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        self.at += len;
        if len == 0 { Err(Malformed) } else { Ok(rest.get(..len).unwrap_or_default()) }
    }

    /// Where plain text ends: at the quote, a backslash or a control character.
    fn plain_end(&self, quote: u8) -> usize {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let controls = if self.rules.allow_unquoted_control_chars { 0 } else { 0x20 };
        let plain = rest.get(..memchr::memchr2(quote, b'\\', rest).unwrap_or(rest.len())).unwrap_or_default();
        // Over all bytes, whatever the first ones are: the processor looks at many at once.
        let has_control = plain.iter().fold(false, |found, byte| found | (*byte < controls));
        let control = if has_control { plain.iter().position(|byte| *byte < controls) } else { None };
        self.at + control.unwrap_or(plain.len())
    }

    /// The rest of a string from its first escape on.
    fn decode(&mut self, quote: u8, out: &mut Vec<u8>) -> Result<(), Malformed> {
        loop {
            match self.text.get(self.at) {
                Some(byte) if *byte == quote => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(out)?;
                }
                // The text ends, or has a control character.
                _ => return Err(Malformed),
            }
            let end = self.plain_end(quote);
            out.extend_from_slice(self.text.get(self.at..end).unwrap_or_default());
            self.at = end;
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let escaped = *self.text.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        match escaped {
            b'"' | b'\\' | b'/' => out.push(escaped),
            b'\'' if self.rules.allow_single_quotes => out.push(escaped),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let character = self.unicode()?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other if self.rules.allow_backslash_escaping_any_character => out.push(other),
            _ => return Err(Malformed),
        }
        Ok(())
    }

    /// The character of one `\u` escape or a pair of them; half a pair is `?`, as Java writes it.
    fn unicode(&mut self) -> Result<char, Malformed> {
        let first = self.hex()?;
        if (0xD800..0xDC00).contains(&first) && self.text.get(self.at..self.at + 2) == Some(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or('?'));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or('?'))
    }

    fn hex(&mut self) -> Result<u32, Malformed> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Malformed)?;
        self.at += 4;
        digits.iter().try_fold(0, |code, digit| Some(code * 16 + char::from(*digit).to_digit(16)?)).ok_or(Malformed)
    }

    /// Consumes a number.
    pub(crate) fn number(&mut self) -> Result<Number<'a>, Malformed> {
        self.peek();
        let text = self.text.get(self.at..).unwrap_or_default();
        let is_number = matches!(text, [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..]);
        if !is_number && self.rules.allow_non_numeric_numbers {
            for (name, value) in SPECIAL {
                if text.starts_with(name) {
                    self.literal(name)?;
                    return Ok(Number::Special(name, value));
                }
            }
        }
        let digits_at = |from: usize| text.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let sign = usize::from(text.first() == Some(&b'-'));
        let whole = digits_at(sign);
        let mut len = sign + whole;
        let leads_with_zero = whole > 1 && text.get(sign) == Some(&b'0');
        if whole == 0 || leads_with_zero && !self.rules.allow_numeric_leading_zeros {
            return Err(Malformed);
        }
        let mut is_float = false;
        if text.get(len) == Some(&b'.') {
            let fraction = digits_at(len + 1);
            (len, is_float) = (len + 1 + fraction, true);
            if fraction == 0 {
                return Err(Malformed);
            }
        }
        if matches!(text.get(len), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(text.get(len + 1), Some(b'+' | b'-')));
            let exponent = digits_at(len + 1 + sign);
            (len, is_float) = (len + 1 + sign + exponent, true);
            if exponent == 0 {
                return Err(Malformed);
            }
        }
        self.at += len;
        let number = text.get(..len).unwrap_or_default();
        Ok(if is_float { Number::Float(number) } else { Number::Integer(number) })
    }

    /// Consumes a value of any kind.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            _ => self.walk(),
        }
    }

    /// Consumes a value of any kind and gives it as it is written.
    pub(crate) fn raw(&mut self) -> Result<&'a [u8], Malformed> {
        self.peek();
        let start = self.at;
        self.walk()?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Without recursion: the depth of a text is its writer's choice.
    fn walk(&mut self) -> Result<(), Malformed> {
        let mut closers: Vec<u8> = Vec::new();
        loop {
            let opened = match self.peek().ok_or(Malformed)? {
                b'{' => Some(b'}'),
                b'[' => Some(b']'),
                _ => {
                    self.scalar()?;
                    None
                }
            };
            if let Some(closer) = opened {
                self.at += 1;
                closers.push(closer);
                if closers.len() > MAX_DEPTH {
                    return Err(Malformed);
                }
                if !self.eat(closer) {
                    self.name(closer)?;
                    continue;
                }
                closers.pop();
            }
            // A value is complete: what holds it goes on or ends, and so on outwards.
            loop {
                let Some(closer) = closers.last().copied() else { return Ok(()) };
                if self.eat(b',') {
                    self.name(closer)?;
                    break;
                }
                self.expect(closer)?;
                closers.pop();
            }
        }
    }

    /// The name of an object's next value; nothing in an array.
    fn name(&mut self, closer: u8) -> Result<(), Malformed> {
        if closer == b'}' {
            self.field_name()?;
            self.expect(b':')?;
        }
        Ok(())
    }

    fn scalar(&mut self) -> Result<(), Malformed> {
        match self.peek().ok_or(Malformed)? {
            b'"' | b'\'' => self.string().map(|_| ()),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number().map(|_| ()),
        }
    }
}

const SPECIAL: [(&[u8], f64); 6] = [
    (b"NaN", f64::NAN),
    (b"Infinity", f64::INFINITY),
    (b"+Infinity", f64::INFINITY),
    (b"-Infinity", f64::NEG_INFINITY),
    (b"+INF", f64::INFINITY),
    (b"-INF", f64::NEG_INFINITY),
];

/// Appends text as a JSON string.
pub(crate) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(plain) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\') || *byte < 0x20) {
        let (before, after) = rest.split_at(plain);
        out.extend_from_slice(before);
        let Some((byte, after)) = after.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            other => out.extend_from_slice(format!("\\u{other:04X}").as_bytes()),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
