//! The transport of a process that was made natively, and the error of one that was not to be.

use std::os::fd::{IntoRawFd, OwnedFd};

use ferrio_core::driver::child::{Child, Watch};
use ferrio_core::driver::spawn::{Failure, Step};
use ferrio_object::Obj;
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyType};

use super::popen::Request;
use super::popen_object::UnixSubprocessTransport;
use super::transport::SubprocessTransport;
use crate::event_loop::{Loop, LoopRef};

/// The class of transports that programs see.
///
/// # Errors
/// What importing its module raises.
pub(crate) fn transport_class(py: Python<'_>) -> PyResult<Obj> {
    let module = crate::imported::module(py, "ferrio.unix_events")?;
    Ok(module.getattr(intern!(py, "_UnixSubprocessTransport"))?.into())
}

/// Whether a transport of that class is ours from its construction on.
///
/// # Errors
/// What looking at it raises.
pub(crate) fn is_plain(py: Python<'_>, class: &Obj) -> PyResult<bool> {
    let Ok(class) = class.bind(py).cast::<PyType>() else { return Ok(false) };
    let kind = |name| -> PyResult<String> { Ok(class.getattr(name)?.get_type().name()?.to_string()) };
    Ok(kind("_start")? == "method_descriptor" && kind("__init__")? == "wrapper_descriptor")
}

/// A process that was made natively.
pub(crate) struct Spawned {
    pub(crate) child: Child,
    pub(crate) ends: [Option<OwnedFd>; 3],
    pub(crate) pipesize: i32,
}

impl SubprocessTransport {
    /// The transport of `spawned`.
    ///
    /// # Errors
    /// `MemoryError`, what the loop raises.
    pub(crate) fn of(
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        protocol: &Obj,
        request: &Request,
        spawned: Spawned,
        (waiter, extra): (Obj, Option<Obj>),
    ) -> PyResult<Obj<Self>> {
        let this = Obj::<UnixSubprocessTransport>::create_of(py, &transport_class(py)?)?.into_base();
        let pid = spawned.child.pid();
        this.take_child(spawned.child);
        this.pid.set(Some(pid.into_pyobject(py)?.into_any().into()));
        this.begin(py, LoopRef::Native(event_loop.clone()), protocol.bind(py), extra)?;
        this.args.set(Some(request.args.clone()));
        this.pipesize.set(spawned.pipesize);
        for ((fd, end), file) in (0..).zip(spawned.ends).zip(&this.files) {
            let Some(end) = end else { continue };
            this.expect_pipe(py, fd)?;
            let mode = if fd == 0 { intern!(py, "wb") } else { intern!(py, "rb") };
            let open = py.import(intern!(py, "_io"))?.getattr(intern!(py, "FileIO"))?;
            file.set(Some(open.call1((end.into_raw_fd(), mode))?.into()));
        }
        Self::started(&this, py, Some(request.args.bind(py)), Some(waiter))?;
        Ok(this)
    }
}

/// The error that `Popen` raises for it.
///
/// # Errors
/// None of its own; the error is returned.
pub(crate) fn error(py: Python<'_>, failure: Failure, request: &Request, simple: bool) -> PyResult<PyErr> {
    let kwargs = request.kwargs.bind(py).cast::<PyDict>().ok();
    let given = |name: &str| -> PyResult<Option<Bound<'_, PyAny>>> {
        let Some(kwargs) = kwargs else { return Ok(None) };
        Ok(kwargs.get_item(name)?.filter(|value| !value.is_none()))
    };
    let file = match failure.step {
        _ if simple => {
            let program = program(py, request, given("executable")?)?;
            Some(py.import(intern!(py, "os"))?.call_method1(intern!(py, "fspath"), (program,))?)
        }
        Step::Directory => given("cwd")?,
        // Before 3.13 whatever goes wrong before the program is put down to the directory.
        Step::Prepare if cfg!(not(Py_3_13)) => given("cwd")?,
        Step::Prepare => None,
        Step::Execute => Some(program(py, request, given("executable")?)?),
    };
    let text = py.import(intern!(py, "os"))?.call_method1(intern!(py, "strerror"), (failure.errno,))?;
    let args = match file {
        Some(file) => (failure.errno, text, file).into_pyobject(py)?,
        None if cfg!(not(Py_3_13)) => (failure.errno, text, py.None()).into_pyobject(py)?,
        None => (failure.errno, text).into_pyobject(py)?,
    };
    Ok(PyErr::from_value(py.get_type::<PyOSError>().call1(args)?))
}

/// The program as it was given.
fn program<'py>(
    py: Python<'py>,
    request: &Request,
    executable: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if let Some(executable) = executable {
        return Ok(executable);
    }
    if request.shell {
        return Ok(PyString::new(py, "/bin/sh").into_any());
    }
    let args = request.args.bind(py);
    if args.is_instance_of::<PyString>() || args.is_instance_of::<PyBytes>() {
        return Ok(args.clone());
    }
    args.get_item(0)
}

/// What the loop does with the process of a transport.
impl SubprocessTransport {
    /// Takes over the process of a `Popen`, so that its end can be noticed.
    ///
    /// # Errors
    /// What asking for its number raises.
    pub(crate) fn adopt(&self, py: Python<'_>, watch: Watch) -> PyResult<()> {
        if self.child.borrow().is_some() {
            return Ok(());
        }
        if let Some(pid) = self.pid.get() {
            let child = Child::adopt(pid.bind(py).extract()?, watch);
            *self.adopted.borrow_mut() = Some(child);
        }
        Ok(())
    }

    /// Does something with the process.
    pub(crate) fn with_process<R>(&self, f: impl FnOnce(&mut Child) -> R) -> Option<R> {
        let cell = if self.child.borrow().is_some() { &self.child } else { &self.adopted };
        cell.borrow_mut().as_mut().map(f)
    }
}
