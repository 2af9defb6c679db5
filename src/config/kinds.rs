//! Kinds of values in the words of the schema, which editors show, and in which a mistake is answered.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

macro_rules! kind {
    ($name:ident, $words:literal, $schema:tt) => {
        #[doc = concat!("It must be ", $words, ".")]
        pub(super) enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!($schema);
                schema.insert("description".into(), $words.into());
                schema
            }
        }
    };
}

kind!(Time, "a time with its unit", {"type": "string", "examples": ["20ms"]});
kind!(TimeOrOff, "a time with its unit, or `off`", {"type": "string", "examples": ["5s"]});
kind!(Size, "a size in bytes, with a unit if it is not one byte", {"type": ["string", "integer"], "examples": ["64MiB"]});
kind!(WhichScores, "`best`, `all` or `{top: N}`", {"type": ["string", "object"], "properties": {"top": {"type": "integer", "minimum": 1, "description": "So many of the highest."}}, "additionalProperties": false, "examples": [{"top": 3}]});
kind!(Address, "an IP address and a port", {"type": "string", "examples": ["127.0.0.1:8080"]});
