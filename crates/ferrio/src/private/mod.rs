//! Functions of asyncio's modules whose names begin with an underscore, and which programs import all the same.
//!
//! One file per module of asyncio's. They are fronts: what they do is done where the public functions that are made of
//! the same parts have it. Methods of that kind stand with the other methods of their class.

mod base_events;
mod base_futures;
mod base_tasks;
mod futures;
mod sslproto;
mod tasks;

use pyo3::prelude::*;

/// Adds them to the extension's module.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    base_events::add(module)?;
    base_futures::add(module)?;
    base_tasks::add(module)?;
    futures::add(module)?;
    sslproto::add(module)?;
    tasks::add(module)
}
