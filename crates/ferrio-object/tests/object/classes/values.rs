//! Small classes with one peculiarity each: ordered, watched, not to be made by Python.

use std::cell::Cell;

use ferrio_object::{Any, Args, Class, ClassBuilder, DictSlot, Obj, ObjCell, Signature};
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;

use super::Alive;

/// Ordered by its number, which is also its hash.
pub struct Ordered {
    number: Cell<isize>,
    _alive: Alive,
}

impl Ordered {
    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("Ordered", ["number"]);
        let [number] = args.bind(&SIGNATURE)?;
        this.number.set(number.unwrap().extract()?);
        Ok(())
    }

    fn compare(
        this: &Obj<Self>,
        _py: Python<'_>,
        other: &Bound<'_, PyAny>,
        op: CompareOp,
    ) -> PyResult<Option<bool>> {
        Ok(Obj::<Ordered>::from_bound(other)
            .map(|other| op.matches(this.number.get().cmp(&other.number.get()))))
    }
}

impl Class for Ordered {
    type Base = Any;
    ferrio_object::fields!(Ordered { number, _alive });
    const NAME: &'static str = "objects.Ordered";
    const DOC: &'static str = "";
    const GC: bool = false;
    const SUBCLASS: bool = false;

    fn blank() -> Self {
        Ordered { number: Cell::new(0), _alive: Alive::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .compare(Self::compare, |this: &Obj<Self>, _py: Python<'_>| Ok(this.number.get()));
    }
}

/// Keeps what is set under `special` to itself, and refuses `forbidden`.
pub struct Watched {
    special: ObjCell,
    dict: DictSlot,
    _alive: Alive,
}

impl Watched {
    fn setattr(
        this: &Obj<Self>,
        _py: Python<'_>,
        name: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        match name.extract::<&str>()? {
            "special" => {
                this.special.set(value.map(Obj::from));
                Ok(true)
            }
            "forbidden" => Err(pyo3::exceptions::PyAttributeError::new_err("forbidden")),
            _ => Ok(false),
        }
    }
}

impl Class for Watched {
    type Base = Any;
    ferrio_object::fields!(Watched { special, dict: DictSlot, _alive });
    const NAME: &'static str = "objects.Watched";
    const DOC: &'static str = "";

    fn blank() -> Self {
        Watched { special: ObjCell::empty(), dict: DictSlot::new(), _alive: Alive::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.setattr(Self::setattr).getter(
            "special",
            |this: &Obj<Self>, _py: Python<'_>| this.special.get(),
            "",
        );
    }
}

/// Made by [`Sealed::make`] alone.
pub struct Sealed {
    _alive: Alive,
}

impl Sealed {
    pub fn make_one(py: Python<'_>) -> Obj<Sealed> {
        Obj::create(py, ((), Sealed::blank())).unwrap()
    }

    pub fn make(py: Python<'_>, _args: Args<'_, '_>) -> PyResult<Obj<Sealed>> {
        Obj::create(py, ((), Sealed::blank()))
    }
}

impl Class for Sealed {
    type Base = Any;
    ferrio_object::fields!(Sealed { _alive });
    const NAME: &'static str = "objects.Sealed";
    const DOC: &'static str = "";
    const NEW: bool = false;

    fn blank() -> Self {
        Sealed { _alive: Alive::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.method0("hello", |_this: &Obj<Self>, _py: Python<'_>| "hello", "");
    }
}
