//! A parsed JSON text: a flat list of nodes over the text, whose memory is used again for the next text.
//!
//! The syntax is that of the parser that Spark uses, down to what it lets pass: strings in single quotes, and anything after the
//! first value. A text is checked as a whole before anything is made of it, so that what reads values need not undo.

use std::borrow::Cow;

/// Deeper texts are broken.
const MAX_DEPTH: usize = 1000;

/// What a text may hold beyond JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    /// Control characters in strings.
    pub(super) control_characters: bool,
    /// The numbers `NaN`, `Infinity`, `-Infinity`, `+Infinity`, `-INF` and `+INF`.
    pub(super) special_numbers: bool,
}

impl Syntax {
    /// For functions that look for parts of a text.
    pub(super) const QUERY: Syntax = Syntax { control_characters: true, special_numbers: false };
    /// For functions that read a text by a schema.
    pub(super) const RECORD: Syntax = Syntax { control_characters: false, special_numbers: true };
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    True,
    False,
    /// A number without fraction and exponent.
    Int,
    Float,
    NaN,
    Infinity,
    NegativeInfinity,
    /// A string without escapes.
    Text,
    /// A string with escapes.
    Escaped,
    Array,
    Object,
}

/// One value: its part of the text (of a string: between its quotes), and the number of the node after all of its parts.
#[derive(Debug, Clone, Copy)]
struct Node {
    kind: Kind,
    start: u32,
    end: u32,
    next: u32,
}

/// What a text turned out to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parsed<'a> {
    /// Nothing but blanks.
    Empty,
    /// No JSON.
    Broken,
    /// Its first value.
    Value(Value<'a>),
}

/// Parses one text after the other.
#[derive(Debug)]
pub(super) struct Parser {
    syntax: Syntax,
    nodes: Vec<Node>,
    /// The arrays and objects that are not closed yet.
    open: Vec<usize>,
}

impl Parser {
    pub(super) fn new(syntax: Syntax) -> Self {
        Parser { syntax, nodes: Vec::new(), open: Vec::new() }
    }

    pub(super) fn parse<'a>(&'a mut self, text: &'a str) -> Parsed<'a> {
        self.nodes.clear();
        self.open.clear();
        let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, syntax: self.syntax };
        scanner.skip_blanks();
        if scanner.peek().is_none() {
            return Parsed::Empty;
        }
        match self.tree(&mut scanner) {
            Some(()) => Parsed::Value(Value { text, nodes: &self.nodes, at: 0 }),
            None => Parsed::Broken,
        }
    }

    /// The first value of a text that is JSON.
    pub(super) fn value<'a>(&'a mut self, text: &'a str) -> Option<Value<'a>> {
        match self.parse(text) {
            Parsed::Value(value) => Some(value),
            Parsed::Empty | Parsed::Broken => None,
        }
    }

    fn tree(&mut self, scanner: &mut Scanner<'_>) -> Option<()> {
        loop {
            scanner.skip_blanks();
            match scanner.peek()? {
                b'{' => {
                    self.open(Kind::Object, scanner)?;
                    if scanner.eat(b'}') {
                        self.close(scanner);
                    } else {
                        self.key(scanner)?;
                        continue;
                    }
                }
                b'[' => {
                    self.open(Kind::Array, scanner)?;
                    if scanner.eat(b']') {
                        self.close(scanner);
                    } else {
                        continue;
                    }
                }
                _ => {
                    let scalar = scanner.scalar()?;
                    // At the top, only a blank ends a number.
                    let blank = matches!(scanner.peek(), None | Some(b' ' | b'\t' | b'\n' | b'\r'));
                    if self.open.is_empty() && matches!(scalar.0, Kind::Int | Kind::Float) && !blank {
                        return None;
                    }
                    self.leaf(scalar);
                }
            }
            if self.after_value(scanner)? {
                return Some(());
            }
        }
    }

    /// Goes on behind a value, to where the next one is due; whether there is none.
    fn after_value(&mut self, scanner: &mut Scanner<'_>) -> Option<bool> {
        while let Some(parent) = self.open.last().and_then(|at| self.nodes.get(*at)).map(|node| node.kind) {
            scanner.skip_blanks();
            match (scanner.next()?, parent) {
                (b',', Kind::Array) => return Some(false),
                (b',', Kind::Object) => {
                    self.key(scanner)?;
                    return Some(false);
                }
                (b']', Kind::Array) | (b'}', Kind::Object) => self.close(scanner),
                _ => return None,
            }
        }
        Some(true)
    }

    fn open(&mut self, kind: Kind, scanner: &mut Scanner<'_>) -> Option<()> {
        if self.open.len() == MAX_DEPTH {
            return None;
        }
        self.open.push(self.nodes.len());
        self.nodes.push(Node { kind, start: scanner.at as u32, end: 0, next: 0 });
        scanner.at += 1;
        scanner.skip_blanks();
        Some(())
    }

    fn close(&mut self, scanner: &Scanner<'_>) {
        let next = self.nodes.len() as u32;
        if let Some(node) = self.open.pop().and_then(|at| self.nodes.get_mut(at)) {
            (node.end, node.next) = (scanner.at as u32, next);
        }
    }

    fn key(&mut self, scanner: &mut Scanner<'_>) -> Option<()> {
        scanner.skip_blanks();
        let key = scanner.string()?;
        self.leaf(key);
        scanner.skip_blanks();
        scanner.eat(b':').then_some(())
    }

    fn leaf(&mut self, (kind, start, end): (Kind, usize, usize)) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { kind, start: start as u32, end: end as u32, next });
    }
}

