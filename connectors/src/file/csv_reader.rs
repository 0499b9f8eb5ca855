//! CSV lines as rows.

use std::path::PathBuf;

use tidegate_runtime::{Result, SourceOutput, SourceReader, Split};

use super::columns::Structs;
use super::lines::Lines;
use super::records::{ParseMode, RecordColumns, Records, Verdict};
use super::source::CsvOptions;
use super::split_reader::{FileSplit, ReadError, read_split_lines};

/// Reads splits of CSV files, one line a record: a quoted value does not span lines.
#[derive(Debug)]
pub(crate) struct CsvReader {
    dir: PathBuf,
    records: Records,
    /// For each value of a line, the column that it goes to, if that one is read.
    targets: Vec<Option<usize>>,
    options: CsvOptions,
    max_line_bytes: usize,
}

impl CsvReader {
    pub(crate) fn new(
        dir: PathBuf,
        columns: &RecordColumns,
        options: CsvOptions,
        mode: ParseMode,
        max_line_bytes: usize,
    ) -> Result<Self> {
        let read: Vec<usize> = columns.read.iter().copied().filter(|index| Some(*index) != columns.corrupt).collect();
        let in_file = (0..columns.schema.fields().len()).filter(|index| Some(*index) != columns.corrupt);
        let targets = in_file.map(|index| read.iter().position(|read| *read == index)).collect();
        Ok(CsvReader { dir, records: Records::new(columns, mode)?, targets, options, max_line_bytes })
    }
}

impl SourceReader for CsvReader {
    fn read(&mut self, split: &Split, out: &mut SourceOutput<'_>) -> Result<()> {
        let split: FileSplit = split.decode()?;
        let path = self.dir.join(&split.file.path);
        let (records, options, targets) = (&mut self.records, &self.options, &self.targets);
        records.clear();
        // The header is the first line that is not empty.
        let mut header_to_come = options.header && split.start == 0;
        let mut emit = |lines: Lines| -> Result<(), ReadError> {
            for (at, line) in lines.iter() {
                // As in Spark, a line of blanks is no record.
                if line.trim_ascii().is_empty() || std::mem::take(&mut header_to_come) {
                    continue;
                }
                let first = records.rows.len();
                let verdict = read_line(&mut records.rows, line, options, targets);
                records.judge(first, line, verdict).map_err(|bad| bad.in_file(&path, at))?;
            }
            match records.take()? {
                Some(batch) => Ok(out.emit(batch)?),
                None => Ok(()),
            }
        };
        read_split_lines(&self.dir, &split, self.max_line_bytes, &mut emit)
    }
}

fn read_line(rows: &mut Structs, line: &[u8], options: &CsvOptions, targets: &[Option<usize>]) -> Verdict {
    if std::str::from_utf8(line).is_err() {
        return Verdict::Malformed;
    }
    let (mut fits, mut values, mut rest, mut unquoted) = (true, 0, Some(line), Vec::new());
    while let Some(text) = rest {
        let (plain, after) = next_value(text, options, &mut unquoted);
        let value = plain.unwrap_or(&unquoted);
        rest = after;
        if let Some(column) = targets.get(values).copied().flatten().and_then(|index| rows.columns.get_mut(index)) {
            if value == options.null_value.as_bytes() {
                column.push_null();
            } else {
                fits &= column.push_text(value);
            }
        }
        values += 1;
    }
    rows.close();
    if fits && values == targets.len() { Verdict::Fits } else { Verdict::Partial }
}

/// The first value of `text`, and what follows its separator. `None` for a value that was quoted: it is in `unquoted`.
fn next_value<'a>(text: &'a [u8], options: &CsvOptions, unquoted: &mut Vec<u8>) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    if let Some(quoted) = text.strip_prefix(&[options.quote])
        && let Some(after) = unquote(quoted, options, unquoted)
    {
        return (None, after);
    }
    match memchr::memchr(options.separator, text) {
        Some(end) => {
            let (value, rest) = text.split_at(end);
            (Some(value), rest.split_first().map(|(_, rest)| rest))
        }
        None => (Some(text), None),
    }
}

/// Takes a value apart whose opening quote precedes `text`, and gives what follows its separator. `None` if there is something
/// between the closing quote and the separator: such a value is taken as it is written, as Spark does.
fn unquote<'a>(text: &'a [u8], options: &CsvOptions, out: &mut Vec<u8>) -> Option<Option<&'a [u8]>> {
    out.clear();
    let mut rest = text;
    loop {
        match rest {
            // No closing quote: the value is the rest of the line.
            [] => return Some(None),
            [escape, quote, after @ ..] if *escape == options.escape && *quote == options.quote => {
                out.push(*quote);
                rest = after;
            }
            [quote] if *quote == options.quote => return Some(None),
            [quote, separator, after @ ..] if *quote == options.quote => {
                return (*separator == options.separator).then_some(Some(after));
            }
            [byte, after @ ..] => {
                out.push(*byte);
                rest = after;
            }
        }
    }
}
