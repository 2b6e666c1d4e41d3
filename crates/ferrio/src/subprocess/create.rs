//! `create_subprocess_exec` and `create_subprocess_shell`: the loop's `subprocess_exec` and `subprocess_shell` with a
//! factory of stream protocols.

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::process::Process;
use super::protocol::SubprocessStreamProtocol;
use crate::coro;
use crate::event_loop::running;
use crate::streams::DEFAULT_LIMIT;

/// What goes to the loop.
struct Call {
    limit: Option<Obj>,
    args: Vec<Obj>,
    /// A dict.
    kwargs: Obj,
}

ferrio_object::traverse!(struct Call { limit, args, kwargs });

/// `create_subprocess_exec(program, *args, stdin=None, stdout=None, stderr=None, limit=65536, **kwds)`.
pub(super) fn py_exec(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<5> =
        Signature::new("create_subprocess_exec", ["program", "stdin", "stdout", "stderr", "limit"])
            .positional(1);
    let ([program, stdin, stdout, stderr, limit], rest, kwargs) = args.bind_all(&SIGNATURE)?;
    let args = program.into_iter().chain(rest).map(Obj::from).collect();
    let kwargs = kwargs.unwrap_or_else(|| PyDict::new(py));
    start(py, "create_subprocess_exec", "subprocess_exec", args, limit, [stdin, stdout, stderr], &kwargs)
}

/// `create_subprocess_shell(cmd, stdin=None, stdout=None, stderr=None, limit=65536, **kwds)`.
pub(super) fn py_shell(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<5> =
        Signature::new("create_subprocess_shell", ["cmd", "stdin", "stdout", "stderr", "limit"]).required(1);
    args.at_most(&SIGNATURE)?;
    let ([command, stdin, stdout, stderr, limit], _, kwargs) = args.bind_all(&SIGNATURE)?;
    let args = command.into_iter().map(Obj::from).collect();
    let kwargs = kwargs.unwrap_or_else(|| PyDict::new(py));
    start(py, "create_subprocess_shell", "subprocess_shell", args, limit, [stdin, stdout, stderr], &kwargs)
}

fn start(
    py: Python<'_>,
    name: &'static str,
    method: &'static str,
    args: Vec<Obj>,
    limit: Option<&Bound<'_, PyAny>>,
    [stdin, stdout, stderr]: [Option<&Bound<'_, PyAny>>; 3],
    kwargs: &Bound<'_, PyDict>,
) -> PyResult<Obj> {
    for (name, value) in [("stdin", stdin), ("stdout", stdout), ("stderr", stderr)] {
        kwargs.set_item(name, value)?;
    }
    let call = Call { limit: limit.map(Obj::from), args, kwargs: kwargs.into() };
    coro::coroutine(py, name, move |co| {
        let call = co.keep(call);
        async move {
            let (event_loop, wait) = {
                let (py, call) = (co.py(), call.get());
                let event_loop = running::get_running_loop(py)?;
                let of_protocol = PyDict::new(py);
                let limit = match &call.limit {
                    Some(limit) => limit.clone(),
                    None => DEFAULT_LIMIT.into_pyobject(py)?.into_any().into(),
                };
                of_protocol.set_item(intern!(py, "limit"), limit)?;
                of_protocol.set_item(intern!(py, "loop"), &event_loop)?;
                super::ensure_protocols(py)?;
                let factory = py
                    .import(intern!(py, "functools"))?
                    .getattr(intern!(py, "partial"))?
                    .call((ClassDef::type_object::<SubprocessStreamProtocol>(py),), Some(&of_protocol))?;
                let factory = Obj::from(factory);
                let args = PyTuple::new(py, std::iter::once(&factory).chain(&call.args).collect::<Vec<_>>())?;
                let kwargs = call.kwargs.bind(py).cast::<PyDict>()?;
                let starting = event_loop.bind(py).call_method(method, args, Some(kwargs))?;
                (co.hold(event_loop), co.wait(Obj::from(starting)))
            };
            drop(call);
            let started = wait.await?;
            let py = co.py();
            let (transport, protocol) = (started.bind(py).get_item(0)?, started.bind(py).get_item(1)?);
            Ok(Process::create(py, &transport, &protocol, event_loop.get().bind(py))?.into_any())
        }
    })
}
