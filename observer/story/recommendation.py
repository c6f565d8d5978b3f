"""Which allocator to take for a program, and the measured reason: for time, and for memory.

Another allocator is better than the program's own only by more than chance and more than a trifle: by more than the
wider of the two spreads, by a twentieth, by a millisecond (time) or 256 KiB (peak), and, of time, in four rounds of
five. An allocator under which the program ended otherwise is never recommended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from observer.model.footprint import Trial
from observer.story.wording import size

__all__ = ["Advice", "recommend", "seconds"]

_SHARE: Final = 0.05
_LEAST_SECONDS: Final = 0.001
_LEAST_BYTES: Final = 256 << 10
_ROUNDS: Final = 0.8
_FEWEST_RUNS: Final = 3

TIME: Final = "time"
MEMORY: Final = "memory"


class Advice(msgspec.Struct, frozen=True):
    """Whom to take for `time` and for `memory` (names of allocators), why in a sentence each, and in a word."""

    choice: dict[str, str]
    why: dict[str, str]
    conclusion: str


def recommend(trials: Sequence[Trial]) -> Advice:
    """Return the advice; the first of *trials* is the one to leave only for a reason: the program's own allocator."""
    base = trials[0]
    others = [trial for trial in trials[1:] if _is_comparable(trial, base)]
    best = {TIME: _best(base, others, _is_quicker, _time), MEMORY: _best(base, others, _is_smaller, _peak)}
    why = {TIME: _why_time(base, best[TIME], others), MEMORY: _why_memory(base, best[MEMORY], others)}
    choice = {what: trial.allocator for what, trial in best.items()}
    return Advice(choice, why, _conclusion(base, best, others))


def _is_comparable(trial: Trial, base: Trial) -> bool:
    return {trial.status, *(run.status for run in trial.runs)} == {base.status}


def _time(trial: Trial) -> float:
    return trial.seconds


def _peak(trial: Trial) -> float:
    return trial.median("peak_resident_bytes")


def _is_quicker(trial: Trial, than: Trial) -> bool:
    """Whether *trial* took less time, in almost every round and by more than the spread."""
    gain = than.seconds - trial.seconds
    least = max(trial.spread_seconds, than.spread_seconds, than.seconds * _SHARE, _LEAST_SECONDS)
    pairs = list(zip(trial.runs, than.runs, strict=True))
    return (
        len(pairs) >= _FEWEST_RUNS
        and gain > least
        and sum(a.seconds < b.seconds for a, b in pairs) >= _ROUNDS * len(pairs)
    )


def _is_smaller(trial: Trial, than: Trial) -> bool:
    """Whether *trial* had a lower peak, by more than the spread."""
    name = "peak_resident_bytes"
    least = max(trial.spread(name), than.spread(name), than.median(name) * _SHARE, _LEAST_BYTES)
    return than.median(name) - trial.median(name) > least


def _best(
    base: Trial, others: Sequence[Trial], is_better: Callable[[Trial, Trial], bool], value: Callable[[Trial], float]
) -> Trial:
    """Return the best of those that are better than *base*, else *base*."""
    return min((trial for trial in others if is_better(trial, base)), key=value, default=base)


# ---- reasons ------------------------------------------------------------------------------------------------


def _why_time(base: Trial, best: Trial, others: Sequence[Trial]) -> str:
    if len(base.runs) < _FEWEST_RUNS:
        return f"fewer than {_FEWEST_RUNS} runs of each say nothing about time"
    if best is not base:
        spread = max(best.spread_seconds, base.spread_seconds)
        return (
            f"{best.allocator}: {seconds(best.seconds)} against {seconds(base.seconds)} with {base.allocator} "
            f"(spread {seconds(spread)}), at {_times(_peak(best), _peak(base))} the memory"
        )
    slower = [trial for trial in others if _is_quicker(base, trial)]
    if others and len(slower) == len(others):
        return f"{base.allocator}: {seconds(base.seconds)}; {_next(slower, _time, seconds)}"
    return f"nothing is quicker than {base.allocator} beyond the spread"


def _why_memory(base: Trial, best: Trial, others: Sequence[Trial]) -> str:
    if best is not base:
        return (
            f"{best.allocator}: {size(int(_peak(best)))} at the peak against {size(int(_peak(base)))} with "
            f"{base.allocator}, in {_times(best.seconds, base.seconds)} the time"
        )
    larger = [trial for trial in others if _is_smaller(base, trial)]
    if others and len(larger) == len(others):
        return f"{base.allocator}: {size(int(_peak(base)))} at the peak; {_next(larger, _peak, _bytes)}"
    return f"nothing needs less than {base.allocator} by an amount that matters"


def _bytes(value: float) -> str:
    return size(int(value))


def _next(trials: Sequence[Trial], value: Callable[[Trial], float], words: Callable[[float], str]) -> str:
    closest = min(trials, key=value)
    return f"the next, {closest.allocator}, needs {words(value(closest))}"


def _times(value: float, base: float) -> str:
    return f"{value / base:.1f} times" if base else "no multiple of"


def seconds(value: float) -> str:
    """Write a time of a run in two or three figures.

    >>> seconds(0.4123), seconds(0.0412), seconds(0.00184), seconds(0.00004)
    ('0.41 s', '41 ms', '1.8 ms', '40 µs')
    """
    if round(value, 3) >= 0.1:
        return f"{value:.2f} s"
    if round(value, 6) >= 0.001:
        return f"{value * 1e3:.0f} ms" if round(value, 4) >= 0.01 else f"{value * 1e3:.1f} ms"
    return f"{value * 1e6:.0f} µs"


def _conclusion(base: Trial, best: dict[str, Trial], others: Sequence[Trial]) -> str:
    quick, small = best[TIME], best[MEMORY]
    if quick is small is base:
        if others and any(_is_quicker(base, each) or _is_smaller(base, each) for each in others):
            return f"Stay with {base.allocator}."
        return f"No difference that matters here: stay with {base.allocator}."
    if quick is small:
        return f"Take {quick.allocator}."
    if base in (quick, small):
        other, what = (small, "memory counts") if quick is base else (quick, "time counts")
        return f"Take {other.allocator} where {what}; otherwise stay with {base.allocator}."
    return f"Take {quick.allocator} where time counts, {small.allocator} where memory does."
