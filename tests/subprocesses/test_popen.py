"""subprocess.Popen is called where only it can do what is asked, and its object is there for those who ask for it."""

import os
import signal
import subprocess
import warnings

import pytest


class Counted(subprocess.Popen):
    made = 0

    def __init__(self, *args, **kwargs):
        type(self).made += 1
        super().__init__(*args, **kwargs)


async def echo(asyncio, **kwargs):
    proc = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1, **kwargs)
    return await proc.communicate(b"data")


def test_another_class_in_its_place(asyncio, run, left, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", Counted)
    monkeypatch.setattr(Counted, "made", 0)
    assert run(echo(asyncio)) == (b"data", None)
    assert Counted.made == 1
    assert left() == (set(), set())


def test_a_method_that_is_wrapped(asyncio, run, left, monkeypatch):
    seen = []
    original = subprocess.Popen.__init__

    def init(self, args, **kwargs):
        seen.append((args, kwargs["shell"], kwargs["stdin"], kwargs["bufsize"]))
        original(self, args, **kwargs)

    monkeypatch.setattr(subprocess.Popen, "__init__", init)
    assert run(echo(asyncio)) == (b"data", None)
    assert seen == [(("cat",), False, -1, 0)]
    assert left() == (set(), set())


def test_what_debuggers_put_there(asyncio, run, monkeypatch):
    calls = []
    original = subprocess._fork_exec

    def fork_exec(args, *rest):
        calls.append(args)
        return original(args, *rest)

    monkeypatch.setattr(subprocess, "_fork_exec", fork_exec)
    # Otherwise 3.13 and later may take another way.
    monkeypatch.setattr(subprocess, "_USE_POSIX_SPAWN", False)
    assert run(echo(asyncio)) == (b"data", None)
    assert calls == [["cat"]]


def test_preexec_fn_runs_in_the_child(asyncio, run, left):
    reader, writer = os.pipe()

    async def main():
        proc = await asyncio.create_subprocess_exec(
            "true", preexec_fn=lambda: os.write(writer, b"%d" % os.getpid()), pass_fds=[writer]
        )
        assert await proc.wait() == 0
        assert os.read(reader, 100) == b"%d" % proc.pid

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        run(main())
    os.close(reader)
    os.close(writer)
    assert left() == (set(), set())


def test_audit_hooks(tmp_path, impl):
    import implementation

    program = tmp_path / "audited.py"
    program.write_text(
        "import asyncio, sys\n"
        "events = []\n"
        "def hook(event, args):\n"
        "    if event == 'subprocess.Popen':\n"
        "        events.append(args)\n"
        "        if args[1][-1] == 'no': raise PermissionError('hook')\n"
        "sys.addaudithook(hook)\n"
        "async def main():\n"
        "    await (await asyncio.create_subprocess_exec('true', 'x', cwd='/', env={'PATH': '/bin:/usr/bin'})).wait()\n"
        "    await (await asyncio.create_subprocess_shell('true')).wait()\n"
        "    try: await asyncio.create_subprocess_exec('true', 'no')\n"
        "    except PermissionError as exc: print(exc)\n"
        "asyncio.run(main())\n"
        "print(events)\n"
    )
    ended = implementation.run(impl, program, seconds=60)
    assert ended.stderr == ""
    assert ended.stdout == (
        "hook\n[('true', ['true', 'x'], '/', {'PATH': '/bin:/usr/bin'}), "
        "('/bin/sh', ['/bin/sh', '-c', 'true'], None, None), ('true', ['true', 'no'], None, None)]\n"
    )


def test_the_object(asyncio, run, left):
    async def main():
        proc = await asyncio.create_subprocess_exec("sleep", "1000", stdin=-1, stdout=-1)
        popen = proc._transport.get_extra_info("subprocess")
        assert type(popen) is subprocess.Popen
        assert popen is proc._transport.get_extra_info("subprocess") is proc._transport._proc
        assert popen.pid == proc.pid
        assert popen.poll() is None
        assert popen.args == ("sleep", "1000")
        assert popen.stdin.fileno() >= 0
        assert not popen.stdout.closed
        assert popen.stderr is None
        assert popen.universal_newlines is False
        repr(popen)
        popen.terminate()
        assert await proc.wait() == -signal.SIGTERM
        assert popen.returncode == -signal.SIGTERM
        proc.stdin.close()
        await proc.communicate()

    run(main())
    assert left() == (set(), set())


def test_memory_that_is_not_to_be_shared(asyncio, run, monkeypatch):
    if not hasattr(subprocess, "_USE_VFORK"):
        pytest.skip("this Python has no such setting")
    monkeypatch.setattr(subprocess, "_USE_VFORK", False)
    assert run(echo(asyncio)) == (b"data", None)


def test_words_of_the_environment(asyncio, impl, monkeypatch):
    if impl == "stock":
        pytest.skip("settings of ferrio's")
    for name in ("FERRIO_CHILD_WATCHER", "FERRIO_SPAWN"):
        with monkeypatch.context() as context:
            context.setenv(name, "what")
            with pytest.raises(ValueError, match=name):
                asyncio.run(echo(asyncio))


def test_user_and_groups(asyncio, run, left):
    if os.getuid() != 0:
        pytest.skip("only root may change its user")

    async def shows(**kwargs):
        # Not a program of this environment, which may be where that user may not look.
        proc = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", "id -u; id -ru; id -g; id -rg; id -G", stdout=-1, cwd="/", **kwargs
        )
        return (await proc.communicate())[0].decode().split("\n")[:-1]

    async def main():
        assert await shows(user=1, group=2, extra_groups=[3, 4]) == ["1", "1", "2", "2", "2 3 4"]
        assert await shows(user="daemon", group="daemon", extra_groups=["sys", 5]) == [
            "1",
            "1",
            "1",
            "1",
            "1 3 5",
        ]
        assert await shows(extra_groups=[]) == ["0", "0", "0", "0", "0"]
        with pytest.raises(KeyError):
            await shows(user="no-such-user")
        # This process is still its own.
        assert (os.getuid(), os.getgid()) == (0, 0)

    run(main())
    assert left() == (set(), set())


def test_pipesize(asyncio, run):
    import fcntl

    async def main():
        proc = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1, pipesize=8192)
        for fd in (0, 1):
            pipe = proc._transport.get_pipe_transport(fd).get_extra_info("pipe")
            assert fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) == 8192
        await proc.communicate(b"")

    run(main())
