//! Modules of the standard library (and ferrio's own logger) for reports, kept once they were imported.
//!
//! A task, a future or a transport may be dropped when the interpreter has torn its import system down, and has to say
//! what is wrong all the same. asyncio has its modules as globals; here they are kept at the first use, and those that
//! no program has used are fetched when the interpreter begins to exit with a loop left open, or when another thread than
//! the main one makes a loop. Importing them earlier would make every program wait for what few need; but servers have
//! them from their start on, because what a server has to report may be that the process has run out of descriptors, and
//! importing takes one.

use std::cell::{Cell, RefCell};

use ferrio_object::{GilStatic, Obj, ThreadState};
use pyo3::exceptions::{PyImportError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What the reports of objects that are dropped need.
const OF_REPORTS: &[&str] = &[
    "warnings",
    "traceback",
    "reprlib",
    "inspect",
    "functools",
    "builtins",
    "collections.abc",
    // `traceback` fetches it at the first report.
    #[cfg(Py_3_15)]
    "_colorize",
];

static KEPT: GilStatic<RefCell<Vec<(&'static str, Obj)>>> = GilStatic::new(RefCell::new(Vec::new()));
static OPEN_LOOPS: GilStatic<Cell<usize>> = GilStatic::new(Cell::new(0));
static READY: GilStatic<Cell<bool>> = GilStatic::new(Cell::new(false));
static REGISTERED: GilStatic<Cell<bool>> = GilStatic::new(Cell::new(false));

/// The module `name`.
///
/// # Errors
/// What importing it raises.
pub(crate) fn module<'py>(py: Python<'py>, name: &'static str) -> PyResult<Bound<'py, PyAny>> {
    let known =
        KEPT.get(py).borrow().iter().find(|(known, _)| *known == name).map(|(_, module)| module.clone());
    if let Some(known) = known {
        return Ok(known.into_bound(py));
    }
    let module = py.import(name)?.into_any();
    KEPT.get(py).borrow_mut().push((name, (&module).into()));
    Ok(module)
}

/// Fetches what reports need now, while it can be imported.
///
/// # Errors
/// What importing raises.
pub(crate) fn ready_to_report(py: Python<'_>) -> PyResult<()> {
    if READY.get(py).get() {
        return Ok(());
    }
    for name in OF_REPORTS {
        module(py, name)?;
    }
    // Not kept: it is looked up each time, because programs replace it. Its module is what has to be there.
    module(py, "ferrio.base_events")?.getattr("logger")?;
    READY.get(py).set(true);
    Ok(())
}

/// A loop is about to be made. In a thread that `threading` has started, reports get their modules now.
///
/// Such a thread may still run when the interpreter exits. To import beside it may take for ever: importing starts
/// collections, and they do not end while the thread makes garbage with finalizers faster than they free it. Where the
/// modules cannot be imported (no descriptors), the loop is made all the same.
///
/// # Errors
/// What importing raises, but for `OSError` and `ImportError`.
pub(crate) fn before_a_loop(py: Python<'_>) -> PyResult<()> {
    if !is_started_thread(py)? {
        return Ok(());
    }
    match ready_to_report(py) {
        Err(err) if err.is_instance_of::<PyOSError>(py) || err.is_instance_of::<PyImportError>(py) => Ok(()),
        result => result,
    }
}

/// A loop was made, which may still be open when the interpreter exits.
///
/// # Errors
/// What `atexit` raises.
pub(crate) fn loop_opened(py: Python<'_>) -> PyResult<()> {
    OPEN_LOOPS.get(py).set(OPEN_LOOPS.get(py).get() + 1);
    if REGISTERED.get(py).replace(true) {
        return Ok(());
    }
    let hook = crate::native_fn::function(py, "_keep_modules_of_reports", Vec::new(), |py, _held, _args| {
        let imported = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
        for name in OF_REPORTS {
            if OPEN_LOOPS.get(py).get() > 0 || imported.contains(name)? {
                module(py, name)?;
            }
        }
        if OPEN_LOOPS.get(py).get() > 0 || imported.contains("logging")? {
            let module = module(py, "ferrio.base_events")?;
            // Looked up each time until now.
            module.setattr("logger", module.getattr("logger")?)?;
        }
        Ok(())
    })?;
    py.import("atexit")?.call_method1("register", (hook,))?;
    Ok(())
}

/// Whether this thread was started by Python's `threading`.
fn is_started_thread(py: Python<'_>) -> PyResult<bool> {
    let imported = py.import("sys")?.getattr("modules")?;
    let Some(threading) = imported.cast::<PyDict>()?.get_item("threading")? else { return Ok(false) };
    let main: Option<u64> = threading.call_method0("main_thread")?.getattr("ident")?.extract()?;
    Ok(main != Some(ThreadState::ident()))
}

/// A loop was closed.
pub(crate) fn loop_closed(py: Python<'_>) {
    let count = OPEN_LOOPS.get(py);
    count.set(count.get().saturating_sub(1));
}

/// The `socket` module, imported when first needed.
pub(crate) fn socket_module(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Ok(py.import(pyo3::intern!(py, "socket"))?.into_any())
}
