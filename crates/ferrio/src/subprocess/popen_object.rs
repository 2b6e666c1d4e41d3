//! The `subprocess.Popen` of a transport: made by Python's own class, or afterwards for a process that was made natively.

use ferrio_core::driver::child::Child;
use ferrio_object::{Args, Class, ClassBuilder, Obj};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::transport::SubprocessTransport;

/// The native part of the transport that makes its process with `Popen`.
pub struct UnixSubprocessTransport;

impl UnixSubprocessTransport {
    /// `_start(args, shell, stdin, stdout, stderr, bufsize, **kwargs)`.
    fn start(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let kwargs = PyDict::new(py);
        for (name, value) in ["args", "shell", "stdin", "stdout", "stderr", "bufsize"].iter().zip(args.iter())
        {
            kwargs.set_item(name, value)?;
        }
        args.each_keyword(|name, value| kwargs.set_item(name, value))?;
        kwargs.set_item("universal_newlines", false)?;
        let program = kwargs.get_item("args")?;
        kwargs.del_item("args")?;
        let made = py.import("subprocess")?.getattr("Popen")?.call((program,), Some(&kwargs))?;
        this.base().proc.set(Some(made.into()));
        Ok(())
    }
}

impl Class for UnixSubprocessTransport {
    type Base = SubprocessTransport;
    ferrio_object::fields!(UnixSubprocessTransport {});
    const NAME: &'static str = "ferrio._ferrio._UnixSubprocessTransport";
    const DOC: &'static str = "The native part of a transport of a child process on Unix.";

    fn blank() -> Self {
        UnixSubprocessTransport
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.method("_start", Self::start, "");
    }
}

impl SubprocessTransport {
    /// asyncio's `_proc`.
    ///
    /// # Errors
    /// What importing `subprocess` raises.
    pub(super) fn get_proc(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<Obj>> {
        if let Some(proc) = this.proc.get() {
            return Ok(Some(proc));
        }
        if this.child.borrow().is_none() {
            return Ok(None);
        }
        let class = py.import(intern!(py, "subprocess"))?.getattr(intern!(py, "Popen"))?;
        let popen = class.call_method1(intern!(py, "__new__"), (&class,))?;
        let lock = py.import(intern!(py, "threading"))?.call_method0(intern!(py, "Lock"))?;
        let none = || py.None().into_bound(py);
        let number = |number: i32| number.into_pyobject(py).map(Bound::into_any);
        let file = |at: usize| this.files[at].get().map_or_else(none, |file| file.into_bound(py));
        let or_none = |obj: Option<Obj>| obj.map_or_else(none, |obj| obj.into_bound(py));
        let truth = |truth: bool| pyo3::types::PyBool::new(py, truth).to_owned().into_any();
        for (name, value) in [
            ("_waitpid_lock", lock),
            ("_input", none()),
            ("_communication_started", truth(false)),
            ("args", or_none(this.args.get())),
            ("stdin", file(0)),
            ("stdout", file(1)),
            ("stderr", file(2)),
            ("pid", or_none(this.pid.get())),
            ("returncode", or_none(this.returncode.get())),
            ("encoding", none()),
            ("errors", none()),
            ("text_mode", truth(false)),
            ("pipesize", number(this.pipesize.get())?),
            ("_sigint_wait_secs", 0.25_f64.into_pyobject(py)?.into_any()),
            ("_closed_child_pipe_fds", truth(true)),
            ("_child_created", truth(true)),
        ] {
            popen.setattr(name, value)?;
        }
        let popen = Obj::from(popen);
        this.proc.set(Some(popen.clone()));
        Ok(Some(popen))
    }

    /// A process that nobody has reaped when its transport goes away is `Popen`'s affair: it warns, and reaps it when
    /// the next one is made.
    ///
    /// # Errors
    /// What importing `subprocess` raises.
    pub(super) fn leave_to_popen(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let left = this.child.borrow().as_ref().is_some_and(|child| !child.is_reaped());
        if left && this.proc.is_none() && this.returncode.is_none() {
            Self::get_proc(this, py)?;
        }
        Ok(())
    }

    /// The process that was made natively is given to the transport.
    pub(super) fn take_child(&self, child: Child) {
        *self.child.borrow_mut() = Some(child);
    }

    /// The `_extra` of asyncio.
    fn whole_extra(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        let extra = this.extra_dict(py)?;
        if !extra.bind(py).contains(intern!(py, "subprocess"))?
            && let Some(proc) = Self::get_proc(this, py)?
        {
            extra.bind(py).set_item(intern!(py, "subprocess"), proc)?;
        }
        Ok(extra)
    }

    pub(super) fn define_popen(class: &mut ClassBuilder<Self>) {
        class
            .getset(
                "_extra",
                |this: &Obj<Self>, py: Python<'_>| Self::whole_extra(this, py),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.extra.set(Obj::unless_none(value));
                    Ok(())
                },
                "",
            )
            .getset(
                "_proc",
                |this: &Obj<Self>, py: Python<'_>| Self::get_proc(this, py),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.proc.set(Obj::unless_none(value));
                    Ok(())
                },
                "",
            );
    }
}
