//! Requests of transactions that arrive late, when the next transaction is open already.

use std::time::{Duration, Instant};

use crate::arena::Arena;
use crate::support::detour::{Detour, Request};

/// Settings of the workers: they soon give up what has no answer; and a transaction is written to all of its time, with much
/// in flight, so that a commit in its middle does harm.
pub const SETTINGS: [&str; 3] =
    ["kafka.properties.socket.timeout.ms=2000", "transaction.interval=500ms", "limits.in_flight=4MiB"];

/// How long a fault may take to come about. There is a request of each kind in every transaction.
const LIMIT: Duration = Duration::from_mins(1);

/// Has one request arrive late, while documents keep coming.
pub fn inject(detour: &Detour, arena: &mut Arena<'_>) {
    let kind = match arena.rng.u8(0..4) {
        0 => Request::AddOffsetsToTxn,
        1 => Request::TxnOffsetCommit,
        _ => Request::EndTxn,
    };
    let (before, deadline) = (detour.late(), Instant::now() + LIMIT);
    detour.hold_next(kind, Duration::from_millis(arena.rng.u64(0..3000)));
    while detour.late() == before {
        if Instant::now() > deadline {
            detour.hold_none();
            arena.stalled.push(format!("{}: no {kind:?} was late in {LIMIT:?}", arena.name));
            return;
        }
        arena.write(2);
        arena.pass(100);
    }
    // What it did to the open transaction shall come to light.
    for _ in 0..10 {
        arena.write(2);
        arena.pass(100);
    }
}
