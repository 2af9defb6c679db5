//! A message in Protobuf's own JSON, with the names that its fields have in the schema, and all fields that always have a value.
//!
//! It is written here, and not by the library, since records come from anybody: an `Any` in an `Any` in an `Any` costs its sender
//! few bytes, and would cost a library without a limit the stack. And what that JSON has no words for, a date that no calendar
//! has or an `Any` of a type that the schema has not, stays the message that it is, and does not cost the record.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::prost_types::{Duration, Timestamp};
use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage as _, Value};
use serde::Serialize;

use crate::codec::number::in_words;

/// No document nests deeper: readers of JSON stop at 128 levels, and the enriched record has some of its own around it.
const DEPTH: usize = 100;

/// What has a form of its own in JSON reaches from the first day of the year 1 to the last of 9999, and as far as from one to
/// the other.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;
const LONGEST: u64 = 315_576_000_000;

/// The JSON, of so many bytes at most.
pub(super) fn write(message: &DynamicMessage, most: usize) -> Result<String, String> {
    let mut writer = Writer { json: Vec::with_capacity(1024), most, depth: 0 };
    writer.message(message)?;
    String::from_utf8(writer.json).map_err(|error| error.to_string())
}

struct Writer {
    json: Vec<u8>,
    most: usize,
    depth: usize,
}

type Written = Result<(), String>;

/// What a message of a type that all know is in JSON.
enum Known {
    Text(String),
    /// The value of a field, whose place is given.
    Field(u32),
    Null,
    /// A message of the named type.
    Any(String, DynamicMessage),
}

impl Writer {
    fn message(&mut self, message: &DynamicMessage) -> Written {
        match known(message) {
            Some(Known::Text(text)) => self.write(&text),
            Some(Known::Null) => self.write(&()),
            Some(Known::Field(number)) => {
                let descriptor = message.descriptor();
                let field = descriptor.get_field(number).ok_or("a type that all know has other fields here")?;
                match &*message.get_field(&field) {
                    // A level of the stack, though none of the JSON.
                    value @ Value::Message(_) => self.deeper(|writer| writer.value(value, &field.kind())),
                    value => self.value(value, &field.kind()),
                }
            }
            Some(Known::Any(kind, inner)) => self.deeper(|writer| {
                writer.json.extend(b"{\"@type\":");
                writer.write(&kind)?;
                if has_own_form(inner.descriptor().full_name()) {
                    writer.json.extend(b",\"value\":");
                    writer.message(&inner)?;
                } else {
                    writer.fields(&inner, false)?;
                }
                writer.json.push(b'}');
                Ok(())
            }),
            None => self.deeper(|writer| {
                writer.json.push(b'{');
                writer.fields(message, true)?;
                writer.json.push(b'}');
                Ok(())
            }),
        }
    }

    /// All that has a value, or always has one.
    fn fields(&mut self, message: &DynamicMessage, mut is_first: bool) -> Written {
        for field in message.descriptor().fields() {
            if !field.supports_presence() || message.has_field(&field) {
                self.name(field.name(), &mut is_first)?;
                self.value(&message.get_field(&field), &field.kind())?;
            }
        }
        for (extension, value) in message.extensions() {
            self.name(&format!("[{}]", extension.full_name()), &mut is_first)?;
            self.value(value, &extension.kind())?;
        }
        Ok(())
    }

    fn name(&mut self, name: &str, is_first: &mut bool) -> Written {
        if !std::mem::take(is_first) {
            self.json.push(b',');
        }
        self.write(name)?;
        self.json.push(b':');
        Ok(())
    }