/// Reads tokens.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    syntax: Syntax,
}

/// What a token is, and where.
type Token = (Kind, usize, usize);

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn scalar(&mut self) -> Option<Token> {
        let start = self.at;
        match self.peek()? {
            b'"' | b'\'' => self.string(),
            b'-' | b'0'..=b'9' if !self.at_signed_word() => self.number(),
            _ => {
                let kind = self.word()?;
                // `nullx` is no word.
                let ends = !self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..));
                ends.then_some((kind, start, self.at))
            }
        }
    }

    fn at_signed_word(&self) -> bool {
        self.bytes.get(self.at + 1) == Some(&b'I')
    }

    fn word(&mut self) -> Option<Kind> {
        for (word, kind) in [("null", Kind::Null), ("true", Kind::True), ("false", Kind::False)] {
            if self.eat_word(word) {
                return Some(kind);
            }
        }
        let special = [
            ("NaN", Kind::NaN),
            ("Infinity", Kind::Infinity),
            ("+Infinity", Kind::Infinity),
            ("+INF", Kind::Infinity),
            ("-Infinity", Kind::NegativeInfinity),
            ("-INF", Kind::NegativeInfinity),
        ];
        special.into_iter().find(|(word, _)| self.syntax.special_numbers && self.eat_word(word)).map(|(_, kind)| kind)
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<Token> {
        let (start, mut kind) = (self.at, Kind::Int);
        self.eat(b'-');
        if self.eat(b'0') {
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return None;
            }
        } else {
            self.digits()?;
        }
        if self.eat(b'.') {
            kind = Kind::Float;
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            kind = Kind::Float;
            let _signed = self.eat(b'-') || self.eat(b'+');
            self.digits()?;
        }
        // Inside of an array or object anything else is found to be wrong there; at the top it is ignored only after a blank.
        matches!(self.peek(), None | Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}')).then_some((kind, start, self.at))
    }

    fn string(&mut self) -> Option<Token> {
        let quote = self.next().filter(|byte| matches!(byte, b'"' | b'\''))?;
        let (start, mut kind) = (self.at, Kind::Text);
        loop {
            match self.next()? {
                byte if byte == quote => return Some((kind, start, self.at - 1)),
                b'\\' => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                0..0x20 if !self.syntax.control_characters => return None,
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\'' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let hex = self.bytes.get(self.at..self.at + 4)?;
                self.at += 4;
                hex.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }
}

/// A value in a parsed text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    text: &'a str,
    nodes: &'a [Node],
    at: usize,
}

impl<'a> Value<'a> {
    fn node(&self) -> Node {
        self.nodes.get(self.at).copied().unwrap_or(Node { kind: Kind::Null, start: 0, end: 0, next: 0 })
    }

    pub(super) fn kind(&self) -> Kind {
        self.node().kind
    }

