use ferrio_object::{Obj, Suspended};
use pyo3::prelude::*;
use pyo3::types::PyList;

fn suspended(py: Python<'_>) -> Suspended {
    Suspended::new(py, |co| async move {
        let list = PyList::empty(co.py());
        let wait = co.wait(Obj::none(co.py()));
        list.append(wait.await?)?;
        Ok(list.into())
    })
}

fn main() {
    let _ = suspended;
}
