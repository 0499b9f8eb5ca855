//! The rows that are all there, by key.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use arrow_row::{RowConverter, Rows, SortField};
use tidegate_runtime::Result;
use tidegate_runtime::state::canonical_keys;

use super::StaticJoin;
use crate::expressions::evaluate_all;
use crate::groups::{Groups, UNKNOWN};

/// The build side of a join.
pub(super) struct BuildSide {
    /// All its rows.
    pub(super) rows: Arc<RecordBatch>,
    /// Whether a row has a null among its keys.
    pub(super) has_null_key: bool,
    /// Its distinct keys.
    groups: Groups,
    /// Which of `by_group` have the key of each group.
    starts: Vec<u32>,
    /// The rows, key by key.
    by_group: Vec<u32>,
    /// The keys one by one, for `NOT IN`.
    pub(super) keys: Vec<KeyColumn>,
}

/// A key column as row bytes.
pub(super) struct KeyColumn {
    converter: RowConverter,
    rows: Rows,
    nulls: Option<NullBuffer>,
}

impl KeyColumn {
    fn new(column: &ArrayRef) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
        let rows = converter.convert_columns(&canonical_keys(std::slice::from_ref(column))?)?;
        Ok(KeyColumn { converter, rows, nulls: column.logical_nulls() })
    }

    /// A column of the stream, to be compared with this one.
    pub(super) fn of_stream(&self, column: &ArrayRef) -> Result<(Rows, Option<NullBuffer>)> {
        let rows = self.converter.convert_columns(&canonical_keys(std::slice::from_ref(column))?)?;
        Ok((rows, column.logical_nulls()))
    }

    /// Whether two values differ for certain, which a null never does.
    pub(super) fn differs(&self, row: usize, (stream, nulls): &(Rows, Option<NullBuffer>), stream_row: usize) -> bool {
        let is_null = |nulls: &Option<NullBuffer>, row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        !is_null(&self.nulls, row) && !is_null(nulls, stream_row) && self.rows.row(row) != stream.row(stream_row)
    }
}

impl BuildSide {
    /// The build side of a join with these rows.
    pub(super) fn new(join: &StaticJoin, rows: Arc<RecordBatch>) -> Result<Self> {
        let keys = evaluate_all(&join.build_keys, &rows)?;
        let fields: Vec<Field> = keys.iter().map(|key| Field::new("key", key.data_type().clone(), true)).collect();
        let (mut groups, mut of_row) = (Groups::new(&Schema::new(fields))?, Vec::new());
        if rows.num_rows() > 0 {
            groups.assign(&keys, rows.num_rows(), &mut of_row)?;
        }
        let unmatched = unmatched(&keys, &join.null_equal);
        let matched = |row: usize| unmatched.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let has_null_key = keys.iter().any(|key| key.logical_null_count() > 0);
        let (starts, by_group) = by_group(groups.len(), &of_row, matched);
        let keys = keys.iter().map(KeyColumn::new).collect::<Result<_>>()?;
        Ok(BuildSide { rows, has_null_key, groups, starts, by_group, keys })
    }

    /// The rows that have the keys of each row of the stream: from where to where they are in [`by_group`](Self::by_group).
    pub(super) fn find(&mut self, keys: &[ArrayRef], null_equal: &[bool], rows: usize) -> Result<Vec<(u32, u32)>> {
        let mut groups = Vec::new();
        self.groups.find(keys, rows, &mut groups)?;
        let unmatched = unmatched(keys, null_equal);
        let span = |(row, group): (usize, usize)| {
            if group == UNKNOWN || unmatched.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                return (0, 0);
            }
            (self.starts[group], self.starts[group + 1])
        };
        Ok(groups.into_iter().enumerate().map(span).collect())
    }

    /// The rows, key by key.
    pub(super) fn by_group(&self) -> &[u32] {
        &self.by_group
    }
}

/// The rows that have a null in a key that null is not equal in: those are null here.
fn unmatched(keys: &[ArrayRef], null_equal: &[bool]) -> Option<NullBuffer> {
    let nulls = keys.iter().zip(null_equal).filter(|(_, null_equal)| !**null_equal).map(|(key, _)| key.logical_nulls());
    nulls.fold(None, |all, own| NullBuffer::union(all.as_ref(), own.as_ref()))
}

/// The rows by their group, in their order, without those that are not `matched`.
fn by_group(groups: usize, of_row: &[usize], matched: impl Fn(usize) -> bool) -> (Vec<u32>, Vec<u32>) {
    let rows = || of_row.iter().enumerate().filter(|(row, _)| matched(*row));
    let mut starts = vec![0_u32; groups + 1];
    rows().for_each(|(_, &group)| starts[group + 1] += 1);
    (0..groups).for_each(|group| starts[group + 1] += starts[group]);
    let mut next = starts.clone();
    let mut by_group = vec![0; starts[groups] as usize];
    for (row, &group) in rows() {
        by_group[next[group] as usize] = row as u32;
        next[group] += 1;
    }
    (starts, by_group)
}
