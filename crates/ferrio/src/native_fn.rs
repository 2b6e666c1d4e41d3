//! Python callables made from Rust functions: the callbacks that asyncio writes as nested functions and partials.
//!
//! The body is a plain `fn`; what it works with is handed to it as a slice of objects, so that the garbage collector
//! sees every reference that the callable keeps alive.

use std::cell::RefCell;

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, TypeCell, Visit};
use pyo3::prelude::*;

type Body = fn(Python<'_>, &[Obj], Args<'_, '_>) -> PyResult<()>;

/// The contents of a callable.
pub struct NativeFn {
    name: &'static str,
    body: Option<Body>,
    held: RefCell<Vec<Obj>>,
}

/// A callable named `name` that runs `body` with `held` and the arguments of the call, and returns `None`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn function(py: Python<'_>, name: &'static str, held: Vec<Obj>, body: Body) -> PyResult<Obj> {
    let contents = NativeFn { name, body: Some(body), held: RefCell::new(held) };
    Ok(Obj::<NativeFn>::create(py, ((), contents))?.into_any())
}

impl NativeFn {
    fn call(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        // A copy, since the call may drop the callable itself.
        let held = this.held.borrow().clone();
        this.body.map_or(Ok(()), |body| body(py, &held, args))
    }

    fn repr(this: &Obj<Self>, _py: Python<'_>) -> String {
        format!("<function {} at {:p}>", this.name, this.as_ptr())
    }
}

impl Class for NativeFn {
    type Base = Any;
    const NAME: &'static str = "ferrio._ferrio._callback";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn type_cell() -> &'static TypeCell {
        static CELL: TypeCell = TypeCell::new();
        &CELL
    }

    fn blank() -> Self {
        NativeFn { name: "", body: None, held: RefCell::new(Vec::new()) }
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        if let Ok(held) = self.held.try_borrow() {
            held.iter().for_each(|obj| visit.obj(obj));
        }
    }

    fn clear(&self) {
        drop(self.held.try_borrow_mut().map(|mut held| std::mem::take(&mut *held)));
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .call(Self::call)
            .repr(Self::repr)
            .getter("__name__", |this: &Obj<Self>, _py: Python<'_>| this.name, "")
            .getter("__qualname__", |this: &Obj<Self>, _py: Python<'_>| this.name, "");
    }
}
