//! The columns of JSON records, as Spark infers them from all of them.

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::Result;

use super::document::{Parsed, Parser, Syntax};
use super::schema::{Inferred, Nulls, Preferred};
use crate::types;

/// Looks at records and says what columns they have.
#[derive(Debug)]
pub struct JsonInference {
    common: Inferred,
    primitives_as_string: bool,
    preferred: Preferred,
    nulls: Nulls,
    any_broken: bool,
}

impl JsonInference {
    /// Nothing was seen yet. With `primitives_as_string` no value is a number or a boolean.
    pub fn new(primitives_as_string: bool) -> Self {
        let (preferred, nulls) = (Preferred::Doubles, Nulls::Text);
        JsonInference { common: Inferred::Nothing, primitives_as_string, preferred, nulls, any_broken: false }
    }

    /// Whether numbers with a point are decimals, if those can hold them (they are doubles): Spark's `prefersDecimal`.
    #[must_use]
    pub fn prefers_decimal(mut self, prefers: bool) -> Self {
        self.preferred = if prefers { Preferred::Decimals } else { Preferred::Doubles };
        self
    }

    /// Whether there is no column of what was only null, or an empty array (it is text): Spark's `dropFieldIfAllNull`.
    #[must_use]
    pub fn drop_field_if_all_null(mut self, drops: bool) -> Self {
        self.nulls = if drops { Nulls::Dropped } else { Nulls::Text };
        self
    }

    /// Looks at the text of a record, or of an array of records.
    pub fn add(&mut self, text: &str) {
        let seen = match Parser::new(Syntax::RECORD).parse(text) {
            Parsed::Value(value) => Inferred::with(value, self.preferred),
            Parsed::Empty => return,
            Parsed::Broken => Inferred::Text,
        };
        let record = match seen {
            Inferred::Array(element) => *element,
            other => other,
        };
        if !matches!(record, Inferred::Struct(_) | Inferred::Nothing) {
            self.any_broken = true;
            return;
        }
        let record = if self.primitives_as_string { record.with_primitives_as_text() } else { record };
        let common = std::mem::replace(&mut self.common, Inferred::Nothing);
        self.common = common.or(record);
    }

    /// The columns; one of this name for records that are broken, if some are.
    ///
    /// # Errors
    /// When a field has a name that no type can be written with.
    pub fn finish(self, corrupt: &str) -> Result<Fields> {
        // Without a record there is no column, and of other things than records none was kept.
        let inferred =
            if self.common == Inferred::Nothing { None } else { Some(types::parse(&self.common.sql_with(self.nulls))?) };
        let mut fields: Vec<Field> = match inferred {
            Some(DataType::Struct(fields)) => fields.iter().map(|field| Field::clone(field)).collect(),
            _ => Vec::new(),
        };
        if self.any_broken && fields.iter().all(|field| field.name() != corrupt) {
            fields.push(Field::new(corrupt, DataType::Utf8, true));
            fields.sort_by(|left, right| left.name().cmp(right.name()));
        }
        Ok(fields.into())
    }
}
