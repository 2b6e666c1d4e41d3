//! Signal handlers of a loop.

use ferrio_object::{ClassBuilder, Obj, Visit};
use pyo3::prelude::*;

use crate::event_loop::Loop;

/// A loop's signal handlers.
#[derive(Default)]
pub(crate) struct Signals;

impl Signals {
    pub(crate) fn traverse(&self, _visit: &mut Visit<'_>) {}

    pub(crate) fn clear(&self) {}
}

pub(crate) fn arrived(_this: &Obj<Loop>, _py: Python<'_>) -> PyResult<()> {
    Ok(())
}

pub(crate) fn remove_all(_this: &Obj<Loop>, _py: Python<'_>) -> PyResult<()> {
    Ok(())
}

pub(crate) fn define(_class: &mut ClassBuilder<Loop>) {}
