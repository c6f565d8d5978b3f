"""Workloads as the command line names them: a file, one of the package, or standard input; and options behind them."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import stat
import sys
from pathlib import Path

from observer.errors import UsageError

__all__ = ["find_workload", "guess", "is_trace", "take_options_behind"]


def is_trace(word: str) -> bool:
    """Whether *word* names the folder of a recorded run, or what only those may look into whose it is."""
    try:
        return stat.S_ISREG(os.stat(os.path.join(word, "meta.json")).st_mode)
    except OSError as error:
        return error.errno == errno.EACCES


def find_workload(word: str, scratch: Path) -> Path | None:
    """Return the workload that *word* names: a file that is no program, one of the package, or standard input."""
    from observer.simulator import packaged

    if word == "-":
        path = scratch / "standard input"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        return path
    path = Path(word)
    if os.path.isfile(path):
        try:
            with path.open("rb") as file:
                head = file.read(4)
        except OSError as error:
            if os.access(path, os.X_OK):
                return None  # a program that may be run and not read
            raise UsageError(f"cannot read {path}", error.strerror or "") from error
        return None if head.startswith((b"\x7fELF", b"#!")) else path
    if "/" in word or (shutil.which(word) is not None and word not in packaged.names()):
        return None
    return packaged.path(word) if word in packaged.names() else None


def guess(word: str) -> str:
    """Return what to try where nothing is called *word*: workloads of nearly that name, else their list."""
    from difflib import get_close_matches

    from observer.simulator import packaged

    return " or ".join(get_close_matches(word, packaged.names())) or "observer simulate --list shows the workloads"


def take_options_behind(arguments: argparse.Namespace, words: list[str]) -> None:
    """Read what stands behind a trace or a workload, the first of *words*, into *arguments*: it is ours, no program's.

    `arguments.parse_again` is the verb's parser.

    Raises:
        UsageError: there is more than options.
    """
    arguments.parse_again(words[1:], arguments)
    if arguments.words:
        raise UsageError(
            f"{arguments.words[0]!r} stands behind {words[0]}, which is no program and takes no arguments", "",
            f"-- {words[0]}, if it is a program",
        )  # fmt: skip
