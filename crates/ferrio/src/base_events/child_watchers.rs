//! The child watchers that asyncio had until Python 3.13, under their names: whatever watcher it is, the loop notices the
//! end of a child as it does that of its own.

use std::cell::RefCell;

use ferrio_core::driver::child::Child;
use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Signature};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::children::{self, HasChild};
use super::spawning;
use crate::event_loop::{Loop, running};

/// The contents of a child that was given to a watcher.
pub struct WatchedChild {
    child: RefCell<Option<Child>>,
    callback: ObjCell,
    args: RefCell<Vec<Obj>>,
    event_loop: ObjCell<Loop>,
    /// The dict of the watcher in which it is.
    known: ObjCell,
}

impl HasChild for WatchedChild {
    fn with_child<R>(&self, f: impl FnOnce(&mut Child) -> R) -> Option<R> {
        self.child.borrow_mut().as_mut().map(f)
    }

    fn ended(
        this: &Obj<Self>,
        py: Python<'_>,
        _event_loop: &Obj<Loop>,
        pid: i32,
        returncode: i32,
    ) -> PyResult<()> {
        if let Some(known) = this.known.take() {
            known.bind(py).call_method1(intern!(py, "pop"), (pid, py.None()))?;
        }
        let Some(callback) = this.callback.take() else { return Ok(()) };
        let pid = Obj::from(pid.into_pyobject(py)?);
        let returncode = Obj::from(returncode.into_pyobject(py)?);
        let args = [pid, returncode].into_iter().chain(this.args.take());
        callback.bind(py).call1(PyTuple::new(py, args.collect::<Vec<_>>())?).map(drop)
    }
}

impl Class for WatchedChild {
    type Base = Any;
    ferrio_object::fields!(WatchedChild { child: unowned, callback, args, event_loop, known });
    const NAME: &'static str = "ferrio._ferrio._WatchedChild";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        WatchedChild {
            child: RefCell::new(None),
            callback: ObjCell::empty(),
            args: RefCell::new(Vec::new()),
            event_loop: ObjCell::empty(),
            known: ObjCell::empty(),
        }
    }

    fn define(_class: &mut ClassBuilder<Self>) {}
}

/// The contents of a watcher.
pub struct ChildWatcher {
    event_loop: ObjCell,
    /// Children by their numbers: a dict.
    children: ObjCell,
}

impl ChildWatcher {
    fn children<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let children = match self.children.get() {
            Some(children) => children,
            None => {
                let children = Obj::from(PyDict::new(py));
                self.children.set(Some(children.clone()));
                children
            }
        };
        Ok(children.into_bound(py).cast_into()?)
    }

    /// `add_child_handler(pid, callback, *args)`.
    fn add(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let ([pid, callback], rest) =
            args.bind_rest(&Signature::new("add_child_handler", ["pid", "callback"]))?;
        let (Some(number), Some(callback)) = (pid, callback) else { return Ok(()) };
        let event_loop = match this.event_loop.get() {
            Some(attached) => attached,
            None => running::get_running_loop(py)?,
        };
        let Some(event_loop) = event_loop.cast::<Loop>() else {
            return Err(PyTypeError::new_err("a watcher of ferrio's needs a loop of ferrio's"));
        };
        Self::forget(this, py, number)?;
        let child = WatchedChild::blank();
        child.child.replace(Some(Child::adopt(number.extract()?, spawning::way_of_watching()?)));
        child.callback.set(Some(callback.into()));
        child.args.replace(rest.into_iter().map(Obj::from).collect());
        child.event_loop.set(Some(event_loop.clone()));
        let child: Obj<WatchedChild> = Obj::create(py, ((), child))?;
        let children = this.children(py)?;
        children.set_item(number, &child)?;
        child.known.set(Some(children.into()));
        children::watch(event_loop, py, &child)
    }

    /// `remove_child_handler(pid)`: whether it was watched.
    fn forget(this: &Obj<Self>, py: Python<'_>, pid: &Bound<'_, PyAny>) -> PyResult<bool> {
        let children = this.children(py)?;
        let Some(child) = children.get_item(pid)? else { return Ok(false) };
        children.del_item(pid)?;
        if let Some(child) = Obj::<WatchedChild>::from_bound(&child) {
            child.callback.set(None);
            child.known.set(None);
            if let Some(event_loop) = child.event_loop.take() {
                children::unwatch(&event_loop, child);
            }
        }
        Ok(true)
    }

    fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.event_loop.set(None);
        for pid in this.children(py)?.keys() {
            Self::forget(this, py, &pid)?;
        }
        Ok(())
    }
}

impl Class for ChildWatcher {
    type Base = Any;
    ferrio_object::fields!(ChildWatcher { event_loop, children });
    const NAME: &'static str = "ferrio._ferrio._ChildWatcher";
    const DOC: &'static str = "The native part of a child watcher.";

    fn blank() -> Self {
        ChildWatcher { event_loop: ObjCell::empty(), children: ObjCell::empty() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .method(
                "add_child_handler",
                Self::add,
                "add_child_handler($self, pid, callback, *args)\n--\n\n\
                Call callback(pid, returncode, *args) when the process has ended.",
            )
            .method1_named(
                "remove_child_handler",
                Self::forget,
                || Signature::new("remove_child_handler", ["pid"]),
                "remove_child_handler($self, /, pid)\n--\n\n\
                Forget a process; returns whether it was watched.",
            )
            .method1_named(
                "attach_loop",
                |this: &Obj<Self>, _py: Python<'_>, event_loop: &Bound<'_, PyAny>| {
                    this.event_loop.set(Obj::unless_none(Some(event_loop)));
                },
                || Signature::new("attach_loop", ["loop"]),
                "attach_loop($self, /, loop)\n--\n\nUse that loop, or with None the one that runs.",
            )
            .method0("close", Self::close, "close($self, /)\n--\n\nForget all processes.")
            .method0(
                "is_active",
                |_this: &Obj<Self>, _py: Python<'_>| true,
                "is_active($self, /)\n--\n\nTrue.",
            )
            .method0("__enter__", |this: &Obj<Self>, _py: Python<'_>| this.clone(), "")
            .method("__exit__", |_this: &Obj<Self>, _py: Python<'_>, _args: Args<'_, '_>| (), "")
            .getter("_loop", |this: &Obj<Self>, _py: Python<'_>| this.event_loop.get(), "")
            .getter(
                "_callbacks",
                |this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> { Ok(this.children(py)?.into()) },
                "",
            )
            .getter(
                "_threads",
                |this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> { Ok(this.children(py)?.into()) },
                "",
            );
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(super) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<WatchedChild>(module)?;
    ClassDef::add::<ChildWatcher>(module)
}
