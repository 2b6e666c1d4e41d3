//! Listening sockets.

use ferrio_object::{Any, Class, ClassBuilder, Obj, TypeCell, Visit};
use pyo3::prelude::*;

/// A listening socket registered with the driver.
pub struct Listener;

impl Listener {
    pub(crate) fn ready(_this: &Obj<Self>, _py: Python<'_>) -> PyResult<()> {
        Ok(())
    }
}

impl Class for Listener {
    type Base = Any;
    const NAME: &'static str = "ferrio._ferrio._Listener";
    const DOC: &'static str = "";
    const NEW: bool = false;

    fn type_cell() -> &'static TypeCell {
        static CELL: TypeCell = TypeCell::new();
        &CELL
    }

    fn blank() -> Self {
        Listener
    }

    fn traverse(&self, _visit: &mut Visit<'_>) {}

    fn clear(&self) {}

    fn define(_class: &mut ClassBuilder<Self>) {}
}
