//! What stands for the frame of native code in a call graph.
//!
//! A coroutine written in Rust runs no Python code and so has no frame that the interpreter could tell it by. A real frame
//! object can be made (`cr_frame` is one), but its `f_generator` would be None, and tools would take it for a plain
//! function's. So an entry of the graph holds an object with a frame's attributes. Where asyncio has several coroutines
//! in place of one of ours, the inner ones have no object either, and [`Inner`] stands for each.

use ferrio_object::{Any, Class, ClassBuilder, ClassDef, Obj, ObjCell, WeakList};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::coroutines;
use crate::imported;

/// The contents of a frame.
pub struct NativeFrame {
    code: ObjCell,
    /// The coroutine that it is the frame of; none for a function.
    coro: ObjCell,
    weaklist: WeakList,
}

/// The contents of a coroutine that stands for one of asyncio's.
pub struct Inner {
    code: ObjCell,
    awaited: ObjCell,
    weaklist: WeakList,
}

/// The frame of a native coroutine or, without one, of a native function.
///
/// # Errors
/// `MemoryError`.
pub(super) fn frame(py: Python<'_>, qualname: &'static str, coro: Option<Obj>) -> PyResult<Obj> {
    let contents = NativeFrame {
        code: ObjCell::new(coroutines::code(py, qualname)?),
        coro: coro.into(),
        weaklist: WeakList::new(),
    };
    Ok(Obj::<NativeFrame>::create(py, ((), contents))?.into_any())
}

/// The frame of a coroutine of asyncio's that a native one has no object for.
///
/// # Errors
/// `MemoryError`.
pub(super) fn inner_frame(py: Python<'_>, qualname: &'static str, awaited: Option<Obj>) -> PyResult<Obj> {
    let contents = Inner {
        code: ObjCell::new(coroutines::code(py, qualname)?),
        awaited: awaited.into(),
        weaklist: WeakList::new(),
    };
    let coro = Obj::<Inner>::create(py, ((), contents))?.into_any();
    frame(py, qualname, Some(coro))
}

fn globals(py: Python<'_>) -> PyResult<Obj> {
    let globals = PyDict::new(py);
    globals.set_item("__name__", "ferrio")?;
    globals.set_item("__builtins__", imported::module(py, "builtins")?)?;
    Ok(globals.into_any().into())
}

fn first_line(this: &Obj<NativeFrame>, py: Python<'_>) -> PyResult<Option<Obj>> {
    let Some(code) = this.code.get() else { return Ok(None) };
    Ok(Some(code.bind(py).getattr(intern!(py, "co_firstlineno"))?.into()))
}

fn types_name(py: Python<'_>, name: &str) -> PyResult<Obj> {
    Ok(imported::module(py, "types")?.getattr(name)?.into())
}

fn name_of(code: &ObjCell, py: Python<'_>, attribute: &str) -> PyResult<Option<Obj>> {
    let Some(code) = code.get() else { return Ok(None) };
    Ok(Some(code.bind(py).getattr(attribute)?.into()))
}

impl Class for NativeFrame {
    type Base = Any;
    ferrio_object::fields!(NativeFrame { code, coro, weaklist: WeakList });
    const NAME: &'static str = "ferrio._ferrio.frame";
    const DOC: &'static str = "Stands for the frame of a native coroutine or function in a call graph.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        NativeFrame { code: ObjCell::empty(), coro: ObjCell::empty(), weaklist: WeakList::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .repr(|this: &Obj<Self>, py: Python<'_>| {
                let name = name_of(&this.code, py, "co_name")?;
                PyResult::Ok(format!(
                    "<frame at {:p}, file '{}', line 1, code {}>",
                    this.as_ptr(),
                    coroutines::FILE_NAME,
                    name.map_or_else(String::new, |name| name.bind(py).to_string())
                ))
            })
            .method0("clear", |_this: &Obj<Self>, _py: Python<'_>| (), "clear($self, /)\n--\n\n")
            .getter("f_back", |_this: &Obj<Self>, _py: Python<'_>| None::<Obj>, "")
            .getter("f_builtins", |_this: &Obj<Self>, py: Python<'_>| builtins(py), "")
            .getter("f_code", |this: &Obj<Self>, _py: Python<'_>| this.code.get(), "")
            .getter("f_generator", |this: &Obj<Self>, _py: Python<'_>| this.coro.get(), "")
            .getter("f_globals", |_this: &Obj<Self>, py: Python<'_>| globals(py), "")
            .getter("f_lasti", |_this: &Obj<Self>, _py: Python<'_>| 0_i64, "")
            .getter("f_lineno", first_line, "")
            .getter("f_locals", |_this: &Obj<Self>, py: Python<'_>| Obj::from(PyDict::new(py).into_any()), "")
            .getter("f_trace", |_this: &Obj<Self>, _py: Python<'_>| None::<Obj>, "")
            .getter("f_trace_lines", |_this: &Obj<Self>, _py: Python<'_>| true, "")
            .getter("f_trace_opcodes", |_this: &Obj<Self>, _py: Python<'_>| false, "")
            .getter("__class__", |_this: &Obj<Self>, py: Python<'_>| types_name(py, "FrameType"), "");
    }
}

fn builtins(py: Python<'_>) -> PyResult<Obj> {
    Ok(imported::module(py, "builtins")?.getattr(intern!(py, "__dict__"))?.into())
}

impl Class for Inner {
    type Base = Any;
    ferrio_object::fields!(Inner { code, awaited, weaklist: WeakList });
    const NAME: &'static str = "ferrio._ferrio.inner_coroutine";
    const DOC: &'static str =
        "Stands in a call graph for a coroutine of asyncio's that is part of a native one.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        Inner { code: ObjCell::empty(), awaited: ObjCell::empty(), weaklist: WeakList::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .getter("__name__", |this: &Obj<Self>, py: Python<'_>| name_of(&this.code, py, "co_name"), "")
            .getter(
                "__qualname__",
                |this: &Obj<Self>, py: Python<'_>| name_of(&this.code, py, "co_qualname"),
                "",
            )
            .getter("cr_await", |this: &Obj<Self>, _py: Python<'_>| this.awaited.get(), "")
            .getter("cr_code", |this: &Obj<Self>, _py: Python<'_>| this.code.get(), "")
            .getter("cr_frame", |_this: &Obj<Self>, _py: Python<'_>| None::<Obj>, "")
            .getter("cr_origin", |_this: &Obj<Self>, _py: Python<'_>| None::<Obj>, "")
            .getter("cr_running", |_this: &Obj<Self>, _py: Python<'_>| false, "")
            .getter("cr_suspended", |_this: &Obj<Self>, _py: Python<'_>| true, "")
            .getter("__class__", |_this: &Obj<Self>, py: Python<'_>| types_name(py, "CoroutineType"), "");
        if cfg!(Py_3_15) {
            class.getter("cr_state", |_this: &Obj<Self>, _py: Python<'_>| "CORO_SUSPENDED", "");
        }
    }
}

/// Adds the classes to the extension.
///
/// # Errors
/// `MemoryError`.
pub(super) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<NativeFrame>(module)?;
    ClassDef::add::<Inner>(module)
}
