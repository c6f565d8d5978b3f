"""A whole run recorded: the request made, the folder, the instruments, the finished trace."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from observer.errors import BadTrace
from observer.instruments.session import Wish
from observer.model.machine import Machine, Meta, Request
from observer.model.selection import Selection
from observer.trace.finish import SPOOL, begin, finish
from observer.trace.record import record
from observer.tracee.launch import find_program

__all__ = ["Order", "record_run"]


@dataclass(frozen=True, slots=True)
class Order:
    """What to record: the program's words and environment, the instruments, and how it is to be run.

    `aslr` is `on`, `off` or None (as the system has it); `huge_pages` False keeps transparent huge pages away.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str]
    selection: Selection
    stack: int = 512
    max_events: int | None = None
    allow_loss: bool = False
    aslr: str | None = None
    huge_pages: bool = True

    def wish(self) -> Wish:
        """Return it as the instruments take it."""
        return Wish(
            argv=self.words, environment=dict(self.environment), selection=self.selection, stack_bytes=self.stack,
            randomize={"on": True, "off": False, None: None}[self.aslr], max_events=self.max_events,
            huge_pages=self.huge_pages,
        )  # fmt: skip

    def request(self, directory: Path) -> Request:
        """Return it as meta.json keeps it."""
        kept = {
            name: _readable(value)
            for name, value in self.environment.items()
            if name.startswith(("GLIBC_TUNABLES", "MALLOC_", "LD_"))
        }
        syscalls = self.selection.syscalls
        return Request(
            command=tuple(map(_readable, self.words)), directory=_readable(str(directory.absolute())),
            expression=self.selection.text, syscalls=None if syscalls is None else tuple(sorted(syscalls)),
            instruments=tuple(sorted(self.selection.instruments)), recorder="breakpoint", stack=self.stack,
            max_events=self.max_events, allow_loss=self.allow_loss, aslr=self.aslr or "as the system has it",
            environment=kept,
        )  # fmt: skip


def record_run(
    order: Order, directory: Path, machine: Machine, *, force: bool = False,
    while_finishing: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Meta:  # fmt: skip
    """Run the program and leave its finished trace in *directory*; an existing one is replaced only if *force*.

    Raises:
        BadTrace: the folder exists, or cannot be written.
        CannotLaunch, CannotObserve: as `instruments.session.record`; then no folder is left.
    """
    find_program(order.words[0], order.environment)
    _make_directory(directory, force=force)
    request = order.request(directory)
    try:
        begin(directory, machine, request)
        recording = record(order.wish(), directory / SPOOL)
    except BaseException:
        if not (directory / SPOOL / "notes.jsonl").is_file() or not (directory / SPOOL / "notes.jsonl").stat().st_size:
            shutil.rmtree(directory, ignore_errors=True)  # nothing was recorded: leave nothing behind
        raise
    with while_finishing():
        return finish(directory, machine, request, recording)


def _readable(text: str) -> str:
    """Return *text* with bytes that are no UTF-8 written as \\xff."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _make_directory(directory: Path, *, force: bool) -> None:
    try:
        if force and (directory / "meta.json").is_file():
            shutil.rmtree(directory)
        directory.mkdir(mode=0o755)
    except FileExistsError as error:
        raise BadTrace(f"{directory} exists", "", "--force to replace a trace, or -o with another folder") from error
    except OSError as error:
        raise BadTrace(
            f"cannot make the folder {directory}", error.strerror or "", "-o with a folder you may write"
        ) from error
