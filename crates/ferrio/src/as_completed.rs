//! `asyncio.as_completed`: futures, or their results, in the order in which they finish.
//!
//! Both of 3.13's iterations on every Python: `async for` gives the futures themselves, `for` gives a coroutine for
//! each that waits for the next one to finish.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, DictSlot, Obj, ObjCell, Signature, WeakList};
use pyo3::exceptions::{PyStopAsyncIteration, PyTimeoutError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PySet, PyTuple};

use crate::coro::{self, Co, Local};
use crate::event_loop::{LoopRef, running};
use crate::future::{self, Future};
use crate::future_likes;
use crate::native_fn::{self, NativeFn};
use crate::task::{self, registry};

/// What a waiting coroutine finds.
#[derive(Clone)]
enum Done {
    Future(Obj),
    TimedOut,
}

ferrio_object::traverse!(
    enum Done {
        Future(fut),
        TimedOut,
    }
);

/// The contents of the iterator.
pub struct AsCompleted {
    /// What was given, until it has begun.
    given: ObjCell,
    timeout: ObjCell,
    event_loop: RefCell<Option<LoopRef>>,
    /// Futures not done yet; empty once the time is up.
    todo: ObjCell,
    /// How many the iteration has not given yet.
    left: Cell<usize>,
    /// Those that are done, and nobody has had yet.
    done: RefCell<VecDeque<Done>>,
    /// Coroutines that wait for the next one, first come first served.
    waiters: RefCell<VecDeque<Obj<Future>>>,
    callback: ObjCell<NativeFn>,
    timer: ObjCell,
    dict: DictSlot,
    weaklist: WeakList,
}

