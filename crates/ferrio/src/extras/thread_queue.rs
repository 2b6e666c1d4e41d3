//! `ThreadQueue`: one queue with a blocking side for threads and an async side for tasks, of any number of loops.
//!
//! The GIL is the lock: the state changes between two calls into Python, and nobody sleeps with it half changed. Any
//! call into Python may let another thread run, and so may the first use of an interned name; so a caller that
//! has to wait first makes what it waits with, then looks once more, and joins the line without a call in between.
//! Threads and tasks stand in the same lines, in order of arrival: a thread as a Python lock that it tries to take a
//! second time (which lets go of the GIL, and which signals and timeouts interrupt), a task as a future. A waiter
//! that is woken has been taken out of the line and looks again. One that gives up and is no longer in the line was
//! woken, and passes that on.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, Signature, WeakList};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::coro::{Given, Memory, Operation, Step, ready, ready_with};
use crate::event_loop::running;
use crate::future::Future;
use crate::future_likes;
use crate::locks::Line;
use crate::queues::{Exception, raise};
use crate::{exceptions, native_fn};

/// The contents of a thread queue.
pub struct ThreadQueue {
    items: RefCell<VecDeque<Obj>>,
    /// The most items, 0 for any number.
    maxsize: Cell<usize>,
    getters: Line,
    putters: Line,
    joiners: Line,
    unfinished: Cell<usize>,
    shut_down: Cell<bool>,
    weaklist: WeakList,
}

impl ThreadQueue {
    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("ThreadQueue", ["maxsize"]).required(0);
        let [maxsize] = args.bind(&SIGNATURE)?;
        let maxsize = maxsize.map_or(Ok(0), PyAnyMethods::extract::<i64>)?;
        this.maxsize.set(usize::try_from(maxsize).unwrap_or(0));
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.maxsize.get() > 0 && self.items.borrow().len() >= self.maxsize.get()
    }

    /// Puts an item in, or hands it back because there is no room.
    fn offer(&self, py: Python<'_>, item: Obj) -> PyResult<Result<(), Obj>> {
        if self.shut_down.get() {
            return Err(raise(py, Exception::ShutDown));
        }
        if self.is_full() {
            return Ok(Err(item));
        }
        self.items.borrow_mut().push_back(item);
        self.unfinished.set(self.unfinished.get() + 1);
        wake_next(py, &self.getters)?;
        Ok(Ok(()))
    }

    /// Takes an item out, if there is one.
    fn poll(&self, py: Python<'_>) -> PyResult<Option<Obj>> {
        let item = self.items.borrow_mut().pop_front();
        match item {
            Some(item) => {
                wake_next(py, &self.putters)?;
                Ok(Some(item))
            }
            None if self.shut_down.get() => Err(raise(py, Exception::ShutDown)),
            None => Ok(None),
        }
    }

    fn finish(&self, py: Python<'_>, count: usize) -> PyResult<()> {
        self.unfinished.set(self.unfinished.get() - count);
        if self.unfinished.get() == 0 {
            wake_all(py, &self.joiners)?;
        }
        Ok(())
    }

    /// Whether a put has to wait.
    fn keeps_putters(&self) -> bool {
        self.is_full() && !self.shut_down.get()
    }

    /// Whether a get has to wait.
    fn keeps_getters(&self) -> bool {
        self.items.borrow().is_empty() && !self.shut_down.get()
    }

    /// Waits in `line` on this thread, if `must_wait` still holds: whether there is something to look at again.
    fn block(
        py: Python<'_>,
        line: &Line,
        deadline: Option<Instant>,
        must_wait: impl Fn() -> bool,
    ) -> PyResult<bool> {
        let lock: Obj = py.import(intern!(py, "_thread"))?.call_method0(intern!(py, "allocate_lock"))?.into();
        let acquire = lock.bind(py).getattr(intern!(py, "acquire"))?;
        acquire.call0()?;
        if !must_wait() {
            return Ok(true);
        }
        let ticket = line.join(lock.clone());
        // -1 waits without end; a longer wait than Python takes is made of several.
        let timeout = deadline.map_or(-1.0, |deadline| {
            deadline.saturating_duration_since(Instant::now()).min(LONGEST).as_secs_f64()
        });
        match acquire.call1((true, timeout)) {
            Ok(taken) if taken.is_truthy()? => Ok(true),
            Ok(_) => Ok(line.leave(ticket).is_none()),
            Err(err) => {
                // Interrupted, by Ctrl-C for one.
                if line.leave(ticket).is_none() {
                    wake_next(py, line)?;
                }
                Err(err)
            }
        }
    }

    fn put(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<3> =
            Signature::new("ThreadQueue.put", ["item", "block", "timeout"]).required(1);
        let [item, block, timeout] = args.bind(&SIGNATURE)?;
        let mut item = Obj::or_none(py, item);
        let patience = Patience::of(block, timeout)?;
        loop {
            match this.offer(py, item)? {
                Ok(()) => return Ok(()),
                Err(back) => item = back,
            }
            let Some(deadline) = patience.left() else { return Err(raise(py, Exception::Full)) };
            Self::block(py, &this.putters, deadline, || this.keeps_putters())?;
        }
    }

    fn put_nowait(this: &Obj<Self>, py: Python<'_>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        match this.offer(py, item.into())? {
            Ok(()) => Ok(()),
            Err(_) => Err(raise(py, Exception::Full)),
        }
    }

    fn get(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<2> = Signature::new("ThreadQueue.get", ["block", "timeout"]).required(0);
        let [block, timeout] = args.bind(&SIGNATURE)?;
        let patience = Patience::of(block, timeout)?;
        loop {
            if let Some(item) = this.poll(py)? {
                return Ok(item);
            }
            let Some(deadline) = patience.left() else { return Err(raise(py, Exception::Empty)) };
            Self::block(py, &this.getters, deadline, || this.keeps_getters())?;
        }
    }

    fn get_nowait(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        this.poll(py)?.ok_or_else(|| raise(py, Exception::Empty))
    }

    fn join(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<bool> {
        const SIGNATURE: Signature<1> = Signature::new("ThreadQueue.join", ["timeout"]).required(0);
        let [timeout] = args.bind(&SIGNATURE)?;
        let patience = Patience::of(None, timeout)?;
        while this.unfinished.get() > 0 {
            let Some(deadline) = patience.left() else { return Ok(false) };
            Self::block(py, &this.joiners, deadline, || this.unfinished.get() > 0)?;
        }
        Ok(true)
    }

    fn task_done(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.unfinished.get() == 0 {
            return Err(PyValueError::new_err("task_done() called too many times"));
        }
        this.finish(py, 1)
    }

    fn shutdown(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("ThreadQueue.shutdown", ["immediate"]).required(0);
        let [immediate] = args.bind(&SIGNATURE)?;
        this.shut_down.set(true);
        if immediate.map_or(Ok(false), PyAnyMethods::is_truthy)? {
            let dropped = this.items.take();
            this.finish(py, dropped.len().min(this.unfinished.get()))?;
            drop(dropped);
        }
        wake_all(py, &this.getters)?;
        wake_all(py, &this.putters)
    }

    fn repr(this: &Obj<Self>, _py: Python<'_>) -> String {
        let shut_down = if this.shut_down.get() { " shutdown" } else { "" };
        let (maxsize, size) = (this.maxsize.get(), this.items.borrow().len());
        format!("<ThreadQueue maxsize={maxsize} qsize={size}{shut_down}>")
    }
}

