//! Golden values: they are in checkpoints, so a change of one of them is a defect, never a reason to change this file.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, TimeUnit, i256};

use super::*;
use crate::state::{KEY_GROUPS, KeyGroup};

fn hash(columns: &[ArrayRef]) -> Vec<u64> {
    let mut hashes = vec![1, 2, 3];
    hash_columns(columns, columns[0].len(), &mut hashes).unwrap();
    hashes
}

fn one(array: impl Array + 'static) -> Vec<u64> {
    hash(&[Arc::new(array)])
}

fn lists() -> ListArray {
    ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2)]), Some(vec![]), None, Some(vec![None])])
}

fn structs() -> StructArray {
    let fields = Fields::from(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(1), None, Some(9)])),
        Arc::new(StringArray::from(vec![Some("x"), None, Some("y")])),
    ];
    StructArray::new(fields, columns, Some(NullBuffer::from(vec![true, true, false])))
}

#[test]
fn golden_values() {
    let golden: Vec<(&str, Vec<u64>, Vec<u64>)> = vec![
        (
            "int64",
            one(Int64Array::from(vec![Some(0), Some(1), Some(-1), Some(i64::MAX), None])),
            vec![
                0xb70f_b2cc_55af_013f,
                0x90fa_784d_ff59_df1d,
                0x0871_64d5_c9e6_ae5e,
                0xa5a7_5748_d728_1772,
                0x9ae1_6a3b_2f90_404f,
            ],
        ),
        (
            "float",
            one(Float64Array::from(vec![0.0, 1.5, f64::NAN])),
            vec![0xb70f_b2cc_55af_013f, 0xa91c_d86a_35ef_bce6, 0x633d_6937_c610_10e4],
        ),
        (
            "string",
            one(StringArray::from(vec!["", "a", "tidegate", "a string of more than sixteen bytes"])),
            vec![0x2d06_8005_38d3_94c2, 0xe6c6_32b6_1e96_4e1f, 0x8b24_8326_36a0_c0cc, 0xe03f_501d_fdec_920b],
        ),
        ("boolean", one(BooleanArray::from(vec![false, true])), vec![0x5f3c_9d21_7a86_be45, 0xd86e_07b4_91c3_2f5a]),
        (
            "decimal",
            one(Decimal128Array::from(vec![1_i128, -1, 1 << 100])),
            vec![0x90fa_784d_ff59_df1d, 0x0871_64d5_c9e6_ae5e, 0xe988_dbc3_054b_b8eb],
        ),
        ("decimal256", one(Decimal256Array::from(vec![i256::from_parts(7, 7)])), vec![0xc402_3040_4692_1693]),
        (
            "interval",
            one(IntervalMonthDayNanoArray::from(vec![arrow::datatypes::IntervalMonthDayNano::new(1, 2, 3)])),
            vec![0x0fc8_1e1b_aec8_ca4a],
        ),
        ("list", one(lists()), vec![0x6a92_88e5_8599_9716, 0xd726_405d_79d4_1f9e, 0x9ae1_6a3b_2f90_404f, 0xa0e1_b29e_f508_e768]),
        ("struct", one(structs()), vec![0xd0f0_b4c1_5a2a_6a36, 0x5035_d733_8667_4d46, 0x9ae1_6a3b_2f90_404f]),
        (
            "two columns",
            hash(&[Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec!["a", "b"]))]),
            vec![0xc4bb_aace_e121_0d52, 0x1221_a938_d950_66a0],
        ),
    ];
    for (name, hashes, golden) in golden {
        assert_eq!(hashes, golden, "the hash of {name} has changed: {hashes:#018x?}");
    }
    let mut none = Vec::new();
    hash_columns(&[], 2, &mut none).unwrap();
    assert_eq!(none, [NO_COLUMNS; 2]);
    assert_eq!(HASH_NAME, "tidegate-1");
}

#[test]
fn encodings_of_one_string_hash_alike() {
    let strings: ArrayRef =
        Arc::new(StringArray::from(vec![Some("a"), None, Some("a longer string than a view holds inline"), Some("a")]));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let expected = hash(&[Arc::clone(&strings)]);
    for data_type in [DataType::LargeUtf8, DataType::Utf8View, DataType::Binary, DataType::BinaryView, dictionary] {
        assert_eq!(hash(&[cast(&strings, &data_type).unwrap()]), expected, "{data_type}");
    }
}

#[test]
fn a_dictionary_whose_values_have_a_null_hashes_as_null() {
    let values: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let keys = Int32Array::from(vec![Some(0), Some(1), None]);
    let dictionary = DictionaryArray::<Int32Type>::new(keys, values);
    assert_eq!(one(dictionary), one(StringArray::from(vec![Some("a"), None, None])));
}

