//! The awaitable that `read*` and `drain` return: its own state machine, recycled, without a box.
//!
//! As lazy as a coroutine: nothing happens at the call, arguments are not even looked at before the first `send`. If
//! what is asked for is there, it ends at that first `send`. If not, it yields the future that the feeding of the
//! reader completes, and tries again when that is done. It is not built on `coro::ready`, which makes a boxed
//! coroutine where an operation goes on after a wait: here waiting is the normal case, once per message.
//!
//! Where a method that asyncio calls through `self` has been replaced, the operation only passes on to a coroutine
//! that calls it (`replaced.rs`).

use std::cell::{Cell, RefCell};

use ferrio_object::{Class, ClassBuilder, Obj, ObjCell, Sent, await_iter, send};
use pyo3::exceptions::PyGeneratorExit;
use pyo3::prelude::*;

use super::dict_state::DictState;
use super::drain::{self, Drained};
use super::flow_control::FlowControlMixin;
use super::read::Read;
use super::reader::StreamReader;
use super::replaced;
use super::writer::StreamWriter;
use crate::coroutines::{self, Native, NativeCoroutine, Phase, executing, just_started, reused};
use crate::future::Future;

/// Which method was called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Read,
    ReadLine,
    ReadUntil,
    ReadExactly,
    ReadInto,
    Peek,
    Next,
    WaitForData,
    Drain,
    DrainHelper,
}

impl Op {
    /// `__qualname__`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Op::Read => "StreamReader.read",
            Op::ReadLine => "StreamReader.readline",
            Op::ReadUntil => "StreamReader.readuntil",
            Op::ReadExactly => "StreamReader.readexactly",
            Op::ReadInto => "StreamReader.readinto",
            Op::Peek => "StreamReader.peek",
            Op::Next => "StreamReader.__anext__",
            Op::WaitForData => "StreamReader._wait_for_data",
            Op::Drain => "StreamWriter.drain",
            Op::DrainHelper => "FlowControlMixin._drain_helper",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    /// Yielded `None` for the loop to turn once.
    Yielded,
    /// Yielded one of our futures.
    Waiting,
    /// Everything goes to the waiter, which is not ours; then the operation goes on.
    PassingWaiter,
    /// Everything goes to another coroutine, whose outcome is the operation's.
    Passing,
    Running,
    Closed,
}

/// The contents of an operation.
pub struct StreamOperation {
    op: Cell<Op>,
    state: Cell<State>,
    /// The reader, the writer, or the protocol.
    on: ObjCell,
    given: ObjCell,
    /// The future that was yielded, or what everything is passed on to.
    awaiting: ObjCell,
    /// The waiter that is not ours, whose iterator `awaiting` is.
    waiter: ObjCell,
    read: RefCell<Option<Read>>,
}

