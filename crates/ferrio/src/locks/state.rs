//! Copies and pickles of locks and queues: `__getstate__`, `__setstate__`, `__reduce_ex__`.
//!
//! asyncio's are Python objects, which `copy` and `pickle` take apart by their `__dict__`. Here it is taken together:
//! the object's own `__dict__`, and what asyncio keeps in it, under asyncio's names. What cannot be copied or pickled
//! there (a future that somebody waits for, the loop that the primitive is bound to) is in it too, and is refused.

use ferrio_object::{Class, ClassBuilder, Obj};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use super::Waiters;

/// A class whose objects can be copied and pickled.
pub(crate) trait Stateful: Class {
    /// The attributes that an object is made of.
    const STATE: &'static [&'static str];
}

/// Declares what `copy` and `pickle` ask for.
pub(crate) fn define<T: Stateful>(class: &mut ClassBuilder<T>) {
    class.method0("__getstate__", getstate::<T>, "").method1("__setstate__", setstate::<T>, "").method1(
        "__reduce_ex__",
        reduce_ex::<T>,
        "",
    );
}

fn getstate<T: Stateful>(this: &Obj<T>, py: Python<'_>) -> PyResult<Obj> {
    let obj = this.bind(py);
    let state = obj.getattr(intern!(py, "__dict__"))?.call_method0(intern!(py, "copy"))?;
    for name in T::STATE {
        // A queue whose `_init()` is somebody else's need not have its items here.
        let Some(value) = obj.getattr_opt(*name)? else { continue };
        let value = match Obj::<Waiters>::from_bound(&value) {
            Some(waiters) => waiters.deque(py)?,
            None => value,
        };
        state.set_item(name, value)?;
    }
    let bound_to = obj.getattr(intern!(py, "_loop"))?;
    if !bound_to.is_none() {
        state.set_item(intern!(py, "_loop"), bound_to)?;
    }
    Ok(state.into())
}

fn setstate<T: Stateful>(this: &Obj<T>, py: Python<'_>, state: &Bound<'_, PyAny>) -> PyResult<()> {
    for (name, value) in state.cast::<PyDict>()?.copy()?.iter() {
        this.bind(py).setattr(name.cast_into()?, value)?;
    }
    Ok(())
}

/// `object.__reduce_ex__` takes objects with contents for what cannot be pickled before protocol 2.
fn reduce_ex<T: Stateful>(this: &Obj<T>, py: Python<'_>, protocol: &Bound<'_, PyAny>) -> PyResult<Obj> {
    let (obj, object) = (this.bind(py), py.get_type::<PyAny>());
    if protocol.ge(2)? {
        return Ok(object.call_method1(intern!(py, "__reduce_ex__"), (obj, protocol))?.into());
    }
    let name = intern!(py, "__reduce__");
    let class: Bound<'_, PyType> = obj.get_type();
    if !class.getattr(name)?.is(&object.getattr(name)?) {
        return Ok(obj.call_method0(name)?.into());
    }
    let make = crate::imported::module(py, "copyreg")?.getattr("__newobj__")?;
    let state = obj.call_method0(intern!(py, "__getstate__"))?;
    Ok((make, (class,), state).into_pyobject(py)?.into_any().into())
}
