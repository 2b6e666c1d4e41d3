//! `asyncio.StreamReaderProtocol`: what stands between a transport and a `StreamReader`.
//!
//! It holds its reader weakly: a program that lets go of both its reader and its writer gets rid of the connection.
//! Only until a server's callback has been called does it hold the reader itself, for nobody else does.

use std::cell::Cell;

use ferrio_object::{Args, Class, ClassBuilder, Obj, ObjCell, Signature};
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use super::attributes::{cell, flag};
use super::dict_state::{self, DictState};
use super::flow_control::FlowControlMixin;
use super::reader::StreamReader;
use super::replaced;
use super::writer::StreamWriter;
use crate::event_loop::{ExceptionContext, LoopRef, running};
use crate::future::Future;
use crate::transports::StreamTransport;
use crate::{future_likes, native_fn, task};

/// What a `StreamReaderProtocol` adds to a `FlowControlMixin`.
pub struct StreamReaderProtocol {
    /// A weak reference to the reader.
    reader_ref: ObjCell,
    pub(super) strong_reader: ObjCell,
    reject_connection: Cell<bool>,
    /// The writer, which asyncio's protocol holds before 3.13 and which is therefore not reported as unclosed there.
    pub(super) writer: ObjCell,
    task: ObjCell,
    transport: ObjCell,
    pub(super) callback: ObjCell,
    over_ssl: Cell<bool>,
    /// The future that is done when the connection is lost.
    closed: ObjCell,
    source_traceback: ObjCell,
}

impl StreamReaderProtocol {
    fn new() -> Self {
        StreamReaderProtocol {
            reader_ref: ObjCell::empty(),
            strong_reader: ObjCell::empty(),
            reject_connection: Cell::new(false),
            writer: ObjCell::empty(),
            task: ObjCell::empty(),
            transport: ObjCell::empty(),
            callback: ObjCell::empty(),
            over_ssl: Cell::new(false),
            closed: ObjCell::empty(),
            source_traceback: ObjCell::empty(),
        }
    }

