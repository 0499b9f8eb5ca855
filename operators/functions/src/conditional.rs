//! Tests for null and NaN, and functions that fail on purpose. Those that choose lazily are `CASE` by the time functions are resolved.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, NullArray, PrimitiveArray, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{is_not_null, is_null, not, nullif};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use datafusion::error::Result;

use crate::arithmetic::different_types;
use crate::cast::{CastMode, cast_array};
use crate::coercion::common_type;
use crate::comparison::no_common_type;
use crate::error::spark_error;
use crate::function::{Arg, Arity, Call, Function, Resolved};
use crate::types::is_numeric;

/// The functions of this family.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { names: &["isnull"], arity: Arity::exactly(1), resolve: |call| null_test(call, is_null) },
    Function { names: &["isnotnull"], arity: Arity::exactly(1), resolve: |call| null_test(call, is_not_null) },
    Function { names: &["isnan"], arity: Arity::exactly(1), resolve: isnan },
    Function { names: &["nanvl"], arity: Arity::exactly(2), resolve: nanvl },
    Function { names: &["zeroifnull"], arity: Arity::exactly(1), resolve: zeroifnull },
    Function { names: &["nullifzero"], arity: Arity::exactly(1), resolve: nullifzero },
    Function { names: &["assert_true"], arity: Arity::between(1, 2), resolve: assert_true },
    Function { names: &["raise_error"], arity: Arity::exactly(1), resolve: raise_error },
];

type NullTest = fn(&dyn Array) -> std::result::Result<BooleanArray, arrow::error::ArrowError>;

fn null_test(call: &Call<'_>, test: NullTest) -> Result<Resolved> {
    let own = call.data_type(0).clone();
    Ok(Resolved::new(vec![own], DataType::Boolean, move |invocation| Ok(Arc::new(test(&invocation.array(0)?)?))))
}

/// What a floating-point argument is cast to.
fn floating(call: &Call<'_>, index: usize) -> Result<DataType> {
    match call.data_type(index) {
        DataType::Float32 => Ok(DataType::Float32),
        DataType::Null | DataType::Utf8 => Ok(DataType::Float64),
        own if is_numeric(own) => Ok(DataType::Float64),
        _ => Err(call.unexpected_type(index, "the (\"DOUBLE\" or \"FLOAT\") type")),
    }
}

fn isnan(call: &Call<'_>) -> Result<Resolved> {
    let own = floating(call, 0)?;
    Ok(Resolved::new(vec![own], DataType::Boolean, |invocation| Ok(Arc::new(nans(&invocation.array(0)?)))))
}

/// Which values are not numbers; null isn't one of them.
fn nans(values: &ArrayRef) -> BooleanArray {
    fn test<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, is_nan: impl Fn(T::Native) -> bool) -> BooleanArray {
        values.iter().map(|value| Some(value.is_some_and(&is_nan))).collect()
    }
    match values.data_type() {
        DataType::Float32 => test(values.as_primitive::<Float32Type>(), f32::is_nan),
        _ => test(values.as_primitive::<Float64Type>(), f64::is_nan),
    }
}

fn nanvl(call: &Call<'_>) -> Result<Resolved> {
    let (left, right) = (floating(call, 0)?, floating(call, 1)?);
    let common = if left == right { left } else { DataType::Float64 };
    Ok(Resolved::new(vec![common.clone(), common.clone()], common, |invocation| {
        let (values, others) = (invocation.array(0)?, invocation.array(1)?);
        Ok(zip(&nans(&values), &others, &values)?)
    }))
}

fn zeroifnull(call: &Call<'_>) -> Result<Resolved> {
    let own = call.data_type(0);
    let zero = Arg { data_type: DataType::Int32, literal: None, sql: "0".to_owned() };
    let common = common_type(own, &DataType::Int32).ok_or_else(|| {
        let args = [call.args[0].clone(), zero];
        no_common_type(&Call { name: "coalesce", args: &args, settings: call.settings })
    })?;
    let zeros: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![0]));
    let zero = arrow::array::Scalar::new(cast_array(&zeros, &common, CastMode::Ansi, call.settings)?);
    Ok(Resolved::new(vec![common.clone()], common, move |invocation| {
        let values = invocation.array(0)?;
        Ok(zip(&is_null(&values)?, &zero, &values)?)
    }))
}

fn nullifzero(call: &Call<'_>) -> Result<Resolved> {
    let (own, settings) = (call.data_type(0).clone(), *call.settings);
    match own {
        DataType::Null => Ok(Resolved::new(vec![own], DataType::Null, |invocation| invocation.array(0))),
        DataType::Utf8 => Ok(Resolved::new(vec![own.clone()], own, move |invocation| {
            let texts = invocation.array(0)?;
            let numbers = cast_array(&texts, &DataType::Int64, CastMode::Ansi, &settings)?;
            let nonzero = cast_array(&numbers, &DataType::Boolean, CastMode::Ansi, &settings)?;
            Ok(nullif(&texts, &not(nonzero.as_boolean())?)?)
        })
        .fallible()),
        _ if is_numeric(&own) => Ok(Resolved::new(vec![own.clone()], own, move |invocation| {
            let numbers = invocation.array(0)?;
            let nonzero = cast_array(&numbers, &DataType::Boolean, CastMode::Ansi, &settings)?;
            Ok(nullif(&numbers, &not(nonzero.as_boolean())?)?)
        })),
        _ => {
            let zero = Arg { data_type: DataType::Int32, literal: None, sql: "0".to_owned() };
            let args = [call.args[0].clone(), zero];
            Err(different_types(&Call { name: "=", args: &args, settings: call.settings }, &own, &DataType::Int32))
        }
    }
}

