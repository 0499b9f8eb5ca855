//! Spark's options of files as the connector's settings.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tidegate_connectors::{
    CleanSource, Compression, CsvOptions, CsvWriteOptions, FileSink, FileSource, JsonOptions, JsonWriteOptions, ParseMode,
    TextForm, TimeForms, TimeTexts, ValueForm,
};
use tidegate_functions::datetime::{TimeReader, TimeWriter, UsualReader};

use super::FileRequest;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::session::Session;

/// A source of the files below a path, with these columns and the user's options.
pub(super) fn source(request: &FileRequest<'_>, path: &str, schema: &SchemaRef) -> Result<FileSource> {
    let options = request.options;
    let source = match request.format {
        "text" => FileSource::text(path).whole_text(options.parsed("wholetext")?.unwrap_or(false)),
        "json" => FileSource::json(path, Arc::clone(schema)).json_options(json(options)?),
        "csv" => FileSource::csv(path, Arc::clone(schema)).csv_options(csv(options)?),
        "avro" => FileSource::avro(path, Arc::clone(schema)),
        "orc" => FileSource::orc(path, Arc::clone(schema)),
        _ => FileSource::parquet(path, Arc::clone(schema)),
    };
    let source = if request.format == "text" && !schema.fields().is_empty() { source.with_schema(schema) } else { source };
    let mut source = if request.is_stream { stream(source, options)? } else { batch(source, request)? };
    source = listing(source, options)?;
    if let Some(form) = usual_instants(request.session, options)? {
        source = source.partition_times(form);
    }
    source = records(source, request)?;
    let (corrupt, missing) = ignored(request)?;
    Ok(source.ignore_corrupt_files(corrupt).ignore_missing_files(missing))
}

/// Whether damaged files and missing ones are passed over.
pub(super) fn ignored(request: &FileRequest<'_>) -> Result<(bool, bool)> {
    let flag = |option: &str, setting: &str| match request.options.parsed(option)? {
        Some(flag) => Ok::<_, Error>(flag),
        None => Ok(request.session.config(setting).is_some_and(|value| value.eq_ignore_ascii_case("true"))),
    };
    let corrupt = flag("ignoreCorruptFiles", "spark.sql.files.ignoreCorruptFiles")?;
    Ok((corrupt, flag("ignoreMissingFiles", "spark.sql.files.ignoreMissingFiles")?))
}

/// How much of the records is looked at when columns are inferred.
pub(super) fn sampling_ratio(options: &Options) -> Result<f64> {
    let ratio = options.parsed::<f64>("samplingRatio")?.unwrap_or(1.0);
    if ratio > 0.0 { Ok(ratio) } else { Err(invalid("samplingRatio", &ratio.to_string(), "it should be greater than 0")) }
}

/// The same files as text, line by line.
pub(super) fn text_of(request: &FileRequest<'_>, path: &str) -> Result<FileSource> {
    let value = Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)]));
    source(&FileRequest { format: "text", schema: None, ..*request }, path, &value)
}

fn invalid(name: &str, value: &str, expected: &str) -> Error {
    Error::analysis("INVALID_OPTION", format!("Invalid value '{value}' for option '{name}': {expected}"))
}

/// Which files of the path are read.
fn listing(mut source: FileSource, options: &Options) -> Result<FileSource> {
    if let Some(glob) = options.get("pathGlobFilter") {
        source = source.path_glob_filter(glob);
    }
    if let Some(recursive) = options.parsed("recursiveFileLookup")? {
        source = source.recursive_file_lookup(recursive);
    }
    if let Some(base) = options.get("basePath") {
        source = source.base_path(base);
    }
    Ok(source)
}

/// The options of batches only.
fn batch(source: FileSource, request: &FileRequest<'_>) -> Result<FileSource> {
    let time = |name: &str| match request.options.get(name) {
        None => Ok(None),
        Some(text) => {
            let zone = request.options.get("timeZone");
            let reader = TimeReader::new("yyyy-MM-dd'T'HH:mm:ss", zone, &request.session.context().settings)?;
            let micros = reader.instant(text).and_then(|micros| u64::try_from(micros).ok());
            let micros = micros.ok_or_else(|| invalid(name, text, "a time such as 2024-01-31T12:00:00"))?;
            Ok::<_, Error>(Some(SystemTime::UNIX_EPOCH + Duration::from_micros(micros)))
        }
    };
    Ok(source.modified_between(time("modifiedAfter")?, time("modifiedBefore")?))
}

