//! An expression as it was written: by SQL or by [`Column`](crate::Column). Nothing in it is resolved; the analyser does that.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;

mod naming;

pub(crate) use naming::literal_sql;

/// Where in the SQL text something stands; nothing for expressions that were not written as text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Position {
    /// Line and column, counted from one as the parser does; zero if unknown.
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// Two expressions are the same wherever they stand.
impl PartialEq for Position {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Position {
    pub(crate) fn of(ident: &ast::Ident) -> Self {
        Position { line: ident.span.start.line, column: ident.span.start.column }
    }
}

/// An expression that is not resolved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    /// A column or a field of one: `a`, `t.a`, `s.field`.
    Column {
        parts: Vec<String>,
        at: Position,
    },
    /// The column with this identity, whatever else has its name.
    Exact {
        id: String,
        name: String,
    },
    /// A value of a known type.
    Literal(ScalarValue),
    /// A function, or an operator under its sign.
    Call(Call),
    Cast {
        expr: Box<Expr>,
        to: DataType,
        is_try: bool,
    },
    Case {
        operand: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Lambda {
        params: Vec<String>,
        body: Box<Expr>,
    },
    /// With one name, or several for a generator of several columns.
    Alias {
        expr: Box<Expr>,
        names: Vec<String>,
    },
    Star {
        qualifier: Vec<String>,
        except: Vec<String>,
        replace: Vec<(String, Expr)>,
    },
    Subquery {
        kind: SubqueryKind,
        query: Arc<ast::Query>,
    },
}

/// What a subquery is used for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SubqueryKind {
    Scalar,
    In { expr: Box<Expr>, negated: bool },
    Exists { negated: bool },
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Call {
    /// In lower case.
    pub(crate) name: String,
    pub(crate) args: Vec<Expr>,
    pub(crate) distinct: bool,
    pub(crate) filter: Option<Box<Expr>>,
    /// `WITHIN GROUP (ORDER BY …)`.
    pub(crate) within: Vec<SortKey>,
    pub(crate) ignore_nulls: bool,
    pub(crate) over: Option<Box<Over>>,
    pub(crate) at: Position,
}

/// The window of a window function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Over {
    pub(crate) partition_by: Vec<Expr>,
    pub(crate) order_by: Vec<SortKey>,
    /// The frame in SQL, if it was given.
    pub(crate) frame: Option<ast::WindowFrame>,
    /// Of a window that the `WINDOW` clause defines, only its name is known at first.
    pub(crate) name: Option<String>,
}

/// An expression to sort by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SortKey {
    pub(crate) expr: Expr,
    pub(crate) ascending: bool,
    pub(crate) nulls_first: bool,
}

impl Expr {
    pub(crate) fn call(name: impl Into<String>, args: Vec<Expr>) -> Self {
        Expr::Call(Call { name: name.into(), args, ..Call::default() })
    }

    pub(crate) fn string(text: impl Into<String>) -> Self {
        Expr::Literal(ScalarValue::Utf8(Some(text.into())))
    }

    pub(crate) fn int(value: i32) -> Self {
        Expr::Literal(ScalarValue::Int32(Some(value)))
    }

    pub(crate) fn alias(self, name: impl Into<String>) -> Self {
        Expr::Alias { expr: Box::new(self), names: vec![name.into()] }
    }

    /// Gives every column that is written by name another one.
    pub(crate) fn rename_columns(&mut self, rename: &dyn Fn(&mut Vec<String>)) {
        if let Expr::Column { parts, .. } = self {
            rename(parts);
        }
        self.children_mut().into_iter().for_each(|child| child.rename_columns(rename));
    }

