"""A program on a terminal of its own: what it shows is waited for, and keys are typed."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

# However slow the machine: only a program that hangs takes as long.
PATIENCE = 60

SEQUENCES = re.compile(r"\x1b(\[[0-9;?]*[@-~]|[=>])")
UNFINISHED = re.compile(r"(.*?)((?:\x1b(?:\[[0-9;?]*)?)?)", re.DOTALL)


class Terminal:
    """*command* on a pseudo-terminal of 24 lines and 100 columns; a context manager that ends it."""

    def __init__(self, command, **options):
        # What was shown: without the sequences that move the cursor and set colours, and with them.
        self.screen = self.raw = ""
        self._held = ""
        self._keyboard, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))

        def own_the_terminal():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGINT, signal.default_int_handler)

        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_the_terminal, **options
        )
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._keyboard)

    def type(self, text):
        """Press keys: letters, or control characters."""
        os.write(self._keyboard, text.encode())

    def line(self, text):
        """Type a line and press Return."""
        self.type(text + "\r")

    def wait_for(self, pattern):
        """Read until *pattern*, a regular expression, shows; returns what came up to its end, and forgets that."""
        while True:
            found = re.search(pattern, self.screen)
            if found:
                seen, self.screen = self.screen[: found.end()], self.screen[found.end() :]
                return seen
            if not self._read():
                raise AssertionError(f"{pattern!r} did not show; last of all: {self.screen[-500:]!r}")

    def ended(self):
        """Wait for the program's end; returns its exit status and what it has shown since."""
        while self._read():
            pass
        return self.process.wait(PATIENCE), self.screen

    def _read(self):
        ready, _, _ = select.select([self._keyboard], [], [], PATIENCE)
        if not ready:
            return False
        data = b""
        # EIO: the other end is closed.
        with contextlib.suppress(OSError):
            data = os.read(self._keyboard, 65536)
        self._held += data.decode(errors="replace")
        # A sequence may be cut in two.
        whole, self._held = UNFINISHED.fullmatch(self._held).groups()
        self.raw += whole
        self.screen += SEQUENCES.sub("", whole)
        return bool(data)
