//! The keywords of `subprocess.Popen` as a native [`Command`].
//!
//! Whatever is not of the plain kinds, and whatever is wrong, is "not mine": `Popen` itself is called then, and has the
//! right words for it. So is a `Popen` that somebody has replaced, and `preexec_fn`, which is Python code.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use ferrio_core::driver::pipe;
use ferrio_core::driver::spawn::{Command, Memory};
use ferrio_object::Obj;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyCFunction, PyDict, PyFrozenSet, PyFunction, PyInt, PyList, PySet, PyString, PyTuple,
    PyType,
};

use super::{DEVNULL, PIPE, STDOUT};
use crate::exceptions::FromIo;

/// What `Popen` would be called with.
pub(crate) struct Request {
    pub(crate) args: Obj,
    pub(crate) shell: bool,
    pub(crate) standard: [Obj; 3],
    pub(crate) bufsize: Obj,
    /// A dict, or None.
    pub(crate) kwargs: Obj,
}

ferrio_object::traverse!(struct Request { args, shell, standard, bufsize, kwargs });

/// A process to be made, and what belongs to it here.
pub(crate) struct Prepared {
    pub(crate) command: Command,
    pub(crate) memory: Memory,
    /// Our ends of the pipes.
    pub(crate) ends: [Option<OwnedFd>; 3],
    /// What the child alone is to have.
    pub(crate) theirs: Vec<OwnedFd>,
    pub(crate) pipesize: i32,
    /// Whether `Popen` would call `os.posix_spawn()`, whose errors all name the program.
    pub(crate) simple: bool,
}

/// The keywords that are left when those of `subprocess_exec()` are taken away.
struct Keywords<'py> {
    dict: Option<Bound<'py, PyDict>>,
    used: usize,
}

impl<'py> Keywords<'py> {
    /// The value of a keyword, unless it is absent or None.
    fn get(&mut self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(dict) = &self.dict else { return Ok(None) };
        let value = dict.get_item(name)?;
        if value.is_some() {
            self.used += 1;
        }
        Ok(value.filter(|value| !value.is_none()))
    }

    fn truth(&mut self, name: &str, default: bool) -> PyResult<bool> {
        // None is false, where a keyword is a truth value.
        let Some(dict) = &self.dict else { return Ok(default) };
        match dict.get_item(name)? {
            Some(value) => {
                self.used += 1;
                value.is_truthy()
            }
            None => Ok(default),
        }
    }

    fn number(&mut self, name: &str) -> PyResult<Option<i32>> {
        self.get(name)?.map(|value| number(&value)).transpose()
    }

    fn all_used(&self) -> bool {
        self.dict.as_ref().is_none_or(|dict| dict.len() == self.used)
    }
}

/// Not one of the plain kinds; what it says is never seen.
fn unplain() -> PyErr {
    PyTypeError::new_err("Popen has to see it")
}

fn number(value: &Bound<'_, PyAny>) -> PyResult<i32> {
    if value.is_instance_of::<PyInt>() { value.extract() } else { Err(unplain()) }
}

