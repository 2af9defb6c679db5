//! The schemas that records name by their numbers, as they are asked for. What the registry has said is known from then on: a
//! number's schema never changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashlink::LinkedHashMap;

use super::{Missing, Named, Reference, Registry};

/// So many schemas are known at once: far more than topics have.
const KNOWN: usize = 1000;

/// How long nobody asks again for a number that the registry did not know.
const UNKNOWN: Duration = Duration::from_secs(30);

/// A schema that values are read by.
pub trait Readable: Sized {
    /// What registries call its kind.
    const KIND: &'static str;

    /// Reads a schema, and those before it that it refers to, in the order in which they need each other.
    ///
    /// # Errors
    /// With what is wrong with it.
    fn read(text: &str, references: &[Named]) -> Result<Self, String>;
}

/// Schemas of one kind.
#[derive(Debug)]
pub struct Schemas<S> {
    registry: Arc<Registry>,
    known: Mutex<LinkedHashMap<u32, Known<S>>>,
}

#[derive(Debug)]
enum Known<S> {
    Schema(Arc<Fetched<S>>),
    /// Why there is none, and since when.
    Nothing(String, Instant),
}

/// A schema of the registry's.
#[derive(Debug)]
pub struct Fetched<S> {
    /// Its number.
    pub id: u32,
    /// As it was registered.
    pub text: String,
    /// The others that it refers to.
    pub references: Vec<Reference>,
    /// Ready to be read by.
    pub schema: S,
}

impl<S: Readable> Schemas<S> {
    /// Those of a registry. Nothing is asked of it yet.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, known: Mutex::default() }
    }

    /// The schema of a number. Blocks until the registry has answered, or has had its tries.
    ///
    /// # Errors
    /// When there is none, or nobody can tell.
    pub fn get(&self, id: u32) -> Result<Arc<Fetched<S>>, Missing> {
        match self.known().to_back(&id) {
            Some(Known::Schema(schema)) => return Ok(Arc::clone(schema)),
            Some(Known::Nothing(why, since)) if since.elapsed() < UNKNOWN => return Err(Missing::Nothing(why.clone())),
            _ => {}
        }
        let asked = self.ask(id);
        let known = match &asked {
            Ok(schema) => Known::Schema(Arc::clone(schema)),
            Err(Missing::Nothing(why)) => Known::Nothing(why.clone(), Instant::now()),
            Err(Missing::Unanswered(_)) => return asked,
        };
        let mut all = self.known();
        all.insert(id, known);
        if all.len() > KNOWN {
            all.pop_front();
        }
        asked
    }

    fn known(&self) -> std::sync::MutexGuard<'_, LinkedHashMap<u32, Known<S>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, id: u32) -> Result<Arc<Fetched<S>>, Missing> {
        let nothing = |why: String| Missing::Nothing(format!("schema {id} of the registry {why}"));
        let answer = self.registry.schema(id).map_err(|missing| match missing {
            Missing::Nothing(_) => nothing("is not there".into()),
            unanswered @ Missing::Unanswered(_) => unanswered,
        })?;
        let kind = answer.schema_type.as_deref().unwrap_or("AVRO");
        if kind != S::KIND {
            let (kind, wanted) = (kind.to_lowercase(), S::KIND.to_lowercase());
            return Err(nothing(format!("is of type {kind}, and `input.format` is {wanted}")));
        }
        let references = self.registry.referred_to(&answer.references)?;
        let schema = S::read(&answer.schema, &references);
        let schema = schema.map_err(|why| nothing(format!("can't be read: {why}")))?;
        Ok(Arc::new(Fetched { id, text: answer.schema, references: answer.references, schema }))
    }
}
