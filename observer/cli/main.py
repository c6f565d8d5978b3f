"""The command `observer`: finds the verb, and turns our own failures into one clear message and a status.

Nothing heavy is imported here: `observer --help` answers at once.
"""

from __future__ import annotations

import _thread
import argparse
import errno
import gc
import importlib
import io
import os
import resource
import signal
import stat
import sys
import time
from collections.abc import Sequence
from typing import Final

from observer import __version__
from observer.cli.address_space import ask_for_address_space
from observer.cli.complaint import complain, drop_output
from observer.cli.parser import Parser

__all__ = ["main"]

VERBS: Final = {
    "run": "record a program and tell where its memory comes from",
    "show": "tell a recorded trace again",
    "report": "write a trace as one page that opens offline",
    "export": "write a trace for other tools",
    "query": "ask a trace, or many, in SQL",
    "plot": "draw what a run held over time",
    "simulate": "run a workload through the book's machine",
    "compare": "set a real run beside the book's machine, and explain each difference",
    "libraries": "build a C source against every C library here; their system calls side by side",
    "allocators": "run a program under every allocator found here, and say which to take",
    "lab": "assignments: predict, run, explain, hand in, grade",
    "completion": "print what makes a shell complete the words behind observer",
    "doctor": "say what this machine allows, and what would allow more",
}

_SOON: Final = 0.05
"""Seconds; by then the callback that an interrupt came in has ended."""

_YOUNG: Final = 250_000
"""Objects that are made between two searches for cycles: what is loaded first has none, nor have a run's events."""

_THREADS_OF_NUMPY: Final = "OPENBLAS_NUM_THREADS"

_UNWRITABLE: Final = (errno.EBADF, errno.EIO, errno.EFBIG, errno.EISDIR)
"""What writing to standard output fails with where there is room: it is open for reading, its terminal has gone, …"""

_NO_FOLDER: Final = "No usable temporary directory"
"""What tempfile says where it can write nowhere."""

_DESCRIPTION: Final = """\
Run a real program on Linux and see where its memory comes from: every malloc,
every brk and mmap inside it, every page fault with the line of C that caused
it, told in six steps, and a ledger that proves nothing was missed."""

_EPILOG: Final = """examples:
  observer run -- ./prog arg        the main job; leaves ./prog.trace
  observer show prog.trace --map    the address space at the end
  observer doctor                   what works on this machine

exit status:
  run: the program's own; 125 the observer failed, 126 not executable, 127 not
  found; the others: see observer VERB --help
"""


def _overview() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="observer", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--version", action="store_true", help="print versions of the observer, Python, kernel and C library"
    )
    verbs = parser.add_argument_group("verbs (observer VERB --help tells more)")
    for name, text in VERBS.items():
        verbs.add_argument(name, nargs="?", help=text, metavar=name)
    parser.usage = "observer VERB [options] …"
    return parser


def _print_versions() -> int:
    import platform

    libc = " ".join(platform.libc_ver())
    print(
        f"observer {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}, {libc}"
    )
    return 0


def _run_verb(name: str, words: Sequence[str]) -> int:
    gc.set_threshold(_YOUNG)
    module = importlib.import_module(f"observer.cli.{name}")
    parser = Parser(prog=f"observer {name}")
    module.configure(parser)
    try:
        arguments = parser.parse_args(words)
        _load_numpy()
        status: int = module.run(arguments)
        return status
    except SystemExit as end:  # a bad option, before the target or behind it
        # For `run`, every small status belongs to the program: a bad option is our own failure, as for env(1).
        return 125 if end.code and name == "run" else int(end.code or 0)


def _load_numpy() -> None:
    """Load numpy without the threads of its linear algebra, which nobody asks here: each of them keeps a processor busy
    for a tenth of a second, waiting. The environment, which the program gets, stays as it was given."""
    is_given = _THREADS_OF_NUMPY in os.environ
    os.environ.setdefault(_THREADS_OF_NUMPY, "1")
    importlib.import_module("numpy")
    if not is_given:
        del os.environ[_THREADS_OF_NUMPY]


