//! Groups of several columns of integers, or of types that are integers in disguise, and of structs of such: an event-time window
//! and an id, say. Each value is a word of 64 bits; a key is its words, one after the other, and one more that says which are null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use tidegate_runtime::{Error, Result};

use super::{GroupNumber, UNKNOWN, is_integer, recycle, to_integers, wrong_type};

/// More values than there are bits to say that one is null are not worth it anyway.
const MAX_VALUES: usize = 15;

/// The distinct keys of an epoch, numbered in the order in which they came.
#[derive(Debug)]
pub(crate) struct WordGroups {
    schema: Schema,
    /// The words of a key.
    width: usize,
    /// Half of a key's hash, and its group.
    table: HashTable<(u32, u32)>,
    /// The words of all groups.
    keys: Vec<u64>,
    /// The words of the batch at hand.
    batch: Vec<u64>,
}

/// Writes the values of one column after the other into the words of the rows.
struct Encoder<'a> {
    words: &'a mut [u64],
    width: usize,
    /// The word that the next column is written to, and its bit in the last word: a struct has a bit, but no word.
    next: usize,
    bit: u32,
}

/// Makes columns of words again, in the same order.
struct Decoder<'a> {
    words: &'a [u64],
    width: usize,
    next: usize,
    bit: u32,
}

/// How many words a column takes, and how many columns and structs there are in it; `None` if it is of another kind.
fn values(data_type: &DataType) -> Option<(usize, usize)> {
    match data_type {
        DataType::Struct(fields) => {
            let parts = fields.iter().map(|field| values(field.data_type())).collect::<Option<Vec<_>>>()?;
            Some(parts.into_iter().fold((0, 1), |sum, part| (sum.0 + part.0, sum.1 + part.1)))
        }
        other => is_integer(other).then_some((1, 1)),
    }
}

impl WordGroups {
    /// No groups yet; `None` if not all columns are of the kind.
    pub(crate) fn new(keys: &Schema) -> Option<Self> {
        let parts = keys.fields().iter().map(|field| values(field.data_type())).collect::<Option<Vec<_>>>()?;
        let (words, bits) = parts.into_iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        let fits = words > 0 && bits <= MAX_VALUES;
        fits.then(|| WordGroups {
            schema: keys.clone(),
            width: words + 1,
            table: HashTable::new(),
            keys: Vec::new(),
            batch: Vec::new(),
        })
    }

    /// How many groups there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len() / self.width
    }

    /// Adds the group of each row.
    pub(crate) fn assign<G: GroupNumber>(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<G>) -> Result<()> {
        self.encode(keys, rows)?;
        let WordGroups { table, keys, batch, width, .. } = self;
        let mut last: Option<(&[u64], u32)> = None;
        groups.extend(batch.chunks_exact(*width).map(|row| {
            // Rows of one window come one after the other.
            if let Some((key, group)) = last
                && key == row
            {
                return G::of(group);
            }
            let hash = hash(row);
            let is_key = |&(other, group): &(u32, u32)| other == hash as u32 && words(keys, *width, group) == row;
            let group = match table.entry(hash, is_key, |&(_, group)| self::hash(words(keys, *width, group))) {
                Entry::Occupied(entry) => entry.get().1,
                Entry::Vacant(entry) => {
                    let group = (keys.len() / *width) as u32;
                    entry.insert((hash as u32, group));
                    keys.extend_from_slice(row);
                    group
                }
            };
            last = Some((row, group));
            G::of(group)
        }));
        Ok(())
    }

    /// Adds the group of each row, or [`UNKNOWN`].
    pub(crate) fn find(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<usize>) -> Result<()> {
        self.encode(keys, rows)?;
        let WordGroups { table, keys, batch, width, .. } = self;
        groups.extend(batch.chunks_exact(*width).map(|row| {
            let hash = hash(row);
            let is_key = |&(other, group): &(u32, u32)| other == hash as u32 && words(keys, *width, group) == row;
            table.find(hash, is_key).map_or(UNKNOWN, |&(_, group)| group as usize)
        }));
        Ok(())
    }

    /// The key columns, one row for each group in order, and no groups any more.
    pub(crate) fn take(&mut self) -> Result<Vec<ArrayRef>> {
        recycle(&mut self.table);
        let words = std::mem::take(&mut self.keys);
        let mut decoder = Decoder { words: &words, width: self.width, next: 0, bit: 0 };
        self.schema.fields().iter().map(|field| decoder.column(field.data_type())).collect()
    }

    /// Writes the words of the batch at hand.
    fn encode(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        if keys.len() != self.schema.fields().len() || keys.iter().any(|key| key.len() != rows) {
            return Err(Error::Protocol("a batch without the key columns that its operator was made for".to_owned()));
        }
        self.batch.clear();
        self.batch.resize(rows * self.width, 0);
        let mut encoder = Encoder { words: &mut self.batch, width: self.width, next: 0, bit: 0 };
        keys.iter().zip(self.schema.fields()).try_for_each(|(key, field)| encoder.column(key, field.data_type(), None))
    }
}

