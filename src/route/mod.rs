//! Which topics a tagged document goes to: the rules of `routes`, in CEL, compiled and checked at the start. It decides from
//! the tags and the record alone, and knows no brokers.

mod check;
mod expression;
mod facts;
mod types;

use std::sync::Arc;

use cel::{Context, Env, Value};

use self::expression::{Expression, Wanted};
use self::facts::Facts;
use self::types::Type;
use crate::config::{Config, ConfigError, OnRouteError, Otherwise, Route};
use crate::record::answer::Given;
use crate::record::destination::{Destination, Destinations, Key};
use crate::record::document::Document;
use crate::record::envelope::{Origin, Record};
use crate::record::rejection::{Rejection, Stage};
use crate::record::tag::TagKind;

/// The rules, compiled.
pub struct Router {
    env: Arc<Env>,
    rules: Vec<Rule>,
    /// What takes a document that no rule takes; `None` drops it.
    rest: Option<Destination>,
    on_error: OnRouteError,
    tombstones: Option<Destinations>,
}

/// What is decided of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes there.
    To(Destinations),
    /// Nothing is written of it.
    Drop,
}

struct Rule {
    when: Option<Expression>,
    /// `None` drops the document.
    to: Option<Way>,
    copy: bool,
}

/// Where to, and as what.
struct Way {
    topic: Topic,
    key: Option<Expression>,
    partition: Option<Expression>,
    headers: Vec<(Arc<str>, Expression)>,
}

/// What a rule makes of a document.
enum Taken {
    Not,
    Nowhere,
    To(Destination),
}

enum Topic {
    Of(Arc<str>),
    OneOf(Expression, Vec<Arc<str>>),
}

impl Router {
    /// The rules of a configuration, for the tags that there are.
    ///
    /// # Errors
    /// When an expression can't be read, names what there is not, or compares what can't be alike: all such mistakes.
    pub fn new(config: &Config, tags: &[(Arc<str>, TagKind)]) -> Result<Self, ConfigError> {
        let env = Arc::new(expression::environment());
        let known = types::variables(tags, &config.input.topics, config.output.scores);
        let mut faults = Vec::new();
        let rules = config.routes.iter().enumerate();
        let rules = rules.filter_map(|(number, route)| Rule::new(number, route, &env, &known, &mut faults)).collect();
        if !faults.is_empty() {
            return Err(config.placed(faults));
        }
        let rest = match config.output.otherwise {
            Otherwise::Default => Some(Destination::of(config.output.topic.as_str().into())),
            Otherwise::Drop => None,
        };
        let tombstones = of_tombstones(config);
        Ok(Self { env, rules, rest, on_error: config.output.on_route_error, tombstones })
    }

    /// Where a tombstone goes: wherever the document that it deletes may have gone. A route that gives its records a key or
    /// a partition of its own is left out: of which document it is can't be known there. `None`: nowhere.
    #[must_use]
    pub fn of_tombstone(&self) -> Option<&Destinations> {
        self.tombstones.as_ref()
    }

    /// Where a document with these tags goes, whose record came from there.
    ///
    /// # Errors
    /// When an expression fails on it, and that is to be a dead letter.
    pub fn decide(
        &self,
        tags: &[Given],
        document: &Document,
        record: &Record,
        origin: &Origin,
    ) -> Result<Decision, Rejection> {
        if self.rules.is_empty() {
            return Ok(self.rest.clone().map_or(Decision::Drop, |rest| Decision::To(rest.into())));
        }
        let facts = Facts::new(tags, document, record, origin);
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.set_variable_resolver(&facts);
        let mut chosen = Vec::new();
        for (number, rule) in self.rules.iter().enumerate() {
            match rule.decide(&context, &facts) {
                Ok(Taken::Not) => {}
                Ok(Taken::Nowhere) => return Ok(decision(chosen)),
                Ok(Taken::To(destination)) => {
                    chosen.push(destination);
                    if !rule.copy {
                        return Ok(decision(chosen));
                    }
                }
                Err(why) if self.on_error == OnRouteError::DeadLetter => {
                    return Err(Rejection::new(Stage::Route, "RouteError", format!("routes[{number}].{why}")));
                }
                Err(_) => break,
            }
        }
        chosen.extend(self.rest.clone());
        Ok(decision(chosen))
    }
}

fn decision(chosen: Vec<Destination>) -> Decision {
    Destinations::of(chosen).map_or(Decision::Drop, Decision::To)
}

