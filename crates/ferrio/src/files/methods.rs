//! What Python sees of a binary file.

use std::future::Future;

use ferrio_object::{Any, Args, Buffer, Class, ClassBuilder, Obj, Signature};
use pyo3::exceptions::{PyResourceWarning, PyStopAsyncIteration, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyMemoryView};

use super::file::File;
use crate::coro::{self, Co, Local};

/// A size argument: `None` for none, or a negative one.
pub(super) fn size(arg: Option<&Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
    let Some(arg) = arg.filter(|arg| !arg.is_none()) else { return Ok(None) };
    match arg.extract::<isize>() {
        Ok(size) => Ok(usize::try_from(size).ok()),
        Err(err) if err.is_instance_of::<PyTypeError>(arg.py()) => {
            let name = arg.get_type().name()?;
            Err(PyTypeError::new_err(format!("argument should be integer or None, not '{name}'")))
        }
        Err(err) => Err(err),
    }
}

/// A coroutine that has the turn on the file, which is open and was opened for that.
fn operation<F>(
    this: &Obj<File>,
    py: Python<'_>,
    name: &'static str,
    reading: Option<bool>,
    body: impl FnOnce(Co, Local<File>) -> F,
) -> PyResult<Obj>
where
    F: Future<Output = PyResult<Obj>> + Send + 'static,
{
    coro::coroutine(py, name, move |co| {
        let file = co.hold(this);
        let body = body(co.clone(), co.hold(this));
        async move {
            let _turn = File::turn(&co, &file).await?;
            match reading {
                None => drop(file.get().handle()?),
                Some(reading) => file.get().check(co.py(), reading)?,
            }
            if reading == Some(true) && file.get().writable() {
                File::write_out(&co, &file).await?;
            }
            body.await
        }
    })
}

fn read(this: &Obj<File>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [n] = args.bind(&Signature::new("read", ["size"]).required(0))?;
    let n = size(n)?;
    operation(this, py, "BinaryFile.read", Some(true), move |co, this| async move {
        match n {
            Some(n) if this.get().buffering.get() == 0 && n > 0 => drop(File::fill(&co, &this, n).await?),
            Some(n) => File::fill_to(&co, &this, n).await?,
            None => File::fill_to_end(&co, &this).await?,
        }
        Ok(this.get().taken(co.py(), n.unwrap_or(usize::MAX)))
    })
}

fn read1(this: &Obj<File>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [n] = args.bind(&Signature::new("read1", ["size"]).required(0))?;
    let n = size(n)?;
    operation(this, py, "BinaryFile.read1", Some(true), move |co, this| async move {
        if n != Some(0) && this.get().unread.borrow().len() == 0 {
            File::fill(&co, &this, n.unwrap_or(0)).await?;
        }
        Ok(this.get().taken(co.py(), n.unwrap_or(usize::MAX)))
    })
}

