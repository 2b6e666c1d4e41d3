import asyncio
import ssl
import subprocess
import tempfile
from pathlib import Path


def certificate(folder):
    """A certificate for localhost, signed by itself."""
    files = folder / "cert.pem", folder / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names]
    subprocess.run([*request, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


async def greet(reader, writer):
    writer.write(b"hello, " + await reader.readline())
    await writer.drain()
    writer.close()


async def main(folder):
    cert, key = certificate(folder)
    for_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for_server.load_cert_chain(cert, key)
    for_client = ssl.create_default_context(cafile=cert)

    async with await asyncio.start_server(greet, "localhost", 0, ssl=for_server) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("localhost", port, ssl=for_client)
        print("verified:", writer.get_extra_info("peercert")["subjectAltName"])
        writer.write(b"world\n")
        print(await reader.readline())
        writer.close()
        await writer.wait_closed()


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
