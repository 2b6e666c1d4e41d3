//! Safe code cannot make the half of a class that memory safety hangs on.

#![forbid(unsafe_code)]

use ferrio_object::{Any, Class, ClassBuilder, Fields, Offsets, TypeCell};

struct Refused;

static TYPE_CELL: TypeCell = TypeCell::new();

impl Class for Refused {
    type Base = Any;
    const FIELDS: Fields<Self> = Fields::new(&TYPE_CELL, None, Offsets::none(), |_, _| (), |_| ());
    const NAME: &'static str = "refused.Refused";
    const DOC: &'static str = "";

    fn blank() -> Self {
        Refused
    }

    fn define(_class: &mut ClassBuilder<Self>) {}
}

fn main() {}
