//! `loop._selector`: a selector that the program has given, or a view of the driver.
//!
//! A selector of the program's own is what the loop waits with. It watches the driver's descriptor, as asyncio's watches
//! the loop's self-pipe: `_read_from_self()` is called when it is readable, and serves what the driver has. What
//! `add_reader()` and `add_writer()` are given is registered with the selector itself, with asyncio's pairs of handles.
//! All of it goes through the methods that asyncio has for it (`_make_self_pipe`, `_add_reader`, `_process_events`), which
//! loops written in Python replace.
//!
//! The standard library's own selectors do no more than the driver, so one of exactly their classes is only kept.
//!
//! On an ordinary loop `_selector` is a [`DriverSelector`]. What its `select()` finds is queued, so that nothing is lost if
//! the caller drops the result, and reported with empty pairs.

use std::cell::Cell;
use std::os::fd::RawFd;

use ferrio_core::driver::{Interest, Readiness, Token};
use ferrio_object::{Any, Args, Class, ClassBuilder, DictSlot, Obj, ObjCell, Signature, ThreadState};
use pyo3::exceptions::{PyAttributeError, PyKeyError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::{io, queue_view, turn};
use crate::event_loop::{Handle, HandleArgs, Hooks, Loop, Source, Waiter, Watch, held_writes, watches};

/// `selectors.EVENT_READ`, `EVENT_WRITE`.
const READ: u32 = 1;
const WRITE: u32 = 2;

fn mask_of(readiness: Readiness) -> u32 {
    u32::from(readiness.readable) * READ + u32::from(readiness.writable) * WRITE
}

/// Whether a selector has something of its own to do, so that the loop has to wait with it.
///
/// # Errors
/// What its class raises.
pub(super) fn is_own(selector: &Bound<'_, PyAny>) -> PyResult<bool> {
    if Obj::<DriverSelector>::from_bound(selector).is_some() {
        return Ok(false);
    }
    if !selector.get_type().module()?.eq("selectors") {
        return Ok(true);
    }
    // Its own `select()`, put on the object.
    match selector.getattr_opt("__dict__")? {
        Some(own) => own.contains("select"),
        None => Ok(false),
    }
}

/// Whether the loop waits with a selector of the program's.
pub(super) fn has_own(this: &Obj<Loop>) -> bool {
    this.own_selector.get()
        && this.selector.get().is_some_and(|selector| selector.cast::<DriverSelector>().is_none())
}

/// The selector that a loop is made with.
///
/// # Errors
/// What the selector's `register()` raises, or a replaced `_make_self_pipe()`.
pub(super) fn given(this: &Obj<Loop>, py: Python<'_>, selector: &Bound<'_, PyAny>) -> PyResult<()> {
    this.selector.set(Some(selector.into()));
    if is_own(selector)? {
        this.own_selector.set(true);
        this.bind(py).call_method0(intern!(py, "_make_self_pipe"))?;
        this.self_pipe.set(true);
    }
    Ok(())
}

fn get(this: &Obj<Loop>, py: Python<'_>) -> PyResult<Option<Obj>> {
    if let Some(selector) = this.selector.get() {
        return Ok(Some(selector));
    }
    if this.is_closed() {
        return Ok(None);
    }
    let selectors = py.import("selectors")?;
    let view = DriverSelector {
        event_loop: ObjCell::new(this.clone()),
        unserved: Cell::new(false),
        dict: DictSlot::new(),
    };
    let view: Obj<DriverSelector> = Obj::create(py, ((), view))?;
    // The method by which an abstract class learns of another; `register` is a selector's own.
    let base = selectors.getattr("BaseSelector")?;
    base.get_type().call_method1("register", (&base, view.bind(py).get_type()))?;
    this.selector.set(Some(view.clone().into_any()));
    Ok(Some(view.into_any()))
}

fn set(this: &Obj<Loop>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let value = value.filter(|value| !value.is_none());
    let own = value.map_or(Ok(false), is_own)?;
    // One that a test has put there only to look at it watches nothing.
    let watches = match value.filter(|_| own) {
        Some(selector) => selector.is_instance(&py.import("selectors")?.getattr("BaseSelector")?)?,
        None => false,
    };
    let driver = this.open_driver().filter(|_| watches);
    if driver.as_ref().is_some_and(|driver| driver.fd().is_none()) {
        return Err(PyRuntimeError::new_err(
            "a selector cannot watch the io_uring driver of a loop: give it to the loop's constructor, or unset FERRIO_DRIVER",
        ));
    }
    this.selector.set(value.map(Obj::from));
    if own {
        this.own_selector.set(true);
        // It watches the driver without the loop's methods, which a derived class may not be ready for.
        if let Some(fd) = driver.and_then(|driver| driver.fd()) {
            let read = this.bind(py).getattr(intern!(py, "_read_from_self"))?;
            let context = ThreadState::copy_context(py)?;
            let handle = Handle::new(read.into(), HandleArgs::None, Some(context), this.clone());
            let handle: Obj<Handle> = Obj::create(py, ((), handle))?;
            handle.track();
            add(this, py, fd.into_pyobject(py)?.as_any(), Interest::READABLE, &handle)?;
        }
    }
    Ok(())
}

fn make_self_pipe(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let Some(fd) = this.driver()?.fd().filter(|_| has_own(this)) else { return Ok(()) };
    let event_loop = this.bind(py);
    let read = event_loop.getattr(intern!(py, "_read_from_self"))?;
    let handle = event_loop.call_method1(intern!(py, "_add_reader"), (fd, read))?;
    // A loop that has nothing to watch with before it runs says so by returning none.
    this.unwatched.set(handle.is_none());
    Ok(())
}

fn close_self_pipe(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let Some(fd) = this.open_driver().and_then(|driver| driver.fd()).filter(|_| has_own(this)) else {
        return Ok(());
    };
    this.bind(py).call_method1(intern!(py, "_remove_reader"), (fd,)).map(drop)
}

/// The loop is being closed, and its selector with it.
///
/// # Errors
/// What the selector raises.
pub(super) fn close(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    if has_own(this) && this.self_pipe.get() {
        this.bind(py).call_method0(intern!(py, "_close_self_pipe"))?;
    }
    Ok(())
}

/// Closes the selector itself, when the loop is closed.
///
/// # Errors
/// What the selector raises.
pub(super) fn drop_selector(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let Some(selector) = this.selector.take() else { return Ok(()) };
    if selector.cast::<DriverSelector>().is_none()
        && let Some(close) = selector.bind(py).getattr_opt(intern!(py, "close"))?
    {
        close.call0()?;
    }
    Ok(())
}

/// Serves what the driver has. If Python code runs the queue, what is queued natively by that is run here too: nobody
/// else would.
fn read_from_self(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    io::serve_now(this, py)?;
    if this.replaces(Hooks::CALL_SOON) {
        run_natives(this, py)?;
    }
    Ok(())
}

fn run_natives(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    loop {
        turn::run_ready(this, py)?;
        if this.ready.borrow().is_empty() {
            return Ok(());
        }
    }
}

/// Waits with the program's selector.
///
/// # Errors
/// What its `select()` raises.
pub(super) fn wait<'py>(
    this: &Obj<Loop>,
    py: Python<'py>,
    selector: &Obj,
    timeout: Option<f64>,
) -> PyResult<Bound<'py, PyAny>> {
    // A thread that pushes has to wake it, as it has to wake the driver.
    this.polling.set(true);
    let events = selector.bind(py).call_method1(intern!(py, "select"), (timeout,));
    this.polling.set(false);
    events
}

