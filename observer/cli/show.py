"""observer show: tell a recorded trace again, or the part of it that was asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observer.cli.events import event_number
from observer.cli.profiles import (
    MEASURES,
    check_recorded,
    is_profile,
    profile_rows,
    show_profile,
    show_stacks,
    stack_rows,
)
from observer.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from observer.model.call_columns import StepsTaken
    from observer.model.events import Call, Event
    from observer.story.breaks import Breaks
    from observer.trace.reader import Trace

__all__ = ["configure", "run"]

_DRAWN: Final = ("steps", "map", "heap")
_OF_ALL_EVENTS: Final = ("map", "heap", "top", "leaks", "peak", "lifetimes", "sizes", "fragmentation", "ledger")
"""The parts for which no events are chosen."""
_DESCRIPTION: Final = """\
Tell the trace in DIR: one screen of what it came to. With --full the whole
story in the book's six steps, the numbers, what is not in the book, the address
space, the ledger.

In the story alike events are one row, what weighs least is left out where it is
long, and what the loader and the C library do before main is one row. With
--kind, --call or --line only those events are told; with --steps, --top, --map
and the like only that part. On a terminal long output goes through your pager
(PAGER). Nothing is recorded anew, and DIR is not changed.
"""
_EPILOG: Final = """\
Exit status:
  0    told
  1    nothing happened at the line of --line; the message says why
  2    the options contradict each other or are not known
  125  DIR cannot be read, or the part asked for is not there

