"""Programs recorded by a process of its own, for many jobs: `python -m observer.labs.recorder`, a job a line.

It reads jobs from its standard input and writes how each ended to its standard output, JSON both. What takes long to
load is loaded once: each job is done in a fork, which its time limit ends, and with it the program and all that it
started. When whoever asked for the job is gone, so is the job.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from observer.errors import ObserverError
from observer.instruments.names import all_families, all_names
from observer.instruments.session import Wish
from observer.model.filenames import safe
from observer.model.selection import parse
from observer.runs.record import record_run
from observer.runs.sources import Sources

__all__ = ["Ended", "Job", "main"]

_OF_OUR_OWN: Final = 5
"""Seconds after its time limit when a job ends itself, should nobody do it."""


class Job(msgspec.Struct, frozen=True):
    """What is to be recorded, in which folder: the command and its environment; the trace's new folder.

    The program's output goes into the file `output`, its errors and the recorder's into `errors`.
    `malloc_functions` are the roles of the functions of an allocator that is the program's own.
    `expression` chooses what is recorded, in the grammar of -e.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    expression: str
    trace: str
    output: str
    errors: str
    max_events: int
    seconds: int
    malloc_functions: dict[str, str]


class Ended(msgspec.Struct, frozen=True):
    """How a job ended: 0 when there is a trace, None when its time was over; else `why` there is none."""

    status: int | None
    why: str = ""


def main() -> int:
    """Do the jobs that standard input names, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it as it is, without a word
    gc.freeze()  # what is loaded stays: no fork goes through it, which would copy its pages
    for line in _lines():
        os.write(1, msgspec.json.encode(_done(msgspec.json.decode(line, type=Job))) + b"\n")
    return 0


def _lines() -> Iterator[bytes]:
    # Without a buffer of Python's own: a fork would have a copy of what is in it.
    known = b""
    while data := os.read(0, 1 << 16):
        *whole, known = (known + data).split(b"\n")
        yield from whole


def _done(job: Job) -> Ended:
    saying, said = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(saying)
        _do(job, said)
    os.close(said)
    is_over = _wait(child, job.seconds)
    with open(saying, "rb") as file:
        why = file.read(1 << 16).decode(errors="replace")
    return Ended(None) if is_over is None else Ended(is_over, why or f"the recorder ended with status {is_over}")


def _wait(child: int, seconds: int) -> int | None:
    """Return the status of *child*; None where it had to be killed, for its time was over or nobody waits for it."""
    waiting = select.poll()
    descriptor = os.pidfd_open(child)
    waiting.register(descriptor, select.POLLIN)
    waiting.register(0, 0)  # that whoever asked has gone is told without being asked for
    found = waiting.poll(seconds * 1000)
    os.close(descriptor)
    is_over = all(fd != descriptor for fd, _event in found)
    if is_over:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if is_over else status


def _do(job: Job, said: int) -> None:
    """Be the process that records: say on the descriptor *said* what failed; never return."""
    status = 125
    try:
        signal.alarm(job.seconds + _OF_OUR_OWN)
        os.chdir(job.folder)
        for number, path in ((0, os.devnull), (1, job.output), (2, job.errors)):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC * (number > 0), 0o600)
            os.dup2(descriptor, number)
            os.close(descriptor)
        _record(job)
        status = 0
    except Exception as error:  # all that is left of it is what it says
        kind = "" if isinstance(error, ObserverError) else f"{type(error).__name__}: "
        os.write(said, safe(f"{kind}{error}").encode())
    finally:
        os._exit(status)


def _record(job: Job) -> None:
    # Huge pages would make one fault of hundreds, on some machines. And a program that is graded could write calls of
    # its own invention into the memory of a recorder inside it.
    wish = Wish(
        argv=job.command, environment=job.environment, selection=parse(job.expression, all_names(), all_families()),
        stop_after=job.max_events, huge_pages=False, malloc_functions=job.malloc_functions, recorder="breakpoint",
    )  # fmt: skip
    record_run(wish, Path(job.trace), listeners=[Sources()])


if __name__ == "__main__":
    sys.exit(main())
