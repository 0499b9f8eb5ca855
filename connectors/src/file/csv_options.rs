//! How CSV files are written: the options, and what they say of the bytes of a record.

/// How the CSV files of a source are written: Spark's options of these names, with its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CsvOptions {
    /// Each file begins with a line of names.
    pub header: bool,
    /// What separates values (a comma).
    pub separator: u8,
    /// What surrounds a value that has separators in it (a double quote); `None`: nothing does.
    pub quote: Option<u8>,
    /// What precedes a quote inside a quoted value (a backslash); the quote itself for RFC 4180.
    pub escape: Option<u8>,
    /// Lines that begin with it are left out.
    pub comment: Option<u8>,
    /// What stands for null (nothing).
    pub null_value: String,
    /// What a quoted value of nothing stands for (nothing).
    pub empty_value: String,
    /// What stands for "not a number" (`NaN`).
    pub nan_value: String,
    /// What stands for infinity (`Inf`).
    pub positive_inf: String,
    /// What stands for negative infinity (`-Inf`).
    pub negative_inf: String,
    /// White space before a value does not belong to it.
    pub ignore_leading_white_space: bool,
    /// White space after a value does not belong to it.
    pub ignore_trailing_white_space: bool,
    /// A quoted value may span lines.
    pub multi_line: bool,
    /// Columns are found by their place, whatever the header says (they are). If not, a header with other names fails the query.
    pub enforce_schema: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions {
            header: false,
            separator: b',',
            quote: Some(b'"'),
            escape: Some(b'\\'),
            comment: None,
            null_value: String::new(),
            empty_value: String::new(),
            nan_value: "NaN".to_owned(),
            positive_inf: "Inf".to_owned(),
            negative_inf: "-Inf".to_owned(),
            ignore_leading_white_space: false,
            ignore_trailing_white_space: false,
            multi_line: false,
            enforce_schema: true,
        }
    }
}

impl CsvOptions {
    pub(crate) fn is_usable(&self) -> bool {
        let usable = |byte: u8| byte.is_ascii() && !matches!(byte, b'\r' | b'\n');
        let marks = [Some(self.separator), self.quote, self.escape, self.comment];
        marks.into_iter().flatten().all(usable)
            && Some(self.separator) != self.quote
            && Some(self.separator) != self.escape
            && Some(self.separator) != self.comment
    }

    /// Whether a line is no record: as in Spark, one of blanks, or a comment.
    pub(crate) fn is_skipped(&self, record: &[u8]) -> bool {
        record.trim_ascii().is_empty() || self.comment.is_some() && record.first().copied() == self.comment
    }

    /// The special number that a value stands for: one of ours, or as Java names it.
    pub(crate) fn special(&self, value: &[u8]) -> Option<f64> {
        match value {
            value if value == self.nan_value.as_bytes() => Some(f64::NAN),
            value if value == self.positive_inf.as_bytes() => Some(f64::INFINITY),
            value if value == self.negative_inf.as_bytes() => Some(f64::NEG_INFINITY),
            b"NaN" | b"+NaN" | b"-NaN" => Some(f64::NAN),
            b"Infinity" | b"+Infinity" => Some(f64::INFINITY),
            b"-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        }
    }

    /// Whether a record ends within quotes, so that the next line belongs to it. `looked` is how far the record was looked at when it
    /// had fewer lines: nothing is looked at twice, however many lines there are.
    pub(crate) fn is_open(&self, record: &[u8], looked: &mut Looked) -> bool {
        if *looked == Looked::default() && self.is_skipped(record) {
            return false;
        }
        let mut unquoted = Vec::new();
        while let Some(text) = record.get(looked.value..) {
            let after = match self.after_quote(text) {
                Some(quoted) => {
                    let inside = looked.inside.max(record.len() - quoted.len());
                    unquoted.clear();
                    match self.unquote(record.get(inside..).unwrap_or_default(), &mut unquoted) {
                        Unquoted::Open => {
                            looked.inside = record.len();
                            return true;
                        }
                        Unquoted::Closed(after) => after,
                        Unquoted::Not => self.after_separator(text),
                    }
                }
                None => self.after_separator(text),
            };
            let Some(after) = after else { return false };
            *looked = Looked { value: record.len() - after.len(), inside: 0 };
        }
        false
    }

    /// What follows a value that is not quoted.
    fn after_separator<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        text.get(memchr::memchr(self.separator, text)? + 1..)
    }

    /// The first value of `text`, and what follows its separator. `None` for a value that was quoted: it is in `unquoted`.
    pub(crate) fn next_value<'a>(&self, text: &'a [u8], unquoted: &mut Vec<u8>) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
        if let Some(quoted) = self.after_quote(text) {
            match self.unquote(quoted, unquoted) {
                Unquoted::Closed(after) => return (None, after),
                Unquoted::Open => return (None, None),
                Unquoted::Not => {}
            }
        }
        match memchr::memchr(self.separator, text) {
            Some(end) => {
                let (value, rest) = text.split_at(end);
                (Some(self.trimmed(value)), rest.split_first().map(|(_, rest)| rest))
            }
            None => (Some(self.trimmed(text)), None),
        }
    }

    /// What follows the opening quote, if the value has one.
    fn after_quote<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let text = if self.ignore_leading_white_space { text.trim_ascii_start() } else { text };
        text.strip_prefix(&[self.quote?])
    }

    fn trimmed<'a>(&self, value: &'a [u8]) -> &'a [u8] {
        let value = if self.ignore_leading_white_space { value.trim_ascii_start() } else { value };
        if self.ignore_trailing_white_space { value.trim_ascii_end() } else { value }
    }

    /// Takes a value apart whose opening quote precedes `text`.
    fn unquote<'a>(&self, text: &'a [u8], out: &mut Vec<u8>) -> Unquoted<'a> {
        out.clear();
        let mut rest = text;
        loop {
            match rest {
                // No closing quote: the value is the rest of the record.
                [] => return Unquoted::Open,
                [escape, quote, after @ ..] if Some(*escape) == self.escape && Some(*quote) == self.quote => {
                    out.push(*quote);
                    rest = after;
                }
                [quote, after @ ..] if Some(*quote) == self.quote => {
                    let after = if self.ignore_trailing_white_space { after.trim_ascii_start() } else { after };
                    return match after {
                        [] => Unquoted::Closed(None),
                        [separator, after @ ..] if *separator == self.separator => Unquoted::Closed(Some(after)),
                        _ => Unquoted::Not,
                    };
                }
                [byte, after @ ..] => {
                    out.push(*byte);
                    rest = after;
                }
            }
        }
    }
}

/// How far a record was looked at whose quotes are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// Where the value begins whose quote is open.
    value: usize,
    /// From where on its closing quote is looked for.
    inside: usize,
}

/// What became of a value that begins with a quote.
#[derive(Debug, PartialEq, Eq)]
enum Unquoted<'a> {
    /// It ends with a quote; this follows its separator.
    Closed(Option<&'a [u8]>),
    /// Its closing quote is missing.
    Open,
    /// Something follows the closing quote: the value is taken as it is written, as Spark does.
    Not,
}
