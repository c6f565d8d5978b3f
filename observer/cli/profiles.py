"""The parts of `observer show` that are of the whole run's memory: places, leaks, the peak, lifetimes, sizes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

    from observer.model.stacks import CallStack
    from observer.report.source import Sources
    from observer.story.by_stack import StackPlace
    from observer.story.language import Language
    from observer.story.memory_use import MemoryUse
    from observer.trace.reader import Trace

__all__ = ["MEASURES", "is_profile", "profile_rows", "show_profile", "show_stacks", "stack_rows"]

MEASURES: Final = ("bytes", "calls", "live", "peak", "resident", "untouched", "waste", "faults")
"""What --top ranks by."""
_PARTS: Final = ("top", "leaks", "peak", "lifetimes", "sizes", "fragmentation")


def is_profile(arguments: argparse.Namespace) -> bool:
    """Whether *arguments* ask for one of these parts."""
    return any(getattr(arguments, part) for part in _PARTS)


def _use(trace: Trace, arguments: argparse.Namespace) -> MemoryUse:
    from observer.runs.profiled import profiled

    return profiled(trace, trace.meta.machine.page_size, times=arguments.lifetimes or arguments.peak)


def _is_inferred(trace: Trace) -> bool:
    return bool(trace.meta.totals.get("calls_inline"))


def profile_rows(trace: Trace, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the objects that are a line of JSON each."""
    from observer.report import profile_json
    from observer.report.places import as_object
    from observer.story.profile import ranked

    use = _use(trace, arguments)
    if arguments.peak:
        yield from profile_json.peak_objects(use)
    elif arguments.lifetimes:
        yield from profile_json.lifetime_objects(use, inferred=_is_inferred(trace))
    elif arguments.sizes:
        yield from profile_json.size_objects(use)
    elif arguments.fragmentation:
        yield from profile_json.fragmentation_objects(use)
    else:
        yield from map(as_object, ranked(use.places, arguments.top or "live"))


def show_profile(
    console: Console, trace: Trace, arguments: argparse.Namespace, sources: Sources, language: Language
) -> None:
    """Print the part that was asked for."""
    from observer.report import profile
    from observer.report.places import print_leaks, print_top
    from observer.story.profile import ranked

    use = _use(trace, arguments)
    if arguments.peak:
        profile.print_peak(console, use, sources, language)
    elif arguments.lifetimes:
        profile.print_lifetimes(console, use, sources, language, inferred=_is_inferred(trace))
    elif arguments.sizes:
        profile.print_sizes(console, use, language)
    elif arguments.fragmentation:
        profile.print_fragmentation(console, use, language, beside=bool(trace.meta.totals.get("frames_beside")))
    elif arguments.leaks:
        places = ranked(use.places, "live")
        print_leaks(console, places, sources, language, closed=trace.meta.outcome.closed)
    else:
        print_top(console, arguments.top, ranked(use.places, arguments.top), sources, language)


def stack_rows(trace: Trace, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the objects that are a line of JSON each, of --top or --leaks by --stacks."""
    from observer.report.places import as_stack_object

    for found, stack in _by_stack(trace, arguments.top or "live"):
        yield as_stack_object(found.place, stack)


def show_stacks(
    console: Console, trace: Trace, arguments: argparse.Namespace, sources: Sources, language: Language
) -> None:
    """Print --top or --leaks by --stacks."""
    from observer.report.places import print_leaks, print_top
    from observer.story.profile import Profiled

    found = _by_stack(trace, arguments.top or "live")
    # What a place held at the peak, and what was the C library's own, is not told by stack.
    places = [Profiled(each.place, 0, 0, 0, 0, 0, (), ()) for each, _stack in found]
    callers = [stack for _each, stack in found]
    if arguments.top:
        print_top(console, arguments.top, places, sources, language, callers)
    else:
        print_leaks(console, places, sources, language, closed=trace.meta.outcome.closed, callers=callers)


def _by_stack(trace: Trace, measure: str) -> list[tuple[StackPlace, CallStack | None]]:
    from observer.story.by_stack import ByStack

    stacks = trace.stacks()
    found = ByStack(stacks)
    for event in trace.events(frozenset({"call", "fault", "process"})):
        found.add(event)
    return [(each, stacks.get(each.stack) if each.stack is not None else None) for each in found.top(measure)]
