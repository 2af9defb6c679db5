//! Whether the input topics are still those that they were: one may go, come back as another, or grow.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::kafka::describe::{Topic, Topics};

/// How often it is looked. Until the next look, a topic that was made anew is taken for the old one.
const INTERVAL: Duration = Duration::from_secs(2);

/// What has become of a topic.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// It is not there any more.
    Gone(String),
    /// It is there again, as the topic that it was.
    Back(String),
    /// There is another topic of that name.
    MadeAnew(String),
    /// It has more partitions than before.
    Grown {
        /// Its name.
        topic: String,
        /// So many it had.
        before: usize,
        /// So many it has.
        now: usize,
    },
}

/// What is known of the topics. The answers are arguments, so that it can be tested without a cluster.
#[derive(Debug, Default)]
pub struct Watch {
    known: HashMap<String, Known>,
    next: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    topic: Topic,
    gone: bool,
}

impl Watch {
    /// Whether it is time to look again.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = self.next.is_none_or(|next| now >= next);
        if due {
            self.next = Some(now + INTERVAL);
        }
        due
    }

    /// Looks at how the topics are now. One that was never seen is only noted.
    pub fn look(&mut self, topics: Topics) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, now) in topics {
            match (self.known.get_mut(&name), now) {
                (None, None) => {}
                (None, Some(topic)) => {
                    self.known.insert(name, Known { topic, gone: false });
                }
                (Some(known), None) => {
                    if !known.gone {
                        known.gone = true;
                        changes.push(Change::Gone(name));
                    }
                }
                (Some(known), Some(topic)) => {
                    let before = std::mem::replace(known, Known { topic, gone: false });
                    if before.topic.id != topic.id && before.topic.id.is_some() && topic.id.is_some() {
                        changes.push(Change::MadeAnew(name));
                    } else if before.gone {
                        changes.push(Change::Back(name));
                    } else if topic.partitions > before.topic.partitions {
                        changes.push(Change::Grown {
                            topic: name,
                            before: before.topic.partitions,
                            now: topic.partitions,
                        });
                    }
                }
            }
        }
        changes
    }

    /// Takes a topic for one that was never seen.
    pub fn forget(&mut self, topic: &str) {
        self.known.remove(topic);
    }

    /// Whether a topic is not there.
    pub fn is_gone(&self, topic: &str) -> bool {
        self.known.get(topic).is_some_and(|known| known.gone)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(id: i64, partitions: usize) -> Topic {
        Topic { id: Some((0, id)), partitions }
    }

    fn look(watch: &mut Watch, now: impl Into<Option<Topic>>) -> Vec<Change> {
        watch.look(HashMap::from([("documents".to_owned(), now.into())]))
    }

    #[test]
    fn what_becomes_of_a_topic_is_told_once() {
        let mut watch = Watch::default();
        let name = || "documents".to_owned();
        assert_eq!(look(&mut watch, topic(1, 2)), []);
        assert_eq!(look(&mut watch, topic(1, 2)), []);
        assert_eq!(look(&mut watch, topic(1, 4)), [Change::Grown { topic: name(), before: 2, now: 4 }]);
        assert_eq!(look(&mut watch, None), [Change::Gone(name())]);
        assert!(watch.is_gone("documents"));
        assert_eq!(look(&mut watch, None), []);
        assert_eq!(look(&mut watch, topic(2, 2)), [Change::MadeAnew(name())]);
        assert!(!watch.is_gone("documents"));
        assert_eq!(look(&mut watch, topic(3, 2)), [Change::MadeAnew(name())], "within one look");
        assert_eq!(look(&mut watch, None), [Change::Gone(name())]);
        assert_eq!(look(&mut watch, topic(3, 2)), [Change::Back(name())]);
    }

    #[test]
    fn brokers_without_ids_make_no_topic_another() {
        let mut watch = Watch::default();
        look(&mut watch, Some(Topic { id: None, partitions: 1 }));
        assert_eq!(look(&mut watch, topic(1, 1)), []);
        assert_eq!(look(&mut watch, Some(Topic { id: None, partitions: 1 })), []);
    }

    proptest! {
        /// Whatever is seen in whatever order: a topic is begun anew exactly when its id has changed since it was last seen.
        #[test]
        fn a_topic_is_begun_anew_each_time_that_it_is_another(seen in prop::collection::vec(0..4i64, 0..40)) {
            let (mut watch, mut last) = (Watch::default(), None);
            for id in seen {
                let now = (id != 0).then(|| topic(id, 1));
                let changes = look(&mut watch, now);
                let anew = changes.iter().any(|change| matches!(change, Change::MadeAnew(_)));
                prop_assert_eq!(anew, id != 0 && last.is_some_and(|last| last != id));
                prop_assert!(changes.len() <= 1);
                if id != 0 {
                    last = Some(id);
                }
            }
        }
    }
}
