//! The sink against brokers that do their worst: whatever they answer, and in whichever order partitions, workers and late
//! requests come and go, what was promised holds (G-1, G-2, G-8, G-60).

mod world;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::metrics::noop::NoopMeterProvider;
use proptest::prelude::*;

use self::world::{Harm, PARTITIONS, RECORDS, TOPIC, World, key};
use super::deliveries::{Books, Deliveries};
use crate::config::{Config, Delivery};
use crate::kafka::ledger::Ledger;
use crate::pipeline::sink::Sink;
use crate::record::budget::Budget;
use crate::record::destination::{Destination, Destinations};
use crate::record::enriched::Enriched;
use crate::record::envelope::{Envelope, Record};
use crate::record::outcome::{Outcome, Routed};
use crate::record::stop::Stop;
use crate::record::trace::RecordSpan;
use crate::telemetry::metrics::Metrics;

/// Turns of the sink, after the brokers have nothing but good answers left, within which all must be done.
const PATIENCE: usize = 200;

/// So many turns are enough for the script and what comes behind it. A request that was held up arrives with the next one that is
/// sent; where nothing is left to send, it never does.
const TURNS: usize = 5000;

fn config(delivery: Delivery) -> Config {
    let name = if delivery == Delivery::ExactlyOnce { "exactly-once" } else { "at-least-once" };
    let yaml = format!(
        "kafka: {{brokers: a, group: g}}\ninput: {{topics: [{TOPIC}]}}\noutput: {{topic: out, dead_letters: dead}}\n\
         model: {{path: none}}\ndelivery: {name}\ntransaction: {{interval: 1us}}\n\
         retries: {{backoff: 1us, max_backoff: 1us}}\n"
    );
    Config::parse(&yaml, HashMap::new(), &[]).unwrap()
}

/// A result; every other one goes to a second topic, too.
fn enriched(offset: i64) -> Routed {
    let topics = ["out", "copy"].into_iter().take(if world::has_copy(offset) { 2 } else { 1 });
    let to = Destinations::of(topics.map(|topic| Destination::of(topic.into()))).unwrap();
    Routed { enriched: Enriched::default(), to, came: None }
}

/// A worker, as far as the sink sees it.
struct Worker {
    sink: Deliveries<World>,
    stop: Arc<Stop>,
    ledger: Arc<Ledger>,
    /// What comes next of each partition that it has.
    next: HashMap<i32, i64>,
}

impl Worker {
    fn start(config: &Config, world: &World) -> Self {
        let (ledger, budget) = (Arc::new(Ledger::default()), Budget::new(1 << 20));
        let metrics = Metrics::new(&NoopMeterProvider::new().meter("test"), &budget);
        world.joined();
        let stop = Arc::<Stop>::default();
        let sink = Deliveries::new(
            config,
            world.clone(),
            Arc::clone(&ledger),
            Books { metrics, tally: None },
            Arc::clone(&stop),
        );
        let mut worker = Self { sink, stop, ledger, next: HashMap::new() };
        (0..PARTITIONS).for_each(|partition| worker.assign(world, partition));
        worker
    }

    /// The partition is this worker's, from the committed offset on.
    fn assign(&mut self, world: &World, partition: i32) {
        self.ledger.open(TOPIC, partition);
        self.next.insert(partition, world.committed_in(partition));
    }

    /// The partition goes to another worker, without a word before.
    fn lose(&mut self, world: &World, partition: i32) {
        world.rebalanced();
        drop(self.ledger.close(&[key(partition)], Instant::now()));
        self.next.remove(&partition);
    }

    /// Hands the sink the next record of the partition.
    fn feed(&mut self, partition: i32) -> anyhow::Result<()> {
        let Some(at) = self.next.get_mut(&partition).filter(|next| **next < RECORDS) else { return Ok(()) };
        let next = *at;
        let origin = self.ledger.enter(TOPIC, partition, next).unwrap();
        *at += 1;
        let record = Record { key: None, value: None, headers: None, timestamp: None };
        let permit = Budget::new(1 << 20).take(1);
        let envelope = Envelope {
            origin,
            record,
            body: enriched(next),
            fetched: Instant::now(),
            span: RecordSpan::default(),
            permit,
        };
        self.sink.deliver(Outcome::Enriched(envelope))
    }

