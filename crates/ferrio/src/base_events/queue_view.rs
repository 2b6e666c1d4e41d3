//! `loop._ready` for loops that are written in Python on asyncio's parts (`nest_asyncio` and its like).
//!
//! The queue stays native, and nothing is slower for a program that never asks. What Python sees is a view with the
//! methods of a deque: what it appends is queued, and what it takes out is a handle. Items that are none become one
//! when they are looked at, and stay it, so that a handle that was seen is the one that is cancelled or removed.
//!
//! A program may also put an object of its own in the queue's place. Then what is queued natively goes there before each
//! turn, and the turn takes it from there.

use ferrio_core::driver::{Readiness, Token};
use ferrio_object::{Any, Args, Class, ClassBuilder, Erased, Obj, ObjCell};
use pyo3::exceptions::{PyAttributeError, PyIndexError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};

use super::turn;
use crate::event_loop::{Handle, HandleArgs, Loop, Ready, TimerHandle};
use crate::future::Future;
use crate::gather::Gathering;
use crate::native_fn::{self, NativeFn};
use crate::task::Task;
use crate::taskgroups::TaskGroup;
use crate::timeouts::Timeout;
use crate::transports::StreamTransport;

/// A handle that runs an item of the queue; the item's own if it has one.
///
/// # Errors
/// `MemoryError`.
pub(super) fn handle_of(this: &Obj<Loop>, py: Python<'_>, item: Ready) -> PyResult<Obj> {
    let number = |number: u64| Obj::from(PyInt::new(py, number).into_any());
    let (tag, held): (u64, Vec<Obj>) = match item {
        Ready::Call(handle) | Ready::Again(handle) => {
            // What the program takes out of the queue it may keep.
            handle.track();
            return Ok(handle.into_any());
        }
        Ready::CallThreadSafe(handle) => {
            handle.track();
            return Ok(handle.into_any());
        }
        Ready::Object(object) => return Ok(object),
        Ready::Step(task) => (0, vec![task.into_any()]),
        Ready::GatherChild(outer, child) => (1, vec![outer.into_any(), child.into_any()]),
        Ready::DoneCallback(function, fut) => (2, vec![function.into_any(), fut.into_any()]),
        Ready::Resolve(fut) => (3, vec![fut.into_any()]),
        Ready::Expire(timeout, setting) => (4, vec![timeout.into_any(), number(setting.into())]),
        Ready::GroupChild(group, child, place) => {
            (5, vec![group.into_any(), child.into_any(), number(place.into())])
        }
        Ready::Io { token, readiness } => {
            let sides = u64::from(readiness.readable) | u64::from(readiness.writable) << 1;
            (6, vec![number(token.to_u64()), number(sides)])
        }
        Ready::Connected(transport) => (7, vec![transport.as_any().clone()]),
        Ready::Lost(transport) => (8, vec![transport.as_any().clone()]),
    };
    let mut all = vec![this.as_any().clone(), number(tag)];
    all.extend(held);
    let callback = native_fn::function(py, "_run_queued", all, run_held)?;
    let handle = Handle::new(callback, HandleArgs::None, None, this.clone());
    let handle: Obj<Handle> = Obj::create(py, ((), handle))?;
    handle.track();
    Ok(handle.into_any())
}

/// What a handle of [`handle_of`] calls.
fn run_held(py: Python<'_>, held: &[Obj], _args: Args<'_, '_>) -> PyResult<()> {
    let [event_loop, tag, held @ ..] = held else { return Ok(()) };
    let Some(event_loop) = event_loop.cast::<Loop>() else { return Ok(()) };
    match item_of(py, tag.bind(py).extract()?, held) {
        Some(item) => turn::run_item(event_loop, py, item),
        None => Ok(()),
    }
}

fn item_of(py: Python<'_>, tag: u32, held: &[Obj]) -> Option<Ready> {
    let small = |obj: &Obj| obj.bind(py).extract::<u32>().ok();
    Some(match (tag, held) {
        (0, [task]) => Ready::Step(task.cast::<Task>()?.clone()),
        (1, [outer, child]) => {
            Ready::GatherChild(outer.cast::<Gathering>()?.clone(), child.cast::<Future>()?.clone())
        }
        (2, [function, fut]) => {
            Ready::DoneCallback(function.cast::<NativeFn>()?.clone(), fut.cast::<Future>()?.clone())
        }
        (3, [fut]) => Ready::Resolve(fut.cast::<Future>()?.clone()),
        (4, [timeout, setting]) => Ready::Expire(timeout.cast::<Timeout>()?.clone(), small(setting)?),
        (5, [group, child, place]) => Ready::GroupChild(
            group.cast::<TaskGroup>()?.clone(),
            child.cast::<Future>()?.clone(),
            small(place)?,
        ),
        (6, [token, sides]) => {
            let sides = small(sides)?;
            let token = Token::from_u64(token.bind(py).extract().ok()?);
            let readiness = Readiness { readable: sides & 1 != 0, writable: sides & 2 != 0 };
            Ready::Io { token, readiness }
        }
        (7, [transport]) => Ready::Connected(Erased::new(transport.cast::<StreamTransport>()?.clone())),
        (8, [transport]) => Ready::Lost(Erased::new(transport.cast::<StreamTransport>()?.clone())),
        _ => return None,
    })
}

