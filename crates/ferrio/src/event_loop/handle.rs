//! `asyncio.Handle`: a callback with its arguments, waiting to be called.
//!
//! The garbage collector tracks a handle only where it may stay: tracking all would double the cost of a long queue. One
//! that is made while its loop runs is untracked. A running loop is alive anyway, and to run the handle in the next turn
//! empties it. [`Obj::track`] is called for each that may hold something for longer: its loop does not run, or stops
//! before the handle has run; it is cancelled, which leaves it the loop; it is called again and again (readers, signals);
//! it keeps what it has called (debug mode, `_run()`); Python code has made or changed it, or may have taken it out of
//! the queue.

use std::cell::Cell;

use ferrio_object::{
    Any, Args, Class, ClassBuilder, Methods, Obj, ObjCell, Raised, Replaceable, Signature, ThreadState,
    WeakList, vectorcall_drop,
};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::run_lock::RunLock;
use super::{ExceptionContext, HandleArgs, Loop, LoopRef, held_writes};
use crate::exceptions;

/// The contents of a `Handle`. Small, since a million of them may wait at once.
pub struct Handle {
    pub(crate) callback: ObjCell,
    args: Cell<HandleArgs>,
    /// None stands for a context without variables, to be made when it is needed.
    context: ObjCell,
    /// The loop, if it is one of ours.
    pub(crate) event_loop: ObjCell<Loop>,
    rare: Cell<Option<Box<Rare>>>,
    pub(crate) cancelled: Cell<bool>,
    weaklist: WeakList,
}

/// What few handles have.
#[derive(Default)]
struct Rare {
    /// A loop that is not ours.
    foreign_loop: Option<Obj>,
    source_traceback: Option<Obj>,
    /// The tuple that was given to `__init__`, for programs that ask for `_args`; once cancelled, in debug mode, the
    /// repr from before.
    memo: Option<Obj>,
}

ferrio_object::traverse!(struct Rare { foreign_loop, source_traceback, memo });

impl Handle {
    #[inline(always)]
    pub(crate) fn new(callback: Obj, args: HandleArgs, context: Option<Obj>, event_loop: Obj<Loop>) -> Self {
        Handle {
            callback: ObjCell::new(callback),
            args: Cell::new(args),
            context: ObjCell::from(context),
            event_loop: ObjCell::new(event_loop),
            rare: Cell::new(None),
            cancelled: Cell::new(false),
            weaklist: WeakList::new(),
        }
    }

    /// Looks at what few handles have. `f` must not run Python code.
    fn with_rare<R>(&self, f: impl FnOnce(&Rare) -> R) -> Option<R> {
        let rare = self.rare.take();
        let seen = rare.as_deref().map(f);
        self.rare.set(rare);
        seen
    }

    /// Changes what few handles have; what `f` takes out is dropped by the caller.
    fn change_rare<R>(&self, f: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let changed = f(&mut rare);
        self.rare.set(Some(rare));
        changed
    }

    /// The context to run in; `None` once the handle holds nothing any more.
    pub(crate) fn context(&self, py: Python<'_>) -> PyResult<Option<Obj>> {
        if self.context.is_none() && self.callback.is_some() {
            self.context.set(Some(ThreadState::empty_context(py)?));
        }
        Ok(self.context.get())
    }

    /// Copies of the arguments.
    pub(crate) fn args(&self) -> Vec<Obj> {
        let args = self.args.take();
        let copies = args.as_slice().to_vec();
        self.args.set(args);
        copies
    }

    /// Where it was created, in debug mode.
    pub(crate) fn source_traceback(&self) -> Option<Obj> {
        self.with_rare(|rare| rare.source_traceback.clone()).flatten()
    }

    pub(crate) fn set_source_traceback(&self, traceback: Option<Obj>) {
        let old = self.change_rare(|rare| std::mem::replace(&mut rare.source_traceback, traceback));
        drop(old);
    }

    fn memo(&self) -> Option<Obj> {
        self.with_rare(|rare| rare.memo.clone()).flatten()
    }

    fn set_memo(&self, memo: Option<Obj>) {
        if memo.is_none() && self.with_rare(|_| ()).is_none() {
            return;
        }
        let old = self.change_rare(|rare| std::mem::replace(&mut rare.memo, memo));
        drop(old);
    }

    /// The loop.
    pub(crate) fn loop_ref(&self) -> Option<LoopRef> {
        match self.event_loop.get() {
            Some(native) => Some(LoopRef::Native(native)),
            None => self.with_rare(|rare| rare.foreign_loop.clone()).flatten().map(LoopRef::Foreign),
        }
    }