/// Text of any type that Spark casts to it.
fn message(call: &Call<'_>, index: usize) -> Result<DataType> {
    call.coerce(index, &DataType::Utf8)
}

// Both are volatile so that they are not computed ahead, for no row.

fn assert_true(call: &Call<'_>) -> Result<Resolved> {
    let mut args = vec![match call.data_type(0) {
        DataType::Null | DataType::Boolean => DataType::Boolean,
        _ => return Err(call.unexpected_type(0, "the \"BOOLEAN\" type")),
    }];
    if call.len() == 2 {
        args.push(message(call, 1)?);
    }
    let default = format!("'{}' is not true!", call.args[0].sql);
    let resolved = Resolved::new(args, DataType::Null, move |invocation| {
        let condition = invocation.array(0)?;
        let condition = condition.as_boolean();
        let failed = (0..condition.len()).find(|row| condition.is_null(*row) || !condition.value(*row));
        match failed {
            None => Ok(Arc::new(NullArray::new(invocation.rows))),
            Some(_) if invocation.args.len() == 1 => Err(spark_error("USER_RAISED_EXCEPTION", default.clone())),
            Some(row) => {
                let messages = invocation.array(1)?;
                let messages = messages.as_string::<i32>();
                let message = if messages.is_valid(row) { messages.value(row) } else { "null" };
                Err(spark_error("USER_RAISED_EXCEPTION", message))
            }
        }
    });
    Ok(resolved.fallible().volatile())
}

fn raise_error(call: &Call<'_>) -> Result<Resolved> {
    let resolved = Resolved::new(vec![message(call, 0)?], DataType::Null, |invocation| {
        if invocation.rows == 0 {
            return Ok(new_null_array(&DataType::Null, 0));
        }
        let messages = invocation.array(0)?;
        let messages = messages.as_string::<i32>();
        let message = if messages.is_valid(0) { messages.value(0) } else { "null" };
        Err(spark_error("USER_RAISED_EXCEPTION", message))
    });
    Ok(resolved.fallible().volatile())
}

#[cfg(test)]
mod tests {
    use super::FUNCTIONS;
    use crate::arithmetic::tests::check;

    #[test]
    fn nulls_and_nans() {
        check(
            FUNCTIONS,
            &[
                ("isnull", "int=1", "boolean: false"),
                ("isnull", "void=", "boolean: true"),
                ("isnotnull", "string=", "boolean: false"),
                ("isnan", "double=NaN", "boolean: true"),
                ("isnan", "string=NaN", "boolean: true"),
                ("isnan", "void=", "boolean: false"),
                ("isnan", "float=1", "boolean: false"),
                ("isnan", "decimal(2,1)=1.5", "boolean: false"),
                ("isnan", "boolean=true", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
                ("nanvl", "double=NaN ; int=5", "double: 5.0"),
                ("nanvl", "float=1 ; float=2", "float: 1.0"),
                ("nanvl", "float=NaN ; double=2", "double: 2.0"),
                ("nanvl", "int=1 ; int=2", "double: 1.0"),
                ("nanvl", "void= ; float=2", "double: null"),
                ("nanvl", "double=NaN ; void=", "double: null"),
                ("nanvl", "double=1 ; void=", "double: 1.0"),
                ("nanvl", "boolean=true ; double=1", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
                ("zeroifnull", "void=", "int: 0"),
                ("zeroifnull", "tinyint=", "int: 0"),
                ("zeroifnull", "decimal(2,1)=1.5", "decimal(11,1): 1.5"),
                ("zeroifnull", "string=5", "bigint: 5"),
                ("zeroifnull", "string=a", "CAST_INVALID_INPUT"),
                ("zeroifnull", "double=", "double: 0.0"),
                ("zeroifnull", "date=2024-01-01", "DATATYPE_MISMATCH.DATA_DIFF_TYPES"),
                ("nullifzero", "int=0", "int: null"),
                ("nullifzero", "int=5", "int: 5"),
                ("nullifzero", "double=-0.0", "double: null"),
                ("nullifzero", "decimal(2,1)=0", "decimal(2,1): null"),
                ("nullifzero", "string=0", "string: null"),
                ("nullifzero", "string=05", "string: 05"),
                ("nullifzero", "boolean=true", "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES: Cannot resolve \"(true = 0)\""),
            ],
        );
    }

    #[test]
    fn errors_on_purpose() {
        check(
            FUNCTIONS,
            &[
                ("assert_true", "boolean=true", "void: null"),
                ("assert_true", "boolean=false", "USER_RAISED_EXCEPTION: 'false' is not true!"),
                ("assert_true", "boolean=false ; string=my msg", "USER_RAISED_EXCEPTION: my msg"),
                ("assert_true", "boolean=true ; int=5", "void: null"),
                ("assert_true", "boolean=", "USER_RAISED_EXCEPTION"),
                ("assert_true", "string=true", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
                ("assert_true", "int=1", "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE"),
                ("raise_error", "string=boom", "USER_RAISED_EXCEPTION: boom"),
                ("raise_error", "int=5", "USER_RAISED_EXCEPTION: 5"),
                ("raise_error", "void=", "USER_RAISED_EXCEPTION: null"),
            ],
        );
    }
}
