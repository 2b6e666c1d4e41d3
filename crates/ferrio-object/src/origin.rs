//! Where a coroutine was made, and the frame that stands for one: what CPython keeps for `async def`.
//!
//! `sys.set_coroutine_origin_tracking_depth()` is a number in the thread's state, which CPython reads whenever it makes a
//! coroutine. There is no call that gives it without going through Python, so its place is found by experiment, once, as
//! that of the context is (`context.rs`); where the experiment does not give exactly one answer, nothing is tracked.

use std::cell::OnceCell;
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCode, PyDict, PyTuple};

use crate::call::ThreadState;
use crate::obj::Obj;
use crate::python_frames::running_frame;
use crate::shared::GilStatic;

/// Ints of a `PyThreadState` that are looked at; the number is one of the first 60 from 3.11 to 3.15.
const STATE_INTS: usize = 72;

/// Which int of the thread's state is the depth.
static PLACE: GilStatic<OnceCell<Option<usize>>> = GilStatic::new(OnceCell::new());

impl ThreadState {
    /// How many frames of the place where it is made a coroutine is to remember; usually none.
    #[inline]
    pub fn origin_tracking_depth(py: Python<'_>) -> i32 {
        match *PLACE.get(py).get_or_init(|| find_place(py)) {
            // SAFETY: attached, so there is a state; the int was found to be the depth.
            Some(place) => unsafe { *ThreadState::get(py).cast::<i32>().add(place) },
            None => 0,
        }
    }
}

/// The one int of the thread's state that is each of two depths while it is set, and neither after that.
#[cold]
fn find_place(py: Python<'_>) -> Option<usize> {
    let ints = || {
        // SAFETY: attached, so there is a state, and it has at least as many words as `context.rs` looks at.
        unsafe { ptr::read(ffi::PyThreadState_Get().cast::<[i32; STATE_INTS]>()) }
    };
    let found = || -> PyResult<Vec<usize>> {
        let sys = py.import("sys")?;
        let set = sys.getattr("set_coroutine_origin_tracking_depth")?;
        let before: i32 = sys.call_method0("get_coroutine_origin_tracking_depth")?.extract()?;
        let mut candidates: Vec<usize> = (0..STATE_INTS).collect();
        for depth in [0x2f3a_91c5, 0x51d7_0e6b] {
            set.call1((depth,))?;
            let within = ints();
            set.call1((before,))?;
            let after = ints();
            candidates.retain(|&at| within[at] == depth && after[at] == before);
        }
        Ok(candidates)
    };
    match found() {
        Ok(candidates) => match candidates[..] {
            [place] => Some(place),
            _ => None,
        },
        Err(err) => {
            crate::error::swallow(py, err);
            None
        }
    }
}

/// A frame object that stands for native code: it shows `code` at its first line, and is nobody's caller.
///
/// # Errors
/// `MemoryError`.
pub fn standing_frame(
    py: Python<'_>,
    code: &Bound<'_, PyCode>,
    globals: &Bound<'_, PyDict>,
) -> PyResult<Obj> {
    // SAFETY: attached; a code object and a dict, both borrowed; the frame is owned, or null with an error set.
    unsafe {
        let frame = ffi::PyFrame_New(
            ffi::PyThreadState_Get(),
            code.as_ptr().cast(),
            globals.as_ptr(),
            ptr::null_mut(),
        );
        if frame.is_null() { Err(PyErr::fetch(py)) } else { Ok(Obj::from_owned(frame.cast())) }
    }
}

/// `cr_origin` of a coroutine that is made here: (file name, line, function) of each of the innermost `depth` frames.
///
/// # Errors
/// `MemoryError`.
pub fn origin(py: Python<'_>, depth: i32) -> PyResult<Obj> {
    let mut frames = Vec::new();
    let mut frame = running_frame(py);
    while let Some(at) = frame
        && frames.len() < usize::try_from(depth).unwrap_or(0)
    {
        let at = at.bind(py);
        let code = at.getattr("f_code")?;
        let entry = (code.getattr("co_filename")?, at.getattr("f_lineno")?, code.getattr("co_name")?);
        frames.push(entry.into_pyobject(py)?);
        let back = at.getattr("f_back")?;
        frame = if back.is_none() { None } else { Some(back.into()) };
    }
    Ok(PyTuple::new(py, frames)?.into())
}
