//! Each function against what Spark gives.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use crate::error::SparkError;
use crate::function::{Arg, Call, Invocation, Settings};

/// The arguments of a call.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$(datafusion::common::ScalarValue::from($value)),*] };
}
pub(crate) use values;

pub(crate) const NULL: Option<&str> = None;

pub(crate) fn bytes(value: &[u8]) -> ScalarValue {
    ScalarValue::Binary(Some(value.to_vec()))
}

pub(crate) fn strings(values: &[&str]) -> ScalarValue {
    let values: Vec<ScalarValue> = values.iter().map(|value| ScalarValue::from(*value)).collect();
    ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Utf8))
}

/// A call with columns; the same with literals must agree. The condition's name if it fails, or the message if it has none.
pub(crate) fn run(name: &str, values: &[ScalarValue]) -> Result<ScalarValue, String> {
    let column = evaluate(name, values, false);
    // What must be a literal is no column.
    if column != Err("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT".to_owned()) || !name.starts_with("mask") {
        assert!(column.is_err() || column == run_literal(name, values), "{name}{values:?}");
        return column;
    }
    run_literal(name, values)
}

/// A call with literals.
pub(crate) fn run_literal(name: &str, values: &[ScalarValue]) -> Result<ScalarValue, String> {
    evaluate(name, values, true)
}

fn evaluate(name: &str, values: &[ScalarValue], literal: bool) -> Result<ScalarValue, String> {
    let function = crate::scalar(name).ok_or("no such function")?;
    let shown = |error: datafusion::error::DataFusionError| match SparkError::find(&error) {
        Some(found) => found.condition.clone(),
        None => error.to_string(),
    };
    let args: Vec<Arg> = values
        .iter()
        .map(|value| Arg { data_type: value.data_type(), literal: literal.then(|| value.clone()), sql: value.to_string() })
        .collect();
    function.arity.check(name, args.len()).map_err(shown)?;
    let resolved = (function.resolve)(&Call { name, args: &args, settings: &Settings::default() }).map_err(shown)?;
    let rows = if literal { 1 } else { 3 };
    let args: Vec<ColumnarValue> = values
        .iter()
        .zip(&resolved.args)
        .map(|(value, target)| {
            let value = value.cast_to(target).unwrap();
            if literal { ColumnarValue::Scalar(value) } else { ColumnarValue::Array(value.to_array_of_size(rows).unwrap()) }
        })
        .collect();
    let result = (resolved.kernel)(&Invocation { args: &args, rows }).map_err(shown)?;
    assert_eq!((result.data_type(), result.len()), (&resolved.returns, rows), "{name}");
    Ok(ScalarValue::try_from_array(&result, rows - 1).unwrap())
}

/// What each call gives.
pub(crate) fn check<const N: usize>(name: &str, cases: &[([ScalarValue; N], ScalarValue)]) {
    for (values, expected) in cases {
        assert_eq!(run(name, values).as_ref(), Ok(expected), "{name}{values:?}");
    }
}

/// The same for functions that give a string.
pub(crate) fn check_text<const N: usize>(name: &str, cases: &[([ScalarValue; N], &str)]) {
    for (values, expected) in cases {
        assert_eq!(run(name, values), Ok(ScalarValue::from(*expected)), "{name}{values:?}");
    }
}

/// The same for functions that give an `int`.
pub(crate) fn check_int<const N: usize>(name: &str, cases: &[([ScalarValue; N], i32)]) {
    for (values, expected) in cases {
        assert_eq!(run(name, values), Ok(ScalarValue::from(*expected)), "{name}{values:?}");
    }
}

/// How each call fails.
pub(crate) fn check_error<const N: usize>(name: &str, cases: &[([ScalarValue; N], &str)]) {
    for (values, expected) in cases {
        let error = run(name, values).unwrap_err();
        assert!(error.contains(expected), "{name}{values:?}: {error}");
    }
}

