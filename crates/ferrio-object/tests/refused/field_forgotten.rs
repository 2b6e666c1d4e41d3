//! A field that is not named: the collector would never see what it holds.

#![forbid(unsafe_code)]

use ferrio_object::{Any, Class, ClassBuilder, ObjCell};

struct Refused {
    named: ObjCell,
    forgotten: ObjCell,
}

impl Class for Refused {
    type Base = Any;
    ferrio_object::fields!(Refused { named });
    const NAME: &'static str = "refused.Refused";
    const DOC: &'static str = "";

    fn blank() -> Self {
        unimplemented!()
    }

    fn define(_class: &mut ClassBuilder<Self>) {}
}

fn main() {}
