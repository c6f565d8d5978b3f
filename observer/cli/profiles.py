"""The parts of `observer show` that are of the whole run's memory: places, leaks, the peak, lifetimes, sizes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

    from observer.model.call_columns import Apart
    from observer.model.stacks import CallStack
    from observer.report.source import Sources
    from observer.story.language import Language
    from observer.story.memory_use import MemoryUse
    from observer.story.profile import Part, Profiled
    from observer.trace.reader import Trace

__all__ = ["MEASURES", "check_recorded", "is_profile", "profile_rows", "show_profile", "show_stacks", "stack_rows"]

MEASURES: Final = ("bytes", "calls", "live", "peak", "resident", "untouched", "vacant", "waste", "faults")
"""What --top ranks by."""
_OF_PAGES: Final = frozenset({"untouched", "vacant"})
"""What is known of pages alone."""
_OF_FAULTS: Final = _OF_PAGES | {"resident", "faults"}
_PARTS: Final = ("top", "leaks", "peak", "lifetimes", "sizes", "fragmentation")


def is_profile(arguments: argparse.Namespace) -> bool:
    """Whether *arguments* ask for one of these parts."""
    return any(getattr(arguments, part) for part in _PARTS)


def check_recorded(trace: Trace, arguments: argparse.Namespace) -> None:
    """Raise BadTrace where the part is made of what -e left out as *trace* was recorded: nothing of it is known."""
    from observer.errors import BadTrace

    needed = {"calls": "allocator calls"} if arguments.top != "faults" else {}
    if arguments.fragmentation or arguments.top in _OF_FAULTS:
        needed["faults"] = "page faults"
    for instrument, name in needed.items():
        if instrument not in trace.meta.request.instruments:
            what = next(part for part in _PARTS if getattr(arguments, part))
            told = f"--{what} {arguments.top}" if arguments.top else f"--{what}"
            raise BadTrace(f"{told} cannot be told of {trace.directory}", f"{name} were not recorded", "run without -e")


def _use(trace: Trace, *parts: Part, apart: Apart | None = None) -> MemoryUse:
    from observer.model.call_columns import Apart
    from observer.runs.profiled import profiled

    return profiled(trace, trace.meta.machine.page_size, frozenset(parts), apart or Apart.LINES)


def _is_inferred(trace: Trace) -> bool:
    return bool(trace.meta.totals.get("calls_inline"))


def profile_rows(trace: Trace, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the objects that are a line of JSON each."""
    from observer.report import profile_json
    from observer.report.places import as_object
    from observer.runs.profiled import counted
    from observer.story.profile import Part, ranked

    if arguments.peak:
        yield from profile_json.peak_objects(_use(trace, Part.COURSE))
    elif arguments.lifetimes:
        yield from profile_json.lifetime_objects(counted(trace, Part.LIFETIMES), inferred=_is_inferred(trace))
    elif arguments.sizes:
        yield from profile_json.size_objects(counted(trace, Part.SIZES))
    elif arguments.fragmentation:
        yield from profile_json.fragmentation_objects(_use(trace))
    else:
        yield from map(as_object, ranked(_use(trace).places, arguments.top or "live"))


def show_profile(
    console: Console, trace: Trace, arguments: argparse.Namespace, sources: Sources, language: Language
) -> None:
    """Print the part that was asked for."""
    from observer.report import profile
    from observer.report.places import print_leaks, print_top
    from observer.runs.profiled import counted
    from observer.story.profile import Part, ranked

    if arguments.peak:
        profile.print_peak(console, _use(trace, Part.COURSE), sources, language)
    elif arguments.lifetimes:
        found, inferred = counted(trace, Part.LIFETIMES), _is_inferred(trace)
        profile.print_lifetimes(console, found, sources, language, inferred=inferred)
    elif arguments.sizes:
        profile.print_sizes(console, counted(trace, Part.SIZES), language)
    elif arguments.fragmentation:
        beside = bool(trace.meta.totals.get("frames_beside"))
        profile.print_fragmentation(console, _use(trace), language, beside=beside)
    elif arguments.leaks:
        places = ranked(counted(trace).places(), "live")
        print_leaks(console, places, sources, language, closed=trace.meta.outcome.closed)
    else:
        places = _use(trace).places if arguments.top in _OF_PAGES else counted(trace).places()
        print_top(console, arguments.top, ranked(places, arguments.top), sources, language)


def stack_rows(trace: Trace, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the objects that are a line of JSON each, of --top or --leaks by --stacks."""
    from observer.report.places import as_stack_object

    for found, stack in _by_stack(trace, arguments.top or "live", _OF_PAGES):
        yield as_stack_object(found, stack)


def show_stacks(
    console: Console, trace: Trace, arguments: argparse.Namespace, sources: Sources, language: Language
) -> None:
    """Print --top or --leaks by --stacks."""
    from observer.report.places import print_leaks, print_top

    found = _by_stack(trace, arguments.top or "live", _OF_PAGES & {arguments.top})
    places, callers = [each for each, _stack in found], [stack for _each, stack in found]
    if arguments.top:
        print_top(console, arguments.top, places, sources, language, callers)
    else:
        print_leaks(console, places, sources, language, closed=trace.meta.outcome.closed, callers=callers)


def _by_stack(
    trace: Trace, measure: str, of_pages: frozenset[str]
) -> list[tuple[Profiled, CallStack | None]]:  # fmt: skip
    """Return the places by who called, with most of *measure* first, and what is known *of_pages*, if anything is."""
    from observer.model.call_columns import Apart
    from observer.runs.profiled import counted
    from observer.story.profile import ranked

    places = _use(trace, apart=Apart.STACKS).places if of_pages else counted(trace, apart=Apart.STACKS).places()
    stacks = trace.stacks()
    return [(each, stacks[each.stack] if each.stack is not None else None) for each in ranked(places, measure)]
