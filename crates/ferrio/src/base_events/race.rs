//! The race of `create_connection`'s happy eyeballs: start the next attempt when the one before fails or is slow; the
//! first success wins. (asyncio's public `staggered_race` has rules of its own: `staggered.rs`.)
//!
//! One coroutine watches over the attempts, which are tasks of the loop. It is woken by a future that the attempts'
//! done-callbacks and the timer share.

use ferrio_object::Obj;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::coro::{Co, Local};
use crate::event_loop::{Loop, LoopRef};
use crate::future_likes;
use crate::{exceptions, native_fn};

/// What came of a race.
pub(crate) struct Outcome {
    /// The winner's index and result.
    pub(crate) winner: Option<(usize, Obj)>,
    /// Results of those who succeeded when the race was over.
    pub(crate) late: Vec<Obj>,
}

/// Cancels what still runs, however the race ends, and closes what nobody gets.
struct Attempts {
    /// A list of tasks, where the garbage collector sees them.
    tasks: Local,
    /// Whether the results have been handed out.
    handed_out: bool,
}

impl Attempts {
    fn cancel(&self, py: Python<'_>, except: Option<usize>) -> PyResult<()> {
        for (index, task) in self.tasks.get().bind(py).try_iter()?.enumerate() {
            if Some(index) != except {
                task?.call_method0(intern!(py, "cancel"))?;
            }
        }
        Ok(())
    }

    /// Closes the sockets of attempts that had succeeded when the race was given up.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        for task in self.tasks.get().bind(py).try_iter()? {
            let task = task?;
            let is = |name: &str| task.call_method0(name)?.is_truthy();
            if is("done")? && !is("cancelled")? && task.call_method0(intern!(py, "exception"))?.is_none() {
                task.call_method0(intern!(py, "result"))?.call_method0(intern!(py, "close"))?;
            }
        }
        Ok(())
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        let tasks = self.tasks.get();
        let py = tasks.py();
        let closed = if self.handed_out { Ok(()) } else { self.close(py) };
        if let Err(err) = closed.and(self.cancel(py, None)) {
            err.write_unraisable(py, None);
        }
    }
}

/// Runs the coroutines that `next` gives, one after the other, `delay` seconds apart, or sooner where the one before
/// has failed.
///
/// # Errors
/// What `next` raises, `CancelledError`, and `KeyboardInterrupt` or `SystemExit` of an attempt.
pub(crate) async fn race(
    co: &Co,
    event_loop: &Local<Loop>,
    delay: &Local,
    mut next: impl FnMut(Python<'_>) -> PyResult<Option<Obj>>,
) -> PyResult<Outcome> {
    let mut attempts =
        Attempts { tasks: co.hold(Obj::from(PyList::empty(co.py()).into_any())), handed_out: false };
    // What the attempts that ended came to: (index, result) of each that succeeded.
    let succeeded = co.hold(Obj::from(PyList::empty(co.py()).into_any()));
    let mut ended: Vec<bool> = Vec::new();
    let mut more = true;
    let mut start = true;
    loop {
        let won = succeeded.get().bind(co.py()).len()? > 0;
        if start && more && !won {
            more = begin(co.py(), &event_loop.get(), &attempts, &mut next)?;
            if more {
                ended.push(false);
            }
        }
        if ended.iter().all(|ended| *ended) && (!more || won) {
            attempts.handed_out = true;
            return outcome(co.py(), &succeeded.get());
        }
        // Woken by any attempt that ends, and by the clock if another attempt could begin.
        let (wait, timer) = {
            let (py, event_loop) = (co.py(), event_loop.get());
            let wake = LoopRef::new(event_loop.bind(py)).create_future(py)?;
            let waker = native_fn::function(py, "_wake", vec![wake.clone()], |py, held, _args| {
                future_likes::wake(py, &held[0]).map(drop)
            })?;
            for (task, ended) in attempts.tasks.get().bind(py).try_iter()?.zip(&ended) {
                let task = task?;
                if !ended {
                    task.call_method1(intern!(py, "add_done_callback"), (&waker,))?;
                }
            }
            let timer = if more && !won {
                let timer =
                    event_loop.bind(py).call_method1(intern!(py, "call_later"), (delay.get(), waker))?;
                Some(co.hold(Obj::from(timer)))
            } else {
                None
            };
            (co.wait(wake), timer)
        };
        let woken = wait.await.map(drop);
        if let Some(timer) = timer {
            timer.get().bind(co.py()).call_method0(intern!(co.py(), "cancel"))?;
        }
        woken?;
        let before = ended.iter().filter(|ended| **ended).count();
        let last_failed = collect(co.py(), &attempts, &mut ended, &succeeded.get())?;
        let some_ended = ended.iter().filter(|ended| **ended).count() > before;
        // Either the attempt begun last has failed, or (nobody ended) the time is up.
        start = last_failed || !some_ended;
    }
}

fn begin(
    py: Python<'_>,
    event_loop: &Obj<Loop>,
    attempts: &Attempts,
    next: &mut impl FnMut(Python<'_>) -> PyResult<Option<Obj>>,
) -> PyResult<bool> {
    let Some(coro) = next(py)? else { return Ok(false) };
    let task = event_loop.bind(py).call_method1(intern!(py, "create_task"), (coro,))?;
    attempts.tasks.get().bind(py).call_method1(intern!(py, "append"), (task,))?;
    Ok(true)
}

/// The first that succeeded is the winner.
fn outcome(py: Python<'_>, succeeded: &Obj) -> PyResult<Outcome> {
    let mut outcome = Outcome { winner: None, late: Vec::new() };
    for pair in succeeded.bind(py).try_iter()? {
        let (index, result): (usize, Bound<'_, PyAny>) = pair?.extract()?;
        match outcome.winner {
            None => outcome.winner = Some((index, result.into())),
            Some(_) => outcome.late.push(result.into()),
        }
    }
    Ok(outcome)
}

/// Notes what came of attempts that have ended. Returns whether the one begun last has failed.
fn collect(py: Python<'_>, attempts: &Attempts, ended: &mut [bool], succeeded: &Obj) -> PyResult<bool> {
    let mut last_failed = false;
    let count = ended.len();
    for (index, task) in attempts.tasks.get().bind(py).try_iter()?.enumerate() {
        let task = task?;
        if ended[index] || !task.call_method0(intern!(py, "done"))?.is_truthy()? {
            continue;
        }
        ended[index] = true;
        match task.call_method0(intern!(py, "result")) {
            Ok(result) => {
                let first = succeeded.bind(py).len()? == 0;
                succeeded.bind(py).call_method1(intern!(py, "append"), ((index, result),))?;
                if first {
                    attempts.cancel(py, Some(index))?;
                }
            }
            Err(err) if exceptions::is_exit(py, &err) => return Err(err),
            Err(err) => {
                // The attempt has noted what is to be known of it.
                ferrio_object::swallow(py, err);
                last_failed |= index + 1 == count;
            }
        }
    }
    Ok(last_failed)
}
