//! Rows and schemas as text, drawn as Spark draws them.

use std::io::Write;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use tidegate_functions::types::{self, map_types};

use crate::error::{Error, Result};

/// Rows that are drawn as a table.
pub(crate) struct Table<'a> {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: &'a [RecordBatch],
    /// How many rows are shown.
    pub(crate) rows: usize,
    /// How many characters of a cell are shown.
    pub(crate) truncate: Option<usize>,
}

impl Table<'_> {
    /// The table, with each cell as `cell` gives it.
    pub(crate) fn draw(&self, cell: &dyn Fn(&ArrayRef, usize) -> String) -> String {
        let mut lines: Vec<Vec<String>> = vec![self.schema.fields().iter().map(|field| self.cut(field.name())).collect()];
        let mut total = 0;
        for batch in self.batches {
            for row in 0..batch.num_rows() {
                total += 1;
                if total <= self.rows {
                    lines.push(batch.columns().iter().map(|column| self.cut(&cell(column, row))).collect());
                }
            }
        }
        let mut text = self.drawn(&lines);
        if total > self.rows {
            let (rows, plural) = (self.rows, if self.rows == 1 { "row" } else { "rows" });
            text.push_str(&format!("only showing top {rows} {plural}\n"));
        }
        text
    }

    fn drawn(&self, lines: &[Vec<String>]) -> String {
        let columns = self.schema.fields().len();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let rule: String = format!("+{}+\n", widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("+"));
        let mut text = rule.clone();
        for (number, line) in lines.iter().enumerate() {
            let pad = |(value, width): (&String, &usize)| {
                let space = " ".repeat(width - value.chars().count());
                // Cut cells stand at the right, whole ones at the left, as in Spark.
                if self.truncate.is_some() { format!("{space}{value}") } else { format!("{value}{space}") }
            };
            text.push_str(&format!("|{}|\n", line.iter().zip(&widths).map(pad).collect::<Vec<_>>().join("|")));
            if number == 0 {
                text.push_str(&rule);
            }
        }
        text.push_str(&rule);
        text
    }

    fn cut(&self, value: &str) -> String {
        let value = value.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
        match self.truncate {
            Some(limit) if value.chars().count() > limit => match limit {
                0..4 => value.chars().take(limit).collect(),
                _ => value.chars().take(limit - 3).chain("...".chars()).collect(),
            },
            _ => value,
        }
    }
}

/// The schema as Spark's `printSchema` writes it.
pub(crate) fn schema_tree(schema: &SchemaRef) -> String {
    let mut text = "root\n".to_owned();
    schema.fields().iter().for_each(|field| write_field(&mut text, field, " "));
    text
}

fn write_field(text: &mut String, field: &Field, indent: &str) {
    let nullable = field.is_nullable();
    text.push_str(&format!("{indent}|-- {}: {} (nullable = {nullable})\n", field.name(), short(field.data_type())));
    write_inside(text, field.data_type(), &format!("{indent}|   "));
}

fn write_inside(text: &mut String, data_type: &DataType, indent: &str) {
    match data_type {
        DataType::Struct(fields) => fields.iter().for_each(|field| write_field(text, field, indent)),
        DataType::List(element) => {
            let contains_null = element.is_nullable();
            text.push_str(&format!("{indent}|-- element: {} (containsNull = {contains_null})\n", short(element.data_type())));
            write_inside(text, element.data_type(), &format!("{indent}|   "));
        }
        DataType::Map(_, _) => {
            let Some((key, value)) = map_types(data_type) else { return };
            text.push_str(&format!("{indent}|-- key: {}\n", short(key)));
            write_inside(text, key, &format!("{indent}|   "));
            text.push_str(&format!("{indent}|-- value: {} (valueContainsNull = true)\n", short(value)));
            write_inside(text, value, &format!("{indent}|   "));
        }
        _ => {}
    }
}

fn short(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(_) => "struct".to_owned(),
        DataType::List(_) => "array".to_owned(),
        DataType::Map(_, _) => "map".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "long".to_owned(),
        DataType::Int16 => "short".to_owned(),
        DataType::Int8 => "byte".to_owned(),
        other => types::name(other),
    }
}

/// Writes to the standard output, which the caller asked for by `show`, `print_schema` or `explain`.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::unsupported(format!("the standard output can't be written: {error}")))
}
