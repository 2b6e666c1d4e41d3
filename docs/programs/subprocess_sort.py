import asyncio
from asyncio.subprocess import PIPE


async def main():
    child = await asyncio.create_subprocess_exec("sort", "-r", stdin=PIPE, stdout=PIPE)
    out, _ = await child.communicate(b"one\ntwo\nthree\n")
    print(out.decode().split(), "exit status", child.returncode)


asyncio.run(main())