fn of_tombstones(config: &Config) -> Option<Destinations> {
    let takes = |route: &&Route| route.key.is_none() && route.partition.is_none();
    let routed = config.routes.iter().filter(takes).flat_map(Route::targets);
    let rest = config.takes_the_rest().then_some(&config.output.topic);
    Destinations::of(rest.into_iter().chain(routed).map(|topic| Destination::of(topic.as_str().into())))
}

impl Rule {
    /// The rule, unless there is something wrong with it, which is added to the faults.
    fn new(number: usize, route: &Route, env: &Env, known: &Type, faults: &mut Vec<ConfigError>) -> Option<Self> {
        let before = faults.len();
        let mut compile = |name: &str, text: &str, wanted| {
            let compiled = Expression::compile(name, text, wanted, env, known);
            compiled
                .map_err(|why| faults.push(ConfigError::Value { key: format!("routes[{number}].{name}"), why }))
                .ok()
        };
        let mut some = |name: &str, text: &Option<String>, wanted| compile(name, text.as_ref()?, wanted);
        let when = some("when", &route.when, Wanted::Truth);
        let chosen = if route.topics.is_empty() { None } else { some("to", &route.to, Wanted::Text) };
        let key = some("key", &route.key, Wanted::Bytes);
        let partition = some("partition", &route.partition, Wanted::Whole);
        let headers = route.headers.iter().filter_map(|(name, text)| {
            let compiled = compile(&format!("headers.{name}"), text, Wanted::Scalar)?;
            Some((name.as_str().into(), compiled))
        });
        let headers = headers.collect();
        let to = route.to.as_ref().map(|to| Way {
            topic: match chosen {
                None => Topic::Of(to.as_str().into()),
                Some(to) => Topic::OneOf(to, route.topics.iter().map(|topic| topic.as_str().into()).collect()),
            },
            key,
            partition,
            headers,
        });
        (faults.len() == before).then_some(Self { when, to, copy: route.copy })
    }

    /// Whether it takes the document, and where to.
    fn decide(&self, context: &Context<'_, '_>, facts: &Facts<'_>) -> Result<Taken, String> {
        if let Some(when) = &self.when {
            match when.value(context, facts)? {
                Value::Bool(true) => {}
                Value::Bool(false) => return Ok(Taken::Not),
                _ => return Err(when.fails("is neither true nor false")),
            }
        }
        let Some(Way { topic, key, partition, headers }) = &self.to else { return Ok(Taken::Nowhere) };
        let topic = match topic {
            Topic::Of(topic) => Arc::clone(topic),
            Topic::OneOf(expression, all) => {
                let Value::String(name) = expression.value(context, facts)? else {
                    return Err(expression.fails("is no text"));
                };
                let known = all.iter().find(|topic| ***topic == **name);
                Arc::clone(known.ok_or_else(|| expression.fails("gives a topic that `topics` does not have"))?)
            }
        };
        let key = match key {
            None => Key::Kept,
            Some(expression) => match expression.value(context, facts)? {
                Value::Float(_) | Value::Bool(_) => return Err(expression.fails("is no text, and no whole number")),
                value => Key::Own(bytes(expression, value)?),
            },
        };
        let partition = partition.as_ref().map(|expression| partition_of(expression, context, facts)).transpose()?;
        let headers = headers.iter().map(|(name, expression)| {
            let value = expression.value(context, facts).and_then(|value| bytes(expression, value));
            value.map(|value| (Arc::clone(name), value))
        });
        Ok(Taken::To(Destination { topic, key, partition, headers: headers.collect::<Result<_, _>>()? }))
    }
}

fn partition_of(expression: &Expression, context: &Context<'_, '_>, facts: &Facts<'_>) -> Result<i32, String> {
    let number = match expression.value(context, facts)? {
        Value::Int(number) => i32::try_from(number).ok(),
        Value::UInt(number) => i32::try_from(number).ok(),
        _ => None,
    };
    // To the client library, -1 is any partition.
    number.filter(|number| *number >= 0).ok_or_else(|| expression.fails("is no partition's number"))
}

/// What a value is as bytes; `None` for null.
fn bytes(expression: &Expression, value: Value) -> Result<Option<Vec<u8>>, String> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Int(number) => number.to_string().into_bytes(),
        Value::UInt(number) => number.to_string().into_bytes(),
        Value::Float(number) => number.to_string().into_bytes(),
        Value::Bool(truth) => truth.to_string().into_bytes(),
        _ => return Err(expression.fails("is neither a text nor a number")),
    }))
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Router({} rules)", self.rules.len())
    }
}

#[cfg(test)]
mod tests;
