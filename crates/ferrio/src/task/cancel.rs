//! `cancel()` along what waits for what: a task cancels the future that it waits for, which may be a task that waits for
//! another, or a `gather()` of many. It takes no stack, however long the chain is.

use std::vec::IntoIter;

use ferrio_object::Obj;
use pyo3::exceptions::PyRecursionError;
use pyo3::intern;
use pyo3::prelude::*;

use super::Task;
use crate::future::{self, Future};
use crate::gather::Gathering;

/// One that has asked a future to be cancelled, and has to do something about the answer.
enum Asker {
    Task(Obj<Task>),
    /// A `gather()`, the children that it has not asked yet, and whether one has said yes.
    Gather(Obj<Gathering>, IntoIter<Obj>, bool),
}

/// Cancels a future or task, ours or not, subclassed or not, and what it waits for.
///
/// # Errors
/// What a foreign `cancel` raises; `RecursionError` where futures wait for one another in a circle.
pub(crate) fn cancel(py: Python<'_>, fut: &Obj, message: Option<&Obj>) -> PyResult<bool> {
    let mut askers = Vec::new();
    let answer = ask(py, fut, message, &mut askers)?;
    follow(py, answer, message, askers)
}

/// `Task.cancel()`, also of an instance of a subclass.
///
/// # Errors
/// As [`cancel`].
pub(crate) fn cancel_task(task: &Obj<Task>, py: Python<'_>, message: Option<&Obj>) -> PyResult<bool> {
    let mut askers = Vec::new();
    let answer = ask_task(task, py, message, &mut askers)?;
    follow(py, answer, message, askers)
}

/// As [`cancel_task`] for what `gather()` returns.
///
/// # Errors
/// As [`cancel`].
pub(crate) fn cancel_gathering(
    outer: &Obj<Gathering>,
    py: Python<'_>,
    message: Option<&Obj>,
) -> PyResult<bool> {
    let mut askers = Vec::new();
    let answer = ask_gathering(outer, &mut askers);
    follow(py, answer, message, askers)
}

/// Takes answers to who has asked, and asks on, until the first has its answer.
fn follow(
    py: Python<'_>,
    mut answer: Answer,
    message: Option<&Obj>,
    mut askers: Vec<Asker>,
) -> PyResult<bool> {
    let mut circle = Circle::new();
    loop {
        let is = match answer {
            Answer::Is(is) => is,
            Answer::Of(next) => {
                circle.look(&next, askers.len())?;
                answer = ask(py, &next, message, &mut askers)?;
                continue;
            }
        };
        match askers.pop() {
            None => return Ok(is),
            Some(Asker::Task(task)) => {
                if !is {
                    task.cancel_later(task.base(), message);
                }
                answer = Answer::Is(true);
            }
            Some(Asker::Gather(outer, mut children, any)) => {
                let any = any | is;
                answer = if let Some(child) = children.next() {
                    circle.turn(askers.len());
                    askers.push(Asker::Gather(outer, children, any));
                    ask(py, &child, message, &mut askers)?
                } else {
                    if any {
                        Gathering::children_cancelled(&outer, message);
                    }
                    Answer::Is(any)
                };
            }
        }
    }
}

enum Answer {
    Is(bool),
    /// It is that of another future, with the asker noted.
    Of(Obj),
}

fn ask(py: Python<'_>, fut: &Obj, message: Option<&Obj>, askers: &mut Vec<Asker>) -> PyResult<Answer> {
    if let Some(task) = fut.cast_exact::<Task>() {
        return ask_task(task, py, message, askers);
    }
    if let Some(plain) = fut.cast_exact::<Future>() {
        return future::cancel(plain, py, message.cloned()).map(Answer::Is);
    }
    if let Some(outer) = fut.cast_exact::<Gathering>() {
        return Ok(ask_gathering(outer, askers));
    }
    // By position, as asyncio's C code passes it.
    fut.bind(py).call_method1(intern!(py, "cancel"), (message,))?.is_truthy().map(Answer::Is)
}

fn ask_task(
    task: &Obj<Task>,
    py: Python<'_>,
    message: Option<&Obj>,
    askers: &mut Vec<Asker>,
) -> PyResult<Answer> {
    let fut = task.base();
    fut.log_traceback.set(false);
    if fut.is_done() {
        return Ok(Answer::Is(false));
    }
    task.cancel_requests.set(task.cancel_requests.get() + 1);
    let Some(waiter) = task.fut_waiter.get() else {
        task.cancel_later(fut, message);
        return Ok(Answer::Is(true));
    };
    let Some(plain) = waiter.cast_exact::<Future>() else {
        askers.push(Asker::Task(task.clone()));
        return Ok(Answer::Of(waiter));
    };
    // If it is cancelled, its callbacks will step the task, with the CancelledError.
    if !future::cancel(plain, py, message.cloned())? {
        task.cancel_later(fut, message);
    }
    Ok(Answer::Is(true))
}

fn ask_gathering(outer: &Obj<Gathering>, askers: &mut Vec<Asker>) -> Answer {
    let mut children = outer.children_to_cancel(outer.base()).into_iter();
    let Some(first) = children.next() else { return Answer::Is(false) };
    askers.push(Asker::Gather(outer.clone(), children, false));
    Answer::Of(first)
}

/// Notices when a chain comes back to itself: it is compared with one of its links, and that is moved on each time the
/// chain has become twice as long.
struct Circle {
    link: Option<Obj>,
    depth: usize,
}

impl Circle {
    const fn new() -> Self {
        Circle { link: None, depth: 16 }
    }

    /// The chain has got one link longer.
    fn look(&mut self, next: &Obj, depth: usize) -> PyResult<()> {
        if depth >= 2 * self.depth {
            self.link = Some(next.clone());
            self.depth = depth;
        } else if self.link.as_ref().is_some_and(|link| link.is(next)) {
            return Err(PyRecursionError::new_err(
                "maximum recursion depth exceeded: futures that wait for one another in a circle",
            ));
        }
        Ok(())
    }

    /// The chain goes on another way from here.
    fn turn(&mut self, depth: usize) {
        if depth <= self.depth {
            self.link = None;
            self.depth = depth.max(16);
        }
    }
}
