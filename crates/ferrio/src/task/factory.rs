//! Task factories that start tasks eagerly (since asyncio 3.12, here on every Python).

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Task;
use crate::native_fn;

/// `factory(loop, coro, *, eager_start=True, **kwargs)`.
fn make(py: Python<'_>, constructor: &Obj, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<3> =
        Signature::new("factory", ["loop", "coro", "eager_start"]).positional(2).required(2);
    let ([event_loop, coro, eager], rest, kwargs) = args.bind_all(&SIGNATURE)?;
    if !rest.is_empty() {
        return Err(PyTypeError::new_err("a task factory takes 2 positional arguments"));
    }
    let kwargs = kwargs.unwrap_or_else(|| PyDict::new(py));
    kwargs.set_item(intern!(py, "loop"), event_loop)?;
    match eager {
        Some(eager) if !eager.is_none() => kwargs.set_item(intern!(py, "eager_start"), eager)?,
        _ => kwargs.set_item(intern!(py, "eager_start"), true)?,
    }
    Ok(constructor.bind(py).call((coro,), Some(&kwargs))?.into())
}

pub(crate) fn py_create_eager_task_factory(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [constructor] =
        args.bind(&Signature::new("create_eager_task_factory", ["custom_task_constructor"]))?;
    let held = constructor.map(Obj::from).into_iter().collect();
    native_fn::returning(py, "create_eager_task_factory.<locals>.factory", held, |py, held, args| {
        held.first().map_or_else(|| Ok(Obj::none(py)), |constructor| make(py, constructor, args))
    })
}

pub(crate) fn py_eager_task_factory(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    make(py, &ClassDef::type_object::<Task>(py), args)
}
