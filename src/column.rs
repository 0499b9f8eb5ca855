//! Columns: expressions over the rows of a `DataFrame`, under Spark's names.

use std::fmt;
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Rem, Sub};

use datafusion::common::ScalarValue;
use tidegate_functions::types;

use crate::error::{Error, Result};
use crate::expr::{Expr, SortKey};

/// An expression over the columns of a `DataFrame`.
///
/// Names are resolved when the column is used, as in Spark: case does not count, `t.a` is column `a` of alias `t`, or field `a` of
/// struct `t`. A column that can't be resolved is an error of the call that uses it.
///
/// ```
/// use tidegate::functions::{col, lit, upper};
///
/// let shout = upper(col("word")).alias("shout");
/// let often = col("n").gt(lit(2)).and(col("word").is_not_null());
/// assert_eq!(often.to_string(), "((n > 2) AND (word IS NOT NULL))");
/// # drop(shout);
/// ```
#[derive(Debug, Clone)]
pub struct Column {
    pub(crate) expr: Parsed,
}

/// An expression, or why its text is none: the error is reported by the call that uses the column.
pub(crate) type Parsed = std::result::Result<Expr, Error>;

impl Column {
    pub(crate) fn of(expr: Expr) -> Self {
        Column { expr: Ok(expr) }
    }

    pub(crate) fn parsed(&self) -> Result<Expr> {
        self.expr.clone()
    }

    pub(crate) fn call(name: &str, args: impl IntoIterator<Item = Column>) -> Self {
        let args: Result<Vec<Expr>> = args.into_iter().map(|arg| arg.expr).collect();
        Column { expr: args.map(|args| Expr::call(name, args)) }
    }

    fn map(self, change: impl FnOnce(Expr) -> Expr) -> Self {
        Column { expr: self.expr.map(change) }
    }

    fn with(self, name: &str, other: impl Into<Column>) -> Self {
        Column::call(name, [self, other.into()])
    }

    /// The same values under another name.
    #[must_use]
    pub fn alias(self, name: impl Into<String>) -> Self {
        self.map(|expr| expr.unaliased().clone().alias(name))
    }

    /// The columns of a generator under these names.
    #[must_use]
    pub fn alias_many(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        self.map(|expr| Expr::Alias { expr: Box::new(expr.unaliased().clone()), names })
    }

    /// The values as another type, written as in SQL: `int`, `decimal(10,2)`, `array<string>`. A value that does not fit fails the
    /// query, as `CAST` does.
    #[must_use]
    pub fn cast(self, to: &str) -> Self {
        self.cast_as(to, false)
    }

    /// As [`cast`](Self::cast), but a value that does not fit becomes null.
    #[must_use]
    pub fn try_cast(self, to: &str) -> Self {
        self.cast_as(to, true)
    }

    fn cast_as(self, to: &str, is_try: bool) -> Self {
        let to = types::parse(to).map_err(Error::from);
        let expr = self.expr.and_then(|expr| {
            let name = match expr.unaliased() {
                // A column that is cast keeps its name, as in Spark's DataFrames.
                Expr::Column { .. } | Expr::Exact { .. } => Some(expr.result_name()),
                _ => None,
            };
            let cast = Expr::Cast { expr: Box::new(expr.unaliased().clone()), to: to?, is_try };
            Ok(match name {
                Some(name) => cast.alias(name),
                None => cast,
            })
        });
        Column { expr }
    }

    /// Whether the values are equal; null if one is null.
    #[must_use]
    pub fn eq(self, other: impl Into<Column>) -> Self {
        self.with("=", other)
    }

    /// Whether the values differ; null if one is null.
    #[must_use]
    pub fn neq(self, other: impl Into<Column>) -> Self {
        self.with("<>", other)
    }

    /// Whether the values are equal, where null equals null: `<=>`.
    #[must_use]
    pub fn eq_null_safe(self, other: impl Into<Column>) -> Self {
        self.with("<=>", other)
    }

    /// `<`.
    #[must_use]
    pub fn lt(self, other: impl Into<Column>) -> Self {
        self.with("<", other)
    }

    /// `<=`.
    #[must_use]
    pub fn leq(self, other: impl Into<Column>) -> Self {
        self.with("<=", other)
    }

    /// `>`.
    #[must_use]
    pub fn gt(self, other: impl Into<Column>) -> Self {
        self.with(">", other)
    }

    /// `>=`.
    #[must_use]
    pub fn geq(self, other: impl Into<Column>) -> Self {
        self.with(">=", other)
    }

    /// `AND`.
    #[must_use]
    pub fn and(self, other: impl Into<Column>) -> Self {
        self.with("and", other)
    }

