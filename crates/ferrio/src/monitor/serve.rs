//! The side that is looked into: the process's own socket, and a listing sent on demand.
//!
//! The socket is opened when the first loop runs, by a program that was told to (`FERRIO_MONITOR`, `ferrio run --monitor`).
//! A forked child opens one of its own.

use std::cell::Cell;
use std::io::{self, BufWriter, Write};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use ferrio_core::driver::close_in_forked_child;
use ferrio_core::monitor::{Answer, Listener, Place, encode, send_to};
use ferrio_object::{Args, GilStatic, Signature};
use pyo3::exceptions::PyRuntimeWarning;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use super::look;
use crate::event_loop::first_run;
use crate::imported;

/// `1`: a socket in the usual place. A path: in that directory.
const VARIABLE: &str = "FERRIO_MONITOR";

/// The descriptor of this process's socket.
static SOCKET: GilStatic<Cell<Option<RawFd>>> = GilStatic::new(Cell::new(None));

/// Whether this process has been told to have a socket.
static WANTED: GilStatic<Cell<bool>> = GilStatic::new(Cell::new(false));

/// Has the socket opened with the first loop, if the environment asks for it.
pub(super) fn arm_from_environment(py: Python<'_>) {
    let asked = std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty() && value != "0");
    if asked {
        arm(py);
    }
}

fn arm(py: Python<'_>) {
    WANTED.get(py).set(true);
    first_run::call_then(py, open);
}

/// `_enable_monitor()`.
///
/// # Errors
/// `TypeError` for arguments.
pub(super) fn py_enable(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    args.none("_enable_monitor")?;
    arm(py);
    Ok(())
}

/// In a forked child: the socket is the parent's.
pub(crate) fn forget_in_forked_child(py: Python<'_>) {
    if let Some(fd) = SOCKET.get(py).take() {
        close_in_forked_child(fd);
    }
    if WANTED.get(py).get() {
        first_run::call_then(py, open);
    }
}

/// Opens the socket, or warns that there is none: the program is not to fail by it.
fn open(py: Python<'_>) -> PyResult<()> {
    match listen(py) {
        Ok(()) => Ok(()),
        Err(err) => {
            let message = format!("no monitor: {}", err.value(py));
            PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &std::ffi::CString::new(message)?, 1)
        }
    }
}

fn directory() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|value| value.as_encoded_bytes().starts_with(b"/")).map(PathBuf::from)
}

fn listen(py: Python<'_>) -> PyResult<()> {
    let asked = std::env::var_os(VARIABLE).unwrap_or_default();
    let known = ["", "0", "1"].iter().any(|value| asked == *value);
    if !known && directory().is_none() {
        let shown = asked.to_string_lossy();
        return Err(pyo3::exceptions::PyValueError::new_err(format!(
            "{VARIABLE}={shown}: use 1, or a directory's absolute path"
        )));
    }
    let place = Place::open(directory().as_deref())?;
    let name = format!("{}.sock", std::process::id());
    let path = place.path_of(&name);
    let listener = Listener::open(&place, &name)?;
    SOCKET.get(py).set(Some(listener.fd()));
    thread::Builder::new().name("ferrio-monitor".to_owned()).spawn(move || listener.serve(answer()))?;
    remove_at_exit(py, path)
}

/// Takes the socket's file away when the interpreter ends.
fn remove_at_exit(py: Python<'_>, path: PathBuf) -> PyResult<()> {
    let pid = std::process::id();
    let remove = PyCFunction::new_closure(
        py,
        None,
        None,
        move |_args: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>| {
            // A forked child inherits the hook. The file may be gone.
            if std::process::id() == pid {
                drop(std::fs::remove_file(&path));
            }
        },
    )?;
    imported::module(py, "atexit")?.call_method1("register", (remove,)).map(drop)
}

fn answer() -> Answer {
    Arc::new(|out: &mut dyn Write| {
        let Some(snapshot) = look::tasks() else { return Err(io::ErrorKind::ConnectionAborted.into()) };
        encode(&snapshot, &mut BufWriter::new(out))
    })
}

/// `_send_listing(path)`: returns at once.
///
/// # Errors
/// `TypeError` for wrong arguments, `RuntimeError` if there can be no thread.
pub(super) fn py_send_listing(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [path] = args.bind(&Signature::new("_send_listing", ["path"]))?;
    let path: String = path.map_or(Ok(String::new()), PyAnyMethods::extract)?;
    let send = move || {
        // The one who asked has gone: nobody is left to be told.
        drop(send_to(Path::new(&path), &answer()));
    };
    py.detach(|| thread::Builder::new().name("ferrio-monitor".to_owned()).spawn(send))?;
    Ok(())
}