fn readinto(this: &Obj<File>, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<Obj> {
    operation(this, py, "BinaryFile.readinto", Some(true), move |co, this| {
        let target = co.hold(Obj::from(buffer));
        async move {
            // A view holds the buffer all the while, so that it cannot be resized.
            let wanted = {
                let py = co.py();
                target.set(PyMemoryView::from(target.get().bind(py))?.into());
                Buffer::get(py, &target.get(), true)?.len()
            };
            if this.get().buffering.get() == 0 {
                File::fill(&co, &this, wanted).await?;
            } else {
                File::fill_to(&co, &this, wanted).await?;
            }
            let py = co.py();
            let buffer = Buffer::get(py, &target.get(), true)?;
            let count = this.get().unread.borrow_mut().take(wanted, |bytes| buffer.fill(py, bytes));
            Ok(count.into_pyobject(py)?.into_any().into())
        }
    })
}

fn readline(this: &Obj<File>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [limit] = args.bind(&Signature::new("readline", ["size"]).required(0))?;
    let limit = size(limit)?;
    operation(this, py, "BinaryFile.readline", Some(true), move |co, this| async move {
        let len = File::fill_line(&co, &this, limit).await?;
        Ok(this.get().taken(co.py(), len))
    })
}

fn anext(this: &Obj<File>, py: Python<'_>) -> PyResult<Obj> {
    operation(this, py, "BinaryFile.__anext__", Some(true), move |co, this| async move {
        match File::fill_line(&co, &this, None).await? {
            0 => Err(PyStopAsyncIteration::new_err(())),
            len => Ok(this.get().taken(co.py(), len)),
        }
    })
}

fn readlines(this: &Obj<File>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [hint] = args.bind(&Signature::new("readlines", ["hint"]).required(0))?;
    let hint = size(hint)?.filter(|hint| *hint > 0);
    operation(this, py, "BinaryFile.readlines", Some(true), move |co, this| async move {
        // Lines are taken out together, at the end: cancelled in between, none of them is lost.
        let mut lens = Vec::new();
        let mut total = 0;
        loop {
            let end = this.get().line_end(total);
            let len = match end {
                Some(end) => end - total,
                None if File::fill(&co, &this, 1).await? > 0 => continue,
                None => this.get().unread.borrow().len() - total,
            };
            if len == 0 {
                break;
            }
            lens.push(len);
            total += len;
            if hint.is_some_and(|hint| total > hint) {
                break;
            }
        }
        let py = co.py();
        let lines = PyList::empty(py);
        for len in lens {
            lines.append(this.get().taken(py, len))?;
        }
        Ok(lines.into())
    })
}

/// Takes data in, and writes it out when there is enough of it.
pub(super) async fn write_bytes(co: &Co, this: &Local<File>, data: &[u8]) -> PyResult<()> {
    this.get().put(data)?;
    if this.get().unwritten() >= this.get().buffering.get().max(1) {
        File::write_out(co, this).await
    } else {
        Ok(())
    }
}

fn bytes_to_write(py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    Ok(Buffer::get(py, &data.into(), false)?.to_vec(py))
}

fn write(this: &Obj<File>, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<Obj> {
    let data = bytes_to_write(py, data)?;
    operation(this, py, "BinaryFile.write", Some(false), move |co, this| async move {
        write_bytes(&co, &this, &data).await?;
        Ok(data.len().into_pyobject(co.py())?.into_any().into())
    })
}

fn writelines(this: &Obj<File>, py: Python<'_>, lines: &Bound<'_, PyAny>) -> PyResult<Obj> {
    operation(this, py, "BinaryFile.writelines", Some(false), move |co, this| {
        let lines = co.hold(Obj::from(lines));
        async move {
            lines.set(lines.get().bind(co.py()).try_iter()?.into_any().into());
            loop {
                let data = {
                    let py = co.py();
                    match lines.get().bind(py).try_iter()?.next() {
                        Some(line) => bytes_to_write(py, &line?)?,
                        None => return Ok(Obj::none(py)),
                    }
                };
                write_bytes(&co, &this, &data).await?;
            }
        }
    })
}

fn seek(this: &Obj<File>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [offset, whence] = args.bind(&Signature::new("seek", ["offset", "whence"]).required(1))?;
    let offset = offset.map_or(Ok(0), PyAnyMethods::extract::<i64>)?;
    let whence = whence.map_or(Ok(0), PyAnyMethods::extract::<i32>)?;
    if !(0..=4).contains(&whence) {
        return Err(PyValueError::new_err(format!("whence value {whence} unsupported")));
    }
    operation(this, py, "BinaryFile.seek", None, move |co, this| async move {
        let position = File::seek_to(&co, &this, offset, whence).await?;
        Ok(position.into_pyobject(co.py())?.into_any().into())
    })
}

fn tell(this: &Obj<File>, py: Python<'_>) -> PyResult<Obj> {
    operation(this, py, "BinaryFile.tell", None, move |co, this| async move {
        Ok(this.get().position()?.into_pyobject(co.py())?.into_any().into())
    })
}

/// A length argument of `truncate()`.
pub(super) fn length(arg: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    let Some(arg) = arg.filter(|arg| !arg.is_none()) else { return Ok(None) };
    let len = arg.extract::<i64>()?;
    // What ftruncate itself would say.
    u64::try_from(len).map(Some).map_err(|_| pyo3::exceptions::PyOSError::new_err((22, "Invalid argument")))
}

fn truncate(this: &Obj<File>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [len] = args.bind(&Signature::new("truncate", ["size"]).required(0))?;
    let len = length(len)?;
    operation(this, py, "BinaryFile.truncate", Some(false), move |co, this| async move {
        let len = File::truncate_to(&co, &this, len).await?;
        Ok(len.into_pyobject(co.py())?.into_any().into())
    })
}

fn flush(this: &Obj<File>, py: Python<'_>) -> PyResult<Obj> {
    operation(this, py, "BinaryFile.flush", None, move |co, this| async move {
        File::write_out(&co, &this).await?;
        Ok(Obj::none(co.py()))
    })
}

fn sync(this: &Obj<File>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<1> = Signature::new("sync", ["data_only"]).positional(0);
    let [data_only] = args.bind(&SIGNATURE)?;
    let data_only = data_only.map_or(Ok(false), PyAnyMethods::is_truthy)?;
    operation(this, py, "BinaryFile.sync", None, move |co, this| async move {
        File::sync_all(&co, &this, data_only).await?;
        Ok(Obj::none(co.py()))
    })
}

fn close(this: &Obj<File>, py: Python<'_>) -> PyResult<Obj> {
    coro::coroutine(py, "BinaryFile.close", move |co| {
        let this = co.hold(this);
        async move {
            File::close(&co, &this).await?;
            Ok(Obj::none(co.py()))
        }
    })
}

fn enter(this: &Obj<File>, py: Python<'_>) -> PyResult<Obj> {
    coro::coroutine(py, "BinaryFile.__aenter__", move |co| {
        let this = co.hold(this);
        async move {
            drop(this.get().handle()?);
            Ok(this.get().into_any())
        }
    })
}

impl File {
    /// `fileno()`.
    ///
    /// # Errors
    /// `ValueError` if the file is closed.
    pub(super) fn fileno(&self) -> PyResult<i32> {
        Ok(self.handle()?.fd())
    }

    /// `isatty()`.
    ///
    /// # Errors
    /// `ValueError` if the file is closed.
    pub(super) fn isatty(&self, py: Python<'_>) -> PyResult<bool> {
        py.import("os")?.call_method1(intern!(py, "isatty"), (self.fileno()?,))?.is_truthy()
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let name = this.name.get().map_or_else(|| Ok(String::new()), |name| shown_name(py, &name))?;
        let mode = this.mode.get().map_or("", super::mode::Mode::shown);
        let closed = if this.is_closed() { " closed" } else { "" };
        Ok(format!("<ferrio.files.BinaryFile{closed} name={name} mode='{mode}'>"))
    }
}

pub(super) fn shown_name(py: Python<'_>, name: &Obj) -> PyResult<String> {
    Ok(name.bind(py).repr()?.to_string())
}

impl Class for File {
    type Base = Any;
    ferrio_object::fields!(File {
        event_loop: kept,
        handle,
        name,
        mode,
        buffering,
        seekable,
        regular,
        unread,
        unwritten,
        in_flight,
        turns,
        abandoned,
        weaklist: WeakList
    });
    const NAME: &'static str = "ferrio.files.BinaryFile";
    const DOC: &'static str = "A binary file of ferrio.files.open().\n\n\
        Its operations are coroutines; those of several tasks take turns. A cancelled read loses no data: what was\n\
        on its way is read by the next one. A cancelled write has been taken, and is written with the next flush.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;
    const FINALIZE: bool = true;

    fn blank() -> Self {
        File::blank()
    }

    fn wants_finalizer(&self, _base: &()) -> bool {
        !self.is_closed()
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        if this.is_closed() {
            return;
        }
        let warned = Self::repr(this, py).and_then(|shown| {
            let message = std::ffi::CString::new(format!("unclosed file {shown}"))?;
            PyErr::warn(py, &py.get_type::<PyResourceWarning>(), &message, 1)
        });
        let finished = this
            .finish_now(py)
            .map_err(<pyo3::exceptions::PyOSError as crate::exceptions::FromIo>::new_err_from_io);
        for err in [warned, finished].into_iter().filter_map(Result::err) {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .repr(Self::repr)
            .aiter_itself()
            .anext(anext)
            .coroutine(
                "read",
                read,
                "read($self, size=-1, /)\n--\n\nCoroutine: read `size` bytes, or up to the end; fewer only at the end.",
            )
            .coroutine(
                "read1",
                read1,
                "read1($self, size=-1, /)\n--\n\nCoroutine: at most `size` bytes, with at most one read of the file.",
            )
            .coroutine1(
                "readinto",
                readinto,
                "readinto($self, buffer, /)\n--\n\nCoroutine: read into a writable buffer; returns the number of bytes.",
            )
            .coroutine(
                "readline",
                readline,
                "readline($self, size=-1, /)\n--\n\nCoroutine: a line with its newline, at most `size` bytes of it; \
                 b'' at the end.",
            )
            .coroutine(
                "readlines",
                readlines,
                "readlines($self, hint=-1, /)\n--\n\nCoroutine: a list of lines, as many as make up `hint` bytes.",
            )
            .coroutine1(
                "write",
                write,
                "write($self, data, /)\n--\n\nCoroutine: write all of a bytes-like object; returns the number of bytes.\
                 \n\nIt may stay in the buffer until flush() or close().",
            )
            .coroutine1(
                "writelines",
                writelines,
                "writelines($self, lines, /)\n--\n\nCoroutine: write each of an iterable of bytes-like objects.",
            )
            .coroutine(
                "seek",
                seek,
                "seek($self, offset, whence=0, /)\n--\n\nCoroutine: move to `offset` bytes from the beginning (0), from \
                 here (1) or\nfrom the end (2); returns the position.",
            )
            .coroutine0("tell", tell, "tell($self, /)\n--\n\nCoroutine: the position in bytes.")
            .coroutine(
                "truncate",
                truncate,
                "truncate($self, size=None, /)\n--\n\nCoroutine: make the file that many bytes long, or end it here; \
                 returns the size.\n\nThe position stays.",
            )
            .coroutine0("flush", flush, "flush($self, /)\n--\n\nCoroutine: hand what is in the buffer to the system.")
            .coroutine(
                "sync",
                sync,
                "sync($self, /, *, data_only=False)\n--\n\nCoroutine: flush, and wait until it is on the disk \
                 (os.fsync, os.fdatasync).",
            )
            .coroutine0(
                "close",
                close,
                "close($self, /)\n--\n\nCoroutine: flush and close. Closing again does nothing.\n\n\
                 Once begun it is carried through, even if the task that waits for it is cancelled.",
            )
            .coroutine0("__aenter__", enter, "__aenter__($self, /)\n--\n\nThe file.")
            .coroutine(
                "__aexit__",
                |this: &Obj<Self>, py: Python<'_>, _args: Args<'_, '_>| close(this, py),
                "__aexit__($self, exc_type, exc, tb, /)\n--\n\nClose the file.",
            )
            .method0(
                "fileno",
                |this: &Obj<Self>, _py: Python<'_>| this.fileno(),
                "fileno($self, /)\n--\n\nThe file descriptor.",
            )
            .method0(
                "isatty",
                |this: &Obj<Self>, py: Python<'_>| this.isatty(py),
                "isatty($self, /)\n--\n\nWhether it is a terminal.",
            )
            .method0(
                "readable",
                |this: &Obj<Self>, _py: Python<'_>| this.handle().map(|_| this.readable()),
                "readable($self, /)\n--\n\nWhether it was opened for reading.",
            )
            .method0(
                "writable",
                |this: &Obj<Self>, _py: Python<'_>| this.handle().map(|_| this.writable()),
                "writable($self, /)\n--\n\nWhether it was opened for writing.",
            )
            .method0(
                "seekable",
                |this: &Obj<Self>, _py: Python<'_>| this.handle().map(|_| this.seekable.get()),
                "seekable($self, /)\n--\n\nWhether it has a position that can be moved.",
            )
            .getter("name", |this: &Obj<Self>, _py: Python<'_>| this.name.get(), "What was given to open().")
            .getter(
                "mode",
                |this: &Obj<Self>, _py: Python<'_>| this.mode.get().map(super::mode::Mode::shown),
                "The mode, as the builtin open()'s raw files show it.",
            )
            .getter("closed", |this: &Obj<Self>, _py: Python<'_>| this.is_closed(), "Whether it is closed.");
    }
}
