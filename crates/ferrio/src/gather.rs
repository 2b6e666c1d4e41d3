//! `asyncio.gather`: many awaitables, one future.
//!
//! The children tell the outer future natively: a child that ends queues one small item, and no callback object, no
//! handle and no context is made for it (952 -> 116 ns per child).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use ferrio_object::{Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Signature};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::event_loop::{LoopRef, running};
use crate::future::{self, Callback, Future, State};
use crate::task::{self, Task};
use crate::{exceptions, future_likes, native_fn};

/// What the outer future of a `gather()` adds to a future.
pub struct Gathering {
    /// One per argument, in order; an argument given twice stands here twice.
    children: RefCell<Vec<Obj>>,
    /// Children that have ended, and how many there are to end.
    finished: Cell<usize>,
    expected: Cell<usize>,
    return_exceptions: Cell<bool>,
    cancel_requested: Cell<bool>,
    done_callback: ObjCell,
}

/// Addresses are unlike enough by themselves; a keyed hash took 8 % of a gather of 100.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, address: usize) {
        // The low four bits of an object's address are zero; the multiplication spreads the rest into the top bits,
        // which the table takes its tags from.
        self.0 = (self.0 ^ (address as u64 >> 4)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// `gather()` of objects in hand, in the loop of the running task.
///
/// # Errors
/// As `gather()`.
pub(crate) fn gather_objects(py: Python<'_>, objects: &[Obj], return_exceptions: bool) -> PyResult<Obj> {
    gather(py, objects.iter().map(|obj| obj.bind(py)), return_exceptions)
}

fn gather<'a, 'py: 'a>(
    py: Python<'py>,
    awaitables: impl ExactSizeIterator<Item = &'a Bound<'py, PyAny>>,
    return_exceptions: bool,
) -> PyResult<Obj> {
    if awaitables.len() == 0 {
        let outer = running::loop_or_current(py, None)?.create_future(py)?;
        outer.bind(py).call_method1(intern!(py, "set_result"), (PyList::empty(py),))?;
        return Ok(outer);
    }
    let mut event_loop: Option<LoopRef> = None;
    let mut children: Vec<Obj> = Vec::with_capacity(awaitables.len());
    // Only when something is given twice is the list of distinct arguments needed.
    let mut seen: Vec<(usize, usize)> = Vec::new();
    let few = awaitables.len() <= 16;
    let mut index: HashMap<usize, usize, BuildHasherDefault<AddressHasher>> =
        HashMap::with_capacity_and_hasher(if few { 0 } else { awaitables.len() }, BuildHasherDefault::new());
    let mut distinct: Vec<Obj> = Vec::with_capacity(awaitables.len());
    for (i, awaitable) in awaitables.enumerate() {
        let address = awaitable.as_ptr() as usize;
        let twin = if few {
            seen.iter().find(|(known, _)| *known == address).map(|(_, at)| *at)
        } else {
            index.get(&address).copied()
        };
        if let Some(at) = twin {
            let twin: Obj = children[at].clone();
            children.push(twin);
            continue;
        }
        let child = task::ensure_future(py, awaitable, event_loop.as_ref())?;
        if event_loop.is_none() {
            event_loop = Some(match future_likes::exact(&child) {
                Some(fut) => fut.get_loop()?.clone(),
                None => future_likes::loop_of(py, child.bind(py))?,
            });
        }
        if !child.is_bound(awaitable) {
            // A task made here: when it is dropped pending, the outer future's own report says enough.
            if let Some(made) = child.cast::<Task>() {
                made.log_destroy_pending.set(false);
            } else {
                child.bind(py).setattr(intern!(py, "_log_destroy_pending"), false)?;
            }
        }
        if few {
            seen.push((address, i));
        } else {
            index.insert(address, i);
        }
        distinct.push(child.clone());
        children.push(child);
    }
    let Some(event_loop) = event_loop else { return Err(PyTypeError::new_err("nothing to gather")) };
    let outer = create(py, event_loop, children, distinct.len(), return_exceptions)?;
    // Since 3.12 children that are done already are counted at once, so that a gather of tasks that finished eagerly
    // is done when it is returned.
    let mut done = Vec::new();
    for child in &distinct {
        if cfg!(Py_3_12) && future_likes::is_done(py, child)? {
            done.push(child);
        } else {
            register(py, &outer, child)?;
        }
    }
    for child in done {
        ended(&outer, py, child)?;
    }
    Ok(outer.into_any())
}

