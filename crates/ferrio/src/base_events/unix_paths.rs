//! The file behind a Unix socket: what an earlier server left is removed before a server binds, and its own file when
//! it stops.
//!
//! The system calls are made here and not by Python's `os`. Detectors of blocking calls replace `os.stat()` and
//! `os.remove()` to find programs that call them in a loop; asyncio's own calls are on their lists of exceptions, by the
//! names of asyncio's files, and ours cannot be. The GIL is released, because a file system may be slow to answer.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use ferrio_object::Obj;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::event_loop::{Loop, watches};
use crate::exceptions::FromIo;
use crate::log::{self, Level};
use crate::transports::{is_abstract, refuse_null};

/// The path as the kernel takes it.
fn native(path: &Bound<'_, PyAny>) -> PyResult<OsString> {
    refuse_null(path)?;
    let bytes =
        crate::imported::module(path.py(), "os")?.call_method1(intern!(path.py(), "fsencode"), (path,))?;
    Ok(OsString::from_vec(bytes.extract()?))
}

fn stat(py: Python<'_>, path: &OsString) -> io::Result<fs::Metadata> {
    py.detach(|| fs::metadata(path))
}

fn remove(py: Python<'_>, shown: &Bound<'_, PyAny>, path: &OsString) -> PyResult<io::Result<()>> {
    // As `os.remove()` does, whose place this takes: an audit hook may refuse.
    py.import(intern!(py, "sys"))?.getattr("audit")?.call1(("os.remove", shown, -1))?;
    Ok(py.detach(|| fs::remove_file(path)))
}

/// What could not be done is logged, unless there is no such file, which is what is wanted.
fn logged(py: Python<'_>, outcome: io::Result<()>, message: &str, path: &Bound<'_, PyAny>) -> PyResult<()> {
    match outcome {
        Err(err) if err.kind() != io::ErrorKind::NotFound => {
            let err = PyOSError::new_err_from_io(err);
            log::write(py, "ferrio.unix_events", Level::Error, (message, path, err.value(py)))
        }
        _ => Ok(()),
    }
}

/// Removes the socket file that an earlier server left behind.
///
/// # Errors
/// `ValueError` for a path with a NUL in it, what an audit hook raises.
pub(super) fn remove_stale(py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<()> {
    if is_abstract(path)? {
        return Ok(());
    }
    let file = native(path)?;
    let outcome = match stat(py, &file) {
        Ok(found) if found.file_type().is_socket() => remove(py, path, &file)?,
        found => found.map(drop),
    };
    // The directory may allow to create sockets and nothing else; then bind() says what is wrong.
    logged(py, outcome, "Unable to check or remove stale UNIX socket %r: %r", path)
}

/// Gives the file of a socket that has just been bound its permissions, whatever the umask; removes it if that fails.
///
/// # Errors
/// `ValueError` for an abstract socket, which has no file; `OSError`; what an audit hook raises.
pub(super) fn set_mode(py: Python<'_>, path: &Bound<'_, PyAny>, mode: u32) -> PyResult<()> {
    if is_abstract(path)? {
        return Err(PyValueError::new_err("an abstract Unix socket has no file that could have a mode"));
    }
    let file = native(path)?;
    let audited = py.import(intern!(py, "sys"))?.getattr("audit")?.call1(("os.chmod", path, mode, -1));
    let outcome = audited.and_then(|_| {
        py.detach(|| fs::set_permissions(&file, fs::Permissions::from_mode(mode)))
            .map_err(PyOSError::new_err_from_io)
    });
    if outcome.is_err() {
        remove(py, path, &file)?.map_err(PyOSError::new_err_from_io)?;
    }
    outcome
}

/// Notes the file of a listening Unix socket, to be removed when the server stops.
///
/// # Errors
/// `OSError` if the file cannot be looked at.
pub(super) fn remember(this: &Obj<Loop>, py: Python<'_>, sock: &Obj) -> PyResult<()> {
    let path = sock.bind(py).call_method0(intern!(py, "getsockname"))?;
    if is_abstract(&path)? {
        return Ok(());
    }
    match stat(py, &native(&path)?) {
        Ok(found) => {
            let fd = watches::fileno(py, sock.bind(py))?;
            let old = this.sockets.unix_paths.borrow_mut().insert(fd, (path.into(), found.ino()));
            drop(old);
            Ok(())
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(PyOSError::new_err_from_io(err)),
    }
}

/// Removes the file of a server that has stopped, unless somebody else's has taken its place.
///
/// # Errors
/// What an audit hook raises.
pub(super) fn clean_up(py: Python<'_>, path: &Bound<'_, PyAny>, inode: u64) -> PyResult<()> {
    let file = native(path)?;
    let outcome = match stat(py, &file) {
        Ok(found) if found.ino() == inode => remove(py, path, &file)?,
        found => found.map(drop),
    };
    logged(py, outcome, "Unable to clean up listening UNIX socket %r: %r", path)
}
