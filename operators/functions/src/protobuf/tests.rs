//! Messages as Google's Python implementation writes them: recorded by `tests/messages/protobuf.py`.

use std::io::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StructArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use serde_json::Value as Json;

use crate::message::testing::{Random, bytes, call, condition, json, literal, messages, options, row, text};
use crate::types::name;

const DESCRIPTORS: &[u8] = include_bytes!("../../tests/messages/vectors.desc");

fn recorded(case: &str) -> Vec<u8> {
    let recorded: Json = serde_json::from_str(include_str!("../../tests/messages/protobuf.json")).unwrap();
    bytes(text(&recorded, case))
}

fn descriptors() -> ScalarValue {
    ScalarValue::Binary(Some(DESCRIPTORS.to_vec()))
}

fn read(message: &[u8], of: &str, pairs: &[(&str, &str)]) -> Result<ArrayRef> {
    call("from_protobuf", &messages([message]), &[literal(of), descriptors(), options(pairs)])
}

fn write(values: &ArrayRef, of: &str) -> Result<Vec<u8>> {
    call("to_protobuf", values, &[literal(of), descriptors()]).map(|messages| messages.as_binary::<i32>().value(0).to_vec())
}

fn shown(values: &ArrayRef) -> String {
    let options = FormatOptions::default().with_null("NULL");
    ArrayFormatter::try_new(values.as_ref(), &options).unwrap().value(0).to_string()
}

const TYPE: &str = "struct<i32:int,i64:bigint,u32:int,u64:bigint,s32:int,s64:bigint,f32:int,f64:bigint,sf32:int,sf64:bigint,real:float,\
                    wide:double,flag:boolean,text:string,raw:binary,color:string,packed:array<int>,loose:array<bigint>,\
                    texts:array<string>,counts:map<string,int>,inners:map<int,struct<x:string,y:array<double>>>,\
                    inner:struct<x:string,y:array<double>>,name:string,number:bigint,nested:struct<x:string,y:array<double>>,maybe:int,\
                    at:timestamp,took:interval day to second,wrapped:struct<value:bigint>,wrapped_text:struct<value:string>,\
                    colors:array<string>,list:array<struct<x:string,y:array<double>>>>";

#[test]
fn every_type_is_read() {
    let values = read(&recorded("everything"), "tide.Everything", &[]).unwrap();
    assert_eq!(name(values.data_type()), TYPE);
    assert_eq!(
        shown(&values),
        "{i32: -7, i64: 1099511627776, u32: -1, u64: -1, s32: -70000, s64: -1099511627776, f32: 9, f64: 10, sf32: -9, sf64: -10, \
         real: 1.5, wide: -2.25, flag: true, text: tide ✓, raw: 00ff, color: BLUE, packed: [1, -1, 300], loose: [-1, 2], texts: [a, ], \
         counts: {k: 5, : 0}, inners: {3: {x: three, y: []}, 0: {x: NULL, y: []}}, inner: {x: in, y: [0.5, -0.5]}, name: NULL, \
         number: 12, nested: NULL, maybe: 0, at: 1969-12-31T23:59:59.999999Z, took: -PT1.5S, wrapped: {value: NULL}, \
         wrapped_text: {value: w}, colors: [RED, NONE], list: [{x: 1, y: []}, {x: NULL, y: []}]}"
    );
}

#[test]
fn what_is_read_is_written_again() {
    for unwrap in ["false", "true"] {
        let values = read(&recorded("everything"), "Everything", &[("unwrap.primitive.wrapper.types", unwrap)]).unwrap();
        let written = write(&values, "tide.Everything").unwrap();
        let again = read(&written, "Everything", &[("unwrap.primitive.wrapper.types", unwrap)]).unwrap();
        assert_eq!(&again, &values);
    }
    let upcast = [("upcast.unsigned.ints", "true"), ("enums.as.ints", "true")];
    let values = read(&recorded("everything"), "Everything", &upcast).unwrap();
    let columns = values.as_struct();
    let column = |name: &str| shown(columns.column_by_name(name).unwrap());
    assert_eq!([column("u32"), column("u64"), column("color")], ["4294967295", "18446744073709551615", "7"]);
    assert_eq!(write(&values, "Everything").unwrap(), recorded("everything"));
}

