//! `TransportSocket`: the socket as a transport or server shows it, without what would disturb its owner.

use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Signature};
use pyo3::exceptions::{PyAttributeError, PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// The contents of a `TransportSocket`.
pub struct TransportSocket {
    sock: ObjCell,
}

impl TransportSocket {
    /// A view of a Python socket.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn wrap(py: Python<'_>, sock: &Obj) -> PyResult<Obj<Self>> {
        Obj::create(py, ((), TransportSocket { sock: ObjCell::new(sock.clone()) }))
    }

    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [sock] = args.bind(&Signature::new("TransportSocket", ["sock"]))?;
        this.sock.set(sock.map(Obj::from));
        Ok(())
    }

    fn sock<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.sock.get() {
            Some(sock) => Ok(sock.into_bound(py)),
            None => Err(PyAttributeError::new_err("_sock")),
        }
    }

    fn attribute(this: &Obj<Self>, py: Python<'_>, name: &str) -> PyResult<Obj> {
        Ok(this.sock(py)?.getattr(name)?.into())
    }

    fn ask(this: &Obj<Self>, py: Python<'_>, name: &str) -> PyResult<Obj> {
        Ok(this.sock(py)?.call_method0(name)?.into())
    }

    fn pass(this: &Obj<Self>, py: Python<'_>, name: &str, args: Args<'_, '_>) -> PyResult<Obj> {
        let kwargs = PyDict::new(py);
        args.each_keyword(|key, value| kwargs.set_item(key, value))?;
        let args = PyTuple::new(py, args.iter())?;
        Ok(this.sock(py)?.call_method(name, args, Some(&kwargs))?.into())
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let sock = this.sock(py)?;
        let fd: i64 = sock.call_method0("fileno")?.extract()?;
        let mut shown = format!(
            "<asyncio.TransportSocket fd={fd}, family={}, type={}, proto={}",
            sock.getattr("family")?.str()?,
            sock.getattr("type")?.str()?,
            sock.getattr("proto")?.str()?,
        );
        if fd != -1 {
            for (label, method) in [("laddr", "getsockname"), ("raddr", "getpeername")] {
                match sock.call_method0(method) {
                    Ok(address) if address.is_truthy()? => {
                        let address = address.str()?;
                        shown = format!("{shown}, {label}={address}");
                    }
                    Ok(_) => {}
                    // Not bound or not connected: then there is nothing to show.
                    Err(err) if err.is_instance_of::<PyOSError>(py) => ferrio_object::swallow(py, err),
                    Err(err) => return Err(err),
                }
            }
        }
        shown.push('>');
        Ok(shown)
    }

    fn settimeout(_this: &Obj<Self>, _py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if value.eq(0)? {
            return Ok(());
        }
        Err(PyValueError::new_err("settimeout(): only 0 timeout is allowed on transport sockets"))
    }

    fn setblocking(_this: &Obj<Self>, _py: Python<'_>, flag: &Bound<'_, PyAny>) -> PyResult<()> {
        if flag.is_truthy()? {
            return Err(PyValueError::new_err("setblocking(): transport sockets cannot be blocking"));
        }
        Ok(())
    }

    fn getstate(_this: &Obj<Self>, _py: Python<'_>, _args: Args<'_, '_>) -> PyResult<()> {
        Err(PyTypeError::new_err("Cannot serialize asyncio.TransportSocket object"))
    }

    fn shutdown(this: &Obj<Self>, py: Python<'_>, how: &Bound<'_, PyAny>) -> PyResult<()> {
        this.sock(py)?.call_method1("shutdown", (how,)).map(drop)
    }
}

impl Class for TransportSocket {
    type Base = Any;
    ferrio_object::fields!(TransportSocket { sock });
    const NAME: &'static str = "asyncio.TransportSocket";
    const DOC: &'static str = "TransportSocket(sock)\n--\n\n\
        The socket of a transport or server, as get_extra_info('socket') and Server.sockets give it.\n\n\
        It can be asked and its options can be set; what would disturb the transport (close, recv, send, a\n\
        timeout) is missing or refused.";

    fn blank() -> Self {
        TransportSocket { sock: ObjCell::empty() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .repr(Self::repr)
            .getter("_sock", |this: &Obj<Self>, _py: Python<'_>| this.sock.get(), "")
            .getter("family", |this: &Obj<Self>, py: Python<'_>| Self::attribute(this, py, "family"), "")
            .getter("type", |this: &Obj<Self>, py: Python<'_>| Self::attribute(this, py, "type"), "")
            .getter("proto", |this: &Obj<Self>, py: Python<'_>| Self::attribute(this, py, "proto"), "")
            .method("__getstate__", Self::getstate, "")
            .method("__reduce_ex__", Self::getstate, "")
            .method0(
                "fileno",
                |this: &Obj<Self>, py: Python<'_>| Self::ask(this, py, "fileno"),
                "fileno($self, /)\n--\n\nThe descriptor.",
            )
            .method0(
                "dup",
                |this: &Obj<Self>, py: Python<'_>| Self::ask(this, py, "dup"),
                "dup($self, /)\n--\n\nA socket of one's own for the same connection.",
            )
            .method0(
                "get_inheritable",
                |this: &Obj<Self>, py: Python<'_>| Self::ask(this, py, "get_inheritable"),
                "get_inheritable($self, /)\n--\n\nWhether child processes get it.",
            )
            .method0(
                "getpeername",
                |this: &Obj<Self>, py: Python<'_>| Self::ask(this, py, "getpeername"),
                "getpeername($self, /)\n--\n\nThe address of the peer.",
            )
            .method0(
                "getsockname",
                |this: &Obj<Self>, py: Python<'_>| Self::ask(this, py, "getsockname"),
                "getsockname($self, /)\n--\n\nThe address of this end.",
            )
            .method0(
                "getsockbyname",
                |this: &Obj<Self>, py: Python<'_>| Self::ask(this, py, "getsockbyname"),
                "",
            )
            .method(
                "getsockopt",
                |this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>| {
                    Self::pass(this, py, "getsockopt", args)
                },
                "getsockopt($self, /, *args, **kwargs)\n--\n\nAn option.",
            )
            .method(
                "setsockopt",
                |this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>| {
                    Self::pass(this, py, "setsockopt", args).map(drop)
                },
                "setsockopt($self, /, *args, **kwargs)\n--\n\nSet an option.",
            )
            .method1_named(
                "shutdown",
                Self::shutdown,
                || Signature::new("shutdown", ["how"]),
                "shutdown($self, /, how)\n--\n\nEnd one direction or both.",
            )
            .method1_named(
                "settimeout",
                Self::settimeout,
                || Signature::new("settimeout", ["value"]),
                "settimeout($self, /, value)\n--\n\nAccepts 0 only.",
            )
            .method0(
                "gettimeout",
                |_this: &Obj<Self>, _py: Python<'_>| 0_i32,
                "gettimeout($self, /)\n--\n\n0.",
            )
            .method1_named(
                "setblocking",
                Self::setblocking,
                || Signature::new("setblocking", ["flag"]),
                "setblocking($self, /, flag)\n--\n\nAccepts False only.",
            );
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<TransportSocket>(module)
}
