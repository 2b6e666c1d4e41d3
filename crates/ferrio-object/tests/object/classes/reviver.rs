//! A class whose finalizer calls Python, and may bring the object back.

use std::cell::Cell;

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell, Signature, WeakList};
use pyo3::prelude::*;

use super::Alive;

/// Calls `last_words(self)` before it dies.
pub struct Reviver {
    last_words: ObjCell,
    quiet: Cell<bool>,
    weaklist: WeakList,
    _alive: Alive,
}

impl Reviver {
    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("Reviver", ["last_words"]).required(0);
        let [last_words] = args.bind(&SIGNATURE)?;
        this.last_words.set(last_words.map(Obj::from));
        Ok(())
    }

    fn set_quiet(this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        this.quiet.set(value.is_some_and(|value| value.is_truthy().unwrap_or(false)));
        Ok(())
    }

    fn set_last_words(this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        this.last_words.set(value.map(Obj::from));
        Ok(())
    }
}

impl Class for Reviver {
    type Base = Any;
    ferrio_object::fields!(Reviver { last_words, quiet, weaklist: WeakList, _alive }, freelist);
    const NAME: &'static str = "objects.Reviver";
    const DOC: &'static str = "";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        Reviver {
            last_words: ObjCell::empty(),
            quiet: Cell::new(false),
            weaklist: WeakList::new(),
            _alive: Alive::new(),
        }
    }

    fn wants_finalizer(&self, _base: &()) -> bool {
        !self.quiet.get()
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        if let Some(last_words) = this.last_words.get() {
            let words = ferrio_object::vectorcall(py, &last_words, &[this.clone().into_any()]);
            if let Err(err) = words {
                err.write_unraisable(py, Some(this.bind(py)));
            }
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .getset("quiet", |this: &Obj<Self>, _py: Python<'_>| this.quiet.get(), Self::set_quiet, "")
            .getset(
                "last_words",
                |this: &Obj<Self>, _py: Python<'_>| this.last_words.get(),
                Self::set_last_words,
                "",
            );
    }
}
