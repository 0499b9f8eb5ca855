//! Structs and their fields.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::nullif;
use arrow::datatypes::{DataType, FieldRef, Fields};
use datafusion::common::ScalarValue;
use datafusion::error::Result;

use crate::array::arguments::mismatch;
use crate::array::lists::Lists;
use crate::error::spark_error;
use crate::function::{Arg, Arity, Call, Function, Invocation, Resolved};
use crate::map::lookup;
use crate::types::{list, map_types, sql_name, structure};

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["struct"], arity: Arity::at_least(0), resolve: unnamed },
    Function { names: &["named_struct"], arity: Arity::at_least(0), resolve: named },
    Function { names: &["."], arity: Arity::exactly(2), resolve: field },
];

/// The last name of an argument that is just a column or a field: `a`, `` t.`a b` ``; `None` if it is anything else.
pub(crate) fn plain_name(arg: &Arg) -> Option<String> {
    let is_word = |text: &str| ["null", "true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word));
    if arg.literal.is_some() || is_word(&arg.sql) {
        return None;
    }
    let (mut name, mut rest) = (String::new(), arg.sql.as_str());
    loop {
        name.clear();
        if let Some(quoted) = rest.strip_prefix('`') {
            rest = quoted;
            loop {
                let (part, after) = rest.split_once('`')?;
                name.push_str(part);
                match after.strip_prefix('`') {
                    Some(after) => {
                        name.push('`');
                        rest = after;
                    }
                    None => {
                        rest = after;
                        break;
                    }
                }
            }
        } else {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            if part.is_empty() || part.chars().all(|c| c.is_ascii_digit()) {
                return None;
            }
            name.push_str(part);
            rest = after;
        }
        // What an array is indexed with is part of the path, but gives no name.
        while !rest.is_empty() && rest.starts_with('[') {
            let (_, after) = rest.split_once(']')?;
            rest = after;
            if rest.is_empty() {
                return None;
            }
        }
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None => return Some(name).filter(|_| rest.is_empty()),
        }
    }
}

fn unnamed(call: &Call<'_>) -> Result<Resolved> {
    let name = |(index, arg): (usize, &Arg)| plain_name(arg).unwrap_or_else(|| format!("col{}", index + 1));
    let names: Vec<String> = call.args.iter().enumerate().map(name).collect();
    let types = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    Ok(build(names, types, vec![]))
}

fn named(call: &Call<'_>) -> Result<Resolved> {
    if !call.len().is_multiple_of(2) {
        let message = format!("The `{}` requires 2n (n > 0) parameters but the actual number is {}.", call.name, call.len());
        return Err(spark_error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", message));
    }
    let (mut names, mut types, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for (index, pair) in call.args.chunks_exact(2).enumerate() {
        match call.literal_str(2 * index) {
            Some(name) => names.push(name.to_owned()),
            None => bad.push(format!("\"{}\"", pair[0].sql)),
        }
        types.push(pair[1].data_type.clone());
    }
    if !bad.is_empty() {
        let message = format!(
            "Only foldable `STRING` expressions are allowed to appear at odd position, but they are [{}].",
            bad.join(", ")
        );
        return Err(mismatch(call, "CREATE_NAMED_STRUCT_WITHOUT_FOLDABLE_STRING", message));
    }
    Ok(build(names, types, (0..call.len()).step_by(2).collect()))
}

/// A struct of these fields, whose values are the arguments that aren't in `skipped`.
fn build(names: Vec<String>, types: Vec<DataType>, skipped: Vec<usize>) -> Resolved {
    let fields: Fields = match structure(names.into_iter().zip(types.iter().cloned())) {
        DataType::Struct(fields) => fields,
        _ => Fields::empty(),
    };
    let mut args = types;
    skipped.iter().for_each(|index| args.insert(*index, DataType::Utf8));
    let returns = DataType::Struct(fields.clone());
    Resolved::new(args, returns, move |invocation| {
        let given = (0..invocation.args.len()).filter(|index| !skipped.contains(index));
        let columns = given.map(|index| invocation.array(index)).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, invocation.rows)?))
    })
}