    /// `OR`.
    #[must_use]
    pub fn or(self, other: impl Into<Column>) -> Self {
        self.with("or", other)
    }

    /// `BETWEEN`, both ends included.
    #[must_use]
    pub fn between(self, low: impl Into<Column>, high: impl Into<Column>) -> Self {
        self.clone().geq(low).and(self.leq(high))
    }

    /// `IN`.
    #[must_use]
    pub fn is_in(self, values: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        Column::call("in", std::iter::once(self).chain(values.into_iter().map(Into::into)))
    }

    /// `IS NULL`.
    #[must_use]
    pub fn is_null(self) -> Self {
        Column::call("isnull", [self])
    }

    /// `IS NOT NULL`.
    #[must_use]
    pub fn is_not_null(self) -> Self {
        Column::call("isnotnull", [self])
    }

    /// `LIKE` a pattern of `%` and `_`.
    #[must_use]
    pub fn like(self, pattern: &str) -> Self {
        self.with("like", Column::of(Expr::string(pattern)))
    }

    /// `LIKE` without regard to case.
    #[must_use]
    pub fn ilike(self, pattern: &str) -> Self {
        self.with("ilike", Column::of(Expr::string(pattern)))
    }

    /// Whether a part of the text matches a regular expression.
    #[must_use]
    pub fn rlike(self, pattern: &str) -> Self {
        self.with("rlike", Column::of(Expr::string(pattern)))
    }

    /// Whether the text begins with another.
    #[must_use]
    pub fn starts_with(self, prefix: impl Into<Column>) -> Self {
        self.with("startswith", prefix)
    }

    /// Whether the text ends with another.
    #[must_use]
    pub fn ends_with(self, suffix: impl Into<Column>) -> Self {
        self.with("endswith", suffix)
    }

    /// Whether the text contains another.
    #[must_use]
    pub fn contains(self, part: impl Into<Column>) -> Self {
        self.with("contains", part)
    }

    /// A part of the text, from a position counted from one.
    #[must_use]
    pub fn substr(self, position: i32, length: i32) -> Self {
        Column::call("substring", [self, Column::of(Expr::int(position)), Column::of(Expr::int(length))])
    }

    /// An element of an array (from zero) or of a map (by key).
    #[must_use]
    pub fn get_item(self, key: impl Into<Column>) -> Self {
        self.with("[]", key)
    }

    /// A field of a struct.
    #[must_use]
    pub fn get_field(self, name: &str) -> Self {
        self.with(".", Column::of(Expr::string(name)))
    }

    /// Adds a branch to [`when`](crate::functions::when).
    #[must_use]
    pub fn when(self, condition: impl Into<Column>, value: impl Into<Column>) -> Self {
        let (condition, value) = (condition.into(), value.into());
        let expr = self.expr.and_then(|expr| match expr {
            Expr::Case { operand, mut branches, otherwise: None } => {
                branches.push((condition.expr?, value.expr?));
                Ok(Expr::Case { operand, branches, otherwise: None })
            }
            _ => Err(Error::unsupported("when() can only be applied on a Column previously generated by when() function")),
        });
        Column { expr }
    }

    /// The value where no branch of [`when`](crate::functions::when) applies; null if this is not called.
    #[must_use]
    pub fn otherwise(self, value: impl Into<Column>) -> Self {
        let value = value.into();
        let expr = self.expr.and_then(|expr| match expr {
            Expr::Case { operand, branches, otherwise: None } => {
                Ok(Expr::Case { operand, branches, otherwise: Some(Box::new(value.expr?)) })
            }
            _ => Err(Error::unsupported("otherwise() can only be applied on a Column previously generated by when()")),
        });
        Column { expr }
    }

    /// An aggregate over only those rows for which a condition is true: `FILTER (WHERE …)`.
    #[must_use]
    pub fn filter(self, condition: impl Into<Column>) -> Self {
        let condition = condition.into();
        let expr = self.expr.and_then(|expr| match expr {
            Expr::Call(mut call) => {
                call.filter = Some(Box::new(condition.expr?));
                Ok(Expr::Call(call))
            }
            other => Err(Error::unsupported(format!("{other} is no aggregate: only aggregates can be filtered"))),
        });
        Column { expr }
    }

    /// To sort by: smallest first, nulls before all.
    pub fn asc(self) -> SortColumn {
        SortColumn { column: self, ascending: true, nulls_first: true }
    }

    /// To sort by: greatest first, nulls after all.
    pub fn desc(self) -> SortColumn {
        SortColumn { column: self, ascending: false, nulls_first: false }
    }

