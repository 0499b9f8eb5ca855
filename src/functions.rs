//! Functions of columns under Spark's names, to be used with `DataFrame`s. SQL has the same functions and more; any of them is
//! reached by [`expr`] and [`call_function`].

mod messages;

pub use messages::{
    from_avro, from_avro_with, from_protobuf, from_protobuf_with, to_avro, to_avro_with, to_protobuf, to_protobuf_with,
};

use crate::column::{Column, Literal};
use crate::expr::{Call, Expr};

/// The column of this name: `a`, `t.a`, `s.field`, `*`.
pub fn col(name: &str) -> Column {
    Column::from(name)
}

/// A value: a boolean, a number, a string, binary, or `None::<T>` for null.
pub fn lit(value: impl Into<Literal>) -> Column {
    Column::of(Expr::Literal(value.into().0))
}

/// An expression in SQL, perhaps with an alias: `expr("n * 2 AS twice")`.
pub fn expr(sql: &str) -> Column {
    let parsed = crate::sql::parse_expression(sql).and_then(|item| crate::analysis::select_item(&item));
    Column { expr: parsed }
}

/// Any function of SQL by its name.
pub fn call_function(name: &str, args: impl IntoIterator<Item = impl Into<Column>>) -> Column {
    Column::call(&name.to_lowercase(), args.into_iter().map(Into::into))
}

/// The first branch of a `CASE`: add others with [`Column::when`] and the rest with [`Column::otherwise`].
pub fn when(condition: impl Into<Column>, value: impl Into<Column>) -> Column {
    let (condition, value) = (condition.into(), value.into());
    let expr = condition
        .expr
        .and_then(|condition| Ok(Expr::Case { operand: None, branches: vec![(condition, value.expr?)], otherwise: None }));
    Column { expr }
}

/// The number of rows: `count(*)`.
pub fn count_all() -> Column {
    Column::of(Expr::call("count", vec![Expr::int(1)]))
}

/// The number of different values. Only in batch queries: for streams there is [`approx_count_distinct`].
pub fn count_distinct(column: impl Into<Column>) -> Column {
    let expr = column.into().expr;
    Column {
        expr: expr.map(|arg| Expr::Call(Call { name: "count".to_owned(), args: vec![arg], distinct: true, ..Call::default() })),
    }
}

/// The tumbling window of a time: a struct of `start` and `end`. `length` is an interval such as `10 minutes`.
pub fn window(time: impl Into<Column>, length: &str) -> Column {
    Column::call("window", [time.into(), lit(length)])
}

/// The sliding windows of a time, each `length` long, one every `slide`.
pub fn sliding_window(time: impl Into<Column>, length: &str, slide: &str) -> Column {
    Column::call("window", [time.into(), lit(length), lit(slide)])
}

/// Windows that start `start` after midnight 1970-01-01 UTC, and every `slide` from there.
pub fn window_from(time: impl Into<Column>, length: &str, slide: &str, start: &str) -> Column {
    Column::call("window", [time.into(), lit(length), lit(slide), lit(start)])
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($($arg:ident),*) $(as $spark:literal)?;)*) => {$(
        $(#[$doc])*
        pub fn $name($($arg: impl Into<Column>),*) -> Column {
            #[allow(unused_variables, reason = "the name is the function's own if no other is given")]
            let name = stringify!($name);
            $(let name = $spark;)?
            Column::call(name, [$($arg.into()),*])
        }
    )*};
}

