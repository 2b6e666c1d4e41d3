//! The object layer against a live interpreter, which this binary embeds.
//!
//! The classes under test are declared in `classes/`, as ferrio declares its own. What they do is mostly asked in
//! Python, because that is where they are used: [`python`] runs a script that asserts.
//!
//! One test at a time: they count references and collect garbage, and the interpreter is one.

mod arguments;
mod buffers;
mod calls;
mod classes;
mod collection;
mod coroutines;
mod descriptors;
mod erased;
mod fields;
mod finalizers;
mod freelists;
mod memory;
mod numbers;
mod panics;
mod replaced;
mod rosters;
mod spare_bytes;
mod ssl_objects;
mod stop_iteration;
mod subclasses;
mod threads;

use std::ffi::CString;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use ferrio_object::Obj;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Calls `f` attached, with the module that holds the classes.
fn attached<R>(f: impl FnOnce(Python<'_>, &Bound<'_, PyModule>) -> R) -> R {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    // Another test's failure is that test's own.
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    Python::initialize();
    Python::attach(|py| {
        let module = MODULE.get_or_init(py, || {
            let module = PyModule::new(py, "objects").unwrap();
            classes::define(&module).unwrap();
            module.unbind()
        });
        f(py, module.bind(py))
    })
}

/// Runs a script that sees the classes and the usual modules. An exception fails the test, and so does an instance
/// that the script leaves alive.
#[track_caller]
fn python(script: &str) {
    attached(|py, module| run(py, module, script));
}

#[track_caller]
fn run(py: Python<'_>, module: &Bound<'_, PyModule>, script: &str) {
    let prelude = c"import collections, contextlib, functools, gc, itertools, sys, threading, types, weakref

class unraisable:
    'Catches what goes to sys.unraisablehook.'
    def __enter__(self):
        self.seen, self.hook = [], sys.unraisablehook
        sys.unraisablehook = lambda args: self.seen.append((type(args.exc_value), str(args.exc_value)))
        return self.seen
    def __exit__(self, *error):
        sys.unraisablehook = self.hook

@contextlib.contextmanager
def raises(kind, text=''):
    try:
        yield
    except kind as error:
        assert type(error) is kind and text in str(error), repr(error)
    else:
        raise AssertionError(f'{kind.__name__} was not raised')
";
    let globals = PyDict::new(py);
    globals.update(module.dict().as_mapping()).unwrap();
    let before = classes::alive();
    let result = py
        .run(prelude, Some(&globals), None)
        .and_then(|()| py.run(&CString::new(script).unwrap(), Some(&globals), None));
    if let Err(err) = result {
        let line = err.traceback(py).and_then(|tb| tb.getattr("tb_lineno").ok()?.extract::<usize>().ok());
        let line = line.and_then(|line| script.lines().nth(line - 1));
        err.print(py);
        panic!("the script failed: {err}\nat: {}", line.unwrap_or_default());
    }
    // What the script defined refers to its globals.
    globals.clear();
    drop(globals);
    py.import("gc").unwrap().call_method0("collect").unwrap();
    assert_eq!(classes::alive(), before, "instances were left alive");
}

/// How many references there are, this one included.
fn references(obj: &Bound<'_, PyAny>) -> isize {
    Obj::from(obj).refcount() - 1
}

/// Runs the test of this name again in a process of its own, and there `f`: for what would bring this one down. Gives
/// what it wrote, standard error included.
#[track_caller]
fn in_process_of_its_own(test: &str, f: impl FnOnce()) -> String {
    const MARK: &str = "FERRIO_OBJECT_TEST_CHILD";
    if std::env::var_os(MARK).is_some() {
        f();
        return String::new();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{}\n{said}", output.status);
    said
}
