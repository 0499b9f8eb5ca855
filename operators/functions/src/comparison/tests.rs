use arrow::array::{Float64Array, Int32Array};
use arrow::datatypes::Int32Type;

use super::*;
use crate::arithmetic::tests::check;

#[test]
fn flat_values() {
    check(
        FUNCTIONS,
        &[
            ("=", "int=1 ; bigint=1", "boolean: true"),
            ("=", "string=1 ; int=1", "boolean: true"),
            ("=", "string=abc ; int=1", "CAST_INVALID_INPUT"),
            ("=", "string=true ; boolean=true", "boolean: true"),
            ("=", "date=2024-01-01 ; string=2024-01-01", "boolean: true"),
            ("<", "date=2024-01-01 ; timestamp=2024-01-01 00:00:01", "boolean: true"),
            ("=", "timestamp=2024-01-01 ; timestamp_ntz=2024-01-01", "boolean: true"),
            ("=", "binary=1 ; string=1", "boolean: true"),
            ("<", "boolean=false ; boolean=true", "boolean: true"),
            ("=", "void= ; int=1", "boolean: null"),
            ("<=>", "void= ; int=1", "boolean: false"),
            ("<=>", "void= ; void=", "boolean: true"),
            ("=", "void= ; void=", "boolean: null"),
            ("equal_null", "int= ; int=", "boolean: true"),
            ("!=", "int=1 ; int=2", "boolean: true"),
            (">=", "decimal(3,1)=1.5 ; decimal(3,2)=1.50", "boolean: true"),
            ("=", "decimal(2,1)=1.5 ; double=1.5", "boolean: true"),
            ("=", "bigint=9007199254740993 ; double=9007199254740992", "boolean: true"),
            ("<", "interval day to second=1 00:00:00 ; interval day to second=2 00:00:00", "boolean: true"),
            (">", "interval year to month=1-0 ; interval year to month=0-11", "boolean: true"),
            ("=", "int=1 ; boolean=true", r#"DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES: Cannot resolve "(1 = true)""#),
            ("=", "interval year to month=1-0 ; interval day to second=1 00:00:00", "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES"),
        ],
    );
}

#[test]
fn floating_point_numbers() {
    check(
        FUNCTIONS,
        &[
            ("=", "double=NaN ; double=NaN", "boolean: true"),
            ("=", "float=NaN ; double=NaN", "boolean: true"),
            (">", "double=NaN ; double=Infinity", "boolean: true"),
            ("=", "double=-0.0 ; double=0.0", "boolean: true"),
            ("<", "double=-0.0 ; double=0.0", "boolean: false"),
            ("greatest", "double=NaN ; double=1", "double: NaN"),
            ("greatest", "double=-0.0 ; double=0.0", "double: -0.0"),
            ("least", "double=0.0 ; double=-0.0", "double: 0.0"),
            ("in", "double=NaN ; !double=NaN", "boolean: true"),
            ("in", "double=-0.0 ; !double=0.0", "boolean: true"),
            ("in", "double=-0.0 ; double=0.0", "boolean: true"),
        ],
    );
}

#[test]
fn greatest_and_least() {
    check(
        FUNCTIONS,
        &[
            ("greatest", "int=1 ; decimal(2,1)=2.5", "decimal(11,1): 2.5"),
            ("greatest", "string=a ; string=b", "string: b"),
            ("greatest", "void= ; int=1", "int: 1"),
            ("greatest", "int=3 ; int= ; int=2", "int: 3"),
            ("least", "int=3 ; int= ; int=2", "int: 2"),
            ("least", "date=2024-01-01 ; timestamp=2023-01-01", "timestamp: 2023-01-01 00:00:00"),
            ("greatest", "void= ; void=", "void: null"),
            ("greatest", "int=1", "WRONG_NUM_ARGS"),
            (
                "greatest",
                "int=1 ; boolean=true",
                r#"DATATYPE_MISMATCH.DATA_DIFF_TYPES: Cannot resolve "greatest(1, true)" due to data type mismatch: Input to `greatest` should all be the same type, but it's ["INT", "BOOLEAN"]."#,
            ),
            ("greatest", "int=1 ; string=2", "DATATYPE_MISMATCH.DATA_DIFF_TYPES"),
        ],
    );
}

#[test]
fn membership() {
    check(
        FUNCTIONS,
        &[
            ("in", "int=1 ; !int=1 ; !int=2", "boolean: true"),
            ("in", "int=3 ; !int=1 ; !int=2", "boolean: false"),
            ("in", "int=1 ; !int=2 ; !int=", "boolean: null"),
            ("in", "int=1 ; !int=1 ; !int=", "boolean: true"),
            ("in", "int= ; !int=1", "boolean: null"),
            ("in", "void= ; !void=", "boolean: null"),
            ("in", "int=1 ; !string=1", "boolean: true"),
            ("in", "int=1 ; !string=a", "CAST_INVALID_INPUT"),
            ("in", "decimal(2,1)=1.5 ; !int=1 ; !decimal(2,1)=1.5", "boolean: true"),
            ("in", "string=a ; !string=a ; !string=b", "boolean: true"),
            ("in", "date=2024-01-01 ; !string=2024-01-01", "boolean: true"),
            ("in", "boolean=true ; !boolean=false", "boolean: false"),
            ("in", "binary=a ; !binary=a", "boolean: true"),
            ("in", "int=1 ; int=2 ; int=1", "boolean: true"),
            ("in", "int=1 ; int=2 ; int=", "boolean: null"),
            ("in", "int=1 ; !int=1 ; !boolean=true", r#"DATATYPE_MISMATCH.DATA_DIFF_TYPES"#),
        ],
    );
}

fn lists(values: Vec<Option<Vec<Option<i32>>>>) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(values))
}