    /// At-least-once: the source commits what is acknowledged.
    fn commit(&self, world: &World) {
        let due = self.ledger.to_commit();
        world.commit_offsets(&due);
        self.ledger.committed(&due);
    }
}

/// Lets a worker do its work while everything that the script holds goes wrong, and then all that is left.
fn run(delivery: Delivery, script: &[u8], harm: Harm) -> Result<World, String> {
    let config = config(delivery);
    let world = World::new(script, delivery, harm);
    let mut worker = Worker::start(&config, &world);
    let mut calm = 0;
    for _ in 0..TURNS {
        if calm == PATIENCE {
            break;
        }
        let turn = match world.choose(13) {
            0 => {
                // kill -9: nobody aborts the transaction.
                worker = Worker::start(&config, &world);
                Ok(())
            }
            1 => {
                let partition = world.choose(PARTITIONS as u8).into();
                worker.lose(&world, partition);
                worker.sink.tick().map(|()| worker.assign(&world, partition))
            }
            2 => {
                // There is no time left, and the worker ends; whatever it did, another goes on.
                worker.stop.abandon();
                let turn = worker.sink.tick();
                worker = Worker::start(&config, &world);
                turn
            }
            choice @ 3..8 => worker.feed(i32::from(choice) % PARTITIONS),
            _ => worker.sink.tick(),
        };
        if delivery == Delivery::AtLeastOnce {
            worker.commit(&world);
        }
        if world.is_calm() {
            calm += 1;
            (0..PARTITIONS).try_for_each(|partition| worker.feed(partition)).map_err(|error| error.to_string())?;
        }
        if turn.is_err() {
            worker = Worker::start(&config, &world);
        }
        world.check()?;
    }
    drop(worker);
    world.is_complete()?;
    Ok(world)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn each_result_is_seen_once_and_in_order_whatever_the_brokers_answer(script in prop::collection::vec(any::<u8>(), 0..400)) {
        let world = run(Delivery::ExactlyOnce, &script, Harm::All).map_err(TestCaseError::fail)?;
        world.each_once_in_order().map_err(TestCaseError::fail)?;
    }

    #[test]
    fn nothing_is_committed_before_it_is_safe_whatever_the_brokers_answer(script in prop::collection::vec(any::<u8>(), 0..400)) {
        let world = run(Delivery::AtLeastOnce, &script, Harm::All).map_err(TestCaseError::fail)?;
        world.first_ones_in_order().map_err(TestCaseError::fail)?;
    }
}

/// A slow network takes some results in time, and more of them never: the same ones again would come to nothing for ever.
#[test]
fn a_transaction_that_takes_too_long_is_tried_with_fewer_results() {
    let world = World::new(&[], Delivery::ExactlyOnce, Harm::All).slow(3);
    let mut config = config(Delivery::ExactlyOnce);
    // Long enough for all of them to be sent.
    config.transaction.interval = Duration::from_millis(20);
    let mut worker = Worker::start(&config, &world);
    for _ in 0..RECORDS {
        (0..PARTITIONS).for_each(|partition| worker.feed(partition).unwrap());
    }
    for _ in 0..TURNS {
        worker.sink.tick().unwrap();
        if world.is_complete().is_ok() {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    world.is_complete().unwrap();
    world.each_once_in_order().unwrap();
}

/// Without the fence, late requests do harm: the tests above would notice.
#[test]
fn a_producer_that_goes_on_after_a_loss_does_harm() {
    let mut random = fastrand::Rng::with_seed(1);
    let harmed = (0..2000).any(|_| {
        let script: Vec<u8> = (0..400).map(|_| random.u8(..)).collect();
        let world = run(Delivery::ExactlyOnce, &script, Harm::Unnoticed);
        world.is_err() || world.is_ok_and(|world| world.each_once_in_order().is_err())
    });
    assert!(harmed);
}
