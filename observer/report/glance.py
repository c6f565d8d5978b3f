"""The last screen of a run: where its memory came from, at most 24 lines of 80 columns, the point first."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from observer.model.chapter import took_step
from observer.model.filenames import typed
from observer.model.ledger import FAILING, headline, worst
from observer.model.machine import Meta, Outcome
from observer.model.operations import ALLOCATING
from observer.report.screen import bar, filled, left, put, right, safe
from observer.report.source import Sources
from observer.story.departures import Occurrence
from observer.story.glance import Glance
from observer.story.language import ENGLISH, Language
from observer.story.places import Place
from observer.story.summary import Summary
from observer.story.wording import number

__all__ = ["closed_words", "print_glance"]

_LINES: Final = 22
"""A screen of 24, less the line of the prompt, and one on which the observer or the program may have said something."""
_RANKS: Final = {"system_calls": 1, "page_faults": 2, "departures_label": 4, "note_label": 6}
"""Facts that give way where there is no room, those with the highest number first; the line's command is 3, help 5."""
_NAME: Final = 14
_BAR: Final = 12
_COUNT: Final = 8
"""Columns of how often a place asked; more where that is not enough."""
_LEAST_BAR_WIDTH: Final = 72
_PART: Final = re.compile(r"[,;] ")
_CRASHES: Final = 2
_TOP: Final = 5
_LEAKS: Final = 3


@dataclass(slots=True)
class _Block:
    """Lines that belong together: a `list` gives way line by line, the others as a whole, if their `rank` is not 0."""

    lines: list[Text]
    rank: int = 0
    is_list: bool = False


@dataclass(slots=True)
class _Screen:
    """Lines in the making, from top to bottom."""

    console: Console
    language: Language
    blocks: list[_Block] = field(default_factory=list)

    def say(self, name: str, *values: object) -> str:
        """Return a phrase in the screen's language."""
        return self.language.say(name, *values)

    def fact(self, name: str, text: Text | str, style: str = "") -> None:
        """Add a fact, wrapped beside the phrase *name*; beside nothing if there is none."""
        body = text if isinstance(text, Text) else Text(safe(text), style)
        self.add(_beside(self.console, self.label(name), body), _RANKS.get(name, 0))

    def listing(self, name: str, text: str) -> None:
        """Add a fact that lists what was counted, beside the phrase *name*."""
        self.add(_beside(self.console, self.label(name), Text(safe(text)), is_listing=True), _RANKS.get(name, 0))

    def add(self, lines: list[Text], rank: int = 0, *, is_list: bool = False) -> None:
        """Add a block."""
        self.blocks.append(_Block(lines, rank, is_list))

    def label(self, name: str) -> Text:
        """Return the phrase *name* as the left column has it."""
        return Text(f"  {left(self.say(name) if name else '', _NAME)}", "dim")

    def print(self) -> None:
        """Print what there is room for: lists are shortened first, down to a line and their title."""
        while sum(len(block.lines) for block in self.blocks) > _LINES:
            longest = max((block for block in self.blocks if block.is_list), key=_length, default=None)
            least = max(self.blocks, key=lambda block: block.rank)
            if longest is not None and len(longest.lines) > 2:
                longest.lines.pop()
            elif least.rank:
                self.blocks.remove(least)
            else:
                break
        for block in self.blocks:
            for line in block.lines:
                put(self.console, line)


def _length(block: _Block) -> int:
    return len(block.lines)


def print_glance(
    console: Console, meta: Meta, glance: Glance, directory: Path | str, *, sources: Sources | None = None,
    language: Language = ENGLISH, command: str = "observer",
) -> None:  # fmt: skip
    """Print the screen for a run whose events *glance* has taken.

    *directory* is its trace and *command* how the observer is typed, for the commands that it names.
    """
    screen, summary = _Screen(console, language), glance.summary()
    screen.add(_beside(console, Text(), _title(console, meta, summary, language)))
    if meta.outcome.closed:
        screen.fact("closed_label", closed_words(meta.outcome, language), "bold")
    _crashes(screen, glance)
    if meta.heap_damage:
        screen.fact("heap_label", meta.heap_damage, "bold red")
    _sizes(screen, meta, summary)
    _mallocs(screen, summary)
    _kernel(screen, meta, summary)
    _refused(screen, glance)
    beyond = "; ".join(f"{language.departure(found)[0]} ({number(found.count)})" for found in _by_count(glance))
    if beyond:
        screen.fact("departures_label", _cut(console, beyond))
    source = sources if sources is not None else Sources(None, meta.images)
    most = glance.places.top("bytes")[:_TOP]
    known = any(place.site is not None and place.site.line for place in most)
    aside = "" if known else screen.say("no_lines")
    _places(screen, screen.say("most_asked"), most, source, live=False, aside=aside)
    _leaks(screen, glance.places.top("live"), source, summary, is_closed=bool(meta.outcome.closed))
    _verdict(screen, meta)
    _commands(screen, glance, str(directory), command)
    screen.print()


