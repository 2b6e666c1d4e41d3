"""The same script on a file of the builtin `open()` and on one of ours: the same results, errors and contents."""

import inspect
import io
import os
import sys

import pytest
from ferrio import files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_scripts import examples

EXAMPLES = examples(40)
played = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])

# gh-115059: BufferedRandom.read1(), which text is read with, does not write what was written before it: it reads from
# the place before the write, and the write goes to the place after the read. Mended in 3.11.9, 3.12.3 and 3.13.
READ1_OVERTAKES_WRITES = sys.version_info < (3, 11, 9) or (3, 12) <= sys.version_info < (3, 12, 3)

BINARY = ["rb", "r+b", "wb", "w+b", "ab", "a+b"]
TEXT = ["r", "r+", "w", "w+", "a", "a+"]

small = st.integers(-1, 12).filter(bool)
binary_data = st.binary(max_size=12) | st.sampled_from([b"one\n", b"\n\n", b"x" * 40])
text_data = st.text("aé€😀\n\r", max_size=12)


def binary_steps():
    return st.lists(
        st.one_of(
            st.tuples(st.just("read"), small),
            st.tuples(st.just("readline"), small),
            st.tuples(st.just("readlines"), small),
            st.tuples(st.just("readinto"), st.integers(0, 12)),
            st.tuples(st.just("write"), binary_data),
            st.tuples(st.just("writelines"), st.lists(binary_data, min_size=1, max_size=3)),
            st.tuples(st.just("seek"), st.integers(-3, 60), st.integers(0, 2)),
            st.tuples(st.just("truncate"), st.none() | st.integers(0, 60)),
            st.sampled_from([("tell",), ("flush",), ("close",)]),
        ),
        max_size=14,
    )


def note(exc):
    """What there is to compare: the builtin's classes do not agree on which of the two a closed file is."""
    if isinstance(exc, (io.UnsupportedOperation, ValueError)):
        return "refused"
    return type(exc).__name__, getattr(exc, "errno", None)


async def perform(file, step):
    name, *args = step
    if name == "readinto":
        target = bytearray(args[0])
        args = [target]
    try:
        outcome = getattr(file, name)(*args)
        if inspect.isawaitable(outcome):
            outcome = await outcome
    except Exception as exc:
        return note(exc)
    return (outcome, bytes(args[0])) if name == "readinto" else outcome


async def play(file, script):
    trace = [(step, await perform(file, step)) for step in script]
    closing = await perform(file, ("close",))
    return [*trace, ("close", closing)]


@pytest.mark.parametrize("buffering", [-1, 0, 8], ids=["default", "none", "tiny"])
@pytest.mark.parametrize("mode", BINARY)
@played
@given(contents=st.binary(max_size=50) | st.just(b"ab\n" * 12), script=binary_steps())
def test_binary(loop, path, mode, buffering, contents, script):
    if mode == "a+b":
        # The builtin loses count of where it is when it appends with something read ahead (3.11 to 3.13).
        script = [s for step in script for s in ([("seek", 0, 2), step] if "write" in step[0] else [step])]
    theirs_path = path.with_name("theirs")
    for each in (path, theirs_path):
        each.write_bytes(contents)

    async def ours():
        return await play(await files.open(path, mode, buffering), script)

    async def theirs():
        return await play(open(theirs_path, mode, buffering), script)

    assert loop.run_until_complete(ours()) == loop.run_until_complete(theirs())
    assert path.read_bytes() == theirs_path.read_bytes()


