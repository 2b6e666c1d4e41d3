"""The hello world of asyncio's documentation: a coroutine that waits a second between two words.

    ferrio run examples/hello.py

Nothing in here knows ferrio; `python examples/hello.py` runs the same on the interpreter's own asyncio.
"""

import asyncio


async def main() -> None:
    print("Hello ...")
    await asyncio.sleep(1)
    print("... World!")


if __name__ == "__main__":
    asyncio.run(main())
