//! The options of functions that read and write texts: `map('mode', 'FAILFAST')`.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use chrono_tz::Tz;
use datafusion::common::ScalarValue;
use datafusion::error::Result;

use crate::cast::time::{parse_clock, parse_date, parse_timestamp};
use crate::datetime::pattern::Pattern;
use crate::error::spark_error;
use crate::function::{Call, Settings};
use crate::types::{map_types, sql_name};

/// What becomes of a text that doesn't fit its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What doesn't fit is null.
    Permissive,
    /// It is an error.
    FailFast,
}

/// How JSON texts are read and written.
#[derive(Debug, Clone)]
pub struct Options {
    /// What becomes of a text that doesn't fit its schema.
    pub mode: Mode,
    /// The field that takes a text that doesn't fit, if the schema has it.
    pub corrupt_record: String,
    /// The time zone of timestamps whose text names none.
    pub time_zone: Tz,
    /// Whether fields that are null are left out.
    pub ignore_null_fields: bool,
    /// Whether fields and keys of maps are written in the order of their names.
    pub sort_keys: bool,
    pub(crate) date_format: Option<Pattern>,
    pub(crate) timestamp_format: Option<Pattern>,
    pub(crate) timestamp_ntz_format: Option<Pattern>,
}

impl Options {
    /// Those of a session, without any given.
    pub fn new(settings: &Settings) -> Self {
        Options {
            mode: Mode::Permissive,
            corrupt_record: "_corrupt_record".to_owned(),
            time_zone: settings.time_zone,
            ignore_null_fields: true,
            sort_keys: false,
            date_format: None,
            timestamp_format: None,
            timestamp_ntz_format: None,
        }
    }

    /// Those that argument `index` of a call gives, if it has that many; `pattern` makes patterns to read or to write with.
    ///
    /// # Errors
    /// When it is no literal map of strings, or an option's value is none.
    pub(crate) fn of(call: &Call<'_>, index: usize, pattern: fn(&str) -> Result<Pattern>) -> Result<Self> {
        let mut options = Options::new(call.settings);
        for (key, value) in given(call, index)? {
            match key.to_ascii_lowercase().as_str() {
                "mode" => options.mode = mode(call, &value)?,
                "columnnameofcorruptrecord" => options.corrupt_record = value,
                "timezone" => options.time_zone = time_zone(&value)?,
                "ignorenullfields" => options.ignore_null_fields = !value.eq_ignore_ascii_case("false"),
                "sortkeys" => options.sort_keys = value.eq_ignore_ascii_case("true"),
                "dateformat" => options.date_format = Some(pattern(&value)?),
                "timestampformat" => options.timestamp_format = Some(pattern(&value)?),
                "timestampntzformat" => options.timestamp_ntz_format = Some(pattern(&value)?),
                // Spark ignores what it doesn't know. What it knows and we don't must not be ignored.
                known if UNSUPPORTED.contains(&known) => return Err(unsupported(call, &key)),
                _ => {}
            }
        }
        Ok(options)
    }

    /// Reads a date, as a cast does if no pattern is given.
    pub(crate) fn date(&self, text: &str) -> Option<i32> {
        self.date_format.as_ref().map_or_else(|| parse_date(text), |pattern| pattern.read_date(text))
    }

    /// Reads an instant, as a cast does if no pattern is given.
    pub(crate) fn timestamp(&self, text: &str) -> Option<i64> {
        let pattern = self.timestamp_format.as_ref();
        pattern.map_or_else(|| parse_timestamp(text, self.time_zone), |pattern| pattern.read_instant(text, self.time_zone.into()))
    }

    /// Reads what a clock shows; without a pattern the text must not name a zone.
    pub(crate) fn timestamp_ntz(&self, text: &str) -> Option<i64> {
        self.timestamp_ntz_format.as_ref().map_or_else(|| parse_clock(text), |pattern| pattern.read_clock(text))
    }
}

const UNSUPPORTED: &[&str] = &[
    "allowcomments",
    "allowunquotedfieldnames",
    "allowsinglequotes",
    "allownumericleadingzeros",
    "allowbackslashescapinganycharacter",
    "allowunquotedcontrolchars",
    "allownonnumericnumbers",
    "primitivesasstring",
    "prefersdecimal",
    "infertimestamp",
    "locale",
    "pretty",
    "dropfieldifallnull",
    "writenonasciicharacterascodepoint",
];

/// The error for an option that Spark has and we don't.
pub(crate) fn unsupported(call: &Call<'_>, option: &str) -> datafusion::error::DataFusionError {
    spark_error("INVALID_OPTIONS", format!("The option '{option}' of `{}` is not supported.", call.name))
}

/// The options' names and values.
pub(crate) fn given(call: &Call<'_>, index: usize) -> Result<Vec<(String, String)>> {
    let Some(arg) = call.args.get(index) else { return Ok(Vec::new()) };
    let types = map_types(&arg.data_type);
    if types.is_some_and(|types| types != (&DataType::Utf8, &DataType::Utf8)) {
        let message = format!(
            "Invalid options: A type of keys and values in `map()` must be string, but got \"{}\".",
            sql_name(&arg.data_type)
        );
        return Err(spark_error("INVALID_OPTIONS.NON_STRING_TYPE", message));
    }
    let Some(ScalarValue::Map(map)) = call.literal(index) else {
        return Err(spark_error(
            "INVALID_OPTIONS.NON_MAP_FUNCTION",
            "Invalid options: Must use the `map()` function for options.",
        ));
    };
    let entries = map.value(0);
    let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
    let pair = |at| (keys.value(at).to_owned(), values.value(at).to_owned());
    Ok((0..entries.len()).filter(|at| values.is_valid(*at)).map(pair).collect())
}