impl Encoder<'_> {
    /// Writes a column; where a struct around it is null, so is its part, whatever lies there.
    fn column(&mut self, column: &ArrayRef, data_type: &DataType, around: Option<&NullBuffer>) -> Result<()> {
        let bit = 1 << self.bit;
        self.bit += 1;
        let nulls = NullBuffer::union(around, column.nulls()).filter(|nulls| nulls.null_count() > 0);
        if let Some(nulls) = &nulls {
            let marks = self.words.iter_mut().skip(self.width - 1).step_by(self.width);
            marks.zip(nulls).filter(|(_, valid)| !valid).for_each(|(mark, _)| *mark |= bit);
        }
        if let DataType::Struct(fields) = data_type {
            let parts = column.as_struct_opt().filter(|parts| parts.num_columns() == fields.len());
            let mut parts = parts.ok_or_else(|| wrong_type(column, data_type))?.columns().iter().zip(fields);
            return parts.try_for_each(|(part, field)| self.column(part, field.data_type(), nulls.as_ref()));
        }
        let integers = to_integers(column, data_type)?;
        let integers = integers.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong_type(column, data_type))?.values();
        let words = self.words.iter_mut().skip(self.next).step_by(self.width);
        match &nulls {
            None => words.zip(integers).for_each(|(word, value)| *word = *value as u64),
            Some(nulls) => {
                words.zip(integers).zip(nulls).for_each(|((word, value), valid)| *word = if valid { *value as u64 } else { 0 });
            }
        }
        self.next += 1;
        Ok(())
    }
}

impl Decoder<'_> {
    fn column(&mut self, data_type: &DataType) -> Result<ArrayRef> {
        let bit = 1 << self.bit;
        self.bit += 1;
        let marks = || self.words.iter().skip(self.width - 1).step_by(self.width);
        let nulls = marks().any(|mark| mark & bit != 0).then(|| marks().map(|mark| mark & bit == 0).collect::<NullBuffer>());
        if let DataType::Struct(fields) = data_type {
            let parts = fields.iter().map(|field| self.column(field.data_type())).collect::<Result<Vec<_>>>()?;
            return Ok(Arc::new(StructArray::try_new(fields.clone(), parts, nulls)?));
        }
        let integers: Vec<i64> = self.words.iter().skip(self.next).step_by(self.width).map(|word| *word as i64).collect();
        self.next += 1;
        let integers: ArrayRef = Arc::new(Int64Array::new(integers.into(), nulls));
        Ok(if *data_type == DataType::Int64 { integers } else { cast(&integers, data_type)? })
    }
}

#[inline]
fn words(keys: &[u64], width: usize, group: u32) -> &[u64] {
    &keys[group as usize * width..][..width]
}

/// A hash for this table only, so that it may be cheaper than the one that is pinned in checkpoints.
#[inline]
fn hash(words: &[u64]) -> u64 {
    let mut hash = 0x243f_6a88_85a3_08d3_u64;
    for word in words {
        let product = u128::from(hash ^ word) * 0x9e37_79b9_7f4a_7c15;
        hash = (product as u64) ^ ((product >> 64) as u64).rotate_left(29);
    }
    // The table looks at the upper bits too.
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, RecordBatch, TimestampMicrosecondArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Field, Fields, TimeUnit};
    use proptest::prelude::*;

    use super::super::RowGroups;
    use super::*;

    type Row = (Option<Option<i64>>, Option<i32>, Option<i64>);

    fn schema() -> Schema {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let window = Fields::from(vec![Field::new("start", time, true)]);
        Schema::new(vec![
            Field::new("window", DataType::Struct(window), true),
            Field::new("day", DataType::Date32, true),
            Field::new("id", DataType::Int64, true),
        ])
    }

    fn batch(rows: &[Row]) -> RecordBatch {
        let schema = schema();
        let starts = TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.0.unwrap_or(Some(7)))).with_timezone("UTC");
        let DataType::Struct(fields) = schema.field(0).data_type().clone() else { unreachable!("a struct") };
        let present = rows.iter().map(|row| row.0.is_some()).collect::<NullBuffer>();
        let window = StructArray::new(fields, vec![Arc::new(starts)], Some(present));
        let days = Date32Array::from_iter(rows.iter().map(|row| row.1));
        let ids = Int64Array::from_iter(rows.iter().map(|row| row.2));
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(window), Arc::new(days), Arc::new(ids)]).unwrap()
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let time = prop::option::of(prop::option::of(prop_oneof![-2i64..2, Just(i64::MIN), Just(i64::MAX)]));
        prop::collection::vec((time, prop::option::of(-1i32..2), prop::option::of(0i64..2)), 0..30)
    }

    proptest! {
        #[test]
        fn the_groups_are_those_of_row_bytes(batches in prop::collection::vec(rows(), 1..4)) {
            let (mut words, mut bytes) = (WordGroups::new(&schema()).unwrap(), RowGroups::new(&schema()).unwrap());
            let (mut given, mut expected): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
            for _ in 0..2 {
                for rows in &batches {
                    let batch = batch(rows);
                    given.clear();
                    expected.clear();
                    words.assign(batch.columns(), rows.len(), &mut given).unwrap();
                    bytes.assign(batch.columns(), rows.len(), &mut expected).unwrap();
                    prop_assert_eq!(&given, &expected);
                }
                let all = concat_batches(&Arc::new(schema()), &batches.iter().map(|rows| batch(rows)).collect::<Vec<_>>()).unwrap();
                let mut found = Vec::new();
                words.find(all.columns(), all.num_rows(), &mut found).unwrap();
                prop_assert!(found.iter().all(|group| *group < words.len()));
                prop_assert_eq!(words.take().unwrap(), bytes.take().unwrap());
                prop_assert_eq!(words.len(), 0);
            }
        }
    }

    #[test]
    fn what_is_no_integer_is_left_to_row_bytes() {
        let schema = |data_type| Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("v", data_type, true)]);
        assert!(WordGroups::new(&schema(DataType::Utf8)).is_none());
        assert!(WordGroups::new(&schema(DataType::Float64)).is_none());
        assert!(WordGroups::new(&schema(DataType::Struct(Fields::empty()))).is_some());
        assert!(WordGroups::new(&Schema::new(vec![Field::new("v", DataType::Struct(Fields::empty()), true)])).is_none());
    }
}
