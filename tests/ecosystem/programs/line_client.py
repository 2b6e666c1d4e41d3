"""A client on streams for a server that gives lines back reversed (`openssl s_server -rev`).

    line_client.py PORT

Prints what came of it as one line of JSON.
"""

import asyncio
import json
import ssl
import sys


async def visit(port: int, context: ssl.SSLContext) -> dict[str, object]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=1 << 20)
    right = 0
    for number in range(300):
        line = b"line %d " % number + b"x" * (number * 5)
        writer.write(line + b"\n")
        right += (await reader.readline()).strip() == line[::-1].strip()
    version = writer.get_extra_info("ssl_object").version()
    subject = dict(field[0] for field in writer.get_extra_info("peercert")["subject"])
    writer.close()
    await writer.wait_closed()
    return {"right": right, "version": version, "name": subject["commonName"]}


async def main(port: int) -> None:
    context = ssl.create_default_context()
    # One after the other: the command serves one at a time.
    print(json.dumps([await visit(port, context) for _ in range(3)]))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
