//! The cache's claims, where several threads have the same text at once.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crossbeam_channel::{Receiver, unbounded};
use loom::thread;

use crate::in_every_order;
use crate::record::answer::Answer;
use crate::record::document::Document;
use crate::record::envelope::{Envelope, Lease, Origin};
use crate::tagger::cache::{Cache, Claim, Found};
use crate::tagger::feed::{Fed, Feed};

/// A cache, and the way back into a line that is not there.
#[derive(Clone)]
struct Desk {
    cache: Arc<Cache>,
    feed: Arc<Feed>,
    again: Receiver<Fed>,
}

/// What has come out: the documents, by number, and how many of them were tagged, and were sent back.
#[derive(Debug, Default)]
struct Out {
    documents: Vec<u64>,
    tagged: usize,
    sent_back: usize,
}

impl Desk {
    fn new(size: usize) -> Self {
        let (to_prepare, again) = unbounded();
        let feed = Feed::new(to_prepare, Arc::new(AtomicUsize::new(0)));
        Self { cache: Cache::new(size, &Arc::default()), feed, again }
    }

    fn look_up(&self, number: u64) -> Found {
        let origin =
            Origin { topic: "t".into(), partition: 0, offset: 0, epoch: 1, seq: number, lease: Lease::default() };
        let body = Document::unnamed(vec![Some("the same text".into())]);
        self.cache.look_up(Envelope { origin, body }, 1, &self.feed)
    }

    /// One document comes and goes; if it is to be tagged, `tag` does it.
    fn pass(&self, number: u64, tag: impl FnOnce(Claim) -> Vec<Envelope<Document>>) -> Out {
        match self.look_up(number) {
            Found::Known(document, _) => Out { documents: vec![document.origin.seq], ..Out::default() },
            Found::Waits => Out::default(),
            Found::Unknown(document, claim) => {
                let waited = tag(claim);
                let all = [document].into_iter().chain(waited);
                Out { documents: all.map(|document| document.origin.seq).collect(), tagged: 1, sent_back: 0 }
            }
        }
    }

    /// Those that have waited in vain: each is tagged alone.
    fn again(&self) -> Out {
        let documents: Vec<_> = self.again.try_iter().inspect(|fed| assert!(fed.alone)).collect();
        let count = documents.len();
        let documents = documents.iter().map(|fed| fed.envelope.origin.seq).collect();
        Out { documents, tagged: count, sent_back: count }
    }

    /// All that has come out; nothing may be left, nor anything hold the line open.
    fn end(self, out: impl IntoIterator<Item = Out>) -> Out {
        let mut all = Out::default();
        for mut one in out.into_iter().chain([self.again()]) {
            all.documents.append(&mut one.documents);
            all.tagged += one.tagged;
            all.sent_back += one.sent_back;
        }
        all.documents.sort_unstable();
        assert!(!matches!(self.look_up(99), Found::Waits), "it would wait for ever");
        assert_eq!(Arc::strong_count(&self.feed), 1, "the line would not end");
        all
    }
}

fn fulfil(claim: Claim) -> Vec<Envelope<Document>> {
    claim.fulfil(&Arc::new(Answer {
        load: 1,
        tags: vec![],
        absent: vec![],
        secrets: vec![],
        models: vec![],
        tokens: 3,
        truncated: false,
    }))
}

fn fail(claim: Claim) -> Vec<Envelope<Document>> {
    drop(claim);
    Vec::new()
}

/// What becomes of a claim: the documents that come out.
type Way = fn(Claim) -> Vec<Envelope<Document>>;

/// Three documents with one text, on three threads, each with its way to tag.
fn meet(size: usize, ways: [Way; 3]) -> Out {
    let desk = Desk::new(size);
    let [first, second, third] = ways;
    let others = [(1, second), (2, third)].map(|(number, way)| {
        let desk = desk.clone();
        thread::spawn(move || desk.pass(number, way))
    });
    let own = desk.pass(0, first);
    let others = others.map(|other| other.join().unwrap());
    desk.end([own].into_iter().chain(others))
}

#[test]
fn a_text_that_comes_three_times_at_once_is_tagged_once_and_each_has_the_answer_once() {
    in_every_order(|| {
        let out = meet(1 << 20, [fulfil; 3]);
        assert_eq!((out.documents, out.tagged), (vec![0, 1, 2], 1));
    });
}

#[test]
fn those_who_wait_get_their_answer_once_though_it_is_not_kept() {
    in_every_order(|| {
        let out = meet(0, [fulfil; 3]);
        assert_eq!((out.documents, out.sent_back), (vec![0, 1, 2], 0));
    });
}

#[test]
fn whoever_waits_for_one_that_fails_comes_out_once_by_itself_or_with_the_next() {
    in_every_order(|| assert_eq!(meet(1 << 20, [fail, fulfil, fulfil]).documents, [0, 1, 2]));
}

#[test]
fn nobody_waits_for_ever_though_all_fail() {
    in_every_order(|| {
        let out = meet(1 << 20, [fail; 3]);
        assert_eq!((out.documents, out.tagged), (vec![0, 1, 2], 3));
    });
}
