//! Names: the columns and fields that they stand for, and what is said of one that stands for none.

use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::Expr as DfExpr;

use super::{Resolver, Typed};
use crate::analysis::relation::{Attribute, quoted};
use crate::analysis::select::missing_group_by;
use crate::error::{Error, Result};
use crate::expr::{Expr, Position};

/// Functions that are called without parentheses too, where no column has their name.
const BARE_FUNCTIONS: [&str; 6] = ["current_date", "current_timestamp", "current_user", "localtimestamp", "session_user", "user"];

impl<'a> Resolver<'a> {
    pub(super) fn column(&self, parts: &[String], at: Position) -> Result<Typed> {
        if let Some(found) = self.lookup(parts, self.columns)? {
            return match self.aggregation {
                None => Ok(found),
                // The parameter of a lambda is no column of the input.
                Some(_) if self.is_parameter(&found.expr) => Ok(found),
                Some(aggregation) => {
                    let above = aggregation.borrow().above(&found.expr);
                    above.map(|expr| Typed { expr, ..found }).ok_or_else(|| self.missing_aggregation(parts, at))
                }
            };
        }
        if let [name] = parts
            && let Some((_, expr)) = self.lateral.iter().rev().find(|(own, _)| own.eq_ignore_ascii_case(name))
        {
            let before = Resolver { lateral: Vec::new(), ..self.clone() };
            return Resolver {
                lateral: self.lateral.iter().take_while(|(own, _)| !own.eq_ignore_ascii_case(name)).cloned().collect(),
                ..before
            }
            .resolve(expr);
        }
        for outer in self.analyzer.outer.iter().rev() {
            if let Some(found) = self.lookup(parts, outer)? {
                return Ok(outer_reference(found));
            }
        }
        if let [name] = parts
            && let Some(function) = BARE_FUNCTIONS.iter().find(|own| own.eq_ignore_ascii_case(name))
        {
            return self.resolve(&Expr::call(*function, Vec::new()));
        }
        Err(self.unresolved(parts))
    }

    fn is_parameter(&self, expr: &DfExpr) -> bool {
        let params = self.columns.get(..self.params).unwrap_or_default();
        expr.column_refs().into_iter().all(|column| params.iter().any(|param| param.id == column.name))
    }

    /// Whether a name stands for no column.
    pub(crate) fn is_unknown(&self, parts: &[String]) -> bool {
        matches!(self.lookup(parts, self.columns), Ok(None))
    }

    /// The column, or the field of a column, that the parts of a name stand for.
    pub(super) fn lookup(&self, parts: &[String], columns: &[Attribute]) -> Result<Option<Typed>> {
        found(parts, columns)?.map(|(column, fields)| self.fields(Typed::of(column), fields)).transpose()
    }

    /// The column that a name stands for, and what of the name are fields of it.
    pub(crate) fn find<'n>(&self, parts: &'n [String]) -> Result<Option<(&'a Attribute, &'n [String])>> {
        found(parts, self.columns)
    }

    /// The name of an expression as a column of a result: columns in it have no qualifier.
    pub(crate) fn result_name(&self, expr: &Expr) -> String {
        let is_qualified = |part: &Expr| matches!(part, Expr::Column { parts, .. } if parts.len() > 1);
        if matches!(expr, Expr::Alias { .. } | Expr::Column { .. }) || !expr.any(&is_qualified) {
            return expr.result_name();
        }
        let mut plain = expr.clone();
        plain.rename_columns(&|parts| {
            let qualifiers = (1..parts.len()).rev().find(|qualifiers| {
                let (qualifier, rest) = parts.split_at(*qualifiers);
                self.columns
                    .iter()
                    .any(|column| column.name.eq_ignore_ascii_case(&rest[0]) && ends_with(&column.qualifier, qualifier))
            });
            parts.drain(..qualifiers.unwrap_or(0));
        });
        plain.result_name()
    }

    fn fields(&self, value: Typed, fields: &[String]) -> Result<Typed> {
        fields
            .iter()
            .try_fold(value, |value, field| self.scalar_call(".", vec![value, Typed::literal(ScalarValue::from(field.as_str()))]))
    }

    pub(crate) fn unresolved(&self, parts: &[String]) -> Error {
        let wanted = parts.last().cloned().unwrap_or_default();
        let mut known: Vec<&Attribute> = self.columns.iter().collect();
        known.sort_by_key(|column| distance(&column.name.to_lowercase(), &wanted.to_lowercase()));
        let known: Vec<String> = known.into_iter().take(5).map(Attribute::quoted).collect();
        let what = format!("A column, variable, or function parameter with name {} cannot be resolved.", quoted(parts));
        match known.is_empty() {
            true => Error::analysis("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", what),
            false => Error::analysis(
                "UNRESOLVED_COLUMN.WITH_SUGGESTION",
                format!("{what} Did you mean one of the following? [{}].", known.join(", ")),
            ),
        }
    }

    pub(super) fn missing_aggregation(&self, parts: &[String], at: Position) -> Error {
        if self.aggregation.is_some_and(|aggregation| aggregation.borrow().keys.is_empty()) {
            return self.analyzer.locate(missing_group_by(), at);
        }
        let message = format!(
            "The non-aggregating expression \"{}\" is based on columns which are not participating in the GROUP BY clause. Add the \
             columns or the expression to the GROUP BY, aggregate the expression, or use \"any_value({})\" if you do not care which \
             of the values within a group is returned.",
            parts.join("."),
            parts.join(".")
        );
        self.analyzer.locate(Error::analysis("MISSING_AGGREGATION", message), at)
    }
}

fn outer_reference(found: Typed) -> Typed {
    let expr = match found.expr {
        DfExpr::Column(column) => {
            let Column { name, .. } = &column;
            DfExpr::OuterReferenceColumn(Arc::new(Field::new(name, found.data_type.clone(), true)), column)
        }
        other => other,
    };
    Typed { expr, ..found }
}

/// The one column that a name stands for, and the parts of the name that are fields of it.
pub(crate) fn found<'c, 'n>(parts: &'n [String], columns: &'c [Attribute]) -> Result<Option<(&'c Attribute, &'n [String])>> {
    for qualifiers in (0..parts.len()).rev() {
        let (qualifier, rest) = parts.split_at(qualifiers);
        let Some((name, fields)) = rest.split_first() else { continue };
        let matches = |column: &&Attribute| column.name.eq_ignore_ascii_case(name) && ends_with(&column.qualifier, qualifier);
        let mut named: Vec<&Attribute> = columns.iter().filter(matches).collect();
        named.dedup_by(|a, b| a.id == b.id);
        match named.as_slice() {
            [] => {}
            [one] => return Ok(Some((one, fields))),
            many => {
                let candidates = many.iter().map(|column| column.quoted()).collect::<Vec<_>>().join(", ");
                let message = format!("Reference {} is ambiguous, could be: [{candidates}].", quoted(parts));
                return Err(Error::analysis("AMBIGUOUS_REFERENCE", message));
            }
        }
    }
    Ok(None)
}

/// Whether a qualifier ends with these parts.
fn ends_with(qualifier: &[String], parts: &[String]) -> bool {
    qualifier.len() >= parts.len()
        && qualifier[qualifier.len() - parts.len()..].iter().zip(parts).all(|(own, part)| own.eq_ignore_ascii_case(part))
}

/// The edit distance of two names.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
