//! The end of a child: what its protocol hears, and what waits for it.

use ferrio_object::{ClassBuilder, Obj, Signature};
use pyo3::exceptions::PyAssertionError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::transport::{MODULE, SubprocessTransport};
use crate::coro;
use crate::future_likes;
use crate::log::{self, Level};

/// Takes a waiter that waits no more off the list.
struct WaiterGuard<'a> {
    transport: &'a coro::Local<SubprocessTransport>,
    waiter: coro::Local,
}

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        let (transport, waiter) = (self.transport.get(), self.waiter.get());
        let mut waiters = transport.exit_waiters.borrow_mut();
        let at = waiters.as_ref().and_then(|all| all.iter().position(|known| known.is(&waiter)));
        let old = at.and_then(|at| waiters.as_mut().map(|all| all.swap_remove(at)));
        drop(waiters);
        drop(old);
    }
}

impl SubprocessTransport {
    /// `_process_exited(returncode)`.
    fn process_exited(this: &Obj<Self>, py: Python<'_>, returncode: &Bound<'_, PyAny>) -> PyResult<()> {
        if returncode.is_none() {
            return Err(PyAssertionError::new_err("None"));
        }
        if let Some(known) = this.returncode.get() {
            return Err(PyAssertionError::new_err(known.bind(py).str()?.to_string()));
        }
        if this.get_loop()?.get_debug(py)? {
            log::write(py, MODULE, Level::Info, ("%r exited with return code %r", this, returncode))?;
        }
        this.returncode.set(Some(returncode.into()));
        if let Some(proc) = this.proc.get() {
            let proc = proc.bind(py);
            // So that the Popen does not warn of a process that still runs.
            if proc.getattr(intern!(py, "returncode"))?.is_none() {
                proc.setattr(intern!(py, "returncode"), returncode)?;
            }
        }
        let exited = this.protocol_method(py, "process_exited")?;
        Self::call_later(this, py, exited, Vec::new())?;
        if cfg!(Py_3_14) {
            this.wake_waiters(py, &returncode.into())?;
        }
        this.bind(py).call_method0(intern!(py, "_try_finish")).map(drop)
    }

    fn wake_waiters(&self, py: Python<'_>, returncode: &Obj) -> PyResult<()> {
        let waiters = self.exit_waiters.take();
        for waiter in waiters.into_iter().flatten() {
            future_likes::resolve(py, &waiter, returncode.clone())?;
        }
        Ok(())
    }

    /// `_try_finish()`: `connection_lost()` follows when the process has ended and all its pipes are closed.
    fn try_finish(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.finished.get() {
            return Err(PyAssertionError::new_err(()));
        }
        if this.returncode.is_none() {
            return Ok(());
        }
        if let Some(pipes) = this.pipes.get() {
            for pipe in pipes.bind(py).call_method0(intern!(py, "values"))?.try_iter()? {
                let pipe = pipe?;
                if pipe.is_none() || !pipe.getattr(intern!(py, "disconnected"))?.is_truthy()? {
                    return Ok(());
                }
            }
        }
        this.finished.set(true);
        let lost = this.bind(py).getattr(intern!(py, "_call_connection_lost"))?;
        Self::call_later(this, py, lost.into(), vec![Obj::none(py)])
    }

    /// `_call_connection_lost(exc)`.
    fn call_connection_lost(this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        let told = match this.protocol.get() {
            Some(protocol) => {
                protocol.bind(py).call_method1(intern!(py, "connection_lost"), (exc,)).map(drop)
            }
            None => Ok(()),
        };
        let woken = match this.returncode.get() {
            Some(returncode) if cfg!(not(Py_3_14)) => this.wake_waiters(py, &returncode),
            _ => Ok(()),
        };
        let event_loop = this.event_loop.take();
        drop(event_loop);
        this.proc.set(None);
        let child = this.child.take();
        drop(child);
        this.files.iter().for_each(|file| file.set(None));
        this.protocol.set(None);
        told.and(woken)
    }

    /// `_wait()`.
    fn wait(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        coro::coroutine(py, "BaseSubprocessTransport._wait", move |co| {
            let this = co.hold(this);
            async move {
                let waiter = {
                    let this = this.get();
                    if let Some(returncode) = this.returncode.get() {
                        return Ok(returncode);
                    }
                    let waiter = this.get_loop()?.create_future(co.py())?;
                    if let Some(waiters) = &mut *this.exit_waiters.borrow_mut() {
                        waiters.push(waiter.clone());
                    }
                    co.hold(waiter)
                };
                let wait = co.wait(waiter.get());
                let _guard = WaiterGuard { transport: &this, waiter };
                wait.await
            }
        })
    }

    pub(super) fn define_ending(class: &mut ClassBuilder<Self>) {
        class
            .method1_named(
                "_process_exited",
                Self::process_exited,
                || Signature::new("_process_exited", ["returncode"]),
                "",
            )
            .method0("_try_finish", Self::try_finish, "")
            .method1("_call_connection_lost", Self::call_connection_lost, "")
            .coroutine0("_wait", Self::wait, "Wait until the process has ended; returns its exit status.")
            .getter(
                "_exit_waiters",
                |this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> {
                    match &*this.exit_waiters.borrow() {
                        Some(waiters) => Ok(PyList::new(py, waiters)?.into()),
                        None => Ok(Obj::none(py)),
                    }
                },
                "",
            )
            .getter("_finished", |this: &Obj<Self>, _py: Python<'_>| this.finished.get(), "");
    }
}
