//! Contexts (`contextvars`): copying, making, entering, recycling them.
//!
//! Most programs have no context variables, and then each of the copies that asyncio's rules ask for is as empty as
//! the next. So an empty one is not copied but noted ([`ThreadState::snapshot`]), made when somebody runs in it, and
//! used again afterwards: two fifths of what a `call_soon` costs without that.
//!
//! CPython has no call that tells whether the current context is empty; its public `PyThreadState` (`cpython/pystate.h`)
//! has the field, at a place that changes with the version. The place is found by experiment, once; where the
//! experiment does not give exactly one answer, contexts are copied as ever.

use std::cell::{OnceCell, RefCell};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::call::ThreadState;
use crate::error::Raised;
use crate::obj::Obj;
use crate::shared::GilStatic;

/// Words of a `PyThreadState` that are looked at. It has 45 of them on 3.11, 36 on 3.12, 38 on 3.13, and more on 3.14
/// and 3.15; the context is the 29th or before.
const STATE_WORDS: usize = 36;

/// Which word of the thread's state is the current context.
static PLACE: GilStatic<OnceCell<Option<usize>>> = GilStatic::new(OnceCell::new());

/// Empty contexts for the next who needs one.
static SPARES: GilStatic<RefCell<Vec<Obj>>> = GilStatic::new(RefCell::new(Vec::new()));

/// As many as CPython keeps.
const SPARES_MAX: usize = 255;

impl ThreadState {
    /// A copy of the current context.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub fn copy_context(py: Python<'_>) -> PyResult<Obj> {
        // SAFETY: attached.
        unsafe {
            let context = ffi::PyContext_CopyCurrent();
            if context.is_null() { Err(PyErr::fetch(py)) } else { Ok(Obj::from_owned(context)) }
        }
    }

    /// As [`ThreadState::copy_context`], but `None` for a context without variables, to be made by
    /// [`ThreadState::empty_context`] when it is needed.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub fn snapshot(py: Python<'_>) -> PyResult<Option<Obj>> {
        match *PLACE.get(py).get_or_init(|| find_place(py)) {
            Some(place) => {
                // SAFETY: attached, so there is a state; the word was found to be the current context, or null, and the
                // state holds it while we look at it.
                let current = unsafe { *ThreadState::get(py).cast::<*mut ffi::PyObject>().add(place) };
                // SAFETY: as above.
                if current.is_null() || unsafe { is_empty(current) } {
                    return Ok(None);
                }
                Self::copy_context(py).map(Some)
            }
            None => {
                let copy = Self::copy_context(py)?;
                // SAFETY: a context.
                Ok(if unsafe { is_empty(copy.as_ptr()) } { None } else { Some(copy) })
            }
        }
    }

    /// A context without variables that nobody else has.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub fn empty_context(py: Python<'_>) -> PyResult<Obj> {
        if let Some(spare) = SPARES.get(py).borrow_mut().pop() {
            return Ok(spare);
        }
        // SAFETY: attached.
        unsafe {
            let context = ffi::PyContext_New();
            if context.is_null() { Err(PyErr::fetch(py)) } else { Ok(Obj::from_owned(context)) }
        }
    }

    /// Lets go of a context that is entered no more; if it is as good as new, the next
    /// [`ThreadState::empty_context`] is it, else it is handed back.
    ///
    /// Not for destructors: what the collector has cleared is no context any more, and does not survive being asked for
    /// its length.
    #[inline]
    pub fn recycle_context(context: Obj) -> Option<Obj> {
        let obj = context.as_ptr();
        // SAFETY: attached, as all that has an `Obj` is; a valid object, which nobody else can reach if there is one
        // reference and no weak one: an entered one would be held by a thread's state.
        unsafe {
            if ffi::Py_REFCNT(obj) != 1
                || ffi::PyContext_CheckExact(obj) == 0
                || !is_empty(obj)
                || has_weak_references(obj)
            {
                return Some(context);
            }
            let mut spares = SPARES.get(Python::assume_attached()).borrow_mut();
            if spares.len() >= SPARES_MAX {
                return Some(context);
            }
            spares.push(context);
            None
        }
    }

    /// Whether `obj` is a `contextvars.Context`.
    pub fn is_context(obj: &Obj) -> bool {
        // SAFETY: a valid object.
        unsafe { ffi::PyContext_CheckExact(obj.as_ptr()) != 0 }
    }

    /// Runs `f` in `context`.
    ///
    /// # Errors
    /// `RuntimeError` if the context is entered already, `TypeError` if it is none, and what `f` raises.
    #[inline]
    pub fn in_context<R, E: From<Raised>>(
        _py: Python<'_>,
        context: &Obj,
        f: impl FnOnce() -> Result<R, E>,
    ) -> Result<R, E> {
        struct Exit<'a>(&'a Obj);
        impl Drop for Exit<'_> {
            fn drop(&mut self) {
                // SAFETY: attached (the guard does not leave `in_context`); the context was entered there. It can
                // fail only if somebody else left contexts unbalanced, which is reported where it was done.
                unsafe {
                    if ffi::PyContext_Exit(self.0.as_ptr()) < 0 {
                        ffi::PyErr_WriteUnraisable(self.0.as_ptr());
                    }
                }
            }
        }
        // SAFETY: attached; the function checks that it is given a context.
        if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
            return Err(Raised::set().into());
        }
        let exit = Exit(context);
        // Leaving a context with an error in the indicator is fine: `Context.run` does the same.
        let result = f();
        drop(exit);
        result
    }
}

/// # Safety
/// Attached; `context` is a context.
#[inline]
unsafe fn is_empty(context: *mut ffi::PyObject) -> bool {
    // SAFETY: by contract; a context is a mapping, and its length cannot fail. The slot is called as it is: this is done
    // twice for every callback.
    unsafe {
        let mapping = (*ffi::Py_TYPE(context)).tp_as_mapping;
        (*mapping).mp_length.is_some_and(|length| length(context) == 0)
    }
}

/// # Safety
/// Attached; `obj` is a valid object.
#[inline]
unsafe fn has_weak_references(obj: *mut ffi::PyObject) -> bool {
    // SAFETY: by contract; a type that has an offset has the list there.
    unsafe {
        let at = (*ffi::Py_TYPE(obj)).tp_weaklistoffset;
        at > 0 && !(*obj.byte_offset(at).cast::<*mut ffi::PyObject>()).is_null()
    }
}

/// The one word of the thread's state that is each of two contexts while it is entered, and neither after that.
#[cold]
fn find_place(py: Python<'_>) -> Option<usize> {
    let words = || {
        // SAFETY: attached, so there is a state, and it has at least as many words.
        unsafe { ptr::read(ffi::PyThreadState_Get().cast::<[usize; STATE_WORDS]>()) }
    };
    let mut candidates: Vec<usize> = (0..STATE_WORDS).collect();
    for _ in 0..2 {
        // SAFETY: attached; a new context, or null with an error set.
        let context: Obj = unsafe {
            let context = ffi::PyContext_New();
            if context.is_null() {
                ffi::PyErr_Clear();
                return None;
            }
            Obj::from_owned(context)
        };
        let address = context.as_ptr() as usize;
        let within = ThreadState::in_context(py, &context, || Ok::<_, Raised>(words()));
        let Ok(within) = within.map_err(|raised| drop(raised.take(py))) else { return None };
        let after = words();
        candidates.retain(|&at| within[at] == address && after[at] != address);
    }
    match candidates[..] {
        [place] => Some(place),
        _ => None,
    }
}