/// A mode by its name.
pub(crate) fn mode(call: &Call<'_>, name: &str) -> Result<Mode> {
    match name.to_ascii_uppercase().as_str() {
        "FAILFAST" => Ok(Mode::FailFast),
        "DROPMALFORMED" => Err(spark_error(
            "PARSE_MODE_UNSUPPORTED",
            format!(
                "The function `{}` doesn't support the DROPMALFORMED mode. Acceptable modes are PERMISSIVE and FAILFAST.",
                call.name
            ),
        )),
        _ => Ok(Mode::Permissive),
    }
}

/// A time zone by its name.
pub(crate) fn time_zone(name: &str) -> Result<Tz> {
    name.parse().map_err(|_| spark_error("INVALID_TIMEZONE", format!("The timezone: {name} is invalid.")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, TimestampMicrosecondArray};

    use super::*;
    use crate::json::Encoder;

    fn options(time_zone: Tz) -> Options {
        Options { time_zone, ..Options::new(&Settings::default()) }
    }

    /// What is written of what is read.
    fn instant(text: &str, zone: Tz) -> Option<String> {
        let instant = TimestampMicrosecondArray::from(vec![options(zone).timestamp(text)?]).with_timezone("UTC");
        Some(written(instant, zone))
    }

    fn written(value: impl Array + 'static, zone: Tz) -> String {
        let (value, mut out): (ArrayRef, _) = (Arc::new(value), String::new());
        Encoder::new(&options(zone)).unwrap().moment(&value, 0, &mut out);
        out
    }

    #[test]
    fn timestamps_are_read_as_casts_read_them() {
        for (text, time) in [
            ("2024-13-01", None),
            ("2024-01-01T00:00:00.1234567Z", Some("2024-01-01T00:00:00.123Z")),
            ("2024-01-01T25:00:00", None),
            ("2024-01-01 00:00:00 Europe/Berlin", Some("2023-12-31T23:00:00.000Z")),
            ("2024", Some("2024-01-01T00:00:00.000Z")),
            ("2024-05", Some("2024-05-01T00:00:00.000Z")),
            (" 2024-01-01 ", Some("2024-01-01T00:00:00.000Z")),
            ("2024-01-01T1:2:3", Some("2024-01-01T01:02:03.000Z")),
            ("2024-01-01T10", Some("2024-01-01T10:00:00.000Z")),
            ("2024-01-01T10:20:30+0200", Some("2024-01-01T08:20:30.000Z")),
            ("2024-01-01T10:20:30GMT+2", Some("2024-01-01T08:20:30.000Z")),
            ("2024-01-01T10:20:30.", Some("2024-01-01T10:20:30.000Z")),
            ("20240101", None),
            ("12024-01-01", Some("+12024-01-01T00:00:00.000Z")),
            ("2024-01-01Z", None),
        ] {
            assert_eq!(instant(text, Tz::UTC).as_deref(), time, "{text}");
        }
        // A time that is left out in spring, and one that is there twice in autumn.
        assert_eq!(instant("2024-03-31 02:30:00", Tz::Europe__Berlin).as_deref(), Some("2024-03-31T03:30:00.000+02:00"));
        assert_eq!(instant("2024-10-27 02:30:00", Tz::Europe__Berlin).as_deref(), Some("2024-10-27T02:30:00.000+02:00"));
    }

    #[test]
    fn dates_are_read_as_casts_read_them() {
        for (text, date) in [
            ("2024", Some("2024-01-01")),
            ("2024-01-01T", Some("2024-01-01")),
            ("2024-01-01 xx", Some("2024-01-01")),
            ("2024-01-01xx", None),
            ("2024-02-30", None),
            ("99-01-01", None),
            ("-0001-01-01", Some("-0001-01-01")),
            ("1234567-01-01", Some("+1234567-01-01")),
        ] {
            let read = options(Tz::UTC).date(text).map(|days| written(Date32Array::from(vec![days]), Tz::UTC));
            assert_eq!(read.as_deref(), date, "{text}");
        }
    }

    #[test]
    fn patterns_read_what_they_write() {
        let text = "02/01/2024 at 03:04:05.000120 +02:00";
        let pattern = "dd/MM/yyyy 'at' HH:mm:ss.SSSSSS XXX";
        let by = |pattern: Pattern| Options { timestamp_format: Some(pattern), ..options(Tz::Europe__Helsinki) };
        let micros = by(Pattern::to_parse(pattern).unwrap()).timestamp(text).unwrap();
        let value: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"));
        let mut out = String::new();
        Encoder::new(&by(Pattern::to_format(pattern).unwrap())).unwrap().moment(&value, 0, &mut out);
        assert_eq!(out, text);
        let dates = Options { date_format: Some(Pattern::to_parse("dd/MM/yyyy").unwrap()), ..options(Tz::UTC) };
        assert_eq!(dates.date("2/1/2024"), None);
    }

    #[test]
    fn a_clock_has_no_zone() {
        assert_eq!(options(Tz::UTC).timestamp_ntz("1970-01-01T00:00:01"), Some(1_000_000));
        assert_eq!(options(Tz::UTC).timestamp_ntz("1970-01-01T00:00:01Z"), None);
    }
}
