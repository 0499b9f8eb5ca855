//! Maps.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, MapArray, StructArray, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, FieldRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::{DataFusionError, Result};
use regex::Regex;

use crate::array::arguments::{
    array_or_null, common_type_of, different_types, map_and_key, map_or_null, mismatch, null_type, text,
};
use crate::array::lists::{Lists, Picker, nulls_of, take_or_null};
use crate::array::order::{comparator, encoded, is_orderable, normalised};
use crate::error::spark_error;
use crate::function::{Arity, Call, Function, Invocation, Resolved};
use crate::types::{element_type, entries, list, map, map_types, sql_name, structure};

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["map"], arity: Arity::at_least(0), resolve: of_pairs },
    Function { names: &["map_keys"], arity: Arity::exactly(1), resolve: keys },
    Function { names: &["map_values"], arity: Arity::exactly(1), resolve: values },
    Function { names: &["map_entries"], arity: Arity::exactly(1), resolve: all_entries },
    Function { names: &["map_contains_key"], arity: Arity::exactly(2), resolve: contains_key },
    Function { names: &["map_from_arrays"], arity: Arity::exactly(2), resolve: from_arrays },
    Function { names: &["map_from_entries"], arity: Arity::exactly(1), resolve: from_entries },
    Function { names: &["map_concat"], arity: Arity::at_least(0), resolve: concat },
    Function { names: &["str_to_map"], arity: Arity::between(1, 3), resolve: from_text },
];

/// A map column of these entries. A row must not have the same key twice, and no key may be null.
///
/// # Errors
/// `NULL_MAP_KEY`, `DUPLICATED_MAP_KEY`.
pub(crate) fn map_of(
    keys: ArrayRef,
    values: ArrayRef,
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    if keys.logical_null_count() > 0 {
        return Err(spark_error("NULL_MAP_KEY", "Cannot use null as map key."));
    }
    // A single entry can't be there twice.
    if offsets.windows(2).any(|pair| pair[1] - pair[0] > 1) {
        let [rows] = encoded([&keys])?;
        let mut seen = HashSet::new();
        for pair in offsets.windows(2) {
            seen.clear();
            if let Some(twice) = (pair[0] as usize..pair[1] as usize).find(|index| !seen.insert(rows.row(*index))) {
                return Err(duplicated_key(&keys, twice));
            }
        }
    }
    unchecked_map(keys, values, offsets, nulls)
}

/// The same where the keys are known to be those of a map.
pub(crate) fn unchecked_map(
    keys: ArrayRef,
    values: ArrayRef,
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let field: FieldRef = entries(keys.data_type().clone(), values.data_type().clone());
    let DataType::Struct(fields) = field.data_type() else { return Err(DataFusionError::Internal("entries".to_owned())) };
    let length = keys.len();
    let entries = StructArray::try_new_with_length(fields.clone(), vec![keys, values], None, length)?;
    Ok(Arc::new(MapArray::try_new(field, offsets, entries, nulls, false)?))
}

fn duplicated_key(keys: &ArrayRef, index: usize) -> DataFusionError {
    // As Spark writes what a key is made of: dates as days, timestamps as microseconds.
    let plain = match keys.data_type() {
        DataType::Date32 => arrow::compute::cast(keys, &DataType::Int32),
        DataType::Timestamp(_, _) | DataType::Duration(_) => arrow::compute::cast(keys, &DataType::Int64),
        _ => Ok(Arc::clone(keys)),
    };
    let text = plain.and_then(|plain| {
        let options = FormatOptions::default();
        ArrayFormatter::try_new(&plain, &options).map(|formatter| formatter.value(index).to_string())
    });
    let key = text.unwrap_or_default();
    spark_error("DUPLICATED_MAP_KEY", format!("Duplicate map key {key} was found, please check the input data."))
}

