//! What a state table holds.

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use std::sync::Arc;

use crate::error::{Error, Result};

/// The name and columns of a state table: key columns that identify a row, and value columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    name: String,
    keys: SchemaRef,
    values: SchemaRef,
    group_columns: usize,
}

impl TableSpec {
    /// A table whose rows belong to the key group of their whole key.
    ///
    /// All columns are taken as nullable: a null is a key like any other.
    ///
    /// # Errors
    /// When two columns have the same name, or one begins with two underscores (these are the runtime's own).
    pub fn new(
        name: impl Into<String>,
        keys: impl IntoIterator<Item = (impl Into<String>, DataType)>,
        values: impl IntoIterator<Item = (impl Into<String>, DataType)>,
    ) -> Result<Self> {
        let name = name.into();
        let keys: Fields = keys.into_iter().map(|(n, t)| Field::new(n, t, true)).collect();
        let values: Fields = values.into_iter().map(|(n, t)| Field::new(n, t, true)).collect();
        let mut names: Vec<&str> = keys.iter().chain(values.iter()).map(|f| f.name().as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::InvalidArgument(format!("state table {name} has two columns {}", pair[0])));
        }
        if let Some(reserved) = names.iter().find(|n| n.starts_with("__")) {
            return Err(Error::InvalidArgument(format!("state table {name}: the column name {reserved} is reserved")));
        }
        let group_columns = keys.len();
        Ok(TableSpec { name, keys: Arc::new(Schema::new(keys)), values: Arc::new(Schema::new(values)), group_columns })
    }

    /// The same table, with rows that belong to the key group of their first `columns` key columns only: the columns that the
    /// operator's input is exchanged by. The others tell rows of one such key apart (a session's start, a row's number).
    #[must_use]
    pub fn grouped_by_first(mut self, columns: usize) -> Self {
        self.group_columns = columns.min(self.keys.fields().len());
        self
    }

    /// The table's name, unique in its operator.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key columns.
    pub fn keys(&self) -> &SchemaRef {
        &self.keys
    }

    /// The value columns.
    pub fn values(&self) -> &SchemaRef {
        &self.values
    }

    /// How many of the key columns decide the key group.
    pub fn group_columns(&self) -> usize {
        self.group_columns
    }
}
