//! Functions, callbacks and coroutines as text: asyncio's `format_helpers` and `coroutines._format_coroutine`.

use std::cell::RefCell;

use ferrio_object::{Args, GilStatic, Obj, Signature};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFunction, PyTuple};

static SHOWING: GilStatic<RefCell<Vec<(u64, usize)>>> = GilStatic::new(RefCell::new(Vec::new()));

/// Keeps a `repr` from going round in circles, per object and thread, as `reprlib.recursive_repr` does.
pub(crate) struct ReprGuard<'py> {
    py: Python<'py>,
    key: (u64, usize),
}

impl<'py> ReprGuard<'py> {
    /// `None` if the object's `repr` is being made already.
    pub(crate) fn enter(py: Python<'py>, obj: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let key = (ferrio_object::ThreadState::ident(), obj.as_ptr() as usize);
        let mut showing = SHOWING.get(py).borrow_mut();
        if showing.contains(&key) {
            return Ok(None);
        }
        showing.push(key);
        Ok(Some(ReprGuard { py, key }))
    }
}

impl Drop for ReprGuard<'_> {
    fn drop(&mut self) {
        SHOWING.get(self.py).borrow_mut().retain(|key| *key != self.key);
    }
}

/// Whether what formatting needs is there or can be imported. In a process that has run out of descriptors it cannot,
/// and the report of an error must not end the loop by an error of its own.
fn is_equipped(py: Python<'_>) -> bool {
    ["functools", "inspect", "reprlib"].into_iter().all(|name| crate::imported::module(py, name).is_ok())
}

/// File and line of a function, unwrapped; `None` for what has no Python code.
fn function_source(py: Python<'_>, func: &Bound<'_, PyAny>) -> PyResult<Option<(String, i64)>> {
    ferrio_object::ensure_stack(py)?;
    let func = crate::imported::module(py, "inspect")?.call_method1("unwrap", (func,))?;
    if func.is_instance_of::<PyFunction>() {
        let code = func.getattr(intern!(py, "__code__"))?;
        return Ok(Some((
            code.getattr("co_filename")?.extract()?,
            code.getattr("co_firstlineno")?.extract()?,
        )));
    }
    let functools = crate::imported::module(py, "functools")?;
    if func.is_instance(&functools.getattr("partial")?)? {
        return function_source(py, &func.getattr("func")?);
    }
    if func.is_instance(&functools.getattr("partialmethod")?)? {
        return function_source(py, &func.getattr("func")?);
    }
    Ok(None)
}

/// A call as the report of its failure shows it, without the place of the function.
///
/// # Errors
/// What a `repr` raises.
pub(crate) fn format_callback(py: Python<'_>, func: &Bound<'_, PyAny>, args: &[Obj]) -> PyResult<String> {
    if !is_equipped(py) {
        return Ok(func.repr()?.to_string());
    }
    format_call(py, func, (args, None), false, "")
}

/// The arguments of a call, in parentheses, as the report of its failure shows them.
///
/// # Errors
/// What a `repr` raises.
pub(crate) fn format_arguments(py: Python<'_>, args: &[Obj]) -> PyResult<String> {
    if !is_equipped(py) {
        return Ok("(...)".to_owned());
    }
    format_args_and_kwargs(py, args, None, false)
}

/// Since 3.13 arguments are shown in debug mode only: they may be secret, or huge.
fn format_args_and_kwargs(
    py: Python<'_>,
    args: &[Obj],
    kwargs: Option<&Bound<'_, PyDict>>,
    debug: bool,
) -> PyResult<String> {
    if cfg!(Py_3_13) && !debug {
        return Ok("()".to_owned());
    }
    let reprlib = crate::imported::module(py, "reprlib")?;
    let mut items = Vec::new();
    for arg in args {
        items.push(reprlib.call_method1("repr", (arg,))?.extract::<String>()?);
    }
    if let Some(kwargs) = kwargs {
        for (name, value) in kwargs.iter() {
            items.push(format!("{name}={}", reprlib.call_method1("repr", (value,))?.extract::<String>()?));
        }
    }
    Ok(format!("({})", items.join(", ")))
}