#[test]
fn case_is_mapped_as_unicode_says() {
    check_text(
        "upper",
        &[(values!["ßŉﬁ ǆ\u{390}"], "SS\u{2bc}NFI Ǆ\u{399}\u{308}\u{301}"), (values!["aZ"], "AZ"), (values![true], "TRUE")],
    );
    check_text("lower", &[(values!["İΑΣ ΣΑΣ"], "i̇ας σας"), (values!["ẞA"], "ßa")]);
    check_text(
        "initcap",
        &[
            (values!["hELLO wORLD-foo  bar\tßx ǆa éCOLE"], "Hello World-foo  Bar\tßx ǅa École"),
            (values!["éa ÉA ŉa ﬁx x's o'neil"], "Éa Éa ʼNa Fix X's O'neil"),
            (values!["ΑΣ ΣΣ"], "Ας Σς"),
            (values!["İi"], "İi"),
            (values![""], ""),
        ],
    );
    check("upper", &[(values![NULL], NULL.into())]);
    check_error("upper", &[([strings(&["a"])], "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE")]);
}

#[test]
fn sizes() {
    check_int("length", &[(values!["aé😀"], 3), (values!["ab "], 3), ([bytes(&[0, 255])], 2), (values![123], 3)]);
    check_int("octet_length", &[(values!["é"], 2), ([bytes(&[1, 2])], 2)]);
    check_int("bit_length", &[(values!["é"], 16), (values![12], 16)]);
    check_int("ascii", &[(values!["222"], 50), (values![""], 0), (values!["é"], 233), (values!["😀"], 128512)]);
    check_int("levenshtein", &[(values!["kitten", "sitting"], 3), (values!["", "abc"], 3), (values!["é😀", "é"], 1)]);
    check_int(
        "levenshtein",
        &[
            (values!["kitten", "sitting", 2], -1),
            (values!["kitten", "sitting", 3], 3),
            (values!["a", "a", 0], 0),
            (values!["a", "a", -1], -1),
        ],
    );
    check_text(
        "soundex",
        &[
            (values!["Miller"], "M460"),
            (values![""], ""),
            (values!["Ashcraft"], "A261"),
            (values!["Tymczak"], "T522"),
            (values!["Pfister"], "P236"),
            (values!["1abc"], "1abc"),
            (values!["émile"], "émile"),
            (values!["Honeyman"], "H555"),
            (values!["VanDeusen"], "V532"),
            (values!["bwb"], "B000"),
            (values!["b-b"], "B100"),
            (values!["lloyd"], "L300"),
        ],
    );
    check_error("soundex", &[(values![123], "UNEXPECTED_INPUT_TYPE")]);
    for (value, valid) in
        [("8112189876", true), ("79927398713", true), ("79927398714", false), ("", false), ("a", false), (" 0", false)]
    {
        check("luhn_check", &[(values![value], valid.into())]);
    }
}

#[test]
fn trims() {
    check_text("trim", &[(values!["  a b  "], "a b"), (values![" \t a \t "], "\t a \t")]);
    check_text("ltrim", &[(values![" \t a"], "\t a")]);
    check_text("rtrim", &[(values!["a \n "], "a \n")]);
    check_text("trim", &[(values!["xy", "xxayx"], "a"), (values!["", "abc"], "abc")]);
    check_text("ltrim", &[(values!["xy", "xxayx"], "ayx")]);
    check_text("rtrim", &[(values!["xy", "xxayx"], "xxa")]);
    check_text("btrim", &[(values!["xxayx", "xy"], "a"), (values!["😀a😀", "😀"], "a")]);
    check("trim", &[(values![NULL, "abc"], NULL.into())]);
}

