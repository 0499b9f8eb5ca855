//! The functions themselves.

use arrow::datatypes::DataType;
use datafusion::error::Result;

use super::decode::{self, Varint};
use super::encode::{self, write_index};
use super::shape::{self, Mapping};
use super::{descriptor, encode::Write};
use crate::function::{Call, Resolved};
use crate::json::options::given;
use crate::message::{Format, Header, argument_types, bytes, mode, read_all, values, write_all};

pub(super) fn from_protobuf(call: &Call<'_>) -> Result<Resolved> {
    let first = bytes(call, 0)?;
    let message = descriptor::message(call, 1)?;
    let options = given(call, 3)?;
    let (mapping, header, mode) = (Mapping::of(&options)?, Header::of(&options)?, mode(call, &options)?);
    let (target, shape) = shape::of(&message, &mapping)?;
    let place = descriptor::place(&message);
    let resolved = Resolved::new(argument_types(call, first), target.clone(), move |invocation| {
        read_all(Format::Protobuf, &values(invocation)?, &target, mode, |message, column| {
            let message = match header {
                Some(header) => Varint::strip_place(header.strip(message)?, &place)?,
                None => message,
            };
            decode::message(message, &shape, column)
        })
    });
    Ok(resolved.fallible())
}

pub(super) fn to_protobuf(call: &Call<'_>) -> Result<Resolved> {
    let message = descriptor::message(call, 1)?;
    let header = Header::to_write(&given(call, 3)?)?;
    let write: Write = encode::of(&message, call.data_type(0))?;
    let place = descriptor::place(&message);
    let resolved = Resolved::new(argument_types(call, call.data_type(0).clone()), DataType::Binary, move |invocation| {
        write_all(&values(invocation)?, |values, row, out| {
            if let Some(header) = header {
                header.write(out);
                write_index(&place, out);
            }
            write.message(values, row, out)
        })
    });
    Ok(resolved.fallible())
}
