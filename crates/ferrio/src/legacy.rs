//! `ferrio.legacy.coroutine`: generators as coroutines, in the way of asyncio's first edition (Python 3.4 to 3.10).
//!
//! What a decorated function returns is a coroutine for tasks and `await`. It is an iterator for `yield from` too, in
//! generators that are not decorated as well: the programs of that time delegate from either kind.

use std::cell::RefCell;

use ferrio_object::{
    Any, Args, Class, ClassBuilder, ClassDef, GilStatic, Obj, ObjCell, Sent, Signature, WeakList, await_iter,
    is_generator, send,
};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::{coroutines, future_likes};

/// What a coroutine does when it is resumed.
#[derive(Default)]
enum State {
    /// Call a function, which may return something to wait for.
    Call(Obj, Obj, Option<Obj>),
    /// Resume a generator, or the iterator of what the function has returned.
    Resume(Obj),
    #[default]
    Ended,
}

ferrio_object::traverse!(
    enum State {
        Call(func, args, kwargs),
        Resume(iterator),
        Ended,
    },
    default
);

/// What a decorated function returns.
pub struct GeneratorCoroutine {
    state: RefCell<State>,
    /// The decorated function, for names.
    func: ObjCell,
    weaklist: WeakList,
}

impl GeneratorCoroutine {
    /// The generator or iterator that is resumed.
    fn iterator(&self) -> Option<Obj> {
        match &*self.state.borrow() {
            State::Resume(iterator) => Some(iterator.clone()),
            _ => None,
        }
    }

    fn end(&self) {
        let old = self.state.replace(State::Ended);
        drop(old);
    }

    fn resume(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        if let Some(iterator) = this.iterator() {
            return Self::settle(this, send(py, &iterator, value.map(Obj::of)));
        }
        match this.state.replace(State::Ended) {
            State::Call(func, args, kwargs) => {
                if value.is_some_and(|value| !value.is_none()) {
                    drop(this.state.replace(State::Call(func, args, kwargs)));
                    return Err(PyTypeError::new_err(
                        "can't send non-None value to a just-started coroutine",
                    ));
                }
                let kwargs = kwargs.as_ref().map(|kwargs| kwargs.bind(py).cast::<PyDict>()).transpose()?;
                let result: Obj = func.bind(py).call(args.bind(py).cast::<PyTuple>()?, kwargs)?.into();
                let Some(iterator) = iterator_of(py, &result)? else { return Ok(Sent::Return(result)) };
                drop(this.state.replace(State::Resume(iterator.clone())));
                Self::settle(this, send(py, &iterator, None))
            }
            _ => Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
        }
    }

    /// Passes on what resuming has led to; nothing is left to resume unless it has yielded.
    fn settle(this: &Obj<Self>, outcome: PyResult<Sent>) -> PyResult<Sent> {
        if !matches!(outcome, Ok(Sent::Next(_))) {
            this.end();
        }
        outcome
    }

    fn throw(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Sent> {
        let err = coroutines::thrown_error(py, &args)?;
        let Some(iterator) = this.iterator() else {
            this.end();
            return Err(err);
        };
        Self::settle(this, coroutines::throw_into(py, &iterator, err))
    }

    fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let Some(iterator) = this.iterator() else {
            this.end();
            return Ok(());
        };
        let outcome = coroutines::close_iterator(py, &iterator);
        this.end();
        outcome
    }

    /// An attribute of the generator under the name that generators have for it.
    fn of_generator(&self, py: Python<'_>, name: &str) -> PyResult<Obj> {
        match self.iterator() {
            Some(iterator) => {
                Ok(iterator.bind(py).getattr_opt(name)?.map_or_else(|| Obj::none(py), Obj::from))
            }
            None => Ok(Obj::none(py)),
        }
    }

    fn code(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        let of_generator = this.of_generator(py, "gi_code")?;
        match this.func.get() {
            Some(func) if of_generator.is_none() => {
                Ok(func.bind(py).getattr_opt(intern!(py, "__code__"))?.map_or(of_generator, Obj::from))
            }
            _ => Ok(of_generator),
        }
    }

    fn running(this: &Obj<Self>, py: Python<'_>) -> PyResult<bool> {
        this.of_generator(py, "gi_running")?.bind(py).is_truthy()
    }

    fn name(this: &Obj<Self>, py: Python<'_>, name: &str) -> PyResult<Obj> {
        let named = this.func.get().map(|func| func.bind(py).getattr_opt(name)).transpose()?.flatten();
        Ok(named.map_or_else(|| Obj::none(py), Obj::from))
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let name = Self::name(this, py, "__qualname__")?;
        Ok(format!("<coroutine object {} at {:p}>", name.bind(py).str()?, this.as_any().as_ptr()))
    }
}

/// What a call has returned, if it is to be waited for: a future, a generator, a coroutine, an awaitable.
fn iterator_of(py: Python<'_>, result: &Obj) -> PyResult<Option<Obj>> {
    let bound = result.bind(py);
    if is_generator(result) || result.cast_exact::<GeneratorCoroutine>().is_some() {
        return Ok(Some(result.clone()));
    }
    if future_likes::is_future(py, bound)? {
        return Ok(Some(bound.try_iter()?.into_any().into()));
    }
    let abc = crate::imported::module(py, "collections.abc")?.getattr("Awaitable")?;
    if bound.is_instance(&abc)? { await_iter(py, result).map(Some) } else { Ok(None) }
}

