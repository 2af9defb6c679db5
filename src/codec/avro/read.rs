//! A datum as JSON: what people mean by it, not how Avro writes it down. A union is its value, a date a date.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, Timestamp};
use serde::Serialize;

use super::schema::{Logical, Schema, Type};
use crate::codec::number::in_words;

/// No document nests deeper.
const DEPTH: usize = 128;

/// So many bytes of JSON may come of one of Avro: fields have names there.
const FACTOR: usize = 32;
const LEAST: usize = 64 << 10;

/// Dates are counted from here.
const EPOCH: Date = Date::constant(1970, 1, 1);

/// No decimal is longer, in bytes: its digits are computed, and take time by the square of it.
const DIGITS: usize = 128;

/// Reads the one datum that the bytes are.
///
/// # Errors
/// With how they don't fit the schema, without any of them.
pub fn to_json(schema: &Schema, bytes: &[u8]) -> Result<String, String> {
    let most = bytes.len().saturating_mul(FACTOR).max(LEAST);
    let mut reader = Reader { schema, rest: bytes, json: Vec::with_capacity(bytes.len() * 2), most, depth: 0 };
    reader.value(schema.root())?;
    match reader.rest.len() {
        0 => String::from_utf8(reader.json).map_err(|error| error.to_string()),
        left => Err(format!("{left} bytes are left over")),
    }
}

struct Reader<'s, 'b> {
    schema: &'s Schema,
    rest: &'b [u8],
    json: Vec<u8>,
    most: usize,
    depth: usize,
}

type Read = Result<(), String>;

impl<'b> Reader<'_, 'b> {
    fn value(&mut self, kind: &Type) -> Read {
        if self.json.len() > self.most {
            return Err(format!("it comes to more than {} bytes of JSON", self.most));
        }
        match kind {
            Type::Null => self.write(&()),
            Type::Boolean => match self.take(1)?[0] {
                flag @ (0 | 1) => self.write(&(flag == 1)),
                other => Err(format!("a boolean is {other}")),
            },
            Type::Int(logical) => {
                let number = self.long()?;
                i32::try_from(number).map_err(|_| "an int has more than 32 bits")?;
                self.number(number, *logical)
            }
            Type::Long(logical) => {
                let number = self.long()?;
                self.number(number, *logical)
            }
            Type::Float => {
                let number = f32::from_le_bytes(self.array()?);
                if number.is_finite() { self.write(&number) } else { self.write(in_words(number.into())) }
            }
            Type::Double => {
                let number = f64::from_le_bytes(self.array()?);
                if number.is_finite() { self.write(&number) } else { self.write(in_words(number)) }
            }
            Type::Bytes(logical) => {
                let bytes = self.sized()?;
                self.bytes(bytes, *logical)
            }
            Type::Fixed(size, logical) => {
                let bytes = self.take(*size)?;
                self.bytes(bytes, *logical)
            }
            Type::String => {
                let text = self.text()?;
                self.write(text)
            }
            Type::Enum(symbols) => {
                let place = self.place("an enum's symbol", symbols.len())?;
                self.write(&symbols[place])
            }
            Type::Union(branches) => {
                let place = self.place("a union's branch", branches.len())?;
                // A union directly in a union can't be, so this goes no deeper.
                self.below(branches[place])
            }
            Type::Array(of) => self.blocks(b'[', b']', |reader| reader.below(*of)),
            Type::Map(of) => self.blocks(b'{', b'}', |reader| {
                let key = reader.text()?;
                reader.write(key)?;
                reader.json.push(b':');
                reader.below(*of)
            }),
            Type::Record(fields) => {
                self.json.push(b'{');
                for (place, (name, of)) in fields.iter().enumerate() {
                    if place > 0 {
                        self.json.push(b',');
                    }
                    self.write(name)?;
                    self.json.push(b':');
                    self.below(*of)?;
                }
                self.json.push(b'}');
                Ok(())
            }
        }
    }

    fn below(&mut self, place: usize) -> Read {
        if self.depth == DEPTH {
            return Err(format!("it nests deeper than {DEPTH} levels"));
        }
        self.depth += 1;
        let schema = self.schema;
        let read = self.value(schema.at(place));
        self.depth -= 1;
        read
    }

    /// The elements of an array or a map, which come in blocks.
    fn blocks(&mut self, open: u8, close: u8, mut element: impl FnMut(&mut Self) -> Read) -> Read {
        self.json.push(open);
        let mut is_first = true;
        loop {
            let count = self.long()?;
            if count == 0 {
                self.json.push(close);
                return Ok(());
            }
            if count < 0 {
                // Its size in bytes, for those who skip it.
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                if !std::mem::take(&mut is_first) {
                    self.json.push(b',');
                }
                element(self)?;
            }
        }
    }

    fn number(&mut self, number: i64, logical: Logical) -> Read {
        match in_time(number, logical) {
            Some(text) => self.write(&text),
            None => self.write(&number),
        }
    }

    fn bytes(&mut self, bytes: &[u8], logical: Logical) -> Read {
        match logical {
            Logical::Decimal(scale) => {
                let text = decimal(bytes, scale as usize)?;
                self.write(&text)
            }
            Logical::Uuid if bytes.len() == 16 => {
                let uuid = uuid::Uuid::from_slice(bytes).map_err(|error| error.to_string())?;
                self.write(&uuid)
            }
            _ => self.write(&STANDARD.encode(bytes)),
        }
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Read {
        serde_json::to_writer(&mut self.json, value).map_err(|error| error.to_string())
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A number of up to 64 bits, seven in a byte, the sign in the lowest.
    fn long(&mut self) -> Result<i64, String> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        Err("a number has more than 64 bits".into())
    }

    fn sized(&mut self) -> Result<&'b [u8], String> {
        let size = usize::try_from(self.long()?).map_err(|_| "a length is negative")?;
        self.take(size)
    }

    fn text(&mut self) -> Result<&'b str, String> {
        std::str::from_utf8(self.sized()?).map_err(|_| "a string is not UTF-8".into())
    }

    fn place(&mut self, what: &str, of: usize) -> Result<usize, String> {
        let place = self.long()?;
        usize::try_from(place).ok().filter(|place| *place < of).ok_or_else(|| format!("{what} is {place} of {of}"))
    }
}

