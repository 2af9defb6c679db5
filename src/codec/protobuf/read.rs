//! From the bytes behind a registry's header to the message that they are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use prost_reflect::prost::encoding::decode_varint;
use prost_reflect::{DynamicMessage, MessageDescriptor};

use super::json;
use super::schema::Schema;

/// So many bytes of JSON may come of one of Protobuf: fields have names there, and values that are not written down here.
const FACTOR: usize = 32;
const LEAST: usize = 1 << 20;

/// No message stands deeper within others in a schema.
const DEPTH: i64 = 32;

/// A message's type, and its bytes, of what stands behind a registry's header: the place of its type comes first.
///
/// # Errors
/// With what is wrong with that.
pub fn message<'b>(schema: &Schema, bytes: &'b [u8]) -> Result<(MessageDescriptor, &'b [u8]), String> {
    let (place, message) = place(bytes)?;
    Ok((schema.message(&place)?, message))
}

/// The message as JSON.
///
/// # Errors
/// With how the bytes don't fit, without any of them.
pub fn to_json(descriptor: MessageDescriptor, bytes: &[u8]) -> Result<String, String> {
    // The library panics where a schema is not what it takes for granted. Schemas come from anybody: that costs the record alone.
    let read = catch_unwind(AssertUnwindSafe(|| {
        let message = DynamicMessage::decode(descriptor, bytes).map_err(|error| error.to_string())?;
        json::write(&message, bytes.len().saturating_mul(FACTOR).max(LEAST))
    }));
    read.unwrap_or_else(|_| Err("its schema is not one that messages can be read by".into()))
}

/// The place of a message's type: how many numbers, and these. That of the first message is a zero alone.
fn place(mut bytes: &[u8]) -> Result<(Vec<usize>, &[u8]), String> {
    let mut number = || {
        let number = decode_varint(&mut bytes).map_err(|_| "the place of its message in the schema is not there")?;
        // The sign is in the lowest bit.
        Ok::<_, String>((number >> 1) as i64 ^ -((number & 1) as i64))
    };
    let count = number()?;
    let place = match count {
        0 => vec![0],
        1..=DEPTH => (0..count).map(|_| number()).collect::<Result<_, _>>()?,
        _ => return Err(not_a_place(count)),
    };
    let place = place.into_iter().map(|number| usize::try_from(number).map_err(|_| not_a_place(number)));
    Ok((place.collect::<Result<_, _>>()?, bytes))
}

fn not_a_place(number: i64) -> String {
    format!(
        "the place of its message in the schema can't have a {number} (is it written by `use.deprecated.format`, or not at all?)"
    )
}
