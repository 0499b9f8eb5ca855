//! CSV records as rows.

use std::path::{Path, PathBuf};

use tidegate_runtime::{Error, Result, SourceOutput, SourceReader, Split};

use super::columns::{Column, Structs};
use super::compression::Compression;
use super::csv_options::CsvOptions;
use super::csv_values::Looked;
use super::lines::Lines;
use super::records::{RecordColumns, Records, Verdict};
use super::split_reader::{FileSplit, LineOptions, ReadError, read_split_lines};

/// Reads splits of CSV files. With `multiLine` a quoted value may span lines, and a file is one split.
#[derive(Debug)]
pub(crate) struct CsvReader {
    pub(crate) dir: PathBuf,
    pub(crate) records: Records,
    /// For each value of a record, the column that it goes to, if that one is read.
    pub(crate) targets: Vec<Option<usize>>,
    /// For each of them, the name that the header must have there.
    pub(crate) names: Vec<Option<String>>,
    pub(crate) options: CsvOptions,
    pub(crate) lines: LineOptions,
}

impl CsvReader {
    /// For each value of a record, the column that it goes to, if that one is read.
    pub(crate) fn targets(columns: &RecordColumns) -> Vec<Option<usize>> {
        let read: Vec<usize> = columns.read.iter().copied().filter(|index| Some(*index) != columns.corrupt).collect();
        let in_file = (0..columns.schema.fields().len()).filter(|index| Some(*index) != columns.corrupt);
        in_file.map(|index| read.iter().position(|read| *read == index)).collect()
    }

    /// The names of those columns.
    pub(crate) fn names(columns: &RecordColumns) -> Vec<Option<String>> {
        let in_file = columns.schema.fields().iter().enumerate().filter(|(index, _)| Some(*index) != columns.corrupt);
        in_file.map(|(index, field)| columns.read.contains(&index).then(|| field.name().clone())).collect()
    }
}

/// Fails if the header has other names than the columns that are read.
fn check_header(record: &[u8], names: &[Option<String>], options: &CsvOptions, path: &Path) -> Result<()> {
    let header = options.values(&String::from_utf8_lossy(record));
    let header: Vec<String> = header.into_iter().map(Option::unwrap_or_default).collect();
    let path = path.display();
    let are_all_read = names.iter().all(Option::is_some);
    if are_all_read && header.len() != names.len() || header.len() < names.iter().rposition(Option::is_some).map_or(0, |n| n + 1)
    {
        return Err(Error::user(format!(
            "[FAILED_READ_FILE.NO_HINT] Number of column in CSV header is not equal to number of fields in the schema:\n Header length: {}, schema size: {}\nCSV \
             file: {path}",
            header.len(),
            names.len()
        )));
    }
    let pairs = header.iter().zip(names).filter_map(|(found, name)| Some((found, name.as_ref()?)));
    let Some((found, name)) = pairs.clone().find(|(found, name)| found.to_lowercase() != name.to_lowercase()) else {
        return Ok(());
    };
    let (headers, columns): (Vec<&str>, Vec<&str>) = pairs.map(|(found, name)| (found.as_str(), name.as_str())).unzip();
    Err(Error::user(format!(
        "[FAILED_READ_FILE.NO_HINT] CSV header does not conform to the schema.\n Header: {}\n Schema: {}\nExpected: {name} but found: {found}\nCSV file: {path}",
        headers.join(", "),
        columns.join(", ")
    )))
}

impl SourceReader for CsvReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: FileSplit = split.decode()?;
        let path = self.dir.join(&split.file.path);
        let (records, options, targets, names) = (&mut self.records, &self.options, &self.targets, &self.names);
        records.clear();
        // The header is the first record that is not empty.
        let mut header_to_come = options.header && split.start == 0;
        let mut take = |records: &mut Records, at: u64, record: &[u8]| -> Result<(), ReadError> {
            if options.is_skipped(record) {
                return Ok(());
            }
            if std::mem::take(&mut header_to_come) {
                return if options.enforce_schema { Ok(()) } else { Ok(check_header(record, names, options, &path)?) };
            }
            let first = records.rows.len();
            let verdict = read_record(&mut records.rows, record, options, targets);
            records.judge(first, record, verdict).map_err(|bad| bad.in_file(&path, at))
        };
        // With `multiLine`: the start of a record whose quotes are still open, and where it began.
        let (mut open, mut began, mut ended, mut looked) = (Vec::new(), 0, 0, Looked::default());
        let max_bytes = self.lines.max_bytes;
        let mut emit = |lines: Lines| -> Result<(), ReadError> {
            for (at, line) in lines.iter() {
                if !options.multi_line {
                    take(records, at, line)?;
                    continue;
                }
                if open.is_empty() {
                    began = at;
                } else {
                    // A record of several lines has the line ends of Unix, as Spark's parser makes them.
                    open.push(b'\n');
                }
                open.extend_from_slice(line);
                ended = at + line.len() as u64;
                if open.len() > max_bytes {
                    return Err(super::lines::LineError::TooLong { line_at: began }.into());
                }
                // Within quotes only a line with a quote can end the record.
                let may_end = began == at || options.quote.is_some_and(|quote| line.contains(&quote));
                if may_end && !options.is_open(&open, &mut looked) {
                    take(records, began, &open)?;
                    open.clear();
                    looked = Looked::default();
                }
            }
            match records.take()? {
                Some(batch) => Ok(out.emit(batch)?),
                None => Ok(()),
            }
        };
        read_split_lines(&self.dir, &split, &self.lines, &mut emit)?;
        if open.is_empty() {
            return Ok(());
        }
        // The last quote was never closed: the rest of the file is its value.
        if ended < split.file.len && Compression::of_name(split.file.name()).is_none() {
            open.push(b'\n');
        }
        take(records, began, &open).map_err(|error| error.in_file(&path, max_bytes))?;
        records.take()?.map_or(Ok(()), |batch| out.emit(batch))
    }
}

pub(crate) fn read_record(rows: &mut Structs, record: &[u8], options: &CsvOptions, targets: &[Option<usize>]) -> Verdict {
    if std::str::from_utf8(record).is_err() {
        return Verdict::Malformed;
    }
    let (mut fits, mut values, mut rest, mut unquoted) = (true, 0, Some(record), Vec::new());
    while let Some(text) = rest {
        let (plain, after) = options.next_value(text, &mut unquoted);
        rest = after;
        if let Some(column) = targets.get(values).copied().flatten().and_then(|index| rows.columns.get_mut(index)) {
            fits &= match plain {
                Some(plain) => push_value(column, plain, false, options),
                None => push_value(column, &unquoted, true, options),
            };
        }
        values += 1;
    }
    rows.close();
    if fits && values == targets.len() { Verdict::Fits } else { Verdict::Partial }
}

/// Adds a value to its column; `false` if it does not fit, which leaves null.
fn push_value(column: &mut Column, value: &[u8], is_quoted: bool, options: &CsvOptions) -> bool {
    let value = if is_quoted && value.is_empty() { options.empty_value.as_bytes() } else { value };
    let may_be_null = !is_quoted || !options.quoted_is_text;
    if may_be_null && value == options.null_value.as_bytes() || value.is_empty() && !is_quoted {
        column.push_null();
        return true;
    }
    match (&mut *column, options.special(value)) {
        (Column::Float32(values), Some(special)) => values.push(special as f32),
        (Column::Float64(values), Some(special)) => values.push(special),
        _ => return column.push_text(value),
    }
    true
}