    fn value(&mut self, value: &Value, kind: &Kind) -> Written {
        if self.json.len() > self.most {
            return Err(format!("it comes to more than {} bytes of JSON", self.most));
        }
        match value {
            Value::Bool(value) => self.write(value),
            Value::I32(value) => self.write(value),
            Value::U32(value) => self.write(value),
            // More digits than a number has in JavaScript.
            Value::I64(value) => self.write(&value.to_string()),
            Value::U64(value) => self.write(&value.to_string()),
            Value::F32(value) if value.is_finite() => self.write(value),
            Value::F32(value) => self.write(in_words((*value).into())),
            Value::F64(value) if value.is_finite() => self.write(value),
            Value::F64(value) => self.write(in_words(*value)),
            Value::String(value) => self.write(value),
            Value::Bytes(value) => self.write(&STANDARD.encode(value)),
            Value::EnumNumber(number) => match kind.as_enum() {
                Some(of) if of.full_name() == "google.protobuf.NullValue" => self.write(&()),
                of => match of.and_then(|of| of.get_value(*number)) {
                    Some(value) => self.write(value.name()),
                    None => self.write(number),
                },
            },
            Value::Message(message) => self.message(message),
            Value::List(values) => self.deeper(|writer| {
                writer.json.push(b'[');
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        writer.json.push(b',');
                    }
                    writer.value(value, kind)?;
                }
                writer.json.push(b']');
                Ok(())
            }),
            Value::Map(entries) => self.deeper(|writer| {
                // In an order of their own, so that the same record is the same JSON each time.
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                let of = kind.as_message().map_or_else(|| kind.clone(), |entry| entry.map_entry_value_field().kind());
                writer.json.push(b'{');
                let mut is_first = true;
                for (key, value) in entries {
                    writer.name(&name(key), &mut is_first)?;
                    writer.value(value, &of)?;
                }
                writer.json.push(b'}');
                Ok(())
            }),
        }
    }

    fn deeper(&mut self, write: impl FnOnce(&mut Self) -> Written) -> Written {
        if self.depth == DEPTH {
            return Err(format!("it nests deeper than {DEPTH} levels"));
        }
        self.depth += 1;
        write(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        serde_json::to_writer(&mut self.json, value).map_err(|error| error.to_string())
    }
}

/// What a message is that has a form of its own in JSON; `None`: it has none, or none for what it says.
fn known(message: &DynamicMessage) -> Option<Known> {
    let field = |number| message.get_field_by_number(number);
    match message.descriptor().full_name().strip_prefix("google.protobuf.")? {
        "Any" => {
            let kind = field(1)?.as_str()?.to_owned();
            let (_, name) = kind.rsplit_once('/')?;
            let descriptor = message.descriptor().parent_pool().get_message_by_name(name)?;
            let inner = DynamicMessage::decode(descriptor, field(2)?.as_bytes()?.clone()).ok()?;
            Some(Known::Any(kind, inner))
        }
        "Timestamp" => {
            let (seconds, nanos) = (field(1)?.as_i64()?, field(2)?.as_i32()?);
            let is_one = (FIRST..=LAST).contains(&seconds) && (0..1_000_000_000).contains(&nanos);
            is_one.then(|| Known::Text(Timestamp { seconds, nanos }.to_string()))
        }
        "Duration" => {
            let (seconds, nanos) = (field(1)?.as_i64()?, field(2)?.as_i32()?);
            let has_one_sign = seconds.signum() * i64::from(nanos.signum()) >= 0;
            let is_one = seconds.unsigned_abs() <= LONGEST && nanos.unsigned_abs() < 1_000_000_000 && has_one_sign;
            is_one.then(|| Known::Text(Duration { seconds, nanos }.to_string()))
        }
        "FieldMask" => {
            let paths = field(1)?;
            let paths: Option<Vec<_>> = paths.as_list()?.iter().map(|path| in_camels(path.as_str()?)).collect();
            Some(Known::Text(paths?.join(",")))
        }
        "Value" => {
            let set = (1..=6).find(|number| message.has_field_by_number(*number));
            Some(set.map_or(Known::Null, Known::Field))
        }
        // Anybody may give a type such a name. None of the real ones is about a message, and so never about itself.
        name => {
            let is_about_value = !matches!(&*field(1)?, Value::Message(_));
            let is_known = has_own_form(message.descriptor().full_name()) && name != "Empty" && is_about_value;
            is_known.then_some(Known::Field(1))
        }
    }
}

/// Whether messages of this type are something else in JSON than an object of their fields.
fn has_own_form(name: &str) -> bool {
    let names = [
        "Any",
        "Timestamp",
        "Duration",
        "FieldMask",
        "Struct",
        "Value",
        "ListValue",
        "Empty",
        "DoubleValue",
        "FloatValue",
        "Int64Value",
        "UInt64Value",
        "Int32Value",
        "UInt32Value",
        "BoolValue",
        "StringValue",
        "BytesValue",
    ];
    name.strip_prefix("google.protobuf.").is_some_and(|name| names.contains(&name))
}

/// A path of a mask, whose names are written like that even where those of fields are not; `None`: there is no way back.
fn in_camels(path: &str) -> Option<String> {
    let mut made = String::with_capacity(path.len());
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '_' => made.push(letters.next().filter(char::is_ascii_lowercase)?.to_ascii_uppercase()),
            letter if letter.is_ascii_uppercase() => return None,
            letter => made.push(letter),
        }
    }
    Some(made)
}

fn name(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}
