//! Two places for one `__dict__`.

#![forbid(unsafe_code)]

use ferrio_object::{Any, Class, ClassBuilder, DictSlot};

struct Refused {
    one: DictSlot,
    two: DictSlot,
}

impl Class for Refused {
    type Base = Any;
    ferrio_object::fields!(Refused { one: DictSlot, two: DictSlot });
    const NAME: &'static str = "refused.Refused";
    const DOC: &'static str = "";

    fn blank() -> Self {
        unimplemented!()
    }

    fn define(_class: &mut ClassBuilder<Self>) {}
}

fn main() {}
