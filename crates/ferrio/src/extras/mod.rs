//! `ferrio.extras`: what programs on asyncio write again and again, and asyncio does not have.
//!
//! Nothing in here is in asyncio's namespace, and nothing of asyncio's is changed by it.

mod limited;
mod rate_limiter;
mod thread_queue;

use ferrio_object::ClassDef;
use pyo3::prelude::*;

/// Adds the classes and functions of `ferrio.extras`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<thread_queue::ThreadQueue>(module)?;
    ClassDef::add::<rate_limiter::RateLimiter>(module)?;
    ClassDef::add::<limited::Limited>(module)?;
    ClassDef::function(
        module,
        "gather_limited",
        limited::py_gather_limited,
        "gather_limited(limit, /, *aws, return_exceptions=False)\n--\n\n\
         Coroutine: as gather(), but with at most `limit` of the awaitables at work at once.\n\n\
         Gives the list of all results in the order of the arguments. The first error cancels the others, waits\n\
         until they have ended and is raised; what has not begun by then is closed. With return_exceptions errors are\n\
         results like any other. Raises ValueError if `limit` is less than 1.",
    )?;
    ClassDef::function(
        module,
        "map_limited",
        limited::py_map_limited,
        "map_limited(function, iterable, /, *, limit, ordered=True)\n--\n\n\
         Asynchronous iterator over `await function(item)` for each item, with at most `limit` of them at work or\n\
         waiting to be consumed at once.\n\n\
         The results come in the order of the items, or with ordered=False as they are ready. The next item is taken\n\
         from `iterable` only when there is room. The first error, in `function` or in `iterable`, cancels the others,\n\
         waits until they have ended and is raised, and so does a cancellation of the task that iterates. To leave\n\
         the loop early, call `aclose()`, or use contextlib.aclosing(). Raises ValueError if `limit` is less than 1.",
    )
}
