"""What nats-py's tests take from their module `tests.utils`, which their sdist lacks: a case for each set of servers.

The ports, users and settings are those that the tests name. run.py ends the process group of the tests, and with it the
servers of a test that did not get to its tear-down.
"""

import asyncio
import functools
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

# Some of the tests take these from here, by a star.
import pytest  # noqa: F401

CERTIFICATES = Path(os.environ["SUITES_CERTIFICATES"])
PATIENCE = 30
"""Seconds for a server to start, and for a test."""


def async_test(test):
    """Makes a test of a coroutine function."""

    @functools.wraps(test)
    def run(case):
        asyncio.run(asyncio.wait_for(test(case), PATIENCE))

    return run


class NATSD:
    """A server that can be started and stopped more than once, with a configuration like its own files', as a dict."""

    def __init__(self, port, http_port=None, **configuration):
        self.port, self.http_port = port, http_port
        self._configuration = {"host": "127.0.0.1", "port": port} | configuration
        if http_port:
            self._configuration["http"] = f"127.0.0.1:{http_port}"
        self._process = None

    def start(self):
        """Start it; returns when it accepts connections."""
        self._directory = Path(tempfile.mkdtemp())
        if "jetstream" in self._configuration:
            self._configuration["jetstream"]["store_dir"] = str(self._directory)
        file = self._directory / "nats.conf"
        file.write_text(json.dumps(self._configuration))
        program = shutil.which("nats-server", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
        log = self._directory / "log"
        with log.open("w") as output:
            self._process = subprocess.Popen([program, "-c", file], stdout=output, stderr=output)
        websocket = self._configuration.get("websocket", {})
        for port in filter(None, [self.port, self.http_port, websocket.get("port")]):
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        raise AssertionError(f"nats-server did not start:\n{log.read_text()}") from None
                    # So that asking does not take the processor from what is to answer.
                    time.sleep(0.02)

    def stop(self):
        """Stop it at once, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            shutil.rmtree(self._directory)


class Servers(unittest.TestCase):
    """A case whose tests have `servers()`, of which those run from the start that `running` counts."""

    running = None

    def servers(self):
        """The servers, not yet started."""
        return []

    def setUp(self):
        self.server_pool = self.servers()
        for server in self.server_pool:
            self.addCleanup(server.stop)
        for server in self.server_pool[: self.running]:
            server.start()


class SingleServerTestCase(Servers):
    def servers(self):
        return [NATSD(4222)]


def two_users(**configuration):
    """Two servers, each with a user of its own."""
    users = [("foo", "bar"), ("hoge", "fuga")]
    return [
        NATSD(
            4223 + number, 8223 + number, authorization={"user": user, "password": password}, **configuration
        )
        for number, (user, password) in enumerate(users)
    ]


class MultiServerAuthTestCase(Servers):
    def servers(self):
        return two_users()


class MultiServerAuthTokenTestCase(Servers):
    def servers(self):
        return [NATSD(port, authorization={"token": "token"}) for port in (4223, 4224, 4225)]


def tls(**settings):
    """The settings of a server's TLS."""
    certificate = str(CERTIFICATES / "ecdsa.pem")
    return {"cert_file": certificate, "key_file": certificate} | settings


VERIFYING = {"verify": True, "ca_file": str(CERTIFICATES / "ca.pem")}


class Trusting(Servers):
    """A case with a context that trusts the servers' certificates and has one of its own."""

    def setUp(self):
        super().setUp()
        self.ssl_ctx = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")
        self.ssl_ctx.load_cert_chain(CERTIFICATES / "client.pem")


class TLSServerTestCase(Trusting):
    def servers(self):
        return [NATSD(4224, tls=tls(**VERIFYING))]


class TLSServerHandshakeFirstTestCase(Trusting):
    def servers(self):
        return [NATSD(4224, tls=tls(handshake_first=True, **VERIFYING))]


class MultiTLSServerAuthTestCase(Trusting):
    def servers(self):
        return two_users(tls=tls(**VERIFYING))


def cluster(**configuration):
    """Three servers of one cluster; the first is the one that the others are told of."""
    return [
        NATSD(
            4223 + number,
            8223 + number,
            cluster={
                "name": "tests",
                "listen": f"127.0.0.1:{6223 + number}",
                "routes": ["nats-route://127.0.0.1:6223"],
            },
            **configuration,
        )
        for number in range(3)
    ]


class ClusteringTestCase(Servers):
    running = 1

    def servers(self):
        return cluster()


class ClusteringDiscoveryAuthTestCase(Servers):
    def servers(self):
        return cluster(authorization={"user": "foo", "password": "bar"})


class NoAuthUserServerTestCase(Servers):
    def servers(self):
        users = [
            {"user": "foo", "password": "bar", "permissions": {"publish": ">", "subscribe": ">"}},
            {"user": "bar", "password": "bar", "permissions": {"publish": ">", "subscribe": {"deny": "foo"}}},
        ]
        return [NATSD(4555, no_auth_user="foo", accounts={"A": {"users": users}})]


class SingleWebSocketServerTestCase(Servers):
    def servers(self):
        return [NATSD(4222, websocket={"port": 8080, "no_tls": True})]


class SingleWebSocketTLSServerTestCase(Trusting):
    def servers(self):
        return [NATSD(4222, websocket={"port": 8081, "tls": tls()})]


class SingleJetStreamServerTestCase(Servers):
    def servers(self):
        return [NATSD(4222, jetstream={})]


class SingleJetStreamServerLimitsTestCase(Servers):
    def servers(self):
        limits = {
            "max_mem": "64MB",
            "max_file": "32MB",
            "max_streams": 10,
            "max_consumers": 20,
            "max_ack_pending": 100,
            "memory_max_stream_bytes": 2048,
            "store_max_stream_bytes": 4096,
            "max_stream_bytes": True,
        }
        account = {"jetstream": limits, "users": [{"user": "a", "password": "a"}]}
        return [
            NATSD(
                4222,
                jetstream={"domain": "test-domain"},
                no_auth_user="a",
                accounts={"LIMITED": account, "$SYS": {"users": [{"user": "sys", "password": "sys"}]}},
            )
        ]
