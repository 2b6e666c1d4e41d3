//! `tasks._current_tasks`: the current task by loop, for programs that take it away and put it back.
//!
//! `nest_asyncio` runs a loop inside of a task, and takes the current task away for as long as another is stepped. asyncio
//! has a dict; here each loop has its own task, and this stands before them. The mapping's methods that follow from
//! these five come with the abstract class in `ferrio.tasks`.

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, Signature};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::registry;
use crate::event_loop::{LoopRef, running};

/// The mapping. It holds nothing itself.
pub struct CurrentTasks {
    nothing: (),
}

impl CurrentTasks {
    fn get(_this: &Obj<Self>, py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<Obj> {
        registry::current(py, &LoopRef::new(event_loop))?
            .ok_or_else(|| PyKeyError::new_err(event_loop.clone().unbind()))
    }

    fn set(_this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [event_loop, task] = args.bind(&Signature::new("__setitem__", ["loop", "task"]))?;
        let Some(event_loop) = event_loop else { return Ok(()) };
        let task = Obj::unless_none(task);
        let old = registry::swap_current(py, &LoopRef::new(event_loop), task)?;
        drop(old);
        Ok(())
    }

    fn delete(this: &Obj<Self>, py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::get(this, py, event_loop)?;
        let old = registry::swap_current(py, &LoopRef::new(event_loop), None)?;
        drop(old);
        Ok(())
    }

    /// The loops that are in a task, as far as this thread can see.
    fn loops(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
        let loops = PyList::empty(py);
        if let Some(event_loop) = running::get(py)
            && registry::current(py, &LoopRef::new(event_loop.bind(py)))?.is_some()
        {
            loops.append(event_loop)?;
        }
        for other in registry::foreign_loops(py)? {
            if !loops.contains(&other)? {
                loops.append(other)?;
            }
        }
        Ok(loops)
    }
}

impl Class for CurrentTasks {
    type Base = Any;
    ferrio_object::fields!(CurrentTasks { nothing });
    const NAME: &'static str = "ferrio._ferrio._CurrentTasks";
    const DOC: &'static str = "The current task by loop.";

    fn blank() -> Self {
        CurrentTasks { nothing: () }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .method1("__getitem__", Self::get, "")
            .method("__setitem__", Self::set, "")
            .method1("__delitem__", Self::delete, "")
            .method0(
                "__iter__",
                |_this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> {
                    Ok(Self::loops(py)?.try_iter()?.into_any().into())
                },
                "",
            )
            .method0(
                "__len__",
                |_this: &Obj<Self>, py: Python<'_>| -> PyResult<usize> { Ok(Self::loops(py)?.len()) },
                "",
            );
    }
}
