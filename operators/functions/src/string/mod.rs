//! Functions of strings.
//!
//! Characters are Unicode code points. Where Spark has a function for `binary` too, it counts bytes.

mod case;
mod codes;
pub(crate) mod columns;
mod concat;
mod decimal_text;
mod format_number;
mod format_string;
mod measure;
mod number_pattern;
mod search;
mod slices;
mod trim;
mod url;

#[cfg(test)]
pub(crate) mod tests;

use crate::function::{Arity, Function};

pub(crate) use codes::{push_base64, push_hex};

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    // Case.
    Function { names: &["upper", "ucase"], arity: Arity::exactly(1), resolve: case::upper },
    Function { names: &["lower", "lcase"], arity: Arity::exactly(1), resolve: case::lower },
    Function { names: &["initcap"], arity: Arity::exactly(1), resolve: case::initcap },
    // Sizes, distances, checks.
    Function { names: &["length", "len", "char_length", "character_length"], arity: Arity::exactly(1), resolve: measure::length },
    Function { names: &["octet_length"], arity: Arity::exactly(1), resolve: measure::octet_length },
    Function { names: &["bit_length"], arity: Arity::exactly(1), resolve: measure::bit_length },
    Function { names: &["ascii"], arity: Arity::exactly(1), resolve: measure::ascii },
    Function { names: &["levenshtein"], arity: Arity::between(2, 3), resolve: measure::levenshtein },
    Function { names: &["soundex"], arity: Arity::exactly(1), resolve: measure::soundex },
    Function { names: &["luhn_check"], arity: Arity::exactly(1), resolve: measure::luhn_check },
    // Parts.
    Function { names: &["trim"], arity: Arity::between(1, 2), resolve: trim::trim },
    Function { names: &["btrim"], arity: Arity::between(1, 2), resolve: trim::btrim },
    Function { names: &["ltrim"], arity: Arity::between(1, 2), resolve: trim::ltrim },
    Function { names: &["rtrim"], arity: Arity::between(1, 2), resolve: trim::rtrim },
    Function { names: &["substring", "substr"], arity: Arity::between(2, 3), resolve: slices::substring },
    Function { names: &["left"], arity: Arity::exactly(2), resolve: slices::left },
    Function { names: &["right"], arity: Arity::exactly(2), resolve: slices::right },
    Function { names: &["overlay"], arity: Arity::between(3, 4), resolve: slices::overlay },
    Function { names: &["split_part"], arity: Arity::exactly(3), resolve: slices::split_part },
    Function { names: &["substring_index"], arity: Arity::exactly(3), resolve: slices::substring_index },
    // More of them.
    Function { names: &["lpad"], arity: Arity::between(2, 3), resolve: slices::lpad },
    Function { names: &["rpad"], arity: Arity::between(2, 3), resolve: slices::rpad },
    Function { names: &["repeat"], arity: Arity::exactly(2), resolve: slices::repeat },
    Function { names: &["space"], arity: Arity::exactly(1), resolve: slices::space },
    Function { names: &["reverse"], arity: Arity::exactly(1), resolve: slices::reverse },
    Function { names: &["concat"], arity: Arity::at_least(0), resolve: concat::concat },
    Function { names: &["||"], arity: Arity::exactly(2), resolve: concat::concat },
    Function { names: &["concat_ws"], arity: Arity::at_least(1), resolve: concat::concat_ws },
    Function { names: &["elt"], arity: Arity::at_least(2), resolve: concat::elt },
    // Search and replacement.
    Function { names: &["instr"], arity: Arity::between(2, 4), resolve: search::instr },
    Function { names: &["locate", "position"], arity: Arity::between(2, 3), resolve: search::locate },
    Function { names: &["startswith"], arity: Arity::exactly(2), resolve: search::startswith },
    Function { names: &["endswith"], arity: Arity::exactly(2), resolve: search::endswith },
    Function { names: &["contains"], arity: Arity::exactly(2), resolve: search::contains },
    Function { names: &["find_in_set"], arity: Arity::exactly(2), resolve: search::find_in_set },
    Function { names: &["replace"], arity: Arity::between(2, 3), resolve: search::replace },
    Function { names: &["translate"], arity: Arity::exactly(3), resolve: search::translate },
    // Codes.
    Function { names: &["chr", "char"], arity: Arity::exactly(1), resolve: codes::chr },
    Function { names: &["hex"], arity: Arity::exactly(1), resolve: codes::hex },
    Function { names: &["unhex"], arity: Arity::exactly(1), resolve: codes::unhex },
    Function { names: &["base64"], arity: Arity::exactly(1), resolve: codes::base64 },
    Function { names: &["unbase64"], arity: Arity::exactly(1), resolve: codes::unbase64 },
    Function { names: &["encode"], arity: Arity::exactly(2), resolve: codes::encode },
    Function { names: &["decode"], arity: Arity::at_least(2), resolve: codes::decode },
    Function { names: &["is_valid_utf8"], arity: Arity::exactly(1), resolve: codes::is_valid_utf8 },
    Function { names: &["make_valid_utf8"], arity: Arity::exactly(1), resolve: codes::make_valid_utf8 },
    Function { names: &["validate_utf8"], arity: Arity::exactly(1), resolve: codes::validate_utf8 },
    Function { names: &["try_validate_utf8"], arity: Arity::exactly(1), resolve: codes::try_validate_utf8 },
    Function { names: &["quote"], arity: Arity::exactly(1), resolve: codes::quote },
    Function { names: &["mask"], arity: Arity::between(1, 5), resolve: codes::mask },
    // Numbers as text and back.
    Function { names: &["format_string", "printf"], arity: Arity::at_least(1), resolve: format_string::format_string },
    Function { names: &["format_number"], arity: Arity::exactly(2), resolve: format_number::format_number },
    Function { names: &["to_char", "to_varchar"], arity: Arity::exactly(2), resolve: number_pattern::to_char },
    Function { names: &["to_number"], arity: Arity::exactly(2), resolve: number_pattern::to_number },
    Function { names: &["try_to_number"], arity: Arity::exactly(2), resolve: number_pattern::try_to_number },
    // URLs.
    Function { names: &["parse_url"], arity: Arity::between(2, 3), resolve: url::parse_url },
    Function { names: &["try_parse_url"], arity: Arity::between(2, 3), resolve: url::try_parse_url },
    Function { names: &["url_encode"], arity: Arity::exactly(1), resolve: url::url_encode },
    Function { names: &["url_decode"], arity: Arity::exactly(1), resolve: url::url_decode },
    Function { names: &["try_url_decode"], arity: Arity::exactly(1), resolve: url::try_url_decode },
];
