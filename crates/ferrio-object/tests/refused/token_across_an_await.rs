use ferrio_object::{Obj, Suspended};
use pyo3::prelude::*;

fn suspended(py: Python<'_>) -> Suspended {
    Suspended::new(py, |co| async move {
        let py = co.py();
        let wait = co.wait(Obj::none(py));
        wait.await?;
        Ok(Obj::none(py))
    })
}

fn main() {
    let _ = suspended;
}
