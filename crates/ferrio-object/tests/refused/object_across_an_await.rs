use ferrio_object::{Obj, Suspended};
use pyo3::prelude::*;

fn suspended(py: Python<'_>) -> Suspended {
    Suspended::new(py, |co| async move {
        let kept = Obj::none(co.py());
        let wait = co.wait(&kept);
        wait.await?;
        Ok(kept)
    })
}

fn main() {
    let _ = suspended;
}
