//! `asyncio.queues`: the queue, what it keeps its items in, and its two relatives.

mod items;
mod kinds;
mod queue;
mod wait;

pub(crate) use kinds::{LifoQueue, PriorityQueue};
pub(crate) use queue::{Exception, Queue, raise};

use ferrio_object::ClassDef;
use pyo3::prelude::*;

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Queue>(module)?;
    ClassDef::add::<LifoQueue>(module)?;
    ClassDef::add::<PriorityQueue>(module)
}
