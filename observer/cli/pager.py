"""Long output through the user's pager, as it comes, where it goes to a terminal (PAGER, else less)."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Final, TextIO

__all__ = ["paged"]

_DEFAULT: Final = "less"
_LESS: Final = "FRX"
"""Leave when it fits on the screen, show colours, leave the text standing."""


@contextmanager
def paged(stream: TextIO) -> Iterator[IO[str]]:
    """Give a stream to write to: a pager's where *stream* is a terminal, else *stream* itself.

    PAGER names the command; empty or `cat`, or what is no command that is there, means none. Who leaves the pager early
    has seen enough: the rest is dropped.
    """
    words = _words(os.environ.get("PAGER", _DEFAULT)) if stream.isatty() else []
    if not words or words == ["cat"] or shutil.which(words[0]) is None:
        yield stream
        return
    try:
        pager = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=stream, text=True, errors="replace",
            env={"LESS": _LESS, **os.environ},
        )  # fmt: skip
    except OSError:  # it may be executed, and cannot: a script without #!, say
        yield stream
        return
    assert pager.stdin is not None
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's, which goes on
    try:
        with suppress(BrokenPipeError):
            yield pager.stdin
    finally:
        with suppress(BrokenPipeError):
            pager.stdin.close()
        pager.wait()
        signal.signal(signal.SIGINT, before)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quotation that nobody closes
        return []