#[test]
fn slices() {
    check_text("substring", &[(values!["Spark SQL", 5], "k SQL"), (values!["Spark SQL", -3], "SQL"), (values!["abc", 0], "abc")]);
    check_text(
        "substring",
        &[
            (values!["abc", 0, 2], "ab"),
            (values!["abc", -5, 3], "a"),
            (values!["abc", -5, 2], ""),
            (values!["abc", 2, -1], ""),
            (values!["abc", i32::MAX, 2], ""),
            (values!["abc", 2, i32::MAX], "bc"),
            (values!["abc", -2, i32::MAX], "bc"),
            (values!["abc", i32::MIN, i32::MAX], "ab"),
            (values!["é😀b", 2, 1], "😀"),
        ],
    );
    check(
        "substring",
        &[([bytes(&[1, 2, 3]), 0.into(), 2.into()], bytes(&[1, 2])), ([bytes(&[1, 2, 3]), (-5).into(), 3.into()], bytes(&[1]))],
    );
    check_text("left", &[(values!["abcde", 2], "ab"), (values!["abc", -1], ""), (values!["abc", 10], "abc")]);
    check("left", &[([bytes(&[1, 2, 3]), 2.into()], bytes(&[1, 2]))]);
    check_text(
        "right",
        &[(values!["abc", 2], "bc"), (values!["abc", -1], ""), (values!["abc", 5], "abc"), (values!["é😀b", 2], "😀b")],
    );
    check_text(
        "overlay",
        &[
            (values!["Spark SQL", "_", 6], "Spark_SQL"),
            (values!["abc", "X", 0], "Xabc"),
            (values!["abc", "X", -1], "Xabc"),
            (values!["abc", "X", 10], "abcX"),
            (values!["abcdef", "X", -3], "Xef"),
        ],
    );
    check_text(
        "overlay",
        &[
            (values!["Spark SQL", "ANSI ", 7, 0], "Spark ANSI SQL"),
            (values!["Spark SQL", "tructured", 2, 4], "Structured SQL"),
            (values!["abc", "X", 2, -1], "aXc"),
            (values!["abc", "X", 2, 10], "aX"),
            (values!["abc", "XY", -1, 1], "XYabc"),
            (values!["abcdef", "X", -3, 2], "Xf"),
        ],
    );
    check("overlay", &[([bytes(&[1, 2, 3]), bytes(&[255]), 2.into()], bytes(&[1, 255, 3]))]);
    check_error("overlay", &[([bytes(&[1]), "a".into(), 2.into()], "DATATYPE_MISMATCH.DATA_DIFF_TYPES")]);
    check_text(
        "split_part",
        &[
            (values!["11.12.13", ".", 3], "13"),
            (values!["a.b", ",", 1], "a.b"),
            (values!["a.b.c", ".", -3], "a"),
            (values!["a.b.c", ".", -4], ""),
            (values!["a.b.c", ".", 4], ""),
            (values!["abc", "", 1], "abc"),
            (values!["abc", "", 2], ""),
            (values!["abc", "", -1], "abc"),
            (values!["a..b", ".", 2], ""),
            (values!["a.b", ".", i32::MIN], ""),
        ],
    );
    check_error("split_part", &[(values!["a.b", ".", 0], "INVALID_INDEX_OF_ZERO")]);
    check_text(
        "substring_index",
        &[
            (values!["www.apache.org", ".", 2], "www.apache"),
            (values!["www.apache.org", ".", -2], "apache.org"),
            (values!["www.apache.org", ".", 0], ""),
            (values!["a.b", "", 1], ""),
            (values!["a.b", ".", 10], "a.b"),
            (values!["a.b", ".", -10], "a.b"),
            (values!["a||b||c", "||", 1], "a"),
            (values!["aaa", "aa", 1], ""),
            (values!["aaa", "aa", -1], ""),
            (values!["é😀é", "😀", -1], "é"),
            (values!["a.b.c", ".", i32::MIN], "a.b.c"),
            (values!["", ".", 1], ""),
        ],
    );
}

#[test]
fn repeats() {
    check_text("repeat", &[(values!["ab", 3], "ababab"), (values!["ab", 0], ""), (values!["ab", -1], ""), (values![1, 2], "11")]);
    check_error("repeat", &[(values!["ab", i32::MAX], "2 GiB"), (values!["a", true], "UNEXPECTED_INPUT_TYPE")]);
    check_text("space", &[(values![3], "   "), (values![-1], "")]);
    check_text("lpad", &[(values!["hi", 5], "   hi"), (values!["hi", 0], "")]);
    check_text(
        "lpad",
        &[
            (values!["hi", 5, "xy"], "xyxhi"),
            (values!["hi", 1, "xy"], "h"),
            (values!["hi", -1, "xy"], ""),
            (values!["hi", 5, ""], "hi"),
            (values![1, 3, 0], "001"),
            ([bytes(&[65]), 3.into(), "xy".into()], "xyA"),
        ],
    );
    check_text("rpad", &[(values!["é", 4, "😀x"], "é😀x😀"), (values!["hi", 5, ""], "hi")]);
    check("lpad", &[([bytes(&[1]), 3.into()], bytes(&[0, 0, 1]))]);
    check("lpad", &[([bytes(&[1]), 3.into(), bytes(&[2, 3])], bytes(&[2, 3, 1]))]);
    check_text("reverse", &[(values!["aé😀b"], "b😀éa")]);
    check("reverse", &[([bytes(&[1, 2])], bytes(&[2, 1]))]);
}