/// The longest wait that `lock.acquire()` takes is some hundred years; a day is long enough for one step.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How long a thread is ready to wait.
enum Patience {
    None,
    Until(Instant),
    Endless,
}

impl Patience {
    fn of(block: Option<&Bound<'_, PyAny>>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Patience> {
        if !block.map_or(Ok(true), PyAnyMethods::is_truthy)? {
            return Ok(Patience::None);
        }
        let Some(timeout) = timeout.filter(|timeout| !timeout.is_none()) else {
            return Ok(Patience::Endless);
        };
        let seconds = timeout.extract::<f64>()?;
        if seconds.is_nan() || seconds < 0.0 {
            return Err(PyValueError::new_err("'timeout' must be a non-negative number"));
        }
        let deadline =
            Duration::try_from_secs_f64(seconds).ok().and_then(|wait| Instant::now().checked_add(wait));
        Ok(deadline.map_or(Patience::Endless, Patience::Until))
    }

    /// Until when to wait now (`None` in it: without end); nothing if patience has run out.
    #[allow(clippy::option_option)] // whether to wait, and until when
    fn left(&self) -> Option<Option<Instant>> {
        match self {
            Patience::None => None,
            Patience::Until(deadline) => (Instant::now() < *deadline).then_some(Some(*deadline)),
            Patience::Endless => Some(None),
        }
    }
}

/// Wakes the first in line that can be woken.
fn wake_next(py: Python<'_>, line: &Line) -> PyResult<()> {
    while let Some(waiter) = line.pop() {
        if wake_in_its_thread(py, &waiter)? {
            break;
        }
    }
    Ok(())
}

fn wake_all(py: Python<'_>, line: &Line) -> PyResult<()> {
    while let Some(waiter) = line.pop() {
        wake_in_its_thread(py, &waiter)?;
    }
    Ok(())
}