    fn set_loop(&self, event_loop: LoopRef) {
        let (native, foreign) = match event_loop {
            LoopRef::Native(native) => (Some(native), None),
            LoopRef::Foreign(foreign) => (None, Some(foreign)),
        };
        self.event_loop.set(native);
        if foreign.is_some() || self.with_rare(|_| ()).is_some() {
            let old = self.change_rare(|rare| std::mem::replace(&mut rare.foreign_loop, foreign));
            drop(old);
        }
    }

    /// Lets go of everything that the handle would have called with.
    pub(crate) fn empty(&self) {
        self.callback.set(None);
        drop(self.args.take());
        self.context.set(None);
        self.event_loop.set(None);
        if self.with_rare(|rare| rare.foreign_loop.is_some()) == Some(true) {
            let old = self.change_rare(|rare| rare.foreign_loop.take());
            drop(old);
        }
    }

    fn debug(&self, py: Python<'_>) -> PyResult<bool> {
        self.loop_ref().map_or(Ok(false), |event_loop| event_loop.get_debug(py))
    }

    /// Cancels the handle: it will not be called.
    ///
    /// # Errors
    /// What a foreign loop's `get_debug` or, in debug mode, a `repr` raises.
    pub(crate) fn cancel(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.cancelled.get() {
            return Ok(());
        }
        this.cancelled.set(true);
        this.track();
        this.set_memo(None);
        if this.debug(py)? {
            // What it would have called is about to be forgotten; a debugger wants to know it still.
            this.set_memo(Some(this.bind(py).repr()?.into()));
        }
        // The loop stays: reports on cancelled handles in debug mode ask for it.
        this.callback.set(None);
        drop(this.args.take());
        this.context.set(None);
        Ok(())
    }

    /// Calls the callback for the last time: what the handle holds is moved out and dropped afterwards, so that a
    /// handle kept by its owner keeps nothing else alive, and nothing happens to what runs if the callback cancels
    /// its own handle.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit`, which end the loop.
    #[inline]
    pub(crate) fn run_out(this: &Obj<Self>, py: Python<'_>) -> Result<(), Raised> {
        let Some(callback) = this.callback.take() else { return Ok(()) };
        let context = match this.context.take() {
            Some(context) => context,
            None => ThreadState::empty_context(py)?,
        };
        let args = this.args.take();
        let outcome =
            ThreadState::in_context(py, &context, || vectorcall_drop(py, &callback, args.as_slice()));
        if let Err(raised) = outcome {
            let err = raised.take(py);
            if !this.cancelled.get() {
                this.callback.set(Some(callback));
                this.context.set(Some(context));
                this.args.set(args);
            }
            let outcome = Self::failed(this, py, err);
            this.empty();
            return Ok(outcome?);
        }
        drop(ThreadState::recycle_context(context));
        this.event_loop.set(None);
        Ok(())
    }

    /// `handle._run()`, where that is not ours. A replacement mostly calls the original.
    ///
    /// # Errors
    /// What it raises.
    #[cold]
    pub(crate) fn run_by_name(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.track();
        this.bind(py).call_method0(intern!(py, "_run")).map(drop)
    }

    /// Calls the callback in its context, and keeps it: in debug mode the handle may have to be shown afterwards, and
    /// those of `add_reader` and the like are called again and again. An exception goes to the loop's handler.
    ///
    /// # Errors
    /// `KeyboardInterrupt` and `SystemExit`, which end the loop.
    pub(crate) fn run(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.track();
        let (Some(callback), Some(context)) = (this.callback.get(), this.context(py)?) else {
            return Ok(());
        };
        let args = this.args();
        match ThreadState::in_context(py, &context, || vectorcall_drop(py, &callback, &args)) {
            Ok(()) => Ok(()),
            Err(raised) => Self::failed(this, py, raised.take(py)),
        }
    }