    /// Its part of the text; of a string, what is between its quotes.
    pub(super) fn raw(&self) -> &'a str {
        let node = self.node();
        self.text.get(node.start as usize..node.end as usize).unwrap_or_default()
    }

    /// The string that it is. Half of a surrogate pair becomes `?`.
    pub(super) fn string(&self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::Text => Some(Cow::Borrowed(self.raw())),
            Kind::Escaped => {
                let chars = unescape(self.raw()).map(|code| char::from_u32(code).unwrap_or('?'));
                Some(Cow::Owned(chars.collect()))
            }
            _ => None,
        }
    }

    /// The elements of an array.
    pub(super) fn elements(self) -> impl Iterator<Item = Value<'a>> {
        let (mut at, end) = (self.at + 1, if self.kind() == Kind::Array { self.node().next as usize } else { 0 });
        std::iter::from_fn(move || {
            let value = (at < end).then_some(Value { at, ..self })?;
            at = value.node().next as usize;
            Some(value)
        })
    }

    /// The keys and values of an object.
    pub(super) fn fields(self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> {
        let (mut at, end) = (self.at + 1, if self.kind() == Kind::Object { self.node().next as usize } else { 0 });
        std::iter::from_fn(move || {
            let key = (at < end).then_some(Value { at, ..self })?;
            let value = Value { at: at + 1, ..self };
            at = value.node().next as usize;
            Some((key, value))
        })
    }

    /// Whether it is the string `text`.
    pub(super) fn is(&self, text: &str) -> bool {
        match self.kind() {
            Kind::Text => self.raw() == text,
            _ => self.string().is_some_and(|own| own == text),
        }
    }

    /// All nodes of it in the order of the text: itself, and then its parts; with the number of the node that each ends before.
    pub(super) fn walk(self) -> impl Iterator<Item = (usize, usize, Value<'a>)> {
        (self.at..self.node().next as usize).map(move |at| {
            let value = Value { at, ..self };
            (at, value.node().next as usize, value)
        })
    }
}

/// The code points of a string with escapes, as a parser has checked it; halves of surrogate pairs that stand alone too.
pub(super) fn unescape(raw: &str) -> impl Iterator<Item = u32> {
    let mut chars = raw.chars();
    std::iter::from_fn(move || {
        let unit = next_unit(&mut chars)?;
        if (0xD800..0xDC00).contains(&unit) {
            let mut ahead = chars.clone();
            if let Some(low) = next_unit(&mut ahead).filter(|low| (0xDC00..0xE000).contains(low)) {
                chars = ahead;
                return Some(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
            }
        }
        Some(unit)
    })
}

fn next_unit(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    Some(match chars.next()? {
        '\\' => match chars.next()? {
            'b' => 0x08,
            'f' => 0x0C,
            'n' => 0x0A,
            'r' => 0x0D,
            't' => 0x09,
            'u' => (0..4).try_fold(0, |code, _| Some(code * 16 + chars.next()?.to_digit(16)?))?,
            own => u32::from(own),
        },
        own => u32::from(own),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json() {
        let mut parser = Parser::new(Syntax::QUERY);
        for good in ["{}", "[]", " [ 1 , {'a' : \"b\"} ] ", "1 x", "{\"a\":1} x", "\"a\"x", "[-0,0.5,1e+3,true]", "'\\''"] {
            assert!(matches!(parser.parse(good), Parsed::Value(_)), "{good}");
        }
        let bad = "bad | { | [ | {\"a\" | {\"a\":1 | {\"a\":1, | {\"a\":1,} | [1,] | [,1] | {a:1} | 01 | [01] | +1 | .5 | 5. | 1x | 1}0 | nullx | \
                   \"a | \"\\x\" | \"\\u12\" | NaN | [1}| {1:2}|/**/1|\u{feff}1";
        for bad in bad.split('|').map(str::trim) {
            assert!(matches!(parser.parse(bad), Parsed::Broken), "{bad}");
        }
        assert!(matches!(parser.parse(" \n"), Parsed::Empty));
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(matches!(parser.parse(&deep(1000)), Parsed::Value(_)));
        assert!(matches!(parser.parse(&deep(1001)), Parsed::Broken));
        let mut parser = Parser::new(Syntax::RECORD);
        assert!(matches!(parser.parse("[NaN,-INF,+INF,Infinity,-Infinity]"), Parsed::Value(_)));
        assert!(matches!(parser.parse("\"a\nb\""), Parsed::Broken));
    }

    #[test]
    fn strings_are_unescaped() {
        let mut parser = Parser::new(Syntax::QUERY);
        for (raw, text) in [(r#""a\"\\\/\n\u00e9""#, "a\"\\/\né"), (r#""\ud83d\ude00""#, "😀"), (r#""\ud83dx""#, "?x")] {
            assert_eq!(parser.value(raw).and_then(|value| value.string()).as_deref(), Some(text));
        }
    }
}
