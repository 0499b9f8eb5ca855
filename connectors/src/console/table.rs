//! The layout of Spark's tables.

use std::fmt;

use super::Layout;

/// No column is narrower.
const MIN_WIDTH: usize = 3;

/// Rows as a table. Displays as Spark shows a table, with a newline at its end.
pub(crate) struct Table<'a> {
    pub(crate) columns: &'a [String],
    pub(crate) rows: Vec<Vec<String>>,
    /// How many rows there are, also those that are not shown.
    pub(crate) total: u64,
    pub(crate) layout: Layout,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let rule: String = widths.iter().map(|width| format!("+{}", "-".repeat(*width))).collect();
        writeln!(f, "{rule}+")?;
        self.line(f, self.columns, &widths)?;
        writeln!(f, "{rule}+")?;
        self.rows.iter().try_for_each(|row| self.line(f, row, &widths))?;
        writeln!(f, "{rule}+")?;
        match (self.total > self.rows.len() as u64, self.layout.rows) {
            (false, _) => Ok(()),
            (true, 1) => writeln!(f, "only showing top 1 row"),
            (true, shown) => writeln!(f, "only showing top {shown} rows"),
        }
    }
}

impl Table<'_> {
    fn widths(&self) -> Vec<usize> {
        let widest = |n: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(n)).chain(self.columns.get(n));
            cells.map(|cell| display_width(cell)).fold(MIN_WIDTH, usize::max)
        };
        (0..self.columns.len()).map(widest).collect()
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, cells: &[String], widths: &[usize]) -> fmt::Result {
        for (cell, width) in cells.iter().zip(widths) {
            let padding = " ".repeat(width - display_width(cell));
            match self.layout.width {
                Some(_) => write!(f, "|{padding}{cell}")?,
                None => write!(f, "|{cell}{padding}")?,
            }
        }
        writeln!(f, "|")
    }
}

/// How many columns of a terminal the text takes; East Asian wide characters take two.
fn display_width(text: &str) -> usize {
    text.chars().map(|character| if is_wide(character) { 2 } else { 1 }).sum()
}

/// The ranges that Spark counts as wide.
fn is_wide(character: char) -> bool {
    matches!(character,
        '\u{1100}'..='\u{115F}' | '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7A3}' | '\u{F900}'..='\u{FAFF}'
        | '\u{FE30}'..='\u{FE6F}' | '\u{FF00}'..='\u{FF60}' | '\u{FFE0}'..='\u{FFE6}')
}
