"""A mail server on aiosmtpd and its clients on aiosmtplib, in one process, with STARTTLS and with TLS from the start.

    mail_room.py CERTIFICATE

The server's STARTTLS makes its own SSLProtocol between the transport and its protocol, without `start_tls()`; the
client's is `loop.start_tls()`. Prints what came of it as one line of JSON.
"""

import asyncio
import json
import ssl
import sys
from email.message import EmailMessage

import aiosmtplib
from aiosmtpd.handlers import AsyncMessage
from aiosmtpd.smtp import SMTP


class Box(AsyncMessage):
    """Keeps what is delivered."""

    def __init__(self) -> None:
        super().__init__(EmailMessage)
        self.subjects: list[str] = []
        self.sizes: list[int] = []

    async def handle_message(self, message: EmailMessage) -> None:
        self.subjects.append(message["Subject"])
        self.sizes.append(len(message.get_payload()))


def letter(number: int, size: int = 1000) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "somebody@localhost"
    message["To"] = "root@localhost"
    message["Subject"] = f"letter {number}"
    message.set_content(("x" * 70 + "\n") * (size // 71))
    return message


async def main(certificate: str) -> None:
    loop = asyncio.get_running_loop()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    box = Box()

    def starting() -> SMTP:
        return SMTP(box, tls_context=context, require_starttls=True, loop=loop)

    def secure() -> SMTP:
        return SMTP(box, loop=loop)

    servers = [
        await loop.create_server(starting, "127.0.0.1", 0),
        await loop.create_server(secure, "127.0.0.1", 0, ssl=context),
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    seen: dict[str, object] = {}

    async def send(first: int, count: int, size: int = 1000, **options: object) -> int:
        sent = 0
        async with aiosmtplib.SMTP(hostname="127.0.0.1", timeout=60, **options) as client:
            for number in range(first, first + count):
                errors, _ = await client.send_message(letter(number, size))
                sent += not errors
        return sent

    starttls = {"port": ports[0], "start_tls": True}
    tls = {"port": ports[1], "use_tls": True}
    seen["starttls"] = sum(await asyncio.gather(*[send(10 * n, 10, **starttls) for n in range(10)]))
    seen["tls"] = sum(await asyncio.gather(*[send(100 + 10 * n, 10, **tls) for n in range(10)]))
    seen["large"] = await send(200, 1, 5_000_000, **starttls)
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=ports[0], start_tls=False) as client:
        try:
            await client.mail("somebody@localhost")
            seen["without"] = "taken"
        except aiosmtplib.SMTPResponseException as error:
            seen["without"] = error.code
    try:
        await send(300, 1, **starttls, tls_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except ssl.SSLCertVerificationError as error:
        seen["unknown CA"] = error.verify_code
    seen["delivered"] = sorted(box.subjects) == sorted(f"letter {number}" for number in range(201))
    seen["largest"] = max(box.sizes)
    for server in servers:
        server.close()
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
