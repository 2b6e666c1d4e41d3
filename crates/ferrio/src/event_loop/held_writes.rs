//! The transports of a loop whose bytes wait for the end of a step, or of a turn.
//!
//! Which bytes wait is decided per connection (`ferrio_core::write_timing`). Here is what holds for a loop: which step
//! runs, which transport is to be asked when it returns, and that nothing else runs before that. With the default
//! setting one transport at most waits at a time: a write to another one sends what the first has, so that bytes leave
//! a process in the order in which they are written, whatever connection they are written to.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ferrio_core::clock;
use ferrio_core::write_timing::{Gathering, Step};
use ferrio_object::{Erased, GilStatic, Obj, Raised, ThreadState};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Loop;
use crate::native_fn;

/// Has a transport send what it holds back: it is on no list any more. Errors: `KeyboardInterrupt`, `SystemExit`.
pub(crate) type SendHeld = fn(&Erased, Python<'_>) -> PyResult<()>;

/// Loops with bytes that wait: those that a fork or the end of the interpreter would lose.
static HOLDING: GilStatic<RefCell<Vec<Obj<Loop>>>> = GilStatic::new(RefCell::new(Vec::new()));

/// What a loop knows about writes that wait.
#[derive(Default)]
pub(crate) struct HeldWrites {
    gathering: Cell<Gathering>,
    /// Which turn it is; wraps around.
    turn: Cell<u32>,
    /// Items of a turn are run, and [`step_returned`] is called after each.
    in_turn: Cell<bool>,
    /// A transport is to be asked when the step returns.
    after_step: Cell<bool>,
    /// In the order of their first write.
    transports: RefCell<VecDeque<Holding>>,
}

ferrio_object::traverse!(struct HeldWrites { gathering, turn, in_turn, after_step, transports });

/// A transport that holds bytes back.
struct Holding {
    transport: Erased,
    send: SendHeld,
}

ferrio_object::traverse!(struct Holding { transport, send });

impl HeldWrites {
    /// Reads the environment.
    ///
    /// # Errors
    /// `ValueError` for a value that is none.
    pub(crate) fn open(&self, py: Python<'_>) -> PyResult<()> {
        register(py)?;
        let name = std::env::var_os(Gathering::ENV).unwrap_or_default();
        let gathering = name.to_string_lossy().parse::<Gathering>();
        self.gathering.set(gathering.map_err(|err| PyValueError::new_err(err.to_string()))?);
        Ok(())
    }

    #[inline]
    pub(crate) fn gathering(&self) -> Gathering {
        self.gathering.get()
    }

    /// Whether a transport is to be asked when the step returns.
    #[inline]
    pub(crate) fn wait_for_step(&self) -> bool {
        self.after_step.get()
    }

    /// Whether transports wait for the end of the turn.
    #[inline]
    pub(crate) fn wait_for_turn(&self) -> bool {
        !self.transports.borrow().is_empty()
    }

    /// A turn begins to run its items. They end with [`HeldWrites::turn_ended`].
    #[inline]
    pub(crate) fn turn_begins(&self) {
        self.turn.set(self.turn.get().wrapping_add(1));
        self.in_turn.set(true);
    }

    #[inline]
    pub(crate) fn turn_ended(&self) {
        self.in_turn.set(false);
    }

    pub(crate) fn clear(&self) {
        let transports =
            self.transports.try_borrow_mut().map(|mut transports| std::mem::take(&mut *transports));
        drop(transports);
    }
}

impl Loop {
    /// The step that runs; `None` if the caller is in none of this loop's, so that nobody would send what it held.
    #[inline]
    pub(crate) fn step(&self) -> Option<Step> {
        let held = &self.held;
        if !held.in_turn.get() || self.thread_id.get() != ThreadState::ident() {
            return None;
        }
        // The place in the ring is another one for each item of a turn.
        Some(Step { turn: held.turn.get(), item: self.ready.borrow().position() as u32 })
    }
}

/// Has `transport` asked when the step returns, or the turn ends.
pub(crate) fn add(this: &Obj<Loop>, py: Python<'_>, transport: Erased, send: SendHeld) {
    let held = &this.held;
    if held.gathering.get() == Gathering::Learned {
        held.after_step.set(true);
    }
    let mut transports = held.transports.borrow_mut();
    if transports.is_empty() {
        HOLDING.get(py).borrow_mut().push(this.clone());
    }
    transports.push_back(Holding { transport, send });
}

/// Sends what waits, of all transports.
///
/// # Errors
/// `KeyboardInterrupt`, `SystemExit`.
pub(crate) fn send_all(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let held = &this.held;
    let mut outcome = Ok(());
    held.after_step.set(false);
    loop {
        let next = held.transports.borrow_mut().pop_front();
        let Some(Holding { transport, send }) = next else { break };
        outcome = outcome.and(send(&transport, py));
    }
    held.after_step.set(false);
    let known = {
        let mut holding = HOLDING.get(py).borrow_mut();
        holding.iter().rposition(|known| known.is(this)).map(|at| holding.swap_remove(at))
    };
    drop(known);
    outcome
}

/// A step has returned to the loop with `outcome`, and a transport wants to be asked.
#[inline(never)]
pub(crate) fn step_returned(
    this: &Obj<Loop>,
    py: Python<'_>,
    outcome: Result<(), Raised>,
) -> Result<(), Raised> {
    match outcome {
        Ok(()) => Ok(send_all(this, py)?),
        Err(raised) => {
            // What ends the loop goes first.
            let err = raised.take(py);
            if let Err(second) = send_all(this, py) {
                second.write_unraisable(py, None);
            }
            Err(err.into())
        }
    }
}

/// Has the interpreter call us before a fork and at its end.
fn register(py: Python<'_>) -> PyResult<()> {
    static REGISTERED: GilStatic<Cell<bool>> = GilStatic::new(Cell::new(false));
    if REGISTERED.get(py).replace(true) {
        return Ok(());
    }
    let before_fork = native_fn::function(py, "_send_held_writes", Vec::new(), |py, _held, _args| {
        before_fork(py);
        Ok(())
    })?;
    let at_exit = native_fn::function(py, "_send_held_writes", Vec::new(), |py, _held, _args| {
        at_exit(py);
        Ok(())
    })?;
    let kwargs = PyDict::new(py);
    kwargs.set_item("before", before_fork)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&kwargs))?;
    py.import("atexit")?.call_method1("register", (at_exit,)).map(drop)
}

