//! What all native coroutines have in common: their base class, which marks them, and what Python sees of one.
//!
//! Each kind is a state machine of its own ([`NativeCoroutine`]); the attributes, the rules of `throw()` and `close()`
//! in each phase, and the warning of a coroutine that was never awaited are written here once, as CPython has them for
//! `async def`.

use std::cell::RefCell;

use ferrio_object::{Any, Args, Class, ClassBuilder, GilStatic, Obj, ObjCell, Sent, ThreadState, WeakList};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Where a coroutine stands in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Created,
    Suspended,
    Running,
    Closed,
}

impl Phase {
    /// The name that `inspect` has for it.
    fn name(self) -> &'static str {
        match self {
            Phase::Created => "CORO_CREATED",
            Phase::Suspended => "CORO_SUSPENDED",
            Phase::Running => "CORO_RUNNING",
            Phase::Closed => "CORO_CLOSED",
        }
    }
}

/// The base of every native coroutine's class. That it is the base is what marks the class ([`is_native`]).
pub struct Native {
    /// `cr_origin`, where origins are tracked.
    origin: ObjCell,
    weaklist: WeakList,
}

impl Native {
    #[inline]
    pub(crate) fn new(py: Python<'_>) -> Native {
        let depth = ThreadState::origin_tracking_depth(py);
        let origin = if depth > 0 { made_here(py, depth) } else { None };
        Native { origin: origin.into(), weaklist: WeakList::new() }
    }
}

#[cold]
fn made_here(py: Python<'_>, depth: i32) -> Option<Obj> {
    // Only memory can be short; the coroutine itself is not to fail by that.
    ferrio_object::origin(py, depth).map_err(|err| ferrio_object::swallow(py, err)).ok()
}

/// The code objects that stand for native coroutines, by qualified name.
static CODES: GilStatic<RefCell<Vec<(&'static str, Obj)>>> = GilStatic::new(RefCell::new(Vec::new()));

/// `cr_code`: no code runs, it tells tools what the coroutine is called and that it is one.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn code(py: Python<'_>, qualname: &'static str) -> PyResult<Obj> {
    let known =
        CODES.get(py).borrow().iter().find(|(name, _)| *name == qualname).map(|(_, code)| code.clone());
    if let Some(code) = known {
        return Ok(code);
    }
    let builtins = crate::imported::module(py, "builtins")?;
    let module = builtins.call_method1("compile", ("async def coroutine(): pass", FILE_NAME, "exec"))?;
    let code = module.getattr("co_consts")?.get_item(0)?;
    let kwargs = PyDict::new(py);
    kwargs.set_item("co_name", bare(qualname))?;
    kwargs.set_item("co_qualname", qualname)?;
    let code = Obj::from(code.call_method("replace", (), Some(&kwargs))?);
    CODES.get(py).borrow_mut().push((qualname, code.clone()));
    Ok(code)
}

/// `co_filename`: no file, as what `exec` runs has none.
pub(crate) const FILE_NAME: &str = "<ferrio>";

/// `cr_frame`: nothing once the coroutine has ended.
fn frame<T: NativeCoroutine>(this: &Obj<T>, py: Python<'_>) -> PyResult<Option<Obj>> {
    if this.phase() == Phase::Closed {
        return Ok(None);
    }
    let code = code(py, this.qualname())?;
    let globals = PyDict::new(py);
    globals.set_item("__name__", "ferrio")?;
    globals.set_item("__builtins__", crate::imported::module(py, "builtins")?)?;
    ferrio_object::standing_frame(py, code.bind(py).cast()?, &globals).map(Some)
}

fn bare(qualname: &str) -> &str {
    qualname.rsplit('.').next().unwrap_or(qualname)
}

/// `__class__`: what `isinstance` asks when the type's word is not enough, so that native coroutines are
/// `types.CoroutineType` to `inspect` and everybody else.
fn coroutine_type<T: NativeCoroutine>(_this: &Obj<T>, py: Python<'_>) -> PyResult<Obj> {
    Ok(crate::imported::module(py, "types")?.getattr("CoroutineType")?.into())
}

/// Whether `obj` is a coroutine of ours, whichever kind.
#[inline]
pub(crate) fn is_native(obj: &Obj) -> bool {
    obj.is_child_of::<Native>()
}

/// One kind of native coroutine.
pub(crate) trait NativeCoroutine: Class<Base = Native> {
    fn phase(&self) -> Phase;

    /// `__qualname__`.
    fn qualname(&self) -> &'static str;

