//! A process without a socket of its own, on Python 3.14 and later: `sys.remote_exec()` has it run a script, which has
//! ferrio send its listing to a socket made for this one answer.
//!
//! The script runs in the main thread when that runs Python code next. A loop that waits is woken for it
//! (`ferrio_core::monitor::nudge`); one that is blocked in a call gets there when the call returns, and only the process's
//! own socket has an answer before that.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::time::Duration;

use ferrio_core::monitor::{Listener, Place, nudge, receive};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::ask::{Failure, Process};
use crate::imported;

/// What the process runs. Without ferrio in it, it connects and says nothing.
const SCRIPT: &str = "\
import sys
_ferrio_extension = sys.modules.get('ferrio._ferrio')
if _ferrio_extension is not None:
    _ferrio_extension._send_listing(PATH)
else:
    import socket as _ferrio_socket
    with _ferrio_socket.socket(_ferrio_socket.AF_UNIX) as _ferrio_here:
        _ferrio_here.connect(PATH)
    del _ferrio_socket, _ferrio_here
del _ferrio_extension
";

/// A directory that this user and that of the process can use alone; it is removed when it is dropped.
struct Meeting {
    directory: PathBuf,
}

impl Meeting {
    fn make(py: Python<'_>, process: &Process) -> PyResult<(Meeting, Listener)> {
        let unique = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
        let directory = std::env::temp_dir().join(format!("ferrio-{}-{unique}", std::process::id()));
        let place = Place::open(Some(&directory))?;
        let meeting = Meeting { directory };
        let listener = Listener::open(&place, "listing")?;
        let socket = PyString::new(py, &meeting.socket().to_string_lossy()).repr()?;
        fs::write(meeting.script(), SCRIPT.replace("PATH", &socket.to_string_lossy()))?;
        fs::set_permissions(meeting.script(), fs::Permissions::from_mode(0o600))?;
        if process.uid != own_uid() {
            // Root looks into another user's process.
            for path in [meeting.script(), meeting.socket(), meeting.directory.clone()] {
                chown(path, Some(process.uid), Some(process.gid))?;
            }
        }
        Ok((meeting, listener))
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("listing")
    }

    fn script(&self) -> PathBuf {
        self.directory.join("script.py")
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        // What cannot be removed is left in the directory for temporary files.
        drop(fs::remove_dir_all(&self.directory));
    }
}

fn own_uid() -> u32 {
    fs::metadata("/proc/self").map_or(u32::MAX, |own| own.uid())
}

/// The listing of a process, by a script that it runs.
///
/// # Errors
/// What to do in place of it, where this Python or this process has no such thing; `PermissionError`, `TimeoutError`.
pub(super) fn through_script(py: Python<'_>, process: &Process, patience: Duration) -> PyResult<Vec<u8>> {
    let pid = process.pid;
    let sys = imported::module(py, "sys")?;
    let Some(remote_exec) = sys.getattr_opt(intern!(py, "remote_exec"))? else {
        return Err(Failure::Other(format!(
            "process {pid} has no monitor; start it with `ferrio run --monitor`, or with FERRIO_MONITOR=1 in its environment"
        ))
        .into());
    };
    let (meeting, listener) = Meeting::make(py, process)?;
    remote_exec.call1((pid, meeting.script())).map_err(|err| explained(py, pid, err))?;
    let received = py.detach(|| {
        // Without the right to do so it is woken by whatever wakes it next.
        drop(nudge(pid));
        receive(&listener, pid, patience)
    });
    received.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Failure::Silent(format!(
            "process {pid} has not answered for {patience:?}: its main thread is blocked in a call, or holds the GIL all the \
             time; with FERRIO_MONITOR=1 in its environment it can be asked all the same in the first case"
        ))
        .into(),
        io::ErrorKind::UnexpectedEof => {
            Failure::Other(format!("process {pid} runs no ferrio, or another version of it")).into()
        }
        _ => PyErr::from(Failure::other(&format!("process {pid}"), error)),
    })
}

fn explained(py: Python<'_>, pid: u32, err: PyErr) -> PyErr {
    let why = err.value(py).to_string();
    if err.is_instance_of::<pyo3::exceptions::PyPermissionError>(py) {
        return Failure::Refused(format!("process {pid} may not be looked into: {why}")).into();
    }
    Failure::Other(format!(
        "process {pid} has no monitor, and cannot be asked by sys.remote_exec(): {why}; \
         start it with FERRIO_MONITOR=1 in its environment"
    ))
    .into()
}
