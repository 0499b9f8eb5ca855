//! What a batch does where there is something already.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::session::Session;

/// What [`DataFrameWriter`](crate::DataFrameWriter) does with rows that are there already: Spark's save modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SaveMode {
    /// The new rows are added to them.
    Append,
    /// The new rows take their place.
    Overwrite,
    /// It is an error, and nothing is written.
    #[default]
    ErrorIfExists,
    /// Nothing is written, and it is no error.
    Ignore,
}

/// `append`, `overwrite`, `ignore`, and `error`, `errorifexists` or `default`; case does not count.
///
/// ```
/// assert_eq!("Append".parse::<tidegate::SaveMode>()?, tidegate::SaveMode::Append);
/// # Ok::<(), tidegate::Error>(())
/// ```
impl FromStr for SaveMode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name.to_lowercase().as_str() {
            "append" => SaveMode::Append,
            "overwrite" => SaveMode::Overwrite,
            "error" | "errorifexists" | "default" => SaveMode::ErrorIfExists,
            "ignore" => SaveMode::Ignore,
            _ => {
                let message = format!(
                    "The specified save mode \"{name}\" is invalid. Valid save modes include \"append\", \"overwrite\", \"ignore\", \
                     \"error\", \"errorifexists\", and \"default\"."
                );
                return Err(Error::analysis("INVALID_SAVE_MODE", message));
            }
        })
    }
}

impl TryFrom<&str> for SaveMode {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        name.parse()
    }
}

/// What an overwrite without values of all partition columns replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartitionOverwriteMode {
    /// All rows.
    Static,
    /// Those of the partitions that the new rows are in.
    Dynamic,
}

impl PartitionOverwriteMode {
    /// A batch's option, or else the session's.
    pub(crate) fn of(session: &Session, option: Option<&str>) -> Result<Self> {
        const KEY: &str = "spark.sql.sources.partitionOverwriteMode";
        let mode = option.map(str::to_owned).or_else(|| session.config(KEY)).map(|mode| mode.to_lowercase());
        match mode.as_deref() {
            None | Some("static") => Ok(PartitionOverwriteMode::Static),
            Some("dynamic") => Ok(PartitionOverwriteMode::Dynamic),
            Some(other) => {
                let message = format!("The value '{other}' in the config \"{KEY}\" is invalid: static or dynamic.");
                Err(Error::analysis("INVALID_CONF_VALUE.OUT_OF_RANGE_OF_OPTIONS", message))
            }
        }
    }
}
