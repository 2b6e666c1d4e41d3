"""Files that do not block the loop; native. Not in asyncio.

    from ferrio import files

    async with files.open("log.txt") as f:
        async for line in f:
            ...
    data = await files.read_bytes("picture.png")

Arguments, methods and errors are those of the builtin `open()`, the methods as coroutines.  They run on io_uring where
the system has it and on threads elsewhere, with any driver; `FERRIO_FILES=pool` chooses threads, `ferrio doctor` tells.
"""

from ._native import BinaryFile, TextFile, read_bytes, read_text, write_bytes, write_text
from ._native import open_file as open

__all__ = ("BinaryFile", "TextFile", "open", "read_bytes", "read_text", "write_bytes", "write_text")
