//! A schema, ready to be read by: names are resolved, and of logical types those are known that mean something in JSON.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::codec::registry::Named;
use crate::codec::registry::schemas::Readable;

/// A schema: all types that there are in it, which name each other by their places.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    types: Vec<Type>,
    root: usize,
}

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// No value.
    Null,
    /// True or false.
    Boolean,
    /// 32 bits.
    Int(Logical),
    /// 64 bits.
    Long(Logical),
    /// 32 bits.
    Float,
    /// 64 bits.
    Double,
    /// So many bytes as they say themselves.
    Bytes(Logical),
    /// UTF-8.
    String,
    /// One of these words.
    Enum(Vec<String>),
    /// So many bytes.
    Fixed(usize, Logical),
    /// Any number of values of a type.
    Array(usize),
    /// The same, by name.
    Map(usize),
    /// A value of one of these types.
    Union(Vec<usize>),
    /// Fields: name and type.
    Record(Vec<(String, usize)>),
}

/// What a value stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logical {
    /// Itself.
    Plain,
    /// A number with so many decimal places.
    Decimal(u32),
    /// Days since 1970.
    Date,
    /// A time of day, in so many parts of a second.
    Time(i64),
    /// A moment since 1970, in so many parts of a second.
    Timestamp(i64),
    /// The same on whatever clock is on the wall.
    LocalTimestamp(i64),
    /// A UUID in 16 bytes.
    Uuid,
}

impl Readable for Schema {
    const KIND: &'static str = "AVRO";

    fn read(schema: &str, references: &[Named]) -> Result<Self, String> {
        let mut parser = Parser::default();
        for text in references.iter().map(|reference| reference.text.as_str()).chain([schema]) {
            // A name alone is a schema, too, and registries keep it without its quotation marks.
            let json = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.trim().to_owned()));
            parser.root = parser.add(&json, "")?;
        }
        Ok(Self { types: parser.types, root: parser.root })
    }
}

impl Schema {
    /// The type of the whole.
    #[must_use]
    pub fn root(&self) -> &Type {
        &self.types[self.root]
    }

    /// The type at a place.
    #[must_use]
    pub fn at(&self, place: usize) -> &Type {
        &self.types[place]
    }
}

#[derive(Default)]
struct Parser {
    types: Vec<Type>,
    names: HashMap<String, usize>,
    root: usize,
}

impl Parser {
    /// Adds a type, and tells its place.
    fn add(&mut self, schema: &Value, namespace: &str) -> Result<usize, String> {
        match schema {
            Value::String(name) => self.named(name, &Map::new(), namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.add(branch, namespace)).collect::<Result<_, _>>()?;
                Ok(self.push(Type::Union(branches)))
            }
            Value::Object(object) => match object.get("type") {
                Some(Value::String(name)) => self.named(name, object, namespace),
                Some(inner) => self.add(inner, namespace),
                None => Err("a type has no `type`".into()),
            },
            other => Err(format!("a type is `{other}`")),
        }
    }

    fn push(&mut self, kind: Type) -> usize {
        self.types.push(kind);
        self.types.len() - 1
    }

    /// A type by its name: one that all know, or one that was defined before.
    fn named(&mut self, name: &str, object: &Map<String, Value>, namespace: &str) -> Result<usize, String> {
        let inner = |key: &str| object.get(key).ok_or_else(|| format!("a type `{name}` has no `{key}`"));
        let logical = || logical(name, object);
        let kind = match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" => Type::Int(logical()),
            "long" => Type::Long(logical()),
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes(logical()),
            "string" => Type::String,
            "array" => Type::Array(self.add(inner("items")?, namespace)?),
            "map" => Type::Map(self.add(inner("values")?, namespace)?),
            "enum" => {
                let symbols = inner("symbols")?.as_array().into_iter().flatten();
                let symbols = symbols.filter_map(Value::as_str).map(ToOwned::to_owned).collect();
                return self.define(object, namespace, |_, _| Ok(Type::Enum(symbols)));
            }
            "fixed" => {
                let size = inner("size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                let kind = Type::Fixed(size.ok_or("a size is no number")?, logical());
                return self.define(object, namespace, |_, _| Ok(kind));
            }
            "record" | "error" => {
                let fields = inner("fields")?.as_array().cloned().unwrap_or_default();
                return self.define(object, namespace, |parser, namespace| {
                    let field = |field: &Value| {
                        let name = field["name"].as_str().ok_or("a field has no name")?;
                        Ok::<_, String>((name.to_owned(), parser.add(&field["type"], namespace)?))
                    };
                    fields.iter().map(field).collect::<Result<_, String>>().map(Type::Record)
                });
            }
            other => {
                let full = full_name(other, None, namespace);
                let known = self.names.get(&full).or_else(|| self.names.get(other));
                return known.copied().ok_or_else(|| format!("there is no type `{full}`"));
            }
        };
        Ok(self.push(kind))
    }

    /// A type with a name, by which it may be called, even within itself.
    fn define(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        make: impl FnOnce(&mut Self, &str) -> Result<Type, String>,
    ) -> Result<usize, String> {
        let name = object.get("name").and_then(Value::as_str).ok_or("a type has no name")?;
        let full = full_name(name, object.get("namespace").and_then(Value::as_str), namespace);
        let place = self.push(Type::Null);
        let within = full.rsplit_once('.').map_or("", |(within, _)| within).to_owned();
        self.names.insert(full, place);
        self.types[place] = make(self, &within)?;
        Ok(place)
    }
}

