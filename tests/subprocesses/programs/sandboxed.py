"""Children in a sandbox that refuses some system calls: what is done instead gives the same.

sandboxed.py WHAT: `pidfd` refuses to make and to use pidfds, `share` to make a process that shares memory, `close`
refuses close_range, `all` all of that.
"""

import asyncio
import ctypes
import errno
import os
import platform
import struct
import sys

CLONE, PIDFD_OPEN, PIDFD_SEND_SIGNAL, CLOSE_RANGE = {
    "x86_64": (56, 434, 424, 436),
    "aarch64": (220, 434, 424, 436),
}[platform.machine()]
CLONE_VM, CLONE_PIDFD, CLONE_THREAD = 0x100, 0x1000, 0x10000

# Instructions of a filter: load a word, jump if equal, jump if any of the bits, return.
LOAD, JEQ, JSET, RET = 0x20, 0x15, 0x45, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER, FIRST_ARGUMENT = 0, 16


def refuse(number, code):
    """Refuse a system call."""
    return [(JEQ, 0, 1, number), (RET, 0, 0, ERRNO | code)]


def refuse_clone(flag, code, unless=None):
    """Refuse to clone with a flag, unless there is another one too."""
    jump = [(LOAD, 0, 0, FIRST_ARGUMENT)]
    if unless is not None:
        jump += [(JSET, 2, 0, unless)]
    jump += [(JSET, 0, 1, flag), (RET, 0, 0, ERRNO | code)]
    return [(JEQ, 0, len(jump) + 1, CLONE), *jump, (LOAD, 0, 0, NUMBER)]


RULES = {
    "pidfd": refuse_clone(CLONE_PIDFD, errno.EINVAL)
    + refuse(PIDFD_OPEN, errno.EPERM)
    + refuse(PIDFD_SEND_SIGNAL, errno.ENOSYS),
    "send": refuse(PIDFD_SEND_SIGNAL, errno.ENOSYS),
    "share": refuse_clone(CLONE_VM, errno.EPERM, unless=CLONE_THREAD),
    "close": refuse(CLOSE_RANGE, errno.ENOSYS),
}
RULES["all"] = RULES["pidfd"] + RULES["share"] + RULES["close"]


def install(rules):
    """Have the kernel apply *rules* to this process."""
    program = [(LOAD, 0, 0, NUMBER), *rules, (RET, 0, 0, ALLOW)]
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privs, seccomp, filter_mode = 38, 22, 2
    for args in ((no_new_privs, 1, 0, 0, 0), (seccomp, filter_mode, ctypes.c_char_p(header), 0, 0)):
        if libc.prctl(*args):
            sys.exit(f"refused: {os.strerror(ctypes.get_errno())}")


async def main():
    proc = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    assert await proc.communicate(b"data") == (b"data", None)
    proc = await asyncio.create_subprocess_exec("sleep", "1000")
    proc.terminate()
    assert await proc.wait() == -15
    task = asyncio.create_task(asyncio.create_subprocess_exec("sleep", "1000", stdin=-1))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    for kwargs in ({}, {"cwd": "/no/such/directory"}):
        try:
            await asyncio.create_subprocess_exec("/no/such/program", **kwargs)
        except FileNotFoundError as exc:
            assert exc.filename == kwargs.get("cwd", "/no/such/program")
        else:
            raise AssertionError
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    script = f"[ -e /dev/fd/{reader} ] && [ ! -e /dev/fd/{writer} ] && echo ok"
    proc = await asyncio.create_subprocess_exec("sh", "-c", script, stdout=-1, pass_fds=[reader])
    assert await proc.communicate() == (b"ok\n", None)
    await asyncio.gather(*(short(code) for code in range(30)))
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("same")


async def short(code):
    proc = await asyncio.create_subprocess_exec("sh", "-c", f"exit {code}")
    assert await proc.wait() == code


install(RULES[sys.argv[1]])
if sys.argv[1] in ("pidfd", "all"):
    try:
        os.pidfd_open(os.getpid())
    except PermissionError:
        pass
    else:
        sys.exit("the filter lets it through")
asyncio.run(main())
