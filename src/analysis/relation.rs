//! A resolved relation: a logical plan, and its columns as the user sees them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlan, Projection};

use crate::error::Result;
use crate::expr::Expr;

/// What a column has to do with event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EventTime {
    pub(crate) kind: EventTimeKind,
    /// How long the watermark stays behind, in microseconds.
    pub(crate) delay: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum EventTimeKind {
    /// A timestamp.
    Instant,
    /// A struct of `start` and `end`.
    Window,
}

/// A column of a relation.
#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    /// Its name as the user sees it.
    pub(crate) name: String,
    /// The table or alias that it can be qualified with; empty if there is none.
    pub(crate) qualifier: Vec<String>,
    /// Its name in the logical plan, unique over all plans: joins of a relation with itself and columns of the same name are no
    /// special case.
    pub(crate) id: String,
    pub(crate) data_type: DataType,
    pub(crate) event_time: Option<EventTime>,
}

impl Attribute {
    /// A new column with an identity of its own.
    pub(crate) fn new(name: impl Into<String>, data_type: DataType) -> Self {
        let name = name.into();
        let id = unique_id(&name);
        Attribute { name, qualifier: Vec::new(), id, data_type, event_time: None }
    }

    /// The same column, of which the user sees another name.
    pub(crate) fn renamed(&self, name: impl Into<String>) -> Self {
        Attribute { name: name.into(), qualifier: Vec::new(), ..self.clone() }
    }

    /// The column in the logical plan.
    pub(crate) fn column(&self) -> Column {
        Column::new_unqualified(self.id.clone())
    }

    pub(crate) fn expr(&self) -> DfExpr {
        DfExpr::Column(self.column())
    }

    /// The column as it would be written if identities could be.
    pub(crate) fn exact(&self) -> Expr {
        Expr::Exact { id: self.id.clone(), name: self.name.clone() }
    }

    /// Its name in messages: `` `t`.`a` ``.
    pub(crate) fn quoted(&self) -> String {
        quoted(self.qualifier.iter().chain([&self.name]))
    }
}

/// A name's parts in back-quotes, joined by dots.
pub(crate) fn quoted(parts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    parts.into_iter().map(|part| format!("`{}`", part.as_ref())).collect::<Vec<_>>().join(".")
}

/// A name that no other plan has.
pub(crate) fn unique_id(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{name}#{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The visible part of a unique name.
pub(crate) fn visible_name(id: &str) -> &str {
    id.rsplit_once('#').map_or(id, |(name, _)| name)
}

/// A logical plan and its columns.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) plan: LogicalPlan,
    pub(crate) columns: Vec<Attribute>,
}

impl Relation {
    /// A projection of `input` to these expressions, each under its attribute's identity.
    pub(crate) fn project(input: LogicalPlan, columns: Vec<(DfExpr, Attribute)>) -> Result<Self> {
        let (exprs, attributes): (Vec<_>, Vec<_>) = columns
            .into_iter()
            .map(|(expr, attribute)| (if expr == attribute.expr() { expr } else { expr.alias(attribute.id.clone()) }, attribute))
            .unzip();
        let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?);
        Ok(Relation { plan, columns: attributes })
    }

    /// The same rows with these columns only.
    pub(crate) fn keep(self, columns: Vec<Attribute>) -> Result<Self> {
        let exprs = columns.into_iter().map(|attribute| (attribute.expr(), attribute)).collect();
        Relation::project(self.plan, exprs)
    }

    /// The same rows without the columns of these identities.
    pub(crate) fn without(self, hidden: &[String]) -> Result<Self> {
        if hidden.is_empty() {
            return Ok(self);
        }
        let shown = self.columns.iter().filter(|column| !hidden.contains(&column.id)).cloned().collect();
        self.keep(shown)
    }

    /// The same rows, whose columns have new identities: for a relation that occurs twice in a plan.
    pub(crate) fn fresh(self) -> Result<Self> {
        let renew = |attribute: Attribute| {
            let id = unique_id(&attribute.name);
            (attribute.expr(), Attribute { id, ..attribute })
        };
        let columns = self.columns.into_iter().map(renew).collect();
        Relation::project(self.plan, columns)
    }

    /// The same relation under a name that qualifies its columns.
    pub(crate) fn aliased(mut self, alias: &str) -> Self {
        for column in &mut self.columns {
            column.qualifier = vec![alias.to_owned()];
        }
        self
    }

    /// Whether some of its rows come from a stream.
    pub(crate) fn is_streaming(&self) -> bool {
        super::stream::is_streaming(&self.plan)
    }
}
