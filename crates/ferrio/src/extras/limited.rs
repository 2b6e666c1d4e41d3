//! `gather_limited` and `map_limited`: many awaitables, a few at a time.
//!
//! Both are one thing: a window of tasks that moves over the items. One consumer takes results out at its front (or
//! those that are ready), which makes room for the next item. What ends it early (an error in a task, in the
//! function, in the iterable, a cancellation of the consumer) cancels what is in the window and is raised when
//! all of that has ended, so that nothing runs on behind the caller's back.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell, Signature, WeakList, vectorcall};
use pyo3::exceptions::{PyRuntimeError, PyStopAsyncIteration, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::coro::{Given, Memory, Operation, Step, ready};
use crate::event_loop::running;
use crate::future::{self, Future};
use crate::native_fn::{self, NativeFn};
use crate::{exceptions, future_likes, task};

/// The contents of a limited run.
pub struct Limited {
    /// Makes an awaitable of an item; without it items are awaitables.
    function: ObjCell,
    /// The iterator over the items; empty when there are no more.
    items: ObjCell,
    limit: Cell<usize>,
    ordered: Cell<bool>,
    return_exceptions: Cell<bool>,
    /// Tasks whose results have not been taken out, in the order of the items.
    window: RefCell<VecDeque<Obj>>,
    /// Those of them that are not done.
    running: Cell<usize>,
    /// Those that are done, in the order in which they were, when results are wanted as they come.
    ready: RefCell<VecDeque<Obj>>,
    /// Why it ends early.
    failure: ObjCell,
    results: RefCell<Vec<Obj>>,
    /// The consumer, while it waits.
    waiter: ObjCell<Future>,
    ended: ObjCell<NativeFn>,
    weaklist: WeakList,
}

impl Limited {
    fn create(
        py: Python<'_>,
        limit: &Bound<'_, PyAny>,
        function: Option<Obj>,
        items: &Bound<'_, PyAny>,
    ) -> PyResult<Obj<Limited>> {
        let limit = limit.extract::<i64>()?;
        let Some(limit) = usize::try_from(limit).ok().filter(|limit| *limit > 0) else {
            return Err(PyValueError::new_err("limit must be at least 1"));
        };
        let mut contents = Limited::blank();
        contents.limit = Cell::new(limit);
        contents.function = function.into();
        contents.items = ObjCell::new(items.try_iter()?.into_any().into());
        Obj::create(py, ((), contents))
    }

    /// Takes the next item, or lets go of the iterator.
    fn next_item(&self, py: Python<'_>) -> PyResult<Option<Obj>> {
        let Some(items) = self.items.get() else { return Ok(None) };
        let mut iterator = items.bind(py).try_iter()?;
        match iterator.next() {
            Some(Ok(item)) => Ok(Some(item.into())),
            Some(Err(err)) => {
                self.items.set(None);
                Err(err)
            }
            None => {
                self.items.set(None);
                Ok(None)
            }
        }
    }

    /// Starts what there is room for.
    fn fill(this: &Obj<Limited>, py: Python<'_>) -> PyResult<()> {
        while this.failure.is_none() && this.window.borrow().len() < this.limit.get() {
            let Some(item) = this.next_item(py)? else { return Ok(()) };
            let awaitable = match this.function.get() {
                Some(function) => vectorcall(py, &function, &[item])?,
                None => item,
            };
            let event_loop = running::running_loop(py)?;
            let task = task::ensure_future(py, awaitable.bind(py), Some(&event_loop))?;
            this.window.borrow_mut().push_back(task.clone());
            this.running.set(this.running.get() + 1);
            let ended = Self::ended_callback(this, py)?;
            future_likes::on_done(py, &task, &ended)?;
        }
        Ok(())
    }

    fn ended_callback(this: &Obj<Limited>, py: Python<'_>) -> PyResult<Obj<NativeFn>> {
        if let Some(ended) = this.ended.get() {
            return Ok(ended);
        }
        let held = vec![this.as_any().clone()];
        let ended = native_fn::done_callback(py, "Limited.<locals>.ended", held, |py, held, task| {
            held[0].cast::<Limited>().map_or(Ok(()), |this| Limited::task_ended(this, py, task))
        })?;
        this.ended.set(Some(ended.clone()));
        Ok(ended)
    }

    fn task_ended(this: &Obj<Limited>, py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        this.running.set(this.running.get() - 1);
        if !this.ordered.get() {
            this.ready.borrow_mut().push_back(task.into());
        }
        if this.failure.is_some() {
            // Asked for, so that nobody is told that it was never retrieved.
            if let Err(err) = outcome(py, &task.into()) {
                ferrio_object::swallow(py, err);
            }
        } else if !this.return_exceptions.get()
            && let Err(err) = outcome(py, &task.into())
        {
            this.fail(py, err)?;
        }
        match this.waiter.take() {
            Some(waiter) => future::wake(&waiter, py).map(drop),
            None => Ok(()),
        }
    }

    /// Ends it early: nothing new is begun, what is at work is cancelled.
    fn fail(&self, py: Python<'_>, err: PyErr) -> PyResult<()> {
        if self.failure.is_some() {
            ferrio_object::swallow(py, err);
            return Ok(());
        }
        self.failure.set(Some(exceptions::value_of(py, err)));
        self.cancel_all(py)
    }

    fn cancel_all(&self, py: Python<'_>) -> PyResult<()> {
        let all: Vec<Obj> = self.window.borrow().iter().cloned().collect();
        for task in &all {
            future_likes::cancel(py, task, None)?;
        }
        if self.function.is_none() {
            // Coroutines that were handed to us and will never run.
            while let Some(item) = self.next_item(py)? {
                if let Some(close) = item.bind(py).getattr_opt(intern!(py, "close"))? {
                    close.call0()?;
                }
            }
        }
        self.items.set(None);
        Ok(())
    }

    /// The next result that can be had now.
    fn take(&self, py: Python<'_>) -> PyResult<Option<Obj>> {
        let task = if self.ordered.get() {
            let first = self.window.borrow().front().cloned();
            match first {
                Some(first) if future_likes::is_done(py, &first)? => self.window.borrow_mut().pop_front(),
                _ => None,
            }
        } else {
            let task = self.ready.borrow_mut().pop_front();
            if let Some(task) = &task {
                self.window.borrow_mut().retain(|other| !other.is(task));
            }
            task
        };
        let Some(task) = task else { return Ok(None) };
        match outcome(py, &task) {
            Ok(result) => Ok(Some(result)),
            Err(err) if self.return_exceptions.get() => Ok(Some(exceptions::value_of(py, err))),
            Err(err) => Err(err),
        }
    }

    /// Waits until a task has ended.
    fn wait(&self, py: Python<'_>) -> PyResult<Step> {
        if self.waiter.is_some() {
            return Err(PyRuntimeError::new_err("results are taken by one task at a time"));
        }
        let event_loop = running::running_loop(py)?;
        let waiter = Future::create(py, event_loop)?;
        self.waiter.set(Some(waiter.clone()));
        Ok(Step::Park(waiter.into_any(), Memory::default()))
    }

    /// Goes on with what the consumer wants next: a result, the end, or to wait.
    fn advance(this: &Obj<Limited>, py: Python<'_>) -> PyResult<Advance> {
        if let Err(err) = Self::fill(this, py) {
            this.fail(py, err)?;
        }
        if this.failure.is_none() {
            match this.take(py) {
                Ok(Some(result)) => {
                    // Room for the next one, while the consumer is busy with this one.
                    if let Err(err) = Self::fill(this, py) {
                        this.fail(py, err)?;
                    }
                    return Ok(Advance::Result(result));
                }
                Ok(None) if this.window.borrow().is_empty() => return Ok(Advance::End),
                Ok(None) => {}
                Err(err) => this.fail(py, err)?,
            }
        }
        if this.failure.is_some() && this.running.get() == 0 {
            let window = this.window.take();
            let ready = this.ready.take();
            drop((window, ready));
            this.ended.set(None);
            if let Some(failure) = this.failure.take() {
                return Err(ferrio_object::raise(py, &failure));
            }
        }
        Ok(Advance::Wait)
    }

    /// After a wait: a cancellation of the consumer ends everything.
    fn waited(&self, py: Python<'_>, outcome: PyResult<Obj>) -> PyResult<()> {
        self.waiter.set(None);
        match outcome {
            Ok(_) => Ok(()),
            Err(err) if exceptions::err_is_cancelled(py, &err) && self.failure.is_none() => {
                self.fail(py, err)
            }
            Err(err) => {
                // Cancelled once more, or closed: the tasks are cancelled, and are not waited for.
                self.cancel_all(py)?;
                Err(err)
            }
        }
    }

    fn aiter(this: &Obj<Limited>, _py: Python<'_>) -> Obj<Limited> {
        this.clone()
    }
}

enum Advance {
    Result(Obj),
    Wait,
    End,
}

/// The result of a task that is done, or its error.
fn outcome(py: Python<'_>, task: &Obj) -> PyResult<Obj> {
    match task.cast::<Future>() {
        Some(fut) => fut.get_result(py),
        None => Ok(task.bind(py).call_method0(intern!(py, "result"))?.into()),
    }
}

struct Collect;

impl Collect {
    fn go_on(this: &Obj<Limited>, py: Python<'_>) -> PyResult<Step> {
        loop {
            match Limited::advance(this, py)? {
                Advance::Result(result) => this.results.borrow_mut().push(result),
                Advance::Wait => return this.wait(py),
                Advance::End => {
                    let results = this.results.take();
                    return Ok(Step::Done(PyList::new(py, results)?.into()));
                }
            }
        }
    }
}

impl Operation for Collect {
    type On = Limited;
    const NAME: &'static str = "gather_limited";

    fn begin(this: &Obj<Limited>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        Self::go_on(this, py)
    }

    fn resume(
        this: &Obj<Limited>,
        py: Python<'_>,
        _memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        this.waited(py, outcome)?;
        Self::go_on(this, py)
    }
}

struct Next;

impl Next {
    fn go_on(this: &Obj<Limited>, py: Python<'_>) -> PyResult<Step> {
        match Limited::advance(this, py)? {
            Advance::Result(result) => Ok(Step::Done(result)),
            Advance::Wait => this.wait(py),
            Advance::End => Err(PyStopAsyncIteration::new_err(())),
        }
    }
}

impl Operation for Next {
    type On = Limited;
    const NAME: &'static str = "map_limited.__anext__";

    fn begin(this: &Obj<Limited>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        Self::go_on(this, py)
    }

    fn resume(
        this: &Obj<Limited>,
        py: Python<'_>,
        _memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        this.waited(py, outcome)?;
        Self::go_on(this, py)
    }
}

struct Close;

impl Close {
    fn go_on(this: &Obj<Limited>, py: Python<'_>) -> PyResult<Step> {
        if this.running.get() > 0 {
            return this.wait(py);
        }
        let window = this.window.take();
        let ready = this.ready.take();
        drop((window, ready));
        this.failure.set(None);
        this.ended.set(None);
        Step::none(py)
    }
}

impl Operation for Close {
    type On = Limited;
    const NAME: &'static str = "map_limited.aclose";

    fn begin(this: &Obj<Limited>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        // A failure that nobody sees: it keeps new items from being begun while the tasks end.
        if this.failure.is_none() {
            this.failure.set(Some(exceptions::new_cancelled(py, None)?));
        }
        this.cancel_all(py)?;
        Self::go_on(this, py)
    }

    fn resume(
        this: &Obj<Limited>,
        py: Python<'_>,
        _memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        this.waiter.set(None);
        outcome?;
        Self::go_on(this, py)
    }
}

/// `gather_limited(limit, *aws, return_exceptions=False)`.
///
/// # Errors
/// `ValueError` if the limit is less than 1, `TypeError` for wrong arguments.
pub(super) fn py_gather_limited(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<2> =
        Signature::new("gather_limited", ["limit", "return_exceptions"]).positional(1).required(1);
    let ([limit, return_exceptions], awaitables) = args.bind_rest(&SIGNATURE)?;
    let Some(limit) = limit else { return Err(PyTypeError::new_err("a limit is required")) };
    let items = PyTuple::new(py, awaitables)?;
    let this = Limited::create(py, limit, None, items.as_any())?;
    this.return_exceptions.set(return_exceptions.map_or(Ok(false), PyAnyMethods::is_truthy)?);
    ready::<Collect>(py, &this)
}

/// `map_limited(function, iterable, *, limit, ordered=True)`.
///
/// # Errors
/// `ValueError` if the limit is less than 1, `TypeError` for wrong arguments.
pub(super) fn py_map_limited(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<Limited>> {
    const SIGNATURE: Signature<4> =
        Signature::new("map_limited", ["function", "iterable", "limit", "ordered"]).positional(2);
    let [function, iterable, limit, ordered] = args.bind(&SIGNATURE)?;
    let (Some(function), Some(iterable), Some(limit)) = (function, iterable, limit) else {
        return Err(PyTypeError::new_err("map_limited() missing the required keyword argument 'limit'"));
    };
    let this = Limited::create(py, limit, Some(function.into()), iterable)?;
    this.ordered.set(ordered.map_or(Ok(true), PyAnyMethods::is_truthy)?);
    Ok(this)
}

impl Class for Limited {
    type Base = Any;
    ferrio_object::fields!(Limited {
        function,
        items,
        limit,
        ordered,
        return_exceptions,
        window,
        running,
        ready,
        failure,
        results,
        waiter,
        ended,
        weaklist: WeakList
    });
    const NAME: &'static str = "ferrio.extras._MapLimited";
    const DOC: &'static str = "What map_limited() returns.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        Limited {
            function: ObjCell::empty(),
            items: ObjCell::empty(),
            limit: Cell::new(1),
            ordered: Cell::new(true),
            return_exceptions: Cell::new(false),
            window: RefCell::new(VecDeque::new()),
            running: Cell::new(0),
            ready: RefCell::new(VecDeque::new()),
            failure: ObjCell::empty(),
            results: RefCell::new(Vec::new()),
            waiter: ObjCell::empty(),
            ended: ObjCell::empty(),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .aiter_itself()
            .anext(|this: &Obj<Self>, py: Python<'_>| ready::<Next>(py, this))
            .method0("__aiter__", Self::aiter, "")
            .coroutine0(
                "aclose",
                |this: &Obj<Self>, py: Python<'_>| ready::<Close>(py, this),
                "aclose($self, /)\n--\n\nCoroutine: cancel what is at work, and wait until it has ended.",
            );
    }
}
