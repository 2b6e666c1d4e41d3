//! A coroutine of so many steps, behind `send`, `throw`, `__next__` and `am_send`.

use std::cell::Cell;

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell, Sent, Signature};
use pyo3::prelude::*;

use super::Alive;

/// Yields what it is sent `left` times (0, 1 … counted as ints for `None`), then returns `result`.
pub struct Steps {
    left: Cell<usize>,
    result: ObjCell,
    _alive: Alive,
}

impl Steps {
    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<2> = Signature::new("Steps", ["left", "result"]).required(1);
        let [left, result] = args.bind(&SIGNATURE)?;
        this.left.set(left.unwrap().extract()?);
        this.result.set(result.map(Obj::from));
        Ok(())
    }

    fn step(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        if let Some(left) = this.left.get().checked_sub(1) {
            this.left.set(left);
            return Ok(Sent::Next(value.map_or_else(|| Obj::none(py), Obj::from)));
        }
        Ok(Sent::Return(this.result.get().unwrap_or_else(|| Obj::none(py))))
    }

    /// A class or an instance is raised; anything else is returned.
    fn throw(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Sent> {
        const SIGNATURE: Signature<3> = Signature::new("throw", ["typ", "val", "tb"]).required(1);
        let [exc, ..] = args.bind(&SIGNATURE)?;
        let exc = Obj::from(exc.unwrap());
        this.left.set(0);
        if exc.bind(py).is_instance_of::<pyo3::types::PyString>() {
            return Ok(Sent::Return(exc));
        }
        Err(ferrio_object::raise(py, &exc))
    }
}

impl Class for Steps {
    type Base = Any;
    ferrio_object::fields!(Steps { left, result, _alive });
    const NAME: &'static str = "objects.Steps";
    const DOC: &'static str = "";

    fn blank() -> Self {
        Steps { left: Cell::new(0), result: ObjCell::empty(), _alive: Alive::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.init(Self::init).iter_itself().await_itself().send(Self::step).throw(Self::throw);
    }
}
