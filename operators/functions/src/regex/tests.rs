//! Each function against what Spark gives.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use crate::string::tests::{NULL, check, check_error, check_int, check_text, run_literal, strings, values};

#[test]
fn patterns_are_those_of_java() {
    for (text, pattern, found) in [
        ("abc", "b", true),
        ("abc", "^b", false),
        ("abc", "(?i)B", true),
        ("foo\n", "foo$", true),
        ("foo\n", r"foo\Z", true),
        ("foo\n", r"foo\z", false),
        ("a\r\n", "a$", true),
        ("ab\n\n", "ab$", false),
        ("a\u{85}", "a$", true),
        ("a\nb", "a.b", false),
        ("a\rb", "a.b", false),
        ("a\nb", "(?s)a.b", true),
        ("a\nb", "(?m)^b$", true),
        ("a\r\nb", "(?m)a$", true),
        ("aab", "a++b", true),
        ("aa", "a*+a", false),
        ("ab", "(?>a|ab)b", true),
        ("é", r"\w", false),
        ("١", r"\d", false),
        ("é", r"(?U)\w", true),
        ("É", "(?i)é", false),
        ("É", "(?iu)é", true),
        ("A", "(?i)[a-c]", true),
        ("É", "(?i)[é]", false),
        ("A", "(?i:a)", true),
        ("a1", r"\p{Alpha}\p{Digit}", true),
        ("é", r"\p{Alpha}", false),
        ("é", r"\p{L}", true),
        ("é", r"\p{IsAlphabetic}", true),
        ("1", r"\pN", true),
        ("α", r"\p{InGreek}", true),
        ("a", r"\p{script=Latin}", true),
        ("a", r"\P{Alpha}", false),
        ("a.b", r"\Qa.b\E", true),
        ("axb", r"\Qa.b\E", false),
        ("abab", r"(ab)\1", true),
        ("foobar", "foo(?=bar)", true),
        ("foobar", "(?<!foo)bar", false),
        ("a-b", "[a&&b]", false),
        ("b", "[a-z&&[^b]]", false),
        ("x", "[a[x]]", true),
        ("a]", "[]a]", true),
        ("_", "[[:alpha:]]", false),
        ("~", "[~~]", true),
        ("-", r"[\w-]", true),
        ("#", "[#]", true),
        ("\t", r"\h", true),
        ("a", r"\x61|\u0062", true),
        ("A", r"\0101", true),
        ("\n", r"\cJ", true),
        ("ab", "(?x) a b # c", true),
        ("\r\n", r"^\R$", true),
        ("é a", r"\bé", true),
        ("a}", "a}", true),
    ] {
        check("rlike", &[(values![text, pattern], found.into())]);
    }
    for pattern in [
        "(",
        ")",
        "*a",
        "a**",
        "a|*",
        "[",
        "[z-a]",
        "a{",
        "a{,2}",
        "{",
        "a{2,1}",
        r"\p{Foo}",
        r"\y",
        r"\",
        "(?z)a",
        "(?<1>a)",
        "(?<n>a)(?<n>b)",
    ] {
        check_error("rlike", &[(values!["a", pattern], "INVALID_PARAMETER_VALUE.PATTERN")]);
    }
    check("rlike", &[(values![NULL, "a"], ScalarValue::Boolean(None)), (values![123, "2"], true.into())]);
}

#[test]
fn extractions() {
    check_text("regexp_extract", &[(values!["100-200", r"(\d+)-(\d+)"], "100")]);
    check_text(
        "regexp_extract",
        &[
            (values!["100-200", r"(\d+)-(\d+)", 0], "100-200"),
            (values!["abc", r"(\d+)", 1], ""),
            (values!["abc", "(z)?abc", 1], ""),
            (values!["x", "(a)", 2], ""),
        ],
    );
    check_error(
        "regexp_extract",
        &[
            (values!["a", "(a)", 2], "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX"),
            (values!["a", "(a)", -1], "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX"),
            (values!["a", "(", 0], "INVALID_PARAMETER_VALUE.PATTERN"),
        ],
    );
    check(
        "regexp_extract_all",
        &[
            (values!["100-200, 300-400", r"(\d+)-(\d+)", 2], strings(&["200", "400"])),
            (values!["abc", r"\d", 0], strings(&[])),
            (values!["ab", "(z)?.", 1], strings(&["", ""])),
            (values!["aa", "", 0], strings(&["", "", ""])),
        ],
    );
    check_int(
        "regexp_count",
        &[
            (values!["Steven Jones and Stephen Smith", "Ste(v|ph)en"], 2),
            (values!["abc", ""], 4),
            (values!["aaa", "aa"], 1),
            (values!["aaa", "a*"], 2),
            (values!["", ""], 1),
        ],
    );
    check(
        "regexp_substr",
        &[
            (values!["Steven", "Ste(v|ph)en"], "Steven".into()),
            (values!["abc", "z"], NULL.into()),
            (values!["abc", ""], NULL.into()),
        ],
    );
    check_int("regexp_instr", &[(values!["é😀b", "b"], 3), (values!["abc", "z"], 0), (values!["abc", ""], 1)]);
}

