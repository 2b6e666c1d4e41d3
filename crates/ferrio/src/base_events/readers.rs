//! `add_reader`, `add_writer` and their counterparts: callbacks of the user's on file descriptors.

use ferrio_core::driver::Interest;
use ferrio_object::{Args, ClassBuilder, Obj, Signature, ThreadState};
use pyo3::intern;
use pyo3::prelude::*;

use super::selector;
use crate::event_loop::{Handle, Loop, Waiter, make_handle, watches};

fn watch(
    this: &Obj<Loop>,
    py: Python<'_>,
    args: Args<'_, '_>,
    side: Interest,
    name: &'static str,
) -> PyResult<Obj<Handle>> {
    let ([file, callback], rest) = args.bind_rest(&Signature::new(name, ["fd", "callback"]))?;
    let (Some(file), Some(callback)) = (file, callback) else { unreachable!("both are required") };
    this.check_closed()?;
    let fd = watches::fileno(py, file)?;
    watches::ensure_no_transport(this, py, fd)?;
    let context = ThreadState::copy_context(py)?;
    let arguments = rest.into_iter().map(Obj::from).collect();
    let handle = make_handle(this, py, callback.into(), arguments, Some(context))?;
    handle.track();
    if selector::has_own(this) {
        if let Some(old) = selector::add(this, py, file, side, &handle)? {
            old.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        return Ok(handle);
    }
    let old = watches::watch_file(this, py, file, fd, side, handle.clone())?;
    if let Some(Waiter::Handle(old)) = old {
        Handle::cancel(&old, py)?;
    }
    Ok(handle)
}

/// Whether it is a socket that is closed. asyncio refuses other closed files before it looks for them.
fn is_closed_socket(py: Python<'_>, file: &Bound<'_, PyAny>) -> bool {
    file.call_method0(intern!(py, "fileno")).is_ok_and(|fd| fd.extract::<i64>().is_ok_and(|fd| fd < 0))
}

fn unwatch(this: &Obj<Loop>, py: Python<'_>, file: &Bound<'_, PyAny>, side: Interest) -> PyResult<bool> {
    if !this.is_closed() {
        match watches::fileno(py, file) {
            Ok(fd) => watches::ensure_no_transport(this, py, fd)?,
            Err(err) if is_closed_socket(py, file) => ferrio_object::swallow(py, err),
            Err(err) => return Err(err),
        }
    }
    unwatch_unchecked(this, py, file, side)
}

/// The same for a descriptor that may be a transport's, whose own registration is not meant.
fn unwatch_unchecked(
    this: &Obj<Loop>,
    py: Python<'_>,
    file: &Bound<'_, PyAny>,
    side: Interest,
) -> PyResult<bool> {
    if this.is_closed() {
        return Ok(false);
    }
    if selector::has_own(this) {
        return match selector::remove(this, py, file, side)? {
            Some(old) => old.bind(py).call_method0(intern!(py, "cancel")).map(|_| true),
            None => Ok(false),
        };
    }
    let fd = match watches::fileno(py, file) {
        Ok(fd) => {
            watches::stop_keeping(this, py, fd)?;
            fd
        }
        // As a selector does, a closed one is looked for by the object.
        Err(err) => match watches::watched_as(this, file) {
            Some(fd) => {
                ferrio_object::swallow(py, err);
                fd
            }
            None => return Err(err),
        },
    };
    match watches::disarm_fd(this, fd, side)? {
        Some(Waiter::Handle(old)) => Handle::cancel(&old, py).map(|()| true),
        Some(Waiter::Futures(_) | Waiter::Transport(_)) => Ok(true),
        None => Ok(false),
    }
}

fn add_reader(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    watch(this, py, args, Interest::READABLE, "add_reader").map(drop)
}

fn add_writer(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    watch(this, py, args, Interest::WRITABLE, "add_writer").map(drop)
}

fn add_reader_handle(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<Handle>> {
    watch(this, py, args, Interest::READABLE, "_add_reader")
}

fn add_writer_handle(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<Handle>> {
    watch(this, py, args, Interest::WRITABLE, "_add_writer")
}

fn remove_reader(this: &Obj<Loop>, py: Python<'_>, file: &Bound<'_, PyAny>) -> PyResult<bool> {
    unwatch(this, py, file, Interest::READABLE)
}

fn remove_writer(this: &Obj<Loop>, py: Python<'_>, file: &Bound<'_, PyAny>) -> PyResult<bool> {
    unwatch(this, py, file, Interest::WRITABLE)
}

fn remove_reader_unchecked(this: &Obj<Loop>, py: Python<'_>, file: &Bound<'_, PyAny>) -> PyResult<bool> {
    unwatch_unchecked(this, py, file, Interest::READABLE)
}

fn remove_writer_unchecked(this: &Obj<Loop>, py: Python<'_>, file: &Bound<'_, PyAny>) -> PyResult<bool> {
    unwatch_unchecked(this, py, file, Interest::WRITABLE)
}

fn ensure_no_transport(this: &Obj<Loop>, py: Python<'_>, file: &Bound<'_, PyAny>) -> PyResult<()> {
    watches::ensure_no_transport(this, py, watches::fileno(py, file)?)
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .method(
            "add_reader",
            add_reader,
            "add_reader($self, /, fd, callback, *args)\n--\n\n\
            Call callback(*args) whenever fd can be read. Replaces an earlier callback.\n\n\
            fd: a file descriptor, or an object with fileno(); call remove_reader() before it is closed.",
        )
        .method(
            "add_writer",
            add_writer,
            "add_writer($self, /, fd, callback, *args)\n--\n\n\
            Call callback(*args) whenever fd can be written. Replaces an earlier callback.\n\n\
            fd: a file descriptor, or an object with fileno(); call remove_writer() before it is closed.",
        )
        .method1_named(
            "remove_reader",
            remove_reader,
            || Signature::new("remove_reader", ["fd"]),
            "remove_reader($self, /, fd)\n--\n\n\
            Stop calling the reader of fd. Returns whether there was one.",
        )
        .method1_named(
            "remove_writer",
            remove_writer,
            || Signature::new("remove_writer", ["fd"]),
            "remove_writer($self, /, fd)\n--\n\n\
            Stop calling the writer of fd. Returns whether there was one.",
        )
        .method1("_ensure_fd_no_transport", ensure_no_transport, "")
        .method("_add_reader", add_reader_handle, "")
        .method("_add_writer", add_writer_handle, "")
        .method1("_remove_reader", remove_reader_unchecked, "")
        .method1("_remove_writer", remove_writer_unchecked, "");
}