    pub(crate) fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::Column { .. } | Expr::Exact { .. } | Expr::Literal(_) => Vec::new(),
            Expr::Call(call) => {
                let over = call.over.iter_mut().flat_map(|over| {
                    let Over { partition_by, order_by, .. } = over.as_mut();
                    partition_by.iter_mut().chain(order_by.iter_mut().map(|key| &mut key.expr))
                });
                let within = call.within.iter_mut().map(|key| &mut key.expr);
                call.args.iter_mut().chain(call.filter.iter_mut().map(Box::as_mut)).chain(within).chain(over).collect()
            }
            Expr::Cast { expr, .. } | Expr::Alias { expr, .. } | Expr::Lambda { body: expr, .. } => vec![expr],
            Expr::Case { operand, branches, otherwise } => {
                let branches = branches.iter_mut().flat_map(|(when, then)| [when, then]);
                operand.iter_mut().map(Box::as_mut).chain(branches).chain(otherwise.iter_mut().map(Box::as_mut)).collect()
            }
            Expr::Star { replace, .. } => replace.iter_mut().map(|(_, expr)| expr).collect(),
            Expr::Subquery { kind: SubqueryKind::In { expr, .. }, .. } => vec![expr],
            Expr::Subquery { .. } => Vec::new(),
        }
    }

    /// Puts the windows of the `WINDOW` clause in the place of their names.
    ///
    /// # Errors
    /// The name of a window that is not defined.
    pub(crate) fn define_windows(&mut self, windows: &[(String, Over)]) -> Result<(), String> {
        if let Expr::Call(Call { over: Some(over), .. }) = self
            && let Some(name) = &over.name
        {
            let known = windows.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
            *over.as_mut() = known.map(|(_, window)| window.clone()).ok_or_else(|| name.clone())?;
        }
        self.children_mut().into_iter().try_for_each(|child| child.define_windows(windows))
    }

    /// The expression without its alias.
    pub(crate) fn unaliased(&self) -> &Expr {
        match self {
            Expr::Alias { expr, .. } => expr.unaliased(),
            other => other,
        }
    }

    /// Its direct parts, for walks over the tree.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Column { .. } | Expr::Exact { .. } | Expr::Literal(_) => Vec::new(),
            Expr::Call(call) => {
                let over =
                    call.over.iter().flat_map(|over| over.partition_by.iter().chain(over.order_by.iter().map(|key| &key.expr)));
                let within = call.within.iter().map(|key| &key.expr);
                call.args.iter().chain(call.filter.iter().map(Box::as_ref)).chain(within).chain(over).collect()
            }
            Expr::Cast { expr, .. } | Expr::Alias { expr, .. } | Expr::Lambda { body: expr, .. } => vec![expr],
            Expr::Case { operand, branches, otherwise } => {
                let branches = branches.iter().flat_map(|(when, then)| [when, then]);
                operand.iter().map(Box::as_ref).chain(branches).chain(otherwise.iter().map(Box::as_ref)).collect()
            }
            Expr::Star { replace, .. } => replace.iter().map(|(_, expr)| expr).collect(),
            Expr::Subquery { kind: SubqueryKind::In { expr, .. }, .. } => vec![expr],
            Expr::Subquery { .. } => Vec::new(),
        }
    }

    /// Whether it or a part of it is one that `test` is true for.
    pub(crate) fn any(&self, test: &dyn Fn(&Expr) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|child| child.any(test))
    }

    /// The position of its first part that has one.
    pub(crate) fn position(&self) -> Position {
        match self {
            Expr::Column { at, .. } => *at,
            Expr::Call(call) if call.at.line > 0 => call.at,
            other => other.children().into_iter().map(Expr::position).find(|at| at.line > 0).unwrap_or_default(),
        }
    }

    /// Its name as a column of a result, as Spark makes it from the text.
    pub(crate) fn result_name(&self) -> String {
        match self {
            Expr::Column { parts, .. } => parts.last().cloned().unwrap_or_default(),
            Expr::Exact { name, .. } => name.clone(),
            Expr::Alias { names, .. } => names.first().cloned().unwrap_or_default(),
            // A cast column keeps its name.
            Expr::Cast { expr, .. } if matches!(expr.as_ref(), Expr::Column { .. } | Expr::Exact { .. }) => expr.result_name(),
            Expr::Call(call) if matches!(call.name.as_str(), "window" | "session_window") => call.name.clone(),
            other => other.to_string(),
        }
    }
}

/// The expression in SQL, written as Spark names columns: `(a + b)`, `upper(a)`, `CAST(a AS INT)`.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&naming::text(self, &[]))
    }
}
