//! A case file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A name and its type.
pub(crate) type Column = (String, String);

#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) family: String,
    #[serde(default)]
    pub(crate) conf: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) sources: Vec<SourceSpec>,
    #[serde(default)]
    pub(crate) tables: Vec<TableSpec>,
    pub(crate) query: String,
    #[serde(default)]
    pub(crate) then: Vec<Operation>,
    pub(crate) output_mode: String,
    pub(crate) key_columns: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) ordered: bool,
    pub(crate) expect_schema: Option<Vec<Column>>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SourceSpec {
    pub(crate) name: String,
    pub(crate) schema: Vec<Column>,
    pub(crate) watermark: Option<WatermarkSpec>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct WatermarkSpec {
    pub(crate) column: String,
    pub(crate) delay: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TableSpec {
    pub(crate) name: String,
    pub(crate) schema: Vec<Column>,
    pub(crate) rows: Vec<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Operation {
    WithWatermark { column: String, delay: String },
    DropDuplicates { columns: Option<Vec<String>> },
    DropDuplicatesWithinWatermark { columns: Option<Vec<String>> },
    Sql { view: String, query: String },
}

#[derive(Debug, Deserialize)]
pub(crate) struct Step {
    pub(crate) feed: BTreeMap<String, Vec<Vec<Value>>>,
    pub(crate) query: Option<String>,
    pub(crate) expect: Option<Vec<Vec<Value>>>,
    pub(crate) expect_error: Option<ExpectedError>,
    pub(crate) expect_schema: Option<Vec<Column>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ExpectedError {
    pub(crate) stage: String,
    pub(crate) spark_error_class: Option<String>,
    pub(crate) message: String,
}
