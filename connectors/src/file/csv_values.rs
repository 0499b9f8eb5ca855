//! Cuts CSV records into values.
//!
//! A well-formed record has one meaning; of others this has that of the parser under Spark, uniVocity's, as Spark sets it up: a quote
//! in a quoted value that is neither escaped nor followed by a separator makes the value one that is taken as it is written, up to
//! the next separator (`unescapedQuoteHandling=STOP_AT_DELIMITER`).

use memchr::{memchr, memchr2, memmem};

use super::csv_options::CsvOptions;

/// How far a record was looked at whose quotes are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// Where the value begins whose quote is open.
    value: usize,
    inside: Option<Inside>,
}

/// A place within quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inside {
    at: usize,
    /// The byte before, if it is one that gives the next one a meaning.
    before: Option<u8>,
}

/// What became of a value that begins with a quote.
#[derive(Debug, PartialEq, Eq)]
enum Quoted {
    /// It ends with a quote; what follows it and its separator begins here.
    Closed(Option<usize>),
    /// Its closing quote is missing up to here.
    Open(Inside),
    /// It is taken as it is written; the part that was not looked at begins here.
    Plain(usize),
    /// The same, after a quote and blanks.
    PlainAfterBlanks(usize),
}

impl CsvOptions {
    /// Whether a record ends within quotes, so that the next line belongs to it. `looked` is how far the record was looked at when it
    /// had fewer lines: nothing is looked at twice, however many lines there are.
    pub(crate) fn is_open(&self, record: &[u8], looked: &mut Looked) -> bool {
        if *looked == Looked::default() && self.is_skipped(record) {
            return false;
        }
        let mut unquoted = Vec::new();
        while let Some(text) = record.get(looked.value..) {
            let after = match self.opening_quote(text) {
                Some(start) => {
                    unquoted.clear();
                    let from = looked.inside.unwrap_or(Inside { at: start, before: None });
                    match self.quoted(text, from, &mut unquoted) {
                        Quoted::Open(inside) => {
                            looked.inside = Some(inside);
                            return true;
                        }
                        Quoted::Closed(after) => after,
                        Quoted::Plain(from) | Quoted::PlainAfterBlanks(from) => self.after_separator(text, from),
                    }
                }
                None => self.after_separator(text, 0),
            };
            let Some(after) = after else { return false };
            *looked = Looked { value: looked.value + after, inside: None };
        }
        false
    }

