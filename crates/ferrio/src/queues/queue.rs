//! `asyncio.Queue`: what it holds, and what is done without waiting.
//!
//! Subclasses override `_init`, `_put` and `_get`, and some `empty`, `full` or `put_nowait`; asyncio calls all of them
//! by name. Which of them are overridden is found out once for each object, and only those are called.

use std::cell::{Cell, OnceCell};

use ferrio_object::{
    Any, Args, Class, ClassBuilder, DictSlot, GilStatic, MethodSet, Methods, Obj, ObjCell, Replaceable,
    Replaced, Signature, Traverse, WeakList,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use super::items::Items;
use super::kinds::order_of;
use super::wait;
use crate::exceptions;
use crate::locks::{Event, Line, LoopBound, Stateful, Waiters, define_state};

/// The contents of a `Queue`.
pub struct Queue {
    pub(super) items: Items,
    maxsize: ObjCell,
    pub(super) limit: Cell<Limit>,
    pub(super) getters: Line,
    pub(super) putters: Line,
    unfinished: Cell<i64>,
    /// `_finished`: made when somebody joins.
    finished: ObjCell<Event>,
    pub(super) shut_down: Cell<bool>,
    pub(super) bound: LoopBound,
    replaced: Replaced,
    dict: DictSlot,
    weaklist: WeakList,
}

/// When the queue is full.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    None,
    Items(usize),
    /// `maxsize` is no number that we know: Python compares.
    Foreign,
}

const NAMES: [&str; 9] =
    ["_init", "_put", "_get", "_format", "qsize", "empty", "full", "put_nowait", "get_nowait"];
const INIT: MethodSet = MethodSet::named(&NAMES, "_init");
pub(super) const PUT: MethodSet = MethodSet::named(&NAMES, "_put");
pub(super) const GET: MethodSet = MethodSet::named(&NAMES, "_get");
const FORMAT: MethodSet = MethodSet::named(&NAMES, "_format");
pub(super) const QSIZE: MethodSet = MethodSet::named(&NAMES, "qsize");
pub(super) const EMPTY: MethodSet = MethodSet::named(&NAMES, "empty");
pub(super) const FULL: MethodSet = MethodSet::named(&NAMES, "full");
pub(super) const PUT_NOWAIT: MethodSet = MethodSet::named(&NAMES, "put_nowait");
pub(super) const GET_NOWAIT: MethodSet = MethodSet::named(&NAMES, "get_nowait");

impl Replaceable for Queue {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&NAMES);
        &METHODS
    }

    #[inline]
    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