/// A date or a time by RFC 3339; `None`: it is none, or too far away for a calendar.
fn in_time(number: i64, logical: Logical) -> Option<String> {
    let timestamp = |parts: i64| {
        let nanos = i128::from(number) * i128::from(1_000_000_000 / parts);
        Timestamp::from_nanosecond(nanos).ok()
    };
    match logical {
        Logical::Date => Some(EPOCH.checked_add(Span::new().try_days(number).ok()?).ok()?.to_string()),
        Logical::Time(parts) => {
            let nanos = number.checked_mul(1_000_000_000 / parts)?;
            let since_midnight = Span::new().try_nanoseconds(nanos).ok().filter(|_| nanos >= 0)?;
            Some(Time::midnight().checked_add(since_midnight).ok()?.to_string())
        }
        Logical::Timestamp(parts) => Some(timestamp(parts)?.to_string()),
        Logical::LocalTimestamp(parts) => {
            let local: DateTime = timestamp(parts)?.to_zoned(jiff::tz::TimeZone::UTC).datetime();
            Some(local.to_string())
        }
        Logical::Plain | Logical::Decimal(_) | Logical::Uuid => None,
    }
}

/// A number in two's complement, the highest byte first, with so many decimal places.
fn decimal(bytes: &[u8], scale: usize) -> Result<String, String> {
    if bytes.len() > DIGITS || scale > DIGITS * 3 {
        return Err(format!("a decimal has more than {DIGITS} bytes"));
    }
    let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let mut magnitude = bytes.to_vec();
    if is_negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let mut digits = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut rest = 0u32;
        for byte in &mut magnitude {
            let part = rest << 8 | u32::from(*byte);
            (*byte, rest) = ((part / 10) as u8, part % 10);
        }
        digits.push(char::from(b'0' + rest as u8));
    }
    digits.resize(digits.len().max(scale + 1), '0');
    let (places, whole) = digits.split_at(scale);
    let sign = if is_negative { "-" } else { "" };
    let whole: String = whole.iter().rev().collect();
    let places: String = places.iter().rev().collect();
    Ok(if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{places}") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::codec::registry::schemas::Readable as _;

    fn read(schema: &Value, bytes: &[u8]) -> Result<Value, String> {
        let json = to_json(&Schema::read(&schema.to_string(), &[]).unwrap(), bytes)?;
        Ok(serde_json::from_str(&json).expect("JSON"))
    }

    #[test]
    fn a_value_is_what_people_mean_by_it() {
        let logical = |of: &str, logical: &str| json!({ "type": of, "logicalType": logical });
        let decimal = json!({ "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2 });
        let cases: [(Value, &[u8], Value); 18] = [
            (json!(["null", "string"]), b"\x02\x04hi", json!("hi")),
            (json!(["null", "string"]), b"\x00", json!(null)),
            (json!("long"), b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", json!(i64::MAX)),
            (json!("long"), b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", json!(i64::MIN)),
            (json!("float"), b"\xcd\xcc\xcc\x3d", json!(0.1)),
            (json!("double"), b"\0\0\0\0\0\0\xf0\x7f", json!("Infinity")),
            (json!("bytes"), b"\x04\0\xff", json!("AP8=")),
            (decimal.clone(), b"\x04\xfe\x0c", json!("-5.00")),
            (decimal.clone(), b"\x02\x07", json!("0.07")),
            (decimal, b"\x00", json!("0.00")),
            (logical("int", "date"), b"\x02", json!("1970-01-02")),
            (logical("int", "date"), b"\xff\xff\xff\xff\x0f", json!(i32::MIN)),
            (logical("int", "time-millis"), b"\xd0\x0f", json!("00:00:01")),
            (logical("long", "timestamp-millis"), b"\x01", json!("1969-12-31T23:59:59.999Z")),
            (logical("long", "local-timestamp-micros"), b"\x02", json!("1970-01-01T00:00:00.000001")),
            (json!({ "type": "array", "items": "int" }), b"\x03\x04\x02\x04\x02\x06\x00", json!([1, 2, 3])),
            (json!({ "type": "map", "values": "int" }), b"\x02\x02a\x02\x00", json!({ "a": 1 })),
            (json!({ "type": "enum", "name": "E", "symbols": ["A", "B"] }), b"\x02", json!("B")),
        ];
        for (schema, bytes, expected) in cases {
            assert_eq!(read(&schema, bytes), Ok(expected), "{schema}");
        }
    }

    #[test]
    fn bytes_that_do_not_fit_are_an_error_and_neither_depth_nor_numbers_hurt() {
        let list = json!({ "type": "record", "name": "L", "fields": [{ "name": "next", "type": ["null", "L"] }] });
        let nothing = json!({ "type": "array", "items": "null" });
        let most = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        let deep = vec![2; 100_000];
        let cases: [(Value, &[u8], &str); 10] = [
            (list, &deep, "nests deeper"),
            (nothing, most, "more than 65536 bytes of JSON"),
            (json!("string"), most, "ends too early"),
            (json!("string"), b"\x02\xff", "not UTF-8"),
            (json!("string"), b"\x01", "negative"),
            (json!("int"), most, "more than 32 bits"),
            (json!("boolean"), b"\x02", "a boolean is 2"),
            (json!(["null"]), b"\x02", "a union's branch is 1 of 1"),
            (json!("null"), b"\x00", "1 bytes are left over"),
            (json!("long"), &[0xff; 11], "more than 64 bits"),
        ];
        for (schema, bytes, expected) in cases {
            let error = read(&schema, bytes).unwrap_err();
            assert!(error.contains(expected), "{schema}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let schema = json!({ "type": "record", "name": "R", "fields": [
                { "name": "a", "type": { "type": "array", "items": ["null", "R", "string", "bytes"] } },
                { "name": "m", "type": { "type": "map", "values": { "type": "long", "logicalType": "timestamp-micros" } } },
                { "name": "d", "type": { "type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 3 } },
            ] });
            drop(read(&schema, &bytes));
        }
    }
}