def closed_words(outcome: Outcome, language: Language) -> str:
    """Say where a recording ended that did before its program."""
    until = outcome.recorded or 0
    phrase = "closed_stopped" if outcome.ended == "stopped" else "closed"
    rest = f"{max(outcome.seconds - until, 0):.3f}"
    return language.say(phrase, f"{until:.3f}", safe(outcome.closed), rest)


def _beside(console: Console, left: Text, body: Text, *, is_listing: bool = False) -> list[Text]:
    """Return *body* wrapped to the right of *left*; a listing breaks behind its commas, where its parts have room."""
    width = max(console.width - left.cell_len, 20)
    if not body.cell_len:
        parts = [Text()]
    elif is_listing:
        parts = _listing(console, body, width)
    else:
        parts = list(body.wrap(console, width))
    for part in parts:
        part.rstrip()
    indent = " " * (left.cell_len or 2)
    return [left + parts[0], *(Text(indent) + part for part in parts[1:])]


def _listing(console: Console, body: Text, width: int) -> list[Text]:
    """Return *body* in lines of *width* that end behind a comma or a semicolon."""
    lines: list[Text] = []
    for part in body.divide([found.end() for found in _PART.finditer(body.plain)]):
        if lines and cell_len((lines[-1].plain + part.plain).rstrip()) <= width:
            lines[-1].append_text(part)
        else:
            lines += part.wrap(console, width)
    return lines


def _cut(console: Console, text: str) -> Text:
    """Return *text* in one line of the facts' column."""
    line = Text(safe(text))
    line.truncate(max(console.width - _NAME - 2, 20), overflow="ellipsis")
    return line


def _title(console: Console, meta: Meta, summary: Summary, language: Language) -> Text:
    name = next(iter(meta.request.command), "?")
    whole = _titled(safe(shlex.quote(name)), meta, summary, language)
    if whole.cell_len <= console.width:
        return whole
    return _titled(safe(shlex.quote(name.rpartition("/")[2])), meta, summary, language)


def _titled(name: str, meta: Meta, summary: Summary, language: Language) -> Text:
    happened = [language.counted(summary.events, "event")]
    if summary.processes > 1:
        happened.append(language.say("processes_many", number(summary.processes)))
    if summary.threads > summary.processes:
        happened.append(language.counted(summary.threads, "thread"))
    seconds = f"{meta.outcome.seconds:.3f}"
    ended = _ending(meta.outcome, language)
    return filled(language.template("title"), (name, "bold cyan"), ended, seconds, ", ".join(happened))


def _ending(outcome: Outcome, language: Language) -> tuple[str, str]:
    if outcome.ended == "exit":
        return language.say("title_exit", outcome.status), "bold"
    if outcome.ended == "killed":
        return language.say("title_killed", safe(outcome.signal or language.say("a_signal"))), "bold red"
    if outcome.ended == "stopped":
        return language.say("title_stopped"), "bold red"
    return language.say("title_cut_off"), "bold red"


def _crashes(screen: _Screen, glance: Glance) -> None:
    """Tell why processes ended, and the first call that broke a rule of malloc(3), unless it is among the reasons."""
    told: set[str] = set()
    for i, crash in enumerate(glance.crashes):
        words = screen.language.crash(crash)
        told.update(words.because)
        if i < _CRASHES:
            screen.fact("crashed", words.what, "bold red")
            for reason in words.because:
                screen.fact("", reason)
    count, calls = glance.broken_rules()
    if calls and (broken := screen.language.broken(calls[0])) not in told:
        screen.fact("rule_broken", broken, "bold red")
    if count > 1:
        screen.fact("rules_broken", screen.say("rules_broken_how_many", number(count)))