/// `as_completed(fs, *, timeout=None)`.
///
/// # Errors
/// From 3.13 on those of [`AsCompleted::begin`]; before, they come with the first item, since asyncio's was a
/// generator then, which began when it was first asked.
pub(crate) fn py_as_completed(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<AsCompleted>> {
    const SIGNATURE: Signature<2> =
        Signature::new("as_completed", ["fs", "timeout"]).positional(1).required(1);
    let [given, timeout] = args.bind(&SIGNATURE)?;
    let this: Obj<AsCompleted> = Obj::create(py, ((), AsCompleted::blank()))?;
    this.given.set(given.map(Obj::from));
    this.timeout.set(Obj::unless_none(timeout));
    if cfg!(Py_3_13) {
        AsCompleted::begin(&this, py)?;
    }
    Ok(this)
}

impl AsCompleted {
    /// Makes futures of the awaitables and listens to them, unless that was done before.
    ///
    /// # Errors
    /// `TypeError` for a future or coroutine in place of several, and as `ensure_future`.
    fn begin(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let Some(given) = this.given.take() else { return Ok(()) };
        let given = given.bind(py);
        if future_likes::is_future(py, given)?
            || task::is_coroutine(py, given)?
            || task::is_awaitable(py, given)?
        {
            let name = given.get_type().name()?;
            return Err(PyTypeError::new_err(format!("expects an iterable of awaitables, not {name}")));
        }
        // Told apart by equality, as asyncio's set does it, but in the order in which they were given.
        let (seen, mut distinct) = (PySet::empty(py)?, Vec::new());
        for awaitable in given.try_iter()? {
            let awaitable = awaitable?;
            let before = seen.len();
            seen.add(&awaitable)?;
            if seen.len() > before {
                distinct.push(awaitable);
            }
        }
        let event_loop = running::loop_or_current(py, None)?;
        let mut futures: Vec<Obj> = Vec::with_capacity(distinct.len());
        for awaitable in &distinct {
            futures.push(task::ensure_future(py, awaitable, Some(&event_loop))?);
        }
        let todo = PySet::new(py, &futures)?;
        let me = this.as_any().clone();
        let callback = native_fn::done_callback(
            py,
            "_AsCompletedIterator._handle_completion",
            vec![me.clone()],
            completed,
        )?;
        // Whichever task takes the items, this one is shown to await the futures, as with asyncio.
        if let Some(task) = registry::current(py, &event_loop)? {
            callback.set_resolves(&task);
        }
        this.left.set(todo.len());
        this.todo.set(Some(Obj::from(&todo)));
        this.callback.set(Some(callback.clone()));
        this.event_loop.replace(Some(event_loop.clone()));
        for fut in &futures {
            future_likes::on_done(py, fut, &callback)?;
        }
        if let Some(timeout) = this.timeout.take().filter(|_| !futures.is_empty()) {
            let late = native_fn::function(py, "_AsCompletedIterator._handle_timeout", vec![me], timed_out)?;
            let timer =
                event_loop.as_any().bind(py).call_method1(intern!(py, "call_later"), (timeout, late))?;
            this.timer.set(Some(timer.into()));
        }
        Ok(())
    }

    fn completed(&self, py: Python<'_>, fut: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(todo) = self.todo.get() else { return Ok(()) };
        let todo = todo.bind(py).cast::<PySet>()?;
        if todo.is_empty() {
            // The time was up before.
            return Ok(());
        }
        todo.discard(fut)?;
        self.done.borrow_mut().push_back(Done::Future(fut.into()));
        self.wake_one(py)?;
        if todo.is_empty()
            && let Some(timer) = self.timer.take()
        {
            timer.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(())
    }

    fn timed_out(&self, py: Python<'_>) -> PyResult<()> {
        let (Some(todo), Some(callback)) = (self.todo.get(), self.callback.get()) else { return Ok(()) };
        let pending = PyTuple::new(py, todo.bind(py).try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
        todo.bind(py).call_method0(intern!(py, "clear"))?;
        for fut in pending.iter() {
            future_likes::off_done(py, &fut.into(), &callback)?;
            self.done.borrow_mut().push_back(Done::TimedOut);
            self.wake_one(py)?;
        }
        Ok(())
    }

    fn wake_one(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let Some(waiter) = self.waiters.borrow_mut().pop_front() else { return Ok(()) };
            if future::wake(&waiter, py)? {
                return Ok(());
            }
        }
    }

    /// One fewer for the iteration to give.
    fn take_turn(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }

    fn next(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<Obj>> {
        Self::begin(this, py)?;
        if !this.take_turn() {
            return Ok(None);
        }
        coro::coroutine(py, "_AsCompletedIterator._wait_for_one", move |co| {
            let this = co.hold(this);
            async move {
                let fut = next_done(&co, &this).await?;
                let py = co.py();
                match future_likes::exact(&fut) {
                    Some(ours) => ours.get_result(py),
                    None => Ok(fut.bind(py).call_method0(intern!(py, "result"))?.into()),
                }
            }
        })
        .map(Some)
    }

    fn anext(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        coro::coroutine(py, "_AsCompletedIterator.__anext__", move |co| {
            let this = co.hold(this);
            async move {
                AsCompleted::begin(&this.get(), co.py())?;
                let more = this.get().take_turn();
                if more { next_done(&co, &this).await } else { Err(PyStopAsyncIteration::new_err(())) }
            }
        })
    }
}

fn completed(py: Python<'_>, held: &[Obj], fut: &Bound<'_, PyAny>) -> PyResult<()> {
    held.first()
        .and_then(|obj| obj.cast_exact::<AsCompleted>())
        .map_or(Ok(()), |this| this.completed(py, fut))
}

fn timed_out(py: Python<'_>, held: &[Obj], _args: Args<'_, '_>) -> PyResult<()> {
    held.first().and_then(|obj| obj.cast_exact::<AsCompleted>()).map_or(Ok(()), |this| this.timed_out(py))
}

/// The next future that is done.
async fn next_done(co: &Co, held: &Local<AsCompleted>) -> PyResult<Obj> {
    loop {
        let (wait, waiter) = {
            let (py, this) = (co.py(), held.get());
            let found = this.done.borrow_mut().pop_front();
            match found {
                Some(Done::Future(fut)) => return Ok(fut),
                Some(Done::TimedOut) => return Err(PyTimeoutError::new_err(())),
                None => {}
            }
            let event_loop = this.event_loop.borrow().clone();
            let Some(event_loop) = event_loop else { return Ok(Obj::none(py)) };
            let waiter = Future::create(py, event_loop)?;
            this.waiters.borrow_mut().push_back(waiter.clone());
            (co.wait(&waiter), co.hold(waiter))
        };
        let woken = wait.await;
        if let Err(err) = woken {
            let (py, this, waiter) = (co.py(), held.get(), waiter.get());
            let mine = this.waiters.borrow().iter().position(|other| other.is(&waiter));
            if let Some(mine) = mine {
                drop(this.waiters.borrow_mut().remove(mine));
            }
            // Cancelled just after it was woken: the next one in line gets what it was woken for.
            if !waiter.is_cancelled() && !this.done.borrow().is_empty() {
                this.wake_one(py)?;
            }
            return Err(err);
        }
    }
}

impl Class for AsCompleted {
    type Base = Any;
    ferrio_object::fields!(AsCompleted {
        given,
        timeout,
        event_loop,
        todo,
        left,
        done,
        waiters,
        callback,
        timer,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "asyncio._AsCompletedIterator";
    const DOC: &'static str = "What as_completed() returns: an iterator and an asynchronous iterator.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        AsCompleted {
            given: ObjCell::empty(),
            timeout: ObjCell::empty(),
            event_loop: RefCell::new(None),
            todo: ObjCell::empty(),
            left: Cell::new(0),
            done: RefCell::new(VecDeque::new()),
            waiters: RefCell::new(VecDeque::new()),
            callback: ObjCell::empty(),
            timer: ObjCell::empty(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.iter_itself().next(Self::next).aiter_itself().anext(Self::anext);
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<AsCompleted>(module)?;
    ClassDef::function(
        module,
        "as_completed",
        py_as_completed,
        "as_completed(fs, *, timeout=None)\n--\n\n\
         Iterate over awaitables in the order in which they finish.\n\n\
         `async for` gives the futures, done (since 3.13); `for` gives coroutines that wait for the next one and\n\
         return its result or raise its exception. After `timeout` seconds both raise TimeoutError.",
    )
}