/// Wakes a thread, or a task through its loop; false if its loop is closed or its wait was cancelled.
fn wake_in_its_thread(py: Python<'_>, waiter: &Obj) -> PyResult<bool> {
    let Some(fut) = waiter.cast::<Future>() else {
        waiter.bind(py).call_method0(intern!(py, "release"))?;
        return Ok(true);
    };
    let event_loop = fut.get_loop()?.as_any().clone();
    if running::get(py).is_some_and(|running| running.is(&event_loop)) {
        return future_likes::wake(py, waiter);
    }
    if fut.is_done() {
        return Ok(false);
    }
    let resolve =
        native_fn::function(py, "ThreadQueue.<locals>.wake", vec![waiter.clone()], |py, held, _args| {
            future_likes::wake(py, &held[0]).map(drop)
        })?;
    match event_loop.bind(py).call_method1(intern!(py, "call_soon_threadsafe"), (resolve,)) {
        Ok(_) => Ok(true),
        Err(err) if event_loop.bind(py).call_method0(intern!(py, "is_closed"))?.is_truthy()? => {
            // What waited there will not wait any more.
            ferrio_object::swallow(py, err);
            Ok(false)
        }
        Err(err) => Err(err),
    }
}

/// What a task waits with.
fn waiter(py: Python<'_>) -> PyResult<Obj> {
    let event_loop = running::running_loop(py)?;
    Ok(Future::create(py, event_loop)?.into_any())
}

/// Waits in `line` as a task.
fn stand_in(line: &Line, waiter: Obj, item: Option<Obj>) -> Step {
    let ticket = line.join(waiter.clone());
    Step::Park(waiter, Memory { kept: [item, None], number: ticket })
}

/// The wait of a task has ended in an error: if it had been woken, the next one is woken instead.
fn gave_up(py: Python<'_>, line: &Line, ticket: u64, err: PyErr) -> PyErr {
    if line.leave(ticket).is_some() {
        return err;
    }
    match wake_next(py, line) {
        Err(unwakable) if exceptions::err_is_cancelled(py, &err) => unwakable,
        Err(unwakable) => {
            // The coroutine is being closed and so is the loop: there is nobody left to wake.
            ferrio_object::swallow(py, unwakable);
            err
        }
        Ok(()) => err,
    }
}

struct Put;

impl Put {
    fn attempt(this: &Obj<ThreadQueue>, py: Python<'_>, item: Option<Obj>) -> PyResult<Step> {
        let mut item = item.unwrap_or_else(|| Obj::none(py));
        loop {
            match this.offer(py, item)? {
                Ok(()) => return Step::none(py),
                Err(back) => item = back,
            }
            let waiter = waiter(py)?;
            if this.keeps_putters() {
                return Ok(stand_in(&this.putters, waiter, Some(item)));
            }
        }
    }
}

impl Operation for Put {
    type On = ThreadQueue;
    const NAME: &'static str = "ThreadQueue.aput";

    fn begin(this: &Obj<ThreadQueue>, py: Python<'_>, given: Given) -> PyResult<Step> {
        let [item, _] = given;
        Self::attempt(this, py, item)
    }

    fn resume(
        this: &Obj<ThreadQueue>,
        py: Python<'_>,
        memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        let Memory { kept: [item, _], number } = memory;
        match outcome {
            Ok(_) => Self::attempt(this, py, item),
            Err(err) => Err(gave_up(py, &this.putters, number, err)),
        }
    }
}

struct Get;

impl Get {
    fn attempt(this: &Obj<ThreadQueue>, py: Python<'_>) -> PyResult<Step> {
        loop {
            if let Some(item) = this.poll(py)? {
                return Ok(Step::Done(item));
            }
            let waiter = waiter(py)?;
            if this.keeps_getters() {
                return Ok(stand_in(&this.getters, waiter, None));
            }
        }
    }
}

impl Operation for Get {
    type On = ThreadQueue;
    const NAME: &'static str = "ThreadQueue.aget";

    fn begin(this: &Obj<ThreadQueue>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        Self::attempt(this, py)
    }

    fn resume(
        this: &Obj<ThreadQueue>,
        py: Python<'_>,
        memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        match outcome {
            Ok(_) => Self::attempt(this, py),
            Err(err) => Err(gave_up(py, &this.getters, memory.number, err)),
        }
    }
}

struct Join;

impl Operation for Join {
    type On = ThreadQueue;
    const NAME: &'static str = "ThreadQueue.ajoin";

    fn begin(this: &Obj<ThreadQueue>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        if this.unfinished.get() > 0 {
            let waiter = waiter(py)?;
            if this.unfinished.get() > 0 {
                return Ok(stand_in(&this.joiners, waiter, None));
            }
        }
        Step::none(py)
    }

