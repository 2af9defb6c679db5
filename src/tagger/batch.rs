//! Micro-batching: documents of like length together, under a budget of tokens, none kept waiting for long (G-47).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The documents that wait for the model, sorted by length.
///
/// A batch costs `rows × longest` tokens, padding included; that product stays within the budget. (A document longer
/// than the budget goes alone.) The clock is an argument, so that this can be tested without one.
#[derive(Debug)]
pub struct Batcher<T> {
    /// The budget that was asked for, and what the device has memory for.
    most: usize,
    budget: usize,
    wait: Duration,
    target: Option<Target>,
    /// Whether no two documents go together.
    alone: bool,
    /// In order of arrival; they move to `waiting` as there is room.
    backlog: VecDeque<(T, Arrival)>,
    /// By (tokens, arrival): neighbours have like lengths, and no two have the same key.
    waiting: BTreeMap<(usize, u64), T>,
    /// In order of arrival; those that left in a batch are passed over when they reach the front.
    arrivals: VecDeque<Arrival>,
    arrived: u64,
    tokens: usize,
}

/// How many batches' worth of documents are looked at together. More would pad less; but then documents far behind go
/// first, and wait in the reorder buffer for those before them: work that a crash or a rebalance throws away.
const WINDOW: usize = 64;

/// Within what time a document is to be through the model. Half of it is for those that run when it comes.
#[derive(Clone, Copy, Debug)]
struct Target {
    latency: Duration,
    /// So many tokens are run in half of that: less after each batch that took longer, more after each that did not.
    tokens: usize,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    number: u64,
    tokens: usize,
    at: Instant,
}

/// What the model should do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// Run these.
    Batch(Vec<T>),
    /// Nothing is due before this time; what arrives until then may fill the batch.
    Until(Instant),
    /// Nothing waits.
    Idle,
}

impl<T> Batcher<T> {
    /// Batches of at most `budget` tokens; no document waits for others longer than `wait`.
    #[must_use]
    pub fn new(budget: usize, wait: Duration) -> Self {
        Self {
            most: budget,
            budget,
            wait,
            target: None,
            alone: false,
            backlog: VecDeque::new(),
            waiting: BTreeMap::new(),
            arrivals: VecDeque::new(),
            arrived: 0,
            tokens: 0,
        }
    }

    /// Makes batches so small that a document is through the model within this time, as long as that can be.
    #[must_use]
    pub fn within(mut self, latency: Option<Duration>) -> Self {
        self.target = latency.map(|latency| Target { latency, tokens: self.most });
        self
    }

    /// From now on, each document goes by itself, or not.
    pub fn go_alone(&mut self, alone: bool) {
        self.alone = alone;
    }

    /// Adds a document of `tokens` tokens, that could have been run since then.
    pub fn push(&mut self, document: T, tokens: usize, at: Instant) {
        self.backlog.push_back((document, Arrival { number: self.arrived, tokens, at }));
        self.arrived += 1;
    }

    /// A batch of so many tokens was too much for the device: later ones have at most half of them.
    pub fn shrink(&mut self, tokens: usize) {
        self.budget = (tokens / 2).clamp(1, self.budget);
    }

    /// A batch of so many tokens went through: what was shrunk grows back by and by.
    pub fn ran(&mut self, tokens: usize, took: Duration) {
        let grown = |tokens: usize| self.most.min(tokens.saturating_add(tokens / 16 + 1));
        self.budget = grown(self.budget);
        if let Some(Target { latency, tokens: quick }) = &mut self.target {
            let half = *latency / 2;
            if took > half {
                let in_time = tokens as u128 * half.as_nanos() / took.as_nanos();
                *quick = usize::try_from(in_time).unwrap_or(tokens).clamp(1, *quick);
            } else if tokens > *quick / 2 {
                // A small batch says nothing of larger ones.
                *quick = grown(*quick);
            }
        }
    }

    /// How many tokens the next batch may have. Who has waited for too long already is better served by large ones.
    fn allowed(&self, oldest: Arrival, now: Instant) -> usize {
        let waited = now.saturating_duration_since(oldest.at);
        self.target
            .filter(|target| waited <= target.latency)
            .map_or(self.budget, |target| target.tokens.min(self.budget))
    }

    fn fill_window(&mut self) {
        while self.tokens < self.budget.saturating_mul(WINDOW) {
            let Some((document, arrival)) = self.backlog.pop_front() else { break };
            self.waiting.insert((arrival.tokens, arrival.number), document);
            self.arrivals.push_back(arrival);
            self.tokens += arrival.tokens;
        }
    }

