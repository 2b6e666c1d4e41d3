//! From the transport below to the program's protocol.

use ferrio_object::{Buffer, ClassBuilder, Obj, Signature, bytes_of};
use pyo3::exceptions::{PyConnectionResetError, PyException};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use super::engine::{Engine, Moved, Plaintext};
use super::portable::MAX_SIZE;
use super::protocol::{MODULE, SslProtocol};
use crate::event_loop::LoopRef;
use crate::log::{self, Level};
use crate::streams::StreamReaderProtocol;
use crate::transports::{ProtocolKind, Received, StreamTransport, feed_data};
use crate::{exceptions, native_fn};
use ferrio_core::tls_state::{AppState, State};

/// How a transport of ours hands data to `protocol`, if that is one of ours.
pub(super) fn receiver(protocol: &Obj) -> Option<Received> {
    fn received(protocol: &Obj, py: Python<'_>, data: &[u8]) -> PyResult<bool> {
        match protocol.cast::<SslProtocol>() {
            Some(ours) if !ours.replaces_any() => SslProtocol::received(ours, py, data).map(|()| true),
            _ => Ok(false),
        }
    }
    protocol.cast::<SslProtocol>().map(|_| received as Received)
}

/// Has `data` be the first that an `SSLProtocol` receives, before there is a transport below.
///
/// # Errors
/// `MemoryError`; what one that is not ours raises.
pub(crate) fn receive_early(py: Python<'_>, protocol: &Obj, data: &[u8]) -> PyResult<()> {
    match protocol.cast::<SslProtocol>() {
        Some(ours) => ours.engine.with_input(py, data, || Ok(())),
        None => {
            let incoming = protocol.bind(py).getattr(intern!(py, "_incoming"))?;
            incoming.call_method1(intern!(py, "write"), (PyBytes::new(py, data),)).map(drop)
        }
    }
}

/// The transport's `app_reading_paused` was taken back in a turn of its own.
fn resume(py: Python<'_>, held: &[Obj], _args: ferrio_object::Args<'_, '_>) -> PyResult<()> {
    let Some(this) = held.first().and_then(Obj::cast::<SslProtocol>) else { return Ok(()) };
    match this.state.get() {
        State::Wrapped => SslProtocol::do_read(this, py),
        State::Flushing => SslProtocol::do_flush(this, py),
        State::Shutdown => SslProtocol::do_shutdown(this, py),
        State::Unwrapped | State::DoHandshake => Ok(()),
    }
}

impl SslProtocol {
    /// Ciphertext has arrived.
    pub(super) fn received(this: &Obj<Self>, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        this.engine.with_input(py, data, || match this.state.get() {
            State::DoHandshake => Self::do_handshake(this, py),
            State::Wrapped => Self::do_read(this, py),
            State::Flushing => Self::do_flush(this, py),
            State::Shutdown => Self::do_shutdown(this, py),
            State::Unwrapped => Ok(()),
        })
    }

    /// `get_buffer(sizehint)`, for a transport that is not ours. Its buffer is as large as asyncio's.
    fn get_buffer(this: &Obj<Self>, py: Python<'_>, _n: &Bound<'_, PyAny>) -> PyResult<Obj> {
        let buffer = match this.buffer.get() {
            Some(buffer) => buffer,
            None => {
                let made: Obj = PyByteArray::new_with(py, MAX_SIZE, |_| Ok(()))?.into_any().into();
                this.buffer.set(Some(made.clone()));
                made
            }
        };
        Ok(PyMemoryView::from(buffer.bind(py))?.into_any().into())
    }

    /// `buffer_updated(nbytes)`: so many bytes were received into the buffer.
    fn buffer_updated(this: &Obj<Self>, py: Python<'_>, count: usize) -> PyResult<()> {
        let data = match this.buffer.get() {
            Some(buffer) => {
                Buffer::get(py, &buffer, false)?.with(py, |all| all[..count.min(all.len())].to_vec())
            }
            // Nobody has asked for the buffer.
            None => vec![0; count.min(MAX_SIZE)],
        };
        Self::received(this, py, &data)
    }

