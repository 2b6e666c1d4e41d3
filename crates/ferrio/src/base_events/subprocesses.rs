//! `subprocess_exec` and `subprocess_shell`. The process itself is made in `spawning.rs`.

use ferrio_object::{Args, ClassBuilder, Obj, Signature};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::{children, spawning};
use crate::coro;
use crate::event_loop::Loop;
use crate::log::{self, Level};
use crate::subprocess::{PIPE, STDOUT};

/// Whose `logger` is used.
const MODULE: &str = "ferrio.base_events";

/// The keywords that both functions have, in the order in which they are looked at.
const KEYWORDS: [&str; 9] =
    ["stdin", "stdout", "stderr", "universal_newlines", "shell", "bufsize", "text", "encoding", "errors"];

/// The parameters of both functions, the second of which has a name of its own.
const fn parameters(second: &'static str) -> [&'static str; 2 + KEYWORDS.len()] {
    let mut names = ["protocol_factory"; 2 + KEYWORDS.len()];
    names[1] = second;
    let mut at = 0;
    while at < KEYWORDS.len() {
        names[2 + at] = KEYWORDS[at];
        at += 1;
    }
    names
}

/// What one of the functions was called with.
struct Start {
    factory: Obj,
    /// A command for the shell, or the program and its arguments.
    args: Obj,
    shell: bool,
    /// The values of `KEYWORDS`.
    given: [Option<Obj>; KEYWORDS.len()],
    /// The other keywords: a dict.
    rest: Obj,
}

ferrio_object::traverse!(struct Start { factory, args, shell, given, rest });

impl Start {
    /// Refuses what asyncio refuses: there is no text mode and no buffer.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.shell {
            let command = self.args.bind(py);
            if !command.is_instance_of::<PyBytes>() && !command.is_instance_of::<PyString>() {
                return Err(PyValueError::new_err("cmd must be a string"));
            }
        }
        let [_, _, _, newlines, shell, bufsize, text, encoding, errors] = &self.given;
        let truth = |given: &Option<Obj>, default: bool| -> PyResult<bool> {
            given.as_ref().map_or(Ok(default), |given| given.bind(py).is_truthy())
        };
        let is_none = |given: &Option<Obj>| given.as_ref().is_none_or(Obj::is_none);
        let wrong = if truth(newlines, false)? {
            "universal_newlines must be False"
        } else if truth(shell, self.shell)? != self.shell {
            if self.shell { "shell must be True" } else { "shell must be False" }
        } else if let Some(bufsize) = bufsize
            && !bufsize.bind(py).eq(0)?
        {
            "bufsize must be 0"
        } else if truth(text, false)? {
            "text must be False"
        } else if !is_none(encoding) {
            "encoding must be None"
        } else if !is_none(errors) {
            "errors must be None"
        } else {
            return Ok(());
        };
        Err(PyValueError::new_err(wrong))
    }

    /// What standard input, output and error are to be.
    fn standard(&self, py: Python<'_>) -> PyResult<[Obj; 3]> {
        let value = |at: usize| -> PyResult<Obj> {
            match &self.given[at] {
                Some(given) => Ok(given.clone()),
                None => Ok(PIPE.into_pyobject(py)?.into_any().into()),
            }
        };
        Ok([value(0)?, value(1)?, value(2)?])
    }

    /// What the debug log says before and after: without the arguments, among which may be secrets.
    fn shown(&self, py: Python<'_>) -> PyResult<String> {
        if self.shell {
            return Ok(format!("run shell command {}", self.args.bind(py).repr()?));
        }
        Ok(format!("execute program {}", self.args.bind(py).get_item(0)?.repr()?))
    }

    fn log(&self, py: Python<'_>, this: &Obj<Loop>, shown: &str) -> PyResult<()> {
        let [stdin, stdout, stderr] = self.standard(py)?;
        let line = (shown, stdin, stdout, stderr);
        this.bind(py).call_method1(intern!(py, "_log_subprocess"), line).map(drop)
    }

    /// `loop._make_subprocess_transport(...)`.
    fn make(&self, py: Python<'_>, this: &Obj<Loop>, protocol: &Obj) -> PyResult<Obj> {
        let [stdin, stdout, stderr] = self.standard(py)?;
        let bufsize = self.given[5].clone().map_or_else(|| 0.into_pyobject(py).map(Obj::from), Ok)?;
        let args = (protocol, &self.args, self.shell, stdin, stdout, stderr, bufsize);
        let rest = self.rest.bind(py).cast::<PyDict>()?;
        let make = intern!(py, "_make_subprocess_transport");
        Ok(this.bind(py).call_method(make, args, Some(rest))?.into())
    }
}