    /// True when nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.backlog.is_empty()
    }

    /// The next batch: at once when the budget is full, when the oldest document has waited long enough, or when
    /// `more_coming` says that nothing else is on its way: waiting would be in vain. What is less than the budgets of all
    /// sessions that are `free`, this one included, is shared among them.
    pub fn next(&mut self, now: Instant, more_coming: bool, free: usize) -> Next<T> {
        self.fill_window();
        let Some(oldest) = self.oldest() else { return Next::Idle };
        if self.alone {
            return Next::Batch(self.take_around((oldest.tokens, oldest.number), 0));
        }
        let wait = self.target.map_or(self.wait, |target| self.wait.min(target.latency / 2));
        let due = oldest.at + wait;
        let may_wait = more_coming && now < due;
        let budget = self.allowed(oldest, now);
        if may_wait && self.tokens < budget {
            return Next::Until(due);
        }
        let share = if may_wait { budget } else { self.tokens.div_ceil(free.max(1)).min(budget) };
        Next::Batch(self.take_around((oldest.tokens, oldest.number), share))
    }

    fn oldest(&mut self) -> Option<Arrival> {
        while let Some(&front) = self.arrivals.front() {
            if self.waiting.contains_key(&(front.tokens, front.number)) {
                return Some(front);
            }
            self.arrivals.pop_front();
        }
        None
    }

    /// The oldest document and its neighbours by length, whichever side pads less, until the budget is full.
    fn take_around(&mut self, oldest: (usize, u64), budget: usize) -> Vec<T> {
        let (mut shortest, mut longest, mut rows) = (oldest, oldest, 1);
        loop {
            let shorter = self.waiting.range(..shortest).next_back().map(|(&key, _)| key);
            let longer = self.waiting.range(longest..).nth(1).map(|(&key, _)| key);
            let fits = |width: usize| (rows + 1) * width <= budget;
            let shorter = shorter.filter(|_| fits(longest.0)).map(|key| (longest.0 - key.0, key));
            let longer = longer.filter(|key| fits(key.0)).map(|key| ((key.0 - longest.0) * rows, key));
            match (shorter, longer) {
                (None, None) => break,
                (Some((waste, key)), Some((other, _))) if waste <= other => shortest = key,
                (_, Some((_, key))) => longest = key,
                (Some((_, key)), None) => shortest = key,
            }
            rows += 1;
        }
        let keys: Vec<_> = self.waiting.range(shortest..=longest).map(|(&key, _)| key).collect();
        self.tokens -= keys.iter().map(|key| key.0).sum::<usize>();
        keys.iter().filter_map(|key| self.waiting.remove(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WAIT: Duration = Duration::from_millis(20);

    fn batcher(budget: usize, lengths: &[usize], now: Instant) -> Batcher<usize> {
        let mut batcher = Batcher::new(budget, WAIT);
        for &tokens in lengths {
            batcher.push(tokens, tokens, now);
        }
        batcher
    }

    #[test]
    fn an_idle_model_takes_what_is_there_at_once() {
        let now = Instant::now();
        assert_eq!(batcher(1000, &[5], now).next(now, false, 1), Next::Batch(vec![5]));
    }

    #[test]
    fn what_is_on_its_way_is_waited_for_but_not_for_long() {
        let now = Instant::now();
        let mut batcher = batcher(1000, &[5], now);
        assert_eq!(batcher.next(now, true, 1), Next::Until(now + WAIT));
        assert_eq!(batcher.next(now + WAIT, true, 1), Next::Batch(vec![5]));
        assert_eq!(batcher.next(now, true, 1), Next::Idle);
    }

    #[test]
    fn a_full_budget_does_not_wait() {
        let now = Instant::now();
        assert!(matches!(batcher(10, &[5, 5], now).next(now, true, 1), Next::Batch(_)));
    }

    #[test]
    fn who_goes_alone_waits_for_nobody() {
        let now = Instant::now();
        let mut batcher = batcher(1000, &[8, 5, 8], now);
        batcher.go_alone(true);
        let found: Vec<_> = (0..4).map(|_| batcher.next(now, true, 1)).collect();
        assert_eq!(found, [Next::Batch(vec![8]), Next::Batch(vec![5]), Next::Batch(vec![8]), Next::Idle]);
    }

    #[test]
    fn like_lengths_go_together() {
        let now = Instant::now();
        let mut batcher = batcher(24, &[8, 100, 7, 99, 8], now);
        assert_eq!(batcher.next(now, false, 1), Next::Batch(vec![7, 8, 8]));
        assert_eq!(batcher.next(now, false, 1), Next::Batch(vec![100]), "longer than the budget: alone");
    }

    #[test]
    fn a_budget_that_was_too_large_shrinks_and_grows_back() {
        let mut batcher = batcher(1000, &[], Instant::now());
        batcher.shrink(800);
        assert_eq!(batcher.budget, 400);
        batcher.shrink(900);
        assert_eq!(batcher.budget, 400, "a larger batch of before says nothing new");
        batcher.ran(400, WAIT);
        assert_eq!(batcher.budget, 426);
        (0..100).for_each(|_| batcher.ran(400, WAIT));
        assert_eq!(batcher.budget, 1000);
    }

    /// Documents of 50 tokens come at a rate, and one model runs batches in 2 ms and 1 ms a document. The latencies, but for
    /// those of the first second.
    fn simulated(rate: f64, target: Option<Duration>) -> Vec<Duration> {
        let start = Instant::now();
        let at = |number: usize| start + Duration::from_secs_f64(number as f64 / rate);
        let mut batcher = Batcher::new(10_000, WAIT).within(target);
        let (mut now, mut arrived, mut latencies) = (start, 0, Vec::new());
        while now < start + Duration::from_secs(5) {
            while at(arrived) <= now {
                batcher.push(at(arrived), 50, at(arrived));
                arrived += 1;
            }
            now = match batcher.next(now, true, 1) {
                Next::Batch(batch) => {
                    let took = Duration::from_millis(2 + batch.len() as u64);
                    batcher.ran(50 * batch.len(), took);
                    let done = now + took;
                    latencies.extend(batch.into_iter().map(|at| (at, done.saturating_duration_since(at))));
                    done
                }
                Next::Until(due) => due.min(at(arrived)),
                Next::Idle => at(arrived),
            };
        }
        let warm = |(at, latency): (Instant, Duration)| (at > start + Duration::from_secs(1)).then_some(latency);
        latencies.into_iter().filter_map(warm).collect()
    }

    #[test]
    fn batches_are_as_small_as_the_latency_target_wants() {
        let target = Duration::from_millis(30);
        let slowest = |rate, target| simulated(rate, target).into_iter().max().unwrap();
        for rate in [50.0, 300.0, 600.0, 750.0] {
            assert!(slowest(rate, Some(target)) <= target, "at {rate}/s");
        }
        assert!(slowest(750.0, None) > target, "otherwise this shows nothing");
    }

    #[test]
    fn a_target_that_can_not_be_met_takes_nothing_from_the_rate() {
        let done = |target| simulated(980.0, target).len();
        assert!(done(Some(Duration::from_millis(5))) > done(None) * 95 / 100);
    }

    #[test]
    fn what_is_little_is_shared_among_the_free_sessions() {
        let now = Instant::now();
        let mut batcher = batcher(1000, &[10, 10, 10, 90], now);
        assert_eq!(batcher.next(now, false, 2), Next::Batch(vec![10, 10, 10]));
        assert_eq!(batcher.next(now, false, 1), Next::Batch(vec![90]));
    }

    #[test]
    fn only_the_first_batches_worth_is_looked_at() {
        let now = Instant::now();
        let mut lengths = vec![10; WINDOW];
        lengths[0] = 9;
        lengths.push(9);
        let mut batcher = batcher(10, &lengths, now);
        batcher.budget = 20;
        batcher.next(now, false, 1);
        assert!(matches!(batcher.next(now, false, 1), Next::Batch(batch) if batch.len() == 2));
    }

    proptest! {
        #[test]
        fn every_document_leaves_once_and_no_batch_exceeds_the_budget(
            lengths in prop::collection::vec(1usize..600, 1..200),
            budget in 1usize..5000,
        ) {
            let now = Instant::now();
            let mut batcher = batcher(budget, &lengths, now);
            let mut left = Vec::new();
            while let Next::Batch(batch) = batcher.next(now, false, 1) {
                let longest = batch.iter().max().copied().unwrap_or(0);
                prop_assert!(batch.len() == 1 || batch.len() * longest <= budget);
                left.extend(batch);
            }
            let mut expected = lengths;
            expected.sort_unstable();
            left.sort_unstable();
            prop_assert_eq!(left, expected);
            prop_assert_eq!(batcher.tokens, 0);
        }

        #[test]
        fn the_oldest_is_always_in_the_next_batch(lengths in prop::collection::vec(1usize..600, 1..100)) {
            let now = Instant::now();
            let mut batcher = Batcher::new(1024, WAIT);
            for (number, &tokens) in lengths.iter().enumerate() {
                batcher.push(number, tokens, now);
            }
            let mut waiting: std::collections::BTreeSet<usize> = (0..lengths.len()).collect();
            while let Next::Batch(batch) = batcher.next(now, false, 1) {
                prop_assert!(batch.contains(waiting.first().unwrap()));
                for number in &batch {
                    waiting.remove(number);
                }
            }
        }
    }
}
