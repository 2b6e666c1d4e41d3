//! `asyncio.streams.FlowControlMixin`: a protocol that is paused, and the drains that wait until it is resumed.

use std::cell::{Cell, RefCell};

use ferrio_object::{Any, Args, Class, ClassBuilder, DictSlot, Obj, Replaced, Signature, WeakList};
use pyo3::exceptions::{PyAssertionError, PyConnectionResetError, PyNotImplementedError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::attributes::{event_loop, flag};
use super::dict_state;
use super::operation::{Op, StreamOperation};
use crate::event_loop::{LoopRef, running};
use crate::future_likes;
use crate::log::{self, Level};

/// The contents of a `FlowControlMixin`.
pub struct FlowControlMixin {
    pub(super) event_loop: RefCell<Option<LoopRef>>,
    pub(super) paused: Cell<bool>,
    pub(super) lost: Cell<bool>,
    /// Which methods have been replaced (`replaced.rs`).
    pub(super) replaced: Replaced,
    /// Whether the state is in the instance's dict too (`dict_state.rs`).
    pub(super) in_dict: Cell<bool>,
    waiters: RefCell<Vec<Obj>>,
    dict: DictSlot,
    weaklist: WeakList,
}

impl FlowControlMixin {
    /// Contents of a protocol of `event_loop`.
    pub(crate) fn new(event_loop: Option<LoopRef>) -> Self {
        FlowControlMixin {
            event_loop: RefCell::new(event_loop),
            paused: Cell::new(false),
            lost: Cell::new(false),
            replaced: Replaced::unknown(),
            in_dict: Cell::new(false),
            waiters: RefCell::new(Vec::new()),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("FlowControlMixin", ["loop"]).required(0);
        let [event_loop] = args.bind(&SIGNATURE)?;
        this.initialize(running::loop_or_current(py, event_loop)?);
        Ok(())
    }

    /// `__init__`.
    pub(crate) fn initialize(&self, event_loop: LoopRef) {
        let old = self.event_loop.replace(Some(event_loop));
        drop(old);
        self.paused.set(false);
        self.lost.set(false);
    }

    /// The loop.
    ///
    /// # Errors
    /// `RuntimeError` if `__init__` did not run.
    pub(crate) fn get_loop(&self) -> PyResult<LoopRef> {
        let event_loop = self.event_loop.borrow().clone();
        event_loop.ok_or_else(|| PyRuntimeError::new_err("protocol is not initialized"))
    }

    /// Whether the state is in native fields alone.
    #[inline]
    pub(crate) fn is_native(&self) -> bool {
        !self.in_dict.get()
    }

    /// `pause_writing()`.
    ///
    /// # Errors
    /// `AssertionError` if it is paused already.
    pub(crate) fn pause_writing(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.paused.replace(true) {
            return Err(PyAssertionError::new_err("pause_writing() called twice"));
        }
        Self::log(this, py, "%r pauses writing")
    }

    /// `resume_writing()`: every drain that waits ends.
    ///
    /// # Errors
    /// `AssertionError` if it is not paused; what waiters that are not ours raise.
    pub(crate) fn resume_writing(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.paused.replace(false) {
            return Err(PyAssertionError::new_err("resume_writing() called without pause_writing()"));
        }
        Self::log(this, py, "%r resumes writing")?;
        this.each_waiter(py, |waiter| future_likes::wake(py, waiter).map(drop))
    }

    /// `connection_lost(exc)`: every drain that waits ends, with the exception if there is one.
    ///
    /// # Errors
    /// What waiters that are not ours raise.
    pub(crate) fn connection_lost(&self, py: Python<'_>, exc: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.lost.set(true);
        if !self.paused.get() {
            return Ok(());
        }
        self.each_waiter(py, |waiter| match exc {
            None => future_likes::wake(py, waiter).map(drop),
            Some(exc) => future_likes::fail(py, waiter, exc),
        })
    }

    fn each_waiter(&self, py: Python<'_>, mut tell: impl FnMut(&Obj) -> PyResult<()>) -> PyResult<()> {
        // They leave the list themselves, when they run.
        let waiters = self.waiters.borrow().clone();
        for waiter in waiters {
            if !future_likes::is_done(py, &waiter)? {
                tell(&waiter)?;
            }
        }
        Ok(())
    }

    /// The beginning of `_drain_helper`: the future to wait for, if the protocol is paused.
    ///
    /// # Errors
    /// `ConnectionResetError` if the connection is lost.
    pub(super) fn drain_waiter(&self, py: Python<'_>) -> PyResult<Option<Obj>> {
        if self.lost.get() {
            return Err(PyConnectionResetError::new_err("Connection lost"));
        }
        if !self.paused.get() {
            return Ok(None);
        }
        let waiter = self.get_loop()?.create_future(py)?;
        self.waiters.borrow_mut().push(waiter.clone());
        Ok(Some(waiter))
    }

    /// The wait for `waiter` has ended.
    pub(super) fn waited(&self, waiter: &Obj) {
        let mut waiters = self.waiters.borrow_mut();
        let found = waiters.iter().position(|known| known.is(waiter)).map(|at| waiters.remove(at));
        drop(waiters);
        drop(found);
    }

    fn log(this: &Obj<Self>, py: Python<'_>, message: &str) -> PyResult<()> {
        if this.get_loop()?.get_debug(py)? {
            log::write(py, "ferrio.streams", Level::Debug, (message, this))?;
        }
        Ok(())
    }

    fn py_connection_lost(this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        dict_state::with(this, py, || this.connection_lost(py, (!exc.is_none()).then_some(exc)))
    }

    fn drain_helper(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        StreamOperation::make(py, Op::DrainHelper, this, None)
    }

    fn get_close_waiter(_this: &Obj<Self>, _py: Python<'_>, _stream: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyNotImplementedError::new_err("_get_close_waiter"))
    }
}

impl Class for FlowControlMixin {
    type Base = Any;
    ferrio_object::fields!(FlowControlMixin {
        event_loop: kept,
        paused,
        lost,
        replaced,
        in_dict,
        waiters,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "asyncio.streams.FlowControlMixin";
    const DOC: &'static str = "FlowControlMixin(loop=None)\n--\n\n\
        A protocol that remembers being paused, for StreamWriter.drain().\n\n\
        A derived class that overrides pause_writing(), resume_writing() or connection_lost() calls these too.";

    fn blank() -> Self {
        Self::new(None)
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .replaceable()
            .getset("__dict__", dict_state::get, dict_state::set, "")
            .method0("pause_writing", |this: &Obj<Self>, py: Python<'_>| dict_state::with(this, py, || Self::pause_writing(this, py)),
                "pause_writing($self, /)\n--\n\nThe transport's buffer is over its high-water mark.")
            .method0("resume_writing", |this: &Obj<Self>, py: Python<'_>| dict_state::with(this, py, || Self::resume_writing(this, py)),
                "resume_writing($self, /)\n--\n\nThe transport's buffer has drained.")
            .method1_named("connection_lost", Self::py_connection_lost,
                || Signature::new("connection_lost", ["exc"]),
                "connection_lost($self, /, exc)\n--\n\nThe connection is gone; drains end, with `exc` if there is one.")
            .coroutine0("_drain_helper", Self::drain_helper, "_drain_helper($self, /)\n--\n\n")
            .method1("_get_close_waiter", Self::get_close_waiter, "_get_close_waiter($self, stream, /)\n--\n\n")
            .getter("_drain_waiters", |this: &Obj<Self>, py: Python<'_>| {
                let waiters = this.waiters.borrow().clone();
                PyList::new(py, waiters).map(Obj::from)
            }, "");
        flag!(class, FlowControlMixin, "_paused", paused);
        flag!(class, FlowControlMixin, "_connection_lost", lost);
        event_loop!(class, FlowControlMixin);
    }
}