    /// A protocol for `reader`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn create(
        py: Python<'_>,
        reader: &Obj<StreamReader>,
        callback: Option<Obj>,
        event_loop: LoopRef,
    ) -> PyResult<Obj<Self>> {
        super::ensure_protocols(py)?;
        let closed = event_loop.create_future(py)?;
        let contents = Self::new();
        contents.reader_ref.set(Some(weak(reader.bind(py))?));
        contents.source_traceback.set(reader.source_traceback.get());
        contents.strong_reader.set(callback.is_some().then(|| reader.as_any().clone()));
        contents.callback.set(callback);
        contents.closed.set(Some(closed));
        Obj::create(py, (((), FlowControlMixin::new(Some(event_loop))), contents))
    }

    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<3> =
            Signature::new("StreamReaderProtocol", ["stream_reader", "client_connected_cb", "loop"])
                .required(1);
        let [reader, callback, event_loop] = args.bind(&SIGNATURE)?;
        let event_loop = running::loop_or_current(py, event_loop)?;
        let reader = reader.filter(|reader| !reader.is_none());
        let callback = callback.filter(|callback| !callback.is_none());
        if let Some(reader) = reader {
            this.reader_ref.set(Some(weak(reader)?));
            let traceback = reader.getattr(intern!(py, "_source_traceback"))?;
            this.source_traceback.set((!traceback.is_none()).then(|| traceback.into()));
        }
        if callback.is_some() {
            this.strong_reader.set(reader.map(Obj::from));
        }
        this.callback.set(callback.map(Obj::from));
        this.closed.set(Some(event_loop.create_future(py)?));
        this.base().initialize(event_loop);
        Ok(())
    }

    /// Asks for what feeding the reader will use, a stage at a time (`base_events/ahead.rs`).
    #[inline]
    pub(crate) fn prefetch_stage(this: &Obj<Self>, py: Python<'_>, stage: usize) {
        match stage {
            0 => this.prefetch(),
            1 => this.reader_ref.prefetch_first(64),
            2 => {
                if let Some(held) = this.reader_ref.get() {
                    held.prefetch_referent::<StreamReader>();
                }
            }
            _ => {
                // What else a program puts there may be called, and run code.
                if let Some(held) = this.reader_ref.get()
                    && let Ok(held) = held.bind(py).cast_exact::<PyWeakrefReference>()
                    && let Some(reader) = held.upgrade().map(Obj::from)
                    && let Some(reader) = plain(&reader)
                {
                    reader.prefetch_waiting();
                }
            }
        }
    }

    /// The reader, if it is still there.
    #[inline]
    pub(super) fn reader(&self, py: Python<'_>) -> Option<Obj> {
        let held = self.reader_ref.get()?;
        // Looked at as a plain object: programs put a callable of their own there.
        match held.bind(py).cast::<PyWeakrefReference>() {
            Ok(held) => held.upgrade().map(Obj::from),
            Err(_) => held.bind(py).call0().ok().filter(|reader| !reader.is_none()).map(Obj::from),
        }
    }

    fn take_transport(&self, py: Python<'_>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        self.transport.set(Some(transport.into()));
        // Asking one of ours, which is never TLS, would have it gather all it knows.
        if StreamTransport::plain(&transport.into()).is_some() {
            self.over_ssl.set(false);
            return Ok(());
        }
        let context = transport.call_method1(intern!(py, "get_extra_info"), (intern!(py, "sslcontext"),))?;
        self.over_ssl.set(!context.is_none());
        Ok(())
    }

    fn replace_transport(this: &Obj<Self>, py: Python<'_>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        this.take_transport(py, transport)
    }

    /// Before 3.13: the writer, with the new transport in it.
    fn replace_writer(this: &Obj<Self>, py: Python<'_>, writer: &Bound<'_, PyAny>) -> PyResult<()> {
        this.writer.set(Some(writer.into()));
        this.take_transport(py, &writer.getattr(intern!(py, "transport"))?)
    }

    fn connection_made(this: &Obj<Self>, py: Python<'_>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        if this.reject_connection.get() {
            return this.reject(&this.base().get_loop()?, py, transport);
        }
        let reader = this.reader(py);
        if let Some(reader) = &reader {
            match plain(reader) {
                Some(ours) => ours.attach(transport.into())?,
                None => drop(reader.bind(py).call_method1(intern!(py, "set_transport"), (transport,))?),
            }
        }
        this.take_transport(py, transport)?;
        if let Some(callback) = this.callback.get() {
            Self::call_back(this, py, transport, reader, &callback)?;
            this.strong_reader.set(None);
        }
        Ok(())
    }

    fn reject(&self, event_loop: &LoopRef, py: Python<'_>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let message = "An open stream was garbage collected prior to establishing network connection; \
                       call \"stream.close()\" explicitly.";
        ExceptionContext::new(py)
            .with("message", message)?
            .with_any("source_traceback", self.source_traceback.get())?
            .report_to(event_loop.as_any())?;
        transport.call_method0(intern!(py, "abort"))?;
        Ok(())
    }

    /// Calls a server's callback with a new writer, and makes a task of the coroutine it returns.
    fn call_back(
        this: &Obj<Self>,
        py: Python<'_>,
        transport: &Bound<'_, PyAny>,
        reader: Option<Obj>,
        callback: &Obj,
    ) -> PyResult<()> {
        let event_loop = this.base().get_loop()?;
        let writer = StreamWriter::create(
            py,
            transport.into(),
            this.as_any().clone(),
            reader.clone(),
            event_loop.clone(),
        )?;
        if cfg!(not(Py_3_13)) {
            this.writer.set(Some(writer.as_any().clone()));
        }
        let returned = match callback.bind(py).call1((reader, writer)) {
            Ok(returned) => returned,
            Err(err) if err.is_instance_of::<PyException>(py) => {
                // Nobody else would close the connection: the client would wait for ever.
                return report_and_close(py, event_loop.as_any(), transport, err.value(py));
            }
            Err(err) => return Err(err),
        };
        if !task::is_coroutine(py, &returned)? {
            return Ok(());
        }
        let made = event_loop.as_any().bind(py).call_method1(intern!(py, "create_task"), (returned,))?;
        this.task.set(Some(made.clone().into()));
        let held = vec![event_loop.as_any().clone(), transport.into()];
        let ended = native_fn::function(py, "client_connected_cb.<locals>.callback", held, task_ended)?;
        made.call_method1(intern!(py, "add_done_callback"), (ended,))?;
        Ok(())
    }

    /// `connection_lost(exc)`.
    ///
    /// # Errors
    /// What a reader that is not ours raises.
    pub(crate) fn lost(this: &Obj<Self>, py: Python<'_>, exc: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(reader) = this.reader(py) {
            match (plain(&reader), exc) {
                (Some(ours), None) => ours.end(py)?,
                (Some(ours), Some(exc)) => ours.fail(py, exc)?,
                (None, None) => drop(reader.bind(py).call_method0(intern!(py, "feed_eof"))?),
                (None, Some(exc)) => {
                    drop(reader.bind(py).call_method1(intern!(py, "set_exception"), (exc,))?);
                }
            }
        }
        if let Some(closed) = this.closed.get()
            && !future_likes::is_done(py, &closed)?
        {
            match exc {
                None => drop(future_likes::wake(py, &closed)?),
                Some(exc) => {
                    future_likes::fail(py, &closed, exc)?;
                    // Reads and drains raise it; that nobody asked for it here is no news. Said at once: when
                    // the collector finds both in a cycle, it may finalize the future before this protocol.
                    if let Some(fut) = closed.cast_exact::<Future>() {
                        fut.log_traceback.set(false);
                    }
                }
            }
            // If nobody asks for it, it is no news: reads and drains have raised it. Not only when we are
            // collected: the future may be the first of a cycle to be finalized.
            if let Some(fut) = closed.cast_exact::<Future>() {
                fut.log_traceback.set(false);
            }
        }
        this.base().connection_lost(py, exc)?;
        this.reader_ref.set(None);
        this.writer.set(None);
        this.task.set(None);
        this.transport.set(None);
        Ok(())
    }

    fn connection_lost(this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::lost(this, py, (!exc.is_none()).then_some(exc))
    }

    fn data_received(this: &Obj<Self>, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(reader) = this.reader(py) else { return Ok(()) };
        let object = Obj::from(data);
        match (plain(&reader), ferrio_object::bytes_of(&object)) {
            (Some(ours), Some(bytes)) => ours.feed(py, bytes),
            _ => reader.bind(py).call_method1(intern!(py, "feed_data"), (data,)).map(drop),
        }
    }

    fn eof_received(this: &Obj<Self>, py: Python<'_>) -> PyResult<bool> {
        if let Some(reader) = this.reader(py) {
            match plain(&reader) {
                Some(ours) => ours.end(py)?,
                None => drop(reader.bind(py).call_method0(intern!(py, "feed_eof"))?),
            }
        }
        // TLS closes both directions; true would only bring a warning from the TLS protocol.
        Ok(!this.over_ssl.get())
    }

    fn get_close_waiter(
        this: &Obj<Self>,
        py: Python<'_>,
        _stream: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Obj>> {
        Self::take_over(this, py)?;
        Ok(this.closed.get())
    }

    fn get_reader(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<Obj>> {
        Self::take_over(this, py)?;
        Ok(this.reader(py))
    }
}

/// The reader, if it is ours and nothing about it has been replaced.
#[inline]
pub(crate) fn plain(reader: &Obj) -> Option<&Obj<StreamReader>> {
    reader.cast::<StreamReader>().filter(|ours| !ours.replaces_any())
}

fn weak(reader: &Bound<'_, PyAny>) -> PyResult<Obj> {
    Ok(PyWeakrefReference::new(reader)?.into())
}

/// The end of a server's task: `[loop, transport]`, and the task as the argument.
fn task_ended(py: Python<'_>, held: &[Obj], args: Args<'_, '_>) -> PyResult<()> {
    let ([event_loop, transport], Some(task)) = (held, args.get(0)) else { return Ok(()) };
    let transport = transport.bind(py);
    if task.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        return transport.call_method0(intern!(py, "close")).map(drop);
    }
    let exc = task.call_method0(intern!(py, "exception"))?;
    if exc.is_none() {
        return Ok(());
    }
    report_and_close(py, event_loop, transport, &exc)
}

