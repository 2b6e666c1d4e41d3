//! The exception handler: where errors go that nobody can be given.

use ferrio_object::{ClassBuilder, Obj, Signature};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::event_loop::{ExceptionContext, Loop};
use crate::exceptions;
use crate::log::{self, Level};

/// Calls the loop's handler; an error in a user's handler is itself handled by the default one.
fn call_exception_handler(this: &Obj<Loop>, py: Python<'_>, context: &Bound<'_, PyAny>) -> PyResult<()> {
    let Some(handler) = this.exception_handler.get() else {
        return call_default(this, py, context);
    };
    let run = || -> PyResult<()> {
        // A task or handle says in which context its error is to be handled.
        let mut thing = get(context, "task")?;
        if thing.is_none() {
            thing = get(context, "future")?;
        }
        if thing.is_none() {
            thing = get(context, "handle")?;
        }
        let within = match thing {
            Some(thing) => match thing.getattr_opt(intern!(py, "get_context"))? {
                Some(get_context) => Some(get_context.call0()?).filter(|context| !context.is_none()),
                None => None,
            },
            None => None,
        };
        match within {
            Some(within) if within.hasattr(intern!(py, "run"))? => {
                within.call_method1(intern!(py, "run"), (&handler, this, context))?;
            }
            _ => {
                handler.bind(py).call1((this, context))?;
            }
        }
        Ok(())
    };
    match run() {
        Ok(()) => Ok(()),
        Err(err) if exceptions::is_exit(py, &err) => Err(err),
        Err(err) => {
            let wrapped = ExceptionContext::new(py)
                .with("message", "Unhandled error in exception handler")?
                .with("exception", exceptions::value_of(py, err))?
                .with("context", context)?
                .into_dict();
            match this.bind(py).call_method1(intern!(py, "default_exception_handler"), (wrapped,)) {
                Ok(_) => Ok(()),
                Err(err) if exceptions::is_exit(py, &err) => Err(err),
                Err(err) => {
                    let message = "Exception in default exception handler while handling an unexpected error in \
                                   custom exception handler";
                    log_at_last(this, py, message, err)
                }
            }
        }
    }
}

fn call_default(this: &Obj<Loop>, py: Python<'_>, context: &Bound<'_, PyAny>) -> PyResult<()> {
    match this.bind(py).call_method1(intern!(py, "default_exception_handler"), (context,)) {
        Ok(_) => Ok(()),
        Err(err) if exceptions::is_exit(py, &err) => Err(err),
        Err(err) => log_at_last(this, py, "Exception in default exception handler", err),
    }
}

/// Logs an error of the default handler's. If that fails too (the logger has yet to be imported, and the process has run
/// out of descriptors), it is an unraisable one: the loop goes on.
fn log_at_last(this: &Obj<Loop>, py: Python<'_>, message: &str, err: PyErr) -> PyResult<()> {
    match log_handled(py, message, &exceptions::value_of(py, err)) {
        Err(err) if !exceptions::is_exit(py, &err) => {
            err.write_unraisable(py, Some(this.bind(py)));
            Ok(())
        }
        outcome => outcome,
    }
}

fn get<'py>(context: &Bound<'py, PyAny>, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let value = context.call_method1(intern!(context.py(), "get"), (key,))?;
    Ok((!value.is_none()).then_some(value))
}

/// Logs the context, sorted by key, with the exception's traceback.
fn default_exception_handler(this: &Obj<Loop>, py: Python<'_>, context: &Bound<'_, PyAny>) -> PyResult<()> {
    let message = match get(context, "message")? {
        Some(message) if message.is_truthy()? => message.str()?.to_string(),
        _ => "Unhandled exception in event loop".to_owned(),
    };
    let exception = get(context, "exception")?;
    if let Some(made_at) = where_handle_was_made(this, py, context)? {
        context.set_item("handle_traceback", made_at)?;
    }
    let mut lines = vec![message];
    let keys = crate::imported::module(py, "builtins")?.call_method1("sorted", (context,))?;
    for key in keys.try_iter()? {
        let key = key?;
        let name = key.str()?.to_string();
        if name == "message" || name == "exception" {
            continue;
        }
        let value = context.get_item(&key)?;
        let text = match name.as_str() {
            "source_traceback" => {
                format!("Object created at (most recent call last):\n{}", format_list(py, &value)?)
            }
            "handle_traceback" => {
                format!("Handle created at (most recent call last):\n{}", format_list(py, &value)?)
            }
            _ => value.repr()?.to_string(),
        };
        lines.push(format!("{name}: {text}"));
    }
    log_error(py, &lines.join("\n"), exception.map(Obj::from))
}

