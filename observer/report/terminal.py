"""A whole run on a terminal: who and where, the story, the numbers, the departures, the picture, the ledger."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.text import Text

from observer.model.events import Event
from observer.model.ledger import FAILING, headline, worst
from observer.model.machine import Meta, Outcome
from observer.report.ledger import print_ledger
from observer.report.passages import StoryPrinter, legend
from observer.report.refusals import print_refusals
from observer.report.screen import filled, heading, make_console, paragraph, put, safe
from observer.report.source import Sources
from observer.report.space import print_space
from observer.report.totals import print_departures, print_summary
from observer.story.breaks import Breaks
from observer.story.fold import fold
from observer.story.language import ENGLISH, Language
from observer.story.names import Names
from observer.story.rows import Passage
from observer.story.telling import Shortened, Telling
from observer.story.wording import number

__all__ = ["make_console", "print_header", "safe", "tell", "tell_events", "tell_told"]


def tell(
    console: Console,
    meta: Meta,
    events: Iterable[Event],
    *,
    rows: int = 60,
    everything: bool = False,
    directory: Path | str = "",
    sources: Sources | None = None,
    language: Language = ENGLISH,
) -> None:
    """Tell a run from beginning to end in one pass over *events*, which come in order of n.

    *everything* leaves no row out and tells the start-up before main too; else the story has about *rows* rows and
    names *directory* as the place of the rest. *sources* has the program's lines, which are
    printed beside what they caused.
    """
    telling = Telling(rows, everything=everything)
    head = chain.from_iterable(chain(map(telling.take, events), map(Telling.finish, [telling])))
    tell_told(
        console, meta, telling, head, in_full=everything, directory=directory, sources=sources, language=language
    )  # fmt: skip


def tell_told(
    console: Console,
    meta: Meta,
    telling: Telling,
    head: Iterable[Passage],
    *,
    in_full: bool = False,
    directory: Path | str = "",
    sources: Sources | None = None,
    language: Language = ENGLISH,
) -> None:
    """Tell a run as `tell` does that *telling* takes, or has taken: *head* are the passages that it gives at once."""
    print_header(console, meta, in_full=in_full, language=language)
    legend(console, language)
    heading(console, language.say("story"), language.say("story_hint"))
    printer = StoryPrinter(
        console, telling.names, directory=str(directory), sources=sources, language=language
    )  # fmt: skip
    _print_story(printer, head, telling.shortened)
    summary = telling.tally.result()
    print_summary(console, summary, meta, language)
    print_departures(console, telling.departures.result(), language)
    print_refusals(console, telling.refusals, language)
    for end in meta.ends[:1]:
        print_space(console, end, language=language)
    print_ledger(console, meta.ledger, language)
    _closing(console, meta, summary.events, str(directory), language)


def tell_events(
    console: Console,
    events: Iterable[Event],
    *,
    rows: int = 60,
    everything: bool = False,
    directory: Path | str = "",
    sources: Sources | None = None,
    breaks: Breaks | None = None,
    language: Language = ENGLISH,
) -> None:
    """Tell the story alone, of any events in order of n; the options are those of `tell`.

    *breaks* has watched the whole run where *events* are only some of it.
    """
    shortened, names = Shortened(None if everything else rows), Names()
    passages = fold(_named(events, names), expand=everything, breaks=breaks)
    printer = StoryPrinter(console, names, directory=str(directory), sources=sources, language=language)
    _print_story(printer, filter(shortened.is_told_now, passages), shortened)


def _named(events: Iterable[Event], names: Names) -> Iterator[Event]:
    for event in events:
        names.take(event)
        yield event


def _print_story(printer: StoryPrinter, now: Iterable[Passage], rest: Shortened) -> None:
    for passage in now:
        printer.add(passage)
    printer.finish(rest)


def print_header(console: Console, meta: Meta, *, in_full: bool = False, language: Language = ENGLISH) -> None:
    """Print the program, the machine, how it was recorded, and what could not be seen.

    *in_full* also says of single fields (`fault.access`) how they were obtained.
    """
    put(console, Text.assemble(("observer", "bold"), "  ", (safe(shlex.join(meta.request.command)), "bold cyan")))
    machine = meta.machine
    facts = (
        f"Linux {machine.kernel.removeprefix('Linux ')} {machine.architecture}",
        machine.libc.rsplit("/", 1)[-1],
        language.say("pages_of", language.size(machine.page_size)),
        language.say("huge_pages_are", machine.thp),
        language.choose("aslr_is", "off" if "off" in (meta.request.aslr, machine.aslr) else "on"),
    )
    paragraph(console, safe(", ".join(fact for fact in facts if fact)), first="  ", hanging=2)
    how = "; ".join(f"{what} {words}" for what, words in meta.how.items() if in_full or "." not in what)
    if how:
        _marked(console, language.say("how_mark"), how)
    for note in meta.notes:
        _marked(console, language.say("note_mark"), note)


def _marked(console: Console, mark: str, text: str) -> None:
    first = Text(f"  {mark}")
    paragraph(console, Text(safe(text), "dim"), first=first, hanging=first.cell_len)


def _closing(console: Console, meta: Meta, events: int, directory: str, language: Language) -> None:
    verdict = worst(meta.ledger)
    style = "bold red" if verdict in FAILING else "bold"
    seconds = f"{meta.outcome.seconds:.3f}"
    ended = language.say("closing_events", _ending(meta.outcome, language), number(events), seconds)
    where = language.say("closing_kept", safe(directory)) if directory else ""
    put(console)
    paragraph(
        console, filled(language.template("closing"), (ended, "bold"), where, (headline(meta.ledger), style))
    )  # fmt: skip


def _ending(outcome: Outcome, language: Language) -> str:
    if outcome.ended == "stopped":
        return language.say("closing_stopped", safe(outcome.closed))
    if outcome.ended == "exit":
        ended = language.say("closing_exit", outcome.status)
    elif outcome.ended == "killed":
        ended = language.say("closing_killed", safe(outcome.signal or language.say("a_signal")))
    else:
        return language.say("closing_cut_off")
    if outcome.closed:
        return language.say("closing_closed", ended, f"{outcome.recorded or 0:.3f}", safe(outcome.closed))
    return ended
