//! What comes next in the ready queue is asked of the memory while what comes first is run.
//!
//! With hundreds of connections at work the processor's caches hold nothing of one when its turn comes, and to serve
//! it is a walk from object to object (transport, protocol, reader, the future that waits, the task, its coroutine), at
//! each of which the memory is waited for. So the walk is made beforehand, a stage per item, and for several items at
//! once: for the one that is [`STAGES`] away its first object is asked for, for the one before it what that object
//! points to, and so on. Each stage reads only what an earlier one has asked for.
//!
//! Nothing changes by it and no Python code runs.

use ferrio_object::Obj;
use pyo3::prelude::*;

use crate::event_loop::{Loop, Ready, Source};
use crate::task::Task;
use crate::transports::StreamTransport;

/// Objects on the longest walk, the registration included.
const STAGES: usize = 6;

/// Asks for what the next items use.
#[inline]
pub(super) fn prefetch(this: &Obj<Loop>, py: Python<'_>) {
    let ready = this.ready.borrow();
    let sources = this.sources.borrow();
    for stage in 0..STAGES {
        match (ready.get(STAGES - 1 - stage), stage) {
            (Some(Ready::Io { token, .. }), 0) => {
                if let Some(slot) = sources.slot(*token) {
                    ferrio_object::prefetch(slot);
                }
            }
            (Some(Ready::Io { token, .. }), stage) => {
                if let Some(Source::Stream(transport)) = sources.get(*token)
                    && let Some(transport) = transport.get()
                {
                    StreamTransport::prefetch_stage(transport, py, stage - 1);
                }
            }
            (Some(Ready::Step(task)), stage) => Task::prefetch_stage(task, stage),
            _ => {}
        }
    }
}
