//! From what was written to what is meant: names, types, casts, and Spark's rules for them.
//!
//! ```text
//! SQL text ─► sqlparser's tree ─┐
//!                               ├─► expr::Expr ─► resolve ─► a Relation: DataFusion's LogicalPlan, and its columns as the user sees them
//! DataFrame calls ──────────────┘
//! ```
//!
//! The plan that comes out is complete: every cast that Spark inserts is in it, every function is one of `tidegate_functions`, every
//! column has an identity of its own. So DataFusion's analyser has nothing left to do, and its optimiser and executors change no result.

mod aggregation;
mod earlier;
mod hidden;
mod joins;
mod lambda;
pub(crate) mod nodes;
mod query;
mod relation;
mod resolve;
mod select;
mod sessions;
mod sets;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
pub(crate) mod time;
mod windows;

use std::sync::Arc;

use dashmap::DashMap;
use datafusion::logical_expr::ScalarUDF;
use tidegate_functions::Settings;

pub(crate) use earlier::Earlier;
pub(crate) use hidden::hidden_columns;
pub(crate) use joins::{JoinKind, table_not_found};
pub(crate) use query::{cube, rollup, select_item};
pub(crate) use relation::{Attribute, EventTime, EventTimeKind, Relation, unique_id, visible_name};
pub(crate) use resolve::{FORMS, Typed};
pub(crate) use select::{Grouping, Select};
pub(crate) use sets::column_named;

use crate::error::Error;
use crate::expr::Position;

/// What names stand for.
pub(crate) trait Tables: Send + Sync {
    /// The table, view or stream of this name, if there is one.
    fn table(&self, name: &[String]) -> crate::error::Result<Option<Relation>>;
}

/// What a session gives the analyser.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) tables: Arc<dyn Tables>,
    /// The user's functions, by name in lower case.
    pub(crate) functions: Arc<DashMap<String, Arc<ScalarUDF>>>,
}

impl Context {
    fn user_function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.get(name).map(|udf| Arc::clone(udf.value()))
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Resolves one statement, or one call of a `DataFrame`.
pub(crate) struct Analyzer<'a> {
    pub(crate) context: &'a Context,
    /// The text, for the places of errors; empty if there is none.
    sql: &'a str,
    /// The common table expressions in scope, the innermost last.
    ctes: Vec<(String, Relation)>,
    /// The columns of the queries around a subquery, the innermost last.
    outer: Vec<Vec<Attribute>>,
}

impl<'a> Analyzer<'a> {
    pub(crate) fn new(context: &'a Context) -> Self {
        Analyzer { context, sql: "", ctes: Vec::new(), outer: Vec::new() }
    }

    pub(crate) fn of_text(context: &'a Context, sql: &'a str) -> Self {
        Analyzer { sql, ..Analyzer::new(context) }
    }

    /// The same scope around a query that has these columns outside.
    fn inside(&self, columns: &[Attribute]) -> Self {
        let outer = self.outer.iter().cloned().chain([columns.to_vec()]).collect();
        Analyzer { context: self.context, sql: self.sql, ctes: self.ctes.clone(), outer }
    }

    pub(crate) fn locate(&self, error: Error, at: Position) -> Error {
        error.located(self.sql, at)
    }
}