/// Refuses key types with a map in them.
pub(crate) fn check_key(call: &Call<'_>, key: &DataType) -> Result<()> {
    if is_orderable(key) {
        return Ok(());
    }
    Err(mismatch(call, "INVALID_MAP_KEY_TYPE", format!("The key of map cannot be/contain \"{}\".", sql_name(key))))
}

/// A map's keys and values, each entry of each row.
pub(crate) fn parts(entries: &Lists) -> (ArrayRef, ArrayRef) {
    let entries = entries.values.as_struct();
    (Arc::clone(entries.column(0)), Arc::clone(entries.column(1)))
}

/// The value of a key; null if the map doesn't have it.
pub(crate) fn lookup(key: DataType, value: DataType) -> Resolved {
    Resolved::new(vec![map(key.clone(), value.clone()), key], value, |invocation| {
        let (maps, wanted) = (Lists::of(&invocation.array(0)?)?, invocation.array(1)?);
        let (_, values) = parts(&maps);
        take_or_null(&values, &positions(&maps, &wanted)?.into_iter().collect())
    })
}

/// For each row the entry that has the wanted key.
fn positions(maps: &Lists, wanted: &ArrayRef) -> Result<Vec<Option<u32>>> {
    let (keys, _) = parts(maps);
    let (compare, nulls) = (comparator(&keys, wanted)?, wanted.logical_nulls());
    let find = |row: usize| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        maps.range(row).find(|index| compare(*index, row).is_eq()).map(|index| index as u32)
    };
    Ok((0..maps.len()).map(find).collect())
}

fn of_pairs(call: &Call<'_>) -> Result<Resolved> {
    if !call.len().is_multiple_of(2) {
        let message = format!("The `map` requires 2n (n > 0) parameters but the actual number is {}.", call.len());
        return Err(spark_error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", message));
    }
    let common = |first: usize, condition: &str, what: &str| {
        let types: Vec<DataType> = call.args.iter().skip(first).step_by(2).map(|arg| arg.data_type.clone()).collect();
        common_type_of(&types).ok_or_else(|| {
            let names: Vec<String> = types.iter().map(|own| format!("\"{}\"", sql_name(own))).collect();
            let names = names.join(", ");
            let message = format!("The given {what} of function `map` should all be the same type, but they are [{names}].");
            mismatch(call, condition, message)
        })
    };
    let key = common(0, "CREATE_MAP_KEY_DIFF_TYPES", "keys")?;
    let value = common(1, "CREATE_MAP_VALUE_DIFF_TYPES", "values")?;
    check_key(call, &key)?;
    let args: Vec<DataType> = (0..call.len()).map(|index| if index % 2 == 0 { key.clone() } else { value.clone() }).collect();
    let returns = map(key.clone(), value.clone());
    let width = call.len() / 2;
    let kernel = move |invocation: &Invocation<'_>| {
        let columns = (0..2 * width).map(|index| invocation.array(index)).collect::<Result<Vec<_>>>()?;
        let side = |first: usize, data_type: &DataType| -> Result<ArrayRef> {
            let columns: Vec<&dyn Array> = columns.iter().skip(first).step_by(2).map(AsRef::as_ref).collect();
            let picks: Vec<_> = (0..invocation.rows).flat_map(|row| (0..width).map(move |column| (column, row))).collect();
            if width == 0 { Ok(new_null_array(data_type, 0)) } else { Ok(interleave(&columns, &picks)?) }
        };
        let keys = one_zero(&side(0, &key)?)?;
        map_of(keys, side(1, &value)?, OffsetBuffer::from_repeated_length(width, invocation.rows), None)
    };
    Ok(Resolved::new(args, returns, kernel).fallible())
}

/// Keys as maps hold them: floating-point ones with one zero and one NaN.
pub(crate) fn one_zero(keys: &ArrayRef) -> Result<ArrayRef> {
    if matches!(keys.data_type(), DataType::Float32 | DataType::Float64) { normalised(keys) } else { Ok(Arc::clone(keys)) }
}

