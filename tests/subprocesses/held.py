"""A program that does not begin until it is let: the kernel holds up whatever opens a file with a lease on it."""

import contextlib
import fcntl
import os
import shutil
import signal


@contextlib.contextmanager
def held_program(directory, program="cat"):
    """A copy of *program* in *directory* whose `execve` waits; yields its path and what lets it go on."""
    path = os.path.join(directory, program)
    shutil.copy(shutil.which(program), path)
    fd = os.open(path, os.O_RDONLY)
    # The holder is told of each process that waits, by a signal that would end it.
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    def let_go():
        if fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_UNLCK:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    try:
        yield path, let_go
    finally:
        let_go()
        os.close(fd)
        signal.signal(signal.SIGIO, before)
