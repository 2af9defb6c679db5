//! The rows of the table: each has a name, and topics and workers of its own.

use std::time::Instant;

use crate::arena::{Arena, Outcome, Protocol};
use crate::documents::Corpus;
use crate::faults::{Fault, bounce};
use crate::late;
use crate::options::{Delivery, Options};
use crate::support::cluster::{Cluster, NODES};
use crate::swap::{self, Models};

/// What is injected in a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Faults {
    /// Any of these, at random.
    Any(&'static [Fault]),
    /// All nodes, one after the other, with this signal; so often.
    BounceBrokers(&'static str),
    /// All workers, one after the other, with this signal.
    BounceWorkers(&'static str),
    /// Workers abort at this point.
    Abort(&'static str),
    /// The model fails on some records: each time, or one time in ten.
    Model(Fails),
    /// Models are swapped, and workers killed or terminated meanwhile.
    Swap,
    /// Requests of transactions arrive long after their client has given them up.
    Late,
}

/// How often the model fails on those that it fails on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fails {
    /// They become dead letters.
    Always,
    /// They are tried again.
    Sometimes,
}

/// A row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name, by which it can be asked for.
    pub name: String,
    /// What is injected.
    pub faults: Faults,
    /// Its share of the faults of a run.
    pub share: usize,
    /// Partitions of each topic.
    pub partitions: i32,
    /// Workers.
    pub workers: usize,
    /// How they share the partitions.
    pub protocol: Protocol,
    /// Whether a consumer reads the output meanwhile.
    pub reader: bool,
}

/// What came of a row.
pub struct Done {
    /// The row.
    pub row: Row,
    /// Faults injected.
    pub faults: usize,
    /// What it came to.
    pub outcome: Outcome,
}

const COOPERATIVE: Protocol = Protocol::Classic("cooperative-sticky");

/// All rows for these options.
pub fn all(options: &Options) -> Vec<Row> {
    use Fault::{
        Coordinator, Cut, DeadLettersRefuse, OutputRecreated, OutputRefuses, RepliesLost, Reset, Scale, Slow,
        WorkerKill, WorkerTerm, Zombie,
    };
    let row = |name: &str, share, workers, protocol, faults: &'static [Fault]| Row {
        name: name.into(),
        faults: Faults::Any(faults),
        share,
        partitions: 6,
        workers,
        protocol,
        reader: false,
    };
    let mut rows = vec![
        row("worker-killed", 30, 3, COOPERATIVE, &[WorkerKill]),
        row("worker-terminated", 20, 3, COOPERATIVE, &[WorkerTerm]),
        row("workers-1-3-1", 9, 1, COOPERATIVE, &[Scale]),
        row("workers-1-3-1-eager", 6, 1, Protocol::Classic("range"), &[Scale]),
        row("workers-1-3-1-kip-848", 6, 1, Protocol::Consumer, &[Scale]),
        row("worker-paused-past-its-session", 8, 2, COOPERATIVE, &[Zombie]),
        row("coordinator-moved", 6, 2, COOPERATIVE, &[Coordinator]),
        row("network-slow", 10, 2, COOPERATIVE, &[Slow]),
        row("connections-cut", 14, 2, COOPERATIVE, &[Cut, Reset]),
        row("replies-lost", 12, 2, COOPERATIVE, &[RepliesLost]),
        row("output-takes-nothing", 5, 2, COOPERATIVE, &[OutputRefuses]),
        row("dead-letters-take-nothing", 5, 2, COOPERATIVE, &[DeadLettersRefuse]),
        row("output-deleted-and-created", 4, 2, COOPERATIVE, &[OutputRecreated]),
        row("everything", 24, 3, COOPERATIVE, &Fault::ANY),
    ];
    rows.push(Row { faults: Faults::Swap, ..row("models-swapped-while-killed", 12, 3, COOPERATIVE, &[]) });
    if options.delivery == Delivery::ExactlyOnce {
        rows.push(Row { faults: Faults::Late, ..row("late-requests", 12, 2, COOPERATIVE, &[]) });
    }
    rows.extend(matrix());
    if cfg!(feature = "failpoints") {
        let points: &[_] = match options.delivery {
            Delivery::AtLeastOnce => &["before-commit"],
            Delivery::ExactlyOnce => {
                &["transaction-before-offsets", "transaction-before-commit", "transaction-after-commit"]
            }
        };
        for &point in points {
            let aborted = row(&format!("aborted-{point}"), 6, 2, COOPERATIVE, &[]);
            rows.push(Row { faults: Faults::Abort(point), ..aborted });
        }
        for (name, fails) in [("always", Fails::Always), ("sometimes", Fails::Sometimes)] {
            let failing = row(&format!("model-fails-on-some-{name}"), 6, 2, COOPERATIVE, &[]);
            rows.push(Row { faults: Faults::Model(fails), ..failing });
        }
    }
    rows
}

