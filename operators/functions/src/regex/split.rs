//! `split`.

use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{ArrayRef, ListArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Utf8Type};
use datafusion::error::Result;
use memchr::{memchr_iter, memmem};

use super::matcher::{Pattern, Patterns};
use crate::function::{Call, Invocation, Resolved};
use crate::string::columns::{Sequence, int, ints, text, texts, to_offset};
use crate::types::{element, list};

pub(super) fn split(call: &Call<'_>) -> Result<Resolved> {
    let mut args = vec![text(call, 0)?, text(call, 1)?];
    if call.len() > 2 {
        args.push(int(call, 2)?);
    }
    let patterns = Patterns::prepare(call, 1, "split");
    let kernel = move |invocation: &Invocation<'_>| {
        let (values, column) = (texts(invocation, 0)?, texts(invocation, 1)?);
        let limits = (invocation.args.len() > 2).then(|| ints(invocation, 2)).transpose()?;
        let pattern_of = patterns.of(&column);
        let mut pieces = Pieces::new(invocation.rows);
        for row in 0..invocation.rows {
            let limit = limits.as_ref().map_or(Some(-1), |limits| limits.get(row));
            let (Some(value), Some(text), Some(limit)) = (values.get(row), column.get(row), limit) else {
                pieces.end_row(false)?;
                continue;
            };
            let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
            if text.is_empty() {
                characters(value, limit, &mut pieces)?;
            } else if let Some(pattern) = pattern_of(row)? {
                match pattern.literal() {
                    Some(literal) => by_literal(value, literal, limit, &mut pieces)?,
                    None => by_pattern(value, &pattern, limit, &mut pieces)?,
                }
            }
            pieces.end_row(true)?;
        }
        pieces.finish()
    };
    Ok(Resolved::new(args, list(DataType::Utf8), kernel).fallible())
}

/// The arrays of all rows: their pieces are written into one buffer.
struct Pieces {
    text: String,
    ends: Vec<i32>,
    rows: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Pieces {
    fn new(rows: usize) -> Self {
        Pieces { text: String::new(), ends: vec![0], rows: vec![0], nulls: NullBufferBuilder::new(rows) }
    }

    fn push(&mut self, piece: Option<&str>) -> Result<()> {
        self.text.push_str(piece.unwrap_or_default());
        self.ends.push(to_offset(self.text.len())?);
        Ok(())
    }

    fn end_row(&mut self, valid: bool) -> Result<()> {
        self.nulls.append(valid);
        self.rows.push(to_offset(self.ends.len() - 1)?);
        Ok(())
    }

    fn finish(mut self) -> Result<ArrayRef> {
        let offsets = |ends| OffsetBuffer::new(ScalarBuffer::from(ends));
        let pieces = StringArray::try_new(offsets(self.ends), Buffer::from_vec(self.text.into_bytes()), None)?;
        let rows = ListArray::try_new(element(DataType::Utf8), offsets(self.rows), Arc::new(pieces), self.nulls.finish())?;
        Ok(Arc::new(rows))
    }
}

/// One piece for each character, the last of `limit` for all the rest.
fn characters(value: &str, limit: usize, pieces: &mut Pieces) -> Result<()> {
    let mut rest = value;
    for _ in 1..limit {
        let end = Utf8Type::offset(rest, 1);
        if end == rest.len() {
            break;
        }
        pieces.push(rest.get(..end))?;
        rest = rest.get(end..).unwrap_or_default();
    }
    pieces.push(Some(rest))
}

fn by_literal(value: &str, literal: &str, limit: usize, pieces: &mut Pieces) -> Result<()> {
    let mut from = 0;
    let mut cut = |at: usize| {
        let piece = value.get(from..at);
        from = at + literal.len();
        pieces.push(piece)
    };
    match literal.as_bytes() {
        [single] => memchr_iter(*single, value.as_bytes()).take(limit - 1).try_for_each(&mut cut)?,
        several => memmem::find_iter(value.as_bytes(), several).take(limit - 1).try_for_each(&mut cut)?,
    }
    pieces.push(value.get(from..))
}

fn by_pattern(value: &str, pattern: &Pattern, limit: usize, pieces: &mut Pieces) -> Result<()> {
    let (mut from, mut count) = (0, 1);
    pattern.for_each(value, |(start, end)| {
        // An empty match at the start cuts nothing off.
        if count < limit && end > 0 {
            pieces.push(value.get(from..start))?;
            (from, count) = (end, count + 1);
        }
        Ok(())
    })?;
    pieces.push(value.get(from..))
}
