//! How dates and times are written in text files, where it is not the usual form.

use std::fmt;
use std::sync::Arc;

use super::columns::Column;

/// What reads a text.
type Parse = dyn Fn(&str) -> Option<i64> + Send + Sync;

/// Reads a date, in days, or a time, in microseconds, both since 1970-01-01; `None` if the text stands for none.
#[derive(Clone)]
pub struct TextForm {
    parse: Arc<Parse>,
    after_usual: bool,
}

impl TextForm {
    /// The form that this function reads.
    pub fn new(parse: impl Fn(&str) -> Option<i64> + Send + Sync + 'static) -> Self {
        TextForm { parse: Arc::new(parse), after_usual: false }
    }

    /// The usual form of ISO 8601, in which a time without a zone is one of UTC, and that which this function reads.
    pub fn beside_usual(parse: impl Fn(&str) -> Option<i64> + Send + Sync + 'static) -> Self {
        TextForm { after_usual: true, ..TextForm::new(parse) }
    }

    /// Whether the text stands for anything in this form.
    pub fn reads(&self, text: &str) -> bool {
        (self.parse)(text).is_some()
    }

    pub(crate) fn comes_after_usual(&self) -> bool {
        self.after_usual
    }

    pub(crate) fn parse(&self, text: &[u8]) -> Option<i64> {
        (self.parse)(std::str::from_utf8(text).ok()?)
    }
}

impl fmt::Debug for TextForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TextForm")
    }
}

/// The forms of dates and times: Spark's options `dateFormat`, `timestampFormat` and `timestampNTZFormat`. `None`: ISO 8601, also
/// in part.
#[derive(Debug, Clone, Default)]
pub struct TimeForms {
    /// Dates, as days since 1970-01-01.
    pub date: Option<TextForm>,
    /// Instants, as microseconds since 1970-01-01 UTC.
    pub timestamp: Option<TextForm>,
    /// Times by the wall clock, as microseconds since 1970-01-01.
    pub timestamp_ntz: Option<TextForm>,
}

/// What writes a value.
type Write = dyn Fn(i64, &mut String) + Send + Sync;

/// Writes a date, which is given in days, or a time, in microseconds, both since 1970-01-01.
#[derive(Clone)]
pub struct ValueForm(Arc<Write>);

impl ValueForm {
    /// The form that this function appends.
    pub fn new(write: impl Fn(i64, &mut String) + Send + Sync + 'static) -> Self {
        ValueForm(Arc::new(write))
    }

    pub(crate) fn write(&self, value: i64, out: &mut Vec<u8>) {
        let mut text = String::new();
        (self.0)(value, &mut text);
        out.extend_from_slice(text.as_bytes());
    }
}

impl fmt::Debug for ValueForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValueForm")
    }
}

/// The forms in which dates and times are written into CSV and JSON files: Spark's options `dateFormat`, `timestampFormat` and
/// `timestampNTZFormat`. `None`: `2024-01-31`, and `2024-01-31T12:00:00.000`, with a `Z` for instants.
#[derive(Debug, Clone, Default)]
pub struct TimeTexts {
    /// Dates, by days since 1970-01-01.
    pub date: Option<ValueForm>,
    /// Instants, by microseconds since 1970-01-01 UTC.
    pub timestamp: Option<ValueForm>,
    /// Times by the wall clock, by microseconds since 1970-01-01.
    pub timestamp_ntz: Option<ValueForm>,
    /// Times without a form are written to the microsecond, not to the millisecond.
    pub precise: bool,
}

impl Column {
    /// Reads dates and times in other forms from now on.
    pub(crate) fn set_forms(&mut self, forms: &TimeForms) {
        match self {
            Column::Date(values) => values.form.clone_from(&forms.date),
            Column::Timestamp(values) => values.form.clone_from(&forms.timestamp),
            Column::TimestampNtz(values) => values.form.clone_from(&forms.timestamp_ntz),
            Column::List(lists) => lists.items.set_forms(forms),
            Column::Map(maps) => maps.values.set_forms(forms),
            Column::Struct(structs) => structs.columns.iter_mut().for_each(|column| column.set_forms(forms)),
            Column::Boolean(_)
            | Column::Int8(_)
            | Column::Int16(_)
            | Column::Int32(_)
            | Column::Int64(_)
            | Column::Float32(_)
            | Column::Float64(_)
            | Column::Decimal(..)
            | Column::Utf8(_)
            | Column::Binary(_) => {}
        }
    }
}