/// What `os.fsencode` makes of a path or an argument.
fn encoded(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let py = value.py();
    if let Ok(text) = value.cast::<PyString>()
        && let Ok(text) = text.to_str()
        && text.is_ascii()
    {
        return Ok(text.as_bytes().to_vec());
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    let encoded = py.import(intern!(py, "os"))?.call_method1(intern!(py, "fsencode"), (value,))?;
    Ok(encoded.cast::<PyBytes>()?.as_bytes().to_vec())
}

fn c_string(bytes: Vec<u8>) -> PyResult<CString> {
    CString::new(bytes).map_err(|_| PyValueError::new_err("embedded null byte"))
}

/// Whether `subprocess` does what it is known to do. If nobody has imported it, nobody has replaced anything in it.
fn is_plain(py: Python<'_>) -> PyResult<bool> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let Some(module) = modules.cast::<PyDict>()?.get_item(intern!(py, "subprocess"))? else {
        return Ok(true);
    };
    let globals = module.getattr(intern!(py, "__dict__"))?;
    let class = module.getattr(intern!(py, "Popen"))?;
    if !class.is_instance_of::<PyType>()
        || !class.getattr(intern!(py, "__module__"))?.eq(intern!(py, "subprocess"))?
    {
        return Ok(false);
    }
    for name in [intern!(py, "__init__"), intern!(py, "_execute_child"), intern!(py, "_get_handles")] {
        let method = class.getattr(name)?;
        if !method.is_exact_instance_of::<PyFunction>()
            || !method.getattr(intern!(py, "__globals__"))?.is(&globals)
            || !method.getattr(intern!(py, "__name__"))?.eq(name)?
        {
            return Ok(false);
        }
    }
    // Debuggers put their own there, to follow into the child.
    let fork = module.getattr(intern!(py, "_fork_exec"))?;
    Ok(fork.is_exact_instance_of::<PyCFunction>()
        && fork.getattr(intern!(py, "__module__"))?.eq(intern!(py, "_posixsubprocess"))?)
}

/// Whether a program has said that memory is not to be shared (`subprocess._USE_VFORK`), or the environment has.
fn memory(py: Python<'_>) -> PyResult<Memory> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    if let Some(module) = modules.cast::<PyDict>()?.get_item(intern!(py, "subprocess"))?
        && let Some(shared) = module.getattr_opt(intern!(py, "_USE_VFORK"))?
        && !shared.is_truthy()?
    {
        return Ok(Memory::Copied);
    }
    Memory::from_env().map_err(|err| PyValueError::new_err(err.to_string()))
}

/// The process to be made. `None`: not mine.
///
/// # Errors
/// What an audit hook raises; `ValueError` for a word in the environment that is none.
pub(crate) fn prepare(py: Python<'_>, request: &Request) -> PyResult<Option<Prepared>> {
    let memory = memory(py)?;
    let prepared = match read(py, request, memory) {
        Ok(prepared) => prepared,
        Err(err) if crate::exceptions::is_exit(py, &err) => return Err(err),
        Err(err) => {
            ferrio_object::swallow(py, err);
            None
        }
    };
    let Some((prepared, event)) = prepared else { return Ok(None) };
    let (executable, args, cwd, env) = event;
    let audit = py.import(intern!(py, "sys"))?.getattr(intern!(py, "audit"))?;
    audit.call1((intern!(py, "subprocess.Popen"), executable, args, cwd, env))?;
    Ok(Some(prepared))
}

/// What audit hooks are told.
type Event = (Obj, Obj, Obj, Obj);