    /// The first value of `text`, and what follows its separator. `None` for a value that begins with a quote: it is in `unquoted`.
    pub(crate) fn next_value<'a>(&self, text: &'a [u8], unquoted: &mut Vec<u8>) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
        let rest = |at: usize| text.get(at..);
        let Some(start) = self.opening_quote(text) else {
            let Some(end) = self.separator_at(text, 0) else { return (Some(self.trimmed(text)), None) };
            return (text.get(..end).map(|value| self.trimmed(value)), rest(end + self.separator.len()));
        };
        unquoted.clear();
        match self.quoted(text, Inside { at: start, before: None }, unquoted) {
            Quoted::Closed(after) => (None, after.and_then(rest)),
            Quoted::Open(_) => {
                // The rest of the record is its value.
                if start == text.len() {
                    unquoted.extend(self.quote);
                }
                (None, None)
            }
            plain @ (Quoted::Plain(from) | Quoted::PlainAfterBlanks(from)) => {
                let end = self.separator_at(text, from);
                // At the end of a line the parser looks at the quote before the rest once more.
                let is_doubled = plain == Quoted::PlainAfterBlanks(from)
                    && end.is_none()
                    && !self.multi_line
                    && text.get(from).copied() == self.quote
                    && unquoted.last().copied() != self.quote;
                unquoted.extend_from_slice(text.get(from..end.unwrap_or(text.len())).unwrap_or_default());
                unquoted.extend(self.quote.filter(|_| is_doubled));
                unquoted.splice(..0, self.quote);
                if self.ignore_trailing_white_space {
                    unquoted.truncate(unquoted.trim_ascii_end().len());
                }
                (None, end.and_then(|end| rest(end + self.separator.len())))
            }
        }
    }

    /// Where the next separator is.
    fn separator_at(&self, text: &[u8], from: usize) -> Option<usize> {
        let rest = text.get(from..)?;
        let found = match self.separator.as_bytes() {
            [byte] => memchr(*byte, rest),
            bytes => memmem::find(rest, bytes),
        };
        found.map(|at| from + at)
    }

    /// Where the value after the next separator begins.
    fn after_separator(&self, text: &[u8], from: usize) -> Option<usize> {
        self.separator_at(text, from).map(|at| at + self.separator.len())
    }

    fn is_separator(&self, text: &[u8], at: usize) -> bool {
        text.get(at..).is_some_and(|rest| rest.starts_with(self.separator.as_bytes()))
    }

    /// What begins after the opening quote, if the value has one.
    fn opening_quote(&self, text: &[u8]) -> Option<usize> {
        let blank = if self.ignore_leading_white_space { text.len() - text.trim_ascii_start().len() } else { 0 };
        (text.get(blank) == Some(&self.quote?)).then_some(blank + 1)
    }

    fn trimmed<'a>(&self, value: &'a [u8]) -> &'a [u8] {
        let value = if self.ignore_leading_white_space { value.trim_ascii_start() } else { value };
        if self.ignore_trailing_white_space { value.trim_ascii_end() } else { value }
    }

    /// Takes a value apart, from a place within its quotes on.
    fn quoted(&self, text: &[u8], from: Inside, out: &mut Vec<u8>) -> Quoted {
        let (Some(quote), escape) = (self.quote, self.escape) else { return Quoted::Plain(from.at) };
        let Inside { mut at, mut before } = from;
        loop {
            let next = text.get(at).copied();
            let may_close = next.is_none_or(|byte| byte <= b' ') || self.is_separator(text, at);
            if before == Some(quote) && may_close {
                return self.closed(text, at, out);
            }
            let Some(byte) = next else { return Quoted::Open(Inside { at, before }) };
            if byte != quote && Some(byte) != escape {
                if before == Some(quote) {
                    out.extend([quote, byte]);
                    return Quoted::Plain(at + 1);
                }
                // It escaped nothing.
                out.extend(before.filter(|before| Some(*before) == escape));
                let rest = text.get(at..).unwrap_or_default();
                let len = escape.map_or_else(|| memchr(quote, rest), |escape| memchr2(quote, escape, rest));
                out.extend_from_slice(rest.get(..len.unwrap_or(rest.len())).unwrap_or_default());
                let Some(len) = len else { return Quoted::Open(Inside { at: text.len(), before: None }) };
                (before, at) = (text.get(at + len).copied(), at + len + 1);
                continue;
            }
            if before == Some(quote) && byte != quote {
                (before, at) = self.unescaped(text, at, out);
                continue;
            }
            before = self.escaped(byte, before, out);
            at += 1;
        }
    }

    /// A quote or an escape within quotes; gives what it means to the next byte.
    fn escaped(&self, byte: u8, before: Option<u8>, out: &mut Vec<u8>) -> Option<u8> {
        let is_quote = Some(byte) == self.quote;
        if before.is_some() && before == self.escape {
            out.push(byte);
            return None;
        }
        if is_quote && before == self.quote {
            out.push(byte);
        }
        Some(byte)
    }

    /// An escape right after a quote that did not end the value: what follows up to the separator or the end of the line is taken with its
    /// escapes, and these are none.
    fn unescaped(&self, text: &[u8], from: usize, out: &mut Vec<u8>) -> (Option<u8>, usize) {
        out.extend(self.quote);
        let (mut at, mut before) = (from, text.get(from).copied());
        while let Some(byte) = text.get(at).copied().filter(|byte| *byte != b'\n' && !self.is_separator(text, at)) {
            if Some(byte) == self.quote || Some(byte) == self.escape {
                if before == self.quote && Some(byte) != self.quote {
                    out.extend(self.quote);
                    before = Some(byte);
                    continue;
                }
                before = self.escaped(byte, before, out);
            } else {
                if before == self.quote {
                    out.extend(self.quote);
                }
                out.push(byte);
                before = Some(byte);
            }
            at += 1;
        }
        (text.get(at).copied(), (at + 1).min(text.len()))
    }

    /// A quote before a blank, a separator or the end.
    fn closed(&self, text: &[u8], at: usize, out: &mut Vec<u8>) -> Quoted {
        let is_blank = |at: &usize| text.get(*at).is_some_and(|byte| *byte <= b' ') && !self.is_separator(text, *at);
        let end = (at..text.len()).find(|at| !is_blank(at)).unwrap_or(text.len());
        match text.get(end) {
            None => Quoted::Closed(None),
            Some(_) if self.is_separator(text, end) => Quoted::Closed(Some(end + self.separator.len())),
            Some(byte) => {
                out.extend(self.quote);
                out.extend_from_slice(text.get(at..end).unwrap_or_default());
                out.push(*byte);
                Quoted::PlainAfterBlanks(end + 1)
            }
        }
    }
}
