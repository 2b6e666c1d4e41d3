//! Scheduling from Rust: `call_soon` without the checks that a user's call needs, and timers that can be cancelled.

use ferrio_core::clock;
use ferrio_object::{Obj, ThreadState, float_of};
use pyo3::intern;
use pyo3::prelude::*;

use super::{Handle, HandleArgs, Hooks, Loop, LoopRef, Ready, ThreadSafeHandle, Timer};
use crate::debug;
use crate::future::Future;

/// `call_soon` for callers in Rust: no checks of debug mode, the context given or a copy of the current one.
#[inline]
pub(crate) fn call_soon_native(
    this: &Obj<Loop>,
    py: Python<'_>,
    callback: &Obj,
    args: &[Obj],
    context: Option<&Obj>,
) -> PyResult<Obj<Handle>> {
    this.check_closed()?;
    let context = match context {
        Some(context) => Some(context.clone()),
        None => ThreadState::snapshot(py)?,
    };
    let handle = make_handle(this, py, callback.clone(), args.iter().cloned().collect(), context)?;
    this.push(|| Ready::Call(handle.clone()));
    Ok(handle)
}

#[expect(clippy::inline_always)] // the arguments must not go through memory, see `TurnQueue`
#[inline(always)]
pub(crate) fn make_handle(
    this: &Obj<Loop>,
    py: Python<'_>,
    callback: Obj,
    args: HandleArgs,
    context: Option<Obj>,
) -> PyResult<Obj<Handle>> {
    let handle: Obj<Handle> =
        Obj::create_with(py, || ((), Handle::new(callback, args, context, this.clone())))?;
    // Asked when the handle is there: to make it may collect garbage, which runs Python code (3.11).
    if !this.is_running() {
        handle.track();
    }
    if this.debug.get() {
        handle.set_source_traceback(Some(debug::extract_stack(py)?));
    }
    Ok(handle)
}

/// [`make_handle`] for `call_soon_threadsafe()` on Python 3.14 and later.
pub(crate) fn make_threadsafe_handle(
    this: &Obj<Loop>,
    py: Python<'_>,
    callback: Obj,
    args: HandleArgs,
    context: Option<Obj>,
) -> PyResult<Obj<ThreadSafeHandle>> {
    let handle: Obj<ThreadSafeHandle> = Obj::create_with(py, || {
        (((), Handle::new(callback, args, context, this.clone())), ThreadSafeHandle::new())
    })?;
    if !this.is_running() {
        handle.track();
    }
    if this.debug.get() {
        handle.base().set_source_traceback(Some(debug::extract_stack(py)?));
    }
    Ok(handle)
}

/// `loop.call_later(delay, future.set_result_unless_done)`: how `sleep` wakes up.
pub(crate) fn resolve_later(
    event_loop: &LoopRef,
    py: Python<'_>,
    delay: &Bound<'_, PyAny>,
    fut: &Obj<Future>,
    resolve: impl FnOnce(Python<'_>) -> PyResult<Obj>,
) -> PyResult<Alarm> {
    if let LoopRef::Native(native) = event_loop {
        let replaced = Hooks::CALL_LATER.or(Hooks::CALL_AT).or(Hooks::TIME);
        if !native.replaces(replaced) && !native.debug.get() {
            native.check_closed()?;
            let when = clock::monotonic() + float_of(delay)?;
            let key = native.set_timer(when, Timer::Resolve(fut.clone()));
            return Ok(Alarm::Native(native.clone(), key));
        }
    }
    let callback = resolve(py)?;
    let handle =
        event_loop.as_any().bind(py).call_method1(intern!(py, "call_later"), (delay, callback, fut))?;
    Ok(Alarm::Handle(handle.into()))
}

/// A timer that can be cancelled, however it is kept.
pub(crate) enum Alarm {
    Native(Obj<Loop>, ferrio_core::timers::TimerKey),
    Handle(Obj),
}

ferrio_object::traverse!(
    enum Alarm {
        Native(native, key),
        Handle(handle),
    }
);

impl Alarm {
    /// Cancels it, unless it has gone off.
    ///
    /// # Errors
    /// What a foreign handle's `cancel` raises.
    pub(crate) fn cancel(self, py: Python<'_>) -> PyResult<()> {
        match self {
            Alarm::Native(native, key) => {
                Loop::forget_timer(&native, key);
                Ok(())
            }
            Alarm::Handle(handle) => handle.bind(py).call_method0(intern!(py, "cancel")).map(drop),
        }
    }
}
