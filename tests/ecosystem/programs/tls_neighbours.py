"""TLS next to other libraries that have to do with it.

    tls_neighbours.py psycopg CERTIFICATE CA      a wheel that brings an OpenSSL of its own, loaded first
    tls_neighbours.py truststore CERTIFICATE CA   contexts that check certificates in their own way
    tls_neighbours.py errors CERTIFICATE CA       somebody leaves errors in OpenSSL's queue

Sends a megabyte to and fro, has a handshake refused, and prints what came of it as one line of JSON.
"""

import ctypes
import importlib
import json
import re
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

KIND, CERTIFICATE, CA = sys.argv[1:]
if KIND == "psycopg":
    importlib.import_module("psycopg").connect  # noqa: B018 - libpq is loaded, and its libssl with it
NUMBERS = bytes(range(256)) * 4096


def loaded(name: str) -> list[str]:
    """The files of that library that this process has."""
    return sorted(set(re.findall(rf"/\S*{name}\S*", Path("/proc/self/maps").read_text())))


def leaving_errors() -> Callable[[], None]:
    """A function that puts an error into the queue of the OpenSSL that `ssl` uses, as careless libraries do."""
    if KIND != "errors":
        return lambda: None
    (library,) = loaded("libcrypto")
    crypto = ctypes.CDLL(library)

    def leave() -> None:
        crypto.ERR_new()
        crypto.ERR_set_error(20, 100, None)

    return leave


async def main() -> None:
    leave = leaving_errors()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(CERTIFICATE)
    if KIND == "truststore":
        client_context = importlib.import_module("truststore").SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client_context.load_verify_locations(CA)
    else:
        client_context = ssl.create_default_context(cafile=CA)

    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(10_000):
            leave()
            writer.write(data)
            leave()
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(mirror, "127.0.0.1", 0, ssl=server_context)
    port = server.sockets[0].getsockname()[1]
    seen: dict[str, object] = {}
    leave()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context)
    leave()

    async def send() -> None:
        for start in range(0, len(NUMBERS), 50_000):
            leave()
            writer.write(NUMBERS[start : start + 50_000])
            await writer.drain()

    sending = asyncio.create_task(send())
    seen["same"] = await reader.readexactly(len(NUMBERS)) == NUMBERS
    await sending
    seen["context"] = type(writer.get_extra_info("sslcontext")) is type(client_context)
    writer.close()
    await writer.wait_closed()
    try:
        await asyncio.open_connection("127.0.0.1", port, ssl=client_context, server_hostname="example.org")
    except ssl.SSLCertVerificationError as error:
        seen["refused"] = error.verify_code
    server.close()
    if KIND == "psycopg":
        seen["OpenSSLs"] = len(loaded("libssl")) > 1
    print(json.dumps(seen))


if __name__ == "__main__":
    import asyncio

    asyncio.run(main())
