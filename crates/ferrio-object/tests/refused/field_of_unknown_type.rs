//! A field of a type that may hold references, and says nothing about how they are found.

#![forbid(unsafe_code)]

use std::cell::RefCell;

use ferrio_object::{Any, Class, ClassBuilder, Obj};

struct Refused {
    hidden: RefCell<Hidden>,
}

struct Hidden(Obj);

impl Class for Refused {
    type Base = Any;
    ferrio_object::fields!(Refused { hidden });
    const NAME: &'static str = "refused.Refused";
    const DOC: &'static str = "";

    fn blank() -> Self {
        unimplemented!()
    }

    fn define(_class: &mut ClassBuilder<Self>) {}
}

fn main() {}