#[test]
fn nested_values() {
    let left = lists(vec![Some(vec![Some(1), None]), Some(vec![Some(1), None]), Some(vec![Some(1)]), Some(vec![None]), None]);
    let right = lists(vec![
        Some(vec![Some(1), None]),
        Some(vec![Some(1), Some(2)]),
        Some(vec![Some(1), Some(2)]),
        Some(vec![Some(1)]),
        None,
    ]);
    let compared = |comparison| compare_columns(&left, &right, comparison).unwrap().iter().collect::<Vec<_>>();
    let known = |values: [bool; 4]| values.into_iter().map(Some);
    assert_eq!(compared(Comparison::Equal), known([true, false, false, false]).chain([None]).collect::<Vec<_>>());
    assert_eq!(compared(Comparison::Less), known([false, true, true, true]).chain([None]).collect::<Vec<_>>());
    assert_eq!(compared(Comparison::Same), known([true, false, false, false]).chain([Some(true)]).collect::<Vec<_>>());

    let floats = |values: Vec<f64>| -> ArrayRef {
        let field = crate::types::element(DataType::Float64);
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([values.len()]);
        Arc::new(ListArray::new(field, offsets, Arc::new(Float64Array::from(values)), None))
    };
    let (left, right) = (floats(vec![-0.0, f64::NAN]), floats(vec![0.0, -f64::NAN]));
    assert_eq!(compare_columns(&left, &right, Comparison::Equal).unwrap(), BooleanArray::from(vec![true]));
}

#[test]
fn rows_are_ordered_with_nulls_first() {
    let ints: ArrayRef = Arc::new(Int32Array::from(vec![None, Some(1), Some(2)]));
    let order = comparator(&ints, &ints).unwrap();
    assert_eq!(
        (order(0, 1), order(2, 1), order(1, 1), order(0, 0)),
        (Ordering::Less, Ordering::Greater, Ordering::Equal, Ordering::Equal)
    );
    let maps = crate::types::parse("array<map<int,int>>").unwrap();
    assert!(!is_orderable(&maps) && is_orderable(&crate::types::parse("struct<a:array<int>>").unwrap()));
}
