//! `asyncio.sslproto`: the default context of a client, and the marks of flow control.

use ferrio_core::write_queue::WaterMarks;
use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::tls;

fn create_transport_context(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [server_side, hostname] =
        args.bind(&Signature::new("_create_transport_context", ["server_side", "server_hostname"]))?;
    let truthy = |arg: Option<&Bound<'_, PyAny>>| arg.map_or(Ok(false), PyAnyMethods::is_truthy);
    tls::default_context(py, truthy(server_side)?, truthy(hostname)?)
}

fn flow_control_defaults(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [high, low, kb] = args.bind(&Signature::new("add_flowcontrol_defaults", ["high", "low", "kb"]))?;
    let limit = |arg: Option<&Bound<'_, PyAny>>| {
        arg.filter(|arg| !arg.is_none()).map(PyAnyMethods::extract::<i128>).transpose()
    };
    let kib: usize = kb.map_or(Ok(0), PyAnyMethods::extract)?;
    let marks = WaterMarks::with_default(limit(high)?, limit(low)?, kib.saturating_mul(1024))
        .map_err(|bad| PyValueError::new_err(bad.to_string()))?;
    Ok((marks.high(), marks.low()).into_pyobject(py)?.into_any().into())
}

pub(super) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(
        module,
        "_create_transport_context",
        create_transport_context,
        "_create_transport_context(server_side, server_hostname)\n--\n\n",
    )?;
    ClassDef::function(
        module,
        "add_flowcontrol_defaults",
        flow_control_defaults,
        "add_flowcontrol_defaults(high, low, kb)\n--\n\nThe marks (high, low), in bytes; kb is the default, in KiB.",
    )
}