fn keys(call: &Call<'_>) -> Result<Resolved> {
    let (key, value) = map_or_null(call, 0)?;
    Ok(part(map(key.clone(), value), key, |entries| parts(entries).0))
}

fn values(call: &Call<'_>) -> Result<Resolved> {
    let (key, value) = map_or_null(call, 0)?;
    Ok(part(map(key, value.clone()), value, |entries| parts(entries).1))
}

fn part(arg: DataType, element: DataType, choose: fn(&Lists) -> ArrayRef) -> Resolved {
    Resolved::new(vec![arg], list(element), move |invocation| {
        let entries = Lists::of(&invocation.array(0)?)?;
        entries.with_values(choose(&entries))
    })
}

fn all_entries(call: &Call<'_>) -> Result<Resolved> {
    let (key, value) = map_or_null(call, 0)?;
    let entry = structure([("key", key.clone()), ("value", value.clone())]);
    Ok(part(map(key, value), entry, |entries| {
        let (keys, values) = parts(entries);
        let fields = [("key", keys), ("value", values)];
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(name, values)| (Arc::new(arrow::datatypes::Field::new(name, values.data_type().clone(), true)), values))
            .collect();
        Arc::new(StructArray::from(fields))
    }))
}

fn contains_key(call: &Call<'_>) -> Result<Resolved> {
    if call.data_type(1) == &DataType::Null {
        return Err(null_type(call));
    }
    let (key, value) = map_and_key(call)?;
    let kernel = |invocation: &Invocation<'_>| -> Result<ArrayRef> {
        let (array, wanted) = (invocation.array(0)?, invocation.array(1)?);
        let nulls = nulls_of(&[&array, &wanted]);
        let found = positions(&Lists::of(&array)?, &wanted)?.iter().map(Option::is_some).collect::<Vec<_>>();
        Ok(Arc::new(BooleanArray::new(found.into(), nulls)))
    };
    Ok(Resolved::new(vec![map(key.clone(), value), key], DataType::Boolean, kernel))
}

fn from_arrays(call: &Call<'_>) -> Result<Resolved> {
    let (key, value) = (array_or_null(call, 0)?, array_or_null(call, 1)?);
    check_key(call, &key)?;
    let returns = map(key.clone(), value.clone());
    let kernel = move |invocation: &Invocation<'_>| {
        let (keys, values) = (invocation.array(0)?, invocation.array(1)?);
        let nulls = nulls_of(&[&keys, &values]);
        let (keys, values) = (only_where(&keys, nulls.as_ref())?, only_where(&values, nulls.as_ref())?);
        if keys.offsets.inner() != values.offsets.inner() {
            return Err(spark_error("ILLEGAL_ARGUMENT", "The key array and value array of MapData must have the same length."));
        }
        map_of(keys.values, values.values, keys.offsets, nulls)
    };
    Ok(Resolved::new(vec![list(key), list(value)], returns, kernel).fallible())
}

/// An array column whose rows are null where `nulls` says so.
fn only_where(array: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<Lists> {
    match nulls {
        Some(nulls) => Lists::of(&crate::structs::masked(array, nulls)?),
        None => Lists::of(array),
    }
}

fn from_entries(call: &Call<'_>) -> Result<Resolved> {
    let pair = match element_type(call.data_type(0)) {
        Some(DataType::Struct(fields)) if fields.len() == 2 => Some((fields[0].data_type(), fields[1].data_type())),
        _ => None,
    };
    let (key, value) = pair.ok_or_else(|| call.unexpected_type(0, "the \"ARRAY\" of pair \"STRUCT\" type"))?;
    check_key(call, key)?;
    let returns = map(key.clone(), value.clone());
    let kernel = |invocation: &Invocation<'_>| {
        let array = invocation.array(0)?;
        let lists = Lists::of(&array)?;
        // An array with a null entry gives null.
        let whole = |row: usize| !lists.is_null(row) && !lists.range(row).any(|index| lists.values.is_null(index));
        let nulls = NullBuffer::from((0..lists.len()).map(whole).collect::<Vec<_>>());
        let lists = only_where(&array, Some(&nulls))?;
        let (keys, values) = parts(&lists);
        map_of(one_zero(&keys)?, values, lists.offsets, Some(nulls).filter(|nulls| nulls.null_count() > 0))
    };
    Ok(Resolved::new(vec![call.data_type(0).clone()], returns, kernel).fallible())
}

