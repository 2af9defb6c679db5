//! What can go wrong, and how it is made to.

use std::time::Duration;

use serde_json::json;

use crate::arena::{Arena, SESSION};
use crate::support::cluster::NODES;

/// A kind of fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// kill -9 of a worker, at a random moment.
    WorkerKill,
    /// SIGTERM of a worker, sometimes of all.
    WorkerTerm,
    /// One worker becomes three, and one again.
    Scale,
    /// One more worker comes, and goes.
    Visitor,
    /// SIGSTOP for longer than the session; then SIGCONT: a worker that thinks that it still has its partitions.
    Zombie,
    /// kill -9 of a node, which comes back.
    BrokerKill,
    /// A node shuts down, and comes back.
    BrokerTerm,
    /// kill -9 of the node that coordinates the group, or transactions.
    Coordinator,
    /// Latency, and little bandwidth.
    Slow,
    /// Connections end, and new ones are refused for a while.
    Cut,
    /// Connections are reset.
    Reset,
    /// Requests arrive, replies don't; then connections end.
    RepliesLost,
    /// The output topic wants more replicas than there are.
    OutputRefuses,
    /// The dead-letter topic does.
    DeadLettersRefuse,
    /// The output topic is deleted, missing for a while, and created again.
    OutputRecreated,
}

impl Fault {
    /// Those that can come one after the other in one row.
    pub const ANY: [Self; 13] = [
        Self::WorkerKill,
        Self::WorkerTerm,
        Self::Scale,
        Self::Zombie,
        Self::BrokerKill,
        Self::BrokerTerm,
        Self::Coordinator,
        Self::Slow,
        Self::Cut,
        Self::Reset,
        Self::RepliesLost,
        Self::OutputRefuses,
        Self::DeadLettersRefuse,
    ];

    /// Makes it happen, and heals it. `documents` are written on the way.
    pub fn inject(self, arena: &mut Arena<'_>, documents: usize) {
        let (before, meanwhile) = (documents / 2, documents - documents / 2);
        if self != Self::OutputRecreated {
            arena.write(before);
            arena.pass(800);
        }
        match self {
            Self::WorkerKill => {
                let n = arena.any_worker();
                arena.fleet.kill(n);
                arena.write(meanwhile);
                arena.pass(1000);
                arena.fleet.grow(arena.size);
            }
            Self::WorkerTerm => {
                let (n, all) = (arena.any_worker(), arena.rng.u8(0..4) == 0);
                arena.write(meanwhile);
                if all {
                    arena.fleet.terminate_all();
                } else {
                    arena.fleet.terminate(n);
                }
                arena.fleet.grow(arena.size);
            }
            Self::Scale => {
                arena.fleet.grow(3);
                arena.write(meanwhile);
                arena.pass(3000);
                for _ in 0..2 {
                    let (n, kill) = (arena.rng.usize(0..3), arena.rng.bool());
                    if kill {
                        arena.fleet.kill(n);
                    } else {
                        arena.fleet.terminate(n);
                    }
                    arena.pass(500);
                }
                arena.fleet.grow(arena.size);
            }
            Self::Visitor => {
                arena.fleet.grow(arena.size + 1);
                arena.write(meanwhile);
                arena.pass(5000);
                if arena.rng.bool() { arena.fleet.kill(arena.size) } else { arena.fleet.terminate(arena.size) }
            }
            Self::Zombie => {
                let n = arena.any_worker();
                arena.fleet.signal(n, "STOP");
                arena.write(meanwhile);
                arena.fleet.sleep(SESSION + Duration::from_secs(1));
                arena.pass(2000);
                arena.fleet.signal(n, "CONT");
            }
            Self::BrokerKill => {
                let n = arena.rng.usize(0..NODES);
                bounce(arena, n, "KILL", meanwhile);
            }
            Self::BrokerTerm => {
                let n = arena.rng.usize(0..NODES);
                bounce(arena, n, "TERM", meanwhile);
            }
            Self::Coordinator => {
                let topic = if arena.rng.bool() { "__transaction_state" } else { "__consumer_offsets" };
                // Before the first transaction, there is no coordinator of any.
                let node = arena.cluster.leader(topic).or_else(|| arena.cluster.leader("__consumer_offsets"));
                bounce(arena, node.unwrap_or(0), "KILL", meanwhile);
            }
            Self::Slow | Self::Cut | Self::Reset | Self::RepliesLost => self.spoil_the_network(arena, meanwhile),
            Self::OutputRefuses => refuse(arena, arena.output.clone(), meanwhile),
            Self::DeadLettersRefuse => refuse(arena, arena.dead.clone(), meanwhile),
            Self::OutputRecreated => {
                arena.write(before);
                // What is on the topic is deleted with it. So all must be there, and be known: what comes from here on
                // can only be on the new one.
                arena.drain();
                arena.remember_output();
                let output = arena.output.clone();
                arena.cluster.delete_topic(&output);
                arena.write(meanwhile);
                arena.pass(8000);
                arena.cluster.create_topic(&output, arena.partitions);
            }
        }
        arena.pass(500);
    }

    /// Makes the network bad for a while.
    fn spoil_the_network(self, arena: &mut Arena<'_>, documents: usize) {
        let milliseconds = match self {
            Self::Slow => {
                let (latency, rate) = (arena.rng.u64(50..400), arena.rng.u64(20..200));
                let latency = json!({ "latency": latency, "jitter": latency / 2 });
                arena.cluster.network.add("latency", "upstream", &latency);
                arena.cluster.network.add("bandwidth", "downstream", &json!({ "rate": rate }));
                4000
            }
            Self::Cut => {
                let (one, all) = (arena.rng.usize(0..NODES), arena.rng.bool());
                (0..NODES).filter(|n| all || *n == one).for_each(|n| arena.cluster.network.cut(n));
                3000
            }
            Self::Reset => {
                let stream = if arena.rng.bool() { "upstream" } else { "downstream" };
                arena.cluster.network.add("reset_peer", stream, &json!({ "timeout": arena.rng.u64(0..200) }));
                1500
            }
            _ => {
                arena.cluster.network.add("timeout", "downstream", &json!({ "timeout": 0 }));
                4000
            }
        };
        arena.write(documents);
        arena.pass(milliseconds);
        if self == Self::RepliesLost {
            (0..NODES).for_each(|n| arena.cluster.network.cut(n));
        }
        arena.cluster.network.heal();
    }
}

/// Stops a node, and starts it again.
pub fn bounce(arena: &mut Arena<'_>, node: usize, signal: &str, documents: usize) {
    arena.cluster.stop_node(node, signal);
    arena.write(documents);
    arena.pass(3000);
    arena.cluster.start_node(node);
    // Two of three must be there for a write. So the next fault waits.
    arena.cluster.wait_until_whole();
    arena.fleet.tend();
}

/// The topic takes nothing for a while.
#[expect(clippy::needless_pass_by_value, reason = "it would borrow the arena")]
fn refuse(arena: &mut Arena<'_>, topic: String, documents: usize) {
    arena.cluster.configure_topic(&topic, "min.insync.replicas", "4");
    arena.write(documents);
    arena.pass(5000);
    arena.cluster.configure_topic(&topic, "min.insync.replicas", "2");
}
