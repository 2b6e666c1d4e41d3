//! Frames of Python code: the one that runs, the one that called it, the generator or coroutine that a frame is of, and
//! where one that waits stands.

#[cfg(Py_3_12)]
use std::cell::OnceCell;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
#[cfg(Py_3_12)]
use pyo3::types::{PyDict, PyDictMethods};

use crate::obj::Obj;
#[cfg(Py_3_12)]
use crate::shared::GilStatic;

/// The frame of Python code that this thread runs; none where the thread has not called any.
pub fn running_frame(_py: Python<'_>) -> Option<Obj> {
    // SAFETY: attached; a borrowed reference or null.
    unsafe {
        let frame: *mut ffi::PyObject = ffi::PyEval_GetFrame().cast();
        if frame.is_null() { None } else { Some(Obj::from_borrowed(frame)) }
    }
}

/// What `frame.f_back` is.
pub fn frame_back(py: Python<'_>, frame: &Obj) -> Option<Obj> {
    owned(frame_of(py, frame).map(|frame| {
        // SAFETY: attached, and a frame; a new reference or null without an error.
        unsafe { ffi::PyFrame_GetBack(frame).cast() }
    }))
}

/// The generator, coroutine or asynchronous generator that `frame` is of: `frame.f_generator`, which Python code has
/// since 3.14.
pub fn frame_generator(py: Python<'_>, frame: &Obj) -> Option<Obj> {
    owned(frame_of(py, frame).map(|frame| {
        // SAFETY: as in `frame_back`.
        unsafe { ffi::PyFrame_GetGenerator(frame) }
    }))
    // 3.14 returns None where there was null before.
    .filter(|generator| !generator.is_none())
}

fn frame_of(_py: Python<'_>, obj: &Obj) -> Option<*mut ffi::PyFrameObject> {
    // SAFETY: a valid object; its type is compared.
    let is_frame = unsafe { ffi::PyFrame_Check(obj.as_ptr()) != 0 };
    is_frame.then(|| obj.as_ptr().cast())
}

fn owned(obj: Option<*mut ffi::PyObject>) -> Option<Obj> {
    // SAFETY: attached; the functions above return new references.
    obj.filter(|obj| !obj.is_null()).map(|obj| unsafe { Obj::from_owned(obj) })
}

/// Whether `obj` is what `async def` makes: a coroutine, or an asynchronous generator.
pub fn is_async_code(obj: &Obj) -> bool {
    // SAFETY: a valid object.
    unsafe { ffi::PyCoro_CheckExact(obj.as_ptr()) != 0 || ffi::PyAsyncGen_CheckExact(obj.as_ptr()) != 0 }
}

/// A place in Python code: a code object, and the offset of an instruction in it.
pub struct CodePlace {
    pub code: Obj,
    pub offset: i32,
}

impl CodePlace {
    /// The line of the instruction.
    pub fn line(&self, _py: Python<'_>) -> Option<u32> {
        // SAFETY: attached. `code` is a code object, as it came from a frame; any offset may be asked for.
        let line = unsafe {
            if ffi::PyCode_Check(self.code.as_ptr()) == 0 {
                return None;
            }
            ffi::PyCode_Addr2Line(self.code.as_ptr().cast(), self.offset)
        };
        u32::try_from(line).ok()
    }
}

/// Where `frame` stands.
pub fn place_of_frame(py: Python<'_>, frame: &Obj) -> Option<CodePlace> {
    let frame = frame_of(py, frame)?;
    // SAFETY: attached, and a frame; it has code, of which this is a new reference.
    unsafe {
        let offset = ffi::PyFrame_GetLasti(frame);
        Some(CodePlace { code: Obj::from_owned(ffi::PyFrame_GetCode(frame).cast()), offset })
    }
}

/// Where a coroutine or generator of Python code that does not run stands, and what it awaits. Nothing for one that runs
/// or has ended, and for other objects.
///
/// # Errors
/// `MemoryError`.
pub fn place_of_suspended(py: Python<'_>, coro: &Obj) -> PyResult<Option<(CodePlace, Option<Obj>)>> {
    // SAFETY: a valid object.
    let (is_coroutine, is_generator) =
        unsafe { (ffi::PyCoro_CheckExact(coro.as_ptr()) != 0, ffi::PyGen_CheckExact(coro.as_ptr()) != 0) };
    let bound = coro.bind(py);
    let (suspended, awaited, code) = if is_coroutine {
        (intern!(py, "cr_suspended"), intern!(py, "cr_await"), intern!(py, "cr_code"))
    } else if is_generator {
        (intern!(py, "gi_suspended"), intern!(py, "gi_yieldfrom"), intern!(py, "gi_code"))
    } else {
        return Ok(None);
    };
    if bound.getattr(suspended)?.is_truthy()? {
        let awaited = Obj::unless_none(Some(&bound.getattr(awaited)?));
        return Ok(place_within(py, coro)?.map(|place| (place, awaited)));
    }
    let running = if is_coroutine { intern!(py, "cr_running") } else { intern!(py, "gi_running") };
    if bound.getattr(running)?.is_truthy()? {
        return Ok(None);
    }
    // It has not begun, or it has ended; what a task has to drive has not.
    Ok(Some((CodePlace { code: bound.getattr(code)?.into(), offset: 0 }, None)))
}

