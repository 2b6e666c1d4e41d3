"""The end of a child, and what comes before and after it: protocols, signals, cancellation, what others do."""

import asyncio
import os
import signal
import subprocess
import sys

from observe import attempt, emit, outcome, polled, scenario, spin, until

PIPE = asyncio.subprocess.PIPE


class Log(asyncio.SubprocessProtocol):
    """Writes what is not bound to come in one order; data is gathered."""

    def __init__(self):
        self.calls = []
        self.data = {1: b"", 2: b""}
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.calls.append("made")

    def pipe_data_received(self, fd, data):
        self.data[fd] += data

    def pipe_connection_lost(self, fd, exc):
        self.calls.append(("pipe", fd, exc))

    def process_exited(self):
        self.calls.append("exited")

    def connection_lost(self, exc):
        self.calls.append(("lost", exc))
        self.lost.set_result(None)


async def start(*args, **kwargs):
    for name in ("stdin", "stdout", "stderr"):
        kwargs.setdefault(name, None)
    return await asyncio.get_running_loop().subprocess_exec(Log, *args, **kwargs)


async def exec_(*args, **kwargs):
    return await asyncio.create_subprocess_exec(*args, **kwargs)


@scenario
async def callbacks_without_pipes():
    transport, protocol = await start("true")
    await protocol.lost
    emit(protocol.calls, transport.get_returncode(), transport.is_closing())
    emit(transport._loop, transport._protocol, transport._proc)
    attempt("kill", transport.kill)
    attempt("send_signal", transport.send_signal, signal.SIGTERM)
    transport.close()
    emit(transport.is_closing(), transport)


@scenario
async def callbacks_with_stdin():
    transport, protocol = await start("cat", stdin=PIPE)
    emit(protocol.calls, transport.get_pipe_transport(0) is not None, transport.get_pipe_transport(1))
    transport.get_pipe_transport(0).close()
    await protocol.lost
    emit(protocol.calls)
    transport.close()


@scenario
async def a_pipe_outlives_the_process():
    # The grandchild has the pipe, and ends when its own input does. A plain sh takes no number above 9 after "<&".
    reader, writer = os.pipe()
    script = f"cat /dev/fd/{reader} & exit 5"
    transport, protocol = await start("sh", "-c", script, stdout=PIPE, pass_fds=[reader])
    os.close(reader)
    await until(lambda: "exited" in protocol.calls)
    emit(protocol.calls, transport.get_returncode())
    waiting = asyncio.ensure_future(transport._wait())
    await spin(3)
    emit(waiting.done())
    os.close(writer)
    await protocol.lost
    emit(protocol.calls, await waiting)
    transport.close()


@scenario
async def wait_while_a_grandchild_holds_stdout():
    reader, writer = os.pipe()
    # The shell ends only when told to, so the tasks wait before it does. A wait() that begins later returns at once.
    gate, opener = os.pipe()
    script = f"cat /dev/fd/{reader} & read line </dev/fd/{gate}; exit 5"
    proc = await exec_("sh", "-c", script, stdout=PIPE, pass_fds=[reader, gate])
    os.close(reader)
    os.close(gate)
    waiting = [asyncio.create_task(proc.wait()) for _ in range(3)]
    await spin(1)
    os.close(opener)
    await until(lambda: proc.returncode is not None)
    await spin(5)
    emit([task.done() for task in waiting], proc.returncode)
    communicating = asyncio.create_task(proc.communicate())
    await spin(5)
    emit(communicating.done())
    os.close(writer)
    emit(await asyncio.gather(*waiting), await communicating)


# In 3.11 stock's watcher is a thread that waits for the child too: which of the two reaps it is chance.
@scenario(since=(3, 12))
async def reaped_by_somebody_else():
    transport, protocol = await start("sleep", "1000")
    transport.kill()
    # The loop does not look meanwhile.
    pid, status = os.waitpid(transport.get_pid(), 0)
    emit(pid == transport.get_pid(), os.waitstatus_to_exitcode(status))
    await protocol.lost
    emit(transport.get_returncode(), protocol.calls)
    transport.close()


