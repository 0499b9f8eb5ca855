//! A table for each epoch, as a sink.
//!
//! ```text
//! writer: first rows of the epoch ─► cells (text) ─► staged ─► sink, at commit: table ─► output
//! ```
//!
//! A task stages only the rows that can be shown, so an epoch of any size costs little.

mod cells;
mod table;

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use tidegate_runtime::{Epoch, EpochInfo, Error, LastCommitted, Result, Sink, SinkContext, SinkSupplier, SinkWriter, Staged};

use cells::{cells, escape, formatted_cells};
use table::Table;

const RULE: &str = "-------------------------------------------";

/// Where a console sink prints.
type Target = Arc<Mutex<dyn Write + Send>>;

/// How a value is shown.
type CellFormatter = Arc<dyn Fn(&ArrayRef, usize) -> String + Send + Sync>;

/// Prints each epoch as a table on the standard output, in the order of epochs: Spark's `console` sink.
///
/// An epoch is printed when it commits, so none is printed that fails. No record is kept: an epoch may be printed again
/// after a crash between its commit and the checkpoint's.
///
/// ```
/// use tidegate_connectors::ConsoleSink;
/// use tidegate_runtime::SinkSupplier;
///
/// let sink = ConsoleSink::new().num_rows(50).truncate(false);
/// assert_eq!(sink.describe(), "console");
/// ```
#[derive(Clone)]
pub struct ConsoleSink {
    layout: Layout,
    skip_empty: bool,
    /// The standard output, if it is not set.
    target: Option<Target>,
    /// Spark's form as far as it is known here, if it is not set.
    formatter: Option<CellFormatter>,
}

/// How much of an epoch is shown.
#[derive(Debug, Clone, Copy)]
struct Layout {
    rows: usize,
    /// The most characters in a cell; `None` for whole values, aligned to the left.
    width: Option<usize>,
}

impl ConsoleSink {
    /// Shows 20 rows of each epoch, and 20 characters of each value.
    pub fn new() -> Self {
        ConsoleSink { layout: Layout { rows: 20, width: Some(20) }, skip_empty: false, target: None, formatter: None }
    }

    /// How many rows are shown of an epoch.
    #[must_use]
    pub fn num_rows(mut self, rows: usize) -> Self {
        self.layout.rows = rows;
        self
    }

    /// Whether values are cut to 20 characters and aligned to the right (they are), or shown whole and aligned to the left.
    #[must_use]
    pub fn truncate(mut self, truncate: bool) -> Self {
        self.layout.width = truncate.then_some(20);
        self
    }

    /// Cuts values to so many characters.
    #[must_use]
    pub fn truncate_to(mut self, characters: usize) -> Self {
        self.layout.width = Some(characters).filter(|characters| *characters > 0);
        self
    }

    /// Whether epochs without rows are left out; Spark shows them as empty tables, and so does this sink if it is not set.
    #[must_use]
    pub fn skip_empty(mut self, skip: bool) -> Self {
        self.skip_empty = skip;
        self
    }

    /// Prints to `target` in place of the standard output.
    #[must_use]
    pub fn target(mut self, target: Arc<Mutex<dyn Write + Send>>) -> Self {
        self.target = Some(target);
        self
    }

    /// Shows values, nulls included, as `format` gives them for a column and the number of a row. They are still cut, and characters
    /// that would break the table escaped.
    ///
    /// ```
    /// use arrow::util::display::array_value_to_string;
    /// use tidegate_connectors::ConsoleSink;
    ///
    /// let sink = ConsoleSink::new().cell_formatter(|column, row| array_value_to_string(column, row).unwrap_or_default());
    /// ```
    #[must_use]
    pub fn cell_formatter(mut self, format: impl Fn(&ArrayRef, usize) -> String + Send + Sync + 'static) -> Self {
        self.formatter = Some(Arc::new(format));
        self
    }

    fn print(&self, text: &str) -> std::io::Result<()> {
        let write = |out: &mut dyn Write| out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match &self.target {
            Some(target) => write(&mut *target.lock().unwrap_or_else(PoisonError::into_inner)),
            None => write(&mut std::io::stdout().lock()),
        }
    }
}

impl Default for ConsoleSink {
    fn default() -> Self {
        ConsoleSink::new()
    }
}

impl fmt::Debug for ConsoleSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleSink").field("layout", &self.layout).field("skip_empty", &self.skip_empty).finish_non_exhaustive()
    }
}

impl SinkSupplier for ConsoleSink {
    fn supply(&self) -> Result<Box<dyn Sink>> {
        Ok(Box::new(ConsolePrinter { config: self.clone(), columns: Vec::new() }))
    }

    fn describe(&self) -> String {
        "console".to_owned()
    }
}

struct ConsolePrinter {
    config: ConsoleSink,
    columns: Vec<String>,
}

impl Sink for ConsolePrinter {
    fn open(&mut self, context: SinkContext) -> Result<()> {
        self.columns = context.schema.fields().iter().map(|field| escape(field.name())).collect();
        Ok(())
    }

    fn last_committed(&mut self) -> Result<LastCommitted> {
        Ok(LastCommitted::Untracked)
    }

    fn writer(&mut self, _subtask: usize) -> Result<Box<dyn SinkWriter>> {
        let formatter = self.config.formatter.clone();
        Ok(Box::new(ConsoleWriter { layout: self.config.layout, formatter, total: 0, shown: Vec::new() }))
    }

    fn commit(&mut self, epoch: Epoch, staged: Vec<Staged>) -> Result<()> {
        let total: u64 = staged.iter().map(|staged| staged.rows).sum();
        if total == 0 && self.config.skip_empty {
            return Ok(());
        }
        let rows = staged.iter().map(Staged::decode::<Vec<Vec<String>>>).collect::<Result<Vec<_>>>()?;
        let layout = self.config.layout;
        let rows = rows.into_iter().flatten().take(layout.rows).collect();
        let table = Table { columns: &self.columns, rows, total, layout };
        let text = format!("{RULE}\nBatch: {epoch}\n{RULE}\n{table}\n");
        self.config.print(&text).map_err(Error::io("print an epoch to", "the console"))
    }
}

struct ConsoleWriter {
    layout: Layout,
    formatter: Option<CellFormatter>,
    /// How many rows the open epoch has.
    total: u64,
    /// The first of them.
    shown: Vec<Vec<String>>,
}

impl SinkWriter for ConsoleWriter {
    fn write(&mut self, _epoch: EpochInfo, batch: RecordBatch) -> Result<()> {
        self.total += batch.num_rows() as u64;
        let wanted = self.layout.rows.saturating_sub(self.shown.len()).min(batch.num_rows());
        let (batch, width) = (batch.slice(0, wanted), self.layout.width);
        self.shown.extend(match &self.formatter {
            Some(format) => formatted_cells(&batch, width, format.as_ref()),
            None => cells(&batch, width)?,
        });
        Ok(())
    }

    fn stage(&mut self, _epoch: EpochInfo) -> Result<Staged> {
        Staged::encode(std::mem::take(&mut self.total), &std::mem::take(&mut self.shown))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
