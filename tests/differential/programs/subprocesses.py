"""Subprocesses: streams, communicate, signals, exit statuses, arguments."""

import asyncio
import signal
import subprocess
import sys

from observe import attempt, emit, outcome, scenario, spin, until

PIPE = asyncio.subprocess.PIPE


async def python(code, **kwargs):
    return await asyncio.create_subprocess_exec(sys.executable, "-c", code, **kwargs)


@scenario
async def communicate():
    proc = await python("print(input().upper())", stdin=PIPE, stdout=PIPE)
    emit(proc.returncode, proc.pid > 0)
    emit(await proc.communicate(b"hello\n"), proc.returncode)
    emit(await proc.wait())


@scenario
async def streams():
    proc = await python("import sys\nfor l in sys.stdin: print(len(l), flush=True)", stdin=PIPE, stdout=PIPE)
    for word in (b"one\n", b"three\n"):
        proc.stdin.write(word)
        await proc.stdin.drain()
        emit(await proc.stdout.readline())
    proc.stdin.close()
    emit(await proc.stdout.read(), await proc.wait())


@scenario
async def statuses():
    for code in ("pass", "raise SystemExit(3)", "import os; os.kill(os.getpid(), 15)"):
        proc = await python(code)
        emit(await proc.wait(), proc.returncode)


@scenario
async def killing():
    for method, args in (("terminate", ()), ("kill", ()), ("send_signal", (signal.SIGUSR1,))):
        proc = await python("input()", stdin=PIPE)
        getattr(proc, method)(*args)
        emit(method, await proc.wait())
        # From 3.14 on wait() does not wait for the transport to be done with the process.
        await until(lambda proc=proc: proc._transport._proc is None)
        attempt("afterwards", getattr(proc, method), *args)


@scenario
async def shell():
    proc = await asyncio.create_subprocess_shell("echo out; echo err >&2; exit 4", stdout=PIPE, stderr=PIPE)
    emit(await proc.communicate(), proc.returncode)
    proc = await asyncio.create_subprocess_shell(
        "echo both; echo err >&2", stdout=PIPE, stderr=subprocess.STDOUT
    )
    emit(await proc.communicate())


@scenario
async def pipes_not_asked_for():
    proc = await python("pass")
    emit(proc.stdin, proc.stdout, proc.stderr, await proc.communicate())
    proc = await python("print('lost')", stdout=asyncio.subprocess.DEVNULL)
    emit(await proc.communicate())


@scenario
async def not_found():
    await outcome("exec", asyncio.create_subprocess_exec("/no/such/program"))


@scenario
async def child_that_does_not_read():
    proc = await python("pass", stdin=PIPE)
    emit(await proc.communicate(b"x" * 1_000_000))


@scenario
async def wait_from_several_tasks():
    proc = await python("pass")
    emit(await asyncio.gather(*(proc.wait() for _ in range(3))))


@scenario
async def cancelled_communicate():
    proc = await python("input()", stdin=PIPE, stdout=PIPE)
    task = asyncio.create_task(proc.stdout.read())
    await spin(3)
    task.cancel()
    await outcome("read", task)
    proc.kill()
    emit(await proc.wait())


@scenario
async def environment_and_folder():
    proc = await python(
        "import os; print(os.environ['NAME'], os.getcwd())", stdout=PIPE, env={"NAME": "value"}, cwd="/"
    )
    emit(await proc.communicate())


@scenario
async def bad_arguments():
    loop = asyncio.get_running_loop()
    await outcome("universal_newlines", asyncio.create_subprocess_exec("true", universal_newlines=True))
    await outcome("shell", asyncio.create_subprocess_exec("true", shell=True))
    await outcome("bufsize", asyncio.create_subprocess_exec("true", bufsize=1))
    await outcome("text", asyncio.create_subprocess_exec("true", text=True))
    await outcome("encoding", asyncio.create_subprocess_exec("true", encoding="utf-8"))
    await outcome("shell is a list", loop.subprocess_shell(asyncio.SubprocessProtocol, ["true"]))
    await outcome("shell is false", asyncio.create_subprocess_shell("true", shell=False))


@scenario
async def protocol_callbacks():
    done = asyncio.get_running_loop().create_future()

    class Log(asyncio.SubprocessProtocol):
        def __init__(self):
            self.data = {1: b"", 2: b""}
            self.pipes = set()

        def connection_made(self, transport):
            emit("connection_made", isinstance(transport, asyncio.SubprocessTransport))

        def pipe_data_received(self, fd, data):
            self.data[fd] += data

        def pipe_connection_lost(self, fd, exc):
            self.pipes.add((fd, exc))

        def process_exited(self):
            emit("process_exited")

        def connection_lost(self, exc):
            emit("connection_lost", exc, self.data, self.pipes)
            done.set_result(None)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.subprocess_exec(
        Log, sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr)", stdin=None
    )
    emit(
        transport.get_pid() > 0, transport.get_pipe_transport(1) is not None, transport.get_pipe_transport(7)
    )
    await done
    emit(transport.get_returncode())
    transport.close()


@scenario
async def many_at_once():
    async def one(i):
        proc = await python(f"print({i})", stdout=PIPE)
        out, _ = await proc.communicate()
        return int(out), proc.returncode

    emit(await asyncio.gather(*(one(i) for i in range(6))))


@scenario
async def reprs():
    proc = await python("pass")
    await proc.wait()
    emit(proc)
