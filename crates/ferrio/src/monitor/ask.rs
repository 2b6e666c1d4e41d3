//! The side that asks: finds the socket of a process, or has the process send its listing, and makes text of it.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ferrio_core::monitor::{Client, ask, decode, directories, json, table, tree};
use ferrio_object::{Args, Obj, Signature};
use pyo3::exceptions::{
    PyPermissionError, PyProcessLookupError, PyRuntimeError, PyTimeoutError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::remote;

/// What the system says of a process.
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The process's own number for itself, in its namespace.
    inner_pid: u32,
}

impl Process {
    fn find(pid: u32) -> io::Result<Process> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let numbers = |name: &str| -> Vec<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
        };
        // The second number is the effective one; the last one of the process's numbers is that of its own namespace.
        Ok(Process {
            pid,
            uid: numbers("Uid:").get(1).copied().unwrap_or(0),
            gid: numbers("Gid:").get(1).copied().unwrap_or(0),
            inner_pid: numbers("NSpid:").last().copied().unwrap_or(pid),
        })
    }

    /// Where its socket may be, seen from here.
    fn sockets(&self, directory: Option<PathBuf>) -> Vec<PathBuf> {
        let name = format!("{}.sock", self.inner_pid);
        let places = match directory {
            Some(directory) => vec![directory],
            None => directories(self.uid).to_vec(),
        };
        let mut all = Vec::new();
        for place in places {
            // A container has a root of its own.
            let inner = place.strip_prefix("/").unwrap_or(&place);
            all.push(Path::new(&format!("/proc/{}/root", self.pid)).join(inner).join(&name));
            all.push(place.join(&name));
        }
        all
    }
}

/// Why there is no listing.
pub(super) enum Failure {
    Refused(String),
    Silent(String),
    Other(String),
}

impl Failure {
    pub(super) fn other(what: &str, why: impl Display) -> Failure {
        Failure::Other(format!("{what}: {why}"))
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        match failure {
            Failure::Refused(message) => PyPermissionError::new_err(message),
            Failure::Silent(message) => PyTimeoutError::new_err(message),
            Failure::Other(message) => PyRuntimeError::new_err(message),
        }
    }
}

/// Asks the process's own socket; nothing if it has none.
fn through_socket(
    process: &Process,
    directory: Option<PathBuf>,
    patience: Duration,
) -> Result<Option<Vec<u8>>, Failure> {
    let pid = process.pid;
    let mut closed = None;
    for path in process.sockets(directory) {
        let client = match Client::connect(&path, pid) {
            Ok(client) => client,
            Err(error) => {
                // One that a process with the same number has left behind is refused. The root of a process that may not
                // be traced is closed, which says nothing of its socket.
                if error.kind() == io::ErrorKind::PermissionDenied && !path.starts_with("/proc") {
                    closed = Some(format!("{}: {error}", path.display()));
                }
                continue;
            }
        };
        return match ask(&client, patience) {
            Ok(listing) => Ok(Some(listing)),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::TimedOut => Failure::Silent(format!(
                    "process {pid} has not answered for {patience:?}: something in it holds the GIL all the time"
                )),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Failure::Refused(format!(
                    "process {pid} does not answer this user, or is busy with others that ask"
                )),
                _ => Failure::other(&format!("process {pid}"), error),
            }),
        };
    }
    closed.map_or(Ok(None), |why| Err(Failure::Refused(why)))
}

/// `_listing_of(pid, form, *, patience=10.0, directory=None)`.
///
/// # Errors
/// `ProcessLookupError`, `PermissionError`, `TimeoutError`, `RuntimeError`; see the docstring.
pub(super) fn py_listing_of(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<4> =
        Signature::new("_listing_of", ["pid", "form", "patience", "directory"]).positional(2);
    let [pid, form, patience, directory] = args.bind(&SIGNATURE)?;
    let pid: u32 = pid.map_or(Ok(0), PyAnyMethods::extract)?;
    let form: String = form.map_or(Ok(String::new()), PyAnyMethods::extract)?;
    let patience: f64 = patience.map_or(Ok(10.0), PyAnyMethods::extract)?;
    let patience = Duration::try_from_secs_f64(patience)
        .map_err(|_| PyValueError::new_err("patience is a number of seconds"))?;
    let directory: Option<PathBuf> =
        directory.filter(|given| !given.is_none()).map(PyAnyMethods::extract).transpose()?;
    let process = Process::find(pid)
        .map_err(|error| PyProcessLookupError::new_err(format!("there is no process {pid} ({error})")))?;
    let answered = py.detach(|| through_socket(&process, directory, patience))?;
    let listing = match answered {
        Some(listing) => listing,
        None => remote::through_script(py, &process, patience)?,
    };
    let text = py.detach(|| -> io::Result<Vec<u8>> {
        let snapshot = decode(&listing)?;
        let mut text = Vec::new();
        match form.as_str() {
            "tree" => tree(&snapshot, &mut text)?,
            "json" => json(&snapshot, &mut text)?,
            _ => table(&snapshot, &mut text)?,
        }
        Ok(text)
    })?;
    Ok(PyBytes::new(py, &text).into_any().into())
}
