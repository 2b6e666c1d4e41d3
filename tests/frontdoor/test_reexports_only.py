"""Behaviour lives in the extension: the modules of python/ferrio name things, and do nothing.

Every function with a body of its own is found in the source; those that may have one are listed with the reason, and
a reason that nothing needs any more has to go.
"""

import ast
from pathlib import Path

import ferrio
import pytest

PACKAGE = Path(ferrio.__file__).parent

# What a module or a function does, and why it does it in Python.
ALLOWED = {
    "__init__": "PEP 562: names are loaded when asked for",
    "_abstract:AbstractServer.__aexit__": "part of the abstract class: its subclasses inherit it",
    "_abstract:AbstractEventLoop.call_soon": "part of the abstract class: its subclasses inherit it",
    "_child_watchers": "classes that programs subclass, until Python 3.13",
    "_family": "one class under two names is a matter of imports",
    "_import_hook": "an import hook",
    "_later": "a module that is loaded when it is first looked at is a matter of imports",
    "_names_taken": "which names modules have imported is a matter of imports",
    "_lazy": "PEP 562: names are loaded when asked for",
    "_mocks": "an isinstance of another module is answered where that module looks",
    "_native": "stands between the package and an extension that is not complete",
    "_not_yet": "stands in for what the extension does not have",
    "_two_worlds": "meeting stock asyncio is a matter of imports",
    "_wrong_extension": "there is no extension then",
    "cli.__init__": "the command line",
    "cli.doctor": "the command line",
    "cli.foreign": "the command line",
    "cli.repl": "the REPL",
    "cli.run": "the command line",
    "cli.tasks": "the command line",
    "constants:__getattr__": "PEP 562: an enum is made when asked for",
    "events": "the policy: a global that programs replace, holding a class that they subclass",
    "exceptions:IncompleteReadError.__init__": "an exception class, shared with stock asyncio",
    "exceptions:IncompleteReadError.__reduce__": "an exception class, shared with stock asyncio",
    "exceptions:LimitOverrunError.__init__": "an exception class, shared with stock asyncio",
    "exceptions:LimitOverrunError.__reduce__": "an exception class, shared with stock asyncio",
    "install": "taking asyncio's place is a matter of imports",
    "locks:_ContextManagerMixin": "a mixin for other people's classes; ours are native",
    "log:__getattr__": "PEP 562: logging is imported when asked for",
    "mixins:_LoopBoundMixin._get_loop": "a mixin for other people's classes; ours are native",
    "transports:BaseTransport.__init__": "part of the abstract class: its subclasses inherit it",
    "transports:BaseTransport.get_extra_info": "part of the abstract class: its subclasses inherit it",
    "transports:WriteTransport.writelines": "part of the abstract class: its subclasses inherit it",
    "transports:_FlowControlMixin": "a mixin for other people's transports; ours are native",
    "unix_events:can_use_pidfd": "asked for and replaced by tests, by this name",
}


def sources():
    # A stand-in for the extension, written in Python, is not the package's.
    return sorted(
        path for path in PACKAGE.rglob("*.py") if path.stem != "_ferrio" and "_standin" not in path.parts
    )


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def test_the_list_names_existing_modules():
    names = {module_name(path) for path in sources()}
    assert {entry.partition(":")[0] for entry in ALLOWED} <= names


@pytest.mark.parametrize("name", [entry for entry in ALLOWED if ":" in entry])
def test_a_reason_is_still_needed(name):
    found = [function for path in sources() for function in functions_with_a_body(path)]
    assert any(function == name or function.startswith(f"{name}.") for function in found)


@pytest.mark.parametrize("path", sources())
def test_no_behaviour(path):
    found = [function for function in functions_with_a_body(path) if not allowed(function)]
    assert found == []


def allowed(function):
    module, _, qualname = function.partition(":")
    parts = qualname.split(".")
    prefixes = {f"{module}:{'.'.join(parts[:n])}" for n in range(1, len(parts) + 1)}
    return module in ALLOWED or not prefixes.isdisjoint(ALLOWED)


def functions_with_a_body(path):
    module = module_name(path)
    return [f"{module}:{name}" for name in walk(ast.parse(path.read_text()), ())]


def walk(node, parents):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from walk(child, (*parents, child.name))
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if not says_nothing(child.body):
                yield ".".join((*parents, child.name))
        elif isinstance(child, ast.Lambda):
            yield ".".join((*parents, "<lambda>"))
        else:
            yield from walk(child, parents)


def says_nothing(body):
    """Whether a function's body is a docstring, a NotImplementedError, or a call handed on unchanged."""
    statements = [node for node in body if not is_docstring(node)]
    if not statements:
        return True
    if len(statements) > 1:
        return False
    text = ast.unparse(statements[0])
    return text in ("raise NotImplementedError", "return self") or text.startswith("super().")


def is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_a_body_is_found():
    """The rule itself: it sees what it is there to see."""
    source = """
class A:
    def named(self):
        "Only a name."
        raise NotImplementedError
    def busy(self):
        return self.x + 1
if True:
    def free(): print()
handler = lambda: 1
"""
    assert list(walk(ast.parse(source), ())) == ["A.busy", "free", "<lambda>"]