    /// To sort by: smallest first, nulls after all.
    pub fn asc_nulls_last(self) -> SortColumn {
        SortColumn { column: self, ascending: true, nulls_first: false }
    }

    /// To sort by: greatest first, nulls before all.
    pub fn desc_nulls_first(self) -> SortColumn {
        SortColumn { column: self, ascending: false, nulls_first: true }
    }
}

/// A column with a direction, for `order_by`.
#[derive(Debug, Clone)]
pub struct SortColumn {
    column: Column,
    ascending: bool,
    nulls_first: bool,
}

impl SortColumn {
    pub(crate) fn key(&self) -> Result<SortKey> {
        Ok(SortKey { expr: self.column.parsed()?, ascending: self.ascending, nulls_first: self.nulls_first })
    }
}

impl<T: Into<Column>> From<T> for SortColumn {
    fn from(column: T) -> Self {
        column.into().asc()
    }
}

/// A condition of [`filter`](crate::DataFrame::filter): a column, or text in SQL.
#[derive(Debug, Clone)]
pub struct Condition(pub(crate) Column);

impl From<Column> for Condition {
    fn from(column: Column) -> Self {
        Condition(column)
    }
}

impl From<&str> for Condition {
    fn from(sql: &str) -> Self {
        Condition(crate::functions::expr(sql))
    }
}

/// A name as in Spark's `col`: `a`, `t.a`, `*`, `` `odd name` ``.
impl From<&str> for Column {
    fn from(name: &str) -> Self {
        Column::of(named(name))
    }
}

impl From<String> for Column {
    fn from(name: String) -> Self {
        Column::from(name.as_str())
    }
}

impl From<&String> for Column {
    fn from(name: &String) -> Self {
        Column::from(name.as_str())
    }
}

impl From<&Column> for Column {
    fn from(column: &Column) -> Self {
        column.clone()
    }
}

/// What a name stands for that is written as users write it.
pub(crate) fn named(name: &str) -> Expr {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in name.chars() {
        match c {
            '`' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            other => {
                if let Some(last) = parts.last_mut() {
                    last.push(other);
                }
            }
        }
    }
    if parts.last().is_some_and(|last| last == "*") {
        parts.pop();
        return Expr::Star { qualifier: parts, except: Vec::new(), replace: Vec::new() };
    }
    Expr::Column { parts, at: crate::expr::Position::default() }
}

macro_rules! literals {
    ($($rust:ty => $scalar:ident),* $(,)?) => {$(
        impl From<$rust> for Literal {
            fn from(value: $rust) -> Self {
                Literal(ScalarValue::$scalar(Some(value.into())))
            }
        }

        impl From<Option<$rust>> for Literal {
            fn from(value: Option<$rust>) -> Self {
                Literal(ScalarValue::$scalar(value.map(Into::into)))
            }
        }
    )*};
}

/// A value in an expression, see [`lit`](crate::functions::lit).
#[derive(Debug, Clone)]
pub struct Literal(pub(crate) ScalarValue);

literals! {
    bool => Boolean,
    i8 => Int8,
    i16 => Int16,
    i32 => Int32,
    i64 => Int64,
    f32 => Float32,
    f64 => Float64,
    &str => Utf8,
    String => Utf8,
    Vec<u8> => Binary,
}

/// A number where a column is expected: `col("n") + 1`.
macro_rules! number_columns {
    ($($rust:ty),*) => {$(
        impl From<$rust> for Column {
            fn from(value: $rust) -> Self {
                Column::of(Expr::Literal(Literal::from(value).0))
            }
        }
    )*};
}
number_columns!(bool, i8, i16, i32, i64, f32, f64);

macro_rules! operators {
    ($($op:ident :: $method:ident => $sign:literal),* $(,)?) => {$(
        impl<T: Into<Column>> $op<T> for Column {
            type Output = Column;

            fn $method(self, other: T) -> Column {
                self.with($sign, other)
            }
        }
    )*};
}

operators! {
    Add::add => "+",
    Sub::sub => "-",
    Mul::mul => "*",
    Div::div => "/",
    Rem::rem => "%",
    BitAnd::bitand => "&",
    BitOr::bitor => "|",
    BitXor::bitxor => "^",
}

impl Neg for Column {
    type Output = Column;

    fn neg(self) -> Column {
        Column::call("negative", [self])
    }
}

impl Not for Column {
    type Output = Column;

    fn not(self) -> Column {
        Column::call("not", [self])
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expr {
            Ok(Expr::Alias { expr, names }) => write!(f, "{expr} AS {}", names.join(", ")),
            Ok(expr) => expr.fmt(f),
            Err(error) => write!(f, "<{error}>"),
        }
    }
}