/// The options of streams only.
fn stream(mut source: FileSource, options: &Options) -> Result<FileSource> {
    for name in ["modifiedBefore", "modifiedAfter"] {
        if options.get(name).is_some() {
            return Err(Error::Streaming(format!("option '{name}' is not allowed in file stream sources")));
        }
    }
    if let Some(files) = options.positive("maxFilesPerTrigger")? {
        source = source.max_files_per_trigger(files);
    }
    if let Some(bytes) = options.positive("maxBytesPerTrigger")? {
        source = source.max_bytes_per_trigger(bytes as u64);
    }
    if let Some(latest_first) = options.parsed("latestFirst")? {
        source = source.latest_first(latest_first);
    }
    if let Some(text) = options.get("maxFileAge") {
        let age = duration(text).ok_or_else(|| invalid("maxFileAge", text, "a time such as 7d, 12h or 30s"))?;
        source = source.max_file_age(Some(age));
    }
    if let Some(name_only) = options.parsed("fileNameOnly")? {
        source = source.file_name_only(name_only);
    }
    if let Some(allow) = options.parsed("allowOverwrites")? {
        source = source.allow_overwrites(allow);
    }
    Ok(source.clean_source(clean_source(options)?))
}

fn clean_source(options: &Options) -> Result<CleanSource> {
    let Some(text) = options.get("cleanSource") else { return Ok(CleanSource::Off) };
    match text.to_lowercase().as_str() {
        "off" => Ok(CleanSource::Off),
        "delete" => Ok(CleanSource::Delete),
        "archive" => match options.get("sourceArchiveDir") {
            Some(archive) => Ok(CleanSource::Archive(archive.into())),
            None => Err(Error::Streaming("Archive mode must be used with 'sourceArchiveDir' option.".to_owned())),
        },
        _ => Err(invalid("cleanSource", text, "archive, delete or off")),
    }
}

/// A time as Java's `timeStringAs` reads it: `7d`, `12h`, `30min`, `10s`, `500ms`; a plain number is milliseconds.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim().to_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit.trim() {
        "ms" | "" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
}

/// What becomes of records.
fn records(mut source: FileSource, request: &FileRequest<'_>) -> Result<FileSource> {
    let options = request.options;
    if let Some(mode) = options.get("mode") {
        source = source.mode(match mode.to_uppercase().as_str() {
            "PERMISSIVE" => ParseMode::Permissive,
            "DROPMALFORMED" => ParseMode::DropMalformed,
            "FAILFAST" => ParseMode::FailFast,
            _ => return Err(invalid("mode", mode, "PERMISSIVE, DROPMALFORMED or FAILFAST")),
        });
    }
    if let Some(column) = options.get("columnNameOfCorruptRecord") {
        source = source.column_name_of_corrupt_record(column);
    }
    if let Some(encoding) = options.get("encoding").or_else(|| options.get("charset"))
        && !matches!(encoding.to_uppercase().as_str(), "UTF-8" | "UTF8" | "US-ASCII")
    {
        let expected = "files are read as UTF-8 only; convert them first, for instance with iconv";
        return Err(Error::analysis(
            "INVALID_PARAMETER_VALUE.CHARSET",
            format!("The charset {encoding} is not known: {expected}"),
        ));
    }
    if let Some(locale) = options.get("locale")
        && !matches!(locale.to_lowercase().as_str(), "en-us" | "en_us")
        && request.format != "text"
    {
        return Err(invalid("locale", locale, "dates and numbers are read as en-US only"));
    }
    if let Some(separator) = options.get("lineSep") {
        if separator.is_empty() {
            return Err(invalid("lineSep", separator, "it can't be empty"));
        }
        source = source.line_separator(separator);
    }
    if matches!(request.format, "csv" | "json") {
        source = source.time_forms(time_forms(request.session, options)?);
    }
    Ok(source)
}

/// How dates and times are written. One without a zone is of the zone of the option `timeZone`, or else of the session's.
pub(super) fn time_forms(session: &Session, options: &Options) -> Result<TimeForms> {
    let (settings, zone) = (session.context().settings, options.get("timeZone"));
    let reader = |name: &str| match options.get(name) {
        None => Ok(None),
        Some(pattern) => Ok::<_, Error>(Some(TimeReader::new(pattern, zone, &settings)?)),
    };
    let date = reader("dateFormat")?.map(|form| TextForm::new(move |text| form.date(text).map(i64::from)));
    let timestamp = match reader("timestampFormat")? {
        Some(form) => TextForm::new(move |text| form.instant(text)),
        None => match usual_instants(session, options)? {
            Some(form) => form,
            None => {
                let usual = UsualReader::new(zone, &settings)?;
                TextForm::beside_usual(move |text| usual.instant(text))
            }
        },
    };
    let timestamp_ntz = reader("timestampNTZFormat")?.map(|form| TextForm::new(move |text| form.clock(text)));
    Ok(TimeForms { date, timestamp: Some(timestamp), timestamp_ntz })
}

