//! Protocol buffers, read where they lie (G-53).
//!
//! Nothing is copied and nothing is built, so that a file takes no more memory than its bytes, whoever wrote it. (Structs
//! of `prost` take a hundred bytes for a message of two.)

use anyhow::{Context, Result, bail};

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A variable-length integer, or one of 4 or 8 bytes.
    Number(u64),
    /// A text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The number that it must be.
    ///
    /// # Errors
    /// When it is bytes.
    pub fn number(self) -> Result<u64> {
        let Self::Number(number) = self else { bail!("bytes where a number should be") };
        Ok(number)
    }

    /// The bytes that it must be.
    ///
    /// # Errors
    /// When it is a number.
    pub fn bytes(self) -> Result<&'a [u8]> {
        let Self::Bytes(bytes) = self else { bail!("a number where bytes should be") };
        Ok(bytes)
    }

    /// The text that it must be.
    ///
    /// # Errors
    /// When it is a number, or not UTF-8.
    pub fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).context("a text that is not UTF-8")
    }

    /// The numbers that it is, be they packed or one by one.
    pub fn numbers(self) -> impl Iterator<Item = Result<u64>> + use<'a> {
        let (mut one, mut packed) = match self {
            Self::Number(number) => (Some(number), &[][..]),
            Self::Bytes(bytes) => (None, bytes),
        };
        std::iter::from_fn(move || {
            if let Some(number) = one.take() {
                return Some(Ok(number));
            }
            (!packed.is_empty()).then(|| {
                let number = variable(&mut packed);
                if number.is_err() {
                    packed = &[];
                }
                number
            })
        })
    }
}

/// The fields of a message: their numbers and values, up to the first error.
pub fn fields(mut message: &[u8]) -> impl Iterator<Item = Result<(u64, Value<'_>)>> {
    std::iter::from_fn(move || {
        (!message.is_empty()).then(|| {
            let field = field(&mut message);
            if field.is_err() {
                message = &[];
            }
            field
        })
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<(u64, Value<'a>)> {
    let key = variable(rest)?;
    let value = match key & 7 {
        0 => Value::Number(variable(rest)?),
        1 => Value::Number(fixed(rest, 8)?),
        2 => {
            let length = variable(rest)?;
            Value::Bytes(take(rest, length)?)
        }
        5 => Value::Number(fixed(rest, 4)?),
        other => bail!("a field of the unknown kind {other}"),
    };
    match key >> 3 {
        0 => bail!("a field without a number"),
        number => Ok((number, value)),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8]> {
    let taken = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (taken, after) = taken.with_context(|| format!("{length} bytes are announced, and {} are left", rest.len()))?;
    *rest = after;
    Ok(taken)
}

fn fixed(rest: &mut &[u8], length: u64) -> Result<u64> {
    Ok(take(rest, length)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn variable(rest: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().context("it ends within a number")?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    bail!("a number of more than ten bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_field_is_read() {
        let message = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 1, 0, 0, 0, 0x21, 2, 0, 0, 0, 0, 0, 0, 0];
        let read: Vec<_> = fields(&message).map(Result::unwrap).collect();
        let expected =
            [(1, Value::Number(150)), (2, Value::Bytes(b"hi")), (3, Value::Number(1)), (4, Value::Number(2))];
        assert_eq!(read, expected);
    }

    #[test]
    fn numbers_are_the_same_packed_or_one_by_one() {
        let numbers = |value: Value<'_>| value.numbers().map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(numbers(Value::Bytes(&[1, 0x96, 0x01])), [1, 150]);
        assert_eq!(numbers(Value::Number(7)), [7]);
    }

    #[test]
    fn what_is_cut_off_is_an_error_and_the_last() {
        for message in [&[0x12, 5, b'h'][..], &[0x08, 0x80], &[0x1d, 1], &[0xff; 12], &[0x0b], &[0x00, 0x00]] {
            let read: Vec<_> = fields(message).collect();
            assert!(read.len() == 1 && read[0].is_err(), "{message:?}: {read:?}");
        }
    }
}
