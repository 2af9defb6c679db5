//! What is counted of the shadow.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use super::compare::{self, Difference};

#[derive(Debug)]
pub(super) struct Instruments {
    compared: Counter<u64>,
    agreed: Counter<u64>,
    flips: Counter<u64>,
    shift: Histogram<f64>,
    pub dropped: Counter<u64>,
    pub failed: Counter<u64>,
}

impl Instruments {
    pub fn new(meter: &Meter) -> Self {
        let counter = |name, description| meter.u64_counter(name).with_description(description).build();
        let new = Self {
            compared: counter("tagbert.shadow.compared", "Tags that the shadow was compared on"),
            agreed: counter("tagbert.shadow.agreed", "Tags that the shadow gave, too"),
            flips: counter("tagbert.shadow.flips", "Labels and entity types that the shadow gave instead of others"),
            shift: meter
                .f64_histogram("tagbert.shadow.score.shift")
                .with_description("How much higher the shadow's score is where it gives the same label; for numbers, their difference")
                .with_boundaries(vec![-0.5, -0.2, -0.1, -0.05, -0.02, -0.01, 0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
                .build(),
            dropped: counter("tagbert.shadow.dropped", "Sampled documents that the shadow was too slow for"),
            failed: counter("tagbert.shadow.failed", "Documents that the shadow failed on"),
        };
        new.dropped.add(0, &[]);
        new.failed.add(0, &[]);
        new
    }

    pub fn count(&self, name: &str, difference: &Difference) {
        let tag = KeyValue::new("tag", name.to_owned());
        let of_tag = std::slice::from_ref(&tag);
        self.compared.add(1, of_tag);
        self.agreed.add(u64::from(difference.agreed == Some(true)), of_tag);
        for &shift in &difference.shifts {
            self.shift.record(f64::from(shift), of_tag);
        }
        for (from, to) in &difference.flips {
            let named = |key, label: &Option<Arc<str>>| KeyValue::new(key, compare::name(label.as_ref()).to_owned());
            self.flips.add(1, &[tag.clone(), named("from", from), named("to", to)]);
        }
    }
}
