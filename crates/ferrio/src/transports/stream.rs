//! The stream transport.

use std::cell::Cell;
use std::os::fd::RawFd;

use ferrio_object::{Any, Class, ClassBuilder, Obj, TypeCell, Visit};
use pyo3::prelude::*;

/// The contents of a stream transport.
pub struct StreamTransport {
    pub(crate) fd: Cell<RawFd>,
}

impl StreamTransport {
    pub(crate) fn ready(_this: &Obj<Self>, _py: Python<'_>, _readable: bool, _writable: bool) -> PyResult<()> {
        Ok(())
    }

    pub(crate) fn flush(_this: &Obj<Self>, _py: Python<'_>) -> PyResult<()> {
        Ok(())
    }
}

impl Class for StreamTransport {
    type Base = Any;
    const NAME: &'static str = "ferrio._ferrio._StreamTransport";
    const DOC: &'static str = "";

    fn type_cell() -> &'static TypeCell {
        static CELL: TypeCell = TypeCell::new();
        &CELL
    }

    fn blank() -> Self {
        StreamTransport { fd: Cell::new(-1) }
    }

    fn traverse(&self, _visit: &mut Visit<'_>) {}

    fn clear(&self) {}

    fn define(_class: &mut ClassBuilder<Self>) {}
}
