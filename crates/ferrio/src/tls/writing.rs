//! From the program to the transport below.

use ferrio_object::{BufferPlace, ClassBuilder, Obj};
use pyo3::exceptions::{PyAssertionError, PyException};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::engine::{Engine, Moved};
use super::protocol::{MODULE, SslProtocol};
use crate::event_loop::ExceptionContext;
use crate::exceptions;
use crate::log::{self, Level};
use crate::transports::{Chunk, Data, StreamTransport};
use ferrio_core::tls_state::State;

/// asyncio's `constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES`.
const WARN_AFTER: u32 = 5;

impl SslProtocol {
    /// Sends what a program writes. A buffer that may change is copied.
    ///
    /// # Errors
    /// What the exception handler raises.
    pub(super) fn write_app_data(this: &Obj<Self>, py: Python<'_>, data: Vec<Chunk>) -> PyResult<()> {
        if this.state.get().is_ending() {
            if this.conn_lost.get() >= WARN_AFTER {
                log::write(py, MODULE, Level::Warning, ("SSL connection is closed",))?;
            }
            this.conn_lost.set(this.conn_lost.get() + 1);
            return Ok(());
        }
        for chunk in data {
            this.backlog_len.set(this.backlog_len.get() + chunk.as_ref().len());
            this.backlog.borrow_mut().push_back(chunk);
        }
        if this.state.get() != State::Wrapped {
            return Ok(());
        }
        match Self::do_write(this, py) {
            Err(err) if err.is_instance_of::<PyException>(py) => {
                let exc = exceptions::value_of(py, err);
                Self::fatal_error(this, py, &exc, "Fatal error on SSL protocol")
            }
            outcome => outcome,
        }
    }

    /// Encrypts what waits, and sends it.
    pub(super) fn do_write(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        loop {
            let Some(chunk) = this.backlog.borrow_mut().pop_front() else { break };
            let len = chunk.as_ref().len();
            let moved = match this.engine.write(py, &chunk) {
                Ok(moved) => moved,
                Err(err) => {
                    this.backlog.borrow_mut().push_front(chunk);
                    return Err(err);
                }
            };
            match moved {
                Moved::Some(count) => {
                    this.backlog_len.set(this.backlog_len.get().saturating_sub(count.min(len)));
                    if count < len {
                        let rest = Chunk::Copied(chunk.as_ref()[count..].to_vec());
                        this.backlog.borrow_mut().push_front(rest);
                    }
                }
                Moved::Nothing | Moved::Closed => {
                    this.backlog.borrow_mut().push_front(chunk);
                    break;
                }
            }
        }
        Self::process_outgoing(this, py)
    }

    /// Sends the ciphertext that there is, unless the transport below has asked for a pause.
    pub(super) fn process_outgoing(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.ssl_writing_paused.get() {
            this.engine.take_output(py, |data| this.send_below(py, data))?;
        }
        Self::control_app_writing(this, py)
    }

    fn send_below(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        let Some(below) = self.transport.get() else { return Ok(()) };
        match StreamTransport::plain(&below) {
            Some(ours) => StreamTransport::write_slice(ours, py, data),
            None => below.bind(py).call_method1(intern!(py, "write"), (PyBytes::new(py, data),)).map(drop),
        }
    }

    /// What is not encrypted and what is not sent, in bytes.
    pub(super) fn write_buffer_size(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.engine.output_len(py)? + self.backlog_len.get())
    }

    /// Has the program's protocol pause or resume, as much or little waits.
    pub(super) fn control_app_writing(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let (size, marks) = (this.write_buffer_size(py)?, this.write_marks.get());
        let method = if size >= marks.high() && !this.app_writing_paused.get() {
            this.app_writing_paused.set(true);
            intern!(py, "pause_writing")
        } else if size <= marks.low() && this.app_writing_paused.get() {
            this.app_writing_paused.set(false);
            intern!(py, "resume_writing")
        } else {
            return Ok(());
        };
        Self::tell_app(this, py, method)
    }

    fn tell_app(this: &Obj<Self>, py: Python<'_>, method: &Bound<'_, PyString>) -> PyResult<()> {
        let Some(app) = this.app_protocol.get() else { return Ok(()) };
        match app.bind(py).call_method0(method) {
            Ok(_) => Ok(()),
            Err(err) if exceptions::is_exit(py, &err) => Err(err),
            Err(err) => {
                let app_transport = this.app_transport.get().map_or_else(|| Obj::none(py), Obj::into_any);
                ExceptionContext::new(py)
                    .with("message", format!("protocol.{method}() failed"))?
                    .with("exception", exceptions::value_of(py, err))?
                    .with("transport", app_transport)?
                    .with("protocol", this)?
                    .report_to(this.get_loop()?.as_any())
            }
        }
    }

    fn pause_writing(this: &Obj<Self>, _py: Python<'_>) -> PyResult<()> {
        if this.ssl_writing_paused.replace(true) {
            return Err(PyAssertionError::new_err("pause_writing() called twice"));
        }
        Ok(())
    }

    fn resume_writing(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.ssl_writing_paused.replace(false) {
            return Err(PyAssertionError::new_err("resume_writing() called without pause_writing()"));
        }
        Self::process_outgoing(this, py)
    }

    fn py_write_app_data(this: &Obj<Self>, py: Python<'_>, list: &Bound<'_, PyAny>) -> PyResult<()> {
        let chunks = chunks_of(py, list)?;
        Self::write_app_data(this, py, chunks)
    }

    pub(super) fn define_writing(class: &mut ClassBuilder<Self>) {
        class
            .method0(
                "pause_writing",
                Self::pause_writing,
                "pause_writing($self, /)\n--\n\nThe transport below has much to send.",
            )
            .method0(
                "resume_writing",
                Self::resume_writing,
                "resume_writing($self, /)\n--\n\nThe transport below has room again.",
            )
            .method1("_write_appdata", Self::py_write_app_data, "")
            .method0("_do_write", Self::do_write, "")
            .method0("_process_outgoing", Self::process_outgoing, "")
            .method0("_control_app_writing", Self::control_app_writing, "")
            .method0(
                "_get_write_buffer_size",
                |this: &Obj<Self>, py: Python<'_>| this.write_buffer_size(py),
                "",
            );
    }
}

/// The pieces of an iterable of bytes-like objects.
///
/// # Errors
/// `TypeError` for what is not bytes-like; what iterating raises.
pub(super) fn chunks_of(py: Python<'_>, list: &Bound<'_, PyAny>) -> PyResult<Vec<Chunk>> {
    let mut chunks = Vec::new();
    for data in list.try_iter()? {
        let mut place = BufferPlace::new();
        let data = Data::of_buffer(&mut place, py, &data?)?;
        if data.len() > 0 {
            chunks.push(data.into_chunk(py));
        }
    }
    Ok(chunks)
}
