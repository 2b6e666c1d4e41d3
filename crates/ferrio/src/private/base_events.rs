//! `asyncio.base_events`: addresses, socket options, and things as text.

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::base_events::{self, check_ssl_socket, interleave, set_reuse_port};
use crate::task::Task;

/// What the port of a socket's address says where there is none, and the pipe of a subprocess.
const PIPE: i64 = -1;
const STDOUT: i64 = -2;

fn py_check_ssl_socket(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [sock] = args.bind(&Signature::new("_check_ssl_socket", ["sock"]))?;
    sock.map_or(Ok(()), |sock| check_ssl_socket(py, sock))
}

fn format_handle(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    let [handle] = args.bind(&Signature::new("_format_handle", ["handle"]))?;
    let Some(handle) = handle else { return Ok(None) };
    let callback = handle.getattr(intern!(py, "_callback"))?;
    if let Some(owner) = callback.getattr_opt(intern!(py, "__self__"))?
        && Obj::<Task>::from_bound(&owner).is_some()
    {
        return Ok(Some(owner.repr()?.into()));
    }
    Ok(Some(handle.str()?.into()))
}

fn format_pipe(_py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<String>> {
    let [fd] = args.bind(&Signature::new("_format_pipe", ["fd"]))?;
    let Some(fd) = fd else { return Ok(None) };
    if fd.eq(PIPE)? {
        return Ok(Some("<pipe>".to_owned()));
    }
    if fd.eq(STDOUT)? {
        return Ok(Some("<stdout>".to_owned()));
    }
    Ok(Some(fd.repr()?.to_string()))
}

fn interleave_addrinfos(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<2> =
        Signature::new("_interleave_addrinfos", ["addrinfos", "first_address_family_count"]).required(1);
    let [infos, first] = args.bind(&SIGNATURE)?;
    let infos = match infos {
        Some(infos) => infos.try_iter()?.map(|info| info.map(Obj::from)).collect::<PyResult<_>>()?,
        None => Vec::new(),
    };
    let first = first.map_or(Ok(1), PyAnyMethods::extract)?;
    Ok(PyList::new(py, interleave(py, infos, first)?)?.into())
}

/// The address info of a host that is a number already, without asking the resolver; None for any other.
fn ipaddr_info(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    const SIGNATURE: Signature<7> =
        Signature::new("_ipaddr_info", ["host", "port", "family", "type", "proto", "flowinfo", "scopeid"])
            .required(5);
    let [host, port, family, kind, proto, flowinfo, scopeid] = args.bind(&SIGNATURE)?;
    let (Some(host), Some(port), Some(family), Some(kind), Some(proto)) = (host, port, family, kind, proto)
    else {
        return Ok(None);
    };
    let zero = 0_i32.into_pyobject(py)?.into_any();
    let address =
        PyTuple::new(py, [host, port, flowinfo.unwrap_or(&zero), scopeid.unwrap_or(&zero)])?.into_any();
    base_events::ipaddr_info(py, &address, [host, port], [family, kind, proto])
}

/// Without delay, where the socket is a TCP one.
fn set_nodelay(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [sock] = args.bind(&Signature::new("_set_nodelay", ["sock"]))?;
    let Some(sock) = sock else { return Ok(()) };
    let socket = crate::imported::module(py, "socket")?;
    let is = |attribute: &str, names: &[&str]| -> PyResult<bool> {
        let value = sock.getattr(attribute)?;
        for name in names {
            if value.eq(socket.getattr(*name)?)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    if is("family", &["AF_INET", "AF_INET6"])?
        && is("type", &["SOCK_STREAM"])?
        && is("proto", &["IPPROTO_TCP"])?
    {
        let (level, option) = (socket.getattr("IPPROTO_TCP")?, socket.getattr("TCP_NODELAY")?);
        sock.call_method1(intern!(py, "setsockopt"), (level, option, 1))?;
    }
    Ok(())
}

fn set_reuseport(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [sock] = args.bind(&Signature::new("_set_reuseport", ["sock"]))?;
    match sock {
        Some(sock) => set_reuse_port(&crate::imported::module(py, "socket")?, sock),
        None => Err(PyValueError::new_err("a socket is required")),
    }
}

pub(super) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(
        module,
        "_check_ssl_socket",
        py_check_ssl_socket,
        "_check_ssl_socket(sock)\n--\n\nRaise TypeError if it is an ssl.SSLSocket.",
    )?;
    ClassDef::function(
        module,
        "_format_handle",
        format_handle,
        "_format_handle(handle)\n--\n\nA handle as text; of a step of a task the task.",
    )?;
    ClassDef::function(
        module,
        "_format_pipe",
        format_pipe,
        "_format_pipe(fd)\n--\n\nA standard stream of a subprocess as text.",
    )?;
    ClassDef::function(
        module,
        "_interleave_addrinfos",
        interleave_addrinfos,
        "_interleave_addrinfos(addrinfos, first_address_family_count=1)\n--\n\n\
        Address infos with the families taking turns (RFC 8305).",
    )?;
    ClassDef::function(
        module,
        "_ipaddr_info",
        ipaddr_info,
        "_ipaddr_info(host, port, family, type, proto, flowinfo=0, scopeid=0)\n--\n\n\
        The address info of a numeric host, without asking the resolver; None for any other.",
    )?;
    ClassDef::function(
        module,
        "_set_nodelay",
        set_nodelay,
        "_set_nodelay(sock)\n--\n\nSet TCP_NODELAY on a TCP socket.",
    )?;
    ClassDef::function(
        module,
        "_set_reuseport",
        set_reuseport,
        "_set_reuseport(sock)\n--\n\nSet SO_REUSEPORT. Raises ValueError where the system has none.",
    )
}
