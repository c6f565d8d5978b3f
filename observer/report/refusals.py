"""What the processor refused, on a terminal: raised, answered, where, and why it is not a page fault of step 6."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.text import Text

from observer.model.events import Signal
from observer.report.screen import heading, paragraph, put, safe
from observer.story.refusals import Refusal, Refusals, code_name
from observer.story.wording import number, plural

__all__ = ["print_refusals"]


def print_refusals(console: Console, found: Refusals) -> None:
    """Print what was refused, those of one reason together; nothing when there was none."""
    kinds = sorted(found.result(), key=_title)
    if not kinds:
        return
    aside = f"unlike the {plural(found.resolved, 'page fault')} that the kernel resolved"
    heading(console, "What the processor refused", aside)
    for title, alike in groupby(kinds, _title):
        put(console, "  " + safe(title), "bold")
        for kind in alike:
            _print(console, kind)
            differs = kind.differs
        paragraph(console, Text(safe(differs), "dim"), first="    ", hanging=4)


def _title(kind: Refusal) -> str:
    return kind.title


def _print(console: Console, kind: Refusal) -> None:
    event = kind.first
    place = event.site.text if event.site is not None else "?"
    times = f"{number(kind.count)} ×, event" if kind.count > 1 else "event"
    put(console, Text.assemble("    ", (safe(place), "cyan"), (f"  {times} {number(event.n)}", "dim")))
    paragraph(console, safe(kind.sentence), first=f"      ring {event.ring}: ", hanging=14)
    paragraph(console, safe(_answer(event, fatal=kind.fatal)), first="      ring 0: ", hanging=14)


def _answer(event: Signal, *, fatal: bool) -> str:
    address = f" at {event.address:#x}" if event.exception != "#GP" and event.address is not None else ", no address"
    end = "the process ends" if fatal else "the program's own handler runs"
    return f"the kernel sends {event.signal} ({code_name(event)}){address}; {end}"