/// The function that a decorated name becomes has to be one of Python's: it is bound as a method, and shows the
/// signature and the documentation of what it calls.
const WRAPPER: &std::ffi::CStr = c"
def decorate(func, call):
    @wraps(func)
    def coroutine(*args, **kwargs):
        return call(func, args, kwargs)
    coroutine._is_coroutine = _is_coroutine
    return coroutine
";

fn decorate(py: Python<'_>) -> PyResult<Obj> {
    static DECORATE: GilStatic<ObjCell> = GilStatic::new(ObjCell::empty());
    let cell = DECORATE.get(py);
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let names = PyDict::new(py);
    names.set_item("wraps", crate::imported::module(py, "functools")?.getattr("wraps")?)?;
    names.set_item("_is_coroutine", py.import("ferrio.coroutines")?.getattr("_is_coroutine")?)?;
    names.set_item("__name__", "ferrio.legacy")?;
    py.run(WRAPPER, Some(&names), None)?;
    let made: Obj = names.get_item("decorate")?.into_pyobject(py)?.into();
    cell.set(Some(made.clone()));
    Ok(made)
}

/// `coroutine(func)`.
///
/// # Errors
/// `TypeError` if it is not called with a function.
fn py_coroutine(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [func] = args.bind(&Signature::new("coroutine", ["func"]))?;
    let Some(func) = func.filter(|func| func.is_callable()) else {
        return Err(PyTypeError::new_err("coroutine() decorates a function"));
    };
    let inspect = crate::imported::module(py, "inspect")?;
    if inspect.call_method1("iscoroutinefunction", (func,))?.is_truthy()? {
        return Ok(func.into());
    }
    let module = py.import("ferrio._ferrio")?;
    let (func, call) = if inspect.call_method1("isgeneratorfunction", (func,))?.is_truthy()? {
        // Flagged so: else its `yield from` refuses coroutines of `async def`.
        let flagged = crate::imported::module(py, "types")?.getattr("coroutine")?.call1((func,))?;
        (flagged, module.getattr("_call_generator")?)
    } else {
        (func.clone(), module.getattr("_call_later")?)
    };
    Ok(decorate(py)?.bind(py).call1((func, call))?.into())
}

fn made(py: Python<'_>, func: &Bound<'_, PyAny>, state: State) -> PyResult<Obj<GeneratorCoroutine>> {
    let func = ObjCell::new(func.into());
    Obj::create(py, ((), GeneratorCoroutine { state: RefCell::new(state), func, weaklist: WeakList::new() }))
}

/// Calls a generator function: its arguments are checked at the call, and nothing of it runs.
fn py_call_generator(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<GeneratorCoroutine>> {
    let [Some(func), Some(given), Some(kwargs)] = [args.get(0), args.get(1), args.get(2)] else {
        return Err(PyTypeError::new_err("a function, its arguments and its keywords are required"));
    };
    let generator = func.call(given.cast::<PyTuple>()?, Some(kwargs.cast::<PyDict>()?))?;
    made(py, func, State::Resume(generator.into()))
}

/// Notes the call of another function: it is made when the coroutine first runs.
fn py_call_later(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<GeneratorCoroutine>> {
    let [Some(func), Some(given), kwargs] = [args.get(0), args.get(1), args.get(2)] else {
        return Err(PyTypeError::new_err("a function, its arguments and its keywords are required"));
    };
    made(py, func, State::Call(func.into(), given.into(), kwargs.map(Obj::from)))
}

impl Class for GeneratorCoroutine {
    type Base = Any;
    ferrio_object::fields!(GeneratorCoroutine { state, func, weaklist: WeakList });
    const NAME: &'static str = "ferrio.legacy.GeneratorCoroutine";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        GeneratorCoroutine {
            state: RefCell::new(State::Ended),
            func: ObjCell::empty(),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .repr(Self::repr)
            .iter_itself()
            .await_itself()
            .send(Self::resume)
            .throw(Self::throw)
            .method0(
                "close",
                Self::close,
                "close($self, /)\n--\n\nRaise GeneratorExit where it is suspended.",
            )
            .getter("__name__", |this: &Obj<Self>, py: Python<'_>| Self::name(this, py, "__name__"), "")
            .getter(
                "__qualname__",
                |this: &Obj<Self>, py: Python<'_>| Self::name(this, py, "__qualname__"),
                "",
            )
            .getter("gi_code", Self::code, "")
            .getter("cr_code", Self::code, "")
            .getter("gi_running", Self::running, "")
            .getter("cr_running", Self::running, "")
            .getter("gi_frame", |this: &Obj<Self>, py: Python<'_>| this.of_generator(py, "gi_frame"), "")
            .getter("cr_frame", |this: &Obj<Self>, py: Python<'_>| this.of_generator(py, "gi_frame"), "")
            .getter(
                "gi_yieldfrom",
                |this: &Obj<Self>, py: Python<'_>| this.of_generator(py, "gi_yieldfrom"),
                "",
            )
            .getter("cr_await", |this: &Obj<Self>, py: Python<'_>| this.of_generator(py, "gi_yieldfrom"), "");
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<GeneratorCoroutine>(module)?;
    ClassDef::function(module, "_call_generator", py_call_generator, "")?;
    ClassDef::function(module, "_call_later", py_call_later, "")?;
    ClassDef::function(
        module,
        "coroutine",
        py_coroutine,
        "coroutine(func)\n--\n\nMake a generator function a coroutine function: in it, 'yield from' waits for futures and\n\
         coroutines.\n\nA function that is none is called when its coroutine first runs; what it returns is waited for. As\n\
         asyncio.coroutine() of asyncio 3.4 to 3.10.",
    )
}
