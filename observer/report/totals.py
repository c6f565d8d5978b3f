"""The summary and the departures on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from rich.console import Console
from rich.text import Text

from observer.arch.known import native_of
from observer.model.machine import Meta
from observer.report.screen import bar, heading, paragraph, put, safe
from observer.story.departures import Occurrence
from observer.story.summary import Summary
from observer.story.wording import number, plural, size

__all__ = ["print_departures", "print_summary"]

_MEANING: Final = {
    "1-5": "a fitting piece was free: no system call",
    "1-2-3-4-5": "nothing fitted: the kernel gave memory first",
    "1": "never returned, or returned NULL at once",
    "1-2-3": "never returned from the kernel",
    "1-2-3-4": "the kernel refused: NULL",
}
_BAR: Final = 24
_STOPS: Final = "stops_cs_"


def print_summary(console: Console, summary: Summary, meta: Meta) -> None:
    """Print the totals: calls by steps, the three sizes of memory, system calls, page faults."""
    heading(console, "In numbers")
    _calls(console, summary)
    _steps(console, summary)
    _three_sizes(console, summary, meta)
    _crossings(console, summary)
    _rings(console, meta)


def _calls(console: Console, summary: Summary) -> None:
    listed = ", ".join(f"{number(count)} {op}" for op, count in summary.calls.items()) or "none"
    extra = f"; {summary.unfinished} never returned" if summary.unfinished else ""
    _fact(console, "allocator calls", f"{listed}{extra}")


def _steps(console: Console, summary: Summary) -> None:
    for steps, count in summary.steps.items():
        _fact(console, f"  steps {steps}", f"{number(count):>7}  {_MEANING.get(steps, '')}")
    _fact(console, "  step 6", f"{number(summary.step_six):>7}  page faults that brought the memory in")


def _three_sizes(console: Console, summary: Summary, meta: Meta) -> None:
    page, beside = meta.machine.page_size, meta.totals.get("frames_beside", 0)
    rows = (
        ("asked for", summary.asked),
        ("mapped (brk, mmap)", summary.from_kernel),
        ("frames (step 6)", (summary.frames + beside) * page),
    )
    largest = max(value for _name, value in rows)
    for name, value in rows:
        _fact(console, name, f"{size(value):>10}  {bar(value, largest, _BAR)}")
    if beside:
        _fact(console, "  of huge pages", f"{size(beside * page):>10}  came beside a touched page, without a fault")
    pieces = f"{size(summary.live)} in {plural(summary.live_pieces, 'piece')} at the end"
    _fact(console, "alive", f"{size(summary.peak)} at the most, {pieces}")
    if summary.to_kernel:
        _fact(console, "back to the kernel", size(summary.to_kernel))


def _rings(console: Console, meta: Meta) -> None:
    """Print the privilege level that the CS register held at the stops: its low two bits."""
    architecture = native_of(meta.machine.architecture)
    stops = {int(name.removeprefix(_STOPS), 16): n for name, n in meta.totals.items() if name.startswith(_STOPS)}
    for selector, count in sorted(stops.items()):
        code = {0x33: "64-bit code", 0x23: "32-bit code"}.get(selector, "code")
        every = "all " if len(stops) == 1 else ""
        _fact(
            console,
            "privilege level",
            f"ring {architecture.ring_of(selector)} at {every}{plural(count, 'stop')} (CS {selector:#x}: {code})",
        )


def _crossings(console: Console, summary: Summary) -> None:
    _fact(console, "system calls", _inside_and_outside(summary))
    others = {gate: count for gate, count in summary.by_gate.items() if gate != "syscall"}
    if others:
        _fact(console, "  entered by", _listed(summary.by_gate))
    _without_crossing(console, summary)
    if summary.faults:
        by_ring = ", ".join(f"{number(count)} in ring {ring}" for ring, count in sorted(summary.by_ring.items()))
        major = f"; {number(summary.major)} read from disk" if summary.major else ""
        _fact(console, "page faults", f"{number(summary.faults)}: by {_listed(summary.by_toucher)}")
        _fact(console, "", f"on {_listed(summary.by_place)}; {by_ring}{major}")
    if summary.lost:
        _fact(console, "LOST", plural(summary.lost, "event"))


def _without_crossing(console: Console, summary: Summary) -> None:
    """Print what did not cross into the kernel: library calls that needed nothing, questions that the vDSO answered."""
    if summary.into_libraries:
        crossing = (
            f", of which {number(summary.into_libraries_crossing)} made system calls"
            if summary.into_libraries_known
            else ""
        )
        _fact(console, "library calls", f"{number(summary.into_libraries)}{crossing}")
    answers = sum(summary.vdso_answers.values())
    if answers:
        how = f"but for {number(summary.vdso_crossing)}" if summary.vdso_crossing else "without a system call"
        _fact(console, "vDSO answers", f"{number(answers)} ({_listed(summary.vdso_answers)}), {how}")


def _inside_and_outside(summary: Summary) -> str:
    inside, outside = summary.syscalls_inside, summary.syscalls_outside
    parts = [f"{number(sum(inside.values()))} inside the allocator" + (f" ({_listed(inside)})" if inside else "")]
    parts.append(f"{number(sum(outside.values()))} outside" + (f" ({_listed(outside)})" if outside else ""))
    return ", ".join(parts)


def _listed(names: Mapping[str, int], most: int = 5) -> str:
    ordered = sorted(names.items(), key=lambda item: -item[1])
    shown = [f"{name} {number(count)}" for name, count in ordered[:most]]
    return ", ".join([*shown, "..."] if len(ordered) > most else shown)


def _fact(console: Console, name: str, text: str) -> None:
    paragraph(console, safe(text), first=Text(f"  {name:<20}", "dim"), hanging=22)


def print_departures(console: Console, departures: Iterable[Occurrence]) -> None:
    """Print where the run left the book, and why."""
    found = tuple(departures)
    if not found:
        return
    heading(console, "Not in the book")
    for departure in found:
        places = ", ".join(f"{n:,}" for n in departure.evidence[:3])
        more = ", ..." if departure.count > 3 else ""
        aside = f"  {number(departure.count)} × (event {places}{more})"
        put(console, Text.assemble(("  " + departure.title, "bold"), (aside, "dim")))
        paragraph(console, departure.why, first="    ", hanging=4)