#[test]
fn what_was_not_written_is_null_or_a_default() {
    let nothing = read(&[], "Everything", &[]).unwrap();
    let column = |values: &ArrayRef, name: &str| shown(values.as_struct().column_by_name(name).unwrap());
    assert_eq!([column(&nothing, "i32"), column(&nothing, "packed"), column(&nothing, "counts")], ["NULL", "[]", "{}"]);
    let zeros = read(&[], "Everything", &[("emit.default.values", "true")]).unwrap();
    for (name, value) in [
        ("i32", "0"),
        ("u64", "0"),
        ("flag", "false"),
        ("text", ""),
        ("raw", ""),
        ("color", "NONE"),
        ("wide", "0.0"),
        ("maybe", "NULL"),
        ("inner", "NULL"),
        ("number", "NULL"),
        ("at", "NULL"),
    ] {
        assert_eq!(column(&zeros, name), value, "{name}");
    }
    let old = read(&recorded("old"), "tide2.Old", &[]).unwrap();
    assert_eq!(
        json(&old),
        r#"{"v":{"id":1,"name":"nobody","size":"LARGE","count":null,"part":[{"n":1},{"n":null}],"single":{"s":"x"}}}"#
    );
    assert_eq!(
        write(
            &row(
                "id INT, size STRING, part ARRAY<STRUCT<n: INT>>, single STRUCT<s: STRING>",
                r#"{"id": 1, "size": "LARGE", "part": [{"n": 1}, {}], "single": {"s": "x"}}"#
            ),
            "Old"
        )
        .unwrap(),
        recorded("old")
    );
}