/// The matrix of Apache Kafka's own `transactions_test`: {hard, clean} bounce × {brokers, clients} × {one partition,
/// whose order is checked as a whole; several} × {a consumer reads afterwards, meanwhile}.
fn matrix() -> Vec<Row> {
    let mut rows = Vec::new();
    for (bounce, signal) in [("hard", "KILL"), ("clean", "TERM")] {
        for target in ["brokers", "clients"] {
            for (order, partitions, workers) in [("ordered", 1, 1), ("partitioned", 6, 3)] {
                for (when, reader) in [("read-after", false), ("read-meanwhile", true)] {
                    let brokers = target == "brokers";
                    rows.push(Row {
                        name: format!("{bounce}-bounce-{target}-{order}-{when}"),
                        faults: if brokers { Faults::BounceBrokers(signal) } else { Faults::BounceWorkers(signal) },
                        share: 3,
                        partitions,
                        workers,
                        protocol: COOPERATIVE,
                        reader,
                    });
                }
            }
        }
    }
    rows
}

/// The faults of a row, if all rows together have `faults`.
pub fn share(row: &Row, rows: &[Row], faults: usize) -> usize {
    let all: usize = rows.iter().map(|row| row.share).sum();
    (row.share * faults).div_ceil(all)
}

impl Row {
    /// Injects so many faults, and draws up the account.
    pub fn run(
        self,
        cluster: &mut Cluster,
        corpus: &Corpus,
        options: &Options,
        faults: usize,
        documents: usize,
        deadline: Instant,
    ) -> Done {
        let name = format!("{}-{}", options.delivery, self.name);
        let mut options = options.clone();
        if let Faults::Model(_) = self.faults {
            // What is tried again holds up what is behind it: with little in flight, nearly nothing would go on.
            options.set.insert(0, "limits.in_flight=1MiB".into());
        }
        let detour = (self.faults == Faults::Late).then(|| cluster.take_detour());
        if detour.is_some() {
            options.set.splice(0..0, late::SETTINGS.map(Into::into));
        }
        let mut models = (self.faults == Faults::Swap).then(|| Models::lay_out(&name));
        if let Some(models) = &models {
            let settings = swap::SETTINGS.map(Into::into).into_iter();
            options.set.splice(0..0, settings.chain([format!("model.path={}", models.path())]));
        }
        let mut arena = Arena::open(cluster, corpus, &options, &name, self.partitions, self.workers, self.protocol);
        if self.reader {
            arena.read_along();
        }
        if let Faults::Abort(point) = self.faults {
            // Five transactions are committed before.
            arena.fleet.restart_with(format!("{point}=5*off->return"));
        }
        if let Faults::Model(fails) = self.faults {
            arena.poisoned = fails == Fails::Always;
            arena.fleet.restart_with(format!("model-run={}return", if arena.poisoned { "" } else { "10%" }));
        }
        // They shall have something to lose.
        arena.write(documents / 10);
        arena.pass(3000);
        let (mut injected, mut bag) = (0, Vec::new());
        while injected < faults && Instant::now() < deadline {
            let left = documents.saturating_sub(arena.written()) / (faults - injected);
            match self.faults {
                Faults::Any(kinds) => {
                    if bag.is_empty() {
                        // Each kind comes before any comes again.
                        bag.extend_from_slice(kinds);
                        arena.rng.shuffle(&mut bag);
                    }
                    let kind = bag.pop().expect("a row has kinds");
                    eprintln!("  {:>3} {kind:?}", injected + 1);
                    kind.inject(&mut arena, left);
                }
                Faults::BounceBrokers(signal) => {
                    arena.write(left / 2);
                    arena.pass(500);
                    bounce(&mut arena, injected % NODES, signal, left - left / 2);
                }
                Faults::BounceWorkers(signal) => {
                    arena.write(left);
                    arena.pass(1000);
                    if signal == "KILL" {
                        arena.fleet.kill(0);
                    } else {
                        arena.fleet.terminate(0);
                    }
                    arena.fleet.grow(arena.size);
                    arena.pass(2000);
                }
                Faults::Swap => models.as_mut().expect("they were laid out").inject(&mut arena, left),
                Faults::Late => late::inject(detour.as_ref().expect("it was taken"), &mut arena),
                Faults::Model(_) => {
                    arena.write(left);
                    arena.pass(2000);
                }
                Faults::Abort(_) => {
                    let aborted = arena.fleet.exits.len();
                    while arena.fleet.exits.len() == aborted && Instant::now() < deadline {
                        arena.write(left / 8 + 1);
                        arena.pass(600);
                    }
                }
            }
            injected += 1;
        }
        if let Faults::Abort(_) = self.faults {
            arena.fleet.restart_with(String::new());
            arena.fleet.exits.retain(|exit| !exit.contains("SIGABRT"));
        }
        let rest = documents.saturating_sub(arena.written());
        arena.write(rest);
        if let Some(models) = &models {
            models.check(&mut arena);
        }
        if detour.is_some() && options.failpoints.is_empty() && arena.fleet.said("a new producer goes on") == 0 {
            arena.stalled.push(format!("{}: no worker has made a new producer", arena.name));
        }
        let outcome = arena.close();
        if let Some(detour) = detour {
            cluster.leave(detour);
        }
        Done { row: self, faults: injected, outcome }
    }
}
