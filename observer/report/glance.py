"""The last screen of a run: where its memory came from, at most 24 lines of 80 columns, the point first."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from observer.model.chapter import took_step
from observer.model.ledger import FAILING, headline, worst
from observer.model.machine import Meta, Outcome
from observer.model.operations import ALLOCATING
from observer.report.screen import bar, put, safe
from observer.report.source import Sources
from observer.story.crashes import Crash, broken_words
from observer.story.departures import Occurrence
from observer.story.glance import Glance
from observer.story.places import Place
from observer.story.summary import Summary
from observer.story.wording import number, plural, short_size, size

__all__ = ["print_glance"]

_LINES: Final = 23
"""A screen of 24, less the line of the prompt."""
_NAME: Final = 14
_BAR: Final = 12
_LEAST_BAR_WIDTH: Final = 72
_TOP: Final = 5
_LEAKS: Final = 3


@dataclass(slots=True)
class _Screen:
    """Lines in the making: `fixed` ones stay, those of `lists` give way from their ends when there is no room."""

    console: Console
    head: list[Text] = field(default_factory=list)
    lists: list[list[Text]] = field(default_factory=list)
    tail: list[Text] = field(default_factory=list)

    def fact(self, name: str, text: Text | str, style: str = "") -> None:
        """Add a fact to the head, wrapped beside its name."""
        body = text if isinstance(text, Text) else Text(safe(text), style)
        self.head += _beside(self.console, Text(f"  {name:<{_NAME}}", "dim"), body)

    def print(self) -> None:
        """Print what there is room for: the longest lists are shortened first, down to a line and their title."""
        while sum(map(len, (self.head, self.tail, *self.lists))) > _LINES:
            longest = max(self.lists, key=len, default=[])
            if len(longest) <= 2:
                break
            longest.pop()
        for line in (*self.head, *(line for lines in self.lists for line in lines), *self.tail):
            put(self.console, line)


def print_glance(
    console: Console, meta: Meta, glance: Glance, directory: Path | str, *, sources: Sources | None = None
) -> None:
    """Print the screen for a run whose events *glance* has taken; *directory* is its trace, for the commands."""
    screen, summary = _Screen(console), glance.summary()
    screen.head += _beside(console, Text(), _title(meta, summary))
    for crash in glance.crashes[:2]:
        _crash(screen, crash)
    _broken(screen, glance)
    if meta.heap_damage:
        screen.fact("heap", meta.heap_damage, "bold red")
    _sizes(screen, meta, summary)
    _mallocs(screen, summary)
    _kernel(screen, meta, summary)
    _refused(screen, glance)
    beyond = "; ".join(f"{found.title} ({number(found.count)})" for found in _by_count(glance))
    if beyond:
        screen.fact("not in book", _cut(console, beyond))
    source = sources if sources is not None else Sources(None, meta.images)
    _places(screen, "asked for most", glance.places.top("bytes")[:_TOP], source, live=False)
    _leaks(screen, glance.places.top("live"), source, summary)
    _verdict(screen, meta)
    _commands(screen, glance, str(directory))
    screen.print()


def _beside(console: Console, left: Text, body: Text) -> list[Text]:
    """Return *body* wrapped to the right of *left*."""
    parts = body.wrap(console, max(console.width - left.cell_len, 20)) if body.cell_len else [Text()]
    for part in parts:
        part.rstrip()
    indent = " " * (left.cell_len or 2)
    return [left + parts[0], *(Text(indent) + part for part in parts[1:])]


def _cut(console: Console, text: str) -> Text:
    """Return *text* in one line of the facts' column."""
    line = Text(safe(text))
    line.truncate(max(console.width - _NAME - 2, 20), overflow="ellipsis")
    return line


def _title(meta: Meta, summary: Summary) -> Text:
    command = meta.request.command
    name = safe(shlex.join(command[:1])) if command else "?"
    tasks = []
    if summary.processes > 1:
        tasks.append(f"{number(summary.processes)} processes")
    if summary.threads > summary.processes:
        tasks.append(plural(summary.threads, "thread"))
    among = f", {', '.join(tasks)}" if tasks else ""
    ended, style = _ending(meta.outcome)
    return Text.assemble(
        (name, "bold cyan"), " ", (ended, style), f" after {meta.outcome.seconds:.3f} s: ",
        plural(summary.events, "event"), among,
    )  # fmt: skip