/// `s.field`, also of an array of structs, and `m.key` of a map.
pub(crate) fn field(call: &Call<'_>) -> Result<Resolved> {
    let own = call.data_type(0);
    if let Some((key, value)) = map_types(own) {
        call.coerce(1, key)?;
        return Ok(lookup(key.clone(), value.clone()));
    }
    let Some(ScalarValue::Utf8(Some(name))) = call.literal(1) else {
        let message = format!("Field name should be a non-null string literal, but it's \"{}\".", call.args[1].sql);
        return Err(spark_error("INVALID_EXTRACT_FIELD_TYPE", message));
    };
    match own {
        DataType::Struct(fields) => {
            let (index, field) = find(fields, name)?;
            let kernel = move |invocation: &Invocation<'_>| child(invocation.array(0)?.as_struct(), index);
            Ok(Resolved::new(vec![own.clone(), DataType::Utf8], field.data_type().clone(), kernel))
        }
        DataType::List(element) => {
            let DataType::Struct(fields) = element.data_type() else {
                return Err(call.unexpected_type(1, "the \"INTEGRAL\" type"));
            };
            let (index, field) = find(fields, name)?;
            let kernel = move |invocation: &Invocation<'_>| {
                let lists = Lists::of(&invocation.array(0)?)?;
                lists.with_values(child(lists.values.as_struct(), index)?)
            };
            Ok(Resolved::new(vec![own.clone(), DataType::Utf8], list(field.data_type().clone()), kernel))
        }
        other => {
            let message = format!(
                "Can't extract a value from \"{}\". Need a complex type [STRUCT, ARRAY, MAP] but got \"{}\".",
                call.args[0].sql,
                sql_name(other)
            );
            Err(spark_error("INVALID_EXTRACT_BASE_FIELD_TYPE", message))
        }
    }
}

fn find<'a>(fields: &'a Fields, name: &str) -> Result<(usize, &'a FieldRef)> {
    let same = |(_, field): &(usize, &FieldRef)| field.name().to_lowercase() == name.to_lowercase();
    let mut found = fields.iter().enumerate().filter(same);
    match (found.next(), found.count()) {
        (Some(found), 0) => Ok(found),
        (Some(_), more) => Err(spark_error(
            "AMBIGUOUS_REFERENCE_TO_FIELDS",
            format!("Ambiguous reference to the field `{name}`. It appears {} times in the schema.", more + 1),
        )),
        (None, _) => {
            let names: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name())).collect();
            Err(spark_error("FIELD_NOT_FOUND", format!("No such struct field `{name}` in {}.", names.join(", "))))
        }
    }
}

/// A field's values, null where the struct is.
fn child(parent: &StructArray, index: usize) -> Result<ArrayRef> {
    let values = parent.column(index);
    match parent.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => Ok(Arc::clone(values)),
        Some(nulls) => masked(values, nulls),
    }
}

/// The same values, but null where `nulls` says so.
pub(crate) fn masked(values: &ArrayRef, nulls: &NullBuffer) -> Result<ArrayRef> {
    if values.data_type() == &DataType::Null {
        return Ok(Arc::clone(values));
    }
    if nulls.null_count() == nulls.len() {
        return Ok(new_null_array(values.data_type(), values.len()));
    }
    let mask = arrow::array::BooleanArray::new(!nulls.inner(), None);
    Ok(nullif(values, &mask)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::testing::check;

    #[test]
    fn structs_and_fields() {
        const AB: &str = "struct<a:int,b:string>";
        check(&[
            ("struct", &[("int", "1"), ("string", "\"a\"")], "{col1: 1, col2: a} struct<col1:int,col2:string>"),
            ("struct", &[], "{} struct<>"),
            (
                "named_struct",
                &[("string", "\"a\""), ("int", "1"), ("string", "\"b\""), ("void", "null")],
                "{a: 1, b: null} struct<a:int,b:void>",
            ),
            ("named_struct", &[("string", "\"a\"")], "!WRONG_NUM_ARGS.WITHOUT_SUGGESTION"),
            ("named_struct", &[("int", "1"), ("int", "1")], "!DATATYPE_MISMATCH.CREATE_NAMED_STRUCT_WITHOUT_FOLDABLE_STRING"),
            (".", &[(AB, "{\"a\":1}"), ("string", "\"A\"")], "1 int"),
            (".", &[(AB, "null"), ("string", "\"a\"")], "null int"),
            (".", &[(AB, "null"), ("string", "\"c\"")], "!FIELD_NOT_FOUND"),
            (".", &[("struct<a:int,A:int>", "null"), ("string", "\"a\"")], "!AMBIGUOUS_REFERENCE_TO_FIELDS"),
            (".", &[("array<struct<a:int>>", "[{\"a\":1},null]"), ("string", "\"a\"")], "[1, null] array<int>"),
            (".", &[("array<int>", "[]"), ("string", "\"a\"")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
            (".", &[("map<string,int>", "{\"a\":2}"), ("string", "\"a\"")], "2 int"),
            (".", &[("int", "1"), ("string", "\"a\"")], "!INVALID_EXTRACT_BASE_FIELD_TYPE"),
            ("[]", &[(AB, "{\"b\":\"x\"}"), ("string", "\"b\"")], "x string"),
        ]);
    }

    #[test]
    fn plain_columns_give_names() {
        for (sql, expected) in [
            ("a", Some("a")),
            ("t.a", Some("a")),
            ("t.`a ``b`", Some("a `b")),
            ("xs[0].b", Some("b")),
            ("xs[0]", None),
            ("a + 1", None),
            ("f(a)", None),
            ("1", None),
            ("NULL", None),
            ("", None),
        ] {
            let arg = Arg { data_type: DataType::Int32, literal: None, sql: sql.to_owned() };
            assert_eq!(plain_name(&arg).as_deref(), expected, "{sql}");
        }
    }
}
