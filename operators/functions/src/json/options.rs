//! The options of functions that read and write texts: `map('mode', 'FAILFAST')`.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use chrono_tz::Tz;
use datafusion::common::ScalarValue;
use datafusion::error::Result;

use super::moment::Pattern;
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

    /// Those that argument `index` of a call gives, if it has that many.
    ///
    /// # Errors
    /// When it is no literal map of strings, or an option's value is none.
    pub(crate) fn of(call: &Call<'_>, index: usize) -> Result<Self> {
        let mut options = Options::new(call.settings);
        for (key, value) in given(call, index)? {
            match key.to_ascii_lowercase().as_str() {
                "mode" => options.mode = mode(call, &value)?,
                "columnnameofcorruptrecord" => options.corrupt_record = value,
                "timezone" => options.time_zone = time_zone(&value)?,
                "ignorenullfields" => options.ignore_null_fields = !value.eq_ignore_ascii_case("false"),
                "sortkeys" => options.sort_keys = value.eq_ignore_ascii_case("true"),
                "dateformat" => options.date_format = Some(Pattern::parse(&value)?),
                "timestampformat" => options.timestamp_format = Some(Pattern::parse(&value)?),
                "timestampntzformat" => options.timestamp_ntz_format = Some(Pattern::parse(&value)?),
                // Spark ignores what it doesn't know. What it knows and we don't must not be ignored.
                known if UNSUPPORTED.contains(&known) => return Err(unsupported(call, &key)),
                _ => {}
            }
        }
        Ok(options)
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