fn format_call(
    py: Python<'_>,
    func: &Bound<'_, PyAny>,
    args: (&[Obj], Option<&Bound<'_, PyDict>>),
    debug: bool,
    suffix: &str,
) -> PyResult<String> {
    ferrio_object::ensure_stack(py)?;
    let shown = format_args_and_kwargs(py, args.0, args.1, debug)?;
    if func.is_instance(&crate::imported::module(py, "functools")?.getattr("partial")?)? {
        let bound: Vec<Obj> =
            func.getattr("args")?.try_iter()?.map(|arg| arg.map(Obj::from)).collect::<PyResult<_>>()?;
        let keywords = func.getattr("keywords")?.cast_into::<PyDict>()?;
        let suffix = format!("{shown}{suffix}");
        return format_call(py, &func.getattr("func")?, (&bound, Some(&keywords)), debug, &suffix);
    }
    let name = |attribute: &str| -> PyResult<Option<String>> {
        match func.getattr_opt(attribute)? {
            Some(name) if name.is_truthy()? => Ok(Some(name.str()?.to_string())),
            _ => Ok(None),
        }
    };
    let name = match name("__qualname__")? {
        Some(name) => name,
        None => match name("__name__")? {
            Some(name) => name,
            None => func.repr()?.to_string(),
        },
    };
    Ok(format!("{name}{shown}{suffix}"))
}

/// `name(args) at file:line`.
///
/// # Errors
/// What a `repr` raises.
pub(crate) fn format_callback_source(
    py: Python<'_>,
    func: &Bound<'_, PyAny>,
    args: &[Obj],
    debug: bool,
) -> PyResult<String> {
    if !is_equipped(py) {
        return Ok(func.repr()?.to_string());
    }
    let mut text = format_call(py, func, (args, None), debug, "")?;
    if let Some((file, line)) = function_source(py, func)? {
        use std::fmt::Write as _;
        let _ = write!(text, " at {file}:{line}");
    }
    Ok(text)
}

/// A coroutine as `repr` of its task shows it.
///
/// # Errors
/// What the coroutine's attributes raise.
pub(crate) fn format_coroutine(_py: Python<'_>, coro: &Bound<'_, PyAny>) -> PyResult<String> {
    let attribute = |names: [&str; 2]| -> PyResult<Option<Bound<'_, PyAny>>> {
        for name in names {
            if let Some(value) = coro.getattr_opt(name)?
                && !value.is_none()
            {
                return Ok(Some(value));
            }
        }
        Ok(None)
    };
    let name = match attribute(["__qualname__", "__name__"])? {
        Some(name) if name.is_truthy()? => name.str()?.to_string(),
        // Extensions' coroutines may have no name at all.
        _ => format!("<{} without __name__>", coro.get_type().name()?),
    };
    if crate::coroutines::is_native(Obj::of(coro)) {
        let closed = coro.getattr("cr_frame")?.is_none();
        // asyncio goes on with the line of its own source.
        return Ok(format!("{name}() {}", if closed { "done" } else { "running" }));
    }
    let running = match attribute(["cr_running", "gi_running"])? {
        Some(running) => running.is_truthy()?,
        None => false,
    };
    let code = attribute(["cr_code", "gi_code"])?;
    let Some(code) = code else {
        return Ok(if running { format!("{name}() running") } else { format!("{name}()") });
    };
    let frame = attribute(["gi_frame", "cr_frame"])?;
    let file = code.getattr("co_filename")?;
    let file = if file.is_truthy()? { file.str()?.to_string() } else { "<empty co_filename>".to_owned() };
    if let Some(frame) = frame {
        let line = frame.getattr("f_lineno")?.str()?;
        return Ok(format!("{name}() running at {file}:{line}"));
    }
    let line = code.getattr("co_firstlineno")?.str()?;
    Ok(format!("{name}() done, defined at {file}:{line}"))
}

fn args_and_kwargs<'py>(
    args: Option<&Bound<'py, PyAny>>,
    kwargs: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Vec<Obj>, Option<Bound<'py, PyDict>>)> {
    let list = match args {
        Some(args) if !args.is_none() => {
            args.try_iter()?.map(|arg| arg.map(Obj::from)).collect::<PyResult<_>>()?
        }
        _ => Vec::new(),
    };
    let dict = match kwargs {
        Some(kwargs) if !kwargs.is_none() => Some(kwargs.clone().cast_into::<PyDict>()?),
        _ => None,
    };
    Ok((list, dict))
}

pub(crate) fn py_get_function_source(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    let [func] = args.bind(&Signature::new("_get_function_source", ["func"]))?;
    let Some(func) = func else { return Ok(None) };
    match function_source(py, func)? {
        Some((file, line)) => {
            let pair =
                PyTuple::new(py, [file.into_pyobject(py)?.into_any(), line.into_pyobject(py)?.into_any()])?;
            Ok(Some(pair.into()))
        }
        None => Ok(None),
    }
}

pub(crate) fn py_format_callback_source(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<String>> {
    const SIGNATURE: Signature<3> =
        Signature::new("_format_callback_source", ["func", "args", "debug"]).positional(2).required(2);
    let [func, arguments, debug] = args.bind(&SIGNATURE)?;
    let Some(func) = func else { return Ok(None) };
    let (list, _) = args_and_kwargs(arguments, None)?;
    let debug = debug.map_or(Ok(false), pyo3::types::PyAnyMethods::is_truthy)?;
    format_callback_source(py, func, &list, debug).map(Some)
}

pub(crate) fn py_format_callback(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<String>> {
    const SIGNATURE: Signature<5> =
        Signature::new("_format_callback", ["func", "args", "kwargs", "debug", "suffix"]).required(3);
    let [func, arguments, kwargs, debug, suffix] = args.bind(&SIGNATURE)?;
    let Some(func) = func else { return Ok(None) };
    let (list, dict) = args_and_kwargs(arguments, kwargs)?;
    let suffix = suffix.map_or_else(|| Ok(String::new()), pyo3::types::PyAnyMethods::extract)?;
    let debug = debug.map_or(Ok(false), pyo3::types::PyAnyMethods::is_truthy)?;
    format_call(py, func, (&list, dict.as_ref()), debug, &suffix).map(Some)
}

pub(crate) fn py_format_args_and_kwargs(py: Python<'_>, args: Args<'_, '_>) -> PyResult<String> {
    const SIGNATURE: Signature<3> =
        Signature::new("_format_args_and_kwargs", ["args", "kwargs", "debug"]).required(2);
    let [arguments, kwargs, debug] = args.bind(&SIGNATURE)?;
    let (list, dict) = args_and_kwargs(arguments, kwargs)?;
    let debug = debug.map_or(Ok(false), pyo3::types::PyAnyMethods::is_truthy)?;
    format_args_and_kwargs(py, &list, dict.as_ref(), debug)
}

pub(crate) fn py_format_coroutine(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<String>> {
    let [coro] = args.bind(&Signature::new("_format_coroutine", ["coro"]))?;
    coro.map(|coro| format_coroutine(py, coro)).transpose()
}
