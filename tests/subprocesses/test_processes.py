"""Programs in processes of their own: what belongs to a whole process, and what a system may refuse."""

from pathlib import Path

import implementation
import pytest

PROGRAMS = Path(__file__).with_name("programs")


def prints(impl, program, *args):
    ended = implementation.run(impl, PROGRAMS / program, *args, seconds=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    return ended.stdout.splitlines()[-1]


def test_without_standard_descriptors(impl):
    assert prints(impl, "closed_standard.py") == "all"


@pytest.mark.parametrize("refused", ["pidfd", "send", "share", "close", "all"])
def test_in_a_sandbox(impl, refused, way):
    if impl == "stock" and refused in ("pidfd", "all"):
        pytest.skip("3.12's stock looks for pidfd_open once, and its Popen may use it")
    assert prints(impl, "sandboxed.py", refused) == "same"


def test_without_descriptors_left(impl):
    if impl == "stock":
        pytest.skip("stock leaves a child behind that it has no pidfd for")
    assert prints(impl, "few_descriptors.py") == "nothing left"


def test_what_belongs_to_a_thread(impl):
    assert prints(impl, "whose_child.py") == "inherited"


@pytest.mark.parametrize("when", ["begin", "communicate", "step"])
def test_interrupted(impl, when, tmp_path):
    if impl == "stock" and when == "begin":
        pytest.skip("stock waits for execve on the loop's thread")
    seen = ["callback", "finally", "cancelled", "after", "interrupted"]
    if when == "begin":
        seen.remove("finally")
    assert prints(impl, "interrupted.py", when, tmp_path) == str(seen)
