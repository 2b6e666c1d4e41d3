//! A class without garbage collection of its own, one derived from it in this file, and the class that holds them.

use std::cell::RefCell;

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell, Signature};
use pyo3::prelude::*;

use super::Alive;

/// A reference, and no collector to look at it.
pub struct Bare {
    target: ObjCell,
    _alive: Alive,
}

impl Bare {
    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("Bare", ["target"]).required(0);
        let [target] = args.bind(&SIGNATURE)?;
        this.target.set(target.map(Obj::from));
        Ok(())
    }

    fn set_target(this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        this.target.set(value.map(Obj::from));
        Ok(())
    }
}

impl Class for Bare {
    type Base = Any;
    ferrio_object::fields!(Bare { target, _alive }, freelist);
    const NAME: &'static str = "objects.Bare";
    const DOC: &'static str = "";
    const GC: bool = false;

    fn blank() -> Self {
        Bare { target: ObjCell::empty(), _alive: Alive::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.init(Self::init).getset(
            "target",
            |this: &Obj<Self>, _py: Python<'_>| this.target.get(),
            Self::set_target,
            "",
        );
    }
}

/// Derived, with nothing for the collector in its own part.
pub struct Derived;

impl Class for Derived {
    type Base = Bare;
    ferrio_object::fields!(Derived {});
    const NAME: &'static str = "objects.Derived";
    const DOC: &'static str = "";
    const GC: bool = false;

    fn blank() -> Self {
        Derived
    }

    fn define(_class: &mut ClassBuilder<Self>) {}
}

/// As `Handle` in ferrio: a reference, and a collector that looks at it when it is told to.
pub struct Late {
    target: ObjCell,
    _alive: Alive,
}

impl Late {
    /// One that holds `target`, as code in Rust makes it.
    pub(super) fn make(py: Python<'_>, target: &Bound<'_, PyAny>) -> PyResult<Obj<Late>> {
        Obj::create(py, ((), Late { target: ObjCell::new(target.into()), _alive: Alive::new() }))
    }
}

impl Class for Late {
    type Base = Any;
    ferrio_object::fields!(Late { target, _alive }, freelist);
    const NAME: &'static str = "objects.Late";
    const DOC: &'static str = "";
    const BORN_TRACKED: bool = false;

    fn blank() -> Self {
        Late { target: ObjCell::empty(), _alive: Alive::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.getter("target", |this: &Obj<Self>, _py: Python<'_>| this.target.get(), "").method0(
            "track",
            |this: &Obj<Self>, _py: Python<'_>| this.track(),
            "",
        );
    }
}

/// As the loop: holds instances of classes without collection, and shows what they refer to.
pub struct Holder {
    bare: RefCell<Vec<Obj<Bare>>>,
    derived: RefCell<Vec<Obj<Derived>>>,
    late: RefCell<Vec<Obj<Late>>>,
    _alive: Alive,
}

impl Holder {
    fn hold(this: &Obj<Self>, _py: Python<'_>, value: &Bound<'_, PyAny>) -> bool {
        if let Some(derived) = Obj::<Derived>::from_bound(value) {
            this.derived.borrow_mut().push(derived.clone());
        } else if let Some(bare) = Obj::<Bare>::from_bound(value) {
            this.bare.borrow_mut().push(bare.clone());
        } else if let Some(late) = Obj::<Late>::from_bound(value) {
            this.late.borrow_mut().push(late.clone());
        } else {
            return false;
        }
        true
    }
}

impl Class for Holder {
    type Base = Any;
    ferrio_object::fields!(Holder { bare, derived, late, _alive });
    const NAME: &'static str = "objects.Holder";
    const DOC: &'static str = "";

    fn blank() -> Self {
        Holder {
            bare: RefCell::default(),
            derived: RefCell::default(),
            late: RefCell::default(),
            _alive: Alive::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.method1("hold", Self::hold, "");
    }
}