#[test]
fn concatenations() {
    check_text("concat", &[([], "")]);
    check_text("concat", &[(values!["a"], "a")]);
    check_text("concat", &[(values!["a", 1, true], "a1true")]);
    check("concat", &[(values!["a", NULL], NULL.into()), ([bytes(&[1]), bytes(&[2])], bytes(&[1, 2]))]);
    check_text("||", &[([bytes(b"A"), "b".into()], "Ab")]);
    check_error("concat", &[([strings(&["a"]), "b".into()], "DATATYPE_MISMATCH.DATA_DIFF_TYPES")]);
    check_text("concat_ws", &[(values![","], "")]);
    check_text("concat_ws", &[(values![",", "a", NULL, "b"], "a,b")]);
    check_text("concat_ws", &[([",".into(), strings(&["a", "b"]), "c".into()], "a,b,c")]);
    check("concat_ws", &[(values![NULL, "a"], NULL.into())]);
    check_text("elt", &[(values![1, "a", "b"], "a"), (values![2, "a", 1], "1")]);
    check("elt", &[([2.into(), bytes(&[1]), bytes(&[2])], bytes(&[2])), (values![1, NULL, "b"], NULL.into())]);
    check_error("elt", &[(values![3, "a", "b"], "INVALID_ARRAY_INDEX"), (values![0, "a", "b"], "INVALID_ARRAY_INDEX")]);
}

#[test]
fn searches() {
    check_int(
        "instr",
        &[(values!["SparkSQL", "SQL"], 6), (values!["abc", ""], 1), (values!["é😀b", "b"], 3), (values![123, 2], 2)],
    );
    check_int("locate", &[(values!["bar", "foobarbar"], 4), (values!["", "abc"], 1)]);
    check_int(
        "locate",
        &[
            (values!["bar", "foobarbar", 5], 7),
            (values!["bar", "foobarbar", 0], 0),
            (values!["", "abc", 10], 1),
            (values!["a", "abc", -1], 0),
            (values!["b", "é😀b", 2], 3),
        ],
    );
    check(
        "locate",
        &[([NULL.into(), "a".into(), ScalarValue::Int32(None)], 0.into()), (values!["a", NULL, 1], ScalarValue::Int32(None))],
    );
    check(
        "startswith",
        &[(values!["abc", "a"], true.into()), (values!["abc", ""], true.into()), (values!["abc", "b"], false.into())],
    );
    check("endswith", &[(values!["abc", "bc"], true.into())]);
    check("contains", &[([bytes(&[1, 2, 3]), bytes(&[2])], true.into()), (values!["abc", NULL], ScalarValue::Boolean(None))]);
    check_int(
        "find_in_set",
        &[
            (values!["ab", "abc,b,ab,c,def"], 3),
            (values!["a,b", "a,b"], 0),
            (values!["", "a,,b"], 2),
            (values!["", ""], 1),
            (values!["", "a,"], 2),
        ],
    );
    check_text(
        "replace",
        &[(values!["ABCabc", "abc", "DEF"], "ABCDEF"), (values!["abc", "", "x"], "abc"), (values!["aaa", "aa", "b"], "ba")],
    );
    check_text("replace", &[(values!["ABCabc", "abc"], "ABC")]);
    check_text(
        "translate",
        &[
            (values!["AaBbCc", "abc", "123"], "A1B2C3"),
            (values!["abc", "abc", "1"], "1"),
            (values!["abc", "aa", "12"], "1bc"),
            (values!["é😀b", "😀é", "xy"], "yxb"),
        ],
    );
}

