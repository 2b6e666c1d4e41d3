//! The Python extension `ferrio._ferrio`: asyncio's objects, one file (or folder) per name of asyncio's.
//!
//! This file only lists the floors, lowest first: a file imports from its own floor and from those below it (the table
//! is in ARCHITECTURE.md, `.ci/floors.py` holds it). No raw FFI in this crate: objects are declared through
//! `ferrio-object`, and the operating system is reached through `ferrio-core`.

#![forbid(unsafe_code)]

// Ground: what knows objects, and no loop.
mod coroutines;
mod debug;
mod exceptions;
mod imported;
mod log;
mod mocks;
mod native_fn;
mod trsock;
mod warnings;

// Kernel: what the items of the ready queue, the timers and a future's callbacks are.
mod event_loop;
mod future;
mod future_likes;
mod gather;
mod stock;
mod task;

// Coroutines written in Rust.
mod coro;
mod sleep;

// What waits for futures. What the kernel has to know of a task group and a timeout is in their `mod.rs`.
mod as_completed;
mod locks;
mod queues;
mod shield;
mod staggered;
mod taskgroups;
mod timeouts;
mod wait;
mod wait_for;

// What bytes go through.
mod files;
mod server;
mod streams;
mod subprocess;
mod tls;
mod transports;

// The event loop's methods, its class and the turn.
mod base_events;
mod rebind;

// What runs a loop, or uses it as a program does.
mod extras;
mod graph;
mod legacy;
mod monitor;
mod private;
mod runners;
mod threads;

// What the extension holds.
mod module;

use pyo3::prelude::*;

/// asyncio's objects in Rust; the package `ferrio` gives them their places.
#[pymodule(gil_used = true)]
fn _ferrio(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module::init(module)
}