/// An object as the queue keeps it. A timer is run once; what else Python code queues may be a reader's handle, which is
/// run again and again.
fn queued(object: &Bound<'_, PyAny>) -> Ready {
    if let Some(timer) = Obj::<TimerHandle>::from_bound(object).filter(|timer| timer.is_exact()) {
        return Ready::Call(timer.clone().into_base());
    }
    match Obj::<Handle>::from_bound(object) {
        Some(handle) if handle.is_exact() => Ready::Again(handle.clone()),
        _ => Ready::Object(object.into()),
    }
}

/// Queues a handle or an object like one.
pub(super) fn append(this: &Obj<Loop>, object: &Bound<'_, PyAny>) {
    let item = queued(object);
    this.push(|| item);
}

/// Runs an object that Python code has queued.
///
/// # Errors
/// `KeyboardInterrupt`, `SystemExit`; what an object of the program's own raises.
pub(super) fn run_object(py: Python<'_>, object: &Obj) -> PyResult<()> {
    if let Some(handle) = object.cast_exact::<Handle>() {
        return if handle.cancelled.get() { Ok(()) } else { Handle::run(handle, py) };
    }
    let object = object.bind(py);
    if object.getattr(intern!(py, "_cancelled"))?.is_truthy()? {
        return Ok(());
    }
    object.call_method0(intern!(py, "_run")).map(drop)
}

/// Moves what is queued natively to the object that a program has put in the queue's place.
///
/// # Errors
/// What that object's `append()` raises.
pub(super) fn move_to_own(this: &Obj<Loop>, py: Python<'_>, own: &Obj) -> PyResult<()> {
    loop {
        let Some(item) = this.ready.borrow_mut().pop_front() else { return Ok(()) };
        own.bind(py).call_method1(intern!(py, "append"), (handle_of(this, py, item)?,))?;
    }
}

/// Runs what is in that object now.
///
/// # Errors
/// What it or a handle raises.
pub(super) fn run_own(py: Python<'_>, own: &Obj) -> PyResult<()> {
    let own = own.bind(py);
    for _ in 0..own.len()? {
        if own.len()? == 0 {
            break;
        }
        run_object(py, &own.call_method0(intern!(py, "popleft"))?.into())?;
    }
    Ok(())
}

/// The view. Its loop's queue has no other storage.
pub struct ReadyQueue {
    event_loop: ObjCell<Loop>,
}

impl ReadyQueue {
    fn event_loop(&self) -> PyResult<Obj<Loop>> {
        self.event_loop.get().ok_or_else(|| PyAttributeError::new_err("the queue has no loop"))
    }

    /// The handle at a place, which the item becomes.
    fn at(this: &Obj<Self>, py: Python<'_>, place: isize) -> PyResult<Option<Obj>> {
        let event_loop = this.event_loop()?;
        let Ok(place) = usize::try_from(place) else { return Ok(None) };
        let seen = match event_loop.ready.borrow().get(place) {
            None => return Ok(None),
            Some(Ready::Call(handle) | Ready::Again(handle)) => {
                handle.track();
                Some(handle.as_any().clone())
            }
            Some(Ready::CallThreadSafe(handle)) => {
                handle.track();
                Some(handle.as_any().clone())
            }
            Some(Ready::Object(object)) => Some(object.clone()),
            Some(_) => None,
        };
        if seen.is_some() {
            return Ok(seen);
        }
        // Nothing can come between: what stands in for it runs no Python code.
        let item = event_loop.ready.borrow_mut().replace(place, Ready::Object(Obj::none(py)));
        let Some(item) = item else { return Ok(None) };
        let handle = handle_of(&event_loop, py, item)?;
        let stand_in = event_loop.ready.borrow_mut().replace(place, queued(handle.bind(py)));
        drop(stand_in);
        Ok(Some(handle))
    }

    fn len(this: &Obj<Self>) -> PyResult<usize> {
        Ok(this.event_loop()?.ready.borrow().len())
    }

    fn pop(this: &Obj<Self>, py: Python<'_>, oldest: bool) -> PyResult<Obj> {
        let event_loop = this.event_loop()?;
        let item = {
            let mut ready = event_loop.ready.borrow_mut();
            if oldest { ready.pop_front() } else { ready.pop_back() }
        };
        let Some(item) = item else { return Err(PyIndexError::new_err("pop from an empty deque")) };
        handle_of(&event_loop, py, item)
    }

    fn append(this: &Obj<Self>, _py: Python<'_>, object: &Bound<'_, PyAny>) -> PyResult<()> {
        append(&this.event_loop()?, object);
        Ok(())
    }

    fn append_left(this: &Obj<Self>, _py: Python<'_>, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let event_loop = this.event_loop()?;
        append(&event_loop, object);
        event_loop.ready.borrow_mut().newest_first();
        Ok(())
    }

