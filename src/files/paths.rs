//! Several paths that are read as one.
//!
//! Each path has a source of its own, because each has a manifest of its own, or a pattern, or is in another store; a batch reads them as
//! one table. A stream has one path, as in Spark: its checkpoint knows files by where they lie below that.

use std::path::Path;

use arrow::datatypes::{DataType, Field};
use tidegate_functions::coercion::common_type;
use tidegate_functions::types::is_numeric;

use super::GLOB;
use crate::error::{Error, Result};

/// One path or several of files that are read as one table: `"in"`, or `["2023", "2024"]`.
#[derive(Debug, Clone)]
pub struct Paths(pub(crate) Vec<String>);

macro_rules! one_path {
    ($($text:ty),*) => {$(
        impl From<$text> for Paths {
            fn from(path: $text) -> Self {
                Paths(vec![path.to_string()])
            }
        }
    )*};
}
one_path!(&str, &&str, String, &String, std::borrow::Cow<'_, str>, &std::borrow::Cow<'_, str>);

impl<T: AsRef<str>, const N: usize> From<[T; N]> for Paths {
    fn from(paths: [T; N]) -> Self {
        paths.into_iter().collect()
    }
}

impl<T: AsRef<str>> From<Vec<T>> for Paths {
    fn from(paths: Vec<T>) -> Self {
        paths.into_iter().collect()
    }
}

impl<T: AsRef<str>> From<&[T]> for Paths {
    fn from(paths: &[T]) -> Self {
        paths.iter().collect()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Paths {
    fn from_iter<I: IntoIterator<Item = T>>(paths: I) -> Self {
        Paths(paths.into_iter().map(|path| path.as_ref().to_owned()).collect())
    }
}

/// The paths that lie below no other of them.
pub(super) fn outermost(paths: &[String]) -> Vec<String> {
    let is_below = |(at, path): &(usize, &String)| {
        paths.iter().enumerate().any(|(other_at, other)| {
            let (own, above) = (Path::new(path), Path::new(other));
            other_at != *at && !other.contains(GLOB) && own.starts_with(above) && (own != above || other_at < *at)
        })
    };
    paths.iter().enumerate().filter(|path| !is_below(path)).map(|(_, path)| path.clone()).collect()
}

/// The partition columns that the directories below several paths have in common; with a base path above all of them.
pub(super) fn common_partitions(found: Vec<(Vec<Field>, &String)>, has_base: bool) -> Result<Vec<Field>> {
    let mut found = found.into_iter();
    let Some((mut columns, first)) = found.next() else { return Ok(Vec::new()) };
    for (own, path) in found {
        if !has_base && (!columns.is_empty() || !own.is_empty()) {
            let message = format!(
                "Conflicting directory structures detected. Suspicious paths: {first}, {path}. If provided paths are partition \
                 directories, please set \"basePath\" in the options of the data source to specify the root directory of the table. If \
                 there are multiple root directories, please load them separately and then union them."
            );
            return Err(Error::analysis("CONFLICTING_DIRECTORY_STRUCTURES", message));
        }
        let are_same = columns.len() == own.len()
            && columns.iter().zip(&own).all(|(known, field)| known.name().eq_ignore_ascii_case(field.name()));
        if !are_same {
            let list = |fields: &[Field]| fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
            let message = format!(
                "Conflicting partition column names detected: {first} has ({}), {path} has ({}). For partitioned table directories, \
                 data files should only live in leaf directories. And directories at the same level should have the same partition \
                 column name.",
                list(&columns),
                list(&own)
            );
            return Err(Error::analysis("CONFLICTING_PARTITION_COLUMN_NAMES", message));
        }
        let wider = |(known, field): (Field, Field)| {
            let data_type = wider(known.data_type(), field.data_type());
            known.with_data_type(data_type)
        };
        columns = columns.into_iter().zip(own).map(wider).collect();
    }
    Ok(columns)
}

/// The type of a partition column that holds values of both: what numbers or times have in common, or text.
fn wider(one: &DataType, other: &DataType) -> DataType {
    let is_time = |kind: &DataType| matches!(kind, DataType::Date32 | DataType::Timestamp(..));
    let is_kind = is_numeric(one) && is_numeric(other) || is_time(one) && is_time(other);
    match common_type(one, other).filter(|_| is_kind) {
        Some(common) => common,
        None if one == other => one.clone(),
        None => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(columns: &[(&str, DataType)]) -> Vec<Field> {
        columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect()
    }

    #[test]
    fn paths_below_others_are_left_out() {
        let paths = |paths: &[&str]| outermost(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        assert_eq!(paths(&["/t", "/t/k=1", "/tt", "/t"]), ["/t", "/tt"]);
        assert_eq!(paths(&["/t/k=1", "/t/k=2"]), ["/t/k=1", "/t/k=2"]);
        assert_eq!(paths(&["/t/*", "/t/k=2"]), ["/t/*", "/t/k=2"]);
    }

    #[test]
    fn partition_columns_of_several_paths() {
        let (a, b) = ("/a".to_owned(), "/b".to_owned());
        let common = |one: &[(&str, DataType)], other: &[(&str, DataType)], has_base| {
            common_partitions(vec![(fields(one), &a), (fields(other), &b)], has_base)
        };
        let condition = |error: Error| error.condition().unwrap_or_default();
        assert!(common(&[], &[], false).unwrap().is_empty());
        let (int, text) = (DataType::Int32, DataType::Utf8);
        let types = |one: &DataType, other: &DataType| {
            common(&[("k", one.clone())], &[("K", other.clone())], true).unwrap()[0].data_type().clone()
        };
        assert_eq!(types(&int, &int), int);
        assert_eq!(types(&int, &DataType::Int64), DataType::Int64);
        assert_eq!(types(&int, &DataType::Date32), text);
        let error = common(&[("k", int.clone())], &[("k", int.clone())], false).unwrap_err();
        assert_eq!(condition(error), "CONFLICTING_DIRECTORY_STRUCTURES");
        for other in [&[("j", int.clone())][..], &[]] {
            let error = common(&[("k", int.clone())], other, true).unwrap_err();
            assert_eq!(condition(error), "CONFLICTING_PARTITION_COLUMN_NAMES");
        }
    }
}
