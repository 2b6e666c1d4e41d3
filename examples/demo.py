"""What `make demo` shows: unmodified asyncio programs run by `ferrio run`, and how much faster a few things are.

    python examples/demo.py [--impl stock]

`--impl stock` runs the same programs on the interpreter's own asyncio, without the comparison. This driver is not
one of them: it only starts programs, waits for lines that they print, and stops them; whatever it has started is
gone when it ends, however it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import shlex
import shutil
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60
"""Seconds for anything that a working program does at once."""


class Failed(Exception):
    """A program did not do what it should have; the text says which and what it printed."""


class Program:
    """A program in a process of its own, as the demo's reader would start it in a terminal."""

    def __init__(self, shown: str, process: asyncio.subprocess.Process) -> None:
        self.shown = shown
        self.process = process
        self.printed: list[str] = []

    def failed(self, why: str) -> Failed:
        return Failed("\n".join([f"`{self.shown}` {why}; it had printed:", *self.printed]))

    async def line(self) -> str | None:
        """The next line that it prints; None at the end."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                data = await self.process.stdout.readline()
        except TimeoutError:
            raise self.failed(f"printed nothing for {PATIENCE} s") from None
        if not data:
            return None
        self.printed.append(data.decode(errors="replace").rstrip())
        return self.printed[-1]

    async def expect(self, pattern: str) -> re.Match[str]:
        """Wait for a line in which the regular expression is found."""
        while (line := await self.line()) is not None:
            if match := re.search(pattern, line):
                return match
        raise self.failed(f"ended without {pattern!r}")

    def type(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    def end_input(self) -> None:
        """Close its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def finish(self) -> list[str]:
        """Wait for its end, which has to be a success; returns all that it printed."""
        while await self.line() is not None:
            continue
        if status := await self.process.wait():
            raise self.failed(f"failed with exit status {status}")
        return self.printed

    async def stop(self, status: int = 0) -> None:
        """Ask it to end, with SIGTERM, and wait until it has, with the exit status it should have then."""
        self.process.send_signal(signal.SIGTERM)
        while await self.line() is not None:
            continue
        if await self.process.wait() != status:
            raise self.failed(f"ended with exit status {self.process.returncode}, not {status}")


class Demo:
    """The programs in turn, on one implementation."""

    def __init__(self, implementation: str, running: contextlib.AsyncExitStack) -> None:
        self.implementation = implementation
        self.running = running

    async def start(self, *arguments: str, quiet: bool = False) -> Program:
        """Start `python arguments…` on the implementation; `quiet` does not show the command."""
        before = ["-m", "ferrio", "run"] if self.implementation == "ferrio" else []
        shown = shlex.join(["ferrio", "run", *arguments] if before else ["python", *arguments])
        if not quiet:
            say(f"$ {shown}")
        return await self.spawn(shown, sys.executable, *before, *arguments)

    async def spawn(self, shown: str, *command: str) -> Program:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self.running.push_async_callback(end, process)
        return Program(shown, process)

    async def hello(self) -> None:
        """asyncio's hello world"""
        program = await self.start("examples/hello.py")
        say(*await program.finish())

    async def echo(self) -> None:
        """a TCP echo server, and fifty clients at once"""
        server = await self.start("examples/echo_server.py", "--port", "0")
        port = (await server.expect(r"echo server on .*:(\d+)$"))[1]
        client = await self.start("examples/echo_client.py", "--port", port)
        say(*await client.finish())
        await server.stop()

    async def chat(self) -> None:
        """a chat room, and three guests"""
        server = await self.start("examples/chat_server.py", "--port", "0")
        port = (await server.expect(r"chat server on .*:(\d+)$"))[1]
        guests = {}
        for name in ("ada", "ben", "eva"):
            guests[name] = await self.start("examples/chat_client.py", name, "--port", port, quiet=True)
            await guests[name].expect(f"^welcome {name}")
        guests["ada"].type("does anybody here speak Rust?")
        for name in ("ben", "eva"):
            await guests[name].expect("^ada: does anybody")
        guests["ben"].type("you are talking to it")
        for name in ("ada", "eva"):
            await guests[name].expect("^ben: you are")
        say("what eva has seen:", *[f"  {line}" for line in guests["eva"].printed])
        for guest in guests.values():
            guest.end_input()
            await guest.finish()
        await server.stop()

    async def uvicorn(self) -> None:
        """uvicorn (with httptools) serving examples/asgi_app.py, fetched with curl"""
        server = await self.start(
            *("-m", "uvicorn", "--app-dir", "examples", "asgi_app:app"),
            *("--loop", "asyncio", "--http", "httptools", "--no-access-log", "--port", "0"),
        )
        url = (await server.expect(r"Uvicorn running on (http://[\d.]+:\d+)"))[1]
        for path in ("/", "/loop", "/lines?n=3"):
            say(*await (await self.fetch(url + path)).finish())
        # uvicorn lets the signal have its usual effect once it has shut down.
        await server.stop(status=-signal.SIGTERM)
        say(*[line for line in server.printed if line.startswith("application")])

    async def fetch(self, url: str) -> Program:
        """curl, or where there is none a line of Python that does the same."""
        if curl := shutil.which("curl"):
            say(f"$ curl {shlex.quote(url)}")
            return await self.spawn(f"curl {url}", curl, "--silent", "--show-error", "--fail", url)
        code = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode(), end='')"
        say(f"$ python -c '...urlopen...' {url}     (there is no curl here)")
        return await self.spawn(f"fetching {url}", sys.executable, "-c", code, url)

    async def compare(self) -> None:
        """a first comparison with stock asyncio (`make bench` is the measurement)"""
        program = await self.spawn("bench/compare_demo.py", sys.executable, "bench/compare_demo.py")
        say("$ python bench/compare_demo.py")
        while (line := await program.line()) is not None:
            say(line.rpartition("\r")[2])
        await program.finish()


async def end(process: asyncio.subprocess.Process) -> None:
    """Leave nothing behind."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()


def say(*lines: str) -> None:
    for line in lines:
        print(f"    {line}", flush=True)


async def main(implementation: str) -> int:
    """Show everything; returns the exit status."""
    async with contextlib.AsyncExitStack() as running:
        demo = Demo(implementation, running)
        scenes = [demo.hello, demo.echo, demo.chat, demo.uvicorn]
        if implementation == "ferrio":
            scenes.append(demo.compare)
        for number, scene in enumerate(scenes, 1):
            print(f"\n{number}. {scene.__doc__}", flush=True)
            try:
                await scene()
            except Failed as failure:
                print(f"\nthe demo failed: {failure}", file=sys.stderr, flush=True)
                return 1
    print(f"\nall of it ran on {'ferrio' if implementation == 'ferrio' else 'stock asyncio'}, unmodified.")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run unmodified asyncio programs on ferrio.")
    parser.add_argument("--impl", choices=["ferrio", "stock"], default="ferrio", help="default: %(default)s")
    try:
        sys.exit(asyncio.run(main(parser.parse_args().impl)))
    except KeyboardInterrupt:
        sys.exit(130)
