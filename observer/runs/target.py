"""What is compared, and recording it: as it is, or with one mechanism of the allocator switched off."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from observer.instruments.session import Wish
from observer.model.departures import Departure
from observer.model.machine import Meta
from observer.model.selection import Selection
from observer.runs.record import record_run
from observer.runs.workloads import Interpreted
from observer.trace.reader import Trace

__all__ = ["Target", "record_target"]


@dataclass(frozen=True, slots=True)
class Target:
    """One of three: a program's words, the folder of a recorded run, or a workload."""

    words: tuple[str, ...] = ()
    trace: Path | None = None
    workload: Interpreted | None = None


def record_target(target: Target, directory: Path, report: Path, departure: Departure | None = None) -> Meta:
    """Run *target* and leave its trace in *directory*; return its meta.json. A recorded run is made again.

    The program reads nothing, and its output goes to our standard error.

    Args:
        report: where the interpreter writes what it did, if *target* is a workload.
        departure: what the run is to do without; then its output goes nowhere.

    Raises:
        BadTrace, CannotLaunch, CannotObserve, KeyboardInterrupt: as `record.record_run`.
    """
    words, environment = _words_and_environment(target, report)
    if departure is not None and departure.tunables:
        environment["GLIBC_TUNABLES"] = _with_tunables(environment.get("GLIBC_TUNABLES", ""), departure)
    huge_pages = departure is None or not departure.thp_off
    # By breakpoints: a thread's end, in which glibc gives memory back to itself, is told soon after, for its last calls
    # are not much faster than its end is seen.
    wish = Wish(
        argv=words, environment=environment, selection=Selection(), huge_pages=huge_pages, recorder="breakpoint"
    )
    with _streams_aside(quiet=departure is not None):
        return record_run(wish, directory)


def _words_and_environment(target: Target, report: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    environment = dict(os.environ)
    if target.trace is not None:
        request = Trace.open(target.trace).meta.request
        return request.command, environment | request.environment
    if target.workload is not None:
        return (target.workload.program, *target.workload.arguments(report)), environment
    return target.words, environment


def _with_tunables(given: str, departure: Departure) -> str:
    mine = [f"glibc.malloc.{name}={value}" for name, value in departure.tunables.items()]
    replaced = {word.partition("=")[0] for word in mine}
    kept = [word for word in given.split(":") if word and word.partition("=")[0] not in replaced]
    return ":".join([*kept, *mine])


@contextmanager
def _streams_aside(*, quiet: bool) -> Iterator[None]:
    """Have the program write to stderr instead of our stdout (nowhere if *quiet*), and read nothing."""
    sys.stdout.flush()
    kept = [os.dup(number) for number in range(3)]
    null = os.open(os.devnull, os.O_RDWR)
    try:
        os.dup2(null, 0)
        os.dup2(null if quiet else 2, 1)
        if quiet:
            os.dup2(null, 2)
        yield
    finally:
        for number, copy in enumerate(kept):
            os.dup2(copy, number)
            os.close(copy)
        os.close(null)
