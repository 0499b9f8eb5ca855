//! A row for every element of a list.
//!
//! In the usual case the elements of a batch's lists lie one after the other, and are the output's columns as they are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, UInt32Array, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::physical_expr::PhysicalExpr;
use tidegate_runtime::{Error, Result, TARGET_BATCH_ROWS};

use super::steps::MAX_BATCH_ROWS;
use crate::expressions::{batch_of, evaluate};

/// Gives the rows of [`Step::Generate`](super::Step::Generate) to `sink`.
pub(super) fn generate(
    generator: &Arc<dyn PhysicalExpr>,
    outer: bool,
    keep: &[usize],
    schema: &SchemaRef,
    batch: &RecordBatch,
    sink: &mut dyn FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let lists = as_list(evaluate(generator, batch)?)?;
    let lists = lists.as_list::<i32>();
    let elements = lists.values().as_struct_opt().ok_or_else(|| not_structs(generator, lists.data_type()))?;
    let fields = fields_of(elements);
    let kept = keep.iter().map(|&column| Arc::clone(batch.column(column))).collect::<Vec<_>>();
    let source = match dense(lists.value_offsets(), lists.nulls(), outer) {
        true => Source::dense(lists.value_offsets(), !kept.is_empty()),
        false => Source::sparse(lists.value_offsets(), lists.nulls(), outer),
    };
    let piece = if source.rows <= MAX_BATCH_ROWS { MAX_BATCH_ROWS } else { TARGET_BATCH_ROWS };
    for start in (0..source.rows).step_by(piece) {
        let rows = piece.min(source.rows - start);
        let mut columns = Vec::with_capacity(kept.len() + fields.len());
        if !kept.is_empty() {
            let from = source.from.slice(start, rows);
            for column in &kept {
                columns.push(take(column, &from, None)?);
            }
        }
        for field in &fields {
            columns.push(match &source.elements {
                Elements::Range(first) => field.slice(first + start, rows),
                Elements::Taken(indices) => take(field, &indices.slice(start, rows), None)?,
            });
        }
        sink(batch_of("generate", schema, columns, rows)?)?;
    }
    Ok(())
}

/// Where the rows of the output come from.
struct Source {
    rows: usize,
    /// The input row of each; empty when no column of the input is kept.
    from: UInt32Array,
    elements: Elements,
}

/// The element of each row of the output.
enum Elements {
    /// One after the other, from this one.
    Range(usize),
    /// These; null where an outer row has none.
    Taken(UInt32Array),
}

impl Source {
    fn dense(offsets: &[i32], with_rows: bool) -> Self {
        let (first, last) = (first(offsets), offsets.last().map_or(0, |&last| last as usize));
        let mut from = Vec::with_capacity(if with_rows { last - first } else { 0 });
        if with_rows {
            for (row, ends) in (0_u32..).zip(offsets.windows(2)) {
                from.resize(ends[1] as usize - first, row);
            }
        }
        Source { rows: last - first, from: from.into(), elements: Elements::Range(first) }
    }

    fn sparse(offsets: &[i32], nulls: Option<&NullBuffer>, outer: bool) -> Self {
        let (mut from, mut elements) = (Vec::new(), Vec::new());
        for (row, ends) in offsets.windows(2).enumerate() {
            if ends[0] == ends[1] || nulls.is_some_and(|nulls| nulls.is_null(row)) {
                if outer {
                    from.push(row as u32);
                    elements.push(None);
                }
            } else {
                from.resize(from.len() + (ends[1] - ends[0]) as usize, row as u32);
                elements.extend((ends[0]..ends[1]).map(|element| Some(element as u32)));
            }
        }
        Source { rows: from.len(), from: from.into(), elements: Elements::Taken(elements.into()) }
    }
}

fn first(offsets: &[i32]) -> usize {
    offsets.first().map_or(0, |&first| first as usize)
}

/// Whether the output's rows are the lists' elements, all of them in their order.
fn dense(offsets: &[i32], nulls: Option<&NullBuffer>, outer: bool) -> bool {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    if outer {
        nulls.is_none() && offsets.windows(2).all(|ends| ends[0] < ends[1])
    } else {
        // A null may lie over elements.
        nulls.is_none_or(|nulls| offsets.windows(2).zip(nulls.iter()).all(|(ends, valid)| valid || ends[0] == ends[1]))
    }
}

/// The columns of the elements; a null element has nulls only.
fn fields_of(elements: &StructArray) -> Vec<ArrayRef> {
    let Some(nulls) = elements.nulls().filter(|nulls| nulls.null_count() > 0) else { return elements.columns().to_vec() };
    let masked = |column: &ArrayRef| {
        let nulls = NullBuffer::union(column.logical_nulls().as_ref(), Some(nulls));
        // A run-end or dictionary column has no nulls of its own to replace; neither is a type of SQL's.
        column.to_data().into_builder().nulls(nulls).build().map(make_array).unwrap_or_else(|_| Arc::clone(column))
    };
    elements.columns().iter().map(masked).collect()
}

/// Lists with 32-bit offsets.
fn as_list(column: ArrayRef) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::LargeList(field) | DataType::FixedSizeList(field, _) => cast(&column, &DataType::List(Arc::clone(field)))?,
        DataType::List(_) => column,
        other => return Err(Error::InvalidArgument(format!("a generator gave {other}, not a list"))),
    })
}

fn not_structs(generator: &Arc<dyn PhysicalExpr>, given: &DataType) -> Error {
    Error::InvalidArgument(format!("the generator {generator} gave {given}, not a list of structs"))
}
