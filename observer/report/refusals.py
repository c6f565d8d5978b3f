"""What the processor refused, on a terminal: raised, answered, where, and why it is not a page fault of step 6."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.text import Text

from observer.model.events import Signal
from observer.report.screen import heading, paragraph, put, safe
from observer.story.language import ENGLISH, Language
from observer.story.refusals import Refusal, Refusals, code_name
from observer.story.wording import number

__all__ = ["print_refusals"]


def print_refusals(console: Console, found: Refusals, language: Language = ENGLISH) -> None:
    """Print what was refused, those of one reason together; nothing when there was none."""
    kinds = sorted(found.result(), key=_title)
    if not kinds:
        return
    resolved = language.counted(found.resolved, "page fault")
    heading(console, language.say("refusals"), language.say("refusals_hint", resolved))
    for title, alike in groupby(kinds, _title):
        put(console, f"  {safe(language.choose('refusal_titles', title))}", "bold")
        for kind in alike:
            _print(console, kind, language)
            differs = kind.differs
        paragraph(console, Text(safe(differs), "dim"), first="    ", hanging=4)


def _title(kind: Refusal) -> str:
    return kind.title


def _print(console: Console, kind: Refusal, language: Language) -> None:
    event, count = kind.first, number(kind.count)
    place = event.site.text if event.site is not None else "?"
    when = language.say("event_n", number(event.n))
    when = language.say("refusal_often", count, when) if kind.count > 1 else when
    put(console, Text.assemble("    ", (safe(place), "cyan"), (f"  {when}", "dim")))
    for ring, words in ((event.ring, language.refusal(event)), (0, _answer(event, language, fatal=kind.fatal))):
        first = Text(f"      {language.say('refusal_ring', ring)}")
        paragraph(console, safe(words), first=first, hanging=first.cell_len)


def _answer(event: Signal, language: Language, *, fatal: bool) -> str:
    has_address = event.exception != "#GP" and event.address is not None
    address = language.say("refusal_at", f"{event.address:#x}") if has_address else language.say("refusal_no_address")
    end = language.say("refusal_fatal" if fatal else "refusal_handled")
    return language.say("refusal_answer", event.signal, code_name(event), address, end)