def _ending(outcome: Outcome) -> tuple[str, str]:
    if outcome.ended == "exit":
        return f"ended with status {outcome.status}", "bold"
    if outcome.ended == "killed":
        return f"was killed by {safe(outcome.signal or 'a signal')}", "bold red"
    return "was cut off", "bold red"


def _crash(screen: _Screen, crash: Crash) -> None:
    screen.fact("crashed", crash.what, "bold red")
    for reason in crash.because:
        screen.fact("", reason)


def _broken(screen: _Screen, glance: Glance) -> None:
    """Name the first call that broke a rule of malloc(3), unless it is why a process crashed."""
    count, calls = glance.broken_rules()
    told = {reason for crash in glance.crashes for reason in crash.because}
    if calls and broken_words(calls[0]) not in told:
        screen.fact("rule broken", broken_words(calls[0]), "bold red")
    if count > 1:
        screen.fact("rules broken", f"{number(count)} calls broke a rule of malloc(3): --full tells each")


def _sizes(screen: _Screen, meta: Meta, summary: Summary) -> None:
    """Asked for, alive, mapped and resident as bars of one scale, each with where it came from."""
    if not summary.calls:
        unseen = next((note for note in meta.notes if note.startswith("calls in ")), None)
        screen.fact("asked for", unseen or "no call of an allocator was made, or none was asked to be seen")
        return
    frames = (summary.frames + meta.totals.get("frames_beside", 0)) * meta.machine.page_size
    asking = {op: count for op, count in summary.calls.items() if op in ALLOCATING}
    back = f"; {size(summary.to_kernel)} back" if summary.to_kernel else ""
    rows = (
        ("asked for", summary.asked, f"in {_listed(asking)}" if asking else ""),
        ("alive at most", summary.peak, f"at the end {size(summary.live)} in {plural(summary.live_pieces, 'piece')}"),
        ("mapped", summary.from_kernel, f"{_listed(_growing(summary)) or 'nothing'} in mallocs{back}"),
        ("resident", frames, f"{plural(frames // meta.machine.page_size, 'frame')} by first touch"),
    )
    whole = max(value for _name, value, _words in rows)
    for name, value, words in rows:
        drawn = f"{bar(value, whole, _BAR)}  " if screen.console.width >= _LEAST_BAR_WIDTH else ""
        screen.fact(name, Text.assemble((f"{short_size(value):>9} ", "bold"), f" {drawn}", safe(words)))


def _growing(summary: Summary) -> Mapping[str, int]:
    return {name: count for name, count in summary.syscalls_inside.items() if name in ("brk", "mmap", "mremap")}


def _mallocs(screen: _Screen, summary: Summary) -> None:
    """The steps that allocating calls took: how many found a free piece, how many had to ask the kernel."""
    took = {steps: count for steps, count in summary.steps.items() if steps}
    if not took:
        return
    served = took.get("1-5", 0)
    grown = sum(count for steps, count in took.items() if took_step(steps, 2))
    text = f"{number(served)} found a free piece (1-5), {number(grown)} asked the kernel (1-2-3-4-5)"
    rest = sum(took.values()) - served - grown
    screen.fact("mallocs", text + (f", {number(rest)} neither" if rest else ""))


def _kernel(screen: _Screen, meta: Meta, summary: Summary) -> None:
    inside, outside = sum(summary.syscalls_inside.values()), sum(summary.syscalls_outside.values())
    if inside or outside:
        made = f" ({_listed(summary.syscalls_inside)})" if inside else ""
        screen.fact("system calls", f"{number(inside)} in mallocs{made}, {number(outside)} elsewhere")
    if summary.faults:
        major = f"; {number(summary.major)} read from disk" if summary.major else ""
        screen.fact("page faults", f"{number(summary.faults)}: by {_listed(summary.by_toucher)}{major}")
    if not meta.sees_faults:
        why = next((line.note for line in meta.ledger if line.identity.startswith("fault samples")), "")
        screen.fact("" if summary.faults else "page faults", f"{meta.how.get('faults', 'not observed')}: {why}")
    if summary.lost:
        screen.fact("LOST", plural(summary.lost, "event"), "bold red")