def _occupy_standard_streams() -> None:
    """Put /dev/null where a standard stream is closed, so that no file of ours gets its number.

    The descriptors are close-on-exec: the program finds its streams as they were.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (stays open as the stream)


def _escape_unprintable() -> None:
    """Have standard output escape what its encoding has no letter for, as standard error does, instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line *words* (default: sys.argv) and return the exit status."""
    _occupy_standard_streams()
    _escape_unprintable()
    words = sys.argv[1:] if words is None else words
    if "_ARGCOMPLETE" in os.environ:
        from observer.cli.completion import complete

        complete(VERBS)
    return _guarded(words)


def _answer(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview().format_help(), end="")  # print_help drops what the output fails with
        return 0 if words else 2
    if words[0] == "--version":
        return _print_versions()
    if words[0] not in VERBS:
        complain(f"no verb {words[0]!r}; verbs: {', '.join(VERBS)}")
        return 2
    ask_for_address_space()
    return _run_verb(words[0], words[1:])


def _come_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Have an interrupt come again that came while something was let go of, where Python drops exceptions."""
    if unraisable.exc_type is KeyboardInterrupt:
        _thread.start_new_thread(_interrupt, ())  # a threading.Timer is waited for, and may be too early
    else:
        sys.__unraisablehook__(unraisable)


def _interrupt() -> None:
    time.sleep(_SOON)
    os.kill(os.getpid(), signal.SIGINT)


def _guarded(words: Sequence[str]) -> int:
    from observer.errors import SCARCE, ObserverError, UsageError
    from observer.tracee.environment import undo_coercion

    undo_coercion()
    sys.unraisablehook, before = _come_again, sys.unraisablehook
    try:
        status = _answer(words)
        sys.stdout.flush()
        return status
    except UsageError as error:
        complain(error.what, error.why, error.remedy)
        return 2 if words[0] != "run" else 125
    except ObserverError as error:
        complain(error.what, error.why, error.remedy)
        return error.exit_status
    except BrokenPipeError:
        # Whoever read our output has gone: nobody is left to complain to.
        drop_output(sys.stdout.fileno())
        return 141
    except (OSError, MemoryError, RuntimeError) as error:
        number = _exhausted(error)
        if number in (*SCARCE, *_UNWRITABLE) and _output_is_stuck():
            drop_output(sys.stdout.fileno())  # what is still in the buffer would fail again at the end
            complain("cannot write the output", os.strerror(number))
            return 125
        missing = _missing(error)
        if missing is not None:
            complain(*missing)
            return 125
        if number not in SCARCE:
            raise
        complain("cannot go on", os.strerror(number), SCARCE[number])
        return 125
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one must not end us by another status
        complain("interrupted")
        return 130
    finally:
        sys.unraisablehook = before


def _output_is_stuck() -> bool:
    """Whether standard output cannot be written: what still waits to be, or, unbuffered, more."""
    try:
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), b"")
        there = os.fstat(sys.stdout.fileno())
        longest, _hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        is_full = os.fstatvfs(sys.stdout.fileno()).f_bavail == 0 or 0 <= longest <= there.st_size
        return stat.S_ISREG(there.st_mode) and is_full
    except OSError:
        return True


def _missing(error: Exception) -> tuple[str, str, str] | None:
    """Return what every program takes for granted and is not there, why, and what to try; None if it is not that."""
    from observer.errors import NO_PROC, OURS

    if not isinstance(error, OSError):
        return None
    if error.filename == os.devnull:
        return f"cannot open {os.devnull}", os.strerror(error.errno or 0), "a /dev with the usual devices"
    if error.errno == errno.ENOENT and str(error.filename).startswith("/proc/") and not os.path.exists(OURS):
        return "cannot go on", *NO_PROC
    if error.errno == errno.ENOENT and _NO_FOLDER in (error.strerror or ""):
        return "cannot write temporary files", error.strerror or "", "TMPDIR=FOLDER"
    return None


def _exhausted(error: Exception) -> int:
    """Return the errno that says what there was too little of, 0 where it was something else."""
    if isinstance(error, OSError):
        return error.errno or 0
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    return errno.EAGAIN if "start new thread" in str(error) else 0
