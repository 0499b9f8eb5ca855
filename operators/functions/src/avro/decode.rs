//! From Avro's bytes to columns, by a plan that was made once for the schemas.
//!
//! Bytes may be anything: a length is believed only as far as there are bytes, and nothing is allocated for what is still to come.

use std::sync::Arc;

use super::schema::{Definition, Kind, Schema};
use crate::json::column::Column;
use crate::message::{self, Malformed, Read, malformed};

/// How deep values that are passed over may be nested.
const MAX_NESTING: usize = 512;

/// How many elements that take no bytes (nulls, empty records) a message may have.
const MAX_EMPTY: usize = 1 << 20;

/// How a value is read into a column.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    Null,
    Boolean,
    /// An `int`, times a factor.
    Int(i64),
    Long(i64),
    Float,
    Double,
    /// Text, bytes or a decimal, as the column is; its length before it.
    Bytes,
    /// The same without the length.
    Fixed(usize),
    /// The symbol of each number; `None` for one that the reader doesn't know.
    Enum(Vec<Option<String>>),
    Array(Box<Plan>),
    Map(Box<Plan>),
    /// What is done for each number of a branch.
    Union(Vec<Plan>),
    /// A value at a place of a struct whose other fields are null; at none if it is left out.
    Member(Option<usize>, Box<Plan>),
    Record {
        /// What was written, one after the other, and the column that it goes to.
        steps: Vec<(Option<usize>, Plan)>,
        /// What was not: its column, and a value as Avro writes it.
        defaults: Vec<(usize, Vec<u8>, Plan)>,
    },
    /// Values of the writer's that nobody reads.
    Skip(Vec<Kind>),
    /// There is nothing that this value can be read as, and why.
    Fail(String),
}

/// Reads values of a plan.
#[derive(Debug, Clone)]
pub(super) struct Decoder {
    pub(super) plan: Plan,
    /// That values were written by.
    pub(super) writer: Arc<Schema>,
}

impl Decoder {
    /// Adds the value to the column. After an error the column has to be cut back to its length before. Bytes after the value are not
    /// looked at, as in Spark.
    pub(super) fn read(&self, bytes: &[u8], column: &mut Column) -> Read<()> {
        Cursor { rest: bytes, writer: &self.writer, empty: 0 }.value(&self.plan, column)
    }
}

