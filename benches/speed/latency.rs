//! Points 4 and 5: latency at a part of the highest rate, in an open loop: documents are written when their time has come,
//! whether or not those before them are done, and each counts from that time on (no coordinated omission).

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::DefaultProducerContext;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::report::{Figure, Goal, Report};
use crate::support::kafka::Kafka;
use crate::support::tagbert::Worker;
use crate::work::{self, Scale, Topics, seconds};

const MODEL: &str = "models/tagbert-small";

pub fn measure(scale: Scale, report: &mut Report) {
    let documents = work::documents(1000);
    let highest = work::tag(&documents[..scale.of(200, 400, 1000)], MODEL, &[]).rate;
    // A lone document of the 99th percentile: as long as the model takes.
    let (_, taggers) = super::bound::taggers(MODEL);
    let model = &taggers.lanes[0].model;
    let longest = vec![2000; model.max_tokens - model.frame.len()];
    let lone = Figure::of((0..15).map(|_| seconds(|| drop(model.infer(&[&longest]).expect("it runs")))));
    report.add(
        "5",
        "a lone document of 512 tokens through the model, ms",
        Goal::None,
        &Figure::of([1e3 * lone.median()]),
    );
    for (load, time, goal) in [(0.1, 15, Goal::None), (0.5, 30, Goal::AtMost(4.0)), (0.8, 15, Goal::None)] {
        let time = Duration::from_secs(scale.of(6, time, 3 * time));
        let (latency, padding) = at(load * highest, time, &documents);
        let at = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1e3;
        // Of fewer documents there is no such thing.
        let rare = if latency.len() < 1000 { String::new() } else { format!(", p99.9 {:.0}", at(0.999)) };
        let (percent, count) = (100.0 * load, latency.len());
        let what =
            format!("W at {percent:.0} % load ({count} documents): p50 {:.0}, p99 {:.0}{rare} ms", at(0.5), at(0.99));
        let times = Figure::of([at(0.99) / 1e3 / lone.median()]);
        report.add("5", &format!("{what}; p99 ÷ a lone document"), goal, &times);
        if load > 0.4 && load < 0.6 {
            report.add("4", "W: padding waste at 50 % load", Goal::AtMost(0.1), &Figure::of([padding]));
        }
    }
}

/// What comes earlier finds connections that are still being made, and is not counted.
const WARM_UP: Duration = Duration::from_secs(3);

/// Latencies in microseconds at a rate, and the share of padding.
fn at(rate: f64, time: Duration, documents: &[Vec<u8>]) -> (Histogram<u64>, f64) {
    let topics = Topics::with(&[], 4);
    let mut worker = Worker::start(&topics.yaml(MODEL), &[]);
    worker.wait_for_log("assigned: ");
    let reader = reader(&topics.tagged);
    let of = |time: Duration| (0..100_000).take_while(|&number| f64::from(number) < rate * time.as_secs_f64()).count();
    let (count, first) = (of(WARM_UP + time), of(WARM_UP));
    let started = Instant::now();
    let due = |number: usize| started + Duration::from_secs_f64(number as f64 / rate);
    let mut latencies = Histogram::new(3).expect("three digits");
    thread::scope(|scope| {
        scope.spawn(|| {
            let producer: ThreadedProducer<DefaultProducerContext> =
                Kafka::shared().client().set("linger.ms", "0").create().expect("a producer");
            for number in 0..count {
                thread::sleep(due(number).saturating_duration_since(Instant::now()));
                let (key, value) = (number.to_string(), &documents[number % documents.len()]);
                producer
                    .send(BaseRecord::to(&topics.name).key(&key).payload(value))
                    .map_err(|(error, _)| error)
                    .expect("room");
            }
            producer.flush(Duration::from_secs(10)).expect("all is written");
        });
        let mut came = 0;
        while came < count {
            assert!(started.elapsed() < time + Duration::from_mins(1), "{came} of {count} came");
            if let Some(Ok(record)) = reader.poll(Duration::from_millis(100)) {
                let number =
                    std::str::from_utf8(record.key().expect("a key")).expect("a number").parse().expect("a number");
                came += 1;
                if number >= first {
                    latencies.record(due(number).elapsed().as_micros() as u64).expect("less than centuries");
                }
            }
        }
    });
    let padding = worker.metric("tagbert_padding_waste").expect("a metric");
    worker.terminate();
    worker.wait_for_success();
    (latencies, padding)
}

/// A consumer that waits at the end of all partitions.
fn reader(topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer =
        Kafka::shared().client().set("group.id", "bench").set("fetch.wait.max.ms", "5").create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..4 {
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&list).expect("assigned");
    consumer
}