fn full_name(name: &str, own: Option<&str>, namespace: &str) -> String {
    match own.unwrap_or(namespace) {
        _ if name.contains('.') => name.to_owned(),
        "" => name.to_owned(),
        namespace => format!("{namespace}.{name}"),
    }
}

/// What values stand for. What does not fit its type stands for nothing, as the specification has it.
fn logical(of: &str, object: &Map<String, Value>) -> Logical {
    let logical = object.get("logicalType").and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| object.get(key).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    match (of, logical) {
        ("bytes" | "fixed", "decimal") => match (number("precision"), number("scale").unwrap_or(0)) {
            (Some(precision), scale) if scale <= precision => Logical::Decimal(scale),
            _ => Logical::Plain,
        },
        ("int", "date") => Logical::Date,
        ("int", "time-millis") => Logical::Time(1_000),
        ("long", "time-micros") => Logical::Time(1_000_000),
        ("long", "timestamp-millis") => Logical::Timestamp(1_000),
        ("long", "timestamp-micros") => Logical::Timestamp(1_000_000),
        ("long", "timestamp-nanos") => Logical::Timestamp(1_000_000_000),
        ("long", "local-timestamp-millis") => Logical::LocalTimestamp(1_000),
        ("long", "local-timestamp-micros") => Logical::LocalTimestamp(1_000_000),
        ("long", "local-timestamp-nanos") => Logical::LocalTimestamp(1_000_000_000),
        ("fixed", "uuid") if number("size") == Some(16) => Logical::Uuid,
        _ => Logical::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_their_namespaces_and_within_themselves() {
        let schema = r#"{"type":"record","name":"Node","namespace":"a.b","fields":[
            {"name":"next","type":["null","Node"]},{"name":"far","type":"c.Far"},{"name":"kind","type":{"type":"string"}}]}"#;
        let text = r#"{"type":"enum","name":"c.Far","symbols":["X"]}"#.to_owned();
        let parsed = Schema::read(schema, &[Named { name: "c.Far".into(), text }]).unwrap();
        let Type::Record(fields) = parsed.root() else { panic!() };
        let Type::Union(branches) = parsed.at(fields[0].1) else { panic!() };
        assert_eq!(parsed.at(branches[1]), parsed.root());
        assert_eq!(parsed.at(fields[1].1), &Type::Enum(vec!["X".into()]));
        assert_eq!(Schema::read(schema, &[]).unwrap_err(), "there is no type `c.Far`");
        assert_eq!(Schema::read("string", &[]).unwrap().root(), &Type::String);
    }

    #[test]
    fn a_logical_type_that_does_not_fit_stands_for_nothing() {
        for (schema, expected) in [
            (r#"{"type":"int","logicalType":"date"}"#, Type::Int(Logical::Date)),
            (r#"{"type":"long","logicalType":"date"}"#, Type::Long(Logical::Plain)),
            (r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#, Type::Bytes(Logical::Decimal(2))),
            (r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":5}"#, Type::Bytes(Logical::Plain)),
            (r#"{"type":"string","logicalType":"uuid"}"#, Type::String),
        ] {
            assert_eq!(Schema::read(schema, &[]).unwrap().root(), &expected, "{schema}");
        }
    }

    #[test]
    fn what_is_no_schema_says_why_and_never_panics() {
        for broken in
            ["", "7", "{}", "[{}]", r#"{"type":"record","name":"A"}"#, r#"{"type":"fixed","name":"A","size":-1}"#]
        {
            assert!(Schema::read(broken, &[]).is_err(), "{broken}");
        }
    }
}