/// How instants are read that are written as usual; `None` if those without a zone are of UTC.
fn usual_instants(session: &Session, options: &Options) -> Result<Option<TextForm>> {
    let usual = UsualReader::new(options.get("timeZone"), &session.context().settings)?;
    Ok((!usual.is_utc()).then(|| TextForm::new(move |text| usual.instant(text))))
}

/// A character; `None` for none at all, or the character of code zero.
fn character(name: &str, text: &str) -> Result<Option<u8>> {
    match text.replace("\\t", "\t").as_bytes() {
        [] | [0] => Ok(None),
        [byte] => Ok(Some(*byte)),
        _ => Err(invalid(name, text, "one character")),
    }
}

/// How CSV files are written.
pub(super) fn csv(options: &Options) -> Result<CsvOptions> {
    let mut csv = CsvOptions::default();
    csv.header = options.parsed("header")?.unwrap_or(false);
    csv.multi_line = options.parsed("multiLine")?.unwrap_or(false);
    csv.ignore_leading_white_space = options.parsed("ignoreLeadingWhiteSpace")?.unwrap_or(false);
    csv.ignore_trailing_white_space = options.parsed("ignoreTrailingWhiteSpace")?.unwrap_or(false);
    csv.enforce_schema = options.parsed("enforceSchema")?.unwrap_or(true);
    if let Some(handling) = options.get("unescapedQuoteHandling")
        && !handling.eq_ignore_ascii_case("STOP_AT_DELIMITER")
    {
        return Err(invalid("unescapedQuoteHandling", handling, "only STOP_AT_DELIMITER, the default, is known"));
    }
    if let Some(text) = options.get("sep").or_else(|| options.get("delimiter")) {
        csv.separator = text.replace("\\t", "\t");
    }
    for (name, place) in [("quote", &mut csv.quote), ("escape", &mut csv.escape), ("comment", &mut csv.comment)] {
        if let Some(text) = options.get(name) {
            *place = character(name, text)?;
        }
    }
    let texts = [
        ("nullValue", &mut csv.null_value),
        ("emptyValue", &mut csv.empty_value),
        ("nanValue", &mut csv.nan_value),
        ("positiveInf", &mut csv.positive_inf),
        ("negativeInf", &mut csv.negative_inf),
    ];
    for (name, place) in texts {
        if let Some(text) = options.get(name) {
            *place = text.to_owned();
        }
    }
    Ok(csv)
}

fn json(options: &Options) -> Result<JsonOptions> {
    let mut json = JsonOptions::default();
    let flags = [
        ("multiLine", &mut json.multi_line),
        ("allowComments", &mut json.allow_comments),
        ("allowUnquotedFieldNames", &mut json.allow_unquoted_field_names),
        ("allowSingleQuotes", &mut json.allow_single_quotes),
        ("allowNumericLeadingZeros", &mut json.allow_numeric_leading_zeros),
        ("allowBackslashEscapingAnyCharacter", &mut json.allow_backslash_escaping_any_character),
        ("allowUnquotedControlChars", &mut json.allow_unquoted_control_chars),
        ("allowNonNumericNumbers", &mut json.allow_non_numeric_numbers),
    ];
    for (name, place) in flags {
        if let Some(flag) = options.parsed(name)? {
            *place = flag;
        }
    }
    Ok(json)
}

/// A sink of files with the user's options.
pub(crate) fn sink(session: &Session, format: &str, path: &Path, partition_by: &[String], options: &Options) -> Result<FileSink> {
    let mut sink = match format {
        "parquet" => FileSink::parquet(path),
        "json" => FileSink::json(path).json_options(json_written(options)?).time_texts(time_texts(session, options)?),
        "text" => FileSink::text(path).line_separator(&line_separator(options)?),
        "avro" => FileSink::avro(path),
        "orc" => FileSink::orc(path),
        _ => FileSink::csv(path).csv_options(csv_written(options)?).time_texts(time_texts(session, options)?),
    };
    if let Some(codec) = options.get("compression").or_else(|| options.get("codec")) {
        sink = sink.compression(compression(codec)?);
    }
    if let Some(rows) = options.parsed::<i64>("maxRecordsPerFile")? {
        sink = sink.max_records_per_file(u64::try_from(rows).unwrap_or(0));
    }
    if let Some(epochs) = options.positive("compactEveryEpochs")? {
        sink = sink.compact_every(epochs as u64);
    }
    if let Some(bytes) = options.positive("targetFileSize")? {
        sink = sink.max_file_bytes(bytes as u64);
    }
    let zoned = TimeWriter::new(TimeWriter::IN_NAMES, options.get("timeZone"), &session.context().settings)?;
    if !zoned.is_utc() {
        sink = sink.partition_times(ValueForm::new(move |micros, out| zoned.short_instant(micros, out)));
    }
    Ok(sink.partition_by(partition_by))
}

