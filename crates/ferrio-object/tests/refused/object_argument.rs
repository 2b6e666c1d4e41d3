use ferrio_object::{Co, Obj, Suspended};
use pyo3::prelude::*;

async fn inner(co: &Co, obj: &Obj) -> PyResult<Obj> {
    let wait = co.wait(obj);
    wait.await
}

fn suspended(py: Python<'_>) -> Suspended {
    Suspended::new(py, |co| async move {
        let held = co.hold(Obj::none(co.py()));
        inner(&co, &held.get()).await
    })
}

fn main() {
    let _ = suspended;
}
