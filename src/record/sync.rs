//! What threads meet by where a promise hangs on the order in which they do: the standard library's. In its place,
//! `tests/loom` puts types that go through every order.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};
