//! A field that is no weak list: the interpreter would write there.

#![forbid(unsafe_code)]

use std::cell::Cell;

use ferrio_object::{Any, Class, ClassBuilder};

struct Refused {
    number: Cell<usize>,
}

impl Class for Refused {
    type Base = Any;
    ferrio_object::fields!(Refused { number: WeakList });
    const NAME: &'static str = "refused.Refused";
    const DOC: &'static str = "";

    fn blank() -> Self {
        unimplemented!()
    }

    fn define(_class: &mut ClassBuilder<Self>) {}
}

fn main() {}
