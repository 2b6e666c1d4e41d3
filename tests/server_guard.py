"""Runs a server for the tests and ends with them, however they end.

    python server_guard.py STOP_SIGNAL DIRECTORY USER COMMAND...

The tests hold the other end of this process's standard input. When that closes, because they are done, were
interrupted, hung and were ended by pytest-timeout's `os._exit`, or were killed, the server gets its signal, and the
directory that was made for it is removed: nothing depends on a `finally` of the tests'. This process is in a session of
its own, so that a Ctrl-C at the terminal reaches the tests, and this one through them.

The exit status is 0 if the server ran until it was told to stop, and stopped in time and with a status of 0.
It runs on the interpreter alone; neither ferrio nor pytest is imported here.
"""

import os
import select
import shutil
import subprocess
import sys

GRACE = 20
"""Seconds that a server has for stopping before it is killed."""


def main(number, directory, user, *command):
    options = {"user": user, "group": user, "extra_groups": []} if user else {}
    try:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=directory, **options)
        with os.fdopen(os.pidfd_open(server.pid), "rb") as ended:
            readable, _, _ = select.select([sys.stdin, ended], [], [])
        if ended in readable:
            print(f"{command[0]} ended by itself, with status {server.wait()}", flush=True)
            return 1
        server.send_signal(int(number))
        try:
            return server.wait(GRACE) != 0
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            print(f"{command[0]} did not stop in {GRACE} s and was killed", flush=True)
            return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