#[test]
fn integers_of_any_width_and_times_hash_alike() {
    let wide: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(100)]));
    let expected = hash(&[Arc::clone(&wide)]);
    let types = [
        DataType::Int8,
        DataType::UInt8,
        DataType::Int16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Date64,
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Duration(TimeUnit::Second),
    ];
    for data_type in types {
        assert_eq!(hash(&[cast(&wide, &data_type).unwrap()]), expected, "{data_type}");
    }
    assert_eq!(one(Int32Array::from(vec![-7])), one(Int64Array::from(vec![-7])));
    assert_eq!(one(Date32Array::from(vec![-7])), one(Int64Array::from(vec![-7])));
    assert_eq!(one(Decimal128Array::from(vec![7])), one(Decimal32Array::from(vec![7])));
    assert_eq!(one(Decimal128Array::from(vec![1 << 90])), one(Decimal256Array::from(vec![i256::from_i128(1 << 90)])));
}

#[test]
fn zeros_and_nans_are_one_value_each() {
    let negative_nan = f64::from_bits(0xfff8_0000_0000_0001);
    let hashes = one(Float64Array::from(vec![0.0, -0.0, f64::NAN, negative_nan]));
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[2], hashes[3]);
    assert_ne!(hashes[0], hashes[2]);
    assert_eq!(one(Float32Array::from(vec![0.0, -0.0, f32::NAN, -f32::NAN])), hashes);
}

#[test]
fn a_slice_hashes_as_the_rows_of_the_whole() {
    let width = Int64Array::from((0..8).collect::<Vec<_>>());
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(lists()),
        Arc::new(structs()),
        Arc::new(FixedSizeListArray::new(item, 2, Arc::new(width), Some(NullBuffer::from(vec![true, false, true, true])))),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(StringArray::from(vec![Some("a"), None, Some("b")])),
        map(),
        Arc::new(NullArray::new(3)),
    ];
    for array in arrays {
        let whole = hash(&[Arc::clone(&array)]);
        let slice = array.slice(1, array.len() - 1);
        assert_eq!(hash(&[slice]), whole[1..], "{}", array.data_type());
    }
}

fn map() -> ArrayRef {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for rows in [vec![("a", 1), ("b", 2)], vec![], vec![("c", 3)]] {
        for (key, value) in rows {
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        builder.append(true).unwrap();
    }
    Arc::new(builder.finish())
}

#[test]
fn what_lies_beneath_a_null_does_not_matter() {
    let nulls = || Some(NullBuffer::from(vec![true, false]));
    let a = Int64Array::new(vec![1, 2].into(), nulls());
    let b = Int64Array::new(vec![1, 3].into(), nulls());
    assert_eq!(one(a), one(b));
    let list = |last| {
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 1, last]));
        ListArray::new(item, offsets, Arc::new(Int64Array::from(vec![1, 2, 3])), nulls())
    };
    assert_eq!(one(list(1)), one(list(3)));
    let booleans = |second| BooleanArray::new(BooleanBuffer::from(vec![true, second]), nulls());
    assert_eq!(one(booleans(true)), one(booleans(false)));
}

#[test]
fn columns_are_hashed_in_order() {
    let a: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let b: ArrayRef = Arc::new(Int64Array::from(vec![2]));
    assert_ne!(hash(&[Arc::clone(&a), Arc::clone(&b)]), hash(&[b, Arc::clone(&a)]));
    assert_ne!(hash(&[Arc::clone(&a), Arc::clone(&a)]), hash(&[a]));
}

#[test]
fn both_halves_are_well_mixed() {
    let integers = one(Int64Array::from((0..128_000).collect::<Vec<_>>()));
    let strings = one(StringArray::from((0..128_000).map(|n| n.to_string()).collect::<Vec<_>>()));
    let numbers: ArrayRef = Arc::new(Int64Array::from((0..128_000).collect::<Vec<i64>>()));
    let pairs = hash(&[Arc::clone(&numbers), numbers]);
    for hashes in [integers, strings, pairs] {
        let mut groups = vec![0_u32; usize::from(KEY_GROUPS)];
        let mut buckets = vec![0_u32; 128];
        let mut tags = vec![0_u32; 128];
        for hash in hashes {
            groups[usize::from(KeyGroup::of_hash(hash).0)] += 1;
            buckets[(hash % 128) as usize] += 1;
            tags[(hash >> 57) as usize] += 1;
        }
        for count in groups.into_iter().chain(buckets).chain(tags) {
            assert!((800..1200).contains(&count), "{count} of 128 000 in one of 128 parts");
        }
    }
}

#[test]
fn a_type_that_cannot_be_a_key_is_named() {
    let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![1]), &Int64Array::from(vec![1])).unwrap();
    let error = hash_columns(&[Arc::new(runs)], 1, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("can't be a key") && error.to_string().contains("RunEndEncoded"), "{error}");
    let short: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    assert!(hash_columns(&[short], 2, &mut Vec::new()).is_err());
}
