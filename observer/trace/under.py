"""A program recorded under one allocator, and what the trace tells of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from observer.instruments.names import all_names
from observer.model.footprint import Conduct
from observer.model.machine import Machine, Meta
from observer.model.selection import parse
from observer.trace.holdings import account, find_peaks
from observer.trace.reader import Trace
from observer.trace.recorder import Order, record_run
from observer.tracee.allocators import known

__all__ = ["conduct_of", "record_under"]

_TREE: Final = frozenset({"call", "process"})


def record_under(
    words: tuple[str, ...], environment: Mapping[str, str], directory: Path, machine: Machine,
    while_finishing: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Meta:  # fmt: skip
    """Record the program into *directory*, with all memory system calls and small pages only; return its meta.

    Raises:
        BadTrace, CannotLaunch, CannotObserve: as `trace.recorder.record_run`.
        KeyboardInterrupt: the user interrupted; then the program has ended.
    """
    # One fault then brings one page, and resident bytes can be counted by faults.
    order = Order(
        words=words, environment=environment, selection=parse("trace=memory", all_names()), huge_pages=False,
    )  # fmt: skip
    meta = record_run(order, directory, machine, while_finishing=while_finishing)
    if meta.totals.get("interrupts"):
        raise KeyboardInterrupt
    return meta


def conduct_of(directory: Path) -> Conduct:
    """Return what the allocator did in the recorded run in *directory*."""
    trace = Trace.open(directory)
    libraries = (known(image.path) for image in trace.meta.images)
    modules = frozenset(os.path.basename(library.path) for library in libraries if library is not None)
    return account(trace.events(), find_peaks(trace.events(_TREE), modules), modules)
