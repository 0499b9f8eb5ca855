//! How CSV files are written: the options, and what they say of the bytes of a record.

/// How the CSV files of a source are written: Spark's options of these names, with its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CsvOptions {
    /// Each file begins with a line of names.
    pub header: bool,
    /// What separates values (a comma): a character or more.
    pub separator: String,
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
    /// What is quoted is never null.
    pub(crate) quoted_is_text: bool,
}

/// Null, where nothing else is taken for it.
pub(crate) const EXACT_NULL: &str = "\\N";

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions {
            header: false,
            separator: ",".to_owned(),
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
            quoted_is_text: false,
        }
    }
}

impl CsvOptions {
    /// What reads values as they were, of files that are [written so](super::csv_rows::CsvWriteOptions::exact).
    pub(crate) fn exact() -> Self {
        CsvOptions { null_value: EXACT_NULL.to_owned(), multi_line: true, quoted_is_text: true, ..CsvOptions::default() }
    }

    pub(crate) fn is_usable(&self) -> bool {
        let is_end = |byte: u8| matches!(byte, b'\r' | b'\n');
        let marks = [self.quote, self.escape, self.comment].into_iter().flatten();
        !self.separator.is_empty()
            && !self.separator.bytes().any(is_end)
            && marks.clone().all(|mark| mark.is_ascii() && !is_end(mark))
            && marks.into_iter().all(|mark| self.separator.as_bytes().first() != Some(&mark))
    }

    /// Whether a line is no record: as in Spark, one of blanks or, where a record may have several lines, of nothing; or a comment.
    pub(crate) fn is_skipped(&self, record: &[u8]) -> bool {
        let is_empty = if self.multi_line { record.is_empty() } else { record.trim_ascii().is_empty() };
        is_empty || self.comment.is_some() && record.first().copied() == self.comment
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
}