impl Queue {
    fn new() -> Self {
        Queue {
            items: Items::new(),
            maxsize: ObjCell::empty(),
            limit: Cell::new(Limit::None),
            getters: Line::new(),
            putters: Line::new(),
            unfinished: Cell::new(0),
            finished: ObjCell::empty(),
            shut_down: Cell::new(false),
            bound: LoopBound::new(),
            replaced: Replaced::unknown(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    pub(super) fn init(this: &Obj<Queue>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("Queue.__init__", ["maxsize"]).required(0);
        let [maxsize] = args.bind(&SIGNATURE)?;
        let maxsize = maxsize.map_or_else(|| PyInt::new(py, 0).into_any(), Bound::clone);
        this.set_maxsize(&maxsize)?;
        this.getters.clear();
        this.putters.clear();
        this.unfinished.set(0);
        this.finished.set(None);
        this.shut_down.set(false);
        this.items.start(py, order_of(this));
        if this.replaces(INIT) {
            this.items.leave_to(this.bind(py).get_type().into());
            this.bind(py).call_method1(intern!(py, "_init"), (maxsize,))?;
        }
        Ok(())
    }

    fn set_maxsize(&self, maxsize: &Bound<'_, PyAny>) -> PyResult<()> {
        let limit = if maxsize.is_instance_of::<PyInt>() {
            match maxsize.extract::<i64>() {
                Ok(n) => usize::try_from(n).ok().filter(|n| *n > 0).map_or(Limit::None, Limit::Items),
                // Beyond what any queue can hold, or below nothing.
                Err(_) => Limit::None,
            }
        } else if maxsize.is_instance_of::<PyFloat>() {
            let size = maxsize.extract::<f64>()?;
            if size > 0.0 && size < 1e18 { Limit::Items(size.ceil() as usize) } else { Limit::None }
        } else {
            Limit::Foreign
        };
        self.limit.set(limit);
        self.maxsize.set(Some(maxsize.into()));
        Ok(())
    }

    fn qsize(this: &Obj<Queue>, py: Python<'_>) -> PyResult<usize> {
        this.items.len(py)
    }

    /// `self.empty()`.
    ///
    /// # Errors
    /// What a subclass raises.
    #[inline]
    pub(super) fn is_empty(this: &Obj<Queue>, py: Python<'_>) -> PyResult<bool> {
        if this.replaces(EMPTY) {
            return this.bind(py).call_method0(intern!(py, "empty"))?.is_truthy();
        }
        this.items.is_empty(py)
    }

    /// `self.full()`.
    ///
    /// # Errors
    /// What a subclass raises.
    #[inline]
    pub(super) fn is_full(this: &Obj<Queue>, py: Python<'_>) -> PyResult<bool> {
        if this.replaces(FULL) {
            return this.bind(py).call_method0(intern!(py, "full"))?.is_truthy();
        }
        Self::full(this, py)
    }

    #[inline]
    fn full(this: &Obj<Queue>, py: Python<'_>) -> PyResult<bool> {
        match this.limit.get() {
            Limit::None => Ok(false),
            Limit::Items(limit) if !this.replaces(QSIZE) => Ok(this.items.len(py)? >= limit),
            Limit::Items(_) | Limit::Foreign => {
                let size = this.bind(py).call_method0(intern!(py, "qsize"))?;
                let Some(maxsize) = this.maxsize.get() else { return Ok(false) };
                if maxsize.bind(py).le(0)? {
                    return Ok(false);
                }
                size.ge(maxsize)
            }
        }
    }

    /// `put_nowait()`.
    ///
    /// # Errors
    /// `QueueShutDown`, `QueueFull`, and what a subclass raises.
    #[inline]
    pub(super) fn put_nowait(this: &Obj<Queue>, py: Python<'_>, item: Obj) -> PyResult<()> {
        if this.shut_down.get() {
            return Err(raise(py, Exception::ShutDown));
        }
        if Self::is_full(this, py)? {
            return Err(raise(py, Exception::Full));
        }
        if this.replaces(PUT) {
            this.bind(py).call_method1(intern!(py, "_put"), (item,))?;
        } else {
            this.items.put(py, this.items.order(), item)?;
        }
        this.item_added(py)
    }

    #[inline]
    pub(super) fn item_added(&self, py: Python<'_>) -> PyResult<()> {
        self.unfinished.set(self.unfinished.get() + 1);
        if let Some(finished) = self.finished.get() {
            finished.reset();
        }
        self.getters.wake_next(py)
    }

    #[inline]
    fn take(this: &Obj<Queue>, py: Python<'_>) -> PyResult<Obj> {
        if this.replaces(GET) {
            return Ok(this.bind(py).call_method0(intern!(py, "_get"))?.into());
        }
        this.items.get(py, this.items.order())
    }

    /// `get_nowait()`.
    ///
    /// # Errors
    /// `QueueShutDown`, `QueueEmpty`, and what a subclass raises.
    #[inline]
    pub(super) fn get_nowait(this: &Obj<Queue>, py: Python<'_>) -> PyResult<Obj> {
        if Self::is_empty(this, py)? {
            return Err(raise(py, if this.shut_down.get() { Exception::ShutDown } else { Exception::Empty }));
        }
        let item = Self::take(this, py)?;
        this.putters.wake_next(py)?;
        Ok(item)
    }

    fn task_done(this: &Obj<Queue>, py: Python<'_>) -> PyResult<()> {
        let left = this.unfinished.get() - 1;
        if left < 0 {
            return Err(PyValueError::new_err("task_done() called too many times"));
        }
        this.unfinished.set(left);
        if left == 0 { this.all_finished(py) } else { Ok(()) }
    }

    fn all_finished(&self, py: Python<'_>) -> PyResult<()> {
        self.finished.get().map_or(Ok(()), |finished| Event::set(&finished, py))
    }

    /// The event that `join()` waits for, if there is something to wait for.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn unfinished(&self, py: Python<'_>) -> PyResult<Option<Obj<Event>>> {
        if self.unfinished.get() > 0 { self.finished_event(py).map(Some) } else { Ok(None) }
    }

    fn finished_event(&self, py: Python<'_>) -> PyResult<Obj<Event>> {
        if let Some(finished) = self.finished.get() {
            return Ok(finished);
        }
        let finished = Event::create(py, self.unfinished.get() == 0)?;
        self.finished.set(Some(finished.clone()));
        Ok(finished)
    }

    fn shutdown(this: &Obj<Queue>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("Queue.shutdown", ["immediate"]).required(0);
        let [immediate] = args.bind(&SIGNATURE)?;
        this.shut_down.set(true);
        if immediate.is_some_and(|immediate| immediate.is_truthy().unwrap_or(true)) {
            while !Self::is_empty(this, py)? {
                let item = Self::take(this, py)?;
                drop(item);
                this.unfinished.set((this.unfinished.get() - 1).max(0));
            }
            if this.unfinished.get() == 0 {
                this.all_finished(py)?;
            }
        }
        // All of them look again, and find that it is over.
        for line in [&this.getters, &this.putters] {
            while !line.is_empty() {
                line.wake_next(py)?;
            }
        }
        Ok(())
    }

    fn format(this: &Obj<Queue>, py: Python<'_>) -> PyResult<String> {
        let maxsize = this.maxsize.get().unwrap_or_else(|| Obj::none(py));
        let mut text = format!("maxsize={}", maxsize.bind(py).repr()?);
        if this.items.is_visible(py)? {
            text = format!("{text} _queue={}", this.items.list(py)?.repr()?);
        }
        for (name, line) in [("_getters", &this.getters), ("_putters", &this.putters)] {
            if !line.is_empty() {
                text = format!("{text} {name}[{}]", line.len());
            }
        }
        if this.unfinished.get() != 0 {
            text = format!("{text} tasks={}", this.unfinished.get());
        }
        if this.shut_down.get() {
            text += " shutdown";
        }
        Ok(text)
    }

    fn shown(this: &Obj<Queue>, py: Python<'_>) -> PyResult<String> {
        if this.replaces(FORMAT) {
            return this.bind(py).call_method0(intern!(py, "_format"))?.extract();
        }
        Self::format(this, py)
    }

    fn repr(this: &Obj<Queue>, py: Python<'_>) -> PyResult<String> {
        let name = this.bind(py).get_type().name()?;
        Ok(format!("<{name} at {:p} {}>", this.as_ptr(), Self::shown(this, py)?))
    }

    fn str(this: &Obj<Queue>, py: Python<'_>) -> PyResult<String> {
        let name = this.bind(py).get_type().name()?;
        Ok(format!("<{name} {}>", Self::shown(this, py)?))
    }

    /// The `item` of `put(item)` and `put_nowait(item)`.
    #[inline]
    fn item_of(function: &'static str, args: Args<'_, '_>) -> PyResult<Obj> {
        if args.len() == 1
            && !args.has_keywords()
            && let Some(item) = args.get(0)
        {
            return Ok(item.into());
        }
        let [item] = args.bind(&Signature::new(function, ["item"]))?;
        item.map(Obj::from).ok_or_else(|| PyTypeError::new_err("an item is required"))
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Exception {
    Empty,
    Full,
    ShutDown,
}

/// An exception of `asyncio.queues`, which pollers raise and catch all the time.
pub(crate) fn raise(py: Python<'_>, which: Exception) -> PyErr {
    static CLASSES: GilStatic<OnceCell<[Obj; 3]>> = GilStatic::new(OnceCell::new());
    let cell = CLASSES.get(py);
    let found = match cell.get() {
        Some(classes) => Ok(classes),
        None => (|| {
            let classes = [
                exceptions::class(py, "QueueEmpty")?,
                exceptions::class(py, "QueueFull")?,
                exceptions::class(py, "QueueShutDown")?,
            ];
            // Importing runs Python code, so another thread may have been here meanwhile; its classes are the same.
            Ok(cell.get_or_init(|| classes))
        })(),
    };
    match found {
        Ok(classes) => ferrio_object::raise(py, &classes[which as usize]),
        Err(err) => err,
    }
}

impl Stateful for Queue {
    const STATE: &'static [&'static str] =
        &["_maxsize", "_getters", "_putters", "_unfinished_tasks", "_finished", "_queue", "_is_shutdown"];
}

impl Class for Queue {
    type Base = Any;
    ferrio_object::fields!(Queue {
        items,
        maxsize,
        limit,
        getters,
        putters,
        unfinished,
        finished,
        shut_down,
        bound,
        replaced,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "asyncio.queues.Queue";
    const DOC: &'static str = "Queue(maxsize=0)\n--\n\n\
        A queue between tasks: first in, first out.\n\n\
        With a `maxsize` above 0, put() waits while there are as many items. Subclasses may override _init(),\n\
        _put() and _get(). `Queue[int]` since 3.12, shutdown() since 3.13.";

    fn blank() -> Self {
        Queue::new()
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define_state(class);
        class
            .init(Self::init)
            .repr(Self::repr)
            .str(Self::str)
            .replaceable()
            .generic()
            .coroutine(
                "put",
                |this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>| {
                    wait::put(this, py, Self::item_of("Queue.put", args)?)
                },
                "put($self, item)\n--\n\nCoroutine: put an item in.\n\n\
                Waits while the queue is full. Raises QueueShutDown after shutdown().",
            )
            .method(
                "put_nowait",
                |this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>| {
                    Self::put_nowait(this, py, Self::item_of("Queue.put_nowait", args)?)
                },
                "put_nowait($self, item)\n--\n\nPut an item in.\n\n\
                Raises QueueFull if there is no room, QueueShutDown after shutdown().",
            )
            .coroutine0(
                "get",
                wait::get,
                "get($self)\n--\n\nCoroutine: take an item out and return it.\n\n\
                Waits while the queue is empty. Raises QueueShutDown if it is empty and shut down.",
            )
            .method0(
                "get_nowait",
                Self::get_nowait,
                "get_nowait($self)\n--\n\nTake an item out and return it.\n\n\
                Raises QueueEmpty if there is none, QueueShutDown if there will be none.",
            )
            .method0(
                "task_done",
                Self::task_done,
                "task_done($self)\n--\n\nSay that an item is dealt with.\n\n\
                Once for each item that was taken out. Raises ValueError if there are no more to deal with.",
            )
            .coroutine0(
                "join",
                wait::join,
                "join($self)\n--\n\nCoroutine: wait until all items are dealt with.",
            )
            .method(
                "shutdown",
                Self::shutdown,
                "shutdown($self, immediate=False)\n--\n\n\
                Let put() raise QueueShutDown, and get() too when no items are left (since 3.13).\n\n\
                Wakes all that wait. With `immediate` the items are dropped and count as dealt with.",
            )
            .method0("qsize", Self::qsize, "qsize($self)\n--\n\nHow many items are in it.")
            .method0(
                "empty",
                |this: &Obj<Self>, py: Python<'_>| this.items.is_empty(py),
                "empty($self)\n--\n\nWhether there are no items in it.",
            )
            .method0("full", Self::full, "full($self)\n--\n\nWhether there are maxsize items in it.")
            .getter(
                "maxsize",
                |this: &Obj<Self>, _py: Python<'_>| this.maxsize.get(),
                "How many items may be in it; 0: any number.",
            )
            .method1(
                "_init",
                |this: &Obj<Self>, py: Python<'_>, _maxsize: &Bound<'_, PyAny>| {
                    this.items.start(py, super::items::Order::Fifo);
                },
                "",
            )
            .method1(
                "_put",
                |this: &Obj<Self>, py: Python<'_>, item: &Bound<'_, PyAny>| {
                    this.items.put(py, super::items::Order::Fifo, item.into())
                },
                "",
            )
            .method0(
                "_get",
                |this: &Obj<Self>, py: Python<'_>| this.items.get(py, super::items::Order::Fifo),
                "",
            )
            .method0("_format", Self::format, "")
            .method0(
                "_get_loop",
                |this: &Obj<Self>, py: Python<'_>| {
                    this.bound.get_loop(py, this.as_any()).map(|event_loop| event_loop.as_any().clone())
                },
                "",
            )
            .getset(
                "_loop",
                |this: &Obj<Self>, _py: Python<'_>| this.bound.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.bound.set_any(value);
                    Ok(())
                },
                "",
            )
            .getset(
                "_queue",
                |this: &Obj<Self>, py: Python<'_>| this.items.expose(py),
                |this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.items.start(py, order_of(this));
                    this.items.replace(Obj::or_none(py, value));
                    Ok(())
                },
                "",
            )
            .getset(
                "_maxsize",
                |this: &Obj<Self>, _py: Python<'_>| this.maxsize.get(),
                |this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    value.map_or_else(
                        || this.set_maxsize(PyInt::new(py, 0).as_any()),
                        |value| this.set_maxsize(value),
                    )
                },
                "",
            )
            .getset(
                "_unfinished_tasks",
                |this: &Obj<Self>, _py: Python<'_>| this.unfinished.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.unfinished.set(value.map_or(Ok(0), PyAnyMethods::extract)?);
                    Ok(())
                },
                "",
            )
            .getset(
                "_is_shutdown",
                |this: &Obj<Self>, _py: Python<'_>| this.shut_down.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.shut_down.set(value.map_or(Ok(false), PyAnyMethods::is_truthy)?);
                    Ok(())
                },
                "",
            )
            .getset(
                "_finished",
                |this: &Obj<Self>, py: Python<'_>| this.finished_event(py),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.finished.set(value.and_then(Obj::<Event>::from_bound).cloned());
                    Ok(())
                },
                "",
            )
            .method1(
                "_wakeup_next",
                |_this: &Obj<Self>, py: Python<'_>, waiters: &Bound<'_, PyAny>| {
                    Waiters::wake_next_of(py, waiters)
                },
                "",
            )
            .getset(
                "_getters",
                |this: &Obj<Self>, py: Python<'_>| {
                    Waiters::of(py, this.as_any(), |obj| obj.cast::<Queue>().map(|queue| &queue.getters))
                },
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.getters.replace(value)
                },
                "",
            )
            .getset(
                "_putters",
                |this: &Obj<Self>, py: Python<'_>| {
                    Waiters::of(py, this.as_any(), |obj| obj.cast::<Queue>().map(|queue| &queue.putters))
                },
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.putters.replace(value)
                },
                "",
            );
    }
}
