//! `DISTINCT`: any aggregate over each different row of arguments once.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, ListArray, StructArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;

use super::groups::{Aggregate, column};
use super::values::{Codec, list_type, normalised, ranges};
use crate::types::structure;

/// An aggregate over distinct rows. A cell keeps them, in the order in which they came.
pub(super) struct Distinct<A> {
    inner: Arc<A>,
    codec: Codec,
    row_type: DataType,
}

fn row_type(args: &[DataType]) -> DataType {
    structure(args.iter().enumerate().map(|(index, data_type)| (format!("arg{index}"), data_type.clone())))
}

/// The type of the state of a distinct aggregate over such arguments.
pub(super) fn state_type(args: &[DataType]) -> DataType {
    list_type(&row_type(args))
}

impl<A> Distinct<A> {
    pub(super) fn new(inner: Arc<A>, args: &[DataType]) -> Result<Self> {
        let row_type = row_type(args);
        Ok(Distinct { inner, codec: Codec::new(&row_type)?, row_type })
    }
}

/// Different values in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(super) struct OrderedSet {
    known: HashSet<Arc<[u8]>>,
    order: Vec<Arc<[u8]>>,
}

impl OrderedSet {
    pub(super) fn insert(&mut self, value: &[u8]) {
        if !self.known.contains(value) {
            let value: Arc<[u8]> = value.into();
            self.order.push(Arc::clone(&value));
            self.known.insert(value);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.order.iter().map(AsRef::as_ref)
    }
}

impl<A: Aggregate> Aggregate for Distinct<A> {
    type Cell = OrderedSet;
    const GROWS: bool = true;

    fn update(&self, cells: &mut [OrderedSet], args: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let DataType::Struct(fields) = &self.row_type else { return Ok(()) };
        let rows: ArrayRef = Arc::new(StructArray::try_new_with_length(fields.clone(), args.to_vec(), None, groups.len())?);
        let rows = self.codec.encode(&normalised(&rows)?)?;
        for (row, group) in rows.iter().zip(groups) {
            cells[*group].insert(row.data());
        }
        Ok(())
    }

    fn merge(&self, cells: &mut [OrderedSet], states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let lists: &ListArray = column(states, 0)?;
        let rows = self.codec.encode(lists.values())?;
        for (range, group) in ranges(lists).zip(groups) {
            range.for_each(|row| cells[*group].insert(rows.row(row).data()));
        }
        Ok(())
    }

    fn state(&self, cells: &[OrderedSet]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.codec.lists(cells.iter().map(OrderedSet::iter))?])
    }

    fn evaluate(&self, cells: &[OrderedSet]) -> Result<ArrayRef> {
        let rows = self.codec.decode(cells.iter().flat_map(OrderedSet::iter).map(Some))?;
        let groups: Vec<usize> =
            cells.iter().enumerate().flat_map(|(group, cell)| std::iter::repeat_n(group, cell.order.len())).collect();
        let mut inner = vec![A::Cell::default(); cells.len()];
        self.inner.update(&mut inner, rows.as_struct().columns(), &groups)?;
        self.inner.evaluate(&inner)
    }
}