/// Sends what waits in a step of this thread: its memory is about to be copied by a fork.
fn before_fork(py: Python<'_>) {
    send_where(py, |event_loop| event_loop.thread_id.get() == ThreadState::ident());
}

/// In a forked child: what other threads hold is the parent's to send, and `running`, the loop in whose step the fork
/// was made, will not be told that the step returns.
pub(crate) fn forget_in_forked_child(py: Python<'_>, running: Option<&Obj>) {
    if let Some(event_loop) = running.and_then(Obj::cast::<Loop>) {
        event_loop.held.turn_ended();
    }
    // The loops are the child's copies of what the parent goes on using.
    std::mem::forget(HOLDING.get(py).take());
}

/// Sends what waits in any step: the interpreter ends, and threads that are in the middle of one do not come back.
fn at_exit(py: Python<'_>) {
    send_where(py, |_| true);
}

fn send_where(py: Python<'_>, wanted: impl Fn(&Loop) -> bool) {
    let holding = HOLDING.get(py).borrow().clone();
    for event_loop in holding.iter().filter(|event_loop| wanted(event_loop)) {
        if let Err(err) = send_all(event_loop, py) {
            err.write_unraisable(py, Some(event_loop.bind(py)));
        }
    }
}

/// The time that rounds are measured in, in seconds.
#[inline]
pub(crate) fn now() -> f64 {
    clock::monotonic()
}
