//! What Python sees of a text file.

use std::future::Future;

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, Signature};
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::file::File;
use super::methods::{length, shown_name, size};
use super::text::Text;
use crate::coro::{self, Co, Local};

/// A coroutine that has the turn on the file, which is open and was opened for that.
fn operation<F>(
    this: &Obj<Text>,
    py: Python<'_>,
    name: &'static str,
    reading: Option<bool>,
    body: impl FnOnce(Co, Local<Text>) -> F,
) -> PyResult<Obj>
where
    F: Future<Output = PyResult<Obj>> + Send + 'static,
{
    coro::coroutine(py, name, move |co| {
        let text = co.hold(this);
        let body = body(co.clone(), co.hold(this));
        async move {
            let file = co.hold(text.get().file()?);
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

fn read(this: &Obj<Text>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [n] = args.bind(&Signature::new("read", ["size"]).required(0))?;
    let n = size(n)?;
    operation(this, py, "TextFile.read", Some(true), move |co, this| async move {
        Text::read(&co, &this, n).await
    })
}

fn readline(this: &Obj<Text>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [limit] = args.bind(&Signature::new("readline", ["size"]).required(0))?;
    let limit = size(limit)?;
    operation(this, py, "TextFile.readline", Some(true), move |co, this| async move {
        Text::read_line(&co, &this, limit).await
    })
}

fn anext(this: &Obj<Text>, py: Python<'_>) -> PyResult<Obj> {
    operation(this, py, "TextFile.__anext__", Some(true), move |co, this| async move {
        match Text::line(&co, &this, None).await? {
            0 => Err(PyStopAsyncIteration::new_err(())),
            len => this.get().take(co.py(), len),
        }
    })
}

fn readlines(this: &Obj<Text>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [hint] = args.bind(&Signature::new("readlines", ["hint"]).required(0))?;
    let hint = size(hint)?.filter(|hint| *hint > 0);
    operation(this, py, "TextFile.readlines", Some(true), move |co, this| async move {
        let lines = co.hold(Obj::from(PyList::empty(co.py()).into_any()));
        let mut total = 0;
        loop {
            let line = Text::read_line(&co, &this, None).await?;
            let py = co.py();
            let len = line.bind(py).len()?;
            if len > 0 {
                lines.get().bind(py).call_method1(intern!(py, "append"), (line,))?;
            }
            total += len;
            if len == 0 || hint.is_some_and(|hint| total > hint) {
                return Ok(lines.get());
            }
        }
    })
}

fn write(this: &Obj<Text>, py: Python<'_>, text: &Bound<'_, PyAny>) -> PyResult<Obj> {
    operation(this, py, "TextFile.write", Some(false), move |co, this| {
        let text = co.hold(Obj::from(text));
        async move {
            let count = Text::write(&co, &this, &text).await?;
            Ok(count.into_pyobject(co.py())?.into_any().into())
        }
    })
}

fn writelines(this: &Obj<Text>, py: Python<'_>, lines: &Bound<'_, PyAny>) -> PyResult<Obj> {
    operation(this, py, "TextFile.writelines", Some(false), move |co, this| {
        let lines = co.hold(Obj::from(lines));
        async move {
            lines.set(lines.get().bind(co.py()).try_iter()?.into_any().into());
            loop {
                let line = match lines.get().bind(co.py()).try_iter()?.next() {
                    Some(line) => co.hold(Obj::from(line?)),
                    None => return Ok(Obj::none(co.py())),
                };
                Text::write(&co, &this, &line).await?;
            }
        }
    })
}

fn seek(this: &Obj<Text>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [cookie, whence] = args.bind(&Signature::new("seek", ["cookie", "whence"]).required(1))?;
    let cookie = Obj::or_none(py, cookie);
    let whence = whence.map_or(Ok(0), PyAnyMethods::extract::<i32>)?;
    operation(this, py, "TextFile.seek", None, move |co, this| {
        let cookie = co.hold(cookie);
        async move { Text::seek(&co, &this, &cookie, whence).await }
    })
}

fn tell(this: &Obj<Text>, py: Python<'_>) -> PyResult<Obj> {
    operation(this, py, "TextFile.tell", None, move |co, this| async move {
        // What is appended ends up elsewhere than where we are.
        let file = co.hold(this.get().file()?);
        File::write_out(&co, &file).await?;
        this.get().tell(co.py())
    })
}

fn truncate(this: &Obj<Text>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [len] = args.bind(&Signature::new("truncate", ["size"]).required(0))?;
    let len = length(len)?;
    operation(this, py, "TextFile.truncate", Some(false), move |co, this| async move {
        let file = co.hold(this.get().file()?);
        let len = File::truncate_to(&co, &file, len).await?;
        Ok(len.into_pyobject(co.py())?.into_any().into())
    })
}

fn flush(this: &Obj<Text>, py: Python<'_>) -> PyResult<Obj> {
    operation(this, py, "TextFile.flush", None, move |co, this| async move {
        let file = co.hold(this.get().file()?);
        File::write_out(&co, &file).await?;
        Ok(Obj::none(co.py()))
    })
}

fn sync(this: &Obj<Text>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<1> = Signature::new("sync", ["data_only"]).positional(0);
    let [data_only] = args.bind(&SIGNATURE)?;
    let data_only = data_only.map_or(Ok(false), PyAnyMethods::is_truthy)?;
    operation(this, py, "TextFile.sync", None, move |co, this| async move {
        let file = co.hold(this.get().file()?);
        File::sync_all(&co, &file, data_only).await?;
        Ok(Obj::none(co.py()))
    })
}

fn close(this: &Obj<Text>, py: Python<'_>) -> PyResult<Obj> {
    coro::coroutine(py, "TextFile.close", move |co| {
        let this = co.hold(this);
        async move {
            Text::close(&co, &this).await?;
            Ok(Obj::none(co.py()))
        }
    })
}

fn enter(this: &Obj<Text>, py: Python<'_>) -> PyResult<Obj> {
    coro::coroutine(py, "TextFile.__aenter__", move |co| {
        let this = co.hold(this);
        async move {
            drop(this.get().file()?.handle()?);
            Ok(this.get().into_any())
        }
    })
}

impl Text {
    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let name = match this.file.get().and_then(|file| file.name.get()) {
            Some(name) => shown_name(py, &name)?,
            None => String::new(),
        };
        let closed = if this.file.get().is_none_or(|file| file.is_closed()) { " closed" } else { "" };
        let mode = this.mode.borrow().clone();
        let encoding = this.encoding.get().map_or_else(|| Ok(String::new()), |e| shown_name(py, &e))?;
        Ok(format!("<ferrio.files.TextFile{closed} name={name} mode='{mode}' encoding={encoding}>"))
    }
}

impl Class for Text {
    type Base = Any;
    ferrio_object::fields!(Text {
        file,
        mode,
        encoding: kept,
        errors: kept,
        newline,
        line_buffering,
        decoder,
        encoder,
        decoded: kept,
        used,
        snapshot,
        weaklist: WeakList
    });
    const NAME: &'static str = "ferrio.files.TextFile";
    const DOC: &'static str = "A text file of ferrio.files.open().\n\n\
        Its operations are coroutines; those of several tasks take turns. A cancelled read loses no text: what was\n\
        on its way is read by the next one. A cancelled write has been taken, and is written with the next flush.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        Text::blank()
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .repr(Self::repr)
            .aiter_itself()
            .anext(anext)
            .coroutine(
                "read",
                read,
                "read($self, size=-1, /)\n--\n\nCoroutine: read `size` characters, or up to the end; fewer only at \
                 the end.",
            )
            .coroutine(
                "readline",
                readline,
                "readline($self, size=-1, /)\n--\n\nCoroutine: a line with its newline, at most `size` characters \
                 of it; '' at the end.",
            )
            .coroutine(
                "readlines",
                readlines,
                "readlines($self, hint=-1, /)\n--\n\nCoroutine: a list of lines, as many as make up `hint` characters.",
            )
            .coroutine1(
                "write",
                write,
                "write($self, text, /)\n--\n\nCoroutine: write a string; returns its length.\n\n\
                 It may stay in the buffer until flush() or close().",
            )
            .coroutine1(
                "writelines",
                writelines,
                "writelines($self, lines, /)\n--\n\nCoroutine: write each of an iterable of strings.",
            )
            .coroutine(
                "seek",
                seek,
                "seek($self, cookie, whence=0, /)\n--\n\nCoroutine: go to where tell() gave `cookie`; with whence 2 \
                 and\ncookie 0 to the end. Returns the place.",
            )
            .coroutine0("tell", tell, "tell($self, /)\n--\n\nCoroutine: a number for the place, for seek().")
            .coroutine(
                "truncate",
                truncate,
                "truncate($self, size=None, /)\n--\n\nCoroutine: make the file that many bytes long; returns the size.",
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
                |this: &Obj<Self>, _py: Python<'_>| this.file()?.fileno(),
                "fileno($self, /)\n--\n\nThe file descriptor.",
            )
            .method0(
                "isatty",
                |this: &Obj<Self>, py: Python<'_>| this.file()?.isatty(py),
                "isatty($self, /)\n--\n\nWhether it is a terminal.",
            )
            .method0(
                "readable",
                |this: &Obj<Self>, _py: Python<'_>| {
                    let file = this.file()?;
                    file.handle().map(|_| file.readable())
                },
                "readable($self, /)\n--\n\nWhether it was opened for reading.",
            )
            .method0(
                "writable",
                |this: &Obj<Self>, _py: Python<'_>| {
                    let file = this.file()?;
                    file.handle().map(|_| file.writable())
                },
                "writable($self, /)\n--\n\nWhether it was opened for writing.",
            )
            .method0(
                "seekable",
                |this: &Obj<Self>, _py: Python<'_>| {
                    let file = this.file()?;
                    file.handle().map(|_| file.seekable.get())
                },
                "seekable($self, /)\n--\n\nWhether it has a position that can be moved.",
            )
            .getter(
                "name",
                |this: &Obj<Self>, _py: Python<'_>| this.file.get().and_then(|file| file.name.get()),
                "What was given to open().",
            )
            .getter(
                "mode",
                |this: &Obj<Self>, _py: Python<'_>| this.mode.borrow().clone(),
                "The mode given to open().",
            )
            .getter(
                "closed",
                |this: &Obj<Self>, _py: Python<'_>| this.file.get().is_none_or(|file| file.is_closed()),
                "Whether it is closed.",
            )
            .getter("encoding", |this: &Obj<Self>, _py: Python<'_>| this.encoding.get(), "The encoding's name.")
            .getter("errors", |this: &Obj<Self>, _py: Python<'_>| this.errors.get(), "What is done about errors.")
            .getter(
                "newlines",
                |this: &Obj<Self>, py: Python<'_>| -> PyResult<Option<Obj>> {
                    let Some(decoder) = this.decoder.get() else { return Ok(None) };
                    Ok(decoder.bind(py).getattr_opt(intern!(py, "newlines"))?.map(Obj::from))
                },
                "The newlines translated so far: None, a string, or a tuple of strings.",
            )
            .getter(
                "line_buffering",
                |this: &Obj<Self>, _py: Python<'_>| this.line_buffering.get(),
                "Whether a write with a newline is flushed.",
            )
            .getter("buffer", |this: &Obj<Self>, _py: Python<'_>| this.file.get(), "The binary file below.");
    }
}