    fn resume(
        this: &Obj<ThreadQueue>,
        py: Python<'_>,
        memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        match outcome {
            Ok(_) => Self::begin(this, py, [None, None]),
            Err(err) => {
                // All joiners are woken together: there is nothing to pass on.
                let left = this.joiners.leave(memory.number);
                drop(left);
                Err(err)
            }
        }
    }
}

impl Class for ThreadQueue {
    type Base = Any;
    ferrio_object::fields!(ThreadQueue {
        items,
        maxsize,
        getters,
        putters,
        joiners,
        unfinished,
        shut_down,
        weaklist: WeakList
    });
    const NAME: &'static str = "ferrio.extras.ThreadQueue";
    const DOC: &'static str = "ThreadQueue(maxsize=0)\n--\n\n\
        A queue between threads and tasks, of any number of loops: first in, first out.\n\n\
        Threads use put(), get() and join(), which block; tasks use `await` aput(), aget() and ajoin(). The others\n\
        never wait and are for both. Threads and tasks are served in the order in which they came. Exceptions are\n\
        asyncio's: QueueEmpty, QueueFull, QueueShutDown.";

    fn blank() -> Self {
        ThreadQueue {
            items: RefCell::new(VecDeque::new()),
            maxsize: Cell::new(0),
            getters: Line::new(),
            putters: Line::new(),
            joiners: Line::new(),
            unfinished: Cell::new(0),
            shut_down: Cell::new(false),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .repr(Self::repr)
            .generic()
            .method(
                "put",
                Self::put,
                "put($self, item, block=True, timeout=None)\n--\n\nPut an item in, from a thread.\n\n\
                 Blocks while the queue is full, for at most `timeout` seconds, then raises QueueFull. Raises\n\
                 QueueShutDown after shutdown().",
            )
            .method(
                "get",
                Self::get,
                "get($self, block=True, timeout=None)\n--\n\nTake an item out, from a thread.\n\n\
                 Blocks while the queue is empty, for at most `timeout` seconds, then raises QueueEmpty. Raises\n\
                 QueueShutDown if it is empty and shut down.",
            )
            .method1(
                "put_nowait",
                Self::put_nowait,
                "put_nowait($self, item, /)\n--\n\nPut an item in, or raise QueueFull.",
            )
            .method0(
                "get_nowait",
                Self::get_nowait,
                "get_nowait($self)\n--\n\nTake an item out, or raise QueueEmpty.",
            )
            .coroutine1(
                "aput",
                |this: &Obj<Self>, py: Python<'_>, item: &Bound<'_, PyAny>| {
                    ready_with::<Put>(py, this, [Some(item.into()), None])
                },
                "aput($self, item, /)\n--\n\nCoroutine: put an item in; waits while the queue is full.",
            )
            .coroutine0(
                "aget",
                |this: &Obj<Self>, py: Python<'_>| ready::<Get>(py, this),
                "aget($self)\n--\n\nCoroutine: take an item out; waits while the queue is empty.",
            )
            .method(
                "join",
                Self::join,
                "join($self, timeout=None)\n--\n\nBlock until all items are dealt with; whether they are.",
            )
            .coroutine0(
                "ajoin",
                |this: &Obj<Self>, py: Python<'_>| ready::<Join>(py, this),
                "ajoin($self)\n--\n\nCoroutine: wait until all items are dealt with.",
            )
            .method0(
                "task_done",
                Self::task_done,
                "task_done($self)\n--\n\nSay that an item is dealt with.\n\n\
                 Raises ValueError if there are no more to deal with.",
            )
            .method(
                "shutdown",
                Self::shutdown,
                "shutdown($self, immediate=False)\n--\n\n\
                 Let puts raise QueueShutDown, and gets too when no items are left.\n\n\
                 Wakes all that wait. With `immediate` the items are dropped and count as dealt with.",
            )
            .method0(
                "qsize",
                |this: &Obj<Self>, _py: Python<'_>| this.items.borrow().len(),
                "qsize($self)\n--\n\nHow many items are in it.",
            )
            .method0(
                "empty",
                |this: &Obj<Self>, _py: Python<'_>| this.items.borrow().is_empty(),
                "empty($self)\n--\n\nWhether there are no items in it.",
            )
            .method0(
                "full",
                |this: &Obj<Self>, _py: Python<'_>| this.is_full(),
                "full($self)\n--\n\nWhether there are maxsize items in it.",
            )
            .getter(
                "maxsize",
                |this: &Obj<Self>, _py: Python<'_>| this.maxsize.get(),
                "How many items may be in it; 0: any number.",
            );
    }
}
