//! How JSON files are written.

use super::json_cursor::JsonRules;

/// How the JSON files of a source are written: Spark's options of these names, with its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonOptions {
    /// Each file is one value, which may span lines.
    pub multi_line: bool,
    /// Comments of Java and C++ are passed over.
    pub allow_comments: bool,
    /// Names of fields may lack their quotes.
    pub allow_unquoted_field_names: bool,
    /// Strings may have single quotes (they may).
    pub allow_single_quotes: bool,
    /// Numbers may begin with zeros.
    pub allow_numeric_leading_zeros: bool,
    /// A backslash may precede any character.
    pub allow_backslash_escaping_any_character: bool,
    /// Strings may hold control characters.
    pub allow_unquoted_control_chars: bool,
    /// `NaN` and infinities are numbers (they are).
    pub allow_non_numeric_numbers: bool,
}

impl Default for JsonOptions {
    fn default() -> Self {
        let rules = JsonRules::default();
        JsonOptions {
            multi_line: false,
            allow_comments: rules.allow_comments,
            allow_unquoted_field_names: rules.allow_unquoted_field_names,
            allow_single_quotes: rules.allow_single_quotes,
            allow_numeric_leading_zeros: rules.allow_numeric_leading_zeros,
            allow_backslash_escaping_any_character: rules.allow_backslash_escaping_any_character,
            allow_unquoted_control_chars: rules.allow_unquoted_control_chars,
            allow_non_numeric_numbers: rules.allow_non_numeric_numbers,
        }
    }
}

impl JsonOptions {
    pub(crate) fn rules(&self) -> JsonRules {
        JsonRules {
            allow_comments: self.allow_comments,
            allow_unquoted_field_names: self.allow_unquoted_field_names,
            allow_single_quotes: self.allow_single_quotes,
            allow_numeric_leading_zeros: self.allow_numeric_leading_zeros,
            allow_backslash_escaping_any_character: self.allow_backslash_escaping_any_character,
            allow_unquoted_control_chars: self.allow_unquoted_control_chars,
            allow_non_numeric_numbers: self.allow_non_numeric_numbers,
        }
    }
}
