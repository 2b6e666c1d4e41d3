//! The loop that a future belongs to: one of ours, or any object that behaves like a loop.
//!
//! Scheduling on a loop of ours is a push onto its ready queue. A foreign loop, or one of ours whose `call_soon` has
//! been replaced, is asked through `call_soon(…, context=)`, as asyncio documents it.

use ferrio_object::Obj;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::{Hooks, Loop, Ready};
use crate::future::Future;

/// A loop, and whether it is one of ours.
#[derive(Clone)]
pub(crate) enum LoopRef {
    Native(Obj<Loop>),
    Foreign(Obj),
}

ferrio_object::traverse!(
    enum LoopRef {
        Native(native),
        Foreign(foreign),
    }
);

impl LoopRef {
    pub(crate) fn new(any: &Bound<'_, PyAny>) -> LoopRef {
        match Obj::<Loop>::from_bound(any) {
            Some(native) => LoopRef::Native(native.clone()),
            None => LoopRef::Foreign(any.into()),
        }
    }

    /// As [`LoopRef::new`], of a reference in hand.
    #[inline]
    pub(crate) fn of(any: Obj) -> LoopRef {
        match any.cast_into::<Loop>() {
            Ok(native) => LoopRef::Native(native),
            Err(foreign) => LoopRef::Foreign(foreign),
        }
    }

    #[inline]
    pub(crate) fn as_any(&self) -> &Obj {
        match self {
            LoopRef::Native(native) => native.as_any(),
            LoopRef::Foreign(foreign) => foreign,
        }
    }

    #[inline]
    pub(crate) fn is(&self, other: &LoopRef) -> bool {
        self.as_any().is(other.as_any())
    }

    /// The loop, if it is one of ours and `call_soon` on it means what we know it to mean.
    #[inline]
    pub(crate) fn direct(&self) -> Option<&Obj<Loop>> {
        match self {
            LoopRef::Native(native) if !native.replaces(Hooks::CALL_SOON) => Some(native),
            _ => None,
        }
    }

    /// The loop, if its timers are ours and nothing in the way of them has been replaced.
    #[inline]
    pub(crate) fn native_clock(&self) -> Option<&Obj<Loop>> {
        const REPLACED: ferrio_object::MethodSet = Hooks::CALL_SOON.or(Hooks::CALL_AT).or(Hooks::TIME);
        match self {
            LoopRef::Native(native) if !native.replaces(REPLACED) => Some(native),
            _ => None,
        }
    }

    /// Queues a native item if the loop takes it; false if the loop has to be asked in Python.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    #[inline(always)]
    pub(crate) fn push(&self, item: impl FnOnce() -> Ready) -> PyResult<bool> {
        match self.direct() {
            Some(native) => {
                native.check_closed()?;
                if native.debug.get() {
                    native.check_thread()?;
                }
                native.push(item);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// `loop.call_soon(callback, *args, context=context)`.
    ///
    /// # Errors
    /// What the loop raises.
    pub(crate) fn call_soon(
        &self,
        py: Python<'_>,
        callback: &Obj,
        args: &[Obj],
        context: Option<&Obj>,
    ) -> PyResult<()> {
        if let Some(native) = self.direct() {
            crate::event_loop::call_soon_native(native, py, callback, args, context)?;
            return Ok(());
        }
        let call_soon = self.as_any().bind(py).getattr(intern!(py, "call_soon"))?;
        let args = PyTuple::new(py, std::iter::once(callback).chain(args).collect::<Vec<_>>())?;
        if let Some(context) = context {
            let kwargs = PyDict::new(py);
            kwargs.set_item(intern!(py, "context"), context)?;
            call_soon.call(args, Some(&kwargs))?;
        } else {
            call_soon.call1(args)?;
        }
        Ok(())
    }

    /// `loop.create_future()`.
    ///
    /// # Errors
    /// What a foreign loop raises.
    #[inline]
    pub(crate) fn create_future(&self, py: Python<'_>) -> PyResult<Obj> {
        match self {
            LoopRef::Native(native) if !native.replaces(Hooks::CREATE_FUTURE) => {
                Ok(Future::create(py, self.clone())?.into_any())
            }
            other => Ok(other.as_any().bind(py).call_method0(intern!(py, "create_future"))?.into()),
        }
    }

    /// `loop.get_debug()`.
    ///
    /// # Errors
    /// What a foreign loop raises.
    #[inline]
    pub(crate) fn get_debug(&self, py: Python<'_>) -> PyResult<bool> {
        match self {
            LoopRef::Native(native) if !native.replaces(Hooks::GET_DEBUG) => Ok(native.debug.get()),
            other => other.as_any().bind(py).call_method0(intern!(py, "get_debug"))?.is_truthy(),
        }
    }
}
