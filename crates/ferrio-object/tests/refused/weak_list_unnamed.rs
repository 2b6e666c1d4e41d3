//! A weak list that the interpreter would not be told of.

#![forbid(unsafe_code)]

use ferrio_object::{Any, Class, ClassBuilder, WeakList};

struct Refused {
    weaklist: WeakList,
}

impl Class for Refused {
    type Base = Any;
    ferrio_object::fields!(Refused { weaklist });
    const NAME: &'static str = "refused.Refused";
    const DOC: &'static str = "";

    fn blank() -> Self {
        unimplemented!()
    }

    fn define(_class: &mut ClassBuilder<Self>) {}
}

fn main() {}