/// A server's callback has failed.
fn report_and_close(
    py: Python<'_>,
    event_loop: &Obj,
    transport: &Bound<'_, PyAny>,
    exc: &Bound<'_, PyAny>,
) -> PyResult<()> {
    ExceptionContext::new(py)
        .with("message", "Unhandled exception in client_connected_cb")?
        .with("exception", exc)?
        .with("transport", transport)?
        .report_to(event_loop)?;
    transport.call_method0(intern!(py, "close")).map(drop)
}

/// What ferrio's own transports call, past Python.
///
/// Whether that means the same as calling its methods is asked each time: a method may be replaced, or the reader may
/// go away, between one event and the next.
impl StreamReaderProtocol {
    /// `data_received(data)`, where that means no more than feeding the reader. False: the method has to be called.
    ///
    /// The data lies in the loop's scratch buffer and is copied into the reader's own; the task that waits for it goes
    /// onto the ready queue. No context is entered: no code of the protocol's runs.
    ///
    /// # Errors
    /// What it raises.
    #[inline]
    pub(crate) fn feed(this: &Obj<Self>, py: Python<'_>, data: &[u8]) -> PyResult<bool> {
        if !this.base().replaces(replaced::CALLED)
            && !this.base().in_dict.get()
            && let Some(reader) = this.reader(py)
            && let Some(reader) = plain(&reader)
        {
            reader.feed(py, data)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// As [`Self::feed`], with a `bytes` object, which the reader keeps instead of a copy if it can.
    ///
    /// # Errors
    /// What it raises.
    pub(crate) fn feed_whole(this: &Obj<Self>, py: Python<'_>, data: &Obj) -> PyResult<bool> {
        if !this.base().replaces(replaced::CALLED)
            && !this.base().in_dict.get()
            && let Some(reader) = this.reader(py)
            && let Some(reader) = plain(&reader)
        {
            reader.feed_whole(py, data)?;
            return Ok(true);
        }
        Ok(false)
    }
}

impl Class for StreamReaderProtocol {
    type Base = FlowControlMixin;
    ferrio_object::fields!(StreamReaderProtocol {
        reader_ref,
        strong_reader,
        reject_connection,
        writer,
        task,
        transport,
        callback,
        over_ssl,
        closed,
        source_traceback
    });
    const NAME: &'static str = "asyncio.streams.StreamReaderProtocol";
    const DOC: &'static str = "StreamReaderProtocol(stream_reader, client_connected_cb=None, loop=None)\n--\n\n\
        The protocol that feeds a StreamReader.\n\n\
        client_connected_cb: called with (reader, writer) when the connection is there; a coroutine that it returns\n\
        is run as a task.";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        Self::new()
    }

    fn wants_finalizer(&self, _base: &FlowControlMixin) -> bool {
        self.closed.is_some()
    }

    /// As in [`StreamReaderProtocol::lost`], for a `_closed` that is not a future of ours or was failed by others.
    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        let Some(closed) = this.closed.get() else { return };
        if let Some(fut) = closed.cast_exact::<Future>() {
            fut.log_traceback.set(false);
            return;
        }
        let outcome = (|| {
            let closed = closed.bind(py);
            if closed.call_method0(intern!(py, "done"))?.is_truthy()?
                && !closed.call_method0(intern!(py, "cancelled"))?.is_truthy()?
            {
                closed.call_method0(intern!(py, "exception"))?;
            }
            Ok::<(), PyErr>(())
        })();
        if let Err(err) = outcome {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .method1_named("connection_made",
                |this: &Obj<Self>, py: Python<'_>, transport: &Bound<'_, PyAny>| dict_state::with(this, py, || Self::connection_made(this, py, transport)),
                || Signature::new("connection_made", ["transport"]),
                "connection_made($self, /, transport)\n--\n\nThe connection is there: the callback is called.")
            .method1_named("connection_lost",
                |this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>| dict_state::with(this, py, || Self::connection_lost(this, py, exc)),
                || Signature::new("connection_lost", ["exc"]),
                "connection_lost($self, /, exc)\n--\n\nThe connection is gone: reads end, or fail with `exc`.")
            .method1_named("data_received",
                |this: &Obj<Self>, py: Python<'_>, data: &Bound<'_, PyAny>| dict_state::with(this, py, || Self::data_received(this, py, data)),
                || Signature::new("data_received", ["data"]),
                "data_received($self, /, data)\n--\n\nBytes for the reader.")
            .method0("eof_received", |this: &Obj<Self>, py: Python<'_>| dict_state::with(this, py, || Self::eof_received(this, py)),
                "eof_received($self, /)\n--\n\nThe other end sends no more; True (keep our end open) but over TLS.")
            .method1("_replace_transport", |this: &Obj<Self>, py: Python<'_>, transport: &Bound<'_, PyAny>| dict_state::with(this, py, || Self::replace_transport(this, py, transport)), "_replace_transport($self, transport, /)\n--\n\n")
            .method1("_replace_writer", |this: &Obj<Self>, py: Python<'_>, writer: &Bound<'_, PyAny>| dict_state::with(this, py, || Self::replace_writer(this, py, writer)), "_replace_writer($self, writer, /)\n--\n\n")
            .method1("_get_close_waiter", Self::get_close_waiter, "_get_close_waiter($self, stream, /)\n--\n\n")
            .getter("_stream_reader", Self::get_reader, "");
        flag!(class, StreamReaderProtocol, "_reject_connection", reject_connection);
        flag!(class, StreamReaderProtocol, "_over_ssl", over_ssl);
        cell!(class, StreamReaderProtocol, "_stream_reader_wr", reader_ref);
        cell!(class, StreamReaderProtocol, "_strong_reader", strong_reader);
        cell!(class, StreamReaderProtocol, "_stream_writer", writer);
        cell!(class, StreamReaderProtocol, "_task", task);
        cell!(class, StreamReaderProtocol, "_transport", transport);
        cell!(class, StreamReaderProtocol, "_client_connected_cb", callback);
        cell!(class, StreamReaderProtocol, "_closed", closed);
        cell!(class, StreamReaderProtocol, "_source_traceback", source_traceback);
    }
}