fn read(py: Python<'_>, request: &Request, memory: Memory) -> PyResult<Option<(Prepared, Event)>> {
    if !is_plain(py)? || request.bufsize.bind(py).extract::<i32>()? != 0 {
        return Ok(None);
    }
    let mut keywords = Keywords { dict: kwargs(py, &request.kwargs)?, used: 0 };
    for name in ["preexec_fn", "startupinfo"] {
        if keywords.get(name)?.is_some() {
            return Ok(None);
        }
    }
    if keywords.number("creationflags")?.is_some_and(|flags| flags != 0) {
        return Ok(None);
    }
    let mut command = Command {
        close_others: keywords.truth("close_fds", true)?,
        restore_signals: keywords.truth("restore_signals", true)?,
        new_session: keywords.truth("start_new_session", false)?,
        process_group: keywords.number("process_group")?.filter(|group| *group != -1),
        umask: keywords.number("umask")?.filter(|mask| *mask >= 0).map(i32::cast_unsigned),
        ..Command::default()
    };
    if let Some(fds) = keywords.get("pass_fds")? {
        command.kept = descriptors(&fds)?;
        if !command.kept.is_empty() && !command.close_others {
            return Ok(None);
        }
    }
    let pipesize = keywords.number("pipesize")?.unwrap_or(-1);
    command.user = keywords.get("user")?.map(|user| id(&user, "pwd", "getpwnam", "pw_uid")).transpose()?;
    command.group =
        keywords.get("group")?.map(|group| id(&group, "grp", "getgrnam", "gr_gid")).transpose()?;
    if let Some(groups) = keywords.get("extra_groups")? {
        if groups.is_instance_of::<PyString>() {
            return Ok(None);
        }
        let groups = groups.try_iter()?.map(|group| id(&group?, "grp", "getgrnam", "gr_gid"));
        command.groups = Some(groups.collect::<PyResult<_>>()?);
    }
    let cwd = keywords.get("cwd")?;
    command.directory = cwd.as_ref().map(|cwd| c_string(encoded(cwd)?)).transpose()?;
    let env = keywords.get("env")?;
    command.env = env.as_ref().map(environment).transpose()?;
    let executable = keywords.get("executable")?;
    if !keywords.all_used() {
        return Ok(None);
    }
    let args = arguments(py, request, executable.as_ref())?;
    command.args = args.iter().map(|arg| c_string(encoded(&arg)?)).collect::<PyResult<_>>()?;
    let executable = match executable {
        Some(executable) => executable,
        None => args.get_item(0)?,
    };
    command.programs = candidates(&executable, env.as_ref())?;
    let ends = [None, None, None];
    let mut prepared = Prepared { command, memory, ends, theirs: Vec::new(), pipesize, simple: false };
    if !prepared.connect(py, request)? {
        return Ok(None);
    }
    prepared.simple = is_simple(py, &prepared.command)?;
    let none = || Obj::none(py);
    let event = (
        Obj::from(executable),
        Obj::from(args),
        cwd.map_or_else(none, Obj::from),
        env.map_or_else(none, Obj::from),
    );
    Ok(Some((prepared, event)))
}

/// Whether `Popen` would leave it to `os.posix_spawn()`.
fn is_simple(py: Python<'_>, command: &Command) -> PyResult<bool> {
    let os = py.import(intern!(py, "os"))?;
    let closes = !command.close_others || os.hasattr(intern!(py, "POSIX_SPAWN_CLOSEFROM"))?;
    Ok(closes
        && matches!(&command.programs[..], [only] if only.to_bytes().contains(&b'/'))
        && command.kept.is_empty()
        && command.directory.is_none()
        && command.standard.iter().flatten().all(|fd| *fd > 2)
        && !command.new_session
        && command.process_group.is_none()
        && command.umask.is_none()
        && command.groups.is_none()
        && command.group.is_none()
        && command.user.is_none())
}

fn kwargs<'py>(py: Python<'py>, kwargs: &Obj) -> PyResult<Option<Bound<'py, PyDict>>> {
    if kwargs.is_none() { Ok(None) } else { Ok(Some(kwargs.clone().into_bound(py).cast_into::<PyDict>()?)) }
}

/// The arguments as a list, with the shell's own where there is one.
fn arguments<'py>(
    py: Python<'py>,
    request: &Request,
    executable: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let args = request.args.bind(py);
    let one = args.is_instance_of::<PyString>() || args.is_instance_of::<PyBytes>();
    let list = if one {
        PyList::new(py, [args])?
    } else {
        PyList::new(py, args.try_iter()?.collect::<PyResult<Vec<_>>>()?)?
    };
    if request.shell {
        list.insert(0, "-c")?;
        match executable {
            Some(executable) if executable.is_truthy()? => list.insert(0, executable)?,
            _ => list.insert(0, "/bin/sh")?,
        }
    }
    Ok(list)
}

