//! What transports inherit from `asyncio.BaseTransport`: `get_extra_info()`.
//!
//! The method is the abstract class's own, as in asyncio, so that a program that replaces it there is asked by every
//! transport. It comes in here, and a transport over a socket makes only the entry that is asked for.

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::intern;
use pyo3::prelude::*;

use super::datagram::DatagramTransport;
use super::extra_info::look_up;
use super::stream::StreamTransport;

/// `_extra_info(transport, name, default)`.
///
/// # Errors
/// `AttributeError` if a foreign transport has no `_extra`; what making the entry raises.
pub(super) fn py_extra_info(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<3> = Signature::new("_extra_info", ["transport", "name", "default"]);
    let [Some(transport), Some(name), Some(default)] = args.bind(&SIGNATURE)? else {
        return Ok(Obj::none(py));
    };
    if let Some(stream) = Obj::<StreamTransport>::from_bound(transport) {
        return StreamTransport::get_extra_info(stream, py, name, default);
    }
    if let Some(datagram) = Obj::<DatagramTransport>::from_bound(transport) {
        return DatagramTransport::get_extra_info(datagram, py, name, default);
    }
    look_up(&transport.getattr(intern!(py, "_extra"))?, name, default)
}

/// `_own_method(function)`: what a Python class of ours has as a method is no replacement of anything.
///
/// # Errors
/// `TypeError` for wrong arguments.
pub(super) fn py_own_method(_py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [function] = args.bind(&Signature::new("_own_method", ["function"]))?;
    if let Some(function) = function {
        ClassDef::own_function(function);
    }
    Ok(())
}