fn line_separator(options: &Options) -> Result<String> {
    match options.get("lineSep") {
        Some("") => Err(invalid("lineSep", "", "it can't be empty")),
        given => Ok(given.unwrap_or("\n").to_owned()),
    }
}

/// How CSV files are to be written.
fn csv_written(options: &Options) -> Result<CsvWriteOptions> {
    let mut csv = CsvWriteOptions::default();
    csv.line_separator = line_separator(options)?;
    let flags = [
        ("header", &mut csv.header),
        ("quoteAll", &mut csv.quote_all),
        ("escapeQuotes", &mut csv.escape_quotes),
        ("ignoreLeadingWhiteSpace", &mut csv.ignore_leading_white_space),
        ("ignoreTrailingWhiteSpace", &mut csv.ignore_trailing_white_space),
    ];
    for (name, place) in flags {
        if let Some(flag) = options.parsed(name)? {
            *place = flag;
        }
    }
    if let Some(text) = options.get("sep").or_else(|| options.get("delimiter")) {
        csv.separator = text.replace("\\t", "\t");
    }
    for (name, place) in [("quote", &mut csv.quote), ("escape", &mut csv.escape)] {
        if let Some(text) = options.get(name) {
            // As in Spark, without one it is the character of code zero.
            *place = character(name, text)?.unwrap_or_default();
        }
    }
    if let Some(text) = options.get("charToEscapeQuoteEscaping") {
        csv.char_to_escape_quote_escaping = character("charToEscapeQuoteEscaping", text)?;
    }
    for (name, place) in [("nullValue", &mut csv.null_value), ("emptyValue", &mut csv.empty_value)] {
        if let Some(text) = options.get(name) {
            *place = text.to_owned();
        }
    }
    Ok(csv)
}

/// How JSON files are to be written.
fn json_written(options: &Options) -> Result<JsonWriteOptions> {
    if options.parsed("pretty")?.unwrap_or(false) {
        return Err(Error::unsupported("the option pretty: each row is a line"));
    }
    let mut json = JsonWriteOptions::default();
    json.line_separator = line_separator(options)?;
    if let Some(flag) = options.parsed("ignoreNullFields")? {
        json.ignore_null_fields = flag;
    }
    if let Some(flag) = options.parsed("writeNonAsciiCharacterAsCodePoint")? {
        json.write_non_ascii_character_as_code_point = flag;
    }
    Ok(json)
}

/// How dates and times are to be written: instants as clocks show them in the zone of the option `timeZone`, or else of the session.
fn time_texts(session: &Session, options: &Options) -> Result<TimeTexts> {
    let settings = session.context().settings;
    let writer = |pattern: &str| Ok::<_, Error>(TimeWriter::new(pattern, options.get("timeZone"), &settings)?);
    let given = |name: &str| options.get(name).map(writer).transpose();
    let timestamp = match given("timestampFormat")? {
        Some(form) => Some(form),
        None => Some(writer(TimeWriter::USUAL)?).filter(|usual| !usual.is_utc()),
    };
    Ok(TimeTexts {
        date: given("dateFormat")?.map(|form| ValueForm::new(move |days, out| form.date(days, out))),
        timestamp: timestamp.map(|form| ValueForm::new(move |micros, out| form.instant(micros, out))),
        timestamp_ntz: given("timestampNTZFormat")?.map(|form| ValueForm::new(move |micros, out| form.clock(micros, out))),
        precise: false,
    })
}

fn compression(codec: &str) -> Result<Option<Compression>> {
    Ok(match codec.to_lowercase().as_str() {
        "none" | "uncompressed" => None,
        "gzip" => Some(Compression::Gzip),
        "deflate" | "zlib" => Some(Compression::Deflate),
        "bzip2" => Some(Compression::Bzip2),
        "zstd" | "zstandard" => Some(Compression::Zstd),
        "snappy" => Some(Compression::Snappy),
        _ => {
            let message =
                format!("The codec {codec} is not available. Available codecs are none, gzip, deflate, bzip2, zstd, snappy.");
            return Err(Error::analysis("CODEC_NOT_AVAILABLE.WITH_AVAILABLE_CODECS_SUGGESTION", message));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_java_writes_them() {
        let cases = [("7d", 604_800_000), ("12h", 43_200_000), ("30min", 1_800_000), ("500ms", 500), ("42", 42)];
        for (text, millis) in cases {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!((duration("7 weeks"), duration("-1s"), duration("d")), (None, None, None));
    }
}
