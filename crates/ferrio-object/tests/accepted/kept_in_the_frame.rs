//! The way to keep an object, a value with objects in it, and to await one.

use ferrio_object::{Obj, Suspended};
use pyo3::prelude::*;

fn suspended(py: Python<'_>, obj: Obj) -> Suspended {
    Suspended::new(py, move |co| {
        let (obj, several) = (co.hold(obj), co.keep(vec![Obj::none(py)]));
        async move {
            let wait = co.wait(obj.get());
            let first = co.hold(wait.await?);
            let wait = co.wait(&several.get()[0]);
            wait.await?;
            Ok(first.get())
        }
    })
}

fn main() {
    let _ = suspended;
}