impl StreamOperation {
    /// The awaitable of `op` on `on`.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(super) fn make<T: 'static>(py: Python<'_>, op: Op, on: &Obj<T>, given: Option<Obj>) -> PyResult<Obj> {
        let contents = StreamOperation {
            op: Cell::new(op),
            state: Cell::new(State::Created),
            on: ObjCell::new(on.as_any().clone()),
            given: given.into(),
            awaiting: ObjCell::empty(),
            waiter: ObjCell::empty(),
            read: RefCell::new(None),
        };
        Ok(Obj::<StreamOperation>::create(py, (((), Native::new(py)), contents))?.into_any())
    }

    #[inline]
    fn begin(&self, py: Python<'_>) -> PyResult<Sent> {
        let (Some(on), op) = (self.on.get(), self.op.get()) else { return Err(reused()) };
        match op {
            Op::Drain => {
                let Some(writer) = on.cast::<StreamWriter>() else { return Err(reused()) };
                match drain::begin(writer, py)? {
                    Drained::Nothing => Ok(Sent::Return(Obj::none(py))),
                    Drained::Turn => {
                        self.state.set(State::Yielded);
                        Ok(Sent::Next(Obj::none(py)))
                    }
                    Drained::Paused => self.drain_helper(py),
                }
            }
            Op::DrainHelper => self.wait_until_drained(py, &on),
            _ => {
                let Some(reader) = on.cast::<StreamReader>() else { return Err(reused()) };
                if reader.replaces_any() && op != Op::WaitForData {
                    let body = replaced::read(py, op, reader, self.given.take())?;
                    return self.pass(py, &body, State::Passing);
                }
                let read = Read::begin(op, reader, py, self.given.take())?;
                self.go_on(reader, py, read)
            }
        }
    }

    /// Reads, or waits for more.
    #[inline]
    fn go_on(&self, reader: &Obj<StreamReader>, py: Python<'_>, mut read: Read) -> PyResult<Sent> {
        if let Some(data) = read.attempt(reader, py)? {
            return Ok(Sent::Return(data));
        }
        let waiter = reader.wait(py, read.name())?;
        reader.wanted.set(read.wanted());
        reader.operation.set(self);
        let old = self.read.replace(Some(read));
        drop(old);
        self.wait(py, waiter)
    }

    /// Yields a waiter.
    #[inline]
    fn wait(&self, py: Python<'_>, waiter: Obj) -> PyResult<Sent> {
        if let Some(fut) = waiter.cast_exact::<Future>() {
            fut.blocking.set(true);
            self.awaiting.set(Some(waiter.clone()));
            self.state.set(State::Waiting);
            return Ok(Sent::Next(waiter));
        }
        self.waiter.set(Some(waiter.clone()));
        self.pass(py, &waiter, State::PassingWaiter)
    }

    /// The future that was yielded should be done.
    #[inline]
    fn woken(&self, py: Python<'_>) -> PyResult<Sent> {
        let Some(waiter) = self.awaiting.take() else { return Err(reused()) };
        let Some(fut) = waiter.cast_exact::<Future>() else { return Err(reused()) };
        let Some(outcome) = fut.resumed(py) else {
            self.awaiting.set(Some(waiter.clone()));
            self.state.set(State::Waiting);
            return Ok(Sent::Next(waiter));
        };
        self.waited(&waiter);
        outcome?;
        self.again(py)
    }

    /// Goes on after a wait.
    #[inline]
    fn again(&self, py: Python<'_>) -> PyResult<Sent> {
        let read = self.read.take();
        match (read, self.on.get()) {
            (Some(read), Some(on)) => match on.cast::<StreamReader>() {
                Some(reader) => self.go_on(reader, py, read),
                None => Err(reused()),
            },
            // A drain has nothing left to do.
            _ => Ok(Sent::Return(Obj::none(py))),
        }
    }

    /// The second half of `drain`: waits as long as the protocol is paused.
    fn drain_helper(&self, py: Python<'_>) -> PyResult<Sent> {
        let Some(on) = self.on.get() else { return Err(reused()) };
        let Some(writer) = on.cast::<StreamWriter>() else { return Err(reused()) };
        if let Some(protocol) = writer.plain_protocol() {
            // From here on it is the protocol's operation.
            self.on.set(Some(protocol.as_any().clone()));
            return self.wait_until_drained(py, protocol.as_any());
        }
        let helper = replaced::drain_helper(py, writer)?;
        self.pass(py, &helper, State::Passing)
    }

    fn wait_until_drained(&self, py: Python<'_>, protocol: &Obj) -> PyResult<Sent> {
        let Some(protocol) = protocol.cast::<FlowControlMixin>() else { return Err(reused()) };
        FlowControlMixin::take_over(protocol, py)?;
        match protocol.drain_waiter(py)? {
            None => Ok(Sent::Return(Obj::none(py))),
            Some(waiter) => self.wait(py, waiter),
        }
    }

    /// Tells who keeps the waiter that nobody waits for it any more.
    #[inline]
    fn waited(&self, waiter: &Obj) {
        let Some(on) = self.on.get() else { return };
        if let Some(reader) = on.cast::<StreamReader>() {
            reader.waited(waiter);
        } else if let Some(protocol) = on.cast::<FlowControlMixin>() {
            protocol.waited(waiter);
        }
    }

    /// From here on everything is passed on to `awaitable`.
    fn pass(&self, py: Python<'_>, awaitable: &Obj, state: State) -> PyResult<Sent> {
        let iterator = await_iter(py, awaitable)?;
        self.awaiting.set(Some(iterator.clone()));
        let sent = send(py, &iterator, None);
        self.passed(py, sent, state)
    }

    /// Notes how what everything is passed on to has answered.
    fn passed(&self, py: Python<'_>, sent: PyResult<Sent>, state: State) -> PyResult<Sent> {
        match sent {
            Ok(Sent::Next(yielded)) => {
                self.state.set(state);
                Ok(Sent::Next(yielded))
            }
            Ok(Sent::Return(value)) if state == State::Passing => Ok(Sent::Return(value)),
            Ok(Sent::Return(_)) => {
                self.awaiting.set(None);
                if let Some(waiter) = self.waiter.take() {
                    self.waited(&waiter);
                }
                self.again(py)
            }
            Err(err) => Err(err),
        }
    }
}

