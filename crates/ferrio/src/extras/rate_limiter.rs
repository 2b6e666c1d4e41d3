//! `RateLimiter`: a token bucket.
//!
//! Tokens come in at a constant rate and are kept up to `burst`. A task that wants more than there are waits in line;
//! only the first one waits for the clock, the others wait to be first. So a task that is cancelled takes nothing and
//! delays no other.

use std::cell::Cell;

use ferrio_core::clock;
use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, Signature, WeakList};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use crate::coro::{Given, Memory, Operation, Step, ready, ready_with, truth};
use crate::event_loop::LoopRef;
use crate::exceptions;
use crate::future_likes;
use crate::locks::{Line, LoopBound};

/// The contents of a rate limiter. Times are seconds on the loop's clock.
pub struct RateLimiter {
    rate: Cell<f64>,
    burst: Cell<f64>,
    tokens: Cell<f64>,
    /// When `tokens` was right; `None` before the first use, when the bucket is full.
    updated: Cell<Option<f64>>,
    line: Line,
    bound: LoopBound,
    weaklist: WeakList,
}

/// What rounding may have taken from a token.
const ROUNDING: f64 = 1e-9;

impl RateLimiter {
    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<2> = Signature::new("RateLimiter", ["rate", "burst"]).required(1);
        let [rate, burst] = args.bind(&SIGNATURE)?;
        let rate = rate.map_or(Ok(0.0), PyAnyMethods::extract::<f64>)?;
        let burst = burst.map_or(Ok(1.0), PyAnyMethods::extract::<f64>)?;
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(PyValueError::new_err("rate must be a positive number of tokens per second"));
        }
        if !(burst >= 1.0 && burst.is_finite()) {
            return Err(PyValueError::new_err("burst must be at least 1"));
        }
        this.rate.set(rate);
        this.burst.set(burst);
        this.tokens.set(burst);
        this.updated.set(None);
        Ok(())
    }

    fn now(py: Python<'_>, event_loop: &LoopRef) -> PyResult<f64> {
        match event_loop.native_clock() {
            Some(_) => Ok(clock::monotonic()),
            None => event_loop.as_any().bind(py).call_method0(intern!(py, "time"))?.extract(),
        }
    }

    /// Brings the bucket up to date.
    fn refill(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let now = Self::now(py, &this.bound.get_loop(py, this.as_any())?)?;
        let since = this.updated.get().map_or(0.0, |updated| (now - updated).max(0.0));
        this.tokens.set((this.tokens.get() + since * this.rate.get()).min(this.burst.get()));
        this.updated.set(Some(now));
        Ok(())
    }

    /// Takes `n` tokens if they are there.
    fn take(&self, n: f64) -> bool {
        let enough = self.tokens.get() + ROUNDING >= n;
        if enough {
            self.tokens.set((self.tokens.get() - n).max(0.0));
        }
        enough
    }

    fn count(&self, n: Option<&Bound<'_, PyAny>>) -> PyResult<f64> {
        let n = n.map_or(Ok(1.0), PyAnyMethods::extract::<f64>)?;
        if !(n > 0.0 && n <= self.burst.get()) {
            let burst = self.burst.get();
            return Err(PyValueError::new_err(format!("{n} tokens never fit a bucket of {burst}")));
        }
        Ok(n)
    }

    fn acquire(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<1> = Signature::new("RateLimiter.acquire", ["n"]).required(0);
        let [n] = args.bind(&SIGNATURE)?;
        let n = PyFloat::new(py, this.count(n)?);
        ready_with::<Acquire>(py, this, [Some(n.into()), None])
    }

    fn try_acquire(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<bool> {
        const SIGNATURE: Signature<1> = Signature::new("RateLimiter.try_acquire", ["n"]).required(0);
        let [n] = args.bind(&SIGNATURE)?;
        let n = this.count(n)?;
        Self::refill(this, py)?;
        Ok(this.line.is_empty() && this.take(n))
    }

    fn repr(this: &Obj<Self>, _py: Python<'_>) -> String {
        let waiting = match this.line.len() {
            0 => String::new(),
            waiting => format!(" waiters={waiting}"),
        };
        format!("<RateLimiter rate={} burst={}{waiting}>", this.rate.get(), this.burst.get())
    }
}

struct Acquire;

impl Acquire {
    /// The first in line waits for the clock.
    fn wait_for_tokens(
        this: &Obj<RateLimiter>,
        py: Python<'_>,
        n: f64,
        kept: Given,
        ticket: u64,
    ) -> PyResult<Step> {
        let delay = (n - this.tokens.get()) / this.rate.get();
        let sleep = py.import(intern!(py, "ferrio._ferrio"))?.call_method1(intern!(py, "sleep"), (delay,))?;
        Ok(Step::Park(sleep.into(), Memory { kept, number: ticket }))
    }

