//! `async with` on locks, and what a subclass may have replaced of it.
//!
//! asyncio's `__aenter__` awaits `self.acquire()`, its `__aexit__` calls `self.release()`. On a plain object these are
//! ours and are done without a call; on an object whose class or own `__dict__` says otherwise they are called.

use std::cell::Cell;

use ferrio_object::{Class, ClassDef, Obj};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

/// Which of a primitive's methods have been replaced; found out when first needed.
#[derive(Default)]
pub(crate) struct Replaced(Cell<Option<u32>>);

impl Replaced {
    /// Not looked at yet.
    pub(crate) const fn new() -> Self {
        Replaced(Cell::new(None))
    }

    /// Whether the method number `index` of `names` has been replaced on this object.
    ///
    /// # Errors
    /// What looking into the class raises.
    #[inline]
    pub(crate) fn has<T: Class>(
        &self,
        this: &Obj<T>,
        py: Python<'_>,
        names: &[&str],
        index: u32,
    ) -> PyResult<bool> {
        let bits = match self.0.get() {
            Some(bits) => bits,
            None if this.is_exact() => {
                self.0.set(Some(0));
                0
            }
            None => {
                let bits = replaced_by_class::<T>(this, py, names)?;
                self.0.set(Some(bits));
                bits
            }
        };
        Ok(bits & (1 << index) != 0)
    }

    /// Told of every attribute that is set on the object: from then on a method of that name is looked up.
    ///
    /// # Errors
    /// As [`Replaced::has`].
    pub(crate) fn note<T: Class>(
        &self,
        this: &Obj<T>,
        py: Python<'_>,
        names: &[&str],
        name: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let Ok(name) = name.cast::<PyString>() else { return Ok(()) };
        let name = name.to_str()?;
        if let Some(index) = names.iter().position(|known| *known == name) {
            self.has(this, py, names, 0)?;
            self.0.set(Some(self.0.get().unwrap_or(0) | 1 << index));
        }
        Ok(())
    }
}

/// Walks the class's bases down to ours: what any of them defines, it replaces.
fn replaced_by_class<T: Class>(this: &Obj<T>, py: Python<'_>, names: &[&str]) -> PyResult<u32> {
    let ours = ClassDef::type_object::<T>(py);
    let ours = ours.bind(py).cast::<PyType>()?;
    if is_native(&this.bind(py).get_type())? {
        return Ok(0);
    }
    let mut bits = 0;
    for (index, name) in names.iter().enumerate() {
        for class in this.bind(py).get_type().mro() {
            let class = class.cast_into::<PyType>()?;
            // Ours, or one of our own classes derived from it, whose own methods are no replacement.
            if class.is_subclass(ours)? && is_native(&class)? {
                break;
            }
            let dict = class.getattr(intern!(py, "__dict__"))?;
            if dict.contains(*name)? {
                bits |= 1 << index;
                break;
            }
        }
    }
    Ok(bits)
}

/// Whether a class is made in Rust: those of Python have a place for `__dict__` or slots of their own in them, and a
/// module of their own; ours say that they are asyncio's and are found in the extension under their name.
fn is_native(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let extension = py.import("ferrio._ferrio")?;
    let found = extension.getattr_opt(class.name()?)?;
    Ok(found.is_some_and(|found| found.is(class)))
}
