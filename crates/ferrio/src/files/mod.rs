//! `ferrio.files`: files that do not block the loop.
//!
//! Beside the sockets' path and not part of it: a file is always "ready", and what takes time is the operation itself.
//! [`engine`] has the operations done (by `io_uring` or threads, in `ferrio-core`); [`mod@file`] is a binary file with its
//! buffers, [`text`] characters on top of one; `methods`, `text_methods`, [`opening`] and [`whole`] are what Python sees.
//! Names, arguments and errors are those of the builtin `open()` and of `io`. Not in asyncio.

mod engine;
mod file;
mod methods;
mod mode;
mod opening;
mod text;
mod text_methods;
mod turn;
mod whole;

pub(crate) use engine::arrived;

use ferrio_object::ClassDef;
use pyo3::prelude::*;

/// Adds the classes and functions of `ferrio.files`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<file::File>(module)?;
    ClassDef::add::<text::Text>(module)?;
    ClassDef::add::<opening::Opening>(module)?;
    ClassDef::function(
        module,
        "open_file",
        opening::py_open,
        "open_file(file, mode='r', buffering=-1, encoding=None, errors=None, newline=None, closefd=True, \
         opener=None)\n--\n\n\
         Open a file without blocking the loop: `async with open(...) as f`, or `f = await open(...)`.\n\n\
         The arguments are those of the builtin open(), and so are the errors. The file's operations are coroutines;\n\
         `async for line in f` gives its lines. They run on io_uring where the system has it, else on threads.",
    )?;
    ClassDef::coroutine_function(
        module,
        "read_bytes",
        whole::py_read_bytes,
        "read_bytes(path)\n--\n\nCoroutine: the contents of a file.",
    )?;
    ClassDef::coroutine_function(
        module,
        "read_text",
        whole::py_read_text,
        "read_text(path, encoding=None, errors=None, newline=None)\n--\n\nCoroutine: the contents of a text file.",
    )?;
    ClassDef::coroutine_function(
        module,
        "write_bytes",
        whole::py_write_bytes,
        "write_bytes(path, data)\n--\n\nCoroutine: make a file with these contents; returns their length.",
    )?;
    ClassDef::coroutine_function(
        module,
        "write_text",
        whole::py_write_text,
        "write_text(path, data, encoding=None, errors=None, newline=None)\n--\n\n\
         Coroutine: make a text file with these contents; returns their length.",
    )
}