fn concat(call: &Call<'_>) -> Result<Resolved> {
    let types: Vec<DataType> = call.args.iter().map(|arg| arg.data_type.clone()).collect();
    if types.iter().any(|own| !matches!(own, DataType::Map(_, _))) {
        let names: Vec<String> = types.iter().map(|own| format!("\"{}\"", sql_name(own))).collect();
        let message = format!("The `map_concat` should all be of type map, but it's [{}].", names.join(", "));
        return Err(mismatch(call, "MAP_CONCAT_DIFF_TYPES", message));
    }
    let common = if types.is_empty() {
        map(DataType::Utf8, DataType::Utf8)
    } else {
        common_type_of(&types).ok_or_else(|| different_types(call))?
    };
    let (key, value) = match map_types(&common) {
        Some((key, value)) => (key.clone(), value.clone()),
        None => return Err(different_types(call)),
    };
    let width = types.len();
    let kernel = move |invocation: &Invocation<'_>| {
        let columns = (0..width).map(|index| invocation.array(index)).collect::<Result<Vec<_>>>()?;
        let nulls = nulls_of(&columns.iter().collect::<Vec<_>>());
        let maps = columns.iter().map(Lists::of).collect::<Result<Vec<_>>>()?;
        let (keys, values): (Vec<_>, Vec<_>) = maps.iter().map(parts).unzip();
        let (mut keys, mut values) = (Picker::new(keys, &key), Picker::new(values, &value));
        for row in 0..invocation.rows {
            if !nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                for (source, map) in maps.iter().enumerate() {
                    keys.pick_all(source, map.range(row));
                    values.pick_all(source, map.range(row));
                }
            }
            keys.end();
            values.end();
        }
        let (keys, values) = (keys.finish()?, values.finish()?);
        map_of(one_zero(&keys.values)?, values.values, keys.offsets, nulls)
    };
    Ok(Resolved::new(vec![common.clone(); width], common, kernel).fallible())
}

fn from_text(call: &Call<'_>) -> Result<Resolved> {
    let args = (0..call.len()).map(|index| text(call, index)).collect::<Result<Vec<_>>>()?;
    let kernel = |invocation: &Invocation<'_>| -> Result<ArrayRef> {
        let columns = (0..invocation.args.len()).map(|index| invocation.array(index)).collect::<Result<Vec<_>>>()?;
        let nulls = nulls_of(&columns.iter().collect::<Vec<_>>());
        let texts: Vec<_> = columns.iter().map(|column| column.as_string::<i32>()).collect();
        let mut patterns = Patterns::default();
        let (mut keys, mut values, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(invocation.rows));
        for row in 0..invocation.rows {
            let before = keys.len();
            if !nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                let delimiter = |index: usize, default| texts.get(index).map_or(default, |column| column.value(row));
                for pair in patterns.split(texts[0].value(row), delimiter(1, ","), None)? {
                    let mut parts = patterns.split(pair, delimiter(2, ":"), Some(2))?.into_iter();
                    keys.push(parts.next());
                    values.push(parts.next());
                }
            }
            lengths.push(keys.len() - before);
        }
        let keys: ArrayRef = Arc::new(arrow::array::StringArray::from(keys));
        let values: ArrayRef = Arc::new(arrow::array::StringArray::from(values));
        map_of(keys, values, OffsetBuffer::from_lengths(lengths), nulls)
    };
    Ok(Resolved::new(args, map(DataType::Utf8, DataType::Utf8), kernel).fallible())
}

/// Delimiters, which are regular expressions, compiled once.
#[derive(Default)]
struct Patterns {
    compiled: HashMap<String, Regex>,
}