    /// As [`Handle::run`], in a turn of `event_loop`.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub(crate) fn run_kept(this: &Obj<Self>, py: Python<'_>, event_loop: &Obj<Loop>) -> PyResult<()> {
        Self::shown_while(this, event_loop, || Self::run(this, py))
    }

    /// Calls `f`, which runs the handle; in debug mode the loop's reports of errors know of it meanwhile.
    #[inline]
    pub(crate) fn shown_while<R>(this: &Obj<Self>, event_loop: &Obj<Loop>, f: impl FnOnce() -> R) -> R {
        if !event_loop.debug.get() {
            return f();
        }
        drop(event_loop.current_handle.replace(Some(this.as_any().clone())));
        let outcome = f();
        drop(event_loop.current_handle.take());
        outcome
    }

    /// `_run()`, as loops written in Python call it: within a step of a loop of ours if they are nested in one.
    fn py_run(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let event_loop = this.event_loop.get();
        let outcome = match this.as_any().cast_exact::<ThreadSafeHandle>() {
            Some(_) if this.cancelled.get() => Ok(()),
            Some(handle) => ThreadSafeHandle::while_running(handle, py, || Self::run(this, py)),
            None => Self::run(this, py),
        };
        match event_loop {
            Some(event_loop) if event_loop.held.wait_for_step() => {
                outcome.and(held_writes::send_all(&event_loop, py))
            }
            _ => outcome,
        }
    }

    #[cold]
    fn failed(this: &Obj<Self>, py: Python<'_>, err: PyErr) -> PyResult<()> {
        if exceptions::is_exit(py, &err) {
            return Err(err);
        }
        let Some(event_loop) = this.loop_ref() else { return Err(err) };
        let callback = match this.callback.get() {
            Some(callback) => {
                let args = this.args();
                crate::debug::format_callback_source(py, callback.bind(py), &args, this.debug(py)?)?
            }
            None => "None()".to_owned(),
        };
        ExceptionContext::new(py)
            .with("message", format!("Exception in callback {callback}"))?
            .with("exception", exceptions::value_of(py, err))?
            .with("handle", this)?
            .with_any("source_traceback", this.source_traceback())?
            .report_to(event_loop.as_any())
    }

    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<4> =
            Signature::new("Handle", ["callback", "args", "loop", "context"]).required(3);
        let [callback, args, event_loop, context] = args.bind(&SIGNATURE)?;
        Self::initialize(this, py, callback, args, event_loop, context)
    }

    pub(crate) fn initialize(
        this: &Obj<Self>,
        py: Python<'_>,
        callback: Option<&Bound<'_, PyAny>>,
        args: Option<&Bound<'_, PyAny>>,
        event_loop: Option<&Bound<'_, PyAny>>,
        context: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (Some(callback), Some(args), Some(event_loop)) = (callback, args, event_loop) else {
            return Err(PyTypeError::new_err("Handle needs a callback, arguments and a loop"));
        };
        let context = match context {
            Some(context) if !context.is_none() => Some(context.into()),
            _ => ThreadState::snapshot(py)?,
        };
        let event_loop = LoopRef::new(event_loop);
        let debug = event_loop.get_debug(py)?;
        let memo = args.is_exact_instance_of::<PyTuple>().then(|| Obj::from(args));
        let args = args.try_iter()?.map(|arg| arg.map(Obj::from)).collect::<PyResult<HandleArgs>>()?;
        this.track();
        this.callback.set(Some(callback.into()));
        drop(this.args.replace(args));
        this.context.set(context);
        this.set_loop(event_loop);
        this.cancelled.set(false);
        this.set_memo(memo);
        if debug {
            this.set_source_traceback(Some(crate::debug::extract_stack(py)?));
        }
        Ok(())
    }

    pub(crate) fn repr_info(this: &Obj<Self>, py: Python<'_>) -> PyResult<Vec<String>> {
        let mut info = vec![this.bind(py).get_type().name()?.to_string()];
        if this.cancelled.get() {
            info.push("cancelled".to_owned());
        }
        if let Some(callback) = this.callback.get().filter(|callback| !callback.is_none()) {
            let args = this.args();
            let debug = this.debug(py)?;
            info.push(crate::debug::format_callback_source(py, callback.bind(py), &args, debug)?);
        }
        if let Some(traceback) = this.source_traceback() {
            let traceback = traceback.bind(py);
            if traceback.is_truthy()? {
                let frame = traceback.get_item(-1)?;
                info.push(format!("created at {}:{}", frame.get_item(0)?.str()?, frame.get_item(1)?.str()?));
            }
        }
        Ok(info)
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        if let Some(repr) = this.memo().filter(|_| this.cancelled.get()) {
            return repr.bind(py).extract();
        }
        let info = this.bind(py).call_method0(intern!(py, "_repr_info"))?;
        let info: Vec<String> = info.extract()?;
        Ok(format!("<{}>", info.join(" ")))
    }

    fn get_args(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<Obj>> {
        if this.cancelled.get() {
            return Ok(None);
        }
        if let Some(given) = this.memo() {
            return Ok(Some(given));
        }
        Ok(Some(PyTuple::new(py, this.args())?.into()))
    }

    fn set_args(this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let args = match value {
            Some(value) if !value.is_none() => {
                value.try_iter()?.map(|arg| arg.map(Obj::from)).collect::<PyResult<HandleArgs>>()?
            }
            _ => HandleArgs::None,
        };
        this.track();
        if !this.cancelled.get() {
            this.set_memo(None);
        }
        drop(this.args.replace(args));
        Ok(())
    }

    fn set_callback(this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        this.track();
        this.callback.set(Obj::unless_none(value));
        Ok(())
    }

    fn repr_info_list(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        Ok(pyo3::types::PyList::new(py, Self::repr_info(this, py)?)?.into())
    }
}

