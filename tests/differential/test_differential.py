"""The same program under stock asyncio and under ferrio gives the same trace of observable events.

Each scenario of each file in ``programs/`` is one test.  The files run whole, once per implementation; a scenario that
hangs or kills its process loses only itself.  ``FERRIO_TEST_IMPL=stock`` compares stock with stock, which is how a
new program is shown to be deterministic.
"""

import ast
import difflib
import functools
import json
import os
import pathlib
import sys

import implementation
import pytest

HERE = pathlib.Path(__file__).parent
PROGRAMS = HERE / "programs"
PROGRAM_SECONDS = 120
# A hang costs play.py's limit each; a program in which everything hangs is given up.
MAX_DEATHS = 4

# Settings of the environment that would show in a trace.
ALTERING = {"PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS", "PYTHONTRACEMALLOC"}


# What ferrio does not have yet, by program, or by program and scenario. What is to be the same all the same is tested;
# an entry whose feature exists makes test_not_built_yet fail.
NOT_BUILT: dict[str, str] = {}


def lacks(impl, feature, tmp):
    """Whether each program of *feature* meets a method that is not there: asyncio's abstract ones raise this."""
    for key in (key for key, named in NOT_BUILT.items() if named == feature):
        program, _, scenario = key.partition("-")
        traced = traces(impl, PROGRAMS / f"{program}.py", 1, tmp)
        lines = traced[scenario] if scenario else [line for of_one in traced.values() for line in of_one]
        if not any("NotImplementedError" in line for line in lines):
            return False
    return True


def declared(path):
    """The scenarios of a program on this Python: [(name, keywords of the decorator)]."""
    found = []
    for node in ast.parse(path.read_text()).body:
        for decorator in getattr(node, "decorator_list", ()):
            call = decorator if isinstance(decorator, ast.Call) else None
            name = call.func if call else decorator
            if isinstance(name, ast.Name) and name.id == "scenario":
                keywords = {kw.arg: ast.literal_eval(kw.value) for kw in call.keywords} if call else {}
                if sys.version_info[:2] >= keywords.get("since", (3, 0)):
                    found.append((node.name, keywords))
    return found


def cases():
    for path in sorted(PROGRAMS.glob("*.py")):
        for name, keywords in declared(path):
            yield pytest.param(path, name, keywords, id=f"{path.stem}-{name}")


@functools.cache
def traces(impl, path, attempt, tmp):
    """Scenario -> its trace, as a list of lines, of the whole program under *impl*."""
    result, done, deaths = {}, [], 0
    names = [name for name, _ in declared(path)]
    while len(done) < len(names) and deaths < MAX_DEATHS:
        out = tmp / f"{impl}-{path.stem}-{attempt}-{len(done)}.jsonl"
        env = {key: value for key, value in os.environ.items() if key not in ALTERING}
        env |= {"PYTHONHASHSEED": "0", "OBSERVED": impl}
        proc = implementation.run(
            impl, HERE / "play.py", path, out, ",".join(done), seconds=PROGRAM_SECONDS, env=env, cwd=tmp
        )
        lines = out.read_text().splitlines() if out.exists() else []
        current = None
        for line in lines:
            kind, *rest = json.loads(line)
            if kind == "scenario":
                current = rest[0]
                done.append(current)
                result[current] = []
            elif kind == "end":
                current = None
            elif current is not None:
                result[current].append(line)
        if proc.returncode or current is not None:
            # Also when it died after the last scenario's end: that is where it came from.
            deaths += 1
            told = [f"<process ended with status {proc.returncode}>", *proc.stderr[-3000:].splitlines()]
            for name in [current] if current else done[-1:] or names:
                result[name] = result.get(name, []) + told
            if not done:
                break
    for name in set(names) - set(result):
        result[name] = [f"<not run: the program died {deaths} times>"]
    return result


@pytest.fixture(scope="session")
def traces_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("traces")


def difference(expected, actual, names):
    return "\n".join(difflib.unified_diff(expected, actual, *names, lineterm="", n=4))


@pytest.mark.parametrize("feature", sorted(set(NOT_BUILT.values())))
def test_not_built_yet(feature, impl, traces_dir):
    if impl != "ferrio":
        pytest.skip("the list is ferrio's")
    assert lacks(impl, feature, traces_dir), f"{feature}: built by now; take the entries out of NOT_BUILT"


@pytest.mark.parametrize(("path", "name", "keywords"), list(cases()))
def test_trace(path, name, keywords, impl, traces_dir):
    stock = traces("stock", path, 0, traces_dir)[name]
    differs = "differs" in keywords and sys.version_info[:2] in keywords.get(
        "differs_in", [sys.version_info[:2]]
    )
    died = any(line.startswith("<") for line in stock)
    assert not died or differs, "stock hung or died:\n" + "\n".join(stock)
    ours = traces(impl, path, 1, traces_dir)[name]
    if differs and impl != "stock":
        expected = [json.dumps(line, ensure_ascii=False) for line in keywords["expected"]]
        assert stock != expected, f"stock gives this trace too, so the note is stale: {keywords['differs']}"
        stock = expected
    if ours != stock:
        feature = NOT_BUILT.get(path.stem) or NOT_BUILT.get(f"{path.stem}-{name}")
        if feature and lacks(impl, feature, traces_dir):
            pytest.skip(f"not built yet: {feature}")
        pytest.fail(difference(stock, ours, ("stock", impl)), pytrace=False)
