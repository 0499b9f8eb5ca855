//! The columns of JSON records, as Spark infers them from all of them.

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::Result;

use super::document::{Parsed, Parser, Syntax};
use super::schema::{InferenceRules, Inferred};
use crate::types;

/// Looks at records and says what columns they have.
#[derive(Debug)]
pub struct JsonInference {
    common: Inferred,
    rules: InferenceRules,
    any_broken: bool,
}

impl JsonInference {
    /// Nothing was seen yet.
    pub fn new(rules: InferenceRules) -> Self {
        JsonInference { common: Inferred::Nothing, rules, any_broken: false }
    }

    /// Looks at the text of a record, or of an array of records.
    pub fn add(&mut self, text: &str) {
        let seen = match Parser::new(Syntax::RECORD).parse(text) {
            Parsed::Value(value) => Inferred::of(value, &self.rules),
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
        let record = if self.rules.primitives_as_string { record.with_primitives_as_text() } else { record };
        let common = std::mem::replace(&mut self.common, Inferred::Nothing);
        self.common = common.or(record);
    }

    /// The columns; one of this name for records that are broken, if some are and it is wanted.
    ///
    /// # Errors
    /// When a field has a name that no type can be written with.
    pub fn finish(self, corrupt: Option<&str>) -> Result<Fields> {
        let kept = if self.rules.drop_field_if_all_null { self.common.without_nulls() } else { Some(self.common) };
        // Without a record there is no column, and of other things than records none was kept.
        let inferred = kept.filter(|kept| *kept != Inferred::Nothing).map(|kept| types::parse(&kept.sql())).transpose()?;
        let mut fields: Vec<Field> = match inferred {
            Some(DataType::Struct(fields)) => fields.iter().map(|field| Field::clone(field)).collect(),
            _ => Vec::new(),
        };
        if let Some(corrupt) = corrupt
            && self.any_broken
            && fields.iter().all(|field| field.name() != corrupt)
        {
            fields.push(Field::new(corrupt, DataType::Utf8, true));
            fields.sort_by(|left, right| left.name().cmp(right.name()));
        }
        Ok(fields.into())
    }
}