#[test]
fn codes() {
    check_text(
        "chr",
        &[
            (values![65_i64], "A"),
            (values![321_i64], "A"),
            (values![-1_i64], ""),
            (values![256_i64], "\0"),
            (values![233_i64], "é"),
        ],
    );
    check_text(
        "hex",
        &[(values![17], "11"), (values![-1], "FFFFFFFFFFFFFFFF"), (values!["Spark"], "537061726B"), ([bytes(&[0, 255])], "00FF")],
    );
    check(
        "unhex",
        &[
            (values!["537061726B"], bytes(b"Spark")),
            (values!["abc"], bytes(&[10, 188])),
            (values!["zz"], ScalarValue::Binary(None)),
            (values![""], bytes(&[])),
        ],
    );
    let long = format!("{}\r\n{}=", "eHh4".repeat(19), "eHh4".repeat(14) + "eHg");
    check_text(
        "base64",
        &[(values!["Spark SQL"], "U3BhcmsgU1FM"), ([bytes(&[255, 254])], "//4="), (values!["x".repeat(101).as_str()], &long)],
    );
    check(
        "unbase64",
        &[
            (values!["U3BhcmsgU1FM"], bytes(b"Spark SQL")),
            (values!["YQ"], bytes(b"a")),
            (values!["YQ==\n!"], bytes(b"a")),
            (values!["YWI"], bytes(b"ab")),
            (values!["YWJj\nZGVm"], bytes(b"abcdef")),
            (values!["!!!!"], bytes(b"")),
        ],
    );
    check_error(
        "unbase64",
        &[
            (values!["a"], "Last unit does not have enough valid bits"),
            (values!["YQ="], "Input byte array has wrong 4-byte ending unit"),
            (values!["Y==="], "Last unit does not have enough valid bits"),
            (values!["YWI=Z"], "Input byte array has incorrect ending byte at 5"),
        ],
    );
    check(
        "encode",
        &[
            (values!["é", "utf-16"], bytes(&[254, 255, 0, 233])),
            (values!["é", "UTF-16BE"], bytes(&[0, 233])),
            (values!["é", "utf-16le"], bytes(&[233, 0])),
            (values!["é", "iso-8859-1"], bytes(&[233])),
            (values!["😀", "utf-32"], bytes(&[0, 1, 0xf6, 0])),
            (values!["", "utf-16"], bytes(&[])),
        ],
    );
    check_error(
        "encode",
        &[
            (values!["é", "us-ascii"], "MALFORMED_CHARACTER_CODING"),
            (values!["😀", "iso-8859-1"], "MALFORMED_CHARACTER_CODING"),
            (values!["a", "UTF8"], "INVALID_PARAMETER_VALUE.CHARSET"),
        ],
    );
    check_text(
        "decode",
        &[
            ([bytes(b"abc"), "utf-8".into()], "abc"),
            ([bytes(&[255, 254, 97, 0]), "utf-16".into()], "a"),
            ([bytes(&[0, 97]), "utf-16".into()], "a"),
            ([bytes(&[0, 0, 0, 97]), "utf-32".into()], "a"),
        ],
    );
    check_error(
        "decode",
        &[
            ([bytes(&[255]), "utf-8".into()], "MALFORMED_CHARACTER_CODING"),
            ([bytes(&[0, 97, 216]), "utf-16".into()], "MALFORMED_CHARACTER_CODING"),
            ([bytes(&[0, 17, 0, 0]), "utf-32".into()], "MALFORMED_CHARACTER_CODING"),
        ],
    );
    check_text("decode", &[(values![2, 1, "Southlake", 2, "SF", 3, "NJ"], "SF")]);
    check_text("decode", &[(values![6, 1, "S", 2, "F", "Non"], "Non"), (values![1, 1, "S", 1, "F", "Non"], "S")]);
    check("decode", &[(values![6, 1, "S"], NULL.into())]);
    check_text("make_valid_utf8", &[([bytes(&[0x61, 0xff, 0x62])], "a\u{fffd}b"), ([bytes(&[0xf0, 0x9f, 0x98])], "\u{fffd}")]);
    check("is_valid_utf8", &[([bytes(&[255])], false.into()), (values!["é"], true.into())]);
    check("try_validate_utf8", &[([bytes(&[255])], NULL.into())]);
    check_error("validate_utf8", &[([bytes(&[255])], "INVALID_UTF8_STRING")]);
    check_text("quote", &[(values!["Don't"], "'Don\\'t'"), (values!["a\\b"], "'a\\b'")]);
}

#[test]
fn masks() {
    check_text("mask", &[(values!["abcd-EFGH-8765-4321"], "xxxx-XXXX-nnnn-nnnn"), (values!["ǅaAÉé١²"], "ǅxXXxn²")]);
    check_text(
        "mask",
        &[
            (values!["AbCD123-@$#", "Q", "q", "d", "o"], "QqQQdddoooo"),
            (values!["AbCD123-@$#", NULL, "q", "d", "o"], "AqCDdddoooo"),
        ],
    );
    check_error(
        "mask",
        &[(values!["abc", "XX"], "DATATYPE_MISMATCH.INPUT_SIZE_NOT_ONE"), (values!["abc", 1], "UNEXPECTED_INPUT_TYPE")],
    );
}

