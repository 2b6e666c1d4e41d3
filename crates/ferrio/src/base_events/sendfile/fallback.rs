//! The protocol that stands in while a file is written through a transport by hand.
//!
//! It keeps the transport from reading and knows whether writing is paused; a connection that is lost is told to the
//! protocol it stands in for.

use std::cell::Cell;

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell};
use pyo3::exceptions::{PyConnectionError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::event_loop::{Loop, LoopRef};
use crate::exceptions;
use crate::future::{self, Future};

/// The contents of a stand-in.
pub struct SendfileFallback {
    event_loop: ObjCell<Loop>,
    transport: ObjCell,
    protocol: ObjCell,
    resume_reading: Cell<bool>,
    resume_writing: Cell<bool>,
    /// There while writing is paused.
    drained: ObjCell<Future>,
}

impl SendfileFallback {
    /// Takes the protocol's place.
    ///
    /// # Errors
    /// What the transport raises.
    pub(super) fn begin(py: Python<'_>, event_loop: &Obj<Loop>, transport: &Obj) -> PyResult<Obj<Self>> {
        let bound = transport.bind(py);
        let paused = bound.getattr_opt(intern!(py, "_protocol_paused"))?;
        let paused = paused.map_or(Ok(false), |paused| paused.is_truthy())?;
        let contents = SendfileFallback {
            event_loop: ObjCell::new(event_loop.clone()),
            transport: ObjCell::new(transport.clone()),
            protocol: ObjCell::new(bound.call_method0(intern!(py, "get_protocol"))?.into()),
            resume_reading: Cell::new(bound.call_method0(intern!(py, "is_reading"))?.is_truthy()?),
            resume_writing: Cell::new(paused),
            drained: ObjCell::empty(),
        };
        let this: Obj<Self> = Obj::create(py, ((), contents))?;
        bound.call_method0(intern!(py, "pause_reading"))?;
        bound.call_method1(intern!(py, "set_protocol"), (&this,))?;
        if paused {
            Self::pause_writing(&this, py)?;
        }
        Ok(this)
    }

    /// What to wait for before writing, if anything.
    ///
    /// # Errors
    /// `ConnectionError` if the transport is closing.
    pub(super) fn drained(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<Obj<Future>>> {
        if let Some(transport) = this.transport.get()
            && transport.bind(py).call_method0(intern!(py, "is_closing"))?.is_truthy()?
        {
            return Err(PyConnectionError::new_err("Connection closed by peer"));
        }
        Ok(this.drained.get())
    }

    /// Gives the place back.
    ///
    /// # Errors
    /// What the transport or the protocol raise.
    pub(super) fn restore(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let (Some(transport), Some(protocol)) = (this.transport.get(), this.protocol.get()) else {
            return Ok(());
        };
        transport.bind(py).call_method1(intern!(py, "set_protocol"), (&protocol,))?;
        if this.resume_reading.get() {
            transport.bind(py).call_method0(intern!(py, "resume_reading"))?;
        }
        if let Some(drained) = this.drained.take() {
            // Nobody waits for it any more.
            future::cancel(&drained, py, None)?;
        }
        if this.resume_writing.get() {
            protocol.bind(py).call_method0(intern!(py, "resume_writing"))?;
        }
        Ok(())
    }

    fn pause_writing(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.drained.is_none()
            && let Some(event_loop) = this.event_loop.get()
        {
            this.drained.set(Some(Future::create(py, LoopRef::Native(event_loop))?));
        }
        Ok(())
    }

    fn resume_writing(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        match this.drained.take() {
            Some(drained) => future::wake(&drained, py).map(drop),
            None => Ok(()),
        }
    }

    fn connection_lost(this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(drained) = this.drained.get()
            && !drained.is_done()
        {
            // All has not been sent, so it is an error whatever ended it.
            let exc: Obj = if exc.is_none() {
                exceptions::value_of(py, PyConnectionError::new_err("Connection is closed by peer"))
            } else {
                exc.into()
            };
            future::set_raised(&drained, py, exc)?;
        }
        let Some(protocol) = this.protocol.get() else { return Ok(()) };
        protocol.bind(py).call_method1(intern!(py, "connection_lost"), (exc,)).map(drop)
    }

    fn refuse_made(_this: &Obj<Self>, _py: Python<'_>, _args: Args<'_, '_>) -> PyResult<()> {
        Err(PyRuntimeError::new_err("Invalid state: connection should have been established already."))
    }

    fn refuse_data(_this: &Obj<Self>, _py: Python<'_>, _args: Args<'_, '_>) -> PyResult<()> {
        Err(PyRuntimeError::new_err("Invalid state: reading should be paused"))
    }
}

impl Class for SendfileFallback {
    type Base = Any;
    ferrio_object::fields!(SendfileFallback {
        event_loop,
        transport,
        protocol,
        resume_reading,
        resume_writing,
        drained
    });
    const NAME: &'static str = "ferrio._ferrio._SendfileFallbackProtocol";
    const DOC: &'static str = "Stands in for a protocol while sendfile() writes to its transport.";
    const NEW: bool = false;
    const SUBCLASS: bool = false;

    fn blank() -> Self {
        SendfileFallback {
            event_loop: ObjCell::empty(),
            transport: ObjCell::empty(),
            protocol: ObjCell::empty(),
            resume_reading: Cell::new(false),
            resume_writing: Cell::new(false),
            drained: ObjCell::empty(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .method("connection_made", Self::refuse_made, "")
            .method("data_received", Self::refuse_data, "")
            .method("eof_received", Self::refuse_data, "")
            .method0("pause_writing", Self::pause_writing, "")
            .method0("resume_writing", Self::resume_writing, "")
            .method1("connection_lost", Self::connection_lost, "");
    }
}