/// `_log_subprocess(msg, stdin, stdout, stderr)`: a line for the debug log.
fn log_subprocess(_this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    const NAMES: [&str; 4] = ["msg", "stdin", "stdout", "stderr"];
    let [message, stdin, stdout, stderr] = args.bind(&Signature::new("_log_subprocess", NAMES))?;
    let (Some(message), Some(stdin), Some(stdout), Some(stderr)) = (message, stdin, stdout, stderr) else {
        return Ok(());
    };
    let format = |pipe: &Bound<'_, PyAny>| -> PyResult<String> {
        let format = crate::imported::module(py, MODULE)?.getattr(intern!(py, "_format_pipe"))?;
        Ok(format.call1((pipe,))?.str()?.to_string())
    };
    let mut info = vec![message.str()?.to_string()];
    if !stdin.is_none() {
        info.push(format!("stdin={}", format(stdin)?));
    }
    if !stdout.is_none() && stderr.eq(STDOUT)? {
        info.push(format!("stdout=stderr={}", format(stdout)?));
    } else {
        if !stdout.is_none() {
            info.push(format!("stdout={}", format(stdout)?));
        }
        if !stderr.is_none() {
            info.push(format!("stderr={}", format(stderr)?));
        }
    }
    log::write(py, MODULE, Level::Debug, (info.join(" "),))
}

fn start(this: &Obj<Loop>, py: Python<'_>, name: &'static str, start: Start) -> PyResult<Obj> {
    coro::coroutine(py, name, move |co| {
        let (this, start) = (co.hold(this), co.keep(start));
        async move {
            let (protocol, shown, wait) = {
                let (py, this, start) = (co.py(), this.get(), start.get());
                start.check(py)?;
                let protocol = Obj::from(start.factory.bind(py).call0()?);
                let mut shown = None;
                if this.debug.get() {
                    let text = start.shown(py)?;
                    start.log(py, &this, &text)?;
                    shown = Some(text);
                }
                let made = start.make(py, &this, &protocol)?;
                (co.hold(protocol), shown, co.wait(made))
            };
            drop(start);
            let transport = wait.await?;
            let py = co.py();
            if let Some(shown) = shown
                && this.get().debug.get()
            {
                log::write(py, MODULE, Level::Info, ("%s: %r", shown, &transport))?;
            }
            Ok((transport, protocol.get()).into_pyobject(py)?.into_any().into())
        }
    })
}

fn subprocess_exec(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<11> = Signature::new("subprocess_exec", parameters("program")).positional(2);
    let ([factory, program, given @ ..], rest, kwargs) = args.bind_all(&SIGNATURE)?;
    let program = PyTuple::new(py, program.into_iter().chain(rest).collect::<Vec<_>>())?;
    begin(this, py, "subprocess_exec", (factory, program.into()), given, kwargs)
}

fn subprocess_shell(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<11> = Signature::new("subprocess_shell", parameters("cmd")).positional(2);
    args.at_most(&SIGNATURE)?;
    let ([factory, command, given @ ..], _, kwargs) = args.bind_all(&SIGNATURE)?;
    begin(this, py, "subprocess_shell", (factory, Obj::or_none(py, command)), given, kwargs)
}

fn begin(
    this: &Obj<Loop>,
    py: Python<'_>,
    name: &'static str,
    (factory, args): (Option<&Bound<'_, PyAny>>, Obj),
    given: [Option<&Bound<'_, PyAny>>; KEYWORDS.len()],
    rest: Option<Bound<'_, PyDict>>,
) -> PyResult<Obj> {
    let rest = rest.unwrap_or_else(|| PyDict::new(py)).into();
    let given = given.map(|given| given.map(Obj::from));
    let shell = name == "subprocess_shell";
    start(this, py, name, Start { factory: Obj::or_none(py, factory), args, shell, given, rest })
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .coroutine("subprocess_exec", subprocess_exec,
            "subprocess_exec($self, protocol_factory, program, *args, stdin=-1, stdout=-1, stderr=-1, \
            universal_newlines=False, shell=False, bufsize=0, encoding=None, errors=None, text=None, **kwargs)\n--\n\n\
            Coroutine: run a program; returns (transport, protocol).\n\n\
            stdin, stdout, stderr: PIPE (the default), DEVNULL, STDOUT, None (this process's), a descriptor or a file.\n\
            There is no text mode. All other arguments are those of subprocess.Popen.\n\n\
            Raises OSError if the program cannot be run, ValueError for arguments of the text mode.")
        .coroutine("subprocess_shell", subprocess_shell,
            "subprocess_shell($self, protocol_factory, cmd, *, stdin=-1, stdout=-1, stderr=-1, \
            universal_newlines=False, shell=True, bufsize=0, encoding=None, errors=None, text=None, **kwargs)\n--\n\n\
            Coroutine: run a command in the shell; returns (transport, protocol). Arguments as of subprocess_exec().")
        .coroutine("_make_subprocess_transport", spawning::make_transport, "")
        .method("_log_subprocess", log_subprocess, "")
        .method("_child_watcher_callback", children::callback, "");
}