Examples:
  observer show story.trace                     one screen
  observer show story.trace --full              the whole story
  observer show story.trace --all               every row, start-up included
  observer show story.trace --line story.c:28   what one line caused
  observer show story.trace --call 'malloc #3'  one piece: made, touched, moved,
                                                freed; or --call N, an event
  observer show story.trace --top resident      whose pieces got page frames
  observer show story.trace --peak              who held what at the most
  observer show story.trace --lifetimes         how long pieces lived, by line
  observer show story.trace --sizes --json      the classes of sizes, one a line
  observer show story.trace --full --lang ko    the whole story in Korean
  observer show story.trace --kind fault        every page fault, one a line
  observer show story.trace --kind syscall --json | jq .name
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the options of this verb."""
    from rich_argparse import RawDescriptionRichHelpFormatter

    parser.formatter_class = RawDescriptionRichHelpFormatter
    parser.usage = "observer show [options] DIR"
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument("directory", metavar="DIR", type=Path, help="a trace: the folder that observer run left")
    _add_choices(parser)
    _add_parts(parser)
    parser.add_argument(
        "--at", metavar="N", help="the moment for --heap and --map: behind event N, 'malloc #3' or 'story.c:28 #2'"
    )
    parser.add_argument("--full", action="store_true", help="the whole story: what happened, in the book's six steps")
    parser.add_argument("--all", action="store_true", help="leave no row out, and tell the start-up event by event")
    parser.add_argument(
        "--source", metavar="FOLDER", type=Path,
        help="take the program's lines from files beneath FOLDER, not from where they were compiled",
    )  # fmt: skip
    parser.add_argument("--lang", choices=("en", "ko"), default="en", help="tell it in English or Korean (default: en)")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the chosen events as JSON Lines (see observer export); so the rows of --top, --leaks and "
        "--ledger, and what --peak, --lifetimes, --sizes and --fragmentation tell",
    )


def _add_choices(parser: argparse.ArgumentParser) -> None:
    choose = parser.add_argument_group(
        "choose events", "given together: events that satisfy all; for the story, --json and --steps"
    )
    choose.add_argument(
        "--kind", action="append", metavar="KIND",
        help="only call, syscall, fault, signal, process or lost events, one a line; may be given again",
    )  # fmt: skip
    choose.add_argument(
        "--call", metavar="N", help="only one piece: the calls that made, moved and freed it, of which N is one; "
        "N is an event's number, or 'malloc #3', or 'story.c:28 #2'",
    )  # fmt: skip
    choose.add_argument(
        "--line", metavar="FILE:LINE", help="only what this source line caused, or the place MODULE+0xOFFSET"
    )


def _add_parts(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_argument_group("choose a part")
    part = parts.add_mutually_exclusive_group()
    part.add_argument("--steps", action="store_true", help="for each source line, how often it took which steps")
    part.add_argument("--map", action="store_true", help="the address space, drawn: at the end, or --at an event")
    part.add_argument(
        "--heap", action="store_true", help="the heap's chunks and the pages behind them, at the end or --at an event"
    )
    part.add_argument(
        "--top", choices=MEASURES, metavar="BY",
        help="the lines that have most: bytes, calls, live (bytes not freed), peak (bytes when most was alive), "
        "resident (page frames that first touches of a line's pieces brought, freed since or not), untouched, vacant "
        "(freed, with frames in the end), waste (lost to rounding), faults",
    )  # fmt: skip
    part.add_argument("--leaks", action="store_true", help="what was never freed, by the lines that asked for it")
    part.add_argument("--peak", action="store_true", help="who held what when most was alive, and the way there")
    part.add_argument("--lifetimes", action="store_true", help="how long pieces lived, in all and by line")
    part.add_argument("--sizes", action="store_true", help="which sizes were asked for, and what rounding cost")
    part.add_argument(
        "--fragmentation", action="store_true", help="what the allocator has mapped beside what lives and is resident"
    )
    parts.add_argument(
        "--stacks", action="store_true",
        help="with --top or --leaks: by all callers, told beneath, where observer run --stack N kept them",
    )  # fmt: skip
    part.add_argument("--ledger", action="store_true", help="what was seen beside what the kernel counted")


def run(arguments: argparse.Namespace) -> int:
    """Tell the trace on standard output; return the exit status."""
    from observer.cli.pager import paged
    from observer.cli.traces import opened
    from observer.report.terminal import make_console
    from observer.story.breaks import Breaks
    from observer.story.query import parse_line

    if arguments.line is not None:
        parse_line(arguments.line)  # before a trace is finished for it
    if arguments.at is not None and not (arguments.heap or arguments.map):
        raise UsageError("--at needs --heap or --map", "it names the moment that these show", "--heap --at N")
    drawn = next((name for name in _DRAWN if getattr(arguments, name)), None)
    if arguments.json and drawn is not None:
        raise UsageError(f"--{drawn} has no --json", "it is drawn", "observer query DIR 'select …' --json")
    _check_choices(arguments)
    trace = opened(arguments.directory)
    if is_profile(arguments):
        check_recorded(trace, arguments)
    if arguments.stacks:
        _check_stacks(trace, arguments)
    if arguments.json:
        _write_json(_chosen(trace, arguments, Breaks()), trace, arguments)
    else:
        with paged(sys.stdout) as stream:
            _tell(make_console(stream, shown_on=sys.stdout), trace, arguments)
    return 0


def _check_choices(arguments: argparse.Namespace) -> None:
    """Refuse to choose events for a part that is told of the whole run: nothing would come of it."""
    part = next((name for name in _OF_ALL_EVENTS if getattr(arguments, name)), None)
    chosen = next((name for name in ("kind", "call", "line") if getattr(arguments, name) is not None), None)
    if part is not None and chosen is not None:
        why = f"--{part} is told of the whole run"
        raise UsageError(f"--{part} takes no --{chosen}", why, "one of the two")


def _check_stacks(trace: Trace, arguments: argparse.Namespace) -> None:
    if not (arguments.top or arguments.leaks):
        raise UsageError("--stacks needs --top or --leaks", "it says by what these are told", "--leaks --stacks")
    if arguments.top == "faults":
        why = "that is told by line only"
        raise UsageError("--top faults has no --stacks", why, "--top bytes --stacks")
    if not trace.meta.request.stack:
        why = "no callers were kept as it was recorded"
        raise UsageError(f"--stacks cannot be told of {trace.directory}", why, "observer run --stack 16 -- PROG")


def _write_json(events: Iterator[Event], trace: Trace, arguments: argparse.Namespace) -> None:
    import msgspec

    from observer.report.jsonl import encoded, write

    sys.stdout.flush()
    if arguments.stacks:
        rows = [encoded(row) for row in stack_rows(trace, arguments)]
    elif is_profile(arguments):
        rows = [encoded(row) for row in profile_rows(trace, arguments)]
    elif arguments.ledger:
        rows = [msgspec.json.encode(line) for line in trace.meta.ledger]
    else:
        write(events, sys.stdout.buffer)
        return
    sys.stdout.buffer.writelines(row + b"\n" for row in rows)


def _tell(console: Console, trace: Trace, arguments: argparse.Namespace) -> None:
    from observer.cli.command import command, shortest
    from observer.cli.moments import show_heap, show_map_at
    from observer.report.glance import print_glance
    from observer.report.ledger import print_ledger, print_shortfall
    from observer.report.lists import print_counts, print_events, print_steps
    from observer.report.source import Sources
    from observer.report.space import print_space
    from observer.report.terminal import tell, tell_events
    from observer.runs.profiled import glanced
    from observer.story.breaks import Breaks
    from observer.story.by_line import steps_by_line
    from observer.story.language import LANGUAGES
    from observer.story.query import parse_line

    language = LANGUAGES[arguments.lang]
    breaks, sources = Breaks(), Sources(arguments.source, trace.meta.images)
    at = event_number(trace, arguments.at) if arguments.at is not None else None
    if arguments.heap:
        show_heap(console, trace, at, language, everything=arguments.all)
    elif arguments.map and at is not None:
        show_map_at(console, trace, at, language)
    elif arguments.map:
        for end in trace.meta.ends:
            print_space(console, end, language=language)
    elif arguments.ledger:
        print_ledger(console, trace.meta.ledger, language)
    elif arguments.stacks:
        show_stacks(console, trace, arguments, sources, language)
        print_shortfall(console, trace.meta.ledger, language)
    elif is_profile(arguments):
        show_profile(console, trace, arguments, sources, language)
        print_shortfall(console, trace.meta.ledger, language)
    elif arguments.steps:
        print_steps(console, steps_by_line(_steps(trace, arguments, breaks)), language)
    elif arguments.kind:
        print_events(console, _chosen(trace, arguments, breaks), breaks, language)
    elif arguments.call is not None or arguments.line:
        if arguments.call is None:
            print_counts(console, arguments.line, trace.count_at_line(*parse_line(arguments.line)), language)
        chosen = _chosen(trace, arguments, breaks)
        tell_events(
            console, chosen, everything=arguments.all, sources=sources, breaks=breaks, language=language
        )  # fmt: skip
    elif arguments.full or arguments.all:
        tell(
            console, trace.meta, trace.events(), everything=arguments.all, directory=arguments.directory,
            sources=sources, language=language,
        )  # fmt: skip
    else:
        glance = glanced(trace)
        print_glance(
            console, trace.meta, glance, shortest(arguments.directory), sources=sources, language=language,
            command=command(),
        )  # fmt: skip


def _steps(trace: Trace, arguments: argparse.Namespace, breaks: Breaks) -> Iterator[StepsTaken]:
    """Yield the steps of what --kind, --call and --line choose together; all calls are counted by the trace."""
    from observer.story.by_line import steps_in

    if arguments.call is not None or arguments.line:
        yield from steps_in(_chosen(trace, arguments, breaks))
        return
    kinds = _kinds(arguments.kind)
    if kinds is None or "call" in kinds:
        yield from trace.steps()
    yield from steps_in(trace.events(frozenset({"fault"}) & (kinds or {"fault"})))


def _chosen(trace: Trace, arguments: argparse.Namespace, breaks: Breaks) -> Iterator[Event]:
    """Yield the events that --kind, --call and --line choose together; *breaks* watches them all."""
    from observer.story.query import at_line, life_of, parse_line

    kinds = _kinds(arguments.kind)
    narrow = arguments.call is not None or arguments.line
    calls = _lifeline(trace, arguments.call) if arguments.call is not None else None
    line = parse_line(arguments.line) if arguments.line else None
    about = trace.about_pieces(calls) if calls is not None else trace.about_line(*line) if line is not None else None
    events = breaks.watch(trace.events(None if narrow else kinds, about))
    if calls is not None:
        events = life_of(events, calls)
    if line is not None:
        events = at_line(events, *line)
    if kinds is not None and narrow:
        events = (event for event in events if event.__struct_config__.tag in kinds)
    return _some(events, trace, arguments.line) if arguments.line else events


def _some(events: Iterator[Event], trace: Trace, line: str) -> Iterator[Event]:
    """Yield *events*, and say why where there are none.

    Raises:
        NothingFound: nothing happened at this line, or nothing of what else was asked for.
    """
    from observer.story.absence import nothing_at_line
    from observer.story.query import parse_line

    first = next(events, None)
    if first is None:
        raise nothing_at_line(trace.at_each_line(), *parse_line(line), sees_faults=trace.meta.sees_faults)
    yield first
    yield from events


def _kinds(given: list[str] | None) -> frozenset[str] | None:
    from observer.story.query import KINDS

    if not given:
        return None
    kinds = frozenset(name for part in given for name in part.split(","))
    unknown = sorted(kinds.difference(KINDS))
    if unknown:
        raise UsageError(f"--kind {unknown[0]}", "no such kind of event", ", ".join(KINDS))
    return kinds


def _lifeline(trace: Trace, named: str) -> list[Call]:
    from observer.story.query import lifeline

    n = event_number(trace, named)
    call = trace.calls_by_number(n)
    if call is None:
        raise UsageError(f"--call {named}", f"event {n} is not an allocator call", "--kind call lists them")
    return lifeline(call, trace.giver, trace.ender)
