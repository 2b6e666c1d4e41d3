//! Task factories that start tasks eagerly (since asyncio 3.12, here on every Python).
//!
//! asyncio's are closures written in Python, and that shows: a library that needs a task which is not eager (anyio's
//! task groups) knows such a factory by its `__code__`, and takes the constructor out of its `__closure__`. So a factory
//! has both here.

use std::cell::OnceCell;

use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, GilStatic, Obj, ObjCell, Signature, WeakList};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::code::PyCodeInput;
use pyo3::types::{PyCode, PyDict, PyTuple};

use super::Task;

/// The contents of a factory.
pub struct EagerFactory {
    constructor: ObjCell,
    weaklist: WeakList,
}

impl EagerFactory {
    fn create(py: Python<'_>, constructor: Obj) -> PyResult<Obj> {
        let contents = EagerFactory { constructor: ObjCell::empty(), weaklist: WeakList::new() };
        contents.constructor.set(Some(constructor));
        Ok(Obj::<EagerFactory>::create(py, ((), contents))?.into_any())
    }

    /// `factory(loop, coro, *, eager_start=True, **kwargs)`.
    fn call(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<3> =
            Signature::new("factory", ["loop", "coro", "eager_start"]).positional(2).required(2);
        let ([event_loop, coro, eager], rest, kwargs) = args.bind_all(&SIGNATURE)?;
        if !rest.is_empty() {
            return Err(PyTypeError::new_err("a task factory takes 2 positional arguments"));
        }
        // Empty only once the garbage collector has taken the factory apart.
        let Some(constructor) = this.constructor.get() else { return Ok(Obj::none(py)) };
        let kwargs = kwargs.unwrap_or_else(|| PyDict::new(py));
        kwargs.set_item(intern!(py, "loop"), event_loop)?;
        match eager {
            Some(eager) if !eager.is_none() => kwargs.set_item(intern!(py, "eager_start"), eager)?,
            _ => kwargs.set_item(intern!(py, "eager_start"), true)?,
        }
        Ok(constructor.bind(py).call((coro,), Some(&kwargs))?.into())
    }

    /// A code object without any code, the same one for all factories.
    fn code(_this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        static CODE: GilStatic<OnceCell<Obj>> = GilStatic::new(OnceCell::new());
        let cell = CODE.get(py);
        if cell.get().is_none() {
            let code = PyCode::compile(py, c"", c"factory", PyCodeInput::File)?;
            // Another thread may have been first while this one compiled; then its code is the one.
            drop(cell.set(code.into_any().into()));
        }
        Ok(cell.get().map_or_else(|| Obj::none(py), Obj::clone))
    }

    fn closure(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        let cell = py.import("types")?.getattr("CellType")?.call1((this.constructor.get(),))?;
        Ok(PyTuple::new(py, [cell])?.into_any().into())
    }
}

impl Class for EagerFactory {
    type Base = Any;
    ferrio_object::fields!(EagerFactory { constructor, weaklist: WeakList });
    const NAME: &'static str = "ferrio._ferrio._eager_task_factory";
    const DOC: &'static str = "A task factory whose tasks run their first step at once (since 3.12): \
        factory(loop, coro, *, eager_start=True, **kwargs).";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        EagerFactory { constructor: ObjCell::empty(), weaklist: WeakList::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .call(Self::call)
            .getter("__name__", |_this: &Obj<Self>, _py: Python<'_>| "factory", "")
            .getter(
                "__qualname__",
                |_this: &Obj<Self>, _py: Python<'_>| "create_eager_task_factory.<locals>.factory",
                "",
            )
            .getter("__code__", Self::code, "")
            .getter("__closure__", Self::closure, "");
    }
}

pub(crate) fn py_create_eager_task_factory(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [constructor] =
        args.bind(&Signature::new("create_eager_task_factory", ["custom_task_constructor"]))?;
    EagerFactory::create(py, Obj::or_none(py, constructor))
}

/// The factory of plain tasks.
pub(crate) fn eager_task_factory(py: Python<'_>) -> PyResult<Obj> {
    EagerFactory::create(py, ClassDef::type_object::<Task>(py))
}