#[test]
fn formats_are_those_of_java() {
    check_text("format_string", &[(values!["a"], "a")]);
    check_text(
        "format_string",
        &[
            (values!["%05d|%<,d", 1234567], "1234567|1,234,567"),
            (values!["%05d", -42], "-0042"),
            (values!["%x", -1], "ffffffff"),
            (values!["%x", -1_i64], "ffffffffffffffff"),
            (values!["%#X|%<o", 255], "0XFF|377"),
            (values!["%c", 65], "A"),
            (values!["%+d|%<(d|%<-4d|", 5], "+5|5|5   |"),
            (values!["%(d", -5], "(5)"),
            (values!["%b", true], "true"),
            (values!["%b", NULL], "false"),
            (values!["%10s|%<-3S|%<.1s", "ab"], "        ab|AB |a"),
            (values!["%s", NULL], "null"),
            (values!["%s", 1.5], "1.5"),
            (values!["%s", 1e10], "1.0E10"),
            (values!["%s", -0.0], "-0.0"),
            (values!["%s", 0.001], "0.001"),
            (values!["%s", 0.0001], "1.0E-4"),
            (values!["%s", 1234567.0], "1234567.0"),
            (values!["%e|%<E", 12345.678], "1.234568e+04|1.234568E+04"),
            (values!["%e", 0.0], "0.000000e+00"),
            (values!["%.2f|%<f", 2.345], "2.35|2.345000"),
            (values!["%.0f", 0.5], "1"),
            (values!["%.2f", 1.005], "1.01"),
            (values!["%.1f", 0.35], "0.4"),
            (values!["%.2f", 9.999], "10.00"),
            (values!["%.1f", 0.01], "0.0"),
            (values!["%08.2f", -1.5], "-0001.50"),
            (values!["%(,.2f", -1234.5], "(1,234.50)"),
            (values!["%5.1f", f64::NAN], "  NaN"),
            (values!["%g", 0.0001], "0.000100000"),
            (values!["%g", 12345.678], "12345.7"),
            (values!["%g", 123456789.0], "1.23457e+08"),
            (values!["%g", 0.0], "0.00000"),
            (values!["%5%|%n%%", 0], "    %|\n%"),
        ],
    );
    check_text("format_string", &[(values!["%2$s %1$s %s %s", "a", "b"], "b a a b")]);
    check("format_string", &[(values![NULL, 1], NULL.into())]);
    check_error(
        "format_string",
        &[
            (values!["%d", "a"], "d != org.apache.spark.unsafe.types.UTF8String"),
            (values!["%d", 1.5], "d != java.lang.Double"),
            (values!["%f", 1], "f != java.lang.Integer"),
            (values!["%q", 1], "Conversion = 'q'"),
            (values!["%", 1], "Conversion = '%'"),
            (values!["%s %s", 1], "Format specifier '%s'"),
            (values!["%-d", 1], "%-d"),
            (values!["%05s", "a"], "Conversion = s, Flags = 0"),
            (values!["%0$s", "a"], "INVALID_PARAMETER_VALUE.ZERO_INDEX"),
        ],
    );
}

fn decimal(value: i128, precision: u8, scale: i8) -> ScalarValue {
    ScalarValue::Decimal128(Some(value), precision, scale)
}