fn create(
    py: Python<'_>,
    event_loop: LoopRef,
    children: Vec<Obj>,
    expected: usize,
    return_exceptions: bool,
) -> PyResult<Obj<Gathering>> {
    let debug = event_loop.get_debug(py)?;
    let contents = Gathering {
        children: RefCell::new(children),
        finished: Cell::new(0),
        expected: Cell::new(expected),
        return_exceptions: Cell::new(return_exceptions),
        cancel_requested: Cell::new(false),
        done_callback: ObjCell::empty(),
    };
    let outer: Obj<Gathering> = Obj::create(py, (((), Future::new(event_loop)), contents))?;
    if debug {
        outer.base().source_traceback.set(Some(crate::debug::extract_stack(py)?));
    }
    Ok(outer)
}

fn register(py: Python<'_>, outer: &Obj<Gathering>, child: &Obj) -> PyResult<()> {
    let exact = child.cast_exact::<Task>().map(Obj::base).or_else(|| child.cast_exact::<Future>());
    if let Some(fut) = exact {
        return future::add_callback(fut, py, Callback::Gather(outer.clone()));
    }
    let callback = done_callable(py, outer)?;
    child.bind(py).call_method1(intern!(py, "add_done_callback"), (callback,))?;
    Ok(())
}

/// The done-callback of a child as a Python callable, for children that are not ours.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn done_callable(py: Python<'_>, outer: &Obj<Gathering>) -> PyResult<Obj> {
    if let Some(callable) = outer.done_callback.get() {
        return Ok(callable);
    }
    let callable = native_fn::function(
        py,
        "gather.<locals>._done_callback",
        vec![outer.as_any().clone()],
        |py, held, args| {
            let (Some(outer), Some(child)) = (held[0].cast::<Gathering>(), args.get(0)) else {
                return Ok(());
            };
            ended(outer, py, &child.into())
        },
    )?;
    outer.done_callback.set(Some(callable.clone()));
    Ok(callable)
}

/// A child of ours has ended.
///
/// # Errors
/// What scheduling on a foreign loop raises.
#[inline]
pub(crate) fn child_done(outer: &Obj<Gathering>, py: Python<'_>, child: &Obj<Future>) -> PyResult<()> {
    let finished = outer.finished.get() + 1;
    let fut = outer.base();
    let plain = child.state.get() == State::Finished && child.exception.is_none();
    if plain && !fut.is_done() {
        outer.finished.set(finished);
        if finished == outer.expected.get() {
            return all_ended(outer, py);
        }
        return Ok(());
    }
    ended(outer, py, child.as_any())
}

fn ended(outer: &Obj<Gathering>, py: Python<'_>, child: &Obj) -> PyResult<()> {
    outer.finished.set(outer.finished.get() + 1);
    let fut = outer.base();
    let bound = child.bind(py);
    if fut.is_done() {
        if !bound.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            // Marks it as retrieved.
            bound.call_method0(intern!(py, "exception"))?;
        }
        return Ok(());
    }
    if !outer.return_exceptions.get() {
        if bound.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            let exc: Obj = bound.call_method0(intern!(py, "_make_cancelled_error"))?.into();
            return future::set_raised(fut, py, exc);
        }
        let exc = bound.call_method0(intern!(py, "exception"))?;
        if !exc.is_none() {
            return future::set_exception(fut, py, &exc);
        }
    }
    if outer.finished.get() == outer.expected.get() {
        return all_ended(outer, py);
    }
    Ok(())
}