/// The paths under which a program is looked for: its own, or those in the directories of PATH.
fn candidates(executable: &Bound<'_, PyAny>, env: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<CString>> {
    let py = executable.py();
    let program = encoded(executable)?;
    if program.contains(&b'/') {
        return Ok(vec![c_string(program)?]);
    }
    let directories = py.import(intern!(py, "os"))?.call_method1(intern!(py, "get_exec_path"), (env,))?;
    let mut paths = Vec::new();
    for directory in directories.try_iter()? {
        let mut path = encoded(&directory?)?;
        if !path.is_empty() && !path.ends_with(b"/") {
            path.push(b'/');
        }
        path.extend_from_slice(&program);
        paths.push(c_string(path)?);
    }
    Ok(paths)
}

fn environment(env: &Bound<'_, PyAny>) -> PyResult<Vec<CString>> {
    let mut strings = Vec::new();
    for item in env.call_method0(intern!(env.py(), "items"))?.try_iter()? {
        let (name, value) = item?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        let mut string = encoded(&name)?;
        if string.contains(&b'=') {
            return Err(unplain());
        }
        string.push(b'=');
        string.extend(encoded(&value)?);
        strings.push(c_string(string)?);
    }
    Ok(strings)
}

/// Numbers of a collection that can be walked twice.
fn descriptors(fds: &Bound<'_, PyAny>) -> PyResult<Vec<RawFd>> {
    let plain = fds.is_instance_of::<PyTuple>()
        || fds.is_instance_of::<PyList>()
        || fds.is_instance_of::<PySet>()
        || fds.is_instance_of::<PyFrozenSet>();
    if !plain {
        return Err(unplain());
    }
    fds.try_iter()?
        .map(|fd| number(&fd?).and_then(|fd| if fd < 0 { Err(unplain()) } else { Ok(fd) }))
        .collect()
}

/// The number of a user or group.
fn id(value: &Bound<'_, PyAny>, module: &str, lookup: &str, attribute: &str) -> PyResult<u32> {
    if value.is_instance_of::<PyString>() {
        return value.py().import(module)?.call_method1(lookup, (value,))?.getattr(attribute)?.extract();
    }
    if value.is_instance_of::<PyInt>() { value.extract() } else { Err(unplain()) }
}

impl Prepared {
    /// Opens the pipes. False: not mine.
    fn connect(&mut self, py: Python<'_>, request: &Request) -> PyResult<bool> {
        for (place, wanted) in request.standard.iter().enumerate() {
            let wanted = wanted.bind(py);
            if wanted.is_none() {
                continue;
            }
            let fd = if wanted.is_instance_of::<PyBool>() {
                return Ok(false);
            } else if wanted.is_instance_of::<PyInt>() {
                match wanted.extract::<i32>()? {
                    PIPE => self.open_pipe(place).map_err(PyOSError::new_err_from_io)?,
                    DEVNULL => self.open_null().map_err(PyOSError::new_err_from_io)?,
                    STDOUT if place == 2 => match self.command.standard[1] {
                        Some(fd) => fd,
                        None => py
                            .import(intern!(py, "sys"))?
                            .getattr(intern!(py, "__stdout__"))?
                            .call_method0(intern!(py, "fileno"))?
                            .extract()?,
                    },
                    fd if fd >= 0 => fd,
                    _ => return Ok(false),
                }
            } else {
                wanted.call_method0(intern!(py, "fileno"))?.extract()?
            };
            self.command.standard[place] = Some(fd);
        }
        Ok(true)
    }

    fn open_pipe(&mut self, place: usize) -> io::Result<RawFd> {
        let (reader, writer) = io::pipe()?;
        let (ours, theirs): (OwnedFd, OwnedFd) =
            if place == 0 { (writer.into(), reader.into()) } else { (reader.into(), writer.into()) };
        if self.pipesize > 0 {
            pipe::set_size(ours.as_raw_fd(), self.pipesize)?;
        }
        let fd = theirs.as_raw_fd();
        self.ends[place] = Some(ours);
        self.theirs.push(theirs);
        Ok(fd)
    }

    fn open_null(&mut self) -> io::Result<RawFd> {
        let null: OwnedFd = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into();
        let fd = null.as_raw_fd();
        self.theirs.push(null);
        Ok(fd)
    }
}