/// What is left of a message.
struct Cursor<'a> {
    rest: &'a [u8],
    writer: &'a Schema,
    /// How many elements took no bytes.
    empty: usize,
}

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Read<u8> {
        match self.rest.split_first() {
            Some((first, rest)) => {
                self.rest = rest;
                Ok(*first)
            }
            None => malformed("it ends in the middle of a value"),
        }
    }

    fn bytes(&mut self, len: usize) -> Read<&'a [u8]> {
        message::take(&mut self.rest, len)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        message::take_array(&mut self.rest)
    }

    fn long(&mut self) -> Read<i64> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        malformed("a number is longer than 64 bits")
    }

    fn int(&mut self) -> Read<i32> {
        i32::try_from(self.long()?).map_err(|_| Malformed("an int is longer than 32 bits".to_owned()))
    }

    fn length(&mut self) -> Read<usize> {
        usize::try_from(self.long()?).map_err(|_| Malformed("a length is negative".to_owned()))
    }

    fn prefixed(&mut self) -> Read<&'a [u8]> {
        let len = self.length()?;
        self.bytes(len)
    }

    /// The number of values in the next block of an array or a map, and its bytes if it says so; none at the end.
    fn block(&mut self) -> Read<Option<(u64, Option<usize>)>> {
        match self.long()? {
            0 => Ok(None),
            count if count < 0 => {
                let len = self.length()?;
                Ok(Some((count.unsigned_abs(), Some(len))))
            }
            count => Ok(Some((count.unsigned_abs(), None))),
        }
    }

    /// Hands each element of an array or a map to `take`.
    fn blocks(&mut self, mut take: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        while let Some((count, _)) = self.block()? {
            for _ in 0..count {
                let before = self.rest.len();
                take(self)?;
                if self.rest.len() == before {
                    self.empty += 1;
                    if self.empty > MAX_EMPTY {
                        return malformed("an array has too many elements without bytes");
                    }
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, plan: &Plan, column: &mut Column) -> Read<()> {
        match plan {
            Plan::Null => column.push_null(),
            Plan::Boolean => match (self.byte()?, column) {
                (bit @ (0 | 1), Column::Boolean(flat)) => flat.push(Some(bit == 1)),
                (other, _) => return malformed(format!("{other} is no boolean")),
            },
            Plan::Int(factor) => {
                let number = i64::from(self.int()?);
                push_number(number, *factor, column)?;
            }
            Plan::Long(factor) => {
                let number = self.long()?;
                push_number(number, *factor, column)?;
            }
            Plan::Float => {
                let number = f32::from_le_bytes(self.array()?);
                match column {
                    Column::Float(flat) => flat.push(Some(number)),
                    Column::Double(flat) => flat.push(Some(f64::from(number))),
                    _ => return mismatch(),
                }
            }
            Plan::Double => match (f64::from_le_bytes(self.array()?), column) {
                (number, Column::Double(flat)) => flat.push(Some(number)),
                _ => return mismatch(),
            },
            Plan::Bytes => push_bytes(self.prefixed()?, column)?,
            Plan::Fixed(size) => push_bytes(self.bytes(*size)?, column)?,
            Plan::Enum(symbols) => {
                let number = self.int()?;
                let symbol = usize::try_from(number).ok().and_then(|number| symbols.get(number));
                match (symbol, column) {
                    (Some(Some(symbol)), Column::Text(bytes)) => bytes.push(Some(symbol.as_bytes())),
                    (Some(None), _) => return malformed("a symbol is not in the reader's enum"),
                    _ => return malformed(format!("an enum has no symbol {number}")),
                }
            }
            Plan::Array(items) => {
                let Column::List(elements, ends) = column else { return mismatch() };
                self.blocks(|cursor| cursor.value(items, elements))?;
                ends.push(elements.len(), true);
            }
            Plan::Map(values) => {
                let Column::Map(entries, ends) = column else { return mismatch() };
                let (keys, column) = &mut **entries;
                self.blocks(|cursor| {
                    push_bytes(cursor.prefixed()?, keys)?;
                    cursor.value(values, column)
                })?;
                ends.push(keys.len(), true);
            }
            Plan::Union(branches) => {
                let number = self.long()?;
                match usize::try_from(number).ok().and_then(|number| branches.get(number)) {
                    Some(branch) => self.value(branch, column)?,
                    None => return malformed(format!("a union has no branch {number}")),
                }
            }
            Plan::Member(slot, plan) => self.member(*slot, plan, column)?,
            Plan::Record { steps, defaults } => {
                let Column::Struct(columns, valid) = column else { return mismatch() };
                for (slot, plan) in steps {
                    match (slot, plan) {
                        (Some(slot), plan) => self.value(plan, &mut columns[*slot])?,
                        (None, Plan::Skip(kinds)) => self.skip_all(kinds, MAX_NESTING)?,
                        (None, _) => return mismatch(),
                    }
                }
                for (slot, bytes, plan) in defaults {
                    let mut default = Cursor { rest: bytes, writer: self.writer, empty: 0 };
                    default.value(plan, &mut columns[*slot])?;
                }
                valid.push(true);
            }
            Plan::Skip(kinds) => {
                self.skip_all(kinds, MAX_NESTING)?;
                column.push_null();
            }
            Plan::Fail(reason) => return malformed(reason.clone()),
        }
        Ok(())
    }

    fn member(&mut self, slot: Option<usize>, plan: &Plan, column: &mut Column) -> Read<()> {
        let Column::Struct(columns, valid) = column else { return mismatch() };
        for (at, column) in columns.iter_mut().enumerate() {
            match Some(at) == slot {
                true => self.value(plan, column)?,
                false => column.push_null(),
            }
        }
        if slot.is_none() {
            // Only a record is left out, and its plan is to pass over what was written.
            let Plan::Skip(kinds) = plan else { return mismatch() };
            self.skip_all(kinds, MAX_NESTING)?;
        }
        valid.push(true);
        Ok(())
    }

    fn skip_all(&mut self, kinds: &[Kind], depth: usize) -> Read<()> {
        kinds.iter().try_for_each(|kind| self.skip(kind, depth))
    }

    /// Passes over a value.
    fn skip(&mut self, kind: &Kind, depth: usize) -> Read<()> {
        let Some(depth) = depth.checked_sub(1) else { return malformed("it is nested too deep") };
        match kind {
            Kind::Null => {}
            Kind::Boolean => drop(self.byte()?),
            Kind::Int(_) | Kind::Long(_) => drop(self.long()?),
            Kind::Float => drop(self.bytes(4)?),
            Kind::Double => drop(self.bytes(8)?),
            Kind::Bytes(_) | Kind::Text => drop(self.prefixed()?),
            Kind::Array(items) => self.skip_blocks(|cursor| cursor.skip(items, depth))?,
            Kind::Map(values) => self.skip_blocks(|cursor| {
                cursor.prefixed()?;
                cursor.skip(values, depth)
            })?,
            Kind::Union(branches) => {
                let number = self.long()?;
                match usize::try_from(number).ok().and_then(|number| branches.get(number)) {
                    Some(branch) => self.skip(branch, depth)?,
                    None => return malformed(format!("a union has no branch {number}")),
                }
            }
            Kind::Named(place) => match &self.writer.named(*place).definition {
                Definition::Record(fields) => fields.iter().try_for_each(|field| self.skip(&field.kind, depth))?,
                Definition::Enum { .. } => drop(self.long()?),
                Definition::Fixed { size, .. } => drop(self.bytes(*size)?),
            },
        }
        Ok(())
    }

    fn skip_blocks(&mut self, mut skip: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        while let Some((count, len)) = self.block()? {
            if let Some(len) = len {
                self.bytes(len)?;
                continue;
            }
            for _ in 0..count {
                let before = self.rest.len();
                skip(self)?;
                if self.rest.len() == before {
                    // The others are as empty as this one.
                    break;
                }
            }
        }
        Ok(())
    }
}

fn mismatch<T>() -> Read<T> {
    malformed("the schema does not fit the column")
}

fn push_number(number: i64, factor: i64, column: &mut Column) -> Read<()> {
    match column {
        Column::Int(flat) | Column::Date(flat) => match i32::try_from(number) {
            Ok(number) => flat.push(Some(number)),
            Err(_) => return malformed("an int is longer than 32 bits"),
        },
        Column::Long(flat) | Column::Timestamp(flat) | Column::TimestampNtz(flat) => match number.checked_mul(factor) {
            Some(number) => flat.push(Some(number)),
            None => return malformed(format!("{number} milliseconds are out of the range of timestamps")),
        },
        Column::Float(flat) => flat.push(Some(number as f32)),
        Column::Double(flat) => flat.push(Some(number as f64)),
        _ => return mismatch(),
    }
    Ok(())
}

fn push_bytes(bytes: &[u8], column: &mut Column) -> Read<()> {
    match column {
        Column::Text(texts) => match std::str::from_utf8(bytes) {
            Ok(_) => texts.push(Some(bytes)),
            Err(_) => return malformed("a string is no UTF-8"),
        },
        Column::Binary(values) => values.push(Some(bytes)),
        Column::Decimal(flat, precision, _) => match unscaled(bytes).filter(|number| digits_fit(*number, *precision)) {
            Some(number) => flat.push(Some(number)),
            None => return malformed(format!("a decimal has more than {precision} digits")),
        },
        _ => return mismatch(),
    }
    Ok(())
}

/// A number in two's complement, the highest byte first.
fn unscaled(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    let more = bytes.len().saturating_sub(16);
    if bytes[..more].iter().any(|byte| *byte != fill) {
        return None;
    }
    let mut all = [fill; 16];
    let kept = &bytes[more..];
    all[16 - kept.len()..].copy_from_slice(kept);
    let number = i128::from_be_bytes(all);
    (number.is_negative() == negative).then_some(number)
}

fn digits_fit(number: i128, precision: u8) -> bool {
    10_u128.checked_pow(u32::from(precision)).is_none_or(|limit| number.unsigned_abs() < limit)
}