fn all_ended(outer: &Obj<Gathering>, py: Python<'_>) -> PyResult<()> {
    let children = std::mem::take(&mut *outer.children.borrow_mut());
    let mut results: Vec<Obj> = Vec::with_capacity(children.len());
    for child in &children {
        if let Some(fut) = future_likes::exact(child)
            && fut.state.get() == State::Finished
            && fut.exception.is_none()
        {
            results.push(fut.result.get().unwrap_or_else(|| Obj::none(py)));
            continue;
        }
        let bound = child.bind(py);
        if bound.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            // A fresh one: it is handed out as a value, not raised. The message goes with it.
            let message = bound.getattr_opt(intern!(py, "_cancel_message"))?;
            results.push(exceptions::new_cancelled(py, message.map(Obj::from).as_ref())?);
            continue;
        }
        let exception = bound.call_method0(intern!(py, "exception"))?;
        results.push(if exception.is_none() {
            bound.call_method0(intern!(py, "result"))?.into()
        } else {
            exception.into()
        });
    }
    let fut = outer.base();
    if outer.cancel_requested.get() {
        // All children are done, and the gather was cancelled: that comes out as a cancellation.
        let exc = fut.make_cancelled(py)?;
        return future::set_raised(fut, py, exc);
    }
    future::set_result(fut, py, PyList::new(py, results)?.into())
}

impl Gathering {
    fn cancel(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<bool> {
        const SIGNATURE: Signature<1> = Signature::new("cancel", ["msg"]).required(0);
        let [message] = args.bind(&SIGNATURE)?;
        let message = Obj::unless_none(message);
        future_likes::cancel_gathering(this, py, message.as_ref())
    }

    /// Whom `cancel()` is to cancel: nobody if it is done.
    pub(crate) fn children_to_cancel(&self, fut: &Future) -> Vec<Obj> {
        if fut.is_done() { Vec::new() } else { self.children.borrow().clone() }
    }

    /// Some child was cancelled: the outer future ends as cancelled, even if children swallow it.
    pub(crate) fn children_cancelled(this: &Obj<Self>, message: Option<&Obj>) {
        this.cancel_requested.set(true);
        this.base().cancel_message.set(message.cloned());
    }
}

pub(crate) fn py_gather(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let mut return_exceptions = false;
    args.each_keyword(|name, value| {
        if name.eq("return_exceptions")? {
            return_exceptions = value.is_truthy()?;
            return Ok(());
        }
        Err(PyTypeError::new_err(format!("gather() got an unexpected keyword argument '{name}'")))
    })?;
    gather(py, args.iter(), return_exceptions)
}

impl Class for Gathering {
    type Base = Future;
    ferrio_object::fields!(
        Gathering { children, finished, expected, return_exceptions, cancel_requested, done_callback },
        freelist
    );
    const NAME: &'static str = "asyncio._GatheringFuture";
    const DOC: &'static str = "What gather() returns: cancelling it cancels the children.";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        Gathering {
            children: RefCell::new(Vec::new()),
            finished: Cell::new(0),
            expected: Cell::new(0),
            return_exceptions: Cell::new(false),
            cancel_requested: Cell::new(false),
            done_callback: ObjCell::empty(),
        }
    }

    fn wants_finalizer(&self, fut: &Future) -> bool {
        fut.log_traceback.get()
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        if this.base().log_traceback.get() {
            Future::finalize(this.base(), py);
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.method("cancel", Self::cancel, "cancel($self, /, msg=None)\n--\n\nCancel all children.");
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Gathering>(module)?;
    ClassDef::function(
        module,
        "gather",
        py_gather,
        "gather(*coros_or_futures, return_exceptions=False)\n--\n\n\
         A future with the list of all results.\n\n\
         The first exception is passed on at once, the other awaitables go on; with return_exceptions exceptions\n\
         are results like any other. Cancelling the future cancels all children.",
    )
}
