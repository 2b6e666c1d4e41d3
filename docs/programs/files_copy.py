import asyncio
import tempfile
from pathlib import Path

from ferrio import files


async def main(folder):
    async with files.open(folder / "a.txt", "w") as file:
        await file.write("first\nsecond\n")
    async with files.open(folder / "a.txt") as file:
        async for line in file:
            print(line.rstrip())


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