# In 3.11 stock's watcher is a thread that waits for the child too: which of the two reaps it is chance.
@scenario(since=(3, 12))
async def reaped_by_the_popen():
    transport, protocol = await start("sleep", "1000")
    popen = transport.get_extra_info("subprocess")
    emit(isinstance(popen, subprocess.Popen), popen.pid == transport.get_pid(), popen.args, popen.stdin)
    popen.kill()
    emit(popen.wait())
    await protocol.lost
    emit(transport.get_returncode(), popen.returncode)
    transport.close()


@scenario
async def children_that_are_not_to_be_waited_for():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        transport, protocol = await start("cat", stdin=PIPE)
        transport.get_pipe_transport(0).close()
        await protocol.lost
        emit(transport.get_returncode())
        transport.close()
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@scenario
async def closed_while_it_runs():
    transport, protocol = await start("cat", stdin=PIPE, stdout=PIPE)
    transport.close()
    transport.close()
    emit(transport.is_closing())
    await protocol.lost
    emit(sorted(protocol.calls, key=str), transport.get_returncode())


@scenario
async def stopped_and_continued():
    proc = await exec_("cat", stdin=PIPE, stdout=PIPE)
    proc.send_signal(signal.SIGSTOP)
    await polled()
    emit(proc.returncode)
    proc.stdin.write(b"later")
    proc.stdin.close()
    proc.send_signal(signal.SIGCONT)
    emit(await proc.communicate(), proc.returncode)


@scenario
async def a_child_that_ignores_sigterm():
    proc = await exec_("sh", "-c", "trap '' TERM; echo ready; exec sleep 1000", stdout=PIPE)
    emit(await proc.stdout.readline())
    proc.terminate()
    await polled()
    emit(proc.returncode)
    proc.kill()
    emit(await proc.wait())


@scenario
async def signals_that_are_none():
    proc = await exec_("cat", stdin=PIPE)
    attempt("too large", proc.send_signal, 1000)
    attempt("zero", proc.send_signal, 0)
    attempt("text", proc.send_signal, "TERM")
    proc.stdin.close()
    emit(await proc.wait())
    # From 3.14 on wait() does not wait for the transport to be done with the process.
    await until(lambda: proc._transport._proc is None)
    for method in ("kill", "terminate"):
        attempt(method, getattr(proc, method))
    attempt("none", proc.send_signal, 0)


