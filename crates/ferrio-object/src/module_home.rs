//! The extension module belongs to one interpreter of the process.
//!
//! Classes and everything else that a `static` holds exist once, and instances of one interpreter must not meet the
//! types of another. So the first interpreter that imports the module has it; another one is refused before anything is
//! touched, with the `ImportError` that CPython's own modules of that kind raise.
//!
//! A module that is imported again in its interpreter (because somebody took it out of `sys.modules`) has the same
//! contents: two sets of classes would not know each other's instances.

use std::cell::Cell;

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::shared::GilStatic;

/// Whether some interpreter has it.
static TAKEN: GilStatic<Cell<bool>> = GilStatic::new(Cell::new(false));

/// Fills a module, the first time by `fill`, then with what it had after that.
///
/// # Errors
/// `ImportError` in another interpreter than the first; what `fill` raises.
pub fn fill_once(
    module: &Bound<'_, PyModule>,
    fill: impl FnOnce(&Bound<'_, PyModule>) -> PyResult<()>,
) -> PyResult<()> {
    let py = module.py();
    // SAFETY: attached, so there is a current interpreter; its dict is borrowed, or null where there is none.
    let home = unsafe {
        let dict = ffi::PyInterpreterState_GetDict(ffi::PyInterpreterState_Get());
        Bound::from_borrowed_ptr_or_opt(py, dict)
    };
    let home =
        home.ok_or_else(|| PyImportError::new_err("this interpreter has no place for modules' data"))?;
    let home = home.cast_into::<PyDict>()?;
    let name = module.name()?;
    match home.get_item(&name)? {
        Some(contents) if !contents.is_none() => {
            let into = module.dict();
            for (key, value) in contents.cast_into::<PyDict>()?.iter() {
                if !into.contains(&key)? {
                    into.set_item(key, value)?;
                }
            }
            return Ok(());
        }
        // The first attempt failed half way: it may be tried again.
        Some(_) => {}
        None if TAKEN.get(py).get() => {
            return Err(PyImportError::new_err(format!(
                "module {name} does not support loading in subinterpreters: it is in use by another interpreter \
                 of this process"
            )));
        }
        None => {
            home.set_item(&name, py.None())?;
            TAKEN.get(py).set(true);
        }
    }
    fill(module)?;
    home.set_item(&name, module.dict().copy()?)
}
