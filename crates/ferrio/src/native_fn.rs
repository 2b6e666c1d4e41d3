//! Python callables made from Rust functions: the callbacks that asyncio writes as nested functions and partials.
//!
//! The body is a plain `fn`; what it works with is handed to it as a slice of objects, so that the garbage collector
//! sees every reference that the callable keeps alive.

use std::cell::RefCell;

use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Signature, WeakList};
use pyo3::prelude::*;
use smallvec::SmallVec;

type Body = fn(Python<'_>, &[Obj], Args<'_, '_>) -> PyResult<()>;
type DoneCallback = fn(Python<'_>, &[Obj], &Bound<'_, PyAny>) -> PyResult<()>;
type Held = SmallVec<[Obj; 3]>;

#[derive(Clone, Copy)]
enum Code {
    /// Cleared, or never given any.
    Empty,
    /// Any arguments, returns `None`.
    Plain(Body),
    /// A future's done-callback: one argument, the future.
    DoneCallback(DoneCallback),
}

/// The contents of a callable.
pub struct NativeFn {
    name: &'static str,
    code: Code,
    held: RefCell<Held>,
    /// The future that this done-callback resolves: what awaits it awaits the futures that this is a callback of too, in
    /// the call graph. Or the task itself that awaits them.
    resolves: ObjCell,
    weaklist: WeakList,
}

fn make(py: Python<'_>, name: &'static str, held: Vec<Obj>, code: Code) -> PyResult<Obj<NativeFn>> {
    let held = RefCell::new(Held::from_vec(held));
    let contents = NativeFn { name, code, held, resolves: ObjCell::empty(), weaklist: WeakList::new() };
    Obj::create(py, ((), contents))
}

/// A callable named `name` that runs `body` with `held` and the arguments of the call, and returns `None`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn function(py: Python<'_>, name: &'static str, held: Vec<Obj>, body: Body) -> PyResult<Obj> {
    Ok(make(py, name, held, Code::Plain(body))?.into_any())
}

/// A done-callback. Futures of ours call it natively (`future_likes::on_done`), others call it.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn done_callback(
    py: Python<'_>,
    name: &'static str,
    held: Vec<Obj>,
    body: DoneCallback,
) -> PyResult<Obj<NativeFn>> {
    make(py, name, held, Code::DoneCallback(body))
}

impl NativeFn {
    /// Notes which future the callback resolves, or which task it is to wake in the end.
    pub(crate) fn set_resolves<T: 'static>(&self, fut: &Obj<T>) {
        self.resolves.set(Some(fut.as_any().clone()));
    }

    /// The future that the callback resolves, or the task that it is to wake, where that was noted.
    pub(crate) fn resolves(&self) -> Option<Obj> {
        self.resolves.get()
    }

    /// Calls a done-callback.
    ///
    /// # Errors
    /// What the body raises.
    #[inline]
    pub(crate) fn call_with(this: &Obj<Self>, py: Python<'_>, fut: &Obj) -> PyResult<()> {
        let Code::DoneCallback(body) = this.code else { return Ok(()) };
        // A copy, since the call may drop the callable itself.
        let held = this.held.borrow().clone();
        body(py, &held, fut.bind(py))
    }

    fn call(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        let held = this.held.borrow().clone();
        match this.code {
            Code::Empty => {}
            Code::Plain(body) => body(py, &held, args)?,
            Code::DoneCallback(body) => {
                let [fut] = args.bind(&Signature::new("done_callback", ["future"]))?;
                if let Some(fut) = fut {
                    body(py, &held, fut)?;
                }
            }
        }
        Ok(Obj::none(py))
    }

    fn repr(this: &Obj<Self>, _py: Python<'_>) -> String {
        format!("<function {} at {:p}>", this.name, this.as_ptr())
    }
}

impl Class for NativeFn {
    type Base = Any;
    ferrio_object::fields!(NativeFn { name, code, held, resolves, weaklist: WeakList });
    const NAME: &'static str = "ferrio._ferrio._callback";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        NativeFn {
            name: "",
            code: Code::Empty,
            held: RefCell::new(Held::new()),
            resolves: ObjCell::empty(),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .call(Self::call)
            .repr(Self::repr)
            .getter("__name__", |this: &Obj<Self>, _py: Python<'_>| this.name.rsplit('.').next(), "")
            .getter("__qualname__", |this: &Obj<Self>, _py: Python<'_>| this.name, "");
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<NativeFn>(module)
}