#[test]
fn numbers_are_formatted() {
    check_text(
        "format_number",
        &[
            (values![12332, 2], "12,332.00"),
            ([decimal(12332123456, 11, 6), 4.into()], "12,332.1235"),
            ([decimal(12345, 5, 3), 2.into()], "12.34"),
            (values![0.5, 0], "0"),
            (values![1.5, 0], "2"),
            (values![2.5, 0], "2"),
            (values![0.125, 2], "0.12"),
            (values![12.345, 2], "12.35"),
            (values![1.005, 2], "1.00"),
            (values![-0.001, 2], "-0.00"),
            (values![f64::NAN, 2], "NaN"),
            (values![f64::NEG_INFINITY, 2], "-∞"),
            (values![1e20, 2], "100,000,000,000,000,000,000.00"),
            (values![1234.5, ""], "1,234"),
            (values![1234.5, "0000000.0"], "0001234.5"),
            (values![0.5, "#.##"], "0.5"),
            (values![0.25, "0.0%"], "25.0%"),
            (values![1234567.0, "$#,##0"], "$1,234,567"),
            (values![0.5, "#"], "0"),
            (values![1.5, "00"], "02"),
            (values![-5.0, "#;(#)"], "(5)"),
            (values![1234567.891, "#,##,###.#"], "1,234,567.9"),
            (values![5.0, "a#b"], "a5b"),
            (values![5.0, "'#'#"], "#5"),
            (values![1234.0, "#,#"], "1,2,3,4"),
        ],
    );
    check("format_number", &[(values![1234, -1], NULL.into())]);
    check_error(
        "format_number",
        &[(values!["1", 2], "UNEXPECTED_INPUT_TYPE"), (values![1.5, "0.0.0"], "Multiple decimal separators")],
    );
}

#[test]
fn numbers_by_pattern() {
    for (value, pattern, expected) in [
        (decimal(454, 3, 0), "999", "454"),
        (decimal(12454, 5, 0), "99,999", "12,454"),
        (decimal(7812, 4, 2), "$99.99", "$78.12"),
        (decimal(-124548, 6, 1), "99,999.9S", "12,454.8-"),
        (decimal(454, 3, 0), "0999", "0454"),
        (decimal(454, 3, 0), "99", "##"),
        (decimal(-4, 1, 0), "9", "4"),
        (decimal(-4, 1, 0), "S9", "-4"),
        (decimal(4, 1, 0), "9MI", "4 "),
        (decimal(-4, 1, 0), "MI9", "-4"),
        (decimal(-4, 1, 0), "9PR", "<4>"),
        (decimal(4, 1, 0), "9PR", "4  "),
        (decimal(-4, 1, 0), "999PR", "  <4>"),
        (decimal(-4, 1, 0), "$999PR", "<$  4>"),
        (decimal(-4, 1, 0), "S99999", "    -4"),
        (decimal(4, 1, 0), "$99999", "$    4"),
        (decimal(4, 1, 0), "99,999", "     4"),
        (decimal(12, 2, 0), "00,000", "00,012"),
        (decimal(0, 1, 0), "9", " "),
        (decimal(0, 1, 0), "9.99", "0.00"),
        (decimal(0, 1, 0), ".9", ".0"),
        (decimal(5, 1, 1), "S99.9", "  +.5"),
        (decimal(-5, 1, 1), "99.9MI", " 0.5-"),
        (decimal(15, 2, 1), "S9.", "+# "),
        (decimal(12, 2, 0), "99.", "12 "),
        (decimal(99999, 5, 0), "9,9", "# #"),
        (decimal(-99999, 5, 0), "99PR", "<##>"),
        (decimal(1256, 4, 3), "9.99", "#.##"),
        (decimal(150, 3, 2), "9.9", "1.5"),
        (decimal(4, 1, 0), "mi9", " 4"),
        (decimal(12, 2, 0), "MI99S", " 12+"),
    ] {
        assert_eq!(
            run_literal("to_char", &[value.clone(), pattern.into()]),
            Ok(ScalarValue::from(expected)),
            "{value} {pattern}"
        );
    }
    for (pattern, condition) in [
        ("", "EMPTY"),
        ("abc", "WRONG_NUM_DIGIT"),
        ("9$", "CUR_MUST_BEFORE_DIGIT"),
        ("99S99", "UNEXPECTED_TOKEN"),
        ("L999", "UNEXPECTED_TOKEN"),
        ("S9S", "WRONG_NUM_TOKEN"),
        ("9.9.9", "WRONG_NUM_TOKEN"),
        (",9", "CONT_THOUSANDS_SEPS"),
        ("9.9G", "THOUSANDS_SEPS_MUST_BEFORE_DEC"),
    ] {
        assert_eq!(run_literal("to_char", &values![4, pattern]), Err(format!("INVALID_FORMAT.{condition}")), "{pattern}");
    }
    for (text, pattern, expected) in [
        ("454", "999", Some(decimal(454, 3, 0))),
        ("12,454.8-", "99,999.9S", Some(decimal(-124548, 6, 1))),
        ("$78.12", "$99.99", Some(decimal(7812, 4, 2))),
        ("<5>", "999PR", Some(decimal(-5, 3, 0))),
        ("5", "999PR", Some(decimal(5, 3, 0))),
        ("5 ", "9MI", Some(decimal(5, 1, 0))),
        ("- 12", "S99", Some(decimal(-12, 2, 0))),
        (".5", "9.9", Some(decimal(5, 2, 1))),
        ("5", "9.9", Some(decimal(50, 2, 1))),
        ("12.3", "99.99", Some(decimal(1230, 4, 2))),
        (",234", "9,999", Some(decimal(234, 4, 0))),
        ("234", "9,999", Some(decimal(234, 4, 0))),
        ("454", "99", None),
        ("12454", "99,999", None),
        ("5", "09", None),
        ("", "9", None),
        (".", "9.9", None),
        ("-12", "99", None),
        ("<12", "99PR", None),
        ("+12", "MI99", None),
        ("12", "$99", None),
        ("1.55", "9.9", None),
        (".12", "0.00", None),
        ("234", "0,999", None),
    ] {
        let args = values![text, pattern];
        let strict = expected.clone().ok_or_else(|| "INVALID_FORMAT.MISMATCH_INPUT".to_owned());
        assert_eq!(run_literal("to_number", &args), strict, "{text} {pattern}");
        assert_eq!(run_literal("try_to_number", &args).unwrap().is_null(), expected.is_none(), "{text} {pattern}");
    }
    let column = run("to_number", &values!["1", "9"]);
    assert_eq!(column, Err("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT".to_owned()));
}

