//! The classes under test. Declaring a class takes no unsafe code, as in ferrio.

#![forbid(unsafe_code)]

mod awaitable;
mod bare;
mod faulty;
mod keeper;
mod node;
mod patched;
mod reviver;
mod roll;
mod values;

use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::prelude::*;
use pyo3::types::PyModule;

pub use awaitable::Steps;
pub use bare::{Bare, Derived, Holder, Late};
pub use faulty::Faulty;
pub use keeper::Keeper;
pub use node::{Leaf, Node};
pub use patched::{Patched, Plain, Repatched, Slim};
pub use reviver::Reviver;
pub use roll::Member;
pub use values::{Ordered, Sealed, Watched};

static ALIVE: AtomicIsize = AtomicIsize::new(0);

/// A field that counts the contents it is part of.
pub struct Alive(Cell<bool>);

impl Alive {
    pub fn new() -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Alive(Cell::new(true))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        assert!(self.0.replace(false), "contents dropped twice");
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many contents there are at the moment.
pub fn alive() -> isize {
    ALIVE.load(Ordering::Relaxed)
}

pub fn define(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Node>(module)?;
    ClassDef::add::<Leaf>(module)?;
    ClassDef::add::<Bare>(module)?;
    ClassDef::add::<Derived>(module)?;
    ClassDef::add::<Late>(module)?;
    ClassDef::add::<Holder>(module)?;
    ClassDef::add::<Steps>(module)?;
    ClassDef::add::<Reviver>(module)?;
    ClassDef::add::<Member>(module)?;
    ClassDef::add::<Ordered>(module)?;
    ClassDef::add::<Watched>(module)?;
    ClassDef::add::<Sealed>(module)?;
    ClassDef::add::<Faulty>(module)?;
    ClassDef::add::<Keeper>(module)?;
    ClassDef::add::<Patched>(module)?;
    ClassDef::add::<Repatched>(module)?;
    ClassDef::add::<Slim>(module)?;
    ClassDef::add::<Plain>(module)?;
    ClassDef::function(module, "alive", |_py: Python<'_>, _args: Args<'_, '_>| alive() as i64, "")?;
    ClassDef::function(module, "members", Member::all, "")?;
    ClassDef::function(module, "late", late, "")?;
    ClassDef::function(module, "sealed", Sealed::make, "")?;
    ClassDef::function(module, "await_iter", await_iter, "")?;
    ClassDef::function(
        module,
        "clear_recycled",
        |py: Python<'_>, _args: Args<'_, '_>| ferrio_object::clear_recycled(py),
        "",
    )
}

fn late(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<Late>> {
    const SIGNATURE: Signature<1> = Signature::new("late", ["target"]);
    let [target] = args.bind(&SIGNATURE)?;
    Late::make(py, target.unwrap())
}

fn await_iter(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<1> = Signature::new("await_iter", ["obj"]);
    let [obj] = args.bind(&SIGNATURE)?;
    ferrio_object::await_iter(py, &Obj::from(obj.unwrap()))
}
