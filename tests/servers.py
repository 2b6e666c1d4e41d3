"""PostgreSQL, Redis, NATS and nginx for the tests: each in a directory of its own, on a port of its own, stopped after.

`.ci/peers` installs them; this only looks for them, and `missing` says which are not here, so that the tests that need
one are skipped with that reason. Nothing of a server that may run on this machine already is read or touched: neither
its configuration, nor its data, nor its port.

A server has started when it answers in its own protocol; until then it is asked again and again, and if it ends
instead, what it wrote is the error. `server_guard.py` ends it with the tests, whatever becomes of them.
"""

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GUARD = Path(__file__).parent / "server_guard.py"

CERTIFICATES = Path(__file__).parent / "tls" / "certificates"
CA = CERTIFICATES / "ca.pem"
CERTIFICATE = CERTIFICATES / "ecdsa.pem"
"""The certificate of every server, with its key; it is good for `localhost` and 127.0.0.1."""

PATIENCE = 60
"""Seconds for a server to start or to stop."""

# As in `.ci/peers`: Debian keeps some of them off a user's PATH.
PLACES = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *glob.glob("/usr/lib/postgresql/*/bin")]
)


def find(program):
    """The path of a program that these tests run, or None."""
    return shutil.which(program, path=PLACES)


def missing(*programs):
    """Why a test that needs these programs is skipped; empty if they are all here."""
    absent = [program for program in programs if find(program) is None]
    return f"not on this machine: {', '.join(absent)} (`sh .ci/peers` installs it)" if absent else ""


def unprivileged():
    """The user that servers run as where the tests are root's, because PostgreSQL refuses to be root; else empty."""
    if os.geteuid() != 0:
        return ""
    return "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"


