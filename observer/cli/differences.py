"""`observer compare A.trace B.trace`, or one trace at two moments: what differs, place by place."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observer.errors import UsageError

if TYPE_CHECKING:
    from observer.trace.reader import Trace

__all__ = ["run_differences"]

_MOMENTS: Final = 2
_OF_A_MODEL: Final[Mapping[str, Callable[[argparse.Namespace], bool]]] = {
    "--allocator glibc": lambda given: given.allocator != "book",
    "--libc": lambda given: given.libc is not None,
    "--fit": lambda given: given.fit != "first",
    "--confirm": lambda given: given.confirm,
    "--ask": lambda given: given.ask,
    "-o": lambda given: given.directory is not None,
}
"""Options that are about a run beside a model, and whether each was given."""


def run_differences(arguments: argparse.Namespace, paths: list[Path]) -> int:
    """Tell what differs between the two traces at *paths*, or two moments of the one; return the exit status."""
    from observer.cli.traces import opened
    from observer.report.differences import ROWS, print_differences, write_differences
    from observer.report.screen import make_console
    from observer.story.differences import differences, places_until, totals

    _check(arguments)
    traces = [opened(path) for path in paths]
    moments = _moments(arguments, traces)
    before, after = (places_until(trace.events(), n) for trace, n in moments)
    names = _name(*moments[0]), _name(*moments[1])
    both = totals(before), totals(after)
    found = differences(before, after, arguments.by)
    if arguments.json:
        write_differences(sys.stdout.buffer, names, both, found)
    else:
        most = None if arguments.all else ROWS
        print_differences(make_console(sys.stdout), names, both, found, arguments.by, most)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what would have no effect: nothing is recorded here, and no model is asked."""
    given = next((option for option, is_given in _OF_A_MODEL.items() if is_given(arguments)), None)
    if given is not None:
        why = "recorded runs, or moments of one, are set beside each other"
        raise UsageError(f"{given} is about a run beside a model", why, "name one run, and no --at")


def _moments(arguments: argparse.Namespace, traces: list[Trace]) -> list[tuple[Trace, int | None]]:
    """Return which two moments of which traces are compared."""
    from observer.cli.events import event_number

    if len(traces) > _MOMENTS:
        raise UsageError("two runs are compared", f"{len(traces)} traces are named", "observer compare A.trace B.trace")
    if arguments.at and len(traces) > 1:
        raise UsageError("--at is about one trace", "two are named", "observer compare A.trace --at N --at M")
    if arguments.at and len(arguments.at) != _MOMENTS:
        raise UsageError("--at is given twice", "two moments are compared", "observer compare A.trace --at N --at M")
    if not arguments.at:
        return [(trace, None) for trace in traces]
    return [(traces[0], event_number(traces[0], text)) for text in arguments.at]


def _name(trace: Trace, n: int | None) -> str:
    return str(trace.directory) if n is None else f"{trace.directory}, after event {n:,}"
