//! What becomes of records that don't fit: shared by the readers of line formats.

use std::path::Path;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Fields, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use tidegate_runtime::{Error, Result};

use super::columns::{Structs, Texts};
use super::forms::TimeForms;
use super::split_reader::{ReadError, line_number};

/// What becomes of a record of a JSON or CSV file that does not fit: Spark's option `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParseMode {
    /// What does not fit is null. The column for corrupt records, if the schema has it, gets the record's text.
    #[default]
    Permissive,
    /// The record is left out.
    DropMalformed,
    /// The query fails; the error names the file and the line.
    FailFast,
}

/// The columns of a file, and which of them are read.
#[derive(Debug)]
pub(crate) struct RecordColumns {
    pub(crate) schema: SchemaRef,
    /// Indexes into the schema, in the order of the output.
    pub(crate) read: Vec<usize>,
    /// The column for corrupt records, which is in no file.
    pub(crate) corrupt: Option<usize>,
}

impl RecordColumns {
    /// The schema of the rows.
    pub(crate) fn output(&self) -> Result<SchemaRef> {
        Ok(Arc::new(self.schema.project(&self.read)?))
    }
}

/// How a record fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fits,
    /// A part of it is null because it did not fit.
    Partial,
    /// It can't be read at all.
    Malformed,
}

/// Rows that are being read.
#[derive(Debug)]
pub(crate) struct Records {
    /// What is read from the file.
    pub(crate) rows: Structs,
    output: SchemaRef,
    /// The corrupt records, one value for each row, and the column's place in the output; `None` if they are not asked for.
    corrupt: Option<(usize, Texts)>,
    mode: ParseMode,
}

/// A record does not fit, and the mode says to fail.
#[derive(Debug)]
pub(crate) struct BadRecord {
    record: String,
}

impl Records {
    pub(crate) fn new(columns: &RecordColumns, mode: ParseMode, forms: &TimeForms) -> Result<Self> {
        let in_file = columns.read.iter().filter(|index| Some(**index) != columns.corrupt);
        let fields: Fields = in_file.filter_map(|index| columns.schema.fields().get(*index).cloned()).collect();
        let unknown = || Error::InvalidArgument(format!("can't read columns of the types of {fields:?}"));
        let place = columns.read.iter().position(|index| Some(*index) == columns.corrupt);
        let corrupt = place.map(|place| (place, Texts::new(true)));
        let mut rows = Structs::new(&fields).ok_or_else(unknown)?;
        rows.columns.iter_mut().for_each(|column| column.set_forms(forms));
        Ok(Records { rows, output: columns.output()?, corrupt, mode })
    }

    /// Forgets rows that a failed read has left.
    pub(crate) fn clear(&mut self) {
        self.rows.truncate(0);
        if let Some((_, corrupt)) = &mut self.corrupt {
            corrupt.truncate(0);
        }
    }

    /// Decides on the rows from `first` on, which were read from `record`.
    pub(crate) fn judge(&mut self, first: usize, record: &[u8], verdict: Verdict) -> Result<(), BadRecord> {
        if verdict == Verdict::Fits {
            if let Some((_, corrupt)) = &mut self.corrupt {
                (first..self.rows.len()).for_each(|_| corrupt.push_null());
            }
            return Ok(());
        }
        match self.mode {
            ParseMode::FailFast => {
                self.rows.truncate(first);
                Err(BadRecord { record: String::from_utf8_lossy(record).into_owned() })
            }
            ParseMode::DropMalformed => {
                self.rows.truncate(first);
                Ok(())
            }
            ParseMode::Permissive => {
                if verdict == Verdict::Malformed {
                    self.rows.truncate(first);
                    self.rows.close();
                }
                if let Some((_, corrupt)) = &mut self.corrupt {
                    let text = String::from_utf8_lossy(record);
                    (first..self.rows.len()).for_each(|_| corrupt.push(text.as_bytes()));
                }
                Ok(())
            }
        }
    }

    /// The rows so far; `None` if there are none.
    pub(crate) fn take(&mut self) -> Result<Option<RecordBatch>> {
        let rows = self.rows.len();
        if rows == 0 {
            return Ok(None);
        }
        let mut columns: Vec<ArrayRef> = self.rows.take_columns()?;
        if let Some((place, corrupt)) = &mut self.corrupt {
            columns.insert(*place, corrupt.take()?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?))
    }
}

impl BadRecord {
    /// The error of this record, whose line begins at byte `at` of the file.
    pub(crate) fn in_file(self, path: &Path, at: u64) -> ReadError {
        const SHOWN: usize = 200;
        let number = match line_number(path, at) {
            Ok(number) => number,
            Err(error) => return error.into(),
        };
        let shown: String = self.record.chars().take(SHOWN).collect();
        let more = if shown.len() < self.record.len() { "..." } else { "" };
        let error = Error::user(format!(
            "[FAILED_READ_FILE.NO_HINT] can't read line {number} of the file {}: [MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION] \
             malformed record {shown}{more}; the mode is FAILFAST: choose PERMISSIVE to read what does not fit as null",
            path.display()
        ));
        error.into()
    }
}
