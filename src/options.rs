//! Options of readers and writers: names without regard to case, values as text.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The options of one reader or writer.
#[derive(Clone, Default)]
pub(crate) struct Options(BTreeMap<String, String>);

/// Only the names: a value may be a password.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Options {
    /// All of them, names in lower case.
    #[cfg(feature = "kafka")]
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.0.insert(name.to_lowercase(), value.to_string());
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_lowercase()).map(String::as_str)
    }

    /// The others.
    pub(crate) fn without(&self, name: &str) -> Self {
        let mut others = self.clone();
        others.0.remove(&name.to_lowercase());
        others
    }

    /// The option of this name, which `what` can't do without.
    pub(crate) fn required(&self, name: &str, what: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| {
            Error::analysis(
                "STREAMING_OPTION_MISSING",
                format!("{what} needs the option '{name}': set it with .option(\"{name}\", …)"),
            )
        })
    }

    /// The option of this name as a number, a boolean and the like.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let invalid =
            || Error::analysis("INVALID_OPTION", format!("Invalid value '{text}' for option '{name}', it can't be read."));
        text.trim().to_lowercase().parse().map(Some).map_err(|_| invalid())
    }

    /// The option of this name as a number above zero.
    pub(crate) fn positive(&self, name: &str) -> Result<Option<usize>> {
        match self.parsed::<i64>(name)? {
            None => Ok(None),
            Some(n) if n > 0 => Ok(usize::try_from(n).ok()),
            Some(n) => Err(Error::analysis(
                "INVALID_OPTION",
                format!("Invalid value '{n}' for option '{name}', must be a positive integer"),
            )),
        }
    }
}
