//! The Python extension `ferrio._ferrio`: asyncio's objects, one file (or folder) per name of asyncio's.
//!
//! This file only lists what the module holds. No raw FFI in this crate: objects are declared through
//! `ferrio-object`, and the operating system is reached through `ferrio-core`.

#![forbid(unsafe_code)]

mod as_completed;
mod base_events;
mod coro;
mod coroutines;
mod debug;
mod event_loop;
mod exceptions;
mod extras;
mod files;
mod future;
mod future_likes;
mod gather;
mod library;
mod locks;
mod module;
mod native_fn;
mod queues;
mod rebind;
mod runners;
mod server;
mod shield;
mod sleep;
mod staggered;
mod stock;
mod streams;
mod task;
mod taskgroups;
mod threads;
mod timeouts;
mod transports;
mod trsock;
mod wait;
mod wait_for;

use pyo3::prelude::*;

/// asyncio's objects in Rust; the package `ferrio` gives them their places.
#[pymodule(gil_used = true)]
fn _ferrio(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module::fill(module)
}
