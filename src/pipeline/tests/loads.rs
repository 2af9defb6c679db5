//! Two loads of the taggers at once.

use super::*;

/// Says of everything that it has the label of this number, and keeps what it was given.
struct Opinionated {
    heads: Vec<Head>,
    label: usize,
    seen: Arc<Seen>,
    batches: Arc<Mutex<Vec<Vec<Vec<u32>>>>>,
}

impl Infer for Opinionated {
    fn infer(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>> {
        self.seen.is_running.store(true, Ordering::Release);
        drop(self.seen.close());
        self.batches.lock().unwrap().push(batch.iter().map(|ids| ids.to_vec()).collect());
        let row = |head: &Head| (0..head.labels.len()).map(|label| if label == self.label { 9.0 } else { 0.0 });
        let rows = |head: &Head, ids: &[u32]| if head.is_by_token() { ids.len() } else { 1 };
        let logits = |head: &Head, ids: &[u32]| (0..rows(head, ids)).flat_map(|_| row(head)).collect();
        Ok(batch.iter().map(|ids| self.heads.iter().map(|head| logits(head, ids)).collect()).collect())
    }
}

#[test]
fn a_batch_never_mixes_two_loads_and_each_document_has_its_own_loads_answer() {
    let config = config();
    let seen: Arc<Seen> = Arc::default();
    let names = ["old", "new"];
    let loads = [0, 1].map(|label| {
        let batches = Arc::default();
        let load = |settings: &ModelSettings| {
            let mut model = Model::load(settings)?;
            model.identity.version = names[label].into();
            let (heads, seen, batches) = (model.manifest.heads.clone(), Arc::clone(&seen), Arc::clone(&batches));
            Ok(model.with_session(Opinionated { heads, label, seen, batches }))
        };
        (Taggers::load_with(&config, &load).unwrap(), batches)
    });
    let [(old, of_old), (new, of_new)] = loads;
    // No text of one load is one of the other, and many are equally long: in one batch they would be good company.
    let text = |load: usize, number: usize| format!("{} {}", names[load], "word ".repeat(number % 7 + 1));
    let ids = |load: usize| {
        let tokenizer = &old.lanes[0].model.tokenizer;
        (0..7).map(|number| tokenizer.encode(&text(load, number)).unwrap().ids).collect::<Vec<_>>()
    };
    let texts = [ids(0), ids(1)];

    let mut line = Line::start(&config, old);
    let gate = seen.close();
    line.feed(0, &Lease::default(), &text(0, 0));
    line.wait_until("the old model runs", |_| seen.is_running.load(Ordering::Acquire));
    (1..50).for_each(|number| line.feed(number % 2, &Lease::default(), &text(0, number)));
    line.settle();
    line.live.replace(new.into());
    (0..50).for_each(|number| line.feed(number % 2, &Lease::default(), &text(1, number)));
    line.settle();
    assert!(line.delivered.lock().unwrap().is_empty(), "documents of both are under way");
    drop(gate);
    let run = line.finish();
    assert!(run.failure.is_none(), "{:?}", run.failure);

    for (load, batches) in [of_old, of_new].into_iter().enumerate() {
        let batches = batches.lock().unwrap();
        let rows: Vec<_> = batches.iter().flatten().collect();
        assert_eq!(rows.len(), 50, "{}", names[load]);
        assert!(rows.iter().all(|ids| texts[load].contains(ids)), "{} was given what is another's", names[load]);
        assert!(batches.iter().any(|batch| batch.len() > 1), "batches have room for more than one");
    }
    let records = records(&run);
    assert_eq!(records.len(), 100);
    let labels = [["business", "ham"], ["entertainment", "spam"]];
    for record in &records {
        let body = record["document"]["body"].as_str().unwrap();
        let load = names.iter().position(|name| body.starts_with(name)).unwrap();
        assert_eq!(record["model"]["version"], names[load]);
        assert_eq!([&record["tags"]["topic"]["label"], &record["tags"]["spam"]["label"]], labels[load]);
    }
}