#[test]
fn urls() {
    for (url, part, expected) in [
        ("http://spark.apache.org/path?query=1&b=2#frag", "HOST", Some("spark.apache.org")),
        ("http://u:p@h:80/p/a?query=1&b=2#frag", "QUERY", Some("query=1&b=2")),
        ("http://u:p@h:80/p", "AUTHORITY", Some("u:p@h:80")),
        ("http://u:p@h:80/p", "USERINFO", Some("u:p")),
        ("http://h/p?query=1", "FILE", Some("/p?query=1")),
        ("http://h", "PATH", Some("")),
        ("http://h", "QUERY", None),
        ("http://h", "host", None),
        ("http://h#a", "REF", Some("a")),
        ("mailto:a@b.c", "PROTOCOL", Some("mailto")),
        ("mailto:a@b.c", "PATH", None),
        ("//h/p", "HOST", Some("h")),
        ("abc", "HOST", None),
        ("", "HOST", None),
        ("http://[::1]:80/p", "HOST", Some("[::1]")),
        ("http://h_x/p", "HOST", None),
        ("http://h_x/p", "AUTHORITY", Some("h_x")),
        ("http://h:abc/a", "HOST", None),
        ("http://é.com/é", "PATH", Some("/é")),
        ("http:///p", "PATH", Some("/p")),
        ("http://h/p?a=1?b=2", "QUERY", Some("a=1?b=2")),
    ] {
        check("parse_url", &[(values![url, part], expected.into())]);
    }
    for (key, expected) in [("query", Some("1")), ("b", Some("%20b")), ("c", None), ("", None)] {
        check("parse_url", &[(values!["http://h/p?query=1&b=%20b", "QUERY", key], expected.into())]);
    }
    for url in ["inva lid://h", "http://h/%zz", "http://h/a|b", "http://", "http:", "http://h#a#b", "1http://h", ":abc"] {
        check_error("parse_url", &[(values![url, "HOST"], "INVALID_URL")]);
        check("try_parse_url", &[(values![url, "HOST"], NULL.into())]);
    }
    check_text("url_encode", &[(values!["s://a b+c*-_.~é"], "s%3A%2F%2Fa+b%2Bc*-_.%7E%C3%A9")]);
    check_text("url_decode", &[(values!["https%3A%2F%2Fspark+a%2Bb%C3%A9"], "https://spark a+bé"), (values!["%FF"], "\u{fffd}")]);
    check_error("url_decode", &[(values!["%zz"], "CANNOT_DECODE_URL"), (values!["%1"], "CANNOT_DECODE_URL")]);
    check("try_url_decode", &[(values!["%"], NULL.into())]);
}
