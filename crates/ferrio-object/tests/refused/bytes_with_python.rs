//! What looks at another object's memory cannot have Python run meanwhile: it has no token and no object.

#![forbid(unsafe_code)]

use ferrio_object::{Buffer, Obj};
use pyo3::prelude::*;

fn shown(py: Python<'_>, buffer: &Buffer, object: &Obj) -> bool {
    buffer.with(py, |bytes| object.is_none() && bytes.is_empty())
}

fn main() {}
