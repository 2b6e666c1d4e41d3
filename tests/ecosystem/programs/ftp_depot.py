"""A depot of files on aioftp, server and client in one process, over TLS.

    ftp_depot.py DIRECTORY CERTIFICATE

The control connection and each of the data connections speak TLS: many short ones, some long ones. Prints what came of
it as one line of JSON.
"""

import asyncio
import hashlib
import json
import ssl
import sys
from pathlib import Path

import aioftp

NUMBERS = bytes(range(256)) * 20_000


async def main(directory: str, certificate: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    users = [aioftp.User(base_path=Path(directory))]
    server = aioftp.Server(users, ssl=context)
    await server.start("127.0.0.1", 0)
    seen: dict[str, object] = {}
    trusting = ssl.create_default_context()
    async with aioftp.Client.context("127.0.0.1", server.server_port, ssl=trusting) as client:
        for number in range(5):
            async with client.upload_stream(f"file {number}") as stream:
                for start in range(0, len(NUMBERS), 100_000):
                    await stream.write(NUMBERS[start : start + 100_000])
        listed = [(str(path), int(info["size"])) for path, info in await client.list()]
        seen["listed"] = sorted(listed)
        digests = []
        for number in range(5):
            digest = hashlib.sha256()
            async with client.download_stream(f"file {number}") as stream:
                async for block in stream.iter_by_block():
                    digest.update(block)
            digests.append(digest.hexdigest() == hashlib.sha256(NUMBERS).hexdigest())
        seen["downloaded"] = digests
        await client.rename("file 0", "first")
        await client.remove("file 1")
        left = sorted(str(path) for path, _ in await client.list())
        for path in left:
            await client.remove(path)
        seen["left"] = [left, await client.list()]
    await server.close()
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
