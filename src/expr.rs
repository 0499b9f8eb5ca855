//! An expression as it was written: by SQL or by [`Column`](crate::Column). Nothing in it is resolved; the analyser does that.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use tidegate_functions::types::sql_name;

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
            Expr::Call(call) if call.name == "." => match call.args.get(1) {
                Some(Expr::Literal(ScalarValue::Utf8(Some(field)))) => field.clone(),
                _ => self.to_string(),
            },
            Expr::Call(call) if matches!(call.name.as_str(), "window" | "session_window") => call.name.clone(),
            other => other.to_string(),
        }
    }
}

const INFIX: [&str; 24] = [
    "+",
    "-",
    "*",
    "/",
    "%",
    "div",
    "=",
    "<>",
    "<",
    "<=",
    ">",
    ">=",
    "<=>",
    "and",
    "or",
    "&",
    "|",
    "^",
    "||",
    "<<",
    ">>",
    ">>>",
    "is distinct from",
    "==",
];

/// The expression in SQL, written as Spark names columns: `(a + b)`, `upper(a)`, `CAST(a AS INT)`.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Column { parts, .. } => f.write_str(&parts.join(".")),
            Expr::Exact { name, .. } => f.write_str(name),
            Expr::Literal(value) => f.write_str(&literal_sql(value)),
            Expr::Call(call) => write_call(call, f),
            Expr::Cast { expr, to, is_try } => {
                write!(f, "{}({expr} AS {})", if *is_try { "TRY_CAST" } else { "CAST" }, sql_name(to))
            }
            Expr::Case { operand, branches, otherwise } => {
                f.write_str("CASE")?;
                for (when, then) in branches {
                    match operand {
                        Some(operand) => write!(f, " WHEN ({operand} = {when}) THEN {then}")?,
                        None => write!(f, " WHEN {when} THEN {then}")?,
                    }
                }
                if let Some(otherwise) = otherwise {
                    write!(f, " ELSE {otherwise}")?;
                }
                f.write_str(" END")
            }
            Expr::Lambda { params, body } => {
                let named: Vec<String> = params.iter().map(|param| format!("namedlambdavariable({param})")).collect();
                write!(f, "lambdafunction({body}, {})", named.join(", "))
            }
            Expr::Alias { expr, names } => write!(f, "{expr} AS {}", names.join(", ")),
            Expr::Star { qualifier, .. } if qualifier.is_empty() => f.write_str("*"),
            Expr::Star { qualifier, .. } => write!(f, "{}.*", qualifier.join(".")),
            Expr::Subquery { kind: SubqueryKind::Scalar, .. } => f.write_str("scalarsubquery()"),
            Expr::Subquery { kind: SubqueryKind::In { expr, negated }, .. } => {
                write!(f, "({}({expr} IN (listquery())))", if *negated { "NOT " } else { "" })
            }
            Expr::Subquery { kind: SubqueryKind::Exists { negated }, .. } => {
                f.write_str(if *negated { "(NOT exists())" } else { "exists()" })
            }
        }
    }
}

fn write_call(call: &Call, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let args: Vec<String> = call.args.iter().map(ToString::to_string).collect();
    match (call.name.as_str(), args.as_slice()) {
        (name, [left, right]) if INFIX.contains(&name) => {
            let name = if name == "<>" { return write!(f, "(NOT ({left} = {right}))") } else { name };
            return write!(f, "({left} {} {right})", name.to_uppercase());
        }
        ("not", [arg]) => return write!(f, "(NOT {arg})"),
        ("negative", [arg]) => return write!(f, "(- {arg})"),
        ("isnull", [arg]) => return write!(f, "({arg} IS NULL)"),
        ("isnotnull", [arg]) => return write!(f, "({arg} IS NOT NULL)"),
        ("like", [left, right]) => return write!(f, "{left} LIKE {right}"),
        ("rlike", [left, right]) => return write!(f, "RLIKE({left}, {right})"),
        ("in", [value, list @ ..]) => return write!(f, "({value} IN ({}))", list.join(", ")),
        ("[]", [value, index]) => return write!(f, "{value}[{index}]"),
        (".", [value, field]) => return write!(f, "{value}.{field}"),
        _ => {}
    }
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    write!(f, "{}({distinct}{})", call.name, args.join(", "))?;
    if let Some(filter) = &call.filter {
        write!(f, " FILTER (WHERE {filter})")?;
    }
    Ok(())
}

/// A literal as Spark writes it in a column's name.
pub(crate) fn literal_sql(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".to_owned();
    }
    match value {
        ScalarValue::Utf8(Some(text)) => text.clone(),
        ScalarValue::Decimal128(Some(digits), _, scale) => decimal_text(*digits, *scale),
        ScalarValue::Boolean(Some(value)) => value.to_string(),
        other => other.to_string(),
    }
}

fn decimal_text(digits: i128, scale: i8) -> String {
    let scale = usize::from(scale.unsigned_abs());
    let text = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = text.split_at(text.len() - scale);
    let sign = if digits < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}
