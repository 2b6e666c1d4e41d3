use ferrio_object::{Obj, Suspended};
use pyo3::prelude::*;

fn suspended(py: Python<'_>) -> Suspended {
    Suspended::new(py, |co| async move {
        let kept = co.keep(vec![Obj::none(co.py())]);
        let several = kept.get();
        let wait = co.wait(&several[0]);
        wait.await?;
        Ok(several[0].clone())
    })
}

fn main() {
    let _ = suspended;
}
