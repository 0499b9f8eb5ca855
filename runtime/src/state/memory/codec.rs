//! Columns to row bytes and back.

use std::fmt;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_row::{RowConverter, Rows, SortField};

use crate::error::{Error, Result};
use crate::state::canonical::{children, fold_floats, has_floats, relabel, same_values};

/// A row's bytes may not be longer: their length is kept in 32 bits.
const MAX_ROW_BYTES: usize = 1 << 30;

/// What a codec's columns are to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Equal values must have equal bytes.
    Key,
    /// Kept bit by bit.
    Value,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Key => "key",
            Part::Value => "value",
        })
    }
}

/// Encodes the rows of some columns as bytes, which are equal where the rows are.
#[derive(Debug)]
pub(super) struct Codec {
    /// The table's name, for messages.
    table: String,
    part: Part,
    schema: SchemaRef,
    /// `None` without columns: `arrow-row` can't count the rows of no columns.
    converter: Option<RowConverter>,
    /// Which columns need their floats folded before they are compared.
    folds: Vec<bool>,
    /// A row of nulls: what a look-up gives for a key that is not there.
    null: Vec<u8>,
}

/// Rows as bytes.
#[derive(Debug)]
pub(super) struct Encoded(Option<Rows>);

impl Encoded {
    /// The bytes of one row.
    #[inline]
    pub(super) fn row(&self, row: usize) -> &[u8] {
        self.0.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

impl Codec {
    /// A codec for the columns of one part of a table.
    ///
    /// # Errors
    /// When a column's type can't be kept.
    pub(super) fn new(table: &str, part: Part, schema: &SchemaRef) -> Result<Self> {
        for field in schema.fields() {
            check_supported(table, field)?;
        }
        let sort_fields: Vec<_> = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = if sort_fields.is_empty() { None } else { Some(RowConverter::new(sort_fields)?) };
        let folds = schema.fields().iter().map(|field| part == Part::Key && has_floats(field.data_type())).collect();
        let mut codec =
            Codec { table: table.to_owned(), part, schema: SchemaRef::clone(schema), converter, folds, null: Vec::new() };
        let nulls: Vec<_> = schema.fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        codec.null = codec.encode(&nulls)?.row(0).to_vec();
        Ok(codec)
    }

    /// The columns' names and types.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The bytes of a row of nulls.
    pub(super) fn null(&self) -> &[u8] {
        &self.null
    }

    /// The rows of these columns as bytes. Only the columns' types matter, not their names.
    ///
    /// # Errors
    /// When the columns are not the table's, or a row is too long.
    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Encoded> {
        let columns = self.fit(columns)?;
        let Some(converter) = &self.converter else { return Ok(Encoded(None)) };
        let rows = converter.convert_columns(&columns)?;
        if rows.size() > MAX_ROW_BYTES && rows.lengths().any(|length| length > MAX_ROW_BYTES) {
            return Err(Error::InvalidArgument(format!(
                "state table {}: a row's {} is longer than 1 GiB",
                self.table, self.part
            )));
        }
        Ok(Encoded(Some(rows)))
    }

    /// The columns of rows that [`encode`](Codec::encode) gave the bytes of.
    ///
    /// # Errors
    /// When the bytes are not such.
    pub(super) fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let parser = converter.parser();
        // The parser only pairs bytes with the converter's types, but it must outlive the rows.
        let bytes: Vec<&[u8]> = rows.collect();
        Ok(converter.convert_rows(bytes.into_iter().map(|bytes| parser.parse(bytes)))?)
    }

    /// Checks the columns against the table's and gives them the table's exact types.
    fn fit(&self, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let Codec { table, part, schema, folds, .. } = self;
        if columns.len() != schema.fields().len() {
            let (given, own) = (columns.len(), schema.fields().len());
            return Err(Error::InvalidArgument(format!("state table {table} has {own} {part} columns, it was given {given}")));
        }
        let columns = columns.iter().zip(schema.fields()).zip(folds);
        columns.map(|((column, field), &fold)| self.fit_column(column, field, fold)).collect()
    }

    fn fit_column(&self, column: &ArrayRef, field: &Field, fold: bool) -> Result<ArrayRef> {
        if !same_values(column.data_type(), field.data_type()) {
            return Err(Error::InvalidArgument(format!(
                "state table {}: {} column {} is {}, it was given {}",
                self.table,
                self.part,
                field.name(),
                field.data_type(),
                column.data_type()
            )));
        }
        let column = relabel(column, field.data_type())?;
        if fold { fold_floats(&column) } else { Ok(column) }
    }
}

/// The columns of a batch, checked to be as many rows as `rows`.
pub(super) fn check_rows(table: &str, batch: &RecordBatch, rows: usize) -> Result<()> {
    if batch.num_rows() == rows {
        return Ok(());
    }
    let given = batch.num_rows();
    Err(Error::InvalidArgument(format!("state table {table} was given {rows} keys with {given} rows of values")))
}

fn check_supported(table: &str, field: &Field) -> Result<()> {
    if is_supported(field.data_type()) {
        return Ok(());
    }
    let (column, data_type) = (field.name(), field.data_type());
    Err(Error::InvalidArgument(format!("state table {table}: column {column} is {data_type}, which state can't hold")))
}

/// Encodings of other types (dictionaries, run ends, list views) do not come back from row bytes as they went in.
fn is_supported(data_type: &DataType) -> bool {
    let encoding = matches!(
        data_type,
        DataType::Dictionary(_, _)
            | DataType::RunEndEncoded(_, _)
            | DataType::Union(_, _)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
    );
    !encoding && children(data_type).iter().all(|field| is_supported(field.data_type()))
}
