"""The summary and the departures on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.text import Text

from observer.arch.known import native_of
from observer.model.machine import Meta
from observer.report.screen import bar, heading, left, paragraph, right, safe
from observer.story.departures import Occurrence
from observer.story.language import ENGLISH, Language
from observer.story.summary import Summary
from observer.story.wording import number

__all__ = ["print_departures", "print_summary"]

_BAR: Final = 24
_NAME: Final = 20
_STOPS: Final = "stops_cs_"
_SELECTORS: Final = frozenset({0x33, 0x23})
"""Those of programs' code of 64 and of 32 bits, as Linux has them."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """Where the facts are printed, and in which language."""

    console: Console
    language: Language

    def put(self, name: str, text: str) -> None:
        """Print a fact beside the phrase *name*, beside nothing if there is none."""
        self.named(self.language.say(name) if name else "", text)

    def named(self, name: str, text: str) -> None:
        """Print a fact beside its *name*."""
        paragraph(self.console, safe(text), first=Text(f"  {left(name, _NAME)}", "dim"), hanging=_NAME + 2)

    def listed(self, counts: Mapping[str, int], names: str = "", most: int = 5) -> str:
        """List what was counted, most first; *names* are the phrases that name it, if any do."""
        ordered = sorted(counts.items(), key=lambda item: -item[1])
        choose = self.language.choose
        shown = [f"{choose(names, name) if names else name} {number(count)}" for name, count in ordered[:most]]
        return ", ".join([*shown, "..."] if len(ordered) > most else shown)


def print_summary(console: Console, summary: Summary, meta: Meta, language: Language = ENGLISH) -> None:
    """Print the totals: calls by steps, the three sizes of memory, system calls, page faults."""
    facts = _Facts(console, language)
    heading(console, language.say("numbers"))
    _calls(facts, summary)
    _steps(facts, summary)
    _three_sizes(facts, summary, meta)
    _crossings(facts, summary)
    _rings(facts, meta)


def _calls(facts: _Facts, summary: Summary) -> None:
    say = facts.language.say
    listed = ", ".join(say("item", number(count), op) for op, count in summary.calls.items()) or say("none")
    extra = say("never_returned", summary.unfinished) if summary.unfinished else ""
    facts.put("calls", f"{listed}{extra}")


def _steps(facts: _Facts, summary: Summary) -> None:
    language = facts.language
    for steps, count in summary.steps.items():
        meaning = language.choose("steps_mean", steps)
        facts.named(language.say("steps_row", steps), f"{number(count):>7}  {meaning}")
    facts.put("step_six_row", f"{number(summary.step_six):>7}  {language.say('step_six_means')}")


def _three_sizes(facts: _Facts, summary: Summary, meta: Meta) -> None:
    say, size = facts.language.say, facts.language.size
    page, beside = meta.machine.page_size, meta.totals.get("frames_beside", 0)
    rows = (
        ("asked_row", summary.asked),
        ("mapped_row", summary.from_kernel),
        ("frames_row", (summary.frames + beside) * page),
    )
    largest = max(value for _name, value in rows)
    for name, value in rows:
        facts.put(name, f"{right(size(value), 10)}  {bar(value, largest, _BAR)}")
    if beside:
        facts.put("huge_row", f"{right(size(beside * page), 10)}  {say('huge_means')}")
    pieces = say("alive_end", size(summary.live), facts.language.counted(summary.live_pieces, "piece"))
    facts.put("alive_row", say("alive_means", size(summary.peak), pieces))
    if summary.to_kernel:
        facts.put("back_row", size(summary.to_kernel))


def _rings(facts: _Facts, meta: Meta) -> None:
    """Print the privilege level that the mode register told at the stops."""
    say, architecture = facts.language.say, native_of(meta.machine.architecture)
    stops = {int(name.removeprefix(_STOPS), 16): n for name, n in meta.totals.items() if name.startswith(_STOPS)}
    every = say("level_all") if len(stops) == 1 else ""
    for selector, count in sorted(stops.items()):
        code = facts.language.choose("level_code", f"{selector:#x}" if selector in _SELECTORS else "other")
        ring, counted = architecture.ring_of(selector), facts.language.counted(count, "stop")
        means = "level_means" if architecture.modes.user else "exception_level_means"
        facts.put("level_row", say(means, ring, every, counted, f"{selector:#x}", code))


def _crossings(facts: _Facts, summary: Summary) -> None:
    facts.put("syscalls_label", _inside_and_outside(facts, summary))
    others = {gate: count for gate, count in summary.by_gate.items() if gate != "syscall"}
    if others:
        facts.put("entered_row", facts.listed(summary.by_gate))
    _without_crossing(facts, summary)
    if summary.faults:
        _faults(facts, summary)
    if summary.lost:
        facts.put("lost_label", facts.language.counted(summary.lost, "event"))


def _faults(facts: _Facts, summary: Summary) -> None:
    say = facts.language.say
    by_ring = ", ".join(say("ring_count", number(count), ring) for ring, count in sorted(summary.by_ring.items()))
    major = say("from_disk", number(summary.major)) if summary.major else ""
    facts.put("faults", say("faults_by", number(summary.faults), facts.listed(summary.by_toucher, "touchers"), ""))
    facts.put("", say("on_places", facts.listed(summary.by_place, "fault_places"), by_ring, major))


def _without_crossing(facts: _Facts, summary: Summary) -> None:
    """Print what did not cross into the kernel: library calls that needed nothing, questions that the vDSO answered."""
    say = facts.language.say
    if summary.into_libraries:
        crossing = summary.into_libraries_crossing
        made = say("library_crossing", number(crossing)) if summary.into_libraries_known else ""
        facts.put("library_row", f"{number(summary.into_libraries)}{made}")
    answers = sum(summary.vdso_answers.values())
    if answers:
        how = say("vdso_but", number(summary.vdso_crossing)) if summary.vdso_crossing else say("vdso_all")
        facts.put("vdso_row", f"{number(answers)} ({facts.listed(summary.vdso_answers)}), {how}")


def _inside_and_outside(facts: _Facts, summary: Summary) -> str:
    parts = []
    for phrase, calls in (("inside", summary.syscalls_inside), ("outside", summary.syscalls_outside)):
        names = f" ({facts.listed(calls)})" if calls else ""
        parts.append(facts.language.say(phrase, number(sum(calls.values())), names))
    return ", ".join(parts)


def print_departures(console: Console, departures: Iterable[Occurrence], language: Language = ENGLISH) -> None:
    """Print where the run left the book, and why."""
    found = tuple(departures)
    if not found:
        return
    heading(console, language.say("departures"))
    for departure in found:
        title, why = language.departure(departure)
        places = ", ".join(f"{n:,}" for n in departure.evidence[:3])
        more = ", ..." if departure.count > 3 else ""
        aside = language.say("departure_seen", number(departure.count), f"{places}{more}")
        paragraph(console, Text.assemble((title, "bold"), (f"  {aside}", "dim")), first="  ", hanging=2)
        paragraph(console, why, first="    ", hanging=4)
