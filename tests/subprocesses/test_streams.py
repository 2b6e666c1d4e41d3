"""What a child writes reaches its stream, whichever of the steps on the way a program has replaced."""

import os

import pytest

DATA = os.urandom(300_000)


async def cat(asyncio, **kwargs):
    return await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1, **kwargs)


def test_a_method_on_the_protocol(asyncio, run):
    async def main():
        proc = await cat(asyncio)
        protocol, seen = proc._protocol, []
        original = protocol.pipe_data_received

        def received(fd, data):
            seen.append((fd, data))
            original(fd, data)

        protocol.pipe_data_received = received
        assert await proc.communicate(DATA) == (DATA, None)
        assert {fd for fd, _ in seen} == {1}
        assert b"".join(data for _, data in seen) == DATA

    run(main())


def test_a_method_on_the_class(asyncio, run, monkeypatch):
    seen = []
    original = asyncio.subprocess.SubprocessStreamProtocol.pipe_data_received

    def received(self, fd, data):
        seen.append(data)
        original(self, fd, data)

    monkeypatch.setattr(asyncio.subprocess.SubprocessStreamProtocol, "pipe_data_received", received)

    async def main():
        proc = await cat(asyncio)
        assert await proc.communicate(DATA) == (DATA, None)

    run(main())
    assert b"".join(seen) == DATA


@pytest.mark.parametrize("name", ["_pipe_data_received", "_call"])
def test_a_method_on_the_transport(asyncio, run, name):
    async def main():
        proc = await cat(asyncio)
        calls = []
        original = getattr(proc._transport, name)

        def called(*args):
            calls.append(args)
            original(*args)

        setattr(proc._transport, name, called)
        assert await proc.communicate(DATA) == (DATA, None)
        assert calls

    run(main())


def test_a_method_on_the_pipes_protocol(asyncio, run):
    async def main():
        proc = await cat(asyncio)
        pipe = proc._transport._pipes[1]
        seen = []
        original = pipe.data_received

        def received(data):
            seen.append(data)
            original(data)

        pipe.data_received = received
        assert await proc.communicate(DATA) == (DATA, None)
        assert b"".join(seen) == DATA

    run(main())


def test_another_protocol_in_between(asyncio, run):
    async def main():
        proc = await cat(asyncio)
        seen = []

        class Tap(asyncio.SubprocessProtocol):
            def __getattribute__(self, name):
                return getattr(protocol, name)

        protocol = proc._protocol

        class Counting(Tap):
            def pipe_data_received(self, fd, data):
                seen.append(data)
                protocol.pipe_data_received(fd, data)

            def __getattribute__(self, name):
                if name == "pipe_data_received":
                    return lambda *args: Counting.pipe_data_received(self, *args)
                return getattr(protocol, name)

        proc.stdin.write(b"before")
        assert await proc.stdout.readexactly(6) == b"before"
        proc._transport.set_protocol(Counting())
        assert await proc.communicate(DATA) == (DATA, None)
        assert b"".join(seen) == DATA

    run(main())


def test_replaced_in_between_and_put_back(asyncio, run):
    async def main():
        proc = await cat(asyncio)
        protocol = proc._protocol
        got = b""
        for number in range(40):
            if number % 4 == 1:
                protocol.pipe_data_received = protocol.pipe_data_received
            elif number % 4 == 3:
                del protocol.pipe_data_received
            chunk = b"%d," % number
            proc.stdin.write(chunk)
            got += await proc.stdout.readexactly(len(chunk))
        proc.stdin.close()
        assert await proc.stdout.read() == b""
        assert got == b"".join(b"%d," % number for number in range(40))
        await proc.wait()

    run(main())


def test_back_pressure(asyncio, run):
    async def main():
        proc = await asyncio.create_subprocess_exec(
            "head", "-c", "3000000", "/dev/zero", stdout=-1, limit=1000
        )
        pipe = proc._transport.get_pipe_transport(1)
        while not proc.stdout._paused:
            await asyncio.sleep(0)
        assert not pipe.is_reading()
        total = 0
        while data := await proc.stdout.read(100_000):
            total += len(data)
        assert total == 3_000_000
        assert await proc.wait() == 0

    run(main())


def test_lines_from_both_at_once(asyncio, run):
    script = "i=0; while [ $i -lt 200 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done"

    async def lines(stream):
        return [line async for line in stream]

    async def main():
        proc = await asyncio.create_subprocess_exec("sh", "-c", script, stdout=-1, stderr=-1)
        out, err = await asyncio.gather(lines(proc.stdout), lines(proc.stderr))
        assert out == [b"out %d\n" % i for i in range(200)]
        assert err == [b"err %d\n" % i for i in range(200)]
        assert await proc.wait() == 0

    run(main())


def test_a_full_pipe_and_a_child_that_never_reads(asyncio, run, left):
    async def main():
        proc = await asyncio.create_subprocess_exec("sleep", "1000", stdin=-1)
        proc.stdin.write(bytes(10_000_000))
        drain = asyncio.create_task(proc.stdin.drain())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not drain.done()
        proc.kill()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await drain
        assert await proc.wait() == -9

    run(main())
    assert left() == (set(), set())


def test_a_grandchild_that_has_left(asyncio, run):
    # A daemon: its parent has ended, and it has none of the pipes.
    script = "(sh -c 'exec </dev/null >/dev/null; read x <&3; exit 0' &) ; echo started"

    async def main():
        reader, writer = os.pipe()
        proc = await asyncio.create_subprocess_exec(
            "sh", "-c", script.replace("<&3", f"</dev/fd/{reader}"), stdout=-1, pass_fds=[reader]
        )
        assert await proc.communicate() == (b"started\n", None)
        assert proc.returncode == 0
        os.close(writer)
        os.close(reader)

    run(main())
