//! Serving: when a server listens, what waits for its end, and what Python sees of it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Signature, ThreadState};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::Server;
use super::listener::{Accepting, Listener};
use crate::event_loop::{Loop, LoopRef};
use crate::future::{self, Future};
use crate::tls::{Side, TlsParams};
use crate::trsock::TransportSocket;
use crate::{coro, exceptions, sleep};

/// What a server is made of.
pub(crate) struct Serving {
    pub(crate) sockets: Obj,
    pub(crate) protocol_factory: Obj,
    pub(crate) ssl_context: Option<Obj>,
    /// How connections talk TLS, if they do.
    pub(crate) tls: Option<TlsParams>,
    pub(crate) backlog: i32,
}

impl Server {
    /// A server, not listening yet: an instance of the Python class `ferrio.base_events.Server`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn create(py: Python<'_>, event_loop: &Obj<Loop>, serving: Serving) -> PyResult<Obj<Self>> {
        let class: Obj = crate::imported::module(py, "ferrio.base_events")?.getattr("Server")?.into();
        let this = Obj::<Self>::create_of(py, &class)?;
        this.fill(py, event_loop, serving)?;
        Ok(this)
    }

    fn fill(&self, py: Python<'_>, event_loop: &Obj<Loop>, serving: Serving) -> PyResult<()> {
        self.event_loop.set(Some(event_loop.clone()));
        self.sockets.set(Some(serving.sockets));
        self.protocol_factory.set(Some(serving.protocol_factory));
        self.ssl_context.set(serving.ssl_context);
        let old = self.tls.replace(serving.tls);
        drop(old);
        self.backlog.set(serving.backlog);
        if cfg!(Py_3_15) {
            self.context.set(Some(ThreadState::copy_context(py)?));
        }
        let old = self.waiters.replace(Some(Vec::new()));
        drop(old);
        Ok(())
    }

    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<7> = Signature::new(
            "Server",
            [
                "loop",
                "sockets",
                "protocol_factory",
                "ssl_context",
                "backlog",
                "ssl_handshake_timeout",
                "ssl_shutdown_timeout",
            ],
        )
        .required(6);
        let [event_loop, sockets, factory, ssl_context, backlog, handshake, shutdown] =
            args.bind(&SIGNATURE)?;
        let (Some(event_loop), Some(sockets), Some(factory), Some(backlog)) =
            (event_loop, sockets, factory, backlog)
        else {
            return Ok(());
        };
        let Some(event_loop) = Obj::<Loop>::from_bound(event_loop) else {
            return Err(PyTypeError::new_err("a server of ferrio's needs a loop of ferrio's"));
        };
        let tls = match ssl_context {
            Some(context) if context.is_truthy()? => Some(TlsParams {
                context: Some(context.into()),
                side: Side::Server,
                server_hostname: None,
                handshake_timeout: Obj::unless_none(handshake),
                shutdown_timeout: Obj::unless_none(shutdown),
            }),
            _ => None,
        };
        this.fill(
            py,
            event_loop,
            Serving {
                sockets: sockets.into(),
                protocol_factory: factory.into(),
                ssl_context: Obj::unless_none(ssl_context),
                tls,
                backlog: backlog.extract()?,
            },
        )
    }

    /// Begins to listen, unless it does already.
    ///
    /// # Errors
    /// `OSError` from `listen()`.
    pub(crate) fn listen(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.serving.get() {
            return Ok(());
        }
        let Some(sockets) = this.sockets.get() else {
            // The exception that asyncio's server runs into.
            return Err(PyTypeError::new_err(format!("server {} is closed", this.bind(py).repr()?)));
        };
        let event_loop = this.get_loop()?;
        this.serving.set(true);
        let factory = this.protocol_factory.get().unwrap_or_else(|| Obj::none(py));
        for sock in sockets.bind(py).try_iter()? {
            let sock: Obj = sock?.into();
            sock.bind(py).call_method1(intern!(py, "listen"), (this.backlog.get(),))?;
            // Before 3.15 it is the context in which serving begins.
            let context = match this.context.get() {
                Some(context) => context,
                None => ThreadState::copy_context(py)?,
            };
            let accepting = Accepting {
                protocol_factory: factory.clone(),
                tls: this.tls.borrow().clone(),
                server: this.clone(),
                backlog: this.backlog.get(),
                context,
            };
            Listener::start(py, &event_loop, &sock, accepting)?;
        }
        Ok(())
    }

    /// Stops listening.
    ///
    /// # Errors
    /// What a replaced `_stop_serving` raises.
    pub(crate) fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let Some(sockets) = this.sockets.take() else { return Ok(()) };
        let event_loop = this.get_loop()?;
        for sock in sockets.bind(py).try_iter()? {
            event_loop.bind(py).call_method1(intern!(py, "_stop_serving"), (sock?,))?;
        }
        this.serving.set(false);
        if let Some(fut) = this.serving_forever.get()
            && !fut.is_done()
        {
            this.serving_forever.set(None);
            future::cancel(&fut, py, None)?;
        }
        this.wake_if_over(py)
    }

    fn each_client(this: &Obj<Self>, py: Python<'_>, method: &str) -> PyResult<()> {
        let clients: Vec<Obj> = this.clients.borrow().values().cloned().collect();
        for weak in clients {
            let transport = weak.bind(py).call0()?;
            if !transport.is_none() {
                transport.call_method0(method)?;
            }
        }
        Ok(())
    }

    fn start_serving(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        coro::coroutine(py, "start_serving", move |co| {
            let this = co.hold(this);
            async move {
                Self::listen(&this.get(), co.py())?;
                // asyncio gives the loop one turn here, so that all listeners are in place.
                let wait = co.wait(sleep::yield_once(co.py())?);
                wait.await
            }
        })
    }

    fn serve_forever(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        coro::coroutine(py, "serve_forever", move |co| {
            let this = co.hold(this);
            async move {
                let wait = co.wait(Self::begin_to_serve(&this.get(), co.py())?);
                let cancellation = match wait.await {
                    Err(err) if exceptions::err_is_cancelled(co.py(), &err) => {
                        co.hold(exceptions::value_of(co.py(), err))
                    }
                    outcome => {
                        this.get().serving_forever.set(None);
                        return outcome;
                    }
                };
                let closed = Self::close(&this.get(), co.py()).and_then(|()| {
                    // Since gh-123720 (in 3.13 in a later release than 3.13.0). Before, this waited for what may never
                    // come, clients that close.
                    if cfg!(Py_3_13) { Self::each_client(&this.get(), co.py(), "close") } else { Ok(()) }
                });
                match closed {
                    Ok(()) => {
                        let wait = co.wait(Self::wait_closed(&this.get(), co.py())?);
                        // The cancellation is what is passed on, whatever came of waiting.
                        if let Err(second) = wait.await {
                            ferrio_object::swallow(co.py(), second);
                        }
                    }
                    Err(failed) => ferrio_object::swallow(co.py(), failed),
                }
                this.get().serving_forever.set(None);
                Err(ferrio_object::raise(co.py(), &cancellation.get()))
            }
        })
    }

    /// Listens; what is waited for, for ever.
    fn begin_to_serve(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj<Future>> {
        let shown = || Ok::<_, PyErr>(this.bind(py).repr()?.to_string());
        if this.serving_forever.is_some() {
            return Err(PyRuntimeError::new_err(format!(
                "server {} is already being awaited on serve_forever()",
                shown()?
            )));
        }
        if this.sockets.is_none() {
            return Err(PyRuntimeError::new_err(format!("server {} is closed", shown()?)));
        }
        Self::listen(this, py)?;
        let fut = Future::create(py, LoopRef::Native(this.get_loop()?))?;
        this.serving_forever.set(Some(fut.clone()));
        Ok(fut)
    }

    fn wait_closed(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        coro::coroutine(py, "wait_closed", move |co| {
            let this = co.hold(this);
            async move {
                let wait = {
                    let (py, this) = (co.py(), this.get());
                    // Before 3.12 a closed server was not waited for, whatever connections it had.
                    if this.waiters.borrow().is_none() || (!cfg!(Py_3_12) && this.sockets.is_none()) {
                        return Ok(Obj::none(py));
                    }
                    let waiter = Future::create(py, LoopRef::Native(this.get_loop()?))?;
                    if let Some(waiters) = this.waiters.borrow_mut().as_mut() {
                        waiters.push(waiter.clone());
                    }
                    co.wait(waiter)
                };
                wait.await?;
                Ok(Obj::none(co.py()))
            }
        })
    }

    fn views(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        let Some(sockets) = this.sockets.get() else { return Ok(PyTuple::empty(py).into_any().into()) };
        let views: PyResult<Vec<_>> =
            sockets.bind(py).try_iter()?.map(|sock| TransportSocket::wrap(py, &sock?.into())).collect();
        Ok(PyTuple::new(py, views?)?.into_any().into())
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let sockets = this.bind(py).getattr(intern!(py, "sockets"))?.repr()?;
        Ok(format!("<{} sockets={sockets}>", this.bind(py).get_type().name()?))
    }

    fn waiter_list(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<Obj>> {
        let waiters = this.waiters.borrow().clone();
        waiters.map(|waiters| Ok(PyList::new(py, waiters)?.into_any().into())).transpose()
    }

    fn py_attach(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [transport] = args.bind(&Signature::new("_attach", ["transport"]).required(0))?;
        Self::attach(this, py, transport.map(Obj::from).as_ref())
    }

    fn py_detach(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [transport] = args.bind(&Signature::new("_detach", ["transport"]).required(0))?;
        Self::detach(this, py, transport.map(Obj::from).as_ref())
    }
}

impl Class for Server {
    type Base = Any;
    ferrio_object::fields!(Server {
        event_loop,
        sockets,
        protocol_factory,
        ssl_context,
        tls,
        backlog,
        clients: kept,
        unnamed,
        waiters,
        write_habit: unowned,
        serving,
        serving_forever,
        context
    });
    const NAME: &'static str = "ferrio._ferrio._Server";
    const DOC: &'static str = "_Server(loop, sockets, protocol_factory, ssl_context, backlog, \
        ssl_handshake_timeout, ssl_shutdown_timeout=None)\n--\n\nThe native part of a listening server.";

    fn blank() -> Self {
        Server {
            event_loop: ObjCell::empty(),
            sockets: ObjCell::empty(),
            protocol_factory: ObjCell::empty(),
            ssl_context: ObjCell::empty(),
            tls: RefCell::new(None),
            backlog: Cell::new(0),
            clients: RefCell::new(HashMap::new()),
            unnamed: Cell::new(0),
            waiters: RefCell::new(None),
            write_habit: Rc::default(),
            serving: Cell::new(false),
            serving_forever: ObjCell::empty(),
            context: ObjCell::empty(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .repr(Self::repr)
            .method0(
                "close",
                Self::close,
                "close($self, /)\n--\n\n\
                Stop listening. Connections that are open stay open.",
            )
            .method0(
                "close_clients",
                |this: &Obj<Self>, py: Python<'_>| Self::each_client(this, py, "close"),
                "close_clients($self, /)\n--\n\nClose all connections, each when what is buffered has been sent (since 3.13).",
            )
            .method0(
                "abort_clients",
                |this: &Obj<Self>, py: Python<'_>| Self::each_client(this, py, "abort"),
                "abort_clients($self, /)\n--\n\nClose all connections at once, and drop what is buffered (since 3.13).",
            )
            .method0(
                "get_loop",
                |this: &Obj<Self>, _py: Python<'_>| this.get_loop(),
                "get_loop($self, /)\n--\n\nThe loop of the server (since 3.7).",
            )
            .method0(
                "is_serving",
                |this: &Obj<Self>, _py: Python<'_>| this.serving.get(),
                "is_serving($self, /)\n--\n\nWhether connections are accepted (since 3.7).",
            )
            .coroutine0(
                "start_serving",
                Self::start_serving,
                "start_serving($self, /)\n--\n\n\
                Coroutine: begin to accept connections; no effect if it does already (since 3.7).",
            )
            .coroutine0(
                "serve_forever",
                Self::serve_forever,
                "serve_forever($self, /)\n--\n\n\
                Coroutine: accept connections until cancelled, which closes the server (since 3.7) and, since 3.13,\n\
                its connections.\n\n\
                Raises RuntimeError if the server is closed or somebody awaits this already.",
            )
            .coroutine0(
                "wait_closed",
                Self::wait_closed,
                "wait_closed($self, /)\n--\n\n\
                Coroutine: wait until the server is closed and its connections are gone.",
            )
            .method0("_start_serving", Self::listen, "")
            .method0("_wakeup", |this: &Obj<Self>, py: Python<'_>| this.wake_if_over(py), "")
            .method("_attach", Self::py_attach, "")
            .method("_detach", Self::py_detach, "")
            .getter("sockets", Self::views, "A tuple of the listening sockets; empty when closed.")
            .getter("_sockets", |this: &Obj<Self>, _py: Python<'_>| this.sockets.get(), "")
            .getter("_waiters", Self::waiter_list, "")
            .getter("_loop", |this: &Obj<Self>, _py: Python<'_>| this.event_loop.get(), "")
            .getset(
                "_protocol_factory",
                |this: &Obj<Self>, _py: Python<'_>| this.protocol_factory.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.protocol_factory.set(Obj::unless_none(value));
                    Ok(())
                },
                "",
            )
            .getter("_serving", |this: &Obj<Self>, _py: Python<'_>| this.serving.get(), "")
            .getter("_backlog", |this: &Obj<Self>, _py: Python<'_>| this.backlog.get(), "")
            .getter("_ssl_context", |this: &Obj<Self>, _py: Python<'_>| this.ssl_context.get(), "")
            .getter(
                "_active_count",
                |this: &Obj<Self>, _py: Python<'_>| this.clients.borrow().len() + this.unnamed.get(),
                "",
            )
            .getter(
                "_serving_forever_fut",
                |this: &Obj<Self>, _py: Python<'_>| this.serving_forever.get(),
                "",
            );
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Listener>(module)?;
    ClassDef::add::<Server>(module)
}