functions! {
    // Aggregates.
    /// The number of rows in which the value is not null.
    count(column);
    /// The sum.
    sum(column);
    /// The mean.
    avg(column);
    /// The mean.
    mean(column);
    /// The smallest value.
    min(column);
    /// The greatest value.
    max(column);
    /// The first value that came.
    first(column);
    /// The last value that came.
    last(column);
    /// All values, as an array in no particular order.
    collect_list(column);
    /// The different values, as an array in no particular order.
    collect_set(column);
    /// About how many different values there are.
    approx_count_distinct(column);
    /// The number of rows for which the condition is true.
    count_if(condition);
    /// The value of one column where another is greatest.
    max_by(column, by);
    /// The value of one column where another is smallest.
    min_by(column, by);
    /// The sample standard deviation.
    stddev(column);
    /// The sample variance.
    variance(column);
    /// Whether it is true for all rows.
    bool_and(column);
    /// Whether it is true for some row.
    bool_or(column);
    /// The greatest, middle or any other percentile.
    percentile(column, fraction);
    /// The median.
    median(column);

    // Rows of rows.
    /// A row for each element of an array or a map.
    explode(column);
    /// As [`explode`]; a row without elements stays, with null.
    explode_outer(column);
    /// As [`explode`], with the element's position.
    posexplode(column);
    /// A row for each struct of an array.
    inline(column);

    // Conditions.
    /// Whether a number is not a number.
    isnan(column);
    /// The first value unless it is null.
    nvl(column, other);
    /// Null if both are equal, else the first.
    nullif(column, other);

    // Mathematics.
    /// The absolute value.
    abs(column);
    /// The smallest integer that is not less.
    ceil(column);
    /// The greatest integer that is not greater.
    floor(column);
    /// Rounded half up to a number of digits.
    round(column, scale);
    /// The square root.
    sqrt(column);
    /// A power.
    pow(base, exponent);
    /// The natural logarithm.
    ln(column);
    /// The exponential.
    exp(column);
    /// The remainder that is never negative.
    pmod(dividend, divisor);

    // Strings.
    /// In upper case.
    upper(column);
    /// In lower case.
    lower(column);
    /// The number of characters.
    length(column);
    /// Without spaces at both ends.
    trim(column);
    /// Without spaces at the left end.
    ltrim(column);
    /// Without spaces at the right end.
    rtrim(column);
    /// Each word with a capital.
    initcap(column);
    /// Backwards.
    reverse(column);
    /// Split at each match of a regular expression.
    split(column, pattern);
    /// A part of the text, from a position counted from one.
    substring(column, position, length);
    /// The part that matches a group of a regular expression.
    regexp_extract(column, pattern, group);
    /// With every match of a regular expression replaced.
    regexp_replace(column, pattern, replacement);
    /// The position of a part, counted from one; 0 if it is not there.
    instr(column, part);
    /// The MD5 checksum in hexadecimal.
    md5(column);
    /// The SHA-1 checksum in hexadecimal.
    sha1(column);

    // Dates and times.
    /// The year.
    year(column);
    /// The month.
    month(column);
    /// The day of the month.
    dayofmonth(column);
    /// The hour.
    hour(column);
    /// The minute.
    minute(column);
    /// The second.
    second(column);
    /// A number of days later.
    date_add(column, days);
    /// A number of days earlier.
    date_sub(column, days);
    /// The days between two dates.
    datediff(end, start);
    /// As text by a pattern.
    date_format(column, pattern);
    /// The start of a unit of time: `date_trunc(lit("hour"), col("ts"))`.
    date_trunc(unit, column);
    /// The date that a text is.
    to_date(column);
    /// The timestamp that a text is.
    to_timestamp(column);
    /// Seconds since 1970 of a timestamp.
    unix_timestamp(column);
    /// The time of the epoch.
    current_timestamp();
    /// The date of the epoch.
    current_date();
    /// The time that stands for a window: just before its end.
    window_time(window);

    // Collections.
    /// The number of elements.
    size(column);
    /// Whether an array has a value.
    array_contains(column, value);
    /// Sorted, nulls first.
    sort_array(column);
    /// Without duplicates.
    array_distinct(column);
    /// An element, from one on; the value of a key.
    element_at(column, key);
    /// The keys of a map.
    map_keys(column);
    /// The values of a map.
    map_values(column);

    // JSON.
    /// JSON text as a value of the type that the second argument writes in SQL.
    from_json(column, schema);
    /// A value as JSON text.
    to_json(column);
    /// The part of JSON text at a path.
    get_json_object(column, path);

    // Hashes.
    /// The 64-bit xxHash.
    xxhash64(column);
}

macro_rules! variadic {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(columns: impl IntoIterator<Item = impl Into<Column>>) -> Column {
            Column::call(stringify!($name), columns.into_iter().map(Into::into))
        }
    )*};
}

variadic! {
    /// The first value that is not null.
    coalesce;
    /// All strings, or arrays, one after the other.
    concat;
    /// The greatest value, nulls left out.
    greatest;
    /// The smallest value, nulls left out.
    least;
    /// An array of these values.
    array;
    /// The 32-bit hash that Spark partitions by.
    hash;
}

/// A struct of these columns.
pub fn struct_of(columns: impl IntoIterator<Item = impl Into<Column>>) -> Column {
    Column::call("struct", columns.into_iter().map(Into::into))
}

/// Strings with a separator between them; nulls are left out.
pub fn concat_ws(separator: &str, columns: impl IntoIterator<Item = impl Into<Column>>) -> Column {
    Column::call("concat_ws", std::iter::once(lit(separator)).chain(columns.into_iter().map(Into::into)))
}
