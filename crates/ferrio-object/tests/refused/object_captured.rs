use ferrio_object::{Obj, Suspended};
use pyo3::prelude::*;

fn suspended(py: Python<'_>, given: Obj) -> Suspended {
    Suspended::new(py, move |co| async move {
        let wait = co.wait(given);
        wait.await
    })
}

fn main() {
    let _ = suspended;
}