def text_steps():
    """Writing in the middle of reading goes where the read-ahead ended, so scripts seek between the two."""
    reading = st.one_of(
        st.tuples(st.just("read"), small),
        st.tuples(st.just("readline"), small),
        # With a hint the builtin's tell() is switched off afterwards ("disabled by next() call").
        st.just(("readlines", -1)),
        st.just(("again",)),
    )
    writing = st.one_of(
        st.tuples(st.just("write"), text_data),
        st.tuples(st.just("writelines"), st.lists(text_data, min_size=1, max_size=3)),
        st.just(("flush",)),
    )
    valid = [[("seek", 0, 0)], [("seek", 0, 2)]]
    # One that is refused writes nothing, so that a read after it may come straight after a write.
    first = [("flush",)] if READ1_OVERTAKES_WRITES else []
    refused = [[*first, seek] for seek in [("seek", 1, 1), ("seek", 0, 3), ("seek", -1, 0)]]
    block = st.tuples(st.sampled_from(valid + refused), st.lists(reading, max_size=5)) | st.tuples(
        st.sampled_from(valid), st.lists(writing, max_size=4)
    )
    return st.lists(block, max_size=4).map(
        lambda blocks: [s for place, body in blocks for s in (*place, *body)]
    )


async def play_text(file, script):
    trace = []
    # The builtin's readlines() switches tell() off while it runs; where it raises, until the next seek (3.11 to 3.13).
    telling = True
    for step in script:
        if step == ("again",) and not telling:
            continue
        if step == ("again",):
            # What tell() says leads back to the same place, whatever number it is.
            place = await perform(file, ("tell",))
            if isinstance(place, int):
                rest = await perform(file, ("read", 3))
                went = await perform(file, ("seek", place))
                assert went in (place, "refused")
                trace.append((rest, await perform(file, ("read", 3))))
                await perform(file, ("seek", place))
            else:
                trace.append(place)
        elif step[0] == "seek":
            result = await perform(file, step)
            telling = telling or result != "refused"
            trace.append((step, result))
        else:
            result = await perform(file, step)
            telling = telling and (step[0] != "readlines" or result != "refused")
            trace.append((step, result))
    trace.append(await perform(file, ("close",)))
    trace.append(file.newlines if "r" in file.mode else None)
    return trace


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "shift_jis"])
@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
@pytest.mark.parametrize("mode", TEXT)
@settings(played, max_examples=max(EXAMPLES // 6, 1))
@given(contents=text_data | st.just("line\r\nnext\rlast\n" * 3), script=text_steps())
def test_text(loop, path, mode, newline, encoding, contents, script):
    if mode in ("w", "a"):
        # Refused, but that too switches the builtin's tell() off.
        script = [step for step in script if step[0] != "readlines"]
    theirs_path = path.with_name("theirs")
    for each in (path, theirs_path):
        each.write_bytes(contents.encode(encoding, "replace"))
    options = {"encoding": encoding, "errors": "replace", "newline": newline}

    async def ours():
        return await play_text(await files.open(path, mode, **options), script)

    async def theirs():
        return await play_text(open(theirs_path, mode, **options), script)

    assert loop.run_until_complete(ours()) == loop.run_until_complete(theirs())
    assert path.read_bytes() == theirs_path.read_bytes()


async def opened(open_, *args, **kwargs):
    file = open_(*args, **kwargs)
    return await file if inspect.isawaitable(file) else file


def outcome_of(run, open_, *args, **kwargs):
    async def attempt():
        file = None
        try:
            file = await opened(open_, *args, **kwargs)
            return file.mode, str(file.name)
        except Exception as exc:
            return (
                type(exc),
                getattr(exc, "errno", None),
                getattr(exc, "filename", None),
                str(exc) if isinstance(exc, ValueError) and not isinstance(exc, UnicodeError) else None,
            )
        finally:
            if file is not None and not file.closed:
                closing = file.close()
                if inspect.isawaitable(closing):
                    await closing

    return run(attempt())


ARGUMENTS = [
    (("missing",), {}),
    (("missing", "r+b"), {}),
    (("nowhere/missing", "w"), {}),
    (("there", "x"), {}),
    (("there", "xb"), {}),
    (("new", "x+b"), {}),
    (("new2", "xb"), {}),
    ((".", "r"), {}),
    ((".", "rb"), {}),
    ((".", "w"), {}),
    (("there/below",), {}),
    (("there", ""), {}),
    (("there", "q"), {}),
    (("there", "rr"), {}),
    (("there", "rw"), {}),
    (("there", "+"), {}),
    (("there", "rbt"), {}),
    (("there", "U"), {}),
    (("there", "rt"), {}),
    (("there", "rb"), {"encoding": "utf-8"}),
    (("there", "rb"), {"errors": "strict"}),
    (("there", "rb"), {"newline": ""}),
    (("there", "r"), {"newline": "x"}),
    (("there", "r"), {"encoding": "no such"}),
    (("there", "r"), {"encoding": "utf-8", "errors": "replace"}),
    (("there", "r", 0), {}),
    (("there", "r", 1), {}),
    (("there", "rb", 0), {}),
    (("there", "rb", 5), {}),
    (("there",), {"closefd": False}),
    (("there\0",), {}),
    ((b"there",), {}),
    ((-1,), {}),
    ((99999,), {}),
    ((None,), {}),
    ((1.5,), {}),
    ((), {}),
    (("there", 3), {}),
    (("there",), {"nonsense": 1}),
    (("there",), {"opener": lambda path, flags: os.open(path, flags)}),
    (("there",), {"opener": lambda path, flags: -1}),
]


@pytest.mark.parametrize(("args", "kwargs"), ARGUMENTS, ids=repr)
def test_open(run, tmp_path, monkeypatch, args, kwargs):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("x")
    theirs = outcome_of(run, open, *args, **kwargs)
    for name in ("new", "new2"):
        (tmp_path / name).unlink(missing_ok=True)
    assert outcome_of(run, files.open, *args, **kwargs) == theirs


def test_line_buffering_is_refused_for_binary_files_as_the_builtin_does(run, path):
    path.write_bytes(b"")

    async def main():
        with pytest.warns(RuntimeWarning, match="line buffering"):
            async with files.open(path, "rb", 1):
                pass

    run(main())


def test_defaults_are_those_of_the_builtin(run, path):
    async def main():
        async with files.open(path, "w") as ours:
            with open(path) as theirs:
                assert (ours.encoding, ours.errors) == (theirs.encoding, theirs.errors)

    run(main())


@pytest.mark.parametrize("mode", ["rb", "wb", "r", "w"])
def test_a_closed_file(run, path, mode):
    path.write_bytes(b"")
    data = b"x" if "b" in mode else "x"

    async def main():
        file = await files.open(path, mode)
        await file.close()
        await file.close()
        assert file.closed
        for name, *args in [
            ("read",), ("readline",), ("readlines",), ("write", data), ("writelines", [data]), ("seek", 0),
            ("tell",), ("truncate",), ("flush",), ("sync",), ("__anext__",), ("__aenter__",),
        ]:  # fmt: skip
            with pytest.raises(ValueError, match="closed file"):
                await getattr(file, name)(*args)
        for name in ("fileno", "isatty", "readable", "writable", "seekable"):
            with pytest.raises(ValueError, match="closed file"):
                getattr(file, name)()
        assert " closed " in repr(file)

    run(main())


@pytest.mark.parametrize(("mode", "wrong"), [("rb", "write"), ("r", "write"), ("wb", "read"), ("w", "read")])
def test_what_a_file_was_not_opened_for(run, path, mode, wrong):
    path.write_bytes(b"")

    async def main():
        async with files.open(path, mode) as file:
            assert file.readable() == ("r" in mode)
            assert file.writable() == ("w" in mode)
            with pytest.raises(io.UnsupportedOperation):
                await getattr(file, wrong)(*([b"" if "b" in mode else ""] if wrong == "write" else []))

    run(main())


@pytest.mark.parametrize("hint", [1, 4, 5, 100])
def test_some_lines_of_a_text_file(run, path, hint):
    path.write_text("one\ntwo\nthree\n")

    async def main():
        async with files.open(path) as ours:
            with open(path) as theirs:
                assert await ours.readlines(hint) == theirs.readlines(hint)
                assert await ours.read() == theirs.read()

    run(main())


def test_attributes(run, path):
    path.write_bytes(b"one\r\ntwo\n")

    async def main():
        async with files.open(path, "r", encoding="utf-8", errors="ignore") as text:
            assert (text.name, text.mode, text.encoding, text.errors) == (path, "r", "utf-8", "ignore")
            assert text.buffer.mode == "rb"
            assert text.fileno() == text.buffer.fileno()
            assert not text.isatty()
            assert not text.line_buffering
            assert text.seekable()
            assert text.newlines is None
            assert await text.readlines() == ["one\n", "two\n"]
            assert text.newlines == ("\n", "\r\n")
            assert os.get_inheritable(text.fileno()) is False

    run(main())


def test_a_place_keeps_the_byte_order(run, path):
    """Without the decoder's state, the second seek would look for a byte order mark in the middle."""
    path.write_bytes(b"\xfe\xff" + "one two three".encode("utf-16-be"))

    async def main():
        async with files.open(path, encoding="utf-16") as file:
            await file.read(4)
            await file.seek(await file.tell())
            await file.seek(await file.tell())
            assert await file.read() == "two three"

    run(main())


def test_signatures_are_those_of_the_builtin():
    ours, theirs = inspect.signature(files.open), inspect.signature(open)
    assert list(ours.parameters) == list(theirs.parameters)
    assert [p.default for p in ours.parameters.values()] == [p.default for p in theirs.parameters.values()]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the device is Linux's")
def test_a_full_disk(run):
    async def main():
        file = await files.open("/dev/full", "wb")
        await file.write(b"x")
        with pytest.raises(OSError, match="No space left"):
            await file.flush()
        with pytest.raises(OSError, match="No space left"):
            await file.close()
        # As with the builtin, it is closed all the same.
        assert file.closed

    run(main())


def test_lines_longer_than_the_buffer(run, path):
    lines = [b"a" * 10, b"b" * 200_000, b"", b"c" * 70_000]
    path.write_bytes(b"\n".join(lines))

    async def main():
        async with files.open(path, "rb") as file:
            assert [line.rstrip(b"\n") async for line in file] == lines
        async with files.open(path) as file:
            assert [line.rstrip("\n") async for line in file] == [line.decode() for line in lines]

    run(main())


def test_python_has_the_same_idea_of_a_place(run, path):
    """A number that tell() gave means the same to the builtin's text files."""
    path.write_text("aé€\r\n" * 5, encoding="utf-16", newline="")

    async def main():
        async with files.open(path, encoding="utf-16") as ours:
            with open(path, encoding="utf-16") as theirs:
                for count in (1, 2, 3, 4, 5):
                    await ours.read(count)
                    theirs.seek(await ours.tell())
                    assert theirs.read(2) == await ours.read(2)

    run(main())


@pytest.mark.parametrize("count", [2**62, sys.maxsize])
@pytest.mark.parametrize(("method", "buffering"), [("read", -1), ("read", 0), ("read1", -1)])
def test_more_than_there_is_memory(run, path, method, buffering, count):
    """An error of that read, after which the file goes on; what was read ahead is still there."""
    path.write_bytes(b"0123456789")
    with (
        open(path, "rb", buffering=buffering) as builtin,
        pytest.raises((MemoryError, OverflowError)) as expected,
    ):
        getattr(builtin, method)(count)

    async def main():
        async with files.open(path, "rb", buffering=buffering) as file:
            with pytest.raises(expected.type):
                await getattr(file, method)(count)
            assert await file.read(4) == b"0123"
            if method == "read":
                with pytest.raises(expected.type):
                    await file.read(count)
            assert await file.read() == b"456789"

    run(main())


@pytest.mark.parametrize("buffering", [2**31, -(2**31) - 1, 2**63, -(10**30)])
def test_a_buffer_size_beyond_a_c_int(run, path, buffering):
    path.touch()
    with pytest.raises(OverflowError) as expected, open(path, "rb", buffering=buffering):
        pass

    async def main():
        with pytest.raises(OverflowError) as refused:
            await files.open(path, "rb", buffering=buffering)
        assert str(refused.value) == str(expected.value)

    run(main())