    /// The first in line has gone: the next one is first.
    fn leave(this: &Obj<RateLimiter>, py: Python<'_>, ticket: u64) -> PyResult<()> {
        let left = this.line.leave(ticket);
        drop(left);
        match this.line.first() {
            Some(first) => future_likes::wake(py, &first).map(drop),
            None => Ok(()),
        }
    }
}

impl Operation for Acquire {
    type On = RateLimiter;
    const NAME: &'static str = "RateLimiter.acquire";

    fn begin(this: &Obj<RateLimiter>, py: Python<'_>, given: Given) -> PyResult<Step> {
        let n = given[0].as_ref().map_or(Ok(1.0), |n| n.bind(py).extract::<f64>())?;
        RateLimiter::refill(this, py)?;
        let first = this.line.is_empty();
        if first && this.take(n) {
            return Ok(Step::Done(truth(py)));
        }
        let waiter = this.bound.waiter(py, this.as_any())?.into_any();
        let ticket = this.line.join(waiter.clone());
        if first {
            return Self::wait_for_tokens(this, py, n, given, ticket);
        }
        Ok(Step::Park(waiter, Memory { kept: given, number: ticket }))
    }

    fn resume(
        this: &Obj<RateLimiter>,
        py: Python<'_>,
        memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        let Memory { kept, number: ticket } = memory;
        if let Err(err) = outcome {
            if let Err(unwakable) = Self::leave(this, py, ticket) {
                if exceptions::err_is_cancelled(py, &err) {
                    return Err(unwakable);
                }
                // The coroutine is being closed and so is the loop: there is nobody left to wake.
                ferrio_object::swallow(py, unwakable);
            }
            return Err(err);
        }
        let n = kept[0].as_ref().map_or(Ok(1.0), |n| n.bind(py).extract::<f64>())?;
        RateLimiter::refill(this, py)?;
        if !this.take(n) {
            // A timer may go off early by the clock's resolution.
            return Self::wait_for_tokens(this, py, n, kept, ticket);
        }
        Self::leave(this, py, ticket)?;
        Ok(Step::Done(truth(py)))
    }
}

struct Enter;

impl Operation for Enter {
    type On = RateLimiter;
    const NAME: &'static str = "RateLimiter.__aenter__";

    fn begin(this: &Obj<RateLimiter>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        Acquire::begin(this, py, [None, None])
    }

    fn resume(
        this: &Obj<RateLimiter>,
        py: Python<'_>,
        memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        Acquire::resume(this, py, memory, outcome)
    }
}

struct Exit;

impl Operation for Exit {
    type On = RateLimiter;
    const NAME: &'static str = "RateLimiter.__aexit__";

    fn begin(_this: &Obj<RateLimiter>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        Step::none(py)
    }
}

impl Class for RateLimiter {
    type Base = Any;
    ferrio_object::fields!(RateLimiter { rate, burst, tokens, updated, line, bound, weaklist: WeakList });
    const NAME: &'static str = "ferrio.extras.RateLimiter";
    const DOC: &'static str = "RateLimiter(rate, burst=1)\n--\n\n\
        A token bucket: `rate` tokens come in per second, and up to `burst` are kept.\n\n\
        `async with limiter:` takes one token, `await limiter.acquire(n)` takes n. A task that finds too few waits;\n\
        tasks are served in the order in which they came. It begins full. Belongs to the loop in which it is first\n\
        used. Raises ValueError for a rate that is not positive and for a burst below 1.";

    fn blank() -> Self {
        RateLimiter {
            rate: Cell::new(1.0),
            burst: Cell::new(1.0),
            tokens: Cell::new(1.0),
            updated: Cell::new(None),
            line: Line::new(),
            bound: LoopBound::new(),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .repr(Self::repr)
            .coroutine(
                "acquire",
                Self::acquire,
                "acquire($self, /, n=1)\n--\n\nCoroutine: take n tokens; returns True.\n\n\
                 Waits until there are as many and the tasks that came before have theirs. A wait that is cancelled\n\
                 takes none. Raises ValueError if n is not positive or more than `burst`.",
            )
            .method(
                "try_acquire",
                Self::try_acquire,
                "try_acquire($self, /, n=1)\n--\n\nTake n tokens if that needs no waiting. Returns whether it took them.",
            )
            .special0(
                "__aenter__",
                |this: &Obj<Self>, py: Python<'_>| ready::<Enter>(py, this),
                "__aenter__($self, /)\n--\n\nTake a token.",
            )
            .special(
                "__aexit__",
                |this: &Obj<Self>, py: Python<'_>, _args: Args<'_, '_>| ready::<Exit>(py, this),
                "__aexit__($self, exc_type, exc, tb, /)\n--\n\nNothing: tokens are not given back.",
            )
            .getter("rate", |this: &Obj<Self>, _py: Python<'_>| this.rate.get(), "Tokens per second.")
            .getter("burst", |this: &Obj<Self>, _py: Python<'_>| this.burst.get(), "Most tokens that are kept.");
    }
}