    fn extend(this: &Obj<Self>, _py: Python<'_>, objects: &Bound<'_, PyAny>) -> PyResult<()> {
        let event_loop = this.event_loop()?;
        for object in objects.try_iter()? {
            append(&event_loop, &object?);
        }
        Ok(())
    }

    /// A deque of the handles.
    fn copy<'py>(this: &Obj<Self>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let deque = py.import("collections")?.getattr("deque")?.call0()?;
        let mut place = 0;
        while let Some(handle) = Self::at(this, py, place)? {
            deque.call_method1("append", (handle,))?;
            place += 1;
        }
        Ok(deque)
    }

    /// Lets a deque do what is asked for, and puts back what it has then.
    fn by_deque(this: &Obj<Self>, py: Python<'_>, name: &str, args: Args<'_, '_>) -> PyResult<Obj> {
        let event_loop = this.event_loop()?;
        let deque = Self::copy(this, py)?;
        let args: Vec<_> = args.iter().cloned().collect();
        let outcome = deque.call_method1(name, PyTuple::new(py, args)?)?;
        let old = std::mem::take(&mut *event_loop.ready.borrow_mut());
        for handle in deque.try_iter()? {
            append(&event_loop, &handle?);
        }
        drop(old);
        Ok(outcome.into())
    }

    fn clear(this: &Obj<Self>, _py: Python<'_>) -> PyResult<()> {
        let old = std::mem::take(&mut *this.event_loop()?.ready.borrow_mut());
        drop(old);
        Ok(())
    }
}

impl Class for ReadyQueue {
    type Base = Any;
    ferrio_object::fields!(ReadyQueue { event_loop });
    const NAME: &'static str = "ferrio._ferrio._ReadyQueue";
    const DOC: &'static str = "What is ready to run on a loop, as a deque of handles.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        ReadyQueue { event_loop: ObjCell::empty() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        macro_rules! by_deque {
            ($($name:literal),*) => {
                $(class.method($name, |this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>| {
                    Self::by_deque(this, py, $name, args)
                }, "");)*
            };
        }
        by_deque!("remove", "insert", "rotate", "reverse", "index", "count", "extendleft");
        class
            .len(|this: &Obj<Self>, _py: Python<'_>| Self::len(this))
            .item(Self::at)
            .repr(|this: &Obj<Self>, py: Python<'_>| -> PyResult<String> {
                Self::copy(this, py)?.repr()?.extract()
            })
            .method1("append", Self::append, "append($self, handle, /)\n--\n\nQueue a handle.")
            .method1("appendleft", Self::append_left, "appendleft($self, handle, /)\n--\n\nQueue it first.")
            .method1("extend", Self::extend, "extend($self, handles, /)\n--\n\nQueue handles.")
            .method0(
                "popleft",
                |this: &Obj<Self>, py: Python<'_>| Self::pop(this, py, true),
                "popleft($self, /)\n--\n\nTake the oldest handle out. Raises IndexError if there is none.",
            )
            .method0(
                "pop",
                |this: &Obj<Self>, py: Python<'_>| Self::pop(this, py, false),
                "pop($self, /)\n--\n\nTake the newest handle out. Raises IndexError if there is none.",
            )
            .method0("clear", Self::clear, "clear($self, /)\n--\n\nForget all handles.")
            .method0(
                "copy",
                |this: &Obj<Self>, py: Python<'_>| Self::copy(this, py).map(Obj::from),
                "copy($self, /)\n--\n\nA deque of the handles.",
            )
            .getter("maxlen", |_this: &Obj<Self>, _py: Python<'_>| None::<Obj>, "");
    }
}

fn get_ready(this: &Obj<Loop>, py: Python<'_>) -> PyResult<Obj> {
    if let Some(own) = this.own_ready.get() {
        if own.bind(py).hasattr(intern!(py, "popleft"))? {
            move_to_own(this, py, &own)?;
        }
        return Ok(own);
    }
    Ok(Obj::<ReadyQueue>::create(py, ((), ReadyQueue { event_loop: ObjCell::new(this.clone()) }))?.into_any())
}

fn set_ready(this: &Obj<Loop>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let view = value.is_some_and(|value| Obj::<ReadyQueue>::from_bound(value).is_some());
    this.own_ready.set(value.filter(|_| !view).map(Obj::from));
    if this.own_ready.is_some() {
        this.lists.set(true);
    }
    Ok(())
}

fn add_callback(this: &Obj<Loop>, py: Python<'_>, handle: &Bound<'_, PyAny>) -> PyResult<()> {
    if !handle.getattr(intern!(py, "_cancelled"))?.is_truthy()? {
        append(this, handle);
    }
    Ok(())
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class.getset("_ready", get_ready, set_ready, "").method1("_add_callback", add_callback, "").method1(
        "_add_callback_signalsafe",
        |this: &Obj<Loop>, py: Python<'_>, handle: &Bound<'_, PyAny>| -> PyResult<()> {
            add_callback(this, py, handle)?;
            this.wake();
            Ok(())
        },
        "",
    );
}