impl NativeCoroutine for StreamOperation {
    #[inline]
    fn phase(&self) -> Phase {
        match self.state.get() {
            State::Created => Phase::Created,
            State::Yielded | State::Waiting | State::PassingWaiter | State::Passing => Phase::Suspended,
            State::Running => Phase::Running,
            State::Closed => Phase::Closed,
        }
    }

    fn qualname(&self) -> &'static str {
        self.op.get().name()
    }

    fn awaited(&self, _py: Python<'_>) -> Option<Obj> {
        self.awaiting.get()
    }

    #[inline]
    fn send(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        let state = this.state.replace(State::Running);
        let sent = match state {
            State::Created if value.is_some_and(|value| !value.is_none()) => {
                this.state.set(State::Created);
                return Err(just_started());
            }
            State::Created => this.begin(py),
            State::Yielded => this.drain_helper(py),
            State::Waiting => this.woken(py),
            State::PassingWaiter | State::Passing => {
                let Some(iterator) = this.awaiting.get() else { return Err(reused()) };
                let sent = send(py, &iterator, value.map(Obj::from).as_ref());
                this.passed(py, sent, state)
            }
            State::Running => return Err(executing()),
            State::Closed => {
                this.state.set(State::Closed);
                return Err(reused());
            }
        };
        if !matches!(sent, Ok(Sent::Next(_))) {
            this.finish();
        }
        sent
    }

    fn throw_suspended(this: &Obj<Self>, py: Python<'_>, err: PyErr) -> PyResult<Sent> {
        let state = this.state.replace(State::Running);
        let sent = match (state, this.awaiting.get()) {
            (State::PassingWaiter | State::Passing, Some(iterator)) => {
                let sent = if err.is_instance_of::<PyGeneratorExit>(py) {
                    coroutines::close_iterator(py, &iterator).and(Err(err))
                } else {
                    coroutines::throw_into(py, &iterator, err)
                };
                this.passed(py, sent, state)
            }
            _ => Err(err),
        };
        if !matches!(sent, Ok(Sent::Next(_))) {
            this.finish();
        }
        sent
    }

    fn close_suspended(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let closed = match (this.state.get(), this.awaiting.get()) {
            (State::PassingWaiter | State::Passing, Some(iterator)) => {
                coroutines::close_iterator(py, &iterator)
            }
            _ => Ok(()),
        };
        this.finish();
        closed
    }

    /// Ended, one way or another: nobody waits, and nothing is kept.
    #[inline]
    fn finish(&self) {
        self.state.set(State::Closed);
        if let Some(waiter) = self.waiter.take().or_else(|| self.awaiting.take()) {
            self.waited(&waiter);
        }
        self.awaiting.set(None);
        self.on.set(None);
        self.given.set(None);
        let read = self.read.take();
        drop(read);
    }
}

impl Class for StreamOperation {
    type Base = Native;
    ferrio_object::fields!(StreamOperation { op, state, on, given, awaiting, waiter, read }, freelist);
    const NAME: &'static str = "ferrio._ferrio.stream_coroutine";
    const DOC: &'static str = "A coroutine of a StreamReader or a StreamWriter.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;
    const FINALIZE: bool = true;

    fn blank() -> Self {
        StreamOperation {
            op: Cell::new(Op::Read),
            state: Cell::new(State::Closed),
            on: ObjCell::empty(),
            given: ObjCell::empty(),
            awaiting: ObjCell::empty(),
            waiter: ObjCell::empty(),
            read: RefCell::new(None),
        }
    }

    fn clear(&self) {
        // Running operations are reachable from the stack and are never cleared.
        if self.state.get() != State::Running {
            self.finish();
        }
    }

    #[inline]
    fn wants_finalizer(&self, _base: &Native) -> bool {
        self.state.get() != State::Closed
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        coroutines::finalize(this, py);
    }

    fn define(class: &mut ClassBuilder<Self>) {
        coroutines::define(class);
    }
}
