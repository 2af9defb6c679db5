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

/// A topic as it was seen last.
#[derive(Debug)]
enum Known {
    There(Topic),
    /// As what it was there before, if it ever was: one may go before anybody looks.
    Gone(Option<Topic>),
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

    /// Looks at how the topics are now. One that was never there is only noted.
    pub fn look(&mut self, topics: Topics) -> Vec<Change> {
        topics.into_iter().filter_map(|(name, now)| self.look_at(name, now)).collect()
    }

    fn look_at(&mut self, name: String, now: Option<Topic>) -> Option<Change> {
        let (before, was_gone) = match self.known.remove(&name) {
            Some(Known::There(before)) => (Some(before), false),
            Some(Known::Gone(before)) => (before, true),
            None => (None, false),
        };
        let known = now.map_or(Known::Gone(before), Known::There);
        self.known.insert(name.clone(), known);
        match (before?, now) {
            (_, None) => (!was_gone).then_some(Change::Gone(name)),
            (before, Some(now)) if before.id != now.id && before.id.is_some() && now.id.is_some() => {
                Some(Change::MadeAnew(name))
            }
            (_, Some(_)) if was_gone => Some(Change::Back(name)),
            (before, Some(now)) => {
                let (before, now) = (before.partitions, now.partitions);
                (now > before).then_some(Change::Grown { topic: name, before, now })
            }
        }
    }

    /// Takes a topic for one that was never seen.
    pub fn forget(&mut self, topic: &str) {
        self.known.remove(topic);
    }

    /// Whether a topic is not there.
    pub fn is_gone(&self, topic: &str) -> bool {
        matches!(self.known.get(topic), Some(Known::Gone(_)))
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
    fn one_that_was_gone_before_it_was_seen_is_gone() {
        let mut watch = Watch::default();
        assert!(!watch.is_gone("documents"), "nobody has looked");
        assert_eq!(look(&mut watch, None), [], "it never was there for us");
        assert!(watch.is_gone("documents"));
        assert_eq!(look(&mut watch, topic(1, 1)), [], "and it does not come back");
        assert!(!watch.is_gone("documents"));
        assert_eq!(look(&mut watch, None), [Change::Gone("documents".to_owned())]);
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