/// The place of a coroutine or generator that is suspended. Its frame object would do, but to ask for that makes one,
/// which the coroutine keeps: 80 bytes for each of a million. So the interpreter's own frame, which lies in the coroutine,
/// is asked; where in it is found by experiment, once.
#[cfg(Py_3_12)]
fn place_within(py: Python<'_>, coro: &Obj) -> PyResult<Option<CodePlace>> {
    static OFFSET: GilStatic<OnceCell<Option<usize>>> = GilStatic::new(OnceCell::new());
    match *OFFSET.get(py).get_or_init(|| experiment::offset_of_frame(py)) {
        // SAFETY: an exact coroutine or generator that is suspended, in which a frame lies at the offset.
        Some(offset) => Ok(Some(unsafe { experiment::place_at(coro, offset) })),
        None => place_by_frame_object(py, coro),
    }
}

#[cfg(not(Py_3_12))]
fn place_within(py: Python<'_>, coro: &Obj) -> PyResult<Option<CodePlace>> {
    place_by_frame_object(py, coro)
}

fn place_by_frame_object(py: Python<'_>, coro: &Obj) -> PyResult<Option<CodePlace>> {
    for name in [intern!(py, "cr_frame"), intern!(py, "gi_frame")] {
        if let Some(frame) = coro.bind(py).getattr_opt(name)? {
            return Ok(place_of_frame(py, &frame.into()));
        }
    }
    Ok(None)
}

/// Finding the interpreter's frame in a generator. Coroutines are laid out in the same way.
#[cfg(Py_3_12)]
mod experiment {
    use super::{CodePlace, Obj, PyDict, PyDictMethods, PyResult, Python, ffi, place_of_frame};
    use pyo3::types::PyAnyMethods;

    /// Words of a frame object that are looked at; the pointer to the interpreter's frame is one of the first.
    const WORDS: usize = 6;

    /// The one offset at which the frame of each of two generators lies, and no other would do.
    pub(super) fn offset_of_frame(py: Python<'_>) -> Option<usize> {
        let found = || -> PyResult<Option<usize>> {
            let names = PyDict::new(py);
            py.run(
                c"def one():\n    yield\n\ndef two(a, b):\n    c = a\n    yield c\n    yield b\n",
                Some(&names),
                None,
            )?;
            let mut agreed = None;
            for (name, steps) in [("one", 1), ("two", 2)] {
                let Some(function) = names.get_item(name)? else { return Ok(None) };
                let generator = if name == "one" { function.call0()? } else { function.call1((1, 2))? };
                for _ in 0..steps {
                    generator.call_method0("__next__")?;
                }
                let frame = Obj::from(generator.getattr("gi_frame")?);
                let size: usize = generator.get_type().getattr("__basicsize__")?.extract()?;
                let start = generator.as_ptr() as usize;
                // SAFETY: a frame object is longer than that.
                let words = unsafe { frame.as_ptr().cast::<[usize; WORDS]>().read() };
                let mut inside = words[2..].iter().filter(|word| (start + 16..start + size).contains(word));
                let (Some(word), None) = (inside.next(), inside.next()) else { return Ok(None) };
                let offset = word - start;
                let Some(known) = place_of_frame(py, &frame) else { return Ok(None) };
                // SAFETY: the frame object refers to it.
                let place = unsafe { place_at(&generator.into(), offset) };
                if !place.code.is(&known.code) || place.offset != known.offset {
                    return Ok(None);
                }
                if agreed.replace(offset).is_some_and(|other| other != offset) {
                    return Ok(None);
                }
            }
            Ok(agreed)
        };
        found().unwrap_or_else(|err| {
            crate::error::swallow(py, err);
            None
        })
    }

    /// # Safety
    /// Attached; `coro` is a suspended coroutine or generator in which the interpreter's frame lies at `offset`.
    pub(super) unsafe fn place_at(coro: &Obj, offset: usize) -> CodePlace {
        // SAFETY: by contract; a new reference to the code of the frame.
        unsafe {
            let frame = coro.as_ptr().cast::<u8>().add(offset).cast();
            CodePlace {
                code: Obj::from_owned(ffi::PyUnstable_InterpreterFrame_GetCode(frame)),
                offset: ffi::PyUnstable_InterpreterFrame_GetLasti(frame),
            }
        }
    }
}