#[test]
fn replacements() {
    check_text(
        "regexp_replace",
        &[
            (values!["100-200", r"(\d+)", "<$1>"], "<100>-<200>"),
            (values!["aaa", "a", r"\$"], "$$$"),
            (values!["abc", "", "-"], "-a-b-c-"),
            (values!["ab", "b*", "X"], "XaXX"),
            (values!["a\n", "$", "X"], "aX\nX"),
            (values!["abc", "(b)", "$10"], "ab0c"),
            (values!["abc", "(z)?b", "[$1]"], "a[]c"),
            (values!["x", "(?<n>x)", "<${n}>"], "<x>"),
            (values!["abc", ".", "$0$0"], "aabbcc"),
            (values!["hello", r"(l)\1", "<$0>"], "he<ll>o"),
            (values!["x", "x", r"a\b"], "ab"),
            (values!["abc", "z", "$1"], "abc"),
        ],
    );
    check_text(
        "regexp_replace",
        &[
            (values!["100-200", r"(\d+)", "<$1>", 4], "100-<200>"),
            (values!["é😀b", "b", "x", 3], "é😀x"),
            (values!["abcabc", "^abc", "x", 4], "abcx"),
            (values!["abc", "b", "x", 100], "abc"),
        ],
    );
    for replacement in ["$1", "$", "${x}", "$x", "x\\"] {
        check_error("regexp_replace", &[(values!["abc", "b", replacement], "INVALID_REGEXP_REPLACE")]);
    }
    assert_eq!(
        run_literal("regexp_replace", &values!["abc", "b", "x", 0]),
        Err("DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE".to_owned())
    );
}

#[test]
fn splits() {
    for (text, pattern, limit, pieces) in [
        ("oneAtwoBthreeC", "[ABC]", -1, &["one", "two", "three", ""] as &[&str]),
        ("oneAtwoBthreeC", "[ABC]", 2, &["one", "twoBthreeC"]),
        ("oneAtwoBthreeC", "[ABC]", 0, &["one", "two", "three", ""]),
        ("", " ", -1, &[""]),
        ("abc", "", -1, &["a", "b", "c"]),
        ("abc", "", 1, &["abc"]),
        ("abc", "", 2, &["a", "bc"]),
        ("abc", "", 10, &["a", "b", "c"]),
        ("", "", -1, &[""]),
        ("😀é", "", -1, &["😀", "é"]),
        (" a  b ", " ", -1, &["", "a", "", "b", ""]),
        ("a b c", " ", 2, &["a", "b c"]),
        ("a b", " ", 1, &["a b"]),
        ("a.b", ".", -1, &["", "", "", ""]),
        ("a.b", r"\.", -1, &["a", "b"]),
        ("a||b", r"\|\|", -1, &["a", "b"]),
        ("a|b", "|", -1, &["a", "|", "b", ""]),
        ("Ab", "(?=b)", -1, &["A", "b"]),
        ("ab", "(?=a)", -1, &["ab"]),
        ("abc", "x*", -1, &["a", "b", "c", ""]),
        ("aab", "a*", 2, &["", "b"]),
        ("aXbxc", "(?i)x", -1, &["a", "b", "c"]),
        ("ab", "$", -1, &["ab", ""]),
    ] {
        check("split", &[(values![text, pattern, limit], strings(pieces))]);
    }
    let null = ScalarValue::new_null_list(DataType::Utf8, true, 1);
    check("split", &[(values![NULL, " "], null)]);
}

#[test]
fn likes() {
    for (text, pattern, found) in [
        ("abc", "a%", true),
        ("abc", "_b_", true),
        ("a%c", r"a\%c", true),
        ("abc", r"a\%c", false),
        ("abc", "", false),
        ("", "%", true),
        ("", "_%", false),
        ("a\nb", "a%b", true),
        ("ABC", "abc", false),
        ("😀", "_", true),
        ("a\\b", r"a\\b", true),
        ("abc", "%b%", true),
        ("a", "a%a", false),
        ("aXbXc", "a%b%c", true),
        ("ab", "___", false),
        ("aab", "%a_b%", true),
        ("mississippi", "%i_s%ip_i", true),
    ] {
        check("like", &[(values![text, pattern], found.into())]);
    }
    for (text, pattern, found) in
        [("ABC", "abc", true), ("ÉA", "éa", true), ("ß", "SS", false), ("Σ", "ς", false), ("A_", r"a\_", true)]
    {
        check("ilike", &[(values![text, pattern], found.into())]);
    }
    for (text, pattern, escape, found) in [("a/%", "a//%", "/", true), ("a%", "a/%", "/", true), ("!a", "!!a", "!", true)] {
        assert_eq!(run_literal("like", &values![text, pattern, escape]), Ok(found.into()), "{pattern}");
    }
    check_error(
        "like",
        &[(values!["a", r"a\"], "INVALID_FORMAT.ESC_AT_THE_END"), (values!["a", r"a\b"], "INVALID_FORMAT.ESC_IN_THE_MIDDLE")],
    );
    assert_eq!(run_literal("like", &values!["a", "a", "//"]), Err("INVALID_ESCAPE_CHAR".to_owned()));
    check("like", &[(values!["a", NULL], ScalarValue::Boolean(None))]);
}