def _sizes(screen: _Screen, meta: Meta, summary: Summary) -> None:
    """Asked for, alive, mapped and resident as bars of one scale, each with where it came from."""
    if not summary.calls:
        unseen = next((note for note in meta.notes if note.startswith("calls in ")), None)
        screen.fact("asked_label", unseen or screen.say("no_calls"))
        return
    frames = (summary.frames + meta.totals.get("frames_beside", 0)) * meta.machine.page_size
    counted, size = screen.language.counted, screen.language.size
    rows: tuple[tuple[str, int, str], ...] = (
        ("asked_label", summary.asked, _asking(screen, summary)),
        ("alive_label", summary.peak,
         screen.say("alive_at_end", size(summary.live), counted(summary.live_pieces, "piece"))),
        ("mapped_label", summary.from_kernel, _mapped(screen, summary)),
    )  # fmt: skip
    if "faults" in meta.request.instruments:
        told = screen.say("resident_by", counted(frames // meta.machine.page_size, "frame"))
        rows += (("resident_label", frames, told),)
    whole = max(value for _name, value, _words in rows)
    for name, value, words in rows:
        drawn = f"{bar(value, whole, _BAR)}  " if screen.console.width >= _LEAST_BAR_WIDTH else ""
        amount = right(screen.language.short_size(value), 9)
        before = Text.assemble(screen.label(name), (f"{amount} ", "bold"), f" {drawn}")
        screen.add(_beside(screen.console, before, Text(safe(words)), is_listing=True))


def _asking(screen: _Screen, summary: Summary) -> str:
    asking = {op: count for op, count in summary.calls.items() if op in ALLOCATING}
    return screen.say("asked_in", _listed(screen, asking, "item_times")) if asking else ""


def _mapped(screen: _Screen, summary: Summary) -> str:
    grown = _listed(screen, _growing(summary))
    back = screen.say("mapped_back", screen.language.size(summary.to_kernel)) if summary.to_kernel else ""
    return (screen.say("mapped_in", grown) if grown else screen.say("mapped_nothing")) + back


def _growing(summary: Summary) -> Mapping[str, int]:
    return {name: count for name, count in summary.syscalls_inside.items() if name in ("brk", "mmap", "mremap")}


def _mallocs(screen: _Screen, summary: Summary) -> None:
    """The steps that allocating calls took: how many found a free piece, how many had to ask the kernel."""
    took = {steps: count for steps, count in summary.steps.items() if steps}
    if not took:
        return
    served = took.get("1-5", 0)
    grown = sum(count for steps, count in took.items() if took_step(steps, 2))
    text = screen.say("mallocs_took", number(served), number(grown))
    rest = sum(took.values()) - served - grown
    screen.fact("mallocs_label", text + (screen.say("mallocs_neither", number(rest)) if rest else ""))


def _kernel(screen: _Screen, meta: Meta, summary: Summary) -> None:
    inside, outside = sum(summary.syscalls_inside.values()), sum(summary.syscalls_outside.values())
    if inside or outside:
        made = f" ({_listed(screen, summary.syscalls_inside)})" if inside else ""
        screen.listing("syscalls_label", screen.say("syscalls_made", number(inside), made, number(outside)))
    if summary.faults:
        major = screen.say("from_disk", number(summary.major)) if summary.major else ""
        touchers = _listed(screen, summary.by_toucher, names="touchers")
        screen.listing("faults", screen.say("faults_by", number(summary.faults), touchers, major))
    if not meta.sees_faults:
        why = next((line.note for line in meta.ledger if line.identity.startswith("fault samples")), "")
        how = meta.how.get("faults", screen.say("not_observed"))
        screen.fact("" if summary.faults else "faults", f"{how}: {why}" if why else how)
    if summary.lost:
        screen.fact("lost_label", screen.language.counted(summary.lost, "event"), "bold red")


def _refused(screen: _Screen, glance: Glance) -> None:
    """Name what ended in signals that the program handled; what ended it is told as its crash."""
    counts: Counter[str] = Counter()
    for refusal in glance.refusals():
        counts[screen.language.choose("refusal_titles", refusal.title)] += refusal.count - refusal.fatal
    survived = ", ".join(f"{title} ({number(count)})" for title, count in counts.most_common() if count)
    if survived:
        screen.fact("refused_label", _cut(screen.console, screen.say("refused_survived", survived)))


def _by_count(glance: Glance) -> list[Occurrence]:
    return sorted(glance.departures(), key=lambda found: -found.count)


def _listed(
    screen: _Screen, counts: Mapping[str, int], phrase: str = "item", *, names: str = "", most: int = 4
) -> str:  # fmt: skip
    """List what was counted, most first, each as *phrase* has it; *names* are the phrases that name it, if any do."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = [
        screen.say(phrase, number(count), screen.language.choose(names, name) if names else name)
        for name, count in ordered[:most]
    ]
    return ", ".join([*shown, "..."] if len(ordered) > most else shown)


def _places(
    screen: _Screen, title: str, places: Sequence[Place], source: Sources, *, live: bool, aside: str = ""
) -> None:  # fmt: skip
    if not places:
        return
    wide = min(max(cell_len(safe(place.text)) for place in places), screen.console.width // 3)
    lines = [Text.assemble((f"  {title}", "bold"), (f"  {aside}" if aside else "", "dim"))]
    digits = max(_COUNT, 1 + max(len(number(place.pieces if live else place.calls)) for place in places))
    for place in places:
        lines.append(_place(screen, place, wide, digits, source, live=live))
    screen.add(lines, is_list=True)


def _place(screen: _Screen, place: Place, wide: int, digits: int, source: Sources, *, live: bool) -> Text:
    amount, times = (place.live, place.pieces) if live else (place.asked, place.calls)
    name = Text(safe(place.text), "cyan")
    name.truncate(wide, overflow="ellipsis", pad=True)
    code = safe(" ".join(source.line(place.site).split())) if place.site is not None else ""
    size = right(screen.language.short_size(amount), 10)
    line = Text.assemble(f"  {size}", f"{number(times):>{digits}} × ", name, "  ", code)
    line.truncate(screen.console.width, overflow="ellipsis")
    line.rstrip()
    return line


def _leaks(
    screen: _Screen, places: Sequence[Place], source: Sources, summary: Summary, *, is_closed: bool
) -> None:  # fmt: skip
    if places:
        more = screen.say("not_freed_places", len(places)) if len(places) > 1 else ""
        pieces = screen.language.counted(summary.live_pieces, "piece")
        title = screen.say(
            "not_freed_yet" if is_closed else "not_freed", screen.language.size(summary.live), pieces, more
        )
        _places(screen, title, places[:_LEAKS], source, live=True)


def _verdict(screen: _Screen, meta: Meta) -> None:
    verdict = worst(meta.ledger)
    style = "bold red" if verdict in FAILING else "green"
    words = screen.say("accounted" if verdict not in FAILING else "not_accounted")
    told = Text.assemble((headline(meta.ledger), style), f": {words}")
    screen.add(_beside(screen.console, screen.label("ledger_label"), told))
    for line in meta.ledger:
        if line.verdict in FAILING:
            text = screen.say("ledger_differs", line.identity, line.seen, line.expected, line.lost)
            screen.add(_beside(screen.console, screen.label(""), Text(safe(text), "red")))
    if meta.notes:
        more = screen.say("notes_in_all", len(meta.notes)) if len(meta.notes) > 1 else ""
        screen.fact("note_label", _cut(screen.console, more + meta.notes[0]))


def _commands(screen: _Screen, glance: Glance, directory: str, command: str) -> None:
    if not directory:
        return
    shown = f"{command} show {typed(directory)}"
    asking = (place for place in glance.places.top("bytes") if place.site is not None and place.site.line)
    line = next((place.text for place in asking), None)
    also = screen.language.option
    options = [("more_label", f"--full{also}", "show_full", 0)]
    options += [("", f"--line {shlex.quote(line)}{also}", "show_line", 3)] if line else []
    for label, option, phrase, rank in (*options, ("", "--help", "show_help", 5)):
        body, words = Text(f"{shown} {safe(option)}", "bold"), screen.say(phrase)
        if body.cell_len + cell_len(words) + _NAME + 5 <= screen.console.width:
            body.append(f"   {words}", "not bold dim")
        screen.add(_beside(screen.console, screen.label(label), body), rank)
