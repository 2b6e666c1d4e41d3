"""A TLS server that takes a new certificate without a restart and without losing a connection."""

import asyncio
import ssl
import subprocess
import tempfile
from pathlib import Path


def make_certificate(folder, name):
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-out", folder / "cert.pem", "-keyout", folder / "key.pem"]
    subprocess.run([*request, *names, *files], check=True, capture_output=True)


async def serve(reader, writer):
    async for line in reader:
        writer.write(line)
    writer.close()


async def subject(port):
    """Who the server says it is."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("localhost", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    shown = ["openssl", "x509", "-inform", "DER", "-noout", "-subject", "-nameopt", "multiline"]
    child = await asyncio.create_subprocess_exec(*shown, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, _ = await child.communicate(der)
    return out.decode().split("commonName")[1].strip(" =\n")


async def main(folder):
    make_certificate(folder, "old")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = await asyncio.start_server(serve, "localhost", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    print(await subject(port))

    make_certificate(folder, "new")
    # Open connections keep the old one, new ones get the new one. A handler of SIGHUP is a good place.
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    print(await subject(port))
    server.close()


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
