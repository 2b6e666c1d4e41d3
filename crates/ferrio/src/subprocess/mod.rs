//! `asyncio.subprocess` and `asyncio.base_subprocess`: child processes, their pipes as streams, and their end.
//!
//! * `popen.rs`: the keywords of `Popen` as a native command; `spawned.rs`: what becomes of it.
//! * `transport.rs`, `pipes.rs`, `ending.rs`, `popen_object.rs`: the transport.
//! * `protocol.rs`, `process.rs`, `create.rs`, `feeding.rs`: streams.
//!
//! The loop's own methods, and how the end of a child is noticed, are in `base_events/`.

mod attributes;
mod create;
mod ending;
mod feeding;
mod pipes;
mod popen;
mod popen_object;
mod process;
mod protocol;
mod spawned;
mod transport;

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyModule, PyTuple};

pub(crate) use popen::{Prepared, Request, prepare};
pub(crate) use spawned::{Spawned, error, is_plain, transport_class};
pub use transport::SubprocessTransport;

/// `subprocess.PIPE`.
pub(crate) const PIPE: i32 = -1;
/// `subprocess.STDOUT`.
pub(crate) const STDOUT: i32 = -2;
/// `subprocess.DEVNULL`.
pub(crate) const DEVNULL: i32 = -3;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<SubprocessTransport>(module)?;
    ClassDef::add::<popen_object::UnixSubprocessTransport>(module)?;
    ClassDef::add::<process::Process>(module)?;
    ClassDef::function(
        module,
        "_subprocess_protocols",
        py_protocols,
        "_subprocess_protocols(base, protocol, subprocess_protocol, /)\n--\n\n\
         The classes (SubprocessStreamProtocol, WriteSubprocessPipeProto, ReadSubprocessPipeProto), derived from the\n\
         abstract ones.",
    )?;
    ClassDef::coroutine_function(
        module,
        "create_subprocess_exec",
        create::py_exec,
        "create_subprocess_exec(program, *args, stdin=None, stdout=None, stderr=None, limit=65536, **kwds)\n--\n\n\
         Coroutine: run a program; returns a Process.\n\n\
         stdin, stdout, stderr: as for subprocess.Popen; PIPE makes a stream of it.\n\
         limit: bytes that each reader buffers, and the longest line that it reads.\n\
         All other arguments are those of loop.subprocess_exec(), and so of subprocess.Popen.\n\n\
         Raises OSError if the program cannot be run.",
    )?;
    ClassDef::coroutine_function(
        module,
        "create_subprocess_shell",
        create::py_shell,
        "create_subprocess_shell(cmd, stdin=None, stdout=None, stderr=None, limit=65536, **kwds)\n--\n\n\
         Coroutine: run a command in the shell; returns a Process. Arguments as of create_subprocess_exec().",
    )
}

/// `_subprocess_protocols(BaseProtocol, Protocol, SubprocessProtocol)`: as `_stream_protocols`, and for its reason.
fn py_protocols(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const NAMES: [&str; 3] = ["base", "protocol", "subprocess_protocol"];
    let [base, protocol, subprocess] = args.bind(&Signature::new("_subprocess_protocols", NAMES))?;
    let (Some(base), Some(protocol), Some(subprocess)) = (base, protocol, subprocess) else {
        return Err(PyTypeError::new_err("three classes are required"));
    };
    if !ClassDef::is_added::<protocol::SubprocessStreamProtocol>() {
        // The base class of the stream protocols comes with them.
        py.import("ferrio.streams")?;
        let module = py.import("ferrio._ferrio")?;
        ClassDef::add_derived::<pipes::WritePipeProtocol>(&module, base)?;
        ClassDef::add_derived::<pipes::ReadPipeProtocol>(&module, protocol)?;
        ClassDef::add_derived::<protocol::SubprocessStreamProtocol>(&module, subprocess)?;
    }
    let classes = [
        ClassDef::type_object::<protocol::SubprocessStreamProtocol>(py),
        ClassDef::type_object::<pipes::WritePipeProtocol>(py),
        ClassDef::type_object::<pipes::ReadPipeProtocol>(py),
    ];
    Ok(PyTuple::new(py, classes)?.into())
}

/// Makes sure that the protocol classes are there, for callers who came past `ferrio.subprocess`.
fn ensure_protocols(py: Python<'_>) -> PyResult<()> {
    if !ClassDef::is_added::<protocol::SubprocessStreamProtocol>() {
        py.import("ferrio.base_subprocess")?;
    }
    Ok(())
}