#[test]
fn messages_in_themselves_are_cut() {
    let person = recorded("person");
    let read = |depth: &str| read(&person, "Person", &[("recursive.fields.max.depth", depth)]);
    assert_eq!(json(&read("1").unwrap()), r#"{"v":{"name":"a"}}"#);
    assert_eq!(json(&read("2").unwrap()), r#"{"v":{"name":"a","friend":{"name":"b"},"others":[{"name":"d"}]}}"#);
    assert!(read("3").unwrap().as_struct().column(1).as_struct().column(1).as_struct().num_columns() == 1);
    assert_eq!(condition(&read("-1").unwrap_err()), "RECURSIVE_PROTOBUF_SCHEMA");
    assert_eq!(condition(&read("11").unwrap_err()), "INVALID_OPTIONS");
}

#[test]
fn empty_messages_are_left_out_or_kept() {
    let read = |keep: &str| read(&recorded("empty"), "HasEmpty", &[("retain.empty.message.types", keep)]).unwrap();
    assert_eq!(json(&read("false")), r#"{"v":{"n":1}}"#);
    assert_eq!(json(&read("true")), r#"{"v":{"empty":{"__dummy_field_in_empty_struct":null},"n":1}}"#);
}

#[test]
fn later_parts_of_a_message_count() {
    // `name`, then `number`: the last of a oneof. `inner` in two parts. `i32` twice. `packed`, once packed and once not.
    let message = [
        &[0xba, 1, 1, b'n', 0xc0, 1, 5][..],
        &[0xb2, 1, 3, 10, 1, b'a'],
        &[0xb2, 1, 10, 18, 8, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
        &[8, 1, 8, 2],
        &[0x8a, 1, 2, 1, 2, 0x88, 1, 3],
        // A field that nobody knows, a group in it.
        &[0xa3, 6, 8, 1, 0xa4, 6],
    ]
    .concat();
    let values = read(&message, "Everything", &[]).unwrap();
    let column = |name: &str| shown(values.as_struct().column_by_name(name).unwrap());
    assert_eq!([column("name"), column("number"), column("i32"), column("packed")], ["NULL", "5", "2", "[1, 2, 3]"]);
    assert_eq!(column("inner"), "{x: a, y: [1.0]}");
    // A zero that was written, in a field that can't say so.
    let zero = read(&[8, 0, 0x72, 0, 0xd0, 1, 0], "Everything", &[]).unwrap();
    let column = |name: &str| shown(zero.as_struct().column_by_name(name).unwrap());
    assert_eq!([column("i32"), column("text"), column("maybe")], ["NULL", "NULL", "0"]);
    // A key that comes again: the last value, at the first place.
    let message = [0xa2, 1, 5, 10, 1, b'a', 16, 1, 0xa2, 1, 5, 10, 1, b'b', 16, 2, 0xa2, 1, 5, 10, 1, b'a', 16, 3];
    let values = read(&message, "Everything", &[]).unwrap();
    assert_eq!(shown(values.as_struct().column_by_name("counts").unwrap()), "{a: 3, b: 2}");
}

#[test]
fn broken_messages_fail_or_are_null() {
    let unknown = read(&[0x80, 1, 9], "Everything", &[]).unwrap();
    assert_eq!(shown(unknown.as_struct().column_by_name("color").unwrap()), "UNKNOWN_ENUM_VALUE_Color_9");
    for (message, of, reason) in [
        (&[8][..], "Everything", "ends in the middle"),
        (&[0x72, 5, b'x'], "Everything", "5 bytes"),
        (&[0x72, 1, 0xff], "Everything", "no UTF-8"),
        (&[10, 1, b'x'], "Everything", "PROTOBUF_FIELD_TYPE_MISMATCH"),
        (&[0, 0], "Everything", "0 is no number of a field"),
        (&[15], "Everything", "wire type 7"),
        (&[0x80; 11], "Everything", "longer than 64 bits"),
        (&[], "Old", "'id': it is required"),
        (&[8, 1, 24, 9], "Old", "no value 9"),
        (&[0xda, 1, 10, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "Everything", "range of times"),
    ] {
        let error = read(message, of, &[]).unwrap_err();
        assert_eq!(condition(&error), "MALFORMED_PROTOBUF_MESSAGE");
        assert!(error.to_string().contains(reason), "{error}");
        let null = read(message, of, &[("mode", "PERMISSIVE")]).unwrap();
        assert!(null.is_valid(0) && null.as_struct().columns().iter().all(|column| column.is_null(0)));
    }
    let nested = [0xa3, 6].repeat(1_000);
    assert!(read(&nested, "Everything", &[]).unwrap_err().to_string().contains("nested too deep"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let failed = |columns: &str, value: &str, of: &str| {
        let error = write(&row(columns, value), of).unwrap_err();
        (condition(&error), error.to_string())
    };
    for (columns, value, of, expected, reason) in [
        ("nothing INT", "{}", "Everything", "UNABLE_TO_CONVERT", "Cannot find nothing in Protobuf schema"),
        ("i32 STRING", "{}", "Everything", "UNABLE_TO_CONVERT", "Cannot convert SQL i32"),
        ("inner STRUCT<z: INT>", "{}", "Everything", "UNABLE_TO_CONVERT", "Cannot find inner.z"),
        ("name STRING", "{}", "Old", "UNABLE_TO_CONVERT", "Found id in Protobuf schema"),
        ("color STRING", r#"{"color": "GREEN"}"#, "Everything", "CANNOT_CONVERT_SQL_VALUE", "GREEN is not in defined values"),
        ("color INT", r#"{"color": 5}"#, "Everything", "CANNOT_CONVERT_SQL_VALUE", "5 is not in defined values"),
        ("texts ARRAY<STRING>", r#"{"texts": [null]}"#, "Everything", "UNABLE_TO_CONVERT", "texts is or holds null"),
        ("u32 BIGINT", r#"{"u32": -1}"#, "Everything", "UNABLE_TO_CONVERT", "out of the range"),
    ] {
        let (condition, error) = failed(columns, value, of);
        assert!(condition.starts_with(expected) && error.contains(reason), "{columns}: {error}");
    }
    let number: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![1]));
    assert!(write(&number, "Everything").is_err());
    // Of a oneof the last column counts, and a null in a field that must be there is its zero.
    let both = write(&row("number BIGINT, name STRING", r#"{"number": 5, "name": "n"}"#), "Everything").unwrap();
    assert_eq!(both, [0xba, 1, 1, b'n']);
    assert_eq!(write(&row("id INT", "{}"), "Old").unwrap(), [8, 0]);
    assert_eq!(write(&row("i32 INT, maybe INT", r#"{"i32": 0, "maybe": 0}"#), "Everything").unwrap(), [0xd0, 1, 0]);
}

#[test]
fn descriptors_are_found_and_what_is_wrong_with_them_is_said() {
    let mut file = tempfile();
    file.1.write_all(DESCRIPTORS).unwrap();
    let path = file.0.to_str().unwrap();
    let input = messages([&[8, 7][..]]);
    for path in [path.to_owned(), format!("file://{path}")] {
        assert!(call("from_protobuf", &input, &[literal("tide.Everything"), literal(&path)]).is_ok());
    }
    std::fs::remove_file(&file.0).unwrap();
    let failed =
        |of: ScalarValue, descriptors: ScalarValue| condition(&call("from_protobuf", &input, &[of, descriptors]).unwrap_err());
    assert_eq!(failed(literal("Everything"), literal(path)), "PROTOBUF_DESCRIPTOR_FILE_NOT_FOUND");
    assert_eq!(failed(literal("Nobody"), descriptors()), "PROTOBUF_MESSAGE_NOT_FOUND");
    assert_eq!(failed(literal("thing"), descriptors()), "PROTOBUF_MESSAGE_NOT_FOUND");
    let broken = ScalarValue::Binary(Some(vec![10, 200]));
    assert_eq!(failed(literal("Everything"), broken), "CANNOT_PARSE_PROTOBUF_DESCRIPTOR");
    assert_eq!(failed(ScalarValue::Int32(Some(1)), descriptors()), "DATATYPE_MISMATCH.TYPE_CHECK_FAILURE_WITH_HINT");
    let json = read(&[], "Everything", &[("convert.any.fields.to.json", "true")]).unwrap_err();
    assert_eq!(condition(&json), "INVALID_OPTIONS");
}

fn tempfile() -> (std::path::PathBuf, std::fs::File) {
    let path = std::env::temp_dir().join(format!("tidegate-{}.desc", uuid::Uuid::new_v4()));
    (path.clone(), std::fs::File::create(path).unwrap())
}

#[test]
fn the_header_of_a_schema_registry_names_the_message() {
    let wire = [("schemaRegistry.wireFormat", "true"), ("schemaRegistry.schemaId", "7")];
    let written = |of: &str, columns: &str, value: &str| {
        let messages = call("to_protobuf", &row(columns, value), &[literal(of), descriptors(), options(&wire)]).unwrap();
        messages.as_binary::<i32>().value(0).to_vec()
    };
    let first = written("tide.Everything", "i32 INT", r#"{"i32": 7}"#);
    assert_eq!(first, [0, 0, 0, 0, 7, 0, 8, 7]);
    let nested = written("tide.Everything.Inner", "x STRING", r#"{"x": "a"}"#);
    // In vectors.proto `Inner` follows the two types of map entries in `Everything`.
    assert_eq!(nested[5..8], [4, 0, nested[7]]);
    assert_eq!(nested[8..], [10, 1, b'a']);
    let second = written("Person", "name STRING", r#"{"name": "a"}"#);
    assert_eq!(second, [0, 0, 0, 0, 7, 2, 2, 10, 1, b'a']);
    assert_eq!(json(&read(&nested, "Everything.Inner", &wire).unwrap()), r#"{"v":{"x":"a","y":[]}}"#);
    let other = read(&second, "Everything", &wire[..1]).unwrap_err().to_string();
    assert!(other.contains("type at [1] of the registry's schema, and not of that at [0]"), "{other}");
}

/// Whatever bytes come, they are a message or one that can't be read.
#[test]
fn any_bytes_are_a_message_or_an_error() {
    let recorded = ["everything", "person", "old", "empty"].map(recorded);
    let mut random = Random::new();
    for round in 0..3_000 {
        let message = random.damaged(&recorded);
        let of = ["Everything", "Person", "Old", "HasEmpty"][random.below(4)];
        let depth = ("recursive.fields.max.depth", "3");
        let permissive = read(&message, of, &[("mode", "PERMISSIVE"), depth]).unwrap();
        if let Ok(strict) = read(&message, of, &[depth]) {
            assert_eq!(&strict, &permissive, "round {round}");
            // What could be read can be written, and is the same then.
            let Ok(written) = write(&strict, of) else { continue };
            let again = read(&written, of, &[depth]).unwrap();
            assert_eq!(shown(&again), shown(&strict), "round {round}");
        }
    }
}

#[test]
fn null_is_null() {
    let input: ArrayRef = Arc::new(BinaryArray::from(vec![None, Some(&[16, 1][..])]));
    let values = call("from_protobuf", &input, &[literal("HasEmpty"), descriptors()]).unwrap();
    assert!(values.is_null(0) && values.is_valid(1));
    let fields = match values.data_type() {
        DataType::Struct(fields) => fields.clone(),
        other => panic!("{other}"),
    };
    let nulls: ArrayRef = Arc::new(StructArray::new_null(fields, 1));
    assert!(call("to_protobuf", &nulls, &[literal("HasEmpty"), descriptors()]).unwrap().is_null(0));
    assert!(RecordBatch::try_from_iter([("v", values)]).is_ok());
}
