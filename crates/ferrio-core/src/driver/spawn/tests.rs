use std::fs::File;
use std::io::Read;
use std::os::fd::IntoRawFd;

use super::*;

fn texts(words: &[&str]) -> Vec<CString> {
    words.iter().map(|word| CString::new(*word).unwrap()).collect()
}

fn shell(script: &str) -> Command {
    Command {
        programs: texts(&["/bin/sh"]),
        args: texts(&["sh", "-c", script]),
        close_others: true,
        restore_signals: true,
        ..Command::default()
    }
}

/// Waits for the report, and says how it began.
fn begun(mut spawning: Spawning) -> Result<Child, Failure> {
    loop {
        match spawning.finish() {
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            Ok(begun) => return begun,
        }
        let mut wait = libc::pollfd { fd: spawning.fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the kernel writes to the one record.
        once(|| unsafe { libc::poll(&raw mut wait, 1, -1) }).unwrap();
    }
}

/// What a shell prints, and how it ends; both ways of memory and of watching give the same.
fn output(make: impl Fn() -> Command) -> (String, i32) {
    let mut outputs = Vec::new();
    for (memory, watch) in
        [(Memory::Shared, Watch::Pidfd), (Memory::Copied, Watch::Pidfd), (Memory::Shared, Watch::Thread)]
    {
        let (reader, writer) = io::pipe().unwrap();
        let mut command = make();
        command.standard[1] = Some(writer.as_raw_fd());
        let mut child = begun(spawn(command, memory, watch).unwrap()).unwrap();
        drop(writer);
        assert_eq!(child.pidfd().is_some(), watch == Watch::Pidfd);
        let mut text = String::new();
        File::from(OwnedFd::from(reader)).read_to_string(&mut text).unwrap();
        outputs.push((text, child.wait().unwrap().unwrap()));
    }
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0], outputs[2]);
    outputs.swap_remove(0)
}

#[test]
fn a_program_runs_and_ends() {
    assert_eq!(output(|| shell("echo hello; exit 7")), ("hello\n".to_owned(), 7));
    assert_eq!(output(|| shell("kill -9 $$")), (String::new(), -9));
}

#[test]
fn environment_directory_and_umask() {
    let make = || Command {
        env: Some(texts(&["WHAT=here", "PATH=/usr/bin:/bin"])),
        directory: Some(c"/".to_owned()),
        umask: Some(0o27),
        ..shell("echo $WHAT; pwd; umask")
    };
    assert_eq!(output(make), ("here\n/\n0027\n".to_owned(), 0));
}

#[test]
fn the_environment_of_this_process_unless_another_is_given() {
    let home = env::var("PATH").unwrap();
    assert_eq!(output(|| shell("printf %s \"$PATH\"")), (home, 0));
}

#[test]
fn sessions_and_groups() {
    let make = || Command { new_session: true, ..shell("ps -o sid= -p $$ | grep -qw $$ && echo leads") };
    assert_eq!(output(make), ("leads\n".to_owned(), 0));
    let make =
        || Command { process_group: Some(0), ..shell("ps -o pgid= -p $$ | grep -qw $$ && echo leads") };
    assert_eq!(output(make), ("leads\n".to_owned(), 0));
}

#[test]
fn only_what_is_kept_stays_open() {
    let (reader, writer) = io::pipe().unwrap();
    let (reader, writer) = (reader.as_raw_fd(), writer.as_raw_fd());
    let open = || Command {
        kept: vec![reader],
        ..shell(&format!(
            "[ -e /proc/$$/fd/{reader} ] && echo kept; \
        [ -e /proc/$$/fd/{writer} ] || echo closed"
        ))
    };
    assert_eq!(output(open), ("kept\nclosed\n".to_owned(), 0));
}

#[test]
fn crossed_standard_descriptors() {
    // What is to be the error is our output, and the other way round.
    let (reader, writer) = io::pipe().unwrap();
    let command = Command { standard: [None, Some(2), Some(writer.as_raw_fd())], ..shell("echo error >&2") };
    let mut child = begun(spawn(command, Memory::Shared, Watch::Pidfd).unwrap()).unwrap();
    drop(writer);
    let mut text = String::new();
    File::from(OwnedFd::from(reader)).read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), child.wait().unwrap()), ("error\n", Some(0)));
}

#[test]
fn failures_say_what_failed() {
    for memory in [Memory::Shared, Memory::Copied] {
        let failed = |command| begun(spawn(command, memory, Watch::Pidfd).unwrap()).unwrap_err();
        let command = Command { programs: texts(&["/no/such/program"]), ..shell("") };
        assert_eq!(failed(command), Failure { errno: libc::ENOENT, step: Step::Execute });
        // One that may not be run is more telling than one that is not there.
        let command = Command { programs: texts(&["/etc/passwd", "/no/such/program"]), ..shell("") };
        assert_eq!(failed(command), Failure { errno: libc::EACCES, step: Step::Execute });
        let command = Command { directory: Some(c"/no/such/directory".to_owned()), ..shell("") };
        assert_eq!(failed(command), Failure { errno: libc::ENOENT, step: Step::Directory });
        let command = Command { kept: vec![9999], ..shell("") };
        assert_eq!(failed(command), Failure { errno: libc::EBADF, step: Step::Prepare });
        let command = Command { process_group: Some(libc::pid_t::MAX), ..shell("") };
        assert_eq!(failed(command).step, Step::Prepare);
    }
}

