"""Plain lists on the terminal: events one a line, and the steps that each source line took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from rich.console import Console
from rich.text import Text

from observer.model.events import Event
from observer.report.kernel_side import told
from observer.report.screen import heading, paragraph, put, safe
from observer.story.breaks import Breaks
from observer.story.by_line import LineSteps
from observer.story.language import ENGLISH, Language
from observer.story.steps import rings_of, step_of
from observer.story.wording import moment, number

__all__ = ["print_counts", "print_events", "print_steps"]


_KINDS: Final = {
    "call": "allocator call", "library": "library call", "syscall": "system call", "fault": "page fault",
    "signal": "signal",
}  # fmt: skip


def print_counts(
    console: Console, line: str, counts: Mapping[str, int], language: Language = ENGLISH
) -> None:  # fmt: skip
    """Print how many events of each kind *line* caused, before any of them is told; nothing if there are none."""
    told = ", ".join(language.counted(counts[kind], noun) for kind, noun in _KINDS.items() if kind in counts)
    if told:
        paragraph(console, Text(language.say("line_caused", safe(line), told), "bold"))


def print_events(
    console: Console, events: Iterable[Event], breaks: Breaks, language: Language = ENGLISH
) -> int:  # fmt: skip
    """Print every event with a sentence of its own, none folded; return how many. *breaks* has watched the run."""
    count = 0
    for event in events:
        moved = breaks.follow(event)
        head = Text(f"{number(event.n):>9} {moment(event.t_ns):>11}  ", "dim")
        head.append(f"{step_of(event):<10}{rings_of(event):<5}  ", "not dim")
        paragraph(console, safe(told(language, event, moved)), first=head, hanging=12)
        count += 1
    return count


def print_steps(console: Console, lines: Iterable[LineSteps], language: Language = ENGLISH) -> None:
    """Print, for every source line, how often it took which steps."""
    heading(console, language.say("steps_by_line"), language.say("steps_by_line_hint"))
    for line in lines:
        put(console, Text(f"  {safe(line.place)}", "bold cyan"))
        for (op, steps), count in line.calls.items():
            put(console, Text.assemble(f"    {safe(steps):<10}", f"{number(count):>9} × {safe(op)}"))
        for op, count in line.others.items():
            put(console, f"    {'':<10}{number(count):>9} × {safe(op)}")
        if line.step_six:
            put(console, f"    {'6':<10}{number(line.step_six):>9} × {language.say('fault_noun')}")
