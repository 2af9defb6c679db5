//! Identical texts are tagged once, on a real Apache Kafka.

use std::collections::{HashMap, HashSet};

mod support;

use support::line::{Line, document, number, value};

#[test]
fn identical_texts_are_tagged_once_and_every_record_comes_out_in_order() {
    let (documents, texts) = (2000, 50);
    // One partition on the way out, so that the order in which all was written shows.
    let line = Line::create("repeats", 4).with_output(&[]);
    let values: Vec<_> = (0..documents).map(|n| document(&format!("Report {} from Berlin", n * n % texts))).collect();
    let distinct: HashSet<_> = values.iter().collect();
    line.produce(&values);
    let mut worker = line.worker().set("cache.size", "1MiB").start();
    worker.wait_for_log("assigned: ");
    worker.wait_until("all are out", |worker| worker.metric("tagbert_records_out_total") == Some(documents as f64));
    let count = |name: &str| worker.metric(&format!("tagbert_cache_{name}"));
    assert_eq!(count("misses_total"), Some(distinct.len() as f64), "each text is tagged once");
    let spared = count("hits_total").unwrap() + count("joined_total").unwrap();
    assert_eq!(Some(spared), Some((documents - distinct.len()) as f64));
    let size = count("size_bytes").unwrap();
    assert!(size > 0.0 && size <= f64::from(1 << 20), "{size}");
    worker.terminate();
    worker.wait_for_success();

    let (mut offsets, mut tags) = (HashMap::new(), HashMap::new());
    let tagged = line.tagged();
    for record in &tagged {
        let tagged = value(record);
        let produced: serde_json::Value = serde_json::from_slice(&values[number(record)]).unwrap();
        assert_eq!(tagged["document"], produced);
        let (partition, offset) = (tagged["source"]["partition"].as_i64(), tagged["source"]["offset"].as_i64());
        assert!(offsets.insert(partition, offset) < Some(offset), "{partition:?}: {offset:?}");
        let text = tagged["document"]["body"].to_string();
        assert_eq!(tags.entry(text).or_insert_with(|| tagged["tags"].clone()), &tagged["tags"]);
    }
    assert_eq!((tagged.len(), tags.len()), (documents, distinct.len()));
    line.assert_committed_to_the_end();
}