def _refused(screen: _Screen, glance: Glance) -> None:
    """Name what ended in signals that the program handled; what ended it is told as its crash."""
    counts: Counter[str] = Counter()
    for refusal in glance.refusals():
        counts[refusal.title] += refusal.count - refusal.fatal
    survived = ", ".join(f"{title} ({number(count)})" for title, count in counts.most_common() if count)
    if survived:
        screen.fact("refused", _cut(screen.console, f"with a signal, by the processor: {survived}"))


def _by_count(glance: Glance) -> list[Occurrence]:
    return sorted(glance.departures(), key=lambda found: -found.count)


def _listed(names: Mapping[str, int], most: int = 4) -> str:
    ordered = sorted(names.items(), key=lambda item: -item[1])
    shown = [f"{number(count)} {name}" for name, count in ordered[:most]]
    return ", ".join([*shown, "..."] if len(ordered) > most else shown)


def _places(screen: _Screen, title: str, places: Sequence[Place], source: Sources, *, live: bool) -> None:
    if not places:
        return
    wide = min(max(len(safe(place.text)) for place in places), screen.console.width // 3)
    lines = [Text(f"  {title}", "bold")]
    for place in places:
        lines.append(_place(screen.console, place, wide, source, live=live))
    screen.lists.append(lines)


def _place(console: Console, place: Place, wide: int, source: Sources, *, live: bool) -> Text:
    amount, times = (place.live, place.pieces) if live else (place.asked, place.calls)
    name = Text(safe(place.text), "cyan")
    name.truncate(wide, overflow="ellipsis", pad=True)
    code = safe(" ".join(source.line(place.site).split())) if place.site is not None else ""
    line = Text.assemble(f"  {short_size(amount):>10}", f"{number(times):>8} × ", name, "  ", code)
    line.truncate(console.width, overflow="ellipsis")
    line.rstrip()
    return line


def _leaks(screen: _Screen, places: Sequence[Place], source: Sources, summary: Summary) -> None:
    if places:
        more = f" by {len(places)} places" if len(places) > 1 else ""
        title = f"not freed: {size(summary.live)} in {plural(summary.live_pieces, 'piece')}{more}"
        _places(screen, title, places[:_LEAKS], source, live=True)


def _verdict(screen: _Screen, meta: Meta) -> None:
    verdict = worst(meta.ledger)
    style = "bold red" if verdict in FAILING else "green"
    words = "every event is accounted for" if verdict not in FAILING else "NOT everything is accounted for"
    told = Text.assemble((headline(meta.ledger), style), f": {words}")
    screen.tail += _beside(screen.console, Text(f"  {'ledger':<{_NAME}}", "dim"), told)
    for line in meta.ledger:
        if line.verdict in FAILING:
            text = f"{line.identity}: seen {line.seen}, expected {line.expected}, lost {line.lost}"
            screen.tail += _beside(screen.console, Text(" " * (_NAME + 2)), Text(safe(text), "red"))
    if meta.notes:
        more = f"{len(meta.notes)} in all, see --full; " if len(meta.notes) > 1 else ""
        screen.tail.append(Text(f"  {'note':<{_NAME}}", "dim") + _cut(screen.console, more + meta.notes[0]))


def _commands(screen: _Screen, glance: Glance, directory: str) -> None:
    if not directory:
        return
    shown = f"observer show {safe(shlex.quote(directory))}"
    asking = (place for place in glance.places.top("bytes") if place.site is not None and place.site.line)
    line = next((place.text for place in asking), None)
    options = [("--full", "the whole story"), *([(f"--line {line}", "what one line did")] if line else [])]
    for i, (option, words) in enumerate((*options, ("--help", "steps, map, ledger, one piece"))):
        name = Text(f"  {'more' if i == 0 else '':<{_NAME}}", "dim")
        body = Text(f"{shown} {safe(option)}", "bold")
        if body.cell_len + len(words) + _NAME + 5 <= screen.console.width:
            body.append(f"   {words}", "not bold dim")
        screen.tail += _beside(screen.console, name, body)