const NAMES: [&str; 1] = ["_run"];

impl Replaceable for Handle {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&NAMES);
        &METHODS
    }
}

impl Class for Handle {
    type Base = Any;
    ferrio_object::fields!(
        Handle { callback, args, context, event_loop, rare, cancelled, weaklist: WeakList },
        freelist
    );
    const NAME: &'static str = "asyncio.Handle";
    const DOC: &'static str = "Handle(callback, args, loop, context=None)\n--\n\n\
        A callback scheduled by call_soon(), call_soon_threadsafe(), add_reader() and the like.";
    const BORN_TRACKED: bool = false;

    fn blank() -> Self {
        Handle {
            callback: ObjCell::empty(),
            args: Cell::new(HandleArgs::None),
            context: ObjCell::empty(),
            event_loop: ObjCell::empty(),
            rare: Cell::new(None),
            cancelled: Cell::new(false),
            weaklist: WeakList::new(),
        }
    }

    fn clear(&self) {
        self.empty();
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .repr(Self::repr)
            .method0(
                "cancel",
                Self::cancel,
                "cancel($self, /)\n--\n\nDo not call it, if it was not called yet.",
            )
            .method0(
                "cancelled",
                |this: &Obj<Self>, _py: Python<'_>| this.cancelled.get(),
                "cancelled($self, /)\n--\n\nWhether it was cancelled (since 3.7).",
            )
            .method0(
                "get_context",
                |this: &Obj<Self>, py: Python<'_>| this.context(py),
                "get_context($self, /)\n--\n\nThe context it is called in (since 3.12).",
            )
            .replaceable()
            .method0("_run", Self::py_run, "_run($self, /)\n--\n\nCall it.")
            .method0("_repr_info", Self::repr_info_list, "")
            .getset(
                "_callback",
                |this: &Obj<Self>, _py: Python<'_>| this.callback.get(),
                Self::set_callback,
                "",
            )
            .getset("_args", Self::get_args, Self::set_args, "")
            .getter("_context", |this: &Obj<Self>, py: Python<'_>| this.context(py), "")
            .getter("_cancelled", |this: &Obj<Self>, _py: Python<'_>| this.cancelled.get(), "")
            .getter("_source_traceback", |this: &Obj<Self>, _py: Python<'_>| this.source_traceback(), "")
            .getter(
                "_loop",
                |this: &Obj<Self>, _py: Python<'_>| {
                    this.loop_ref().map(|event_loop| event_loop.as_any().clone())
                },
                "",
            );
    }
}

/// `events._ThreadSafeHandle`: the handle of `call_soon_threadsafe()` on Python 3.14 and later. After `cancel()` its
/// callback has run or never will, also if that is called in another thread while the callback runs.
///
/// `_run` is its base's: what notices a replaced `_run` looks at the class, and would take another one for replaced.
pub struct ThreadSafeHandle {
    lock: RunLock,
}

impl ThreadSafeHandle {
    #[inline]
    pub(crate) fn new() -> Self {
        ThreadSafeHandle { lock: RunLock::default() }
    }

    /// Runs `f`, which calls the callback.
    ///
    /// # Errors
    /// What `f` raises.
    pub(crate) fn while_running<E: From<PyErr>>(
        this: &Obj<Self>,
        py: Python<'_>,
        f: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        this.lock.hold(py, f)
    }

    fn cancel(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.lock.wait(py)?;
        Handle::cancel(this.base(), py)
    }

    fn cancelled(this: &Obj<Self>, py: Python<'_>) -> PyResult<bool> {
        this.lock.wait(py)?;
        Ok(this.base().cancelled.get())
    }
}

impl Class for ThreadSafeHandle {
    type Base = Handle;
    ferrio_object::fields!(ThreadSafeHandle { lock }, freelist);
    const NAME: &'static str = "asyncio._ThreadSafeHandle";
    const DOC: &'static str = "_ThreadSafeHandle(callback, args, loop, context=None)\n--\n\n\
        A callback scheduled by call_soon_threadsafe(); while it runs, cancel() and cancelled() in other threads wait\n\
        for its end. Since 3.14.";
    const BORN_TRACKED: bool = false;

    fn blank() -> Self {
        ThreadSafeHandle::new()
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .method0(
                "cancel",
                Self::cancel,
                "cancel($self, /)\n--\n\nDo not call it, if it was not called yet.",
            )
            .method0("cancelled", Self::cancelled, "cancelled($self, /)\n--\n\nWhether it was cancelled.");
    }
}
