"""Reads that wait, and bytes that come in any pieces meanwhile: nothing is lost, comes twice, or out of order."""

from hypothesis import given
from hypothesis import strategies as st

PIECE = st.sampled_from(
    [b"\n", b"x", b"one\n", b"two three", b"line\nline\nli", b"." * 600, b"." * 599 + b"\n"]
)
READ = st.one_of(
    st.tuples(st.just("read"), st.sampled_from([1, 5, 599, 600, 10_000])),
    st.tuples(st.just("readexactly"), st.sampled_from([1, 5, 599, 600, 601])),
    st.tuples(st.just("readline")),
    st.tuples(st.just("readuntil"), st.sampled_from([b"\n", b"e"])),
    st.tuples(st.just("look")),
)


def check(read, got, rest):
    """What one read may answer when *rest* is all that is still to come."""
    match read:
        case ("read", n):
            assert rest.startswith(got)
            assert (0 if not rest else 1) <= len(got) <= n
        case ("readexactly", n):
            assert got == (rest[:n] if len(rest) >= n else rest)
        case ("readline",):
            assert got == rest[: rest.find(b"\n") + 1 or len(rest)]
        case ("readuntil", separator):
            assert got == rest[: rest.find(separator) + 1 or len(rest)]


@given(st.lists(st.tuples(PIECE, st.integers(0, 3)), max_size=20), st.lists(READ, max_size=20))
def test_all_in_order(asyncio, pieces, reads):
    async def consume(reader):
        rest = b"".join(piece for piece, _ in pieces)
        for method, *args in reads:
            if method == "look":
                assert rest.startswith(bytes(reader._buffer))
                continue
            try:
                got = await getattr(reader, method)(*args)
            except asyncio.IncompleteReadError as err:
                got = err.partial
                assert got == rest
            check((method, *args), got, rest)
            rest = rest[len(got) :]
        return rest

    async def main():
        reader = asyncio.StreamReader()
        task = asyncio.create_task(consume(reader))
        for piece, turns in pieces:
            reader.feed_data(piece)
            for _ in range(turns):
                await asyncio.sleep(0)
        reader.feed_eof()
        rest = await task
        assert await reader.read() == rest

    with asyncio.Runner() as runner:
        runner.run(main())