def free_port():
    """A TCP port of 127.0.0.1 that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Server:
    """A server that runs until `stop`. Subclasses say how it is started and how one sees that it has."""

    needs = ()
    """The programs that it takes."""
    stop_signal = signal.SIGTERM

    def __init__(self):
        for another_try in (True, True, False):
            self.port = free_port()
            # In /tmp and with a short name: the path of a Unix socket has 107 bytes at most, and the server's user
            # may not enter pytest's directories.
            self.directory = Path(tempfile.mkdtemp(prefix="ferrio-", dir="/tmp"))
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
            self._guard = self._run()
            if self._started():
                return
            log = self._stop()[1]
            # Between `free_port` and now somebody else may have taken the port.
            if not (another_try and "ddress already in use" in log):
                raise AssertionError(f"{type(self).__name__} did not start:\n{log}")

    def command(self):
        """The command line that runs it in the foreground, in its directory, as that directory's owner."""
        raise NotImplementedError

    def answers(self):
        """Whether it can be used now."""
        raise NotImplementedError

    def stop(self):
        """Stop it, and see that it stopped as it should."""
        status, log = self._stop()
        if status:
            raise AssertionError(f"{type(self).__name__} did not stop well:\n{log}")

    def _run(self):
        user = unprivileged()
        try:
            self.directory.chmod(0o755)
            command = [*map(str, self.command())]
            if user:
                shutil.chown(self.directory, user)
            return subprocess.Popen(
                [sys.executable, "-I", GUARD, str(int(self.stop_signal)), self.directory, user, *command],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(self.directory)
            self._log.close()
            raise

    def _started(self):
        deadline = time.monotonic() + PATIENCE
        while self._guard.poll() is None and time.monotonic() < deadline:
            if self.answers():
                return True
            # Not to be rid of a race: only so that asking does not take the processor from what is to answer.
            time.sleep(0.02)
        return False

    def _stop(self):
        self._guard.stdin.close()
        status = self._guard.wait(PATIENCE)
        with self._log:
            self._log.seek(0)
            return status, self._log.read().decode(errors="replace")


class PostgreSQL(Server):
    """PostgreSQL with an empty database, for the user `ferrio` and without a password; see `dsn` and `tls_dsn`."""

    needs = ("initdb", "postgres", "pg_isready")
    # "Fast": sessions are ended; SIGTERM would wait for them to leave.
    stop_signal = signal.SIGINT

    def command(self):
        # Durability is left out: the data are gone after the tests anyway.
        initialise = f"{find('initdb')} -D data -U ferrio -A trust -E UTF8 --locale=C --no-sync >initdb.log"
        # It takes only a key that nobody else may read, and that is its own.
        shutil.copy(CERTIFICATE, self.directory)
        key = f"install -m 600 {CERTIFICATE.name} data/server.pem"
        serve = (
            f"exec {find('postgres')} -D data -p {self.port} -h 127.0.0.1 -k {self.directory} "
            "-c fsync=off -c full_page_writes=off -c shared_buffers=32MB -c max_connections=50 "
            "-c ssl=on -c ssl_cert_file=server.pem -c ssl_key_file=server.pem"
        )
        return ["/bin/sh", "-c", f"{initialise} && {key} && {serve}"]

    def answers(self):
        command = [find("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-d", "postgres"]
        return subprocess.run(command, timeout=PATIENCE, check=False).returncode == 0

    @property
    def dsn(self):
        """The connection string, over TCP."""
        return f"postgresql://ferrio@127.0.0.1:{self.port}/postgres?sslmode=disable"

    @property
    def tls_dsn(self):
        """The connection string, over TCP and TLS, with all that can be checked of the certificate."""
        return f"postgresql://ferrio@127.0.0.1:{self.port}/postgres?sslmode=verify-full&sslrootcert={CA}"

    @property
    def unix_dsn(self):
        """The connection string, over the Unix socket."""
        return f"postgresql://ferrio@/postgres?host={self.directory}&port={self.port}"


class Redis(Server):
    """Redis, empty, keeping nothing on disk; at `tls_port` with TLS."""

    needs = ("redis-server",)

    def command(self):
        self.tls_port = free_port()
        shutil.copy(CERTIFICATE, self.directory)
        certificate = self.directory / CERTIFICATE.name
        return [
            find("redis-server"), "--tls-port", self.tls_port, "--tls-cert-file", certificate,
            "--tls-key-file", certificate, "--tls-auth-clients", "no", "--tls-ca-cert-file", certificate,
            "--bind", "127.0.0.1", "--port", self.port, "--unixsocket", self.path,
            "--save", "", "--appendonly", "no", "--dir", self.directory,
        ]  # fmt: skip

    @property
    def path(self):
        """The path of its Unix socket."""
        return self.directory / "redis.sock"

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16) == b"+PONG\r\n"
        except ConnectionError:
            return False


class Nginx(Server):
    """nginx with the given `http` block; `$port` in it is its port, `$directory` its directory.

    *files* are what it has to serve, by name and content, in its directory's `www`.
    """

    needs = ("nginx",)
    # Gracefully: connections in use are served to their end. SIGTERM would cut them.
    stop_signal = signal.SIGQUIT

    def __init__(self, http, files=()):
        self._http = http
        self._files = dict(files)
        super().__init__()

    def command(self):
        http = self._http.replace("$port", str(self.port)).replace("$directory", str(self.directory))
        www = self.directory / "www"
        www.mkdir()
        for name, content in self._files.items():
            (www / name).write_bytes(content)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"    {kind}_temp_path temp-{kind};\n" for kind in kinds)
        configuration = self.directory / "nginx.conf"
        configuration.write_text(
            "daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr warn;\n"
            f"events {{ worker_connections 1024; }}\nhttp {{\n    access_log off;\n{temporary}{http}\n}}\n"
        )
        return [find("nginx"), "-p", self.directory, "-e", "stderr", "-c", configuration]

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
                connection.sendall(b"OPTIONS / HTTP/1.0\r\n\r\n")
                return connection.recv(16).startswith(b"HTTP/")
        except ConnectionError:
            return False