/// `_process_events()`: queues the handles of what a selector has found.
fn process_events(this: &Obj<Loop>, py: Python<'_>, events: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Some(view) = this.selector.get()
        && let Some(view) = view.cast::<DriverSelector>()
    {
        view.unserved.set(false);
    }
    for event in events.try_iter()? {
        let (key, mask): (Bound<'_, PyAny>, u32) = event?.extract()?;
        let file = key.getattr(intern!(py, "fileobj"))?;
        let (reader, writer): (Bound<'_, PyAny>, Bound<'_, PyAny>) =
            key.getattr(intern!(py, "data"))?.extract()?;
        for (side, handle, remove) in
            [(READ, reader, intern!(py, "_remove_reader")), (WRITE, writer, intern!(py, "_remove_writer"))]
        {
            if mask & side == 0 || handle.is_none() {
                continue;
            }
            if handle.getattr(intern!(py, "_cancelled"))?.is_truthy()? {
                this.bind(py).call_method1(remove, (&file,))?;
            } else {
                queue_view::append(this, &handle);
            }
        }
    }
    Ok(())
}

/// Registers a handle for one side of a file with the program's selector. Returns the handle before.
///
/// # Errors
/// What the selector raises.
pub(super) fn add(
    this: &Obj<Loop>,
    py: Python<'_>,
    file: &Bound<'_, PyAny>,
    side: Interest,
    handle: &Obj<Handle>,
) -> PyResult<Option<Obj>> {
    let Some(selector) = this.selector.get() else { return Ok(None) };
    let selector = selector.bind(py);
    let (mask, at) = if side.is_readable() { (READ, 0) } else { (WRITE, 1) };
    let key = selector.call_method0(intern!(py, "get_map"))?.call_method1(intern!(py, "get"), (file,))?;
    if key.is_none() {
        let mut pair = [py.None(), py.None()];
        pair[at] = handle.bind(py).clone().unbind();
        selector.call_method1(intern!(py, "register"), (file, mask, PyTuple::new(py, pair)?))?;
        return Ok(None);
    }
    let events: u32 = key.getattr(intern!(py, "events"))?.extract()?;
    let mut pair: Vec<Bound<'_, PyAny>> = key.getattr(intern!(py, "data"))?.extract()?;
    let old = std::mem::replace(&mut pair[at], handle.bind(py).clone());
    selector.call_method1(intern!(py, "modify"), (file, events | mask, PyTuple::new(py, pair)?))?;
    Ok((!old.is_none()).then(|| old.into()))
}

/// Takes one side of a file out of the program's selector. Returns its handle.
///
/// # Errors
/// What the selector raises.
pub(super) fn remove(
    this: &Obj<Loop>,
    py: Python<'_>,
    file: &Bound<'_, PyAny>,
    side: Interest,
) -> PyResult<Option<Obj>> {
    let Some(selector) = this.selector.get() else { return Ok(None) };
    let selector = selector.bind(py);
    let (mask, at) = if side.is_readable() { (READ, 0) } else { (WRITE, 1) };
    let key = selector.call_method0(intern!(py, "get_map"))?.call_method1(intern!(py, "get"), (file,))?;
    if key.is_none() {
        return Ok(None);
    }
    let events: u32 = key.getattr(intern!(py, "events"))?.extract()?;
    let mut pair: Vec<Bound<'_, PyAny>> = key.getattr(intern!(py, "data"))?.extract()?;
    let old = std::mem::replace(&mut pair[at], py.None().into_bound(py));
    if events & !mask == 0 {
        selector.call_method1(intern!(py, "unregister"), (file,))?;
    } else {
        selector.call_method1(intern!(py, "modify"), (file, events & !mask, PyTuple::new(py, pair)?))?;
    }
    Ok((!old.is_none()).then(|| old.into()))
}

/// The view of the driver.
pub struct DriverSelector {
    event_loop: ObjCell<Loop>,
    /// Whether something was found that `_process_events()` has not been given.
    unserved: Cell<bool>,
    dict: DictSlot,
}

impl DriverSelector {
    fn event_loop(&self) -> PyResult<Obj<Loop>> {
        self.event_loop.get().ok_or_else(|| PyAttributeError::new_err("the selector has no loop"))
    }

    fn key<'py>(
        py: Python<'py>,
        file: Bound<'py, PyAny>,
        fd: RawFd,
        events: u32,
        pair: [Option<Obj>; 2],
    ) -> PyResult<Bound<'py, PyAny>> {
        let pair = PyTuple::new(py, pair)?;
        py.import("selectors")?.getattr("SelectorKey")?.call1((file, fd, events, pair))
    }

    /// `select()`: waits for at most `timeout` seconds, at once if it is not positive, without end if there is none.
    fn select(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        let [timeout] = args.bind(&Signature::new("select", ["timeout"]).required(0))?;
        let timeout = match timeout {
            Some(timeout) if !timeout.is_none() => Some(timeout.extract::<f64>()?.max(0.0)),
            _ => None,
        };
        let event_loop = this.event_loop()?;
        // A turn made by Python code ends here as far as we can see.
        if event_loop.held.wait_for_step() || event_loop.held.wait_for_turn() {
            held_writes::send_all(&event_loop, py)?;
        }
        // What was found before and is not served yet is found again, as asyncio's level-triggered selectors find it.
        let timeout = if this.unserved.get() { Some(0.0) } else { timeout };
        let (found, woken) = turn::wait_and_queue(&event_loop, py, timeout)?;
        let list = PyList::empty(py);
        if !found.is_empty() || woken {
            this.unserved.set(true);
        }
        if this.unserved.get() && found.is_empty() {
            // asyncio's self-pipe.
            let fd = event_loop.driver()?.fd().unwrap_or(-1);
            let file = fd.into_pyobject(py)?.into_any();
            list.append((Self::key(py, file, fd, READ, [None, None])?, READ))?;
        }
        for event in found {
            let fd = event_loop.registrations.descriptor(event.token).unwrap_or(-1);
            let mask = mask_of(event.readiness());
            let file = fd.into_pyobject(py)?.into_any();
            list.append((Self::key(py, file, fd, mask, [None, None])?, mask))?;
        }
        Ok(list.into())
    }

    fn key_of<'py>(
        event_loop: &Obj<Loop>,
        py: Python<'py>,
        fd: RawFd,
        token: Token,
    ) -> PyResult<Bound<'py, PyAny>> {
        let handle = |watch: &Watch, side| match &*watch.side(side).borrow() {
            Some(Waiter::Handle(handle)) => Some(handle.as_any().clone()),
            _ => None,
        };
        let (file, events, pair) = match event_loop.sources.borrow().get(token) {
            Some(Source::Watch(watch)) => {
                let interest = watch.interest.get();
                let events =
                    mask_of(Readiness { readable: interest.is_readable(), writable: interest.is_writable() });
                let pair = [handle(watch, Interest::READABLE), handle(watch, Interest::WRITABLE)];
                (watch.file.get(), events, pair)
            }
            _ => (None, READ, [None, None]),
        };
        let file = match file {
            Some(file) => file.into_bound(py),
            None => fd.into_pyobject(py)?.into_any(),
        };
        Self::key(py, file, fd, events, pair)
    }

    /// `get_map()`: a dict of keys by descriptor, of now.
    fn map<'py>(this: &Obj<Self>, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let event_loop = this.event_loop()?;
        let map = PyDict::new(py);
        for (fd, token) in event_loop.registrations.all() {
            map.set_item(fd, Self::key_of(&event_loop, py, fd, token)?)?;
        }
        Ok(map)
    }

    fn get_key(this: &Obj<Self>, py: Python<'_>, file: &Bound<'_, PyAny>) -> PyResult<Obj> {
        let event_loop = this.event_loop()?;
        let fd = match watches::fileno(py, file) {
            Ok(fd) => fd,
            Err(err) => match watches::watched_as(&event_loop, file) {
                Some(fd) => {
                    ferrio_object::swallow(py, err);
                    fd
                }
                None => return Err(err),
            },
        };
        match Self::map(this, py)?.get_item(fd)? {
            Some(key) => Ok(key.into()),
            None => Err(PyKeyError::new_err(format!("{} is not registered", file.repr()?))),
        }
    }

    /// `register()` and `modify()`, with the handles that a loop's data are.
    fn change(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>, name: &'static str) -> PyResult<Obj> {
        let [file, events, data] =
            args.bind(&Signature::new(name, ["fileobj", "events", "data"]).required(2))?;
        let (Some(file), Some(events)) = (file, events) else {
            return Err(PyTypeError::new_err(format!("{name}() needs a file and events")));
        };
        let events: u32 = events.extract()?;
        if events == 0 || events & !(READ | WRITE) != 0 {
            return Err(PyValueError::new_err(format!("Invalid events: {events}")));
        }
        let (reader, writer): (Bound<'_, PyAny>, Bound<'_, PyAny>) = match data {
            Some(data) => data.extract()?,
            None => (py.None().into_bound(py), py.None().into_bound(py)),
        };
        let event_loop = this.event_loop()?;
        let fd = watches::fileno(py, file)?;
        for (mask, side, handle) in [(READ, Interest::READABLE, reader), (WRITE, Interest::WRITABLE, writer)]
        {
            if events & mask == 0 {
                drop(watches::disarm_fd(&event_loop, fd, side)?);
                continue;
            }
            let Some(handle) = Obj::<Handle>::from_bound(&handle) else {
                let message = "the data of a loop's selector is a pair of handles";
                return Err(PyTypeError::new_err(message));
            };
            drop(watches::watch_file(&event_loop, py, file, fd, side, handle.clone())?);
        }
        Self::get_key(this, py, file)
    }

    fn unregister(this: &Obj<Self>, py: Python<'_>, file: &Bound<'_, PyAny>) -> PyResult<Obj> {
        let key = Self::get_key(this, py, file)?;
        let event_loop = this.event_loop()?;
        let fd = key.bind(py).getattr("fd")?.extract()?;
        for side in [Interest::READABLE, Interest::WRITABLE] {
            drop(watches::disarm_fd(&event_loop, fd, side)?);
        }
        Ok(key)
    }

    fn set_attribute(
        this: &Obj<Self>,
        _py: Python<'_>,
        name: &Bound<'_, PyAny>,
        _value: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        if name.cast::<PyString>().is_ok_and(|name| name.to_str().is_ok_and(|name| name == "select"))
            && let Some(event_loop) = this.event_loop.get()
        {
            // From here on the loop waits by calling it.
            event_loop.own_selector.set(true);
        }
        Ok(false)
    }
}

