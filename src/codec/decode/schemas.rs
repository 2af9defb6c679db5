//! Values that are read by a registry's schema, made JSON.

use std::sync::Arc;

use super::{Wrong, framed, reject};
use crate::codec::outputs::Writer;
use crate::codec::registry::Registry;
use crate::codec::registry::schemas::Schemas;
use crate::codec::{avro, protobuf};
use crate::config::Format;

/// The schemas of values.
#[derive(Debug)]
pub(super) enum BySchema {
    Avro(Schemas<avro::schema::Schema>),
    Protobuf(Schemas<protobuf::schema::Schema>),
}

impl BySchema {
    /// Those of a registry, if the format needs them.
    pub fn new(format: Format, registry: &Arc<Registry>) -> Option<Self> {
        match format {
            Format::Avro => Some(Self::Avro(Schemas::new(Arc::clone(registry)))),
            Format::Protobuf => Some(Self::Protobuf(Schemas::new(Arc::clone(registry)))),
            Format::Json | Format::JsonSchema | Format::Text | Format::CloudEvents => None,
        }
    }

    /// A value as JSON.
    pub fn read(&self, value: &[u8]) -> Result<(String, Writer), Wrong> {
        let (id, bytes) = framed(value)?;
        let misfit = |class, why: String| reject(class, format!("the value does not fit its schema, {id}: {why}"));
        match self {
            Self::Avro(schemas) => {
                let fetched = schemas.get(id)?;
                let json = avro::read::to_json(&fetched.schema, bytes).map_err(|why| misfit("NotAvro", why))?;
                Ok((json, Writer::Avro(fetched)))
            }
            Self::Protobuf(schemas) => {
                let fetched = schemas.get(id)?;
                let misfit = |why| misfit("NotProtobuf", why);
                let (kind, message) = protobuf::read::message(&fetched.schema, bytes).map_err(misfit)?;
                let by = Writer::Protobuf { kind: kind.full_name().into(), at: value.len() - message.len() };
                Ok((protobuf::read::to_json(kind, message).map_err(misfit)?, by))
            }
        }
    }
}