    /// `cr_await`: what it waits for.
    fn awaited(&self, py: Python<'_>) -> Option<Obj>;

    /// What it drives while it runs, where that is known: asked when the call graph is captured from within.
    fn driven(&self, py: Python<'_>) -> Option<Obj> {
        self.awaited(py)
    }

    /// `send()`, in any phase.
    ///
    /// # Errors
    /// What the coroutine raises; [`reused`], [`executing`], [`just_started`].
    fn send(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent>;

    /// `throw()` into a coroutine that is suspended.
    ///
    /// # Errors
    /// What the coroutine raises.
    fn throw_suspended(this: &Obj<Self>, py: Python<'_>, err: PyErr) -> PyResult<Sent>;

    /// `close()` of a coroutine that is suspended.
    ///
    /// # Errors
    /// What the coroutine raises.
    fn close_suspended(this: &Obj<Self>, py: Python<'_>) -> PyResult<()>;

    /// Ends a coroutine that has not begun, and lets go of what it was given.
    fn finish(&self);

    /// Ends a coroutine that is suspended and of which nobody has a reference any more.
    ///
    /// # Errors
    /// What it raises on the way; it is reported.
    fn abandon(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        Self::close_suspended(this, py)
    }
}

/// `throw()` with an error in hand.
///
/// # Errors
/// What comes out of the coroutine.
pub(crate) fn throw_error<T: NativeCoroutine>(this: &Obj<T>, py: Python<'_>, err: PyErr) -> PyResult<Sent> {
    match this.phase() {
        Phase::Created => {
            // Nothing has begun, so there is no await point at which the error could arrive.
            this.finish();
            Err(err)
        }
        Phase::Suspended => T::throw_suspended(this, py, err),
        Phase::Running => Err(executing()),
        Phase::Closed => Err(reused()),
    }
}

fn throw<T: NativeCoroutine>(this: &Obj<T>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Sent> {
    let err = super::thrown_error(py, &args)?;
    throw_error(this, py, err)
}

fn close<T: NativeCoroutine>(this: &Obj<T>, py: Python<'_>) -> PyResult<()> {
    match this.phase() {
        Phase::Created => {
            this.finish();
            Ok(())
        }
        Phase::Suspended => T::close_suspended(this, py),
        Phase::Running => Err(executing()),
        Phase::Closed => Ok(()),
    }
}

/// `Class::finalize` of every kind.
pub(crate) fn finalize<T: NativeCoroutine>(this: &Obj<T>, py: Python<'_>) {
    let outcome = match this.phase() {
        Phase::Created => {
            // The warning shows it as it was.
            let warned = never_awaited(this.as_any(), py);
            this.finish();
            warned
        }
        Phase::Suspended => T::abandon(this, py),
        Phase::Running | Phase::Closed => Ok(()),
    };
    if let Err(err) = outcome {
        err.write_unraisable(py, Some(this.bind(py)));
    }
}

/// Warns of a coroutine that nobody awaited, through the function that CPython calls for those made by `async def`.
fn never_awaited(coro: &Obj, py: Python<'_>) -> PyResult<()> {
    crate::imported::module(py, "warnings")?.call_method1("_warn_unawaited_coroutine", (coro,)).map(drop)
}

/// Fills in what Python sees of a native coroutine.
pub(crate) fn define<T: NativeCoroutine>(class: &mut ClassBuilder<T>) {
    class
        .repr(|this: &Obj<T>, _py: Python<'_>| {
            format!("<coroutine object {} at {:p}>", this.qualname(), this.as_ptr())
        })
        // CPython refuses a second `await` at the `await` itself, before it touches the first.
        .await_itself_if(|this: &T| this.phase() != Phase::Suspended, awaited_already)
        // For `yield from` in a generator made awaitable by `types.coroutine`.
        .iter_itself()
        .send(T::send)
        .throw(throw::<T>)
        .method0("close", close::<T>, "close($self, /)\n--\n\nEnd the coroutine where it is suspended.")
        .getter("__name__", |this: &Obj<T>, _py: Python<'_>| bare(this.qualname()), "")
        .getter("__qualname__", |this: &Obj<T>, _py: Python<'_>| this.qualname(), "")
        .getter("cr_running", |this: &Obj<T>, _py: Python<'_>| this.phase() == Phase::Running, "")
        .getter("cr_suspended", |this: &Obj<T>, _py: Python<'_>| this.phase() == Phase::Suspended, "")
        .getter("cr_await", |this: &Obj<T>, py: Python<'_>| this.awaited(py), "")
        .getter("cr_frame", frame::<T>, "")
        .getter("cr_code", |this: &Obj<T>, py: Python<'_>| code(py, this.qualname()), "")
        .getter("cr_origin", |this: &Obj<T>, _py: Python<'_>| this.base().origin.get(), "")
        .getter("__class__", coroutine_type::<T>, "");
    // What `inspect.getcoroutinestate()` returns there.
    if cfg!(Py_3_15) {
        class.getter("cr_state", |this: &Obj<T>, _py: Python<'_>| this.phase().name(), "");
    }
}

#[cold]
pub(crate) fn reused() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited coroutine")
}

#[cold]
pub(crate) fn awaited_already() -> PyErr {
    PyRuntimeError::new_err("coroutine is being awaited already")
}

#[cold]
pub(crate) fn executing() -> PyErr {
    PyValueError::new_err("coroutine already executing")
}

#[cold]
pub(crate) fn just_started() -> PyErr {
    PyTypeError::new_err("can't send non-None value to a just-started coroutine")
}

impl Class for Native {
    type Base = Any;
    ferrio_object::fields!(Native { origin, weaklist: WeakList });
    const NAME: &'static str = "ferrio._ferrio.native_coroutine";
    const DOC: &'static str = "The base of ferrio's own coroutines.";
    // Some kinds hold no reference to anything but strings and do without.
    const GC: bool = false;
    const SUBCLASS: bool = true;
    const NEW: bool = false;

    fn blank() -> Self {
        Native { origin: ObjCell::empty(), weaklist: WeakList::new() }
    }

    fn define(_class: &mut ClassBuilder<Self>) {}
}