impl Class for DriverSelector {
    type Base = Any;
    ferrio_object::fields!(DriverSelector { event_loop, unserved, dict: DictSlot });
    const NAME: &'static str = "ferrio._ferrio._DriverSelector";
    const DOC: &'static str = "What a loop waits with, as a selector.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        DriverSelector { event_loop: ObjCell::empty(), unserved: Cell::new(false), dict: DictSlot::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .setattr(Self::set_attribute)
            .method(
                "select",
                Self::select,
                "select($self, /, timeout=None)\n--\n\n\
                Wait for at most `timeout` seconds and queue what is ready; returns (key, events) of each.",
            )
            .method(
                "register",
                |this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>| {
                    Self::change(this, py, args, "register")
                },
                "register($self, /, fileobj, events, data=None)\n--\n\n\
                Watch a file; `data` is a pair of handles, as asyncio's.",
            )
            .method(
                "modify",
                |this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>| Self::change(this, py, args, "modify"),
                "modify($self, /, fileobj, events, data=None)\n--\n\nChange what is watched of a file.",
            )
            .method1(
                "unregister",
                Self::unregister,
                "unregister($self, fileobj, /)\n--\n\nStop watching a file.",
            )
            .method1(
                "get_key",
                Self::get_key,
                "get_key($self, fileobj, /)\n--\n\n\
                The key of a file that is watched. Raises KeyError for another.",
            )
            .method0(
                "get_map",
                |this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> {
                    Ok(Self::map(this, py)?.into_any().into())
                },
                "get_map($self, /)\n--\n\nThe keys of all files that are watched, by descriptor.",
            )
            .method0(
                "close",
                |_this: &Obj<Self>, _py: Python<'_>| {},
                "close($self, /)\n--\n\n\
                Nothing: the loop closes its driver.",
            );
    }
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .getset("_selector", get, set, "")
        .method1("_process_events", process_events, "")
        .method0("_make_self_pipe", make_self_pipe, "")
        .method0("_close_self_pipe", close_self_pipe, "")
        .method0("_read_from_self", read_from_self, "");
}