impl Patterns {
    /// The parts of a text between delimiters, at most `limit`. A match without length at the start separates nothing; at the end it
    /// does, unless the delimiter itself is empty.
    fn split<'a>(&mut self, text: &'a str, delimiter: &str, limit: Option<usize>) -> Result<Vec<&'a str>> {
        if !self.compiled.contains_key(delimiter) {
            let pattern = Regex::new(delimiter).map_err(|error| {
                let message = format!("The value of parameter(s) `regexp` in `str_to_map` is invalid: '{delimiter}': {error}");
                spark_error("INVALID_PARAMETER_VALUE.PATTERN", message)
            })?;
            self.compiled.insert(delimiter.to_owned(), pattern);
        }
        let Some(pattern) = self.compiled.get(delimiter) else { return Ok(vec![text]) };
        let (mut parts, mut start) = (Vec::new(), 0);
        for found in pattern.find_iter(text) {
            if limit.is_some_and(|limit| parts.len() + 1 >= limit) {
                break;
            }
            if found.is_empty() && (found.start() == 0 || (delimiter.is_empty() && found.end() == text.len())) {
                continue;
            }
            parts.push(&text[start..found.start()]);
            start = found.end();
        }
        parts.push(&text[start..]);
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use crate::array::testing::check;

    const M: &str = "map<int,int>";
    const S: &str = "map<string,string>";

    #[test]
    fn building() {
        check(&[
            ("map", &[], "{} map<void,void>"),
            ("map", &[("int", "1"), ("int", "2"), ("int", "3"), ("void", "null")], "{1: 2, 3: null} map<int,int>"),
            ("map", &[("int", "1"), ("int", "2"), ("int", "1"), ("int", "3")], "!DUPLICATED_MAP_KEY"),
            ("map", &[("double", "0.0"), ("int", "2"), ("double", "-0.0"), ("int", "3")], "!DUPLICATED_MAP_KEY"),
            ("map", &[("double", "-0.0"), ("int", "2")], "{0.0: 2} map<double,int>"),
            ("map", &[("void", "null"), ("int", "2")], "!NULL_MAP_KEY"),
            ("map", &[("int", "1")], "!WRONG_NUM_ARGS.WITHOUT_SUGGESTION"),
            ("map", &[(M, "{}"), ("int", "1")], "!DATATYPE_MISMATCH.INVALID_MAP_KEY_TYPE"),
            (
                "map",
                &[("int", "1"), ("int", "1"), ("boolean", "true"), ("int", "1")],
                "!DATATYPE_MISMATCH.CREATE_MAP_KEY_DIFF_TYPES",
            ),
            (
                "map",
                &[("int", "1"), ("int", "1"), ("int", "2"), ("boolean", "true")],
                "!DATATYPE_MISMATCH.CREATE_MAP_VALUE_DIFF_TYPES",
            ),
            ("map_from_arrays", &[("array<int>", "[1,2]"), ("array<string>", "[\"a\",null]")], "{1: a, 2: null} map<int,string>"),
            ("map_from_arrays", &[("array<int>", "[1]"), ("array<string>", "null")], "null map<int,string>"),
            ("map_from_arrays", &[("array<int>", "[1]"), ("array<string>", "[]")], "!ILLEGAL_ARGUMENT"),
            ("map_from_arrays", &[("array<int>", "[null]"), ("array<int>", "[1]")], "!NULL_MAP_KEY"),
            ("map_from_arrays", &[("array<int>", "[1,1]"), ("array<int>", "[1,1]")], "!DUPLICATED_MAP_KEY"),
            ("map_from_arrays", &[("int", "1"), ("array<int>", "[1]")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
            ("map_from_entries", &[("array<struct<a:int,b:int>>", "[{\"a\":1,\"b\":null}]")], "{1: null} map<int,int>"),
            ("map_from_entries", &[("array<struct<a:int,b:int>>", "[{\"a\":1},{\"a\":1},null]")], "null map<int,int>"),
            ("map_from_entries", &[("array<struct<a:int,b:int>>", "[{\"b\":1}]")], "!NULL_MAP_KEY"),
            ("map_from_entries", &[("array<int>", "[]")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
            ("map_concat", &[(M, "{\"2\":1}"), (M, "{\"1\":3}")], "{2: 1, 1: 3} map<int,int>"),
            ("map_from_arrays", &[("void", "null"), ("array<int>", "[1]")], "null map<void,int>"),
            ("map_concat", &[(M, "{\"2\":1}"), (M, "null")], "null map<int,int>"),
            ("map_concat", &[(M, "{\"1\":1}"), (M, "{\"1\":3}")], "!DUPLICATED_MAP_KEY"),
            ("map_concat", &[], "{} map<string,string>"),
            ("map_concat", &[(M, "{}"), ("void", "null")], "!DATATYPE_MISMATCH.MAP_CONCAT_DIFF_TYPES"),
            ("map_concat", &[(M, "{}"), (S, "{}")], "!DATATYPE_MISMATCH.DATA_DIFF_TYPES"),
        ]);
    }

    #[test]
    fn text() {
        let of = |text: &'static str| [("string", text)];
        check(&[
            ("str_to_map", &of("\"b:1,a:2:3\""), "{b: 1, a: 2:3} map<string,string>"),
            ("str_to_map", &of("\"\""), "{: null} map<string,string>"),
            ("str_to_map", &of("\"a:1,\""), "{a: 1, : null} map<string,string>"),
            ("str_to_map", &of("null"), "null map<string,string>"),
            ("str_to_map", &of("\"a:1,a:2\""), "!DUPLICATED_MAP_KEY"),
            (
                "str_to_map",
                &[("string", "\"x1y\""), ("string", "\"\\\\d\""), ("string", "\":\"")],
                "{x: null, y: null} map<string,string>",
            ),
            (
                "str_to_map",
                &[("string", "\"abc\""), ("string", "\"\""), ("string", "\"\"")],
                "{a: null, b: null, c: null} map<string,string>",
            ),
            ("str_to_map", &[("string", "\"a:1\""), ("string", "\",\""), ("string", "\"\"")], "{a: :1} map<string,string>"),
            (
                "str_to_map",
                &[("string", "\"a|b\""), ("string", "\"|\"")],
                "{a: null, |: null, b: null, : null} map<string,string>",
            ),
            ("str_to_map", &[("string", "\"a\""), ("string", "null")], "null map<string,string>"),
            ("str_to_map", &[("int", "1")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
        ]);
    }

    #[test]
    fn parts_of_maps() {
        check(&[
            ("map_keys", &[(M, "{\"1\":2,\"3\":4}")], "[1, 3] array<int>"),
            ("map_values", &[(M, "{\"1\":2,\"3\":null}")], "[2, null] array<int>"),
            ("map_entries", &[(M, "{\"1\":2}")], "[{key: 1, value: 2}] array<struct<key:int,value:int>>"),
            ("map_entries", &[("void", "null")], "null array<struct<key:void,value:void>>"),
            ("map_keys", &[("array<int>", "[]")], "!DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
            ("map_contains_key", &[(M, "{\"1\":2}"), ("int", "1")], "true boolean"),
            ("map_contains_key", &[(M, "{\"1\":2}"), ("bigint", "3")], "false boolean"),
            ("map_contains_key", &[(M, "{\"1\":2}"), ("int", "null")], "null boolean"),
            ("map_contains_key", &[(M, "null"), ("int", "1")], "null boolean"),
            ("map_contains_key", &[(M, "{}"), ("void", "null")], "!DATATYPE_MISMATCH.NULL_TYPE"),
            ("map_contains_key", &[(M, "{}"), ("string", "\"1\"")], "!DATATYPE_MISMATCH.MAP_FUNCTION_DIFF_TYPES"),
        ]);
    }
}
