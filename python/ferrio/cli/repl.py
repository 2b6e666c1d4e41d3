"""The REPL of `python -m ferrio`: `python -m asyncio`'s, with `await` at the prompt, over ferrio.

The loop runs in the main thread, where signals arrive; the console reads in a thread of its own.  Whatever is typed
runs in the loop's thread, all of it in one context, so that a context variable set on one line is set on the next.
"""

import ast
import code
import concurrent.futures
import contextvars
import inspect
import os
import sys
import threading
import types
import warnings

from ..install import install


def _new_console():
    """CPython 3.13's console where there is one and the terminal can do it; returns (class, runner or None)."""
    if sys.version_info >= (3, 13) and not os.getenv("PYTHON_BASIC_REPL"):
        from _pyrepl.main import CAN_USE_PYREPL

        if CAN_USE_PYREPL:
            from _pyrepl.console import InteractiveColoredConsole
            from _pyrepl.simple_interact import run_multiline_interactive_console

            return InteractiveColoredConsole, run_multiline_interactive_console
    return code.InteractiveConsole, None


class Repl:
    """One session: the loop, the namespace and the console."""

    def __init__(self, asyncio):
        self.return_code = 0
        self.interrupted = False
        self.task = None
        self.context = contextvars.copy_context()
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        console_class, self.run_console = _new_console()
        namespace = {
            "asyncio": asyncio,
            "__name__": "__main__",
            "__package__": None,
            "__loader__": None,
            "__spec__": None,
            "__builtins__": __builtins__,
        }
        self.console = console_class(namespace, filename="<stdin>")
        self.console.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.console.runcode = self.run_code

    def run_code(self, code_object):
        """Run what was typed in the loop's thread, and wait for it; called by the console, in its thread."""
        done = concurrent.futures.Future()
        self.loop.call_soon_threadsafe(self._start, code_object, done, context=self.context)
        try:
            return done.result()
        except SystemExit as exc:
            self.return_code = exc.code
            self.loop.call_soon_threadsafe(self.loop.stop)
            # Ends the console's reading, and with it the thread.
            raise
        except BaseException as exc:  # noqa: BLE001 - a prompt shows whatever was raised
            if self.interrupted:
                self.console.write("\nKeyboardInterrupt\n")
            else:
                exc.__traceback__ = _before_typed(exc.__traceback__)
                self.console.showtraceback()

    def _start(self, code_object, done):
        self.task = None
        self.interrupted = False
        try:
            result = types.FunctionType(code_object, self.console.locals)()
            if not inspect.iscoroutine(result):
                done.set_result(result)
                return
            self.task = self.loop.create_task(result, context=self.context)
        except BaseException as exc:  # noqa: BLE001 - handed to the thread that waits for it
            self.interrupted = isinstance(exc, KeyboardInterrupt)
            done.set_exception(exc)
            return
        self.task.add_done_callback(lambda task: self._finish(task, done))

    @staticmethod
    def _finish(task, done):
        if task.cancelled():
            done.cancel()
        elif task.exception() is not None:
            done.set_exception(task.exception())
        else:
            done.set_result(task.result())

    def interact(self):
        """Read and run until the end of the input; the console thread's whole life."""
        try:
            self.console.write(
                f"ferrio REPL {sys.version} on {sys.platform}\n"
                'Use "await" directly instead of "asyncio.run()".\n'
                'Type "help", "copyright", "credits" or "license" for more information.\n'
            )
            self._run_startup_file()
            self.console.write(f"{getattr(sys, 'ps1', '>>> ')}import ferrio as asyncio\n")
            if self.run_console is None:
                self.console.interact(banner="", exitmsg="")
            else:
                self.run_console(self.console)
        except SystemExit as exc:
            self.return_code = exc.code
        finally:
            # What was typed but never awaited is not worth a warning at the end.
            warnings.filterwarnings("ignore", r"^coroutine .* was never awaited$", RuntimeWarning)
            self.loop.call_soon_threadsafe(self.loop.stop)

    def _run_startup_file(self):
        path = os.getenv("PYTHONSTARTUP")
        if not path:
            return
        sys.audit("cpython.run_startup", path)
        import tokenize

        with tokenize.open(path) as file:
            startup = compile(file.read(), path, "exec")
        try:
            exec(startup, self.console.locals)
        except Exception:  # noqa: BLE001 - as `python` does: shown, and the session goes on
            self.console.showtraceback()

    def interrupt(self):
        """Stop what is running at the prompt; called in the main thread, on a KeyboardInterrupt."""
        self.interrupted = True
        if self.task is not None and not self.task.done():
            self.task.cancel()
        if self.run_console is not None:
            from _pyrepl.simple_interact import _get_reader

            reader = _get_reader()
            if reader.threading_hook is not None:
                reader.threading_hook.add("")


def _before_typed(tb):
    """The traceback from the frame before what was typed: the console leaves out the first one, as its own."""
    entry = tb
    while entry.tb_next is not None:
        if entry.tb_next.tb_frame.f_code.co_filename.startswith("<stdin"):
            return entry
        entry = entry.tb_next
    return tb


def _prepare_readline(namespace):
    """Completion of the session's own names; the interpreter's hook would complete those of `__main__`."""
    hook = getattr(sys, "__interactivehook__", None)
    if hook is None:
        return
    sys.audit("cpython.run_interactivehook", hook)
    hook()
    try:
        import readline
        import rlcompleter
    except ImportError:
        return
    readline.set_completer(rlcompleter.Completer(namespace).complete)


def main():
    """Run a session on the terminal; returns the exit status."""
    sys.audit("cpython.run_stdin")
    install()
    repl = Repl(sys.modules["asyncio"])
    _prepare_readline(repl.console.locals)
    thread = threading.Thread(target=repl.interact, name="Interactive thread", daemon=True)
    thread.start()
    while True:
        try:
            repl.loop.run_forever()
        except KeyboardInterrupt:
            repl.interrupt()
        else:
            break
    repl.console.write("exiting ferrio REPL...\n")
    return repl.return_code
