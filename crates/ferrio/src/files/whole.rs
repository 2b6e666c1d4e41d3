//! Reading and writing a whole file with one call.

use ferrio_object::{Args, Buffer, Obj, Signature};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::file::File;
use super::methods::write_bytes;
use super::opening::{self, Request};
use super::text::{Options, Text};
use crate::coro::{self, Co, Local};
use crate::exceptions;

/// The outcome, unless closing failed where nothing else did.
fn closed(co: &Co, outcome: Result<Local, Local>, closed: PyResult<()>) -> PyResult<Obj> {
    match outcome {
        Ok(value) => closed.map(|()| value.get()),
        Err(exc) => Err(ferrio_object::raise(co.py(), &exc.get())),
    }
}

/// An outcome that waits for the file to be closed.
fn held(co: &Co, outcome: PyResult<Obj>) -> Result<Local, Local> {
    match outcome {
        Ok(value) => Ok(co.hold(value)),
        Err(err) => Err(co.hold(exceptions::value_of(co.py(), err))),
    }
}

pub(super) fn py_read_bytes(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [path] = args.bind(&Signature::new("read_bytes", ["path"]))?;
    let request = Request::simple(py, Obj::or_none(py, path), "rb", Options::default())?;
    coro::coroutine(py, "read_bytes", move |co| {
        let request = co.keep(request);
        async move {
            let file = co.hold(opening::open(&co, &request).await?);
            let read = File::fill_to_end(&co, &file).await;
            let outcome = held(&co, read.map(|()| file.get().taken(co.py(), usize::MAX)));
            closed(&co, outcome, File::close(&co, &file).await)
        }
    })
}

pub(super) fn py_read_text(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<4> =
        Signature::new("read_text", ["path", "encoding", "errors", "newline"]).required(1);
    let [path, encoding, errors, newline] = args.bind(&SIGNATURE)?;
    let options = Options {
        encoding: Obj::unless_none(encoding),
        errors: Obj::unless_none(errors),
        newline: Obj::unless_none(newline),
    };
    let request = Request::simple(py, Obj::or_none(py, path), "r", options)?;
    coro::coroutine(py, "read_text", move |co| {
        let request = co.keep(request);
        async move {
            let text = co.hold(Text::open(&co, &request).await?);
            let outcome = held(&co, Text::read(&co, &text, None).await);
            closed(&co, outcome, Text::close(&co, &text).await)
        }
    })
}

pub(super) fn py_write_bytes(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [path, data] = args.bind(&Signature::new("write_bytes", ["path", "data"]))?;
    let data = Buffer::get(py, &Obj::or_none(py, data), false)?.to_vec(py);
    let request = Request::simple(py, Obj::or_none(py, path), "wb", Options::default())?;
    coro::coroutine(py, "write_bytes", move |co| {
        let request = co.keep(request);
        async move {
            let file = co.hold(opening::open(&co, &request).await?);
            let outcome = match write_bytes(&co, &file, &data).await {
                Ok(()) => Ok(data.len().into_pyobject(co.py())?.into_any().into()),
                Err(err) => Err(err),
            };
            let outcome = held(&co, outcome);
            closed(&co, outcome, File::close(&co, &file).await)
        }
    })
}

pub(super) fn py_write_text(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<5> =
        Signature::new("write_text", ["path", "data", "encoding", "errors", "newline"]).required(2);
    let [path, data, encoding, errors, newline] = args.bind(&SIGNATURE)?;
    let data = Obj::or_none(py, data);
    if !data.bind(py).is_instance_of::<PyString>() {
        let name = data.bind(py).get_type().name()?;
        return Err(PyTypeError::new_err(format!("data must be str, not {name}")));
    }
    let options = Options {
        encoding: Obj::unless_none(encoding),
        errors: Obj::unless_none(errors),
        newline: Obj::unless_none(newline),
    };
    let request = Request::simple(py, Obj::or_none(py, path), "w", options)?;
    coro::coroutine(py, "write_text", move |co| {
        let (request, data) = (co.keep(request), co.hold(data));
        async move {
            let text = co.hold(Text::open(&co, &request).await?);
            let outcome = match Text::write(&co, &text, &data).await {
                Ok(count) => Ok(count.into_pyobject(co.py())?.into_any().into()),
                Err(err) => Err(err),
            };
            let outcome = held(&co, outcome);
            closed(&co, outcome, Text::close(&co, &text).await)
        }
    })
}