/// Where the handle that runs was made: in debug mode, for errors that do not say where they come from.
fn where_handle_was_made<'py>(
    this: &Obj<Loop>,
    py: Python<'py>,
    context: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(handle) = this.current_handle.get() else { return Ok(None) };
    if context.contains("source_traceback")? {
        return Ok(None);
    }
    let made_at = handle.bind(py).getattr(intern!(py, "_source_traceback"))?;
    Ok(made_at.is_truthy()?.then_some(made_at))
}

fn format_list(py: Python<'_>, stack: &Bound<'_, PyAny>) -> PyResult<String> {
    let lines = crate::imported::module(py, "traceback")?.call_method1("format_list", (stack,))?;
    let text: Vec<String> = lines.extract()?;
    Ok(text.concat().trim_end().to_owned())
}

fn set_exception_handler(this: &Obj<Loop>, _py: Python<'_>, handler: &Bound<'_, PyAny>) -> PyResult<()> {
    if handler.is_none() {
        this.exception_handler.set(None);
        return Ok(());
    }
    if !handler.is_callable() {
        let shown = handler.repr()?;
        return Err(PyTypeError::new_err(format!("A callable object or None is expected, got {shown}")));
    }
    this.exception_handler.set(Some(handler.into()));
    Ok(())
}

/// Logs an error from where it is being handled: `logger.error(message, exc_info=True)` in an `except` clause.
///
/// # Errors
/// What the logger raises.
fn log_handled(py: Python<'_>, message: &str, exception: &Obj) -> PyResult<()> {
    let write = || log::write_exception(py, "ferrio.base_events", Level::Error, (message,), true);
    ferrio_object::with_handled(py, exception, write)
}

/// Logs an error, with the exception's traceback if there is one.
///
/// # Errors
/// What the logger raises.
fn log_error(py: Python<'_>, message: &str, exception: Option<Obj>) -> PyResult<()> {
    let Some(exc) = exception else {
        return log::write_exception(py, "ferrio.base_events", Level::Error, (message,), false);
    };
    let exc = exc.bind(py);
    let traceback = exc.getattr(intern!(py, "__traceback__"))?;
    let exc_info = (exc.get_type(), exc, traceback);
    log::write_exception(py, "ferrio.base_events", Level::Error, (message,), exc_info)
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .method1_named("call_exception_handler", call_exception_handler,
            || Signature::new("call_exception_handler", ["context"]),
            "call_exception_handler($self, /, context)\n--\n\nHand an error to the exception handler.\n\n\
            `context` is a dict with at least 'message'; further keys: 'exception', 'future', 'task', 'handle',\n\
            'protocol', 'transport', 'socket', 'asyncgen', 'source_traceback', 'handle_traceback'.")
        .method1_named("default_exception_handler", default_exception_handler,
            || Signature::new("default_exception_handler", ["context"]),
            "default_exception_handler($self, /, context)\n--\n\nLog an error.")
        .method1_named("set_exception_handler", set_exception_handler,
            || Signature::new("set_exception_handler", ["handler"]),
            "set_exception_handler($self, /, handler)\n--\n\nCall handler(loop, context) on errors; None: log.")
        .method0("get_exception_handler", |this: &Obj<Loop>, _py: Python<'_>| this.exception_handler.get(),
            "get_exception_handler($self, /)\n--\n\nThe exception handler, or None (since 3.5.2).");
}