    /// `eof_received()`: the transport below will bring no more. True keeps it open.
    fn eof(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<bool>> {
        this.eof_received.set(true);
        let outcome = Self::end_received(this, py);
        if let Err(err) = &outcome
            && err.is_instance_of::<PyException>(py)
            && let Some(below) = this.transport.get()
        {
            below.bind(py).call_method0(intern!(py, "close"))?;
        }
        outcome
    }

    fn end_received(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<bool>> {
        if this.is_debug(py)? {
            log::write(py, MODULE, Level::Debug, ("%r received EOF", this))?;
        }
        match this.state.get() {
            State::DoHandshake => {
                let class = py.get_type::<PyConnectionResetError>();
                Self::handshake_ended(this, py, Some(PyErr::from_type(class, ())))?;
            }
            State::Wrapped => {
                this.set_state(State::Flushing)?;
                if this.app_reading_paused.get() {
                    return Ok(Some(true));
                }
                Self::do_flush(this, py)?;
            }
            State::Flushing => {
                Self::do_write(this, py)?;
                this.set_state(State::Shutdown)?;
                Self::do_shutdown(this, py)?;
            }
            State::Shutdown => Self::do_shutdown(this, py)?,
            State::Unwrapped => {}
        }
        Ok(None)
    }

    /// Decrypts what has arrived and hands it on. What goes wrong in it ends the connection.
    pub(super) fn do_read(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !matches!(this.state.get(), State::Wrapped | State::Flushing) {
            return Ok(());
        }
        match Self::read(this, py) {
            Err(err) if err.is_instance_of::<PyException>(py) => {
                let exc = exceptions::value_of(py, err);
                Self::fatal_error(this, py, &exc, "Fatal error on SSL protocol")
            }
            outcome => outcome,
        }
    }

    fn read(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.app_reading_paused.get() {
            let kind = this.kind.borrow().clone();
            match kind {
                ProtocolKind::Buffered => Self::read_buffered(this, py)?,
                ProtocolKind::Plain | ProtocolKind::Reader(_) | ProtocolKind::Native(..) => {
                    Self::read_copied(this, py, &kind)?;
                }
                ProtocolKind::None => {}
            }
            if this.backlog.borrow().is_empty() {
                Self::process_outgoing(this, py)?;
            } else {
                Self::do_write(this, py)?;
            }
        }
        Self::control_ssl_reading(this, py)
    }

    fn read_copied(this: &Obj<Self>, py: Python<'_>, kind: &ProtocolKind) -> PyResult<()> {
        let (plaintext, closed) = this.engine.read_all(py)?;
        let fed = match (kind, &plaintext) {
            (_, Plaintext::Nothing) => true,
            (ProtocolKind::Reader(reader), Plaintext::Bytes(data)) => {
                StreamReaderProtocol::feed_whole(reader, py, data)?
            }
            (ProtocolKind::Reader(reader), Plaintext::Lent(data)) => {
                StreamReaderProtocol::feed(reader, py, data)?
            }
            (ProtocolKind::Native(above, received), Plaintext::Bytes(data)) => {
                received(above, py, bytes_of(data).unwrap_or_default())?
            }
            (ProtocolKind::Native(above, received), Plaintext::Lent(data)) => received(above, py, data)?,
            _ => false,
        };
        let data = match plaintext {
            Plaintext::Nothing => None,
            Plaintext::Bytes(data) => (!fed).then_some(data),
            Plaintext::Lent(_) if fed => None,
            Plaintext::Lent(data) => Some(this.new_bytes(py, &data)?),
        };
        match (data, this.app_protocol.get()) {
            (Some(data), Some(app)) if matches!(kind, ProtocolKind::Native(..)) => {
                feed_data(py, app.bind(py), bytes_of(&data).unwrap_or_default())?;
            }
            (Some(data), Some(app)) => {
                app.bind(py).call_method1(intern!(py, "data_received"), (data,))?;
            }
            _ => {}
        }
        if closed {
            Self::closed_by_peer(this, py)?;
        }
        Ok(())
    }

    /// A `bytes` object for the program.
    fn new_bytes(&self, py: Python<'_>, data: &[u8]) -> PyResult<Obj> {
        match self.get_loop()? {
            LoopRef::Native(native) => native.sockets.spare.bytes(py, data),
            LoopRef::Foreign(_) => Ok(PyBytes::new(py, data).into_any().into()),
        }
    }

    fn read_buffered(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let Some(app) = this.app_protocol.get() else { return Ok(()) };
        let app = app.bind(py);
        let size = this.engine.input_len(py)?;
        let buffer = app.call_method1(intern!(py, "get_buffer"), (size,))?;
        let wants = buffer.len()?;
        let (mut filled, mut closed) = (0, false);
        while filled < wants {
            match this.engine.read_into(py, &buffer, filled, wants)? {
                Moved::Some(count) => filled += count,
                Moved::Nothing => break,
                Moved::Closed => {
                    closed = true;
                    break;
                }
            }
        }
        if filled > 0 && filled == wants {
            // There may be more, for which others wait their turn too.
            let again = this.bind(py).getattr(intern!(py, "_do_read"))?.into();
            this.get_loop()?.call_soon(py, &again, &[], None)?;
        }
        drop(buffer);
        if filled > 0 {
            app.call_method1(intern!(py, "buffer_updated"), (filled,))?;
        }
        if closed {
            Self::closed_by_peer(this, py)?;
        }
        Ok(())
    }

    fn closed_by_peer(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        Self::call_eof_received(this, py)?;
        Self::start_shutdown(this, py)
    }

    pub(super) fn call_eof_received(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.app_state.get() != AppState::ConnectionMade {
            return Ok(());
        }
        this.app_state.set(AppState::Eof);
        let Some(app) = this.app_protocol.get() else { return Ok(()) };
        let outcome = app
            .bind(py)
            .call_method0(intern!(py, "eof_received"))
            .and_then(|keep| keep.is_truthy())
            .and_then(|keep| {
                if !keep {
                    return Ok(());
                }
                let message = "returning true from eof_received() has no effect when using ssl";
                log::write(py, MODULE, Level::Warning, (message,))
            });
        match outcome {
            Err(err) if !exceptions::is_exit(py, &err) => {
                let exc = exceptions::value_of(py, err);
                Self::fatal_error(this, py, &exc, "Error calling eof_received()")
            }
            outcome => outcome,
        }
    }

    pub(super) fn pause_reading(&self) {
        self.app_reading_paused.set(true);
    }

    pub(super) fn resume_reading(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.app_reading_paused.replace(false) {
            return Ok(());
        }
        let name = "SSLProtocol._resume_reading.<locals>.resume";
        let resume = native_fn::function(py, name, vec![this.as_any().clone()], resume)?;
        this.get_loop()?.call_soon(py, &resume, &[], None)
    }

    /// Pauses the transport below while much waits to be decrypted.
    pub(super) fn control_ssl_reading(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let (size, marks) = (this.engine.input_len(py)?, this.read_marks.get());
        let pause = if size >= marks.high() && !this.ssl_reading_paused.get() {
            true
        } else if size <= marks.low() && this.ssl_reading_paused.get() {
            false
        } else {
            return Ok(());
        };
        this.ssl_reading_paused.set(pause);
        let Some(below) = this.transport.get() else { return Ok(()) };
        match (StreamTransport::plain(&below), pause) {
            (Some(ours), true) => StreamTransport::pause_reading(ours, py),
            (Some(ours), false) => StreamTransport::resume_reading(ours, py),
            (None, true) => below.bind(py).call_method0(intern!(py, "pause_reading")).map(drop),
            (None, false) => below.bind(py).call_method0(intern!(py, "resume_reading")).map(drop),
        }
    }

    pub(super) fn define_reading(class: &mut ClassBuilder<Self>) {
        class
            .method1_named(
                "get_buffer",
                Self::get_buffer,
                || Signature::new("get_buffer", ["n"]),
                "get_buffer($self, /, n)\n--\n\nThe buffer to receive into.",
            )
            .method1_named(
                "buffer_updated",
                |this: &Obj<Self>, py: Python<'_>, count: &Bound<'_, PyAny>| {
                    Self::buffer_updated(this, py, count.extract()?)
                },
                || Signature::new("buffer_updated", ["nbytes"]),
                "buffer_updated($self, /, nbytes)\n--\n\nSo many bytes were received into the buffer.",
            )
            .method0(
                "eof_received",
                Self::eof,
                "eof_received($self, /)\n--\n\nThe transport below brings no more; true keeps it open for now.",
            )
            .method0("_do_read", Self::do_read, "")
            .method0("_call_eof_received", Self::call_eof_received, "")
            .method0("_pause_reading", |this: &Obj<Self>, _py: Python<'_>| this.pause_reading(), "")
            .method0("_resume_reading", Self::resume_reading, "")
            .method0("_control_ssl_reading", Self::control_ssl_reading, "")
            .method0(
                "_get_read_buffer_size",
                |this: &Obj<Self>, py: Python<'_>| this.engine.input_len(py),
                "",
            );
    }
}
