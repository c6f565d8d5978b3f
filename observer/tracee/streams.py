"""The standard streams of a program that runs many times: the same input each time, its output seen once.

Standard input: a file is opened anew for each run, at the place where it stood; a pipe is read to its end once and its
copy given to each run; a terminal cannot be read twice by machine, so the program finds the end of file.
"""

from __future__ import annotations

import os
import select
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["Streams"]

_PATIENCE: Final = 2.0
_WAITING: Final = "observer: waiting for the end of standard input, which every run is to find anew (or: </dev/null)"


class Streams:
    """What each run finds as its standard streams. *folder* is a place for a copy of the input."""

    def __init__(self, folder: Path) -> None:
        self._input, self._at = _repeatable(folder)

    @contextmanager
    def aside(self, errors: Path, *, shown: bool) -> Iterator[None]:
        """Let a run begin with these streams: output to our standard error if *shown*, else to nowhere.

        Its messages go the same way if *shown*, else into the file *errors*.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [os.dup(number) for number in range(3)]
        try:
            self._turn(errors, shown=shown)
            yield
        finally:
            for number, copy in enumerate(kept):
                os.dup2(copy, number)
                os.close(copy)

    def _turn(self, errors: Path, *, shown: bool) -> None:
        source = os.open(self._input, os.O_RDONLY)
        if self._at:
            os.lseek(source, self._at, os.SEEK_SET)
        _become(source, 0)
        if shown:
            os.dup2(2, 1)
        else:
            _become(os.open(os.devnull, os.O_WRONLY), 1)
            _become(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)


def _become(descriptor: int, number: int) -> None:
    os.dup2(descriptor, number)
    os.close(descriptor)


def _repeatable(folder: Path) -> tuple[str, int]:
    """Return what to open for standard input, and where to begin in it."""
    mode = os.fstat(0).st_mode
    if stat.S_ISREG(mode) and os.access("/proc/self/fd/0", os.R_OK):
        # The file's name may be gone by now; this way to it is not.
        return f"/proc/{os.getpid()}/fd/{os.dup(0)}", os.lseek(0, 0, os.SEEK_CUR)
    if stat.S_ISCHR(mode):
        return os.devnull, 0
    if not select.select([0], [], [], _PATIENCE)[0]:
        print(_WAITING, file=sys.stderr)
    copy = folder / "standard input"
    with open(0, "rb", closefd=False) as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target)
    return str(copy), 0
