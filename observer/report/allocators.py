"""One program under several allocators: a table, a story of each, a recommendation; and the same as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from observer.model.footprint import Trial
from observer.model.ledger import FAILING
from observer.report.screen import heading, paragraph, put, safe
from observer.story.conduct import conduct_sentences
from observer.story.recommendation import Advice, seconds
from observer.story.wording import number, plural, short_size

__all__ = ["as_json", "print_trials"]

_COLUMNS: Final = (
    ("allocator", 10), ("time", 8), ("spread", 8), ("syscalls", 10), ("faults", 9), ("peak", 10), ("at end", 10),
    ("wasted", 10),
)  # fmt: skip


def as_json(trials: Sequence[Trial], advice: Advice) -> list[dict[str, Any]]:
    """Return the list that `allocators --json` prints: an object an allocator. Sizes are bytes, times seconds."""
    return [_entry(trial, advice) for trial in trials]


def _entry(trial: Trial, advice: Advice) -> dict[str, Any]:
    best_for = [what for what, name in advice.choice.items() if name == trial.allocator]
    return {
        "allocator": trial.allocator, "version": trial.version, "syscalls": trial.conduct.syscalls,
        "faults": trial.median("faults"), "peak_resident_bytes": trial.median("peak_resident_bytes"),
        "end_resident_bytes": trial.median("end_resident_bytes"), "mapped_bytes": trial.median("mapped_bytes"),
        "wasted_bytes": trial.conduct.wasted, "seconds": trial.seconds, "version_from": trial.version_from,
        "spread_seconds": trial.spread_seconds, "cpu_seconds": trial.cpu_seconds, "runs": len(trial.runs),
        "processes": trial.median("processes"), "peak_mapped_bytes": trial.median("peak_mapped_bytes"),
        "calls": trial.conduct.calls, "allocator_syscalls": trial.conduct.own_syscalls,
        "live_peak_bytes": trial.conduct.live_peak, "held_peak_bytes": trial.conduct.held_peak,
        "status": trial.status, "ledger": trial.verdict, "remarks": trial.remarks,
        "story": conduct_sentences(trial.conduct), "best_for": best_for,
        "because": [advice.why[what] for what in best_for],
    }  # fmt: skip


def print_trials(
    console: Console, name: str, trials: Sequence[Trial], advice: Advice, missing: Sequence[str] = ()
) -> None:
    """Print the table, what each allocator did, and which to take; *missing* says who is not in it, and why."""
    heading(console, "Under each allocator", safe(name))
    _table(console, trials)
    _footing(console, trials)
    if trials[0].status != "exit 0":
        put(console, Text(f"  The program ended with {trials[0].status}.", "yellow"))
    for line in missing:
        paragraph(console, Text(safe(line), "yellow"), first="  ! ", hanging=4)
    heading(console, "What each one did", "in the recorded run")
    for trial in trials:
        _story(console, trial)
    heading(console, "Which to take")
    for what, why in advice.why.items():
        paragraph(console, safe(f"{why}."), first=Text(f"  {what:<8}", "dim"), hanging=10)
    put(console, Text(f"  {safe(advice.conclusion)}", "bold"))


def _table(console: Console, trials: Sequence[Trial]) -> None:
    (first, wide), *others = _COLUMNS
    put(console, Text(f"  {first:<{wide}}" + "".join(f"{title:>{width}}" for title, width in others), "dim"))
    for trial in trials:
        put(console, f"  {safe(trial.allocator):<{wide}}" + _cells(trial))


def _cells(trial: Trial) -> str:
    conduct = trial.conduct
    spread = seconds(trial.spread_seconds) if len(trial.runs) > 1 else "-"
    texts = (
        seconds(trial.seconds), spread, number(sum(conduct.syscalls.values())),
        number(trial.median("faults")), short_size(trial.median("peak_resident_bytes")),
        short_size(trial.median("end_resident_bytes")), "-" if conduct.wasted is None else short_size(conduct.wasted),
    )  # fmt: skip
    return "".join(f"{text:>{width}}" for text, (_title, width) in zip(texts, _COLUMNS[1:], strict=True))


def _footing(console: Console, trials: Sequence[Trial]) -> None:
    runs = max(len(trial.runs) for trial in trials)
    text = (
        f"Time, faults, peak and end: medians of {plural(runs, 'run')} each, in turns; spread: the middle half of the "
        "times. System calls of the memory kind, and wasted (held resident, but not in live pieces, when most was "
        "live): from one recorded run. It is slower: what an allocator gives back after a while comes earlier in it."
    )
    paragraph(console, Text(text, "dim"), first="  ", hanging=2)


def _story(console: Console, trial: Trial) -> None:
    origin = f" ({trial.version_from})" if trial.version_from else ""
    put(console, Text.assemble("  ", (safe(trial.allocator), "bold"), (safe(f"  {trial.version}{origin}"), "dim")))
    paragraph(console, safe(" ".join(conduct_sentences(trial.conduct))), first="    ", hanging=4)
    for remark in trial.remarks:
        paragraph(console, Text(safe(f"{remark}."), "yellow"), first="    ! ", hanging=6)
    if trial.verdict in FAILING:
        paragraph(console, Text(f"the ledger of this run is {trial.verdict}", "bold red"), first="    ! ", hanging=6)
