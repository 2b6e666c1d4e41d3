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
import signal
import sys
import threading
import types
import warnings

from ..install import install


def _environment(name):
    """A variable of the environment, unless Python was told not to look there (-E, -I)."""
    return None if sys.flags.ignore_environment else os.getenv(name)


def _new_console():
    """CPython 3.13's console where there is one and the terminal can do it; returns (class, runner or None)."""
    if sys.version_info >= (3, 13) and not _environment("PYTHON_BASIC_REPL"):
        try:
            from _pyrepl.main import CAN_USE_PYREPL
        except ModuleNotFoundError:
            # Some distributions leave it out.
            CAN_USE_PYREPL = False
        if CAN_USE_PYREPL:
            from _pyrepl.console import InteractiveColoredConsole
            from _pyrepl.simple_interact import run_multiline_interactive_console

            return InteractiveColoredConsole, run_multiline_interactive_console
    return code.InteractiveConsole, None


def _first_line(prompt, coloured):
    """The line that the session begins with, as if it had been typed."""
    word = "import"
    if coloured and sys.version_info >= (3, 14):
        from _colorize import get_theme

        theme = get_theme().syntax
        prompt, word = f"{theme.prompt}{prompt}{theme.reset}", f"{theme.keyword}{word}{theme.reset}"
    elif coloured:
        from _colorize import ANSIColors, can_colorize

        if can_colorize():
            prompt = f"{ANSIColors.BOLD_MAGENTA}{prompt}{ANSIColors.RESET}"
    return f"{prompt}{word} ferrio as asyncio\n"


class Repl:
    """One session: the loop, the namespace and the console."""

    def __init__(self, asyncio):
        self.return_code = 0
        self.interrupted = False
        self.task = None
        self.context = contextvars.copy_context()
        self.current_task = asyncio.current_task
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
        # While a piece of input runs: consoles may run it statement by statement, and Ctrl-C may come between two.
        self.busy = self.interrupt_next = False
        # The rest of an input that was interrupted is not run: 3.13.0's console does not stop by itself.
        self.stop_input = False
        # While what was typed has the loop's thread to itself.
        self.executing = False
        self.run_source = self.console.runsource
        self.console.runsource = self.run_input

    def run_input(self, *args, **kwargs):
        """Run a piece of input, which may be several statements; called by the console, in its thread."""
        self.busy, self.stop_input = True, False
        try:
            return self.run_source(*args, **kwargs)
        finally:
            self.busy = self.interrupt_next = False

    def run_code(self, code_object):
        """Run what was typed in the loop's thread, and wait for it; called by the console, in its thread."""
        if self.stop_input:
            return getattr(self.console, "STATEMENT_FAILED", None)
        done = concurrent.futures.Future()
        self.loop.call_soon_threadsafe(self._start, code_object, done, context=self.context)
        try:
            return done.result()
        except SystemExit as exc:
            self.return_code = exc.code
            # Ends the console's reading, and with it the thread.
            raise
        except BaseException as exc:  # noqa: BLE001 - a prompt shows whatever was raised
            if self.interrupted:
                self.stop_input = True
                self.console.write("\nKeyboardInterrupt\n")
            else:
                exc.__traceback__ = _before_typed(exc.__traceback__)
                self.console.showtraceback()
            # Since 3.13: what was pasted after it is not run.
            return getattr(self.console, "STATEMENT_FAILED", None)

    def _start(self, code_object, done):
        self.task = None
        self.interrupted = False
        try:
            if self.interrupt_next:
                self.interrupt_next = False
                raise KeyboardInterrupt
            self.executing = True
            try:
                result = types.FunctionType(code_object, self.console.locals)()
            finally:
                self.executing = False
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
            if not sys.flags.quiet:
                self.console.write(
                    f"ferrio REPL {sys.version} on {sys.platform}\n"
                    'Use "await" directly instead of "asyncio.run()".\n'
                    'Type "help", "copyright", "credits" or "license" for more information.\n'
                )
            self._run_startup_file()
            self.console.write(_first_line(getattr(sys, "ps1", ">>> "), self.run_console is not None))
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
        path = _environment("PYTHONSTARTUP")
        if not path:
            return
        sys.audit("cpython.run_startup", path)
        import tokenize

        try:
            with tokenize.open(path) as file:
                startup = compile(file.read(), path, "exec")
            exec(startup, self.console.locals)
        except SystemExit:
            raise
        except BaseException:  # noqa: BLE001 - as `python` does: shown, and the session goes on
            self.console.showtraceback()

    def on_signal(self, signum, frame):
        """Ctrl-C: raise KeyboardInterrupt in code of the user's, and nowhere else; else call `interrupt()` in the loop.

        An exception in the midst of the session's own code would leave the console waiting for an answer.
        """
        if self.executing or self.current_task(self.loop) is not None:
            signal.default_int_handler(signum, frame)
        self.loop.call_soon_threadsafe(self.interrupt)

    def interrupt(self):
        """Stop what is running at the prompt; called in the loop."""
        self.interrupted = True
        if self.task is not None and not self.task.done():
            self.task.cancel()
        elif self.busy:
            self.interrupt_next = True
        if self.run_console is not None:
            from _pyrepl.simple_interact import _get_reader

            reader = _get_reader()
            if reader.threading_hook is not None:
                reader.threading_hook.add("")

    def close(self):
        """Cancel what still runs and let it clean up, as `asyncio.run()` does; Ctrl-C leaves at once."""
        from ..runners import _cancel_all_tasks

        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            _cancel_all_tasks(self.loop)
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
        except KeyboardInterrupt:
            return
        self.loop.close()


# What consoles call the file of what was typed.
_TYPED = ("<stdin", "<python-input-")


def _before_typed(tb):
    """The traceback from the frame before what was typed: the console leaves out the first one, as its own."""
    entry = tb
    while entry.tb_next is not None:
        if entry.tb_next.tb_frame.f_code.co_filename.startswith(_TYPED):
            return entry
        entry = entry.tb_next
    return tb


def _prepare_readline(namespace):
    """History, and completion of the session's own names: the interpreter's hook completes those of `__main__`."""
    hook = getattr(sys, "__interactivehook__", None)
    if hook is None:
        return
    sys.audit("cpython.run_interactivehook", hook)
    hook()
    import site

    if hook is not getattr(site, "register_readline", hook):
        # Somebody's own, with a completer of its own. Before 3.13 that cannot be told.
        return
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
    signal.signal(signal.SIGINT, repl.on_signal)
    thread = threading.Thread(target=repl.interact, name="Interactive thread", daemon=True)
    thread.start()
    while True:
        try:
            repl.loop.run_forever()
        except KeyboardInterrupt:
            # Raised in a task, which has ended by it.
            repl.interrupted = True
        except SystemExit as exc:
            # Raised in a task, past the prompt.
            repl.return_code = exc.code
            break
        else:
            break
    repl.console.write("exiting ferrio REPL...\n")
    repl.close()
    return repl.return_code