#[test]
fn the_first_candidate_that_is_there_runs() {
    let make =
        || Command { programs: texts(&["/no/sh", "/etc/passwd/sh", "/bin/sh"]), ..shell("echo found") };
    assert_eq!(output(make), ("found\n".to_owned(), 0));
}

#[test]
fn signals_have_their_default_actions_and_nothing_is_blocked() {
    // A handler of ours would be called in our memory.
    extern "C" fn handler(_signal: libc::c_int) {}
    // SAFETY: a handler that does nothing.
    unsafe { libc::signal(libc::SIGUSR1, handler as *const () as libc::sighandler_t) };
    let make = || {
        shell(
            "while read name mask; do case $name in Sig[BIC]*) echo $name $mask;; esac; done < /proc/self/status",
        )
    };
    let (text, code) = output(make);
    assert_eq!(code, 0);
    let mask = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    let bit = |signal: i32| 1_u64 << (signal - 1);
    assert_eq!(mask("SigBlk"), 0);
    assert_eq!(mask("SigCgt") & bit(libc::SIGUSR1), 0);
    // Rust ignores it, as Python does.
    assert_eq!(mask("SigIgn") & bit(libc::SIGPIPE), 0);
}

/// `execve` of a program whose interpreter is a FIFO waits in the kernel until somebody opens the other end.
#[test]
fn a_program_that_does_not_begin_holds_nobody_up_and_can_be_killed() {
    let directory = env::temp_dir().join(format!("ferrio-spawn-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let fifo = CString::new(directory.join("fifo").into_os_string().into_encoded_bytes()).unwrap();
    // SAFETY: a C string.
    once(|| unsafe { libc::mkfifo(fifo.as_ptr(), 0o700) }).unwrap();
    let command = Command { standard: [None; 3], ..shell("exit 3") };
    let held = Command { programs: vec![fifo.clone()], ..shell("") };
    // A FIFO is no program, which the kernel says at once; the shell goes on all the same.
    assert_eq!(begun(spawn(held, Memory::Shared, Watch::Pidfd).unwrap()).unwrap_err().step, Step::Execute);
    let spawning = spawn(command, Memory::Shared, Watch::Pidfd).unwrap();
    spawning.child().unwrap().signal(libc::SIGKILL).unwrap();
    match begun(spawning) {
        // It was killed before the program began, or after.
        Ok(mut child) => assert!(matches!(child.wait().unwrap(), Some(-9 | 3))),
        Err(failure) => panic!("{failure:?}"),
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn what_is_dropped_leaves_no_process() {
    for memory in [Memory::Shared, Memory::Copied] {
        let spawning = spawn(shell("sleep 1000"), memory, Watch::Pidfd).unwrap();
        let pid = spawning.child().unwrap().pid();
        drop(spawning);
        // It is reaped here or on a thread.
        loop {
            // SAFETY: takes no pointers.
            if once(|| unsafe { libc::kill(pid, 0) }).is_err() {
                break;
            }
            thread_yield();
        }
    }
}

fn thread_yield() {
    std::thread::yield_now();
}

#[test]
fn the_end_is_seen_and_signals_stop_at_it() {
    for watch in [Watch::Pidfd, Watch::Thread] {
        let mut child = begun(spawn(shell("kill -STOP $$; exit 5"), Memory::Shared, watch).unwrap()).unwrap();
        let (ended, end) = std::sync::mpsc::channel();
        child.watch_on_thread(move || ended.send(()).unwrap()).unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        // Only the child's own end ends the wait.
        while end.try_recv().is_err() {
            child.signal(libc::SIGCONT).unwrap();
            thread_yield();
        }
        assert_eq!(child.try_wait().unwrap(), Some(5));
        assert!(child.is_reaped());
        assert_eq!(child.signal(libc::SIGTERM).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert_eq!(child.try_wait().unwrap_err().raw_os_error(), Some(libc::ECHILD));
    }
}

#[test]
fn a_child_of_others_is_adopted() {
    let mut theirs = std::process::Command::new("/bin/sh").args(["-c", "exit 4"]).spawn().unwrap();
    let mut child = Child::adopt(theirs.id() as libc::pid_t, Watch::Pidfd);
    assert!(child.pidfd().is_some());
    assert_eq!(theirs.wait().unwrap().code(), Some(4));
    assert_eq!(child.signal(libc::SIGTERM).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    assert_eq!(child.wait().unwrap_err().raw_os_error(), Some(libc::ECHILD));
}

#[test]
fn the_report_is_no_standard_descriptor() {
    let (_reader, writer) = report_pipe().unwrap();
    assert!(writer.into_raw_fd() > 2);
}