@scenario
async def a_child_that_closes_its_pipes_early():
    proc = await exec_("sh", "-c", "exec <&- >&- 2>&-; read x <&3", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    emit(await proc.stdout.read(), await proc.stderr.read())
    emit(await proc.wait() != 0)


@scenario
async def written_after_the_end():
    proc = await exec_("true", stdin=PIPE)
    await proc.stdin.wait_closed()
    emit(await proc.wait())
    for _ in range(3):
        attempt("write", proc.stdin.write, b"x" * 100_000)
    await outcome("drain", proc.stdin.drain())
    await outcome("closed", proc.stdin.wait_closed())
    emit(proc.stdin.is_closing())


@scenario
async def written_while_nobody_reads():
    proc = await exec_("sleep", "1000", stdin=PIPE)
    proc.stdin.write(b"x" * 1_000_000)
    draining = asyncio.create_task(proc.stdin.drain())
    await spin(5)
    emit(draining.done())
    proc.kill()
    await outcome("drain", draining)
    emit(await proc.wait())
    await outcome("closed", proc.stdin.wait_closed())


@scenario
async def more_than_the_reader_takes():
    proc = await exec_("head", "-c", "1000000", "/dev/zero", stdout=PIPE, limit=1024)
    await until(lambda: proc.stdout._paused)
    total = 0
    while data := await proc.stdout.read(5000):
        total += len(data)
    emit(total, await proc.wait())


@scenario
async def cancelled_in_the_first_turns():
    for turns in range(4):
        task = asyncio.create_task(exec_("sleep", "1000", stdin=PIPE, stdout=PIPE))
        await spin(turns)
        task.cancel()
        await outcome(turns, task)
        try:
            emit(os.waitpid(-1, os.WNOHANG))
        except ChildProcessError as exc:
            emit(exc)


@scenario
async def beside_a_failing_sibling():
    async def fails():
        await spin(2)
        raise ZeroDivisionError

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(exec_("sleep", "1000", stdin=PIPE, stdout=PIPE))
            group.create_task(fails())
    except ExceptionGroup as exc:
        emit(exc)
    try:
        emit(os.waitpid(-1, os.WNOHANG))
    except ChildProcessError as exc:
        emit(exc)


@scenario
async def communicate_given_up():
    proc = await exec_("sleep", "1000", stdin=PIPE, stdout=PIPE)
    await outcome("too slow", asyncio.wait_for(asyncio.shield(asyncio.sleep(1000)), 0))
    task = asyncio.create_task(proc.communicate())
    await spin(2)
    task.cancel()
    await outcome("cancelled", task)
    proc.kill()
    emit(await proc.wait())


@scenario
async def streams_and_attributes():
    proc = await exec_("cat", stdin=PIPE, stdout=PIPE, stderr=subprocess.STDOUT)
    emit(proc, type(proc.stdin).__name__, type(proc.stdout).__name__, proc.stderr, proc.returncode)
    emit(proc._transport.get_protocol(), type(proc._protocol).__name__)
    emit(proc._transport.get_extra_info("nothing", 5), proc._transport.is_closing())
    emit(sorted(proc._transport._pipes), proc._transport._pipes[0], proc._protocol)
    emit(await proc.communicate(b"x"))
    emit(proc._transport, proc._transport.is_closing(), proc.stdin.is_closing())


@scenario(debug=True)
async def what_debug_mode_says():
    # Not both of its pipes and its end, which come in any order.
    proc = await exec_("cat", stdin=PIPE, stdout=subprocess.DEVNULL)
    emit(await proc.communicate(b"x"))
    transport, protocol = await start("cat", stdin=PIPE)
    transport.close()
    await protocol.lost


@scenario
async def descriptors_of_the_program():
    code = (
        "import os; fds = map(int, os.listdir('/proc/self/fd'));"
        "print(sorted(fd for fd in fds if os.path.exists(f'/proc/self/fd/{fd}')))"
    )
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    for kwargs in ({}, {"pass_fds": ()}, {"close_fds": True}):
        proc = await exec_(sys.executable, "-c", code, stdout=PIPE, **kwargs)
        emit((await proc.communicate())[0])
    keep = os.dup2(reader, 77)
    proc = await exec_(sys.executable, "-c", code, stdout=PIPE, pass_fds=[77])
    emit((await proc.communicate())[0], os.get_inheritable(77))
    os.dup2(writer, 78, inheritable=True)
    proc = await exec_(sys.executable, "-c", code, stdout=PIPE, close_fds=False)
    emit(b"78" in (await proc.communicate())[0])
    for fd in (reader, writer, keep, 78):
        os.close(fd)


@scenario
async def standard_descriptors():
    with open("/dev/null") as null:
        stat = os.fstat(0)
        proc = await exec_(
            sys.executable, "-c", "import os; s = os.fstat(0); print(s.st_rdev, s.st_ino)", stdout=PIPE
        )
        emit((await proc.communicate())[0] == f"{stat.st_rdev} {stat.st_ino}\n".encode())
        proc = await exec_("sh", "-c", "[ -p /dev/stdout ] && echo out > /proc/self/fd/1", stdout=PIPE)
        emit(await proc.communicate())
        proc = await exec_("sh", "-c", "[ -p /dev/stdin ] && cat /proc/self/fd/0", stdin=PIPE, stdout=PIPE)
        emit(await proc.communicate(b"in"))
        proc = await exec_("cat", stdin=null, stdout=PIPE)
        emit(await proc.communicate())
        proc = await exec_("sh", "-c", "echo one; echo two >&2", stdout=PIPE, stderr=1)
        emit((await proc.communicate())[0])


@scenario
async def the_process_that_begins():
    code = (
        "import os, signal; m = os.umask(0);"
        "print(oct(m), os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid(),"
        "signal.pthread_sigmask(0, []), signal.getsignal(signal.SIGPIPE), signal.getsignal(signal.SIGUSR1))"
    )
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    old = os.umask(0o22)
    for kwargs in (
        {},
        {"umask": 0o77},
        {"start_new_session": True},
        {"process_group": 0},
        {"restore_signals": False},
        {"start_new_session": True, "umask": 0, "restore_signals": True},
    ):
        proc = await exec_(sys.executable, "-I", "-c", code, stdout=PIPE, **kwargs)
        emit(sorted(kwargs), await proc.communicate())
    os.umask(old)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
