//! Records through the line of a worker, to the messages that it would send.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use anyhow::{Result, bail};
use rdkafka::message::{Header, OwnedHeaders};

use crate::config::cases::CaseRecord;
use crate::config::{Config, Inputs};
use crate::kafka::sink::parcel::{Message, messages};
use crate::pipeline::Pipeline;
use crate::pipeline::sink::Sink;
use crate::record::budget::Budget;
use crate::record::envelope::{Envelope, Origin, Record};
use crate::record::outcome::Outcome;
use crate::record::rejection::Rejection;
use crate::record::stop::Stop;
use crate::tagger::live::Live;
use crate::telemetry::metrics::Metrics;

/// How a record ends.
pub(super) struct End {
    /// What is sent.
    pub messages: Vec<Message>,
    /// Why it could not be tagged.
    pub rejection: Option<Rejection>,
}

/// Puts records through, and gives the end of each.
///
/// # Errors
/// When a model can't be loaded, or fails.
pub(super) fn run(config: &Config, records: &[(Option<Vec<u8>>, &CaseRecord)]) -> Result<Vec<End>> {
    let taggers = Live::load(config)?;
    let budget = Budget::new(config.limits.in_flight.as_u64());
    let metrics = Metrics::unseen(&budget);
    let stop = Arc::new(Stop::default());
    let (tell, told) = channel();
    let pipeline = Pipeline::start(config, &taggers, None, Ends { config: config.clone(), tell }, &metrics, &stop)?;
    let usual: Arc<str> = Inputs::of(config).names().first().map_or("documents", |topic| topic).into();
    let count = records.len();
    let mut seqs: HashMap<Arc<str>, u64> = HashMap::new();
    for (number, (value, input)) in records.iter().enumerate() {
        let topic = input.topic.as_deref().map_or_else(|| Arc::clone(&usual), Arc::from);
        let headers = input
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let record = Record {
            key: input.key.clone().map(String::into_bytes),
            value: value.clone(),
            headers: Some(headers).filter(|_| !input.headers.is_empty()),
            timestamp: None,
        };
        // Each topic's records are counted by themselves: the line puts them in order so.
        let seq = seqs.entry(Arc::clone(&topic)).or_default();
        let origin = Origin::elsewhere(topic, number as i64, *seq);
        *seq += 1;
        pipeline.feed(Envelope::begin(origin, record, &budget));
    }
    pipeline.finish();
    if let Some(error) = stop.take_failure() {
        return Err(error);
    }
    let mut ends: Vec<(i64, End)> = told.iter().collect();
    ends.sort_by_key(|(number, _)| *number);
    if ends.len() != count {
        bail!("{} of {count} records came to no end", count - ends.len());
    }
    Ok(ends.into_iter().map(|(_, end)| end).collect())
}

/// Takes down what would be sent.
struct Ends {
    config: Config,
    tell: Sender<(i64, End)>,
}

impl Sink for Ends {
    fn deliver(&mut self, outcome: Outcome) -> Result<()> {
        let number = outcome.origin().offset;
        let rejection = match &outcome {
            Outcome::DeadLetter(envelope) => Some(envelope.body.clone()),
            _ => None,
        };
        // Under `dead_letters.policy: stop` nothing is sent.
        let messages = messages(outcome, &self.config).unwrap_or_default();
        drop(self.tell.send((number, End { messages, rejection })));
        Ok(())
    }
}
