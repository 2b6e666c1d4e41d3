//! Only `traverse!` says what the collector is shown; by hand it could be shown what the value does not own.

#![forbid(unsafe_code)]

use ferrio_object::{Obj, Traverse, Visit};

struct Refused(&'static Obj);

impl Traverse for Refused {
    fn traverse(&self, visit: &mut Visit<'_>) {
        self.0.traverse(visit);
    }
}

fn main() {}
